"""One small wave of a tile: the last six seconds, swept as the large ones are, a piece at a time. What is to be erased
and drawn is gathered here for all tiles and painted by the page in a few strokes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from models.signals.modalities import Modality
from ui.bed.lanes import Lane, Trace
from ui.central.scale import WINDOW_S, step_for
from ui.waves.geometry import Paper
from ui.waves.ink import polygon
from ui.waves.polyline import lines

Float64 = npt.NDArray[np.float64]

_GAP_S = 0.25
_NARROW = 2.5  # pixels: of a piece no wider than that the ends and extremes say all


@dataclass(slots=True)
class Strokes:
    """Of one frame, in device pixels of the page: first what is ``erased`` goes, then the ``drawn`` lines come."""

    erased: list[QRect] = field(default_factory=list)
    drawn: dict[Modality, list[Float64]] = field(default_factory=dict)

    def paint(self, painter: QPainter, ground: QColor, inks: dict[Modality, QColor], width: float) -> None:
        """With lines so wide; the painter is left in device pixels."""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ground)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.drawRects(self.erased)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for modality, runs in self.drawn.items():
            pen = QPen(inks[modality], width)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            path = QPainterPath()  # in one go: a call of Qt each would let go of the interpreter as often
            for points in runs:
                path.addPolygon(polygon(points if len(points) > 1 else np.repeat(points, 2, axis=0)))
            painter.strokePath(path, pen)


class SmallWave:
    """The first lane of a modality in ``place``, device pixels from the corner of the tile."""

    def __init__(self, modality: Modality, place: QRect, pen: float) -> None:
        self.modality, self.place = modality, place
        per_s = place.width() / WINDOW_S
        self._pen = pen
        self._paper = Paper(max(1, place.width()), per_s, max(2, math.ceil(_GAP_S * per_s)), 0.0)
        self._trace: Trace | None = None
        self._low, self._high = step_for(modality, np.empty(0))
        self._beam = 0.0
        self._sample = 0

    def forget(self) -> None:
        """Somebody has painted over it: the next :meth:`step` begins anew."""
        self._trace = None

    def step(self, lane: Lane, beam_s: float, corner: tuple[int, int], strokes: Strokes) -> bool:
        """Go on to event time ``beam_s``; ``corner``: of the tile on the page. Whether anything changes."""
        trace = lane.trace
        if trace is None:
            return False
        paper, before = self._paper, self._beam
        beam = paper.column(beam_s)
        trace.settle()
        ring = trace.shown
        left, top = corner[0] + self.place.left(), corner[1] + self.place.top()
        again = trace is not self._trace or beam - before >= paper.width - paper.gap
        turned = math.floor(beam / paper.width) != math.floor(before / paper.width)
        self._beam = beam
        if again or (turned and self._rescale(trace, beam_s)):
            self._trace = trace
            self._rescale(trace, beam_s)
            strokes.erased.append(QRect(left, top, self.place.width(), self.place.height()))
            begin = beam - paper.width + paper.gap + 2 + self._pen  # none of it where nothing is erased again
            self._sample = max(ring.ring.start, ring.index_at(paper.time(begin)))
        else:
            first, last = math.floor(before) + 1 + paper.gap, math.floor(beam) + 1 + paper.gap
            for _, x, width in paper.pieces(first, last):
                strokes.erased.append(QRect(left + x, top, width, self.place.height()))
        self._line(trace, beam_s, left, top, strokes)
        return True

    def _rescale(self, trace: Trace, beam_s: float) -> bool:
        """Choose the step anew; whether it is another one."""
        ring = trace.shown
        step = step_for(self.modality, ring.ring.read(ring.index_at(beam_s - WINDOW_S), ring.index_at(beam_s)))
        changed = step != (self._low, self._high)
        self._low, self._high = step
        return changed

    def _line(self, trace: Trace, beam_s: float, left: int, top: int, strokes: Strokes) -> None:
        ring, width, height = trace.shown, self._paper.width, self.place.height()
        stop = min(ring.ring.end, ring.index_at(beam_s))
        begin = max(self._sample, ring.ring.start)
        if stop <= begin:
            return
        first = max(begin - 1, ring.ring.start)
        self._sample = stop
        edge = 0.5 + self._pen / 2.0  # of the line nothing may lie where nothing is erased
        y = (self._high - ring.ring.read(first, stop).astype(np.float64)) * (height / (self._high - self._low))
        y = np.clip(y, edge, height - edge) + top
        columns = ring.times(first, stop) * self._paper.per_s
        if columns[-1] - columns[0] <= _NARROW and not np.isnan(y).any():
            some = sorted({0, int(y.argmin()), int(y.argmax()), len(y) - 1})
            runs = [np.array((columns[some], y[some])).T]
        else:
            runs = lines(columns, y)
        drawn = strokes.drawn.setdefault(self.modality, [])
        sweeps = range(int(columns[0] // width), int(columns[-1] // width) + 1)
        for sweep in sweeps:
            for points in runs:
                x = points[:, 0] - sweep * width
                inside: slice | npt.NDArray[np.bool_] = slice(None)
                if len(sweeps) > 1:  # what lies beyond the edge is another sweep's
                    inside = (x >= -1.0) & (x <= width)
                moved = np.empty_like(points[inside])
                moved[:, 0], moved[:, 1] = np.clip(x[inside], edge, width - edge) + left, points[inside, 1]
                if len(moved):
                    drawn.append(moved)
