"""Figures of merit against worked examples, brute force and data made with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.metrics import (
    at_sensitivity,
    auroc,
    expected_calibration_error,
    log_odds,
    predictive_value,
    rank_replicates,
    reliability,
    risk_calibration,
)

SCORED = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40)


def average_precision(score, positive):
    """By its definition: the precision at each threshold, weighed by the recall that is gained there."""
    total = recall = 0.0
    for threshold in np.unique(score)[::-1]:
        called = score >= threshold
        reached = positive[called].sum() / positive.sum()
        total, recall = total + (reached - recall) * positive[called].mean(), reached
    return total


def test_ranks_on_known_cases():
    score, label = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    one, once = np.zeros(4, np.intp), np.ones((1, 1), np.intp)
    area, average = rank_replicates(score, label, one, once)
    assert area == [0.75] and average == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])
    tied = rank_replicates(np.ones(4), label, one, once)
    assert tied[0] == tied[1] == [0.5]
    assert np.isnan(rank_replicates(score, np.zeros(4, bool), one, once)).all()


@given(SCORED, st.integers(0, 100))
def test_replicates_are_the_figures_of_the_repeated_rows(rows, seed):
    score, positive, patient = (np.array(v) for v in zip(*rows, strict=True))
    drawn = np.random.default_rng(seed).multinomial(4, [0.25] * 4, size=5)
    areas, averages = rank_replicates(score.astype(float), positive, patient, drawn)
    for counts, area, average in zip(drawn, areas, averages, strict=True):
        repeated = np.repeat(np.arange(len(score)), counts[patient])
        s, y = score[repeated].astype(float), positive[repeated]
        np.testing.assert_allclose(area, auroc(s, y), atol=1e-12)
        if y.any():
            np.testing.assert_allclose(average, average_precision(s, y), atol=1e-12)
        else:
            assert np.isnan(average)


def test_true_risks_are_calibrated_and_distorted_ones_are_not():
    rng = np.random.default_rng(0)
    risk = 1 / (1 + np.exp(-rng.normal(-1, 1.5, 40_000)))
    happened = rng.random(40_000) < risk
    right = risk_calibration(risk, happened)
    assert right.intercept == pytest.approx(0, abs=0.05) and right.slope == pytest.approx(1, abs=0.05)
    assert right.ece < 0.01
    extreme = 1 / (1 + np.exp(-2 * log_odds(risk)))
    assert risk_calibration(extreme, happened).slope == pytest.approx(0.5, abs=0.03)
    high = 1 / (1 + np.exp(-(log_odds(risk) + 1)))
    too_high = risk_calibration(high, happened)
    assert too_high.intercept == pytest.approx(-1, abs=0.05) and too_high.slope == pytest.approx(1, abs=0.05)
    assert too_high.ece > 0.1 > right.ece and too_high.brier > right.brier


def test_calibration_of_one_class_or_one_risk_is_unknown_not_invented():
    risk = np.array([0.1, 0.2, 0.3])
    none = risk_calibration(risk, np.zeros(3, bool))
    assert np.isnan(none.slope) and np.isnan(none.intercept) and none.ece == pytest.approx(0.2)
    same = risk_calibration(np.full(4, 0.25), np.array([True, False, False, False]))
    assert np.isnan(same.slope) and same.intercept == pytest.approx(0, abs=1e-6) and same.ece == 0.0
    assert np.isnan(expected_calibration_error(np.empty(0), np.empty(0, bool)))


def test_reliability_keeps_ties_together_and_counts_everything():
    risk = np.array([0.5] * 7 + [0.1, 0.9, 0.9])
    parts = reliability(risk, risk > 0.4, 5)
    assert sum(count for *_, count in parts) == 10
    assert [round(said, 3) for said, *_ in parts] == [0.1, 0.5, 0.9]


def test_threshold_of_a_sensitivity_by_hand():
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    positive = np.array([True, False, True, True, True, True])
    threshold = at_sensitivity(score, positive, 0.8)
    assert threshold == 0.5
    value, sensitivity, specificity = predictive_value(score, positive, threshold)
    assert (value, sensitivity, specificity) == (0.8, 0.8, 0.0)
    assert np.isnan(at_sensitivity(score, np.zeros(6, bool)))
    assert np.isnan(predictive_value(score, positive, 2.0)[0])
