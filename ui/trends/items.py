"""What the plots are made of: figures of one colour, a view that leaves its range to the page, and the axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from ui.trends.shapes import Float64

_TIMES_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_SCALE = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class Hands(Protocol):
    """Who is told what the pointer does; times are event time in s."""

    def zoom(self, factor: float, at_s: float) -> None:
        """The wheel was turned."""

    def pan(self, by_s: float) -> None:
        """The page was dragged."""

    def visit(self, at_s: float) -> None:
        """A moment was clicked."""


def pen(colour: QColor, width: float = 1.0, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    """A pen of ``width`` logical pixels, whatever the scale of the plot."""
    made = QPen(colour, width, style)
    made.setCosmetic(True)
    made.setCapStyle(Qt.PenCapStyle.FlatCap)
    made.setJoinStyle(Qt.PenJoinStyle.BevelJoin)
    return made


class Shape(pg.GraphicsObject):  # type: ignore[misc]
    """Many figures of one colour, drawn at once: Qt takes long over a long path, and strokes it all anew for a pixel
    (pyqtgraph draws its own thick lines so, too)."""

    def __init__(self, primitive: type[QLineF | QRectF]) -> None:
        super().__init__()
        self._figures = pg.Qt.internals.PrimitiveArray(primitive, 4)
        self._box, self._wide = QRectF(), 0.0
        self._pixel: tuple[float, float] | None = None  # its width and height in the plot's units
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)

    def draw(self, figures: Float64) -> None:
        """Figures [k, 4]."""
        if not len(figures) and not len(self._figures):
            return
        self.prepareGeometryChange()
        self._figures.resize(len(figures))
        self._figures.ndarray()[:] = figures
        self._box = self._around(figures) if len(figures) else QRectF()
        self.update()

    def _around(self, figures: Float64) -> QRectF:
        raise NotImplementedError

    def boundingRect(self) -> QRectF:
        """In the plot's units, the width of the pen included."""
        if self._pixel is None:  # Qt asks often, and it is far to ask for
            self._pixel = self.pixelLength(pg.Point(1, 0)) or 0.0, self.pixelLength(pg.Point(0, 1)) or 0.0
        x, y = self._wide * self._pixel[0], self._wide * self._pixel[1]
        return self._box.adjusted(-x, -y, x, y)

    def viewTransformChanged(self) -> None:
        """Another scale."""
        super().viewTransformChanged()
        self.prepareGeometryChange()
        self._pixel = None


class Strokes(Shape):
    """Lines (x, y, x, y)."""

    def __init__(self, smooth: bool = True) -> None:
        super().__init__(QLineF)
        self._pen, self._smooth = QPen(), smooth

    def restyle(self, made: QPen) -> None:
        """Another pen."""
        self._pen, self._wide = made, made.widthF()
        self.update()

    def _around(self, figures: Float64) -> QRectF:
        x, y = figures[:, 0::2], figures[:, 1::2]
        return QRectF(QPointF(x.min(), y.min()), QPointF(x.max(), y.max()))

    def paint(self, painter: QPainter, *_: object) -> None:
        """Draws them."""
        if len(self._figures):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, self._smooth)
            painter.setPen(self._pen)
            painter.drawLines(*self._figures.drawargs())


class Bars(Shape):
    """Filled rectangles (x, y, width, height), edge to edge without a seam."""

    def __init__(self) -> None:
        super().__init__(QRectF)
        self._colour = QColor()

    def restyle(self, colour: QColor) -> None:
        """Another colour."""
        self._colour = colour
        self.update()

    def _around(self, figures: Float64) -> QRectF:
        low, high = figures[:, :2], figures[:, :2] + figures[:, 2:]
        return QRectF(QPointF(*low.min(0).tolist()), QPointF(*high.max(0).tolist()))

    def paint(self, painter: QPainter, *_: object) -> None:
        """Draws them."""
        if len(self._figures):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._colour)
            painter.drawRects(*self._figures.drawargs())


class TimeView(pg.ViewBox):  # type: ignore[misc]
    """A view whose range is the page's alone: the pointer's doings are told to ``hands``."""

    def __init__(self, hands: Hands) -> None:
        super().__init__(enableMenu=False, defaultPadding=0.0)
        self._hands = hands
        self.disableAutoRange()

    def wheelEvent(self, event: Any, axis: object = None) -> None:
        """A notch is a fifth."""
        at_s = self.mapSceneToView(event.scenePos()).x()
        self._hands.zoom(0.8 ** (event.delta() / 120.0), at_s)
        event.accept()

    def mouseDragEvent(self, event: Any, axis: object = None) -> None:
        """The moment under the pointer stays under it."""
        event.accept()
        if event.button() == Qt.MouseButton.LeftButton:
            was, now = self.mapSceneToView(event.lastScenePos()), self.mapSceneToView(event.scenePos())
            self._hands.pan(was.x() - now.x())

    def mouseClickEvent(self, event: Any) -> None:
        """Goes there."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self._hands.visit(self.mapSceneToView(event.scenePos()).x())


class TimeAxis(pg.AxisItem):  # type: ignore[misc]
    """Times in words, at full minutes and hours of the clock that they are said by. ``words``: of a time in s;
    ``shift_s``: what that clock is ahead of the time drawn by."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self.words: Callable[[float], str] = str
        self.shift_s = 0.0
        self.room_px = 90.0

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """One level, so far apart that words fit."""
        least = (maxVal - minVal) * self.room_px / max(size, 1.0)
        step = next((s for s in _TIMES_S if s >= least), math.ceil(least / 86400.0) * 86400)
        first = math.ceil((minVal + self.shift_s) / step) * step - self.shift_s
        return [(float(step), [float(value) for value in np.arange(first, maxVal, step)])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """In words."""
        return [self.words(value) for value in values]


class ScaleAxis(pg.AxisItem):  # type: ignore[misc]
    """A scale of values with round numbers on it, ``room_px`` from each other at least. factor: what it says of the
    values drawn by."""

    def __init__(self, side: str, factor: float = 1.0) -> None:
        super().__init__(side)
        self._factor = factor
        self.room_px = 20.0

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """One level."""
        least = (maxVal - minVal) * self.room_px / max(size, 1.0)
        step = next((s for s in _SCALE if s >= least), _SCALE[-1])
        return [(step, [float(value) for value in np.arange(math.ceil(minVal / step) * step, maxVal, step)])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """In its own unit."""
        return [f"{value * self._factor:.0f}" for value in values]
