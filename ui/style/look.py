"""The theme in Qt's terms: colours, fonts and the size of one interface pixel at the window's present size."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from models.signals.modalities import Modality
from ui.style.theme import Theme

_DESIGN_HEIGHT = 819.0


class Look:
    """``unit``: logical pixels per interface pixel; interface sizes are those of a window 819 high, times ``scale``,
    which the user chooses; the waves have what is left."""

    def __init__(self, theme: Theme, scale: float = 1.0) -> None:
        self.unit = 1.0
        self._fonts: dict[tuple[float, bool], QFont] = {}
        self.choose(theme, scale)

    def choose(self, theme: Theme, scale: float) -> None:
        """Another theme and size of what is written; what is painted anew has them, after :meth:`set_window`."""
        self.theme = theme
        self._scale = scale
        self._colours: dict[str, QColor] = {name: QColor(value) for name, value in theme.colour.items()}

    def set_window(self, width: float, height: float) -> None:
        """Choose the unit so that 1024 x 640 stays legible and 4K does not look empty."""
        self.unit = self._scale * min(2.6, max(0.84, min(height / _DESIGN_HEIGHT, width / 1300.0)))
        self._fonts.clear()

    def px(self, size: float) -> int:
        """Interface pixels in whole logical pixels."""
        return round(size * self.unit)

    def colour(self, name: str) -> QColor:
        """A colour of the theme by name."""
        return self._colours[name]

    def modality(self, modality: Modality) -> QColor:
        """The colour of measured waves and numbers."""
        return QColor(self.theme.lanes[modality].colour)

    def estimated(self, modality: Modality) -> QColor:
        """The colour of estimated waves and numbers."""
        return QColor(self.theme.lanes[modality].estimated)

    def font(self, size: float, bold: bool = False, ratio: float = 1.0) -> QFont:
        """A font of ``size`` interface pixels; ``ratio`` for painting in device pixels."""
        pixels = max(7.0, size * self.unit) * ratio
        key = (round(pixels, 1), bold)
        font = self._fonts.get(key)
        if font is None:
            font = QFont()
            font.setFamilies(self.theme.font_families)
            font.setPixelSize(round(pixels))
            font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
            self._fonts[key] = font
        return font

    def fitted(self, text: str, size: float, room: float, bold: bool = False) -> QFont:
        """The font of ``size`` or, where ``text`` would be wider than ``room`` logical pixels, a smaller one."""
        font = self.font(size, bold)
        width = QFontMetricsF(font).horizontalAdvance(text)
        if width <= room or width == 0:
            return font
        return self.font(max(8.0, size * room / width * 0.98), bold)


def scroll_bar_style(look: Look) -> str:
    """Of upright scroll bars: a handle and nothing else."""
    c = look.theme.colour
    return (
        f" QScrollBar:vertical {{ background: transparent; width: {look.px(8)}px; margin: 0; border: none; }}"
        f" QScrollBar::handle:vertical {{ background: {c['text_faint']}; border-radius: {look.px(4)}px;"
        f" min-height: {look.px(30)}px; }} QScrollBar::handle:vertical:hover {{ background: {c['accent']}; }}"
        " QScrollBar::add-line:vertical, QScrollBar::sub-line:vertical { height: 0; }"
        " QScrollBar::add-page:vertical, QScrollBar::sub-page:vertical { background: transparent; }"
    )


def mixed(colour: QColor, other: QColor, share: float) -> QColor:
    """``share`` of ``other`` in ``colour``."""
    keep = 1.0 - share
    return QColor.fromRgbF(
        colour.redF() * keep + other.redF() * share,
        colour.greenF() * keep + other.greenF() * share,
        colour.blueF() * keep + other.blueF() * share,
    )


def draw_text(
    painter: QPainter, x: float, baseline: float, text: str, font: QFont, colour: QColor, right: bool = False
) -> float:
    """Draw ``text`` on ``baseline`` from ``x`` (or ending at it) and return its width."""
    painter.setFont(font)
    painter.setPen(colour)
    width = QFontMetricsF(font).horizontalAdvance(text)
    painter.drawText(QRectF(x - width if right else x, baseline - 200.0, width + 2, 200.0).bottomLeft(), text)
    return width


def elided(text: str, font: QFont, room: float) -> str:
    """The text, or its beginning and an ellipsis, in ``room`` logical pixels."""
    return QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideRight, room)
