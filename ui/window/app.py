"""Running the display: one Qt application, one window, until the operator closes it or the run is over."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow

from models.signals.errors import BadInput
from streams.control import SessionControl
from streams.feed import DisplayFeed
from ui.sound.choice import SILENT, SoundChoice
from ui.start.opening import Opened, Opener
from ui.style.theme import Theme
from ui.window.alarm_files import AlarmFiles
from ui.window.application import make_application
from ui.window.door import Door
from ui.window.main_window import MainWindow
from ui.window.manners import ALONE, Surroundings, chosen

_END_CHECK_MS = 100


def run_display(
    control: SessionControl,
    feed: DisplayFeed,
    *,
    screenshot: Path | None = None,
    close_at_end: bool = False,
    full_screen: bool = False,
    size: tuple[int, int] | None = None,
    recording: Path | None = None,
    theme: Theme | None = None,
    font_scale: float = 1.0,
    sound: SoundChoice = SILENT,
    files: AlarmFiles | None = None,
    around: Surroundings = ALONE,
    kept: Path | None = None,
) -> int:
    """Show the session until the window is closed; returns the exit code (0; 1 if the session failed).

    screenshot: save a picture when the run ends (or the window is closed before), then close. close_at_end: close
    when the run ends also without a picture. size: of the window in logical pixels. recording: the file that the run
    is being recorded into, to look back in. font_scale: of all that is written. sound: what is to be heard of a window
    that can be seen. files: where what is set and done about alarms is kept, kept: the folder of what else is chosen on
    the screen; by default nowhere. around: what the window has besides. Ctrl-C and SIGTERM close it.
    Raises BadInput where the picture cannot be written.
    """
    application = make_application(theme)
    heard = _heard(application, sound)
    window = MainWindow(
        control,
        feed,
        theme=theme,
        font_scale=font_scale,
        recording=recording,
        sound=heard,
        files=files,
        around=around,
        kept=kept,
    )
    if size is not None:
        window.resize(*size)
    if full_screen:
        window.showFullScreen()
    else:
        window.show()
    closing = close_at_end or screenshot is not None
    saved: list[bool] = []

    def save() -> None:
        if screenshot is not None and not saved:
            saved.append(False)  # tried once, whatever comes of it
            saved[0] = window.save_picture(screenshot)

    def check_end() -> None:
        snapshot = window.link.snapshot
        over = snapshot is not None and (bool(snapshot.status.error) or window.ward.over(window.now_s))
        if closing and over and feed.status.waiting == 0:
            try:
                save()
            finally:
                window.close()

    timer = QTimer(window)
    timer.timeout.connect(check_end)
    timer.start(_END_CHECK_MS)
    window.closing = save
    try:
        _run(application, window.close)
    finally:
        window.sound.join()
    if screenshot is not None and saved != [True]:
        raise BadInput("a picture file that can be written", os.fspath(screenshot), "choose another path")
    return _code(window)


def run_door(
    opener: Opener,
    first: Opened | None = None,
    *,
    theme: Theme | None = None,
    font_scale: float = 1.0,
    full_screen: bool = False,
    sound: SoundChoice = SILENT,
    make_files: Callable[[], AlarmFiles | None] = lambda: None,
    around: Surroundings = ALONE,
    kept: Path | None = None,
) -> int:
    """Show ``first``, or the start page, and whatever else is opened from there, until the window is closed; the exit
    code, of what was shown last. Ctrl-C and SIGTERM close it. At the end everything that was opened has been ended.
    make_files: of each window, where what is set and done about alarms is kept; kept: as of :func:`run_display`."""
    application = make_application(theme)
    heard = _heard(application, sound)

    def make_window(opened: Opened) -> MainWindow:
        now, scale = chosen(around, theme, font_scale)  # which may have been changed in the window before
        return MainWindow(
            opened.control,
            opened.feed,
            theme=now,
            font_scale=scale,
            recording=opened.recording,
            sound=heard,
            files=make_files(),
            around=around,
            kept=kept,
        )

    door = Door(opener, make_window, first, theme=theme, font_scale=font_scale)
    if full_screen:
        door.window.showFullScreen()
    else:
        door.window.show()
    usual = sys.excepthook

    def stumble(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Qt goes on after an exception in one of its calls; without this there would be a traceback, and no window
        would say so."""
        if issubclass(kind, Exception):
            door.stumbled(error)
        else:
            usual(kind, error, trace)

    sys.excepthook = stumble
    try:
        _run(application, lambda: door.window.close())
        return _code(door.window)
    finally:
        sys.excepthook = usual
        door.finish()


def _heard(application: QApplication, sound: SoundChoice) -> SoundChoice:
    """Nothing of a window that cannot be seen."""
    return SILENT if application.platformName() in ("offscreen", "minimal") else sound


def _run(application: QApplication, close: Callable[[], object]) -> None:
    """Qt's event loop; Ctrl-C and SIGTERM call ``close``."""
    ends = (signal.SIGINT, signal.SIGTERM) if _in_main_thread() else ()
    previous = {number: signal.signal(number, lambda *_: close()) for number in ends}
    try:
        application.exec()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _code(window: QMainWindow) -> int:
    snapshot = window.link.snapshot if isinstance(window, MainWindow) else None
    return 1 if snapshot is not None and snapshot.status.error else 0


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
