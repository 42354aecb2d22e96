"""Conformal widening of intervals by missing fraction and age of the last measurement.

Split conformal prediction (Romano, Patterson & Candès 2019, conformalised quantile regression), with one correction
a bin of missing fraction and age, fitted on calibration patients at training.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from models.runtime.spec import Conformal


def half_width(table: Conformal | None, missing: float, age_s: float) -> float:
    """Amount to add on either side of an interval; 0 where the bundle has no table.

    missing: fraction of absent frames, 0–1. age_s: seconds since the last measurement; NaN (never measured) takes
    the oldest bin.
    """
    if table is None:
        return 0.0
    return table.widen[_bin(table.missing_edges, missing)][_bin(table.age_edges_s, age_s)]


def _bin(edges: list[float], value: float) -> int:
    last = max(len(edges) - 2, 0)
    if math.isnan(value):
        return last
    return min(max(bisect_right(edges, value) - 1, 0), last)
