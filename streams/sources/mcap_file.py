"""The recorder's MCAP files, read back: finished ones, ones that are still written, ones that were cut anywhere.

Nothing here trusts the file. It is read from the front, never by its index; a length is compared with what is left of
the file, and with a limit, before anything is read or unpacked; of a chunk that is damaged nothing is taken, and the
rest is read. A message is data: no name in a file is ever opened.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

from models.signals.errors import BadInput
from models.signals.plain_text import plain
from streams.codec import MAX_MESSAGE_BYTES, DecodeError, decode
from streams.records import WIRE_VERSION, AnyRecord
from streams.sinks.mcap import MAX_PARTS, part_path

MAX_CHUNK_BYTES = 4 << 20
"""Unpacked. The recorder's have at most two: 1 MiB and a message."""
MAX_RATIO, RATIO_SLACK_BYTES, RECORD_BYTES = 64, 8 << 20, 128
"""All chunks of a file may unpack to so many times its size and so much more, a record counted with no less than
``RECORD_BYTES``: an honest one stays below 20 times."""
MAX_CHANNELS = 65_536
_SCHEMA = "vigil.wire."
_HEAD = struct.Struct("<BQ")
HEAD_BYTES = _HEAD.size
"""Between where a chunk begins and its place."""
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQII")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk (or a message outside of one) lies in its part: offset and length of the record's content."""

    part: int
    offset: int
    length: int
    opcode: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a chunk, not yet decoded: its topic without the bed, its bed, the wire's bytes, and the wall clock
    at which the recorder took it. Topic and bed are "" where the chunk that named the channel is lost; the record says
    them all the same."""

    topic: str
    bed: str
    data: bytes
    taken_ns: int = 0

    def may_be(self, topics: Container[str], bed: str | None = None) -> bool:
        """Whether its record may be of one of the topics, and of the bed."""
        return not self.topic or (self.topic in topics and bed in (None, self.bed))


Names = dict[int, tuple[str, str] | None]
"""Topic and bed of the channels of a file; None of one that is not Vigil's."""


@dataclass(slots=True)
class _Part:
    file: BinaryIO
    name: str
    size: int
    schemas: dict[int, str] = field(default_factory=dict)
    channels: Names = field(default_factory=dict)
    unpacked: int = 0


