"""EDF, EDF+ (continuous and discontinuous) and BDF files, through the ``edfio`` package.

edfio decodes labels, calibration and samples, but lines the data records of a discontinuous file up without their
gaps (EDF+D; Kemp & Olivan, Clin Neurophysiol 2003, 114:1755). The onset of each record is therefore read here, from
the time-keeping annotation that the standard asks for. The header is read in :mod:`.edf_header`; how many records
there are is a matter of the file's size, whatever a recorder that crashed had written into the header by then.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.plain_text import decoded, plain
from models.signals.readers.edf_header import COPY_AGAIN, FIXED_BYTES, SIGNAL_BYTES, read_header, signals_in
from models.signals.readers.grid import BlockGrid, clip_range, place_blocks
from models.signals.readers.wfdb_records import NUMERIC_BELOW_HZ, unique_names
from models.signals.recording import Segment, Track, TrackKind

MAX_RECORD_BYTES = 256 << 20
MAX_ONSET_S = 1e9
MAX_RATE_HZ = 1e6
MAX_EVENT_CHARACTERS = 1000
BLOCK_BYTES = 1 << 20
"""Data records are decoded in blocks of about this size: a day-long file needs no more memory than a short one."""
CACHED_BLOCKS = 4
MISSING = -32_768
"""A sample of an EDF file that has this value although its digital range does not is missing: EDF has no mark of its
own for one, and this is the one that Vigil writes (:mod:`streams.sinks.edf_file`)."""

_ONSET = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15[0-9.]*)?\x14")
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError, OSError, MemoryError)
_ENCODING = "latin-1"  # keeps every byte; what they say is decided in _text


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where what lies in the file, from its header; annotation signals included in ``samples``. ``header`` is what
    edfio is given, ``header_bytes`` its length in the file."""

    header: bytes
    header_bytes: int
    bdf: bool
    discontinuous: bool
    records: int
    record_s: float
    samples: tuple[int, ...]  # of each signal in one data record
    annotations: tuple[int, ...]  # which signals are annotations
    mended: bool = False  # the number of records is not the header's

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
    damaged. ``notes``: what the header gets wrong, signals without calibration (they hold no valid sample),
    overlapping records.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = plain(name or path.name)
        self._path = path
        self.notes: list[str] = []
        self._layout = _read_layout(path, self.notes)
        self._onsets = _record_onsets(path, self._layout)
        self._cache: OrderedDict[int, list[npt.NDArray[np.float32]]] = OrderedDict()
        first = self._decode(0, 1).signals if self._layout.per_record else ()
        if len(first) != len(self._layout.per_record):
            raise BadInput("a readable EDF header", f"damage in {path.name!r}", COPY_AGAIN)
        names = unique_names([_text(signal, "label") for signal in first])
        self._signals = {name: self._place(i, name, first[i]) for i, name in enumerate(names)}
        self._tracks = tuple(
            self._track(name, signal, _text(first[signal.number], "physical_dimension"))
            for name, signal in self._signals.items()
        )

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def duration_s(self) -> float:
        """To the end of the last data record, in s."""
        return float(self._onsets.max(initial=0.0)) + (self._layout.record_s if len(self._onsets) else 0.0)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Signals under their labels."""
        return self._tracks

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """See :meth:`models.signals.recording.Recording.read`."""
        signal = self._signals[track]
        if signal.rate_hz < NUMERIC_BELOW_HZ:
            raise KeyError(track)
        begin, end = clip_range(signal.start_s, signal.rate_hz, signal.grid.samples, start_s, end_s)
        return Segment(begin, self._values(signal, begin, end))

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Known values of a signal below the rate of waves. KeyError for a wave."""
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
        if self._layout.annotations and self._layout.records:
            step = self._layout.block_records
            for first in range(0, self._layout.records, step):
                last = min(first + step, self._layout.records)
                try:
                    notes = self._decode(first, last).annotations
                except _DAMAGE as error:
                    message = f"damaged ones in {self._path.name!r}"
                    raise BadInput("readable EDF+ annotations", message, COPY_AGAIN) from error
                # edfio counts from the onset of the first record that it was given
                found += [
                    (float(a.onset) + float(self._onsets[first]), plain(a.text, MAX_EVENT_CHARACTERS))
                    for a in notes
                    if a.text
                ]
        return sorted(found)

    def close(self) -> None:
        """Forgets the blocks that were read."""
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
        with (
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):  # limits of 1e38 are what a file says, nothing for a user
            warnings.simplefilter("ignore")
            samples = [np.asarray(s.data if i in calibrated else [], np.float32) for i, s in enumerate(file.signals)]
            for values, signal in zip(samples, file.signals, strict=True):
                if len(values) and not self._layout.bdf and signal.digital_min > MISSING:
                    values[signal.digital == MISSING] = np.nan
        for values in samples:
            values[~np.isfinite(values)] = np.nan
        self._cache[block] = samples
        while len(self._cache) > CACHED_BLOCKS:
            self._cache.popitem(last=False)
        return samples

    def _decode(self, first: int, last: int) -> Any:
        """edfio's view of the data records ``first … last``, as if they were the whole file."""
        import edfio

        layout = self._layout
        with self._path.open("rb") as stream:
            stream.seek(layout.header_bytes + first * layout.record_bytes)
            data = stream.read((last - first) * layout.record_bytes)
        if len(data) != (last - first) * layout.record_bytes:
            raise BadInput(f"{layout.records} data records in {self._path.name!r}", "fewer", COPY_AGAIN)
        header = layout.header[:236] + str(last - first).ljust(8).encode() + layout.header[244:]
        read = edfio.read_bdf if layout.bdf else edfio.read_edf
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return read(header + data, header_encoding=_ENCODING)
        except _DAMAGE as error:
            raise BadInput("a readable EDF file", f"damage in {self._path.name!r}", COPY_AGAIN) from error


