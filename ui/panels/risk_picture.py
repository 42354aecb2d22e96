"""Ten minutes in one picture: mean pressure above, the risk as it was said below, and across both what really came.

What is drawn of a past second stays as it was said then: its band in the colour it had, its interval; where nothing was
said there is a hole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPixmap

from models.signals.modalities import Modality
from ui.bed.low_pressure import LOW_MMHG
from ui.bed.prediction_view import band_of
from ui.bed.risk_history import MapPoint, RiskPoint, low_stretches, trend_key, unbroken
from ui.style.look import Look, draw_text, mixed
from ui.style.risk_marks import band_colour, draw_mark
from ui.waves.ink import polygon

Floats = npt.NDArray[np.float64]

_MAP_SHARE = 0.5
_LEAST_LABELS = 190.0  # of the width, below which there is room for few words


class RiskPicture:
    """Paints into a given area. Renewed once a second at most: in between it is the same picture."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._made: tuple[object, QPixmap] | None = None

    def paint(
        self, painter: QPainter, area: QRectF, risks: Sequence[RiskPoint], maps: Sequence[MapPoint], now_s: float,
        dim: bool,
    ) -> None:  # fmt: skip
        """dim: what is drawn is not of now."""
        ratio = painter.device().devicePixelRatio()
        look = self._look
        ends = trend_key(risks), trend_key(maps)
        key = (area.width(), area.height(), ratio, look.unit, id(look.theme), *ends, int(now_s), dim)
        if self._made is None or self._made[0] != key:
            sheet = QPixmap((area.size() * ratio).toSize())
            sheet.setDevicePixelRatio(ratio)
            sheet.fill(Qt.GlobalColor.transparent)
            inner = QPainter(sheet)
            inner.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._draw(inner, QRectF(QPointF(0, 0), area.size()), risks, maps, float(int(now_s)), dim)
            inner.end()
            self._made = key, sheet
        painter.drawPixmap(area.topLeft(), self._made[1])

    def _draw(
        self, painter: QPainter, area: QRectF, risks: Sequence[RiskPoint], maps: Sequence[MapPoint], now_s: float,
        dim: bool,
    ) -> None:  # fmt: skip
        look, unit = self._look, self._look.unit
        label = look.font(10)
        metrics = QFontMetricsF(label)
        scale_width = metrics.horizontalAdvance("100") + 5 * unit
        bottom = area.bottom() - metrics.height()
        plot = QRectF(area.left(), area.top(), area.width() - scale_width, max(12.0, bottom - area.top()))
        gap = 3 * unit
        upper = QRectF(plot.left(), plot.top(), plot.width(), (plot.height() - gap) * _MAP_SHARE)
        lower = QRectF(plot.left(), upper.bottom() + gap, plot.width(), plot.bottom() - upper.bottom() - gap)
        ground = mixed(look.colour("panel"), look.colour("background"), 0.5)
        painter.fillRect(upper, ground)
        painter.fillRect(lower, ground)
        self._limits(painter, upper, lower, dim)
        painter.save()
        painter.setClipRect(plot.adjusted(0, -1, 1, 1))
        came = self._events(painter, plot, maps, now_s)
        self._pressure(painter, upper, maps, now_s, dim)
        self._risk(painter, lower, risks, now_s, dim)
        painter.restore()
        span = look.theme.prediction.trend_s
        base = area.bottom() - metrics.descent()
        faint = look.colour("text_faint")
        draw_text(painter, plot.left(), base, f"{span / 60:.0f} min ago", label, faint)
        horizon = _horizon(risks)
        wide = plot.width() > _LEAST_LABELS * unit
        words = f"MAP, {horizon} min risk, now" if horizon and wide else "now"
        draw_text(painter, plot.right(), base, words, label, faint, right=True)
        if came and plot.width() > 1.4 * _LEAST_LABELS * unit:
            draw_text(painter, plot.center().x(), base, "▨ MAP < 65 came", label, look.colour("text_soft"), right=True)

    def _limits(self, painter: QPainter, upper: QRectF, lower: QRectF, dim: bool) -> None:
        look, unit = self._look, self._look.unit
        small = look.font(9)
        half = QFontMetricsF(small).capHeight() / 2
        y = float(self._map_y(upper, np.array(LOW_MMHG)))
        red = look.colour("stale") if dim else look.modality(Modality.ABP)
        painter.setPen(QPen(mixed(red, look.colour("panel"), 0.35), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QLineF(upper.left(), y, upper.right(), y))
        draw_text(painter, upper.right() + 4 * unit, y + half, f"{LOW_MMHG:.0f}", small, red)
        apart = (look.theme.prediction.bands[1] - look.theme.prediction.bands[0]) / 100.0 * lower.height()
        for limit in look.theme.prediction.bands:
            y = _risk_y(lower, limit)
            painter.setPen(QPen(look.colour("panel_edge"), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QLineF(lower.left(), y, lower.right(), y))
            if limit == look.theme.prediction.bands[1] or apart > 2.6 * half:
                draw_text(painter, lower.right() + 4 * unit, y + half, f"{limit:.0f}", small, look.colour("text_faint"))

    def _x(self, plot: QRectF, time_s: Floats, now_s: float) -> Floats:
        return plot.right() - (now_s - time_s) / self._look.theme.prediction.trend_s * plot.width()

    def _map_y(self, plot: QRectF, mmhg: Floats) -> Floats:
        lo, hi = self._look.theme.prediction.map_mmhg
        return plot.bottom() - (np.clip(mmhg, lo, hi) - lo) / (hi - lo) * plot.height()

    def _events(self, painter: QPainter, plot: QRectF, maps: Sequence[MapPoint], now_s: float) -> bool:
        """Hatched where a hypotension came; a low pressure of less than a minute only lightly. Whether one came."""
        look, came = self._look, False
        red = look.modality(Modality.ABP)
        for stretch in low_stretches(maps):
            left, right = self._x(plot, np.array([stretch.begin_s, stretch.end_s]), now_s).tolist()
            right = max(right, left + 1.5)
            box = QRectF(left, plot.top(), right - left, plot.height())
            if box.right() < plot.left():
                continue
            wash = QColor(red)
            wash.setAlphaF(0.22 if stretch.event else 0.10)
            painter.fillRect(box, wash)
            if stretch.event:
                came = True
                ink = QColor(red)
                ink.setAlphaF(0.75)
                painter.setPen(QPen(ink, max(1.0, look.unit)))
                painter.drawLines(_hatch(box, 6 * look.unit))
        return came

    def _pressure(self, painter: QPainter, plot: QRectF, maps: Sequence[MapPoint], now_s: float, dim: bool) -> None:
        look = self._look
        for estimated in (True, False):
            tint = look.colour("stale") if dim else (look.estimated if estimated else look.modality)(Modality.ABP)
            style = Qt.PenStyle.DotLine if estimated else Qt.PenStyle.SolidLine
            painter.setPen(QPen(tint, 1.5 * max(1.0, look.unit), style))
            for run in unbroken(p for p in maps if p.estimated is estimated):
                x = self._x(plot, np.array([p.time_s for p in run]), now_s)
                self._line(painter, x, self._map_y(plot, np.array([p.mmhg for p in run])))

    def _risk(self, painter: QPainter, plot: QRectF, risks: Sequence[RiskPoint], now_s: float, dim: bool) -> None:
        look, horizon = self._look, _horizon(risks)
        bands = look.theme.prediction.bands
        known = [p for p in risks if horizon in p.risk and all(map(math.isfinite, p.risk[horizon]))]
        for run in unbroken(known):
            x = self._x(plot, np.array([p.time_s for p in run]), now_s)
            said = 100.0 * np.array([p.risk[horizon] for p in run])
            value, lo, hi = (plot.bottom() - np.clip(s, 0, 100) / 100.0 * plot.height() for s in said.T)
            if len(run) > 1:
                wash = QColor(look.colour("text"))
                wash.setAlphaF(0.16)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(wash)
                painter.drawPolygon(polygon(np.column_stack((np.r_[x, x[::-1]], np.r_[hi, lo[::-1]]))))
                painter.setBrush(Qt.BrushStyle.NoBrush)
            of = [band_of(v, bands) for v in said[:, 0]]
            for band, group in groupby(range(len(run)), key=lambda i: of[i]):
                at = list(group)
                at = [max(0, at[0] - 1), *at]  # joined to what was before
                painter.setPen(QPen(band_colour(look, band, dim), 1.8 * max(1.0, look.unit)))
                self._line(painter, x[at], value[at])
            self._marks(painter, plot, x, value, of, dim)

    def _marks(self, painter: QPainter, plot: QRectF, x: Floats, y: Floats, bands: Sequence[str], dim: bool) -> None:
        """The shape of the band now and then along the line, and wherever it becomes another."""
        look = self._look
        apart, last, before = plot.width() / 6.0, np.inf, ""
        for at, down, band in zip(x[::-1], y[::-1], bands[::-1], strict=True):
            if last - at >= apart or (band != before and last - at >= 9 * look.unit):
                draw_mark(painter, QPointF(at, down), 3.1 * look.unit, band, look, band_colour(look, band, dim))
                last = at
            before = band

    @staticmethod
    def _line(painter: QPainter, x: Floats, y: Floats) -> None:
        if len(x) > 1:
            painter.drawPolyline(polygon(np.column_stack((x, y))))
        else:
            painter.drawPoint(QPointF(x[0], y[0]))


def _hatch(box: QRectF, apart: float) -> list[QLineF]:
    """Diagonals of a box, cut at its sides."""
    lines = []
    for k in range(1, int((box.width() + box.height()) / apart) + 1):
        far = k * apart  # along the top and then down the right side
        begin = QPointF(box.left() + max(0.0, far - box.height()), box.top() + min(far, box.height()))
        end = QPointF(box.left() + min(far, box.width()), box.top() + max(0.0, far - box.width()))
        lines.append(QLineF(begin, end))
    return lines


def _horizon(risks: Sequence[RiskPoint]) -> str:
    """The longest of the newest."""
    return max(risks[-1].risk, key=float, default="") if risks else ""


def _risk_y(plot: QRectF, percent: float) -> float:
    return plot.bottom() - percent / 100.0 * plot.height()
