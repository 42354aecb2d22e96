"""What the ECG of the newest seconds shows: beats, a still line, fibrillation, or nothing that can be told.

Judged on the last four seconds, the length that the definitions of asystole and of ventricular fibrillation ask for
(Clifford et al., Computing in Cardiology 2015; 42:273–276); a change therefore shows within four to five seconds. Pure
numpy, a fraction of a millisecond.

* STILL: no beat, and no deflection within 200 ms of 0.15 mV — the amplitude that IEC 60601-2-27 does not let a monitor
  take for a QRS complex — or of a fifth of the beats' height earlier in the ten seconds.
* FIBRILLATION, of the whole four seconds: the signal is nearly a sine of one period, by the VF filter leakage of Kuo &
  Dillman (Computers in Cardiology 1978; 347–349), *and* it keeps away from its baseline, by the threshold crossing
  sample count of Arafat, Chowdhury & Hasan (Signal, Image and Video Processing 2011; 5:301–310), with its strongest
  frequency where fibrillation and flutter have it (Barro et al., J Med Eng Technol 1989; 13:152–159: 2–9 Hz). A narrow
  QRS leaves the baseline in a tenth of the time and leaks 0.8; each index alone is fooled by broad complexes, or by
  movement, where the two together are not. Kuo & Dillman take the amplitude from the beats before it; 0.2 mV is used
  here, below which fibrillation cannot be told from a still line with noise.
* BEATS: complexes that the beat detector believes. Otherwise UNCLEAR: it moves, and no rate may be counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.beats import EcgBlock, without_pacing
from models.signals.blocks import median
from models.signals.findings import Rhythm
from models.signals.modalities import GRID_RATE_HZ

Floats = npt.NDArray[np.float64]

SPAN_S = 4.0
LEAST_KNOWN = 0.9  # of the span
LEAST_BEATS_EARLY = 2  # that make a rhythm before the span is full

DEFLECTION_S = 0.2
LEAST_DEFLECTION_MV = 0.15
LEAST_DEFLECTION_SHARE = 0.2  # of the usual height of the beats before
BEAT_S = 0.05  # reach of a complex to either side, for its height
SMALL_BEAT = 2.5  # least height of beats smaller than a deflection, over the usual swing: clean ones 5, noise 1.7

WANDER_S = 0.71  # moving average taken off: high-pass of about 0.6 Hz
MOST_LEAKAGE = 0.5  # Kuo & Dillman: 0.406 at a high amplitude, 0.625 at that of the beats before
CROSSING_S, CROSSING_STEP_S, CROSSING_LEVEL, LEAST_CROSSING = 3.0, 0.5, 0.2, 0.48  # Arafat 2011
LEAST_FIBRILLATION_MV = 0.2
FIBRILLATION_HZ = (2.2, 10.0)


def judge_rhythm(grid: npt.NDArray[np.float32] | EcgBlock, beats: npt.ArrayLike) -> Rhythm:
    """The rhythm at the end of ``grid``.

    grid: [n] ECG in mV at 100 Hz, NaN where missing, in practice the last 10 s. beats: positions of its QRS complexes
    in samples (:func:`models.signals.beats.r_peaks`). UNKNOWN where less than 3.6 of the last 4 s are there and they
    hold no two beats.
    """
    x = np.asarray(without_pacing(grid), dtype=np.float64)
    at = np.asarray(beats, dtype=np.float64)
    span = round(SPAN_S * GRID_RATE_HZ)
    newest = x[-span:]
    recent = at[at >= len(x) - span]
    known = np.isfinite(newest)
    if len(newest) < span or np.count_nonzero(known) < LEAST_KNOWN * span:
        return Rhythm.BEATS if len(recent) >= LEAST_BEATS_EARLY else Rhythm.UNKNOWN
    flat = without_wander(newest)
    if is_fibrillation(flat):
        return Rhythm.FIBRILLATION
    swing = swings(flat)
    still = float(swing.max()) < max(LEAST_DEFLECTION_MV, LEAST_DEFLECTION_SHARE * _usual_height(x, at))
    if still and not (len(recent) and _usual_height(x, recent) > SMALL_BEAT * median(swing)):
        return Rhythm.STILL
    return Rhythm.BEATS if len(recent) else Rhythm.UNCLEAR


def is_fibrillation(x: Floats) -> bool:
    """Whether four seconds of ECG (mV, 100 Hz, without NaN and wander) are ventricular fibrillation or flutter."""
    if float(swings(x).max(initial=0.0)) < LEAST_FIBRILLATION_MV:
        return False
    if leakage(x) >= MOST_LEAKAGE or crossing_share(x) <= LEAST_CROSSING:
        return False
    low, high = FIBRILLATION_HZ
    return low <= strongest_frequency(x) <= high


def without_wander(x: npt.ArrayLike) -> Floats:
    """The ECG with its gaps joined, without wander below 0.6 Hz and what is above 30 Hz; zero phase, [n] float64."""
    values = _whole(x)
    reach = round(0.5 * WANDER_S * GRID_RATE_HZ)
    wander = np.convolve(np.pad(values, reach, mode="edge"), np.full(2 * reach + 1, 1.0 / (2 * reach + 1)), "valid")
    return np.convolve(np.pad(values - wander, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")


def leakage(x: Floats) -> float:
    """Kuo & Dillman 1978: what a notch at the mean frequency leaves over: 0 of a sine, 0.8 of narrow complexes.

    x: [n] without NaN, its baseline taken off. 1 of a signal that does not move.
    """
    steps = float(np.abs(np.diff(x)).sum())
    if steps <= 0.0:
        return 1.0
    half = round(np.pi * float(np.abs(x).sum()) / steps)  # half the mean period, in samples
    if not 1 <= half < len(x):
        return 1.0
    now, before = x[half:], x[:-half]
    return float(np.abs(now + before).sum()) / max(float((np.abs(now) + np.abs(before)).sum()), 1e-12)


def crossing_share(x: Floats) -> float:
    """Arafat 2011: mean share of the samples of 3-s stretches that lie beyond a fifth of the stretch's peak."""
    length = round(CROSSING_S * GRID_RATE_HZ)
    size = np.abs(x)
    if len(size) < length:
        return 0.0
    stretches = np.lib.stride_tricks.sliding_window_view(size, length)[:: round(CROSSING_STEP_S * GRID_RATE_HZ)]
    return float((stretches > CROSSING_LEVEL * stretches.max(axis=1, keepdims=True)).mean())


