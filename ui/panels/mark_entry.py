"""The line in which an operator names a mark. The mark's time is that of the key, however long the typing takes."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QRect, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from ui.bed.flags import LONGEST_WORD
from ui.style.language import tr
from ui.style.look import Look
from ui.style.words import clock_words


class MarkEntry(QLineEdit):
    """Hidden until :meth:`ask`. on_mark: gets event time in s and word ("" for none)."""

    def __init__(self, look: Look, on_mark: Callable[[float, str], None], parent: QWidget) -> None:
        super().__init__(parent)
        self._look, self._on_mark = look, on_mark
        self._time_s = 0.0
        self.setMaxLength(LONGEST_WORD)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.returnPressed.connect(self._done)
        self.hide()

    def ask(self, time_s: float, room: QRect) -> None:
        """A mark at an event time wants a word; nothing is set before Enter. room: of the parent, at whose foot it is
        asked."""
        look = self._look
        self._time_s = time_s
        self.setPlaceholderText(
            tr("Mark at {time}: a word, no names — Enter sets it, Esc does not", time=clock_words(time_s))
        )
        self.setStyleSheet(
            f"background: {look.theme.colour['panel']}; color: {look.theme.colour['text']};"
            f" border: 2px solid {look.theme.colour['accent']}; border-radius: 4px; font-size: {look.px(15)}px;"
        )
        self.clear()
        self.resize(min(look.px(560), room.width() - 20), look.px(38))
        self.move(room.center().x() - self.width() // 2, room.bottom() - look.px(10) - self.height())
        self.show()
        self.raise_()
        self.setFocus()

    def event(self, event: QEvent) -> bool:
        """Enter is for this line while it is open, whatever else the key means in the window."""
        enter = isinstance(event, QKeyEvent) and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def _done(self) -> None:
        self.hide()
        self._on_mark(self._time_s, self.text().strip())
