"""What the pleth tells of the circulation beside its delay: how fast it beats, and how full its pulses are.

Where the pressure moves, the heart's rate and the form of the peripheral pulse often move too: with a falling
resistance a pulse runs off sooner, and its mean lies lower between foot and peak. The form factor is the share of the
pulse's height below its mean (K in pulse-wave analysis, known of pressures), so neither the unit nor the gain of an
oximeter matters to it. Both are compared with what they were beside the last measured pressure
(:mod:`models.runtime.pressure_estimate`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.runtime.memory import Remembered
from models.signals.beats import upstrokes
from models.signals.blocks import median, spans_gap
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import Window, WindowSpec

LEAST_BEATS = 6

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PlethLook:
    """rate: pulses per minute. form: mean of a pulse above its foot, as a share of its height; 0 to 1."""

    rate: float
    form: float


def pleth_look(ppg: Floats, rate_hz: int = GRID_RATE_HZ) -> PlethLook | None:
    """Medians over the whole pulses of ``ppg`` [n], NaN where missing; None with fewer than six of them.

    A pulse is taken from one steepest rise to the next, so that it holds one peak and one foot; pulses that hold a gap
    do not count.
    """
    found = upstrokes(ppg, rate_hz, "PPG")
    whole = ~spans_gap(ppg, found, rate_hz)
    if int(np.count_nonzero(whole)) < LEAST_BEATS:
        return None
    at = np.rint(found).astype(np.int64)
    known = np.isfinite(ppg)
    pulses = np.where(known, ppg, 0.0).astype(np.float64)[at[0] : at[-1]]
    starts, counted = at[:-1] - at[0], known[at[0] : at[-1]]
    high = np.maximum.reduceat(np.where(counted, pulses, -np.inf), starts)[whole]
    low = np.minimum.reduceat(np.where(counted, pulses, np.inf), starts)[whole]
    count = np.add.reduceat(counted.astype(np.float64), starts)[whole]
    mean = np.add.reduceat(pulses, starts)[whole] / count
    tall = high > low
    if int(np.count_nonzero(tall)) < LEAST_BEATS:
        return None
    form = median((mean[tall] - low[tall]) / (high[tall] - low[tall]))
    return PlethLook(60.0 * rate_hz / median(np.diff(found)[whole]), form)


def pleth_of(window: Window, spec: WindowSpec) -> npt.NDArray[np.float32]:
    """The pleth of a window [L], NaN where it is absent; a copy."""
    row = spec.modalities.index(Modality.PPG)
    pleth: npt.NDArray[np.float32] = window.signals[row].copy()
    pleth[~np.repeat(window.cells[row], spec.rate_hz)] = np.nan
    return pleth


class PlethLooks:
    """The look of the pleth beside the last measured pressure, by bed and stretch of time.

    A second is looked at when it is asked for: while the pressure is measured, nobody asks.
    """

    def __init__(self) -> None:
        self._kept: Remembered[PlethLook | tuple[npt.NDArray[np.float32], int] | None] = Remembered()

    def learn(self, key: Hashable, ppg: npt.NDArray[np.float32], rate_hz: int = GRID_RATE_HZ) -> None:
        """``ppg`` [n] lies beside a measured pressure; the caller leaves it as it is."""
        self._kept.put(key, (ppg, rate_hz))

    def recall(self, key: Hashable) -> PlethLook | None:
        """The look beside the last measured pressure of ``key``; None where it was never told."""
        kept = self._kept.get(key)
        if isinstance(kept, tuple):
            kept = pleth_look(*kept)
            self._kept.put(key, kept)
        return kept

    def restore(self, key: Hashable, look: PlethLook | None) -> None:
        """Know of ``key`` that look, None: nothing."""
        self._kept.restore(key, look)

    def forget(self, key: Hashable) -> None:
        """What is known of this bed and stretch is forgotten."""
        self._kept.forget(key)
