"""Files a run leaves behind: vitals, predictions and alarms as CSV, restored channels as NPZ.

Each exporter is a callback for decoded records (called on the stream thread, so it only formats and appends) with a
``close``. A file is begun with its first record, so a run that never starts leaves what lies there alone. Column names
and their order are stable and documented in the README.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from models.signals.times import SECOND_NS
from streams.alarm_log import AlarmEvent, AlarmLog
from streams.preroll import PrerollFilter
from streams.records import NUMERICS, AnyRecord, PredictionRecord, StateRecord, VitalsRecord, WaveTick
from streams.restored import RestoredLine
from streams.sinks.writing import writing as writing

VITALS_COLUMNS = ("time_s", *NUMERICS)
HORIZONS_MIN = (5, 10, 15)
PREDICTION_COLUMNS = (
    "time_s",
    "window_end_s",
    *(f"risk_{h}{suffix}" for h in HORIZONS_MIN for suffix in ("", "_lo", "_hi")),
    "depth",
    "depth_lo",
    "depth_hi",
    "valid",
    "abstain",
    "presence",
    "missed",
    "reason",
)
ALARM_COLUMNS = ("time_s", "key", "priority", "kind", "text", "event", "reason")


class Exporter(Protocol):
    """Writes a file from the records of a session as they come; called in order."""

    def __call__(self, record: AnyRecord) -> None:
        """Takes a record; what it has no use for is left alone."""

    def close(self, *, failed: bool = False) -> None:
        """Finish the file. failed: the run did not go through, so without any record there is nothing to write."""


class PerBed:
    """A file for each bed, where there are several: its name ends in the bed's (``vitals-2.csv``).

    make: the exporter of one bed, given its path.
    """

    def __init__(self, path: Path, make: Callable[[Path], Exporter], beds: Sequence[str]) -> None:
        paths = {bed: path if len(beds) == 1 else path.with_name(f"{path.stem}-{bed}{path.suffix}") for bed in beds}
        self._exporters = {bed: make(of_bed) for bed, of_bed in paths.items()}
        self._preroll = PrerollFilter()

    def __call__(self, record: AnyRecord) -> None:
        """To the exporter of its bed; what was not played is not written."""
        exporter = self._exporters.get(record.bed)
        if exporter is not None and not self._preroll(record):
            exporter(record)

    def close(self, *, failed: bool = False) -> None:
        """Finishes every file; raises what went wrong with the first that could not be."""
        with ExitStack() as stack:
            for exporter in self._exporters.values():
                stack.callback(exporter.close, failed=failed)


class _Csv:
    """A CSV file that is begun with its first row."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path, self._columns = path, columns
        self._file: IO[str] | None = None

    def row(self, cells: Iterable[object]) -> None:
        with writing(self._path):
            csv.writer(self.begun()).writerow(cells)

    def close(self, *, failed: bool) -> None:
        if self._file is not None or not failed:
            with writing(self._path):
                self.begun().close()

    def begun(self) -> IO[str]:
        if self._file is None:
            with writing(self._path):
                self._file = self._path.open("w", newline="", encoding="utf-8")
                csv.writer(self._file).writerow(self._columns)
        return self._file


class VitalsCsv:
    """One row a second; empty where unknown."""

    def __init__(self, path: Path) -> None:
        self._csv = _Csv(path, VITALS_COLUMNS)

    def __call__(self, record: AnyRecord) -> None:
        """A row for a record of vitals."""
        if isinstance(record, VitalsRecord):
            values = [getattr(record, name) for name in VITALS_COLUMNS[1:]]
            self._csv.row([_text(record.time_ns / SECOND_NS), *(_text(v) for v in values)])

    def close(self, *, failed: bool = False) -> None:
        """Finishes the file."""
        self._csv.close(failed=failed)


