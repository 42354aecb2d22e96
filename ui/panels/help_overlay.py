"""The list of keys, over the whole window, drawn from the table of shortcuts."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.panels.shortcuts import SHORTCUTS, Shortcut
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided

_FOOT = (
    "Estimated channels are drawn dashed, pale, with an uncertainty band and the word ESTIMATED; "
    "the strip below a wave shows second by second whether it was measured."
)

_GROUPS = (
    "Replay", "Past of a live bed", "Sensors", "Frozen waves", "Waves", "Screen", "Alarms", "Sound", "Trends",
)  # fmt: skip
_LINE, _COLUMN, _WIDEST, _AROUND = 24.0, 340.0, 420.0, 116.0
"""Interface pixels: height of a line, a column that most words fit in, one that all do, title and foot."""
_MOST_COLUMNS = 4
Column = list[Shortcut | str]


def laid_out(room: QSizeF, most: float) -> tuple[list[Column], float]:
    """The keys in columns, each line a shortcut, the heading of a group or "" between two; and how many pixels an
    interface pixel has, at most ``most``: as many as ``room`` allows with the number of columns that allows most."""
    found: tuple[list[Column], float] = [], 0.0
    for count in range(_MOST_COLUMNS, 1, -1):
        columns = _columns(count)
        high = room.height() / (_AROUND + _LINE * max(map(len, columns)))
        unit = min(most, high, room.width() / (_COLUMN * count))
        if unit > found[1]:
            found = columns, unit
    return found


def _columns(count: int) -> list[Column]:
    """As even as can be; a group may go on in the next column, but no heading is left alone at the foot of one."""
    lines: Column = []
    for group in _GROUPS:
        lines += ["", group, *(shortcut for shortcut in SHORTCUTS if shortcut.group == group)]
    height = -(-len(lines) // count)
    while True:
        columns: list[Column] = []
        left = lines
        while left and len(columns) < count:
            while left and left[0] == "":
                left = left[1:]
            end = height
            while 0 < end < len(left) and isinstance(left[end - 1], str):
                end -= 1
            columns.append(left[:end])
            left = left[end:]
        if not left:
            return columns
        height += 1


class HelpOverlay(QWidget):
    """Hidden until asked for; a click or the key again puts it away."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self.hide()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Puts the help away."""
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws the shortcuts by group."""
        look, room = self._look, QSizeF(self.width() - 40, self.height() - 20)
        columns, unit = laid_out(room, look.unit)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(0, 0, 0, 170))
        size = QSizeF(_WIDEST * len(columns), _AROUND + _LINE * max(map(len, columns)))
        box = QRectF(QPointF(), (size * unit).boundedTo(room))
        box.moveCenter(QRectF(self.rect()).center())
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.setBrush(look.colour("panel"))
        painter.drawRoundedRect(box, 8 * unit, 8 * unit)
        left, share = box.left() + 26 * unit, unit / look.unit
        title = look.font(18 * share, True)
        draw_text(painter, left, box.top() + 36 * unit, tr("Keys"), title, look.colour("text"))
        step = (box.width() - 40 * unit) / len(columns)
        for number, column in enumerate(columns):
            for place, line in enumerate(column):
                x, y = left + number * step, box.top() + (66 + place * _LINE) * unit
                if isinstance(line, Shortcut):
                    self._line(painter, x, y, line, step - 12 * unit, unit)
                elif line:
                    font = look.font(10.5 * share, True)
                    draw_text(painter, x, y, tr(line).upper(), font, look.colour("text_faint"))
        painter.setFont(look.font(11 * share))
        painter.setPen(look.colour("text_soft"))
        foot = QRectF(left, box.bottom() - 44 * unit, box.width() - 52 * unit, 36 * unit)
        painter.drawText(foot, int(Qt.TextFlag.TextWordWrap), tr(_FOOT))
        painter.end()

    def _line(self, painter: QPainter, x: float, y: float, shortcut: Shortcut, room: float, unit: float) -> None:
        look, share = self._look, unit / self._look.unit
        font = look.font(11.5 * share, True)
        metrics = QFontMetricsF(font)
        at = x
        for key in shortcut.keys:
            text = key.replace("Left", "←").replace("Right", "→").replace("+Up", "+↑").replace("+Down", "+↓")
            width = max(20 * unit, metrics.horizontalAdvance(text) + 11 * unit)
            painter.setPen(QPen(look.colour("accent"), 1))
            painter.setBrush(look.colour("background"))
            painter.drawRoundedRect(QRectF(at, y - 14 * unit, width, 19 * unit), 3 * unit, 3 * unit)
            draw_text(
                painter,
                at + (width - metrics.horizontalAdvance(text)) / 2,
                y,
                text,
                font,
                look.colour("text"),
            )
            at += width + 5 * unit
        left = max(x + 96 * unit, at + 4 * unit)
        said = tr(shortcut.words)
        words, room = look.font(12 * share), x + room - left
        wide = QFontMetricsF(words).horizontalAdvance(said)
        if wide > room:
            words = look.font(share * max(9.0, 12 * room / wide))
        draw_text(painter, left, y, elided(said, words, room), words, look.colour("text_soft"))
