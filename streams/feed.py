"""The seam between stream and screen: a bounded, thread-safe queue that the display polls once a frame.

The stream calls :meth:`DisplayFeed.push` from its thread; the display calls :meth:`drain` from Qt's. No Qt here and
no waiting on either side: when the display is slow the oldest records are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

from streams.records import AnyRecord


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """Counters of the feed: records pushed and dropped since the start, and records waiting now."""

    pushed: int
    dropped: int
    waiting: int


class DisplayFeed:
    """Bounded queue of decoded records, oldest first.

    capacity: records held at most (default 4096: three minutes of one bed at 20 ticks a second).
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._records: deque[AnyRecord] = deque()
        self._capacity = capacity
        self._lock = Lock()
        self._pushed = 0
        self._dropped = 0

    def push(self, record: AnyRecord) -> None:
        with self._lock:
            self._pushed += 1
            if len(self._records) >= self._capacity:
                self._records.popleft()
                self._dropped += 1
            self._records.append(record)

    def drain(self, limit: int = 512) -> list[AnyRecord]:
        """At most ``limit`` records, oldest first."""
        with self._lock:
            take = min(limit, len(self._records))
            return [self._records.popleft() for _ in range(take)]

    @property
    def status(self) -> FeedStatus:
        with self._lock:
            return FeedStatus(self._pushed, self._dropped, len(self._records))
