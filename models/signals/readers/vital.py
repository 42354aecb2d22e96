"""Vital Recorder's ``.vital`` files (VitalDB, Lee & Jung, Sci Rep 2018, 8:1527), through the ``vitaldb`` package.

The package decodes the packets; it is not asked to resample. Its own parser stops in silence at a damaged or cut-off
packet, so the file's structure is checked first, and every sample that the file holds must have arrived.
"""

from __future__ import annotations

import gzip
import importlib
import logging
import math
import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.readers.grid import BlockGrid, clip_range, place_blocks
from models.signals.recording import Segment, Track, TrackKind

MAX_BYTES = 4 << 30
"""Largest uncompressed file that is read: the package holds it in memory."""
MAX_PACKET = 1_000_000
"""Longest packet of a file that is not packed; the package gives up at a longer one."""
MAX_TIME_S = 1e11
"""Latest time stamp (seconds from 1970, the year 5138); a later one is damage."""
MAX_WAVE_RATE_HZ = 1e6
LISTED_GAP_S = 0.04
"""Stretches of NaN from this length on are listed as gaps (packed files fill gaps with NaN)."""

_log = logging.getLogger(__name__)

_COPY_AGAIN = "copy or export the recording again"
_WAVE, _NUMERIC, _TEXT = 1, 2, 5  # track types of the format
_FLOAT_FORMATS = (1, 2)
_NO_VALUE = {3: -128, 4: 255, 5: -32768, 6: 65535, 7: -(2**31), 8: 2**32 - 1}  # packed files, by sample format
_BYTES = {1: 4, 2: 8, 3: 1, 4: 1, 5: 2, 6: 2, 7: 4, 8: 4}


def _package() -> Any:
    """The vitaldb package (0.2 s to import, hence late).

    Two of its habits are put right: its codes for 32-bit integers, 'l' and 'L', mean eight bytes to numpy and struct
    on 64-bit Linux, and it prints what it has to say about a damaged file.
    """
    utils: Any = importlib.import_module("vitaldb.utils")
    utils.FMT_TYPE_LEN[7] = ("i", 4)
    utils.FMT_TYPE_LEN[8] = ("I", 4)
    utils.print = _log.info
    return utils


