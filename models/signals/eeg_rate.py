"""An EEG at 128 Hz, second by second, with all that it has up to 47 Hz: the common grid holds too little above 40.

Samples of 128 Hz pass as they are. Any other whole rate above is averaged with a Kaiser-windowed sinc of 50 ms to
either side (half at 64 Hz, less than 1 % lost up to 46 Hz, less than 0.2 % passed from 82 Hz on, which would fold to
below 46), one sixteenth of a second late, since the samples after a second's end are not there yet. A channel that is
slower holds no 47 Hz, and one of a broken rate has no whole second: both are missing.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RATE_HZ = 128
LATE = RATE_HZ // 16
HALF_SUPPORT_S = 0.05
_BETA = 5.65  # 60 dB
_CUTOFF_HZ = 64.0


class At128Hz:
    """One channel, fed each second in turn."""

    def __init__(self) -> None:
        self._before: Floats = np.empty(0)

    def reset(self) -> None:
        """Forget the second before."""
        self._before = np.empty(0)

    def second(self, native: npt.ArrayLike, rate_hz: float) -> Floats:
        """The newest 128 samples, after the second ``native`` [n] at ``rate_hz`` in any unit; NaN where missing.

        A missing sample leaves no sample within 50 ms of it.
        """
        now = np.asarray(native, dtype=np.float64)
        before, self._before = self._before, now
        if rate_hz < RATE_HZ or len(now) != rate_hz:
            return np.full(RATE_HZ, np.nan)
        if rate_hz == RATE_HZ:
            return now
        if len(before) != len(now):
            before = np.full(len(now), np.nan)
        at, weights = _kernel(len(now))
        return np.asarray(np.sum(np.concatenate((before, now))[at] * weights, axis=1))


@lru_cache(maxsize=8)
def _kernel(rate: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """Which of two seconds of samples make each of the 128, and their weights of sum 1: [128, taps] each."""
    position = rate * (1.0 + (np.arange(RATE_HZ) - LATE) / RATE_HZ)
    reach = math.ceil(HALF_SUPPORT_S * rate)
    at = np.floor(position).astype(np.intp)[:, None] + np.arange(-reach, reach + 1)
    time_s = (at - position[:, None]) / rate
    arch = np.sqrt(np.clip(1.0 - (time_s / HALF_SUPPORT_S) ** 2, 0.0, None))
    weights = np.sinc(2.0 * _CUTOFF_HZ * time_s) * np.i0(_BETA * arch) * (np.abs(time_s) <= HALF_SUPPORT_S)
    return at, np.asarray(weights / weights.sum(axis=1, keepdims=True))
