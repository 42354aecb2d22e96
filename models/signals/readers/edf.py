"""EDF, EDF+ (continuous and discontinuous) and BDF files, through the ``edfio`` package.

edfio decodes labels, calibration and samples, but lines the data records of a discontinuous file up without their
gaps (EDF+D; Kemp & Olivan, Clin Neurophysiol 2003, 114:1755). The onset of each record is therefore read here, from
the time-keeping annotation that the standard asks for, and the header is checked against the file's size first.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.readers.grid import BlockGrid, clip_range, place_blocks
from models.signals.readers.wfdb_records import NUMERIC_BELOW_HZ, unique_names
from models.signals.recording import Segment, Track, TrackKind

MAX_SIGNALS = 2048
MAX_RECORD_BYTES = 256 << 20
MAX_ONSET_S = 1e9
MAX_RATE_HZ = 1e6
BLOCK_BYTES = 1 << 20
"""Data records are decoded in blocks of about this size: a day-long file needs no more memory than a short one."""
CACHED_BLOCKS = 4

_COPY_AGAIN = "copy or export the file again"
_ONSET = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15[0-9.]*)?\x14")
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError, OSError, MemoryError)
_FIXED_HEADER = 256
_SIGNAL_HEADER = 256
_LABEL_BYTES = 16
_SAMPLES_AT = 216  # bytes of each signal's header before its samples per data record
_ENCODING = "latin-1"  # the standard asks for ASCII, but many files write the micro sign


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where what lies in the file, from its header; annotation signals included in ``samples``."""

    header: bytes
    bdf: bool
    discontinuous: bool
    records: int
    record_s: float
    samples: tuple[int, ...]  # of each signal in one data record
    annotations: tuple[int, ...]  # which signals are annotations

    @property
    def width(self) -> int:
        """Bytes of one sample."""
        return 3 if self.bdf else 2

    @property
    def record_bytes(self) -> int:
        return sum(self.samples) * self.width

    @property
    def per_record(self) -> list[int]:
        """Samples a data record of each ordinary signal."""
        return [n for i, n in enumerate(self.samples) if i not in self.annotations]

    @property
    def block_records(self) -> int:
        return max(1, min(self.records, BLOCK_BYTES // self.record_bytes))


@dataclass(frozen=True, slots=True)
class _Signal:
    """One ordinary signal: its place among edfio's signals, samples a record, grid, and whether it is calibrated."""

    number: int
    per_record: int
    rate_hz: float
    start_s: float
    grid: BlockGrid
    calibrated: bool


class EdfRecording:
    """An EDF, EDF+, BDF or BDF+ file behind the :class:`models.signals.recording.Recording` protocol.

    Times begin with the file's start time. Signals slower than 5 Hz are numerics. Raises BadInput for a file that is
    damaged or cut off. ``notes``: signals without calibration (they hold no valid sample), overlapping records.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = name or path.name
        self._path = path
        self.notes: list[str] = []
        self._layout = _read_layout(path)
        self._onsets = _record_onsets(path, self._layout)
        self._cache: OrderedDict[int, list[npt.NDArray[np.float32]]] = OrderedDict()
        first = self._decode(0, 1).signals
        if len(first) != len(self._layout.per_record):
            raise BadInput("a readable EDF header", f"damage in {path.name!r}", _COPY_AGAIN)
        if not first:
            raise BadInput("an EDF file with signals", f"annotations alone in {path.name!r}", "choose another file")
        names = unique_names([_text(signal, "label") for signal in first])
        self._signals = {name: self._place(i, name, first[i]) for i, name in enumerate(names)}
        self._tracks = tuple(
            self._track(name, signal, _text(first[signal.number], "physical_dimension"))
            for name, signal in self._signals.items()
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def duration_s(self) -> float:
        return float(self._onsets.max()) + self._layout.record_s

    @property
    def tracks(self) -> tuple[Track, ...]:
        return self._tracks

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        signal = self._signals[track]
        if signal.rate_hz < NUMERIC_BELOW_HZ:
            raise KeyError(track)
        begin, end = clip_range(signal.start_s, signal.rate_hz, signal.grid.samples, start_s, end_s)
        return Segment(begin, self._values(signal, begin, end))

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        signal = self._signals[track]
        if signal.rate_hz >= NUMERIC_BELOW_HZ:
            raise KeyError(track)
        values = self._values(signal, 0, signal.grid.samples).astype(np.float64)
        times = signal.start_s + np.arange(len(values)) / signal.rate_hz
        known = np.isfinite(values)
        return times[known], values[known]

    def events(self) -> list[tuple[float, str]]:
        """The annotations, in order of time. Raises BadInput where they cannot be decoded."""
        found: list[tuple[float, str]] = []
        if self._layout.annotations:
            step = self._layout.block_records
            for first in range(0, self._layout.records, step):
                last = min(first + step, self._layout.records)
                try:
                    notes = self._decode(first, last).annotations
                except _DAMAGE as error:
                    message = f"damaged ones in {self._path.name!r}"
                    raise BadInput("readable EDF+ annotations", message, _COPY_AGAIN) from error
                # edfio counts from the onset of the first record that it was given
                found += [(float(a.onset) + float(self._onsets[first]), a.text) for a in notes if a.text]
        return sorted(found)

    def close(self) -> None:
        self._cache.clear()

    def _place(self, number: int, name: str, header: Any) -> _Signal:
        layout = self._layout
        per_record = layout.per_record[number]
        nominal = per_record / layout.record_s
        lengths = np.full(layout.records, per_record, dtype=np.int64)
        rate, grid = place_blocks(self._onsets, lengths, nominal)
        if grid.dropped:
            self.notes.append(f"{name}: {grid.dropped} samples lie in records that overlap others and were left out")
        calibrated = _calibrated(header)
        if not calibrated:
            self.notes.append(f"{name}: its physical or digital limits are not usable, so its values are unknown")
        return _Signal(number, per_record, rate, float(self._onsets.min()), grid, calibrated)

    def _track(self, name: str, signal: _Signal, unit: str) -> Track:
        if signal.rate_hz < NUMERIC_BELOW_HZ:
            return Track(name, TrackKind.NUMERIC, unit, None, signal.start_s, signal.grid.samples)
        gaps = tuple(
            (signal.start_s + a / signal.rate_hz, signal.start_s + b / signal.rate_hz) for a, b in signal.grid.gaps()
        )
        return Track(name, TrackKind.WAVE, unit, signal.rate_hz, signal.start_s, signal.grid.samples, gaps)

    def _values(self, signal: _Signal, begin: int, end: int) -> npt.NDArray[np.float32]:
        values = np.full(end - begin, np.nan, dtype=np.float32)
        if not signal.calibrated:
            return values
        size = self._layout.block_records * signal.per_record
        for index, place, count in signal.grid.pieces(begin, end):
            out = values[index - begin : index - begin + count]
            done = 0
            while done < count:
                block, within = divmod(place + done, size)
                source = self._block(block)[signal.number][within : within + count - done]
                out[done : done + len(source)] = source
                done += len(source)
        return values

    def _block(self, block: int) -> list[npt.NDArray[np.float32]]:
        """All ordinary signals of a block of data records, float32 in physical units, cached."""
        if block in self._cache:
            self._cache.move_to_end(block)
            return self._cache[block]
        first = block * self._layout.block_records
        file = self._decode(first, min(first + self._layout.block_records, self._layout.records))
        calibrated = {signal.number for signal in self._signals.values() if signal.calibrated}
        samples = [np.asarray(s.data if i in calibrated else [], dtype=np.float32) for i, s in enumerate(file.signals)]
        self._cache[block] = samples
        while len(self._cache) > CACHED_BLOCKS:
            self._cache.popitem(last=False)
        return samples

    def _decode(self, first: int, last: int) -> Any:
        """edfio's view of the data records ``first … last``, as if they were the whole file."""
        import edfio

        layout = self._layout
        with self._path.open("rb") as stream:
            stream.seek(len(layout.header) + first * layout.record_bytes)
            data = stream.read((last - first) * layout.record_bytes)
        if len(data) != (last - first) * layout.record_bytes:
            raise BadInput(f"{layout.records} data records in {self._path.name!r}", "fewer", _COPY_AGAIN)
        header = layout.header[:236] + str(last - first).ljust(8).encode() + layout.header[244:]
        read = edfio.read_bdf if layout.bdf else edfio.read_edf
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return read(header + data, header_encoding=_ENCODING)
        except _DAMAGE as error:
            raise BadInput("a readable EDF file", f"damage in {self._path.name!r}", _COPY_AGAIN) from error


def _text(signal: Any, name: str) -> str:
    return str(getattr(signal, name)).strip().replace("\0", "")


def _calibrated(signal: Any) -> bool:
    """Whether digital values can be turned into physical ones."""
    try:
        physical, digital = signal.physical_range, signal.digital_range
    except _DAMAGE:
        return False
    return all(map(math.isfinite, physical)) and physical.min != physical.max and digital.min != digital.max


def _read_layout(path: Path) -> _Layout:
    """The header, checked against itself and the size of the file. Raises BadInput."""
    name = path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            fixed = stream.read(_FIXED_HEADER)
            bdf = fixed[:8] == b"\xffBIOSEMI"
            if not bdf and fixed[:8] != b"0       ":
                raise BadInput("an EDF or BDF file", f"other content in {name!r}", "choose another file")
            if len(fixed) < _FIXED_HEADER:
                raise BadInput("a whole EDF header", f"{size} bytes in {name!r}", _COPY_AGAIN)
            count = _whole_number(fixed[252:256], "number of signals", name)
            if not 1 <= count <= MAX_SIGNALS:
                raise BadInput(f"1 to {MAX_SIGNALS} signals", f"{count} in {name!r}", _COPY_AGAIN)
            signals = stream.read(_SIGNAL_HEADER * count)
    except OSError as error:
        raise BadInput("a readable file", f"{name!r}: {error.strerror}", "check the file") from error
    header = fixed + signals
    if len(header) < _FIXED_HEADER + _SIGNAL_HEADER * count or _whole_number(
        fixed[184:192], "length of the header", name
    ) != len(header):
        raise BadInput(
            f"a header of {_FIXED_HEADER + _SIGNAL_HEADER * count} bytes", f"another in {name!r}", _COPY_AGAIN
        )
    samples_at = _SAMPLES_AT * count
    samples = tuple(
        _whole_number(signals[samples_at + 8 * i : samples_at + 8 * i + 8], "samples in a data record", name)
        for i in range(count)
    )
    labels = [signals[_LABEL_BYTES * i : _LABEL_BYTES * (i + 1)].rstrip() for i in range(count)]
    marker = b"BDF Annotations" if bdf else b"EDF Annotations"
    layout = _Layout(
        header=header,
        bdf=bdf,
        discontinuous=fixed[192:197] in (b"EDF+D", b"BDF+D"),
        records=_whole_number(fixed[236:244], "number of data records", name),
        record_s=_seconds(fixed[244:252], name),
        samples=samples,
        annotations=tuple(i for i, label in enumerate(labels) if label == marker),
    )
    if min(samples) < 1 or layout.record_bytes > MAX_RECORD_BYTES:
        raise BadInput("1 sample or more of each signal in a data record", f"{min(samples)} in {name!r}", _COPY_AGAIN)
    for rate in (n / layout.record_s if layout.record_s else 0.0 for n in layout.per_record):
        if not 0 < rate <= MAX_RATE_HZ:
            raise BadInput(
                f"sampling rates above 0 and up to {MAX_RATE_HZ:,.0f} Hz", f"{rate:g} Hz in {name!r}", _COPY_AGAIN
            )
    held, rest = divmod(size - len(header), layout.record_bytes)
    if layout.records == -1:  # the standard's mark of a file still being written: whole records count
        layout = replace(layout, records=held)
    elif (held, rest) != (layout.records, 0):
        raise BadInput(
            f"{layout.records} data records of {layout.record_bytes} bytes in {name!r}",
            f"{held}" + (f" and {rest} bytes" if rest else ""),
            _COPY_AGAIN,
        )
    if layout.records < 1:
        raise BadInput("an EDF file with data records", f"none in {name!r}", "choose another file")
    return layout


def _record_onsets(path: Path, layout: _Layout) -> npt.NDArray[np.float64]:
    """Seconds from the file's start time to each data record [records].

    From the time-keeping annotations where there are some; a file without them, and a continuous one whose cannot
    be read, goes on record after record. Raises BadInput for a discontinuous file without them.
    """
    follow_on = np.arange(layout.records, dtype=np.float64) * layout.record_s
    onsets: npt.NDArray[np.float64] = np.full(layout.records, np.nan)
    if layout.annotations:
        first = layout.annotations[0]
        skipped = sum(layout.samples[:first]) * layout.width
        length = min(layout.samples[first] * layout.width, 64)
        with path.open("rb") as stream:
            for record in range(layout.records):
                stream.seek(len(layout.header) + record * layout.record_bytes + skipped)
                match = _ONSET.match(stream.read(length))
                if match:
                    onsets[record] = float(match.group(1))
    usable = bool(np.all(np.abs(onsets) <= MAX_ONSET_S))  # NaN compares false
    if not usable and layout.discontinuous:
        raise BadInput("a start time for each record of a discontinuous file", f"none in {path.name!r}", _COPY_AGAIN)
    return onsets if usable else follow_on


def _whole_number(field: bytes, what: str, name: str) -> int:
    text = field.decode(_ENCODING).strip().strip("\0")
    if not re.fullmatch(r"[+-]?[0-9]{1,8}", text):
        raise BadInput(f"a number as the {what}", f"{text!r} in {name!r}", _COPY_AGAIN)
    return int(text)


def _seconds(field: bytes, name: str) -> float:
    text = field.decode(_ENCODING).strip().strip("\0")
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadInput("a number as the duration of a record", f"{text!r} in {name!r}", _COPY_AGAIN) from error
    if not 0 <= seconds <= MAX_ONSET_S:
        raise BadInput("a duration of a record of 0 s or more", f"{text!r} in {name!r}", _COPY_AGAIN)
    return seconds