@dataclass(frozen=True, slots=True)
class _Wave:
    """Samples of one wave as they are stored, and where they lie on its grid."""

    grid: BlockGrid
    stored: npt.NDArray[Any]
    gain: float
    offset: float
    no_value: int | None

    def read(self, begin: int, end: int) -> npt.NDArray[np.float32]:
        values = np.full(end - begin, np.nan, dtype=np.float32)
        for index, place, count in self.grid.pieces(begin, end):
            values[index - begin : index - begin + count] = self._physical(self.stored[place : place + count])
        return values

    def _physical(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if self.stored.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                values = stored.astype(np.float32)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                values = (stored * self.gain + self.offset).astype(np.float32)
            if self.no_value is not None:
                values[stored == self.no_value] = np.nan
        # Vital Recorder writes infinities and values above 4e9 where a device sent none (vitaldb, get_track_samples)
        values[~(np.abs(values) <= 4e9)] = np.nan
        return values


class VitalRecording:
    """A ``.vital`` file behind the :class:`models.signals.recording.Recording` protocol.

    Raises BadInput for a file that is not one, is cut off or damaged. ``notes`` are sentences about what was found
    odd (overlapping records, a track without calibration).
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = name or path.name
        counted = _check_structure(path)
        file = _load(path)
        self.notes: list[str] = []
        self._waves: dict[str, _Wave] = {}
        self._numerics: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}
        self._events: list[tuple[float, str]] = []
        _check_arrived(path, file, counted)
        start = min((rec["dt"] for trk in file.trks.values() for rec in trk.recs), default=0.0)
        self._tracks = tuple(
            track for name, trk in file.trks.items() if (track := self._take(name, trk, start, file.packed))
        )
        self._events.sort()
        ends = [t.end_s for t in self._tracks if t.kind is TrackKind.WAVE and math.isfinite(t.end_s)]
        ends += [float(times[-1]) for times, _ in self._numerics.values() if len(times)]
        ends += [time for time, _ in self._events[-1:]]
        self._duration_s = max(ends, default=0.0)

    @property
    def name(self) -> str:
        return self._name

    @property
    def duration_s(self) -> float:
        return self._duration_s

    @property
    def tracks(self) -> tuple[Track, ...]:
        return self._tracks

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """See the protocol. Raises BadInput for a wave without a sampling rate."""
        wave = self._waves[track]
        about = next(t for t in self._tracks if t.name == track)
        if not about.rate_hz:
            raise BadInput("a sampling rate above 0 Hz", f"0 Hz on track {track!r}", "leave the track out")
        begin, end = clip_range(about.start_s, about.rate_hz, about.samples, start_s, end_s)
        return Segment(begin, wave.read(begin, end))

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        times, values = self._numerics[track]
        return times.copy(), values.copy()

    def events(self) -> list[tuple[float, str]]:
        return list(self._events)

    def close(self) -> None:
        self._waves.clear()

    def _take(self, name: str, trk: Any, start: float, packed: bool) -> Track | None:
        if trk.type == _WAVE:
            return self._take_wave(name, trk, start, packed)
        if trk.type == _NUMERIC:
            times = np.array([rec["dt"] - start for rec in trk.recs], dtype=np.float64)
            values = np.array([rec["val"] for rec in trk.recs], dtype=np.float64)
            order = np.argsort(times, kind="stable")
            order = order[np.isfinite(values[order])]
            self._numerics[name] = times[order], values[order]
            first = float(times[order[0]]) if len(order) else 0.0
            return Track(name, TrackKind.NUMERIC, trk.unit, None, first, len(order))
        if trk.type == _TEXT:
            prefix = "" if name == "EVENT" else f"{name}: "
            texts = [(rec["dt"] - start, prefix + rec["val"]) for rec in trk.recs]
            self._events += texts
            return Track(name, TrackKind.EVENT, "", None, min(texts)[0] if texts else 0.0, len(texts))
        return None

    def _take_wave(self, name: str, trk: Any, start: float, packed: bool) -> Track:
        unit = trk.unit
        recs = trk.recs
        rate = trk.srate if math.isfinite(trk.srate) and 0 < trk.srate <= MAX_WAVE_RATE_HZ else 0.0
        times = np.array([rec["dt"] for rec in recs], dtype=np.float64)
        lengths = np.array([len(rec["val"]) for rec in recs], dtype=np.int64)
        stored = np.concatenate([rec["val"] for rec in recs]) if recs else np.zeros(0, dtype=np.float32)
        trk.recs = []  # the packets are no longer needed: do not hold the samples twice
        first = float(times.min() - start) if len(times) else 0.0
        if not rate or not len(times):
            nothing = np.zeros(0, dtype=np.int64)
            self._waves[name] = _Wave(BlockGrid(nothing, nothing, nothing), stored, 1.0, 0.0, None)
            return Track(name, TrackKind.WAVE, unit, rate, first, 0)
        rate, grid = place_blocks(times, lengths, rate)
        if grid.dropped:
            self.notes.append(
                f"{name}: {grid.dropped} of {int(lengths.sum())} samples lie in records that overlap earlier ones "
                "and were left out"
            )
        gain, offset = trk.gain, trk.offset
        if trk.fmt not in _FLOAT_FORMATS and not (gain and math.isfinite(gain) and math.isfinite(offset)):
            self.notes.append(f"{name}: its gain is {gain:g} and its offset {offset:g}, so its values are unknown")
            gain = offset = math.nan
        wave = _Wave(grid, stored, gain, offset, _NO_VALUE.get(trk.fmt) if packed else None)
        self._waves[name] = wave
        gaps = grid.gaps()
        if packed:
            gaps = sorted(gaps + _nan_runs(wave, max(2, round(LISTED_GAP_S * rate))))
        seconds = tuple((first + a / rate, first + b / rate) for a, b in gaps)
        return Track(name, TrackKind.WAVE, unit, rate, first, grid.samples, seconds)


def _nan_runs(wave: _Wave, shortest: int) -> list[tuple[int, int]]:
    """Index ranges of at least ``shortest`` consecutive stored NaN, looked for in bounded pieces."""
    runs: list[tuple[int, int]] = []
    for run in range(len(wave.grid.first)):
        begin, end = int(wave.grid.first[run]), int(wave.grid.first[run] + wave.grid.length[run])
        open_at: int | None = None
        for at in range(begin, end, 1 << 20):
            missing = np.isnan(wave.read(at, min(at + (1 << 20), end)))
            edges = np.flatnonzero(np.diff(missing, prepend=open_at is not None)) + at
            for edge in edges.tolist():
                if open_at is None:
                    open_at = edge
                else:
                    if edge - open_at >= shortest:
                        runs.append((open_at, edge))
                    open_at = None
        if open_at is not None and end - open_at >= shortest:
            runs.append((open_at, end))
    return runs


def _load(path: Path) -> Any:
    """The decoded file. The package returns False where it cannot go on."""
    package = _package()
    file = package.VitalFile()
    file.dtstart = file.dtend = 0.0
    if not file.load_vital(str(path.resolve())):
        raise BadInput("a readable .vital file", f"damaged records in {path.name!r}", _COPY_AGAIN)
    return file


def _check_arrived(path: Path, file: Any, counted: Counter[str]) -> None:
    """Every record and sample that the structure check counted must have come through the package."""
    arrived: Counter[str] = Counter()
    waves = sum(trk.type == _WAVE for trk in file.trks.values())
    if waves != counted["waves"]:  # the package would mix the samples of two tracks of one name
        raise BadInput(
            f"{counted['waves']} wave tracks with names of their own",
            f"{waves} names in {path.name!r}",
            "export the recording again with one track of each name",
        )
    for trk in file.trks.values():
        for rec in trk.recs:
            if not (math.isfinite(rec["dt"]) and 0 <= rec["dt"] <= MAX_TIME_S):
                raise BadInput("records with a time", f"{rec['dt']:g} on {trk.dtname!r} in {path.name!r}", _COPY_AGAIN)
        if trk.type == _WAVE:
            arrived["samples"] += sum(len(rec["val"]) for rec in trk.recs)
        elif trk.type == _NUMERIC:
            arrived["numbers"] += len(trk.recs)
    for what in ("samples", "numbers"):
        if arrived[what] != counted[what]:
            raise BadInput(
                f"{counted[what]} {what} in {path.name!r}",
                f"{arrived[what]} that can be read",
                _COPY_AGAIN,
            )


def _check_structure(path: Path) -> Counter[str]:
    """Walk the packets without keeping them; counts of the samples and numbers in the file.

    Raises BadInput where the file is no ``.vital`` file, ends early or has a packet that does not fit.
    """
    counted: Counter[str] = Counter()
    try:
        with gzip.open(path, "rb") as stream:
            _walk(stream, path.name, counted)
    except EOFError as error:
        raise _cut_off(path.name) from error
    except gzip.BadGzipFile as error:
        raise BadInput("a .vital file (gzip)", f"{path.name!r}, damaged or of another kind", _COPY_AGAIN) from error
    except (zlib.error, struct.error) as error:
        raise BadInput("an intact .vital file", f"damaged data in {path.name!r}", _COPY_AGAIN) from error
    except OSError as error:
        raise BadInput("a readable file", f"{path.name!r}: {error.strerror or error}", "check the file") from error
    if not counted["tracks"]:
        raise BadInput("a .vital file with tracks", f"none in {path.name!r}", "choose another recording")
    return counted


def _walk(stream: gzip.GzipFile, name: str, counted: Counter[str]) -> None:
    head = stream.read(10)
    if head[:4] != b"VITA":
        raise BadInput("a .vital file", f"other content in {name!r}", "choose a file that Vital Recorder wrote")
    if len(head) < 10:
        raise _cut_off(name)
    header = stream.read(struct.unpack_from("<H", head, 8)[0])
    if len(header) < 10:
        raise BadInput("a .vital header of 10 bytes or more", f"{len(header)} in {name!r}", _COPY_AGAIN)
    packed = len(header) > 26 and header[26] == 1
    formats: dict[int, tuple[int, int]] = {}  # track id -> (type, sample format)
    total = 0
    while packet_head := stream.read(5):
        if len(packet_head) < 5:
            raise _cut_off(name)
        kind, length = struct.unpack("<BI", packet_head)
        total += 5 + length
        if total > MAX_BYTES:
            raise BadInput(f"a .vital file of at most {MAX_BYTES >> 30} GiB", f"more in {name!r}", "split it up")
        if length > MAX_PACKET and not packed:
            raise BadInput("an intact .vital file", f"a packet of {length:,} bytes in {name!r}", _COPY_AGAIN)
        start = stream.read(min(length, 32))
        if len(start) < min(length, 32) or _skip(stream, length - len(start)):
            raise _cut_off(name)
        if kind == 0 and len(start) >= 4:
            track, of_type, sample_format = struct.unpack_from("<HBB", start)
            if of_type in (_WAVE, _NUMERIC) and sample_format not in _BYTES:
                raise BadInput("a known sample format", f"{sample_format} in {name!r}", _COPY_AGAIN)
            counted["waves"] += of_type == _WAVE and track not in formats
            formats[track] = of_type, sample_format
            counted["tracks"] += 1
        elif kind == 1 and len(start) >= 12:
            _count_record(start, length, name, formats, counted)


def _count_record(
    start: bytes, length: int, name: str, formats: dict[int, tuple[int, int]], counted: Counter[str]
) -> None:
    info = 2 + struct.unpack_from("<H", start)[0]  # where the record's values begin
    track = struct.unpack_from("<H", start, 10)[0]
    of_type, sample_format = formats.get(track, (0, 0))
    if of_type == _NUMERIC:
        counted["numbers"] += 1
    elif of_type == _WAVE:
        if info + 4 > len(start):
            raise BadInput("an intact .vital file", f"a record without samples in {name!r}", _COPY_AGAIN)
        samples = struct.unpack_from("<I", start, info)[0]
        if info + 4 + samples * _BYTES[sample_format] > length:
            raise BadInput("an intact .vital file", f"a record shorter than its samples in {name!r}", _COPY_AGAIN)
        counted["samples"] += samples


def _skip(stream: gzip.GzipFile, count: int) -> int:
    """Read and forget ``count`` bytes in bounded pieces; how many were missing."""
    while count > 0:
        got = len(stream.read(min(count, 1 << 20)))
        if not got:
            return count
        count -= got
    return 0


def _cut_off(name: str) -> BadInput:
    return BadInput("a whole .vital file", f"{name!r}, which ends in the middle of a record", _COPY_AGAIN)
