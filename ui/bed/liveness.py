"""Whether what the screen shows is live, and how old a value may be. Pure; the caller brings both clocks.

Event time alone cannot tell: it stands still when nothing arrives. So each value has two ages, of its own time and of
its arrival, and the older one counts. A pause stops the second clock, it does not wind it on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from streams.control import SessionStatus
from ui.style.language import both

STALE_S = 3.0
"""Seconds after which a value is no longer shown as current."""
IDLE_S = 2.5
"""Seconds without a tick, while the replay runs, after which nothing on the screen is live: ticks come twenty a second
at real time and five at the slowest speed."""
_FASTEST = 50.0  # what "as fast as possible" counts as
_ANSWER_S = 10.0  # for the session to give a first sign of life


class Life(StrEnum):
    """What the screen as a whole shows."""

    WAITING = "waiting"  # nothing has arrived yet, or of a seek only what was before it
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"
    LOST = "lost"
    PAST = "past"  # out of the recording, while the bed goes on (:mod:`ui.bed.past`)


@dataclass(frozen=True, slots=True)
class Moment:
    """Now. event_s: event time that the source has reached. wall_s: monotonic seconds. running_since_s: since when the
    replay has run without a pause, monotonic (now, while it is paused). speed: event seconds per second, None for as
    fast as possible. woke_s: when this machine last woke from sleep, monotonic."""

    event_s: float
    wall_s: float
    life: Life = Life.LIVE
    running_since_s: float = -math.inf
    speed: float | None = 1.0
    woke_s: float = -math.inf

    def fresh(self, at_s: float, arrived_s: float) -> bool:
        """Whether a value of event time ``at_s`` that arrived at monotonic ``arrived_s`` may be shown as current.

        Three seconds on either clock. In a slow replay a second of the patient takes longer than one of the operator,
        so the clock on the wall has as much longer; in one faster than 4× the stream's own delay would be more than
        three seconds of the patient, so it is 0.75 s of the operator there. What arrived before the machine slept is
        not current, however little of that the clocks have noticed.
        """
        if self.life in (Life.LOST, Life.WAITING) or arrived_s <= self.woke_s:
            return False
        speed = _FASTEST if self.speed is None else max(self.speed, 1e-3)
        if self.event_s - at_s > STALE_S * max(1.0, speed / 4.0):
            return False
        return self.wall_s - max(arrived_s, self.running_since_s) <= STALE_S / min(1.0, speed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """life, and the sentence of the banner ("" for none) with its urgency. stopped: the session is over, by a fault.
    translated: the sentence in the language of the screen; ``words`` is what logs keep."""

    life: Life
    words: str = ""
    urgent: bool = False
    stopped: bool = False
    translated: str = ""

    @property
    def spoken(self) -> str:
        """The sentence as the screen says it."""
        return self.translated or self.words


def judge(
    status: SessionStatus | None,
    failure: str,
    *,
    ended: bool,
    silent_s: float,
    unanswered_s: float,
    idle_s: float | None,
    limit_s: float,
    going: bool = False,
) -> Verdict:
    """The display's own alarm.

    failure: of the last call to the session. ended: the last tick has arrived. silent_s: since the stream loop's last
    sign of life. unanswered_s: since the session last answered. idle_s: running and without a tick for so long, None
    before the first. limit_s: for silence and answers. going: a pre-roll is under way, which no pause holds up.
    """
    if status is not None and status.error:
        return _verdict(Life.LOST, both("SESSION STOPPED: {error}", error=status.error), True, stopped=True)
    if failure:
        return Verdict(Life.LOST, failure, True)
    if status is None:
        late = unanswered_s > _ANSWER_S
        return (
            _verdict(Life.WAITING, both("THE SESSION DOES NOT START: no answer yet"), True)
            if late
            else Verdict(Life.WAITING)
        )
    if status.ended and not status.seekable:
        return _verdict(Life.ENDED, both("END OF THE LIVE SOURCE — Q to quit"))
    if status.ended and not going:
        words = both("END OF RECORDING — drag the position bar or press ← to look again, Q to quit")
        return _verdict(Life.ENDED, words)
    if status.broker_away_s:
        return _lost(both("NO ANSWER FROM THE BROKER for {seconds:.0f} s", seconds=status.broker_away_s))
    if unanswered_s > limit_s:
        return _lost(both("NO ANSWER FROM THE SESSION for {seconds:.0f} s", seconds=unanswered_s))
    if status.paused and not going:
        return Verdict(Life.PAUSED)
    if silent_s > limit_s:
        return _lost(both("NO SIGN OF LIFE FROM THE STREAM for {seconds:.0f} s", seconds=silent_s))
    if ended:
        return Verdict(Life.ENDED)
    if idle_s is None:
        return Verdict(Life.WAITING, status.vacant)
    if idle_s > IDLE_S:
        return _lost(both("NO SAMPLES FROM THE STREAM for {seconds:.0f} s", seconds=idle_s))
    return Verdict(Life.WAITING if going else Life.LIVE)


def _verdict(life: Life, words: tuple[str, str], urgent: bool = False, *, stopped: bool = False) -> Verdict:
    return Verdict(life, words[0], urgent, stopped, words[1])


def _lost(why: tuple[str, str]) -> Verdict:
    end = both("what you see is not live")
    return _verdict(Life.LOST, (f"{why[0]} — {end[0]}", f"{why[1]} — {end[1]}"), True)
