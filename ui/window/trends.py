"""The page of trends as the window has it: pyqtgraph, which takes a while to load, comes when it is first opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from ui.bed.ward import Ward
from ui.style.look import Look
from ui.window.picture import Pictures

if TYPE_CHECKING:
    from ui.trends.page import TrendsPage

TRENDS = "trends"


class TrendsRoom(QWidget):
    """A :class:`ui.window.screen.Page`. go, unix: as of :class:`ui.trends.page.TrendsPage`. pictures: writes files."""

    def __init__(self, look: Look, go: Callable[[float], None], unix: Callable[[], float], pictures: Pictures) -> None:
        super().__init__()
        self._look, self._go, self._unix, self._pictures = look, go, unix, pictures
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.page: TrendsPage | None = None
        """None until it was first shown."""

    def renew(self, ward: Ward, now_s: float) -> None:
        """See :class:`ui.window.screen.Page`."""
        if self.page is None:
            from ui.trends.page import TrendsPage

            self.page = TrendsPage(self._look, self._go, self._unix)
            self._column.addWidget(self.page)
            self._column.activate()
        self.page.renew(ward, now_s)

    def do(self, order: str) -> None:
        """An order of the keyboard (:mod:`ui.panels.shortcuts`); none while the page is not on show."""
        if self.page is None or not self.isVisible():
            return
        if order != "save":
            self.page.do(order)
        elif (export := self.page.export()) is not None:
            name = Path(f"vigil-trends-{datetime.now():%Y%m%d-%H%M%S}.csv")
            self._pictures.write(name, export.write, "with .svg and .png beside it")
