"""Labels of real recordings: what nobody saw is unknown, never a negative; depth is the index of a moment later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.labels import PressureTrack, hypotension_labels, hypotensive_events
from models.data.recorded_labels import IndexTrack, depth_labels, gaps_as_low, labels_with_gaps


def track(mean: np.ndarray, seen: np.ndarray | None = None) -> PressureTrack:
    """One beat a second with this MAP; ``seen`` False: no valid beat."""
    seconds = np.flatnonzero(np.ones(len(mean), bool) if seen is None else seen)
    values = np.asarray(mean, float)[seconds]
    return PressureTrack(seconds + 0.5, np.ones(len(seconds)), values, values + 30, values - 20)


def test_without_gaps_labels_are_those_of_complete_signals() -> None:
    mean = np.full(4000, 80.0)
    mean[1500:1600] = 60.0
    at = np.arange(60.0, 4000.0, 20.0)
    labels, now = labels_with_gaps(track(mean), at, 4000.0)
    plain, plain_now = hypotension_labels(hypotensive_events(track(mean)), at, 4000.0)
    np.testing.assert_array_equal(labels, plain)
    np.testing.assert_array_equal(now, plain_now)
    assert np.nansum(labels[:, 0]) == 300 / 20 + now.sum()


def test_a_gap_that_can_hide_an_event_makes_no_negative() -> None:
    mean, seen = np.full(4000, 80.0), np.ones(4000, bool)
    seen[2000:2090] = False
    at = np.array([1000.0, 1650.0, 1699.0, 1701.0, 1999.0, 2050.0, 2100.0])
    labels, now = labels_with_gaps(track(mean, seen), at, 4000.0)
    # An onset at 2000 would lie in (t, t + 300] from t = 1700 on; until the gap's end it could be under way.
    np.testing.assert_array_equal(labels[:, 0], [0, 0, 0, np.nan, np.nan, np.nan, 0])
    np.testing.assert_array_equal(labels[:, 2], [0, np.nan, np.nan, np.nan, np.nan, np.nan, 0])
    assert not now.any()


def test_a_short_gap_hides_an_event_only_beside_low_pressure() -> None:
    mean, seen = np.full(3000, 80.0), np.ones(3000, bool)
    seen[1000:1040] = False  # 40 s
    labels, _ = labels_with_gaps(track(mean, seen), np.array([900.0]), 3000.0)
    np.testing.assert_array_equal(labels[0], [0, 0, 0])
    mean[1040:1065] = 60.0  # 25 s of low pressure after it: together 65 s
    labels, _ = labels_with_gaps(track(mean, seen), np.array([600.0, 900.0, 1050.0, 1070.0]), 3000.0)
    np.testing.assert_array_equal(labels[:, 0], [0, np.nan, np.nan, 0])


def test_an_event_that_was_seen_stays_one_beside_a_gap() -> None:
    mean, seen = np.full(3000, 80.0), np.ones(3000, bool)
    mean[1000:1100] = 60.0
    seen[900:980] = False
    labels, now = labels_with_gaps(track(mean, seen), np.array([850.0, 950.0, 990.0, 1050.0]), 3000.0)
    np.testing.assert_array_equal(labels[:, 0], [1, 1, 1, 1])
    np.testing.assert_array_equal(now, [False, False, False, True])


def test_no_pressure_at_all_is_unlabelled() -> None:
    labels, now = labels_with_gaps(track(np.empty(0)), np.array([30.0, 60.0, 2000.0]), 3000.0)
    assert np.isnan(labels).all()
    assert not now.any()


@given(st.integers(0, 2**31), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_label_that_remains_is_the_one_of_the_whole_signal(seed: int, gaps: int) -> None:
    rng = np.random.default_rng(seed)
    mean = 70.0 + np.cumsum(rng.normal(0, 1.0, 3000)).clip(-20, 20)
    seen = np.ones(3000, bool)
    for _ in range(gaps):
        start = rng.integers(0, 2900)
        seen[start : start + rng.integers(11, 300)] = False  # shorter ones are bridged by the definition of an event
    at = np.arange(30.0, 3000.0, 30.0)
    truth, _ = labels_with_gaps(track(mean), at, 3000.0)
    found, _ = labels_with_gaps(track(mean, seen), at, 3000.0)
    known = np.isfinite(found)
    np.testing.assert_array_equal(found[known], truth[known])


def test_gaps_are_found_at_both_ends() -> None:
    filled = gaps_as_low(track(np.full(100, 80.0), np.arange(100) >= 30), 150.0)
    low = filled.mean == 0.0
    np.testing.assert_allclose(filled.time_s[low], [15.0, 125.0])
    np.testing.assert_allclose(filled.length_s[low], [30.0, 50.0])
    assert (np.diff(filled.time_s) > 0).all()


def test_depth_is_the_index_shown_later_where_its_quality_is_good() -> None:
    seconds = np.arange(0.0, 300.0)
    quality = np.where((seconds >= 100) & (seconds < 150), 49.0, 50.0)
    index = IndexTrack(seconds, 100.0 - seconds / 4, seconds, quality)
    at = np.array([30.0, 65.0, 75.0, 119.0, 121.0, 269.0, 272.0, 400.0])
    found = depth_labels(index, at, 30.0)
    expected = [85.0, 76.25, np.nan, np.nan, 62.25, 25.25, np.nan, np.nan]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(depth_labels(index, at[:1], 0.0), [92.5])


@pytest.mark.parametrize("value", [-1.0, 101.0, np.nan])
def test_an_index_out_of_range_is_no_depth(value: float) -> None:
    index = IndexTrack(np.array([60.0]), np.array([value]), np.array([60.0]), np.array([90.0]))
    assert np.isnan(depth_labels(index, np.array([30.0]), 30.0)).all()
    nothing = IndexTrack(np.empty(0), np.empty(0), np.empty(0), np.empty(0))
    assert np.isnan(depth_labels(nothing, np.array([30.0]), 30.0)).all()
