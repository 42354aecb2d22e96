"""Back-pressure: how many ticks may be under way between a source and the slowest of its consumers.

Agents' sends never block (an agent that waits for the topic it feeds deadlocks), so only sources wait, and they wait
here. A credit is taken per tick, by the tick's identity, and is free again once every stage has handled that tick.
Identity, not a count: delivery is at least once, and a tick handled twice must not free two credits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Hashable, Iterable


class Credits:
    """At most ``limit`` ticks under way; every method may be called from any thread.

    stages: names of the consumers that must all have handled a tick before its credit is free.
    """

    def __init__(self, limit: int, stages: Iterable[str]) -> None:
        self._stages = frozenset(stages)
        if limit < 1:
            raise ValueError(f"at least 1 tick must be allowed under way, got {limit}")
        if not self._stages:
            raise ValueError("credits need at least one stage that releases them")
        self._limit = limit
        self._under_way: dict[Hashable, set[str]] = {}
        self._changed = threading.Condition()
        self._async_waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()
        self._closed = False

    def acquire(self, tick: Hashable, timeout: float | None = None) -> bool:
        """Wait until there is a credit and take it for this tick; for source threads.

        False, and nothing taken, if the credits are closed or ``timeout`` seconds pass. A tick that is still under
        way (sent again) keeps its one credit and does not wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._may_go(tick), timeout)
            return self._take(tick)

    async def acquire_async(self, tick: Hashable, timeout: float | None = None) -> bool:
        """:meth:`acquire` for a source that runs in an event loop."""
        deadline = None if timeout is None else time.monotonic() + timeout
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                left = None if deadline is None else deadline - time.monotonic()
                if self._may_go(tick) or (left is not None and left <= 0):
                    return self._take(tick)
                entry = (loop, loop.create_future())
                self._async_waiters.add(entry)
            try:
                await asyncio.wait({entry[1]}, timeout=left)
            finally:
                with self._changed:
                    self._async_waiters.discard(entry)

    def release(self, stage: str, tick: Hashable) -> None:
        """``stage`` has handled ``tick``. Ticks that are not under way (duplicates, rewound ones) change nothing."""
        if stage not in self._stages:
            raise KeyError(f"{stage!r} is not one of the stages {sorted(self._stages)}")
        with self._changed:
            waiting_for = self._under_way.get(tick)
            if waiting_for is None:
                return
            waiting_for.discard(stage)
            if not waiting_for:
                del self._under_way[tick]
                self._wake()

    def drop_stage(self, stage: str) -> None:
        """A consumer has gone for good: nobody waits for it any more. Without any stage left this closes."""
        with self._changed:
            self._stages -= {stage}
            for tick in list(self._under_way):
                self._under_way[tick].discard(stage)
                if not self._under_way[tick]:
                    del self._under_way[tick]
            self._closed = self._closed or not self._stages
            self._wake()

    def forget(self, tick: Hashable) -> None:
        """The tick was never sent after all: its credit is free."""
        with self._changed:
            if self._under_way.pop(tick, None) is not None:
                self._wake()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until no tick is under way; False if closed before or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._under_way, timeout)
            return not self._under_way

    def close(self) -> None:
        """Nobody waits any more: every acquire, now and later, returns False."""
        with self._changed:
            self._closed = True
            self._wake()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def under_way(self) -> int:
        """Ticks sent and not yet handled by every stage."""
        with self._changed:
            return len(self._under_way)

    def _may_go(self, tick: Hashable) -> bool:
        return self._closed or tick in self._under_way or len(self._under_way) < self._limit

    def _take(self, tick: Hashable) -> bool:
        if self._closed or not self._may_go(tick):
            return False
        self._under_way.setdefault(tick, set(self._stages))
        return True

    def _wake(self) -> None:
        self._changed.notify_all()
        for loop, waiter in self._async_waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_rouse, waiter)


def _rouse(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
