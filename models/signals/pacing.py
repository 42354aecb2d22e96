"""Pacer spikes in an ECG: found by their sharpness, and taken out before complexes are sought.

A pacer pulse lasts 1–2 ms; on the 100-Hz grid it is what the low-passes of the monitor and of the resampler leave: one
to three samples that bend far more sharply than any complex of the same strength at 11–27 Hz. The ratio of the two
(``sharpness``) is 5.0–6.5 for a pulse of one sample, wherever it falls between grid samples, and more for one with an
undershoot. Of the beats of 1,200 real records it is 2.5 in the median; where what was taken for beats is above 5, one
sees the spikes of a pacer. A narrow QRS may reach 4.8, so sharpness alone decides nothing: see
:func:`belong_together`.

IEC 60601-2-27 asks that a monitor reject such pulses: counted as beats they double a rate, and hide an asystole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]

STEP_S = 0.010  # of the second difference that tells how sharply a signal bends
NEAR_S = 0.040
REACH_S = 0.030  # to either side, of what a spike has changed
LEAST_MV, STANDS_OUT = 0.05, 8.0  # least bend, and over the median bend: the largest of noise is five times that
SHARP, LEAST_SPIKES = 5.0, 3  # so sharp, and so many of them in a block, that there is a pacer
SHARP_AMONG = 4.2  # of its further spikes
SURELY_SHARP, SURELY_TALL_MV = 5.5, 0.3  # median over the spikes, where nothing else is there

# from a spike to the middle of its complex
CLOSEST_S, VENTRICULAR_S, ATRIAL_S, UNRELATED_S = 0.045, 0.17, 0.42, 0.60
TALLER = 0.7  # than an atrial spike its complex must be at 3–15 Hz
MOST = 0.6  # of the complexes that follow a spike


def pacer_spikes(values: Floats, strength: Floats, rate_hz: float) -> tuple[Positions, Floats, Floats]:
    """What is sharp enough for a spike in ``values`` [n] (mV, no NaN): positions in samples, ascending, the sharpness
    of each, and how far it bends in mV. Empty where less than three are.

    strength: [n] of the signal at 11–27 Hz, 0 where nothing is to be found.
    """
    step, near = max(1, round(STEP_S * rate_hz)), round(NEAR_S * rate_hz)
    if len(values) <= 2 * near:
        return np.empty(0, dtype=np.intp), np.empty(0), np.empty(0)
    bend = np.zeros(len(values))
    bend[step:-step] = np.abs(values[2 * step :] - 2 * values[step:-step] + values[: -2 * step])
    bend[strength <= 0] = 0.0
    least = max(LEAST_MV, STANDS_OUT * median(bend))
    at = np.flatnonzero((bend[1:-1] > bend[:-2]) & (bend[1:-1] >= bend[2:]) & (bend[1:-1] > least)) + 1
    if not len(at):
        return at, np.empty(0), np.empty(0)
    around = np.clip(at[:, None] + np.arange(-near, near + 1), 0, len(values) - 1)
    sharpness = bend[at] / np.maximum(strength[around].max(axis=1), 1e-9)
    if np.count_nonzero(sharpness > SHARP) < LEAST_SPIKES:
        return np.empty(0, dtype=np.intp), np.empty(0), np.empty(0)
    keep = (sharpness > SHARP_AMONG) & (bend[at] >= bend[around].max(axis=1))
    at, sharpness = at[keep], sharpness[keep]
    apart = np.diff(at, prepend=-near) >= near
    return at[apart], sharpness[apart], bend[at[apart]]


def without_spikes(values: Floats, spikes: Positions, rate_hz: float) -> Floats:
    """A copy with a straight line through what each spike has changed."""
    reach = max(2, round(REACH_S * rate_hz))
    hidden = np.zeros(len(values), dtype=bool)
    hidden[np.clip(spikes[:, None] + np.arange(1 - reach, reach), 0, len(values) - 1)] = True
    kept = np.flatnonzero(~hidden)
    return np.interp(np.arange(len(values)), kept, values[kept])


def belong_together(
    spikes: Positions, spike_heights: Floats, complexes: Floats, heights: Floats, rate_hz: float
) -> bool:
    """Whether most of the ``complexes`` (ascending, in samples) that follow a spike do so as a beat follows its spike.

    heights: of the complexes at 3–15 Hz, spike_heights: what the spikes have there. A ventricular spike lies close
    before its complex, an atrial one further; as far from a narrow QRS lies its T wave, and the P wave of the next
    beat, but these are smaller than what was taken for the spike.
    """
    before = np.searchsorted(spikes, complexes - CLOSEST_S * rate_hz) - 1
    follows = before >= 0
    complexes, heights, before = complexes[follows], heights[follows], before[follows]
    lag_s = (complexes - spikes[before]) / rate_hz
    atrial = (lag_s <= ATRIAL_S) & (heights > TALLER * spike_heights[before])
    belong = int(np.count_nonzero((lag_s <= VENTRICULAR_S) | atrial))
    return belong >= max(LEAST_SPIKES, MOST * int(np.count_nonzero(lag_s <= UNRELATED_S)))
