"""The way to the layouts: a menu of their names, and the dialog of the rows."""

from __future__ import annotations

from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from ui.bed.lanes import Lane
from ui.panels.rows_dialog import RowsDialog
from ui.style.language import tr
from ui.style.look import Look
from ui.style.words import sweep_words
from ui.waves.sweep import SweepView
from ui.window.layout_desk import USUAL, LayoutDesk


class LayoutMenu:
    """Adds a menu "Layout" to ``menu``, made anew whenever it is opened."""

    def __init__(self, desk: LayoutDesk, look: Look, sweep: SweepView, menu: QMenu, window: QWidget) -> None:
        self._desk, self._sweep = desk, sweep
        self.dialog = RowsDialog(
            desk, look, self._words_of, lambda: desk.layout.name or self._usual(), tr(USUAL), window
        )
        desk.changed = self.dialog.renew
        self.menu = menu.addMenu(tr("Layout"))
        self.menu.aboutToShow.connect(self.fill)

    def _usual(self) -> str:
        return "" if self._desk.layout.rows else tr(USUAL)

    def _words_of(self, lane: Lane) -> tuple[str, str]:
        speed = sweep_words(self._sweep.speed_of(lane), self._sweep.screen_scale.known, short=True)
        return speed, self._sweep.scale_of(lane).scale.caption

    def choose_rows(self) -> None:
        """Open the choice of rows, or close it."""
        self.dialog.open_for()

    def fill(self) -> None:
        """With the names there are."""
        self.menu.clear()
        group = QActionGroup(self.menu)
        now = self._desk.layout.name or self._usual()
        for name in (tr(USUAL), *self._desk.names):
            action = self.menu.addAction(name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(name == now)
            action.triggered.connect(lambda _checked=False, name=name: self._desk.use_layout(name))
            group.addAction(action)
