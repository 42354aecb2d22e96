"""The bundle's tables of what may be shown, measured on calibration patients with every rule of physiology in force.

*Pressure*: the weights of what an estimate is moved by (:mod:`benchmarks.estimates.moves`); half-widths are the 80 %
quantile of the error with weights that the patient had no part in, every set of recordings counting the same and in it
every patient, wider by a share of how unsettled the pressure was. *Risk*: for each set of other sensors
the longest age of the last ABP up to which the AUROC of each horizon has a 95 % interval above 0.5 (patient bootstrap;
windows that are hypotensive, or were when last measured, are left out). The spread of a risk is that of a random
intercept by patient. Both are made monotone: a sensor the less, or an older pressure, never gives a narrower interval
or a longer time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.estimates.replay import OTHERS, Rows
from models.data.labels import HORIZONS_S
from models.evaluation.bootstrap import LEAST_PATIENTS as LEAST_DRAWN
from models.evaluation.bootstrap import resampled_patients
from models.evaluation.metrics import log_odds, rank_replicates
from models.runtime.engine import PRESSURES
from models.runtime.spec import WITH_ECG, WITHOUT_ECG, PressureTable, RiskRow, RiskTable
from models.signals.modalities import Modality

LEVEL = 0.8
COIN = 0.5
RESAMPLES = 1000
LEAST_ROWS = 40
LEAST_MMHG = 1.0
LEAST_PATIENTS = 10
NEVER_NARROW = 0.2  # log odds: the ensemble's own spread

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


def everything_shown() -> RiskTable:
    """A table that forbids nothing: what is fitted must be seen first."""
    subsets = ["+".join(m.value for i, m in enumerate(OTHERS) if mask >> i & 1) for mask in range(2 ** len(OTHERS))]
    return RiskTable([1e9], {name: RiskRow(1e9, [[0.0] * len(HORIZONS_S)]) for name in subsets})


# -- pressure ----------------------------------------------------------------------------------------------------------


def pressure_table(rows: Rows, source: npt.NDArray[np.integer]) -> PressureTable:
    """``rows``: estimates as the graph gave them, at settings with the ABP lost. source [n]: 0 simulated, else of which
    set of real recordings; simulated patients speak only of ages that no real recording is long enough for."""
    from benchmarks.estimates.moves import fitted_moves, unseen  # torch: to learn, not to report

    known = np.isfinite(rows.estimate).all(1) & np.isfinite(rows.truth).all(1) & (rows.abp_age_s > 0)
    known &= np.array([seen is not None for seen in rows.evidence], np.bool_)
    rows, source = rows.where(known), source[known]
    real = source > 0
    moves = fitted_moves(rows, source)
    error = error_of(rows, unseen(rows, source))
    judges = real if real.any() else np.ones(len(rows), np.bool_)
    more = unrest_weight(rows.where(judges), error[judges, 0])
    beyond = error - more * unrest_of(rows)[:, None]
    ages = sorted(set(rows.abp_age_s.tolist()))
    ecg = np.char.find(rows.others, Modality.ECG.value) >= 0
    half: dict[str, dict[str, list[float]]] = {}
    for key, there in ((WITH_ECG, ecg), (WITHOUT_ECG, ~ecg)):
        found = []
        for age in ages:
            use = there & (rows.abp_age_s == age)
            enough = len(np.unique(rows.patient[use & real])) >= LEAST_PATIENTS
            found.append(_widths(beyond, rows.patient, source, use & real if enough else use))
        wide = np.maximum(np.maximum.accumulate(np.array(found), axis=0), LEAST_MMHG)
        if half:
            wide = np.maximum(wide, np.array([half[WITH_ECG][name] for name in PRESSURES]).T)
        half[key] = {name: [round(float(v), 1) for v in wide[:, i]] for i, name in enumerate(PRESSURES)}
    seen = [i for i in range(len(ages)) if all(math.isfinite(of[i]) for part in half.values() for of in part.values())]
    half = {key: {name: [of[i] for i in seen] for name, of in part.items()} for key, part in half.items()}
    return PressureTable(moves, [float(ages[i]) for i in seen], half, more)


def error_of(rows: Rows, mean: Floats) -> Floats:
    """Absolute errors [n, 3] in mmHg when the estimates of the graph are moved to the MAP ``mean`` [n]."""
    shift = mean - rows.estimate[:, 0]
    return np.asarray(np.abs(rows.estimate + shift[:, None] - rows.truth))


def unrest_of(rows: Rows) -> Floats:
    """As :func:`models.runtime.calibration.unrest`, of every row."""
    return np.asarray(np.nan_to_num(np.abs(rows.hold - rows.means[:, 1])))


def unrest_weight(rows: Rows, error: Floats) -> float:
    """Of 0, 0.1 … 1.5 the weight of the unrest with the best interval score of MAP, whose absolute ``error`` [n] is
    given: width and, for what lies outside, 2/α times how far (Gneiting & Raftery 2007), mean over patients at each
    age."""
    unrest = unrest_of(rows)
    weights = np.arange(16) / 10
    scores = np.zeros(len(weights))
    for age in set(rows.abp_age_s.tolist()):
        here = rows.abp_age_s == age
        for i, weight in enumerate(weights):
            base = max(patient_quantile(error[here] - weight * unrest[here], rows.patient[here]), LEAST_MMHG)
            half = base + weight * unrest[here]
            outside = np.maximum(error[here] - half, 0.0)
            scores[i] += patient_mean(2.0 * half + 2.0 / (1.0 - LEVEL) * outside, rows.patient[here])
    return float(weights[int(scores.argmin())])


def patient_mean(values: Floats, patient: npt.NDArray[np.integer]) -> float:
    """Mean over patients of each one's mean."""
    _, of = np.unique(patient, return_inverse=True)
    return float((np.bincount(of, values) / np.bincount(of)).mean())


