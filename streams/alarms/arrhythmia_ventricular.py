"""Is a fast run of five beats ventricular? A logistic rule over a few measures of the run, one table of weights.

The measures are the customary ones: the run's complexes against the patient's own usual complex (template correlation
of Krasteva & Jekova, Ann Biomed Eng 2007; 35:2065–2076), against one another (ventricular tachycardia repeats its
complex, artefact does not), their height, the time spent away from the baseline (Arafat et al., Signal, Image and Video
Processing 2011; 5:301–310), the roughness of the signal, and whether this is but the patient's own rhythm; then what
the pulse channels show.

The weights are a logistic regression on the tuning half of the public training set of the PhysioNet/CinC Challenge 2015
(Clifford et al., Computing in Cardiology 2015; 42:273–276), of its ventricular-tachycardia alarms and of what went
before all alarms; ``python -m benchmarks ventricular`` learns them again. Contains information from that set, which is
made available under the ODC Attribution License (ODC-BY 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median
from models.signals.modalities import GRID_RATE_HZ
from models.signals.rhythm import crossing_share, without_wander

Floats = npt.NDArray[np.float64]

BEATS, LEAST_RATE, LONGEST_S = 5, 100.0, 0.9
RECENT_S = 4.0  # how long ago a run may have ended
SHAPE_BEFORE, SHAPE_AFTER = 12, 16  # samples around a complex that are compared
SHIFT = 4
OF_A_CLASS = 0.8  # least correlation of two complexes of one class
LEAST_LEARNT = 5  # complexes before the run from which the usual one is learnt
REACH = 20  # samples to either side of a run
OWN_ALIKE, OWN_FASTER = 0.85, 1.1
OWN_HEIGHT = 0.2  # log of a complex over the usual one


@dataclass(frozen=True, slots=True)
class Weight:
    """Of one measure: clipped to low … high, less ``mean``, over ``sd``, times ``weight``."""

    low: float
    high: float
    mean: float
    sd: float
    weight: float


ECG_WEIGHTS: dict[str, Weight] = {
    # measure: limits, mean and SD over the runs learnt from, weight
    "unusual": Weight(-1.0, 1.0, 0.853, 0.240, -0.690),
    "alike": Weight(-1.0, 1.0, 0.610, 0.403, 0.833),
    "height": Weight(-1.5, 1.5, 0.068, 0.369, -0.292),
    "irregular": Weight(0.0, 1.0, 0.139, 0.141, 0.200),
    "away": Weight(0.0, 1.0, 0.376, 0.173, 0.507),
    "rough": Weight(0.0, 0.3, 0.034, 0.015, -0.568),
    "steady": Weight(0.0, 1.0, 0.837, 0.207, 0.769),
    "own": Weight(0.0, 1.0, 0.591, 0.492, -0.647),
}
INTERCEPT = -1.659
PULSE_REGULAR, PULSE_SLOWER = 0.425, 0.892
SLOWER = 0.8  # of the run's rate


@dataclass(frozen=True, slots=True)
class UsualComplex:
    """This heart's own complex. shape: [29] at unit length; height: mV; interval: samples from one to the next; steady:
    share of the complexes that are of its class."""

    shape: Floats
    height: float
    interval: float
    steady: float

    @classmethod
    def of(
        cls, ecg: npt.ArrayLike, at: Floats, height: Floats, apart: npt.NDArray[np.bool_] | None = None
    ) -> UsualComplex | None:
        """From the complexes of a block of ECG (:func:`fast_runs`) but the newest and those that are ``apart``; None
        where too few are left."""
        known = at < np.asarray(ecg).shape[0] - RECENT_S * GRID_RATE_HZ
        counted = np.ones(len(at), dtype=bool)
        if apart is not None:
            known, counted = known & ~apart, ~apart
        if np.count_nonzero(known) < LEAST_LEARNT:
            return None
        shape, steady = _usual(_shapes(without_wander(ecg), at[known]))
        return cls(shape, median(height[counted]), median(np.diff(at[known])), steady)


@dataclass(frozen=True, slots=True)
class Run:
    """Five consecutive complexes at more than 100 /min.

    rate: per minute. began_s, ended_s: seconds ago. own_beats: how many of the five have shape and height of the usual
    complex. measures: by the names of ECG_WEIGHTS — unusual: the second highest of the five correlations with
    the usual complex; alike: mean correlation with one another; height: log of the median over the usual;
    irregular: SD of the intervals over their mean; away: share of the last 4 s beyond a fifth of the peak; rough: mean
    second difference over peak to peak; steady: share of the minute's complexes that are of the usual class; own: 1
    where the run is of usual complexes at the usual rate.
    """

    rate: float
    began_s: float
    ended_s: float
    own_beats: int
    measures: dict[str, float]

    def evidence(self) -> float:
        """Log odds of ventricular tachycardia by the ECG alone."""
        total = INTERCEPT
        for name, w in ECG_WEIGHTS.items():
            total += w.weight * (min(max(self.measures[name], w.low), w.high) - w.mean) / w.sd
        return total

    def against(self, pulse_rates: list[float]) -> float:
        """What well-formed pulses at these rates (/min) take off the evidence, ≥ 0; 0 without any."""
        if not pulse_rates:
            return 0.0
        slower = any(rate < SLOWER * self.rate for rate in pulse_rates)
        return PULSE_REGULAR + (PULSE_SLOWER if slower else 0.0)


def fast_runs(ecg: npt.ArrayLike, at: Floats, height: Floats, usual: UsualComplex | None = None) -> list[Run]:
    """The runs that ended within the last 4 s.

    ecg: [n] mV at 100 Hz ending now, a minute at best, NaN where missing. at, height: its complexes
    (:func:`models.signals.beats.complexes`). usual: what they are compared with, by default that of the block itself;
    empty where fewer than five complexes came before, to learn it.
    """
    length = np.asarray(ecg).shape[0]
    starts = run_starts(at, length)
    usual = (usual or UsualComplex.of(ecg, at, height)) if len(starts) else None
    if usual is None:
        return []
    x = without_wander(ecg)
    away = crossing_share(x[-round(RECENT_S * GRID_RATE_HZ) :])
    first = int(starts[0])
    newest = at[first : int(starts[-1]) + BEATS]  # of all runs, which overlap: each complex is compared once
    shifted = _shapes(x, np.concatenate([newest + d for d in range(-SHIFT, SHIFT + 1)]))
    all_alike = (shifted * usual.shape).sum(axis=1).reshape(-1, len(newest)).max(axis=0)
    all_shapes = _shapes(x, newest)
    runs = []
    for i in starts.tolist():
        beats, mine = at[i : i + BEATS], slice(i - first, i - first + BEATS)
        shapes, alike = all_shapes[mine], all_alike[mine]
        over = np.log(np.maximum(height[i : i + BEATS], 1e-3) / max(usual.height, 1e-3))
        stretch = x[max(0, int(beats[0]) - REACH) : int(beats[-1]) + REACH]
        intervals = np.diff(beats)
        unusual = float(np.sort(alike)[-2])
        measures = {
            "unusual": unusual,
            "alike": float((shapes @ shapes.T)[np.triu_indices(BEATS, 1)].mean()),
            "height": median(over),
            "irregular": float(intervals.std() / intervals.mean()),
            "away": away,
            "rough": float(np.abs(np.diff(stretch, 2)).mean()) / max(float(np.ptp(stretch)), 1e-3),
            "steady": usual.steady,
            "own": float(unusual > OWN_ALIKE and usual.interval < OWN_FASTER * float(intervals.mean())),
        }
        own = int(np.count_nonzero((alike > OWN_ALIKE) & (np.abs(over) < OWN_HEIGHT)))
        began_s, ended_s = (length - float(beats[0])) / GRID_RATE_HZ, (length - float(beats[-1])) / GRID_RATE_HZ
        runs.append(Run(60.0 * GRID_RATE_HZ / float(intervals.mean()), began_s, ended_s, own, measures))
    return runs


def run_starts(at: Floats, length: int) -> npt.NDArray[np.intp]:
    """Index of the first complex of every run of five that ended within the last 4 s; at, length: in samples."""
    if len(at) < BEATS:
        return np.empty(0, dtype=np.intp)
    intervals = np.lib.stride_tricks.sliding_window_view(np.diff(at) / GRID_RATE_HZ, BEATS - 1)
    fast = (intervals.mean(axis=1) < 60.0 / LEAST_RATE) & (intervals.max(axis=1) < LONGEST_S)
    return np.flatnonzero(fast & (at[BEATS - 1 :] >= length - RECENT_S * GRID_RATE_HZ))


def _shapes(x: Floats, at: Floats) -> Floats:
    """[k, 29] the stretch around each complex, less its mean, at unit length."""
    index = np.round(at).astype(int)[:, None] + np.arange(-SHAPE_BEFORE, SHAPE_AFTER + 1)
    shapes = x[np.clip(index, 0, len(x) - 1)]
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    unit: Floats = shapes / np.maximum(np.sqrt((shapes * shapes).sum(axis=1, keepdims=True)), 1e-9)
    return unit


def _usual(shapes: Floats) -> tuple[Floats, float]:
    """The mean complex of the largest class, at unit length, and the class's share."""
    of_a_class = shapes @ shapes.T > OF_A_CLASS
    size = of_a_class.sum(axis=1)
    largest = int(np.argmax(size))
    mean = shapes[of_a_class[largest]].mean(axis=0) if size[largest] else np.zeros(shapes.shape[1])
    return mean / max(float(np.sqrt((mean * mean).sum())), 1e-9), float(size[largest]) / len(shapes)
