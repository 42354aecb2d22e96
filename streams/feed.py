"""The seam between stream and screen: a bounded, thread-safe queue that the display polls once a frame.

The stream calls :meth:`DisplayFeed.push` from its thread; the display calls :meth:`drain` from Qt's. No Qt here and
no waiting on either side: when the display is slow records are dropped and counted, the oldest waves first, then the
oldest of the rest, and alarms only where a newer one of the same condition has made them old news.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from threading import Lock

from streams.records import AlarmRecord, AnyRecord, LimitsRecord, WaveTick


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """Counters of the feed: records pushed and dropped since the start, and records waiting now."""

    pushed: int
    dropped: int
    waiting: int


class DisplayFeed:
    """Bounded queue of decoded records, oldest first.

    capacity: records held at most (default 4096: three minutes of one bed at 20 ticks a second). Only more standing
    alarm conditions than that, of all beds together, could drop the newest word on one.
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        # Each record with its number, so that they leave in the order in which they came.
        self._waves: deque[tuple[int, AnyRecord]] = deque()
        self._others: deque[tuple[int, AnyRecord]] = deque()
        self._alarms: deque[tuple[int, AlarmRecord | LimitsRecord]] = deque()
        self._capacity = capacity
        self._lock = Lock()
        self._pushed = 0
        self._dropped = 0

    def push(self, record: AnyRecord) -> None:
        """Adds a record; the oldest are dropped, and counted, where there is no room."""
        with self._lock:
            self._pushed += 1
            if isinstance(record, AlarmRecord | LimitsRecord):
                self._alarms.append((self._pushed, record))
            elif isinstance(record, WaveTick):
                self._waves.append((self._pushed, record))
            else:
                self._others.append((self._pushed, record))
            if self._waiting > self._capacity:
                self._drop_one()
                self._dropped += 1

    def drain(self, limit: int = 512) -> list[AnyRecord]:
        """At most ``limit`` records, oldest first."""
        with self._lock:
            return [self._oldest() for _ in range(min(limit, self._waiting))]

    @property
    def status(self) -> FeedStatus:
        """The counters now."""
        with self._lock:
            return FeedStatus(self._pushed, self._dropped, self._waiting)

    @property
    def _waiting(self) -> int:
        return len(self._waves) + len(self._others) + len(self._alarms)

    def _oldest(self) -> AnyRecord:
        queues = [queue for queue in (self._waves, self._others, self._alarms) if queue]
        return min(queues, key=lambda queue: queue[0][0]).popleft()[1]

    def _drop_one(self) -> None:
        if self._waves:
            self._waves.popleft()
        elif self._others:
            self._others.popleft()
        else:
            later = Counter(_condition(alarm) for _, alarm in self._alarms)
            old = next((i for i, (_, alarm) in enumerate(self._alarms) if later[_condition(alarm)] > 1), 0)
            del self._alarms[old]


def _condition(alarm: AlarmRecord | LimitsRecord) -> tuple[str, str]:
    return alarm.bed, alarm.key if isinstance(alarm, AlarmRecord) else ""
