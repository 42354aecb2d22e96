"""The mean pressure while it is lost: the last measured one, moved by what is known to have changed.

    MAP = level + a(age) · (mean of the last minute − level)
                + b(age) · slopes · (signs now − signs then)
                + c(age) · (mean MAP + slopes · (signs now − mean signs) − level)

*Signs* are the delay from the R peak to the pleth's pulse, the pulse rate and the form of the pleth's pulses. Their
*slopes* are the patient's own where the last ten minutes tell them (:mod:`models.runtime.pressure_past`), and a
population's where they do not: a regression with a normal prior, in which the population counts as so many seconds
more. The first term is there because a level of five seconds is breath and artefact too. a, b, c, prior slopes and
their weights are the bundle's, learnt on real and simulated patients together
(``python -m benchmarks estimates --fit``). What is not known counts as not changed; there is no constant term.

The network's own estimate of MAP takes no part in it: with zeros in the place of the restored tokens it was as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.runtime.pleth_look import PlethLook
from models.runtime.pressure_past import LEAST_WEIGHT, UNITS, PressurePast, signs
from models.runtime.spec import SIGNS, PressureMoves
from models.signals.delays import LARGEST_DELAY_CHANGE_S
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

LARGEST_MOVE_MMHG = 40.0
LARGEST_REVERSION_MMHG = 30.0
LARGEST_STEP = (LARGEST_DELAY_CHANGE_S / UNITS[0], 5.0, 5.0)
"""In units of the signs. A larger one of the delay is none of the pressure; of the others no more is counted."""

Floats = npt.NDArray[np.floating]
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an estimate is made of. level, reversion (mean of the last minute − level): mmHg. step [3]: signs now −
    then, 0 where not known. known [3]: which signs have a slope at all. scatter [3, 3], product [3]: of the signs, and
    of signs with MAP, while it was measured. offset: mean MAP − level in mmHg and apart [3] signs now − mean signs,
    both 0 where there is no mean to compare with."""

    level: float
    age_s: float
    reversion: float
    step: npt.NDArray[np.float64]
    known: npt.NDArray[np.bool_]
    scatter: npt.NDArray[np.float64]
    product: npt.NDArray[np.float64]
    offset: float
    apart: npt.NDArray[np.float64]


def evidence(
    abp: Floats, ppg: Floats, now: PlethLook | None, then: PlethLook | None, past: PressurePast
) -> Evidence | None:
    """Of the rows [C] of the context, the looks of the pleth now and beside the last measured pressure, and the past up
    to then; None where no pressure was measured."""
    level, age = float(abp[_C["level"]]), float(abp[_C["age_s"]])
    if not (math.isfinite(level) and math.isfinite(age)):
        return None
    here = np.array(signs(float(ppg[_C["own_delay_s"]]), now))
    step = here - np.array(signs(float(abp[_C["ppg_delay_s"]]), then))
    step = np.where(np.isfinite(step), step, 0.0)
    timed = bool(
        math.isfinite(float(ppg[_C["own_delay_s"]]) - float(abp[_C["ppg_delay_s"]]))
        and abs(step[0]) < LARGEST_STEP[0]
        and past.full.weight >= LEAST_WEIGHT
    )
    step = np.clip(step, -np.array(LARGEST_STEP), LARGEST_STEP)
    known = np.array([timed, True, True])
    step[~known] = 0.0
    moments = past.full if timed else past.bare
    scatter, product, mean = np.zeros((3, 3)), np.zeros(3), np.full(3, np.nan)
    scatter[np.ix_(known, known)] = moments.scatter[1:, 1:]
    product[known], mean[known] = moments.scatter[1:, 0], moments.mean[1:]
    apart = (here - mean)[known]
    offset = 0.0
    far = np.zeros(3)
    if moments.weight >= LEAST_WEIGHT and bool((np.abs(apart) <= LARGEST_STEP[0]).all()):  # False where one is NaN
        offset, far[known] = float(moments.mean[0]) - level, apart
    reversion = _bounded(float(abp[_C["mean_60s"]]) - level, LARGEST_REVERSION_MMHG)
    return Evidence(level, age, reversion, step, known, scatter, product, offset, far)


def moved_map(moves: PressureMoves, seen: Evidence) -> float:
    """MAP in mmHg; at most 40 mmHg from the last measured level."""
    prior = [moves.prior[name] for name in SIGNS]
    weight = np.array([p.weight for p in prior])
    slope = np.linalg.solve(
        seen.scatter + np.diag(weight), seen.product + weight * np.array([p.slope for p in prior]) * seen.known
    )
    at, ages = math.log(max(seen.age_s, 1.0)), np.log(moves.ages_s)
    a, b, c = (float(np.interp(at, ages, moves.weights[name])) for name in ("mean_60s", "step", "line"))
    move = a * seen.reversion + b * _bounded(float(slope @ seen.step), LARGEST_MOVE_MMHG)
    return seen.level + _bounded(
        move + c * _bounded(seen.offset + float(slope @ seen.apart), LARGEST_MOVE_MMHG), LARGEST_MOVE_MMHG
    )


def estimated_map(
    moves: PressureMoves, window: Window, spec: WindowSpec, now: PlethLook | None, then: PlethLook | None,
    past: PressurePast,
) -> float:  # fmt: skip
    """MAP in mmHg of a window whose pressure is lost; NaN where it was never measured."""
    abp, ppg = (window.context[spec.modalities.index(m)] for m in (Modality.ABP, Modality.PPG))
    seen = evidence(abp, ppg, now, then, past)
    return math.nan if seen is None else moved_map(moves, seen)


def _bounded(value: float, limit: float) -> float:
    """0 where it is not known."""
    return min(max(value, -limit), limit) if math.isfinite(value) else 0.0
