"""A grid of whole signals, as the pipeline offers it, and a run of the vitals over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from models.signals.modalities import Modality
from streams.vitals.monitor import Vitals, VitalsMonitor


def grid_of(signals: Mapping[Modality, npt.ArrayLike]) -> Callable[[Modality, int, int], npt.NDArray[np.float32]]:
    arrays = {m: np.asarray(x, dtype=np.float32) for m, x in signals.items()}

    def grid(modality: Modality, first_g: int, last_g: int) -> npt.NDArray[np.float32]:
        out = np.full(last_g - first_g, np.nan, dtype=np.float32)
        x = arrays.get(modality, np.empty(0, dtype=np.float32))
        a, b = max(first_g, 0), min(last_g, len(x))
        if b > a:
            out[a - first_g : b - first_g] = x[a:b]
        return out

    return grid


def vitals_over(
    signals: Mapping[Modality, npt.ArrayLike],
    seconds: int,
    unmeasured: Mapping[Modality, tuple[int, int]] | None = None,
) -> list[Vitals]:
    """One Vitals a second, 1 … seconds; ``unmeasured``: seconds [a, b) in which a modality is not measured."""
    monitor, grid = VitalsMonitor(), grid_of(signals)
    out = []
    for k in range(1, seconds + 1):
        hidden = {m for m, (a, b) in (unmeasured or {}).items() if a <= k < b}
        out.append(monitor.update(k, grid, {m: m not in hidden for m in signals}))
    return out
