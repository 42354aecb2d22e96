"""A strip on paper: 25 mm a second and 10 mm a millivolt, true in millimetres of the page. Paints on any paged device.

Everything is laid out in millimetres from the page's upper left corner. What is true on the screen is true here in
black on white: measured is a line, estimated is dashed with its band and the word, absent is hatched with its reason,
and a gap is empty paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QMarginsF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPageLayout, QPageSize, QPainter, QPdfWriter, QPen

from models.signals.absence import Absence
from ui.bed.strip import Strip, StripLane
from ui.style.language import tr
from ui.style.theme import Theme
from ui.style.words import DISCLAIMER, absence_words, clock_words
from ui.waves.geometry import MM_PER_INCH
from ui.waves.ink import polygon
from ui.waves.polyline import runs
from ui.waves.scales import Scale, gain_scale, sensitivity_scale

SPEED_MM_S = 25.0
PAGE_S = 10.4
"""Seconds that fit on a page: the screen's usual ten and a bit."""
_PAGE_MM = (297.0, 210.0)  # A4, landscape
_LEFT_MM, _TOP_MM, _BOTTOM_MM = 26.0, 22.0, 17.0
WIDTH_MM = PAGE_S * SPEED_MM_S
_DPI = 1200
_INK, _SOFT, _ESTIMATED = QColor("black"), QColor("#555555"), QColor("#1f4e9c")
_GRID, _GRID_5, _HATCH = QColor("#f6d3d0"), QColor("#e9a7a2"), QColor("#777777")
_BAND = QColor(31, 78, 156, 48)
_MOST_HEIGHT_MM = 45.0
_STRIP_MM, _HEADER_MM = 3.0, 5.0


@dataclass(frozen=True, slots=True)
class Area:
    """Where a lane's wave lies on the page, in mm, and its scale."""

    top: float
    height: float
    scale: Scale

    def y(self, value: float) -> float:
        """Millimetres from the top of the page."""
        return self.scale.y(value, self.top, self.height)


def areas(strip: Strip, theme: Theme, shown: Sequence[Scale]) -> list[Area]:
    """Where the lanes lie. shown: their scales on the screen. A gain is that of the theme's ×1, 10 mm/mV, whatever it
    is on the screen; a sensitivity is the screen's; other scales fill the height as there."""
    room = _PAGE_MM[1] - _TOP_MM - _BOTTOM_MM
    each = min(_MOST_HEIGHT_MM, room / max(1, len(strip.lanes)))
    out = []
    for number, (lane, scale) in enumerate(zip(strip.lanes, shown, strict=True)):
        style, height = theme.lanes[lane.modality], each - _HEADER_MM - _STRIP_MM - 1.5
        if style.scale == "gain":
            scale = gain_scale(style, style.choice, height)
        elif style.scale == "sensitivity":
            scale = sensitivity_scale(style, scale.choice, height)
        out.append(Area(_TOP_MM + number * each + _HEADER_MM, height, scale))
    return out


def write_strip(strip: Strip, theme: Theme, shown: Sequence[Scale], path: str) -> bool:
    """Writes a PDF, a page for each :data:`PAGE_S`; False where that cannot be done. For any thread."""
    device = QPdfWriter(path)
    device.setResolution(_DPI)
    size = QPageSize(QPageSize.PageSizeId.A4)
    device.setPageLayout(QPageLayout(size, QPageLayout.Orientation.Landscape, QMarginsF()))
    device.setTitle("Vigil strip")
    device.setCreator("Vigil")
    painter = QPainter()
    if not painter.begin(device):
        return False
    pages = max(1, math.ceil((strip.end_s - strip.begin_s) / PAGE_S - 1e-6))
    sheet = _Sheet(painter, _DPI / MM_PER_INCH, strip, theme, areas(strip, theme, shown))
    for page in range(pages):
        if page:
            device.newPage()
        sheet.paint(page, pages)
    return bool(painter.end())


