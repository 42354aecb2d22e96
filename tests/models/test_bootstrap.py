"""Patient-cluster bootstrap: known standard errors, clustering, pairing, NaN, ratios."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.bootstrap import (
    additive_bootstrap,
    difference_interval,
    mean_interval,
    patient_bootstrap,
    ratio_interval,
)


def test_width_follows_patients_not_windows() -> None:
    """60 patients of sd 2 whose 50 windows are copies: the standard error is 2/√60, not 2/√3000."""
    rng = np.random.default_rng(1)
    level = rng.normal(0.0, 2.0, 60)
    patient, values = np.repeat(np.arange(60), 50), np.repeat(level, 50)
    found = mean_interval(patient, values, 4000, np.random.default_rng(2))
    expected = 2 * 1.96 * level.std() / np.sqrt(60)
    assert found.estimate == pytest.approx(level.mean())
    assert found.hi - found.lo == pytest.approx(expected, rel=0.08)


def test_general_and_additive_agree() -> None:
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 30, 400)
    values = rng.normal(size=400) + patient * 0.05
    general = patient_bootstrap(patient, lambda rows: float(values[rows].mean()), 3000, np.random.default_rng(4))
    additive = mean_interval(patient, values, 3000, np.random.default_rng(5))
    assert general == pytest.approx(additive, abs=0.02)


def test_statistic_sees_whole_patients() -> None:
    patient = np.repeat(np.array(["a", "b", "c", "d", "e", "f"]), [1, 2, 3, 4, 5, 6])
    seen: list[np.ndarray] = []

    def statistic(rows: np.ndarray) -> float:
        seen.append(rows)
        return 0.0

    patient_bootstrap(patient, statistic, 20, np.random.default_rng(0))
    assert np.array_equal(seen[0], np.arange(21))
    for rows in seen[1:]:
        counts = np.bincount(rows, minlength=21)
        for name in "abcdef":
            assert len(set(counts[patient == name])) == 1


def test_nan_rows_and_undefined_resamples() -> None:
    patient = np.repeat(np.arange(8), 5)
    values = np.where(np.arange(40) % 2 == 0, 1.0, np.nan)
    assert mean_interval(patient, values) == pytest.approx((1.0, 1.0, 1.0))
    assert np.isnan(mean_interval(patient, np.full(40, np.nan))).all()
    rare = patient_bootstrap(patient, lambda rows: 1.0 if (rows == 0).sum() == 3 else float("nan"), 200)
    assert np.isnan(rare.lo) and np.isnan(rare.hi)


def test_few_patients_give_an_estimate_without_interval() -> None:
    found = mean_interval([0, 1, 2, 3], [1.0, 2.0, 3.0, 4.0])
    assert found.estimate == 2.5 and np.isnan(found.lo) and not found.excludes(0.0)
    assert np.isnan(patient_bootstrap([], lambda rows: 1.0)).all()


def test_paired_difference_is_narrower_than_its_parts() -> None:
    rng = np.random.default_rng(6)
    patient = np.repeat(np.arange(40), 10)
    hard = rng.normal(5.0, 3.0, 40)[patient]
    ours, theirs = hard + rng.normal(size=400), hard + 0.5 + rng.normal(size=400)
    found = difference_interval(patient, ours, theirs)
    assert found.excludes(0.0) and found.estimate == pytest.approx(-0.5, abs=0.2)
    assert found.hi - found.lo < 0.3 * (mean_interval(patient, ours).hi - mean_interval(patient, ours).lo)


def test_ratio_only_where_the_denominator_is_not_noise() -> None:
    rng = np.random.default_rng(7)
    patient = np.repeat(np.arange(50), 8)
    gain = rng.normal(2.0, 0.5, 400)
    found = ratio_interval(patient, 0.6 * gain, gain)
    assert found.estimate == pytest.approx(0.6) and found.lo == pytest.approx(0.6)
    noise = rng.normal(0.0, 1.0, 400)
    noise -= noise.mean()
    assert np.isnan(ratio_interval(patient, gain, noise)).all()


def test_r2_as_a_function_of_sums() -> None:
    rng = np.random.default_rng(8)
    patient = np.repeat(np.arange(20), 10)
    truth = rng.normal(size=200)
    guess = truth + 0.5 * rng.normal(size=200)
    terms = np.stack([(truth - guess) ** 2, truth**2], 1)
    estimate, lo, hi = additive_bootstrap(patient, terms, lambda s: 1 - s[:, 0] / s[:, 1])
    assert estimate[0] == pytest.approx(1 - terms[:, 0].sum() / terms[:, 1].sum())
    assert lo[0] < estimate[0] < hi[0] < 1.0


def test_seeds_are_resampled_jointly() -> None:
    """Three seeds with the same patients are worth one, as far as patients go."""
    level = np.random.default_rng(9).normal(size=40)
    one = mean_interval(np.arange(40), level, 4000, np.random.default_rng(1))
    three = mean_interval(np.tile(np.arange(40), 3), np.tile(level, 3), 4000, np.random.default_rng(2))
    assert three.hi - three.lo == pytest.approx(one.hi - one.lo, rel=0.1)
