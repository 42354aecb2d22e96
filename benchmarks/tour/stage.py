"""A real session in a real window, driven to a moment: what a user would have before the eyes."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from PySide6.QtCore import QEventLoop
from PySide6.QtGui import QImage, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from benchmarks.tour.scenes import Scene
from models.signals.errors import VigilError
from monitor.running import open_session
from monitor.settings import RunSettings, parse_drops
from streams.feed import DisplayFeed
from ui.style.theme import theme_named
from ui.window.application import make_application
from ui.window.main_window import MainWindow

RUSH, LAST_S = 8.0, 3.0
"""So many times real time until so many seconds before the moment; those pass as they would."""
PATIENCE_S = 180.0


class Stage:
    """The session of a scene, as a context manager. ``window`` is the program's own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        theme = theme_named(scene.theme)
        self.application = make_application(theme)
        settings = RunSettings(
            sources=(scene.source,), speed=RUSH, from_s=scene.begin_s, drops=parse_drops(scene.drops), unrecorded=True
        )
        self._feed = DisplayFeed()
        self.session = open_session(settings, self._feed, stay_open=True)
        self.session.start()
        self.session.wait_opened(PATIENCE_S)
        self.window = MainWindow(self.session, self._feed, theme=theme, font_scale=scene.font_scale)
        self.window.resize(round(scene.width / scene.scale), round(scene.height / scene.scale))
        self.window.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.window.close()
        self.session.stop()

    @property
    def position_s(self) -> float:
        """Seconds of the recording that the waves have come to; -1 before the first."""
        head_s = self.window.sweep.head_s
        return -1.0 if head_s is None else head_s

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Lets the window live until ``condition``; VigilError where that does not come in :data:`PATIENCE_S`."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.live(0.02)
            if time.monotonic() > deadline:
                raise VigilError(f"{what} did not come within {PATIENCE_S:.0f} s at {self.position_s:.1f} s")

    def live(self, seconds: float) -> None:
        """Lets the window live for so long."""
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0:
            self.application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, max(1, round(left * 1000)))

    def play_to(self, time_s: float) -> None:
        """Fast, and the last seconds at the patient's pace."""
        self.until(lambda: self.position_s >= time_s - LAST_S, f"second {time_s - LAST_S:.0f}")
        self.session.set_speed(1.0)
        self.until(lambda: self.position_s >= time_s, f"second {time_s:.0f}")

    def press(self, keys: str, widget: QWidget | None = None) -> None:
        """One key, with those held beside it; on the window unless on another ``widget``."""
        combined = QKeySequence(keys)[0]  # type: ignore[index]
        QTest.keyClick(widget or self.window, combined.key(), combined.keyboardModifiers())

    def picture(self) -> QImage:
        """The scene, as it is to be seen."""
        self.play_to(self.scene.at_s)
        if self.scene.keys:
            self.window.activateWindow()
            self.until(self.window.isActiveWindow, "the window's focus, which takes a window manager,")
        for keys in self.scene.keys:
            self.press(keys)
            self.live(0.1)
        self.live(self.scene.wait_s)
        return self.window.picture()
