"""Two measures of the shape of a stretch of signal that rules of quality share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def bends(cell: FloatArray) -> float:
    """Mean absolute second difference over 20-ms steps, in the signal's unit; 0 where nothing can be computed."""
    bend = np.abs(cell[4:] - 2.0 * cell[2:-2] + cell[:-4])
    bend = bend[np.isfinite(bend)]
    return float(bend.mean()) if len(bend) else 0.0


def kurtosis(x: FloatArray) -> float:
    """Fourth standardised moment of the known samples (3 for Gaussian noise, 1.5 for a sine); 0 where undefined."""
    known = x[np.isfinite(x)].astype(np.float64)
    if len(known) < 2:
        return 0.0
    square = (known - known.mean()) ** 2
    variance = float(square.mean())
    return float((square**2).mean()) / variance**2 if variance > 0 else 0.0
