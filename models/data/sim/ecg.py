"""Electrocardiogram, lead II, from the beats: a sum of Gaussians a beat, as ECGSYN has them.

McSharry et al., IEEE TBME 2003;50:289 (P, Q, R, S, T as Gaussians). QT follows the rate by Fridericia's cube root.
Breathing moves the baseline and the height of the complexes (Clifford et al., 2006: ECG-derived respiration).
"""

from __future__ import annotations

import numpy as np

from models.data.sim.beats import Beats
from models.data.sim.noise import Float64Array, Stream, smooth, white
from models.data.sim.subject import Device, Subject

_RESP_HEIGHT = 0.05  # share of the complex' height moved by breathing
_RESP_BASELINE_MV = 0.035
_REACH = 4.0  # Gaussians are cut at this many widths


def ecg(times_s: Float64Array, beats: Beats, breath: Float64Array, subject: Subject) -> Float64Array:
    """Millivolts at evenly spaced physiological ``times_s`` [n]; ``breath`` [n] is the phase in cycles."""
    out = np.zeros(times_s.size)
    if len(beats):
        for centre, width_left, width_right, amplitude in _components(beats, subject):
            _add_gaussians(out, times_s, centre, width_left, width_right, amplitude)
    swing = np.sin(2.0 * np.pi * breath)
    return out * (1.0 + _RESP_HEIGHT * swing) + _RESP_BASELINE_MV * swing


def qt_intervals(beats: Beats, subject: Subject) -> Float64Array:
    """QT in s [n]: repolarisation follows the interval before it, not the coming one, and ends before the next beat."""
    before = np.append(beats.rr[:1], beats.rr[:-1])
    return np.minimum(subject.qtc_s * np.cbrt(np.clip(before, 0.35, 1.6)), 0.62 * beats.rr + 0.1)


def _components(beats: Beats, s: Subject) -> list[tuple[Float64Array, Float64Array, Float64Array, Float64Array]]:
    """(centre, left width, right width, amplitude) of every wave of every beat; widths are standard deviations."""
    ectopic, qrs = beats.ectopic, beats.qrs
    normal = 1.0 - ectopic
    one = np.ones(len(beats))
    before = np.append(beats.rr[:1], beats.rr[:-1])
    qt = qt_intervals(beats, s)
    pr = s.pr_s * np.clip(0.8 + 0.2 * before / 0.85, 0.75, 1.1)
    t_peak = qt - 0.075 * np.sqrt(qt / 0.4) - 0.04  # from R; the T wave ends near the QT
    t_width = 0.052 * np.sqrt(qt / 0.4)
    r = beats.r
    # An ectopic beat has no P, a wide tall complex and a T wave against it.
    return [
        (r - pr + 0.035, 0.021 * one, 0.024 * one, s.ecg_p * beats.p_wave),
        (r - 0.030, 0.0085 * one, 0.0085 * one, s.ecg_q * normal * qrs),
        (r, (0.0105 + 0.022 * ectopic), (0.0105 + 0.024 * ectopic), s.ecg_r * (1.0 + 0.35 * ectopic) * qrs),
        (
            r + 0.029 + 0.045 * ectopic,
            (0.0095 + 0.02 * ectopic),
            (0.0105 + 0.02 * ectopic),
            s.ecg_s * (1 + ectopic) * qrs,
        ),
        (r + t_peak, 1.25 * t_width, 0.72 * t_width, s.ecg_t * (1.0 - 2.4 * ectopic) * qrs),
    ]


def _add_gaussians(
    out: Float64Array,
    times_s: Float64Array,
    centre: Float64Array,
    left: Float64Array,
    right: Float64Array,
    amplitude: Float64Array,
) -> None:
    """Add one two-sided Gaussian a beat, each only where it is more than 3e-4 of its height."""
    rate = (times_s.size - 1) / (times_s[-1] - times_s[0]) if times_s.size > 1 else 1.0
    before = int(np.ceil(_REACH * float(np.max(left)) * rate)) + 1
    after = int(np.ceil(_REACH * float(np.max(right)) * rate)) + 2
    first = np.floor((centre - times_s[0]) * rate).astype(np.int64) - before
    index = first[:, None] + np.arange(before + after)
    inside = (index >= 0) & (index < out.size)
    offset = times_s[0] + index / rate - centre[:, None]
    width = np.where(offset < 0.0, left[:, None], right[:, None])
    values = amplitude[:, None] * np.exp(-0.5 * (offset / width) ** 2)
    out += np.bincount(index[inside], weights=values[inside], minlength=out.size)


def ecg_sensor(wave: Float64Array, first: int, rate_hz: float, seed: int, device: Device) -> Float64Array:
    """What the monitor makes of it: gain, polarity, electrode wander, muscle noise and mains hum (channel time)."""
    times = (first + np.arange(wave.size)) / rate_hz
    wander = device.ecg_wander_mv * smooth(seed, Stream.ECG_WANDER, times, 4.0, 0.8)
    noise = device.ecg_noise_mv * white(seed, Stream.ECG_WHITE, first, wave.size)
    mains = device.mains_mv * np.sin(2.0 * np.pi * device.mains_hz * times)
    return device.ecg_gain * device.ecg_polarity * wave + wander + noise + mains
