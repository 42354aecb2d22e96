"""A backend in a thread of its own, from load to close: a native call that hangs can then be left where it is."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from models.runtime.backend import Backend, BackendInfo, HasBuckets
from models.signals.errors import BackendFailed, VigilError

log = logging.getLogger("vigil.inference")

CLOSE_S = 4.0
"""For a call or a load to come back at the end: one that comes back while the interpreter shuts down aborts it."""
LARGEST_BATCH = 16
"""Of a backend without buckets: 16 windows are 0.13 s on two cores, so that no window waits long for the others."""
_SLICE_S = 0.25  # how soon the end of the run is noticed

Load = Callable[[], Backend]
Wait = Callable[["queue.SimpleQueue[object]", float], object]
"""Takes from the queue within so many seconds or raises queue.Empty; tests bring their own."""

_T = TypeVar("_T")


def take(answers: queue.SimpleQueue[object], within_s: float) -> object:
    """The next answer; queue.Empty if none comes within ``within_s`` seconds."""
    return answers.get(timeout=within_s)


class Missed(BackendFailed):
    """No answer in time; the thread is still in there."""


class Ended(BackendFailed):
    """The run is over and nobody waits for the answer: ``cancel`` was set."""


class BackendThread:
    """``load`` is called at once, in the thread; so is everything that is asked of the backend. Called by one thread.

    Errors of Vigil's own come as they are; whatever else a library raises comes as BackendFailed.
    """

    def __init__(self, name: str, load: Load, cancel: threading.Event, wait: Wait = take) -> None:
        self.name, self._load, self._cancel, self._wait = name, load, cancel, wait
        self.info = BackendInfo(name, name)
        self.batch = LARGEST_BATCH
        """Windows that one run may take: the largest bucket, where there are buckets."""
        self._asked: queue.SimpleQueue[Callable[[Backend], object] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._body, name=f"vigil-model-{name}", daemon=True)
        self._thread.start()

    def loaded(self, within_s: float | None) -> None:
        """Wait until the backend is there, without limit if None. Raises what its load raised, Missed or Ended."""
        answer = self._answer(within_s, "did not load")
        assert isinstance(answer, tuple)
        self.info, self.batch = answer
        self.name = self.info.name

    def call(self, task: Callable[[Backend], _T], within_s: float) -> _T:
        """The task's result. Raises what it raised, Missed or Ended; after these two the thread must be left."""
        self._asked.put(task)
        return self._answer(within_s, "gave no answer")  # type: ignore[return-value]

    def leave(self) -> None:
        """The backend is closed as soon as its call comes back; returns at once."""
        self._asked.put(None)

    def close(self) -> None:
        """Closes the backend and waits for it. One that hangs is left to the end of the process."""
        self.leave()
        self._thread.join(CLOSE_S)
        if self.stuck:
            log.warning("The backend %s did not close within %g s.", self.name, CLOSE_S)

    @property
    def stuck(self) -> bool:
        """Of a thread that was left: whether it is still in there."""
        return self._thread.is_alive()

    def _answer(self, within_s: float | None, what: str) -> object:
        left = float("inf") if within_s is None else within_s
        while True:
            try:
                answer = self._wait(self._answers, min(left, _SLICE_S))
            except queue.Empty:
                left -= _SLICE_S
                if self._cancel.is_set():
                    raise Ended("the run was ended") from None
                if left <= 0:
                    raise Missed(f"{self.name} {what} within {within_s:g} s") from None
                continue
            if isinstance(answer, VigilError):
                raise answer
            if isinstance(answer, Exception):
                text = " ".join(str(answer).split())
                raise BackendFailed(f"{self.name} failed: {type(answer).__name__}: {text}") from answer
            return answer

    def _body(self) -> None:
        try:
            backend = self._load()
        except Exception as error:  # noqa: BLE001 - libraries' classes have no common base; raised by loaded()
            self._answers.put(error)
            return
        buckets = backend.buckets if isinstance(backend, HasBuckets) else ()
        self._answers.put((backend.info, max(buckets, default=LARGEST_BATCH)))
        while (task := self._asked.get()) is not None:
            try:
                answer = task(backend)
            except Exception as error:  # noqa: BLE001 - as above; raised by call()
                answer = error
            del task  # the inputs go with it, not with the next batch
            self._answers.put(answer)
            del answer
        try:
            backend.close()
        except Exception as error:  # noqa: BLE001 - it has served for the last time, and nobody waits
            log.warning("The backend %s did not close: %s: %s", self.name, type(error).__name__, error)
