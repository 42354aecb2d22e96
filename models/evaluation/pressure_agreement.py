"""Agreement of estimated and measured blood pressure, as clinicians read it. Plain numpy; NaN pairs are left out.

Bias and SD (ISO 81060-2), repeated-measures limits of agreement (Bland & Altman, J Biopharm Stat 2007;17:571, the
case in which the true value varies), and trending in four quadrants with a zone of exclusion (Critchley, Lee & Ho,
Anesth Analg 2010;111:1180; Saugel, Grothe & Wagner, Anesth Analg 2015;121:514).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

LIMITS = 1.96
EXCLUSION_MMHG = 5.0
"""Changes of both methods below this say nothing about trending ability; 5 mmHg is customary for MAP."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Estimate minus reference, mmHg. ``sd`` is of the single difference with patients' own biases in it."""

    pairs: int
    patients: int
    bias: float
    sd: float  # √(variance between patients + variance within): repeated measures
    within_sd: float
    between_sd: float
    lower: float  # 95 % limits of agreement, repeated measures
    upper: float
    mae: float
    rmse: float

    def as_row(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trending:
    """Do changes agree in direction? ``concordance`` is the share of same-sign changes outside the exclusion zone."""

    changes: int  # all pairs of changes
    counted: int  # of which outside the zone of exclusion
    concordance: float
    correlation: float  # of the changes that are counted
    slope: float  # of estimated on reference change, least squares; 1 is perfect, 0 is hold

    def as_row(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def bland_altman(estimate: Floats, reference: Floats, patient_of: npt.ArrayLike) -> Agreement:
    """Repeated-measures Bland–Altman; [n] each.

    The differences are split by a one-way analysis of variance into between and within patients: variance within =
    mean square within; between = (MS_between − MS_within)/m₀ with m₀ = (n² − Σ mᵢ²)/((k − 1)·n) for unequal numbers
    mᵢ of k patients, never negative (Bland & Altman 2007, section 3). The bias is the mean over pairs. With one
    patient the variance between is unknown: its standard deviation is NaN and the limits are of that patient.
    """
    difference, patient = _pairs(estimate, reference, patient_of)
    n = len(difference)
    if n < 2:
        nan = float("nan")
        bias = float(difference.mean()) if n else nan
        return Agreement(n, n, bias, nan, nan, nan, nan, nan, abs(bias), abs(bias))
    counts = np.bincount(patient)
    k = len(counts)
    means = np.bincount(patient, difference) / counts
    bias = float(difference.mean())
    within = float(((difference - means[patient]) ** 2).sum() / (n - k)) if n > k else float("nan")
    between = float("nan")
    if k > 1:
        ms_between = float((counts * (means - bias) ** 2).sum() / (k - 1))
        weight = float((n**2 - (counts**2).sum()) / ((k - 1) * n))
        between = ms_between if n == k else max(0.0, (ms_between - within) / weight)
    total = float(np.nansum([0.0 if n == k else within, between]))
    sd = float(np.sqrt(total))
    return Agreement(
        n, k, bias, sd, float(np.sqrt(within)), float(np.sqrt(between)), bias - LIMITS * sd, bias + LIMITS * sd,
        float(np.abs(difference).mean()), float(np.sqrt((difference**2).mean())),
    )  # fmt: skip


def four_quadrant(
    estimate: Floats, reference: Floats, patient_of: npt.ArrayLike, time_s: Floats, step_s: float = 60.0,
    exclusion: float = EXCLUSION_MMHG,
) -> Trending:  # fmt: skip
    """Trending of changes over ``step_s`` seconds, within patients; [n] each, times in s.

    A change runs from one pair to the first of the same patient that is at least ``step_s`` and less than twice that
    later; the next begins where it ended, so changes do not overlap. A change counts unless *both* methods stay within
    ``exclusion`` (a square zone, as for pressure; for agreement a still estimate counts against it: a held value has
    change 0, which is not concordant).
    """
    known = np.isfinite(estimate) & np.isfinite(reference)
    patient = np.asarray(patient_of)[known]
    ours, theirs, time = (np.asarray(x, np.float64)[known] for x in (estimate, reference, time_s))
    deltas: list[tuple[float, float]] = []
    for p in np.unique(patient):
        rows = np.flatnonzero(patient == p)
        rows = rows[np.argsort(time[rows], kind="stable")]
        i = 0
        while i < len(rows) - 1:
            j = i + int(np.searchsorted(time[rows[i:]], time[rows[i]] + step_s))
            if j >= len(rows):
                break
            if time[rows[j]] - time[rows[i]] < 2 * step_s:
                deltas.append((ours[rows[j]] - ours[rows[i]], theirs[rows[j]] - theirs[rows[i]]))
            i = j
    return trending(np.array(deltas).reshape(-1, 2), exclusion)


def trending(changes: Floats, exclusion: float = EXCLUSION_MMHG) -> Trending:
    """Four-quadrant figures of changes [n, 2] (estimate, reference)."""
    counted = changes[(np.abs(changes) > exclusion).any(1)]
    x, y = counted[:, 1], counted[:, 0]
    nan = float("nan")
    if not len(counted):
        return Trending(len(changes), 0, nan, nan, nan)
    varied = len(counted) > 1 and x.std() > 0
    return Trending(
        len(changes), len(counted), float(np.mean(x * y > 0)),
        float(np.corrcoef(x, y)[0, 1]) if varied and y.std() > 0 else nan,
        float(np.cov(x, y)[0, 1] / x.var(ddof=1)) if varied else nan,
    )  # fmt: skip


def _pairs(estimate: Floats, reference: Floats, patient_of: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.intp]]:
    difference = np.asarray(estimate, np.float64) - np.asarray(reference, np.float64)
    known = np.isfinite(difference)
    _, patient = np.unique(np.asarray(patient_of)[known], return_inverse=True)
    return difference[known], patient
