"""Samples of the sounds: float32 in −1 to 1 at full scale, by the figures. Pure.

A pulse is a fundamental with its harmonics under an envelope that rises and falls in straight lines. IEC 60601-1-8
takes its times at 10 and 90 % of the height: rise from one to the other, duration and gaps at 90 %.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ui.sound.figures import Beat, Burst, Figures

Samples = npt.NDArray[np.float32]

_PARTIALS = (1.0, 0.25)  # of the beat tone: nearly pure, so that nobody takes it for a pulse of a burst
_FULL_RAMP = 1.0 / 0.8  # of a straight ramp, for what it takes from 10 to 90 %
_LOWEST_SPO2 = 1.0


def gain_of(db: float) -> float:
    """
    >>> gain_of(0.0), round(gain_of(-20.0), 3)
    (1.0, 0.1)
    """
    return float(10.0 ** (db / 20.0))


def envelope(duration_s: float, rise_s: float, fall_s: float, rate_hz: int) -> npt.NDArray[np.float64]:
    """Height of a pulse: ``duration_s`` from 90 % to 90 %, ``rise_s`` and ``fall_s`` between 10 and 90 %."""
    up_s, down_s = rise_s * _FULL_RAMP, fall_s * _FULL_RAMP
    flat_s = duration_s - 0.1 * (up_s + down_s)
    t = np.arange(math.ceil((up_s + flat_s + down_s) * rate_hz) + 1) / rate_hz
    return np.clip(np.minimum(t / up_s, (up_s + flat_s + down_s - t) / down_s), 0.0, 1.0)


def burst_samples(burst: Burst, figures: Figures) -> Samples:
    """A whole burst, from the first sound of its first pulse to the last of its last one."""
    rate = figures.sample_rate_hz
    rise_s, fall_s = figures.rise_share * burst.pulse_s, figures.fall_share * burst.pulse_s
    shape = envelope(burst.pulse_s, rise_s, fall_s, rate)
    pitches = burst.pitches_hz * burst.pulses if len(burst.pitches_hz) == 1 else burst.pitches_hz
    starts = [round(begin * rate) for begin in burst.begins_s]
    pulses = {pitch: shape * _tone(pitch, len(shape), figures) for pitch in set(pitches)}
    out = np.zeros(starts[-1] + len(shape))
    for start, pitch in zip(starts, pitches, strict=True):
        out[start : start + len(shape)] = pulses[pitch]
    return (gain_of(burst.level_db) * out).astype(np.float32)


def _tone(pitch_hz: float, length: int, figures: Figures) -> npt.NDArray[np.float64]:
    """The fundamental with its harmonics, −1 to 1."""
    t = np.arange(length) / figures.sample_rate_hz
    tone: npt.NDArray[np.float64] = np.sin(2 * np.pi * pitch_hz * t)
    for number, db in enumerate(figures.harmonics_db, 2):
        tone += gain_of(db) * np.sin(2 * np.pi * number * pitch_hz * t)
    tone /= np.abs(tone).max()
    return tone


def first_half_s(burst: Burst, figures: Figures) -> tuple[float, float]:
    """Between which seconds of a high burst there is silence amid its two halves."""
    rise_s, fall_s = figures.rise_share * burst.pulse_s, figures.fall_share * burst.pulse_s
    begins, to_top = burst.begins_s, 0.9 * rise_s * _FULL_RAMP
    return to_top + begins[4] + burst.pulse_s + 0.9 * fall_s * _FULL_RAMP, begins[5]


def beat_pitch_hz(spo2: float | None, beat: Beat) -> float:
    """Pitch of the beat tone: falls with the saturation in percent, by the same step for each; where none is known
    (None, not finite, not 1 to 100) a pitch of its own, above all of these, that can be taken for no saturation."""
    if spo2 is None or not math.isfinite(spo2) or not _LOWEST_SPO2 <= spo2 <= 100.0:
        return beat.pitch_hz
    steps = (spo2 - 100.0) / beat.steps_per_octave
    return max(beat.lowest_hz, beat.full_hz * math.exp2(steps))


def beat_samples(pitch_hz: float, figures: Figures) -> Samples:
    """One beat tone: at its height within ``rise_s``, then dying away to nothing within its duration."""
    beat, rate = figures.beat, figures.sample_rate_hz
    t = np.arange(round(beat.duration_s * rate)) / rate
    tone = sum(part * np.sin(2 * np.pi * number * pitch_hz * t) for number, part in enumerate(_PARTIALS, 1))
    left = np.clip((beat.duration_s - t) / (beat.duration_s - beat.rise_s), 0.0, 1.0)
    return (gain_of(beat.level_db) * np.minimum(t / beat.rise_s, left**2) * tone / sum(_PARTIALS)).astype(np.float32)
