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
from models.signals.findings import Rhythm
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.offset import REACH
from models.signals.quality import LOOK_BACK_S, Verdict, assess, moves, sure_of_beats

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

    grid: float32 [1000], the ten seconds up to the cell's end in canonical units from the channel's zero (see
    :mod:`models.signals.offset`), NaN where missing. beats: positions
    of R peaks or upstrokes in it (see :func:`models.signals.quality.find_beats`). withheld: the operator withheld
    samples of this cell, which is then the reason for their lack.
    """
    cell = grid[-CELL_SAMPLES:]
    missing = np.count_nonzero(np.isnan(cell))
    if missing > MISSING_ALLOWED:
        return Verdict(Absence.WITHHELD if withheld else Absence.NO_DATA)
    return assess(modality, grid, beats)


def signs_of_life(
    verdict: Verdict,
    modality: Modality,
    grid: npt.NDArray[np.float32],
    distance: float,
    beats: npt.NDArray[np.float64],
    rhythm: Rhythm,
) -> dict[str, bool]:
    """Of the cell that ends ``grid``, what :meth:`models.signals.offset.OffsetTrack.follow` has to know of it.

    verdict: on the cell, from the channel's zero as it is. distance: of the cell's level from it. grid, beats: as for
    :func:`cell_verdict`. rhythm: what an ECG shows.
    """
    if modality is Modality.ECG:
        alive = rhythm in (Rhythm.BEATS, Rhythm.FIBRILLATION)
        return {"alive": alive, "sure": alive and sure_of_beats(grid, beats, rhythm), "first": moves(modality, grid)}
    clean = verdict.absence is None
    if not clean and abs(distance) > REACH[modality].lost:  # it may be clean where it is
        level = np.float32(np.nanmedian(grid[-CELL_SAMPLES:]))
        clean = cell_verdict(modality, grid - level, beats).absence is None
    return {"alive": clean, "sure": clean, "first": clean}


def frame_presence(cells: npt.NDArray[np.bool_], frame_s: int) -> npt.NDArray[np.bool_]:
    """bool [..., N] per frame from bool [..., N · frame_s] per cell: a frame is present iff its cells are."""
    present: npt.NDArray[np.bool_] = np.logical_and.reduce(cells.reshape(*cells.shape[:-1], -1, frame_s), axis=-1)
    return present
