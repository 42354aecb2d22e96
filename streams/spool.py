"""A bounded first-in-first-out queue of messages on disk: what a device has sent while the broker is away.

Clock-free and without threads; one owner. Messages lie in segments, files that are only appended to and deleted whole,
so the disk is given back as the queue is emptied. Each message has its length and checksum before it: what a process
that was killed left half written is no message, and whatever follows in that segment is dropped.

Where the limit is reached the **oldest** segment goes, not what is new: what a patient does now matters more than what
it did when the broker went away, and what is kept then joins without a gap what is sent live afterwards.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

_HEAD = struct.Struct("<II")  # bytes, CRC-32 of the message
SUFFIX = ".spool"
SEGMENTS = 16
"""So many parts has the limit: what goes where there is no room is at most one of them."""


@dataclass(slots=True)
class _Segment:
    path: Path
    messages: int = 0
    size: int = 0


class Spool:
    """In ``folder``, which must be there; what an earlier one left in it is taken over, as far as it is whole.

    limit: bytes on disk at most. Errors of the disk are OSError: a message that could not be written whole is not in
    the queue, and those before it still are.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a spool needs room for at least a byte, got {limit}")
        self._folder, self._limit = folder, limit
        self._segment_bytes = max(1, limit // SEGMENTS)
        self._segments: deque[_Segment] = deque()
        self._tail: FileIO | None = None
        self._head: BinaryIO | None = None
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            self._segments.append(_measured(path))
        self._next = 1 + (int(self._segments[-1].path.stem) if self._segments else 0)

    def __len__(self) -> int:
        return sum(segment.messages for segment in self._segments)

    @property
    def size(self) -> int:
        """Bytes on disk of what has not been taken out, to a segment."""
        return sum(segment.size for segment in self._segments)

    def push(self, message: bytes) -> int:
        """Adds a message at the end; how many others were dropped for it, the oldest first (1, and nothing is added,
        where it has no room alone)."""
        size = _HEAD.size + len(message)
        if size > self._limit:
            return 1
        dropped = 0
        while self.size + size > self._limit:
            dropped += self._segments[0].messages
            self._drop_head()
        segment, file = self._open_tail(size)
        try:
            if file.write(_HEAD.pack(len(message), zlib.crc32(message)) + message) != size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._seal()  # what was half written ends this segment
            raise
        segment.messages += 1
        segment.size += size
        return dropped

    def pop(self) -> bytes | None:
        """Takes the oldest message out; None where there is none."""
        while self._segments:
            segment = self._segments[0]
            if segment.messages:
                if self._head is None:
                    self._head = segment.path.open("rb")
                message = _read(self._head)
                if message is not None:
                    segment.messages -= 1
                    if not segment.messages:
                        self._drop_head()
                    return message
            self._drop_head()  # damaged since it was measured, or empty
        return None

    def close(self) -> None:
        """Deletes everything in it; what was not taken out is lost."""
        while self._segments:
            self._drop_head()

    def release(self) -> None:
        """Closes the files, and leaves what is in them to whoever opens the folder next."""
        self._seal()
        if self._head is not None:
            self._head.close()
            self._head = None

    def _open_tail(self, size: int) -> tuple[_Segment, FileIO]:
        if self._tail is not None and self._segments[-1].size + size > self._segment_bytes:
            self._seal()
        if self._tail is None:
            path = self._folder / f"{self._next:08d}{SUFFIX}"
            self._tail = FileIO(path, "xb", opener=_private)
            self._next += 1
            self._segments.append(_Segment(path))
        return self._segments[-1], self._tail

    def _seal(self) -> None:
        if self._tail is not None:
            tail, self._tail = self._tail, None
            tail.close()

    def _drop_head(self) -> None:
        if self._head is not None:
            self._head.close()
            self._head = None
        if len(self._segments) == 1:
            self._seal()
        self._segments.popleft().path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _measured(path: Path) -> _Segment:
    with path.open("rb") as file:
        sizes = [_HEAD.size + len(message) for message in _messages(file)]
    return _Segment(path, len(sizes), sum(sizes))


def _messages(file: BinaryIO) -> Iterator[bytes]:
    while (message := _read(file)) is not None:
        yield message


def _read(file: BinaryIO) -> bytes | None:
    """The next message; None where it is not there, not whole or not what was written."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    size, checksum = _HEAD.unpack(head)
    message = file.read(size)
    return message if len(message) == size and zlib.crc32(message) == checksum else None
