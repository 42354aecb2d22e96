"""Respiratory rate: breaths of the respiration signal, else the modulation that breathing leaves in ECG and PPG.

Breaths are counted by the advanced method of Schäfer & Kratky (Ann Biomed Eng 2008; 36:476–485): a breath is a pair of
maxima above a threshold with exactly one minimum, below zero, between. A second estimate, by spectrum, must agree.
The modulations (Charlton et al., IEEE Rev Biomed Eng 2018; 11:2–20) are of height, level and rhythm; their estimates
are fused as Karlen et al. do (IEEE Trans Biomed Eng 2013; 60:1946–1953): where they disagree, the rate is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.signals.modalities import GRID_RATE_HZ
from streams.vitals.heart import Beat

Floats = npt.NDArray[np.float64]

RATE_HZ = 5  # of the signal that breaths are counted in: 20 samples of the 100-Hz grid each
SPAN_S, LEAST_SPAN_S = 40, 20
BAND_HZ = (0.06, 1.0)  # 4–60 breaths/min
THRESHOLD = 0.25  # of the third quartile of the maxima; Schäfer & Kratky use 0.2
LEAST_BREATHS = 2
AGREEMENT = 0.15  # between count and spectral peak, relative; at least 2/min
LONGEST_BRIDGE_S = 1.0
MODULATION_SPAN_S = 45.0
SPREAD_PER_MIN = 4.0  # Karlen 2013: standard deviation of the fused estimates
LEAST_ESTIMATES = 2
NYQUIST_SHARE = 0.45  # a beat-sampled modulation says nothing above half the heart rate


def rate_of_signal(x: npt.ArrayLike) -> float | None:
    """Breaths per minute of a respiration signal; x: [n] of any unit on the 100-Hz grid, NaN where missing.

    Looks at the last 40 s since the last gap over one second; None with fewer than 20 s of it, or when count and
    spectrum disagree (irregular breathing, no breathing, an unfit signal).
    """
    step = GRID_RATE_HZ // RATE_HZ
    values = np.asarray(x, dtype=np.float64)[-SPAN_S * GRID_RATE_HZ :]
    values = values[len(values) % step :].reshape(-1, step)
    there = np.isfinite(values)
    count = there.sum(axis=1)
    means = np.where(count > 0, np.where(there, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    return breath_rate(_since_last_gap(means))


def rate_of_modulation(ecg: Sequence[Beat], pulse: Sequence[Beat], second: float) -> float | None:
    """Breaths per minute from the beats of ECG and of PPG (or pressure), None unless the modulations agree."""
    estimates = []
    for beats in (ecg, pulse):
        recent = _unbroken(beats, second)
        if len(recent) < 12:
            continue
        times = np.array([b.time_s for b in recent])
        rhythm = np.diff(times)
        limit_per_min = NYQUIST_SHARE * 60.0 / float(np.median(rhythm))
        series = [
            (times, np.array([b.height for b in recent])),
            (times, np.array([b.level for b in recent])),
            (times[1:], rhythm),
        ]
        for at, value in series:
            rate = breath_rate(_evenly(at, value))
            if rate is not None and rate <= limit_per_min:
                estimates.append(rate)
    if len(estimates) < LEAST_ESTIMATES or float(np.std(estimates)) > SPREAD_PER_MIN / 2:
        return None
    return float(np.median(estimates))


def breath_rate(x: Floats) -> float | None:
    """Breaths per minute of x: [n] at 5 Hz without gaps, where the count and the spectral peak agree."""
    n = len(x)
    if n < LEAST_SPAN_S * RATE_HZ:
        return None
    t = np.linspace(-1.0, 1.0, n)
    x = x - x.mean()
    x = x - t * (float(t @ x) / float(t @ t))
    # Band-pass in the frequency domain; ends mirrored with odd symmetry, so that they make no jump.
    padded = np.concatenate((2 * x[0] - x[n - 1 : 0 : -1], x, 2 * x[-1] - x[n - 2 :: -1]))
    spectrum = np.fft.rfft(padded)
    frequency = np.fft.rfftfreq(len(padded), 1 / RATE_HZ)
    spectrum[(frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    x = np.fft.irfft(spectrum, len(padded))[n - 1 : 2 * n - 1]
    if float(np.std(x)) < 1e-9:
        return None
    counted = _count(x)
    peak = _spectral_peak(x)
    if counted is None or peak is None or abs(counted - peak) > max(2.0, AGREEMENT * peak):
        return None
    return counted


def _count(x: Floats) -> float | None:
    """Schäfer & Kratky's advanced count: 60 over the mean length of the valid breaths; None unless they cover half."""
    maxima = np.flatnonzero((x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:])) + 1
    if len(maxima) < 2:
        return None
    threshold = THRESHOLD * float(np.percentile(x[maxima], 75))
    maxima = maxima[x[maxima] > max(threshold, 0.0)]
    minima = np.flatnonzero((x[1:-1] < x[:-2]) & (x[1:-1] <= x[2:])) + 1
    minima = minima[x[minima] < 0]
    if len(maxima) < 2:
        return None
    between = np.searchsorted(minima, maxima[1:]) - np.searchsorted(minima, maxima[:-1])
    exact = _vertices(x, maxima)
    lengths = np.diff(exact)[between == 1]
    if len(lengths) < LEAST_BREATHS or lengths.sum() < 0.5 * len(x):
        return None
    return 60.0 * RATE_HZ / float(np.mean(lengths))


