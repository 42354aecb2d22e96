"""Frontal electroencephalogram under propofol: noise whose spectrum follows the depth of anaesthesia.

With depth the 1/f slope steepens (Colombo et al., NeuroImage 2019;189:631), slow and frontal alpha waves appear
(Purdon et al., PNAS 2013;110:E1142), beta and muscle vanish, the spectral edge falls; deeper still alpha fades and the
trace alternates between bursts and suppression. The spectrum is imposed frame by frame on white noise (overlap-add
with root-Hann windows), so it is continuous, and the same under any chunking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.sim.noise import Float64Array, Stream, normal_quantile, smooth, white
from models.data.sim.pharmacology import suppression_percent
from models.data.sim.subject import Device, Subject

_FRAME_S, _HOP_S = 4, 2
_SUPPRESSED = 0.035  # what is left of the activity while suppressed (a few µV peak to peak)


@dataclass(frozen=True, slots=True)
class Spectra:
    """What an EEG holds at each of ``depths``, and by straight lines between them.

    slope: exponent β of 1/f^β; rms_uv: of all; alpha, delta, beta, muscle: shares of the power. burst_sigma_s: of the
    noise that turns bursts on and off; at 50 % a burst lasts about four times as long, and so does a suppression.
    """

    depths: tuple[float, ...]
    slope: tuple[float, ...]
    rms_uv: tuple[float, ...]
    alpha: tuple[float, ...]
    delta: tuple[float, ...]
    beta: tuple[float, ...]
    muscle: tuple[float, ...]
    beta_width_hz: float
    burst_sigma_s: float


SPECTRA = {
    1: Spectra(
        depths=(0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 93.0),
        slope=(2.7, 2.6, 2.45, 2.25, 1.9, 1.5, 1.15),
        rms_uv=(26.0, 26.0, 24.0, 20.0, 16.0, 12.0, 10.0),
        alpha=(0.0, 0.02, 0.10, 0.30, 0.26, 0.08, 0.04),
        delta=(0.40, 0.38, 0.32, 0.25, 0.15, 0.06, 0.03),
        beta=(0.0, 0.0, 0.004, 0.015, 0.06, 0.14, 0.16),
        muscle=(0.0, 0.0, 0.001, 0.003, 0.015, 0.08, 0.18),
        beta_width_hz=5.0,
        burst_sigma_s=0.7,
    ),
    2: Spectra(
        depths=(0.0, 15.0, 30.0, 38.0, 45.0, 52.0, 60.0, 68.0, 75.0, 84.0, 93.0),
        slope=(3.2, 3.1, 2.89, 2.63, 2.39, 2.32, 2.17, 2.01, 1.79, 1.52, 1.19),
        rms_uv=(26.0, 26.0, 24.0, 21.9, 20.0, 18.1, 16.0, 13.9, 12.0, 11.0, 10.0),
        alpha=(0.0, 0.02, 0.10, 0.207, 0.30, 0.281, 0.26, 0.164, 0.08, 0.06, 0.04),
        delta=(0.40, 0.38, 0.32, 0.283, 0.25, 0.203, 0.15, 0.102, 0.06, 0.045, 0.03),
        beta=(0.0, 0.0, 0.004, 0.010, 0.015, 0.036, 0.06, 0.103, 0.14, 0.15, 0.16),
        muscle=(0.0, 0.0, 0.00005, 0.0003, 0.0011, 0.0018, 0.0025, 0.0059, 0.012, 0.035, 0.14),
        beta_width_hz=3.5,
        burst_sigma_s=1.8,
    ),
}
"""By number, never changed once patients were made with it.