class _Sheet:
    """Paints pages in millimetres, with fonts in millimetres."""

    def __init__(self, painter: QPainter, dots: float, strip: Strip, theme: Theme, lanes: list[Area]) -> None:
        self._p, self._dots, self._strip, self._theme, self._areas = painter, dots, strip, theme, lanes
        self._begin_s = strip.begin_s

    def paint(self, page: int, pages: int) -> None:
        """One page, clipped to its seconds."""
        self._begin_s = self._strip.begin_s + page * PAGE_S
        self._words(page, pages)
        for lane, area in zip(self._strip.lanes, self._areas, strict=True):
            self._grid(area)
            self._absent(lane, area)
            self._calibration(lane, area)
            self._waves(lane, area)
            self._header(lane, area)
        self._time_axis()
        self._marks()

    def x(self, time_s: float) -> float:
        """Millimetres from the left of the page."""
        return _LEFT_MM + (time_s - self._begin_s) * SPEED_MM_S

    # Words ------------------------------------------------------------------------------------------------------

    def _words(self, page: int, pages: int) -> None:
        strip = self._strip
        self._text(_LEFT_MM, 9.5, " · ".join(part for part in (strip.bed, strip.title) if part), 4.2, bold=True)
        self._text(_LEFT_MM, 15.5, strip.when, 3.4)
        speed = tr("{speed:g} mm/s, ECG 10 mm/mV where printed at 100 %", speed=SPEED_MM_S)
        self._text(_LEFT_MM + WIDTH_MM, 9.5, speed, 3.2, right=True)
        self._text(_LEFT_MM + WIDTH_MM, 15.5, tr("page {page} of {pages}", page=page + 1, pages=pages), 3.2, right=True)
        self._text(_LEFT_MM, _PAGE_MM[1] - 5.0, tr(DISCLAIMER), 3.6, bold=True)
        legend = tr("line: measured · dashed with band: ESTIMATED, 80 % · hatched: absent")
        self._text(_LEFT_MM + WIDTH_MM, _PAGE_MM[1] - 5.0, legend, 3.0, right=True, colour=_SOFT)

    def _header(self, lane: StripLane, area: Area) -> None:
        parts = [area.scale.caption or lane.unit]
        if self._theme.lanes[lane.modality].scale == "gain":
            parts = [f"{area.scale.choice:g} mm/{lane.unit}"]
        if lane.filter_hz:
            parts.append(f"{lane.filter_hz[0]:g}–{lane.filter_hz[1]:g} Hz")
        width = self._text(_LEFT_MM, area.top - 1.2, lane.said, 3.4, bold=True)
        self._text(_LEFT_MM + max(26.0, width + 4.0), area.top - 1.2, "   ".join(parts), 3.0, colour=_SOFT)

    def _text(
        self, x: float, y: float, text: str, size: float, *, bold: bool = False, right: bool = False,
        colour: QColor = _INK,
    ) -> float:  # fmt: skip
        font = QFont()
        font.setFamilies(self._theme.font_families)
        font.setPixelSize(max(1, round(size * self._dots)))
        font.setBold(bold)
        width = QFontMetricsF(font, self._p.device()).horizontalAdvance(text) / self._dots
        self._p.setFont(font)
        self._p.setPen(colour)
        left = x - width if right else x
        self._p.drawText(QRectF(left * self._dots, 0, 0, y * self._dots).bottomLeft(), text)
        return width

    # Ground -----------------------------------------------------------------------------------------------------

    def _line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        d = self._dots
        self._p.drawLine(QLineF(x0 * d, y0 * d, x1 * d, y1 * d))

    def _pen(self, colour: QColor, mm: float) -> QPen:
        return QPen(colour, mm * self._dots)

    def _grid(self, area: Area) -> None:
        right, bottom = _LEFT_MM + WIDTH_MM, area.top + area.height
        zero = area.y(0.0) if area.scale.low <= 0.0 <= area.scale.high else bottom
        for every, colour, width in ((1, _GRID, 0.08), (5, _GRID_5, 0.12)):
            self._p.setPen(self._pen(colour, width))
            for mm in range(0, round(WIDTH_MM) + 1, every):
                self._line(_LEFT_MM + mm, area.top, _LEFT_MM + mm, bottom)
            first = math.ceil((area.top - zero) / every)
            for step in range(first, math.floor((bottom - zero) / every + 1e-9) + 1):
                self._line(_LEFT_MM, zero + step * every, right, zero + step * every)
        for tick in area.scale.ticks:
            self._p.setPen(self._pen(_SOFT, 0.12))
            self._line(_LEFT_MM - 1.5, area.y(tick), _LEFT_MM, area.y(tick))
            self._text(_LEFT_MM - 2.0, area.y(tick) + 1.0, f"{tick:g}", 2.6, right=True, colour=_SOFT)

    def _calibration(self, lane: StripLane, area: Area) -> None:
        """A bar of known height left of the grid, as on the screen."""
        size, span = self._theme.lanes[lane.modality].calibration, area.scale.high - area.scale.low
        if not size:
            return
        size = area.scale.bar(size)
        half, middle = size / span * area.height / 2.0, area.top + area.height / 2.0
        x = _LEFT_MM - 6.0
        self._p.setPen(self._pen(_INK, 0.3))
        self._line(x, middle - half, x, middle + half)
        for y in (middle - half, middle + half):
            self._line(x - 1.5, y, x + 1.5, y)
        self._text(x - 2.5, middle + 1.0, f"{size:g} {lane.unit}", 2.8, right=True)

    def _time_axis(self) -> None:
        """A mark each whole second, 25 mm apart, with its time."""
        bottom = self._areas[-1].top + self._areas[-1].height + _STRIP_MM + 1.5 if self._areas else _TOP_MM
        end_s = min(self._strip.end_s, self._begin_s + PAGE_S)
        for second in range(math.ceil(self._begin_s - 1e-6), math.floor(end_s + 1e-6) + 1):
            self._p.setPen(self._pen(_INK, 0.25))
            self._line(self.x(second), bottom, self.x(second), bottom + 2.0)
            self._text(self.x(second) + 0.6, bottom + 3.2, clock_words(float(second)), 2.5, colour=_SOFT)

    def _marks(self) -> None:
        for mark in self._strip.marks:
            if self._begin_s <= mark.time_s < self._begin_s + PAGE_S:
                x = self.x(mark.time_s)
                pen = self._pen(_INK, 0.25)
                pen.setDashPattern([3.0, 5.0])
                self._p.setPen(pen)
                self._line(
                    x, _TOP_MM - 1.0, x, self._areas[-1].top + self._areas[-1].height if self._areas else _TOP_MM
                )
                self._text(x + 0.8, _TOP_MM + 0.2, f"▸ {mark.word or 'mark'}", 3.0, bold=True)

    # Waves ------------------------------------------------------------------------------------------------------

    def _clip(self, area: Area, above: float = 0.0) -> None:
        d, end_s = self._dots, min(self._strip.end_s, self._begin_s + PAGE_S)
        width = (end_s - self._begin_s) * SPEED_MM_S
        self._p.setClipRect(QRectF(_LEFT_MM * d, (area.top - above) * d, width * d, (area.height + above) * d))

    def _waves(self, lane: StripLane, area: Area) -> None:
        self._p.save()
        self._clip(area)
        self._band(lane, area)
        pen = self._pen(_ESTIMATED, 0.3)
        pen.setDashPattern([5.0, 3.5])
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        self._stroke(lane.estimated.times, lane.estimated.values, area, pen)
        pen = self._pen(_INK, 0.25)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        self._stroke(lane.measured.times, lane.measured.values, area, pen)
        self._p.restore()
        self._badges(lane, area)

    def _points(
        self, times: npt.NDArray[np.float64], values: npt.NDArray[np.floating], area: Area
    ) -> npt.NDArray[np.float64]:
        y = area.top + (area.scale.high - values.astype(np.float64)) * area.height / (area.scale.high - area.scale.low)
        y = np.clip(y, area.top - area.height, area.top + 2 * area.height)
        return np.column_stack((_LEFT_MM + (times - self._begin_s) * SPEED_MM_S, y)) * self._dots

    def _stroke(self, times: npt.NDArray[np.float64], values: npt.NDArray[np.floating], area: Area, pen: QPen) -> None:
        here = (times >= self._begin_s - 0.1) & (times <= self._begin_s + PAGE_S + 0.1)
        times, values = times[here], values[here]
        points = self._points(times, values, area)
        self._p.setPen(pen)
        for a, b in runs(np.isfinite(values)):
            if b - a > 1:
                self._p.drawPolyline(polygon(points[a:b]))
            else:
                self._p.drawPoint(polygon(points[a:b]).first())

    def _band(self, lane: StripLane, area: Area) -> None:
        times = lane.estimated.times
        here = (times >= self._begin_s - 0.1) & (times <= self._begin_s + PAGE_S + 0.1)
        upper, lower = (self._points(times, values, area) for values in (lane.high, lane.low))
        self._p.setPen(Qt.PenStyle.NoPen)
        self._p.setBrush(_BAND)
        for a, b in runs(here & np.isfinite(lane.low) & np.isfinite(lane.high)):
            self._p.drawPolygon(polygon(np.concatenate((upper[a:b], lower[a:b][::-1]))))
        self._p.setBrush(Qt.BrushStyle.NoBrush)

    def _seconds(self) -> range:
        end_s = min(self._strip.end_s, self._begin_s + PAGE_S)
        return range(math.floor(self._begin_s), math.ceil(end_s))

    def _badges(self, lane: StripLane, area: Area) -> None:
        """The words of an estimate where it begins on the page."""
        finite = lane.estimated.times[np.isfinite(lane.estimated.values)]
        seconds = {int(second) for second in np.unique(np.floor(finite + 1e-9))}
        last: int | None = None
        for second in self._seconds():
            if second in seconds:
                if last is None or second - last > 1:
                    x = max(self.x(second), _LEFT_MM) + 1.0
                    self._text(
                        x, area.top + 3.4, lane.badges.get(second, tr("ESTIMATED")), 3.0, bold=True, colour=_ESTIMATED
                    )
                last = second

    def _absent(self, lane: StripLane, area: Area) -> None:
        """Under the wave, second by second: solid where measured, hatched where absent, with the reason."""
        top, before = area.top + area.height + 0.6, ""
        for second in self._seconds():
            absence = lane.cells.get(second)
            left = max(self.x(second), _LEFT_MM)
            right = min(self.x(second + 1), _LEFT_MM + WIDTH_MM, self.x(self._strip.end_s))
            if absence is None or right <= left:
                continue
            d = self._dots
            if not absence:
                self._p.fillRect(QRectF(left * d, top * d, (right - left) * d, 0.8 * d), _SOFT)
            else:
                self._hatch(left, right, top, top + _STRIP_MM - 0.6)
                if absence != before:
                    words = absence_words(absence)
                    words = words.upper() if absence == Absence.NOT_CONNECTED.value else words
                    self._text(left + 0.8, area.top + area.height - 0.8, words, 2.8, colour=_INK)
            before = absence

    def _hatch(self, left: float, right: float, top: float, bottom: float) -> None:
        self._p.save()
        d = self._dots
        self._p.setClipRect(QRectF(left * d, top * d, (right - left) * d, (bottom - top) * d))
        self._p.setPen(self._pen(_HATCH, 0.2))
        height = bottom - top
        for step in range(math.floor((left - height) / 1.2), math.ceil(right / 1.2) + 1):
            self._line(step * 1.2, bottom, step * 1.2 + height, top)
        self._p.restore()
