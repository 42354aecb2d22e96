"""Helper threads for what may wait, each call in one of its own, so that one that hangs holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Helpers(Executor):
    """Unlike a pool's its threads keep no program from ending: a file on a dead network drive may never be read."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` at once, elsewhere."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 (what an executor does)
                future.set_exception(error)

        threading.Thread(target=run, name=f"display-{getattr(fn, '__name__', 'helper')}", daemon=True).start()
        return future
