"""A dialog beside the waves whose keys are its own: none of them pauses, drops a sensor or quits behind it."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QDialog


class OwnKeysDialog(QDialog):
    """Not modal; Esc closes it. Where it is not the active window, those behind would have its keys."""

    def event(self, event: QEvent) -> bool:
        """No key that is pressed here is a shortcut of the window."""
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)
