"""A real session in a real window, driven to a moment: what a user would have before the eyes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from PySide6.QtCore import QEventLoop, QPoint, QRect, Qt
from PySide6.QtGui import QImage, QKeySequence, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from benchmarks.tour.scenes import Scene
from models.signals.errors import VigilError
from monitor.config import in_force
from monitor.running import open_session
from monitor.settings import RunSettings, parse_drops
from monitor.settings_store import StoredSettings
from streams.feed import DisplayFeed
from ui.style.language import speak
from ui.style.theme import theme_named
from ui.window.application import make_application
from ui.window.main_window import MainWindow
from ui.window.manners import Surroundings

RUSH, LAST_S = 8.0, 3.0
"""So many times real time until so many seconds before the moment; those pass as they would."""
PATIENCE_S = 180.0


class Stage:
    """The session of a scene, as a context manager. ``window`` is the program's own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        theme = theme_named(scene.theme)
        speak(scene.language)
        self._folder = TemporaryDirectory(prefix="vigil-tour-settings-")
        self.application = make_application(theme)
        settings = RunSettings(
            sources=(scene.source,), speed=RUSH, from_s=scene.begin_s, drops=parse_drops(scene.drops), unrecorded=True
        )
        self._feed = DisplayFeed()
        self.session = open_session(settings, self._feed, stay_open=True)
        self.session.start()
        self.session.wait_opened(PATIENCE_S)
        around = Surroundings(store=_settings(scene, Path(self._folder.name)))
        self.window = MainWindow(self.session, self._feed, theme=theme, font_scale=scene.font_scale, around=around)
        self.window.resize(round(scene.width / scene.scale), round(scene.height / scene.scale))
        self.window.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.window.close()
        self.session.stop()
        self._folder.cleanup()

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
        """One key, with those held beside it; where a keyboard's would go unless on another ``widget``."""
        combined = QKeySequence(keys)[0]  # type: ignore[index]
        QTest.keyClick(widget or self._focus(), combined.key(), combined.keyboardModifiers())

    def _focus(self) -> QWidget:
        """What has the keyboard: of the window, or of what was opened over it last."""
        active = QApplication.activeWindow() or self.window
        return active.focusWidget() or active

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
        return whole(self.window, self.window.grab().toImage() if self.scene.remarks else self.window.picture())


def whole(window: QWidget, picture: QImage) -> QImage:
    """A picture of the window with what is open over it: dialogs are windows of their own, and so are menus. Where one
    sticks out of the window the picture is so much larger, in magenta where there is neither."""
    over = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible() and _is_over(widget, window)]
    if not over:
        return picture
    corner, ratio = window.mapToGlobal(QPoint()), picture.devicePixelRatio()
    places = [QRect(widget.mapToGlobal(QPoint()) - corner, widget.size()) for widget in over]
    room = window.rect()
    for place in places:
        room = room.united(place)
    found = QImage(room.size() * ratio, QImage.Format.Format_RGB32)
    found.setDevicePixelRatio(ratio)
    found.fill(Qt.GlobalColor.magenta)
    painter = QPainter(found)
    painter.drawImage(-room.topLeft(), picture)
    for widget, place in zip(over, places, strict=True):
        painter.drawPixmap(place.topLeft() - room.topLeft(), widget.grab())
    painter.end()
    return found


def _is_over(widget: QWidget, window: QWidget) -> bool:
    """Whether it was opened by the window, or by what that opened: another's lies over another."""
    above: QWidget | None = widget.parentWidget()
    while above is not None and above is not window:
        above = above.parentWidget()
    return above is window and widget.windowType() in (Qt.WindowType.Dialog, Qt.WindowType.Popup)


def _settings(scene: Scene, folder: Path) -> StoredSettings:
    """A settings file with the looks of the scene, so that what a dialog says is the case, and the user's own is left
    alone."""
    file = folder / "settings.toml"
    said = f'theme = "{scene.theme}"\nfont_scale = {scene.font_scale:g}\nlanguage = "{scene.language}"\n'
    file.write_text(f"[display]\n{said}", encoding="utf-8")
    return StoredSettings(in_force(file, environment={}))
