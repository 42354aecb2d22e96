"""The bands of a risk by shape as well as by colour: a circle, a triangle, a square; an open ring where there is none.

One man in twelve does not tell red from green; the shapes are the theme's (``[prediction] shapes``).
"""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from ui.style.look import Look


def band_colour(look: Look, band: str, dim: bool = False) -> QColor:
    """dim: it is not of now."""
    if not band or dim:
        return look.colour("stale")
    return look.colour("text" if band == "plain" else f"risk_{band}")


def draw_mark(painter: QPainter, centre: QPointF, radius: float, band: str, look: Look, colour: QColor) -> None:
    """The shape of a band; of none, and beside a high alarm ("plain"), a ring."""
    shape = look.theme.prediction.shapes.get(band, "")
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    if shape == "circle":
        painter.drawEllipse(centre, radius, radius)
    elif shape == "triangle":
        up = radius * 1.15
        corners = [QPointF(0, -up), QPointF(up, up * 0.85), QPointF(-up, up * 0.85)]
        painter.drawPolygon(QPolygonF([centre + corner for corner in corners]))
    elif shape == "square":
        painter.drawRect(QRectF(centre.x() - radius, centre.y() - radius, 2 * radius, 2 * radius))
    else:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, max(1.0, radius * 0.3)))
        painter.drawEllipse(centre, radius * 0.8, radius * 0.8)
    painter.restore()
