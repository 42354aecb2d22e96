"""What is about the program and not about the patient: settings, full screen, leaving, a screen that stays awake and
a machine that has slept.

Its actions are found by name, as the operator's are (:mod:`ui.panels.shortcuts`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMainWindow

from ui.bed.liveness import Life, Verdict
from ui.bed.ward import Ward
from ui.manners.awake import Holder, KeepAwake, system_holder
from ui.manners.dialog import SettingsDialog
from ui.manners.sleep import SleepWatch, asleep_clock_s
from ui.manners.store import SettingsStore
from ui.panels.toast import STAYS_S
from ui.style.language import tr
from ui.style.look import Look
from ui.style.theme import Theme, default_theme, theme_named
from ui.window.leaving import Leaving
from ui.window.picture import Pictures

_WATCHED = (Life.WAITING, Life.LIVE, Life.LOST)
"""A screen that shows one of these must not go dark; for who comes while it is dark it would not light up again."""
log = logging.getLogger(__name__)
NO_STORE = "this window was opened without a settings file"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the window has besides the session. store: of the settings, None where there is none. holder: keeps the
    screen awake, None for that of the system. asleep_s: as of :mod:`ui.manners.sleep`. report: writes a report for who
    is to help with a problem, without anything of a patient; tells whether it could."""

    store: SettingsStore | None = None
    holder: Holder | None = None
    asleep_s: Callable[[], float] = asleep_clock_s
    report: Callable[[Path], bool] | None = None


ALONE = Surroundings()


def chosen(around: Surroundings, theme: Theme | None, font_scale: float) -> tuple[Theme, float]:
    """Theme and font scale as the store has them now, else those given. Dots an inch are of the screen, whatever its
    colours."""
    theme = theme or default_theme()
    if around.store is None:
        return theme, font_scale
    named = theme_named(str(around.store.setting("display.theme").value))
    return replace(named, sweep=theme.sweep), float(around.store.setting("display.font_scale").value)


class Manners:
    """worker: calls the holder, a thread of its own where it is None. writer: where settings are written. files: writes
    other files, and says so. say: tells the operator a few words. restyled: told that colours and sizes are others
    now."""

    def __init__(
        self,
        window: QMainWindow,
        look: Look,
        around: Surroundings,
        worker: Executor | None,
        *,
        writer: Executor,
        files: Pictures,
        ward: Ward,
        say: Callable[[str], None],
        now_s: Callable[[], float],
        restyled: Callable[[], None],
    ) -> None:
        self._window, self._look, self._ward, self._around = window, look, ward, around
        self._store, self._writer, self._files, self._say, self._now, self._restyled = (
            around.store,
            writer,
            files,
            say,
            now_s,
            restyled,
        )
        holder = around.holder or system_holder(QGuiApplication.platformName())
        self.awake = KeepAwake(holder, worker or ThreadPoolExecutor(1, "display-awake"))
        self._sleep = SleepWatch(around.asleep_s())
        self._leaving = Leaving(STAYS_S)
        self.settings: SettingsDialog | None = None
        """None before it was first opened."""

    def frame(self, now_s: float) -> None:
        """Once a frame, after the records that were there: whether the machine has slept before it."""
        slept_s = self._sleep.slept_s(now_s, self._around.asleep_s())
        if slept_s:
            log.warning("this machine slept %.0f s", slept_s)
            self._ward.wake(now_s)

    def banner(self, verdict: Verdict, now_s: float) -> tuple[str, bool]:
        """The sentence of the banner and its urgency: of the bed, else that the machine has slept."""
        return (verdict.spoken, verdict.urgent) if verdict.words else (self._sleep.words(now_s), False)

    def renew(self) -> None:
        """Ten times a second."""
        beds = self._ward.beds
        self.awake.want(any(bed.verdict.life in _WATCHED for bed in beds))
        if self.settings is not None:
            self.settings.poll()

    # Settings -----------------------------------------------------------------------------------------------------

    def open_settings(self) -> None:
        """Show the settings; monitoring goes on beside them."""
        if self._store is None:
            self._say(tr(NO_STORE))
            return
        if self.settings is None:
            self.settings = SettingsDialog(self._look, self._store, self._writer, self._count, self._window)
        self.settings.show()
        self.settings.raise_()
        self.settings.activateWindow()

    def _count(self, keys: frozenset[str]) -> None:
        """What counts at once of what was saved."""
        if self._store is None or not keys & {"display.theme", "display.font_scale"}:
            return
        self._look.choose(*chosen(self._around, self._look.theme, 1.0))
        self._restyled()
        if self.settings is not None:
            self.settings.restyle()

    # Help ---------------------------------------------------------------------------------------------------------

    def save_problem_report(self) -> None:
        """Write a report for who is to help, without anything of a patient; a later frame says where it is."""
        if self._around.report is None:
            self._say(tr("this window has nothing to report"))
            return
        self._files.write("zip", self._around.report, tr("(no waves, no names)"), "vigil-problem")

    # The window ---------------------------------------------------------------------------------------------------

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to a window."""
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()

    def quit(self) -> None:
        """Close the window; what still runs is asked about first."""
        if not self.asks():
            self._window.close()

    def asks(self) -> bool:
        """Whether who wants to leave is asked once more first, which is said."""
        bed = self._ward.on_show
        runs = any(b.verdict.life is not Life.ENDED for b in self._ward.beds)
        recorded = bed.status is not None and bed.status.recording
        words = self._leaving.asked(self._now(), runs, recorded)
        self._say(words)
        return bool(words)
