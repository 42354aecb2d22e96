"""Donors: the last whole window before a loss, of the same study, that holds nothing of what was taken away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.donors import NONE, Donors, since_loss
from models.data.missingness import NEVER

M, N, STEP = 3, 5, 3


def world(seed: int):
    """Windows of three studies in random order, some frames missing: whole [W, M], study, end."""
    rng = np.random.default_rng(seed)
    study = rng.integers(0, 3, 60)
    end = rng.integers(15, 120, 60)
    return rng, rng.random((60, M)) > 0.3, study, end


@given(st.integers(0, 10_000))
def test_the_donor_is_the_latest_whole_window_that_ended_before_the_loss(seed):
    rng, whole, study, end = world(seed)
    rows = rng.integers(0, 60, 20)
    ages = rng.integers(0, 100, (20, M)).astype(float)
    ages[rng.random(ages.shape) < 0.1] = NEVER
    found = Donors(whole, study, end)(rows, ages)
    for i, row in enumerate(rows):
        for m in range(M):
            before = end[row] - max(ages[i, m], 1.0)
            allowed = np.flatnonzero(whole[:, m] & (study == study[row]) & (end <= before))
            if len(allowed):
                assert end[found[i, m]] == end[allowed].max() and found[i, m] in allowed
            else:
                assert found[i, m] == NONE


def test_a_loss_before_the_study_began_finds_nothing_in_the_study_before_it():
    donors = Donors(np.ones((2, 1), bool), np.array([0, 1]), np.array([100, 30]))
    assert donors(np.array([1]), np.array([[500.0]])).tolist() == [[NONE]]
    assert donors(np.array([1]), np.array([[0.0]])).tolist() == [[NONE]]


@pytest.mark.parametrize("frame_s", [3, 4])  # one after another, overlapping
@given(st.integers(0, 10_000))
def test_no_donor_holds_a_frame_that_was_taken(frame_s, seed):
    rng = np.random.default_rng(seed)
    recorded = rng.random((8, M, N)) > 0.1
    ages = np.where(rng.random((8, M)) < 0.5, rng.integers(0, 30, (8, M)), 0).astype(float)
    end_before = (N - 1 - np.arange(N)) * STEP
    by_age = recorded & ~(ages[..., None] > end_before)
    left = by_age & (rng.random(recorded.shape) > 0.3)
    since = since_loss(recorded, left, ages, STEP, frame_s)
    assert (since >= ages).all()
    scattered = by_age & ~left  # lost here and there: nothing of them may be seen
    assert (since[..., None] >= np.where(scattered, end_before + frame_s, 0)).all()
    np.testing.assert_array_equal(since_loss(recorded, by_age, ages, STEP, frame_s), ages)


def test_a_frame_lost_now_and_then_counts_from_the_first_of_them():
    recorded = np.ones((1, 1, N), bool)
    left = recorded.copy()
    left[0, 0, [1, 3]] = False
    assert since_loss(recorded, left, np.zeros((1, 1)), STEP, 3).tolist() == [[12.0]]  # frame 1 begins there
    assert since_loss(recorded, left, np.full((1, 1), 40.0), STEP, 3).tolist() == [[40.0]]
    assert since_loss(recorded & left, left, np.zeros((1, 1)), STEP, 3).tolist() == [[0.0]]  # the recording lacks them