1: what the shipped model learnt from up to version 3. At its middle depths there is more above 30 Hz than under
anaesthesia: openibis reads it 16 points higher than the truth. 2: the same alpha, delta and beta, with a steeper
background, less muscle and longer bursts, so that openibis (:mod:`models.signals.openibis`) reads the depth that it was
made for. Fitted at steady depths on six patients that nothing else is judged on (``python -m benchmarks depth``,
docs/depth.md).
"""
SHIPPED_SPECTRA = 2
"""Of every patient that nothing else is said of: those that the shipped model learnt from. Goes on with it."""


def _bump(f: Float64Array, centre: float, width: float) -> Float64Array:
    shape = np.exp(-0.5 * ((f - centre) / width) ** 2)
    share: Float64Array = shape / np.sum(shape)
    return share


def _gains(depth: Float64Array, f: Float64Array, rate_hz: float, subject: Subject, of: Spectra) -> Float64Array:
    """Amplitude gain [frames, bins] on white noise of unit variance for each frame's depth."""
    tables = (of.slope, of.alpha, of.delta, of.beta, of.muscle)
    col = [np.interp(depth, of.depths, table)[:, None] for table in tables]
    slope, alpha, delta, beta, muscle = col
    alpha = alpha * subject.eeg_alpha
    fall = np.maximum(f, 0.5)
    background = fall**-slope
    background = background / np.sum(background, axis=1, keepdims=True)
    high = (f > 20.0) / np.sum(f > 20.0)
    power = (
        np.maximum(1.0 - alpha - delta - beta - muscle, 0.15) * background
        + alpha * _bump(f, 10.3, 1.3)
        + delta * _bump(f, 1.2, 0.6)
        + beta * _bump(f, 19.0, of.beta_width_hz)
        + muscle * high
    )
    power = power * (f >= 0.4) / (1.0 + (f / 47.0) ** 8)  # the amplifier's band, 0.4–47 Hz
    rms = np.interp(depth, of.depths, of.rms_uv)[:, None] * subject.eeg_uv
    gains: Float64Array = rms * np.sqrt(power * rate_hz * _FRAME_S / 2.0)
    return gains


def eeg(
    first: int,
    count: int,
    rate_hz: int,
    depth_s: Float64Array,
    depth: Float64Array,
    seed: int,
    subject: Subject,
    spectra: Spectra = SPECTRA[SHIPPED_SPECTRA],
) -> Float64Array:
    """Microvolts of samples ``first … first + count`` at ``rate_hz``; ``depth`` is sampled at times ``depth_s``."""
    size, hop = _FRAME_S * rate_hz, _HOP_S * rate_hz
    low = first // hop - 1
    high = (first + count - 1) // hop
    frames = high - low + 1
    noise = white(seed, Stream.EEG_WHITE, low * hop, (frames - 1) * hop + size)
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    cut = np.lib.stride_tricks.sliding_window_view(noise, size)[::hop] * window
    centre = (low + np.arange(frames)) * _HOP_S + _FRAME_S / 2.0
    f = np.arange(size // 2 + 1) / _FRAME_S
    shaped = np.fft.irfft(
        np.fft.rfft(cut, axis=1) * _gains(np.interp(centre, depth_s, depth), f, rate_hz, subject, spectra), size
    )
    shaped *= window
    halves = shaped.reshape(frames, 2, hop)
    joined = (halves[1:, 0] + halves[:-1, 1]).ravel()
    begin = first - (low + 1) * hop
    wave = joined[begin : begin + count]
    times = (first + np.arange(count)) / rate_hz
    share = suppression_percent(np.interp(times, depth_s, depth)) / 100.0
    if np.max(share) > 0.0:
        level = smooth(seed, Stream.EEG_BURST, times, 8.0, spectra.burst_sigma_s)
        # Bursts are taller than continuous activity; the edge of a burst lasts about 0.1 s.
        activity = 1.0 / (1.0 + np.exp(-np.clip((level - normal_quantile(share)) / 0.05, -40.0, 40.0)))
        activity = np.where(share > 0.0, activity, 1.0)
        wave = wave * (_SUPPRESSED + (1.0 + 0.5 * np.minimum(share * 2.0, 1.0) - _SUPPRESSED) * activity)
    return wave


def eeg_sensor(wave: Float64Array, first: int, seed: int, device: Device) -> Float64Array:
    """The amplifier's own noise in µV."""
    return wave + device.eeg_noise_uv * white(seed, Stream.EEG_SENSOR, first, wave.size)
