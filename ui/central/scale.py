"""The scale of a small wave: fixed steps, so that a flat line stays flat and a low pressure lies low. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.modalities import Modality

WINDOW_S = 6.0
"""Seconds across a small wave."""
STEPS: dict[Modality, tuple[tuple[float, float], ...]] = {
    # lowest and highest value: mV about the baseline, mmHg from zero
    Modality.ECG: ((-0.6, 1.4), (-1.2, 2.8), (-2.4, 5.6), (-4.8, 11.2)),
    Modality.ABP: ((0.0, 160.0), (0.0, 240.0), (-20.0, 320.0)),
}


def step_for(modality: Modality, values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """The smallest step that holds nearly all of ``values`` (what is not finite left out); of none, the first."""
    steps, there = STEPS[modality], values[np.isfinite(values)]
    if len(there) == 0:
        return steps[0]
    low, high = np.percentile(there, (0.2, 99.8))
    return next((step for step in steps if step[0] <= low and high <= step[1]), steps[-1])
