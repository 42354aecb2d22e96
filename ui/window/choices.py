"""What the operator chooses of the waves and keeps: rows and their layouts, and the size of the screen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from PySide6.QtWidgets import QMenu, QWidget

from ui.style.look import Look
from ui.waves.sweep import SweepView
from ui.window.layout_desk import LayoutDesk
from ui.window.layout_menu import LayoutMenu
from ui.window.ruler import Ruler


class ScreenChoices:
    """kept: the folder of the files; None: nothing is kept. say: tells the operator a few words. The keys and the menu
    call ``choose_rows``, ``next_layout`` and ``measure_screen``."""

    def __init__(
        self,
        sweep: SweepView,
        look: Look,
        kept: Path | None,
        worker: Executor,
        say: Callable[[str], None],
        menu: QMenu,
        window: QWidget,
    ) -> None:
        self.rows = LayoutDesk(sweep, kept and kept / "layouts.toml", worker, say)
        self.layouts = LayoutMenu(self.rows, look, sweep, menu, window)
        self.ruler = Ruler(sweep, look, kept and kept / "screens.toml", worker, say, window)
        self.choose_rows, self.next_layout = self.layouts.choose_rows, self.rows.next_layout
        self.measure_screen = self.ruler.measure_screen

    def poll(self) -> None:
        """Take what the files said; now and then, on the window's thread."""
        self.rows.poll()
        self.ruler.poll()
