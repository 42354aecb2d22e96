"""Which windows a contrastive batch holds, and how much each counts as a negative.

Other patients only teach who somebody is; adjacent windows of the same patient are nearly the anchor itself, hence
false negatives. So a batch holds a few windows of each of many patients, far enough apart, and both kinds of negative
weigh one half.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

APART_S = 60.0
"""Seconds from which two windows of one patient are negatives of each other."""
PER_PATIENT = 4

Indices = npt.NDArray[np.intp]


def draw_rows(
    rng: np.random.Generator, patient_of: Indices, end_s: npt.NDArray[np.generic], batch: int,
    per_patient: int = PER_PATIENT, apart_s: float = APART_S,
) -> Indices:  # fmt: skip
    """``batch`` rows: up to ``per_patient`` windows each of patients drawn at random, ``apart_s`` or more apart.

    patient_of [W] and end_s [W] are of all windows of the group. A patient too short for ``per_patient`` such windows
    gives fewer. Patients come once until all have come; a batch larger than all of them can give holds windows of a
    patient that lie closer, which :func:`negative_weights` then does not count.
    """
    patients = np.unique(patient_of)
    by_patient = np.argsort(patient_of, kind="stable")
    first, last = (np.searchsorted(patient_of[by_patient], patients, side=side) for side in ("left", "right"))
    rows: list[int] = []
    while len(rows) < batch:
        for p in rng.permutation(len(patients)):
            rows += _spread(rng, by_patient[first[p] : last[p]], end_s, per_patient, apart_s)
            if len(rows) >= batch:
                break
    return np.asarray(rows[:batch], np.intp)


def _spread(
    rng: np.random.Generator, windows: Indices, end_s: npt.NDArray[np.generic], count: int, apart_s: float
) -> list[int]:
    """Up to ``count`` of one patient's windows in random order, each ``apart_s`` or more from those taken before."""
    order = rng.permutation(windows)
    time = end_s[order].astype(np.float64)
    free, taken = np.ones(len(order), np.bool_), []
    while len(taken) < count and free.any():
        at = int(free.argmax())
        taken.append(int(order[at]))
        free &= np.abs(time - time[at]) >= apart_s
    return taken


def negative_weights(patient: Indices, end_s: npt.NDArray[np.generic], apart_s: float = APART_S) -> Tensor:
    """How much window j counts as a negative of window i [B, B], for ``models.objectives.nt_xent``.

    patient [B], end_s [B] of a batch. 0 for windows of one patient less than ``apart_s`` apart (and for i = j). The
    others are weighted such that a row's windows of the same patient weigh as much as those of other patients, and all
    together as much as their number; where there is only one kind, each weighs 1.
    """
    same = patient[:, None] == patient[None, :]
    time = end_s.astype(np.float64)
    near = same & (np.abs(time[:, None] - time[None, :]) < apart_s)
    own, other = same & ~near, ~same
    counts = np.stack([own.sum(1), other.sum(1)], axis=1).astype(np.float64)
    half = counts.sum(1, keepdims=True) / np.maximum((counts > 0).sum(1, keepdims=True), 1)
    each = half / np.maximum(counts, 1.0)
    return torch.from_numpy((own * each[:, :1] + other * each[:, 1:]).astype(np.float32))
