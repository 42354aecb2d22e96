"""The plain delay regression, the null of every estimate of a lost pressure: one computation for every table.

    MAP = last measured level + slope · (R-to-PPG delay now − delay then)

The slope is the patient's own, of the last ten minutes (:mod:`models.signals.context`). A step of the delay larger than
transit times take means that it was taken from another beat; then, and where anything is unknown, the level is held.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.delays import LARGEST_DELAY_CHANGE_S
from models.signals.windows import CONTEXT_FIELDS

LARGEST_TERM_MMHG = 40.0
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def delay_regression(abp: npt.NDArray[np.floating], ppg: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """MAP in mmHg [...] from rows [..., C] of the context; NaN where no pressure was ever measured."""
    change = ppg[..., _C["own_delay_s"]].astype(np.float64) - abp[..., _C["ppg_delay_s"]]
    term = abp[..., _C["delay_slope"]] * change
    sound = np.isfinite(term) & (np.abs(change) < LARGEST_DELAY_CHANGE_S)
    move = np.where(sound, np.clip(term, -LARGEST_TERM_MMHG, LARGEST_TERM_MMHG), 0.0)
    return np.asarray(abp[..., _C["level"]] + move, np.float64)
