"""The one Qt application of the process, and its colours."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from ui.style.theme import Theme, default_theme


def make_application(theme: Theme | None = None) -> QApplication:
    """The process's Qt application in the colours of the theme (the running one, where there is one)."""
    existing = QApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(["vigil"])
    application.setApplicationName("Vigil")
    if application.style().name().lower() != "fusion":  # setting it again styles every widget there is anew
        application.setStyle("Fusion")
    colours = (theme or default_theme()).colour
    palette = QPalette()
    for role, name in (
        (QPalette.ColorRole.Window, "background"),
        (QPalette.ColorRole.Base, "panel"),
        (QPalette.ColorRole.Button, "panel"),
        (QPalette.ColorRole.WindowText, "text"),
        (QPalette.ColorRole.Text, "text"),
        (QPalette.ColorRole.PlaceholderText, "text_soft"),
        (QPalette.ColorRole.ButtonText, "text"),
        (QPalette.ColorRole.ToolTipBase, "panel"),
        (QPalette.ColorRole.ToolTipText, "text"),
        (QPalette.ColorRole.Highlight, "accent"),
        (QPalette.ColorRole.HighlightedText, "on_accent"),
    ):
        palette.setColor(role, QColor(colours[name]))
    application.setPalette(palette)
    return application
