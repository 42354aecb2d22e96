"""A comparator: ridge regression of the mean pressure on delay, pulse rate and form, fitted to each patient alone.

What a patient's own last ten minutes can teach, without any other patient: from the seconds in which the pressure was
measured, at most 600 before it was lost. Anchored like the delay regression: the last level, plus what the regression
says of the change since. Nothing of it is tuned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.estimates.patients import Patient
from models.runtime.pressure_estimate import LARGEST_MOVE_MMHG
from models.runtime.pressure_past import UNITS
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

PAST_S = 600
LEAST_CELLS = 30
PRIOR_CELLS = 30  # of no change, beside those that were seen
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}

Floats = npt.NDArray[np.float64]


def own_ridge(patient: Patient, window: Window, spec: WindowSpec) -> float:
    """MAP in mmHg of a ``window`` of which sensors were lost (:func:`benchmarks.estimates.patients.lost`); the last
    level where nothing could be fitted, NaN where none was measured."""
    abp, ppg = (spec.modalities.index(m) for m in (Modality.ABP, Modality.PPG))
    level, age = (float(window.context[abp, _C[name]]) for name in ("level", "age_s"))
    if not np.isfinite(level + age):
        return float("nan")
    last = round(window.end_s - age)
    seconds = np.arange(max(last + 1 - PAST_S, 1), last + 1)
    past = patient.history[0, seconds]
    told = np.column_stack([past[:, ppg, _C["own_delay_s"]], np.log(patient.looks[seconds])])
    now = np.append(window.context[ppg, _C["own_delay_s"]], np.log(patient.looks[window.end_s]))
    then = np.append(window.context[abp, _C["ppg_delay_s"]], told[-1, 1:] if len(told) else [np.nan, np.nan])
    known = np.isfinite(now) & np.isfinite(then)
    use = (past[:, abp, _C["age_s"]] == 0) & np.isfinite(told[:, known]).all(1)
    if not known.any() or int(np.count_nonzero(use)) < LEAST_CELLS:
        return level
    units = np.array(UNITS)[known]
    x, y = told[use][:, known] / units, past[use, abp, _C["level"]].astype(np.float64)
    x, y = x - x.mean(0), y - y.mean()
    slope = np.linalg.solve(x.T @ x + PRIOR_CELLS * np.eye(x.shape[1]), x.T @ y)
    move = float(slope @ ((now - then)[known] / units))
    return level + min(max(move, -LARGEST_MOVE_MMHG), LARGEST_MOVE_MMHG)