class PredictionsCsv:
    """One row a prediction. ``time_s`` is the window's end plus, in a paced run, the seconds of latency until it was
    published; ``presence`` reads ``ECG=1111111111;ABP=0000000011;…``, a digit a frame, oldest first; ``missed`` is
    ``late`` or ``skipped`` where the model was behind; ``reason`` is why it is not valid, or abstains."""

    def __init__(self, path: Path) -> None:
        self._csv = _Csv(path, PREDICTION_COLUMNS)

    def __call__(self, record: AnyRecord) -> None:
        """A row for a prediction."""
        if not isinstance(record, PredictionRecord):
            return
        nothing = (None, None, None)
        risks = [v for h in HORIZONS_MIN for v in record.risk.get(str(h), nothing)]
        end_s = record.window_end_ns / SECOND_NS
        row = [end_s + latency_s(record), end_s, *risks, *(record.depth or nothing)]
        kind = [int(record.valid), int(record.abstain), presence_text(record), record.missed, record.reason]
        self._csv.row([*(_text(v) for v in row), *kind])

    def close(self, *, failed: bool = False) -> None:
        """Finishes the file."""
        self._csv.close(failed=failed)


class AlarmsCsv:
    """One row whenever an alarm begins, changes (another text, priority or reason) or ends, and one for each that still
    stands at the end; see :class:`streams.alarm_log.Event`. After a seek time runs on from the new place."""

    def __init__(self, path: Path) -> None:
        self._csv = _Csv(path, ALARM_COLUMNS)
        self._log = AlarmLog()

    def __call__(self, record: AnyRecord) -> None:
        """A row for each event that the record makes known."""
        if isinstance(record, WaveTick):
            self._csv.begun()  # a run without alarms says so with a file without rows
        for event in self._log.follow(record):
            self._row(event)

    def close(self, *, failed: bool = False) -> None:
        """Writes what still stands, and finishes the file."""
        for event in self._log.standing():
            self._row(event)
        self._csv.close(failed=failed)

    def _row(self, event: AlarmEvent) -> None:
        alarm = event.alarm
        row = (alarm.key, alarm.priority, alarm.kind, alarm.text, event.event.value, event.reason)
        self._csv.row([_text(event.time_ns / SECOND_NS), *row])


Pieces = list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]]
"""Times in seconds and values, as they came."""


