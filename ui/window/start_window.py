"""The window of the start page, before there is a session to show."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QMainWindow, QToolTip, QWidget

from ui.style.look import Look
from ui.style.theme import Theme

SIZE = (1456, 819)
SMALLEST = (1024, 640)


class StartWindow(QMainWindow):
    """page: made with the window's look. open_file: asked for by Ctrl+O. font_scale: of all that is written."""

    def __init__(
        self, theme: Theme, font_scale: float, page: Callable[[Look], QWidget], open_file: Callable[[], None]
    ) -> None:
        super().__init__()
        self.look = Look(theme, font_scale)
        self.setWindowTitle("Vigil")
        self.page = page(self.look)
        self.setCentralWidget(self.page)
        self.resize(*SIZE)
        self.setMinimumSize(*SMALLEST)
        for key, does in (
            ("Ctrl+O", open_file),
            ("Esc", self.close),
            ("Ctrl+Q", self.close),
            ("F11", self.toggle_full_screen),
        ):
            QShortcut(QKeySequence(key), self).activated.connect(lambda does=does: does())

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to a window."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fits sizes and fonts to the window."""
        self.look.set_window(self.width(), self.height())
        QToolTip.setFont(self.look.font(13))
        super().resizeEvent(event)
