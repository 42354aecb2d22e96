"""The marks of the replay bar: alarms over the groove, the taller the worse, annotations as notches, and what was
withheld below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPolygonF

from ui.bed.marks import EVENT, WITHHELD, Mark
from ui.style.language import tr
from ui.style.look import Look

HEIGHTS = {"high": 8.0, "medium": 5.0, "low": 3.0}
"""Of an alarm, in interface pixels: told by its shape as well as by its colour."""
TOLD = 8


def paint_marks(
    painter: QPainter, marks: Iterable[Mark], x_of: Callable[[float], float], now_s: float, groove: QRectF, look: Look
) -> float:
    """What goes on reaches to ``now_s``. Returns where the gaps may be drawn below."""
    unit, below = look.unit, groove.bottom() + 2 * look.unit
    painter.setPen(Qt.PenStyle.NoPen)
    found = sorted(marks, key=lambda mark: HEIGHTS.get(mark.kind, 99.0))  # the worse over the less
    for mark in found:
        left = x_of(mark.begin_s)
        width = max(1.5 * unit, x_of(max(mark.begin_s, now_s) if mark.end_s is None else mark.end_s) - left)
        if mark.kind == EVENT:
            top = groove.top() - 10 * unit
            notch = [QPointF(left - 3 * unit, top), QPointF(left + 3 * unit, top), QPointF(left, top + 5 * unit)]
            painter.setBrush(look.colour("text"))
            painter.drawPolygon(QPolygonF(notch))
        elif mark.kind == WITHHELD:
            painter.fillRect(QRectF(left, below, width, 2.4 * unit), look.colour("withheld"))
        else:
            height = HEIGHTS[mark.kind] * unit
            colour = look.theme.alarm.colours[mark.kind].lit
            painter.fillRect(QRectF(left, groove.top() - 1 * unit - height, width, height), colour)
    return below + 3.4 * unit if any(mark.kind == WITHHELD for mark in found) else below


def marks_at(marks: Iterable[Mark], time_s: float, near_s: float, words: Callable[[float], str]) -> list[str]:
    """A line for each mark at a time, ``near_s`` to either side. words: of a time."""
    found = [m for m in marks if m.begin_s - near_s <= time_s <= (m.begin_s if m.end_s is None else m.end_s) + near_s]
    lines = [f"{words(mark.begin_s)}  {mark.words}" for mark in found[:TOLD]]
    return [*lines, tr("and {number} more", number=len(found) - TOLD)] if len(found) > TOLD else lines