class RestoredNpz:
    """Every channel as it would have been shown: measured samples, and estimates where cells were absent.

    Keys a modality ``M``: ``M_time_s`` float64, ``M_value`` float32 in physical units, ``M_estimated`` bool, and
    ``M_truth`` float32 where the channel was withheld (the withheld samples at those times, NaN elsewhere). Where
    windows were late or skipped, so that nothing was estimated for want of time: ``missed_window_end_s`` float64 and
    ``missed_reason``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._measured: dict[tuple[str, int], Pieces] = {}  # by modality and lead
        self._estimated: dict[str, tuple[int, RestoredLine]] = {}  # with the rate in Hz
        self._truth: dict[tuple[str, int], Pieces] = {}
        self._missed: list[tuple[float, str]] = []  # ends of windows, and why
        self._serving: dict[str, list[tuple[float, int]]] = {}  # from when on which lead, where there are several

    def __call__(self, record: AnyRecord) -> None:
        """Keeps waves, truth, presence and estimates for the file."""
        if isinstance(record, WaveTick):
            for chunk in record.chunks:
                values = np.frombuffer(chunk.data, "<f4")
                times = chunk.origin_ns / SECOND_NS + (chunk.first_index + np.arange(len(values))) / chunk.rate_hz
                side = self._truth if chunk.withheld else self._measured
                side.setdefault((chunk.modality, chunk.lead), []).append((times, values))
        elif isinstance(record, StateRecord):
            for modality, leads in record.leads.items():
                self._serving.setdefault(modality, []).append((record.time_ns / SECOND_NS, leads[0].lead))
        elif isinstance(record, PredictionRecord) and record.missed:
            self._missed.append((record.window_end_ns / SECOND_NS, record.reason))
        elif isinstance(record, PredictionRecord):
            for restored in record.restored:
                _, line = self._estimated.setdefault(restored.modality, (restored.rate_hz, RestoredLine()))
                line.take(restored)

    def close(self, *, failed: bool = False) -> None:
        """Writes the file; a run that failed before the first sample leaves none."""
        if failed and not (self._measured or self._estimated or self._truth):
            return
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        withheld = {modality for modality, _ in self._truth}
        for modality in sorted({modality for modality, _ in self._measured} | self._estimated.keys() | withheld):
            measured_t, measured = self._served(self._measured, modality)
            estimated_t, estimated = _joined(_timed(*self._estimated.get(modality, (1, RestoredLine()))))
            shown = np.isfinite(estimated)
            time_s = np.concatenate([measured_t, estimated_t[shown]])
            order = np.argsort(time_s, kind="stable")
            arrays[f"{modality}_time_s"] = time_s[order]
            arrays[f"{modality}_value"] = np.concatenate([measured, estimated[shown]])[order]
            arrays[f"{modality}_estimated"] = np.r_[np.zeros(len(measured), bool), np.ones(shown.sum(), bool)][order]
            if modality in withheld:
                arrays[f"{modality}_truth"] = _truth_at(time_s[order], *self._served(self._truth, modality))
        if self._missed:
            arrays["missed_window_end_s"] = np.array([end_s for end_s, _ in self._missed])
            arrays["missed_reason"] = np.array([reason for _, reason in self._missed])
        with writing(self._path), self._path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _served(
        self, side: dict[tuple[str, int], Pieces], modality: str
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Times and values of the lead that served at each time."""
        joined = {lead: _joined(pieces) for (m, lead), pieces in side.items() if m == modality}
        changes = sorted(self._serving.get(modality, []))
        if not changes:
            return joined.get(0, _joined([]))
        since_s = np.array([time_s for time_s, _ in changes])
        serving = np.array([changes[0][1], *(lead for _, lead in changes)])
        parts = []
        for lead, (times, values) in joined.items():
            mine = serving[np.searchsorted(since_s, times, side="right")] == lead
            parts.append((times[mine], values[mine]))
        return _joined(parts)


def latency_s(record: PredictionRecord) -> float:
    """Seconds from the window's end becoming due to the prediction being published; 0 at speed max."""
    due, published = record.stamps_ns.get("due", 0), record.stamps_ns.get("published", 0)
    return (published - due) / SECOND_NS if due and published else 0.0


def presence_text(record: PredictionRecord) -> str:
    """``ECG=1111111111;ABP=0000000011;…``, a digit a frame, oldest first."""
    rows = zip(record.modalities, record.presence, strict=True)
    return ";".join(f"{name}={''.join('1' if p else '0' for p in row)}" for name, row in rows)


def _truth_at(
    time_s: npt.NDArray[np.float64], truth_t: npt.NDArray[np.float64], truth: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The withheld samples at ``time_s``, linear between neighbouring samples, NaN elsewhere (gaps included)."""
    if len(truth_t) < 2:
        return np.full(len(time_s), np.nan, np.float32)
    values = np.interp(time_s, truth_t, truth, left=np.nan, right=np.nan)
    spacing = np.diff(truth_t)
    after = np.clip(np.searchsorted(truth_t, time_s), 1, len(truth_t) - 1)
    values[spacing[after - 1] > 1.5 * np.median(spacing)] = np.nan
    return values.astype(np.float32)


def _timed(rate_hz: int, line: RestoredLine) -> Pieces:
    return [((first + np.arange(len(values))) / rate_hz, values) for first, values in line.pieces]


def _joined(
    parts: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    if not parts:
        return np.empty(0), np.empty(0, np.float32)
    return np.concatenate([t for t, _ in parts]), np.concatenate([v for _, v in parts])


def _text(value: float | str | None) -> str:
    """A CSV cell: empty where unknown, at most four decimals."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else f"{value:.4f}".rstrip("0").rstrip(".")
