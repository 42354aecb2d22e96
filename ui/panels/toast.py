"""A few words to the operator over the lower part of the window, for four seconds."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QLabel, QWidget

from ui.style.look import Look

STAYS_S = 4.0


class Toast(QLabel):
    """Hidden until there is something to say."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        self.setTextFormat(Qt.TextFormat.PlainText)  # names of tracks and files are no markup
        self._look = look
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def say(self, sentence: str) -> None:
        """Shows a sentence, in place of the last one; nothing for ""."""
        if not sentence:
            return
        self.setText(sentence)
        colours = self._look.theme.colour
        self.setStyleSheet(
            f"background: {colours['panel_edge']}; color: {colours['text']};"
            f" border-radius: 4px; padding: 7px 14px; font-size: {self._look.px(13)}px;"
        )
        self.adjustSize()
        self.place()
        self.show()
        self.raise_()
        self._timer.start(round(1000 * STAYS_S))

    def place(self) -> None:
        """In the middle of its parent, above the tiles."""
        room = self._over
        self.move((room.width() - self.width()) // 2, room.height() - self._look.px(150) - self.height())
