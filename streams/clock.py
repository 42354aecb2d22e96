"""The replay clock: where in event time the replay is, and when a moment of it is due on the monotonic clock.

Pure arithmetic over an injected ``monotonic_ns``; it never sleeps, and the caller guards it with its own lock. Event
time is integer nanoseconds from the recording's time zero. A seek, or a step while running, begins a new epoch; it may
go there by a pre-roll, while which the clock stands at the moment sought.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from models.signals.errors import BadInput
from models.signals.times import SECOND_NS

MIN_SPEED, MAX_SPEED = 0.25, 50.0


def checked_speed(speed: float | None) -> float | None:
    """``speed`` if it is None (as fast as possible) or between 0.25 and 50; BadInput otherwise."""
    if speed is None or MIN_SPEED <= speed <= MAX_SPEED:
        return speed
    raise BadInput(f"a speed from {MIN_SPEED:g} to {MAX_SPEED:g} or max", f"{speed:g}", "choose one of these")


@dataclass(frozen=True, slots=True)
class Span:
    """Event time that can be replayed: ``[start_ns, end_ns)``."""

    start_ns: int
    end_ns: int

    def clip(self, time_ns: int) -> int:
        """The nearest time inside; the end counts as inside."""
        return min(max(time_ns, self.start_ns), self.end_ns)


class ReplayClock:
    """Maps event time to monotonic time at a speed.

    span: what is replayed. speed: event seconds a second, None for as fast as possible. The clock stands at the
    span's start until :meth:`start`. At speed None everything is due at once (``due_ns`` 0) and the position is the
    furthest moment told by :meth:`reached`.
    """

    def __init__(
        self, span: Span, speed: float | None = 1.0, *, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._span = span
        self._speed = checked_speed(speed)
        self._now = monotonic_ns
        self._epoch = 0
        self._paused = False
        self._started = False
        self._anchor_event = self._epoch_start = self._goes_to = span.start_ns
        self._anchor_mono = 0
        self._going = False

    @property
    def span(self) -> Span:
        """What is replayed."""
        return self._span

    @property
    def epoch(self) -> int:
        """Counts the jumps of the clock; every seek begins a new one."""
        return self._epoch

    @property
    def epoch_start_ns(self) -> int:
        """Where the epoch began: the span's start, or where the pre-roll of the seek does."""
        return self._epoch_start

    @property
    def goes_to_ns(self) -> int:
        """The moment that was sought; the span's start before any seek."""
        return self._goes_to

    @property
    def going(self) -> bool:
        """Whether the pre-roll is being sent."""
        return self._going

    @property
    def speed(self) -> float | None:
        """Event seconds a second; None: as fast as possible."""
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether it stands by order."""
        return self._paused

    @property
    def running(self) -> bool:
        """Whether time runs: started, not paused, and where it was to go."""
        return self._started and not self._paused and not self._going

    def start(self) -> None:
        """Let time run from the current position; a second call changes nothing."""
        if not self._started:
            self._started = True
            self._anchor_mono = self._now()

    def position_ns(self) -> int:
        """Event time now, inside the span."""
        if self._speed is None or not self.running:
            return self._anchor_event
        elapsed = self._now() - self._anchor_mono
        return self._span.clip(self._anchor_event + round(elapsed * self._speed))

    def reached(self, event_ns: int) -> None:
        """The source has sent everything before ``event_ns``: with all of the pre-roll time runs, from now on, and at
        speed None that is where it is."""
        if self._going:
            if event_ns < self._goes_to:
                return
            self._going, self._anchor_mono = False, self._now()
        if self._speed is None:
            self._anchor_event = self._span.clip(max(event_ns, self._anchor_event))

    def due_ns(self, event_ns: int) -> int | None:
        """Monotonic time at which ``event_ns`` is due: None while the clock stands before it, 0 at speed None and in a
        pre-roll, also while it is paused."""
        if self._going:
            return 0 if self._started and event_ns <= self._goes_to else None
        if not self.running:
            return self._anchor_mono if self._started and event_ns <= self._anchor_event else None
        if self._speed is None:
            return 0
        return self._anchor_mono + round((event_ns - self._anchor_event) / self._speed)

    def fall_back(self, event_ns: int) -> int:
        """``event_ns`` could not be sent in time: make it due now. By how much it was late, ns; 0 and no change where
        it was not."""
        due_ns = self.due_ns(event_ns)
        late_ns = self._now() - due_ns if due_ns is not None and self.running and self._speed is not None else 0
        if late_ns <= 0:
            return 0
        self._anchor_event, self._anchor_mono = self._span.clip(event_ns), self._now()
        return late_ns

    def pause(self) -> None:
        """Stand here."""
        self._re_anchor()
        self._paused = True

    def resume(self) -> None:
        """Let time run on from here."""
        self._re_anchor()
        self._paused = False

    def set_speed(self, speed: float | None) -> None:
        """Change the speed here and now; the position does not jump."""
        speed = checked_speed(speed)
        self._re_anchor()
        self._speed = speed

    def seek(self, event_ns: int, preroll_ns: int = 0) -> None:
        """Jump to ``event_ns`` (clipped to the span) in a new epoch, which begins so much earlier, on a whole second,
        where the span does; paused stays paused."""
        self._re_anchor()
        self._anchor_event = self._epoch_start = self._goes_to = self._span.clip(event_ns)
        if preroll_ns:  # windows and cells lie on whole seconds
            self._epoch_start = self._span.clip((self._goes_to - preroll_ns) // SECOND_NS * SECOND_NS)
        self._going = self._epoch_start < self._goes_to
        self._epoch += 1

    def step(self, delta_ns: int, preroll_ns: int = 0) -> None:
        """While paused, play the next ``delta_ns`` and stand again, without a jump; else seek by ``delta_ns``."""
        if self._paused and not self._going and delta_ns > 0 and self._speed is not None:
            self._re_anchor()
            self._anchor_event = self._span.clip(self._anchor_event + delta_ns)
        else:
            self.seek(self.position_ns() + delta_ns, preroll_ns)

    def _re_anchor(self) -> None:
        """Make here and now the anchor, so that a change of pace leaves the position where it is."""
        self._anchor_event = self.position_ns()
        self._anchor_mono = self._now()
