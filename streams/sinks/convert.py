"""A recording as a file of another format: what goes into it, and the way to the writer by the file's name.

Signals keep their native rates and lie on one axis of time that begins with the recording's first whole second of
data; a sample that falls between two of them moves by less than half a sample. Missing samples are each format's mark
of an invalid one. Estimates (restored waves) are signals of their own, ``EST ABP``, and never mixed with a measured
one. Alarms, commands and whatever notes a recording has are annotations. Numerics are written where a format has a
place for them (.vital).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from math import ceil, floor, gcd, lcm
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.modalities import MODALITIES, Modality
from models.signals.recording import Recording, Track, TrackKind
from models.signals.times import SECOND_NS
from streams.records import PredictionRecord
from streams.restored import RestoredLine
from streams.sinks.writing import writing
from streams.sources.recorded import RecordedSession

READ_S = 60.0
LONGEST_S = 48 * 3600.0
"""A longer recording is not held in memory (some 600 MB of one bed): converted in pieces."""
LONGEST_FRAME_S = 60.0
NOBODY_KNOWS_UNIX_S = 946_684_800.0
"""2000-01-01: the day that a file is dated by where the recording does not tell when it was."""
ESTIMATE = "EST"


@dataclass(frozen=True, slots=True)
class Signal:
    """A wave to be written. values: float32 [n], NaN where missing; sample i at ``i / rate_hz`` from the start."""

    name: str
    unit: str
    rate_hz: float
    values: npt.NDArray[np.float32]
    modality: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A numeric to be written: times in s from the start, and values, all of them finite."""

    name: str
    unit: str
    times_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Material:
    """What a file is made of. start_unix_s: the wall clock at its start, None where nobody knows. notes: time in s from
    the start, and text; in order of time. numbers: for a format that has a place for them."""

    signals: list[Signal]
    notes: list[tuple[float, str]]
    start_unix_s: float | None
    seconds: float
    numbers: tuple[Numbers, ...] = ()


Writer = Callable[[Material, Path], list[Path]]
"""Writes the files of one recording, the last one named; into a folder of its own."""

_WRITERS = {
    ".hea": "streams.sinks.wfdb_files",
    ".edf": "streams.sinks.edf_file",
    ".vital": "streams.sinks.vital_file",
}
FORMATS = ".hea (WFDB), .edf (EDF+) or .vital"


def check_output(out: Path) -> None:
    """BadInput where ``out`` cannot be the output: an unknown format, no folder, or a file that is there."""
    if out.suffix.casefold() not in _WRITERS:
        raise BadInput(f"an output named {FORMATS}", repr(out.name), "choose one of these formats")
    if not out.resolve().parent.is_dir():
        raise BadInput("an existing folder for the output", f"none at {out.resolve().parent}", "make it first")
    if out.exists():
        raise BadInput("a new file for the output", f"{str(out)!r}, which is there", "choose another name")


def convert(recording: Recording, out: Path) -> list[Path]:
    """Writes ``recording`` as ``out``, its format by the suffix; the files written.

    Raises BadInput for what the format cannot hold, VigilError where it cannot be written. Files appear whole or not at
    all.
    """
    check_output(out)
    writer: Writer = import_module(_WRITERS[out.suffix.casefold()]).write  # each loads a library that takes a second
    material = gather(recording)
    with writing(out), tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=".vigil-") as folder:
        made = writer(material, Path(folder) / out.name)
        taken = [p.name for p in made if (out.parent / p.name).exists()]
        if taken:
            raise BadInput("new files for the output", f"{taken[0]!r}, which is there", "choose another name")
        for path in made:
            os.replace(path, out.parent / path.name)
    return [out.parent / path.name for path in made]


def gather(recording: Recording) -> Material:
    """All waves of a recording, with what else a recorded session has. BadInput where there are none, or too long."""
    waves = [t for t in recording.tracks if t.kind is TrackKind.WAVE and t.rate_hz and t.samples]
    if not waves:
        raise BadInput("a recording with waves", f"none in {recording.name!r}", "choose another")
    start_s = float(floor(min(_begin_s(track) for track in waves)))
    end_s = max(track.end_s for track in waves)
    if not end_s - start_s <= LONGEST_S:
        raise BadInput(
            f"a recording of at most {LONGEST_S / 3600:.0f} hours to convert",
            f"{(end_s - start_s) / 3600:,.0f} hours in {recording.name!r}",
            "convert its parts one by one",
        )
    names = _names(waves)
    signals = [
        Signal(name, track.unit, track.rate_hz or 0.0, _values(recording, track, start_s), track.declared)
        for name, track in zip(names, waves, strict=True)
    ]
    start_unix_s = None
    if isinstance(recording, RecordedSession):
        signals += _estimates(recording, start_s, end_s)
        zero_ns = recording.zero_unix_ns
        start_unix_s = None if zero_ns is None else zero_ns / SECOND_NS + start_s
    notes = [(time_s - start_s, text) for time_s, text in sorted(recording.events()) if time_s >= start_s]
    return Material(signals, notes, start_unix_s, end_s - start_s, _numbers(recording, start_s))


