"""Linear fits in closed form or nearly: the ridge and the logistic regression of every probe, read-out and baseline.

Ridge: Hoerl & Kennard, Technometrics 1970;12:55. Logistic regression by Newton's method (iteratively reweighted least
squares). Inputs are float64; nothing here knows NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Ridge penalties a row that :func:`choose_penalty` tries, for inputs of unit variance."""

Floats = npt.NDArray[np.float64]


def ridge(x: Floats, y: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Weights [p, q] and offset [q] of y [n, q] ≈ x W + b (or [p] and a number of y [n]); the penalty is a row's, on
    inputs of unit variance. A constant input has no weight."""
    centre, scale = _standard(x)
    z, middle = (x - centre) * scale, y.mean(0)
    gram = z.T @ z
    gram[np.diag_indices_from(gram)] += penalty * len(x)
    weights = np.linalg.solve(gram, z.T @ (y - middle))
    weights = weights * (scale if weights.ndim == 1 else scale[:, None])
    return weights, middle - centre @ weights


def choose_penalty(
    x: Floats, y: Floats, patient: npt.NDArray[np.intp], penalties: Sequence[float] = PENALTIES, default: float = 1.0
) -> float:
    """The penalty by which every fourth patient is predicted best from the others (mean squared error, each output in
    units of its spread); one factorisation serves all. With no patient on one of the sides it is ``default``."""
    held = np.isin(patient, np.unique(patient)[::4])
    if held.all() or not held.any():
        return default
    y = y if y.ndim == 2 else y[:, None]
    centre, scale = _standard(x[~held])
    z, middle = (x - centre) * scale, y[~held].mean(0)
    values, vectors = np.linalg.eigh(z[~held].T @ z[~held])
    inside, outside = vectors.T @ (z[~held].T @ (y[~held] - middle)), z[held] @ vectors
    spread, rows = y[~held].std(0) + 1e-9, int((~held).sum())
    errors = []
    for penalty in penalties:
        shrunk = inside / (np.maximum(values, 0.0) + penalty * rows)[:, None]
        errors.append((((y[held] - middle - outside @ shrunk) / spread) ** 2).mean())
    return penalties[int(np.argmin(errors))]


def logistic(
    x: Floats, positive: npt.NDArray[np.bool_], penalty: float = 1e-6, offset: Floats | float = 0.0, steps: int = 50,
    counts: Floats | float = 1.0,
) -> Floats:  # fmt: skip
    """[intercept, weights…] of the log odds of ``positive`` [n] on features x [n, k]; the intercept is free of the
    penalty. offset: log odds that are known beforehand. counts: how often each row counts. Steps are halved until the
    likelihood does not fall, so separable data end at large finite weights."""
    design = np.column_stack([np.ones(len(x)), x])
    penalties = np.full(design.shape[1], penalty)
    penalties[0] = 0.0
    y = positive.astype(np.float64)

    def loss(w: Floats) -> float:
        z = design @ w + offset
        return float((counts * (np.logaddexp(0.0, z) - y * z)).sum() + 0.5 * (penalties * w * w).sum())

    weights = np.zeros(design.shape[1])
    current = loss(weights)
    for _ in range(steps):
        p = sigmoid(design @ weights + offset)
        gradient = design.T @ (counts * (p - y)) + penalties * weights
        curvature = (design * (counts * p * (1 - p))[:, None]).T @ design + np.diag(penalties + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (new := loss(weights - size * step)) > current and size > 1e-4:
            size *= 0.5
        if not new < current - 1e-10 * max(1.0, abs(current)):
            break
        weights, current = weights - size * step, new
    return weights


def sigmoid(log_odds: Floats) -> Floats:
    """Probability of log odds, of which ±50 is as good as certain."""
    return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -50.0, 50.0)))


def _standard(x: Floats) -> tuple[Floats, Floats]:
    """Mean and 1 / SD of each input; 0 for a constant one."""
    centre, size = x.mean(0), x.std(0)
    keep = size > 1e-6 * (1.0 + np.abs(centre))
    return centre, np.where(keep, 1.0 / np.where(keep, size, 1.0), 0.0)
