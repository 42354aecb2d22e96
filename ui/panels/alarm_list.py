"""The alarms in a panel over the waves: those that stand (since when, present value, what the other sensors say), those
that have ended unseen, and below them what has happened to the alarms of this bed, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_journal import Entry
from ui.bed.alarm_view import STARS, Alarm, colours
from ui.bed.alarm_words import line_said, what_said
from ui.bed.past import day_words
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import clock_words, duration_words

_HEAD, _LINE, _ENTRY = 42.0, 46.0, 21.0
_LEAST_ENTRIES = 3  # of the journal, that stay in sight below many alarms
_HINT = "click: acknowledge · A: all · \u2191 \u2193: earlier, later · L or Esc: away"


class AlarmList(QWidget):
    """Hidden until asked for; a click beside alarms or the key again puts it away. It covers waves, never the numbers.
    ``on_alarm``: an alarm of that key was clicked."""

    def __init__(self, look: Look, parent: QWidget, on_alarm: Callable[[str], None] = lambda key: None) -> None:
        super().__init__(parent)
        self._look, self._on_alarm = look, on_alarm
        self.alarms: tuple[Alarm, ...] = ()
        self.entries: tuple[Entry, ...] = ()
        self.first = 0
        """How many of the newest entries lie above those on show."""
        self._event_s = self._unix_s = 0.0
        self._held = False
        self._place = QRect(0, 0, 1, 1)
        self.hide()

    def show_alarms(self, alarms: tuple[Alarm, ...], event_s: float, held: bool) -> None:
        """``held``: what stands is not live."""
        if (alarms, int(event_s), held) != (self.alarms, int(self._event_s), self._held):
            self.alarms, self._event_s, self._held = alarms, event_s, held
            self.fit()
            self.update()

    def show_journal(self, entries: Sequence[Entry], unix_s: float) -> None:
        """``entries``: oldest first. unix_s: now. Only while it is seen."""
        if not self.isVisible():
            return
        newest_first = tuple(reversed(entries))
        self._unix_s = unix_s
        if newest_first != self.entries:
            if self.first:  # who looks at earlier ones keeps looking at them
                self.first += max(0, len(newest_first) - len(self.entries))
            self.entries = newest_first
            self.scroll_by(0)
            self.fit()
            self.update()

    def scroll_by(self, entries: int) -> None:
        """Shows earlier ones of the journal, or later for a negative number."""
        self.first = max(0, min(self.first + entries, len(self.entries) - 1))
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scrolls the journal."""
        self.scroll_by(-3 if event.angleDelta().y() > 0 else 3)

    @property
    def room(self) -> QRect:
        """The most that it may cover."""
        return QRect(self._place)

    def give_room(self, place: QRect) -> None:
        """The most that it may cover."""
        self._place = place
        self.fit()

    def fit(self) -> None:
        """As high as alarms and journal need, within the room."""
        place = QRect(self._place)
        height = _HEAD + _LINE * max(1, len(self.alarms)) + 34 + _ENTRY * max(1, len(self.entries)) + 10
        place.setHeight(min(place.height(), self._look.px(height)))
        self.setGeometry(place)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Acknowledges the alarm under the pointer; beside them it puts the list away."""
        found = next((alarm for alarm, box in self.lines() if box.contains(event.position())), None)
        if found is not None and not found.acknowledged:
            self._on_alarm(found.record.key)
        elif found is None:
            self.hide()

    def _room(self) -> int:
        """How many alarms have room, above a few entries of the journal."""
        left = self.height() / self._look.unit - _HEAD - 34 - _ENTRY * min(_LEAST_ENTRIES, max(1, len(self.entries)))
        return max(1, int(left // _LINE))

    def lines(self) -> list[tuple[Alarm, QRectF]]:
        """The alarms on show, and where."""
        unit, room = self._look.unit, self._room()
        shown = self.alarms if len(self.alarms) <= room else self.alarms[: max(1, room - 1)]
        left, width = 16 * unit, self.width() - 32 * unit
        return [
            (alarm, QRectF(left, (_HEAD + number * _LINE) * unit, width, (_LINE - 4) * unit))
            for number, alarm in enumerate(shown)
        ]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws a line an alarm, and one an entry."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        painter.setPen(QPen(look.colour("accent"), 1))
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        left, right = 16 * unit, self.width() - 16 * unit
        title = tr("Standing alarms — not live") if self._held else tr("Standing alarms")
        draw_text(painter, left, 28 * unit, title, look.font(16, True), look.colour("text"))
        draw_text(painter, right, 28 * unit, tr(_HINT), look.font(11.5), look.colour("text_soft"), right=True)
        lines = self.lines()
        for alarm, box in lines:
            self._line(painter, box, alarm)
        below = _HEAD + _LINE * len(lines)
        if not lines:
            draw_text(painter, left, 60 * unit, tr("none"), look.font(14), look.colour("text_soft"))
            below += _LINE * 0.7
        if len(lines) < len(self.alarms):
            words = tr("and {number} more of lower rank", number=len(self.alarms) - len(lines))
            draw_text(painter, left, (below + 22) * unit, words, look.font(13), look.colour("text"))
            below += _LINE * 0.7
        self._journal(painter, below)
        painter.end()

    def _journal(self, painter: QPainter, top: float) -> None:
        """What has happened, from ``top`` interface pixels on."""
        look, unit = self._look, self._look.unit
        left, right = 16 * unit, self.width() - 16 * unit
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.drawLine(round(left), round((top + 4) * unit), round(right), round((top + 4) * unit))
        base = (top + 24) * unit
        title = tr("Log of this bed")
        if self.first:
            title += tr(", {number} later ones above", number=self.first)
        draw_text(painter, left, base, title, look.font(13, True), look.colour("text"))
        font = look.font(12.5)
        if not self.entries:
            draw_text(painter, left, base + _ENTRY * unit, tr("nothing yet"), font, look.colour("text_soft"))
        room = max(0, int((self.height() / unit - top - 34) // _ENTRY))
        for number, entry in enumerate(self.entries[self.first : self.first + room]):
            y = base + (number + 1) * _ENTRY * unit
            x = left + 118 * unit
            draw_text(painter, left, y, day_words(entry.unix_s, self._unix_s), font, look.colour("text_soft"))
            own = look.theme.alarm.colours.get(entry.priority)
            if own is not None:
                painter.fillRect(QRectF(x - 10 * unit, y - 11 * unit, 4 * unit, 14 * unit), QColor(own.lit))
            draw_text(painter, x, y, elided(what_said(entry.what), font, 106 * unit), font, look.colour("text_soft"))
            x += 112 * unit
            at = tr("at {time}", time=clock_words(entry.time_s))
            width = draw_text(painter, right, y, at, font, look.colour("text_faint"), right=True)
            bare = entry.words.lstrip("* ")
            stars = entry.words[: len(entry.words) - len(bare)]
            words = (stars or STARS.get(entry.priority, "")) + line_said(bare)
            draw_text(painter, x, y, elided(words, font, right - width - 12 * unit - x), font, look.colour("text"))

    def _line(self, painter: QPainter, box: QRectF, alarm: Alarm) -> None:
        look, unit = self._look, self._look.unit
        fill, ink = (QColor(name) for name in colours(alarm, True, self._held, look.theme.alarm))
        chip = QRectF(box.left(), box.top(), box.width() * 0.46, box.height())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(chip, 3 * unit, 3 * unit)
        room = chip.width() - 18 * unit
        now = f"   {alarm.now}" if alarm.now else ""
        font = look.fitted(alarm.said + now, 15, room, True)
        base = chip.center().y() + QFontMetricsF(font).capHeight() / 2
        draw_text(painter, chip.left() + 9 * unit, base, elided(alarm.said + now, font, room), font, ink)
        x, small = chip.right() + 14 * unit, look.font(12.5)
        lasting = duration_words(max(0.0, self._event_s - alarm.since_s))
        since = tr("since {time}, {lasting}", time=clock_words(alarm.since_s), lasting=lasting)
        if alarm.acknowledged:
            since = tr("✓ acknowledged · {since}", since=since)
        reason = alarm.why
        upper = box.top() + box.height() * (0.38 if reason else 0.5) + QFontMetricsF(small).capHeight() / 2
        draw_text(painter, x, upper, elided(since, small, box.right() - x), small, look.colour("text"))
        if reason:
            lower = box.top() + box.height() * 0.78 + QFontMetricsF(small).capHeight() / 2
            draw_text(painter, x, lower, elided(reason, small, box.right() - x), small, look.colour("text_soft"))
