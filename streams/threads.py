"""Threads that cannot die unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType


class WatchedThread(threading.Thread):
    """Runs ``body``; whatever leaves it goes to ``on_error(name, error)``, called from this thread.

    A daemon, so that a thread stuck in a library cannot keep the program from ending.
    """

    def __init__(self, name: str, body: Callable[[], None], on_error: Callable[[str, BaseException], None]) -> None:
        super().__init__(name=f"vigil-{name}", daemon=True)
        self._short, self._body, self._on_error = name, body, on_error

    def run(self) -> None:
        """The thread's body; see the class."""
        with ExitStack() as stack:
            stack.push(self._left)
            self._body()

    def _left(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._on_error(self._short, error)
        return True
