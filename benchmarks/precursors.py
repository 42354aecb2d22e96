"""Minutes of a simulated person as a bedside would have them: pressure, and what may lead it.

Waves are not rendered: every number is that of the beats behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.data.sim.beats import Beats
from models.data.sim.physiology import Seconds
from models.data.sim.pulse import arterial, pressures
from models.data.simulator import SimulatedPatient
from models.signals.modalities import Modality

MINUTE_S = 60
PRECURSORS = ("rate", "variability", "ppv", "pleth", "delay", "depth")
"""Heart rate in 1/min; successive differences of its intervals (RMSSD, log ms); pulse-pressure variation over a breath
in %; height of the pleth's pulse (log, as the oximeter shows it); R peak to the pulse's foot at the finger in s;
depth of anaesthesia, 0 to 100."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Life:
    """Minutes of one simulated person: mean pressure [T] in mmHg as the transducer has it, the pressure at each whole
    second [60 T], and the precursors [T, 6] (NaN where unknown)."""

    mean: Floats
    instant: Floats
    precursors: Floats


def lived(patient: SimulatedPatient) -> Life:
    """All whole minutes of a patient whose channels are coupled."""
    course = patient.course(Modality.ABP)
    beats, seconds, _ = course.life(patient.duration_s)
    count = int(patient.duration_s) // MINUTE_S
    offset = patient.device.abp_offset_mmhg
    at: Floats = np.arange(count * MINUTE_S, dtype=np.float64) + 0.5
    mean, systolic, diastolic = pressures(beats, course.subject)
    pulse = np.clip(np.searchsorted(beats.foot_abp[:-1], at) - 1, 0, len(mean) - 1)
    return Life(
        mean=mean[pulse].reshape(count, MINUTE_S).mean(1) + offset,
        instant=arterial(at, beats, course.subject) + offset,
        precursors=_by_minute(beats, seconds, systolic - diastolic, count),
    )


def _by_minute(beats: Beats, seconds: Seconds, pulse_pressure: Floats, count: int) -> Floats:
    out = np.full((count, len(PRECURSORS)), np.nan)
    delay = beats.foot_ppg - beats.r
    breath = np.interp(beats.foot_abp, seconds.first + np.arange(seconds.depth.size), seconds.breath_phase)
    for k in range(count):
        here = slice(*np.searchsorted(beats.r, [k * MINUTE_S, (k + 1) * MINUTE_S]))
        rr = beats.rr[here]
        if len(rr) < 3:
            continue
        rows = slice(k * MINUTE_S - seconds.first, (k + 1) * MINUTE_S - seconds.first)
        out[k] = (
            60.0 / rr.mean(),
            np.log(1e3 * np.sqrt(np.mean(np.diff(rr) ** 2)) + 1.0),
            pulse_variation(pulse_pressure[here], breath[here][: len(pulse_pressure[here])]),
            np.log(np.median(beats.ppg_amp[here]) + 1e-3),
            np.median(delay[here]),
            seconds.depth[rows].mean(),
        )
    return out


def pulse_variation(pulse_pressure: Floats, breath: Floats) -> float:
    """Median over breaths of (greatest − smallest pulse pressure) / their mean, in % (Michard et al. 2000); ``breath``:
    cycles at each beat. NaN without a whole breath of three beats."""
    edges = np.flatnonzero(np.diff(np.floor(breath))) + 1
    found = []
    for a, b in pairwise(edges):
        part = pulse_pressure[a:b]
        if len(part) >= 3:
            found.append(2e2 * (part.max() - part.min()) / (part.max() + part.min()))
    return float(np.median(found)) if found else float("nan")


def precursor_columns(precursors: Floats) -> Floats:
    """[T, 18] of minutes: each precursor, and its change from its means over the last 10 min and the last hour, in
    units of about one."""
    scale = np.array([12.0, 0.6, 4.0, 0.3, 0.02, 12.0])
    middle = np.array([70.0, 3.0, 8.0, 0.0, 0.27, 46.0])
    change = [2.0 * (precursors - _trailing(precursors, span)) / scale for span in (10, 60)]
    return np.concatenate([(precursors - middle) / scale, *change], axis=1).clip(-4, 4)


def _trailing(values: Floats, span: int) -> Floats:
    """Mean over the last ``span`` rows, the newest included, fewer at the start; NaN counts for nothing."""
    known = np.isfinite(values)
    sums, counts = (
        np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(v, axis=0)])
        for v in (np.where(known, values, 0.0), known)
    )
    first = np.maximum(np.arange(1, len(values) + 1) - span, 0)
    count = counts[1:] - counts[first]
    return np.where(count > 0, (sums[1:] - sums[first]) / np.maximum(count, 1), np.nan)
