"""Random events on the running program: whatever is pressed, clicked, dragged or resized, it goes on.

What is done is drawn from a seed, so that what went wrong can be done again. Keys are those of the table, and others;
only what ends the program on purpose is left out.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from PySide6.QtCore import QEventLoop, QPoint, QPointF, QSize, Qt, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from benchmarks.tour.scenes import Scene
from benchmarks.tour.stage import Stage
from ui.panels.shortcuts import SHORTCUTS

ENDS = frozenset({"quit"})
PAUSE_MS = 4  # from one to the next
OFFSCREEN = "This plugin does not support"  # what a real screen does
LATE_S = 2.0  # without a frame for so long the window is taken for dead
_OTHER_KEYS = ("Tab", "Shift+Tab", "Return", "Up", "Down", "PgUp", "Home", "End", "Ctrl+Z", "Alt+Left", "9", "ß")
_SIZES = ((1024, 640), (1024, 700), (1280, 720), (1366, 768), (1920, 1080), (2560, 1440))


class RandomEvents:
    """``errors``: what went wrong, as sentences."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.window, self.seed = stage, stage.window, seed
        self.errors: list[str] = []
        self._random = random.Random(seed)
        self._keys = [key for s in SHORTCUTS if s.action not in ENDS for key in s.keys] + list(_OTHER_KEYS)
        self._doing = "nothing"
        self._left = self._count = 0
        self._over: Callable[[], None] = lambda: None
        self._seen, self._seen_s = stage.window.frames, time.monotonic()

    def run(self, count: int) -> int:
        """Does ``count`` of them; returns how many went well before the first error. One is done by a timer, not by a
        loop: a menu has an event loop of its own, in which the next ones come."""
        self._left = self._count = count
        loop = QEventLoop()
        self._over = loop.quit
        QTimer.singleShot(0, self._next)
        loop.exec()
        return count - self._left

    def _next(self) -> None:
        if self.errors or not self._left:
            if (popup := QApplication.activePopupWidget()) is not None:
                popup.close()  # its loop ends before ours
                QTimer.singleShot(PAUSE_MS, self._next)
            else:
                self._over()
            return
        self._left -= 1
        if self._left % 50 == 0:
            self._alive(self._count - self._left)
        QTimer.singleShot(PAUSE_MS, self._next)
        acts = (self._key, self._key, self._key, self._click, self._click, self._drag, self._wheel, self._size)
        self._random.choice(acts)()

    def caught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """For ``sys.excepthook``: an exception in a slot ends no program, and must not go unseen."""
        self.errors.append(f"{kind.__name__}: {error} (seed {self.seed}, {self._doing})")
        sys.__excepthook__(kind, error, trace)

    def heard(self, kind: QtMsgType, context: object, message: str) -> None:
        """For Qt's messages: a warning tells of a wrong use."""
        if kind in (QtMsgType.QtWarningMsg, QtMsgType.QtCriticalMsg) and not message.startswith(OFFSCREEN):
            self.errors.append(f"Qt: {message} (seed {self.seed}, {self._doing})")

    def _alive(self, number: int) -> None:
        """Frames have come since it was last asked, unless that was just now; and the session lives."""
        frames, now_s = self.window.frames, time.monotonic()
        if frames != self._seen:
            self._seen, self._seen_s = frames, now_s
        elif now_s - self._seen_s > LATE_S:
            self.errors.append(f"no frame for {LATE_S:g} s before event {number} (seed {self.seed})")
        if error := self.stage.session.status().error:
            self.errors.append(f"the session died before event {number}: {error}")

    # What is done -------------------------------------------------------------------------------------------------

    def _target(self) -> QWidget:
        """What takes the keys: an open menu or dialogue, else the window."""
        return QApplication.activePopupWidget() or QApplication.activeModalWidget() or self.window

    def _place(self) -> tuple[QWidget, QPoint]:
        """Some widget that is seen, and a point in it."""
        target = self._target()
        widgets = [w for w in (target, *target.findChildren(QWidget)) if w.isVisible() and w.width() > 2 < w.height()]
        widget = self._random.choice(widgets or [target])
        at = QPoint(self._random.randrange(max(1, widget.width())), self._random.randrange(max(1, widget.height())))
        return widget, at

    def _key(self) -> None:
        key = self._random.choice(self._keys)
        self._doing = f"key {key}"
        target = self._target()
        if isinstance(target, QMenu):
            key = self._random.choice(("Esc", "Up", "Down", "Esc"))
        self.stage.press(key, target)

    def _click(self) -> None:
        widget, at = self._place()
        if isinstance(widget, QMenu):  # its last line quits
            self._doing = "menu put away"
            widget.close()
            return
        button = self._random.choice((Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton))
        self._doing = f"click on {type(widget).__name__} at {at.x()}, {at.y()}"
        QTest.mouseClick(widget, button, Qt.KeyboardModifier.NoModifier, at)

    def _drag(self) -> None:
        widget, at = self._place()
        if isinstance(widget, QMenu):
            return
        to = QPoint(self._random.randrange(-50, widget.width() + 50), self._random.randrange(-50, widget.height() + 50))
        self._doing = f"drag on {type(widget).__name__}"
        QTest.mousePress(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
        QTest.mouseMove(widget, to)
        QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, to)

    def _wheel(self) -> None:
        widget, at = self._place()
        self._doing = f"wheel on {type(widget).__name__}"
        event = QWheelEvent(
            QPointF(at), widget.mapToGlobal(QPointF(at)), QPoint(), QPoint(0, self._random.choice((-120, 120, 960))),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(widget, event)

    def _size(self) -> None:
        if self._random.random() < 0.9:  # a size is worth many keys
            return
        width, height = self._random.choice(_SIZES)
        self._doing = f"size {width}×{height}"
        self.window.showNormal()
        self.window.resize(QSize(width, height))


def run_events(count: int, seed: int) -> int:
    """Does them to the built-in patient; prints what came of it, returns the exit code."""
    scene = Scene(source="demo", at_s=20.0, lead_s=20.0)
    with TemporaryDirectory(prefix="vigil-tour-") as folder, Stage(scene) as stage:
        stage.window.pictures.folder = Path(folder)
        stage.play_to(scene.at_s)
        events = RandomEvents(stage, seed)
        sys.excepthook = events.caught
        previous = qInstallMessageHandler(events.heard)
        began, frames = time.monotonic(), stage.window.frames
        try:
            done = events.run(count)
        finally:
            sys.excepthook = sys.__excepthook__
            qInstallMessageHandler(previous)
        seconds = time.monotonic() - began
        print(
            f"{done} of {count} random events (seed {seed}) in {seconds:.0f} s, {stage.window.frames - frames} frames"
        )
    for error in events.errors:
        print(error)
    return bool(events.errors)
