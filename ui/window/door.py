"""The way from one thing that is shown to the next: start page, file dialog, what is dropped, and the swap of windows.

A session has a window of its own (:class:`ui.window.main_window.MainWindow`), so nothing of the patient before can be
left on the screen. The old one stays, and plays, until the new session is open; then the new window takes its place,
the old one closes, and its session is ended and its files finished in a helper thread.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import cast

from PySide6.QtCore import QEvent, QMimeData, QObject, Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QMainWindow, QWidget

from models.signals.errors import BadInput
from ui.bed.liveness import Life
from ui.panels.shortcuts import SHORTCUTS
from ui.start.choices import FILTERS, dropped, folder_of
from ui.start.notice import DropFrame, NoticePanel
from ui.start.opening import Choice, Found, Opened, Opener, Opening, Recent
from ui.start.page import Asks, StartPage
from ui.style.language import tr
from ui.style.look import Look
from ui.style.theme import Theme, default_theme
from ui.window.helpers import Helpers
from ui.window.main_window import MainWindow
from ui.window.start_window import StartWindow

log = logging.getLogger("vigil.door")

START = "start"
"""Name of the start page among the pages of a display."""
ALARM_KEYS = frozenset(
    key
    for shortcut in SHORTCUTS
    if shortcut.group in ("Alarms", "Sound") or shortcut.action == "toggle_help"
    for key in shortcut.keys
)
"""What they do is done on the start page too, over a patient."""
TICK_MS = 50
KEEP_S = 30.0
"""So often where it stands is kept, for a session that ends without a word."""
OPENING_S, CLOSING_S = 6.0, 30.0
"""At the end: so long is waited for what is still being opened, and for files to be finished."""
MOST_STUMBLES = 8
"""Faults that are said; one that comes with every frame is said once."""

Window = MainWindow | StartWindow


class Door(QObject):
    """``window``: the one on the screen, not yet shown; of ``first``, or the start page's where that is None.
    make_window: of a session, with all that a window is given. monotonic, unix: clocks in seconds. worker: runs what
    may wait. start: False leaves the ticks to the caller (tests)."""

    def __init__(
        self,
        opener: Opener,
        make_window: Callable[[Opened], MainWindow],
        first: Opened | None = None,
        *,
        theme: Theme | None = None,
        font_scale: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        worker: Executor | None = None,
        start: bool = True,
    ) -> None:
        super().__init__()
        self._opener, self._theme, self._font_scale = opener, theme or default_theme(), font_scale
        self._monotonic, self._unix = monotonic, unix
        self._worker = worker or Helpers()
        self._make_window = make_window
        self.opening = Opening(opener, self._worker)
        self.opened: Opened | None = None
        self._recents: Future[tuple[Recent, ...]] | None = None
        self._finds: list[tuple[str, Future[tuple[Found, ...]]]] = []
        self._kept: list[Future[None]] = []
        self._kept_s = monotonic()
        self._stumbles: set[tuple[object, ...]] = set()
        self.dialog: QFileDialog | None = None
        self._folder = ""  # the dialog begins in it
        self.window: Window = self._start_window() if first is None else self._display(first)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.tick)
        if start:
            self._timer.start(TICK_MS)

    # Windows ------------------------------------------------------------------------------------------------------

    def _page(self, look: Look, leave: str) -> StartPage:
        asks = Asks(self.ask, self.opening.refuse, self.show_dialog, self._find, self._forget, self._look_up)
        return StartPage(look, asks, self._opener.scenarios, leave, ALARM_KEYS)

    def _start_window(self) -> StartWindow:
        window = StartWindow(
            self._theme,
            self._font_scale,
            lambda look: self._page(look, tr("Esc quits")),
            lambda: self.show_dialog("file"),
        )
        self.page = cast(StartPage, window.page)
        self._attend(window, window.look, window, window.width)
        return window

    def _display(self, opened: Opened) -> MainWindow:
        window = self._make_window(opened)
        self.page = self._page(window.look, tr("Esc back to the patient"))
        window.face.add_page(START, self.page)
        window.operator.door = self._asked_for
        face = window.face
        self._attend(window, window.look, face, lambda: face.width() - face.numerics.width())
        self.opened = opened
        self._kept_s = self._monotonic()
        self._kept.append(self._worker.submit(self._opener.entered, opened))
        return window

    def show(self, opened: Opened) -> None:
        """Put a session on the screen, in the place of what is there, which ends."""
        before, was = self.window, self.opened
        if was is not None:
            self._keep(before, was)
        window = self._display(opened)
        filling = before.isFullScreen() or before.isMaximized()
        window.setGeometry(before.normalGeometry() if filling else before.geometry())
        window.setWindowState(before.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()  # before the other one goes: the last window that closes ends the program
        self.window = window
        before.removeEventFilter(self)
        before.close()
        if isinstance(before, MainWindow):
            self._kept.append(self._worker.submit(before.sound.join))
        before.deleteLater()
        if was is not None:
            self.opening.end(was)

    def _attend(self, window: QMainWindow, look: Look, over: QWidget, room: Callable[[], int]) -> None:
        """What is dropped on a window comes here, and what is to be said is said over it, but not over numbers."""
        self.panel, self.frame = NoticePanel(look, self._answer, over, room), DropFrame(look, over)
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    # What is asked for --------------------------------------------------------------------------------------------

    def _asked_for(self, how: str) -> None:
        """By the display's keys and menu: a ``file`` or ``folder`` by dialog, or the start page."""
        window = self.window
        if how != START:
            self.show_dialog(how)
        elif isinstance(window, MainWindow):
            window.turn_page(START)

    def ask(self, choice: Choice) -> None:
        """Open something in place of what is on the screen; what would end with that is asked about first."""
        self.opening.ask(choice, self._monotonic(), self._ends())
        self._say()

    def _ends(self) -> str:
        """What of the patient on the screen would end."""
        window = self.window
        if not isinstance(window, MainWindow):
            return ""
        for bed in window.ward.beds:
            if bed.verdict.life is Life.ENDED or bed.status is None:
                continue
            if bed.status.recording:
                return tr("This run is being recorded. The recording would end.")
            if not bed.status.seekable:
                return tr("A patient is being watched live. That would end.")
        return ""

    def _answer(self, method: str) -> None:
        if method in ("confirm", "retry"):
            getattr(self.opening, method)(self._monotonic())
        else:
            getattr(self.opening, method)()
        self._say()

    def show_dialog(self, how: str) -> None:
        """Let a ``file`` or a ``folder`` be chosen; nothing waits for it."""
        if self.dialog is not None:
            return
        folder = how == "folder"
        dialog = self.dialog = QFileDialog(
            self.window, tr("Open a folder of recordings") if folder else tr("Open a recording")
        )
        dialog.setFileMode(QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFiles)
        if not folder:
            dialog.setNameFilters(list(FILTERS))
        dialog.setDirectory(self._folder or str(Path.home()))
        dialog.finished.connect(self._chosen)
        dialog.open()

    def _chosen(self, accepted: int) -> None:
        dialog, self.dialog = self.dialog, None
        if dialog is None:
            return
        files = dialog.selectedFiles() if accepted else []
        dialog.deleteLater()
        if files:
            self._folder = str(Path(files[0]).parent)
            self._take_drop(files, [], "")

    # What is dropped ----------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Of the window on the screen: what is dragged over it, dropped on it, and its size."""
        kind = event.type()
        if kind == QEvent.Type.DragEnter:
            drag = cast(QDragEnterEvent, event)
            if drag.mimeData().hasUrls() or drag.mimeData().hasText():
                drag.acceptProposedAction()
                self.frame.appear()
            return True
        if kind == QEvent.Type.DragLeave:
            self.frame.hide()
        if kind == QEvent.Type.Drop:
            drop = cast(QDropEvent, event)
            drop.acceptProposedAction()
            self.frame.hide()
            self.drop(drop.mimeData())
            return True
        if kind == QEvent.Type.Resize:
            QTimer.singleShot(0, self.panel, self.panel.restyle)  # after the window itself has been laid out
        return False

    def drop(self, data: QMimeData) -> None:
        """Open what was dropped, or say why it cannot be."""
        urls = data.urls()
        files = [str(Path(url.toLocalFile())) for url in urls if url.isLocalFile()]
        addresses = [url.toDisplayString() for url in urls if not url.isLocalFile()]
        self._take_drop(files, addresses, data.text() if not urls else "")

    def _take_drop(self, files: Sequence[str], addresses: Sequence[str], text: str) -> None:
        try:
            choice = dropped(files, addresses, text)
        except BadInput as error:
            self.opening.refuse(str(error))
            self._say()
            return
        self.ask(choice)

    # What the page looks for --------------------------------------------------------------------------------------

    def _look_up(self) -> None:
        if self._recents is None:
            self._recents = self._worker.submit(self._opener.recent)

    def _forget(self) -> None:
        def forget_all() -> tuple[Recent, ...]:
            self._opener.forget()
            return self._opener.recent()

        self._recents = self._worker.submit(forget_all)

    def _find(self, scheme: str) -> None:
        self._finds.append((scheme, self._worker.submit(self._opener.find, scheme)))

    # Twenty times a second ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what has come, and say how it stands."""
        now_s = self._monotonic()
        opened = self.opening.poll()
        if opened is not None:
            self.show(opened)
        for sentence in [*self.opening.ended(), *self._kept_wrong()]:
            if isinstance(self.window, MainWindow):
                self.window.say(sentence)
        if self._recents is not None and self._recents.done():
            recents, self._recents = self._recents, None
            if (error := recents.exception()) is None:
                self._show_recents(recents.result())
            else:
                self.opening.refuse(self.opening.sentence(tr("What was open before could not be listed"), error))
        for scheme, future in [find for find in self._finds if find[1].done()]:
            self._finds.remove((scheme, future))
            self._found(scheme, future)
        if self.opened is not None and now_s - self._kept_s >= KEEP_S:
            self._kept_s = now_s
            self._keep(self.window, self.opened)
        self._say()

    def stumbled(self, error: BaseException) -> None:
        """Something has gone wrong in the window itself: said once, and logged."""
        trace = traceback.extract_tb(error.__traceback__)
        where = (type(error).__name__, *((trace[-1].filename, trace[-1].lineno) if trace else ()))
        if where not in self._stumbles and len(self._stumbles) < MOST_STUMBLES:
            self._stumbles.add(where)
            self.opening.refuse(
                self.opening.sentence(tr("Something on this screen does not work"), error), tr("A fault")
            )

    def _show_recents(self, recents: tuple[Recent, ...]) -> None:
        """All but what is on the screen."""
        shown = self.opened.choice.sources if self.opened is not None else ()
        self._folder = next((found for one in recents if (found := folder_of(one))), self._folder)
        self.page.show_recents(tuple(one for one in recents if one.choice.sources != shown), self._unix())

    def _say(self) -> None:
        self.panel.show_notice(self.opening.notice(self._monotonic(), behind=self.opened is not None))

    def _found(self, scheme: str, future: Future[tuple[Found, ...]]) -> None:
        error = future.exception()
        if error is None:
            self.page.show_found(scheme, future.result())
        else:
            self.page.show_found(
                scheme, (), self.opening.sentence(tr("It could not be looked for {scheme}", scheme=scheme), error)
            )

    def _keep(self, window: Window, opened: Opened) -> None:
        """Where it stands, for the next time."""
        snapshot = window.link.snapshot if isinstance(window, MainWindow) else None
        if snapshot is not None:
            status = snapshot.status
            position_s = None if status.ended or not status.seekable else status.position_s
            self._kept.append(self._worker.submit(self._opener.left, opened.choice, position_s))

    def _kept_wrong(self) -> list[str]:
        done = [kept for kept in self._kept if kept.done()]
        self._kept = [kept for kept in self._kept if kept not in done]
        wrong = [error for kept in done if (error := kept.exception()) is not None]
        return [self.opening.sentence(tr("Where it was left could not be kept"), error) for error in wrong]

    def finish(self, opening_s: float = OPENING_S, closing_s: float = CLOSING_S) -> None:
        """At the very end: end what is still open, and wait until its files are whole; so many seconds at most for what
        is still being opened, and for what is being closed. Raises what could not be finished."""
        self._timer.stop()
        if isinstance(self.window, MainWindow):
            self.window.sound.join()
        if self.opened is not None:
            self._keep(self.window, self.opened)
            self.opening.end(self.opened)
        closed = self.opening.close(opening_s, closing_s)
        wait(self._kept, opening_s)
        for sentence in self._kept_wrong():
            log.warning("%s", sentence)
        for closing in closed:
            closing.result(0)
