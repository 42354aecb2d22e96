"""The threads of a role: one that dies, or leaves though nobody told it to, ends all of them with a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock

from models.signals.errors import BackendUnavailable, BadInput, VigilError
from streams.threads import WatchedThread

log = logging.getLogger("vigil.session")

STOP_S = 5.0  # for a thread to end


class SessionError(VigilError):
    """A part of the session died; the text says which and why."""


class Crew:
    """Thread-safe. end: tells every part to end, without waiting; called whenever the crew stops or fails."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._lock = Lock()
        self._threads: list[WatchedThread] = []
        self.stopping = Event()
        """Set once it is to end."""
        self.failure: BaseException | None = None
        """What ended it first, None while all is well."""
        self.error = ""
        """The same, as a sentence."""

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Run ``body`` in a thread, until the crew is told to stop."""

        def whole() -> None:
            body()
            if not self.stopping.is_set():
                raise SessionError(f"The {name} thread ended although nothing had told it to.")

        thread = WatchedThread(name, whole, self.fail)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def at_work(self, beginning: str) -> bool:
        """Whether a thread is alive whose name so begins."""
        with self._lock:
            return any(thread.name.startswith(f"vigil-{beginning}") and thread.is_alive() for thread in self._threads)

    def fail(self, where: str, error: BaseException) -> None:
        """Something died: keep the first reason and end. From any thread."""
        with self._lock:
            if self.failure is not None:
                return
            self.failure = error
            self.error = str(error) if isinstance(error, VigilError) else _sentence(where, error)
        if not isinstance(error, BadInput | BackendUnavailable):
            log.error("%s", self.error, exc_info=error)
        self.begin_stop()

    def begin_stop(self) -> None:
        """Tell every part to end, without waiting."""
        self.stopping.set()
        self._end()

    def stop(self) -> None:
        """End everything and wait for it; under a second. May be called more than once, from any thread but its own."""
        self.begin_stop()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(STOP_S)
        stuck = [thread.name for thread in threads if thread.is_alive()]
        if stuck:
            self.fail("stop", SessionError(f"The threads {', '.join(stuck)} did not end within {STOP_S:.0f} s."))

    def raise_failure(self) -> None:
        """Raises what ended it, if something did."""
        if isinstance(self.failure, VigilError):
            raise self.failure
        if self.failure is not None:
            raise SessionError(self.error) from self.failure


def _sentence(where: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"The {where} failed: {type(error).__name__}{': ' + text if text else ''}."
