"""A line under the waves: which rows the operator has hidden, with their numbers and their alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.alarm_view import colours
from ui.bed.lanes import Lane
from ui.bed.layout import hidden_words
from ui.bed.readouts import Readout
from ui.panels.flashes import Flash
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import absence_words

HEIGHT = 26


@dataclass(frozen=True, slots=True)
class HiddenRow:
    """What is said of a row that is not on show. ``flash``: of the alarm about its number."""

    key: str
    words: str
    lane: Lane
    flash: Flash | None = None


def hidden_row(lane: Lane, said: Readout, flash: Flash | None) -> HiddenRow:
    """Its number as on its tile, bad news, and why it is not measured."""
    number = " ".join(part for part in (said.label, said.value, said.second, said.unit) if part)
    absent = absence_words(lane.absence) if lane.absence else ""
    marks = " · ".join(part for part in (said.finding.words, said.mark, said.held) if part)
    return HiddenRow(lane.key, "   ".join(part for part in (lane.title, number, marks or absent) if part), lane, flash)


class HiddenRows(QWidget):
    """On show while a row is hidden. opens: called by a click."""

    def __init__(self, look: Look, opens: Callable[[], object]) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look, self._opens = look, opens
        self.rows: tuple[HiddenRow, ...] = ()
        self.hide()

    def show_rows(self, rows: Sequence[HiddenRow]) -> None:
        """Draws it anew where it says something else."""
        said = [(row.key, row.words, row.flash) for row in rows]
        if said == [(row.key, row.words, row.flash) for row in self.rows]:
            return
        self.rows = tuple(rows)
        self.setVisible(bool(rows))
        self.update()

    @property
    def words(self) -> str:
        """How many rows are hidden, and which."""
        return hidden_words([row.lane.title for row in self.rows])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Opens the choice of rows."""
        self._opens()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the rows side by side: those with an alarm first."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        font, bold = look.font(12.5), look.font(12.5, True)
        base = (self.height() + QFontMetricsF(font).capHeight()) / 2
        right = self.width() - 18 * unit
        hint = look.font(11.5)
        right -= draw_text(painter, right, base, tr("R: rows"), hint, look.colour("text_soft"), right=True) + 18 * unit
        head = self.words.split(":")[0]
        x = 34 * unit + draw_text(painter, 34 * unit, base, head, bold, look.colour("text")) + 18 * unit
        for row in sorted(self.rows, key=lambda row: row.flash is None):
            text = elided(row.words, font, max(0.0, right - x - 14 * unit))
            width = QFontMetricsF(font).horizontalAdvance(text)
            ink = look.colour("absent") if row.lane.absence else look.modality(row.lane.modality)
            if row.flash is not None:
                ink = self._chip(painter, QRectF(x, 3 * unit, width + 14 * unit, self.height() - 6 * unit), row.flash)
            draw_text(painter, x + 7 * unit, base, text, font, ink)
            x += width + 30 * unit
        painter.end()

    def _chip(self, painter: QPainter, box: QRectF, flash: Flash) -> QColor:
        fill, ink = (QColor(name) for name in colours(flash.alarm, flash.lit, flash.held, self._look.theme.alarm))
        painter.setPen(QPen(ink, 1))
        painter.setBrush(fill)
        painter.drawRoundedRect(box, 3 * self._look.unit, 3 * self._look.unit)
        return ink
