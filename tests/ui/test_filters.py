"""The display filter keeps time, keeps gaps, and does what its caption says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.bed.crossfade import cross_fade, join_hop
from ui.bed.filters import DisplayFilter

RATE = 500.0


def run(values: np.ndarray, cuts: list[int] | None = None, rate: float = RATE) -> np.ndarray:
    """The filtered trace on the input's own indices (the delay taken back)."""
    made = DisplayFilter(rate, 0.5, 40.0, 0.02)
    parts = np.split(values.astype(np.float32), cuts or [])
    out = np.concatenate([made.push(part) for part in parts] + [made.push(np.full(made.delay, np.nan, np.float32))])
    return out[made.delay :]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 1499), max_size=8, unique=True),
    st.lists(st.tuples(st.integers(0, 1400), st.integers(1, 90)), max_size=3),
    st.sampled_from([500.0, 250.0, 128.0, 62.5]),
)
def test_the_same_however_the_samples_arrive(cuts: list[int], gaps: list[tuple[int, int]], rate: float) -> None:
    x = np.sin(np.arange(1500) / 7.0) + np.arange(1500) / 300.0
    for begin, length in gaps:
        x[begin : begin + length] = np.nan
    np.testing.assert_allclose(run(x, sorted(cuts), rate), run(x, None, rate), atol=2e-5)


def test_missing_stays_missing_and_nothing_else_goes_missing() -> None:
    x = np.sin(np.arange(2000) / 9.0)
    x[700:760] = np.nan
    x[1200] = np.nan
    np.testing.assert_array_equal(np.isnan(run(x)), np.isnan(x))


@pytest.mark.parametrize(
    ("hz", "low", "high"), [(10.0, 0.9, 1.05), (2.0, 0.9, 1.05), (0.05, 0.0, 0.15), (100.0, 0.0, 0.25)]
)
def test_passes_and_stops_as_named(hz: float, low: float, high: float) -> None:
    t = np.arange(20_000) / RATE
    y = run(np.sin(2 * np.pi * hz * t))[10_000:19_000]
    assert low <= np.ptp(y) / 2 <= high


def test_an_offset_fades_and_peaks_keep_their_time() -> None:
    t = np.arange(4000) / RATE
    x = 5.0 + np.exp(-(((np.mod(t, 0.8) - 0.4) / 0.012) ** 2))
    y = run(x)
    at = slice(3200, 3600)
    assert abs(int(np.argmax(y[at])) - int(np.argmax(x[at]))) <= 1
    assert np.max(y[at]) > 0.6 and abs(np.median(y[at])) < 0.2


def test_a_gap_starts_the_high_pass_anew() -> None:
    """Nothing of before the gap leaks into what comes after it."""
    tail = np.cos(np.arange(500) / 11.0)
    with_past = np.concatenate((np.full(500, 40.0), np.full(100, np.nan), tail))
    without = np.concatenate((np.full(600, np.nan), tail))
    np.testing.assert_allclose(run(with_past)[600:], run(without)[600:], atol=1e-6)


def test_cross_fade_meets_the_past_and_ends_at_the_new() -> None:
    values = np.full(100, 80.0, np.float32)
    out = cross_fade(90.0, values, 100.0, 0.15)
    assert 89.0 < out[0] < 90.0
    assert np.all(np.diff(out[:15]) < 0)
    np.testing.assert_array_equal(out[15:], values[15:])
    np.testing.assert_array_equal(cross_fade(float("nan"), values, 100.0), values)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 200), st.floats(0, 30), st.floats(0, 30), st.integers(1, 120))
def test_the_band_always_encloses_the_line(last: float, below: float, above: float, n: int) -> None:
    values = (80 + 30 * np.sin(np.arange(n) / 5.0)).astype(np.float32)
    line, lo, hi = join_hop(
        (last, last - above, last + below), values, values - np.float32(below), values + np.float32(above), 100.0
    )
    assert np.all(lo <= line) and np.all(line <= hi)
