"""What the tile shows of the last ten minutes: the risks as they were said, the mean pressure, and what came. Pure.

A risk of hypotension is about a mean pressure below 65 mmHg for a minute; where that really came, it is marked, so that
what was said before can be judged by what followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ui.bed.low_pressure import LOW_MMHG

EVENT_S = 60.0
"""So long below the limit is a hypotension, as the model was taught it."""
BROKEN_S = 3.0  # longer without a value, and what was before is not joined to what comes


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """End of the window in s of event time; (value, lo, hi), each 0-1, by horizon in minutes, as it was said then."""

    time_s: float
    risk: dict[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A mean pressure in mmHg at ``time_s``; estimated, or measured."""

    time_s: float
    mmhg: float
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class LowStretch:
    """Measured pressure was low in [begin_s, end_s]."""

    begin_s: float
    end_s: float

    @property
    def event(self) -> bool:
        """Whether it was a hypotension: a minute or longer."""
        return self.end_s - self.begin_s >= EVENT_S


class Timed(Protocol):
    """Anything at a time."""

    @property
    def time_s(self) -> float:
        """Event time."""


T = TypeVar("T", bound=Timed)


def unbroken(points: Iterable[T]) -> list[list[T]]:
    """Runs of points, in order, without a hole of more than three seconds."""
    runs: list[list[T]] = []
    for point in points:
        if not runs or point.time_s - runs[-1][-1].time_s > BROKEN_S:
            runs.append([])
        runs[-1].append(point)
    return runs


def low_stretches(points: Iterable[MapPoint]) -> list[LowStretch]:
    """Stretches of measured low pressure; one value alone is a second long."""
    low = [p for p in points if not p.estimated]
    found: list[LowStretch] = []
    for run in unbroken(low):
        begin: float | None = None
        last = 0.0
        for point in run:
            if point.mmhg < LOW_MMHG:
                begin = point.time_s if begin is None else begin
                last = point.time_s
            elif begin is not None:
                found.append(LowStretch(begin - 1.0, last))
                begin = None
        if begin is not None:
            found.append(LowStretch(begin - 1.0, last))
    return found


def measured_at(points: Sequence[MapPoint], time_s: float) -> float | None:
    """The mean pressure that was measured at ``time_s``, within a second; None where none was."""
    near = [p for p in points if not p.estimated and abs(p.time_s - time_s) <= 1.0]
    return min(near, key=lambda p: abs(p.time_s - time_s)).mmhg if near else None


def trend_key(points: Sequence[RiskPoint] | Sequence[MapPoint]) -> tuple[int, float]:
    """Whether it is the same: how many, and of when."""
    return len(points), points[-1].time_s if points else 0.0
