"""How long nobody has been seen to breathe: seconds since the last breath in impedance or capnogram. Pure, clock-free.

A breath is a swing of the wave between two turning points (Billauer's *peakdet*, cf. :mod:`streams.vitals.capnogram`):
of the gas by 4 mmHg, of the impedance, whose unit is arbitrary, by a share of what is usual for this patient, so that
the heart's trace in it is none. Where the swings have become smaller for good (another position) they are usual from
the moment on that they have a rate of their own which is not the heart's.

A breath in either wave is a breath. One exception: impedance that swings at the heart's rate proves nothing beside a
capnogram that shows no breath. Effort against a closed airway counts as breathing where impedance alone sees it.

The silence counts through seconds of evidence without a gap. A second is evidence where the sensor was measured, and
where it did not move at all (*flat*) once it has shown a breath in this very stretch: one that was flat from the
beginning may be on nobody. A lead that is off, an artefact, a lack of data are no evidence, and what comes after them
counts from its own beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.modalities import GRID_RATE_HZ, Modality
from streams.vitals.capnogram import LEAST_MMHG
from streams.vitals.capnogram import RATE_HZ as GAS_RATE_HZ
from streams.vitals.respiration import RATE_HZ, breath_rate

Floats = npt.NDArray[np.float64]

LEARN_S = 10  # of impedance, before it is known what is a breath: one at 6/min
SHARE = 0.3  # of the usual swing: cardiac artefact is mostly less than that
USUAL_OF = 10  # breaths
RELEARN_S = 20  # of silence, all of which has the new, smaller swings
LEAST_SHARE = 0.05  # of the usual swing: less than that is noise, whatever its rate
HEART_RATE = 0.15  # relative: no further from the heart's rate
LEAST_HEART_PER_MIN = 40.0  # where the heart's rate is not known
HEARTBEATS = 5  # turns upwards that a rate is taken from
GAS_SILENT_S = 10.0  # without a breath, before the gas speaks against impedance


class _Turns:
    """The turning points of a wave."""

    def __init__(self) -> None:
        self.rising = False
        self._low = self._high = np.nan

    def see(self, value: float, least: float) -> float | None:
        """The swing in the wave's unit that has just ended with a turn back of ``least``, else None."""
        self._low, self._high = float(np.fmin(self._low, value)), float(np.fmax(self._high, value))
        swing = self._high - self._low
        if self.rising and value < self._high - least:
            self.rising, self._low = False, value
            return swing
        if not self.rising and value > self._low + least:
            self.rising, self._high = True, value
            return swing
        return None


class _Gas:
    """Breaths of a capnogram, one stretch of it."""

    def __init__(self) -> None:
        self._turns = _Turns()

    def see(self, second: int, x: Floats) -> float | None:
        """The event time in s of the newest sign of a breath in the second before ``second``; x: [100] mmHg."""
        seen = None
        for at, value in enumerate(_means(x, GAS_RATE_HZ).tolist(), 1):
            if self._turns.see(value, LEAST_MMHG) is not None:
                seen = second - 1 + at / GAS_RATE_HZ
        return seen


