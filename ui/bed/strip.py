"""A stretch of what is shown, taken out of the state at one go: for a strip on paper and for a table. Pure.

Measured samples are those of the screen (by its display filter), estimates as they were drawn and no further than they
were, cells where they were known. What is missing is NaN here, blank in the table, and never a zero.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.modalities import Modality
from ui.bed.buffers import SampleRing
from ui.bed.calipers import unit_of
from ui.bed.flags import Flag
from ui.bed.lanes import LEAD_TITLE, Lane
from ui.style.language import retold, tr

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_TICKS_A_SECOND = 10**7
"""Times of the table are told to 0.1 µs: a sample of 128 Hz lies at a multiple of 7.8125 ms."""
PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Line:
    """Samples one behind the other. times [n] in s, values [n], NaN where missing."""

    times: Float64
    values: Float32


@dataclass(frozen=True, slots=True)
class StripLane:
    """A lane of the stretch. estimated, low, high: on one line of time. cells: by second, "" where measured."""

    modality: Modality
    title: str
    label: str
    unit: str
    filter_hz: tuple[float, ...]
    measured: Line
    estimated: Line
    low: Float32
    high: Float32
    cells: dict[int, str]
    badges: dict[int, str]

    @property
    def name(self) -> str:
        """Modality and label, in English as tables have it."""
        return f"{self.title} {self.label}" if self.label and self.label != self.title else self.title

    @property
    def said(self) -> str:
        """:attr:`name` in the language that is spoken, for paper."""
        return retold(tr(self.title), (LEAD_TITLE,)) + self.name[len(self.title) :]


@dataclass(frozen=True, slots=True)
class Strip:
    """[begin_s, end_s) of event time. when: that in words. title: of the recording or device."""

    bed: str
    title: str
    when: str
    begin_s: float
    end_s: float
    lanes: tuple[StripLane, ...]
    marks: tuple[Flag, ...]


def strip_of(
    lanes: Iterable[Lane],
    begin_s: float,
    head_s: float,
    *,
    bed: str,
    title: str,
    when: str,
    marks: Iterable[Flag] = (),
) -> Strip:
    """What ``lanes`` have from ``begin_s`` to a beam at ``head_s``, as far as that has drawn it."""
    taken = tuple(_lane(lane, begin_s, head_s) for lane in lanes)
    return Strip(bed, title, when, begin_s, head_s, taken, tuple(marks))


def _lane(lane: Lane, begin_s: float, head_s: float) -> StripLane:
    seconds = range(math.floor(begin_s), math.ceil(head_s))
    cells = {second: cell.absence for second in seconds if (cell := lane.cells.get(second)) and second + 1 <= head_s}
    empty = Line(np.empty(0), np.empty(0, np.float32))
    measured = _read(lane.trace.shown, begin_s, head_s) if lane.trace is not None else empty
    estimated, low, high = empty, empty.values, empty.values
    if lane.estimate is not None:
        drawn_s = head_s - lane.estimate.lag_s
        estimated = _read(lane.estimate.line, begin_s, drawn_s)
        low, high = (_read(ring, begin_s, drawn_s).values for ring in (lane.estimate.lo, lane.estimate.hi))
    badges = {second: badge.words for second in seconds if (badge := lane.badges.get(second)) is not None}
    label = lane.label if lane.first else ""
    return StripLane(
        lane.modality, lane.plain_title, label, unit_of(lane), tuple(lane.style.filter), measured, estimated, low, high,
        cells, badges,
    )  # fmt: skip


def _read(line: SampleRing, begin_s: float, end_s: float) -> Line:
    first, last = line.index_at(begin_s), line.index_at(end_s)
    return Line(line.times(first, max(first, last)), line.ring.read(first, last))


# The table ------------------------------------------------------------------------------------------------------


def table(strip: Strip) -> str:
    """CSV: a row for each moment at which any lane has a sample, event time in s first. Of a lane: measured, estimated,
    its limits (80 %), and whether its second was present or why not. Blank: no sample then, or a missing one."""
    ticks = [_ticks(line.times) for lane in strip.lanes for line in (lane.measured, lane.estimated)]
    rows = np.unique(np.concatenate(ticks)) if ticks else np.empty(0, np.int64)
    head, columns = ["time_s"], [[_time(tick) for tick in rows.tolist()]]
    seconds = rows // _TICKS_A_SECOND
    for lane in strip.lanes:
        name = "_".join(lane.name.split())
        measured = [_column(rows, lane.measured.times, lane.measured.values)]
        estimates = (lane.estimated.values, lane.low, lane.high)
        measured += [_column(rows, lane.estimated.times, values) for values in estimates]
        unit = lane.unit.replace("µ", "u")
        head += [f"{name}_{unit}", *(f"{name}_{what}_{unit}" for what in ("estimated", "low", "high"))]
        head.append(f"{name}_presence")
        said = {second: absence or PRESENT for second, absence in lane.cells.items()}
        columns += [*measured, [said.get(second, "") for second in seconds.tolist()]]
    marked = {int(tick): mark.word or "mark" for mark in strip.marks for tick in _row_of(rows, mark.time_s)}
    head.append("mark")
    columns.append([marked.get(tick, "") for tick in rows.tolist()])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def _ticks(times: Float64) -> npt.NDArray[np.int64]:
    return np.rint(times * _TICKS_A_SECOND).astype(np.int64)


def _time(tick: int) -> str:
    sign, whole = "-" if tick < 0 else "", abs(tick)
    return f"{sign}{whole // _TICKS_A_SECOND}.{whole % _TICKS_A_SECOND:07d}"


def _column(rows: npt.NDArray[np.int64], times: Float64, values: Float32) -> list[str]:
    out = [""] * len(rows)
    for at, value in zip(np.searchsorted(rows, _ticks(times)).tolist(), values, strict=True):
        if np.isfinite(value):
            out[at] = str(value)  # the shortest digits that are this float32 again
    return out


def _row_of(rows: npt.NDArray[np.int64], time_s: float) -> list[int]:
    """The first row at or after a moment."""
    at = int(np.searchsorted(rows, round(time_s * _TICKS_A_SECOND)))
    return [int(row) for row in rows[at : at + 1]]
