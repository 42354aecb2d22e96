"""The grid of a live stream: indices against a count, the clock against batch least squares, the line against truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.live_grid import (
    DRIFT,
    HALF_LIFE_S,
    JITTER_S,
    LEAST_TOLERANCE_S,
    LINE_S,
    MOST_LAG_S,
    Line,
    LiveGrid,
    SmoothClock,
    pieces,
)

SECOND = 1_000_000_000
RATES = st.sampled_from([62.5, 100.0, 125.0, 128.0, 250.0, 500.0, 1000.0])
JITTER = st.floats(-0.020, 0.020)


def feed(
    grid: LiveGrid,
    blocks: int,
    size: int,
    jitter: np.ndarray,
    *,
    drift: float = 0.0,
    start_s: float = 100.0,
    offset_s: float = 0.0,
    first: int = 0,
    each: bool = False,
) -> list[tuple[int, int] | None]:
    """Blocks of a device whose samples take ``1 + drift`` of nominal time: what the grid made of each."""
    found: list[tuple[int, int] | None] = []
    period = (1.0 + drift) / grid.rate_hz
    for k in range(blocks):
        index = first + k * size + np.arange(size)
        true_s = start_s + index * period
        stamps = true_s + offset_s + (jitter[k * size : (k + 1) * size] if each else jitter[k])
        placed = grid.add(size, stamps if each else stamps[-1:], float(true_s[-1]) + 0.002)
        found.append(None if placed is None else (placed.first_index, placed.missing))
        grid.line(max(grid.next_index - size, 0))
    return found


@given(rate=RATES, size=st.integers(1, 40), jitter=st.lists(JITTER, min_size=3, max_size=120))
@settings(max_examples=150)
def test_no_jitter_of_20_ms_loses_or_doubles_a_sample(rate: float, size: int, jitter: list[float]) -> None:
    grid = LiveGrid(rate)
    found = feed(grid, len(jitter), size, np.array(jitter))
    assert found == [(k * size, 0) for k in range(len(jitter))]
    assert (grid.gaps, grid.missing, grid.duplicates) == (0, 0, 0)


@given(rate=RATES, size=st.integers(1, 25), seed=st.integers(0, 99), drift=st.sampled_from([-500e-6, 0.0, 500e-6]))
@settings(max_examples=40)
def test_nor_does_drift_with_it(rate: float, size: int, seed: int, drift: float) -> None:
    blocks = 400
    jitter = np.random.default_rng(seed).uniform(-0.02, 0.02, blocks * size)
    grid = LiveGrid(rate)
    assert feed(grid, blocks, size, jitter, drift=drift, each=True) == [(k * size, 0) for k in range(blocks)]


@given(
    rate=RATES,
    size=st.integers(1, 25),
    before=st.integers(1, 200),
    lost_s=st.floats(0.06, 3000.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=100)
def test_a_gap_is_exact_where_stamps_are(rate: float, size: int, before: int, lost_s: float, seed: int) -> None:
    """Jitter below a third of a sample, drift known to nothing better than the nominal rate: 0."""
    lost = max(2, round(lost_s * rate))
    rng = np.random.default_rng(seed)
    grid = LiveGrid(rate)
    jitter = rng.uniform(-0.15, 0.15, before) / rate
    feed(grid, before, size, jitter)
    if lost_s * 300e-6 > 0.1 / rate:  # the drift is not known so well after a short time
        grid._clock.drift = 0.0  # type: ignore[union-attr]
    after = feed(grid, 3, size, jitter[:1].repeat(3), first=before * size + lost)
    assert after[0] == (before * size + lost, lost)
    assert [a[1] for a in after[1:] if a] == [0, 0]
    assert (grid.gaps, grid.missing) == (1, lost)


@given(lost=st.integers(1, 10_000), size=st.integers(1, 50), jitter=st.lists(JITTER, min_size=8, max_size=8))
def test_a_device_that_counts_makes_every_gap_exact(lost: int, size: int, jitter: list[float]) -> None:
    grid, rate, at = LiveGrid(500.0), 500.0, 0
    for k, wobble in enumerate(jitter):
        at += lost if k == 4 else 0
        stamp = np.array([100.0 + (at + size - 1) / rate + wobble])
        placed = grid.add(size, stamp, float(stamp[0]) + 0.03, counter=7_000 + at)
        assert placed is not None
        assert (placed.first_index, placed.missing) == (at, lost if k == 4 else 0)
        at += size


def test_a_gap_within_the_jitter_is_right_to_within_the_jitter() -> None:
    rng = np.random.default_rng(5)
    grid = LiveGrid(500.0)
    feed(grid, 500, 10, rng.uniform(-0.02, 0.02, 500))
    after = feed(grid, 200, 10, rng.uniform(-0.02, 0.02, 200), first=5_000 + 1_000)
    assert after[0] is not None and abs(after[0][1] - 1_000) <= 0.022 * 500
    assert all(a is not None and a[1] == 0 for a in after[1:])


@pytest.mark.parametrize("drift", (-200e-6, 200e-6, 500e-6))
@pytest.mark.parametrize("jitter_s", (0.0, 0.02))
def test_drift_is_followed_over_ten_minutes(drift: float, jitter_s: float) -> None:
    rate, size = 500.0, 25
    blocks = round(600 * rate / size)
    jitter = np.random.default_rng(1).uniform(-jitter_s, jitter_s, blocks)
    grid = LiveGrid(rate)
    worst, lines = 0.0, set()
    for k in range(blocks):
        last = (k + 1) * size - 1
        true_s = 100.0 + last / rate * (1.0 + drift)
        assert grid.add(size, np.array([true_s + jitter[k]]), true_s + 0.002) is not None
        line = grid.line(k * size)
        lines.add(line)
        if last > 30 * rate:
            assert abs(grid.deviation_s(last)) <= LINE_S + 0.001
            worst = max(worst, abs(line.time_ns(last) * 1e-9 - true_s))
    assert grid.next_index == blocks * size
    assert grid.drift == pytest.approx(drift, abs=1e-6 if not jitter_s else 3e-5)
    assert worst < LINE_S + 0.001 + 0.1 * jitter_s + (0.005 if jitter_s else 0.0)
    assert len(lines) < (8 if not jitter_s else 30), [ln.rate_hz for ln in lines]


@given(rate=RATES, seed=st.integers(0, 50), drift=st.floats(-500e-6, 500e-6), tick_s=st.sampled_from([0.05, 0.1]))
@settings(max_examples=25)
def test_time_is_continuous_and_rises_across_lines(rate: float, seed: int, drift: float, tick_s: float) -> None:
    size = max(1, round(rate * 0.04))
    jitter = np.random.default_rng(seed).uniform(-0.02, 0.02, 600)
    grid, sent, old = LiveGrid(rate), 0, None
    for k in range(600):
        true_s = 100.0 + ((k + 1) * size - 1) / rate * (1.0 + drift)
        grid.add(size, np.array([true_s + jitter[k]]), true_s)
        line = grid.line(sent)
        if old is not None:
            assert abs(line.time_ns(sent) - old.time_ns(sent)) <= 1
            assert line.time_ns(sent) > old.time_ns(sent - 1) or sent == 0
            assert abs(line.rate_hz / rate - 1.0) < 0.0051
        old, sent = line, grid.next_index


@given(jump=st.sampled_from([-200_000.0, 200_000.0, -11.0, 12.0, 3600.0]), rate=RATES, seed=st.integers(0, 20))
def test_a_jump_is_a_new_segment_at_its_arrival(jump: float, rate: float, seed: int) -> None:
    jitter = np.random.default_rng(seed).uniform(-0.02, 0.02, 100)
    grid = LiveGrid(rate)
    size = max(1, int(rate / 20))
    feed(grid, 100, size, jitter)
    end_ns = grid.line(grid.next_index).time_ns(grid.next_index)
    at = 100 * size
    true_s = 100.0 + (at + size - 1) / rate
    assert grid.add(size, np.array([true_s + jump]), true_s) is None
    assert grid.next_index == at  # nothing was taken
    earliest_s = end_ns * 1e-9 + 0.05
    grid.begin(earliest_s)
    assert feed(grid, 1, size, jitter, first=at, offset_s=jump) == [(0, 0)]
    begun = grid.line(0).time_ns(0)
    after = feed(grid, 99, size, jitter[1:], first=at + size, offset_s=jump)
    assert after == [(k * size, 0) for k in range(1, 100)]
    assert begun >= round(earliest_s * SECOND) - 1
    assert begun * 1e-9 < true_s + 0.3
    assert grid.missing == 0


@pytest.mark.parametrize(("back_s", "first"), ((3.004, 200), (3.0, 500)))
def test_a_clock_that_is_set_back_a_little_begins_anew_after_half_a_second(back_s: float, first: int) -> None:
    """Also where the stamps are, to the last bit, those of blocks that came before."""
    grid = LiveGrid(100.0)
    feed(grid, 50, 10, np.zeros(50))
    found = feed(grid, 10, 10, np.zeros(10), first=500, offset_s=-back_s)
    assert found[0] == (first, 0)
    assert found.index(None) in (5, 6)


def test_what_comes_twice_or_late_is_known() -> None:
    grid = LiveGrid(100.0)
    feed(grid, 5, 10, np.zeros(5))
    again = grid.add(10, np.array([100.0 + 0.49]), 100.6)
    assert again is not None and again.again and grid.duplicates == 1
    feed(grid, 1, 10, np.zeros(1), first=100)  # 50 samples are missing
    late = grid.add(10, np.array([100.0 + 0.69]), 101.2)
    assert late is not None and not late.in_order
    assert (late.first_index, late.count) == (60, 10)
    assert grid.next_index == 110


def test_the_clock_is_least_squares_with_forgetting_and_a_prior() -> None:
    """Against an information filter in coordinates that stand still: other numbers, the same estimate."""
    rng = np.random.default_rng(2)
    x = np.cumsum(rng.uniform(0.01, 3.0, 300))
    y = 0.002 + 180e-6 * x + rng.normal(0, 0.01, 300)
    clock = SmoothClock(float(x[0]), 0.0)
    # Rows: the first stamp, and the prior drift.
    information = np.outer([1.0, x[0]], [1.0, x[0]]) + np.diag([0.0, (JITTER_S / DRIFT) ** 2])
    moment = np.zeros(2)
    for k in range(1, len(x)):
        fade = 2.0 ** ((x[k] - x[k - 1]) / HALF_LIFE_S)
        spread = np.linalg.inv(information)[1, 1]
        fade = min(fade, (DRIFT / JITTER_S) ** 2 / spread)
        row = np.array([1.0, x[k]])
        information = information / fade + np.outer(row, row)
        moment = moment / fade + row * y[k]
        clock.add(float(x[k]), float(y[k]))
        intercept, slope = np.linalg.solve(information, moment)
        assert clock.drift == pytest.approx(slope, abs=1e-9)
        assert clock.at(float(x[k]) + 7.0) == pytest.approx(intercept + slope * (x[k] + 7.0), abs=1e-8)


@pytest.mark.parametrize("skew", (-300e-6, 300e-6))
def test_a_foreign_clock_that_runs_away_is_kept_near(skew: float) -> None:
    """Stamps of an unsynchronised clock: after half an hour they are half a second off, event time is not."""
    grid, rate, size = LiveGrid(125.0), 125.0, 5
    for k in range(round(1800 * rate / size)):
        true_s = 50.0 + ((k + 1) * size - 1) / rate
        placed = grid.add(size, np.array([9e6 + true_s * (1.0 + skew)]), true_s + 0.003)
        assert placed == grid_placed(k * size, size)
        line = grid.line(k * size)
        lag_s = true_s + 0.003 - line.time_ns((k + 1) * size - 1) * 1e-9
        assert -0.04 < lag_s < MOST_LAG_S + 0.02


def grid_placed(first: int, count: int) -> object:
    from models.signals.live_grid import Placed

    return Placed(first, count)


def test_stamps_on_the_receivers_clock_are_taken_as_they_are() -> None:
    """A radio link of 120 ms: its samples keep the time at which they were taken."""
    grid = LiveGrid(250.0)
    for k in range(3000):
        stamp = 10.0 + ((k + 1) * 10 - 1) / 250.0
        grid.add(10, np.array([stamp]), stamp + 0.12)
        grid.line(k * 10)
    assert grid.line(29_990).time_ns(29_999) * 1e-9 == pytest.approx(10.0 + 29_999 / 250.0, abs=1e-6)


def test_without_stamps_the_arrivals_are_smoothed() -> None:
    rng = np.random.default_rng(3)
    grid, rate = LiveGrid(100.0), 100.0
    for k in range(3000):
        true_s = 5.0 + ((k + 1) * 10 - 1) / rate
        placed = grid.add(10, None, true_s + rng.exponential(0.01) + (0.3 if k == 1500 else 0.0))
        assert placed == grid_placed(k * 10, 10)
        grid.line(k * 10)
    assert abs(grid.line(29_990).time_ns(29_999) * 1e-9 - (5.0 + 29_999 / rate)) < 0.025


def test_a_block_with_a_gap_in_it_is_cut_there() -> None:
    stamps = np.concatenate([np.arange(5), np.arange(5) + 100, np.arange(3) - 1e7]) / 100.0
    assert pieces(stamps, 13, 100.0) == [slice(0, 5), slice(5, 10), slice(10, 13)]
    assert pieces(stamps[:1], 13, 100.0) == [slice(0, 13)] == pieces(None, 13, 100.0)
    assert LEAST_TOLERANCE_S > 0.04


def test_a_line_finds_its_samples() -> None:
    line = Line(123_456_789, 500.1)
    for index in (0, 1, 999, 10**9):
        assert line.index_at(line.time_ns(index)) == index
