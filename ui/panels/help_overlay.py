"""The list of keys, over the whole window, drawn from the table of shortcuts."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.panels.shortcuts import SHORTCUTS, Shortcut
from ui.style.language import tr
from ui.style.look import Look, draw_text

_FOOT = (
    "Estimated channels are drawn dashed, pale, with an uncertainty band and the word ESTIMATED; "
    "the strip below a wave shows second by second whether it was measured."
)


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
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(0, 0, 0, 170))
        groups: dict[str, list[Shortcut]] = {}
        for shortcut in SHORTCUTS:
            groups.setdefault(shortcut.group, []).append(shortcut)
        line = 24 * unit
        columns = [
            ("Replay", "Past of a live bed", "Sensors"),
            ("Frozen waves", "Waves"),
            ("Screen",),
            ("Alarms", "Sound", "Trends"),
        ]
        height = 92 * unit + line * max(sum(len(groups[name]) + 2 for name in column) for column in columns)
        box = QRectF(0, 0, min(self.width() - 40, 1440 * unit), min(self.height() - 20, height))
        box.moveCenter(QRectF(self.rect()).center())
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.setBrush(look.colour("panel"))
        painter.drawRoundedRect(box, 8 * unit, 8 * unit)
        draw_text(
            painter,
            box.left() + 26 * unit,
            box.top() + 36 * unit,
            tr("Keys"),
            look.font(18, True),
            look.colour("text"),
        )
        for number, column in enumerate(columns):
            x = box.left() + 26 * unit + number * (box.width() - 40 * unit) / len(columns)
            y = box.top() + 66 * unit
            for name in column:
                draw_text(painter, x, y, tr(name).upper(), look.font(10.5, True), look.colour("text_faint"))
                y += line
                for shortcut in groups[name]:
                    self._line(painter, x, y, shortcut, (box.width() - 40 * unit) / len(columns) - 12 * unit)
                    y += line
                y += line * 0.6
        font = look.font(11)
        painter.setFont(font)
        painter.setPen(look.colour("text_soft"))
        foot = QRectF(box.left() + 26 * unit, box.bottom() - 44 * unit, box.width() - 52 * unit, 36 * unit)
        painter.drawText(foot, int(Qt.TextFlag.TextWordWrap), tr(_FOOT))
        painter.end()

    def _line(self, painter: QPainter, x: float, y: float, shortcut: Shortcut, room: float) -> None:
        look, unit = self._look, self._look.unit
        font = look.font(11.5, True)
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
        draw_text(painter, left, y, said, look.fitted(said, 12, x + room - left), look.colour("text_soft"))
