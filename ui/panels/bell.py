"""The crossed bell of IEC 60417-5576: no alarm can come of what it stands beside, or alarms are silent."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen


def draw_bell_off(painter: QPainter, box: QRectF, colour: QColor, dashed: bool = False) -> None:
    """A bell under a cross, in ``box``. dashed: of a silence that ends by itself."""
    size, centre = min(box.width(), box.height()), box.center()

    def at(x: float, y: float) -> QPointF:
        return QPointF(centre.x() + x * size, centre.y() + y * size)

    bell = QPainterPath(at(-0.36, 0.26))
    bell.cubicTo(at(-0.22, 0.14), at(-0.28, -0.40), at(0.0, -0.40))
    bell.cubicTo(at(0.28, -0.40), at(0.22, 0.14), at(0.36, 0.26))
    bell.closeSubpath()
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawPath(bell)
    painter.drawEllipse(at(0.0, 0.34), 0.09 * size, 0.09 * size)
    pen = QPen(colour, max(1.3, 0.09 * size))
    if dashed:
        pen.setDashPattern([1.6, 1.4])
    painter.setPen(pen)
    painter.drawLine(QLineF(at(-0.48, -0.46), at(0.48, 0.46)))
    painter.drawLine(QLineF(at(-0.48, 0.46), at(0.48, -0.46)))
    painter.restore()
