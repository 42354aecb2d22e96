"""Drawing the next batch while a GPU computes: reading and losing sensors is work of the CPU, one step ahead of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Calls ``make(step)``; with ``ahead`` also begins ``make(step + 1)`` in a thread. The same results either way.

    ``make`` must depend on its step only and leave the global random generators alone.
    """

    def __init__(self, make: Callable[[int], T], ahead: bool) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, "ahead") if ahead else None
        self._next: tuple[int, Future[T]] | None = None

    def __call__(self, step: int) -> T:
        """``make(step)``, begun earlier if the last call was for the step before."""
        if self._pool is None:
            return self._make(step)
        begun, self._next = self._next, None
        result = begun[1].result() if begun is not None and begun[0] == step else self._make(step)
        self._next = (step + 1, self._pool.submit(self._make, step + 1))
        return result
