"""Respiratory rate: breaths of the respiration signal, else the modulation that breathing leaves in ECG and PPG.

Breaths are counted with two thresholds about zero, so that ripple is not a breath (cf. Schäfer & Kratky, Ann Biomed Eng
2008; 36:476–485); a second estimate, the spectral peak, must agree.
The modulations are of height, level and rhythm (Charlton et al., IEEE Rev Biomed Eng 2018; 11:2–20); their spectra are
averaged, and where they disagree the rate is unknown (cf. Karlen et al., IEEE Trans Biomed Eng 2013; 60:1946–1953).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ
from streams.vitals.heart import Beat

Floats = npt.NDArray[np.float64]

RATE_HZ = 5  # of the signal that breaths are counted in: 20 samples of the 100-Hz grid each
SPAN_S, LEAST_SPAN_S = 40, 20
BAND_HZ = (0.06, 1.0)  # 4–60 breaths/min
THRESHOLD = 0.5  # of the root mean square
LEAST_BREATHS = 2
AGREEMENT = 0.15  # between count and spectral peak, relative; at least 2/min
LONGEST_BRIDGE_S = 1.0
MODULATION_SPAN_S = 45.0
MODULATION_TOLERANCE_HZ = 2 / 60
LOWEST_MODULATION_HZ = 0.08  # slower waves are vasomotion
LEAST_SHARE = 0.5  # of the power at the common peak; with it 97 % lay within 2/min of a ventilator (surgery1)
LEAST_ESTIMATES = 2
LEAST_BEATS = 12
FFT_SIZE = 1024
FREQUENCY_HZ = np.fft.rfftfreq(FFT_SIZE, 1 / RATE_HZ)
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
    """Breaths per minute from the beats of ECG and of PPG (or pressure) of the last 45 s.

    The peak of the averaged, normalised spectra of all modulations; None unless it holds half of their power and at
    least two modulations have their own peak there. Nothing is said above half the heart rate, the Nyquist limit.
    """
    spectra: list[Floats] = []
    highest = BAND_HZ[1]
    for beats in (ecg, pulse):
        recent = _unbroken(beats, second)
        if len(recent) < LEAST_BEATS or recent[-1].time_s - recent[0].time_s < LEAST_SPAN_S:
            continue
        times = np.array([b.time_s for b in recent])
        rhythm = np.diff(times)
        highest = min(highest, NYQUIST_SHARE / median(rhythm))
        for at, value in (
            (times, np.array([b.height for b in recent])),
            (times, np.array([b.level for b in recent])),
            (times[1:], rhythm),
        ):
            spectra.append(_power(_detrended(_evenly(at, value))))
    inside = (highest >= FREQUENCY_HZ) & (FREQUENCY_HZ >= LOWEST_MODULATION_HZ)
    if not inside.any():
        return None
    frequency = FREQUENCY_HZ[inside]
    shares = [p[inside] / total for p in spectra if (total := float(p[inside].sum())) > 0]
    if len(shares) < LEAST_ESTIMATES:
        return None
    mean = np.mean(shares, axis=0)
    peak = float(frequency[int(np.argmax(mean))])
    held = float(mean[np.abs(frequency - peak) <= 1.5 / MODULATION_SPAN_S].sum())
    agree = sum(abs(float(frequency[int(np.argmax(p))]) - peak) < MODULATION_TOLERANCE_HZ for p in shares)
    return 60.0 * peak if held >= LEAST_SHARE and agree >= LEAST_ESTIMATES else None


def breath_rate(x: Floats) -> float | None:
    """Breaths per minute of x: [n] at 5 Hz without gaps, where the count and the spectral peak agree."""
    n = len(x)
    if n < LEAST_SPAN_S * RATE_HZ:
        return None
    x = _detrended(x)
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
    """60 over the mean time between breaths, a breath beginning where the signal, having been below the lower
    threshold, rises above the upper one; None unless at least three begin and they cover half of the stretch."""
    threshold = THRESHOLD * float(np.sqrt(np.mean(x * x)))
    outside = np.flatnonzero(np.abs(x) > threshold)
    above = x[outside] > 0
    begins = outside[1:][above[1:] & ~above[:-1]]
    if len(begins) <= LEAST_BREATHS or begins[-1] - begins[0] < 0.5 * len(x):
        return None
    return 60.0 * RATE_HZ * (len(begins) - 1) / float(begins[-1] - begins[0])


def _spectral_peak(x: Floats) -> float | None:
    """Rate of the highest spectral peak, per minute; None unless it holds most of the power (with its neighbours)."""
    power = _power(x)
    frequency = FREQUENCY_HZ
    at = int(np.argmax(power))
    width = 2.0 / (len(x) / RATE_HZ)  # half of the main lobe of the Hann window
    near = (np.abs(frequency - frequency[at]) <= width) | (np.abs(frequency - 2 * frequency[at]) <= width)
    if float(power[near].sum()) < 0.5 * float(power.sum()):
        return None
    return 60.0 * float(frequency[at])


def _detrended(x: Floats) -> Floats:
    """Without mean and straight line."""
    t = np.linspace(-1.0, 1.0, len(x))
    x = x - x.mean()
    return x - t * (float(np.sum(t * x)) / float(np.sum(t * t)))


def _power(x: Floats) -> Floats:
    """Power spectrum of x at 5 Hz under a Hann window, at ``FREQUENCY_HZ``."""
    return np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), FFT_SIZE)) ** 2


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
    whole: Floats = np.interp(np.arange(len(x)), there - there[0], x[there - there[0]])
    return whole


def _unbroken(beats: Sequence[Beat], second: float) -> list[Beat]:
    """The beats of the last 45 s since the last break in the train."""
    recent = [b for b in beats if b.time_s > second - MODULATION_SPAN_S]
    if not recent or second - recent[-1].time_s > 4.0:
        return []
    breaks = [i for i, b in enumerate(recent) if not b.joined]
    return recent[breaks[-1] :] if breaks else recent


def _evenly(times: Floats, values: Floats) -> Floats:
    """Beat values at 5 Hz, outliers (ectopic beats, artefacts) drawn in to three robust deviations."""
    middle = median(values)
    spread = 1.4826 * median(np.abs(values - middle))
    values = np.clip(values, middle - 3 * spread, middle + 3 * spread)
    grid = np.arange(times[0], times[-1], 1 / RATE_HZ)
    return np.interp(grid, times, values)
