"""What a stage writes while it trains: CSV files to read anywhere, and a TensorBoard file.

A resumed stage forgets what was written after its checkpoint, so each step stands in the files once.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


class CsvLog:
    """Rows of numbers by step; the header grows when a row brings a new column."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self._columns: list[str] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as handle:
                rows = list(csv.DictReader(handle))
            self._columns = list(rows[0]) if rows else []
            self._rewrite([row for row in rows if int(row["step"]) <= start])

    def row(self, values: Mapping[str, float | int | str]) -> None:
        """Appends one row; must hold ``step``."""
        cells = {name: f"{v:.6g}" if isinstance(v, float) else str(v) for name, v in values.items()}
        if not set(cells) <= set(self._columns):
            rows: list[dict[str, str]] = []
            if self._columns:
                with self.path.open(newline="", encoding="utf-8") as handle:
                    rows = list(csv.DictReader(handle))
            self._columns += [name for name in cells if name not in self._columns]
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            csv.DictWriter(handle, self._columns, restval="").writerow(cells)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".csv.part")
        with scratch.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, self._columns, restval="")
            if self._columns:
                writer.writeheader()
            writer.writerows(rows)
        scratch.replace(self.path)


class TensorBoardLog:
    """Scalars for TensorBoard, written at once and without the host name that SummaryWriter puts into file names."""

    def __init__(self, folder: Path, start: int = 0) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"events.out.tfevents.{start:09d}"
        self._path.unlink(missing_ok=True)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if start:  # TensorBoard drops what other files of this folder say from here on
            self._write(Event(wall_time=time.time(), step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Appends figures by tag."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._path.open("ab") as handle:
            RecordWriter(handle).write(event.SerializeToString())


class Logbook:
    """Both kinds of file of one stage in ``folder``; ``start``: the step it goes on from."""

    def __init__(self, folder: Path, name: str, start: int) -> None:
        self._began = time.monotonic()
        self._training = CsvLog(folder / f"{name}.csv", start)
        self._stopping = CsvLog(folder / f"{name}_stop.csv", start)
        self._board = TensorBoardLog(folder / "tensorboard" / name, start)

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Appends losses of a training step."""
        self._training.row({"step": step, "elapsed_s": round(time.monotonic() - self._began, 1)} | dict(values))
        self._board.scalars(step, {f"train/{name}": value for name, value in values.items()})

    def stopping(self, step: int, values: Mapping[str, float]) -> None:
        """Appends scores on the early-stopping patients."""
        self._stopping.row({"step": step, "elapsed_s": round(time.monotonic() - self._began, 1)} | dict(values))
        self._board.scalars(step, {f"stop/{name}": value for name, value in values.items()})
