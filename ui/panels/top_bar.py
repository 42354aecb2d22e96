"""The top line: what is on show, the alarm area with its three fixed fields, and what this program is not for."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_view import FIELDS, Alarm, AlarmField, colours
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.words import tooltip_words

DISCLAIMER = "Research and teaching only — not for clinical decisions"
_HINT = f"{DISCLAIMER}. Click for the list of standing alarms."
_DISCLAIMER_LINES = ("Research and teaching only", "not for clinical decisions")
_SHARES = {"high": 0.50, "medium": 0.28, "technical": 0.22}
_SMALLEST, _SMALLEST_SOURCE = 9.0, 11.0
_CAPTIONS = {"high": "HIGH", "medium": "MEDIUM", "technical": "TECHNICAL"}


class TopBar(QWidget):
    """``on_click``: the alarm area was clicked."""

    def __init__(self, look: Look, on_click: Callable[[], None] = lambda: None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look, self._on_click = look, on_click
        self._bed = self._source = ""
        self.reserved = 0.0  # logical pixels between the alarm area and the disclaimer, for somebody else's sign
        self.fields: tuple[AlarmField, ...] = tuple(AlarmField(name) for name in FIELDS)
        self.setToolTip(_HINT)

    def show_state(self, bed: str, source: str, fields: tuple[AlarmField, ...]) -> None:
        """Draws bed, source and alarms; nothing if they are the same."""
        if (bed, source, fields) != (self._bed, self._source, self.fields):
            self._bed, self._source, self.fields = bed, source, fields
            said = [": ".join(filter(None, (a.words, a.record.reason))) for field in fields for a in field.alarms]
            self.setToolTip(tooltip_words("\n".join([*said, _HINT])))
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Calls ``on_click``."""
        self._on_click()

    def places(self) -> dict[str, QRectF]:
        """Where the fields are: the same whatever stands in them."""
        unit = self._look.unit
        left, right = self._sides()
        gap = 8 * unit
        room = right - left - 2 * gap
        out, x = {}, left
        for name in FIELDS:
            out[name] = QRectF(x, 4 * unit, room * _SHARES[name], self.height() - 8 * unit)
            x += room * _SHARES[name] + gap
        return out

    @property
    def signs_left(self) -> float:
        """Where what is ``reserved`` begins."""
        return self._sides()[1] + 8 * self._look.unit

    def _sides(self) -> tuple[float, float]:
        unit = self._look.unit
        words = max(QFontMetricsF(self._look.font(11)).horizontalAdvance(line) for line in _DISCLAIMER_LINES)
        return 196 * unit, self.width() - words - 32 * unit - self.reserved

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the bar."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        left, _ = self._sides()
        x, upper, lower = 18 * unit, self.height() * 0.42, self.height() * 0.80
        room = left - x - 10 * unit
        fitted = look.fitted(self._source, 12, room).pixelSize() / unit
        bold, soft = look.font(15, True), look.font(max(_SMALLEST_SOURCE, fitted))  # the clock must stay legible
        draw_text(painter, x, upper, elided(self._bed, bold, room), bold, look.colour("text"))
        draw_text(painter, x, lower, elided(self._source, soft, room), soft, look.colour("text_soft"))
        for line, base in zip(_DISCLAIMER_LINES, (upper, lower), strict=True):
            draw_text(
                painter,
                self.width() - 18 * unit,
                base - 2 * unit,
                line,
                look.font(11),
                look.colour("text_soft"),
                right=True,
            )
        places = self.places()
        for field in self.fields:
            self._field(painter, places[field.name], field)
        painter.end()

    def _field(self, painter: QPainter, place: QRectF, field: AlarmField) -> None:
        look, unit = self._look, self._look.unit
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.drawRoundedRect(place.adjusted(0.5, 0.5, -0.5, -0.5), 3 * unit, 3 * unit)
        if not field.alarms:
            font = look.font(10)
            base = place.center().y() + QFontMetricsF(font).capHeight() / 2
            width = QFontMetricsF(font).horizontalAdvance(_CAPTIONS[field.name])
            tint = mixed(look.colour("text_faint"), look.colour("panel"), 0.35)
            draw_text(painter, place.center().x() - width / 2, base, _CAPTIONS[field.name], font, tint)
            return
        inside = place
        if field.more:
            font = look.font(15, True)
            words = f"+{field.more}"
            width = QFontMetricsF(font).horizontalAdvance(words) + 14 * unit
            inside = place.adjusted(0, 0, -width, 0)
            base = place.center().y() + QFontMetricsF(font).capHeight() / 2
            draw_text(painter, inside.right() + 8 * unit, base, words, font, look.colour("text"))
        columns = 2 if len(field.alarms) > 2 else 1
        lines = -(-len(field.alarms) // columns)
        gap = 3 * unit
        width, height = (inside.width() - gap * (columns - 1)) / columns, (inside.height() - gap * (lines - 1)) / lines
        size = self._size(field, width - 17 * unit, 17.0 if lines == 1 else 14.0)
        for number, (alarm, lit) in enumerate(zip(field.alarms, field.lit, strict=True)):
            row, column = divmod(number, columns)
            cell = QRectF(inside.left() + column * (width + gap), inside.top() + row * (height + gap), width, height)
            self._alarm(painter, cell, alarm, lit, field.held, size)

    def _words(self, alarm: Alarm) -> tuple[str, str]:
        """In bold, and the present value after it."""
        return ("✓ " if alarm.acknowledged else "") + alarm.words, f"   {alarm.now}" if alarm.now else ""

    def _size(self, field: AlarmField, room: float, size: float) -> float:
        """The letters of a field: as large as lets every alarm in it be read in full."""
        bold, plain = QFontMetricsF(self._look.font(size, True)), QFontMetricsF(self._look.font(size))
        pairs = (self._words(alarm) for alarm in field.alarms)
        widest = max(bold.horizontalAdvance(words) + plain.horizontalAdvance(now) for words, now in pairs)
        return max(_SMALLEST, min(size, 0.95 * size * room / widest))

    def _alarm(self, painter: QPainter, cell: QRectF, alarm: Alarm, lit: bool, held: bool, size: float) -> None:
        """One alarm: its text and present value; what the others say of it below, or behind where there is room."""
        look, unit = self._look, self._look.unit
        fill, ink = (QColor(name) for name in colours(alarm, lit, held, look.theme.alarm))
        painter.setPen(QPen(ink, unit) if held or alarm.acknowledged else Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(cell.adjusted(0.5, 0.5, -0.5, -0.5), 3 * unit, 3 * unit)
        left, right = cell.left() + 9 * unit, cell.right() - 8 * unit
        (words, now), reason = self._words(alarm), alarm.record.reason
        tall = cell.height() > 40 * unit
        below = tall and bool(reason)
        font, small = look.font(size, True), look.font(11.0)
        if below:
            small = look.font(max(10.5, look.fitted(reason, 12.0, right - left).pixelSize() / unit))
        base = cell.top() + cell.height() * (0.34 if below else 0.5) + QFontMetricsF(font).capHeight() / 2
        x = left + draw_text(painter, left, base, elided(words, font, right - left), font, ink)
        if now:
            x += draw_text(painter, x, base, now, look.font(size), ink)
        if below:
            low = cell.top() + cell.height() * 0.78
            draw_text(painter, left, low, elided(reason, small, right - left), small, ink)
        elif reason and QFontMetricsF(small).horizontalAdvance(reason) <= right - x - 12 * unit:
            draw_text(painter, x + 12 * unit, base, reason, small, ink)


class Banner(QWidget):
    """A sentence over the full width: the session has failed, the stream is silent, the recording is at its end."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.words = ""
        self.urgent = False
        self.hide()

    def say(self, words: str, urgent: bool) -> None:
        """Show ``words``; "" hides the banner."""
        if (words, urgent) == (self.words, self.urgent):
            return
        self.words, self.urgent = words, urgent
        self.setToolTip(tooltip_words(words))
        self.setVisible(bool(words))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the sentence, cut where the room ends."""
        look = self._look
        painter = QPainter(self)
        urgent = QColor(look.theme.alarm.colours["high"].lit)
        calm = mixed(look.colour("accent"), look.colour("background"), 0.55)
        painter.fillRect(self.rect(), urgent if self.urgent else calm)
        font = look.font(13.5, True)
        words = elided(self.words, font, self.width() - 36 * look.unit)
        base = self.height() / 2 + QFontMetricsF(font).capHeight() / 2
        draw_text(painter, 18 * look.unit, base, words, font, QColor("white"))
        painter.end()
