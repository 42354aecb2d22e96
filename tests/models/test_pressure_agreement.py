"""Agreement of pressures: worked by hand, and recovered from data made with known variances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.pressure_agreement import bland_altman, four_quadrant, trending


def test_worked_by_hand():
    """Differences 1, 3 | 5, 7, 9: MS within = (2 + 8)/3, MS between = 2·3² + 3·2² = 30, m0 = (25 − 13)/5 = 2.4."""
    difference = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    found = bland_altman(80 + difference, np.full(5, 80.0), ["a", "a", "b", "b", "b"])
    within, between = 10 / 3, (30 - 10 / 3) / 2.4
    assert (found.pairs, found.patients, found.bias) == (5, 2, 5.0)
    assert found.within_sd**2 == pytest.approx(within) and found.between_sd**2 == pytest.approx(between)
    assert found.sd**2 == pytest.approx(within + between)
    assert found.upper == pytest.approx(5 + 1.96 * np.sqrt(within + between))
    assert found.mae == 5.0 and found.rmse == pytest.approx(np.sqrt(33.0))


def test_recovers_the_variances_that_the_data_were_made_with():
    rng = np.random.default_rng(1)
    counts = rng.integers(5, 60, 800)
    patient = np.repeat(np.arange(800), counts)
    reference = rng.normal(80, 15, len(patient))
    estimate = reference + 2.0 + rng.normal(0, 4, 800)[patient] + rng.normal(0, 3, len(patient))
    found = bland_altman(estimate, reference, patient)
    assert found.bias == pytest.approx(2.0, abs=0.4)
    assert found.between_sd == pytest.approx(4.0, rel=0.07) and found.within_sd == pytest.approx(3.0, rel=0.02)
    assert found.sd == pytest.approx(5.0, rel=0.05)


def test_repeated_measures_are_wider_than_pretending_that_pairs_are_independent():
    """The naive SD of few patients with many readings underestimates: here one patient owns most pairs."""
    patient = np.repeat([0, 1, 2], [1000, 10, 10])
    difference = np.array([0.0, 10.0, -10.0])[patient]
    found = bland_altman(difference, np.zeros(len(patient)), patient)
    assert found.sd > 3 * difference.std()


def test_nan_pairs_are_left_out_and_little_data_gives_nan():
    found = bland_altman(np.array([1.0, np.nan, 3.0]), np.array([0.0, 0.0, 0.0]), [0, 0, 0])
    assert (found.pairs, found.patients, found.bias) == (2, 1, 2.0) and np.isnan(found.between_sd)
    assert found.sd == pytest.approx(np.sqrt(2.0))
    empty = bland_altman(np.full(3, np.nan), np.zeros(3), [0, 1, 2])
    assert empty.pairs == 0 and np.isnan(empty.bias) and np.isnan(empty.upper)
    one_each = bland_altman(np.array([1.0, 2.0, 6.0]), np.zeros(3), [0, 1, 2])
    assert one_each.sd == pytest.approx(np.std([1, 2, 6], ddof=1)) and np.isnan(one_each.within_sd)


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 4)), min_size=3, max_size=40), st.floats(-20, 20))
def test_a_shift_moves_the_bias_and_nothing_else(pairs, shift):
    difference, patient = np.array([p[0] for p in pairs]), [p[1] for p in pairs]
    zero = np.zeros(len(pairs))
    a, b = bland_altman(difference, zero, patient), bland_altman(difference + shift, zero, patient)
    assert b.bias - a.bias == pytest.approx(shift, abs=1e-6)
    assert b.sd == pytest.approx(a.sd, abs=1e-5, nan_ok=True) and (np.isnan(a.sd) or a.sd >= 0)


def test_quadrants_by_hand():
    changes = np.array([[6.0, 8.0], [-7.0, -6.0], [6.0, -9.0], [1.0, 2.0], [0.0, 12.0], [-4.0, 4.0]])
    found = trending(changes)
    assert (found.changes, found.counted) == (6, 4)  # [1, 2] and [-4, 4] lie within the square zone
    assert found.concordance == 0.5  # a held value (0 against 12) is not concordant


def test_changes_are_within_patients_over_the_step_and_do_not_overlap():
    time = np.array([0.0, 30.0, 60.0, 120.0, 1000.0, 1060.0, 0.0, 60.0])
    patient = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    reference = np.array([80.0, 0.0, 90.0, 80.0, 60.0, 70.0, 50.0, 60.0])
    found = four_quadrant(reference * 2 + 3, reference, patient, time)
    assert found.changes == 4  # 0→60, 60→120, (120→1000 is too long), 1000→1060; 0→60 of the other patient
    assert found.concordance == 1.0 and found.slope == pytest.approx(2.0) and found.correlation == pytest.approx(1.0)
    order = np.random.default_rng(0).permutation(8)
    assert four_quadrant((reference * 2 + 3)[order], reference[order], patient[order], time[order]) == found
    nothing = four_quadrant(np.full(8, np.nan), reference, patient, time)
    assert nothing.changes == 0 and np.isnan(nothing.concordance)


def test_hold_has_slope_zero():
    rng = np.random.default_rng(0)
    reference = 80 + np.cumsum(rng.normal(0, 4, 200))
    found = four_quadrant(np.full(200, 80.0), reference, np.zeros(200), 60.0 * np.arange(200))
    assert found.slope == 0.0 and found.concordance == 0.0 and np.isnan(found.correlation)
