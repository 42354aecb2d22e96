"""Which windows a contrastive batch holds.

Other patients only teach who somebody is; adjacent windows of the same patient are nearly the anchor itself, hence
false negatives. So a batch holds a few windows of each of many patients, far enough apart, and
``models.objectives.negative_weights`` lets both kinds of negative weigh one half.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.objectives import APART_S

PER_PATIENT = 4

Indices = npt.NDArray[np.intp]


def draw_rows(
    rng: np.random.Generator, patient_of: Indices, end_s: npt.NDArray[np.generic], batch: int,
    of: Indices | None = None, per_patient: int = PER_PATIENT, apart_s: float = APART_S,
) -> Indices:  # fmt: skip
    """``batch`` rows: up to ``per_patient`` windows each of patients drawn at random, ``apart_s`` or more apart.

    patient_of [W] and end_s [W] are of the windows to draw from, ``of`` [W] their rows in the group: 0 … W − 1 if
    None. A patient too short for ``per_patient`` such windows gives fewer. Patients come once until all have come; a
    batch larger than all of them can give holds windows of a patient that lie closer, which ``negative_weights`` then
    does not count.
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
    drawn = np.asarray(rows[:batch], np.intp)
    return drawn if of is None else of[drawn]


def _spread(
    rng: np.random.Generator, windows: Indices, end_s: npt.NDArray[np.generic], count: int, apart_s: float
) -> list[int]:
    """Up to ``count`` of one patient's windows in random order, each ``apart_s`` or more from those taken before."""
    order = rng.permutation(windows)
    time = end_s[order].astype(np.float64)
    free = np.ones(len(order), np.bool_)
    taken: list[int] = []
    while len(taken) < count and free.any():
        at = int(free.argmax())
        taken.append(int(order[at]))
        free &= np.abs(time - time[at]) >= apart_s
    return taken