class McapFile:
    """One recording: a file and the parts that follow it (``ward.mcap``, ``ward-001.mcap``, …), as they are now.

    Raises BadInput for what is no MCAP file of this program's wire version. ``notes``: sentences on what was found odd
    (it ends early, damaged chunks), known once all has been read. alone: this file without those that follow.
    names: of its first part's channels, learnt when it was read before; what is learnt now is added.
    """

    def __init__(self, path: Path, *, alone: bool = False, names: Names | None = None) -> None:
        self._parts: list[_Part] = []
        self._notes: dict[str, int] = {}
        self.complete = True
        self.damaged = False
        """Whether something that was to be read could not be, its end aside."""
        try:
            for number in range(1 if alone else MAX_PARTS + 1):
                following = part_path(path, number)
                if number and not following.is_file():
                    break
                opened = _open(following)
                if number and _part_number(opened) != number:  # a recording of its own that is called so
                    opened.file.close()
                    break
                self._parts.append(opened)
        except BaseException:
            self.close()
            raise
        if names is not None:
            self._parts[0].channels = names

    @property
    def notes(self) -> list[str]:
        """What was found odd, each sort once with its count."""
        return [f"{text}{f' ({count} times)' if count > 1 else ''}" for text, count in self._notes.items()]

    def close(self) -> None:
        """Closes the files."""
        for part in self._parts:
            part.file.close()

    def records(self, wanted: Callable[[Message], bool] = lambda message: True) -> Iterator[AnyRecord]:
        """All records in the order in which they were recorded, those that cannot be decoded left out and noted."""
        for place in self.places():
            for message in self.messages(place):
                if wanted(message) and (record := self.record(message)) is not None:
                    yield record

    def record(self, message: Message) -> AnyRecord | None:
        """The record in a message; None, and a note, where there is none."""
        try:
            return decode(message.data)
        except DecodeError as error:
            self._note(f"A message was left out: {error}")
            return None

    def places(self) -> Iterator[Place]:
        """Every chunk, in order. Read a chunk's messages before the next place is asked for: channels are made known on
        the way."""
        for number, part in enumerate(self._parts):
            yield from self._places(number, part)

    def messages(self, place: Place, *, again: bool = False) -> list[Message]:
        """The messages of a chunk that are Vigil's, in order; none, and a note, of a damaged one. again: it was read
        before, and no longer counts."""
        part = self._parts[place.part]
        content = _read_at(part, place.offset, place.length)
        if content is None:
            self._note(f"{part.name} has been cut since it was opened")
            return []
        if place.opcode == Opcode.MESSAGE:
            return _messages(part, [(place.opcode, content)])
        try:
            entries = list(_inside(part, _unpack(part, content, again=again), again=again))
            return _messages(part, entries)
        except _Damaged as error:
            self._note(f"a chunk of {part.name} was left out: {error}")
            return []

    def places_from(self, at: int) -> Iterator[Place]:
        """The chunks of the first part from there on, where one ended or begins; 0: from its beginning."""
        yield from self._places(0, self._parts[0], at)

    def _places(self, number: int, part: _Part, at: int = 0) -> Iterator[Place]:
        at = at or len(MCAP0_MAGIC)
        while True:
            head = _read_at(part, at, _HEAD.size)
            if head is None:
                break
            opcode, length = _HEAD.unpack(head)
            at += _HEAD.size
            if length > part.size - at:
                break
            if opcode in (Opcode.CHUNK, Opcode.MESSAGE):
                if length <= MAX_CHUNK_BYTES:
                    yield Place(number, at, length, opcode)
                else:
                    self._note(f"a chunk of {part.name} was left out: it has {length} bytes, the most are 4 MiB")
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL) and length <= MAX_MESSAGE_BYTES:
                content = _read_at(part, at, length)
                if content is not None:
                    _messages(part, [(opcode, content)])
            elif opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return
            elif not opcode:
                break
            at += length
        self.complete = False
        self._note(f"{part.name} ends early or is still written: what is whole of it was read", damage=False)

    def _note(self, text: str, *, damage: bool = True) -> None:
        self.damaged = self.damaged or damage
        if text in self._notes or len(self._notes) < 20:
            self._notes[text] = self._notes.get(text, 0) + 1


class _Damaged(Exception):
    """A chunk that cannot be used; the text is the end of a sentence."""


def _open(path: Path) -> _Part:
    name = plain(path.name)
    try:
        file = path.open("rb")
        magic, size = file.read(len(MCAP0_MAGIC)), file.seek(0, 2)
    except OSError as error:
        raise BadInput(
            "a readable recording", f"{name!r}: {error.strerror}", "check its path and permissions"
        ) from error
    if magic != MCAP0_MAGIC:
        file.close()
        raise BadInput("an MCAP recording", f"{name!r}, which does not begin like one", "choose another file")
    return _Part(file, name, size)


def _part_number(part: _Part) -> int | None:
    """Which part of its recording a file says it is, in the record behind its header; None where it does not."""
    at = len(MCAP0_MAGIC)
    for _ in range(2):
        head = _read_at(part, at, _HEAD.size)
        opcode, length = _HEAD.unpack(head) if head else (0, 0)
        if opcode == Opcode.METADATA and length <= 4096:
            found = re.search(
                rb"\x04\0\0\0part.\0\0\0(\d{1,3})", _read_at(part, at + _HEAD.size, length) or b"", re.DOTALL
            )
            return int(found[1]) if found else None
        at += _HEAD.size + length
    return None


def _read_at(part: _Part, offset: int, length: int) -> bytes | None:
    """So many bytes; None where the file has fewer."""
    part.file.seek(offset)
    content = part.file.read(length)
    return content if len(content) == length else None