def _vertices(x: Floats, peaks: npt.NDArray[np.intp]) -> Floats:
    bend = x[peaks - 1] - 2 * x[peaks] + x[peaks + 1]
    shift = np.where(bend < 0, 0.5 * (x[peaks - 1] - x[peaks + 1]) / np.where(bend < 0, bend, 1.0), 0.0)
    return peaks.astype(np.float64) + shift


def _spectral_peak(x: Floats) -> float | None:
    """Rate of the highest spectral peak, per minute; None unless it holds most of the power (with its neighbours)."""
    size = 2048
    power = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), size)) ** 2
    frequency = np.fft.rfftfreq(size, 1 / RATE_HZ)
    at = int(np.argmax(power))
    width = 2.0 / (len(x) / RATE_HZ)  # half of the main lobe of the Hann window
    near = (np.abs(frequency - frequency[at]) <= width) | (np.abs(frequency - 2 * frequency[at]) <= width)
    if float(power[near].sum()) < 0.5 * float(power.sum()):
        return None
    return 60.0 * float(frequency[at])


def _since_last_gap(x: Floats) -> Floats:
    """The stretch after the last gap longer than a second, shorter gaps interpolated; empty if it ends in one."""
    missing = ~np.isfinite(x)
    if not missing.any():
        return x
    edges = np.flatnonzero(np.diff(missing.astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    long = ends[(ends - starts) > LONGEST_BRIDGE_S * RATE_HZ]
    x = x[long[-1] :] if len(long) else x
    there = np.flatnonzero(np.isfinite(x))
    if not len(there):
        return np.empty(0)
    x = x[there[0] :]
    return np.interp(np.arange(len(x)), there - there[0], x[there - there[0]])


def _unbroken(beats: Sequence[Beat], second: float) -> list[Beat]:
    """The beats of the last 45 s since the last break in the train."""
    recent = [b for b in beats if b.time_s > second - MODULATION_SPAN_S]
    if not recent or second - recent[-1].time_s > 4.0:
        return []
    breaks = [i for i, b in enumerate(recent) if not b.joined]
    return recent[breaks[-1] :] if breaks else recent


def _evenly(times: Floats, values: Floats) -> Floats:
    """Beat values at 5 Hz, outliers (ectopic beats, artefacts) drawn in to three robust deviations."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    values = np.clip(values, middle - 3 * spread, middle + 3 * spread)
    grid = np.arange(times[0], times[-1], 1 / RATE_HZ)
    return np.interp(grid, times, values)
