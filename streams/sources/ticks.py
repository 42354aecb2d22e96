"""The ticks of one live bed: samples of several channels in, each when it comes; ticks on the absolute grid out.

Pure: told ``now`` by its caller, in nanoseconds of the receiver's monotonic clock. Event time is that clock, counted
from ``zero_ns``.

A tick ``[k · tick, (k + 1) · tick)`` goes out once it is over and every channel that is heard has passed its end, and
otherwise when it is ``hold_ns`` old. That is ``LEAST_HOLD_NS``, and longer, up to ``MOST_HOLD_NS``, where a device
sends longer blocks. For a channel that has been silent for a while (``SILENT_NS``) a tick waits only as long as that
one's samples usually take, so that none is lost when it speaks again; for one never heard it waits in the beginning
only. Samples that come after their tick are counted (``late_samples``) and left out. Where nothing comes the tick is
empty. What is held is bounded: ``MEMORY_S`` of each channel.

An epoch begins at a tick: where a device's clock has jumped, and where this machine stood still for so long that
nobody would want to see the ticks in between, or where the device has another patient, which begins a session too. A
channel whose clock jumped has two *segments* until then: the old samples in the ticks before, the new ones from that
tick on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.signals.live_grid import Line, LiveGrid, Placed
from models.signals.modalities import Modality
from models.signals.ring import Ring
from models.signals.times import SECOND_NS
from streams.codec import samples_to_bytes
from streams.records import WaveChunk, WaveTick

LEAST_HOLD_NS, MOST_HOLD_NS = SECOND_NS // 2, 2 * SECOND_NS  # the pipeline takes samples up to 2 s late
HOLD_SLACK_NS, SILENT_SLACK_NS = SECOND_NS // 20, SECOND_NS // 50
FORGET_LAG_NS = 60 * SECOND_NS  # the longest lag counts for so long
SILENT_NS = 3 * SECOND_NS // 4  # beyond the hold: nobody waits for a channel that is silent
AT_FIRST_NS = 2 * SECOND_NS  # so long channels are waited for that have not been heard yet
STOOD_STILL_NS = 60 * SECOND_NS
MEMORY_S = 64

Key = tuple[Modality, int]
"""A channel of the bed: modality, and number among its leads."""
FloatArray = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Segment:
    """Samples on one count of indices. ``next_index``: the first that no tick has had; None before the first tick."""

    grid: LiveGrid
    ring: Ring
    next_index: int | None = None
    frozen: bool = False  # its grid has gone on to another segment

    line: Line = field(init=False)

    def __post_init__(self) -> None:
        self.line = self.grid.line(0)

    def renew_line(self, index: int) -> None:
        """Let a new line begin at ``index``, where one is wanted."""
        if not self.frozen:
            self.line = self.grid.line(index)


@dataclass(slots=True)
class _Lane:
    """A channel of the bed, and what is held of it."""

    modality: Modality
    lead: int
    label: str
    grid: LiveGrid
    now: _Segment | None = None
    then: _Segment | None = None  # from the coming epoch on
    heard_ns: int | None = None
    lag_ns: int = 0  # the longest from a sample's time to its arrival, lately
    lag_seen_ns: int = 0

    @property
    def newest(self) -> _Segment | None:
        return self.then or self.now

    def see_lag(self, lag_ns: int, now_ns: int) -> None:
        if lag_ns >= self.lag_ns or now_ns - self.lag_seen_ns > FORGET_LAG_NS:
            self.lag_ns, self.lag_seen_ns = lag_ns, now_ns


@dataclass(slots=True)
class Counts:
    """What became of samples that are in no tick, and how often time broke."""

    late_samples: int = 0
    early_samples: int = 0
    duplicate_samples: int = 0
    epochs: int = 0
    emitted: dict[Key, int] = field(default_factory=dict)


class Ticks:
    """Cuts the ticks of one bed. ``start_ns``: monotonic time of the start; ticks begin on the grid at or before it."""

    def __init__(self, bed: str, session: str, tick_ns: int, *, zero_ns: int, start_ns: int | None = None) -> None:
        self.bed, self.session, self.tick_ns, self.zero_ns = bed, session, tick_ns, zero_ns
        begin_ns = 0 if start_ns is None else start_ns - zero_ns
        self._at_ns = self._begun_ns = begin_ns // tick_ns * tick_ns
        self._epoch = self._sequence = 0
        self._coming_ns: int | None = None
        self._coming_session = session
        self._lanes: dict[Key, _Lane] = {}
        self.withheld: frozenset[Modality] = frozenset()
        self.counts = Counts()

    def connect(self, key: Key, label: str, grid: LiveGrid) -> None:
        """A channel of the bed; every tick names it from now on, also while it says nothing."""
        self._lanes[key] = _Lane(key[0], key[1], label, grid)
        self.counts.emitted.setdefault(key, 0)

    @property
    def reached_ns(self) -> int:
        """Event time up to which ticks have been cut."""
        return self._at_ns

    @property
    def epoch(self) -> int:
        """Counts the jumps."""
        return self._epoch

    @property
    def hold_ns(self) -> int:
        """How old a tick gets at most before it is sent."""
        longest_ns = max((lane.lag_ns for lane in self._lanes.values()), default=0)
        return min(max(LEAST_HOLD_NS, longest_ns + HOLD_SLACK_NS), MOST_HOLD_NS)

    def next_ns(self) -> int:
        """Monotonic time at which the next tick is over."""
        return self.zero_ns + self._at_ns + self.tick_ns

    def begin_epoch(self, key: Key) -> int:
        """The clock of a channel has jumped: event time at which a new epoch, and its new segment, begin. What is held
        comes before that."""
        if self._coming_ns is None:
            ends = [lane.now.line.time_ns(lane.now.ring.end) for lane in self._lanes.values() if lane.now is not None]
            last_ns = max([self._at_ns, *(end for end in ends if end < self._at_ns + MEMORY_S * SECOND_NS)])
            self._coming_ns = -(-last_ns // self.tick_ns) * self.tick_ns
        self._freeze(self._lanes[key])
        return self._coming_ns

    def begin_session(self, session: str) -> int:
        """What comes from now on is another patient's: event time at which ``session``, a new epoch and the new
        segments of all channels begin. What is held comes before that."""
        self._coming_session = session
        coming_ns = self._at_ns
        for key in self._lanes:
            coming_ns = self.begin_epoch(key)
        return coming_ns

    def add(self, key: Key, placed: Placed, values: FloatArray, now_ns: int) -> None:
        """Take in samples of a channel, as its grid has placed them. values: float32 [n], canonical unit."""
        lane = self._lanes[key]
        if placed.again:
            self.counts.duplicate_samples += placed.count
            return
        segment = lane.newest
        if segment is None or segment.frozen:
            segment = _Segment(lane.grid, Ring(max(1, round(MEMORY_S * lane.grid.rate_hz))))
            if self._coming_ns is None:
                lane.now = segment
            else:
                lane.then = segment
        if segment is lane.now and segment.next_index is None:
            segment.next_index = max(segment.line.index_at(self._at_ns), 0)
        first, oldest = placed.first_index, segment.next_index or 0
        if placed.in_order:
            lane.heard_ns = now_ns
            lane.see_lag(now_ns - self.zero_ns - segment.line.time_ns(first), now_ns)
        late = min(max(oldest - first, 0), placed.count)
        self.counts.late_samples += late
        if late == placed.count:
            return
        if first + placed.count > oldest + segment.ring.capacity:
            self.counts.early_samples += placed.count - late
            return
        before = segment.ring.duplicates
        segment.ring.merge(first + late, values[late:])
        self.counts.duplicate_samples += segment.ring.duplicates - before

    def cut(self, now_ns: int) -> list[WaveTick]:
        """The ticks that can go out now, in order."""
        if now_ns - self.zero_ns - self._at_ns > STOOD_STILL_NS:
            self._skip_to(now_ns)
        ticks = []
        while self._ready(now_ns):
            if self._coming_ns is not None and self._at_ns >= self._coming_ns:
                self._enter_epoch()
            ticks.append(self._tick())
        return ticks

    # -- inside ---------------------------------------------------------------------------------------------------

    def _freeze(self, lane: _Lane) -> None:
        if lane.then is not None:  # it jumps once more, before the epoch has begun
            self.counts.late_samples += _held(lane.then)
            lane.then = None
        if lane.now is not None:
            lane.now.frozen = True

    def _ready(self, now_ns: int) -> bool:
        end_ns = self._at_ns + self.tick_ns
        age_ns = now_ns - self.zero_ns - end_ns
        if age_ns < 0:
            return False
        return age_ns >= self.hold_ns or all(self._passed(lane, end_ns, now_ns) for lane in self._lanes.values())

    def _passed(self, lane: _Lane, end_ns: int, now_ns: int) -> bool:
        """Whether a channel has nothing more to say about times before ``end_ns``, or is not waited for."""
        age_ns = now_ns - self.zero_ns - end_ns
        if lane.heard_ns is None:
            return age_ns >= LEAST_HOLD_NS or end_ns > self._begun_ns + AT_FIRST_NS
        segment = lane.now
        if lane.then is not None:
            if self._coming_ns is None or end_ns <= self._coming_ns:
                return True  # samples of the old segment do not come any more
            segment = lane.then
        if segment is None or now_ns - lane.heard_ns > self.hold_ns + SILENT_NS:
            return age_ns >= min(lane.lag_ns + SILENT_SLACK_NS, self.hold_ns)
        return segment.line.time_ns(segment.ring.end) >= end_ns

    def _enter_epoch(self) -> None:
        self._epoch, self._sequence, self._coming_ns = self._epoch + 1, 0, None
        self.session = self._coming_session
        self.counts.epochs += 1
        for lane in self._lanes.values():
            if lane.then is not None or (lane.now is not None and lane.now.frozen):
                if lane.now is not None:  # what went beyond the epoch before another patient came
                    self.counts.late_samples += _held(lane.now)
                lane.now, lane.then = lane.then, None

    def _skip_to(self, now_ns: int) -> None:
        """This machine stood still: a new epoch about now."""
        for lane in self._lanes.values():
            for segment in (lane.now, lane.then):
                if segment is not None:
                    self.counts.late_samples += _held(segment)
        self._at_ns = (now_ns - self.zero_ns - self.hold_ns) // self.tick_ns * self.tick_ns
        self._enter_epoch()
        for lane in self._lanes.values():
            if lane.now is not None and lane.now.next_index is not None:
                lane.now.next_index = max(lane.now.line.index_at(self._at_ns), lane.now.next_index)

    def _tick(self) -> WaveTick:
        start_ns, end_ns = self._at_ns, self._at_ns + self.tick_ns
        chunks, newest_ns = [], None
        for key, lane in self._lanes.items():
            chunk, last_ns = self._chunk(lane, start_ns, end_ns)
            chunks.append(chunk)
            self.counts.emitted[key] += len(chunk.data) // 4
            if last_ns is not None:
                newest_ns = last_ns if newest_ns is None else max(newest_ns, last_ns)
        tick = WaveTick(
            bed=self.bed,
            session=self.session,
            epoch=self._epoch,
            tick_seq=self._sequence,
            start_ns=start_ns,
            end_ns=end_ns,
            due_ns=self.zero_ns + (end_ns if newest_ns is None else newest_ns),
            chunks=chunks,
        )
        self._sequence += 1
        self._at_ns = end_ns
        return tick

    def _chunk(self, lane: _Lane, start_ns: int, end_ns: int) -> tuple[WaveChunk, int | None]:
        """The samples of a channel in a tick, without what is missing at either end; and when the last of them is."""
        segment = lane.now
        if segment is None:
            line, first, last = Line(0, lane.grid.rate_hz), 0, 0
            values = np.empty(0, np.float32)
        else:
            if segment.next_index is None:
                segment.next_index = max(segment.line.index_at(start_ns), 0)
            first = segment.next_index
            segment.renew_line(first)
            line = segment.line
            last = segment.next_index = max(line.index_at(end_ns), first)
            values = segment.ring.view(first, last)
        there = np.flatnonzero(~np.isnan(values))
        last_ns = None
        if len(there):
            values, first = values[there[0] : there[-1] + 1], first + int(there[0])
            last_ns = line.time_ns(first + len(values) - 1)
        else:
            values = values[:0]
        withheld = lane.modality in self.withheld
        data = samples_to_bytes(values)
        names = lane.modality.value, lane.label
        return WaveChunk(*names, line.rate_hz, line.origin_ns, first, data, withheld, lane.lead), last_ns


def _held(segment: _Segment) -> int:
    """Samples that no tick has had."""
    first = segment.next_index or 0
    return int(np.count_nonzero(~np.isnan(segment.ring.view(first, max(segment.ring.end, first)))))
