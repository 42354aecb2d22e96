"""What goes wrong at the sensors, with its truth: planned as intervals, then written into the samples.

Rates an hour are those of a busy operating room; durations are uniform between the limits of the table. Some causes
strike several sensors at once (electrocautery, motion, a cuff on the arm of the oximeter).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.data.sim.noise import Float64Array, Stream, derive_seed, generator, smooth, white
from models.data.sim.pulse import catheter_kernel
from models.data.sim.subject import Device
from models.signals.modalities import Modality


class FaultKind(StrEnum):
    """What goes wrong with a sensor; what it looks like depends on the modality."""

    LEAD_OFF = "lead off"  # ECG, EEG: amplifier at its rail or hum; ABP: cable unplugged, no samples; PPG: no finger
    OPEN = "open"  # transducer open to air: about zero
    FLAT = "flat"  # the last value, frozen
    SATURATION = "saturation"
    CAUTERY = "electrocautery"
    FLUSH = "flush"  # the line is flushed: pressure of the bag, then ringing
    DAMPED = "damped"  # a bubble or clot in the line; the mean stays right
    OVERDAMPED = "overdamped"  # the line all but closed: the mean, and a few mmHg of pulse
    MOTION = "motion"
    RHYTHMIC = "rhythmic motion"  # tooth brushing, percussion of the chest: looks like ventricular tachycardia
    DETACHED = "electrode detached"  # ECG: inputs tied together, a flat line with the amplifier's own noise
    CUFF = "cuff"  # inflated on the same arm
    GAP = "gap"  # samples lost


MISSING = frozenset({(Modality.ABP, FaultKind.LEAD_OFF)}) | {(m, FaultKind.GAP) for m in Modality}
"""Faults that leave no samples (NaN); all others leave wrong ones."""

USABLE = frozenset(
    {(Modality.ABP, FaultKind.DAMPED), (Modality.PPG, FaultKind.CAUTERY), (Modality.ABP, FaultKind.OVERDAMPED)}
)
"""Faults under which rhythm and mean are still right."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one sensor over [start_s, end_s), seconds of that channel's own time."""

    modality: Modality
    kind: FaultKind
    start_s: float
    end_s: float

    @property
    def missing(self) -> bool:
        """Whether there are no samples at all."""
        return (self.modality, self.kind) in MISSING

    @property
    def usable(self) -> bool:
        """Whether rhythm and mean can still be read from the channel."""
        return (self.modality, self.kind) in USABLE


