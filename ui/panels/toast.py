"""A few words to the operator over the lower part of the waves, for four seconds."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, QTimer
from PySide6.QtWidgets import QLabel, QWidget

from ui.style.look import Look

STAYS_S = 4.0


class Toast(QLabel):
    """Hidden until there is something to say."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names of tracks and files are no markup
        self._look = look
        self._room = QRect(0, 0, 1, 1)
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
        self._place()
        self.show()
        self.raise_()
        self._timer.start(round(1000 * STAYS_S))

    def give_room(self, room: QRect) -> None:
        """Where it may lie: what it covers is not read by whoever reads a number that it covers half."""
        if room != self._room:
            self._room = room
            self._place()

    def _place(self) -> None:
        """In the middle of the room, at its foot; in several lines where one is too wide."""
        room, margin = self._room, self._look.px(10)
        self.setWordWrap(False)
        size = self.sizeHint()
        if size.width() > room.width() - 2 * margin > 0:
            self.setWordWrap(True)
            size = QSize(room.width() - 2 * margin, self.heightForWidth(room.width() - 2 * margin))
        self.resize(size)
        self.move(room.center().x() - size.width() // 2, room.bottom() - margin - size.height())
