"""Stretches without data that channels have in common, against a grid of tenths of a second."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.signals.gaps import Stretch, common, stretch_at, with_ends

EDGES = st.lists(st.integers(0, 100), unique=True, max_size=12).map(sorted)


def stretches(edges: list[int]) -> tuple[Stretch, ...]:
    return tuple(zip(edges[::2], edges[1::2], strict=False))


def mask(found: tuple[Stretch, ...]) -> np.ndarray:
    out = np.zeros(100, bool)
    for begin, end in found:
        out[int(begin) : int(end)] = True
    return out


@given(st.lists(EDGES, min_size=1, max_size=4))
def test_common_is_the_intersection(lists: list[list[int]]) -> None:
    each = [stretches(edges) for edges in lists]
    found = common(each)
    np.testing.assert_array_equal(mask(found), np.logical_and.reduce([mask(one) for one in each]))
    assert all(a < b for a, b in found)
    assert all(a[1] <= b[0] for a, b in pairwise(found))
    for time in range(100):
        assert (stretch_at(found, time) is not None) == bool(mask(found)[time])


def test_nothing_in_common_of_nothing() -> None:
    assert common([]) == ()


def test_a_channel_is_missing_before_it_begins_and_after_it_ends() -> None:
    assert with_ends([(4, 5)], 2, 8, 10) == ((0.0, 2), (4, 5), (8, 10))
    assert with_ends([], 0, 10, 10) == ()
