"""The top line: what is on show, the alarms, and what this program is not for."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from ui.alarm_view import AlarmChip
from ui.look import Look, draw_text, elided, mixed

DISCLAIMER = "Research and teaching only — not for clinical decisions"
_SHORT = "Not for clinical decisions"


class TopBar(QWidget):
    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look = look
        self._bed = self._source = ""
        self.chips: tuple[AlarmChip, ...] = ()
        self.setToolTip(DISCLAIMER)

    def show_state(self, bed: str, source: str, chips: tuple[AlarmChip, ...]) -> None:
        if (bed, source, chips) != (self._bed, self._source, self.chips):
            self._bed, self._source, self.chips = bed, source, chips
            self.update()

    def _chip_colours(self, chip: AlarmChip) -> tuple[QColor, QColor]:
        """Fill and text."""
        look = self._look
        back = look.colour("panel")
        name = "alarm_technical" if chip.kind == "technical" else f"alarm_{chip.priority}"
        colour = look.colour(name if name in look.theme.colour else "alarm_low")
        if chip.priority == "high" and chip.lit:
            return colour, QColor("white")
        return mixed(colour, back, 0.72 if chip.lit else 0.92), mixed(colour, back, 0.0 if chip.lit else 0.35)

    def paintEvent(self, event: QPaintEvent) -> None:
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("panel"))
        middle = self.height() / 2
        bold, soft = look.font(15, True), look.font(12.5)
        base = middle + QFontMetricsF(bold).capHeight() / 2
        width = self.width()
        x = 18 * unit
        x += draw_text(painter, x, base, self._bed, bold, look.colour("text")) + 16 * unit
        words = DISCLAIMER if width > 1180 * unit else _SHORT
        right = (
            width
            - 18 * unit
            - draw_text(painter, width - 18 * unit, base, words, look.font(11.5), look.colour("text_soft"), right=True)
        )
        chips_width = self._chips_width()
        start = max(x, min((width - chips_width) / 2, right - chips_width - 12 * unit))
        room = (start if self.chips else right) - x - 14 * unit
        draw_text(painter, x, base, elided(self._source, soft, max(0.0, room)), soft, look.colour("text_soft"))
        self._paint_chips(painter, start, max(60.0, right - 12 * unit - start))
        painter.end()

    def _chip_words(self, chip: AlarmChip) -> str:
        return chip.text + (f"   +{chip.more}" if chip.more else "")

    def _chips_width(self) -> float:
        metrics = QFontMetricsF(self._look.font(13, True))
        unit = self._look.unit
        # A fixed least width keeps the place of a chip while several take turns.
        return sum(
            max(150 * unit, metrics.horizontalAdvance(self._chip_words(c)) + 24 * unit) + 8 * unit for c in self.chips
        )

    def _paint_chips(self, painter: QPainter, x: float, room: float) -> None:
        look, unit = self._look, self._look.unit
        font = look.font(13, True)
        metrics = QFontMetricsF(font)
        share = room / max(1, len(self.chips))
        for chip in self.chips:
            fill, ink = self._chip_colours(chip)
            words = self._chip_words(chip)
            width = min(max(150 * unit, metrics.horizontalAdvance(words) + 24 * unit), share - 8 * unit)
            box = QRectF(x, 5 * unit, width, self.height() - 10 * unit)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawRoundedRect(box, 3 * unit, 3 * unit)
            base = box.center().y() + metrics.capHeight() / 2
            draw_text(painter, x + 11 * unit, base, elided(words, font, width - 16 * unit), font, ink)
            x += width + 8 * unit


class Banner(QWidget):
    """A sentence over the full width: the session has failed, the stream is silent, the recording is at its end."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.words = ""
        self.urgent = False
        self.hide()

    def say(self, words: str, urgent: bool) -> None:
        """Show ``words``; "" hides the banner."""
        if (words, urgent) == (self.words, self.urgent):
            return
        self.words, self.urgent = words, urgent
        self.setToolTip(words)
        self.setVisible(bool(words))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        look = self._look
        painter = QPainter(self)
        colour = look.colour("alarm_high") if self.urgent else look.colour("accent")
        painter.fillRect(self.rect(), mixed(colour, look.colour("background"), 0.15 if self.urgent else 0.55))
        font = look.font(13.5, True)
        words = elided(self.words, font, self.width() - 36 * look.unit)
        base = self.height() / 2 + QFontMetricsF(font).capHeight() / 2
        draw_text(painter, 18 * look.unit, base, words, font, QColor("white"))
        painter.end()
