"""A front door without a house behind it: an opener that remembers what it was asked, and sessions that only say that
they were ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import cache
from threading import Event

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from streams.feed import DisplayFeed
from tests.ui.harness import Inline, Later
from tests.ui.synthetic import FakeSession
from ui.start.opening import Choice, Found, Opened, Recent
from ui.window.application import make_application
from ui.window.door import Door
from ui.window.main_window import MainWindow


class FakeOpener:
    """wrong: by source, what is raised instead of opening it. changes: to the status of sessions that are opened."""

    scenarios = ("demo", "pea", "vtach_pulseless")
    details = "in /log/vigil.log"

    def __init__(self) -> None:
        self.wrong: dict[str, Exception] = {}
        self.changes: dict[str, object] = {"recording": False}
        self.sessions: dict[tuple[str, ...], FakeSession] = {}
        self.opened: list[Choice] = []
        self.entries: list[tuple[str, ...]] = []
        self.closed: list[tuple[str, ...]] = []
        self.lefts: list[tuple[tuple[str, ...], float | None]] = []
        self.recents: tuple[Recent, ...] = ()
        self.found: dict[str, tuple[Found, ...] | Exception] = {}
        self.cancelled: list[Event] = []
        self.close_wrong: Exception | None = None

    def open(self, choice: Choice, cancelled: Event) -> Opened:
        self.cancelled.append(cancelled)
        for source in choice.sources:
            if source in self.wrong:
                raise self.wrong[source]
        self.opened.append(choice)
        session = self.sessions[choice.sources] = FakeSession()
        session.changes = dict(self.changes)

        def close() -> None:
            self.closed.append(choice.sources)
            if self.close_wrong is not None:
                raise self.close_wrong

        return Opened(choice, session, DisplayFeed(), None, close)

    def entered(self, opened: Opened) -> None:
        self.entries.append(opened.choice.sources)

    def left(self, choice: Choice, position_s: float | None) -> None:
        self.lefts.append((choice.sources, position_s))

    def recent(self) -> tuple[Recent, ...]:
        return self.recents

    def forget(self) -> None:
        self.recents = ()

    def find(self, scheme: str) -> tuple[Found, ...]:
        found = self.found[scheme]
        if isinstance(found, Exception):
            raise found
        return found


@cache
def in_our_style() -> QApplication:
    """Once: to set the style anew goes through every widget there is."""
    return make_application()


class DoorScreen:
    """The door under Qt's event loop, with a clock of its own. worker: runs what may wait."""

    def __init__(
        self,
        opener: FakeOpener | None = None,
        first: str = "",
        worker: Executor | None = None,
        size: tuple[int, int] = (1280, 760),
    ) -> None:
        self.application = in_our_style()
        self.opener = opener or FakeOpener()
        self.now, self.unix = 1000.0, 1e9
        self.windows: list[MainWindow] = []
        self.worker = worker or Inline()
        opened = self.opener.open(Choice((first,)), Event()) if first else None
        self.door = Door(
            self.opener,
            self._window,
            opened,
            monotonic=self.clock,
            unix=lambda: self.unix,
            worker=self.worker,
            start=False,
        )
        self.door.window.resize(*size)
        self.door.window.show()
        self.ticks()

    @property
    def clock(self) -> Callable[[], float]:
        return lambda: self.now

    def _window(self, opened: Opened) -> MainWindow:
        window = MainWindow(opened.control, opened.feed, start=False, monotonic=self.clock, worker=Inline())
        self.windows.append(window)
        return window

    def ticks(self, count: int = 3, seconds: float = 0.05) -> None:
        for _ in range(count):
            self.now += seconds
            self.door.tick()
            if isinstance(self.door.window, MainWindow):
                self.door.window.frame()
            self.application.processEvents()

    @property
    def said(self) -> str:
        """What the panel says; "" while it is not there."""
        notice = self.door.panel.notice
        return f"{notice.title} | {notice.words}" if notice is not None and self.door.panel.isVisible() else ""

    @property
    def at(self) -> tuple[str, ...]:
        """What is on the screen; () is the start page."""
        return self.door.opened.choice.sources if self.door.opened is not None else ()

    def close(self) -> None:
        self.door.window.close()
        if isinstance(self.worker, Later):  # nobody will answer any more
            self.worker.run()
            self.door.finish(0.0, 0.0)
        else:
            self.door.finish()
        self.door.window.deleteLater()
        self.application.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # what stays makes every style slower
