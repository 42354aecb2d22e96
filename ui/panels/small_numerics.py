"""The strip of small numerics under the waves: what the device measured itself, painted when it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from ui.bed.small_numbers import SmallNumber
from ui.panels.bell import draw_bell_off
from ui.panels.flashes import Flash, draw_flash
from ui.style.look import Look, draw_text, elided, mixed

HEIGHT = 52
_VALUE, _LEAST_CELL = 27.0, 150.0  # interface pixels
_SHARES = {"nibp": 1.7}  # of the width, where one is not enough


class SmallNumerics(QWidget):
    """On show once there is one. on_limits: called by a click."""

    def __init__(self, look: Look, on_limits: Callable[[], object]) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._look, self._on_limits = look, on_limits
        self.numbers: tuple[SmallNumber, ...] = ()
        self.flashes: dict[str, Flash] = {}
        self.hide()

    def show_numbers(self, numbers: Sequence[SmallNumber], flashes: dict[str, Flash]) -> None:
        """flashes: of the alarm about a number, by its name."""
        if (tuple(numbers), flashes) == (self.numbers, self.flashes):
            return
        self.numbers, self.flashes = tuple(numbers), flashes
        self.setVisible(bool(numbers))
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Opens the list of limits."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._on_limits()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws them from the left; all have a place at every width."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), look.colour("background"))
        painter.setPen(QPen(look.colour("line"), 1))
        painter.drawLine(QLineF(0, 0.5, self.width(), 0.5))
        shares = [_SHARES.get(number.name, 1.0) for number in self.numbers]
        room = self.width() - 36 * unit
        each = min(room / sum(shares), 1.6 * _LEAST_CELL * unit) if shares else 0.0
        x = 30 * unit
        for number, share in zip(self.numbers, shares, strict=True):
            self._cell(painter, QRectF(x, 0, share * each, self.height()), number)
            x += share * each
        painter.end()

    def _cell(self, painter: QPainter, area: QRectF, number: SmallNumber) -> None:
        look, unit = self._look, self._look.unit
        colour = look.colour("text") if number.sensor is None else look.modality(number.sensor)
        if number.held:
            colour = look.colour("stale")
        baseline, right = area.top() + 16 * unit, area.right() - 14 * unit
        x = area.left() + draw_text(painter, area.left(), baseline, number.label, look.font(12, True), colour)
        x += 7 * unit
        x += draw_text(painter, x, baseline, number.unit, look.font(10.5), look.colour("text_soft"))
        self._limits(painter, x + 8 * unit, right, baseline, number)
        font = look.fitted(number.value, _VALUE, right - area.left(), True)
        metrics = QFontMetricsF(font)
        base = area.bottom() - 9 * unit
        width = metrics.horizontalAdvance(number.value)
        ink = mixed(colour, look.colour("background"), 0.3) if number.invalid else colour
        if (flash := self.flashes.get(number.name)) is not None:
            box = QRectF(area.left() - 5 * unit, base - metrics.capHeight() - 5 * unit, width + 10 * unit, 0.0)
            box.setBottom(base + 5 * unit)
            ink = draw_flash(painter, look, box, flash) or ink
        draw_text(painter, area.left(), base, number.value, font, ink)
        note_font, left = look.font(11.5), area.left() + width + 9 * unit
        note = elided(number.note, note_font, max(0.0, right - left))
        draw_text(painter, left, base, note, note_font, look.colour("text_soft"))

    def _limits(self, painter: QPainter, left: float, right: float, baseline: float, number: SmallNumber) -> None:
        look, unit, limits = self._look, self._look.unit, number.limits
        font = look.font(10.5)
        if not limits.text or left + QFontMetricsF(font).horizontalAdvance(limits.text) + 20 * unit > right:
            return
        if limits.silent:
            draw_bell_off(painter, QRectF(left, baseline - 11 * unit, 14 * unit, 14 * unit), look.colour("text_soft"))
            left += 18 * unit
        draw_text(painter, left, baseline, limits.text, font, look.colour("text_faint"))
