"""All standing alarms in a panel over the waves: since when, present value, and what the other sensors say."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_view import Alarm, colours
from ui.style.look import Look, draw_text, elided
from ui.style.words import clock_words, duration_words


class AlarmList(QWidget):
    """Hidden until asked for; a click or the key again puts it away. It covers waves, never the numbers."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self.alarms: tuple[Alarm, ...] = ()
        self._event_s = 0.0
        self._held = False
        self._place = QRect(0, 0, 1, 1)
        self.hide()

    def show_alarms(self, alarms: tuple[Alarm, ...], event_s: float, held: bool) -> None:
        """``held``: what stands is not live."""
        if (alarms, int(event_s), held) != (self.alarms, int(self._event_s), self._held):
            self.alarms, self._event_s, self._held = alarms, event_s, held
            self.fit()
            self.update()

    @property
    def room(self) -> QRect:
        """The most that it may cover."""
        return QRect(self._place)

    def give_room(self, place: QRect) -> None:
        """The most that it may cover."""
        self._place = place
        self.fit()

    def fit(self) -> None:
        """As high as the alarms need, within the room."""
        place = QRect(self._place)
        place.setHeight(min(place.height(), self._look.px(54 + 46 * max(1, len(self.alarms)))))
        self.setGeometry(place)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Puts the list away."""
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws a line an alarm."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        painter.setPen(QPen(look.colour("accent"), 1))
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        left, right, line = 16 * unit, self.width() - 16 * unit, 46 * unit
        title = "Standing alarms" + (" — not live" if self._held else "")
        draw_text(painter, left, 28 * unit, title, look.font(16, True), look.colour("text"))
        hint = look.font(11.5)
        draw_text(
            painter,
            right,
            28 * unit,
            "L or a click puts this away · A acknowledges",
            hint,
            look.colour("text_soft"),
            right=True,
        )
        if not self.alarms:
            draw_text(painter, left, 60 * unit, "none", look.font(14), look.colour("text_soft"))
        room = max(1, int((self.height() - 50 * unit) // line))
        shown = self.alarms if len(self.alarms) <= room else self.alarms[: room - 1]
        for number, alarm in enumerate(shown):
            self._line(painter, QRectF(left, 42 * unit + number * line, right - left, line - 4 * unit), alarm)
        if len(shown) < len(self.alarms):
            base = 42 * unit + len(shown) * line + 24 * unit
            words = f"and {len(self.alarms) - len(shown)} more of lower rank"
            draw_text(painter, left, base, words, look.font(13), look.colour("text"))
        painter.end()

    def _line(self, painter: QPainter, box: QRectF, alarm: Alarm) -> None:
        look, unit = self._look, self._look.unit
        fill, ink = (QColor(name) for name in colours(alarm, True, self._held, look.theme.alarm))
        chip = QRectF(box.left(), box.top(), box.width() * 0.46, box.height())
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(chip, 3 * unit, 3 * unit)
        room = chip.width() - 18 * unit
        now = f"   {alarm.now}" if alarm.now else ""
        font = look.fitted(alarm.words + now, 15, room, True)
        base = chip.center().y() + QFontMetricsF(font).capHeight() / 2
        draw_text(painter, chip.left() + 9 * unit, base, elided(alarm.words + now, font, room), font, ink)
        x, small = chip.right() + 14 * unit, look.font(12.5)
        since = f"since {clock_words(alarm.since_s)}, {duration_words(max(0.0, self._event_s - alarm.since_s))}"
        if alarm.acknowledged:
            since += " · acknowledged"
        reason = alarm.record.reason
        upper = box.top() + box.height() * (0.38 if reason else 0.5) + QFontMetricsF(small).capHeight() / 2
        draw_text(painter, x, upper, elided(since, small, box.right() - x), small, look.colour("text"))
        if reason:
            lower = box.top() + box.height() * 0.78 + QFontMetricsF(small).capHeight() / 2
            draw_text(painter, x, lower, elided(reason, small, box.right() - x), small, look.colour("text_soft"))
