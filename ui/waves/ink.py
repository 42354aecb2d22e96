"""What is drawn into the sweep's pixmap, lane by lane: measured line, estimate with its band, presence cells, words.

All painting is in device pixels, in absolute columns translated to the screen by the caller's sweep number. Nothing
here decides what may be drawn; it draws what the lane holds between two columns, and only once.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPen, QPixmap, QPolygonF
from shiboken6 import VoidPtr

from models.signals.absence import Absence
from ui.bed.lanes import Lane
from ui.style.look import Look, mixed
from ui.style.words import absence_words
from ui.waves.geometry import Paper, Row
from ui.waves.polyline import lines, runs
from ui.waves.scales import LaneScale

Float64 = npt.NDArray[np.float64]

_TAPE_SPACE_S = 3.0  # a badge is repeated so that a long absence always shows a whole one
_DASH = (5.0, 3.5)
_DOTS = (1.6, 2.4)  # of the truth: no dash that an estimate has
_TRUTH_WIDTH = 0.75  # of the pen


def polygon(points: Float64) -> QPolygonF:
    """A QPolygonF of ``points`` [k, 2] without a loop over points."""
    out = QPolygonF()
    out.resize(len(points))
    if len(points):
        memory = np.frombuffer(VoidPtr(out.data(), len(points) * 16, True), np.float64)  # type: ignore[call-arg, arg-type, call-overload]
        memory.reshape(-1, 2)[:] = points
    return out


class LaneInk:
    """Draws one lane; remembers how far measured line, estimate and cells have been drawn."""

    def __init__(self, lane: Lane, row: Row, scale: LaneScale, look: Look, ratio: float) -> None:
        self.lane, self.row, self.scale = lane, row, scale
        self._look, self._ratio = look, ratio
        self._unit = look.unit * ratio
        self._pen_width = max(1.0, look.theme.sweep.pen_px * min(1.6, max(1.0, look.unit)) * ratio)
        self._tapes: dict[tuple[str, str], QPixmap] = {}
        self.sample = 0
        self._trace_id: object = None
        self.shows_truth = False
        self._truth_column, self._dot_at = 0.0, 0.0
        self.estimate_column = 0.0
        self._dash_at = 0.0
        self.second = 0

    def restart(self, paper: Paper, column: float) -> None:
        """Draw from ``column`` on, as if nothing had been drawn before."""
        time_s = paper.time(column)
        self._trace_id = self.lane.trace
        self.sample = self.lane.trace.shown.index_at(time_s) if self.lane.trace else 0
        self.estimate_column = self._truth_column = column
        self._dash_at = self._dot_at = 0.0
        self.second = math.floor(time_s)

    @property
    def _clip(self) -> tuple[int, int]:
        return self.row.wave_top, self.row.wave_height

    def _points(self, times: Float64, values: npt.NDArray[np.floating], paper: Paper) -> list[Float64]:
        """Unbroken point runs in device pixels, columns still absolute."""
        scale, row = self.scale.scale, self.row
        top, height = row.wave_top, row.wave_height
        per_unit = height / (scale.high - scale.low)
        # Far outside the lane a coordinate says nothing more; bounded, it cannot overflow the rasteriser.
        y = np.clip(top + (scale.high - values.astype(np.float64)) * per_unit, top - height, top + 2 * height)
        return lines((times - paper.anchor_s) * paper.per_s, y)

    def measured(self, painter: QPainter, paper: Paper, sweep: int, until: float, oldest: float) -> None:
        """The measured line up to column ``until`` of ``sweep``; nothing older than column ``oldest``."""
        trace = self.lane.trace
        if trace is None:
            return
        if trace is not self._trace_id:  # another track took this lane: begin with it where the beam is
            self._trace_id = trace
            self.sample = trace.shown.index_at(paper.time(oldest))
        ring = trace.shown
        stop = min(ring.ring.end, ring.index_at(paper.time(until)))
        begin = max(self.sample, ring.index_at(paper.time(oldest)), ring.ring.start)
        if stop <= begin:
            return
        from_ = begin - 1 if begin - 1 >= ring.ring.start else begin
        values = ring.ring.read(from_, stop)
        self.sample = stop
        pen = QPen(self._look.modality(self.lane.modality), self._pen_width)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        self._strokes(painter, self._points(ring.times(from_, stop), values, paper), paper, sweep)

    def truthful(
        self, painter: QPainter, paper: Paper, until: float, oldest: float, current_sweep: int, dim: float
    ) -> tuple[int, int] | None:
        """What was withheld, up to column ``until``: dots in a colour of its own, dimmed in the previous sweep.
        Returns the columns touched, or None."""
        truth, begin = self.lane.truth, max(self._truth_column, oldest)
        self._truth_column = until
        if truth is None or not self.shows_truth or until <= begin:
            return None
        ring = truth.shown
        i0, i1 = max(0, ring.index_at(paper.time(begin)) - 1), ring.index_at(paper.time(until))
        values = ring.ring.read(i0, i1)
        if not np.isfinite(values).any():
            return None
        pen = QPen(self._look.colour("truth"), self._pen_width * _TRUTH_WIDTH)
        pen.setDashPattern(list(_DOTS))
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        for sweep, _, _ in paper.pieces(math.floor(begin), math.ceil(until)):
            painter.save()
            painter.setOpacity(1.0 if sweep >= current_sweep else dim)
            run_on = self._dot_at
            for points in self._points(ring.times(i0, i1), values, paper):
                pen.setDashOffset(run_on % sum(_DOTS))
                painter.setPen(pen)
                run_on += float(np.hypot(*np.diff(points, axis=0).T).sum()) / pen.widthF()
                self._strokes(painter, [points], paper, sweep)
            painter.restore()
        self._dot_at = run_on
        return math.floor(begin) - 2, math.ceil(until) + 2

    def _strokes(self, painter: QPainter, found: list[Float64], paper: Paper, sweep: int) -> None:
        top, height = self._clip
        painter.save()
        painter.setClipRect(QRect(0, top, paper.width, height))
        for points in found:
            points[:, 0] -= sweep * paper.width
            if len(points) == 1:
                painter.drawPoint(QPointF(*points[0]))
            else:
                painter.drawPolyline(polygon(points))
        painter.restore()

    def estimated(
        self, painter: QPainter, paper: Paper, until: float, oldest: float, current_sweep: int, dim: float
    ) -> tuple[int, int] | None:
        """The estimate up to column ``until``, dimmed where it still belongs to the previous sweep.

        Returns the columns touched, or None.
        """
        estimate = self.lane.estimate
        if estimate is None:
            return None
        begin = max(self.estimate_column, oldest)
        until = min(until, paper.column(estimate.line.ring.end / estimate.line.rate_hz))
        if until <= begin:
            return None
        self.estimate_column = until
        line = estimate.line
        i0 = max(0, line.index_at(paper.time(begin)) - 1)
        i1 = line.index_at(paper.time(until))
        values = line.ring.read(i0, i1)
        if not np.isfinite(values).any():
            return None
        times = line.times(i0, i1)
        colour = self._look.estimated(self.lane.modality)
        for sweep, _, _ in paper.pieces(math.floor(begin), math.ceil(until)):
            painter.save()
            painter.setOpacity(1.0 if sweep >= current_sweep else dim)
            # Bands of successive frames must not overlap, or their seam would show as darker bars.
            left, right = max(begin, sweep * paper.width), min(until, (sweep + 1) * paper.width)
            self._band(painter, paper, sweep, i0 - 2, i1, left, right)
            self._dashes(painter, paper, sweep, times, values, colour)
            painter.restore()
        self._badges(painter, paper, begin, until, times, values, current_sweep, dim)
        return math.floor(begin) - 2, math.ceil(until) + 2

    def _band(self, painter: QPainter, paper: Paper, sweep: int, i0: int, i1: int, left: float, right: float) -> None:
        estimate = self.lane.estimate
        assert estimate is not None
        i0 = max(0, i0)
        times = estimate.line.times(i0, i1)
        lo, hi = estimate.lo.ring.read(i0, i1), estimate.hi.ring.read(i0, i1)
        top, height = self._clip
        scale = self.scale.scale
        mask = np.isfinite(lo) & np.isfinite(hi)
        fill = QColor(self._look.modality(self.lane.modality))
        fill.setAlphaF(0.22)
        painter.save()
        painter.setClipRect(
            QRectF(math.floor(left) - sweep * paper.width, top, math.floor(right) - math.floor(left), height)
        )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        step = paper.per_s / estimate.line.rate_hz
        for a, b in runs(mask):
            x = (times[a:b] - paper.anchor_s) * paper.per_s - sweep * paper.width
            x = np.append(x, x[-1] + step)  # a sample's band reaches to the next sample
            upper = np.append(hi[a:b], hi[b - 1]).astype(np.float64)
            lower = np.append(lo[a:b], lo[b - 1]).astype(np.float64)
            y_hi = np.clip(top + (scale.high - upper) * height / (scale.high - scale.low), top, top + height)
            y_lo = np.clip(top + (scale.high - lower) * height / (scale.high - scale.low), top, top + height)
            outline = np.concatenate((np.column_stack((x, y_hi)), np.column_stack((x, y_lo))[::-1]))
            painter.drawPolygon(polygon(outline))
        painter.restore()

    def _dashes(
        self,
        painter: QPainter,
        paper: Paper,
        sweep: int,
        times: Float64,
        values: npt.NDArray[np.floating],
        colour: QColor,
    ) -> None:
        pen = QPen(colour, self._pen_width)
        pen.setDashPattern(list(_DASH))
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        for points in self._points(times, values, paper):
            pen.setDashOffset(self._dash_at % sum(_DASH))
            painter.setPen(pen)
            self._strokes(painter, [points], paper, sweep)
            if len(points) > 1:
                # The pattern runs on along the line from frame to frame, in units of the pen's width.
                self._dash_at += float(np.hypot(*np.diff(points, axis=0).T).sum()) / self._pen_width

    def _badges(
        self,
        painter: QPainter,
        paper: Paper,
        begin: float,
        until: float,
        times: Float64,
        values: npt.NDArray[np.floating],
        current_sweep: int,
        dim: float,
    ) -> None:
        seconds = np.floor(times + 1e-9).astype(np.int64)
        drawn = set(np.unique(seconds[np.isfinite(values)]).tolist())
        for second in sorted(drawn):
            a, b = max(begin, paper.column(second)), min(until, paper.column(second + 1))
            start, words = self._badge_start(second, paper)
            if words and b > a:
                self._tape(
                    painter,
                    paper,
                    "badge",
                    words,
                    start,
                    a,
                    b,
                    self.row.wave_top + round(2 * self._unit),
                    current_sweep,
                    dim,
                )

    def _badge_start(self, second: int, paper: Paper) -> tuple[int, str]:
        """The second at which the badge running through ``second`` began, and its words as they were then."""
        badge = self.lane.badges.get(second)
        if badge is None:
            return second, ""
        every = self._tape_period(paper)
        start = badge.run_start + (second - badge.run_start) // every * every
        first = self.lane.badges.get(start)
        return start, first.words if first is not None else badge.words

    def _tape_period(self, paper: Paper) -> int:
        return max(4, math.ceil(330.0 * self._unit / paper.per_s + _TAPE_SPACE_S / 2))

    def cells(
        self, painter: QPainter, paper: Paper, beam: float, oldest: float, current_sweep: int, dim: float
    ) -> tuple[int, int] | None:
        """Presence cells that became known, as far as the beam has passed them. Returns the columns touched."""
        touched: tuple[int, int] | None = None
        beam_s = paper.time(beam)
        cells = self.lane.cells
        self.second = max(self.second, math.floor(paper.time(oldest)), cells.newest - 600)
        while self.second <= cells.newest and self.second + 1 <= beam_s + 1e-9:
            cell = cells.get(self.second)
            a = max(paper.column(self.second), oldest)
            b = paper.column(self.second + 1)
            if cell is not None and b > a:
                if self.lane.fades(cell.absence):
                    self._fade(painter, paper, round(a), round(b))
                self._cell(painter, paper, cell.absence, round(a), round(b), current_sweep, dim)
                if cell.absence and cell.absence != Absence.NOT_CONNECTED.value:  # that, the header says for good
                    every = self._tape_period(paper)
                    start = cell.run_start + (self.second - cell.run_start) // every * every
                    self._tape(
                        painter,
                        paper,
                        "reason",
                        self.lane.words_of_absence(start, absence_words(cell.absence)),
                        start,
                        a,
                        b,
                        self.row.strip_top - round(15 * self._unit),
                        current_sweep,
                        dim,
                    )
                touched = (min(touched[0] if touched else math.floor(a), math.floor(a)), math.ceil(b) + 1)
            self.second += 1
        return touched

    def _fade(self, painter: QPainter, paper: Paper, a: int, b: int) -> None:
        """Make what is drawn in columns [a, b) of the wave dimmer."""
        painter.save()
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        painter.setOpacity(self._look.theme.sweep.artefact)
        for _, left, width in paper.pieces(a, b):
            painter.fillRect(QRect(left, self.row.wave_top, width, self.row.wave_height), Qt.GlobalColor.black)
        painter.restore()

    def _cell(
        self, painter: QPainter, paper: Paper, absence: str, a: int, b: int, current_sweep: int, dim: float
    ) -> None:
        withheld = absence == Absence.WITHHELD.value
        colour = self._look.modality(self.lane.modality)
        for sweep, left, width in paper.pieces(a, b - 1):
            painter.save()
            painter.setOpacity(1.0 if sweep >= current_sweep else max(dim, 0.55))
            area = QRect(left, self.row.strip_top, width, self.row.strip_height)
            if not absence:
                painter.fillRect(area, mixed(colour, self._look.colour("background"), 0.35))
            else:
                painter.fillRect(area, self._look.colour("withheld_fill" if withheld else "absent_fill"))
                hatch = QBrush(
                    self._look.colour("withheld" if withheld else "absent"),
                    Qt.BrushStyle.BDiagPattern if not withheld else Qt.BrushStyle.Dense5Pattern,
                )
                if absence != Absence.NOT_CONNECTED.value:
                    painter.fillRect(area, hatch)
            painter.restore()

    def _tape(
        self,
        painter: QPainter,
        paper: Paper,
        kind: str,
        words: str,
        start_second: int,
        a: float,
        b: float,
        y: int,
        current_sweep: int,
        dim: float,
    ) -> None:
        """Reveal columns [a, b) of a strip of words that begins at ``start_second``."""
        image = self._tape_image(kind, words)
        origin = round(paper.column(start_second)) + round(2 * self._ratio)
        for sweep, left, width in paper.pieces(math.floor(a), math.floor(b)):
            source = sweep * paper.width + left - origin
            if source >= image.width() or source + width <= 0:
                continue
            painter.save()
            painter.setOpacity(1.0 if sweep >= current_sweep else dim)
            painter.drawPixmap(QRect(left, y, width, image.height()), image, QRect(source, 0, width, image.height()))
            painter.restore()

    def _tape_image(self, kind: str, words: str) -> QPixmap:
        image = self._tapes.get((kind, words))
        if image is not None:
            return image
        badge = kind == "badge"
        font = self._look.font(11, badge, self._ratio)
        metrics = QFontMetricsF(font)
        pad = 5 * self._unit if badge else 0.0
        image = QPixmap(math.ceil(metrics.horizontalAdvance(words) + 2 * pad + 1), round(15 * self._unit))
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if badge:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(mixed(self._look.modality(self.lane.modality), self._look.colour("background"), 0.78))
            painter.drawRoundedRect(QRectF(image.rect()), 3 * self._unit, 3 * self._unit)
            painter.setPen(self._look.estimated(self.lane.modality))
        else:
            painter.setPen(self._look.colour("withheld" if words.startswith("withheld") else "absent"))
        painter.setFont(font)
        painter.drawText(
            QRectF(image.rect()).adjusted(pad, 0, -pad / 2, 0),
            int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft),
            words,
        )
        painter.end()
        if len(self._tapes) > 16:
            self._tapes.pop(next(iter(self._tapes)))
        self._tapes[kind, words] = image
        return image
