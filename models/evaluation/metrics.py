"""Figures of merit in plain numpy; NaN where they are undefined, never a made-up number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def auroc(score: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (ties count half)."""
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    if not n_pos or not n_neg:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def auprc(score: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Average precision; thresholds between tied scores are not used."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits, called = hits[last_of_tie], np.flatnonzero(last_of_tie) + 1
    gain = np.diff(hits, prepend=0) / hits[-1]
    return float((gain * hits / called).sum())


def brier(risk: Floats, positive: npt.NDArray[np.bool_]) -> float:
    return float(np.mean((risk - positive) ** 2)) if len(risk) else float("nan")


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
