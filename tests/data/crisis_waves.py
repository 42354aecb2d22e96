"""Waves of the crises, and measurements of them that owe nothing to the product."""

from __future__ import annotations

from functools import cache

import numpy as np

from models.data.sim.crises import Crisis
from models.data.simulator import open_demo

RATE = {"SIM/ECG_II": 500.0, "SIM/ART": 125.0, "SIM/PLETH": 125.0, "SIM/EEG1": 128.0, "SIM/RESP": 62.5}
ARRESTS = (Crisis.PEA, Crisis.ASYSTOLE, Crisis.VFIB, Crisis.VTACH_PULSELESS)


@cache
def patient(name, seed=7):
    return open_demo(f"demo:scenario={name},seed={seed}")


def wave(name, track, start, end, seed=7):
    return patient(name, seed).read(track, start, end).values.astype(np.float64)


def span_of(name, index=1):
    span = patient(name).truth.rhythms[index]
    return span.start_s, span.end_s


def spectrum(x, rate):
    """(frequencies, power) of the mean over Hann windows of 4 s, half overlapping."""
    size = int(4 * rate)
    parts = np.lib.stride_tricks.sliding_window_view(x - x.mean(), size)[:: size // 2] * np.hanning(size)
    return np.fft.rfftfreq(size, 1 / rate), (np.abs(np.fft.rfft(parts, axis=1)) ** 2).mean(axis=0)


def complexes(x, rate):
    """Times of QRS complexes: where the energy of the slope (5–25 Hz) stands out, 0.2 s apart (Pan & Tompkins 1985)."""
    f = np.fft.rfftfreq(x.size, 1 / rate)
    band = np.fft.irfft(np.fft.rfft(x) * ((f > 5.0) & (f < 25.0)), x.size)
    energy = np.convolve(np.gradient(band) ** 2, np.ones(int(0.08 * rate)), mode="same")
    return peaks(energy, rate, 0.3 * np.quantile(energy, 0.98), 0.2)


def likeness_to_itself(x, rate, shortest_s, longest_s):
    """Largest autocorrelation coefficient at lags between the two."""
    x = x - x.mean()
    full = np.correlate(x, x, mode="full")[x.size - 1 :] / np.dot(x, x)
    return full[int(shortest_s * rate) : int(longest_s * rate)].max()


def peaks(x, rate, height, apart_s):
    """Times of maxima above ``height``, the tallest within ``apart_s`` of each other."""
    inner = np.flatnonzero((x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:]) & (x[1:-1] > height)) + 1
    kept: list[int] = []
    for i in inner[np.argsort(-x[inner])]:
        if all(abs(i - k) > apart_s * rate for k in kept):
            kept.append(int(i))
    return np.sort(np.array(kept)) / rate
