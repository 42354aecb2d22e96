"""Takes what devices send to the broker, and by way of a disk while that is away.

A device cannot wait. While the broker takes what comes, a message goes straight through; once :data:`MOST_WAITING` of
them wait for it, whatever follows goes behind them into a :class:`streams.spool.Spool`, from a thread of its own, and
from there to the broker in order when that is back. What finds no room is dropped and counted, not kept without bound.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition

from streams.spool import Spool

MOST_WAITING = 512  # messages that the broker has not taken, before more go to the disk
MOST_QUEUED_BYTES = 8 << 20  # on their way to the disk, before what comes is dropped: it does not answer
LOOK_S = 0.05
LAST_S = 2.0  # at the end, for what is on the disk to get away

_BED = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class CourierStatus:
    """kept: messages that wait on the disk or on the way there; size: bytes of them on the disk. spooled, dropped:
    messages since the start. failure: why the disk takes none, "" while it does."""

    kept: int = 0
    size: int = 0
    spooled: int = 0
    dropped: int = 0
    failure: str = ""


def courier_notes(status: CourierStatus) -> tuple[str, ...]:
    """In sentences, for terminal, log and displays; none while everything went straight through.

    >>> courier_notes(CourierStatus(kept=1200, size=4 << 20, spooled=3000, dropped=7))
    ('1200 ticks of devices wait on disk for the broker (4.2 MB).', '7 ticks of devices were dropped.')
    """
    notes = []
    if status.kept:
        notes.append(f"{status.kept} ticks of devices wait on disk for the broker ({status.size / 1e6:.1f} MB).")
    if status.dropped:
        notes.append(f"{status.dropped} ticks of devices were dropped.")
    if status.failure:
        notes.append(status.failure)
    return tuple(notes)


class Courier:
    """post: ``post(bed, message)`` to the broker, without waiting. waiting: messages that wait for it. open_spool: the
    queue on disk; called when it is first needed, in the thread."""

    def __init__(
        self,
        post: Callable[[str, bytes], None],
        waiting: Callable[[], int],
        open_spool: Callable[[], Spool],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post, self._waiting, self._open_spool, self._now = post, waiting, open_spool, monotonic
        self._changed = Condition()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued_bytes = 0
        self._spool: Spool | None = None
        self._behind = False
        self._end_s: float | None = None
        self._closed = False
        self._spooled = self._dropped = self._kept = self._size = 0
        self._failure = ""

    # -- any thread ---------------------------------------------------------------------------------------------------

    def push(self, bed: str, message: bytes) -> None:
        """Takes a message; never waits."""
        with self._changed:
            if not self._behind and not self._closed and self._room():
                self._post(bed, message)
            elif self._closed or self._queued_bytes + len(message) > MOST_QUEUED_BYTES:
                self._dropped += 1
            else:
                self._queue.append((bed, message))
                self._queued_bytes += len(message)
                self._behind = True
                self._changed.notify_all()

    @property
    def behind(self) -> bool:
        """Whether something waits here."""
        return self._behind

    @property
    def status(self) -> CourierStatus:
        """How it stands."""
        with self._changed:
            return CourierStatus(self._kept + len(self._queue), self._size, self._spooled, self._dropped, self._failure)

    def stop(self) -> None:
        """Let :meth:`run` return as soon as everything got away, or in 2 s; what is left then is dropped."""
        with self._changed:
            self._end_s = self._now() + LAST_S
            self._changed.notify_all()

    # -- its thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Body of its thread, until :meth:`stop`."""
        while True:
            with self._changed:
                while not self._behind and self._end_s is None:
                    self._changed.wait()
                if self._end_s is not None and (not self._behind or self._now() >= self._end_s):
                    break
            self.turn()
            with self._changed:
                if self._behind and not self._queue:
                    self._changed.wait(LOOK_S)
        self.close()

    def turn(self) -> None:
        """Moves everything on as far as there is room. The thread's work without its waiting."""
        with self._changed:
            taken, self._queue, self._queued_bytes = self._queue, deque(), 0
        self._drain()
        while taken:
            bed, message = taken.popleft()
            if not self._stored and self._room():
                self._post(bed, message)
            else:
                self._store(bed, message)
        self._drain()
        with self._changed:
            self._kept, self._size = self._stored, self._spool.size if self._spool is not None else 0
            self._behind = bool(self._kept or self._queue)

    def close(self) -> None:
        """Takes nothing more; what is left is dropped, and the disk given back."""
        with self._changed:
            self._closed = True
            self._dropped += len(self._queue) + self._stored
            self._queue.clear()
            self._kept = self._size = 0
            self._behind = False
        if self._spool is not None:
            with suppress(OSError):  # the folder is deleted by the next who starts
                self._spool.close()

    @property
    def _stored(self) -> int:
        return len(self._spool) if self._spool is not None else 0

    def _room(self) -> bool:
        return self._waiting() < MOST_WAITING

    def _store(self, bed: str, message: bytes) -> None:
        name = bed.encode()
        try:
            if self._spool is None:
                self._spool = self._open_spool()
            dropped = self._spool.push(_BED.pack(len(name)) + name + message)
            failure = ""
        except OSError as error:
            dropped, failure = 1, f"The disk takes nothing to keep for the broker ({error.strerror or error})."
        with self._changed:
            self._failure = failure
            self._spooled += not failure
            self._dropped += dropped

    def _drain(self) -> None:
        while self._spool is not None and self._stored and self._room():
            before = self._stored
            try:
                entry = self._spool.pop()
            except OSError:
                with suppress(OSError):
                    self._spool.close()
                entry = None
            with self._changed:
                self._dropped += before - self._stored - (entry is not None)  # what could not be read again
            if entry is not None:
                end = _BED.size + _BED.unpack_from(entry)[0]
                self._post(entry[_BED.size : end].decode(), entry[end:])
