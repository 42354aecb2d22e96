"""A dialog beside the waves whose keys are its own: none of them pauses, drops a sensor or quits behind it; and its
labels."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QDialog, QLabel


class OwnKeysDialog(QDialog):
    """Not modal; Esc closes it."""

    def event(self, event: QEvent) -> bool:
        """No key that is pressed here is a shortcut of the window."""
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)


def plain_label(words: str = "") -> QLabel:
    """A label that shows its words as they are: they are no markup."""
    label = QLabel(words)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
