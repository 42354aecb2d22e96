"""How an estimate is written: outlined, smaller than a measured number, and the word ESTIMATED to be read from afar."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen

from ui.style.words import ESTIMATED

SHARE = 0.6
"""Of the size that a measured number has in the same place."""
READ_FROM_MM, ARC_MIN, LEAST_ARC_MIN = 3000.0, 20.0, 16.0
"""From so far the word is to be read. ISO 9241-303: capitals of 20 to 22 minutes of arc, at least 16."""
CAP_MM = READ_FROM_MM * math.tan(math.radians(ARC_MIN / 60.0))
"""Height of the capitals: 17.5 mm, a 170th of the distance; 16 minutes are 14 mm."""
_STROKE = 0.045  # of the font's size


def draw_outlined(painter: QPainter, x: float, baseline: float, text: str, font: QFont, colour: QColor) -> float:
    """Draw the outline of ``text`` on ``baseline`` from ``x``, hollow; returns its width."""
    pen = QPen(colour, max(1.0, _STROKE * font.pixelSize()))
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    path = QPainterPath()
    path.addText(QPointF(x, baseline), font, text)
    painter.strokePath(path, pen)
    return QFontMetricsF(font).horizontalAdvance(text)


def cap_sized(font: QFont, cap_px: float, room_px: float, text: str = ESTIMATED) -> QFont:
    """``font`` with capitals ``cap_px`` high, or lower where ``text`` would be wider than ``room_px``."""
    sized = QFont(font)
    sized.setPixelSize(100)
    metrics = QFontMetricsF(sized)
    per_px = metrics.capHeight() / 100.0
    width_per_px = max(metrics.horizontalAdvance(text), 1.0) / 100.0
    sized.setPixelSize(max(7, math.floor(min(cap_px / per_px, room_px / width_per_px))))
    return sized
