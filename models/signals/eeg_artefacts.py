"""What in an EEG is not the brain's: electrode and movement, eyes, muscle, and an input that is not connected.

One channel has no neighbours to compare it with, and a one-second verdict no night of epochs to take statistics from.
So the limits are fixed, as in the methods that served best in single channels, slope and power at high frequencies
(Malafeev et al., J Sleep Res 2019; 28:e12679: fourteen methods, 63 nights), and epochs are short, one second being best
for muscle (Vandevelde, Duprez & Van den Bergh, Electroencephalogr Clin Neurophysiol 1998; 107:149–158). The families
are those of Delorme, Sejnowski & Makeig (NeuroImage 2007; 34:1443–1449), of which the spectral ones found most:

* amplitude: ±200 µV, beyond which an epoch is given up (Picton et al., Psychophysiology 2000; 37:127–152); slow waves
  of deep anaesthesia reach 150 µV peak to peak, and bursts little more;
* slope: what rises faster is an electrode that moved, or a spark;
* muscle: a brain's spectrum falls with frequency. Where 30–45 Hz holds nearly the power per hertz of 8–20 Hz it is that
  of muscle, which is broad up to 100 Hz (Goncharova et al., Clin Neurophysiol 2003; 114:1580–1593);
* slow waves of an eye or a movement: so much power below 4 Hz goes with deep anaesthesia or sleep, in which what is
  fast has gone (Purdon et al., PNAS 2013; 110:E1142–E1151); with the fast power of the awake it is no brain's;
* transients: a second whose slow waves are three times those of the quieter ones of the last ten, and kurtosis, a few
  deflections that ten seconds of brain do not hold: blinks. Bursts between suppressions look alike and are the
  patient's, so ten seconds with any suppression are left alone.

Beside them: an input that is open or shorted shows noise as white as an amplifier's own and no more of it, 2 µV peak to
peak. That is no suppression: the stillest brain is not white.

Limits were set on EEG of one awake and anaesthetised volunteer, one sleeper and simulated patients; the share that they
refuse there is held by tests.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ
from models.signals.resample import frequency_response
from models.signals.shape import kurtosis

FloatArray = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Band = tuple[float, float]

_SECOND = GRID_RATE_HZ
EPOCH_S = 2  # of the spectra: the cell and the second before it
MOST_AMPLITUDE_UV = 200.0  # from the median of the ten seconds
STEP_S, MOST_STEP_UV = 0.02, 150.0
SLOW_HZ, MIDDLE_HZ, FAST_HZ = (0.5, 4.0), (8.0, 20.0), (30.0, 45.0)
MUSCLE_DB, LEAST_MUSCLE_DB = -2.0, -6.0  # over the middle; of µV²/Hz, below which it cannot matter
SLOW_DB = 15.0  # over the middle: the slow waves of deep anaesthesia, with which no fast power goes such as
AWAKE_DB, LEAST_AWAKE_DB = -10.0, -12.0  # over the middle; of µV²/Hz, less is what an amplifier makes by itself
TRANSIENT, LEAST_TRANSIENT_UV, QUIETER_SHARE = 3.0, 50.0, 0.3
SLOW_S = 0.25  # length of the average that leaves the slow waves
MOST_KURTOSIS, OUTLIER = 8.0, 5.0  # an outlier: so many robust deviations from the median
LEAST_STEPS, LEAST_DRIFT_UV_S = 5, 10.0
FAR_UV = 400.0  # farther away a second belongs to another state of the electrode
QUIET_S, QUIET_UV = 0.5, 10.0  # suppression: within ±5 µV for half a second (Rampil, Anesthesiology 1998; 89:980–1002)
NOISE_UV, WHITE_DB = 2.0, 6.0  # peak to peak of a second; 1–8 Hz over 20–40 Hz


def eeg_artefact(grid: FloatArray) -> Absence | None:
    """Why the last second of ``grid`` is no EEG: an artefact, or flat (nothing but an amplifier's noise).

    grid: float32 [1000], the ten seconds that end with the second, µV on the 100-Hz grid from the channel's zero, NaN
    where missing; its last second has at most 40 ms missing.
    """
    x = grid.astype(np.float64)
    cell = _joined(x[-_SECOND:])
    if _is_noise(cell):
        return Absence.FLAT
    x[np.repeat(_elsewhere(x, median(cell)), _SECOND)] = np.nan
    if drift := _drift(x):
        x = x - drift * (np.arange(len(x)) / _SECOND)
        cell = _joined(x[-_SECOND:])
    known = np.isfinite(x)
    middle = median(x[known])
    largest = float(np.abs(cell - middle).max())
    step = round(STEP_S * GRID_RATE_HZ)
    if largest > MOST_AMPLITUDE_UV or float(np.abs(cell[step:] - cell[:-step]).max()) > MOST_STEP_UV:
        return Absence.ARTEFACT
    epoch = x[-EPOCH_S * _SECOND :]
    whole = np.count_nonzero(~np.isfinite(epoch)) <= _SECOND // 10
    slow, mid, fast = band_power_db(_joined(epoch) if whole else cell, SLOW_HZ, MIDDLE_HZ, FAST_HZ)
    muscle = fast > LEAST_MUSCLE_DB and fast - mid > MUSCLE_DB
    movement = slow - mid > SLOW_DB and fast > LEAST_AWAKE_DB and fast - mid > AWAKE_DB
    if muscle or movement:
        return Absence.ARTEFACT
    if is_suppressed(x).any():
        return None
    outlying = largest > OUTLIER * 1.4826 * median(np.abs(x[known] - middle))
    if (outlying and kurtosis(x.astype(np.float32)) > MOST_KURTOSIS) or _is_transient(x):
        return Absence.ARTEFACT
    return None


def is_suppressed(x: Floats) -> npt.NDArray[np.bool_]:
    """Which samples of x [n] (µV, 100 Hz, NaN where missing) belong to a stretch of at least 0.5 s within 10 µV.

    Wherever its baseline lies: drift over half a second is smaller. A missing sample belongs to none.
    """
    run = round(QUIET_S * GRID_RATE_HZ)
    if len(x) < run:
        return np.zeros(len(x), dtype=np.bool_)
    there = np.isfinite(x)
    highest = _sliding(np.where(there, x, np.inf), run, np.maximum)
    lowest = _sliding(np.where(there, x, -np.inf), run, np.minimum)
    starts = np.flatnonzero(highest - lowest < QUIET_UV)
    edges = np.zeros(len(x) + 1, dtype=np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + run, -1)
    return np.cumsum(edges[:-1]) > 0


def band_power_db(epoch: npt.ArrayLike, *bands: Band) -> list[float]:
    """Mean power of ``epoch`` [n] (µV on the grid, no NaN) within each band, in dB of µV²/Hz; −100 for none at all.

    A straight line is taken off; what the way to the grid has taken of high frequencies is given back, as far as that
    is the same from every rate of at least 125 Hz.
    """
    x = np.asarray(epoch, dtype=np.float64)
    taper, frequency, density = _periodogram(len(x))
    t = np.linspace(-1.0, 1.0, len(x))
    x = x - x.mean()
    x = x - t * (float(np.sum(t * x)) / float(np.sum(t * t)))
    power = np.abs(np.fft.rfft(x * taper)) ** 2 * density
    return [10.0 * float(np.log10(power[(frequency >= a) & (frequency <= b)].mean() + 1e-10)) for a, b in bands]


@lru_cache(maxsize=4)
def _periodogram(n: int) -> tuple[Floats, Floats, Floats]:
    """Taper [n], frequencies in Hz and the factor from |FFT|² to µV²/Hz at each."""
    taper: Floats = np.sin(np.pi * (np.arange(n, dtype=np.float64) + 0.5) / n) ** 2
    frequency: Floats = np.fft.rfftfreq(n, 1 / GRID_RATE_HZ).astype(np.float64)
    passed: Floats = np.maximum(frequency_response(250.0, frequency), 0.2) ** 2
    return taper, frequency, 2.0 / (GRID_RATE_HZ * float(np.sum(taper**2))) / passed


def _elsewhere(x: Floats, level: float) -> npt.NDArray[np.bool_]:
    """Which seconds of x an electrode that was off has spent far from ``level``, or at one value: what comes after it
    is not judged by it."""
    seconds = x.reshape(-1, _SECOND)
    high, low = np.fmax.reduce(seconds, axis=1), np.fmin.reduce(seconds, axis=1)
    near: npt.NDArray[np.bool_] = (high - level < FAR_UV) & (level - low < FAR_UV) & (high > low)
    return ~near


def _drift(x: Floats) -> float:
    """µV a second by which an electrode drifts; 0 where it could be the EEG's own slow waves."""
    seconds = x.reshape(-1, _SECOND)
    missing = np.count_nonzero(np.isnan(seconds), axis=1)
    levels = np.where(missing == 0, np.median(np.nan_to_num(seconds), axis=1), np.nan)
    steps = np.diff(levels)
    steps = steps[np.isfinite(steps)]
    drift = median(steps) if len(steps) >= LEAST_STEPS else 0.0
    return drift if abs(drift) > LEAST_DRIFT_UV_S else 0.0


def _is_noise(cell: Floats) -> bool:
    edge = _SECOND // 25  # the way to the grid lets the samples before and after reach 20 ms into a second
    if float(np.ptp(cell[edge:-edge])) > NOISE_UV:
        return False
    low, high = band_power_db(cell[edge:-edge], (1.0, 8.0), (20.0, 40.0))
    return low - high < WHITE_DB


def _is_transient(x: Floats) -> bool:
    """Whether the last second's slow waves stand out of those of the ten seconds; not with half of them missing."""
    reach = round(0.5 * SLOW_S * GRID_RATE_HZ)
    taper = np.hanning(2 * reach + 3)[1:-1]
    slow = np.convolve(np.pad(x, reach, mode="edge"), taper / taper.sum(), "valid")
    seconds = slow.reshape(-1, _SECOND)
    swings = np.fmax.reduce(seconds, axis=1) - np.fmin.reduce(seconds, axis=1)
    swings = swings[np.count_nonzero(np.isfinite(seconds), axis=1) > _SECOND // 2]
    if 2 * len(swings) < len(seconds):
        return False
    usual = float(np.sort(swings)[int(QUIETER_SHARE * len(swings))])
    return float(swings[-1]) > max(TRANSIENT * usual, LEAST_TRANSIENT_UV)


def _joined(x: Floats) -> Floats:
    """x with its few missing samples interpolated."""
    there = np.flatnonzero(np.isfinite(x))
    return x if len(there) == len(x) else np.interp(np.arange(len(x)), there, x[there])


def _sliding(x: Floats, width: int, extreme: np.ufunc) -> Floats:
    """Running maximum or minimum over ``width`` samples by doubling, [n − width + 1]."""
    result, reach = x, 1
    while 2 * reach <= width:
        result = extreme(result[:-reach], result[reach:])
        reach *= 2
    rest = width - reach
    return extreme(result[: len(result) - rest], result[rest:]) if rest else result
