"""Whether the mean pressure is low *now*, since when, and on whose word. Pure.

A risk of what is already there is no news; the display says the fact instead. The fact needs a value of this moment:
where none is known any more, what stands is a last known value and its age, which is neither low nor recovered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LOW_MMHG, VERY_LOW_MMHG = 65.0, 50.0
"""What the model predicts is a mean below 65 mmHg, whatever limit of the alarm is set; below 50 it is grave."""
_UNBROKEN_S = 3.0  # between two low values of one stretch
_REMEMBERED_S = 600.0

Fresh = Callable[[float, float], bool]


@dataclass(frozen=True, slots=True)
class Pressure:
    """A mean pressure in mmHg at event time ``at_s``, arrived at monotonic ``arrived_s``. interval: (lo, hi) of an
    estimate, None where it was measured."""

    mean: float
    at_s: float
    arrived_s: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class LowPressure:
    """A low ``value``. since_s: event time at which its unbroken stretch began. current: False for a last known one."""

    value: Pressure
    since_s: float
    current: bool


class PressureWatch:
    """Takes every mean pressure in order; :meth:`now` tells what they amount to."""

    def __init__(self) -> None:
        self._newest: Pressure | None = None
        self._since_s: float | None = None

    def see(self, value: Pressure) -> None:
        """Takes the next mean pressure; one from before the last is left alone."""
        before = self._newest
        if before is not None and value.at_s < before.at_s:
            return
        if value.mean >= LOW_MMHG:
            self._since_s = None
        elif self._since_s is None or (before is not None and value.at_s - before.at_s > _UNBROKEN_S):
            self._since_s = value.at_s
        self._newest = value

    def now(self, event_s: float, fresh: Fresh, estimates: bool) -> LowPressure | None:
        """None while the pressure is not low, or nothing is known. fresh: whether a value of (event time, arrival) may
        count as current; estimates: whether one may be shown at all now."""
        value = self._newest
        if value is None or self._since_s is None or event_s - value.at_s > _REMEMBERED_S:
            return None
        current = fresh(value.at_s, value.arrived_s) and (value.interval is None or estimates)
        if not current and value.interval is not None:
            return None  # what was estimated once is no knowledge of the patient
        return LowPressure(value, self._since_s, current)
