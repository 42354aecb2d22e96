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


def cuffs(
    first_s: float, step_s: float, sides: tuple[Floats, Floats, Floats], pixel: tuple[float, float]
) -> tuple[Float64, Float64, Float64]:
    """Measurements of a cuff, as an anaesthesia record has them: of greatest systolic, middle mean and least diastolic
    pressure [n] a bucket the lines [k, 4] of a wedge down with the bar between them, of a line across, and of a wedge
    up. Each stands alone. pixel: how long and how high one is, in the units of the plot."""
    x = first_s + (np.arange(len(sides[0])) + 0.5) * step_s
    wide, high = 3.0 * pixel[0], 4.0 * pixel[1]

    def at(shown: NDArray[np.bool_], *ends: tuple[float, Floats, float, Floats]) -> Float64:
        place = x[shown]
        return np.concatenate(
            [np.stack((place + x0, y0[shown], place + x1, y1[shown]), 1).astype(float) for x0, y0, x1, y1 in ends]
        )

    upper, mean, lower = sides
    both = np.isfinite(upper) & np.isfinite(lower)
    top = at(np.isfinite(upper), (-wide, upper + high, 0.0, upper), (0.0, upper, wide, upper + high))
    bottom = at(np.isfinite(lower), (-wide, lower - high, 0.0, lower), (0.0, lower, wide, lower - high))
    across = at(np.isfinite(mean), (-wide, mean, wide, mean))
    return np.concatenate((top, at(both, (0.0, lower, 0.0, upper)))), across, bottom
