"""Patient-cluster bootstrap: intervals of figures whose windows are not independent, because patients own them.

Whole patients are drawn with replacement (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8); the interval is
the percentile one. Rows of several training seeds are given together, with the same patient numbers: a patient is then
drawn with its rows of every seed, so that an interval speaks of new patients, not of new seeds.

``patient_bootstrap`` serves any statistic (AUROC, a difference of two, a ratio); ``additive_bootstrap`` serves those
that are functions of sums over rows (means, R², RMSE, fractions) and is a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 0.95
LEAST_PATIENTS = 5
"""Under five patients no interval is given."""
LEAST_DEFINED = 0.5
"""Share of the resamples in which the statistic has to be defined."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Interval(NamedTuple):
    """An estimate with the bounds of its 95 % interval; NaN where undefined."""

    estimate: float
    lo: float
    hi: float

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside; False where there is no interval."""
        return self.lo > value or self.hi < value


def resampled_patients(patients: int, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """How often each patient is drawn: [resamples, patients], each row adds to ``patients``."""
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), size=resamples)


@lru_cache(maxsize=8)
def _usual_resamples(patients: int, resamples: int) -> Floats:
    """The draw of seed 0 for thousands of figures of one table; nobody writes to it."""
    drawn = resampled_patients(patients, resamples, np.random.default_rng(0)).astype(np.float64)
    drawn.setflags(write=False)
    return drawn


def patient_bootstrap(
    patient_of: npt.ArrayLike,
    statistic: Callable[[Indices], float],
    resamples: int = 300,
    rng: np.random.Generator | None = None,
    level: float = LEVEL,
) -> Interval:
    """Interval of ``statistic(rows)``, rows being indices into the caller's arrays, repeated as patients are.

    patient_of: [n] the patient of each row, any integers or names. A statistic that is undefined returns NaN; such
    resamples are left out, and there is no interval where they are more than half, or with fewer than five patients.
    For the difference of two models let the statistic be that difference: the rows are then paired.
    """
    groups = _rows_by_patient(patient_of)
    everything = np.concatenate(groups) if groups else np.empty(0, np.intp)
    estimate = float(statistic(np.sort(everything))) if len(everything) else float("nan")
    if len(groups) < LEAST_PATIENTS:
        return Interval(estimate, float("nan"), float("nan"))
    rng = np.random.default_rng(0) if rng is None else rng
    values = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(0, len(groups), len(groups))
        values[i] = statistic(np.concatenate([groups[p] for p in drawn]))
    return Interval(estimate, *_bounds(values[:, None], level)[:, 0])


def additive_bootstrap(
    patient_of: npt.ArrayLike,
    terms: npt.ArrayLike,
    statistic: Callable[[Floats], Floats],
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
    level: float = LEVEL,
) -> tuple[Floats, Floats, Floats]:
    """Intervals of statistics that are functions of sums over rows.

    terms: [n, K] what each row adds; a row with a NaN adds nothing at all. statistic: sums [R, K] -> [R, S] (or [R]).
    Returns estimate, lo, hi, each [S].
    """
    values = np.asarray(terms, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    known = np.isfinite(values).all(1)
    _, patient = np.unique(np.asarray(patient_of)[known], return_inverse=True)
    count = int(patient.max()) + 1 if len(patient) else 0
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, patient, values[known])
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = _columns(statistic(sums.sum(0, keepdims=True)))[0] if count else None
        if estimate is None:
            empty = np.full(_columns(statistic(np.full((1, values.shape[1]), np.nan))).shape[1], np.nan)
            return empty, empty.copy(), empty.copy()
        if count < LEAST_PATIENTS:
            return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
        drawn = _usual_resamples(count, resamples) if rng is None else resampled_patients(count, resamples, rng)
        replicates = _columns(statistic(drawn @ sums))
    lo, hi = _bounds(replicates, level)
    return estimate, lo, hi


def mean_interval(
    patient_of: npt.ArrayLike,
    values: npt.ArrayLike,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Mean over rows (NaN rows are left out) with its interval over patients."""
    x = np.asarray(values, np.float64)
    found = additive_bootstrap(
        patient_of, np.stack([x, np.where(np.isfinite(x), 1.0, np.nan)], 1), lambda s: s[:, 0] / s[:, 1], resamples, rng
    )
    return Interval(*(float(v[0]) for v in found))


def difference_interval(
    patient_of: npt.ArrayLike,
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Mean of ``ours − theirs`` over the rows that have both, paired by row."""
    return mean_interval(patient_of, np.asarray(ours, np.float64) - np.asarray(theirs, np.float64), resamples, rng)


def ratio_interval(
    patient_of: npt.ArrayLike,
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Σ numerator / Σ denominator over rows; NaN, with no interval, unless the interval of the mean denominator
    excludes 0: the quotient of noise by noise means nothing. A recovered fraction of a per-window error e is
    ``ratio_interval(patient, e_mask − e_imputer, e_mask − e_oracle)``."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    bottom = np.where(np.isfinite(top), bottom, np.nan)
    if not mean_interval(patient_of, bottom, resamples, rng).excludes(0.0):
        return Interval(float("nan"), float("nan"), float("nan"))
    found = additive_bootstrap(patient_of, np.stack([top, bottom], 1), lambda s: s[:, 0] / s[:, 1], resamples, rng)
    return Interval(*(float(v[0]) for v in found))


def _rows_by_patient(patient_of: npt.ArrayLike) -> list[Indices]:
    of = np.asarray(patient_of)
    if not len(of):
        return []
    _, patient = np.unique(of, return_inverse=True)
    order = np.argsort(patient, kind="stable")
    return np.split(order, np.cumsum(np.bincount(patient))[:-1])


def _columns(values: Floats) -> Floats:
    values = np.asarray(values, np.float64)
    return values[:, None] if values.ndim == 1 else values


def _bounds(replicates: Floats, level: float) -> Floats:
    """[R, S] -> [2, S]; NaN where too few replicates are defined."""
    defined = np.isfinite(replicates)
    tail = (1.0 - level) / 2
    out = np.full((2, replicates.shape[1]), np.nan)
    for column in range(replicates.shape[1]):
        kept = replicates[defined[:, column], column]
        if len(kept) >= LEAST_DEFINED * len(replicates):
            out[:, column] = np.quantile(kept, (tail, 1.0 - tail))
    return out
