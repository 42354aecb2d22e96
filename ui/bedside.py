"""One bed as the display knows it, on show or not: its records, its clocks, and whether all that is live.

The session answers for the bed on show only. Of the others the display knows what it was told when they were on show,
what their records say (the operator's commands among them), and when their last tick came: a bed that falls silent is
lost by the same rule, whoever looks at it. No Qt, no clock: the caller says when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.signals.modalities import MODALITIES, Modality
from streams.control import ChannelInfo, SessionStatus
from streams.records import AnyRecord, CommandRecord, WaveTick
from ui.control_link import Snapshot
from ui.liveness import IDLE_S, Life, Moment, Verdict, judge
from ui.state import DisplayState
from ui.theme import Theme

_NS = 1e-9
_NAMES = frozenset(modality.value for modality in Modality)


@dataclass(frozen=True, slots=True)
class Answer:
    """The session's newest answer, about whichever bed. failure: of the last call; unanswered_s: since the last one
    that went well. stages: a stage that has handled nothing counts as much as a tick that has not come."""

    status: SessionStatus | None
    failure: str = ""
    unanswered_s: float = 0.0
    stages: bool = False


class Bedside:
    """``snapshot``: what the session last said of this bed, None where it never did. speed: event seconds a second, as
    far as known. prediction_seen: end of the window whose prediction was last on the screen. All times monotonic."""

    def __init__(self, name: str, theme: Theme, now_s: float, speed: float | None = 1.0) -> None:
        self.state = DisplayState(theme, name)
        self.snapshot: Snapshot | None = None
        self.speed = speed
        self.paused = self.ended = False
        self.prediction_seen: int | None = None
        self.verdict = Verdict(Life.WAITING)
        self.moment = Moment(0.0, now_s, Life.WAITING)
        self._limit_s = theme.alarm.heartbeat_s
        self._unpaused_s = self._going_s = now_s
        self._stands_from_s = now_s
        self._channels: tuple[ChannelInfo, ...] = ()

    @property
    def name(self) -> str:
        """The bed's name; "" before its first record."""
        return self.state.bed

    # What comes ---------------------------------------------------------------------------------------------------

    def take(self, snapshot: Snapshot, now_s: float) -> bool:
        """The session's answer about this bed, while it is on show. Returns True if the rows changed."""
        self.snapshot, status = snapshot, snapshot.status
        if status.paused and not self.paused:
            self._stands_from_s = now_s
        self.speed, self.paused, self.ended = status.pace, status.paused, status.ended
        return self.state.set_channels(snapshot.channels)

    def apply(self, record: AnyRecord, now_s: float) -> None:
        """A record of this bed has arrived."""
        if isinstance(record, CommandRecord):
            self._obey(record, now_s)
        elif isinstance(record, WaveTick):
            if self.snapshot is None or not self.snapshot.channels:
                self._learn_channels(record)
            # A pause that the ticks contradict is none: what flows must not be shown as if it stood.
            self.paused = self.paused and now_s - self._stands_from_s <= IDLE_S
        before = self.state.generation
        self.state.apply(record, now_s)
        self.ended = self.ended and self.state.generation == before

    def _obey(self, command: CommandRecord, now_s: float) -> None:
        """What was ordered shortly before another bed went on show, and is not in the last answer yet."""
        match command.name, next(iter(command.args.values()), None):
            case "pause", _:
                self.paused, self._stands_from_s = True, now_s
            case "resume", _:
                self.paused = False
            case "speed", float() | int() as speed:
                self.speed = float(speed)
            case "step", float() | int() as seconds:
                self._stands_from_s = now_s + seconds / max(self.speed or 1.0, 1e-3)
            case "seek", _:
                self._stands_from_s, self.ended = now_s, False

    def _learn_channels(self, tick: WaveTick) -> None:
        """Before the session has said what the bed has, its own ticks tell."""
        known = {(channel.modality.value, channel.label) for channel in self._channels}
        new = tuple(
            ChannelInfo(Modality(chunk.modality), chunk.label, MODALITIES[Modality(chunk.modality)].unit, chunk.rate_hz)
            for chunk in tick.chunks
            if chunk.lead == 0 and chunk.modality in _NAMES and (chunk.modality, chunk.label) not in known
        )
        if new:
            self._channels += new
            self.state.set_channels(self._channels)

    # What is the case now -----------------------------------------------------------------------------------------

    def status(self, newest: SessionStatus | None) -> SessionStatus | None:
        """``newest`` where it is about this bed; else what is known of this bed beside what it says of the session."""
        mine = self.snapshot.status if self.snapshot is not None else None
        if newest is None or newest is mine:
            return newest
        return replace(
            newest,
            position_s=self.state.clock.position_s,
            duration_s=mine.duration_s if mine is not None else 0.0,
            speed=self.speed,
            achieved_speed=None,
            paused=self.paused,
            ended=self.ended,
            dropped=frozenset(),
            progress_ns=0,
            seekable=mine.seekable if mine is not None else newest.seekable,
        )

    def keep_time(self, now_s: float, answer: Answer) -> None:
        """What stands by order, or is over, grows no older."""
        unknown = answer.status is None
        if unknown or self.paused:
            self._unpaused_s = now_s
        if unknown or self.paused or self.ended:
            self._going_s = now_s

    def advance(self, now_s: float) -> float | None:
        """Moves its beam; event time where that stands, None before the first tick."""
        return self.state.clock.advance(now_s, self.speed)

    def judge(self, now_s: float, answer: Answer) -> Verdict:
        """Whether it is live; ``verdict`` and ``moment`` are of this call until the next."""
        status, clock = self.status(answer.status), self.state.clock
        idle_s = clock.idle_s(now_s, self._going_s)
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
        )
        running = self.verdict.life in (Life.LIVE, Life.LOST)  # what is lost ages on
        event_s = clock.source_now(now_s, self._going_s if running else None)
        self.moment = Moment(event_s, now_s, self.verdict.life, self._unpaused_s, self.speed)
        return self.verdict

    def moves(self, now_s: float, within_s: float = 1.0) -> bool:
        """Whether it goes on: a tick came within that time, or it stands by order and may be told to go on."""
        idle_s = self.state.clock.idle_s(now_s, self._going_s)
        return not self.ended and idle_s is not None and (self.paused or idle_s < within_s)
