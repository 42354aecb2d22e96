"""The number of a line's pressure beside the arterial one (CVP, PAP, ICP): its mean, as a bedside monitor shows it.

The mean runs over the last eight seconds, so that breathing, which swings it, is averaged out; a change is seen in as
many. What it is worth is the transducer's: its zero, its height and an open tap are not seen in the wave. Systolic and
diastolic pulmonary pressures are not given: what is known of arterial beats does not fit them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.modalities import GRID_RATE_HZ

SPAN_S = 8
LEAST_S = 4
"""Of measured pressure; with less, after a line's return, the mean would be that of half a breath."""


def mean_pressure(x: npt.NDArray[np.float32]) -> float | None:
    """x: [n] mmHg at 100 Hz, at least the last 8 s, NaN where not measured. The mean of what was measured without a
    break until now, None with less than 4 s of it: what was before a break (a flush, a zeroing) is no longer so."""
    newest = x[-SPAN_S * GRID_RATE_HZ :].reshape(-1, GRID_RATE_HZ)
    gone = np.flatnonzero(np.isnan(newest).all(axis=1))
    newest = newest[gone[-1] + 1 :] if len(gone) else newest
    if len(newest) < LEAST_S:
        return None
    return float(np.nanmean(newest.astype(np.float64)))
