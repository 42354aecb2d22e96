"""Two numbers of the processed EEG: the 95 % spectral edge and the burst-suppression ratio.

Definitions after Rampil, "A primer for EEG signal processing in anesthesia", Anesthesiology 1998; 89:980–1002: the
spectral edge is the frequency below which 95 % of the power lies; suppression is EEG that stays within ±5 µV for at
least 0.5 s, and its ratio is the suppressed share of the last 60 s.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from models.signals.modalities import GRID_RATE_HZ

Floats = npt.NDArray[np.float64]

EDGE_SPAN_S, EPOCH_S, LEAST_EDGE_S = 30, 2, 15
EDGE_BAND_HZ = (0.5, 30.0)
EDGE_SHARE = 0.95
ARTEFACT_UV = 500.0  # an epoch that exceeds this is an artefact, not EEG
LEAST_POWER_UV2 = 0.05  # less in the band is an amplifier's noise: an isoelectric EEG has no edge
SUPPRESSION_SPAN_S, LEAST_SUPPRESSION_S = 60, 30
SUPPRESSION_UV = 5.0
SUPPRESSION_S = 0.5


@lru_cache(maxsize=1)
def _taper() -> Floats:
    n = EPOCH_S * GRID_RATE_HZ
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def spectral_edge(x: npt.ArrayLike) -> float | None:
    """SEF95 in Hz within 0.5–30 Hz of the last 30 s; x: [n] EEG in µV on the 100-Hz grid, NaN where missing.

    Welch's method over 2-s epochs with half overlap; an epoch with a missing sample or beyond ±500 µV is left out.
    None with fewer than 15 s of good epochs, or where there is no power to speak of.
    """
    values = np.asarray(x, dtype=np.float64)[-EDGE_SPAN_S * GRID_RATE_HZ :]
    length, step = EPOCH_S * GRID_RATE_HZ, EPOCH_S * GRID_RATE_HZ // 2
    if len(values) < length:
        return None
    epochs = np.lib.stride_tricks.sliding_window_view(values[len(values) % step :], length)[::step]
    epochs = epochs[np.isfinite(epochs).all(axis=1)]
    epochs = epochs - epochs.mean(axis=1, keepdims=True)
    epochs = epochs[np.abs(epochs).max(axis=1, initial=0.0) <= ARTEFACT_UV]
    if len(epochs) * EPOCH_S / 2 < LEAST_EDGE_S - EPOCH_S / 2:
        return None
    power = np.mean(np.abs(np.fft.rfft(epochs * _taper(), axis=1)) ** 2, axis=0)
    power *= 2.0 / (GRID_RATE_HZ * float(np.sum(_taper() ** 2)))  # µV²/Hz
    frequency = np.fft.rfftfreq(length, 1 / GRID_RATE_HZ)
    band = (frequency >= EDGE_BAND_HZ[0]) & (frequency <= EDGE_BAND_HZ[1])
    frequency, power = frequency[band], power[band]
    spacing = 1.0 / EPOCH_S
    if float(power.sum()) * spacing < LEAST_POWER_UV2:
        return None
    share = np.cumsum(power) / power.sum()
    above = int(np.argmax(share >= EDGE_SHARE))
    below = share[above - 1] if above else 0.0
    return float(frequency[above] - spacing * (share[above] - EDGE_SHARE) / max(share[above] - below, 1e-12))


def suppression_ratio(x: npt.ArrayLike) -> float | None:
    """Burst-suppression ratio, 0–1, over the last 60 s; x: [n] EEG in µV on the 100-Hz grid, NaN where missing.

    A sample is suppressed if it belongs to a stretch of at least 0.5 s whose values keep within 10 µV of one another
    (±5 µV about wherever the baseline lies; drift over half a second is smaller). None with fewer than 30 s of EEG.
    """
    values = np.asarray(x, dtype=np.float64)[-SUPPRESSION_SPAN_S * GRID_RATE_HZ :]
    there = np.isfinite(values)
    if int(there.sum()) < LEAST_SUPPRESSION_S * GRID_RATE_HZ:
        return None
    run = round(SUPPRESSION_S * GRID_RATE_HZ)
    highest = _sliding(np.where(there, values, np.inf), run, np.maximum)  # a missing sample is never suppressed
    lowest = _sliding(np.where(there, values, -np.inf), run, np.minimum)
    quiet = highest - lowest < 2 * SUPPRESSION_UV  # [n - run + 1], by first sample
    edges = np.zeros(len(values) + 1, dtype=np.int64)
    starts = np.flatnonzero(quiet)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + run, -1)
    suppressed = np.cumsum(edges[:-1]) > 0
    return float(np.count_nonzero(suppressed) / np.count_nonzero(there))


def _sliding(x: Floats, width: int, extreme: np.ufunc) -> Floats:
    """Running maximum or minimum over ``width`` samples by doubling, [n - width + 1]."""
    result, reach = x, 1
    while 2 * reach <= width:
        result = extreme(result[:-reach], result[reach:])
        reach *= 2
    rest = width - reach
    return extreme(result[: len(result) - rest], result[rest:]) if rest else result
