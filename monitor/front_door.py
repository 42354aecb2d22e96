"""What opens for the display whatever is chosen on it: the :class:`ui.start.opening.Opener` of a process.

One session is on the screen at a time. The next one is begun beside it, with the same model, broker and settings of
this run, and only when its channels are known the display turns to it and the one before is closed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from models.signals.errors import BadInput, VigilError
from monitor.config import InForce
from monitor.events import EventLog
from monitor.kept import alarm_files
from monitor.logs import log_path
from monitor.recent import Entry, RecentFile
from monitor.redaction import HIDDEN
from monitor.running import Running, begin
from monitor.settings import RunSettings
from monitor.sources import driver_of
from monitor.watchpoint import watched
from monitor.window import begin_window
from streams.feed import DisplayFeed
from streams.snapshot import Snapshot
from ui.start.opening import Choice, Found, Opened, Recent

LOOK_S = 0.1
"""So often it is seen whether what opens is still wanted."""


class GivenUp(VigilError):
    """Nobody wants it any more."""


class FrontDoor:
    """settings: of the run that the process was begun with, whose manners the others take over."""

    def __init__(
        self,
        settings: RunSettings,
        force: InForce,
        say: EventLog | None = None,
        recents: RecentFile | None = None,
        unix: Callable[[], float] = time.time,
    ) -> None:
        # What names one recording, or a file that it leaves, is not of the next one.
        self._manners = replace(
            settings, names=(), speed=1.0, for_s=None, channels={}, drops=(), record=None,
            report=None, vitals=None, predictions=None, alarms=None, restored=None, screenshot=None,
        )  # fmt: skip
        self._first = Choice(tuple(map(whole_path, settings.sources)), settings.from_s)
        self._force, self._say, self._unix = force, say, unix
        self._recents = recents or RecentFile()
        self._current: Running | None = None
        self._watched = ExitStack()
        self._has_port = False

    # The life of the process --------------------------------------------------------------------------------------

    def show(self, running: Running | None = None) -> int:
        """Show what runs, or the start page, and all that is opened from there, until the window is closed; the exit
        code. Raises what is wrong with ``running``'s sources, and what ended the session that was shown last."""
        from ui.window.app import run_door

        choices = begin_window(self._force, self._report, self._names)
        with self._watched:
            opened = None
            if running is not None:
                self._turn_to(running)
                running.session.wait_opened()
                opened = _opened(self._first, running)
            code = run_door(self, opened, make_files=alarm_files, **choices)
        if self._current is not None and self._current.session.failure is not None:
            self._current.session.wait(0)  # raises it, in one sentence
        return code

    def _turn_to(self, running: Running) -> None:
        """``running`` is what the display shows, and who asks is told of from now on. BadInput where nobody can ask
        since the port is taken, which is tried again with the next one."""
        self._current = running
        if not self._has_port:
            self._watched.enter_context(watched(self._force.keys.metrics, self.snapshot))
            self._has_port = True

    def snapshot(self) -> Snapshot:
        """How the session on the screen stands."""
        assert self._current is not None, "watched from the first one on"
        return self._current.session.snapshot()

    def _report(self) -> Mapping[str, Any] | None:
        """Of the session on the screen in numbers; None before the first."""
        return self._current.session.report() if self._current is not None else None

    def _names(self) -> Sequence[str]:
        return self._current.session.beds if self._current is not None else ()

    # What the display asks for ------------------------------------------------------------------------------------

    @property
    def scenarios(self) -> Sequence[str]:
        """Of the built-in patient."""
        from models.data.sim.crises import Crisis
        from models.data.sim.scenarios import Scenario

        return [*(one.value for one in Scenario), *(one.value for one in Crisis)]

    def open(self, choice: Choice, cancelled: Event) -> Opened:
        """See :class:`ui.start.opening.Opener`."""
        words = tuple(map(whole_path, choice.sources))
        HIDDEN.hide_files(words)
        settings = replace(self._manners, sources=words, from_s=choice.from_s)
        feed = DisplayFeed()
        running = begin(settings, self._force, self._say, feed=feed, display=True, stay_open=True, metrics=False)
        try:
            while not running.session.wait_opened(LOOK_S) and not cancelled.is_set():
                pass
            if cancelled.is_set():
                raise GivenUp("It is not wanted any more.")
        except BaseException:
            running.close()
            raise
        return _opened(replace(choice, sources=words), running)

    def entered(self, opened: Opened) -> None:
        """It is on the screen: asked from outside how it is, and the newest of what was open before. BadInput where one
        of these cannot be; the other is."""
        assert isinstance(opened, _OfRunning)
        try:
            self._turn_to(opened.running)
        finally:
            self._list(opened)

    def _list(self, opened: Opened) -> None:
        known = [entry.position_s for entry in self._recents.read() if entry.sources == opened.choice.sources]
        position_s = opened.choice.from_s or (known[0] if known else None)
        self._recents.put(Entry(opened.choice.sources, self._unix(), position_s), first=True)

    def left(self, choice: Choice, position_s: float | None) -> None:
        """See :class:`ui.start.opening.Opener`."""
        self._recents.put(Entry(choice.sources, self._unix(), position_s), first=False)

    def recent(self) -> tuple[Recent, ...]:
        """What was open before, newest first."""
        return tuple(
            Recent(Choice(entry.sources), entry.position_s, entry.left_unix_s, any(map(gone, entry.sources)))
            for entry in self._recents.read()
        )

    def forget(self) -> None:
        """Of all that was open before."""
        self._recents.forget()

    def find(self, scheme: str) -> tuple[Found, ...]:
        """Streams or devices of the network. BadInput where the library for it is not installed."""
        if scheme == "lsl":
            from streams.sources.lsl import lsl_streams, lsl_word

            streams = [
                Found(lsl_word(said), said.name or said.source_id or "without a name", str(said), said.unusable)
                for said in lsl_streams()
            ]
            usable = [found.title for found in streams if not found.unusable]
            together = [Found("lsl:", f"All {len(usable)} together", f"as one patient: {', '.join(usable)}")]
            return (*(together if len(usable) > 1 else ()), *streams)
        if scheme == "sdc":
            from streams.sources.sdc import sdc_devices

            return tuple(Found(f"sdc:epr={said.epr}", said.epr, str(said)) for said in sdc_devices())
        raise BadInput("lsl or sdc", repr(scheme), "look for one of these")

    @property
    def details(self) -> str:
        """Where the details of an error are."""
        path = log_path()
        return f"in {path}" if path is not None else "on the error stream"


@dataclass(frozen=True, slots=True)
class _OfRunning(Opened):
    running: Running


def _opened(choice: Choice, running: Running) -> Opened:
    assert running.feed is not None
    return _OfRunning(choice, running.session, running.feed, running.recording, running.close, running)


def whole_path(word: str) -> str:
    """``word`` as it can be opened from any folder.

    >>> whole_path("demo:seed=7"), whole_path("vitaldb:1")
    ('demo:seed=7', 'vitaldb:1')
    """
    path = Path(word).expanduser()
    if os.path.exists(path) or path.with_name(f"{path.name}.hea").exists():
        return os.path.abspath(path)
    return word


def gone(word: str) -> bool:
    """Whether it is a file, or a recording in one, that is not there."""
    if driver_of(word) is not None or not os.path.isabs(word):
        return False
    file = word.partition(".mcap#")[0] + ".mcap" if ".mcap#" in word else word
    return not (os.path.exists(file) or os.path.exists(f"{file}.hea"))
