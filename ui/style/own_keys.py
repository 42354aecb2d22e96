"""A dialog beside the waves whose keys are its own: none of them pauses, drops a sensor or quits behind it."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QDialog

from ui.style.look import Look

_BELOW, _BESIDE, _ABOVE = 70, 20, 50
"""Interface pixels: under the bar with the alarms, from the edge of the window, over the bar at its foot."""


class OwnKeysDialog(QDialog):
    """Not modal; Esc closes it. Where it is not the active window, those behind would have its keys."""

    def event(self, event: QEvent) -> bool:
        """No key that is pressed here is a shortcut of the window."""
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def place(self, look: Look, width: int, height: int) -> None:
        """As large as that, in pixels, where the window has the room: over the waves at its left, below the bar with
        the alarms, which it must not cover."""
        over = self.parentWidget()
        if over is None:
            self.resize(width, height)
            return
        below, beside = look.px(_BELOW), look.px(_BESIDE)
        room = over.height() - below - look.px(_ABOVE)
        self.resize(min(width, over.width() - 2 * beside), min(height, room))
        at = over.mapToGlobal(over.rect().topLeft())
        self.move(at.x() + beside, at.y() + below)
