"""What a recorded session holds, bed by bed: its epochs, where their samples lie, and which of them can be played.

Event time is one axis for all epochs of a session, so a recording that was sought in, or whose empty stretches were
jumped over, is whole again in it. A live device whose clock ran back has two pasts at one time, which cannot be glued.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.plain_text import plain
from models.signals.times import SECOND_NS
from streams.records import BedRecord, WaveTick

Lead = tuple[str, int]
"""Modality and number of a channel."""
IntArray = npt.NDArray[np.int64]


@dataclass(slots=True)
class Grid:
    """Where the samples of one channel on one line of time lie: runs [first, end) of its index, and their chunk."""

    label: str
    rate_hz: float
    origin_ns: int
    first: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    samples: int = 0

    def add(self, first: int, count: int, place: int) -> None:
        """So many samples, which lie in that chunk."""
        self.samples += count
        if self.place and self.place[-1] == place and self.end[-1] == first:
            self.end[-1] = first + count
        else:
            self.first.append(first)
            self.end.append(first + count)
            self.place.append(place)


@dataclass(slots=True)
class Stretch:
    """One epoch of one session: event time that its ticks cover and in which chunk, its channels by their lines, and
    what was withheld when."""

    session: str
    epoch: int
    start_ns: int
    end_ns: int
    grids: dict[Lead, dict[tuple[float, int], Grid]] = field(default_factory=dict)
    withheld: dict[str, list[list[int]]] = field(default_factory=dict)
    places: dict[int, list[int]] = field(default_factory=dict)
    samples: int = 0

    def add(self, tick: WaveTick, place: int) -> None:
        """A tick, which lies in that chunk."""
        self.start_ns, self.end_ns = min(self.start_ns, tick.start_ns), max(self.end_ns, tick.end_ns)
        span = self.places.setdefault(place, [tick.start_ns, tick.end_ns])
        span[:] = min(span[0], tick.start_ns), max(span[1], tick.end_ns)
        for chunk in tick.chunks:
            lines = self.grids.setdefault((chunk.modality, chunk.lead), {})
            line = chunk.rate_hz, chunk.origin_ns
            grid = lines.get(line)
            if grid is None:
                grid = lines[line] = Grid(chunk.label, *line)
            count = len(chunk.data) // 4
            self.samples += count
            if count:
                grid.add(chunk.first_index, count, place)
            if chunk.withheld and tick.end_ns > tick.start_ns:
                spans = self.withheld.setdefault(chunk.modality, [])
                if spans and spans[-1][0] <= tick.start_ns <= spans[-1][1]:
                    spans[-1][1] = max(spans[-1][1], tick.end_ns)
                else:
                    spans.append([tick.start_ns, tick.end_ns])


def index_on(grid: Grid, index: int, rate_hz: float, origin_ns: int) -> int:
    """The index on ``grid`` that lies nearest to the time of a sample of another line."""
    if (rate_hz, origin_ns) == (grid.rate_hz, grid.origin_ns):
        return index
    time_ns = (origin_ns - grid.origin_ns) + index * 1e9 / rate_hz
    return round(time_ns * grid.rate_hz / 1e9)


def chosen_bed(name: str, beds: list[str], wanted: str | None) -> str:
    """The bed that is played of the file ``name``; BadInput where that is not clear."""
    if not beds:
        raise BadInput("a recording with waves", f"none in {name!r}", "choose another file")
    known = ", ".join(repr(plain(bed, 40)) for bed in beds[:8]) + (f" and {len(beds) - 8} more" if beds[8:] else "")
    if wanted is None and len(beds) > 1:
        raise BadInput("one bed", f"{known} in {name!r}", f"name one: {name}#BED")
    if wanted is not None and wanted not in beds:
        raise BadInput(f"one of the beds {known}", repr(plain(wanted, 40)), "name one of these")
    return beds[0] if wanted is None else wanted


def chosen(
    name: str, stretches: list[Stretch], described: BedRecord | None, epoch: int | None
) -> tuple[list[Stretch], list[str]]:
    """The stretches that are played, see the module, and sentences on what is left out."""
    sessions: dict[str, int] = {}
    for stretch in stretches:
        sessions[stretch.session] = sessions.get(stretch.session, 0) + stretch.samples
    session = max(sessions, key=lambda s: sessions[s])
    notes = [f"{len(sessions) - 1} other sessions in the file are left out"] if len(sessions) > 1 else []
    of_it = sorted((s for s in stretches if s.session == session), key=lambda s: s.epoch)
    if epoch is not None:
        one = [s for s in of_it if s.epoch == epoch]
        if not one:
            known = ", ".join(str(s.epoch) for s in of_it[:20])
            raise BadInput(f"one of the epochs {known} of {name!r}", str(epoch), "name one of these")
        return one, notes
    seekable = described is not None and described.seekable and described.session == session
    with_data = [s for s in of_it if s.samples] or of_it[:1]
    if seekable or not _overlap(with_data):
        return with_data, notes
    longest = max(with_data, key=lambda s: s.samples)
    others = ", ".join(str(s.epoch) for s in with_data if s is not longest)
    notes.append(
        f"its clock ran back while it was recorded: epoch {longest.epoch} is played, {others} can be named as "
        "FILE#BED@EPOCH"
    )
    return [longest], notes


def _overlap(stretches: list[Stretch]) -> bool:
    spans = sorted((s.start_ns, s.end_ns) for s in stretches)
    return any(after[0] < before[1] for before, after in pairwise(spans))


def gaps_s(first: IntArray, end: IntArray, grid: Grid, least: int = 1) -> tuple[tuple[float, float], ...]:
    """Stretches before, between and within the runs that no sample covers, seconds of event time; shorter
    ones than ``least`` samples are left out."""
    if not len(first):
        return ()
    order = np.argsort(first, kind="stable")
    reached = np.maximum.accumulate(end[order])
    begins, ends = np.concatenate([[0], reached[:-1]]), first[order]
    return tuple(
        (grid.origin_ns / SECOND_NS + begin / grid.rate_hz, grid.origin_ns / SECOND_NS + stop / grid.rate_hz)
        for begin, stop in zip(begins.tolist(), ends.tolist(), strict=True)
        if stop - begin >= least
    )
