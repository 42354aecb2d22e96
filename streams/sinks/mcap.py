"""The recorder's file: every record of a session in an MCAP file that may be cut off anywhere and read while it grows.

MCAP (https://mcap.dev) is a container: a header, then chunks of messages, then an index. Here a message is the wire's
own msgpack, so what is read back is what was sent, bit for bit.

* A channel is a topic of a bed (``waves/BED``, ``vitals/BED``, …), its message encoding ``msgpack``; the schema
  ``vigil.wire.V`` names the wire version V and holds the records' JSON schema.
* ``log_time`` is event time, on the wall clock where the bed's record tells when event time zero was, else in ns from
  zero (a time before that counts as 0). It runs back at a seek: the order in the file is that of arrival.
  ``publish_time`` is the wall clock at which the recorder took the record.
* ``sequence`` is the ``tick_seq`` of a wave, for other records a count by channel.
* Each flush ends a chunk (at most 1 MiB and a message) and waits until the disk has it; a file that was cut has lost
  no chunk that was flushed, and only its index.
* A file that reaches ``part_bytes`` or ``part_s`` is finished, and ``NAME-001.mcap``, ``-002`` and so on follow. Each
  stands for itself: it begins with the newest record of each bed. Nothing is ever deleted or written over: at
  ``total_bytes``, or where less than ``least_free_bytes`` are free on the disk, the recording ends and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
from mcap.writer import CompressionType, IndexType, Writer

from models.signals.errors import BadInput, VigilError
from models.signals.times import SECOND_NS
from streams.codec import encode
from streams.records import (
    WIRE_VERSION,
    AlarmRecord,
    AnyRecord,
    BedRecord,
    CellRecord,
    CommandRecord,
    DeadLetter,
    ExplainRecord,
    LimitsRecord,
    PredictionRecord,
    StatusRecord,
    WaveTick,
)
from streams.sinks.writing import writing

SUFFIX = ".mcap"
SCHEMA = f"vigil.wire.{WIRE_VERSION}"
ENCODING = "msgpack"
METADATA = "vigil"
CHUNK_BYTES = 1 << 20
PART_BYTES = 1 << 30
PART_S = 3600.0
TOTAL_BYTES = 64 << 30
LEAST_FREE_BYTES = 1 << 30
MAX_PARTS = 999
MAX_CHANNELS = 4096  # in one part; more beds than that begin the next

Free = Callable[[Path], int]
"""Bytes that are free on the disk of a folder."""


def part_path(path: Path, part: int) -> Path:
    """The file of a part: ``ward.mcap``, ``ward-001.mcap``, ``ward-002.mcap``.

    >>> part_path(Path("ward.mcap"), 1).name
    'ward-001.mcap'
    """
    return path if not part else path.with_name(f"{path.stem}-{part:03d}{path.suffix}")


def topic_of(record: AnyRecord) -> str:
    """The channel of a record, without its bed."""
    return _TOPICS.get(type(record), "vitals")


_TOPICS: dict[type, str] = {
    BedRecord: "beds",
    StatusRecord: "beds",
    WaveTick: "waves",
    PredictionRecord: "predictions",
    ExplainRecord: "predictions",
    AlarmRecord: "alarms",
    LimitsRecord: "alarms",
    CommandRecord: "commands",
    DeadLetter: "deadletters",
}


def event_ns(record: AnyRecord) -> int | None:
    """Event time of a record, of a tick where it begins; None where it has none."""
    if isinstance(record, WaveTick | BedRecord):
        return record.start_ns
    if isinstance(record, PredictionRecord | ExplainRecord):
        return record.window_end_ns
    if isinstance(record, CellRecord):
        return record.second * SECOND_NS
    return None if isinstance(record, DeadLetter | StatusRecord) else record.time_ns


@dataclass(frozen=True, slots=True)
class Limits:
    """When a part ends, and the recording: see the module. Bytes, and seconds of the wall clock."""

    part_bytes: int = PART_BYTES
    part_s: float = PART_S
    total_bytes: int = TOTAL_BYTES
    least_free_bytes: int = LEAST_FREE_BYTES


@dataclass(slots=True)
class _Part:
    """The file that is being written. The writer's index of it is held in memory, some 3 MB an hour."""

    path: Path
    file: BinaryIO
    writer: Writer
    began_ns: int
    schema: int
    channels: dict[tuple[str, str], int]
    counts: dict[int, int]
    waits: bool = False  # something was added since the last flush


