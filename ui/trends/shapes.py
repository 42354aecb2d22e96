"""Points of a trend as lines and bars that end where nothing is known. numpy only.

A known bucket is drawn over its whole length, so that one between two gaps is seen, and none reaches into a gap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Floats = NDArray[np.floating]


def segments(first_s: float, step_s: float, values: Floats, dash: int = 0) -> Float64:
    """Lines [k, 4] (x, y, x, y) through ``values`` [n] of the buckets from ``first_s`` on: between neighbours that are
    both known, and to the outer edges of those at a gap. dash: buckets to each dash and to each space between two, 0
    for none; dashes stand still when the stretch moves on."""
    known = np.isfinite(values)
    pairs = known[:-1] & known[1:]
    left, right = known.copy(), known.copy()
    left[1:] &= ~known[:-1]
    right[:-1] &= ~known[1:]
    if dash:
        pairs &= (np.arange(len(pairs)) + round(first_s / step_s)) // dash % 2 == 0
    between, begins, ends = np.flatnonzero(pairs), np.flatnonzero(left), np.flatnonzero(right)
    x = first_s + (np.arange(len(values)) + 0.5) * step_s
    half = 0.5 * step_s
    out = np.empty((len(between) + len(begins) + len(ends), 4))
    out[: len(between)] = np.stack((x[between], values[between], x[between + 1], values[between + 1]), 1)
    for begin, at, edges in (
        (len(between), begins, (-half, 0.0)),
        (len(between) + len(begins), ends, (0.0, half)),
    ):
        part = out[begin : begin + len(at)]
        part[:, 0], part[:, 2] = x[at] + edges[0], x[at] + edges[1]
        part[:, 1] = part[:, 3] = values[at]
    return out


def bars(first_s: float, step_s: float, lo: Floats, hi: Floats) -> Float64:
    """Rectangles [k, 4] (x, y, width, height) from ``lo`` to ``hi`` [n] of the buckets where both are known."""
    at = np.flatnonzero(np.isfinite(lo) & np.isfinite(hi))
    out = np.empty((len(at), 4))
    out[:, 0], out[:, 2] = first_s + at * step_s, step_s
    out[:, 1] = lo[at]
    out[:, 3] = hi[at].astype(float) - lo[at]
    return out


def within(lines: Float64, above: float, most: float) -> Float64:
    """The lines whose worse end lies in (above, most]."""
    worse = np.maximum(lines[:, 1], lines[:, 3])
    return lines[(worse > above) & (worse <= most)]
