"""One small wave of a tile: the last six seconds, swept as the large ones are, drawn a piece at a time."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from models.signals.modalities import Modality
from ui.bed.lanes import Lane, Trace
from ui.central.scale import WINDOW_S, step_for
from ui.waves.geometry import Paper
from ui.waves.ink import polygon
from ui.waves.polyline import lines

_GAP_S = 0.25


class SmallWave:
    """Draws the first lane of a modality into ``place``, device pixels from the corner of the tile."""

    def __init__(self, modality: Modality, place: QRect, ink: QColor, ground: QColor, pen: float) -> None:
        self.modality, self.place = modality, place
        self._ground = ground
        self._pen = QPen(ink, pen)
        self._pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        self._pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        per_s = place.width() / WINDOW_S
        self._paper = Paper(max(1, place.width()), per_s, max(2, math.ceil(_GAP_S * per_s)), 0.0)
        self._trace: Trace | None = None
        self._low, self._high = step_for(modality, np.empty(0))
        self._beam = 0.0
        self._sample = 0

    def forget(self) -> None:
        """Somebody has painted over it: the next :meth:`draw` begins anew."""
        self._trace = None

    def draw(self, painter: QPainter, lane: Lane, beam_s: float) -> list[QRect]:
        """Draw up to event time ``beam_s``; ``painter`` is in device pixels of the tile. Returns what changed."""
        trace = lane.trace
        if trace is None:
            return []
        paper, beam = self._paper, self._paper.column(beam_s)
        trace.settle()
        ring = trace.shown
        again = trace is not self._trace or beam - self._beam >= paper.width - paper.gap
        turned = math.floor(beam / paper.width) != math.floor(self._beam / paper.width)
        if again or (turned and self._rescale(trace, beam_s)):
            self._trace = trace
            self._rescale(trace, beam_s)
            painter.fillRect(self.place, self._ground)
            begin = beam - paper.width + paper.gap + 2 + self._pen.widthF()  # none of it where nothing is erased again
            self._sample = max(ring.ring.start, ring.index_at(paper.time(begin)))
            touched = [QRect(self.place)]
        else:
            begin = self._beam
            first, last = math.floor(begin) + 1 + paper.gap, math.floor(beam) + 1 + paper.gap
            touched = [self._columns(x, width) for _, x, width in paper.pieces(first, last)]
            for rect in touched:
                painter.fillRect(rect, self._ground)
        touched += self._line(painter, trace, beam_s)
        self._beam = beam
        return touched

    def _rescale(self, trace: Trace, beam_s: float) -> bool:
        """Choose the step anew; whether it is another one."""
        ring = trace.shown
        step = step_for(self.modality, ring.ring.read(ring.index_at(beam_s - WINDOW_S), ring.index_at(beam_s)))
        changed = step != (self._low, self._high)
        self._low, self._high = step
        return changed

    def _line(self, painter: QPainter, trace: Trace, beam_s: float) -> list[QRect]:
        ring, paper, place = trace.shown, self._paper, self.place
        stop = min(ring.ring.end, ring.index_at(beam_s))
        begin = max(self._sample, ring.ring.start)
        if stop <= begin:
            return []
        first = max(begin - 1, ring.ring.start)
        self._sample = stop
        values = ring.ring.read(first, stop).astype(np.float64)
        height = place.height()
        y = place.top() + (self._high - values) * (height / (self._high - self._low))
        y = np.clip(y, place.top() + 0.5, place.bottom() + 0.5)
        columns = ring.times(first, stop) * paper.per_s
        runs = lines(columns, y)
        painter.setPen(self._pen)
        painter.setClipRect(place)
        touched = []
        for sweep in range(math.floor(columns[0] / paper.width), math.floor(columns[-1] / paper.width) + 1):
            shift = place.left() - sweep * paper.width
            for points in runs:
                moved = np.add(points, (shift, 0.0))
                if len(moved) == 1:
                    painter.drawPoint(QPointF(*moved[0]))
                else:
                    painter.drawPolyline(polygon(moved))
            left = max(0, math.floor(columns[0]) - sweep * paper.width - 3)
            right = min(paper.width, math.ceil(columns[-1]) - sweep * paper.width + 3)
            touched.append(self._columns(left, right - left))
        painter.setClipping(False)
        return touched

    def _columns(self, x: int, width: int) -> QRect:
        return QRect(self.place.left() + x, self.place.top(), width, self.place.height())
