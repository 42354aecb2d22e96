"""Signal quality of one second, from the ten seconds of grid that end with it: measured or why not, with what pulse.

Bad news is a measurement: an arterial line that delivers continuous samples is measured whatever its level and with or
without a pulse, and so is a finger; only what the *sensor* cannot have seen is refused. A model may be more particular
than a monitor: what it never learnt to read is measured, but not *readable*.

The indices are the published ones, in the form that a one-second verdict needs (no index may ask for more evidence
than a sensor can give within a second or two of its return: with too little of it a cell has the benefit of the
doubt, unless its level alone rules it out):

* ABP — the signal abnormality index of Sun, Reisner & Mark (Computers in Cardiology 2006; 33:13–16): pressures,
  pulse pressure and beat period within limits, and the noise criterion (there: the mean of all negative slopes). Its
  lower limits say what is readable. A still line far above the pulses before it is the pressure bag (fast flush,
  Gardner, Anesthesiology 1981; 54:227–236); one at or below them has lost its pulse, whose cause (arrest, damping, a
  closed tap, a transducer open to air) the other sensors tell, not its shape.
* PPG — pulsatility: pulses found by the slope sum function (Zong et al., Computers in Cardiology 2003; 30:259–262)
  and roughness. Noise alone, without pulses, is a signal without a pulse; noise on pulses is artefact. (Skewness, the
  best of eight indices in Elgendi, Bioengineering 2016; 3:21, depends on the device's high-pass filter and is not
  used.)
* ECG — amplitude, roughness and kurtosis (kSQI of Li, Mark & Clifford, Physiol Meas 2008; 29:15–32: QRS complexes
  make the distribution peaked, noise does not). Asystole and ventricular fibrillation are measurements, not artefacts.
* CVP, PAP, ICP — what a transducer can say, and the pressure bag; a line that stands still, at any level, is measured.
* EEG — offset, amplitude, slope, muscle, slow waves of eye and movement (:mod:`models.signals.eeg_artefacts`).
  Suppressed EEG is valid EEG: only samples that do not move at all, or like an amplifier's noise, are flat.

The thresholds are in one table each. All sums run over arrays of one fixed length, so results do not depend on the
history of how samples arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.blocks import median
from models.signals.eeg_artefacts import eeg_artefact
from models.signals.findings import PULSE_CHANNELS, Pulse, Rhythm
from models.signals.found_beats import FoundBeats
from models.signals.modalities import GRID_RATE_HZ, LINE_PRESSURES, MODALITIES, Modality
from models.signals.offset import REACH
from models.signals.shape import bends, kurtosis

FloatArray = npt.NDArray[np.float32]
Beats = npt.NDArray[np.float64]

LOOK_BACK_S = 10
_CELL = GRID_RATE_HZ


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cell must hold to.

    still: peak to peak below which a signal does not move (canonical unit), over ``still_s``; negative where a line
    that stands still has measured what it says. swing: largest peak to peak within one second. rough:
    largest :func:`bends` of a second as a share of the peak to peak of the last 3 s; pulses give 0.01–0.04, QRS
    complexes 0.03–0.27, shaking lines and noise 0.1–0.5. rail: least level at which a value that is held is the
    sensor's end: plateaus of gas and pressure in an airway are not.
    """

    still: float
    still_s: int
    swing: float
    rough: float
    rail: float = -np.inf


LIMITS: dict[Modality, Limits] = {
    Modality.ECG: Limits(still=0.002, still_s=3, swing=8.0, rough=0.20),
    Modality.ABP: Limits(still=0.05, still_s=2, swing=220.0, rough=0.085),
    Modality.PPG: Limits(still=0.0, still_s=2, swing=np.inf, rough=0.20),
    Modality.EEG: Limits(still=0.02, still_s=2, swing=400.0, rough=np.inf),
    Modality.RESP: Limits(still=0.0, still_s=5, swing=np.inf, rough=np.inf),
    Modality.CO2: Limits(still=0.0, still_s=10, swing=np.inf, rough=np.inf, rail=150.0),
    Modality.AWP: Limits(still=0.0, still_s=10, swing=np.inf, rough=np.inf, rail=100.0),
} | dict.fromkeys(LINE_PRESSURES, Limits(still=-1.0, still_s=2, swing=220.0, rough=np.inf))

PERIOD_S = 3  # holds a beat down to 20 beats/min (Sun 2006)