def patient_quantile(
    values: Floats,
    patient: npt.NDArray[np.integer],
    source: npt.NDArray[np.integer] | None = None,
    level: float = LEVEL,
) -> float:
    """Quantile of values [n] in which every source has the same weight, and in it every patient."""
    _, first, of = np.unique(patient, return_index=True, return_inverse=True)
    weight = 1.0 / np.bincount(of)[of]
    if source is not None:
        _, kind = np.unique(source, return_inverse=True)
        weight /= np.bincount(kind[first], minlength=kind.max() + 1)[kind]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(reached, level - 1e-12)])


def _widths(
    error: Floats, patient: npt.NDArray[np.integer], source: npt.NDArray[np.integer], use: Bools
) -> list[float]:
    if use.sum() < LEAST_ROWS:
        return [math.inf] * error.shape[1]
    return [patient_quantile(error[use, i], patient[use], source[use]) for i in range(error.shape[1])]


# -- risk --------------------------------------------------------------------------------------------------------------


def risk_table(rows: Rows, stride_s: float) -> RiskTable:
    """``rows``: risks at all settings, shown without a table, a window every ``stride_s``."""
    rows = rows.where(np.isfinite(rows.risk).all(1) & ~rows.hypotensive)
    ages = sorted(set(rows.abp_age_s.tolist()))
    names = sorted(set(rows.others.tolist()), key=lambda name: -len(_set(name)))
    longest: dict[str, float] = {}
    spread: dict[str, Floats] = {}
    for name in names:
        mine = rows.where(rows.others == name)
        above = [other for other in names if _set(other) > _set(name)]
        earned = _earned(mine, ages)
        limit = min((longest[other] for other in above if other in longest), default=math.inf)
        if earned is None or any(other not in longest for other in above):
            continue
        longest[name] = min(earned, limit)
        found = np.array([_spread(mine.where(mine.abp_age_s == age), stride_s) for age in ages])
        wide = np.maximum.accumulate(np.nan_to_num(found, nan=0.0))
        spread[name] = np.max([wide, *(spread[other] for other in above)], axis=0)
    use = [i for i, age in enumerate(ages) if age <= max(longest.values(), default=0.0)]
    return RiskTable(
        [float(ages[i]) for i in use],
        {
            name: RiskRow(longest[name], [[round(float(spread[name][i]), 2)] * len(HORIZONS_S) for i in use])
            for name in longest
        },
    )


