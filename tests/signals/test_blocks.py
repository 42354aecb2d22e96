"""The building blocks of the beat detectors against plain computations of the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.blocks import LEVEL_BIN_S, local_level, median, strongest_apart

RATE = 100


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 6)), max_size=60),
    st.sampled_from([1.0, 20.0, 24.0, 35.5]),
)
def test_the_strongest_that_lie_apart(drawn: list[tuple[int, int]], least: float) -> None:
    """One after the other, strongest first, the earlier of equals; kept where all kept before are far enough."""
    positions = np.unique([at for at, _ in drawn]).astype(np.intp)
    strength = np.array([height for _, height in drawn], dtype=np.float64)[: len(positions)]
    kept: list[int] = []
    for i in sorted(range(len(positions)), key=lambda i: (-strength[i], i)):
        if all(abs(positions[i] - positions[k]) >= least for k in kept):
            kept.append(i)
    assert strongest_apart(positions, strength, least).tolist() == sorted(kept)


@pytest.mark.parametrize("seconds", [0.7, 9.99, 12.5, 15.0, 20.0, 60.0])
@pytest.mark.parametrize("quiet", [False, True])
def test_the_local_level(seconds: float, quiet: bool) -> None:
    """The median of the maxima of five bins, of those that hold anything; between the middles of bins a line."""
    rng = np.random.default_rng(round(10 * seconds))
    strength = rng.exponential(size=round(seconds * RATE))
    if quiet:
        strength[len(strength) // 3 : 2 * len(strength) // 3] = 0.0
    bins = max(1, int(len(strength) // (LEVEL_BIN_S * RATE)))
    edges = [int(edge) for edge in np.linspace(0, len(strength), bins + 1)]
    peaks = [max(strength[a:b]) for a, b in itertools.pairwise(edges)]

    def level(around: list[float]) -> float:
        present = [peak for peak in around if peak > 0]
        return float(np.median(present)) if present else 0.0

    if bins <= 5:
        expected = np.full(len(strength), level(peaks))
    else:
        mirrored = [peaks[2], peaks[1], *peaks, peaks[-2], peaks[-3]]
        middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
        expected = np.interp(range(len(strength)), middles, [level(mirrored[i : i + 5]) for i in range(bins)])
    assert np.array_equal(local_level(strength, RATE), expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_the_median(values: list[float]) -> None:
    given = np.array(values)
    before = given.copy()
    assert median(given) == float(np.median(given)) and np.array_equal(given, before)
