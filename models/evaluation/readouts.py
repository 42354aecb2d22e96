"""What is read from a representation: small linear heads, fitted in closed form on training patients.

One head for all imputers is trained on complete windows (the frozen head of the comparison); the same heads are also
refitted for each imputer. Ridge for numbers; for hypotension a logistic regression on the leading principal axes, by
iteratively reweighted least squares. Errors are per window, so that intervals can be taken over patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.batches.group import Group
from models.data.labels import heart_rate
from models.evaluation.linear import choose_penalty, logistic, ridge, sigmoid
from models.evaluation.lost_windows import Indices
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

NUMBERS = ("map", "sbp", "hr", "ptt", "depth")
RISKS = ("hypotension_5", "hypotension_10", "hypotension_15")
TASKS = (*NUMBERS, *RISKS)
TITLES = {
    "map": "MAP (mmHg)", "sbp": "SBP (mmHg)", "hr": "HR (/min)", "ptt": "R→PPG delay (ms)", "depth": "depth (0–100)",
    "hypotension_5": "hypotension 5 min (Brier)", "hypotension_10": "hypotension 10 min (Brier)",
    "hypotension_15": "hypotension 15 min (Brier)",
}  # fmt: skip

LEAST_KNOWN = 30
_AXES, _RISK_PENALTY = 48, 2.0
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


@dataclass(frozen=True)
class Heads:
    """Fitted linear heads; ``predict`` gives every task for representations [B, p]."""

    numbers: dict[str, tuple[Floats, Floats]]  # weights [p], offset
    centre: Floats  # [p]
    axes: Floats  # [p, k], each of unit spread on what was fitted
    risks: dict[str, Floats]  # [1 + k], the intercept first

    def predict(self, x: npt.ArrayLike) -> dict[str, Floats]:
        """Numbers and risks [B] by task for representations x [B, p]."""
        x = np.asarray(x, np.float64)
        found = {task: x @ weights + offset for task, (weights, offset) in self.numbers.items()}
        u = (x - self.centre) @ self.axes
        return found | {task: sigmoid(w[0] + u @ w[1:]) for task, w in self.risks.items()}


def fit_heads(x: npt.ArrayLike, truth: dict[str, Floats], patient: Indices) -> Heads:
    """Heads for representations [n, p]; penalties by every fourth patient held out. A task that is known in fewer than
    30 windows is left out."""
    x = np.asarray(x, np.float64)
    known_of = {task: np.isfinite(truth[task]) for task in TASKS if task in truth}
    enough = {task for task, known in known_of.items() if known.sum() >= LEAST_KNOWN}
    numbers = {}
    for task in (t for t in NUMBERS if t in enough):
        known, y = known_of[task], truth[task]
        penalty = choose_penalty(x[known], y[known], patient[known], default=0.1)
        numbers[task] = ridge(x[known], y[known], penalty)
    centre, size = x.mean(0), x.std(0)
    scale = np.where(size > 1e-6, 1.0 / np.maximum(size, 1e-6), 0.0)
    _, vectors = np.linalg.eigh(((x - centre) * scale).T @ ((x - centre) * scale))
    axes = scale[:, None] * vectors[:, ::-1][:, :_AXES]
    axes = axes / (((x - centre) @ axes).std(0) + 1e-9)
    u, risks = (x - centre) @ axes, {}
    for task in (t for t in RISKS if t in enough):
        known, y = known_of[task], truth[task]
        if 0 < y[known].mean() < 1:
            risks[task] = logistic(u[known], y[known] > 0.5, _RISK_PENALTY)
    return Heads(numbers, centre, axes, risks)


def window_errors(predicted: dict[str, Floats], truth: dict[str, Floats]) -> dict[str, Floats]:
    """Absolute error of numbers and squared error of risks (Brier) a window; NaN where the truth is unknown."""
    return {
        task: (np.abs(p - truth[task]) if task in NUMBERS else (p - truth[task]) ** 2) for task, p in predicted.items()
    }