def _set(name: str) -> frozenset[str]:
    return frozenset(name.split("+")) - {""}


def _earned(rows: Rows, ages: Sequence[float]) -> float | None:
    """The longest age up to which every horizon is better than a coin; None: not even while the ABP is measured."""
    earned = None
    for age in ages:
        here = rows.where(rows.abp_age_s == age)
        if not len(here):
            continue  # an age that these sensors were not tried at
        if not all(auroc_interval(here, here.risk[:, j], j)[1] > COIN for j in range(len(HORIZONS_S))):
            break
        earned = age
    return earned


def auroc_interval(rows: Rows, score: Floats, horizon: int) -> tuple[float, float, float]:
    """AUROC of ``score`` [n] for a horizon, and its interval over patients; NaN where it is not defined."""
    use = np.isfinite(rows.label[:, horizon]) & np.isfinite(score)
    _, patient = np.unique(rows.patient[use], return_inverse=True)
    count = int(patient.max()) + 1 if len(patient) else 0
    if count < LEAST_DRAWN:
        return math.nan, math.nan, math.nan
    drawn = np.vstack([np.ones((1, count), np.int64), resampled_patients(count, RESAMPLES, np.random.default_rng(5))])
    area, _ = rank_replicates(score[use], rows.label[use, horizon] > 0.5, patient, drawn)
    some = area[1:][np.isfinite(area[1:])]
    if len(some) * 2 < RESAMPLES:
        return float(area[0]), math.nan, math.nan
    lo, hi = np.quantile(some, (0.025, 0.975))
    return float(area[0]), float(lo), float(hi)


def _spread(rows: Rows, stride_s: float) -> float:
    """Of the shortest horizon, for all three: half an hour holds too few of the longer ones to tell patients apart."""
    use = np.isfinite(rows.label[:, 0])
    if not use.any():
        return math.nan  # nothing may be shown there anyway
    shift, deviation = patient_intercepts(
        rows.risk[use, 0], rows.label[use, 0] > 0.5, rows.patient[use], stride_s / HORIZONS_S[0]
    )
    return max(NEVER_NARROW, half_width_of(shift, deviation))


def patient_intercepts(
    risk: Floats, positive: Bools, patient: npt.NDArray[np.integer], weight: float
) -> tuple[float, float]:
    """Mean and standard deviation, in log odds, of how far patients lie from what was said of them.

    Logistic regression with the said log odds as offset and a normal intercept by patient, by maximum likelihood on a
    grid. weight: windows overlap in what they foretell, so each counts for its share of a horizon.
    """
    at = np.linspace(-8.0, 8.0, 321)
    z = log_odds(risk)
    likelihood = []
    for p in np.unique(patient):
        mine = patient == p
        odds = z[mine, None] + at
        likelihood.append(weight * -np.logaddexp(0.0, np.where(positive[mine, None], -odds, odds)).sum(0))
    each = np.array(likelihood)
    most = each.max(1, keepdims=True)
    shift, deviation = (g.ravel() for g in np.meshgrid(np.arange(-2.5, 2.55, 0.1), np.arange(0.05, 4.0, 0.05)))
    prior = np.exp(-0.5 * ((at[:, None] - shift) / deviation) ** 2)
    total = np.log(np.exp(each - most) @ (prior / prior.sum(0)) + 1e-300).sum(0)
    best = int(total.argmax())
    return float(shift[best]), float(deviation[best])


def half_width_of(shift: float, deviation: float, level: float = LEVEL) -> float:
    """The w for which a normal variable lies within ± w with probability ``level``."""
    low, high = 0.0, abs(shift) + 10.0 * deviation
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if inside(middle, shift, deviation) < level else (low, middle)
    return high


def inside(width: float, shift: float, deviation: float) -> float:
    """Probability that a normal variable lies within ± ``width``."""
    upper, lower = ((edge - shift) / (deviation * math.sqrt(2.0)) for edge in (width, -width))
    return 0.5 * (math.erf(upper) - math.erf(lower))
