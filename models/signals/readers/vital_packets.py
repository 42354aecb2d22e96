"""The packets of a ``.vital`` file: device, track, record and command packets in a gzip stream.

Format: Vital Recorder's published description (VitalDB, "Vital file format"; Lee & Jung, Sci Rep 2018, 8:1527). A file
is read once, packet by packet, and as far as it is whole: a recorder that crashed leaves a stream that ends anywhere.
What a file may cost is bounded by what an honest one needs, since a few megabytes of gzip unpack to gigabytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.plain_text import decoded, plain

WAVE, NUMERIC, TEXT = 1, 2, 5
"""Kinds of track."""
DTYPES = {1: "<f4", 2: "<f8", 3: "i1", 4: "u1", 5: "<i2", 6: "<u2", 7: "<i4", 8: "<u4"}
"""Sample formats of the file and the numpy type of each."""

MAX_BYTES = 4 << 30
"""Largest unpacked file that is read: its samples are held in memory."""
FREE_BYTES, MAX_RATIO = 256 << 20, 50
"""A file may unpack to so much, or to so many times its own size: real ones are packed 3- to 20-fold."""
FREE_PACKETS, BYTES_PER_PACKET = 1_000_000, 6
"""A file may have so many packets, and one for each six bytes of its own size: real ones have one for 16 and more."""
FREE_IDLE = 10_000
"""Packets that say nothing new are allowed; more of them than of others, and more than this, are no recording."""
MAX_PACKET = 1_000_000
"""Longest packet of a file that is not packed (as in the ``vitaldb`` package, which stops at a longer one)."""
MAX_TRACKS = 2048
MAX_TIME_S = 1e11
"""Latest time stamp (seconds from 1970, the year 5138); a later one is damage."""
MAX_EVENT_CHARACTERS = 1000
UNWRITTEN = 64
"""So many zero bytes at a file's end were allotted and never written (what a crash leaves on many file systems)."""

_COPY_AGAIN = "copy or export the recording again"
_PIECE = 1 << 18
_HEAD = struct.Struct("<BI")
_RECORD = struct.Struct("<HdH")
_COUNT = struct.Struct("<I")
_NUMBERS = {code: struct.Struct("<" + letter) for code, letter in zip(DTYPES, "fdbBhHiI", strict=True)}


@dataclass(slots=True)
class StoredTrack:
    """A track as stored. ``values``: per record an array of samples, a number or a text, at ``times`` (s from 1970)."""

    device: str
    name: str
    kind: int
    sample_format: int
    unit: str = ""
    rate_hz: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    montype: int = 0
    times: list[float] = field(default_factory=list)
    waves: list[npt.NDArray[np.generic]] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """``device/name``; the name alone where no device is named."""
        return f"{self.device}/{self.name}" if self.device else self.name

    def same_as(self, other: StoredTrack) -> bool:
        """Whether the two are descriptions of one track."""
        names = ("device", "name", "kind", "sample_format", "unit", "rate_hz", "gain", "offset")
        return all(repr(getattr(self, n)) == repr(getattr(other, n)) for n in names)  # repr: NaN equals itself


@dataclass(slots=True)
class VitalContents:
    """What a file holds. ``packed``: gaps are filled with a mark. ``cut``: it ends before its end."""

    tracks: list[StoredTrack]
    packed: bool
    cut: bool


def read_packets(path: Path) -> VitalContents:
    """Decode the file. Raises BadInput for one that is no ``.vital`` file, is damaged, or holds nothing."""
    stream = _Stream(path)
    try:
        contents = _Decoder(stream, path.name).decode()
    except zlib.error as error:
        if not stream.taken:
            raise BadInput(
                "a .vital file (gzip)", f"{path.name!r}, which is damaged or of another kind", _COPY_AGAIN
            ) from error
        raise BadInput("an intact .vital file", f"damaged data in {path.name!r}", _COPY_AGAIN) from error
    except struct.error as error:
        raise BadInput("an intact .vital file", f"damaged data in {path.name!r}", _COPY_AGAIN) from error
    except OSError as error:
        raise BadInput("a readable file", f"{path.name!r}: {error.strerror or error}", "check the file") from error
    if not contents.tracks:
        if contents.cut:
            raise _ends_early(path.name)
        raise BadInput("a .vital file with tracks", f"none in {path.name!r}", "choose another recording")
    return contents