def _numbers(recording: Recording, start_s: float) -> tuple[Numbers, ...]:
    found = []
    for track in recording.tracks:
        if track.kind is TrackKind.NUMERIC:
            times_s, values = recording.numerics(track.name)
            kept = np.isfinite(values) & (times_s >= start_s)
            found.append(Numbers(track.name, track.unit, times_s[kept] - start_s, values[kept]))
    return tuple(numbers for numbers in found if len(numbers.values))


def frame(signals: Sequence[Signal]) -> Fraction:
    """The shortest time in s in which every signal has a whole number of samples; BadInput where that is too long.

    >>> frame([Signal("a", "", rate, np.zeros(0, np.float32)) for rate in (500.0, 62.5)])
    Fraction(2, 125)
    """
    rates = [_exact(s.rate_hz) for s in signals]
    below = lcm(*(r.denominator for r in rates))
    length = Fraction(below, gcd(*(r.numerator * (below // r.denominator) for r in rates)))
    if length > LONGEST_FRAME_S:
        raise no_frame(signals)
    return length


def no_frame(signals: Sequence[Signal]) -> BadInput:
    """That a format which asks for whole frames cannot hold these rates."""
    listed = ", ".join(f"{s.rate_hz:.7g}" for s in signals)
    wanted = f"rates that fit a common frame of at most {LONGEST_FRAME_S:.0f} s"
    return BadInput(wanted, f"{listed} Hz", "convert to .vital instead")


def _exact(rate_hz: float) -> Fraction:
    """The rate as a fraction: the simple one that it stands for, where there is one."""
    simple = Fraction(rate_hz).limit_denominator(10_000)
    return simple if abs(float(simple) - rate_hz) <= 1e-12 * rate_hz else Fraction(rate_hz)


def framed(signal: Signal, length_s: Fraction, frames: int) -> npt.NDArray[np.float32]:
    """The samples of so many whole frames, NaN behind the end."""
    count = round(length_s * _exact(signal.rate_hz)) * frames
    values = np.full(count, np.nan, np.float32)
    kept = signal.values[:count]
    values[: len(kept)] = kept
    return values


def limits(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Least and greatest value that is a number, apart by something; (0, 1) where there is none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _begin_s(track: Track) -> float:
    """Where a track has its first data."""
    first = track.gaps_s[0] if track.gaps_s else (0.0, 0.0)
    return first[1] if track.gaps_s and first[0] <= track.start_s else track.start_s


def _values(recording: Recording, track: Track, start_s: float) -> npt.NDArray[np.float32]:
    rate = track.rate_hz or 1.0
    shift = round((track.start_s - start_s) * rate)  # place of index 0 on the common axis
    values = np.full(max(track.samples + shift, 0), np.nan, np.float32)
    begin_s = max(start_s, track.start_s)
    for piece in range(ceil((track.end_s - begin_s) / READ_S)):
        read = recording.read(track.name, begin_s + piece * READ_S, begin_s + (piece + 1) * READ_S)
        at = read.first_index + shift
        kept = read.values[max(-at, 0) :]
        values[max(at, 0) : max(at, 0) + len(kept)] = kept
    values[np.isinf(values)] = np.nan
    return values


def _estimates(session: RecordedSession, start_s: float, end_s: float) -> list[Signal]:
    """Restored waves by modality, as they were shown."""
    lines: dict[tuple[str, int], RestoredLine] = {}
    for record in session.records():
        if not isinstance(record, PredictionRecord):
            continue
        for chunk in record.restored:
            lines.setdefault((chunk.modality, chunk.rate_hz), RestoredLine()).take(chunk)
    found: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    for (modality, rate), line in lines.items():
        whole = found[modality, rate] = np.full(ceil((end_s - start_s) * rate), np.nan, np.float32)
        for begin, values in line.pieces:
            first = begin - round(start_s * rate)
            lo, hi = max(first, 0), min(first + len(values), len(whole))
            if lo < hi:
                fresh = values[lo - first : hi - first]
                whole[lo:hi] = np.where(np.isfinite(fresh), fresh, whole[lo:hi])
    return [
        Signal(f"{ESTIMATE} {modality}", MODALITIES[Modality(modality)].unit, float(rate), values)
        for (modality, rate), values in sorted(found.items())
        if np.isfinite(values).any()
    ]


def _names(tracks: Sequence[Track]) -> list[str]:
    """The tracks' names without their device, where they differ then."""
    short = [t.name.rpartition("/")[2].strip(" ,") or t.name for t in tracks]
    return [s if short.count(s) == 1 else t.name for s, t in zip(short, tracks, strict=True)]