def _unpack(part: _Part, content: bytes, *, again: bool) -> bytes:
    if len(content) < _CHUNK.size:
        raise _Damaged("its head is cut")
    _, _, size, crc, named = _CHUNK.unpack_from(content)
    at = _CHUNK.size + named
    if size > MAX_CHUNK_BYTES or at + 8 > len(content):
        raise _Damaged("its sizes are not those of a chunk")
    if not again:
        _charge(part, size)
    compression, packed = content[_CHUNK.size : at], content[at + 8 :]
    try:
        if compression == b"zstd":
            if zstandard.frame_content_size(packed) not in (size, -1):
                raise _Damaged("its sizes disagree")
            unpacked = zstandard.ZstdDecompressor(max_window_size=MAX_CHUNK_BYTES).decompress(packed, size)
        elif compression == b"lz4":
            unpacked = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size)
        elif not compression:
            unpacked = packed
        else:
            raise _Damaged("its compression is not known")
    except (zstandard.ZstdError, RuntimeError, EOFError, MemoryError) as error:
        raise _Damaged("it cannot be unpacked") from error
    if len(unpacked) != size or (crc and zlib.crc32(unpacked) != crc):
        raise _Damaged("its checksum or length is wrong")
    return unpacked


def _charge(part: _Part, size: int) -> None:
    """Counts work that the file asks for; BadInput where it is out of proportion."""
    part.unpacked += size
    if part.unpacked > MAX_RATIO * part.size + RATIO_SLACK_BYTES:
        raise BadInput(
            f"a recording that unpacks to at most {MAX_RATIO} times its size",
            f"{part.name!r}, which unpacks to more",
            "choose another file",
        )


def _inside(part: _Part, unpacked: bytes, *, again: bool) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(unpacked):
        opcode, length = _HEAD.unpack_from(unpacked, at)
        at += _HEAD.size
        if length > len(unpacked) - at or not opcode:
            raise _Damaged("a record in it is longer than the chunk" if opcode else "it holds what is no record")
        if not again and length < RECORD_BYTES:
            _charge(part, RECORD_BYTES - length)
        yield opcode, unpacked[at : at + length]
        at += length


def _messages(part: _Part, entries: list[tuple[int, bytes]]) -> list[Message]:
    """The messages among records of a chunk, whose channels and schemas are made known."""
    found = []
    for opcode, content in entries:
        if opcode == Opcode.MESSAGE and len(content) >= _MESSAGE.size:
            number, _, _, taken_ns = _MESSAGE.unpack_from(content)
            channel = part.channels.get(number, ("", ""))
            if channel is not None:
                found.append(Message(*channel, content[_MESSAGE.size :], taken_ns))
        elif opcode == Opcode.SCHEMA:
            _schema(part, content)
        elif opcode == Opcode.CHANNEL:
            _channel(part, content)
    return found


def _schema(part: _Part, content: bytes) -> None:
    number, name = _fields(content, "HS")
    if len(part.schemas) < MAX_CHANNELS:
        part.schemas.setdefault(int(number), str(name))
    if str(name).startswith(_SCHEMA) and name != f"{_SCHEMA}{WIRE_VERSION}":
        raise BadInput(
            f"a recording of wire version {WIRE_VERSION}",
            f"{plain(str(name)[len(_SCHEMA) :], 20)!r} in {part.name!r}",
            "read it with the Vigil that wrote it",
        )


def _channel(part: _Part, content: bytes) -> None:
    number, schema, topic = _fields(content, "HHS")
    kind, slash, bed = str(topic).partition("/")
    ours = slash and part.schemas.get(int(schema), _SCHEMA).startswith(_SCHEMA)  # its schema may be lost
    if len(part.channels) < MAX_CHANNELS:
        part.channels.setdefault(int(number), (kind, bed) if ours else None)


def _fields(content: bytes, shape: str) -> list[int | str]:
    """The first fields of a record: H is a number of two bytes, S a text with its length before it."""
    found: list[int | str] = []
    at = 0
    for kind in shape:
        width = 2 if kind == "H" else 4
        if at + width > len(content):
            raise _Damaged("a record in it is cut")
        number = int.from_bytes(content[at : at + width], "little")
        at += width
        if kind == "S":
            raw = content[at : at + number]
            if len(raw) != number:
                raise _Damaged("a record in it is cut")
            at += number
            found.append(raw.decode("utf-8", "replace"))
        else:
            found.append(number)
    return found