_M = Modality
_RATES: tuple[tuple[tuple[Modality, ...], FaultKind, float, tuple[float, float]], ...] = (
    # struck together, kind, times an hour, seconds
    ((_M.ECG, _M.EEG, _M.PPG), FaultKind.CAUTERY, 5.0, (3, 18)),
    ((_M.ECG, _M.PPG), FaultKind.MOTION, 2.5, (4, 25)),
    ((_M.PPG,), FaultKind.MOTION, 1.5, (4, 40)),
    ((_M.EEG,), FaultKind.MOTION, 2.0, (2, 10)),
    ((_M.ECG,), FaultKind.LEAD_OFF, 0.8, (5, 90)),
    ((_M.PPG,), FaultKind.LEAD_OFF, 1.0, (5, 120)),
    ((_M.EEG,), FaultKind.LEAD_OFF, 0.8, (10, 120)),
    ((_M.ABP,), FaultKind.LEAD_OFF, 0.8, (10, 200)),
    ((_M.ABP,), FaultKind.OPEN, 0.5, (10, 60)),
    ((_M.ABP,), FaultKind.FLUSH, 2.0, (2, 7)),
    ((_M.ABP,), FaultKind.DAMPED, 0.6, (40, 240)),
    ((_M.ECG,), FaultKind.SATURATION, 0.6, (1, 6)),
    ((_M.EEG,), FaultKind.SATURATION, 1.0, (1, 6)),
    ((_M.PPG,), FaultKind.FLAT, 0.4, (6, 40)),
    ((_M.EEG,), FaultKind.FLAT, 0.3, (6, 40)),
    ((_M.ABP,), FaultKind.FLAT, 0.2, (6, 30)),
    ((_M.ECG,), FaultKind.GAP, 0.6, (0.1, 8)),
    ((_M.ABP,), FaultKind.GAP, 0.6, (0.1, 8)),
    ((_M.PPG,), FaultKind.GAP, 0.6, (0.1, 8)),
    ((_M.EEG,), FaultKind.GAP, 0.6, (0.1, 8)),
    ((_M.ECG, _M.ABP, _M.PPG, _M.RESP), FaultKind.GAP, 0.5, (0.2, 20)),
)
_SAME_ARM = 0.25
_DISTAL_MMHG = 35.0  # what is left in an artery beyond a cuff
_CLOTTED_HZ, _CLOTTING_S = 0.4, 8.0
_RHYTHMIC_HZ = 3.4
_CUFF_EVERY_S, _CUFF_S = (150.0, 600.0), (25.0, 40.0)
_DEMO_SCRIPT: tuple[Fault, ...] = (
    Fault(_M.ABP, FaultKind.LEAD_OFF, 60.0, 100.0),
    Fault(_M.PPG, FaultKind.MOTION, 150.0, 160.0),
    Fault(_M.ECG, FaultKind.CAUTERY, 470.0, 480.0),
    Fault(_M.EEG, FaultKind.CAUTERY, 470.0, 480.0),
    Fault(_M.PPG, FaultKind.CAUTERY, 470.0, 480.0),
    Fault(_M.ABP, FaultKind.FLUSH, 520.0, 525.0),
    Fault(_M.ECG, FaultKind.LEAD_OFF, 560.0, 585.0),
    Fault(_M.EEG, FaultKind.LEAD_OFF, 690.0, 715.0),
    Fault(_M.PPG, FaultKind.LEAD_OFF, 760.0, 790.0),
    Fault(_M.ABP, FaultKind.LEAD_OFF, 1000.0, 1180.0),
)
_DEMO_SCRIPT_ENDS_S = 1240.0


def plan_faults(seed: int, duration_s: float, demo: bool) -> tuple[Fault, ...]:
    """The faults of a recording in order of time; at any instant a sensor has one fault at most (earlier wins)."""
    rng = generator(seed, Stream.FAULT_PLAN)
    drawn: list[Fault] = []
    for together, kind, rate, (shortest, longest) in _RATES:
        for start in np.sort(rng.uniform(0.0, duration_s, rng.poisson(rate * duration_s / 3600.0))):
            length = rng.uniform(shortest, longest)
            drawn += [Fault(m, kind, float(start), float(start + length)) for m in together]
    if rng.random() < 0.35:  # cuff and oximeter on one arm
        every, start = rng.uniform(*_CUFF_EVERY_S), rng.uniform(0.0, 300.0)
        while start < duration_s:
            drawn.append(Fault(_M.PPG, FaultKind.CUFF, float(start), float(start + rng.uniform(*_CUFF_S))))
            start += every
        if rng.random() < _SAME_ARM:  # the arterial line is on that arm as well: both are lost together
            drawn += [Fault(_M.ABP, f.kind, f.start_s, f.end_s) for f in drawn if f.kind is FaultKind.CUFF]
    if demo:
        drawn = [f for f in drawn if f.start_s > _DEMO_SCRIPT_ENDS_S] + list(_DEMO_SCRIPT)
    kept: list[Fault] = []
    busy: dict[Modality, float] = {}
    for fault in sorted(drawn, key=lambda f: (f.start_s, f.modality, f.kind)):
        end = min(fault.end_s, duration_s)
        if fault.start_s >= busy.get(fault.modality, -1.0) and end > fault.start_s:
            kept.append(Fault(fault.modality, fault.kind, fault.start_s, end))
            busy[fault.modality] = end + 1.0
    return tuple(kept)


