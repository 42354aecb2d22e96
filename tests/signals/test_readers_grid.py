"""Placing blocks on the absolute grid: nothing lost, nothing twice, nothing glued over a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.readers.grid import BlockGrid, clip_range, place_blocks


def expand(grid: BlockGrid) -> np.ndarray:
    """Stored place of each grid index, -1 in gaps."""
    out = np.full(grid.samples, -1)
    for index, place, count in grid.pieces(0, grid.samples):
        assert np.all(out[index : index + count] == -1)
        out[index : index + count] = np.arange(place, place + count)
    return out


rates = st.sampled_from([62.5, 100.0, 125.0, 128.0, 240.0, 500.0, 1000.0])


@st.composite
def packets(draw):
    """True first indices of blocks (gaps of more than two samples between some), their lengths, and jitter."""
    lengths = draw(st.lists(st.integers(1, 200), min_size=1, max_size=40))
    gaps = draw(st.lists(st.one_of(st.just(0), st.integers(4, 5000)), min_size=len(lengths), max_size=len(lengths)))
    jitter = draw(st.lists(st.floats(-0.49, 0.49), min_size=len(lengths), max_size=len(lengths)))
    lengths, gaps = np.array(lengths), np.array(gaps)
    gaps[0] = 0
    first = np.cumsum(gaps) + np.cumsum(lengths) - lengths
    return first, lengths, gaps, np.array(jitter)


@given(packets(), rates, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_sample_once_in_order_with_jitter_of_half_a_sample(data, rate: float, random) -> None:
    first, lengths, gaps, jitter = data
    times = 4.1e9 + (first + jitter) / rate  # epoch seconds, as .vital files have them
    order = list(range(len(first)))
    random.shuffle(order)
    used, grid = place_blocks(times[order], lengths[order], rate)
    assert used == rate
    assert grid.dropped == 0
    filled = expand(grid)
    stored_at = np.empty(len(first), dtype=int)  # where each block lies in the shuffled store
    stored_at[order] = np.cumsum(lengths[order]) - lengths[order]
    expected = np.concatenate([stored_at[k] + np.arange(lengths[k]) for k in range(len(first))])
    np.testing.assert_array_equal(filled[filled >= 0], expected)  # all of them, once, in the order of time
    found = [end - begin for begin, end in grid.gaps()]
    wanted = [g for g in gaps if g]
    assert len(found) == len(wanted)
    assert all(abs(f - w) <= 2 for f, w in zip(found, wanted, strict=True))


@given(packets(), rates)
@settings(deadline=None)
def test_exact_times_give_exact_places(data, rate: float) -> None:
    first, lengths, _, _ = data
    _, grid = place_blocks(4.1e9 + first / rate, lengths, rate)
    expected = np.full(int(first[-1] + lengths[-1]), -1)
    place = 0
    for begin, count in zip(first, lengths, strict=True):
        expected[begin : begin + count] = np.arange(place, place + count)
        place += count
    np.testing.assert_array_equal(expand(grid), expected)


@pytest.mark.parametrize("error", [3e-4, -3e-4, 2e-3, -2e-3])
def test_the_true_rate_of_a_drifting_recorder_is_found(error: float) -> None:
    true_rate = 125 * (1 + error)
    lengths = np.full(2000, 125)
    times = 1.6e9 + np.arange(2000) * 125 / true_rate
    rate, grid = place_blocks(times, lengths, 125.0)
    assert rate == pytest.approx(true_rate, rel=1e-6)
    assert grid.gaps() == []
    assert grid.dropped == 0
    assert grid.samples == lengths.sum()


def test_real_losses_are_gaps_not_drift() -> None:
    first = np.cumsum(np.full(500, 135)) - 135  # ten samples lost after each block of 125
    rate, grid = place_blocks(first / 125.0, np.full(500, 125), 125.0)
    assert rate == 125.0
    assert [b - a for a, b in grid.gaps()] == [10] * 499


def test_a_block_stored_twice_is_taken_once() -> None:
    _, grid = place_blocks(np.array([0.0, 1.0, 1.0, 2.0]), np.array([100, 100, 100, 100]), 100.0)
    assert grid.dropped == 100
    np.testing.assert_array_equal(expand(grid), np.r_[0:200, 300:400])


def test_a_clock_set_back_drops_only_what_overlaps() -> None:
    # the second block begins half a second before the first one's end
    _, grid = place_blocks(np.array([0.0, 0.5]), np.array([100, 100]), 100.0)
    assert grid.dropped == 50
    np.testing.assert_array_equal(expand(grid), np.r_[0:100, 150:200])


def test_late_blocks_within_the_tolerance_are_not_lost() -> None:
    times = np.array([0.0, 0.985, 1.99, 3.5])
    _, grid = place_blocks(times, np.full(4, 100), 100.0)
    assert grid.dropped == 0
    np.testing.assert_array_equal(expand(grid)[:300], np.arange(300))
    assert grid.gaps() == [(300, 350)]


@given(
    st.lists(st.floats(0, 1e5), min_size=0, max_size=30),
    st.data(),
)
@settings(deadline=None)
def test_anything_is_placed_without_overlap(times: list[float], data) -> None:
    lengths = np.array(data.draw(st.lists(st.integers(0, 50), min_size=len(times), max_size=len(times))), dtype=int)
    _, grid = place_blocks(np.array(times), lengths, 100.0)
    assert np.all(grid.first[1:] >= grid.first[:-1] + grid.length[:-1])
    assert int(grid.length.sum()) + grid.dropped == lengths.sum()
    places = np.concatenate([np.arange(o, o + n) for o, n in zip(grid.offset, grid.length, strict=True)] or [[]])
    assert len(np.unique(places)) == len(places)


@given(
    st.floats(0, 1e6),
    rates,
    st.integers(0, 10_000_000),
    st.integers(-1000, 10_000_000),
    st.integers(0, 100_000),
)
def test_range_on_sample_times_is_exact(start: float, rate: float, samples: int, first: int, count: int) -> None:
    begin, end = clip_range(start, rate, samples, start + first / rate, start + (first + count) / rate)
    assert begin == min(max(first, 0), samples)
    assert end == max(begin, min(max(first + count, 0), samples))


def test_range_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        clip_range(0.0, 100.0, 10, 0.0, float("inf"))
