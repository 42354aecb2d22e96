"""The figures of a trend cover what is known, and nothing else."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ui.trends.shapes import bars, cuffs, segments, within

_VALUES = st.lists(st.just(math.nan) | st.floats(0, 300), max_size=40).map(np.array)
_STEPS = st.sampled_from((1, 5, 60))


@given(values=_VALUES, step=_STEPS, first=st.integers(-50, 50))
def test_lines_cover_every_known_bucket_and_no_gap(values: np.ndarray, step: int, first: int) -> None:
    lines = segments(first * step, step, values)
    assert np.isfinite(lines).all()
    covered = np.zeros(2 * len(values), int)  # half buckets
    for x0, y0, x1, y1 in lines:
        begin, end = (round(2 * (x / step - first)) for x in (x0, x1))
        covered[begin:end] += 1
        for x, y in ((begin, y0), (end, y1)):  # an end lies on a value, or beside it at a gap
            assert y in values[[max(0, (x - 1) // 2), min(len(values) - 1, x // 2)]]
    np.testing.assert_array_equal(covered, np.repeat(np.isfinite(values), 2).astype(int))


@given(values=_VALUES, step=_STEPS, dash=st.integers(1, 5), first=st.integers(-50, 50))
def test_dashes_are_parts_of_the_line_and_stand_still(values: np.ndarray, step: int, dash: int, first: int) -> None:
    whole = {tuple(line) for line in segments(first * step, step, values)}
    dashed = {tuple(line) for line in segments(first * step, step, values, dash)}
    assert dashed <= whole
    later = {tuple(line) for line in segments((first + 3) * step, step, values[3:], dash)}
    inner = {line for line in dashed if line[0] >= (first + 4) * step}
    assert inner <= later, "whatever the stretch begins with"
    if len(values) and np.isfinite(values).any():
        assert dashed, "what is shorter than a dash is seen"


@given(lo=_VALUES, step=_STEPS, spread=st.floats(0, 50))
def test_bars_stand_where_both_ends_are_known(lo: np.ndarray, step: int, spread: float) -> None:
    hi = lo + spread
    hi[::7] = np.nan
    known = [k for k in range(len(lo)) if math.isfinite(lo[k]) and math.isfinite(hi[k])]
    want = [(10 + k * step, lo[k], step, hi[k] - lo[k]) for k in known]
    np.testing.assert_allclose(bars(10, step, lo, hi), np.array(want).reshape(-1, 4))


def test_a_line_is_of_the_band_of_its_worse_end() -> None:
    lines = segments(0, 1, np.array((10.0, 50.0, 50.1, 85.0, 90.0)))
    parts = [within(lines, above, most) for above, most in ((-1, 50), (50, 85), (85, 101))]
    assert sum(map(len, parts)) == len(lines)
    assert [sorted(np.maximum(part[:, 1], part[:, 3])) for part in parts] == [[10, 50], [50.1, 85], [90, 90]]


@given(upper=_VALUES, lower=_VALUES, step=_STEPS)
def test_nothing_leads_from_one_measurement_of_a_cuff_to_the_next(
    upper: np.ndarray, lower: np.ndarray, step: int
) -> None:
    n = min(len(upper), len(lower))
    top, across, bottom = cuffs(10.0, step, (upper[:n], np.full(n, 80.0), lower[:n]), (0.01, 1.0))
    for lines in (top, across, bottom):
        assert np.isfinite(lines).all()
        buckets = np.floor((lines[:, 0::2] - 10.0) / step)
        assert (buckets[:, 0] == buckets[:, 1]).all(), "a mark reaches over its own bucket"
    upright = top[top[:, 0] == top[:, 2]]
    both = np.isfinite(upper[:n]) & np.isfinite(lower[:n])
    np.testing.assert_array_equal(upright[:, 1], lower[:n][both])
    np.testing.assert_array_equal(upright[:, 3], upper[:n][both])
