"""The menu of the replay bar: sweep speeds, and the actions that are worth a pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QWidget


class MainMenu(QMenu):
    """Empty until :meth:`fill`."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._speeds: dict[float, QAction] = {}

    def fill(
        self,
        speeds_mm_s: Sequence[float],
        speed_mm_s: float,
        set_speed: Callable[[float], None],
        actions: Sequence[tuple[str, Callable[[], object]]],
    ) -> None:
        """speeds_mm_s: sweep speeds to choose from, ``speed_mm_s`` the present one. actions: title and what it does."""
        speeds = self.addMenu("Sweep speed")
        group = QActionGroup(speeds)
        for mm_s in speeds_mm_s:
            action = speeds.addAction(f"{mm_s:g} mm/s")
            action.setCheckable(True)
            action.setChecked(mm_s == speed_mm_s)
            action.triggered.connect(lambda _checked=False, mm_s=mm_s: set_speed(mm_s))
            group.addAction(action)
            self._speeds[mm_s] = action
        for title, does in actions:
            self.addAction(title).triggered.connect(lambda _checked=False, does=does: does())

    def check_speed(self, mm_s: float) -> None:
        """The sweep speed is another now."""
        if mm_s in self._speeds:
            self._speeds[mm_s].setChecked(True)
