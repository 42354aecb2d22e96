"""One partition of an embedded topic: an append-only log of bounded length with stable offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from models.signals.errors import VigilError


class Record(NamedTuple):
    """A message as kept: offset in its partition, seconds since 1970, raw bytes or None, headers."""

    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a partition is kept; the oldest messages go first, the newest is always kept.

    messages, bytes: hard bounds. The defaults hold two minutes of 24 beds at 20 ticks a second and 2 kB.
    seconds: age bound by the messages' own timestamps, None for none. It spares what a working group has not yet
        committed, so that a slow consumer loses nothing to it.
    """

    messages: int = 65_536
    bytes: int = 128 * 2**20
    seconds: float | None = 120.0

    def __post_init__(self) -> None:
        if self.messages < 1 or self.bytes < 1 or (self.seconds is not None and not self.seconds > 0):
            raise ValueError(f"retention bounds must be positive, got {self}")


class KeyRequired(VigilError):
    """A message without a key for a compacted topic, which Kafka refuses too."""


# A log is compacted once it holds twice what the last compaction left, and at least this many messages: amortised
# constant work per append.
_COMPACT_FLOOR = 1024
_OFFSET = attrgetter("offset")


def _size(key: bytes | None, value: bytes | None) -> int:
    return (len(key) if key else 0) + (len(value) if value else 0)


class PartitionLog:
    """Append, read from an offset, forget the oldest. Not thread-safe: the hub holds its lock around every call.

    compact: keep the newest message of every key instead of forgetting by age (for the changelogs of tables; a None
    value deletes its key). Offsets never change, so a compacted log has gaps.
    """

    __slots__ = ("_compact", "_compact_at", "_head", "_records", "_retention", "bytes", "next_offset")

    def __init__(self, retention: Retention, compact: bool = False) -> None:
        self._retention = retention
        self._compact = compact
        self._compact_at = _COMPACT_FLOOR
        # Forgotten records are cut off in blocks: `_head` counts those at the front that are already gone.
        self._records: list[Record | None] = []
        self._head = 0
        self.bytes = 0
        self.next_offset = 0

    def __len__(self) -> int:
        return len(self._records) - self._head

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: float,
        headers: tuple[tuple[str, bytes], ...] = (),
        needed_from: Callable[[], int | None] = lambda: None,
    ) -> int:
        """Add a message; returns its offset. ``needed_from``: first offset somebody still needs, None for nobody."""
        if self._compact and key is None:
            raise KeyRequired(
                "Expected a key on every message of a compacted topic, found none; give the message a key."
            )
        offset = self.next_offset
        self._records.append(Record(offset, timestamp, key, value, headers))
        self.next_offset = offset + 1
        self.bytes += _size(key, value)
        if self._compact:
            if len(self) >= self._compact_at:
                self._drop_superseded()
        else:
            self._drop_oldest(timestamp, needed_from)
        return offset

    def read(self, offset: int, limit: int) -> list[Record]:
        """At most ``limit`` records with an offset of at least ``offset``."""
        start = self._index(offset)
        return self._records[start : start + limit]  # type: ignore[return-value]

    @property
    def earliest(self) -> int:
        """The oldest offset kept; the next one where nothing is."""
        return self._records[self._head].offset if len(self) else self.next_offset  # type: ignore[union-attr]

    def offset_at(self, timestamp: float) -> int | None:
        """First offset whose timestamp is at least ``timestamp``. Producers' clocks may run back, hence the scan."""
        kept = self._records[self._head :]
        return next((record.offset for record in kept if record and record.timestamp >= timestamp), None)

    def _index(self, offset: int) -> int:
        if not len(self):
            return self._head
        index = self._head + offset - self.earliest
        if index <= self._head:
            return self._head
        if not self._compact:
            return min(index, len(self._records))
        return bisect_left(self._records, offset, lo=self._head, key=_OFFSET)

    def _drop_oldest(self, now: float, needed_from: Callable[[], int | None]) -> None:
        keep, records = self._retention, self._records
        needed: int | None = -1  # not asked yet
        while len(records) - self._head > 1:
            oldest = records[self._head]
            assert oldest is not None
            if len(records) - self._head <= keep.messages and self.bytes <= keep.bytes:
                if keep.seconds is None or now - oldest.timestamp <= keep.seconds:
                    break
                needed = needed_from() if needed == -1 else needed
                if needed is not None and oldest.offset >= needed:
                    break
            records[self._head] = None
            self._head += 1
            self.bytes -= _size(oldest.key, oldest.value)
        if self._head > 4096 and self._head * 2 > len(records):
            del records[: self._head]
            self._head = 0

    def _drop_superseded(self) -> None:
        newest: dict[bytes | None, Record] = {}
        for record in self._records:
            assert record is not None
            newest[record.key] = record
        last = self._records[-1]
        # The last record stays even if it deletes its key: a table knows that it has recovered by reaching it.
        kept = [record for record in newest.values() if record.value is not None or record is last]
        kept.sort(key=_OFFSET)
        self._records = list(kept)
        self.bytes = sum(_size(record.key, record.value) for record in kept)
        self._compact_at = max(_COMPACT_FLOOR, 2 * len(kept))
