"""The rule of the 1-s cell: whether a modality was measured in ``[k, k + 1)``, decided from grid samples only.

A cell is absent, with its reason, if more than 40 ms of it is missing or its quality fails. It is judged causally,
from the ten seconds of grid that end with it, so training and stream cannot differ. Two masks come of it: what was
*measured* (screen, vitals, alarms) and what of that is *readable* (the model; see :mod:`models.signals.quality`). A
model's frame is present iff its cells are readable.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.quality import LOOK_BACK_S, Verdict, assess

CELL_SAMPLES = GRID_RATE_HZ
LOOK_BACK_SAMPLES = LOOK_BACK_S * GRID_RATE_HZ
MISSING_ALLOWED_S = 0.040
MISSING_ALLOWED = round(MISSING_ALLOWED_S * GRID_RATE_HZ)


def cell_verdict(
    modality: Modality,
    grid: npt.NDArray[np.float32],
    beats: npt.NDArray[np.float64],
    withheld: bool = False,
) -> Verdict:
    """The verdict on the last second of ``grid``.

    grid: float32 [1000], the ten seconds up to the cell's end in canonical units, NaN where missing. beats: positions
    of R peaks or upstrokes in it (see :func:`models.signals.quality.find_beats`). withheld: the operator withheld
    samples of this cell, which is then the reason for their lack.
    """
    cell = grid[-CELL_SAMPLES:]
    missing = np.count_nonzero(np.isnan(cell))
    if missing > MISSING_ALLOWED:
        return Verdict(Absence.WITHHELD if withheld else Absence.NO_DATA)
    return assess(modality, grid, beats)


def frame_presence(cells: npt.NDArray[np.bool_], frame_s: int) -> npt.NDArray[np.bool_]:
    """bool [..., N] per frame from bool [..., N · frame_s] per cell: a frame is present iff its cells are."""
    present: npt.NDArray[np.bool_] = np.logical_and.reduce(cells.reshape(*cells.shape[:-1], -1, frame_s), axis=-1)
    return present