def _text(signal: Any, name: str) -> str:
    return plain(decoded(str(getattr(signal, name)).encode(_ENCODING, "replace")).strip())


def _calibrated(signal: Any) -> bool:
    """Whether digital values can be turned into physical ones."""
    try:
        physical, digital = signal.physical_range, signal.digital_range
    except _DAMAGE:
        return False
    if digital.min == digital.max or not all(map(math.isfinite, physical)):
        return False
    gain = (physical.max - physical.min) / (digital.max - digital.min)
    return gain != 0 and math.isfinite(gain)  # else edfio hands on what the file stores, as if it were volts


def _read_layout(path: Path, notes: list[str]) -> _Layout:
    """The header, checked against the size of the file; says in ``notes`` what is wrong with it. Raises BadInput."""
    name = path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            raw = stream.read(FIXED_BYTES)
            raw += stream.read(SIGNAL_BYTES * signals_in(raw, name))
    except OSError as error:
        raise BadInput("a readable file", f"{name!r}: {error.strerror}", "check the file") from error
    header = read_header(raw, name)
    if header.oddities:
        notes.append(f"its header is not as the standard wants it ({', '.join(header.oddities)}) and was read as meant")
    marker = b"BDF Annotations" if header.bdf else b"EDF Annotations"
    layout = _Layout(
        header=header.clean,
        header_bytes=header.length,
        bdf=header.bdf,
        discontinuous=header.discontinuous,
        records=header.records,
        record_s=header.record_s,
        samples=header.samples,
        annotations=tuple(i for i, label in enumerate(header.labels) if label == marker),
    )
    if not layout.per_record:
        notes.append("it holds no signal")
    if not layout.samples:
        return replace(layout, records=0)
    if layout.record_bytes > MAX_RECORD_BYTES:
        raise BadInput(
            "data records of a size that can be read", f"{layout.record_bytes:,} bytes in {name!r}", COPY_AGAIN
        )
    for rate in (n / layout.record_s if layout.record_s else 0.0 for n in layout.per_record):
        if not 0 < rate <= MAX_RATE_HZ:
            raise BadInput(
                f"sampling rates above 0 and up to {MAX_RATE_HZ:,.0f} Hz", f"{rate:g} Hz in {name!r}", COPY_AGAIN
            )
    return _whole_records(path, layout, size, notes)


def _whole_records(path: Path, layout: _Layout, size: int, notes: list[str]) -> _Layout:
    """``layout`` with the number of records that are there whole.

    A header that counts others, or says that the file was still being written (-1), is what a crash leaves. Zeros in
    the place of the last records were allotted and never written: no sensor gives nothing but zeros on every signal.
    """
    held, rest = divmod(max(size - layout.header_bytes, 0), layout.record_bytes)
    whole = held
    if (held, rest) != (layout.records, 0):
        with path.open("rb") as stream:
            while whole and not _holds_something(stream, layout, whole - 1):
                whole -= 1
        part = " and a part of one" if rest else ""
        unwritten = f", the last {held - whole} never written" if whole < held else ""
        if layout.records != -1:
            said = f"its header counts {layout.records} data records, the file holds {held}{part}{unwritten}"
            notes.append(f"{said}: {whole} were read")
        elif part or unwritten:
            notes.append(f"it was still being written: {whole} data records{part}{unwritten}")
    if whole < 1:
        raise BadInput("an EDF file with data records", f"none in {path.name!r}", "choose another file")
    return replace(layout, records=whole, mended=whole != layout.records)


def _holds_something(stream: BinaryIO, layout: _Layout, record: int) -> bool:
    stream.seek(layout.header_bytes + record * layout.record_bytes)
    return bool(stream.read(layout.record_bytes).strip(b"\0"))


def _record_onsets(path: Path, layout: _Layout) -> npt.NDArray[np.float64]:
    """Seconds from the file's start time to each data record [records].

    From the time-keeping annotations where there are some; a file without them, and a continuous one whose cannot
    be read, goes on record after record. Raises BadInput for a discontinuous file without them, and for one of another
    length than its header says where most records do not begin with one: then they lie elsewhere.
    """
    follow_on = np.arange(layout.records, dtype=np.float64) * layout.record_s
    onsets: npt.NDArray[np.float64] = np.full(layout.records, np.nan)
    if layout.annotations:
        first = layout.annotations[0]
        skipped = sum(layout.samples[:first]) * layout.width
        length = min(layout.samples[first] * layout.width, 64)
        with path.open("rb") as stream:
            for record in range(layout.records):
                stream.seek(layout.header_bytes + record * layout.record_bytes + skipped)
                match = _ONSET.match(stream.read(length))
                if match:
                    onsets[record] = float(match.group(1))
        if layout.mended and np.isnan(onsets).sum() > layout.records / 2:
            found = f"{layout.records} records of another form in {path.name!r}"
            raise BadInput(f"data records of {layout.record_bytes} bytes", found, COPY_AGAIN)
    usable = bool(np.all(np.abs(onsets) <= MAX_ONSET_S))  # NaN compares false
    if not usable and layout.discontinuous:
        raise BadInput("a start time for each record of a discontinuous file", f"none in {path.name!r}", COPY_AGAIN)
    return onsets if usable else follow_on
