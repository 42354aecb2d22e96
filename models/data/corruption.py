"""Noise as well as absence: present signals made worse by a graded amount, in their own unit, presence unchanged.

The signal-to-noise ratio of a window is the variance of its clean samples over that of what is added, in decibels, so
10 dB is equally bad for a pressure in mmHg and an EEG in µV. (Of a pressure it is the pulse that counts, not the mean.)
Kinds: ``white`` (amplifier), ``wander`` (0.05–0.5 Hz, electrodes and breathing), ``motion`` (0.5–8 Hz in bursts of a
few seconds), ``muscle`` (20–45 Hz), ``drift`` (a ramp from one end of the window to the other).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ

Floats = npt.NDArray[np.float64]
LOUDEST_DB, FAINTEST_DB = -40.0, 80.0


def _band(rng: np.random.Generator, shape: tuple[int, ...], low_hz: float, high_hz: float) -> Floats:
    hertz = np.fft.rfftfreq(shape[-1], 1.0 / GRID_RATE_HZ)
    inside = (hertz >= low_hz) & (hertz <= high_hz)
    if not inside.any():  # a window shorter than the slowest wave
        inside[1] = True
    spectrum = rng.standard_normal((*shape[:-1], hertz.size)) + 1j * rng.standard_normal((*shape[:-1], hertz.size))
    return np.fft.irfft(np.where(inside, spectrum, 0.0), shape[-1])


def _white(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.standard_normal(shape)


def _wander(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return _band(rng, shape, 0.05, 0.5)


def _motion(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return _band(rng, shape, 0.5, 8.0) * np.maximum(_band(rng, shape, 0.05, 0.4), 0.0)


def _muscle(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return _band(rng, shape, 20.0, 45.0)


def _drift(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.where(rng.random((*shape[:-1], 1)) < 0.5, -1.0, 1.0) * np.linspace(-1.0, 1.0, shape[-1])


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "white": _white,
    "wander": _wander,
    "motion": _motion,
    "muscle": _muscle,
    "drift": _drift,
}


def corrupt(
    signals: npt.NDArray[np.float32],
    kind: str,
    snr_db: float,
    rng: np.random.Generator,
    struck: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """A copy of ``signals`` [..., M, L] (physical units, 100 Hz) with noise of ``kind`` at ``snr_db`` added.

    struck: bool, broadcast to [..., M]: which signals; all by default. NaN stays NaN; a flat signal, which has no
    variance to measure noise by, stays as it is. Raises BadInput for an unknown kind or a ratio outside of −40 to 80.
    """
    if kind not in KINDS:
        raise BadInput(f"noise out of {', '.join(KINDS)}", repr(kind), "choose one of these")
    if not LOUDEST_DB <= snr_db <= FAINTEST_DB:
        raise BadInput(f"a ratio of {LOUDEST_DB:g} to {FAINTEST_DB:g} dB", f"{snr_db:g} dB", "choose another")
    x = signals.astype(np.float64)
    known = np.isfinite(x)
    count = np.maximum(known.sum(-1, keepdims=True), 1)
    noise = KINDS[kind](rng, x.shape)
    size = np.sqrt(_power(x, known, count) / 10.0 ** (snr_db / 10.0))
    noise_size = np.sqrt(_power(noise, known, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(noise_size > 0.0, size / noise_size, 0.0)
    if struck is not None:
        scale = np.where(np.broadcast_to(struck, x.shape[:-1])[..., None], scale, 0.0)
    mean = np.where(known, noise, 0.0).sum(-1, keepdims=True) / count
    return np.where(scale > 0.0, x + scale * (noise - mean), x).astype(np.float32)


def _power(x: Floats, known: npt.NDArray[np.bool_], count: npt.NDArray[np.int64]) -> Floats:
    mean = np.where(known, x, 0.0).sum(-1, keepdims=True) / count
    power: Floats = np.where(known, (x - mean) ** 2, 0.0).sum(-1, keepdims=True) / count
    return power
