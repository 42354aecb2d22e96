"""What is remembered of one connected channel: native samples, their grid, its state and zero, and what has still to be
done.

A channel may restart on another origin or at another (re-estimated) rate without a new epoch; each such *timeline*
has its own native memory and the grid takes the later one where both reach.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from models.signals.bed_memory import ChannelState
from models.signals.blocks import median
from models.signals.findings import Rhythm
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.offset import REACH, OffsetTrack
from models.signals.presence import cell_verdict, signs_of_life
from models.signals.quality import Verdict
from models.signals.resample import GRID_STEP_NS, HALF_SUPPORT_S, Resampler
from models.signals.ring import Ring
from models.signals.state import SensorState
from models.signals.times import SECOND_NS

FloatArray = npt.NDArray[np.float32]

NATIVE_MEMORY_S = 16
MOST_TIMELINES = 8
WITHHELD_MEMORY_S = 64
SILENT_NS = 2 * SECOND_NS
LOOK_AHEAD_NS = round(HALF_SUPPORT_S * 1e9)
SHIFT = 0.1  # of what a zero may be from a level; a verdict does not depend on less


def _from(zero: float, grid: FloatArray) -> FloatArray:
    return grid - np.float32(zero) if zero else grid


class _Timeline:
    def __init__(self, rate_hz: float, origin_ns: int) -> None:
        self.resampler = Resampler(rate_hz, origin_ns)
        self.native = Ring(int(NATIVE_MEMORY_S * rate_hz) + 1)

    @property
    def end_ns(self) -> int:
        """Event time up to which samples have arrived."""
        return self.resampler.time_ns(self.native.end)


class ChannelMemory:
    """One channel of one bed."""

    def __init__(self, modality: Modality, grid_seconds: int) -> None:
        self.modality = modality
        self.state = SensorState(modality)
        self._offset = OffsetTrack(REACH[modality]) if modality in REACH else None
        self.zero = 0.0
        self._grid = Ring(grid_seconds * GRID_RATE_HZ)
        self._forgotten_duplicates = 0
        self._timelines: list[_Timeline] = []
        self.reset(0)

    def reset(self, start_ns: int) -> None:
        """Begin a new epoch at ``start_ns``: nothing of before is kept but the count of duplicates."""
        self._forgotten_duplicates = self.duplicate_samples
        self._timelines = []
        self.look_ahead_ns = LOOK_AHEAD_NS
        """How far past a grid sample its native samples reach."""
        self._grid.clear()
        self.state.reset()
        if self._offset is not None:
            self._offset.reset()
        self.zero = 0.0
        self._start_g = -(-start_ns // GRID_STEP_NS)
        self._todo_g = self._start_g
        self._passed_ns = start_ns
        self._withheld: deque[int] = deque(maxlen=WITHHELD_MEMORY_S)

    @property
    def duplicate_samples(self) -> int:
        """Samples that came again, since the beginning."""
        return self._forgotten_duplicates + sum(t.native.duplicates for t in self._timelines)

    def awaits(self, time_ns: int, now_ns: int) -> bool:
        """Whether samples that grid samples before ``time_ns`` read may still come. A channel that has been silent
        for two seconds is not waited for."""
        passed = self._passed_ns >= time_ns - GRID_STEP_NS + self.look_ahead_ns
        return not passed and now_ns - self._passed_ns <= SILENT_NS

    def add(self, rate_hz: float, origin_ns: int, first_index: int, values: FloatArray, withheld: bool) -> int | None:
        """Take in samples; the first grid sample that may have changed, None if none has."""
        timeline = self._timeline(rate_hz, origin_ns)
        resampler = timeline.resampler
        step_ns = 1e9 / resampler.rate_hz
        last_index = first_index + len(values)
        self.state.update(values, resampler.origin_ns + first_index * step_ns, step_ns, withheld)
        self._passed_ns = max(self._passed_ns, resampler.time_ns(last_index))
        if withheld:
            first_s = resampler.time_ns(first_index) // SECOND_NS
            for second in range(first_s, resampler.time_ns(last_index - 1) // SECOND_NS + 1):
                if second not in self._withheld:
                    self._withheld.append(second)
            return None
        changed = timeline.native.merge(first_index, values)
        if changed is None:
            return None
        first_g = max(resampler.first_grid(changed[0]), self._start_g)
        self._todo_g = min(self._todo_g, first_g)
        return first_g

    def was_withheld(self, second: int) -> bool:
        """Whether the operator had dropped the channel in this second."""
        return second in self._withheld

    def complete(self, last_g: int) -> None:
        """Bring the grid up to ``last_g`` (exclusive), with whatever has arrived."""
        first_g = self._todo_g
        if first_g >= last_g:
            return
        out: FloatArray | None = None
        for timeline in self._timelines:
            lo, hi = timeline.resampler.native_range(first_g, last_g)
            if hi <= timeline.native.first or lo >= timeline.native.end:
                continue
            fresh = timeline.resampler(timeline.native.view(lo, hi), lo, first_g, last_g)
            out = fresh if out is None else np.where(np.isnan(fresh), out, fresh)
        self._grid.assign(first_g, np.full(last_g - first_g, np.nan, dtype=np.float32) if out is None else out)
        self._todo_g = last_g

    def judge(self, second: int, grid: FloatArray, beats: npt.NDArray[np.float64], rhythm: Rhythm) -> Verdict:
        """The verdict on the cell ``second``, from the channel's zero, which follows it (:mod:`models.signals.offset`).

        grid: the ten seconds that end with the cell. beats: found in them. rhythm: what an ECG shows in them.
        """
        withheld = self.was_withheld(second)
        cell = grid[-GRID_RATE_HZ:]
        known = cell[np.isfinite(cell)]
        if self._offset is None or 2 * len(known) < len(cell):
            return cell_verdict(self.modality, grid, beats, withheld)
        level = median(known)
        zero = self._offset.at(second, level)
        verdict = cell_verdict(self.modality, _from(zero, grid), beats, withheld)
        self._offset.follow(second, level, **signs_of_life(verdict, self.modality, grid, level - zero, beats, rhythm))
        self.zero = self._offset.at(second, level)
        self.state.settle(self.zero)
        if abs(self.zero - zero) > SHIFT * REACH[self.modality].lost:
            verdict = cell_verdict(self.modality, _from(self.zero, grid), beats, withheld)
        return verdict

    def forget_zero(self, second: int) -> None:
        """The cells from ``second`` on are judged once more."""
        if self._offset is not None:
            self._offset.forget(second)

    def export(self, lead: int, cells: npt.NDArray[np.bool_], second: int) -> ChannelState:
        """What the memory of samples does not hold, of what the cells before ``second`` have left. lead, cells: as of
        :class:`models.signals.bed_memory.ChannelState`."""
        followed = None if self._offset is None else self._offset.export(second)
        return ChannelState(self.modality, lead, cells, self.zero, followed, self.state.export())

    def restore(self, state: ChannelState) -> None:
        """From now on as the channel that ``state`` was taken of, beside its samples."""
        self.zero = state.zero
        if self._offset is not None:
            self._offset.restore(state.followed)
        self.state.restore(state.extremes)

    def grid(self, first_g: int, last_g: int) -> FloatArray:
        """Read-only grid samples ``[first_g, last_g)``, NaN where missing or not yet completed."""
        return self._grid.view(first_g, last_g)

    def native(self, start_ns: int, end_ns: int) -> tuple[FloatArray, float]:
        """Samples in ``[start_ns, end_ns)`` as they came, NaN where missing, and their rate in Hz.

        Of the newest timeline that has any; empty where none has. The newest 16 s are kept.
        """
        for timeline in reversed(self._timelines):
            first, last = (timeline.resampler.index_at(t) for t in (start_ns, end_ns))
            if first < timeline.native.end and last > timeline.native.first:
                return np.array(timeline.native.view(first, last)), timeline.resampler.rate_hz
        return np.empty(0, dtype=np.float32), 0.0

    def _timeline(self, rate_hz: float, origin_ns: int) -> _Timeline:
        for timeline in self._timelines:
            if timeline.resampler.rate_hz == rate_hz and timeline.resampler.origin_ns == origin_ns:
                return timeline
        timeline = _Timeline(rate_hz, origin_ns)
        self._timelines.append(timeline)
        # In the order of their origins, not of their arrival: which wins on the grid must not depend on that.
        self._timelines.sort(key=lambda t: (t.resampler.origin_ns, t.resampler.rate_hz))
        if len(self._timelines) > MOST_TIMELINES:
            oldest = min((t for t in self._timelines if t is not timeline), key=lambda t: t.end_ns)
            self._forgotten_duplicates += oldest.native.duplicates
            self._timelines.remove(oldest)
        self.look_ahead_ns = max(t.resampler.look_ahead_ns for t in self._timelines)
        return timeline