# ABP, mmHg. Sun 2006 has MAP 30–200 and a pulse pressure of 20 at least; a MAP of 18–30 needs regular pulses as proof
# before a model reads it.
OPEN_TO_AIR = 10.0
LEAST_MEAN, PROVEN_MEAN, MOST_MEAN = 18.0, 30.0, 220.0
PROOF_S, PROOF_BEATS, PROOF_IRREGULARITY = 6, 4, 0.15
LEAST_PULSE_PRESSURE = 6.0  # below, there is no pulse
ROUGH_RATE_HZ = 1.5  # the pulse rate up to which the limit of roughness holds as it is
ROUGH_SWING = 20.0  # the least pulse pressure that roughness is a share of: a still line is not rough by its noise
FLUSH_RISE = 30.0  # a still second this far above the pulses before it is the pressure bag, not the patient

FLUSHED = frozenset({Modality.CVP, Modality.PAP})  # beside the artery: lines that hang on a bag

# ECG, mV
NOISE_SWING, NOISE_KURTOSIS = 0.30, 5.0
NOISE_BENDS = 0.40  # of an ECG of 5 mV, if it is not noise; cautery gives 0.7 and more
SETTLED_S = 4  # at another level, as long as a rhythm is judged on
JUMP, JUMP_RATIO = 3.0, 4.0  # one second's swing, absolute and against the usual one

# PPG: motion makes pulses of its own. Atrial fibrillation has an irregularity of 0.15–0.3.
LEAST_PULSES = 2  # one may be the movement of a finger
MOTION_S, MOTION_BEATS, MOTION_IRREGULARITY = 5, 4, 0.32
NOISE_ROUGH = 0.25  # bends as a share of one second's swing: ambient light without a pulse

# EEG, uV: mean absolute second difference over 20 ms (muscle or cautery of about 25 uV rms in every band; clean EEG
# stays below 30)
MUSCLE = 50.0

CLIPPED_SHARE = 0.30  # of one second at the very edge of the channel's range
CLIPPED_SWING: dict[Modality, float] = {Modality.ECG: 1.0, Modality.EEG: 100.0}


def find_beats(modality: Modality, grid: FloatArray) -> Beats:
    """Positions in samples of the R peaks (ECG) or upstrokes (ABP, PPG) in ``grid``; empty for the others."""
    return FoundBeats.of(modality, grid).at


def moves(modality: Modality, grid: FloatArray) -> bool:
    """Whether the last second of ``grid`` is more than one value held."""
    cell = grid[-_CELL:]
    return float(np.fmax.reduce(cell) - np.fmin.reduce(cell)) > LIMITS[modality].still


