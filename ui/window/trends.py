"""The page of trends as the window has it: pyqtgraph takes up to a second to load, which a helper thread does when the
page is first opened; until then it is empty."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from ui.bed.ward import Ward
from ui.style.language import tr
from ui.style.look import Look
from ui.window.picture import Pictures
from ui.window.trends_past import TrendsPast

if TYPE_CHECKING:
    from ui.trends.page import TrendsPage

TRENDS = "trends"


class TrendsRoom(QWidget):
    """A :class:`ui.window.screen.Page`. go, unix: as of :class:`ui.trends.page.TrendsPage`. pictures: writes files.
    loader: imports modules. past: what was recorded before."""

    def __init__(
        self,
        look: Look,
        go: Callable[[float], None],
        unix: Callable[[], float],
        pictures: Pictures,
        loader: Executor,
        past: TrendsPast,
    ) -> None:
        super().__init__()
        self._look, self._go, self._unix, self._pictures, self._loader = look, go, unix, pictures, loader
        self.past = past
        self._loading: Future[ModuleType] | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.page: TrendsPage | None = None
        """None until it was first shown."""

    def renew(self, ward: Ward, now_s: float) -> None:
        """See :class:`ui.window.screen.Page`."""
        if self._loading is None:
            self._loading = self._loader.submit(import_module, "ui.trends.page")
        if self.page is None and self._loading.done():
            self.page = self._loading.result().TrendsPage(self._look, self._go, self._unix)
            self._column.addWidget(self.page)
            self._column.activate()
            self.page.show()  # and has its size before it draws
        if self.page is not None:
            self.page.before = self.past.renew(ward.on_show, now_s)
            self.page.renew(ward, now_s)

    def restyle(self) -> None:
        """pyqtgraph has its colours from when it was made: the page is made anew when it is next shown."""
        if self.page is not None:
            self._column.removeWidget(self.page)
            self.page.hide()
            self.page.deleteLater()
            self.page = None

    def do(self, order: str) -> None:
        """An order of the keyboard (:mod:`ui.panels.shortcuts`); none while the page is not on show."""
        if self.page is None or not self.isVisible():
            return
        if order != "save":
            self.page.do(order)
        elif (export := self.page.export()) is not None:
            self._pictures.write("csv", export.write, tr("with .svg and .png beside it"), "vigil-trends")
