"""Local WFDB records (PhysioNet), through the ``wfdb`` package: several rates, several segments, gaps between them.

The package reads a whole record or a range of frames; here it reads one bounded block of one segment at a time, so
that a day-long record needs no more memory than a short one. Samples that the file marks as invalid are NaN.
Format: Moody, WFDB Applications Guide, header(5) and signal(5).
"""

from __future__ import annotations

import math
import os
import struct
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.plain_text import plain
from models.signals.readers.grid import BlockGrid, clip_range
from models.signals.readers.wfdb_headers import MAX_HEADER_BYTES, CorrectedHeaders, tidied, with_length
from models.signals.recording import Segment, Track, TrackKind
from models.signals.units import factor, symbol

NUMERIC_BELOW_HZ = 5.0
"""Signals slower than this are numerics (heart rate each second or minute), not waves."""
MAX_RATE_HZ = 1e6
BLOCK_S, BLOCK_SAMPLES = 30.0, 200_000
"""A block is of so many seconds, or of so many samples where that is longer: slow signals are read in one go."""
MAX_BLOCK_SAMPLES = 2_000_000
MAX_SKEW = 100_000
"""Frames that a signal may be shifted by against the others."""
CACHED_BLOCKS = 8

_BYTES_PER_SAMPLE = {  # signal(5); compressed formats (508, 516, 524) have no fixed size
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2), "80": Fraction(1),
    "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3), "311": Fraction(4, 3),
}  # fmt: skip
_COMPRESSED = ("508", "516", "524")
_DAMAGE = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, ZeroDivisionError, OSError, EOFError,
    struct.error, RuntimeError, MemoryError, ImportError,
)  # fmt: skip
"""What the package raises on damaged headers and data files; it has no error of its own for them."""

_REMEDY = "copy the record again, with all its files"


@dataclass(frozen=True, slots=True)
class _SegmentFile:
    """One stored segment: header, the frames it covers in the record, and the folder that it is read from."""

    name: str
    folder: Path
    first_frame: int
    frames: int
    header: Any


@dataclass(slots=True)
class _Signal:
    """One signal of the record across its segments.

    ``column``: segment number → (column in that segment, factor to ``unit``). Places in ``grid`` are samples from the
    record's first frame.
    """

    name: str
    unit: str
    per_frame: int
    column: dict[int, tuple[int, float]] = field(default_factory=dict)
    first_frame: int = 0
    grid: BlockGrid = field(default_factory=lambda: _grid([], [], []))


