"""Numbers of the processed EEG: the 95 % spectral edge, the burst-suppression ratio and the power of muscle.

Definitions after Rampil, "A primer for EEG signal processing in anesthesia", Anesthesiology 1998; 89:980–1002: the
spectral edge is the frequency below which 95 % of the power lies; suppression is EEG that stays within ±5 µV for at
least 0.5 s, and its ratio is the suppressed share of the last 60 s. The band of the edge is 0.5–30 Hz, as monitors have
it (BIS, in Philips Efficia CM "SEF 0.5 to 30.0 Hz" and in Mindray BeneVision; above lies more muscle than brain), and
muscle is told beside it, as they do.

All take measured samples only, NaN elsewhere: artefact is taken out before, by :mod:`models.signals.eeg_artefacts`.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median
from models.signals.eeg_artefacts import QUIET_S, QUIET_UV, is_suppressed
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.quality import LIMITS

Floats = npt.NDArray[np.float64]
Band = tuple[float, float]

EDGE_SPAN_S, EPOCH_S, LEAST_EDGE_S = 30, 2, 15
EDGE_BAND_HZ = (0.5, 30.0)
EDGE_SHARE = 0.95
LEAST_POWER_UV2 = 0.05  # less in the band is an amplifier's noise: an isoelectric EEG has no edge
LEAST_ACTIVE = 3  # epochs that are not suppressed and make a spectrum
SUPPRESSION_SPAN_S, LEAST_SUPPRESSION_S = 60, 30

MUSCLE_SPAN_S, LEAST_MUSCLE_S = 10, 5
MUSCLE_BANDS_HZ = ((70.0, 110.0), (30.0, 47.0))
MUSCLE_REFERENCE_UV2 = 1e-4
LEAST_RATE, LEAST_NATIVE = 2.1, 0.9  # of the upper end of a band; of the samples of a second


def spectral_edge(x: npt.ArrayLike) -> float | None:
    """SEF95 in Hz within 0.5–30 Hz of the last 30 s; x: [n] EEG in µV on the 100-Hz grid, NaN where not measured.

    Welch's method over 2-s epochs with half overlap, each without its straight line; an epoch with a missing sample is
    left out, and so is one of suppression among others, since a burst-suppressed EEG has the edge of its bursts. The
    median of the epochs at each frequency, not their mean: what an artefact rule has missed must not carry it. None
    with fewer than 15 s of good epochs, or where there is no power to speak of.
    """
    values = np.asarray(x, dtype=np.float64)[-EDGE_SPAN_S * GRID_RATE_HZ :]
    length, step = EPOCH_S * GRID_RATE_HZ, EPOCH_S * GRID_RATE_HZ // 2
    if len(values) < length:
        return None
    values = _moving(values)
    epochs = np.lib.stride_tricks.sliding_window_view(values[len(values) % step :], length)[::step]
    epochs = epochs[np.isfinite(epochs).all(axis=1)]
    if len(epochs) * EPOCH_S / 2 < LEAST_EDGE_S - EPOCH_S / 2:
        return None
    active = np.ptp(epochs, axis=1) >= QUIET_UV
    if np.count_nonzero(active) >= LEAST_ACTIVE:
        epochs = epochs[active]
    taper, line = _taper()
    epochs = epochs - epochs.mean(axis=1, keepdims=True)
    epochs = epochs - np.outer(epochs @ line, line)
    power = np.median(np.abs(np.fft.rfft(epochs * taper, axis=1)) ** 2, axis=0)
    power *= 2.0 / (GRID_RATE_HZ * float(np.sum(taper**2)))  # µV²/Hz
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
    """Burst-suppression ratio, 0–1, over the last 60 s; x: [n] EEG in µV on the 100-Hz grid, NaN where not measured.

    Of the samples that are EEG. A value that is held is none. A quiet stretch within a second of one that was not
    measured, or of now, may belong to what is not: an electrode goes off and comes back within a cell, and is known to
    be off one cell later. None with fewer than 30 s of EEG.
    """
    values = _moving(np.asarray(x, dtype=np.float64)[-SUPPRESSION_SPAN_S * GRID_RATE_HZ :])
    there, suppressed = np.isfinite(values), is_suppressed(values)
    doubtful = _near(~np.append(there, False), GRID_RATE_HZ)[:-1]
    eeg = there & ~(suppressed & doubtful)
    if np.count_nonzero(eeg) < LEAST_SUPPRESSION_S * GRID_RATE_HZ:
        return None
    return float(np.count_nonzero(suppressed & eeg) / np.count_nonzero(eeg))


class MuscleMeter:
    """Power of muscle in an EEG, second by second from samples at the channel's own rate: the grid holds none of it.

    In dB above 0.0001 µV², the median of the last 10 s. The band is 70–110 Hz, which BIS monitors call EMG (they draw
    none below 30 dB, a full bar from 55 dB on), or 30–47 Hz where the rate is too low for it (frontal muscle in Sleigh
    et al., Br J Anaesth 2001; 86:50–58). The two are not to be compared, so the band goes with the number.
    """

    def __init__(self) -> None:
        self._powers: deque[tuple[int, Band, float]] = deque(maxlen=MUSCLE_SPAN_S)

    def update(self, second: int, native: npt.ArrayLike, rate_hz: float) -> None:
        """Take in the measured second that ends at ``second``: [n] EEG in µV at ``rate_hz``, NaN where missing."""
        x = np.asarray(native, dtype=np.float64)
        band = next((b for b in MUSCLE_BANDS_HZ if LEAST_RATE * b[1] <= rate_hz), None)
        if band is None or len(x) < LEAST_NATIVE * rate_hz or not np.isfinite(x).all():
            return
        taper = np.hanning(len(x))
        frequency = np.fft.rfftfreq(len(x), 1.0 / rate_hz)
        inside = (frequency >= band[0]) & (frequency <= band[1])
        spectrum = np.abs(np.fft.rfft((x - x.mean()) * taper)[inside]) ** 2
        density = median(spectrum) / np.log(2.0) * 2.0 / (rate_hz * float(np.sum(taper**2)))
        self._powers.append((second, band, density * (band[1] - band[0])))

    def read(self, second: int) -> tuple[float, Band] | None:
        """Decibels and band at ``second``; None with fewer than 5 s of the last 10, or at a rate below 100 Hz."""
        if not self._powers:
            return None
        band = self._powers[-1][1]
        powers = [p for at, b, p in self._powers if at > second - MUSCLE_SPAN_S and b == band]
        if len(powers) < LEAST_MUSCLE_S:
            return None
        return _decibels(median(np.array(powers))), band

    def of_second(self, second: int) -> float | None:
        """Decibels of the second that ends at ``second`` alone, None where it was not taken in."""
        if not self._powers or self._powers[-1][0] != second:
            return None
        return _decibels(self._powers[-1][2])


def _decibels(power_uv2: float) -> float:
    return 10.0 * float(np.log10(max(power_uv2, 1e-12) / MUSCLE_REFERENCE_UV2))


@lru_cache(maxsize=1)
def _taper() -> tuple[Floats, Floats]:
    """The taper of an epoch, and the straight line of unit size that is taken off it."""
    n = EPOCH_S * GRID_RATE_HZ
    line = np.arange(n) - 0.5 * (n - 1)
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, line / np.sqrt(float(np.sum(line * line)))


def _near(what: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """Which samples lie within ``reach`` samples of one of ``what``."""
    before = np.concatenate(([0], np.cumsum(what)))
    at = np.arange(len(what))
    return np.asarray(before[np.minimum(at + reach + 1, len(what))] > before[np.maximum(at - reach, 0)])


def _moving(x: Floats) -> Floats:
    """x with NaN where one value is held for half a second: no EEG does that, suppressed or not."""
    run, still = round(QUIET_S * GRID_RATE_HZ), LIMITS[Modality.EEG].still
    held = np.concatenate(([False], np.abs(np.diff(x)) <= still, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(held))
    out = x.copy()
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - start + 1 >= run:
            out[start : end + 1] = np.nan
    return out
