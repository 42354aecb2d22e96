"""The menu of the replay bar: sweep speeds, and the actions that are worth a pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtGui import QAction, QActionGroup, QFont
from PySide6.QtWidgets import QMenu, QWidget

from ui.style.language import tr


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu: calls the method ``action``, as :class:`ui.panels.shortcuts.Shortcut` does."""

    title: str
    action: str
    argument: float | str | None = None


MENU = (
    Entry("Open a file …", "open_other", "file"),
    Entry("Open something else …", "open_other", "start"),
    Entry("ECG gain up", "change_gain", 1.0),
    Entry("ECG gain down", "change_gain", -1.0),
    Entry("Next event", "seek_mark", 1.0),
    Entry("Event before", "seek_mark", -1.0),
    Entry("Truth of what is withheld", "toggle_truth"),
    Entry("Rows and layouts …", "choose_rows"),
    Entry("Size of this screen …", "measure_screen"),
    Entry("Look back in the recording", "toggle_history"),
    Entry("Freeze the waves", "toggle_freeze"),
    Entry("Mark this moment …", "mark_now"),
    Entry("Strip as PDF", "print_strip"),
    Entry("Strip of 30 s as PDF", "print_strip", 30.0),
    Entry("Shown waves as CSV", "save_table"),
    Entry("Central view: all beds", "turn_page", "central"),
    Entry("Central view by name or urgency", "sort_central"),
    Entry("Trends", "turn_page", "trends"),
    Entry("Save the trends (PNG, SVG, CSV)", "on_trends", "save"),
    Entry("Alarms and their log", "toggle_alarms"),
    Entry("Limits of alarms …", "toggle_limits"),
    Entry("Audio paused for 2 min", "silence_alarms", "AUDIO PAUSED"),
    Entry("Audio off (twice)", "silence_alarms", "AUDIO OFF"),
    Entry("Alarms paused for 2 min", "silence_alarms", "ALARM PAUSED"),
    Entry("Alarms off (twice)", "silence_alarms", "ALARM OFF"),
    Entry("Louder", "change_volume", 1.0),
    Entry("Softer", "change_volume", -1.0),
    Entry("Beat tone on or off", "toggle_beat_tone"),
    Entry("Sound on or off", "toggle_sound"),
    Entry("What each sensor is worth", "toggle_worth"),
    Entry("Save a picture", "screenshot"),
    Entry("Full screen", "toggle_full_screen"),
    Entry("Settings …", "open_settings"),
    Entry("Save a problem report", "save_problem_report"),
    Entry("Keys …", "toggle_help"),
    Entry("Quit", "quit"),
)


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
        action_of: Callable[[str], Callable[..., object]],
    ) -> None:
        """speeds_mm_s: sweep speeds to choose from, ``speed_mm_s`` the present one. action_of: as of the window."""
        speeds = self.addMenu(tr("Sweep speed"))
        group = QActionGroup(speeds)
        for mm_s in speeds_mm_s:
            action = speeds.addAction(f"{mm_s:g} mm/s")
            action.setCheckable(True)
            action.setChecked(mm_s == speed_mm_s)
            action.triggered.connect(lambda _checked=False, mm_s=mm_s: set_speed(mm_s))
            group.addAction(action)
            self._speeds[mm_s] = action
        for entry in MENU:
            does = action_of(entry.action)
            if entry.argument is not None:
                does = partial(does, entry.argument)
            self.addAction(tr(entry.title)).triggered.connect(lambda _checked=False, does=does: does())

    def fit(self, font: QFont) -> None:
        """Letters of it and of the menus in it, which are windows of their own and inherit none."""
        size = font.pixelSize()
        for menu in (self, *self.findChildren(QMenu)):
            menu.setFont(font)
            # Without its own padding the style reckons with small letters, and cuts large ones.
            menu.setStyleSheet(
                f"QMenu::item {{ padding: {size // 3}px {2 * size}px {size // 3}px {2 * size}px; }}"
                "QMenu::item:selected { background: palette(highlight); }"
                f"QMenu::indicator, QMenu::right-arrow {{ width: {size}px; height: {size}px; }}"
                f"QMenu::indicator {{ left: {size // 2}px; }}"
            )

    def check_speed(self, mm_s: float) -> None:
        """The sweep speed is another now."""
        if mm_s in self._speeds:
            self._speeds[mm_s].setChecked(True)
