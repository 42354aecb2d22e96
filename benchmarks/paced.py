"""ECG of a paced heart, made in code: where every spike and every beat lies is known.

A pacer pulse lasts 1–2 ms (IEC 60601-2-27 tests with 0.1–2 ms, ±2 to ±700 mV at the electrodes, and an overshoot that
decays within 4–100 ms). What a monitor shows of it is what its low-pass leaves: a sharp deflection at a bandwidth of
150 Hz, a rounded one at 40 Hz. Ventricular complexes that are paced are broad (150 ms and more), slurred, and have a
T wave against them; after an atrial spike comes a P wave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mode = Literal["none", "A", "V", "AV"]

FINE_HZ = 8000.0  # rate at which spikes are made, before the monitor's low-pass and its sampling
FIRST_S = 0.6


@dataclass(frozen=True, slots=True)
class Pacing:
    """What is paced, and how it looks.

    mode: chambers that are paced. spike_mv, spike_ms: of the ventricular spike (the atrial one has 0.7 of the height).
    overshoot: share of the spike that decays after it with 15 ms. low_pass_hz: bandwidth of the monitor (second order,
    critically damped). qrs_mv: height of the complexes. captures: False where spikes are not followed by complexes.
    """

    mode: Mode = "AV"
    rate_per_min: float = 72.0
    av_s: float = 0.16
    spike_mv: float = 3.0
    spike_ms: float = 1.5
    overshoot: float = 0.05
    low_pass_hz: float = 150.0
    qrs_mv: float = 1.0
    captures: bool = True
    irregular: float = 0.0  # SD of the intervals as a share of the mean
    noise_mv: float = 0.01


@dataclass(frozen=True, slots=True)
class PacedEcg:
    """values: float32 [n] in mV. beats_s: middles of the ventricular complexes."""

    values: npt.NDArray[np.float32]
    beats_s: Floats


def paced_ecg(seconds: float, rate_hz: float, pacing: Pacing | None = None, seed: int = 0) -> PacedEcg:
    """So many seconds of it, at ``rate_hz``, with the beats that are in it."""
    p = pacing or Pacing()
    random = np.random.default_rng(seed)
    mean_s = 60.0 / p.rate_per_min
    intervals = mean_s * np.clip(1.0 + p.irregular * random.standard_normal(int(2 * seconds / mean_s) + 4), 0.6, 1.8)
    qrs = FIRST_S + np.concatenate(([0.0], np.cumsum(intervals)))
    qrs = qrs[qrs < seconds - 0.4]
    broad = p.mode in ("V", "AV")
    onset = qrs - (0.075 if broad else 0.040)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = np.zeros(len(t))
    if p.captures:
        x += _waves(t, qrs, _sized(BROAD if broad else NARROW, p.qrs_mv))
        if p.mode != "V":
            x += _waves(t, onset - p.av_s + 0.06, _sized(P_WAVE, p.qrs_mv))
    spikes: list[tuple[float, float]] = []
    if broad:
        spikes += [(float(at) - 0.012, p.spike_mv) for at in onset]
    if p.mode in ("A", "AV"):
        spikes += [(float(at) - p.av_s - 0.012, 0.7 * p.spike_mv) for at in onset]
    x += _spikes(t, spikes, p)
    x += 0.08 * np.sin(2 * np.pi * 0.25 * t) + p.noise_mv * random.standard_normal(len(t))
    return PacedEcg(x.astype(np.float32), qrs if p.captures else np.empty(0))


# height (of the complex), middle and width (SD) in seconds
BROAD = np.array([[-0.85, -0.015, 0.030], [-0.50, 0.030, 0.026], [0.35, 0.26, 0.050]])
NARROW = np.array([[-0.12, -0.025, 0.008], [1.0, 0.0, 0.011], [-0.20, 0.026, 0.009], [0.25, 0.27, 0.045]])
P_WAVE = np.array([[0.12, 0.0, 0.022]])


def _sized(shape: Floats, height: float) -> Floats:
    sized: Floats = shape * np.array([height, 1.0, 1.0])
    return sized


def _waves(t: Floats, at: Floats, shape: Floats) -> Floats:
    out = np.zeros(len(t))
    for height, middle, width in shape:
        for moment in at + middle:
            a, b = np.searchsorted(t, (moment - 5 * width, moment + 5 * width))
            out[a:b] += height * np.exp(-0.5 * ((t[a:b] - moment) / width) ** 2)
    return out


def _spikes(t: Floats, spikes: list[tuple[float, float]], p: Pacing) -> Floats:
    """Rectangles with their overshoot through the monitor's low-pass, sampled at ``t``."""
    fine = np.arange(int(0.12 * FINE_HZ)) / FINE_HZ
    pulse = np.where(fine < p.spike_ms / 1000.0, 1.0, -p.overshoot * np.exp(-(fine - p.spike_ms / 1000.0) / 0.015))
    decay = 2.0 * np.pi * 1.554 * p.low_pass_hz  # two equal poles are 3 dB down together
    response = decay**2 * fine * np.exp(-decay * fine) / FINE_HZ
    shown = np.convolve(pulse, response)[: len(fine)]
    out = np.zeros(len(t))
    for at, height in spikes:
        a, b = np.searchsorted(t, (at, at + fine[-1]))
        out[a:b] += height * np.interp(t[a:b] - at, fine, shown)
    return out
