"""The values at one moment beside their plots: of the cross-hair, or of now. They are what the plots' colours mean.

Every value has its unit, what is unknown is ``-?-``, and an estimated pressure says ESTIMATED. Of a bucket of several
seconds the middle is told, and between what the values of it lay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from models.signals.modalities import Modality
from ui.bed.series import HI, LO, MID, Float32
from ui.bed.trends import AT
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import number_words
from ui.trends.plots import Line, Plot


@dataclass(frozen=True, slots=True)
class Value:
    """One line of the legend. range: between what the values of it lay; of the first of a cuff how old it was."""

    line: Line
    value: str
    range: str


def values_of(plot: Plot, row: Float32 | None, cuff: str = "") -> tuple[Value, ...]:
    """The values of a plot's lines in ``row`` [3, columns]; None: nothing is known. cuff: how old a cuff's are."""
    values = tuple(_value(line, row) for line in plot.lines)
    return (replace(values[0], range=cuff), *values[1:]) if plot.cuff else values


def _value(line: Line, row: Float32 | None) -> Value:
    if row is None:
        return Value(line, number_words(None), "")
    at, digits = AT[line.column], line.decimals
    lo, hi = (row[LO, at + 1], row[HI, at + 2]) if line.interval else (row[LO, at], row[HI, at])
    between = f"{number_words(float(lo), digits)}–{number_words(float(hi), digits)}"
    known = bool(lo == lo and hi == hi and row[MID, at] == row[MID, at])
    value = number_words(float(row[MID, at]), digits)
    differs = number_words(float(lo), digits) != number_words(float(hi), digits)
    return Value(line, value, between if known and differs else "")


def colour_of(look: Look, line: Line) -> QColor:
    """Of its line and its value."""
    if isinstance(line.colour, Modality):
        return look.estimated(line.colour) if line.estimated else look.modality(line.colour)
    return look.colour(line.colour)


class Values(pg.GraphicsWidget):  # type: ignore[misc]
    """A column beside the plots. ``say`` sets what it says."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._head = ("", "")
        self._strong = False
        self._said: list[tuple[QRectF, Plot, tuple[Value, ...]]] = []
        self._foot: tuple[QRectF, Sequence[tuple[str, str, QColor]]] = (QRectF(), ())

    def fit(self) -> None:
        """As wide as the present font needs."""
        self.setFixedWidth(self._look.px(236))

    def say(
        self,
        head: tuple[str, str],
        strong: bool,
        plots: Mapping[int, tuple[QRectF, Plot, tuple[Value, ...]]],
        foot: tuple[QRectF, Sequence[tuple[str, str, QColor]]],
    ) -> None:
        """head: two lines on top, ``strong`` for a moment that somebody points at. plots: in the scene, where each lies
        and what its values are. foot: where the presence lies, and name, words and colour of each row of it."""
        said = list(plots.values())
        if (head, strong, said, foot) != (self._head, self._strong, self._said, self._foot):
            self._head, self._strong, self._said, self._foot = head, strong, said, foot
            self.update()

    def paint(self, painter: QPainter, *_: object) -> None:
        """Draws the column."""
        look, unit = self._look, self._look.unit
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left, right = 12 * unit, self.size().width() - 8 * unit
        head, small = look.font(14, True), look.font(10.5)
        base = 2 * unit + QFontMetricsF(head).ascent()
        tint = look.colour("text" if self._strong else "text_soft")
        draw_text(painter, left, base, elided(self._head[0], head, right - left), head, tint)
        base += QFontMetricsF(small).height() + 1 * unit
        draw_text(painter, left, base, elided(self._head[1], small, right - left), small, look.colour("text_soft"))
        for place, plot, values in self._said:
            self._plot(painter, self.mapRectFromScene(place), plot, values, left, right)
        place, rows = self._foot
        inside = self.mapRectFromScene(place)
        font = look.font(9.5)
        for number, (name, words, colour) in enumerate(rows):
            height = inside.height() / len(rows)
            base = inside.top() + (number + 0.5) * height + QFontMetricsF(font).capHeight() / 2
            width = draw_text(painter, left, base, name, font, look.modality(Modality(name)))
            room = right - left - width - 8 * unit
            draw_text(painter, right, base, elided(words, font, room), font, colour, right=True)

    def _plot(
        self, painter: QPainter, place: QRectF, plot: Plot, values: tuple[Value, ...], left: float, right: float
    ) -> None:
        """Title and values, as large as the height of the plot allows."""
        look, unit = self._look, self._look.unit
        row = min(21 * unit, place.height() / (len(values) + 0.95))
        if not values:
            base = place.center().y() + QFontMetricsF(look.font(10)).capHeight() / 2
            words = f"{tr(plot.title)}  {tr('not connected')}"
            draw_text(painter, left, base, words, look.font(10, True), look.colour("text_faint"))
            return
        title = look.font(min(10.5, 0.62 * row / unit), True)
        base = place.top() + row * 0.66
        draw_text(painter, left, base, f"{tr(plot.title)}  {plot.unit}", title, look.colour("text_soft"))
        font = look.font(min(12.0, 0.68 * row / unit))
        strong = look.font(min(15.0, 0.86 * row / unit), True)
        numbers = right - QFontMetricsF(font).horizontalAdvance("100–100") - 8 * unit
        for number, value in enumerate(values):
            colour = colour_of(look, value.line)
            base = place.top() + row * (number + 1.78)
            middle = base - QFontMetricsF(font).capHeight() / 2
            style = Qt.PenStyle.DashLine if value.line.dashed else Qt.PenStyle.SolidLine
            painter.setPen(QPen(colour, max(1.5, value.line.width * 1.3) * unit, style))
            painter.drawLine(QPointF(left, middle), QPointF(left + 15 * unit, middle))
            aside = base - row if plot.cuff else base  # beside the title
            draw_text(painter, right, aside, value.range, font, look.colour("text_soft"), right=True)
            wide = draw_text(painter, numbers, base, value.value, strong, colour, right=True)
            name = tr(value.line.name)
            name += f" {value.line.unit}" if value.line.unit != plot.unit else ""
            at = left + 20 * unit
            room = numbers - wide - at - 6 * unit
            draw_text(painter, at, base, elided(name, look.fitted(name, font.pixelSize() / unit, room), room),
                      look.fitted(name, font.pixelSize() / unit, room), look.colour("text"))  # fmt: skip
