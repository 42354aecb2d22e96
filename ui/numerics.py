"""The numerics right of the waves: one tile a lane, in the lane's colour, painted when what it says changes."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.geometry import Row
from ui.lanes import Lane
from ui.look import Look, draw_text, elided, mixed
from ui.readouts import ESTIMATED, Readout


class NumericsPanel(QWidget):
    """Shows a readout a lane, in the rows of the sweep beside it."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self._shown: list[tuple[Lane, Row, Readout]] = []
        self._beat = False

    def show_readouts(self, lanes: list[Lane], rows: list[Row], readouts: list[Readout], beat: bool) -> None:
        """``rows`` in device pixels of the sweep; ``beat``: the heart symbol is on."""
        shown = list(zip(lanes, rows, readouts, strict=True))
        if beat != self._beat and shown:
            self._beat = beat
            self.update(self._area(shown[0][1]).toAlignedRect())
        if [(lane.key, row, readout) for lane, row, readout in shown] != [
            (lane.key, row, readout) for lane, row, readout in self._shown
        ]:
            self._shown = shown
            self.update()

    @property
    def readouts(self) -> dict[str, Readout]:
        return {lane.key: readout for lane, _, readout in self._shown}

    def _area(self, row: Row) -> QRectF:
        ratio = self.devicePixelRatioF()
        return QRectF(0, row.top / ratio, self.width(), row.height / ratio)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(event.rect(), self._look.colour("background"))
        for number, (lane, row, readout) in enumerate(self._shown):
            area = self._area(row)
            if not area.intersects(QRectF(event.rect())):
                continue
            self._tile(painter, area, lane, readout, number == 0)
            if number < len(self._shown) - 1:
                painter.setPen(QPen(self._look.colour("line"), 1))
                painter.drawLine(QLineF(0, area.bottom() - 0.5, self.width(), area.bottom() - 0.5))
        painter.end()

    def _tile(self, painter: QPainter, area: QRectF, lane: Lane, readout: Readout, heart: bool) -> None:
        look, unit = self._look, self._look.unit
        colour = look.modality(lane.modality)
        strong = look.estimated(lane.modality) if readout.estimated else colour
        if readout.invalid:
            strong = mixed(colour, look.colour("background"), 0.45)
        left, right = area.left() + 10 * unit, area.right() - 18 * unit
        baseline = area.top() + 16 * unit
        x = left + draw_text(painter, left, baseline, readout.label, look.font(13, True), colour)
        x += 9 * unit + draw_text(
            painter, x + 9 * unit, baseline, readout.unit, look.font(11), look.colour("text_soft")
        )
        if heart and self._beat:
            self._heart(painter, QPointF(x + 14 * unit, baseline - 5 * unit), 5.5 * unit, colour)
        if readout.limits:
            draw_text(painter, right, baseline, readout.limits, look.font(11), look.colour("text_faint"), right=True)
        notes_height = 0.0
        note_font = look.font(12.5)
        line = QFontMetricsF(note_font).height() * 1.05
        notes = self._note_lines(readout, note_font, right - left, area.height() - 44 * unit, line)
        notes_height = line * len(notes)
        top = area.top() + 22 * unit
        body = max(14.0, area.height() - 22 * unit - notes_height - 9 * unit)
        size = min(64.0, body / unit * 0.86)
        gap = 22 * unit
        both = readout.value + readout.second
        font = look.fitted(both, size, right - left - (gap if readout.second else 0))
        metrics = QFontMetricsF(font)
        base = top + (body + metrics.capHeight()) / 2
        width = draw_text(painter, left, base, readout.value, font, strong)
        if readout.second:
            draw_text(painter, left + width + gap, base, readout.second, font, strong)
        if readout.mark:
            tint = strong if readout.mark == ESTIMATED else look.colour("withheld")
            draw_text(painter, right, baseline + 14 * unit, readout.mark, look.font(10.5, True), tint, right=True)
        for number, text in enumerate(notes):
            y = top + body + line * (number + 0.75)
            draw_text(painter, left, y, text, note_font, mixed(colour, look.colour("background"), 0.15))

    def _note_lines(self, readout: Readout, font: QFont, width: float, room: float, line: float) -> list[str]:
        """The notes on one line where they fit side by side, else one below the other as far as there is room."""
        notes = [note for note in readout.notes if note]
        if not notes:
            return []
        metrics = QFontMetricsF(font)
        joined = "     ".join(notes)
        if metrics.horizontalAdvance(joined) <= width:
            return [joined]
        count = max(1, int((room - 30 * self._look.unit) // line))
        if count >= len(notes):
            return [elided(note, font, width) for note in notes]
        return [elided("  ".join(notes), font, width)]

    def _heart(self, painter: QPainter, centre: QPointF, size: float, colour: QColor) -> None:
        path = QPainterPath()
        x, y = centre.x(), centre.y()
        path.moveTo(x, y + size)
        path.cubicTo(x - 1.7 * size, y - 0.1 * size, x - 0.8 * size, y - 1.3 * size, x, y - 0.35 * size)
        path.cubicTo(x + 0.8 * size, y - 1.3 * size, x + 1.7 * size, y - 0.1 * size, x, y + size)
        painter.fillPath(path, colour)