def strongest_frequency(x: Floats) -> float:
    """Hz of the highest peak of the amplitude spectrum (Hann window, resolution 0.25 Hz)."""
    size = 1024
    spectrum = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), size))
    return float(np.argmax(spectrum)) * GRID_RATE_HZ / size


def swings(x: npt.ArrayLike) -> Floats:
    """Peak to peak within every 200 ms, [n − 19]; 0 where nothing is known."""
    values = np.asarray(x, dtype=np.float64)
    width = round(DEFLECTION_S * GRID_RATE_HZ)
    if len(values) < width:
        return np.zeros(0)
    around = np.lib.stride_tricks.sliding_window_view(values, width)
    span: Floats = np.nan_to_num(np.fmax.reduce(around, axis=1) - np.fmin.reduce(around, axis=1), nan=0.0)
    return span


def _usual_height(x: Floats, beats: Floats) -> float:
    """Median peak to peak of the complexes in mV; 0 without any."""
    reach = round(BEAT_S * GRID_RATE_HZ)
    index = np.clip(np.round(beats).astype(int)[:, None] + np.arange(-reach, reach + 1), 0, len(x) - 1)
    heights = np.fmax.reduce(x[index], axis=1) - np.fmin.reduce(x[index], axis=1)
    heights = heights[np.isfinite(heights)]
    return median(heights) if len(heights) else 0.0


def _whole(x: npt.ArrayLike) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    there = np.flatnonzero(np.isfinite(values))
    if len(there) in (0, len(values)):
        return values if len(there) else np.zeros(len(values))
    return np.interp(np.arange(len(values)), there, values[there])
