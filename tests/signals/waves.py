"""Waves of known beats for tests: plain formulas, independent of the project's simulator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RATE = 100


def beat_times(rate_per_min: float, duration_s: float, first_s: float = 0.6, jitter_s: float = 0.0) -> Floats:
    """Beat times in seconds; jitter from a fixed generator."""
    times = np.arange(first_s, duration_s - 0.5, 60.0 / rate_per_min)
    return times + jitter_s * np.random.default_rng(1).standard_normal(len(times))


def ecg(
    times: Floats,
    duration_s: float,
    amplitude: float = 1.0,
    t_wave: float = 0.3,
    wander: float = 0.3,
    noise: float = 0.0,
    polarity: int = 1,
) -> Floats:
    """P, QRS and T as Gaussians, mV; the R peak lies at each time."""
    t = np.arange(round(duration_s * RATE)) / RATE
    x = np.zeros(len(t))
    for at, rr in zip(times, np.diff(times, append=2 * times[-1] - times[-2]), strict=True):
        qt = 0.30 * np.sqrt(rr)
        for height, offset, width in (
            (0.12, -0.16 * min(rr, 1.0), 0.025),
            (-0.12, -0.030, 0.010),
            (1.0, 0.0, 0.011),
            (-0.2, 0.032, 0.012),
            (t_wave, qt, 0.050 * np.sqrt(rr / 0.8)),
        ):
            near = slice(*np.searchsorted(t, (at + offset - 9.0 * width, at + offset + 9.0 * width)))  # e⁻⁴⁰ beyond
            x[near] += height * np.exp(-0.5 * ((t[near] - at - offset) / width) ** 2)
    drift = wander * np.sin(2 * np.pi * 0.25 * t + 1.0)
    return polarity * amplitude * x + drift + noise * np.random.default_rng(2).standard_normal(len(t))


def pulse(times: Floats, duration_s: float, low: float, high: float, notch: float = 0.25) -> Floats:
    """A pulse after each time: feet exactly ``low``, peaks exactly ``high`` 0.15 s after the foot (smooth rise, so the
    steepest point lies 0.075 s after it), a decay and a dicrotic wave of relative height ``notch``."""
    t = np.arange(round(duration_s * RATE)) / RATE
    x = np.full(len(t), float(low))
    ends = np.append(times[1:], 2 * times[-1] - times[-2])
    for at, end in zip(times, ends, strict=True):
        rise = (t >= at) & (t < at + 0.15)
        x[rise] = low + (high - low) * 0.5 * (1 - np.cos(np.pi * (t[rise] - at) / 0.15))
        fall = (t >= at + 0.15) & (t < end)
        share = (t[fall] - at - 0.15) / (end - at - 0.15)
        decay = (1 - share) ** 1.5
        dicrotic = notch * np.exp(-0.5 * ((t[fall] - at - 0.36) / 0.04) ** 2) * (1 - share)
        x[fall] = low + (high - low) * np.minimum(decay + dicrotic, 1.0)
    return x


def brain(
    duration_s: float, sd_uv: float = 15.0, alpha: float = 0.3, slope: float = 1.5, seed: int = 8, rate: int = RATE
) -> Floats:
    """An EEG in µV at ``rate``: noise whose power falls with frequency to the power of ``slope``, and a share ``alpha``
    of the power at 9–11 Hz; nothing below 0.5 Hz and above 45 Hz."""
    n = round(duration_s * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / rate)
    inside = (hertz >= 0.5) & (hertz <= 45.0)
    power = np.where(inside, np.maximum(hertz, 0.5) ** -slope, 0.0)
    power /= power.sum()
    rhythm = (hertz >= 9.0) & (hertz <= 11.0)
    x = np.fft.irfft(spectrum * np.sqrt((1 - alpha) * power + alpha * rhythm / rhythm.sum()), n)
    return sd_uv * x / x.std()