def sure_of_beats(grid: FloatArray, beats: Beats, rhythm: Rhythm) -> bool:
    """Whether the ECG that ends ``grid`` is a heart's whatever its level: some seconds at one level that hold
    fibrillation, or beats in a signal as peaked as QRS complexes make it, and noise does not."""
    newest = grid[-SETTLED_S * _CELL :]
    if np.count_nonzero(np.isnan(newest)) > _CELL // 10:
        return False
    seconds = newest.reshape(SETTLED_S, _CELL)
    levels = np.array([median(second[np.isfinite(second)]) for second in seconds], dtype=np.float32)
    if float(np.abs(levels - levels[-1]).max()) >= REACH[Modality.ECG].lost:
        return False
    count = np.count_nonzero(beats >= len(grid) - len(newest))
    peaked = kurtosis(grid[-PERIOD_S * _CELL :]) >= NOISE_KURTOSIS
    beating = rhythm is Rhythm.BEATS and bool(count >= LEAST_PULSES) and peaked
    return rhythm is Rhythm.FIBRILLATION or beating


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one second: why it is not measured, or None; its pulse (ABP, PPG); whether a model may read it."""

    absence: Absence | None
    pulse: Pulse = Pulse.UNKNOWN
    readable: bool = False


def assess(modality: Modality, grid: FloatArray, beats: Beats) -> Verdict:
    """The verdict on the last second of ``grid``.

    grid: float32 [1000] of canonical units at 100 Hz, NaN where missing; its last second has at most 40 ms missing.
    beats: of :func:`find_beats` on the same array.
    """
    view = _View.of(modality, grid, beats)
    if modality is Modality.ABP:
        return _pressure(view)
    absence = _level(view)
    if modality is Modality.PPG:
        return Verdict(absence, _lost(absence)) if absence else _plethysmogram(view)
    if absence is None and modality in _RULES:
        absence = _RULES[modality](view)
    return Verdict(absence, readable=absence is None)


def _lost(absence: Absence) -> Pulse:
    """A pleth that does not move at all shows no pulse, whatever the cause."""
    return Pulse.NONE if absence is Absence.FLAT else Pulse.UNKNOWN


@dataclass(frozen=True)
class _View:
    """The quantities that the rules share. ``period``: the known samples of the last 3 s; ``whole``: nearly all."""

    modality: Modality
    grid: FloatArray
    beats: Beats
    cell: FloatArray
    low: float
    high: float
    period: FloatArray
    whole: bool

    @classmethod
    def of(cls, modality: Modality, grid: FloatArray, beats: Beats) -> _View:
        cell = grid[-_CELL:]
        period = grid[-PERIOD_S * _CELL :]
        known = period[np.isfinite(period)]
        whole = len(known) > 0.9 * len(period)
        low, high = float(np.fmin.reduce(cell)), float(np.fmax.reduce(cell))
        return cls(modality, grid, beats, cell, low, high, known, whole)

    @property
    def swing(self) -> float:
        return self.high - self.low

    @property
    def period_swing(self) -> float:
        return float(self.period.max() - self.period.min())

    @cached_property
    def pulsates(self) -> bool:
        """Whether the newest seconds hold a pulse. Thresholds follow the height of the last ten seconds' pulses, so
        small ones after large ones are sought a second time, among themselves; what is found there must be even, for
        noise has local peaks too."""
        if bool((self.beats >= len(self.grid) - PERIOD_S * _CELL).any()):
            return True
        newest = self.grid[-(PERIOD_S + 1) * _CELL :]
        return self.modality in PULSE_CHANNELS and _even(find_beats(self.modality, newest))


def _level(view: _View) -> Absence | None:
    """The rules that hold for every modality: range, rails, stillness, swing."""
    info, limits = MODALITIES[view.modality], LIMITS[view.modality]
    if (info.high is not None and view.high > info.high) or (info.low is not None and view.low < info.low):
        return Absence.OUT_OF_RANGE
    top, bottom = float(np.fmax.reduce(view.grid)), float(np.fmin.reduce(view.grid))
    if _electrode_off(view):
        return Absence.LEAD_OFF
    if view.swing <= limits.still and top - bottom > limits.still:
        at_bottom = view.modality in CLIPPED_SWING and view.high <= bottom + limits.still
        if view.low >= max(top - limits.still, limits.rail) or at_bottom:
            return Absence.SATURATED
    if view.swing <= limits.still:
        recent = view.grid[-limits.still_s * _CELL :]
        known = recent[np.isfinite(recent)]
        if len(known) > len(recent) - _CELL // 2 and float(known.max() - known.min()) <= limits.still:
            return Absence.FLAT
    if view.modality in CLIPPED_SWING and top - bottom > CLIPPED_SWING[view.modality]:
        edge = 0.002 * (top - bottom)
        clipped = np.count_nonzero(view.cell > top - edge) + np.count_nonzero(view.cell < bottom + edge)
        if clipped > CLIPPED_SHARE * _CELL:
            return Absence.SATURATED
    return Absence.ARTEFACT if view.swing > limits.swing else None


def _electrode_off(view: _View) -> bool:
    lost = REACH[Modality.ECG].lost
    return view.modality is Modality.ECG and (view.low >= lost or view.high <= -lost)


def _pressure(view: _View) -> Verdict:
    info = MODALITIES[Modality.ABP]
    assert info.low is not None and info.high is not None
    mean = float(np.nansum(view.cell)) / np.count_nonzero(np.isfinite(view.cell))
    still = view.swing < LEAST_PULSE_PRESSURE
    bag = _above_pulses(view)
    if still and (mean > MOST_MEAN or view.low > bag):
        return Verdict(Absence.FLUSH)
    if view.high > info.high or view.low < info.low or mean > MOST_MEAN:
        return Verdict(Absence.OUT_OF_RANGE)
    pulse_pressure = view.period_swing
    # Even pulses at a high rate bend the line more often, and are no noise.
    often = max(1.0, len(view.beats) / (LOOK_BACK_S * ROUGH_RATE_HZ)) if _regular(view) else 1.0
    rough = bends(view.cell) > LIMITS[Modality.ABP].rough * often * max(pulse_pressure, ROUGH_SWING)
    if rough and pulse_pressure < ROUGH_SWING and view.whole and not _regular(view):
        return Verdict(None, Pulse.NONE)  # a noisy line has a mean all the same
    if rough or view.swing > LIMITS[Modality.ABP].swing:
        return Verdict(Absence.ARTEFACT)
    recovering = float(view.period.max()) > bag  # a flush ends within these seconds: pulses are about to show again
    if view.whole and not recovering and (pulse_pressure < LEAST_PULSE_PRESSURE or not view.pulsates):
        return Verdict(None, Pulse.NONE)
    # At a return the second itself counts, in a long diastole the beat around it.
    mean_of_beat = max(mean, float(view.period.mean()))
    proven = mean_of_beat >= PROVEN_MEAN or _regular(view)
    pulse = Pulse.PRESENT if view.whole and proven and view.pulsates else Pulse.UNKNOWN
    return Verdict(None, pulse, readable=bool(proven and mean >= OPEN_TO_AIR and mean_of_beat >= LEAST_MEAN))


def _above_pulses(view: _View) -> float:
    """The level in mmHg from which a line shows its bag, by the pulses of the seconds before; inf without any."""
    seconds = view.grid[:-_CELL].reshape(-1, _CELL)
    tops = np.fmax.reduce(seconds, axis=1)
    tops = tops[tops - np.fmin.reduce(seconds, axis=1) >= LEAST_PULSE_PRESSURE]
    return median(tops) + FLUSH_RISE if len(tops) else np.inf


def _regular(view: _View) -> bool:
    """Whether the newest seconds hold several pulses at even distances."""
    return _even(view.beats[view.beats >= len(view.grid) - PROOF_S * _CELL])


def _even(beats: Beats) -> bool:
    if len(beats) < PROOF_BEATS:
        return False
    intervals = np.diff(beats)
    return float(intervals.std()) < PROOF_IRREGULARITY * float(intervals.mean())


def _plethysmogram(view: _View) -> Verdict:
    if bends(view.cell) > LIMITS[Modality.PPG].rough * view.period_swing:
        bare = view.whole and not view.pulsates
        return Verdict(None, Pulse.NONE) if bare else Verdict(Absence.ARTEFACT)
    usable = _lit_seconds(view)
    # One second more than a slow beat lasts: the detector finds nothing at the very edges of what it is given.
    if usable > PERIOD_S and not view.pulsates:
        return Verdict(None, Pulse.NONE)
    beats = view.beats[view.beats >= len(view.grid) - usable * _CELL]
    if len(beats) >= MOTION_BEATS:
        intervals = np.diff(beats)
        if float(intervals.std()) > MOTION_IRREGULARITY * float(intervals.mean()):
            return Verdict(Absence.ARTEFACT)
    pulse = Pulse.PRESENT if len(beats) >= LEAST_PULSES else Pulse.UNKNOWN
    return Verdict(None, pulse, readable=True)


def _lit_seconds(view: _View) -> int:
    """How many of the newest five seconds hold a signal without a break: a finger that has just come back is not
    judged by the bare light before it."""
    seconds = view.grid[-MOTION_S * _CELL :].reshape(MOTION_S, _CELL)
    swings = np.fmax.reduce(seconds, axis=1) - np.fmin.reduce(seconds, axis=1)
    bare = [bends(s) > NOISE_ROUGH * float(w) for s, w in zip(seconds, swings, strict=True)]
    missing = np.count_nonzero(np.isnan(seconds), axis=1) > _CELL // 10
    broken = np.flatnonzero(missing | np.array(bare))
    return MOTION_S - (int(broken[-1]) + 1 if len(broken) else 0)


def _electrocardiogram(view: _View) -> Absence | None:
    if view.swing > JUMP:
        blocks = view.grid[:-_CELL].reshape(-1, _CELL)
        swings = np.fmax.reduce(blocks, axis=1) - np.fmin.reduce(blocks, axis=1)
        swings = swings[np.isfinite(swings)]
        if len(swings) >= 3 and view.swing > JUMP_RATIO * median(swings):
            return Absence.ARTEFACT
    bend = bends(view.cell)
    rough = bend > LIMITS[Modality.ECG].rough * view.period_swing and view.swing > NOISE_SWING
    if (rough or bend > NOISE_BENDS) and kurtosis(view.period) < NOISE_KURTOSIS:
        return Absence.ARTEFACT
    return None


def _electroencephalogram(view: _View) -> Absence | None:
    if abs(median(view.cell[np.isfinite(view.cell)])) > REACH[Modality.EEG].lost:
        return Absence.LEAD_OFF
    return Absence.ARTEFACT if bends(view.cell) > MUSCLE else eeg_artefact(view.grid)


def _line(view: _View) -> Absence | None:
    """A line above what any patient's can reach, and still: the bag of a vascular line, the transducer of another."""
    mean = float(np.nansum(view.cell)) / np.count_nonzero(np.isfinite(view.cell))
    if mean <= MOST_MEAN:
        return None
    return Absence.FLUSH if view.swing < LEAST_PULSE_PRESSURE and view.modality in FLUSHED else Absence.OUT_OF_RANGE


_RULES: dict[Modality, Callable[[_View], Absence | None]] = {
    Modality.ECG: _electrocardiogram,
    Modality.EEG: _electroencephalogram,
    **dict.fromkeys(LINE_PRESSURES, _line),
}
