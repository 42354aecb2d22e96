"""One bed as the display knows it, on show or not: its records, its clocks, and whether all that is live.

A bed that falls silent without an order is lost by the same rule, whether anybody looks at it or not. No Qt, no clock:
the caller says when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from streams.control import BedView, SessionStatus
from ui.bed.alarm_states import SilenceSwitch
from ui.bed.liveness import Life, Moment, Verdict, judge
from ui.bed.marks import Events, Mark
from ui.bed.speed_meter import SpeedMeter
from ui.bed.state import DisplayState
from ui.style.theme import Theme

_NS = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """The session's newest answer, about whichever bed. failure: of the last call; unanswered_s: since the last one
    that went well. stages: a stage that has handled nothing counts as much as a tick that has not come."""

    status: SessionStatus | None
    failure: str = ""
    unanswered_s: float = 0.0
    stages: bool = False


class Bedside:
    """``snapshot``: what the session last said of this bed, None before. verdict, moment: of the last :meth:`judge`.
    prediction_seen: end of the window whose prediction was last on the screen. loss_seen: that it is lost was
    acknowledged. All times monotonic."""

    def __init__(self, name: str, theme: Theme, now_s: float) -> None:
        self.state = DisplayState(theme, name)
        self.switch = SilenceSwitch()
        self.snapshot: BedView | None = None
        self.verdict = Verdict(Life.WAITING)
        self.moment = Moment(0.0, now_s, Life.WAITING)
        self.prediction_seen: int | None = None
        self.loss_seen = False
        self.meter = SpeedMeter()
        self._limit_s = theme.alarm.heartbeat_s
        self._unpaused_s = self._going_s = now_s
        self._woke_s = -math.inf

    @property
    def name(self) -> str:
        """The bed's name; "" before its first record."""
        return self.state.bed

    @property
    def status(self) -> SessionStatus | None:
        """What the session last said of how this bed stands."""
        return self.snapshot.status if self.snapshot is not None else None

    @property
    def speed(self) -> float | None:
        """Event seconds a second as they come; None: as fast as possible."""
        return self.status.pace if self.status is not None else 1.0

    @property
    def speeds(self) -> tuple[float | None, float | None]:
        """The speed asked for (None: as fast as possible), and the one reached, None where it is that or not known."""
        asked = self.status.speed if self.status is not None else 1.0
        return asked, self.meter.reached(asked)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What has been seen of the recording, and its own annotations."""
        return self.state.marks.all((*self.events, *self.state.flags.events(self.state.session)))

    @property
    def events(self) -> Events:
        """Annotations of the recording that it is."""
        return self.snapshot.events if self.snapshot is not None else ()

    def take(self, snapshot: BedView) -> bool:
        """The session's answer about this bed. Returns True if the rows changed."""
        self.snapshot = snapshot
        return self.state.set_channels(snapshot.channels)

    # What is the case now -----------------------------------------------------------------------------------------

    def keep_time(self, now_s: float) -> None:
        """What stands by order, or is over, grows no older."""
        status = self.status
        if status is None or status.paused:
            self._unpaused_s = now_s
        if status is None or status.paused or status.ended:
            self._going_s = now_s
        clock = self.state.clock
        runs = status is not None and not status.paused and not status.ended
        self.meter.see(clock.newest_s, now_s, runs and clock.started)

    def advance(self, now_s: float) -> float | None:
        """Moves its beam; event time where that stands, None before the first tick."""
        return self.state.clock.advance(now_s, self.speed)

    def idle_s(self, now_s: float) -> float | None:
        """Wall seconds without a tick, of those in which it should have gone on; None before the first."""
        return self.state.clock.idle_s(now_s, self._going_s)

    def judge(self, now_s: float, answer: Answer) -> Verdict:
        """Whether it is live; ``verdict`` and ``moment`` are of this call until the next."""
        status, clock = self.status, self.state.clock
        if status is not None and answer.status is not None:  # of the session, whichever bed it was asked about
            status = replace(status, heartbeat_ns=answer.status.heartbeat_ns, error=answer.status.error)
        idle_s = self.idle_s(now_s)
        if answer.stages and idle_s is not None and status is not None and status.progress_ns:
            idle_s = max(idle_s, now_s - max(status.progress_ns * _NS, self._going_s))
        self.verdict = judge(
            status,
            answer.failure,
            ended=self.state.ended,
            silent_s=now_s - status.heartbeat_ns * _NS if status is not None else 0.0,
            unanswered_s=answer.unanswered_s,
            idle_s=idle_s,
            limit_s=self._limit_s,
            going=clock.goes_to_s is not None,
        )
        self.loss_seen = self.loss_seen and self.verdict.urgent
        running = self.verdict.life in (Life.LIVE, Life.LOST)  # what is lost ages on
        event_s = clock.source_now(now_s, self._going_s if running else None)
        self.moment = Moment(event_s, now_s, self.verdict.life, self._unpaused_s, self.speed, self._woke_s)
        return self.verdict

    def wake(self, now_s: float) -> None:
        """This machine has slept until now: nothing that came before is current, and no wave goes on from before. A
        replay that stands by order has missed nothing."""
        if self.status is not None and (self.status.paused or self.status.ended):
            return
        self._woke_s = now_s
        self.state.break_waves()

    def moves(self, now_s: float, within_s: float = 1.0) -> bool:
        """Whether it goes on: a tick came within that time, or it stands by order and may be told to go on."""
        idle_s = self.idle_s(now_s)
        status = self.status
        if status is None or status.ended or idle_s is None:
            return False
        return status.paused or idle_s < within_s
