"""Ventricular fibrillation as the electrocardiogram shows it: narrow-band noise, coarse at first, then fine.

A carrier whose two quadratures are independent smooth noise waxes, wanes and slips in phase, and never repeats: a
linear surrogate (the real one differs from such noise by subtle statistics only: Small et al., Chaos 2000;10:268).
Its frequency falls from 6.0 to about 4.5 Hz within a minute (Carlisle et al.: 6.5 Hz in the first seconds, 3.8 Hz after
90; Strohmenger et al., Chest 1997;111:584: 4.6 ± 1.0 Hz, 1.3 ± 0.4 mV peak to peak). Fine fibrillation is one below
0.2 mV; it is reached sooner than in life, so that a scenario of a minute shows both.
"""

from __future__ import annotations

import numpy as np

from models.data.sim.noise import Float64Array, Stream, smooth

_FIRST_HZ, _LATE_HZ, _SLOWING_S = 6.0, 4.5, 30.0
_COARSE_MV, _FINE_MV, _FADING_S = 0.36, 0.045, 22.0  # root mean square
_QUADRATURE_S = 0.20  # gives a bandwidth of about 1 Hz
_SECOND, _SECOND_RATIO = 0.30, 1.62  # a second, weaker wave front, in no simple ratio to the first
_ONSET_S = 0.25


def fibrillation(times_s: Float64Array, start_s: float, end_s: float, seed: int) -> Float64Array:
    """Millivolts of lead II at ``times_s`` [n]; zero outside [start_s, end_s)."""
    since = np.maximum(times_s - start_s, 0.0)
    turns = _LATE_HZ * since + (_FIRST_HZ - _LATE_HZ) * _SLOWING_S * (1.0 - np.exp(-since / _SLOWING_S))
    wave = np.zeros(times_s.size)
    for k, (share, ratio) in enumerate(((1.0, 1.0), (_SECOND, _SECOND_RATIO))):
        phase = 2.0 * np.pi * ratio * turns
        in_phase = smooth(seed, Stream.FIBRILLATION + 2 * k, times_s, 50.0, _QUADRATURE_S)
        quadrature = smooth(seed, Stream.FIBRILLATION + 2 * k + 1, times_s, 50.0, _QUADRATURE_S)
        wave += share * (in_phase * np.cos(phase) + quadrature * np.sin(phase))
    size = _FINE_MV + (_COARSE_MV - _FINE_MV) * np.exp(-since / _FADING_S)
    inside = np.clip(since / _ONSET_S, 0.0, 1.0) * (times_s < end_s)
    return size * inside * wave