class McapSink:
    """Writes ``path`` and the parts that follow it; begun with the first record.

    Raises BadInput for a name that is taken and a folder that is not there, read-only or full, VigilError with the
    file's name for whatever goes wrong later. compress: by zstd, else not at all. free, wall_ns: for tests.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        *,
        compress: bool = True,
        free: Free = lambda folder: shutil.disk_usage(folder).free,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path, self._limits, self._free, self._wall_ns = path, limits or Limits(), free, wall_ns
        self._compression = CompressionType.ZSTD if compress else CompressionType.NONE
        self._part: _Part | None = None
        self._parts = 0
        self._finished_bytes = 0
        self._beds: OrderedDict[str, BedRecord] = OrderedDict()
        self._last_ns: OrderedDict[str, int] = OrderedDict()
        self._ended = False
        _check(path)
        if (free_bytes := self._free_bytes()) < self._limits.least_free_bytes:
            raise BadInput(
                f"{_size(self._limits.least_free_bytes)} or more free for the recording",
                f"{_size(free_bytes)} in {path.resolve().parent}",
                "make room, choose another folder, or lower [recorder] least_free_mb",
            )

    @property
    def name(self) -> str:
        """The file being written."""
        return str(self._part.path if self._part else self._path)

    @property
    def written_bytes(self) -> int:
        """All parts so far, what waits in the open chunk not counted."""
        return self._finished_bytes + (self._part.file.tell() if self._part else 0)

    def add(self, record: AnyRecord) -> None:
        """Takes any record of any bed."""
        if self._ended:
            raise VigilError(f"The recording {self.name} has ended.")
        part = self._part or self._begin()
        if len(part.channels) >= MAX_CHANNELS and (topic_of(record), record.bed) not in part.channels:
            self._finish()
            part = self._begin()
        if isinstance(record, BedRecord):
            _keep(self._beds, record.bed, record)
        with self._writing(part):
            self._write(part, record)

    def flush(self) -> None:
        """Ends the chunk and waits for the disk; then looks whether the part, or the room for all of it, is full."""
        part = self._part
        if part is None or self._ended:
            return
        if part.waits:
            with self._writing(part):
                part.writer.flush()  # type: ignore[no-untyped-call]
                os.fdatasync(part.file.fileno())
            part.waits = False
        age_s = (self._wall_ns() - part.began_ns) / SECOND_NS
        if self.written_bytes >= self._limits.total_bytes:
            self.close()
            raise VigilError(
                f"The recording {part.path} has ended: all its parts have reached {_size(self._limits.total_bytes)}; "
                "begin another one."
            )
        if part.file.tell() >= self._limits.part_bytes or age_s >= self._limits.part_s:
            self._finish()
        self._check_free()

    def close(self) -> None:
        """Finishes the last part."""
        self._ended = True
        self._finish()

    # -- parts --------------------------------------------------------------------------------------------------------

    def _begin(self) -> _Part:
        if self._parts > MAX_PARTS:
            raise VigilError(f"The recording {self._path} has ended after {MAX_PARTS + 1} parts; begin another one.")
        path = part_path(self._path, self._parts)
        with writing(path):
            file = path.open("xb")
        writer = Writer(
            file,
            chunk_size=CHUNK_BYTES,
            compression=self._compression,
            index_types=IndexType.CHUNK | IndexType.METADATA,
        )
        part = self._part = _Part(path, file, writer, self._wall_ns(), 0, {}, {})
        with self._writing(part):
            writer.start(profile="vigil", library="vigil")
            writer.add_metadata(METADATA, {"wire_version": str(WIRE_VERSION), "part": str(self._parts)})
            part.schema = writer.register_schema(SCHEMA, "jsonschema", _schema())
            for bed in self._beds.values():
                self._write(part, bed)
        self._parts += 1
        return part

    def _finish(self) -> None:
        part = self._part
        if part is None:
            return
        with self._writing(part):
            part.writer.finish()  # type: ignore[no-untyped-call]
            part.file.flush()
            os.fdatasync(part.file.fileno())
            self._finished_bytes += part.file.tell()
            part.file.close()
        self._part = None

    @contextmanager
    def _writing(self, part: _Part) -> Iterator[None]:
        """After a failure nothing more goes into the file: it ends where that was, and is read up to there."""
        try:
            with writing(part.path):
                yield
        except VigilError:
            self._ended, self._part = True, None
            with suppress(OSError):
                part.file.close()
            raise

    def _write(self, part: _Part, record: AnyRecord) -> None:
        key = topic_of(record), record.bed
        channel = part.channels.get(key)
        if channel is None:
            channel = part.channels[key] = part.writer.register_channel(
                f"{key[0]}/{key[1]}", ENCODING, part.schema, {"topic": key[0], "bed": key[1]}
            )
        count = part.counts[channel] = part.counts.get(channel, -1) + 1
        sequence = record.tick_seq if isinstance(record, WaveTick) else count
        part.writer.add_message(
            channel, self._log_ns(record), encode(record), max(self._wall_ns(), 0), sequence & 0xFFFFFFFF
        )
        part.waits = True

    def _log_ns(self, record: AnyRecord) -> int:
        time_ns = event_ns(record)
        if time_ns is None:
            return self._last_ns.get(record.bed, 0)
        bed = self._beds.get(record.bed)
        log_ns = max(time_ns + (bed.zero_unix_ns or 0 if bed else 0), 0)
        _keep(self._last_ns, record.bed, log_ns)
        return log_ns

    def _free_bytes(self) -> int:
        with writing(self._path):
            return self._free(self._path.resolve().parent)

    def _check_free(self) -> None:
        free = self._free_bytes()
        if free < self._limits.least_free_bytes:
            name = self.name
            self.close()
            raise VigilError(
                f"The recording {name} has ended: {_size(free)} are free on its disk, and "
                f"{_size(self._limits.least_free_bytes)} must stay so; make room and begin another one."
            )


_Kept = TypeVar("_Kept")


def _keep(kept: OrderedDict[str, _Kept], bed: str, value: _Kept) -> None:
    """The newest of a bed; of more beds than a part has room for the least recent go."""
    kept[bed] = value
    kept.move_to_end(bed)
    if len(kept) > MAX_CHANNELS:
        kept.popitem(last=False)


def _check(path: Path) -> None:
    """Refuse what cannot be written before anything is lost to it."""
    if path.suffix != SUFFIX:
        raise BadInput(f"a recording named *{SUFFIX}", repr(path.name), f"call it {path.stem}{SUFFIX}")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise BadInput("an existing folder for the recording", f"none at {folder}", "make it first")
    taken = [p.name for p in (path, part_path(path, 1)) if p.exists()]
    if taken:
        raise BadInput("a new file for the recording", f"{taken[0]!r}, which is there", "choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(
            "a folder that can be written for the recording",
            f"{folder}, which is read-only to this user",
            "choose another",
        )


def _schema() -> bytes:
    """The records as a JSON schema; what msgpack has as bytes it names strings in base64."""
    return json.dumps(msgspec.json.schema(AnyRecord), separators=(",", ":")).encode()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"
