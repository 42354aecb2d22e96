"""Whether the next pulse is late: the earliest sign, long before a pulse counts as lost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ

OVERDUE_INTERVALS = 1.75  # a compensatory pause lasts up to twice the usual interval, and is waited for
LEAST_OVERDUE_S, LONE_OVERDUE_S = 1.2, 2.0


def overdue(beats: npt.NDArray[np.float64], length: int) -> bool:
    """Whether the last of ``beats`` lies further back than the rhythm allows.

    beats: positions of upstrokes in samples at 100 Hz, ascending, in a block of ``length`` samples that ends now.
    """
    if not len(beats):
        return True
    silent_s = (length - float(beats[-1])) / GRID_RATE_HZ
    if len(beats) < 3:
        return silent_s > LONE_OVERDUE_S
    usual_s = median(np.diff(beats)) / GRID_RATE_HZ
    return silent_s > max(OVERDUE_INTERVALS * usual_s, LEAST_OVERDUE_S)