class _Stream:
    """The unpacked bytes of a gzip file, in order and within the bounds. ``cut``: it stopped before its end."""

    def __init__(self, path: Path) -> None:
        self._name, self.size = path.name, path.stat().st_size
        self._limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * self.size))
        self._pieces = self._unpack(path)
        self._buffer, self._at = b"", 0
        self.taken = 0
        self.cut = False

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer only at the end."""
        end = self._at + count
        if end > len(self._buffer):
            self._fill(count)
            end = self._at + count
        found = self._buffer[self._at : end]
        self._at = end
        return found

    def _fill(self, count: int) -> None:
        parts = [self._buffer[self._at :]]
        held = len(parts[0])
        while held < count and (piece := next(self._pieces, b"")):
            parts.append(piece)
            held += len(piece)
        self._buffer, self._at = b"".join(parts), 0

    def _unpack(self, path: Path) -> Iterator[bytes]:
        """Pieces of unpacked data; members of a gzip file follow one another."""
        with path.open("rb") as file:
            left = written = _written(file, self.size)
            packed, unpack = b"", zlib.decompressobj(31)
            while packed or left:
                if not packed:
                    packed = file.read(min(_PIECE, left))
                    left -= len(packed)
                    if not packed:
                        break
                piece = unpack.decompress(packed, _PIECE)
                packed = unpack.unconsumed_tail
                self.taken += len(piece)
                if self.taken > self._limit:
                    raise self._too_much()
                if piece:
                    yield piece
                if unpack.eof:
                    packed = unpack.unused_data
                    if not packed.startswith(b"\x1f\x8b"):  # anything after the last member does not count
                        return
                    unpack = zlib.decompressobj(31)
            while piece := unpack.decompress(b"", _PIECE) if not unpack.eof else b"":
                self.taken += len(piece)
                yield piece
            self.cut = not unpack.eof and not _ends_in_zeros(unpack, self.size - written)

    def _too_much(self) -> BadInput:
        if self._limit == MAX_BYTES:
            return BadInput(f"a .vital file of at most {MAX_BYTES >> 30} GiB", f"more in {self._name!r}", "split it up")
        return BadInput(
            f"at most {self._limit >> 20} MiB in a file of {self.size:,} bytes",
            f"more in {self._name!r}",
            "do not open it: it is damaged, or made to fill the memory",
        )


def _written(stream: BinaryIO, size: int) -> int:
    """Bytes of the file up to zeros that were never written at its end."""
    end, zeros = size, 0
    while end:
        begin = max(0, end - _PIECE)
        stream.seek(begin)
        block = stream.read(end - begin)
        kept = len(block.rstrip(b"\0"))
        zeros += len(block) - kept
        end = begin + kept
        if kept:
            break
    stream.seek(0)
    return end if zeros >= UNWRITTEN else size


def _ends_in_zeros(unpack: zlib._Decompress, zeros: int) -> bool:
    """Whether zeros left out by :func:`_written` were the end of a whole stream (a length below 2^24 has some)."""
    try:
        probe = unpack.copy()
        probe.decompress(bytes(min(zeros, 3)))
    except zlib.error:
        return False
    return probe.eof


class _Decoder:
    def __init__(self, stream: _Stream, name: str) -> None:
        self._stream, self._name = stream, name
        self._packed = False
        self._raw_time = b""
        self._devices: dict[int, str] = {}
        self._by_id: dict[int, StoredTrack] = {}
        self._tracks: list[StoredTrack] = []

    def decode(self) -> VitalContents:
        self._header()
        most = FREE_PACKETS + self._stream.size // BYTES_PER_PACKET
        take, unpack = self._stream.take, _HEAD.unpack
        packets = idle = 0
        cut = False
        while len(head := take(5)) == 5:
            kind, length = unpack(head)
            if length > MAX_PACKET and not self._packed:
                raise BadInput("an intact .vital file", f"a packet of {length:,} bytes in {self._name!r}", _COPY_AGAIN)
            body = take(length)
            packets += 1
            if len(body) < length:
                cut = True
                if self._packed and kind == 1:  # one packet is a whole track there
                    self._record(body, cut=True)
                break
            idle += not self._packet(kind, body)
            if packets > most or (idle > FREE_IDLE and 2 * idle > packets):
                raise self._too_many(packets, idle)
        cut = cut or 0 < len(head) < 5 or self._stream.cut
        return VitalContents(self._tracks, self._packed, cut)

    def _header(self) -> None:
        head = self._stream.take(10)
        if not head and self._stream.cut:
            raise _ends_early(self._name)
        if head[:4] != b"VITA"[: len(head)] or not head:
            what = "choose a file that Vital Recorder wrote"
            raise BadInput("a .vital file", f"other content in {self._name!r}", what)
        header = self._stream.take(struct.unpack_from("<H", head, 8)[0]) if len(head) == 10 else b""
        if len(head) < 10 or (self._stream.cut and len(header) < 10):
            raise _ends_early(self._name)
        if len(header) < 10:
            raise BadInput("a .vital header of 10 bytes or more", f"{len(header)} in {self._name!r}", _COPY_AGAIN)
        self._packed = len(header) > 26 and header[26] == 1

    def _packet(self, kind: int, body: bytes) -> bool:
        """Take in one packet; False where it says nothing new: empty, said before, or of no kind that is known."""
        if kind == 1:
            return self._record(body)
        if kind == 0:
            return self._track(body)
        if kind == 9:
            return self._device(body)
        if kind == 6:
            if body[:1] == b"\x06":  # all events before this command are taken back
                for track in self._tracks:
                    if track.kind == TEXT and track.full_name == "EVENT":
                        track.times, track.texts = [], []
            return False
        if kind == 10 and len(body) > 16:  # raw data of a device; its time comes first
            new, self._raw_time = body[:8] != self._raw_time, body[:8]
            return new
        return False

    def _device(self, body: bytes) -> bool:
        if len(body) < 12:
            return False
        number = _COUNT.unpack_from(body)[0]
        of_type, at = _text(body, 4)
        name, _ = _text(body, at)
        new = number not in self._devices
        if new and len(self._devices) >= MAX_TRACKS:
            return False
        self._devices[number] = name or of_type
        return new

    def _track(self, body: bytes) -> bool:
        if len(body) < 8:
            return False
        number, kind, sample_format = struct.unpack_from("<HBB", body)
        if kind in (WAVE, NUMERIC) and sample_format not in DTYPES:
            raise BadInput("a known sample format", f"{sample_format} in {self._name!r}", _COPY_AGAIN)
        name, at = _text(body, 4)
        track = StoredTrack("", name, kind, sample_format, gain=0.0)
        if len(body) > at:
            track.unit, at = _text(body, at)
        # Every further field may be missing, with all that follow it.
        at += 12  # display limits and colour
        for attribute, field_format in (("rate_hz", "<f"), ("gain", "<d"), ("offset", "<d"), ("montype", "<B")):
            if len(body) >= at + struct.calcsize(field_format):
                setattr(track, attribute, struct.unpack_from(field_format, body, at)[0])
            at += struct.calcsize(field_format)
        if len(body) >= at + 4 and (device := _COUNT.unpack_from(body, at)[0]):
            track.device = self._devices.get(device, "")
        known = self._by_id.get(number)
        if known is not None and known.same_as(track):
            return False
        if len(self._tracks) >= MAX_TRACKS:
            raise BadInput(f"at most {MAX_TRACKS} tracks", f"more in {self._name!r}", "choose another recording")
        self._by_id[number] = track
        self._tracks.append(track)
        return True

    def _record(self, body: bytes, *, cut: bool = False) -> bool:
        """Take in a record (of one that is ``cut`` off, the samples that are whole); False if it says nothing new."""
        if len(body) < 12:
            return False
        info, time_s, number = _RECORD.unpack_from(body)
        track = self._by_id.get(number)
        if track is None:
            return False
        at = 2 + info  # where the values begin
        if not 0 <= time_s <= MAX_TIME_S:  # NaN compares false
            found = f"{time_s:g} on {plain(track.full_name)!r} in {self._name!r}"
            raise BadInput("records with a time", found, _COPY_AGAIN)
        new = not track.times or time_s != track.times[-1]
        if track.kind == WAVE:
            return self._wave(track, body, at, time_s, cut=cut) and new
        if track.kind == NUMERIC:
            number_format = _NUMBERS[track.sample_format]
            if len(body) < at + number_format.size:
                if cut:
                    return False
                raise BadInput("an intact .vital file", f"a record without its number in {self._name!r}", _COPY_AGAIN)
            track.numbers.append(number_format.unpack_from(body, at)[0])
            track.times.append(time_s)
            return new
        if track.kind == TEXT and len(body) >= at + 8 and not cut:
            text, _ = _text(body, at + 4, MAX_EVENT_CHARACTERS)
            track.texts.append(text)
            track.times.append(time_s)
            return bool(text) and new
        return False

    def _wave(self, track: StoredTrack, body: bytes, at: int, time_s: float, *, cut: bool) -> bool:
        if len(body) < at + 4:
            if cut:
                return False
            raise BadInput("an intact .vital file", f"a record without samples in {self._name!r}", _COPY_AGAIN)
        count = _COUNT.unpack_from(body, at)[0]
        dtype = np.dtype(DTYPES[track.sample_format])
        held = (len(body) - at - 4) // dtype.itemsize
        if held < count and not cut:
            raise BadInput("an intact .vital file", f"a record shorter than its samples in {self._name!r}", _COPY_AGAIN)
        count = min(count, held)
        if not count:
            return False
        track.waves.append(np.frombuffer(body, dtype, count, at + 4))
        track.times.append(time_s)
        return True

    def _too_many(self, packets: int, idle: int) -> BadInput:
        return BadInput(
            f"packets of a recording in a file of {self._stream.size:,} bytes",
            f"{packets:,} and more in {self._name!r}, {idle:,} of them empty or repeated",
            "do not open it: it is damaged, or made to keep a program busy",
        )


def _text(body: bytes, at: int, longest: int = 120) -> tuple[str, int]:
    """A text with its length before it, plain, and the place after it."""
    if len(body) < at + 4:
        return "", len(body)
    length = _COUNT.unpack_from(body, at)[0]
    end = at + 4 + length
    return plain(decoded(body[at + 4 : min(end, at + 4 + 4096)]), longest), end


def _ends_early(name: str) -> BadInput:
    return BadInput("a .vital file", f"{name!r}, which ends in the middle of its first records", _COPY_AGAIN)
