"""What each sensor is worth: a row with all of them and one without each, numbers beside small interval plots.

Painted here like every other panel. (A plotting library draws axes that are zoomed and panned; here are four rows on
three fixed scales, whose dots carry the shape of their band, and importing one for the first time would hold the waves
up for some tenths of a second.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QLineF, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from models.signals.modalities import Modality
from ui.bed.low_pressure import LOW_MMHG
from ui.bed.prediction_view import NOT_ALONE
from ui.bed.worth_view import Cell, WorthRow, WorthWords
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided, mixed
from ui.style.risk_marks import band_colour, draw_mark

_LINE, _HEAD, _FOOT = 31, 78, 44
_RISK_MOST, _DEPTH_MOST = 100.0, 100.0


@dataclass(frozen=True, slots=True)
class _Columns:
    """Left edges and widths in logical pixels."""

    name: tuple[float, float]
    risks: tuple[tuple[float, float], ...]
    risk_plot: tuple[float, float]
    mean: tuple[float, float]
    mean_plot: tuple[float, float]
    depth: tuple[float, float]
    depth_plot: tuple[float, float]


def columns(left: float, width: float) -> _Columns:
    """Shares of the width that are readable from 1024 pixels on."""
    shares = [0.135, 0.052, 0.052, 0.052, 0.155, 0.15, 0.125, 0.125, 0.12]
    total, at, found = sum(shares), left, []
    for share in shares:
        found.append((at, share / total * width))
        at += share / total * width
    return _Columns(found[0], tuple(found[1:4]), *found[4:])


class WorthTable(QWidget):
    """Hidden until asked for; a click, X or Esc puts it away. It covers waves, never the numbers or the prediction."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self.words: WorthWords | None = None
        self._room = QRect(0, 0, 1, 1)
        self.hide()

    def show_worth(self, words: WorthWords) -> None:
        """Draws these words; nothing if they are the same."""
        if words != self.words:
            self.words = words
            self._fit()
            self.update()

    def give_room(self, room: QRect) -> None:
        """The most that it may cover; it stands on the floor of it."""
        if room != self._room:
            self._room = QRect(room)
        self._fit()

    def _fit(self) -> None:
        rows = len(self.words.rows) if self.words is not None else 0
        news = _LINE if self.words is not None and self.words.news is not None else 0
        height = min(self._room.height(), self._look.px(_HEAD + news + _LINE * max(1, rows) + (_FOOT if rows else 8)))
        place = QRect(self._room.left(), self._room.bottom() + 1 - height, self._room.width(), height)
        if place != self.geometry():
            self.setGeometry(place)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Puts the table away."""
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the table."""
        look, unit, words = self._look, self._look.unit, self.words
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        painter.setPen(QPen(look.colour("accent"), 1))
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        if words is None:
            painter.end()
            return
        left, right = 16 * unit, self.width() - 16 * unit
        title, small = look.font(15, True), look.font(11.5)
        x = left + draw_text(painter, left, 25 * unit, tr("WHAT EACH SENSOR IS WORTH"), title, look.colour("text"))
        hint = tr("X closes · Shift+X asks again")
        draw_text(painter, right, 25 * unit, hint, small, look.colour("text_soft"), right=True)
        age = look.colour("alarm_medium") if words.old else look.colour("text_soft")
        draw_text(painter, left, 44 * unit, words.age, look.font(12), age)
        room = right - x - QFontMetricsF(small).horizontalAdvance(hint) - 24 * unit
        draw_text(
            painter, x + 12 * unit, 25 * unit, elided(tr(NOT_ALONE), small, room), small, look.colour("text_faint")
        )
        top = 44 * unit
        if words.news is not None:
            own = look.theme.alarm.colours.get(words.news.priority)
            box = QRectF(left, top + 8 * unit, right - left, (_LINE - 6) * unit)
            painter.fillRect(box, QColor(own.lit) if own is not None else look.colour("panel_edge"))
            ink = QColor(own.ink) if own is not None else look.colour("text")
            headline = f"{words.news.headline} — {words.news.detail}" if words.news.detail else words.news.headline
            font = look.font(14, True)
            base = box.center().y() + QFontMetricsF(font).capHeight() / 2
            draw_text(painter, box.left() + 9 * unit, base, elided(headline, font, box.width() - 18 * unit), font, ink)
            top += _LINE * unit
        if words.instead:
            draw_text(painter, left, top + 24 * unit, words.instead, look.font(14), look.colour("text"))
            painter.end()
            return
        at = columns(left, right - left)
        self._heads(painter, at, top + 22 * unit, words)
        for number, row in enumerate(words.rows):
            box = QRectF(left, top + 28 * unit + number * _LINE * unit, right - left, _LINE * unit)
            if box.bottom() > self.height():
                break
            if number % 2:
                painter.fillRect(box, mixed(look.colour("panel"), look.colour("panel_edge"), 0.45))
            self._row(painter, at, box, row, words)
        base = top + 28 * unit + len(words.rows) * _LINE * unit + 17 * unit
        for sentence in words.footer:
            draw_text(painter, left, base, elided(sentence, small, right - left), small, look.colour("text_soft"))
            base += 16 * unit
        painter.end()

    def _heads(self, painter: QPainter, at: _Columns, base: float, words: WorthWords) -> None:
        look, soft = self._look, self._look.colour("text_soft")
        font = look.font(11, True)
        for number, ((x, _), minutes) in enumerate(zip(at.risks, words.horizons, strict=False)):
            draw_text(painter, x, base, minutes if number else f"{minutes} min", font, soft)
        draw_text(painter, at.risk_plot[0], base, f"{tr('RISK')}, {words.horizons[-1]} min", font, soft)
        draw_text(painter, at.mean[0], base, f"{tr('MAP')} mmHg", font, look.modality(Modality.ABP))
        draw_text(painter, at.depth[0], base, tr("DEPTH"), font, look.modality(Modality.EEG))

    def _row(self, painter: QPainter, at: _Columns, box: QRectF, row: WorthRow, words: WorthWords) -> None:
        look, unit = self._look, self._look.unit
        font, bold = look.font(13.5), look.font(13.5, True)
        base = box.center().y() + QFontMetricsF(font).capHeight() / 2
        tint = look.modality(Modality(row.modality)) if row.modality else look.colour("text")
        draw_text(painter, at.name[0] + 4 * unit, base, elided(row.title, bold, at.name[1] - 8 * unit), bold, tint)
        if row.why:
            self._sentence(painter, at.risks[0][0], base, row.why, box.right() - at.risks[0][0])
            return
        first, last = words.rows[0], row.risks[-1]
        for cell, (x, width) in zip(row.risks[:1] if last.why else row.risks, at.risks, strict=False):
            tint = band_colour(look, cell.band, words.old)
            mark = 11 * unit if cell.band else 0.0
            if cell.band:
                draw_mark(painter, QPointF(x + 4 * unit, box.center().y()), 3.2 * unit, cell.band, look, tint)
            draw_text(painter, x + mark, base, elided(cell.text, bold, width - mark), bold, tint)
        if last.why:
            self._sentence(painter, at.risks[1][0], base, last.why, at.mean[0] - at.risks[1][0] - 8 * unit)
        else:
            self._risk_plot(painter, at.risk_plot, box, last, first.risks[-1], words.old)
        lo, hi = look.theme.prediction.map_mmhg
        measured = not math.isfinite(row.mean.lo)
        red = look.modality(Modality.ABP) if measured else look.estimated(Modality.ABP)
        yellow = look.modality(Modality.EEG)
        self._value(painter, at.mean, at.mean_plot, box, base, row.mean, first.mean, (lo, hi), LOW_MMHG, red, words.old)
        self._value(
            painter, at.depth, at.depth_plot, box, base, row.depth, first.depth, (0.0, _DEPTH_MOST), None, yellow,
            words.old,
        )  # fmt: skip

    def _sentence(self, painter: QPainter, x: float, base: float, why: str, room: float) -> None:
        look = self._look
        font = look.fitted(why, 11.5, room)
        draw_text(painter, x, base, elided(why, font, room), font, look.colour("text_soft"))

    def _value(
        self, painter: QPainter, text: tuple[float, float], plot: tuple[float, float], box: QRectF, base: float,
        cell: Cell, first: Cell, span: tuple[float, float], limit: float | None, tint: QColor, old: bool,
    ) -> None:  # fmt: skip
        look, unit = self._look, self._look.unit
        font = look.fitted(cell.text, 13.5, text[1] - 6 * unit)
        known = math.isfinite(cell.value) or not cell.why
        ink = look.colour("stale") if old or not known else look.colour("text")
        width = draw_text(painter, text[0], base, cell.text, font, ink)
        if cell.why:
            at = text[0] + width + 8 * unit
            self._sentence(painter, at, base, cell.why, plot[0] + plot[1] - at - 8 * unit)
            return
        place = self._axis(painter, plot, box, span, limit)
        self._against(painter, place, span, first.value)
        colour = look.colour("stale") if old else tint
        self._interval(painter, place, span, cell, colour)
        if math.isfinite(cell.value):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            radius = 3.2 * unit
            painter.drawEllipse(QPointF(_x(place, span, cell.value), place.center().y()), radius, radius)

    def _risk_plot(
        self, painter: QPainter, plot: tuple[float, float], box: QRectF, cell: Cell, first: Cell, old: bool
    ) -> None:
        look, span = self._look, (0.0, _RISK_MOST)
        place = self._axis(painter, plot, box, span, None)
        painter.setPen(QPen(look.colour("panel_edge"), 1, Qt.PenStyle.DashLine))
        for limit in look.theme.prediction.bands:
            painter.drawLine(QLineF(_x(place, span, limit), place.top(), _x(place, span, limit), place.bottom()))
        self._against(painter, place, span, first.value)
        colour = band_colour(look, cell.band, old)
        self._interval(painter, place, span, cell, colour)
        if math.isfinite(cell.value):
            centre = QPointF(_x(place, span, cell.value), place.center().y())
            draw_mark(painter, centre, 4.2 * look.unit, cell.band, look, colour)

    def _axis(
        self, painter: QPainter, plot: tuple[float, float], box: QRectF, span: tuple[float, float], limit: float | None
    ) -> QRectF:
        look, unit = self._look, self._look.unit
        place = QRectF(plot[0], box.top() + 4 * unit, plot[1] - 14 * unit, box.height() - 8 * unit)
        painter.fillRect(place, mixed(look.colour("panel"), look.colour("background"), 0.6))
        if limit is not None:
            painter.setPen(QPen(mixed(look.modality(Modality.ABP), look.colour("panel"), 0.4), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QLineF(_x(place, span, limit), place.top(), _x(place, span, limit), place.bottom()))
        return place

    def _against(self, painter: QPainter, place: QRectF, span: tuple[float, float], value: float) -> None:
        """Where the row with all sensors has it."""
        if math.isfinite(value):
            painter.setPen(QPen(self._look.colour("text_soft"), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QLineF(_x(place, span, value), place.top(), _x(place, span, value), place.bottom()))

    def _interval(
        self, painter: QPainter, place: QRectF, span: tuple[float, float], cell: Cell, colour: QColor
    ) -> None:
        if math.isfinite(cell.lo) and math.isfinite(cell.hi):
            y = place.center().y()
            painter.setPen(QPen(colour, 2 * max(1.0, self._look.unit)))
            painter.drawLine(QLineF(_x(place, span, cell.lo), y, _x(place, span, cell.hi), y))


def _x(place: QRectF, span: tuple[float, float], value: float) -> float:
    lo, hi = span
    return place.left() + (min(max(value, lo), hi) - lo) / (hi - lo) * place.width()