class _Impedance:
    """Breaths of a respiration signal, one stretch of it. swings: the newest, known from the stretch before, too."""

    def __init__(self, swings: deque[float]) -> None:
        self._swings, self._turns = swings, _Turns()
        self._recent: deque[float] = deque(maxlen=RELEARN_S * RATE_HZ)
        self._seen_s = -np.inf
        self._began_s: int | None = None
        self._rises: deque[float] = deque(maxlen=HEARTBEATS)

    def see(self, second: int, x: Floats, heart: float | None) -> float | None:
        """As of :class:`_Gas`; x: [100] of any unit. heart: its rate per minute, None where not known."""
        values = _means(x, RATE_HZ).tolist()
        self._recent.extend(values)
        if self._began_s is None:
            self._began_s = second - 1
        if not self._swings:
            if second - self._began_s < LEARN_S:
                return None
            values = list(self._recent)
            self._learn(values)
        begins = second - len(values) / RATE_HZ
        seen = None
        for at, value in enumerate(values, 1):
            least = SHARE * float(np.median(self._swings))
            swing = self._turns.see(value, max(least, float(np.finfo(np.float32).tiny)))
            if swing is None:
                continue
            seen = begins + at / RATE_HZ
            self._swings.append(swing)
            if self._turns.rising:
                self._rises.append(seen)
        if seen is None and second - max(self._seen_s, self._began_s) >= RELEARN_S and self._breathes(heart):
            self._learn(list(self._recent))
            seen = float(second)
        self._seen_s = max(self._seen_s, seen if seen is not None else -np.inf)
        return seen

    def beats_like(self, heart: float | None, second: int) -> bool:
        """Whether the newest swings come as fast as the heart beats."""
        if heart is None or len(self._rises) < HEARTBEATS or second - self._rises[0] > 60.0:
            return False
        rate = 60.0 * (len(self._rises) - 1) / (self._rises[-1] - self._rises[0])
        return abs(rate - heart) <= HEART_RATE * heart

    def _learn(self, values: list[float]) -> None:
        self._swings.clear()
        self._swings.append(max(values) - min(values))

    def _breathes(self, heart: float | None) -> bool:
        """Whether swings too small for breaths have a rate, and not the heart's."""
        values = np.array(self._recent)
        if float(np.ptp(values)) < LEAST_SHARE * float(np.median(self._swings)):
            return False
        rate = breath_rate(values)
        if rate is None:
            return False
        return rate < LEAST_HEART_PER_MIN if heart is None else abs(rate - heart) > HEART_RATE * heart


class ApnoeaWatch:
    """Feed it each second in turn; a new one begins anew (seek, restart)."""

    def __init__(self) -> None:
        self._gas: _Gas | None = None
        self._impedance: _Impedance | None = None
        self._swings: deque[float] = deque(maxlen=USUAL_OF)
        self._since_s: dict[Modality, int] = {}
        self._shown: set[Modality] = set()  # breathed in this very stretch
        self._gas_s = self._breath_s = -np.inf

    def update(
        self,
        second: int,
        waves: Mapping[Modality, npt.NDArray[np.float32]],
        cells: Mapping[Modality, Absence | None],
        heart: float | None,
    ) -> float | None:
        """Seconds since the last breath at event time ``second``, or since the evidence began; None without any.

        waves: RESP and CO2, [100] samples of the second that has just ended. cells: why it was not measured, None where
        it was. heart: rate per minute, not of RESP.
        """
        gas = self._evidence(Modality.CO2, second, waves, cells)
        if gas is None:
            self._gas = None
        else:
            self._gas = self._gas or _Gas()
            if (seen := self._gas.see(second, gas)) is not None:
                self._shown.add(Modality.CO2)
                self._gas_s = self._breath_s = seen
        wave = self._evidence(Modality.RESP, second, waves, cells)
        if wave is None:
            self._impedance = None
        else:
            self._impedance = self._impedance or _Impedance(self._swings)
            seen = self._impedance.see(second, wave, heart)
            if seen is not None and not (self._gas_silent(second) and self._impedance.beats_like(heart, second)):
                self._shown.add(Modality.RESP)
                self._breath_s = max(self._breath_s, seen)
        if not self._since_s:
            return None
        return second - max(self._breath_s, min(self._since_s.values()))

    def _gas_silent(self, second: int) -> bool:
        """Whether the gas has been looked at for long enough and shows no breath."""
        since = self._since_s.get(Modality.CO2)
        return since is not None and second - max(since, self._gas_s) >= GAS_SILENT_S

    def _evidence(
        self,
        modality: Modality,
        second: int,
        waves: Mapping[Modality, npt.NDArray[np.float32]],
        cells: Mapping[Modality, Absence | None],
    ) -> Floats | None:
        """The samples of a second that counts, None where it does not."""
        why = cells.get(modality, Absence.NOT_CONNECTED)
        flat = why is Absence.FLAT and modality in self._shown
        x = waves[modality].astype(np.float64) if why is None or flat else np.full(GRID_RATE_HZ, np.nan)
        if not np.isfinite(_means(x, GAS_RATE_HZ)).all():
            self._since_s.pop(modality, None)
            self._shown.discard(modality)
            return None
        self._since_s.setdefault(modality, second - 1)
        return x


def _means(x: Floats, rate_hz: int) -> Floats:
    """[100] samples of a second as [rate_hz] means of what is there, NaN where nothing is."""
    parts = x.reshape(rate_hz, -1)
    there = np.isfinite(parts)
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, parts, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
