"""Vital Recorder's ``.vital`` files (VitalDB, Lee & Jung, Sci Rep 2018, 8:1527).

The packets are decoded in :mod:`.vital_packets`, once; here their tracks become waves on an index grid, numerics and
events. A file that ends early is read as far as it is whole, and a note says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.plain_text import plain
from models.signals.readers.grid import BlockGrid, clip_range, place_blocks
from models.signals.readers.vital_packets import NUMERIC, TEXT, WAVE, StoredTrack, read_packets
from models.signals.readers.wfdb_records import unique_names
from models.signals.recording import OTHER_SIGNAL, Segment, Track, TrackKind

MAX_WAVE_RATE_HZ = 1e6
LISTED_GAP_S = 0.04
"""Stretches of NaN from this length on are listed as gaps (packed files fill gaps with NaN)."""

MONTYPES: dict[int, str] = {
    1: Modality.ECG, 4: Modality.ABP, 70: Modality.ABP, 8: Modality.PPG, 11: Modality.RESP, 13: Modality.CO2,
    20: Modality.CVP, 29: Modality.AWP, 66: Modality.PAP, 74: Modality.ICP,
    28: Modality.EEG, 61: Modality.EEG, 62: Modality.EEG,
} | dict.fromkeys((80, 81, 91, 92, 93), OTHER_SIGNAL)  # fmt: skip
"""The waves among the format's signal kinds (``montype``): ECG 1, IABP 4, PLETH 8, RESP 11, CO2 13, CVP 20, EEG 28, 61
(left) and 62 (right), AWP 29, PAP 66, FEM 70, ICP 74; of others SKNA 80 and 81, RRA 91, FLOW 92, VOLUME 93."""

_FLOAT_FORMATS = (1, 2)
_NO_VALUE = {3: -128, 4: 255, 5: -32768, 6: 65535, 7: -(2**31), 8: 2**32 - 1}  # packed files, by sample format


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

    Raises BadInput for a file that is not one or is damaged. ``notes`` are sentences about what was found odd (a file
    that ends early, overlapping records, a track without calibration). Of two tracks of one name the second is
    ``NAME #2``.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = plain(name or path.name)
        contents = read_packets(path)
        self.notes: list[str] = []
        self._waves: dict[str, _Wave] = {}
        self._numerics: dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = {}
        self._events: list[tuple[float, str]] = []
        if contents.cut:
            self.notes.append("the file ends in the middle of its data: what is whole before that was read")
        start = min((time for track in contents.tracks for time in track.times), default=0.0)
        names = unique_names([track.full_name for track in contents.tracks])
        self._tracks = tuple(
            track
            for name, stored in zip(names, contents.tracks, strict=True)
            if (track := self._take(name, stored, start, contents.packed))
        )
        self._events.sort()
        ends = [t.end_s for t in self._tracks if t.kind is TrackKind.WAVE and math.isfinite(t.end_s)]
        ends += [float(times[-1]) for times, _ in self._numerics.values() if len(times)]
        ends += [time for time, _ in self._events[-1:]]
        self._duration_s = max(ends, default=0.0)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def duration_s(self) -> float:
        """To the last sample, in s."""
        return self._duration_s

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks as device/name."""
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
        """Times in s and values; KeyError for an unknown track."""
        times, values = self._numerics[track]
        return times.copy(), values.copy()

    def events(self) -> list[tuple[float, str]]:
        """Time in s and text of each event."""
        return list(self._events)

    def close(self) -> None:
        """Forgets what was decoded."""
        self._waves.clear()

    def _take(self, name: str, stored: StoredTrack, start: float, packed: bool) -> Track | None:
        if stored.kind == WAVE:
            return self._take_wave(name, stored, start, packed)
        times = np.array(stored.times, dtype=np.float64) - start
        if stored.kind == NUMERIC:
            values = np.array(stored.numbers, dtype=np.float64)
            order = np.argsort(times, kind="stable")
            order = order[np.isfinite(values[order])]
            self._numerics[name] = times[order], values[order]
            first = float(times[order[0]]) if len(order) else 0.0
            return Track(name, TrackKind.NUMERIC, stored.unit, None, first, len(order))
        if stored.kind == TEXT:
            prefix = "" if stored.full_name == "EVENT" else f"{name}: "
            texts = [(time, prefix + text) for time, text in zip(times.tolist(), stored.texts, strict=True)]
            self._events += texts
            return Track(name, TrackKind.EVENT, "", None, min(texts)[0] if texts else 0.0, len(texts))
        return None

    def _take_wave(self, name: str, stored: StoredTrack, start: float, packed: bool) -> Track:
        unit, declared = stored.unit, MONTYPES.get(stored.montype, "")
        rate = stored.rate_hz if math.isfinite(stored.rate_hz) and 0 < stored.rate_hz <= MAX_WAVE_RATE_HZ else 0.0
        times = np.array(stored.times, dtype=np.float64)
        lengths = np.array([len(wave) for wave in stored.waves], dtype=np.int64)
        samples = np.concatenate(stored.waves) if stored.waves else np.zeros(0, dtype=np.float32)
        stored.waves = []  # the packets are no longer needed: do not hold the samples twice
        first = float(times.min() - start) if len(times) else 0.0
        if not rate or not len(times):
            nothing = np.zeros(0, dtype=np.int64)
            self._waves[name] = _Wave(BlockGrid(nothing, nothing, nothing), samples, 1.0, 0.0, None)
            return Track(name, TrackKind.WAVE, unit, rate, first, 0, declared=declared)
        rate, grid = place_blocks(times, lengths, rate)
        if grid.dropped:
            self.notes.append(
                f"{name}: {grid.dropped} of {int(lengths.sum())} samples lie in records that overlap earlier ones "
                "and were left out"
            )
        gain, offset, sample_format = stored.gain, stored.offset, stored.sample_format
        if sample_format not in _FLOAT_FORMATS and not (gain and math.isfinite(gain) and math.isfinite(offset)):
            self.notes.append(f"{name}: its gain is {gain:g} and its offset {offset:g}, so its values are unknown")
            gain = offset = math.nan
        wave = _Wave(grid, samples, gain, offset, _NO_VALUE.get(sample_format) if packed else None)
        self._waves[name] = wave
        gaps = grid.gaps()
        if packed:
            gaps = sorted(gaps + _nan_runs(wave, max(2, round(LISTED_GAP_S * rate))))
        seconds = tuple((first + a / rate, first + b / rate) for a, b in gaps)
        return Track(name, TrackKind.WAVE, unit, rate, first, grid.samples, seconds, declared)


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
