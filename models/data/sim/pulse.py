"""Arterial pressure and photoplethysmogram from the beats, and what their devices make of them.

Pressure: three-element windkessel per beat (see ``beats``) plus incisura and dicrotic wave, in mmHg.
Photoplethysmogram: the same pulse, slower and rounder, in the device's arbitrary units.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models.data.sim.beats import Beats, response, unit_flow
from models.data.sim.noise import Float64Array, Stream, smooth, white
from models.data.sim.physiology import PPG_EJECTION, PPG_FLOW_SKEW
from models.data.sim.subject import CENTRAL_VENOUS_MMHG, Device, Subject

_PPG_BASELINE = 0.10  # share of a pulse that breathing moves the baseline
_UPSTROKE_GRID_S = np.arange(0.0, 0.24, 0.002)
_TAUS_S = np.geomspace(0.15, 12.0, 120)


def arterial(times_s: Float64Array, beats: Beats, subject: Subject) -> Float64Array:
    """Pressure in mmHg in the artery at physiological ``times_s`` [n], which the beats must cover."""
    beat = np.clip(np.searchsorted(beats.foot_abp, times_s, side="right") - 1, 0, len(beats) - 1)
    return _arterial_in_beat(times_s - beats.foot_abp[beat], beat, beats, subject)


def _arterial_in_beat(u: Float64Array, beat: np.ndarray, beats: Beats, subject: Subject) -> Float64Array:
    ts, tau, amp = beats.ts[beat], beats.tau[beat], beats.amp[beat]
    skew = subject.flow_skew
    windkessel = beats.p0[beat] * np.exp(-u / tau) + amp * response(u, ts, tau, skew)
    impedance = beats.zflow[beat] * unit_flow(u, ts, skew)
    since = (u - ts) / ts  # since closure of the valve, in ejection times
    incisura = -0.045 * np.exp(-0.5 * ((since - 0.03) / 0.055) ** 2)
    dicrotic = subject.reflection * np.exp(-0.5 * ((since - 0.36) / 0.19) ** 2)
    reflected = 0.07 * np.exp(-0.5 * ((since + 0.42) / 0.16) ** 2)  # back from the legs in late systole
    span = np.append(np.diff(beats.foot_abp), np.inf)[beat]
    fade = np.clip((span - u) / 0.08, 0.0, 1.0)  # whatever the dicrotic wave leaves ends with the beat
    tail = amp * (incisura + dicrotic + reflected) * fade
    pressure: Float64Array = windkessel + impedance + tail + beats.outflow[beat]
    return pressure


def windkessel_for(systolic: float, diastolic: float, rr: float, ts: float, subject: Subject) -> tuple[float, float]:
    """``amp`` in mmHg and ``tau`` in s of beats every ``rr`` s that settle at this pressure; ``ts``: ejection time.

    In a steady state everything but the outflow pressure is proportional to ``amp``, so that the ratio of the two
    pressures gives ``tau`` (by table) and the level ``amp``. Diastolic above central venous pressure.
    """
    n = _TAUS_S.size
    taken = np.zeros(n)
    left = response(np.full(n, rr), np.full(n, ts), _TAUS_S, subject.flow_skew) / (1.0 - np.exp(-rr / _TAUS_S))
    beats = dataclasses.replace(
        Beats(*(taken for _ in dataclasses.fields(Beats))),
        foot_abp=np.arange(n, dtype=np.float64) * rr, ts=np.full(n, ts), tau=_TAUS_S, amp=np.ones(n), p0=left,
        zflow=np.full(n, subject.impedance * subject.compliance),
    )  # fmt: skip
    u = np.broadcast_to((np.arange(128) + 0.5) / 128 * rr, (n, 128))
    beat = np.broadcast_to(np.arange(n)[:, None], u.shape)
    wave = _arterial_in_beat(u.ravel(), beat.ravel(), beats, subject).reshape(u.shape)
    high, low = wave.max(axis=1), wave.min(axis=1)
    wanted = (systolic - CENTRAL_VENOUS_MMHG) / (diastolic - CENTRAL_VENOUS_MMHG)
    tau = float(np.interp(-wanted, -high / low, _TAUS_S))
    return (diastolic - CENTRAL_VENOUS_MMHG) / float(np.interp(tau, _TAUS_S, low)), tau


def pleth(times_s: Float64Array, beats: Beats, breath: Float64Array, subject: Subject) -> Float64Array:
    """Blood volume of the finger in pulses (typical pulse 1) at physiological ``times_s`` [n]."""
    beat = np.clip(np.searchsorted(beats.foot_ppg, times_s, side="right") - 1, 0, len(beats) - 1)
    wave = _pleth_in_beat(times_s - beats.foot_ppg[beat], beat, beats, subject)
    flowing = np.interp(times_s, beats.foot_ppg, np.sign(beats.ppg_amp))  # breath moves blood that flows
    return wave + _PPG_BASELINE * flowing * np.sin(2.0 * np.pi * breath - 0.6)


def _pleth_in_beat(u: Float64Array, beat: np.ndarray, beats: Beats, subject: Subject) -> Float64Array:
    ts, tau, amp = PPG_EJECTION * beats.ts[beat], beats.ppg_tau[beat], beats.ppg_amp[beat]
    since = (u - ts) / ts
    # A stiff, narrow bed reflects more: the second wave grows with the time constant of the bed.
    dicrotic = (0.8 * subject.reflection + 0.5 * tau) * np.exp(-0.5 * ((since - 0.30) / 0.17) ** 2)
    span = np.append(np.diff(beats.foot_ppg), np.inf)[beat]
    fade = np.clip((span - u) / 0.10, 0.0, 1.0)
    pleth: Float64Array = beats.ppg0[beat] * np.exp(-u / tau) + amp * (
        1.6 * response(u, ts, tau, PPG_FLOW_SKEW) + dicrotic * fade * np.minimum(u / (0.5 * ts), 1.0) ** 2
    )
    return pleth


def catheter_kernel(rate_hz: float, natural_hz: float, damping: float) -> Float64Array:
    """Impulse response (unit sum) of the catheter–transducer: second order (Gardner 1981), damping ratio below 1."""
    t = np.arange(int(rate_hz * min(6.0 / (2.0 * np.pi * natural_hz * damping), 3.0)) + 4) / rate_hz
    w = 2.0 * np.pi * natural_hz
    damped = w * np.sqrt(max(1.0 - damping**2, 0.01))
    kernel = np.exp(-damping * w * t) * np.sin(damped * t)
    unit: Float64Array = kernel / np.sum(kernel)
    return unit


def arterial_sensor(wave: Float64Array, first: int, seed: int, device: Device) -> Float64Array:
    """Transducer offset and noise; the catheter's kernel has been applied by the caller (it needs a margin)."""
    return wave + device.abp_offset_mmhg + device.abp_noise_mmhg * white(seed, Stream.ABP_WHITE, first, wave.size)