def apply_faults(
    wave: Float64Array,
    first: int,
    rate_hz: float,
    faults: list[Fault],
    seed: int,
    device: Device,
    undisturbed: Callable[[int, int], Float64Array],
) -> Float64Array:
    """A copy of ``wave`` (samples ``first …`` of one channel in its own unit) with the faults written in.

    ``undisturbed(first, count)`` gives clean samples from anywhere, for what depends on the past (frozen, damped).
    """
    out = wave.copy()
    for fault in faults:
        low = max(int(np.ceil(fault.start_s * rate_hz)) - first, 0)
        high = min(int(np.ceil(fault.end_s * rate_hz)) - first, wave.size)
        if high > low:
            times = (first + np.arange(low, high)) / rate_hz
            out[low:high] = _faulty(fault, out[low:high], first + low, times, rate_hz, seed, device, undisturbed)
        if fault.kind is FaultKind.FLUSH:
            _ringing(out, fault, first, rate_hz, device)
    return out


def _faulty(
    fault: Fault,
    wave: Float64Array,
    first: int,
    times: Float64Array,
    rate_hz: float,
    seed: int,
    device: Device,
    undisturbed: Callable[[int, int], Float64Array],
) -> Float64Array:
    kind, modality = fault.kind, fault.modality
    own = derive_seed(seed, 1000 + list(Modality).index(modality))
    if fault.missing:
        return np.full(wave.size, np.nan)
    noise = white(own, Stream.FAULT_FAST, first, wave.size)
    slow = smooth(own, Stream.FAULT_SLOW, times, 20.0, 0.12)
    edge = np.minimum((times - fault.start_s) / 0.5, 1.0)
    if kind is FaultKind.FLAT:
        return np.full(wave.size, undisturbed(max(math.ceil(fault.start_s * rate_hz) - 1, 0), 1)[0])
    if kind is FaultKind.LEAD_OFF:
        return _lead_off(modality, wave, times, noise, device, fault.start_s)
    if kind is FaultKind.OPEN:
        return (
            device.abp_offset_mmhg
            + device.abp_noise_mmhg * noise
            + (wave - device.abp_offset_mmhg) * np.exp(-(times - fault.start_s) / 0.1)
        )
    if kind is FaultKind.SATURATION:
        rail = 5.0 if modality is Modality.ECG else 1600.0
        sign = 1.0 if int(fault.start_s * 10) % 2 else -1.0
        return np.clip(wave + sign * 2.5 * rail * (1.0 - np.exp(-(times - fault.start_s) / 0.2)), -rail, rail)
    if kind is FaultKind.CAUTERY:
        return _cautery(modality, wave, noise, slow, edge, device)
    if kind is FaultKind.FLUSH:
        return 300.0 + (wave - 300.0) * np.exp(-(times - fault.start_s) / 0.04)
    if kind in (FaultKind.DAMPED, FaultKind.OVERDAMPED):
        # Pressure through a narrow line: nearly critically damped; the mean passes. A clot grows over seconds.
        kernel = catheter_kernel(rate_hz, 1.6 if kind is FaultKind.DAMPED else _CLOTTED_HZ, 0.98)
        if kind is FaultKind.OVERDAMPED:
            edge = np.minimum((times - fault.start_s) / _CLOTTING_S, 1.0)
            noise = device.abp_noise_mmhg * edge * noise  # the transducer's own, which no line damps
        past = undisturbed(max(first - kernel.size + 1, 0), min(first, kernel.size - 1))
        padded = np.concatenate([np.full(kernel.size - 1 - past.size, wave[0]), past, wave])
        damped = wave + edge * (np.convolve(padded, kernel, mode="valid") - wave)
        return damped if kind is FaultKind.DAMPED else damped + noise
    if kind is FaultKind.MOTION:
        size = {Modality.ECG: 0.9, Modality.EEG: 180.0}.get(modality, 1.6 * device.ppg_gain)
        fade = np.minimum(edge, (fault.end_s - times) / 0.5)
        return wave + fade * size * (slow + 0.08 * noise)
    if kind is FaultKind.RHYTHMIC:
        fade = np.minimum(edge, np.minimum((fault.end_s - times) / 0.5, 1.0))
        return wave + fade * _rhythmic(modality, times, noise, seed, device)
    if kind is FaultKind.DETACHED:
        hum = device.mains_mv * np.sin(2.0 * np.pi * device.mains_hz * times)
        return wave * np.exp(-(times - fault.start_s) / 0.05) + hum + device.ecg_noise_mv * noise
    # Cuff: pulses fade as it fills, return as it empties.
    if modality is Modality.ABP:
        # It fills fast: the artery closes between diastolic and systolic pressure, within a second or two.
        since, left = times - fault.start_s, fault.end_s - times
        level = np.interp(since, [2.0, 3.5], [1.0, 0.0]) + np.interp(left, [0.0, 4.0], [1.0, 0.0])
        beyond = _DISTAL_MMHG + device.abp_offset_mmhg
        return beyond + (wave - beyond) * level
    part = (times - fault.start_s) / (fault.end_s - fault.start_s)
    level = np.interp(part, [0.0, 0.25, 0.7, 1.0], [1.0, 0.0, 0.0, 1.0])
    rest = device.ppg_gain * device.ppg_offset
    return rest + (wave - rest) * level - device.ppg_gain * 0.4 * (1.0 - level)


