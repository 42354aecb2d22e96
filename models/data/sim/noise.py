"""Random numbers addressed by position: sample ``i`` of a stream is the same however it is reached.

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11) is counter based: the key is (seed,
stream), the counter the block. Nothing here keeps state, so random access is deterministic under any chunking.
"""

from __future__ import annotations

from enum import IntEnum
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_BLOCK = 4096
_NORMAL = NormalDist()
_PROBABILITIES = np.linspace(0.0, 1.0, 401)
_QUANTILES = np.array([_NORMAL.inv_cdf(min(max(p, 1e-4), 1 - 1e-4)) for p in _PROBABILITIES])


class Stream(IntEnum):
    """One independent random stream each; the numbers are part of what a seed means, never reuse one."""

    SUBJECT = 1
    DEVICE = 2
    PLAN = 3
    COURSE = 4
    FAULT_PLAN = 5
    CRISIS = 6
    OPERATION = 7
    THEATRE = 8
    ECG_WHITE = 10
    ECG_WANDER = 11
    ABP_WHITE = 12
    PPG_WHITE = 13
    PPG_WANDER = 14
    EEG_WHITE = 15
    EEG_BURST = 16
    EEG_SENSOR = 17
    RESP_WHITE = 19
    FIBRILLATION = 20  # to 23
    FAULT_FAST = 30  # + modality index
    FAULT_SLOW = 40  # + modality index
    OXIMETER = 60
    OXIMETER_DRIFT = 61
    CUFF = 62
    THERMOMETER = 63
    THERMOMETER_DRIFT = 64
    INDEX_DRIFT = 65


def derive_seed(seed: int, label: int) -> int:
    """An independent 64-bit seed for part ``label`` of the world of ``seed``."""
    return int(np.random.SeedSequence([seed, label]).generate_state(1, np.uint64)[0])


def generator(seed: int, stream: int, index: int = 0) -> np.random.Generator:
    """The generator of block ``index`` of a stream; equal arguments give equal numbers."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, stream], dtype=np.uint64)
    counter = np.array([0, 0, 0, index & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def white(seed: int, stream: int, first: int, count: int) -> Float64Array:
    """Samples ``first … first + count`` of standard white Gaussian noise; ``first`` may be negative."""
    if count <= 0:
        return np.empty(0)
    low, high = first // _BLOCK, (first + count - 1) // _BLOCK
    blocks = [generator(seed, stream, k).standard_normal(_BLOCK) for k in range(low, high + 1)]
    joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return joined[first - low * _BLOCK : first - low * _BLOCK + count]


def smooth(seed: int, stream: int, times_s: Float64Array, rate_hz: float, sigma_s: float) -> Float64Array:
    """Stationary Gaussian noise of unit variance with a Gaussian autocorrelation (sigma · √2), at any times.

    White noise at ``rate_hz`` is smoothed with a Gaussian kernel of ``sigma_s`` seconds and interpolated linearly.
    """
    if times_s.size == 0:
        return np.empty(0)
    reach = int(np.ceil(4.0 * sigma_s * rate_hz)) + 1
    low = int(np.floor(times_s[0] * rate_hz)) - 1
    high = int(np.ceil(times_s[-1] * rate_hz)) + 2
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma_s * rate_hz)) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))
    values = np.convolve(white(seed, stream, low - reach, high - low + 2 * reach), kernel, mode="valid")
    noise: Float64Array = np.interp(times_s, np.arange(low, low + values.size) / rate_hz, values)
    return noise


def normal_quantile(probability: Float64Array) -> Float64Array:
    """Quantile of the standard normal distribution (table of 401 points, clipped at ±3.7)."""
    quantile: Float64Array = np.interp(probability, _PROBABILITIES, _QUANTILES)
    return quantile
