"""The sign beside the alarm area: whether the monitor can be heard, how loud, and what the beat tone is of."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from ui.sound.sign import SoundWords
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.style.words import tooltip_words

WIDTH = 128
WORDS = (
    *("SOUND ON", "SOUND OFF", "NO SOUND", "SILENT", "Shift+M: on"),
    *("opening the audio device", "audio device lost", "audio device failed"),
    *("no audio device", "sound library missing", "paused", "ended", "waiting"),
)
"""What :mod:`ui.sound` has to say, as it is translated; the states of silence are those of the alarm area."""
KEYS = "V louder, Shift+V softer, Ctrl+B beat tone, Shift+M sound on or off"


class SoundSign(QWidget):
    """``words``: what it says, None before anything is known."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.words: SoundWords | None = None

    def say(self, words: SoundWords, more: str = "") -> None:
        """Draws it; nothing if it is the same. more: for the tooltip."""
        if words != self.words:
            self.words = words
            self.update()
        self.setToolTip(
            tooltip_words("\n".join(filter(None, (f"{tr(words.head)}: {tr(words.detail)}", more, tr(KEYS)))))
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws loudspeaker and words."""
        if self.words is None:
            return
        look, unit, words = self._look, self._look.unit, self.words
        style = look.theme.alarm.colours["medium"]
        ink = QColor(style.ink) if words.warns else look.colour("text" if not words.crossed else "text_soft")
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 4 * unit, -0.5, -4 * unit)
        painter.setPen(QPen(look.colour("panel_edge"), 1))
        painter.setBrush(QColor(style.lit) if words.warns else look.colour("panel"))
        painter.drawRoundedRect(box, 3 * unit, 3 * unit)
        place = QRectF(box.left() + 7 * unit, box.center().y() - 10 * unit, 20 * unit, 20 * unit)
        _loudspeaker(painter, place, ink, words.crossed)
        left, room = box.left() + 33 * unit, box.width() - 38 * unit
        said, detail = tr(words.head), tr(words.detail)
        head = look.fitted(said, 12, room, bold=True)
        draw_text(painter, left, box.center().y() - 3 * unit, said, head, ink)
        small = look.fitted(detail, 11, room)
        base = box.center().y() + 5 * unit + QFontMetricsF(small).capHeight()
        draw_text(painter, left, base, elided(detail, small, room), small, ink)
        painter.end()


def _loudspeaker(painter: QPainter, place: QRectF, ink: QColor, crossed: bool) -> None:
    """A box with a horn; beside it two waves, or across it a cross."""

    def at(x: float, y: float) -> QPointF:
        return QPointF(place.left() + x * place.width(), place.top() + y * place.height())

    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ink)
    horn = [(0.0, 0.33), (0.22, 0.33), (0.52, 0.08), (0.52, 0.92), (0.22, 0.67), (0.0, 0.67)]
    painter.drawPolygon(QPolygonF([at(x, y) for x, y in horn]))
    painter.setPen(QPen(ink, place.width() * 0.09, c=Qt.PenCapStyle.RoundCap))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if crossed:
        painter.drawLine(at(0.64, 0.32), at(1.0, 0.68))
        painter.drawLine(at(0.64, 0.68), at(1.0, 0.32))
        return
    for radius in (0.20, 0.40):
        circle = QRectF(at(0.52 - radius, 0.5 - radius), at(0.52 + radius, 0.5 + radius))
        painter.drawArc(circle, -45 * 16, 90 * 16)
