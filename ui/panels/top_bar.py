"""The top line: what is on show, the alarm area with its three fixed fields, and what this program is not for.

Where alarms are silent the area says so at its end, with the time that is left; the fields make room for it. A click on
an alarm acknowledges it, one beside alarms opens their list.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_view import FIELDS, Alarm, AlarmField, colours
from ui.panels.bell import draw_bell_off
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.words import DISCLAIMER, tooltip_words

_SHARES = {"high": 0.50, "medium": 0.28, "technical": 0.22}
_SMALLEST, _SMALLEST_SOURCE = 9.0, 11.0
_SILENCE_WIDTH = 138.0
CAPTIONS = {"high": "HIGH", "medium": "MEDIUM", "technical": "TECHNICAL"}


class TopBar(QWidget):
    """``on_click``: the alarm area was clicked beside alarms; ``on_alarm``: an alarm of that key was."""

    def __init__(
        self,
        look: Look,
        on_click: Callable[[], None] = lambda: None,
        on_alarm: Callable[[str], None] = lambda key: None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look, self._on_click, self._on_alarm = look, on_click, on_alarm
        self._bed = self._source = ""
        self.reserved = 0.0  # logical pixels between the alarm area and the disclaimer, for somebody else's sign
        self.fields: tuple[AlarmField, ...] = tuple(AlarmField(name) for name in FIELDS)
        self.silence, self._reminds = "", False
        self._hint = f"{tr(DISCLAIMER)}. {tr('A click on an alarm acknowledges it, one beside them opens their list.')}"
        self._disclaimer = tr(DISCLAIMER).split(" — ")
        self.setToolTip(self._hint)

    def show_state(
        self, bed: str, source: str, fields: tuple[AlarmField, ...], silence: str = "", reminds: bool = False
    ) -> None:
        """Draws bed, source and alarms; nothing if they are the same. silence: why alarms make no sound, "" where they
        do; reminds: more than ordinarily."""
        shown = (bed, source, fields, silence, reminds)
        if shown != (self._bed, self._source, self.fields, self.silence, self._reminds):
            self._bed, self._source, self.fields, self.silence, self._reminds = shown
            said = [": ".join(filter(None, (a.said, a.why))) for field in fields for a in field.alarms]
            self.setToolTip(tooltip_words("\n".join([*said, self._hint])))
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Acknowledges the alarm under the pointer, or opens the list."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        found = next((alarm for alarm, cell in self.cells() if cell.contains(event.position())), None)
        if found is not None and not found.acknowledged:
            self._on_alarm(found.record.key)
        else:
            self._on_click()

    def cells(self) -> list[tuple[Alarm, QRectF]]:
        """Every alarm on show, and where."""
        places = self.places()
        return [
            pair
            for field in self.fields
            for pair in zip(field.alarms, self._cells(field, places[field.name]), strict=True)
        ]

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
        """Where what is ``reserved`` begins: at the same place whether there is a silence before it or not."""
        return self._sides()[1] + self._silence_room() + 8 * self._look.unit

    def _silence_room(self) -> float:
        return (_SILENCE_WIDTH + 8) * self._look.unit if self.silence else 0.0

    def _sides(self) -> tuple[float, float]:
        unit = self._look.unit
        words = max(QFontMetricsF(self._look.font(11)).horizontalAdvance(line) for line in self._disclaimer)
        return 196 * unit, self.width() - words - 32 * unit - self.reserved - self._silence_room()

    @property
    def silence_place(self) -> QRectF:
        """Where the silence is said, right of the fields; empty where there is none."""
        if not self.silence:
            return QRectF()
        unit, right = self._look.unit, self._sides()[1]
        return QRectF(right + 8 * unit, 4 * unit, _SILENCE_WIDTH * unit, self.height() - 8 * unit)

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
        for line, base in zip(self._disclaimer, (upper, lower), strict=True):
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
        if self.silence:
            self._silence(painter, self.silence_place)
        painter.end()

    def _silence(self, painter: QPainter, place: QRectF) -> None:
        """The crossed bell, the state, and what is left of it."""
        look, unit = self._look, self._look.unit
        own = look.theme.alarm.colours["medium"]
        ground, ink = (own.lit, own.ink) if self._reminds else (own.held, own.held_ink)
        painter.setPen(QPen(QColor(own.lit), 1.5 * unit))
        painter.setBrush(QColor(ground))
        painter.drawRoundedRect(place.adjusted(0.75, 0.75, -0.75, -0.75), 3 * unit, 3 * unit)
        words, _, left = self.silence.partition(":")
        timed = bool(left)
        name, left = (words.rsplit(" ", 1)[0], f"{words.rsplit(' ', 1)[1]}:{left}") if timed else (words, "")
        name = tr(name)
        bell = QRectF(place.left() + 5 * unit, place.center().y() - 11 * unit, 22 * unit, 22 * unit)
        draw_bell_off(painter, bell, QColor(ink), dashed=timed)
        x, room = bell.right() + 7 * unit, place.right() - bell.right() - 14 * unit

        def width(size: float) -> float:
            return QFontMetricsF(look.font(size, True)).horizontalAdvance(name)

        font = look.font(self._largest(width, 12.5, room), True)
        high = QFontMetricsF(font).capHeight()
        middle = place.center().y()
        draw_text(painter, x, middle - 5 * unit if timed else middle + high / 2, name, font, QColor(ink))
        if timed:
            draw_text(painter, x, middle + 16 * unit, left, look.font(16, True), QColor(ink))

    def _cells(self, field: AlarmField, place: QRectF) -> list[QRectF]:
        """Where the alarms of a field lie."""
        unit = self._look.unit
        if field.more:
            place = place.adjusted(0, 0, -self._more_width(field), 0)
        columns = 2 if len(field.alarms) > 2 else 1
        lines = max(1, -(-len(field.alarms) // columns))
        gap = 3 * unit
        width, height = (place.width() - gap * (columns - 1)) / columns, (place.height() - gap * (lines - 1)) / lines
        out = []
        for number in range(len(field.alarms)):
            row, column = divmod(number, columns)
            out.append(QRectF(place.left() + column * (width + gap), place.top() + row * (height + gap), width, height))
        return out

    def _more_width(self, field: AlarmField) -> float:
        return QFontMetricsF(self._look.font(15, True)).horizontalAdvance(f"+{field.more}") + 14 * self._look.unit

    def _field(self, painter: QPainter, place: QRectF, field: AlarmField) -> None:
        look, unit = self._look, self._look.unit
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.drawRoundedRect(place.adjusted(0.5, 0.5, -0.5, -0.5), 3 * unit, 3 * unit)
        if not field.alarms:
            font = look.font(10)
            base = place.center().y() + QFontMetricsF(font).capHeight() / 2
            width = QFontMetricsF(font).horizontalAdvance(tr(CAPTIONS[field.name]))
            tint = mixed(look.colour("text_faint"), look.colour("panel"), 0.35)
            draw_text(painter, place.center().x() - width / 2, base, tr(CAPTIONS[field.name]), font, tint)
            return
        if field.more:
            font = look.font(15, True)
            base = place.center().y() + QFontMetricsF(font).capHeight() / 2
            x = place.right() - self._more_width(field) + 8 * unit
            draw_text(painter, x, base, f"+{field.more}", font, look.colour("text"))
        cells = self._cells(field, place)
        tall = cells[0].height() > 40 * unit
        size = self._size(field, cells[0].width() - 17 * unit, 17.0 if tall else 14.0)
        for alarm, lit, cell in zip(field.alarms, field.lit, cells, strict=True):
            self._alarm(painter, cell, alarm, lit, field, size)

    def _words(self, alarm: Alarm) -> tuple[str, str]:
        """In bold, and the present value after it."""
        return ("✓ " if alarm.acknowledged else "") + alarm.said, f"   {alarm.now}" if alarm.now else ""

    def _size(self, field: AlarmField, room: float, size: float) -> float:
        """The letters of a field: as large as lets every alarm in it be read in full."""
        pairs = [self._words(alarm) for alarm in field.alarms]

        def widest(size: float) -> float:
            bold, plain = QFontMetricsF(self._look.font(size, True)), QFontMetricsF(self._look.font(size))
            return max(bold.horizontalAdvance(words) + plain.horizontalAdvance(now) for words, now in pairs)

        return self._largest(widest, size, room)

    @staticmethod
    def _largest(width: Callable[[float], float], size: float, room: float) -> float:
        """The largest letters that leave ``width`` within ``room``: fonts have whole pixels, so it is tried."""
        while size > _SMALLEST and width(size) > room:
            size -= 0.5
        return max(_SMALLEST, size)

    def _alarm(self, painter: QPainter, cell: QRectF, alarm: Alarm, lit: bool, field: AlarmField, size: float) -> None:
        """One alarm: its text and present value; what the others say of it below, or behind where there is room."""
        look, unit = self._look, self._look.unit
        fill, ink = (QColor(name) for name in colours(alarm, lit, field.held, look.theme.alarm, field.still))
        edge = QPen(ink, unit, Qt.PenStyle.DashLine if alarm.ended_s is not None else Qt.PenStyle.SolidLine)
        painter.setPen(edge if field.held or alarm.quiet else Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(cell.adjusted(0.5, 0.5, -0.5, -0.5), 3 * unit, 3 * unit)
        left, right = cell.left() + 9 * unit, cell.right() - 8 * unit
        (words, now), reason = self._words(alarm), alarm.why
        tall = cell.height() > 40 * unit
        below = tall and bool(reason)
        font, small = look.font(size, True), look.font(11.0)
        if below:
            small = look.font(max(10.5, look.fitted(reason, 12.0, right - left).pixelSize() / unit))
        base = cell.top() + cell.height() * (0.34 if below else 0.5) + QFontMetricsF(font).capHeight() / 2
        x = left + draw_text(painter, left, base, elided(words, font, right - left), font, ink)
        if QFontMetricsF(look.font(size)).horizontalAdvance(now) <= right - x:  # else it stands beside the waves only
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
