"""What is read from a representation: small linear heads, fitted in closed form on training patients.

One head for all imputers is trained on complete windows (the frozen head of the comparison); the same heads are also
refitted for each imputer. Ridge for numbers; for hypotension a logistic regression on the leading principal axes, by
iteratively reweighted least squares. Errors are per window, so that intervals can be taken over patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluation.lost_windows import Indices
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.training.sampling import Group

NUMBERS = ("map", "sbp", "hr", "ptt", "depth")
RISKS = ("hypotension_5", "hypotension_10", "hypotension_15")
TASKS = (*NUMBERS, *RISKS)
TITLES = {
    "map": "MAP (mmHg)", "sbp": "SBP (mmHg)", "hr": "HR (/min)", "ptt": "R→PPG delay (ms)", "depth": "depth (0–100)",
    "hypotension_5": "hypotension 5 min (Brier)", "hypotension_10": "hypotension 10 min (Brier)",
    "hypotension_15": "hypotension 15 min (Brier)",
}  # fmt: skip

_PENALTIES = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0])  # a row; inputs of unit variance
_AXES, _RISK_PENALTY, _ROUNDS = 48, 2.0, 12
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
Floats = npt.NDArray[np.float64]


def truths(group: Group, rows: Indices, modalities: tuple[Modality, ...]) -> dict[str, Floats]:
    """The true value of every task at the end of windows ``rows``; NaN where unknown. HR is of the whole window, the
    R→PPG delay (ms) of the newest second as measured with all sensors, pressures of the newest frame. Hypotension is
    left out where the patient is hypotensive already."""
    labels = group.labels
    end = labels["end_s"][rows].astype(np.int64)
    history = group.history[group.dataset.study_of[rows], end]
    ppg = history[:, modalities.index(Modality.PPG)]
    delay = np.where(ppg[:, _C["age_s"]] <= 1.0, ppg[:, _C["own_delay_s"]], np.nan)
    pressures = labels["pressures"][rows][:, -1].astype(np.float64)
    now = labels["hypotensive_now"][rows].astype(bool)
    risk = np.where(now[:, None], np.nan, labels["hypotension"][rows].astype(np.float64))
    return {
        "map": pressures[:, 0], "sbp": pressures[:, 1], "hr": heart_rate(labels["r_times"][rows]),
        "ptt": 1000.0 * delay.astype(np.float64), "depth": labels["depth"][rows].astype(np.float64),
        **{name: risk[:, j] for j, name in enumerate(RISKS)},
    }  # fmt: skip


def heart_rate(r_times: npt.NDArray[np.floating]) -> Floats:
    """Beats a minute from R times [B, R] (NaN-padded, ascending), by the median interval; NaN with under three."""
    intervals = np.diff(r_times.astype(np.float64), axis=1)
    known = np.isfinite(intervals).sum(1)
    out = np.full(len(r_times), np.nan)
    some = known >= 2
    if some.any():
        out[some] = 60.0 / np.nanmedian(intervals[some], axis=1)
    return out


@dataclass(frozen=True)
class Heads:
    """Fitted linear heads; ``predict`` gives every task for representations [B, p]."""

    centre: Floats
    scale: Floats
    weights: dict[str, Floats]  # numbers: [p + 1]
    axes: Floats  # [p, k]
    risks: dict[str, Floats]  # [k + 1]

    def predict(self, x: npt.ArrayLike) -> dict[str, Floats]:
        """Numbers and risks [B] by task for representations x [B, p]."""
        z = (np.asarray(x, np.float64) - self.centre) * self.scale
        found = {task: z @ w[:-1] + w[-1] for task, w in self.weights.items()}
        u = z @ self.axes
        return found | {task: _sigmoid(u @ w[:-1] + w[-1]) for task, w in self.risks.items()}


def fit_heads(x: npt.ArrayLike, truth: dict[str, Floats], patient: Indices) -> Heads:
    """Heads for representations [n, p]; penalties by every fourth patient held out. A task that is known in fewer than
    30 windows is left out."""
    x = np.asarray(x, np.float64)
    centre, size = x.mean(0), x.std(0)
    scale = np.where(size > 1e-6, 1.0 / np.maximum(size, 1e-6), 0.0)
    z = (x - centre) * scale
    held = np.isin(patient, np.unique(patient)[::4])
    weights = {
        task: _ridge(z, truth[task], held) for task in NUMBERS if np.isfinite(truth.get(task, np.empty(0))).sum() >= 30
    }
    _, vectors = np.linalg.eigh(z.T @ z)
    axes = vectors[:, ::-1][:, :_AXES]
    u = z @ axes
    unit = u.std(0) + 1e-9
    risks = {}
    for task in RISKS:
        y = truth.get(task, np.empty(0))
        known = np.isfinite(y)
        if known.sum() >= 30 and 0 < y[known].mean() < 1:
            w = logistic(u[known] / unit, y[known])
            risks[task] = np.append(w[:-1] / unit, w[-1])
    return Heads(centre, scale, weights, axes, risks)


def logistic(x: Floats, y: Floats) -> Floats:
    """Weights and offset of an L2-penalised logistic regression, by Newton's method."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1], _RISK_PENALTY), 1e-6)
    w = np.zeros(design.shape[1])
    w[-1] = np.log(y.mean() / (1.0 - y.mean()))
    for _ in range(_ROUNDS):
        p = _sigmoid(design @ w)
        slope = design.T @ (y - p) - penalty * w
        curve = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        w = w + step
        if np.abs(step).max() < 1e-6:
            break
    return w


def window_errors(predicted: dict[str, Floats], truth: dict[str, Floats]) -> dict[str, Floats]:
    """Absolute error of numbers and squared error of risks (Brier) a window; NaN where the truth is unknown."""
    return {
        task: (np.abs(p - truth[task]) if task in NUMBERS else (p - truth[task]) ** 2) for task, p in predicted.items()
    }


def _ridge(z: Floats, y: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    known = np.isfinite(y)
    fit, check = known & ~held, known & held
    penalty = 0.1
    if fit.sum() >= 20 and check.sum() >= 10:
        middle = y[fit].mean()
        values, vectors = np.linalg.eigh(z[fit].T @ z[fit])
        inside, outside = vectors.T @ (z[fit].T @ (y[fit] - middle)), z[check] @ vectors
        shrunk = inside[:, None] / (np.maximum(values, 0.0)[:, None] + _PENALTIES * fit.sum())
        errors = np.abs(y[check, None] - middle - outside @ shrunk).mean(0)
        penalty = float(_PENALTIES[int(np.argmin(errors))])
    centre, middle = z[known].mean(0), y[known].mean()
    a = z[known] - centre
    gram = a.T @ a
    gram[np.diag_indices_from(gram)] += penalty * known.sum()
    w = np.linalg.solve(gram, a.T @ (y[known] - middle))
    return np.append(w, middle - centre @ w)


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))
