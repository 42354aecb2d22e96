"""From a channel's native rate to the common 100-Hz grid, without loss of time.

Grid sample ``g`` lies at exactly ``g · 10 ms`` of event time; native sample ``i`` at ``origin_ns + i · 1e9 / rate_hz``.
Each grid sample is a Kaiser-windowed-sinc average (Kaiser & Schafer 1980; Smith & Gossett 1984, "A flexible
sampling-rate conversion method") of the native samples less than 20 ms away on either side: zero phase, so every
modality has the same delay — none in event time, 20 ms of look-ahead in waiting.

What 40 ms of support can do, and what it cannot. Unity at DC for every phase. From 125 Hz on: at least 0.95 of the
amplitude at 10 Hz and 0.84 at 20 Hz, half at 40 Hz (the cut-off: 0.4 of the lower of the two rates), a quarter of
50-Hz mains; from 250 Hz on at most 0.08 of 60 Hz and 0.035 of anything from 70 Hz up, which would fold to below 30 Hz.
``frequency_response`` gives the curve and the tests hold it to these figures. At 62.5 Hz interpolation is little better
than linear, and below that the support grows to 1.25 samples, so the look-ahead of such a channel is longer.

Weights come from a table of 1024 (above 2 kHz: 64) phases a native sample, so a grid sample is a pure function of the
native samples: how they were chunked on the way cannot change one bit of it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ
from models.signals.times import SECOND_NS

FloatArray = npt.NDArray[np.float32]

GRID_STEP_NS = SECOND_NS // GRID_RATE_HZ
HALF_SUPPORT_S = 0.020
MIN_RATE_HZ, MAX_RATE_HZ = 4.0, 100_000.0
_FINE_PHASES, _COARSE_PHASES, _COARSE_FROM_HZ = 1024, 64, 2_000.0  # at most 8 us of rounding either way
_BETA = 3.0
_CUTOFF = 0.40  # of the lower of native and grid rate
_MIN_MASS = 0.5  # share of the absolute weight that must be measured


def _phases(rate_hz: float) -> int:
    return _COARSE_PHASES if rate_hz > _COARSE_FROM_HZ else _FINE_PHASES


@lru_cache(maxsize=64)
def _kernel(rate_hz: float) -> tuple[npt.NDArray[np.float64], int, float]:
    """Weights [taps, phases + 1] (sum 1 for each phase), offset of the first tap, half support in seconds."""
    half_s = max(HALF_SUPPORT_S, 1.25 / rate_hz)
    phases = _phases(rate_hz)
    reach = math.ceil(half_s * rate_hz)
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    phase = np.arange(phases + 1, dtype=np.float64) / phases
    time_s = (offsets[:, None] - phase[None, :]) / rate_hz
    cutoff_hz = _CUTOFF * min(rate_hz, float(GRID_RATE_HZ))
    # Half a phase step inside the support: a sample exactly on its edge has weight 0 whichever way it rounds.
    inside = np.abs(time_s) < half_s - 0.5 / (phases * rate_hz)
    arch = np.sqrt(np.clip(1.0 - (time_s / half_s) ** 2, 0.0, None))
    weights = np.where(inside, np.sinc(2.0 * cutoff_hz * time_s) * np.i0(_BETA * arch), 0.0)
    weights /= weights.sum(axis=0)
    weights.setflags(write=False)
    return weights, -reach, half_s


def frequency_response(rate_hz: float, frequencies_hz: npt.ArrayLike, phase: float = 0.0) -> npt.NDArray[np.float64]:
    """Amplitude with which a sine of each frequency passes to a grid sample ``phase`` native samples past a sample."""
    weights, first, _ = _kernel(float(rate_hz))
    offsets = np.arange(first, first + len(weights)) - phase
    angle = 2.0 * np.pi * np.outer(np.asarray(frequencies_hz, dtype=np.float64), offsets) / rate_hz
    gain: npt.NDArray[np.float64] = np.abs(np.exp(1j * angle) @ weights[:, round(phase * _phases(rate_hz))])
    return gain


class Resampler:
    """Maps one channel (rate, origin) to the grid. Stateless: all calls are pure functions of their arguments.

    Raises BadInput for a rate that is not within 4 Hz … 100 kHz.
    """

    def __init__(self, rate_hz: float, origin_ns: int = 0) -> None:
        if not (math.isfinite(rate_hz) and MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ):
            raise BadInput(
                f"a sampling rate of {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz", f"{rate_hz:g} Hz", "leave the channel out"
            )
        self.rate_hz = float(rate_hz)
        self.origin_ns = int(origin_ns)
        self._weights, self._first_tap, half_s = _kernel(self.rate_hz)
        self._phases = _phases(self.rate_hz)
        self._mass = np.abs(self._weights)
        self._total_mass = self._mass.sum(axis=0)
        self.look_ahead_ns = math.ceil(half_s * 1e9)

    def time_ns(self, index: int) -> int:
        """Event time of native sample ``index``, rounded to whole nanoseconds."""
        return self.origin_ns + round(index * 1e9 / self.rate_hz)

    def index_at(self, time_ns: int) -> int:
        """The first native index at or after ``time_ns``."""
        return math.ceil((time_ns - self.origin_ns) * self.rate_hz * 1e-9 - 1e-6)

    def native_range(self, first_g: int, last_g: int) -> tuple[int, int]:
        """The native indices ``[first, last)`` that grid samples ``[first_g, last_g)`` may read."""
        first = math.floor((first_g * GRID_STEP_NS - self.origin_ns) * self.rate_hz * 1e-9)
        last = math.floor(((last_g - 1) * GRID_STEP_NS - self.origin_ns) * self.rate_hz * 1e-9)
        taps = len(self._weights)
        return first + self._first_tap - 1, last + self._first_tap + taps + 2

    def first_grid(self, index: int) -> int:
        """The first grid sample that reads native sample ``index`` or a later one."""
        return (self.time_ns(index) - self.look_ahead_ns) // GRID_STEP_NS + 1

    def __call__(self, native: FloatArray, first_index: int, first_g: int, last_g: int) -> FloatArray:
        """Grid samples ``[first_g, last_g)``, float32, from ``native`` (float32, NaN missing) starting at
        ``first_index``; samples beyond its ends count as missing.

        A grid sample is NaN if its nearest native sample is missing or less than half of the kernel's weight is
        measured; otherwise the weights are renormalised over what is there.
        """
        count = last_g - first_g
        if count <= 0:
            return np.empty(0, dtype=np.float32)
        grid_ns = np.arange(first_g, last_g, dtype=np.int64) * GRID_STEP_NS - self.origin_ns
        position = grid_ns.astype(np.float64) * self.rate_hz * 1e-9
        base = np.floor(position)
        phase = np.rint((position - base) * self._phases).astype(np.intp)
        need_first, need_last = self.native_range(first_g, last_g)
        values = _padded(native, first_index, need_first, need_last)
        start = base.astype(np.intp) + (self._first_tap - need_first)
        finite = np.isfinite(values)
        if finite.all():
            return _float32(self._accumulate(values, start, phase, count))
        return self._renormalised(values, finite, start, phase, count)

    def _accumulate(
        self, values: npt.NDArray[np.float64], start: npt.NDArray[np.intp], phase: npt.NDArray[np.intp], count: int
    ) -> npt.NDArray[np.float64]:
        # One tap at a time: the order of the additions is the same for any count (a BLAS or pairwise sum is not).
        out = np.zeros(count)
        for tap, weights in enumerate(self._weights):
            out += weights[phase] * values[start + tap]
        return out

    def _renormalised(
        self,
        values: npt.NDArray[np.float64],
        finite: npt.NDArray[np.bool_],
        start: npt.NDArray[np.intp],
        phase: npt.NDArray[np.intp],
        count: int,
    ) -> FloatArray:
        filled = np.where(finite, values, 0.0)
        out = self._accumulate(filled, start, phase, count)
        nearest = start - self._first_tap + (phase > self._phases // 2)
        weight, mass, missing = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.bool_)
        for tap, (weights, masses) in enumerate(zip(self._weights, self._mass, strict=True)):
            here = finite[start + tap]
            weight += weights[phase] * here
            mass += masses[phase] * here
            missing |= ~here & (masses[phase] > 0.0)
        usable = finite[nearest] & (mass >= _MIN_MASS * self._total_mass[phase]) & (weight > 0.0)
        # Whole neighbourhoods are left undivided, so that they equal the samples of a block without any gap.
        np.divide(out, weight, out=out, where=usable & missing)
        out[~usable] = np.nan
        return _float32(out)


def _float32(values: npt.NDArray[np.float64]) -> FloatArray:
    """A value that no float32 holds (the kernel swings over the greatest ones) is infinite, and then no value."""
    with np.errstate(over="ignore"):
        held = values.astype(np.float32)
    held[np.isinf(held)] = np.nan
    return held


def _padded(native: FloatArray, first_index: int, need_first: int, need_last: int) -> npt.NDArray[np.float64]:
    """``[need_first, need_last)`` of ``native`` as float64, NaN where it does not reach."""
    values = np.full(need_last - need_first, np.nan)
    lo, hi = max(first_index, need_first), min(first_index + len(native), need_last)
    if lo < hi:
        values[lo - need_first : hi - need_first] = native[lo - first_index : hi - first_index]
    return values


def resample(native: FloatArray, rate_hz: float, origin_ns: int = 0, first_index: int = 0) -> tuple[int, FloatArray]:
    """A whole stretch at once: the first grid index and all grid samples within the stretch."""
    resampler = Resampler(rate_hz, origin_ns)
    first_g = -(-resampler.time_ns(first_index) // GRID_STEP_NS)
    last_g = resampler.time_ns(first_index + len(native) - 1) // GRID_STEP_NS + 1
    return first_g, resampler(np.asarray(native, dtype=np.float32), first_index, first_g, max(first_g, last_g))
