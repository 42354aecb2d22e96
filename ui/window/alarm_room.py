"""What the screen says of the alarms of the bed on show: area, list, log and limits; and the actions that open them."""

from __future__ import annotations

from streams.limit_settings import LimitSetting
from ui.bed.alarm_view import fields
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.style.look import Look
from ui.style.words import bed_title
from ui.window.alarm_desk import AlarmDesk
from ui.window.screen import Screen


class AlarmRoom:
    """Its actions are found by name, as the operator's are (:mod:`ui.panels.shortcuts`)."""

    def __init__(self, face: Screen, desk: AlarmDesk, look: Look) -> None:
        self._face, self._desk, self._look = face, desk, look
        self._limits: tuple[LimitSetting, ...] | None = None

    def say(self, bed: Bedside, source: str, now_s: float, unix_s: float) -> None:
        """Ten times a second. source: what stands below the name of the bed."""
        face, state, silence = self._face, bed.state, self._desk.silence
        live, name, shown = bed.verdict.life is Life.LIVE, bed_title(bed.name) or "Vigil", state.alarms.shown
        area = fields(shown, now_s, self._look.theme.alarm, live, silence.still(now_s))
        face.top.show_state(name, source, area, silence.words(now_s), silence.reminds(now_s))
        face.alarms.show_alarms(shown, bed.moment.event_s, not live)
        face.alarms.show_journal(self._desk.journal(bed.name).entries, unix_s)
        self._limits = state.limits
        face.limits.show_bed(name, state.limits, state.current_vitals(bed.moment))

    def toggle_alarms(self) -> None:
        """Show or hide the list of alarms."""
        self._face.alarms.setVisible(not self._face.alarms.isVisible())
        self._face.alarms.raise_()

    def scroll_alarms(self, entries: float) -> None:
        """Earlier or later in the log of alarms, while that is on show."""
        if self._face.alarms.isVisible():
            self._face.alarms.scroll_by(int(entries))

    def toggle_limits(self) -> None:
        """Show or hide the limits of alarms."""
        self._face.limits.toggle(self._limits)
