"""Calipers: two moments and two levels on the waves of one lane, and what lies between them. Pure.

Moments are event time, so that a pair on either side of the sweep's seam is as far apart as it was in the patient. What
is read is said with what it was read on: a stretch that is estimated, in part or whole, makes the reading ``~`` and
ESTIMATED; one in which samples are missing is said to have a gap, and its times are still times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.modalities import MODALITIES
from ui.bed.buffers import SampleRing
from ui.bed.lanes import Lane
from ui.style.language import tr
from ui.style.words import INVALID, absence_words

LINES = ("begin", "end", "first", "second")
"""What can be chosen and moved: two upright lines, two level ones."""
SNAP_S = 0.08
"""So far to either side a line that snaps looks for the wave's peak: half the width of a wide QRS complex and a bit."""
_DECIMALS = {"mV": 2, "mmHg": 0, "µV": 0}


@dataclass(frozen=True, slots=True)
class Calipers:
    """begin, end: event time in s, in either order; first, second: levels in the lane's unit, in either order."""

    lane: str
    begin: float
    end: float
    first: float
    second: float

    def moved(self, line: str, by: float) -> Calipers:
        """With one of :data:`LINES` moved by seconds or by units of the lane."""
        return self.put(line, getattr(self, line) + by)

    def put(self, line: str, at: float) -> Calipers:
        """With one of :data:`LINES` at a moment or a level."""
        changed: dict[str, Any] = {line: at}
        return replace(self, **changed)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a stretch of a lane is made of. absence: why its first absent second is, "" where none is."""

    measured: bool
    estimated: bool
    gap: bool
    absence: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """interval_ms: between the moments. rate: of them, per minute, None where they are one. height: between the levels,
    in ``unit``."""

    interval_ms: float
    rate: float | None
    height: float
    unit: str
    ground: Ground

    @property
    def words(self) -> tuple[str, str]:
        """The line with the numbers, and what has to be said of them, "" where nothing."""
        about = "~" if self.ground.estimated else ""
        rate = f"{about}{self.rate:.0f}/min" if self.rate is not None else f"{INVALID} /min"
        height = f"{about}{self.height:.{_DECIMALS.get(self.unit, 2)}f} {self.unit}"
        said = [tr("ESTIMATED")] if self.ground.estimated else []
        if self.ground.gap:
            said.append(tr("across a gap") if self.ground.measured or self.ground.estimated else tr("no signal here"))
        elif self.ground.absence and not self.ground.estimated:
            said.append(absence_words(self.ground.absence))
        return f"Δt {about}{self.interval_ms:.0f} ms   {rate}   {height}", "  ·  ".join(said)


def unit_of(lane: Lane) -> str:
    """The unit of a lane's values, as the screen writes it."""
    return MODALITIES[lane.modality].unit.replace("uV", "µV")


def reading(lane: Lane, calipers: Calipers) -> Reading:
    """What the calipers say of a lane."""
    interval_s = abs(calipers.end - calipers.begin)
    return Reading(
        interval_s * 1000.0,
        60.0 / interval_s if interval_s > 1e-6 else None,
        abs(calipers.second - calipers.first),
        unit_of(lane),
        ground(lane, *sorted((calipers.begin, calipers.end))),
    )


def ground(lane: Lane, begin_s: float, end_s: float) -> Ground:
    """What [begin_s, end_s] of a lane is made of, sample by sample of the lane's own rate.

    A second that is judged absent is estimated where an estimate is drawn in it, whatever the sensor sent meanwhile.
    """
    line = lane.trace.shown if lane.trace is not None else lane.estimate.line if lane.estimate is not None else None
    if line is None:
        return Ground(False, False, True)
    first, last = line.index_at(begin_s), line.index_at(end_s)
    first, last = (first, last + 1) if line.times(last, last + 1)[0] <= end_s + 1e-6 else (first, last)
    last = max(last, first + 1)  # between two samples the next one speaks
    times = line.times(first, last)
    absent = lane.cells.absent_mask(np.floor(times + 1e-9).astype(np.int64))
    measured = np.zeros(len(times), bool)
    if lane.trace is not None:
        measured = np.isfinite(lane.trace.shown.ring.read(first, last))
    estimated = np.isfinite(_estimate_at(lane, times)) & (absent | ~measured)
    seconds = np.floor(times[absent] + 1e-9)
    cell = lane.cells.get(int(seconds[0])) if len(seconds) else None
    return Ground(
        bool((measured & ~estimated).any()),
        bool(estimated.any()),
        bool((~measured & ~estimated).any()),
        cell.absence if cell is not None else "",
    )


def peak(lane: Lane, time_s: float, within_s: float = SNAP_S) -> tuple[float, float] | None:
    """The moment and value within ``within_s`` of a moment at which the wave is furthest from its middle there; of the
    measured wave, or where that has no samples of the estimate. None where nothing is drawn."""
    for line in (
        lane.trace.shown if lane.trace is not None else None,
        lane.estimate.line if lane.estimate is not None else None,
    ):
        found = _furthest(line, time_s - within_s, time_s + within_s) if line is not None else None
        if found is not None:
            return found
    return None


def _furthest(line: SampleRing, begin_s: float, end_s: float) -> tuple[float, float] | None:
    first, last = line.index_at(begin_s), line.index_at(end_s)
    values = line.ring.read(first, last).astype(np.float64)
    there = np.isfinite(values)
    if not there.any():
        return None
    at = int(np.nanargmax(np.abs(values - np.median(values[there]))))
    return float(line.times(first + at, first + at + 1)[0]), float(values[at])


def _estimate_at(lane: Lane, times: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
    """The drawn estimate at ``times``: its nearest sample, NaN where none is."""
    if lane.estimate is None or not len(times):
        return np.full(len(times), np.nan)
    line = lane.estimate.line
    index = np.rint((times - line.origin_s) * line.rate_hz).astype(np.int64)
    low = int(index.min())
    return line.ring.read(low, int(index.max()) + 1)[index - low]


def step_s(lane: Lane) -> float:
    """Between two samples of a lane: the finest step in which a moment is moved."""
    if lane.trace is not None:
        return 1.0 / lane.trace.shown.rate_hz
    return 1.0 / lane.estimate.line.rate_hz if lane.estimate is not None else 0.01


def step_level(low: float, high: float) -> float:
    """The finest step in which a level is moved: a 1, 2 or 5 times a power of ten, about a two-hundredth of the scale.

    >>> step_level(-1.0, 3.0), step_level(40.0, 140.0)
    (0.02, 0.5)
    """
    rough = (high - low) / 200.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(round(power * step, 12) for step in (1.0, 2.0, 5.0, 10.0) if power * step >= rough * (1 - 1e-9))
