"""Blocks of samples on one absolute index grid: what packets, segments and data records have in common.

A recording stores its samples in blocks, each with its own time. A :class:`BlockGrid` says at which index of the
track's grid (sample ``i`` at ``start + i / rate``) each run of consecutive samples lies, and where in the stored
samples it is found. Nothing is glued over a gap; no stored sample appears twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatSeconds = npt.NDArray[np.float64]

JITTER_SAMPLES = 1
"""A block that begins up to this much off its predecessor's end follows it: time stamps are rounded."""
OVERLAP_S = 0.02
"""A block that begins up to this much before its predecessor's end follows it too: no sample may be lost to jitter."""
MAX_RATE_ERROR = 0.01
"""The clock of a recorder is trusted to be off by no more than this (1 %) when its true rate is estimated."""
MIN_FIT_S = 10.0
"""Shortest stretch of data that the true rate is estimated from."""
EDGE = 1e-6
"""Times closer than this fraction of a sample to a range's edge count as on it (float64 seconds are not exact)."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """Runs of consecutive samples, in time order and without overlap.

    first: int64 [n], grid index of each run's first sample; offset: int64 [n], its place in the stored samples;
    length: int64 [n]. ``dropped``: stored samples left out because they overlap earlier ones.
    """

    first: IntArray
    offset: IntArray
    length: IntArray
    dropped: int = 0

    @property
    def samples(self) -> int:
        """Length of the index grid, gaps included."""
        return int(self.first[-1] + self.length[-1]) if len(self.first) else 0

    def gaps(self) -> list[tuple[int, int]]:
        """``[begin, end)`` index ranges without samples."""
        ends = self.first[:-1] + self.length[:-1]
        pairs = zip(ends.tolist(), self.first[1:].tolist(), strict=True)
        return [(begin, end) for begin, end in pairs if begin < end]

    def pieces(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The stored samples in the index range: (grid index, place in the stored samples, count)."""
        run = max(int(np.searchsorted(self.first, begin, side="right")) - 1, 0)
        while run < len(self.first) and self.first[run] < end:
            first = int(self.first[run])
            lo, hi = max(begin, first), min(end, first + int(self.length[run]))
            if lo < hi:
                yield lo, int(self.offset[run]) + lo - first, hi - lo
            run += 1


def clip_range(start_s: float, rate_hz: float, samples: int, begin_s: float, end_s: float) -> tuple[int, int]:
    """Index range ``[i, j)`` of the samples with ``begin_s <= time < end_s``, clipped to the track's own extent."""
    if not (math.isfinite(begin_s) and math.isfinite(end_s)):
        raise ValueError(f"range must be finite, got [{begin_s}, {end_s})")
    limit = float(samples)
    first = math.ceil(min(max((begin_s - start_s) * rate_hz - EDGE, 0.0), limit))
    last = math.ceil(min(max((end_s - start_s) * rate_hz - EDGE, 0.0), limit))
    return first, max(first, last)


def place_blocks(times_s: FloatSeconds, lengths: IntArray, rate_hz: float) -> tuple[float, BlockGrid]:
    """Place blocks on the grid that begins with the earliest block.

    times_s: float64 [n], time of each block's first sample, in any order of blocks; lengths: int64 [n], its samples,
    stored one block after the other in the order given; rate_hz: nominal rate, above 0.

    Returns the rate of the grid and the grid. The rate is the nominal one unless the blocks' own times show over ten
    seconds or more that the recorder ran faster or slower: then its true rate leaves fewer breaks and is used.
    """
    order = np.argsort(times_s, kind="stable")
    order = order[lengths[order] > 0]
    offsets = np.cumsum(lengths) - lengths
    times, counts, places = times_s[order], lengths[order], offsets[order]
    nominal = _place(times, counts, places, rate_hz)
    fitted = _fitted_rate(times, counts, rate_hz)
    if fitted is None or (len(nominal.first) < 2 and not nominal.dropped):
        return rate_hz, nominal
    refined = _place(times, counts, places, fitted)
    better = len(refined.first) + refined.dropped < len(nominal.first) + nominal.dropped
    return (fitted, refined) if better else (rate_hz, nominal)


def _fitted_rate(times: FloatSeconds, counts: IntArray, rate_hz: float) -> float | None:
    """Samples per second over the stretches where block follows block; None where it agrees with the nominal rate."""
    elapsed = np.diff(times)
    surplus = elapsed * rate_hz - counts[:-1]
    follows = np.abs(surplus) <= JITTER_SAMPLES + MAX_RATE_ERROR * counts[:-1]
    seconds, samples = float(elapsed[follows].sum()), int(counts[:-1][follows].sum())
    if seconds < MIN_FIT_S or abs(seconds * rate_hz - samples) <= 2 * JITTER_SAMPLES:
        return None
    fitted = samples / seconds
    return fitted if abs(fitted / rate_hz - 1) <= MAX_RATE_ERROR else None


def _place(times: FloatSeconds, counts: IntArray, places: IntArray, rate_hz: float) -> BlockGrid:
    """Runs of blocks that follow one another; ``times`` ascending."""
    if not len(times):
        empty = np.zeros(0, dtype=np.int64)
        return BlockGrid(empty, empty, empty)
    position = np.rint((times - times[0]) * rate_hz).astype(np.int64)
    tolerance = max(JITTER_SAMPLES, round(OVERLAP_S * rate_hz))
    # Within a run, block k is expected at the run's first index + samples since: constant ``lead`` if on time.
    lead = position - (np.cumsum(counts) - counts)
    in_store = places[1:] == places[:-1] + counts[:-1]
    first: list[int] = []
    offset: list[int] = []
    length: list[int] = []
    dropped = block = 0
    end = 0
    while block < len(counts):
        late = end - int(position[block])
        if first and late >= -JITTER_SAMPLES:
            begin = end
            skip = late if late > tolerance else 0  # within the tolerance it is jitter: nothing may be lost
        else:
            begin, skip = int(position[block]), 0
        if skip >= counts[block]:
            dropped += int(counts[block])
            block += 1
            continue
        dropped += skip
        shift = begin - skip - int(position[block])
        stop = _run_end(lead, in_store, block, shift, tolerance)
        size = int(counts[block:stop].sum()) - skip
        if first and begin == end and offset[-1] + length[-1] == places[block] + skip:
            length[-1] += size
        else:
            first.append(begin)
            offset.append(int(places[block]) + skip)
            length.append(size)
        end = begin + size
        block = stop
    as_array = [np.array(x, dtype=np.int64) for x in (first, offset, length)]
    return BlockGrid(as_array[0], as_array[1], as_array[2], dropped)


def _run_end(lead: IntArray, in_store: npt.NDArray[np.bool_], block: int, shift: int, tolerance: int) -> int:
    """First block after ``block`` that does not follow the run begun there ``shift`` samples late."""
    reference = int(lead[block]) + shift
    begin, step = block + 1, 64
    while begin < len(lead):
        off = lead[begin : begin + step] - reference
        breaks = (off > JITTER_SAMPLES) | (off < -tolerance) | ~in_store[begin - 1 : begin - 1 + step]
        if breaks.any():
            return begin + int(np.argmax(breaks))
        begin, step = begin + step, step * 2
    return len(lead)
