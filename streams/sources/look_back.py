"""What was recorded around any moment, out of the recorder's file while it is still written.

A moment is the wall clock at which the recorder took a record: what an operator calls half past two, in one order for
all beds, however often their devices' clocks jump. What comes out for a moment is what a display had been told by then.

The file is gone through once as it grows, and of it are kept: where the chunks of each few seconds lie (at most
``MOST_BLOCKS`` of them, coarser the longer the recording), the newest alarms and limits of each bed, and what its
source said of it. Everything else is read when it is asked for. Parts that follow are found as they come; a chunk that
is not whole yet is read the next time. For one thread at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from models.signals.times import SECOND_NS
from streams.records import AlarmRecord, AnyRecord, BedRecord, DeadLetter, LimitsRecord, StatusRecord
from streams.sinks.mcap import part_path
from streams.sources.mcap_file import HEAD_BYTES, McapFile, Names, Place

BLOCK_NS = 5 * SECOND_NS
MOST_BLOCKS = 32_768
MOST_BEDS = 4096
ALARMS_KEPT = 4096
"""Of a bed: changes of its alarms, of which what stood at a moment is told."""
LIMITS_KEPT = 256
"""Of a bed: changes of its limits, which are said anew only where they change, or a seek begins an epoch."""
DESCRIPTIONS_KEPT = 256
MOST_RECORDS = 40_000
"""Of one look; the newest count."""
MOST_BYTES = 64 << 20
"""Of the file, read for one look for what was said before its waves: hours of a bed, a minute of a hundred."""
SLICE_BYTES = 32 << 20
"""Of the file, gone through in one call of :meth:`LookBack.follow`."""
_TOPICS = frozenset({"waves", "vitals", "predictions", "alarms", "commands"})


@dataclass(frozen=True, slots=True)
class Past:
    """What was told of a bed until ``at_ns``. told: (when it was taken, record) in order, alarms and limits of
    before first. described: what its source had said of it, None where nothing had. Wall clock, in ns."""

    bed: str
    at_ns: int
    told: Sequence[tuple[int, AnyRecord]]
    described: BedRecord | None


@dataclass(slots=True)
class _Block:
    """Chunks one behind the other: in which part, from which place to which, and when their records were taken."""

    part: int
    offset: int
    end: int
    begin_ns: int
    end_ns: int


@dataclass(slots=True)
class _Bed:
    alarms: deque[tuple[int, AlarmRecord]] = field(default_factory=lambda: deque(maxlen=ALARMS_KEPT))
    newest: dict[str, AlarmRecord] = field(default_factory=dict)
    limits: deque[tuple[int, LimitsRecord]] = field(default_factory=lambda: deque(maxlen=LIMITS_KEPT))
    described: deque[tuple[int, BedRecord]] = field(default_factory=lambda: deque(maxlen=DESCRIPTIONS_KEPT))


class LookBack:
    """The recording that begins at ``path``; it need not be there yet. What it raises is as of :class:`McapFile`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = self._at = 0
        self._names: list[Names] = [{}]  # by part
        self._blocks: list[_Block] = []
        self._block_ns = BLOCK_NS
        self._beds: dict[str, _Bed] = {}

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """When the first and the newest record were taken that were come to; None before the first."""
        if not self._blocks:
            return None
        return self._blocks[0].begin_ns, max(block.end_ns for block in self._blocks[-2:])

    def follow(self, most_bytes: int = SLICE_BYTES) -> bool:
        """Goes through what was added since; whether there is more already."""
        path, following = part_path(self._path, self._part), part_path(self._path, self._part + 1)
        if not path.is_file():
            return False
        followed = following.is_file()  # asked first: what is followed now has no more to come
        with closing(McapFile(path, alone=True, names=self._names[-1])) as file:
            begin = self._at
            for place in file.places_from(self._at):
                self._note(file, place)
                self._at = place.offset + place.length
                if self._at - begin >= most_bytes:
                    return True
        if not followed:
            return False
        self._part, self._at = self._part + 1, 0
        self._names.append({})
        return True

    def past(self, bed: str, at_ns: int, seconds: float, words_s: float = 0.0) -> Past:
        """What was told of a bed in the ``seconds`` before a moment; in the ``words_s`` before all but waves, as far as
        ``MOST_BYTES`` of the file go; and the alarms and limits before."""
        waves_ns = at_ns - round(seconds * SECOND_NS)
        since_ns = min(waves_ns, at_ns - round(words_s * SECOND_NS))
        known = self._beds.get(bed) or _Bed()
        told: deque[tuple[int, AnyRecord]] = deque(maxlen=MOST_RECORDS)
        for block in self._around(since_ns, waves_ns, at_ns):
            told.extend(self._read(block, bed, since_ns, waves_ns, at_ns))
        # Limits come first at a tie: by them it is decided whether an alarm that ends stays to be seen.
        said: list[tuple[int, AlarmRecord | LimitsRecord]] = [*known.limits, *known.alarms]
        before = sorted(((ns, record) for ns, record in said if ns < since_ns), key=lambda pair: pair[0])
        described = [record for ns, record in known.described if ns <= at_ns] or [r for _, r in known.described]
        return Past(bed, at_ns, (*before, *told), described[-1] if described else None)

    def _around(self, since_ns: int, waves_ns: int, at_ns: int) -> list[_Block]:
        """The blocks to be read, in order."""
        found: list[_Block] = []
        room = MOST_BYTES
        for block in reversed(self._blocks):
            if block.begin_ns <= at_ns and block.end_ns >= since_ns:
                room -= block.end - block.offset
                if room < 0 and block.end_ns < waves_ns:
                    break
                found.append(block)
        return found[::-1]

    def _read(self, block: _Block, bed: str, since_ns: int, waves_ns: int, at_ns: int) -> list[tuple[int, AnyRecord]]:
        found: list[tuple[int, AnyRecord]] = []
        with closing(McapFile(part_path(self._path, block.part), alone=True, names=self._names[block.part])) as file:
            for place in file.places_from(block.offset):
                if place.offset >= block.end:
                    break
                for message in file.messages(place, again=True):
                    begin_ns = waves_ns if message.topic == "waves" else since_ns
                    if begin_ns <= message.taken_ns <= at_ns and message.may_be(_TOPICS, bed):
                        record = file.record(message)
                        if record is not None and record.bed == bed and not isinstance(record, _ASIDE):
                            found.append((message.taken_ns, record))
        return found

    def _note(self, file: McapFile, place: Place) -> None:
        """Takes a chunk in."""
        offset, end = place.offset - HEAD_BYTES, place.offset + place.length
        messages = file.messages(place, again=True)
        taken = [message.taken_ns for message in messages if message.taken_ns]
        for message in messages:
            if message.may_be(("alarms", "beds")):
                record = file.record(message)
                if record is not None and (record.bed in self._beds or len(self._beds) < MOST_BEDS):
                    self._keep(self._beds.setdefault(record.bed, _Bed()), message.taken_ns, record)
        if not taken:
            return
        last = self._blocks[-1] if self._blocks else None
        if last is not None and last.part == self._part and max(taken) - last.begin_ns < self._block_ns:
            last.end, last.begin_ns, last.end_ns = end, min(last.begin_ns, *taken), max(last.end_ns, *taken)
            return
        self._blocks.append(_Block(self._part, offset, end, min(taken), max(taken)))
        if len(self._blocks) > MOST_BLOCKS:
            self._coarsen()

    def _coarsen(self) -> None:
        self._block_ns *= 2
        joined: list[_Block] = []
        for block in self._blocks:
            last = joined[-1] if joined else None
            if last is not None and last.part == block.part and block.end_ns - last.begin_ns < self._block_ns:
                last.end, last.end_ns = block.end, max(last.end_ns, block.end_ns)
            else:
                joined.append(block)
        self._blocks = joined

    @staticmethod
    def _keep(bed: _Bed, taken_ns: int, record: AnyRecord) -> None:
        if isinstance(record, BedRecord):
            if not bed.described or bed.described[-1][1] != record:
                bed.described.append((taken_ns, record))
        elif isinstance(record, LimitsRecord):
            last = bed.limits[-1][1] if bed.limits else None
            if last is None or replace(last, epoch=record.epoch, time_ns=record.time_ns) != record:
                bed.limits.append((taken_ns, record))
        elif isinstance(record, AlarmRecord):
            before = bed.newest.get(record.key)
            if before is not None and replace(before, now=record.now, time_ns=record.time_ns) == record:
                return  # its present value is renewed, or it is said again
            if record.active and len(bed.newest) < ALARMS_KEPT:
                bed.newest[record.key] = record
            elif not record.active:
                bed.newest.pop(record.key, None)
            bed.alarms.append((taken_ns, record))


_ASIDE = (BedRecord, StatusRecord, DeadLetter)
