"""The states of an alarm system (IEC 60601-1-8): who is silent, until when, and what should sound now. Pure.

An alarm is, in this order: a *condition* that begins, *delayed* while it has stood for less than its limit's delay,
*active* (text, flash, sound), *acknowledged* (tick, no flash, no sound, until its condition ends or gets worse), and
where it latches (:mod:`ui.bed.latching`) *ended but unseen*, until somebody acknowledges it. Beside them a bed is in
one of five states: on, AUDIO PAUSED, AUDIO OFF, ALARM PAUSED, ALARM OFF.

Where this belongs. Conditions, limits and delays are facts about the patient in the patient's time: they belong to the
stream (:mod:`streams.alarms`), are the same for every display and stand in the recording. Silence and acknowledgement
are acts of a person at a screen, in that person's time: they belong to the display. Two minutes of audio pause are two
minutes of the operator, at 10× and while the stream is dead or gone; a bedside that is silenced does not silence the
central station; and whether a screen may be silent must not hang on a broker that can be away. What somebody has
acknowledged is told to the stream, so that it is recorded and other displays of the bed follow.

What IEC asks and what is shown here. ALARM PAUSED and ALARM OFF may take away the visual signals of alarms, too. Here
they do not: they take sound and flashing, and leave each alarm's text where it was, those of high priority in full
colour. A screen of teaching and research has no central station behind it that still tells of an asystole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ui.bed.alarm_view import Alarm
from ui.style.language import tr
from ui.style.theme import PRIORITIES

PAUSE_S = 120.0
CONFIRM_S = 4.0
REMIND_EVERY_S = 120.0
REMIND_S = 6.0
"""So long each reminder of an untimed silence is on the screen."""


class Mode(StrEnum):
    """What a bed's alarms are allowed to do; the words on the screen."""

    ON = ""
    AUDIO_PAUSED = "AUDIO PAUSED"
    AUDIO_OFF = "AUDIO OFF"
    ALARM_PAUSED = "ALARM PAUSED"
    ALARM_OFF = "ALARM OFF"


TIMED = frozenset({Mode.AUDIO_PAUSED, Mode.ALARM_PAUSED})
STILL = frozenset({Mode.ALARM_PAUSED, Mode.ALARM_OFF})
"""Those in which nothing flashes either."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The state of a bed since monotonic ``since_s``; a timed one ends by itself at ``until_s``."""

    mode: Mode = Mode.ON
    since_s: float = -math.inf
    until_s: float = math.inf

    def at(self, now_s: float) -> Mode:
        """The state that holds at a moment."""
        return self.mode if now_s < self.until_s else Mode.ON

    def words(self, now_s: float) -> str:
        """What the alarm area says, with the time that is left; "" where alarms sound and flash.

        >>> Silence(Mode.AUDIO_PAUSED, 0.0, 120.0).words(3.5), Silence(Mode.ALARM_OFF, 0.0).words(9.0)
        ('AUDIO PAUSED 1:57', 'ALARM OFF')
        """
        mode = self.at(now_s)
        if mode not in TIMED:
            return mode.value
        left_s = math.ceil(self.until_s - now_s)  # nought is never on the screen: then it has ended
        return f"{mode.value} {left_s // 60}:{left_s % 60:02d}"

    def still(self, now_s: float) -> bool:
        """Whether nothing flashes."""
        return self.at(now_s) in STILL

    def reminds(self, now_s: float) -> bool:
        """Whether now is a moment to be reminded of a silence that does not end by itself."""
        mode = self.at(now_s)
        if mode is Mode.ON or mode in TIMED:
            return False
        stood_s = now_s - self.since_s
        return stood_s >= REMIND_EVERY_S and stood_s % REMIND_EVERY_S < REMIND_S


def sounding(standing: Iterable[Alarm], silence: Silence, now_s: float) -> str:
    """The priority that should sound now: "high", "medium", "low", or "" for none.

    standing: the alarms of a bed whose condition holds (``DisplayState.alarms.standing``). now_s: monotonic. Of
    all beds, and of what is paused or lost: :mod:`ui.bed.audible`.
    """
    if silence.at(now_s) is not Mode.ON:
        return ""
    loud = {alarm.record.priority for alarm in standing if not alarm.quiet}
    return next((priority for priority in PRIORITIES if priority in loud), "")


class SilenceSwitch:
    """The switch of one bed. What is timed begins at once; what is not, and would be forgotten, is asked for twice."""

    def __init__(self) -> None:
        self.silence = Silence()
        self._asked: tuple[Mode, float] = (Mode.ON, -math.inf)

    def press(self, mode: Mode, now_s: float) -> str:
        """The key of a state was pressed: into it, or out of it where it holds. A few words for the operator."""
        before, asked = self.silence.at(now_s), self._asked
        self._asked = (Mode.ON, -math.inf)
        if mode is before:
            self.silence = Silence()
            return tr("alarms sound and flash again")
        if mode in TIMED:
            self.silence = Silence(mode, now_s, now_s + PAUSE_S)
            return tr("{state} for {minutes:.0f} min", state=tr(mode.value), minutes=PAUSE_S / 60)
        if asked[0] is not mode or now_s > asked[1]:
            self._asked = (mode, now_s + CONFIRM_S)
            return tr("once more for {state}: it does not end by itself", state=tr(mode.value))
        self.silence = Silence(mode, now_s)
        return tr("{state} until it is pressed again", state=tr(mode.value))

    def end(self, now_s: float) -> bool:
        """Drops a timed state that is over; whether there was one."""
        if self.silence.mode is Mode.ON or self.silence.at(now_s) is not Mode.ON:
            return False
        self.silence = Silence()
        return True
