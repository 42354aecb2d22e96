"""What a pulse channel says for or against an arrhythmia in the same seconds: well-formed pulses, or none.

An opinion against bad news needs clearly good evidence: pulses that are alike, of even height, at the distances of one
rhythm, from the beginning of the stretch in question to its end. This is the test of *regular activity* with which
Plesinger et al. (Computing in Cardiology 2015; 42:273–276 ff.; Physiol Meas 2016; 37:1313–1325) suppress false alarms,
with the beat-by-beat template correlation of Li & Clifford (Physiol Meas 2012; 33:1491–1501). Chest compressions make
such pulses too: they cannot be told here, which is one reason why a contradicted call remains an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.beats import upstrokes
from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ, Modality

Floats = npt.NDArray[np.float64]

BEFORE_S, AFTER_S = 0.15, 0.35  # of the steepest rise: the stretch of a pulse that is compared
ALIKE = 0.85  # least median correlation with the usual pulse
LEAST_PULSES = 3
MOST_MISSING = 0.05
EDGE_S = 0.45  # a pulse is seen when so much follows it
RATES = (30.0, 220.0)
NEAR = 0.15  # rates that agree
ABP_LEAST_HEIGHT, ABP_LEAST_MEAN = 12.0, 35.0  # mmHg


@dataclass(frozen=True, slots=True)
class Form:
    """What pulses must hold to. uneven: longest interval over the shortest; even: least height over the usual one, or
    the usual one over it; alike: least correlation of each with the usual pulse."""

    uneven: float
    even: float
    alike: float


WELL_FORMED = Form(uneven=1.6, even=0.5, alike=0.5)
STEADY = Form(uneven=1.35, even=0.7, alike=0.7)
"""Nothing happens to this pulse: an ectopic beat, a run of five or a pause would show in its height and distance."""


@dataclass(frozen=True, slots=True)
class PulseChannel:
    """The pulses in one block of a channel that ends now; times in seconds before now (positive).

    ago: [k] of the steepest rises, oldest first. height: [k] of the rise, in the channel's unit. alike: [k] correlation
    with the usual pulse. values: [n] the block, NaN where missing.
    """

    modality: Modality
    ago: Floats
    height: Floats
    alike: Floats
    values: Floats

    @classmethod
    def of(cls, modality: Modality, block: npt.NDArray[np.float32]) -> PulseChannel:
        """block: [n] of the 100-Hz grid, NaN where missing."""
        x = block.astype(np.float64)
        at = upstrokes(x, GRID_RATE_HZ, "ABP" if modality is Modality.ABP else "PPG")
        before, after = round(BEFORE_S * GRID_RATE_HZ), round(AFTER_S * GRID_RATE_HZ)
        at = at[(at >= before) & (at < len(x) - after - 1)]
        index = np.round(at).astype(int)[:, None] + np.arange(-before, after + 1)
        shape = x[index]
        whole = np.isfinite(shape).all(axis=1)
        at, shape = at[whole], shape[whole]
        height = shape.max(axis=1, initial=-np.inf) - shape[:, : before + 1].min(axis=1, initial=np.inf)
        shape = shape - shape.mean(axis=1, keepdims=True)
        usual = np.median(shape, axis=0) if len(shape) else np.zeros(before + after + 1)
        norm = np.sqrt((shape**2).sum(axis=1) * float((usual**2).sum()))
        alike = (shape * usual).sum(axis=1) / np.maximum(norm, 1e-12)
        return cls(modality, (len(x) - at) / GRID_RATE_HZ, height, alike, x)

    def rate(self, span_s: float, form: Form = WELL_FORMED) -> float | None:
        """Per minute, if the last ``span_s`` hold pulses of such a form and of one rhythm from end to end; else
        None."""
        samples = self.values[-round(span_s * GRID_RATE_HZ) :]
        if np.count_nonzero(np.isnan(samples)) > MOST_MISSING * len(samples):
            return None
        inside = self.ago <= span_s
        ago, height = self.ago[inside], self.height[inside]
        if len(ago) < LEAST_PULSES:
            return None
        intervals = -np.diff(ago)
        longest = float(intervals.max())
        if longest > form.uneven * float(intervals.min()):
            return None
        if ago[-1] > longest * 1.3 + EDGE_S or span_s - ago[0] > longest * 1.3:
            return None
        usual = median(self.height)
        alike = self.alike[inside]
        if (
            median(alike) < ALIKE
            or float(alike.min()) < form.alike
            or (height < form.even * usual).any()
            or (height > usual / form.even).any()
        ):
            return None
        if self.modality is Modality.ABP and (
            float(height.min()) < ABP_LEAST_HEIGHT or float(np.nanmean(samples)) < ABP_LEAST_MEAN
        ):
            return None
        rate = 60.0 / median(intervals)
        return rate if RATES[0] <= rate <= RATES[1] else None


Channels = Mapping[Modality, PulseChannel]


def pulse_rates(channels: Channels, span_s: float, form: Form = WELL_FORMED) -> dict[Modality, float]:
    """The channels with pulses of such a form over the last ``span_s``, and their rates per minute."""
    return {m: rate for m, c in channels.items() if (rate := c.rate(span_s, form)) is not None}