def _lead_off(
    modality: Modality, wave: Float64Array, times: Float64Array, noise: Float64Array, device: Device, start_s: float
) -> Float64Array:
    since = times - start_s
    hum = np.sin(2.0 * np.pi * device.mains_hz * times)
    if modality is Modality.ECG:  # the amplifier drifts to its rail and stays
        return np.minimum(wave + 12.0 * (1.0 - np.exp(-since / 0.08)), 5.0)
    if modality is Modality.EEG:
        return np.clip(900.0 * hum + 700.0 * (1.0 - np.exp(-since)) + 20.0 * noise, -1600.0, 1600.0)
    return device.ppg_gain * (device.ppg_offset - 0.6 + 0.003 * noise + 0.002 * hum)  # ambient light, no pulse


def _rhythmic(modality: Modality, times: Float64Array, noise: Float64Array, seed: int, device: Device) -> Float64Array:
    """An artefact of 200 a minute that misled cardiologists (Knight et al., N Engl J Med 1999;341:1270: 226 ± 35)."""
    one_hand = derive_seed(seed, 1100)  # moves all sensors alike
    slip = smooth(one_hand, Stream.FAULT_SLOW, times, 10.0, 0.8)
    vigour = 1.0 + 0.2 * smooth(one_hand, Stream.FAULT_FAST, times, 10.0, 0.6)
    turn = 2.0 * np.pi * _RHYTHMIC_HZ * times + 1.2 * slip
    if modality is Modality.PPG:
        return device.ppg_gain * vigour * (0.7 * np.sin(turn + 0.9) + 0.25 * np.sin(2.0 * turn) + 0.02 * noise)
    return vigour * (0.8 * np.sin(turn) + 0.25 * np.sin(2.0 * turn + 0.8) + 0.02 * noise)


def _cautery(
    modality: Modality,
    wave: Float64Array,
    noise: Float64Array,
    slow: Float64Array,
    edge: Float64Array,
    device: Device,
) -> Float64Array:
    if modality is Modality.ECG:
        return np.clip(wave + edge * (1.2 * noise + 1.0 * slow), -5.0, 5.0)
    if modality is Modality.EEG:
        return np.clip(wave + edge * (250.0 * noise + 200.0 * slow), -1600.0, 1600.0)
    return wave + edge * device.ppg_gain * (0.12 * noise + 0.05 * slow)


def _ringing(out: Float64Array, fault: Fault, first: int, rate_hz: float, device: Device) -> None:
    """After a fast flush the line swings at its natural frequency (the fast-flush test, Gardner 1981), in place."""
    low = int(np.ceil(fault.end_s * rate_hz)) - first
    high = low + int(0.8 * rate_hz)
    low, high = max(low, 0), min(high, out.size)
    if high <= low:
        return
    since = (first + np.arange(low, high)) / rate_hz - fault.end_s
    w = 2.0 * np.pi * device.abp_natural_hz
    decay = np.exp(-device.abp_damping * w * since)
    out[low:high] += (300.0 - 80.0) * decay * np.cos(w * np.sqrt(max(1 - device.abp_damping**2, 0.01)) * since)
