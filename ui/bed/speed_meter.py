"""How fast a replay really goes on this screen: seconds of the patient a second of the operator. Pure."""

from __future__ import annotations

from collections import deque

SPAN_S, LEAST_S, STEP_S = 2.0, 0.5, 0.05
KEPT_UP = 0.9  # of the speed asked for: so much is that speed


class SpeedMeter:
    """Told the newest event time; over the last two seconds. All times monotonic but event time."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def see(self, event_s: float, now_s: float, running: bool) -> None:
        """running: not paused, ended, or on the way to where a seek goes; what was before such a stop says nothing."""
        if not running or (self._seen and event_s < self._seen[-1][1]):
            self._seen.clear()
            return
        if self._seen and now_s - self._seen[-1][0] < STEP_S:
            return
        self._seen.append((now_s, event_s))
        while now_s - self._seen[0][0] > SPAN_S:
            self._seen.popleft()

    def reached(self, asked: float | None) -> float | None:
        """The speed that was reached where it is less than ``asked`` (None: as fast as possible); else None, also while
        it is not known yet."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < LEAST_S:
            return None
        (first_s, first_event_s), (last_s, last_event_s) = self._seen[0], self._seen[-1]
        found = (last_event_s - first_event_s) / (last_s - first_s)
        return found if asked is None or found < KEPT_UP * asked else None