def highpass_kernel(rate_hz: float, cutoff_hz: float) -> Float64Array:
    """First-order high-pass as a causal FIR over six time constants; takes away the mean exactly."""
    tau = 1.0 / (2.0 * np.pi * cutoff_hz)
    slow = np.exp(-np.arange(int(6.0 * tau * rate_hz) + 1) / (tau * rate_hz))
    kernel: Float64Array = -slow / np.sum(slow)
    kernel[0] += 1.0
    return kernel


def pleth_sensor(wave: Float64Array, first: int, rate_hz: float, seed: int, device: Device) -> Float64Array:
    """Gain, offset and noise of the oximeter."""
    times = (first + np.arange(wave.size)) / rate_hz
    noise = device.ppg_noise * (
        white(seed, Stream.PPG_WHITE, first, wave.size) + 2.0 * smooth(seed, Stream.PPG_WANDER, times, 4.0, 1.0)
    )
    return device.ppg_gain * (wave + noise + device.ppg_offset)


def pressures(beats: Beats, subject: Subject) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Mean, systolic and diastolic pressure in mmHg [n − 1] of every beat but the last, in the artery."""
    n = len(beats) - 1
    span = np.diff(beats.foot_abp)
    grid = (np.arange(96) + 0.5) / 96
    u = grid * span[:, None]
    beat = np.broadcast_to(np.arange(n)[:, None], u.shape)
    wave = _arterial_in_beat(u.ravel(), beat.ravel(), beats, subject).reshape(u.shape)
    return wave.mean(axis=1), wave.max(axis=1), wave.min(axis=1)


def upstroke_offsets(beats: Beats, subject: Subject, kind: str) -> Float64Array:
    """Seconds [n] from the foot to the steepest point of each pulse; ``kind`` is "ABP" or "PPG"."""
    in_beat = _arterial_in_beat if kind == "ABP" else _pleth_in_beat
    u = np.broadcast_to(_UPSTROKE_GRID_S, (len(beats), _UPSTROKE_GRID_S.size))
    beat = np.broadcast_to(np.arange(len(beats))[:, None], u.shape)
    wave = in_beat(u.ravel(), beat.ravel(), beats, subject).reshape(u.shape)
    delay_s: Float64Array = _UPSTROKE_GRID_S[np.argmax(np.diff(wave, axis=1), axis=1)] + 0.001
    return delay_s
