"""Figures of merit in plain numpy; NaN where they are undefined, never a made-up number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluation.linear import logistic

Floats = npt.NDArray[np.floating]


def auroc(score: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (ties count half)."""
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def brier(risk: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Mean squared error of the risks [n]; NaN without any."""
    return float(np.mean((risk - positive) ** 2)) if len(risk) else float("nan")


def rank_replicates(
    score: Floats, positive: npt.NDArray[np.bool_], patient_of: npt.NDArray[np.intp], drawn: npt.NDArray[np.integer]
) -> tuple[Floats, Floats]:
    """AUROC and average precision of bootstrap resamples, each [R]; NaN where a resample lacks a class.

    ``drawn`` [R, P] is how often each patient is in a resample (``bootstrap.resampled_patients``; ones: the data
    themselves), patient_of [n] the row of each window in it. The scores are sorted once, a resample only weighs them.
    """
    values, level = np.unique(-score, return_inverse=True)  # high risk first; ties share a level
    sums = np.zeros((2, len(values), drawn.shape[1]))
    np.add.at(sums, (positive.astype(np.intp), level, patient_of), 1.0)
    negative, hits = sums @ drawn.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = np.cumsum(hits, axis=0) - 0.5 * hits
        area = (negative * above).sum(0) / (hits.sum(0) * negative.sum(0))
        called = np.cumsum(hits + negative, axis=0)
        precision = np.where(called > 0, np.cumsum(hits, axis=0) / called, 0.0)
        average = (hits * precision).sum(0) / hits.sum(0)
    return area, average


@dataclass(frozen=True, slots=True)
class RiskCalibration:
    """How far risks are from observed frequencies (Van Calster et al., BMC Med 2019;17:230)."""

    intercept: float  # calibration in the large, log odds: 0 is right, below it risks are too high
    slope: float  # of observed on predicted log odds: 1 is right, below it risks are too extreme
    brier: float
    ece: float  # expected calibration error over ten bins of equal size


def risk_calibration(risk: Floats, positive: npt.NDArray[np.bool_]) -> RiskCalibration:
    """NaN for intercept and slope where there is one class only or all risks are the same."""
    x = log_odds(risk).astype(np.float64)
    both = 0 < positive.sum() < len(positive)
    slope = intercept = float("nan")
    if both:
        intercept = float(logistic(np.empty((len(x), 0)), positive, offset=x)[0])
        slope = float(logistic(x[:, None], positive)[1]) if np.ptp(x) > 1e-9 else slope
    return RiskCalibration(intercept, slope, brier(risk, positive), expected_calibration_error(risk, positive))


def expected_calibration_error(risk: Floats, positive: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Mean |observed − predicted| over bins of equal size by predicted risk."""
    if not len(risk):
        return float("nan")
    return sum(abs(seen - said) * count for said, seen, count in reliability(risk, positive, bins)) / len(risk)


def reliability(risk: Floats, positive: npt.NDArray[np.bool_], bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean predicted risk, observed share and number of windows of bins of equal size; ties stay together."""
    if not len(risk):
        return []
    order = np.argsort(risk, kind="stable")
    edges = np.searchsorted(risk[order], risk[order][np.arange(1, bins) * len(risk) // bins])
    parts = [part for part in np.split(order, np.unique(edges)) if len(part)]
    return [(float(risk[p].mean()), float(positive[p].mean()), len(p)) for p in parts]


def log_odds(risk: Floats) -> Floats:
    """Natural log odds, of risks clipped to [1e-6, 1 − 1e-6]."""
    p = np.clip(np.asarray(risk, np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def at_sensitivity(score: Floats, positive: npt.NDArray[np.bool_], sensitivity: float = 0.8) -> float:
    """The highest threshold (alarm at score ≥ threshold) that reaches the sensitivity; NaN without positives."""
    hits = np.sort(score[positive])[::-1]
    if not len(hits):
        return float("nan")
    return float(hits[max(0, int(np.ceil(sensitivity * len(hits) - 1e-9)) - 1)])


def predictive_value(score: Floats, positive: npt.NDArray[np.bool_], threshold: float) -> tuple[float, float, float]:
    """Positive predictive value, sensitivity and specificity of score ≥ threshold."""
    called = score >= threshold
    hits = float((called & positive).sum())

    def share(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return (
        share(hits, float(called.sum())), share(hits, float(positive.sum())),
        share(float((~called & ~positive).sum()), float((~positive).sum())),
    )  # fmt: skip


def beat_matches(found_s: Floats, truth_s: Floats, tolerance_s: float = 0.1) -> tuple[int, int, int]:
    """Hits, found and true beats; each true beat takes at most one found beat, nearest in time order."""
    hits, j = 0, 0
    for t in truth_s:
        while j < len(found_s) and found_s[j] < t - tolerance_s:
            j += 1
        if j < len(found_s) and found_s[j] <= t + tolerance_s:
            hits, j = hits + 1, j + 1
    return hits, len(found_s), len(truth_s)


def f1(counts: npt.NDArray[np.integer]) -> float:
    """F1 of summed (hits, found, true) counts."""
    hits, found, true = (int(v) for v in counts)
    return 2.0 * hits / (found + true) if found + true else float("nan")


def coverage(value: Floats, lo: Floats, hi: Floats) -> float:
    """Share of values within their interval."""
    return float(np.mean((value >= lo) & (value <= hi))) if len(value) else float("nan")


def token_r2(restored: Floats, target: Floats, mean: Floats) -> float:
    """R² of tokens [..., d] against the training mean [d]."""
    residual = float(((restored - target) ** 2).sum())
    total = float(((target - mean) ** 2).sum())
    return 1.0 - residual / total if total else float("nan")
