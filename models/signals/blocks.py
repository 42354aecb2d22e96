"""What the beat detectors share: gaps, filters, local maxima and their level, in a block of samples.

Blocks are float64 [n], positions in samples. Gaps of up to 50 ms are interpolated for filtering; longer ones, and what
lies beside them, are marked.
"""

from __future__ import annotations

from bisect import bisect
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LONGEST_BRIDGED_GAP_S = 0.05  # shorter gaps are interpolated for filtering; 40 ms is what a 1-s cell tolerates
LEVEL_BIN_S = 2.5  # holds at least one beat down to 24 beats/min


def spans_gap(x: npt.ArrayLike, positions: npt.ArrayLike, rate_hz: float = 100) -> Bools:
    """For each pair of neighbouring positions in samples: does a gap longer than 50 ms lie between them? [k - 1]"""
    at = np.asarray(positions, dtype=np.float64)
    if len(at) < 2:
        return np.empty(0, dtype=bool)
    missing = long_gaps(~np.isfinite(np.asarray(x, dtype=np.float64)), rate_hz)
    count = np.concatenate(([0], np.cumsum(missing)))
    index = np.clip(np.round(at).astype(int), 0, len(missing))
    crosses: Bools = count[index[1:]] > count[index[:-1]]
    return crosses


def long_gaps(missing: Bools, rate_hz: float) -> Bools:
    """The missing samples that belong to a run longer than the bridged gap."""
    if not missing.any():
        return missing
    edges = np.flatnonzero(np.diff(missing.astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    long = (ends - starts) > LONGEST_BRIDGED_GAP_S * rate_hz + 1e-9
    steps = np.zeros(len(missing) + 1, dtype=np.int64)
    steps[starts[long]] += 1
    steps[ends[long]] -= 1
    return np.cumsum(steps[:-1]) > 0


def bridged(x: npt.ArrayLike, rate_hz: float) -> tuple[Floats | None, Bools]:
    """The block with every gap interpolated for filtering, and the samples in or within 50 ms of a long gap.

    None when less than half a second is there.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"a block must have one dimension, got shape {values.shape}")
    missing = ~np.isfinite(values)
    if len(values) - int(np.count_nonzero(missing)) < 0.5 * rate_hz:
        return None, missing
    if not missing.any():
        return values, missing
    there = np.flatnonzero(~missing)
    values = np.interp(np.arange(len(values)), there, values[there])
    bad = long_gaps(missing, rate_hz)
    reach = round(0.05 * rate_hz)
    return values, np.convolve(bad, np.ones(2 * reach + 1), "same")[: len(bad)] > 0.5


def filtered(values: Floats, kernel: Floats) -> Floats:
    """Zero-phase FIR (kernel not turned round) with the end values held, so that the ends of a block make no edge."""
    reach = len(kernel) // 2
    padded = np.concatenate((np.full(reach, values[0]), values, np.full(reach, values[-1])))
    return np.correlate(padded, kernel, "valid")


def maxima(x: Floats) -> npt.NDArray[np.intp]:
    """Indices of local maxima; the first sample of a plateau, never the ends."""
    middle = x[1:-1]
    return ((middle > x[:-2]) & (middle >= x[2:])).nonzero()[0] + 1


def local_level(strength: Floats, rate_hz: float) -> Floats:
    """The local height of a beat: median over five 2.5-s bins of their maxima, linearly joined, per sample.

    A median, so that one artefact does not blind the detector to its neighbours.
    """
    n = len(strength)
    bins = max(1, int(n // (LEVEL_BIN_S * rate_hz)))
    edges, middles, samples = _bins_of(n, bins)
    peaks = np.maximum.reduceat(strength, edges)
    if bins <= 5:
        return np.full(n, _level_of(peaks.tolist()))
    found = peaks.tolist()
    padded = [found[2], found[1], *found, found[-2], found[-3]]
    level: Floats = np.interp(samples, middles, [_level_of(padded[i : i + 5]) for i in range(bins)])
    return level


@lru_cache(maxsize=64)
def _bins_of(samples: int, bins: int) -> tuple[npt.NDArray[np.intp], Floats, npt.NDArray[np.intp]]:
    """Where the bins of a block begin, their middles, and the index of every sample."""
    edges = np.linspace(0, samples, bins + 1).astype(np.intp)
    return edges[:-1], np.asarray(0.5 * (edges[1:] + edges[:-1]), dtype=np.float64), np.arange(samples)


def _level_of(peaks: list[float]) -> float:
    """Their median, of those above 0: plain Python, for there are at most five."""
    present = sorted(peak for peak in peaks if peak > 0)
    count = len(present)
    return (present[(count - 1) // 2] + present[count // 2]) / 2.0 if count else 0.0


def median(values: npt.NDArray[np.floating]) -> float:
    """Of one dimension; NaN where one is NaN or there are none. As ``np.median``, which takes twenty times as long for
    a dozen values and is asked sixty times for each second of a bed.

    >>> median(np.array([3.0, 1.0, 2.0])), median(np.array([4.0, 1.0])), median(np.array([1.0, np.nan]))
    (2.0, 2.5, nan)
    """
    count = len(values)
    if not count:
        return float("nan")
    ordered = values.copy()
    ordered.sort()
    if ordered[-1] != ordered[-1]:
        return float("nan")  # NaN comes last
    return float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0


def strongest_apart(positions: npt.NDArray[np.intp], strength: Floats, least: float) -> npt.NDArray[np.intp]:
    """Indices (ascending) of the strongest candidates that lie at least ``least`` samples from a stronger one; their
    positions ascend."""
    at: list[int] = positions.tolist()
    kept: list[int] = []  # ascending, so that only the two neighbours need be asked
    for i in (-strength).argsort(kind="stable").tolist():
        k = bisect(kept, i)
        if (k and at[i] - at[kept[k - 1]] < least) or (k < len(kept) and at[kept[k]] - at[i] < least):
            continue
        kept.insert(k, i)
    return np.array(kept, dtype=np.intp)


def regular(positions: npt.NDArray[np.intp], tolerance: float) -> bool:
    """Whether intervals change little from one to the next; beats picked from noise do not."""
    intervals = np.diff(positions)
    if len(intervals) < 4:
        return False
    return median(np.abs(np.diff(intervals))) <= tolerance * median(intervals)


def parabola(x: Floats, peaks: npt.NDArray[np.intp]) -> Floats:
    """Vertex of the parabola through each maximum and its two neighbours."""
    before, at, after = x[peaks - 1], x[peaks], x[peaks + 1]
    bend = before - 2 * at + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    vertex: Floats = peaks + np.clip(shift, -0.5, 0.5)
    return vertex
