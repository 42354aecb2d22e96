"""The form of a patient's own pressure pulse, remembered while the pressure is measured.

A model trained on other patients knows how much of a pulse pressure lies below the mean only as a typical value; on a
patient whose pulses have another form its systolic and diastolic estimates are off by a constant, all the time. The
form factor (MAP − DBP) / (SBP − DBP) of the last measured beats is known, changes slowly, and sets both right: an
estimate is moved so that its own mean divides its own pulse pressure as this patient's did. Nothing is fitted, MAP is
not touched.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from models.runtime.memory import MAX_KEYS, Remembered
from models.signals.beats import upstrokes
from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ

FORM_SPAN_S = 8
LEAST_BEATS = 3
LEAST_PULSE_MMHG = 10.0
POSSIBLE = (0.2, 0.6)
"""Form factors of real pulses lie near 1/3 (radial) to 0.45 (aortic); beyond these the line is damped or flushed."""
_NEW = 0.2  # weight of the newest second

Floats = npt.NDArray[np.floating]


def form_factor(abp: Floats, rate_hz: int = GRID_RATE_HZ) -> float:
    """(MAP − DBP) / (SBP − DBP) over the whole beats of ``abp`` [n] in mmHg; NaN where it cannot be told.

    NaN samples, fewer than three beats, a pulse pressure below 10 mmHg or an impossible form cannot be told.
    """
    if not np.isfinite(abp).all():
        return float("nan")
    at = np.rint(upstrokes(abp, rate_hz, "ABP")).astype(np.int64)
    if len(at) <= LEAST_BEATS:
        return float("nan")
    beats = abp[at[0] : at[-1]].astype(np.float64)
    starts = at[:-1] - at[0]
    systolic = median(np.maximum.reduceat(beats, starts))
    diastolic = median(np.minimum.reduceat(beats, starts))
    pulse = systolic - diastolic
    if pulse < LEAST_PULSE_MMHG:
        return float("nan")
    form = (float(beats.mean()) - diastolic) / pulse
    return form if POSSIBLE[0] <= form <= POSSIBLE[1] else float("nan")


class PulseForms:
    """Form factors by bed and stretch of time."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._kept: Remembered[float] = Remembered(limit)

    def learn(self, key: Hashable, abp: Floats, rate_hz: int = GRID_RATE_HZ) -> None:
        """Remember the form of the newest measured seconds ``abp`` [n] of ``key``, smoothed over about five."""
        form = form_factor(abp[-FORM_SPAN_S * rate_hz :], rate_hz)
        if form != form:
            return
        before = self._kept.get(key)
        self._kept.put(key, form if before is None else before + _NEW * (form - before))

    def recall(self, key: Hashable) -> float | None:
        """The form factor of ``key``, None where it was never told."""
        return self._kept.get(key)

    def restore(self, key: Hashable, form: float | None) -> None:
        """Know of ``key`` that form factor, None: nothing."""
        self._kept.restore(key, form)

    def forget(self, key: Hashable) -> None:
        """What is known of this bed and stretch is forgotten."""
        self._kept.forget(key)


def reshaped(pressures: Floats, form: float) -> npt.NDArray[np.float64]:
    """MAP, SBP, DBP by quantiles [3, 3] mmHg with SBP and DBP, bounds too, moved to the ``form`` factor; a copy."""
    moved = np.array(pressures, np.float64)
    mean, systolic, diastolic = moved[:, 1]
    moved[1:] += (mean - diastolic) - form * (systolic - diastolic)
    return moved


def reshaped_wave(wave: Floats, pressures: Floats, form: float) -> npt.NDArray[np.float32]:
    """A restored pressure wave [n] mmHg whose parts above and below the mean are stretched to the ``form`` factor.

    pressures: MAP, SBP, DBP by quantiles [3, 3] as the model gave them.
    """
    mean, systolic, diastolic = (float(v) for v in pressures[:, 1])
    theirs = (mean - diastolic) / max(systolic - diastolic, LEAST_PULSE_MMHG)
    theirs = min(max(theirs, POSSIBLE[0]), POSSIBLE[1])
    about = wave.astype(np.float64) - mean
    stretched = np.where(about > 0.0, about * (1.0 - form) / (1.0 - theirs), about * form / theirs)
    return (mean + stretched).astype(np.float32)
