"""What the start page is made of: a card to press, fields to write into, and keys that stay in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton, QSizePolicy

from ui.style.labels import plain_label
from ui.style.look import Look, draw_text, elided, mixed, scroll_bar_style
from ui.style.words import tooltip_words

HEIGHT = 58
Key = Qt.Key
OWN_KEYS = (
    Key.Key_Tab, Key.Key_Backtab, Key.Key_Up, Key.Key_Down, Key.Key_Left, Key.Key_Right, Key.Key_Return, Key.Key_Enter,
    Key.Key_Space,
)  # fmt: skip
"""Of whoever has the focus here, rather than of the display's shortcuts."""


def asked_key(event: QEvent) -> QKeyEvent | None:
    """The key of which the event asks whether it is for who has the focus; None where it asks nothing, or the key is
    pressed with more than Shift."""
    if event.type() != QEvent.Type.ShortcutOverride:
        return None
    key = cast(QKeyEvent, event)
    more = key.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
    return None if more else key


def keeps(event: QEvent, keys: Iterable[Qt.Key] = OWN_KEYS) -> bool:
    """Whether the event asks if a key is one of ``keys``, which then comes to who has the focus."""
    key = asked_key(event)
    if key is None or key.key() not in [int(one) for one in keys]:
        return False
    event.accept()
    return True


class Card(QPushButton):
    """Two lines to press: ``title`` and, softer, ``detail``. Return and Space press it, as a click does."""

    def __init__(self, look: Look, title: str, detail: str, tip: str = "") -> None:
        super().__init__()
        self._look, self.title, self.detail = look, title, detail
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAutoDefault(True)  # Return presses it outside of dialogs too
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setToolTip(tooltip_words(tip or f"{title}\n{detail}"))
        self.setAccessibleName(title)
        self.setAccessibleDescription(detail)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The arrows are the page's, which knows where the cards lie."""
        if event.key() in (Key.Key_Up, Key.Key_Down, Key.Key_Left, Key.Key_Right):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        """As high as two lines."""
        return QSize(self._look.px(260), self._look.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Its words are shortened where there is no room."""
        return QSize(self._look.px(120), self._look.px(HEIGHT))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draws it: brighter under the pointer, outlined with the focus, faint where it cannot be pressed."""
        look, unit = self._look, self._look.unit
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        on = self.isEnabled()
        ground = look.colour("panel")
        if on and (self.underMouse() or self.isDown()):
            ground = mixed(ground, look.colour("accent"), 0.45 if self.isDown() else 0.22)
        focus = self.hasFocus()
        edge = look.colour("text") if focus else look.colour("panel_edge")
        painter.setPen(QPen(edge, max(1.0, (2.0 if focus else 1.0) * unit)))
        painter.setBrush(ground)
        painter.drawRoundedRect(box, 6 * unit, 6 * unit)
        left, room = 18 * unit, self.width() - 36 * unit
        title, detail = look.font(15, True), look.font(12)
        middle = self.height() / 2
        first = look.colour("text" if on else "text_faint")
        draw_text(painter, left, middle - 3 * unit, elided(self.title, title, room), title, first)
        second = look.colour("text_soft" if on else "text_faint")
        draw_text(painter, left, middle + 17 * unit, elided(self.detail, detail, room), detail, second)
        painter.end()


class Choosing(QComboBox):
    """A drop-down list whose arrow is as large as the window asks for."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def paintEvent(self, event: QPaintEvent) -> None:
        """The field, and the arrow over it."""
        super().paintEvent(event)
        unit = self._look.unit
        right, middle = self.width() - 16 * unit, self.height() / 2
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._look.colour("text_soft"), 1.6 * unit))
        painter.drawPolyline(
            [QPointF(right + x * unit, middle + y * unit) for x, y in ((-5, -2.5), (0, 2.5), (5, -2.5))]
        )
        painter.end()


def wrapped_label() -> QLabel:
    """A plain label of one or more lines."""
    label = plain_label()
    label.setWordWrap(True)
    return label


def field_style(look: Look) -> str:
    """Of line edits, drop-down lists and small buttons, at the window's present size."""
    c = look.theme.colour
    radius, pad, focus = look.px(5), look.px(10), max(1, look.px(2))
    return (
        f"QLineEdit, QComboBox, QPushButton#small {{ background: {c['background']}; color: {c['text']};"
        f" border: 1px solid {c['panel_edge']}; border-radius: {radius}px; padding: {look.px(6)}px {pad}px;"
        f" font-size: {look.px(13)}px; selection-color: {c['on_accent']}; selection-background-color: {c['accent']}; }}"
        f" QLineEdit:focus, QComboBox:focus, QPushButton#small:focus {{ border: {focus}px solid"
        f" {c['text']}; padding: {look.px(6) + 1 - focus}px {pad + 1 - focus}px; }}"
        f" QPushButton#small {{ background: {c['panel']}; }}"
        f" QPushButton#small:hover {{ background: {c['panel_edge']}; }}"
        f" QPushButton#small:disabled {{ color: {c['text_faint']}; }}"
        f" QComboBox QAbstractItemView {{ background: {c['panel']}; color: {c['text']};"
        f" selection-color: {c['on_accent']}; selection-background-color: {c['accent']}; font-size: {look.px(13)}px; }}"
        f" QComboBox::drop-down {{ border: none; width: {look.px(26)}px; }} QComboBox::down-arrow {{ image: none; }}"
        f" QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; border: none; }}"
        + scroll_bar_style(look)
    )