class WfdbRecording:
    """A WFDB record behind the :class:`models.signals.recording.Recording` protocol; annotations are not read.

    Times begin with the record's first frame, which may lie in a gap. Raises BadInput for a header that is damaged,
    lacks its data files, or names files outside its own folder. ``notes``: what was put right in a header, and data
    files that hold less than their header says.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = plain(name or path.stem)
        self.notes: list[str] = []
        self._folder = path.parent
        self._cache: OrderedDict[tuple[int, int], list[npt.NDArray[np.float32]]] = OrderedDict()
        self._corrected = CorrectedHeaders(self._folder)
        self._texts: dict[str, str] = {}  # of headers that were put right
        record = self._header(path.stem)
        self._fs = _rate(record.fs, path.name)
        self._segments = self._segment_files(record, path.stem)
        self._starts = [s.first_frame for s in self._segments]
        self._signals = {signal.name: signal for signal in self._collect()}
        if not self._signals:
            raise BadInput("a WFDB record with signals", f"none in {path.name!r}", "choose another record")
        frames = max(s.first_frame + s.frames for s in self._segments)
        self._duration_s = frames / self._fs
        self._tracks = tuple(self._track(signal) for signal in self._signals.values())

    @property
    def name(self) -> str:
        """The record's name."""
        return self._name

    @property
    def duration_s(self) -> float:
        """Length in s, gaps included."""
        return self._duration_s

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Signals under their descriptions."""
        return self._tracks

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """See :meth:`models.signals.recording.Recording.read`."""
        signal = self._signals[track]
        rate = signal.per_frame * self._fs
        if rate < NUMERIC_BELOW_HZ:
            raise KeyError(track)
        begin, end = clip_range(signal.first_frame / self._fs, rate, signal.grid.samples, start_s, end_s)
        return Segment(begin, self._values(signal, begin, end))

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Known values of a signal below the rate of waves. KeyError for a wave."""
        signal = self._signals[track]
        rate = signal.per_frame * self._fs
        if rate >= NUMERIC_BELOW_HZ:
            raise KeyError(track)
        values = self._values(signal, 0, signal.grid.samples).astype(np.float64)
        times = signal.first_frame / self._fs + np.arange(len(values)) / rate
        known = np.isfinite(values)
        return times[known], values[known]

    def events(self) -> list[tuple[float, str]]:
        """None: annotations are not read."""
        return []

    def close(self) -> None:
        """Forgets the blocks that were read."""
        self._cache.clear()
        self._corrected.close()

    # -- headers -------------------------------------------------------------------------------------------------

    def _header(self, name: str) -> Any:
        import wfdb

        path = self._folder / f"{name}.hea"
        if not path.is_file():
            raise BadInput(f"the header {name + '.hea'!r}", "no such file", _REMEDY)
        try:
            if path.stat().st_size > MAX_HEADER_BYTES:
                raise ValueError("a header of this size is none")
            raw = path.read_bytes()
            text, notes = tidied(raw)
            self.notes += [f"{name}: {note}" for note in notes]
            folder = self._folder
            if text.encode("utf-8") != raw:
                self._texts[name] = text
                folder = self._corrected.put(name, text)
            return wfdb.rdheader(str(folder / name))
        except _DAMAGE as error:
            raise BadInput("a WFDB header", f"{name + '.hea'!r}, which cannot be read as one", _REMEDY) from error

    def _segment_files(self, record: Any, name: str) -> list[_SegmentFile]:
        if not hasattr(record, "seg_name"):
            return [self._single(record, name, 0, None)]
        segments: list[_SegmentFile] = []
        frame = 0
        for part, frames in zip(record.seg_name or [], record.seg_len or [], strict=False):
            if frames is None or frames < 0:
                raise BadInput("a length for each segment", f"{frames} for {part!r} in {name!r}", _REMEDY)
            if part != "~" and frames:  # "~" is a gap; a segment of length 0 is the layout
                _check_beside(part)
                header = self._header(part)
                if hasattr(header, "seg_name"):
                    raise BadInput("segments with signals", f"{part!r}, a record of segments", "open a part of it")
                if _rate(header.fs, part) != self._fs:
                    raise BadInput(f"{self._fs:g} frames/s in each segment", f"{header.fs:g} in {part!r}", _REMEDY)
                segments.append(self._single(header, part, frame, frames))
            frame += frames
        if not segments:
            raise BadInput("a WFDB record with signals", f"no stored segment in {name!r}", "choose another record")
        return segments

    def _single(self, header: Any, name: str, first_frame: int, frames: int | None) -> _SegmentFile:
        """Checks one segment's data files: they must be there, beside the header, and long enough."""
        if not header.n_sig:
            raise BadInput("a WFDB record with signals", f"none in {name!r}", "choose another record")
        formats, files = header.fmt, header.file_name
        per_frame, skipped = header.samps_per_frame, header.byte_offset
        if not (formats and files and per_frame and len(formats) == len(files) == len(per_frame) == header.n_sig):
            raise BadInput("a WFDB header that describes its signals", f"{name + '.hea'!r}", _REMEDY)
        if any(n is None or n < 1 for n in per_frame):
            raise BadInput("one sample a frame or more", f"{min(n or 0 for n in per_frame)} in {name!r}", _REMEDY)
        if sum(per_frame) > MAX_BLOCK_SAMPLES or any(abs(n or 0) > MAX_SKEW for n in header.skew or ()):
            raise BadInput("frames of a size that can be read", f"{sum(per_frame)} samples each in {name!r}", _REMEDY)
        declared = frames if frames is not None else header.sig_len or None  # 0 is "unknown" too (header(5))
        shortest: int | None = None
        for file in dict.fromkeys(files):
            columns = [i for i, other in enumerate(files) if other == file]
            held = self._frames_in(file, formats[columns[0]], sum(per_frame[i] for i in columns),
                                   (skipped[columns[0]] if skipped else 0) or 0)  # fmt: skip
            if held is None:
                continue
            if declared is not None and held < declared:
                self.notes.append(f"{file} is cut off: {held} of {declared} frames are there and were read")
            shortest = held if shortest is None else min(shortest, held)
        whole = min(n for n in (declared, shortest, math.inf) if n is not None)
        if not 0 < whole < math.inf:
            raise BadInput("a WFDB record with samples", f"none in {name!r}", "choose another record")
        if header.sig_len and header.sig_len < (declared or 0):
            raise BadInput(f"{declared} frames in segment {name!r}", f"{header.sig_len}", _REMEDY)
        if shortest is not None and not 0 < (header.sig_len or 0) <= shortest:
            self._texts[name] = with_length(self._texts.get(name) or self._text(name), shortest)
            header.sig_len = shortest
        folder = self._folder
        if name in self._texts:
            folder = self._corrected.put(name, self._texts[name])
            for file in dict.fromkeys(files):
                self._corrected.link(file)
        return _SegmentFile(name, folder, first_frame, int(whole), header)

    def _text(self, name: str) -> str:
        return tidied((self._folder / f"{name}.hea").read_bytes())[0]

    def _frames_in(self, file: str, fmt: str, samples_per_frame: int, skipped: int) -> int | None:
        """Frames that a data file can hold by its size; None for compressed formats."""
        _check_beside(file)
        path = self._folder / file
        if not path.is_file():
            packed = Path(f"{path}.gz")
            found, remedy = (
                ("it packed", f"unpack it first: gunzip {file}.gz") if packed.is_file() else ("no such file", _REMEDY)
            )
            raise BadInput(f"the data file {file!r} beside the header", found, remedy)
        if fmt in _COMPRESSED:
            return None
        if fmt not in _BYTES_PER_SAMPLE:
            known = ", ".join((*_BYTES_PER_SAMPLE, *_COMPRESSED))
            raise BadInput(f"a WFDB signal format ({known})", f"{fmt} for {file!r}", "convert the record")
        size = os.path.getsize(path) - skipped
        return max(math.floor(size / (_BYTES_PER_SAMPLE[fmt] * samples_per_frame)), 0)

    def _collect(self) -> list[_Signal]:
        """The signals of the record, by name, with the segments that hold them."""
        signals: dict[str, _Signal] = {}
        held: dict[str, list[_SegmentFile]] = {}
        for number, segment in enumerate(self._segments):
            header = segment.header
            units = header.units or [""] * header.n_sig
            for column, name in enumerate(unique_names(header.sig_name or [""] * header.n_sig)):
                unit = plain(units[column] or "")
                per_frame = header.samps_per_frame[column]
                signal = signals.setdefault(name, _Signal(name, unit, per_frame))
                if per_frame != signal.per_frame:
                    raise BadInput(f"one rate for {name!r}", f"another in segment {segment.name!r}", _REMEDY)
                signal.column[number] = column, _same_unit(unit, signal)
                held.setdefault(name, []).append(segment)
        for name, signal in signals.items():
            n = signal.per_frame
            signal.first_frame = held[name][0].first_frame
            signal.grid = _grid(
                [(s.first_frame - signal.first_frame) * n for s in held[name]],
                [s.first_frame * n for s in held[name]],
                [s.frames * n for s in held[name]],
            )
        return list(signals.values())

    def _track(self, signal: _Signal) -> Track:
        rate = signal.per_frame * self._fs
        start = signal.first_frame / self._fs
        if rate < NUMERIC_BELOW_HZ:
            return Track(signal.name, TrackKind.NUMERIC, signal.unit, None, start, signal.grid.samples)
        gaps = tuple((start + a / rate, start + b / rate) for a, b in signal.grid.gaps())
        return Track(signal.name, TrackKind.WAVE, signal.unit, rate, start, signal.grid.samples, gaps)

    # -- samples -------------------------------------------------------------------------------------------------

    def _values(self, signal: _Signal, begin: int, end: int) -> npt.NDArray[np.float32]:
        values = np.full(end - begin, np.nan, dtype=np.float32)
        for index, place, count in signal.grid.pieces(begin, end):
            self._fill(values[index - begin : index - begin + count], signal, place)
        return values

    def _fill(self, out: npt.NDArray[np.float32], signal: _Signal, place: int) -> None:
        """Fill ``out`` with the samples from ``place`` (from the record's start) on, all of one segment."""
        number = bisect_right(self._starts, place // signal.per_frame) - 1
        segment = self._segments[number]
        column, scale = signal.column[number]
        block_frames = self._block_frames(segment)
        size = block_frames * signal.per_frame
        place -= segment.first_frame * signal.per_frame
        done = 0
        while done < len(out):
            block, within = divmod(place + done, size)
            source = self._block(number, block, block_frames)[column][within:]
            count = min(len(source), len(out) - done)
            if not count:
                raise BadInput(f"{segment.frames} frames in {segment.name!r}", "fewer", _REMEDY)
            out[done : done + count] = source[:count] if scale == 1.0 else source[:count] * np.float64(scale)
            done += count

    def _block_frames(self, segment: _SegmentFile) -> int:
        if "8" in segment.header.fmt:
            # Only a whole segment can be read: the package starts format 8 (differences) from the header's first value
            # wherever it begins.
            return segment.frames
        per_frame = sum(segment.header.samps_per_frame)
        wanted = max(round(BLOCK_S * self._fs), BLOCK_SAMPLES // per_frame)
        frames: int = max(1, min(wanted, MAX_BLOCK_SAMPLES // per_frame))
        return frames

    def _block(self, number: int, block: int, block_frames: int) -> list[npt.NDArray[np.float32]]:
        """All signals of a block of a segment, float32, cached."""
        key = number, block
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        import wfdb

        segment = self._segments[number]
        first = block * block_frames
        last = min(first + block_frames, segment.frames)
        try:
            record = wfdb.rdrecord(str(segment.folder / segment.name), sampfrom=first, sampto=last, smooth_frames=False)
        except _DAMAGE as error:
            raise BadInput("readable WFDB signals", f"damage in segment {segment.name!r}", _REMEDY) from error
        with np.errstate(over="ignore", invalid="ignore"):
            samples = [np.asarray(x, dtype=np.float32) for x in record.e_p_signal]
        for x in samples:
            x[~np.isfinite(x)] = np.nan
        self._cache[key] = samples
        while len(self._cache) > CACHED_BLOCKS:
            self._cache.popitem(last=False)
        return samples


def unique_names(names: Sequence[str]) -> list[str]:
    """Names as they are, in printable characters; a repeated one gets its number (``ECG``, ``ECG #2``), a missing one
    is its place."""
    seen: Counter[str] = Counter()
    out: dict[str, None] = {}
    for place, name in enumerate(names, start=1):
        own = plain((name or "").strip()) or f"signal {place}"
        seen[own] += 1
        unique = own if seen[own] == 1 else f"{own} #{seen[own]}"
        while unique in out:  # a file may have called a track "ECG #2" itself
            seen[own] += 1
            unique = f"{own} #{seen[own]}"
        out[unique] = None
    return list(out)


def _check_beside(file: str) -> None:
    """A header may only name files in its own folder, never a path or an address."""
    if not file or file in (".", "..") or any(c in file for c in "/\\:\0"):
        raise BadInput("names of files beside the header", f"{file!r}", "do not use this record: it points elsewhere")


def _rate(fs: Any, name: str) -> float:
    rate = float(fs) if fs else 0.0
    if not 0 < rate <= MAX_RATE_HZ:
        raise BadInput(
            f"a sampling rate above 0 and up to {MAX_RATE_HZ:,.0f} Hz", f"{rate:g} Hz in {name!r}", "correct the header"
        )
    return rate


def _same_unit(unit: str, signal: _Signal) -> float:
    """Factor from a segment's unit to the signal's."""
    if unit == signal.unit or symbol(unit) == symbol(signal.unit) is not None:
        return 1.0
    return factor(unit, signal.unit) if symbol(signal.unit) else _unlike(unit, signal)


def _unlike(unit: str, signal: _Signal) -> float:
    raise BadInput(f"one unit for {signal.name!r}", f"{signal.unit!r} and {unit!r}", "correct the headers")


def _grid(first: list[int], offset: list[int], length: list[int]) -> BlockGrid:
    as_array = [np.array(x, dtype=np.int64) for x in (first, offset, length)]
    return BlockGrid(as_array[0], as_array[1], as_array[2])
