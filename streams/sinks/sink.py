"""The seam of whatever keeps records, and the thread that feeds it, so that nothing on the stream's thread waits.

A :class:`Sink` only formats and writes. A :class:`SinkRunner` stands between it and the stream: a queue with a limit
in bytes, and a thread that empties it. Where the sink is slower than the stream, records are left out and counted, new
waves first; where it cannot write at all, that is one sentence with the file's name. Neither holds up or ends the
monitoring, unless whoever made the runner ends it in ``on_failure``.

A record is handed to the disk at most ``flush_s`` after it was pushed (or sooner, where much waits), so that a killed
process has lost no more than the second before; between these moments the thread sleeps.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Protocol

from models.signals.errors import VigilError
from streams.records import AnyRecord, BedRecord, DeadLetter, PredictionRecord, WaveTick
from streams.threads import WatchedThread

CAPACITY_BYTES = 32 << 20
"""So much may wait: two hours of one bed, or two minutes of sixty."""
WAVES_SHARE = 0.875
"""Of the queue for waves; the rest is for alarms, commands and whatever else is small and matters more."""
WRITE_SHARE = 0.25
"""From here on the queue is written before its time."""
FLUSH_S = 0.5
RECORD_BYTES = 512
"""What a record without samples weighs in the queue."""
STOP_S = 10.0


class Sink(Protocol):
    """Keeps records; called by one thread, in order. Says what goes wrong as VigilError, in one sentence with the name
    of its file, and is then only closed."""

    @property
    def name(self) -> str:
        """What it writes, for sentences and the screen: a path."""

    def add(self, record: AnyRecord) -> None:
        """Takes a record; what it has no use for is left alone."""

    def flush(self) -> None:
        """What was added survives the end of this process."""

    def close(self) -> None:
        """Finishes the file, as far as that goes after a failure. Nothing is added afterwards; may be called again."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """pushed, written, dropped: records since the start (dropped: there was no room, or the sink had failed).
    waiting_bytes: in the queue now. failure: the sentence that ended it, "" while all is well."""

    pushed: int
    written: int
    dropped: int
    waiting_bytes: int
    failure: str


def weight(record: AnyRecord) -> int:
    """Bytes that a record takes in the queue, about; told without encoding it.

    >>> from streams.records import BeatRecord
    >>> weight(BeatRecord(bed="a", session="s", epoch=0, time_ns=0, source="ECG"))
    512
    """
    if isinstance(record, WaveTick):
        return RECORD_BYTES + sum(len(chunk.data) + 128 for chunk in record.chunks)
    if isinstance(record, PredictionRecord):
        return 4 * RECORD_BYTES + sum(3 * len(chunk.data) for chunk in record.restored)
    if isinstance(record, BedRecord):
        return RECORD_BYTES + 128 * len(record.channels) + 128 * sum(map(len, record.gaps_s.values()))
    if isinstance(record, DeadLetter):
        return RECORD_BYTES + len(record.head)
    return RECORD_BYTES


class SinkRunner:
    """Feeds a sink from a thread of its own; call it with every record (it is a subscriber of a session).

    capacity_bytes: of the queue. flush_s: the longest that a record waits for the disk.
    on_failure: told once, from the runner's thread, what ended the sink; on_drops: told, from the same thread, how many
    records have been left out so far, when that begins and when there is room again. A sink that hangs tells nothing:
    the counts of ``status`` do, from any thread.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        flush_s: float = FLUSH_S,
        on_failure: Callable[[VigilError], None] | None = None,
        on_drops: Callable[[int], None] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if capacity_bytes < 1:
            raise ValueError(f"the queue needs room for at least a byte, got {capacity_bytes}")
        self._sink, self._capacity, self._flush_ns = sink, capacity_bytes, round(flush_s * 1e9)
        self._on_failure, self._on_drops, self._now = on_failure, on_drops, monotonic_ns
        self._changed = Condition()
        self._queue: deque[tuple[int, AnyRecord]] = deque()  # weight, record
        self._since_ns = 0  # when the oldest of them was pushed
        self._bytes = self._pushed = self._written = self._dropped = 0
        self._dropped_before, self._dropping = 0, False  # as of the last turn
        self._closing = False
        self._failure: VigilError | None = None
        self._thread: Thread | None = None

    # -- any thread ---------------------------------------------------------------------------------------------------

    def __call__(self, record: AnyRecord) -> None:
        """Takes a record; never waits for the sink."""
        size = weight(record)
        limit = self._capacity * (WAVES_SHARE if isinstance(record, WaveTick) else 1.0)
        with self._changed:
            self._pushed += 1
            if self._failure is not None or self._closing or self._bytes + size > limit:
                self._dropped += 1
                return
            if not self._queue:
                self._since_ns = self._now()
                self._changed.notify_all()
            self._queue.append((size, record))
            self._bytes += size
            if self._bytes >= self._capacity * WRITE_SHARE > self._bytes - size:
                self._changed.notify_all()

    @property
    def status(self) -> SinkStatus:
        """The counters now."""
        with self._changed:
            failure = str(self._failure) if self._failure else ""
            return SinkStatus(self._pushed, self._written, self._dropped, self._bytes, failure)

    @property
    def name(self) -> str:
        """What the sink writes."""
        return self._sink.name

    def start(self) -> None:
        """Starts the thread."""
        self._thread = WatchedThread("recorder", self._run, self._fail)
        self._thread.start()

    def close(self, timeout_s: float = STOP_S) -> None:
        """Writes what waits, closes the sink and ends the thread; waits for that, at most ``timeout_s``.

        Raises VigilError where the sink is still busy then: the file may lack its end.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise VigilError(
                f"The output {self.name} was not finished within {timeout_s:g} s: its disk does not answer."
            )

    # -- the runner's thread --------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Writes and flushes what waits, and tells what was left out; False when nothing more is to come and the sink
        is closed. The thread's work without its waiting."""
        with self._changed:
            taken, closing, dropped = list(self._queue), self._closing, self._dropped
            self._queue.clear()
        for size, record in taken:
            self._sink.add(record)
            with self._changed:  # counted off one by one: a full queue has room as soon as there is some
                self._bytes -= size
                self._written += 1
        if taken:
            self._sink.flush()
        self._tell(dropped)
        if closing and not taken:
            self._sink.close()
            return False
        return True

    def _run(self) -> None:
        while self.turn():
            with self._changed:
                while (wait_s := self._wait_s()) is None or wait_s > 0:
                    self._changed.wait(wait_s)

    def _wait_s(self) -> float | None:
        """Seconds until there is something to do; None: until something comes."""
        if self._closing or self._bytes >= self._capacity * WRITE_SHARE:
            return 0.0
        return (self._since_ns + self._flush_ns - self._now()) / 1e9 if self._queue else None

    def _tell(self, dropped: int) -> None:
        """That records are left out, at once; and how many, when that is over."""
        growing = dropped != self._dropped_before
        self._dropped_before = dropped
        if growing != self._dropping:
            self._dropping = growing
            if self._on_drops is not None:
                self._on_drops(dropped)

    def _fail(self, _where: str, error: BaseException) -> None:
        """The sink cannot go on: what waits is dropped and counted, the monitoring goes on."""
        if not isinstance(error, VigilError):
            text = " ".join(str(error).split())
            error = VigilError(f"The output {self.name} failed: {type(error).__name__}{': ' + text if text else ''}.")
        with self._changed:
            self._failure = error
            self._dropped = self._pushed - self._written
            self._bytes = 0
            self._queue.clear()
        with suppress(
            VigilError, OSError
        ):  # the file may still get its end; if not, the first reason is the one to tell
            self._sink.close()
        if self._on_failure is not None:
            self._on_failure(error)
