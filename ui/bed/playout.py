"""The screen's own clock: which event time the beam stands at now.

Ticks come in steps with jitter; the beam must move smoothly. The clock learns the offset between event time and the
monotonic clock from the ticks, runs ``delay = tick + margin`` behind, never moves back, and never overtakes the
newest tick. The margin covers the wait of the display filters. In the pre-roll of a seek the beam is nowhere yet.
Pure: the caller gives the time.
"""

from __future__ import annotations

_SNAP_S = 0.4  # wall seconds of disagreement from which on following slowly would look like a fault
_FOLLOW_S = 0.5  # time constant of the correction
_SAME = 0.25  # speeds that differ by less are followed: a replay that keeps up with the machine varies by so much


class PlayoutClock:
    """Position of the beam in seconds of event time. All times given are monotonic seconds, ``speed`` is event
    seconds per wall second, None for "as fast as possible" (then the beam stands at the newest sample)."""

    def __init__(self, margin_s: float) -> None:
        self._margin_s = margin_s
        self.reset()

    def reset(self) -> None:
        """Begins anew, as before the first tick."""
        self._locked = False  # follows the ticks; else the next step jumps to where the beam should be
        self._speed: float | None = 1.0
        self._newest = 0.0
        self.first_s = 0.0  # start of the first tick: where the paper begins
        self.goes_to_s: float | None = None  # the moment that the pre-roll under way goes to
        self.known_s: float | None = None  # where the pre-roll began, if there was one
        self._tick_s = 0.05
        self._arrived = self._heard = 0.0
        self._position: float | None = None
        self._now = 0.0

    @property
    def started(self) -> bool:
        """Whether a tick has come."""
        return self._position is not None

    @property
    def newest_s(self) -> float:
        """End of the newest tick, event time."""
        return self._newest

    @property
    def position_s(self) -> float:
        """Where the beam stands; the newest sample before it has moved."""
        return self._newest if self._position is None else self._position

    def idle_s(self, now_s: float, running_since_s: float) -> float | None:
        """Wall seconds without a tick, of those in which the replay ran; None before the first tick."""
        if self.goes_to_s is not None:
            return now_s - self._heard  # a pre-roll goes on while the replay is paused
        return None if self._position is None else now_s - max(self._heard, running_since_s)

    def preroll(self, start_s: float, end_s: float, goes_to_s: float, now_s: float) -> None:
        """A tick [start, end) of the pre-roll has arrived; with the last one the beam stands where it was to go."""
        self._heard = self._arrived = now_s
        if self.known_s is None:
            self.known_s = start_s
        self._newest = max(self._newest, end_s)
        if end_s < goes_to_s:
            self.goes_to_s = goes_to_s
        elif self._position is None:
            self.goes_to_s = None
            self._position = self.first_s = goes_to_s
            self._now = now_s

    def tick(self, start_s: float, end_s: float, now_s: float) -> None:
        """A tick [start, end) has arrived."""
        self._heard, self.goes_to_s = now_s, None
        if end_s <= self._newest and self._position is not None:
            return
        self._newest, self._arrived = end_s, now_s
        self._tick_s = max(0.001, end_s - start_s)
        if self._position is None:
            self._position, self._now = start_s, now_s
            self.first_s = start_s

    def source_now(self, now_s: float, running_since_s: float | None) -> float:
        """Event time the source has reached by now, also while no tick arrives (for the age of a prediction).

        running_since_s: since when the replay has run without a pause, which makes nothing older; None: it stands.
        """
        if self._position is None or running_since_s is None or self._speed is None:
            return self._newest
        return self._newest + self._speed * max(0.0, now_s - max(self._arrived, running_since_s))

    def advance(self, now_s: float, speed: float | None) -> float | None:
        """Move the beam to ``now_s`` and return its event time; None before the first tick."""
        if self._position is None:
            return None
        if _another(speed, self._speed):
            self._locked = False
        self._speed = speed
        dt, self._now = max(0.0, now_s - self._now), now_s
        if speed is None:
            self._position = max(self._position, self._newest)
            return self._position
        target = self._newest + speed * (now_s - self._arrived) - self._tick_s - self._margin_s * max(1.0, speed)
        moved = self._position + speed * dt
        error = target - moved
        if not self._locked or abs(error) > speed * _SNAP_S:
            moved, self._locked = target, True
        else:
            moved += error * min(1.0, dt / _FOLLOW_S)
        self._position = max(self._position, min(moved, self._newest))
        return self._position


def _another(speed: float | None, before: float | None) -> bool:
    if speed is None or before is None:
        return speed is not before
    return abs(speed - before) > _SAME * before
