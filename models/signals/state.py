"""State of one sensor at every tick: measured, or why not. Drives display, vitals and technical alarms.

No data after 0.5 s; lead off, saturated, out of range after 1 s; flat after 5 s, in an airway after 10; a failed
quality index for as long as the newest completed 1-s cell fails it. All are *runs that
reach to now*: one good sample ends a run, so a sensor that comes back is measured at once. Works on native samples and
event time and reads no clock.

Rails. An ECG whose electrode is off drifts to the end of its amplifier's input range: a run of one second out of reach
of its zero (:mod:`models.signals.offset`) is *lead off*, or *out of range* where even that is not possible. While a
channel's zero is not known yet, a level counts for that only if it is held. A run of one and the same value at the
highest or lowest level that the channel has ever reached is *saturated*; the same value anywhere else is *flat*, after
a longer time, since quantised signals do hold still for a while. Not so the pressure of a line: one that delivers one
value for as long as you like has measured it (an arrest, a closed tap; see :mod:`models.signals.quality`), and only
near the top of a transducer's range does it mean saturation. Gas and pressure of an airway rest at their lowest level
where nobody breathes: that is flat, and a plateau at their highest so far is no rail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.modalities import LINE_PRESSURES, MODALITIES, Modality
from models.signals.offset import REACH
from models.signals.times import SECOND_NS

FloatArray = npt.NDArray[np.float32]

NO_DATA_NS = 500_000_000
RAIL_NS = SECOND_NS
FLAT_NS = 5_000_000_000
AIRWAY_FLAT_NS = 10_000_000_000

_BY_QUALITY = frozenset({Absence.ARTEFACT, Absence.FLUSH, Absence.OUT_OF_RANGE})


@dataclass(frozen=True, slots=True)
class Rails:
    """lead_off: distance from zero from which a lasting level means an electrode is off; inf where only the quality of
    a cell can tell.

    flat_ns: how long a held value must last to be flat: slow breaths leave an airway still for seconds.
    at_low: whether a value held at the channel's own lowest level means a saturated amplifier as one at its highest
    does; a pulse wave without a pulse rests at its lowest level, so there it means flat. top: least level at which a
    held value means saturation. flat: whether a value held anywhere else means that the sensor says nothing.
    by_quality: what only the quality of a completed cell can tell; the rest samples tell themselves, at every tick.
    """

    lead_off: float = float("inf")
    at_low: bool = False
    top: float = float("-inf")
    flat: bool = True
    flat_ns: int = FLAT_NS
    by_quality: frozenset[Absence] = _BY_QUALITY


RAILS = MappingProxyType(
    {
        Modality.ECG: Rails(lead_off=REACH[Modality.ECG].lost, at_low=True),
        Modality.ABP: Rails(top=200.0, flat=False),
        Modality.PPG: Rails(),
        Modality.EEG: Rails(at_low=True, by_quality=_BY_QUALITY | {Absence.LEAD_OFF, Absence.FLAT}),
        Modality.RESP: Rails(at_low=True),
        **dict.fromkeys(LINE_PRESSURES, Rails(top=200.0, flat=False)),
        Modality.CO2: Rails(top=150.0, flat_ns=AIRWAY_FLAT_NS),
        Modality.AWP: Rails(top=100.0, flat_ns=AIRWAY_FLAT_NS),
    }
)


@dataclass(frozen=True, slots=True)
class Extremes:
    """The lowest and the highest value that a channel has ever reached (inf and -inf before the first), and its zero,
    None while that is not known."""

    lowest: float
    highest: float
    zero: float | None


class _Run:
    """Since when a condition has held without a break, or None."""

    __slots__ = ("since_ns",)

    def __init__(self) -> None:
        self.since_ns: float | None = None

    def update(self, holds: npt.NDArray[np.bool_], times_ns: npt.NDArray[np.float64]) -> None:
        broken = np.flatnonzero(~holds)
        if not len(broken):
            if self.since_ns is None:
                self.since_ns = float(times_ns[0])
        elif broken[-1] + 1 < len(holds):
            self.since_ns = float(times_ns[broken[-1] + 1])
        else:
            self.since_ns = None

    def lasts(self, now_ns: int, at_least_ns: int) -> bool:
        return self.since_ns is not None and now_ns - self.since_ns >= at_least_ns


class SensorState:
    """The state machine of one connected channel.

    ``update`` takes native samples in order of time; samples not newer than the newest seen are ignored (a late
    chunk cannot change what is *now*). ``at`` gives the state at a time not before the newest sample.
    """

    def __init__(self, modality: Modality) -> None:
        info = MODALITIES[modality]
        self._low = -np.inf if info.low is None else info.low
        self._high = np.inf if info.high is None else info.high
        self._rails = RAILS[modality]
        self._quick = min(self._high, self._rails.lead_off), max(self._low, -self._rails.lead_off)
        self._has_offset = modality in REACH
        self.reset()

    def reset(self) -> None:
        """As before the first sample."""
        self._seen_ns = -np.inf
        self._measured_until_ns = -np.inf
        self._withheld_until_ns = -np.inf
        self._outside, self._off, self._same = _Run(), _Run(), _Run()
        self._last_value = np.nan
        self._highest, self._lowest = -np.inf, np.inf
        self._zero: float | None = None if self._has_offset else 0.0

    def export(self) -> Extremes:
        """What is known of the samples from before the last minute."""
        return Extremes(self._lowest, self._highest, self._zero)

    def restore(self, extremes: Extremes) -> None:
        """Know beside the samples seen what ``extremes`` says of earlier ones."""
        self._lowest, self._highest = min(self._lowest, extremes.lowest), max(self._highest, extremes.highest)
        if extremes.zero is not None:
            self.settle(extremes.zero)

    def settle(self, zero: float) -> None:
        """From now on levels are meant from ``zero``. What the newest sample is not, no run may go on being."""
        if zero == self._zero:
            return
        self._zero = zero
        if not self._is_off(self._last_value - zero):
            self._off.since_ns = None
        if not self._is_outside(self._last_value - zero):
            self._outside.since_ns = None

    def _is_off(self, distance: FloatArray | float) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(distance) >= self._rails.lead_off)

    def _is_outside(self, distance: FloatArray | float) -> npt.NDArray[np.bool_]:
        distance = np.asarray(distance)
        return (distance > self._high) | (distance < self._low)

    def update(self, values: FloatArray, first_ns: float, step_ns: float, withheld: bool = False) -> None:
        """``values`` [n] float32, NaN where missing, the first at ``first_ns``, ``step_ns`` apart."""
        count = len(values)
        skip = 0
        if first_ns <= self._seen_ns:
            skip = int(np.floor((self._seen_ns - first_ns) / step_ns + 1e-6)) + 1
        if skip >= count:
            return
        first_ns, values = first_ns + skip * step_ns, values[skip:]
        last_ns = first_ns + (len(values) - 1) * step_ns
        self._seen_ns = last_ns
        if withheld:
            self._withheld_until_ns = last_ns + step_ns
            return
        lowest, highest = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))  # NaN if one is missing
        whole = math.isfinite(lowest + highest)
        zero = self._zero or 0.0
        top, bottom = self._quick
        inside = whole and highest - zero < top and lowest - zero > bottom
        if inside and len(values) > 1 and values[-1] != values[-2]:  # nearly always so: no run goes on
            self._outside.since_ns = self._off.since_ns = None
            self._same.since_ns = newest_ns = float(last_ns)
        else:
            times: npt.NDArray[np.float64] = first_ns + np.arange(len(values), dtype=np.float64) * step_ns
            if not whole:
                finite = np.isfinite(values)
                if not finite.any():
                    return
                values, times = values[finite], times[finite]
                lowest, highest = float(values.min()), float(values.max())
            newest_ns = float(times[-1])
            self._outside.update(self._is_outside(values - zero), times)
            self._off.update(self._is_off(values - zero), times)
            self._hold(values, times)
        self._measured_until_ns = newest_ns + step_ns
        self._last_value = values[-1]
        self._highest, self._lowest = max(self._highest, highest), min(self._lowest, lowest)

    def _hold(self, values: FloatArray, times: npt.NDArray[np.float64]) -> None:
        """Since when the newest value has been one and the same."""
        last = values[-1]
        changes = np.flatnonzero(values[:-1] != last)
        if len(changes):
            self._same.since_ns = float(times[changes[-1] + 1])
        elif self._same.since_ns is None or last != self._last_value:
            self._same.since_ns = float(times[0])

    def at(self, now_ns: int, cell: Absence | None = None) -> Absence | None:
        """The state at ``now_ns``: None while measured. ``cell``: what the newest completed cell was judged to be."""
        if self._withheld_until_ns > self._measured_until_ns:
            return Absence.WITHHELD
        if now_ns - self._measured_until_ns > NO_DATA_NS:
            return Absence.NO_DATA
        if self._zero is not None or self._same.lasts(now_ns, RAIL_NS):
            if self._off.lasts(now_ns, RAIL_NS):
                return Absence.LEAD_OFF
            if self._outside.lasts(now_ns, RAIL_NS):
                return Absence.OUT_OF_RANGE
        if self._same.lasts(now_ns, RAIL_NS):
            at_top = self._last_value >= max(self._highest, self._rails.top)
            at_bottom = self._rails.at_low and self._last_value <= self._lowest
            if self._lowest < self._highest and (at_top or at_bottom):
                return Absence.SATURATED
            if self._rails.flat and self._same.lasts(now_ns, self._rails.flat_ns):
                return Absence.FLAT
        return cell if cell in self._rails.by_quality else None
