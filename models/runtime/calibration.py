"""How wide the intervals are: tables of the bundle, measured on patients that the model did not learn from.

*Pressures*: half of the 80 % interval by age of the last measurement, whether an ECG is there, and how unsettled the
pressure was (split conformal prediction, Vovk, Gammerman & Shafer 2005: the quantile of the error itself). The model's
own quantiles are not used where there is such a table: on real patients they held 90 to 98 % in the first minutes, and
36 to 76 % after ten.
*Risk*: in log odds, by age and by the sensors that are there: how far apart patients lie of whom the same risk was
said. Neither narrows with age, nor with a sensor the less. *Depth*, and bundles without tables: conformalised quantile
regression (Romano, Patterson & Candès 2019), one correction a bin of missing fraction and age.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.runtime.spec import WITH_ECG, WITHOUT_ECG, Conformal, PressureTable, RiskTable
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

AGE_EDGES_S = [0.0, 30.0, 60.0, 180.0, 600.0, 1800.0]
MISSING_EDGES = [0.0, 0.3, 0.6, 1.0]
"""Bins of the conformal tables that are fitted: age of the last measurement, share of missing frames."""
LEVEL = 0.8
"""Of every interval that is shown."""

Floats = npt.NDArray[np.floating]
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def half_width(table: Conformal | None, missing: float, age_s: float) -> float:
    """Amount to add on either side of an interval; 0 where the bundle has no table.

    missing: fraction of absent frames, 0–1. age_s: seconds since the last measurement; NaN (never measured) takes
    the oldest bin.
    """
    if table is None:
        return 0.0
    return table.widen[_bin(table.missing_edges, missing)][_bin(table.age_edges_s, age_s)]


def pressure_half_widths(table: PressureTable, window: Window, spec: WindowSpec) -> dict[str, float]:
    """Half of the 80 % interval in mmHg of the estimated MAP, SBP and DBP of ``window``, by name; infinite where the
    pressure was never measured, or longer ago than the table knows."""
    row = {m: i for i, m in enumerate(spec.modalities)}
    ecg = Modality.ECG in row and bool(window.presence[row[Modality.ECG], -1])
    context = window.context[row[Modality.ABP]]
    age, more = float(context[_C["age_s"]]), table.unrest * unrest(context)
    return {name: more + at_age(table.ages_s, known, age) for name, known in table.half_mmhg[_key(ecg)].items()}


def unrest(abp: Floats) -> float:
    """How far the last measured level was from the mean of the five minutes before, mmHg; rows [C] of the context.

    What a pressure did shortly before it was lost says how far it may have gone since; 0 where it is not known.
    """
    apart = abs(float(abp[_C["level"]]) - float(abp[_C["mean_300s"]]))
    return apart if math.isfinite(apart) else 0.0


def risk_interval(table: RiskTable, sensors: str, age_s: float, horizon: int, risk: float) -> tuple[float, float]:
    """80 % interval of a risk, ``sensors`` as in the table's keys, ``horizon`` 0 to 2; (0, 1) where it is not known."""
    row = table.sensors.get(sensors)
    wide = math.inf if row is None else at_age(table.ages_s, [s[horizon] for s in row.spread], age_s)
    if not math.isfinite(wide):
        return 0.0, 1.0
    risk = min(max(risk, 1e-6), 1.0 - 1e-6)
    odds = math.log(risk / (1.0 - risk))
    return 1.0 / (1.0 + math.exp(wide - odds)), 1.0 / (1.0 + math.exp(-wide - odds))


def at_age(ages_s: Sequence[float], values: Sequence[float], age_s: float) -> float:
    """``values`` at ``ages_s`` interpolated at ``age_s``; the first before the first age, infinite beyond the last and
    where the age is not known."""
    if not age_s <= ages_s[-1]:
        return math.inf
    return float(np.interp(age_s, ages_s, values))


def _key(ecg: bool) -> str:
    return WITH_ECG if ecg else WITHOUT_ECG


def _bin(edges: list[float], value: float) -> int:
    last = max(len(edges) - 2, 0)
    if math.isnan(value):
        return last
    return min(max(bisect_right(edges, value) - 1, 0), last)
