"""The ring: an absolute-index memory, held against a dictionary that forgets nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.ring import Ring

CAPACITY = 40
WRITES = st.lists(
    st.tuples(
        st.integers(-60, 300),
        st.lists(st.one_of(st.just(float("nan")), st.integers(0, 9).map(float)), max_size=70),
        st.booleans(),
    ),
    max_size=25,
)


@given(writes=WRITES)
@settings(max_examples=200, deadline=None)
def test_ring_holds_what_a_dictionary_would(writes: list[tuple[int, list[float], bool]]) -> None:
    ring = Ring(CAPACITY)
    truth: dict[int, float] = {}
    duplicates = 0
    for first, values, merge in writes:
        array = np.array(values, np.float32)
        oldest = ring.first if len(truth) or ring.end else -(10**9)
        before = dict(truth)
        changed = ring.merge(first, array) if merge else ring.assign(first, array)
        oldest = ring.first if len(values) else oldest
        for i, value in enumerate(values, first):
            if i < oldest:
                continue
            held = before.get(i, np.nan)
            if merge and not np.isnan(held):
                duplicates += not np.isnan(value)
            else:
                truth[i] = value
        truth = {i: v for i, v in truth.items() if i >= oldest}
        if merge and changed is not None:
            lo, hi = changed
            for i in set(truth) | set(before):
                same = np.array_equal(truth.get(i, np.nan), before.get(i, np.nan), equal_nan=True)
                assert same or lo <= i < hi or i < oldest
    if ring.end:
        assert ring.first <= ring.end - CAPACITY
    lo, hi = -80, 420
    expected = np.array([truth.get(i, np.nan) for i in range(lo, hi)], np.float32)
    np.testing.assert_array_equal(ring.read(lo, hi), expected)
    assert ring.duplicates == duplicates


def test_memory_is_bounded_and_slides() -> None:
    ring = Ring(1000)
    for k in range(0, 100_000, 7):
        ring.merge(k, np.arange(k, k + 7, dtype=np.float32))
    assert len(ring.view(ring.first, ring.first + 2000)) == 2000
    np.testing.assert_array_equal(ring.read(99_500, 99_990), np.arange(99_500, 99_990, dtype=np.float32))
    assert np.isnan(ring.read(0, 10)).all()


def test_far_jump_forgets_everything_in_between() -> None:
    ring = Ring(100)
    ring.merge(0, np.ones(50, np.float32))
    ring.merge(10**12, np.full(5, 2.0, np.float32))
    assert np.isnan(ring.read(0, 50)).all()
    np.testing.assert_array_equal(ring.read(10**12 - 1, 10**12 + 6), np.float32([np.nan, 2, 2, 2, 2, 2, np.nan]))


def test_nan_never_erases_and_the_first_sample_stays() -> None:
    ring = Ring(10)
    assert ring.merge(0, np.float32([1, np.nan, 3])) == (0, 3)
    assert ring.merge(0, np.float32([9, 2, np.nan])) == (1, 2)
    assert ring.merge(0, np.float32([1, 2, 3])) is None
    np.testing.assert_array_equal(ring.read(0, 3), np.float32([1, 2, 3]))
    assert ring.duplicates == 4


def test_view_cannot_be_written() -> None:
    ring = Ring(10)
    ring.merge(0, np.ones(5, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        ring.view(0, 5)[0] = 0.0
    ring.read(0, 5)[0] = 0.0


def test_capacity_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ring(0)
