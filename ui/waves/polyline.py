"""From samples to the points of a line: decimated to device-pixel columns, broken at every missing sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

_DENSE = 4.0  # samples per column from which the envelope says all that the samples could


def envelope(columns: Float64, values: npt.NDArray[np.floating]) -> tuple[Float64, Float64]:
    """The least and greatest value in each whole column, in the order in which they are first approached.

    columns: ascending positions [n] in columns; values [n], NaN where missing. Returns (x, y), three points a column:
    the extremes, then NaN where any of the column's samples is missing (a break), else the second extreme again.
    """
    if len(columns) == 0:
        return np.empty(0), np.empty(0)
    whole = np.floor(columns)
    starts = np.flatnonzero(np.diff(whole, prepend=whole[0] - 1))
    low = np.fmin.reduceat(values, starts).astype(np.float64)
    high = np.fmax.reduceat(values, starts).astype(np.float64)
    ends = np.append(starts[1:], len(values)) - 1
    rising = values[ends] >= values[starts]
    first, second = np.where(rising, low, high), np.where(rising, high, low)
    broken = np.maximum.reduceat(np.isnan(values), starts)
    x = np.repeat(whole[starts] + 0.5, 3)
    y = np.column_stack((first, second, np.where(broken, np.nan, second))).ravel()
    return x, y


def lines(columns: Float64, values: npt.NDArray[np.floating]) -> list[Float64]:
    """Unbroken stretches as arrays [k, 2] of (column, value); dense stretches as their envelope."""
    if len(columns) > _DENSE and len(columns) > _DENSE * (columns[-1] - columns[0] + 1):
        x, y = envelope(columns, values)
    else:
        x, y = columns, values.astype(np.float64)
    there = np.isfinite(y)
    if not there.any():
        return []
    points = np.column_stack((x, y))
    if there.all():
        return [points]
    return [points[a:b] for a, b in runs(there)]


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The ``[begin, end)`` stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
