"""Heart beats in blocks of ECG, arterial pressure and plethysmogram: pure numpy, deterministic, under a millisecond.

All detectors take one block of samples (in practice the last 8–12 s, but any length works), NaN where missing, and
return fractional sample positions. Thresholds are local (neighbouring 2.5-s stretches), so a block may hold a change
of amplitude. Nothing is found within a gap longer than 50 ms or beside one; whether an interval *between* two beats
spans a gap is for the caller to check (:func:`models.signals.blocks.spans_gap`).

Sources. QRS: the energy of a band-passed signal against adaptive thresholds and a refractory period with the T-wave
rule of Pan & Tompkins (IEEE Trans Biomed Eng 1985; 32:230–236); with a band at or above the 8–20 Hz of Elgendi
et al. (PLoS ONE 2013; 8:e73557). Pulse: slope sum function of Zong, Heldt, Moody & Mark (Computers in Cardiology
2003; 30:259–262). Pressure artefacts: Sun, Reisner & Mark (Computers in Cardiology 2006; 33:13–16).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.signals.blocks import bridged, filtered, local_level, maxima, median, parabola, regular, strongest_apart
from models.signals.pacing import SURELY_SHARP, SURELY_TALL_MV, belong_together, pacer_spikes, without_spikes

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
PulseKind = Literal["ABP", "PPG"]

# --- ECG
QRS_NARROW_S, QRS_WIDE_S = 0.008, 0.016  # difference of Gaussians: about 11–27 Hz (-3 dB), T waves 14 dB down
QRS_ENERGY_S = 0.025
QRS_REFRACTORY_S = 0.20  # Pan & Tompkins 1985
T_WAVE_S, T_WAVE_RATIO, T_WAVE_SHARPNESS = (
    0.36,
    0.5,
    0.4,
)  # within 360 ms a deflection under half of the last QRS is a T wave
QRS_RELATIVE = 0.28  # of the local level
QRS_FLOOR_MV = 0.012  # band-passed; an R wave of 0.1 mV gives about 0.02
QRS_CREST = 6.0  # level over median |band-passed|: QRS 10–30, Gaussian noise 4.3, a sine 1.4
# Below QRS_CREST (broad QRS at a high rate, noise) only a regular rhythm counts, below the next one nothing.
QRS_LEAST_CREST, QRS_IRREGULAR = 2.2, 0.08

SHAPE_S, ALIKE = 0.08, 0.75  # half-width of the compared band-passed complex, least correlation of two of a class
LEAST_ALIKE, LEAST_SHARE_ALIKE = 3, 0.4

# --- complexes of any shape
BROAD_NARROW_S, BROAD_WIDE_S = 0.012, 0.045  # difference of Gaussians: about 3–15 Hz
BROAD_ENERGY_S = 0.030
BROAD_RELATIVE, BROAD_REFRACTORY_S, BROAD_FLOOR_MV = 0.35, 0.22, 0.03
# To be beats, where there are no narrow ones: height over the median strength (noise, a sine, T waves and compressions
# 1–3.5), and the share that is of one heart.
BROAD_CREST, BROAD_SHARE_ALIKE = 4.0, 0.8

# --- pulses
PULSE_RISE_S = 0.128  # window of the slope sum function, Zong 2003
PULSE_REFRACTORY_S = 0.24
PULSE_RELATIVE = 0.40
PULSE_RISE_MMHG = 3.0  # smallest rise taken for a pulse of pressure
# PPG: slope sum of a pulse over the mean one: 8 at 60/min, 2.8 at 180/min; noise 2.3, a random walk 3.4.
PULSE_CREST, PULSE_IRREGULAR = 3.5, 0.12  # below, only a regular rhythm counts
PULSE_LEAST_CREST = 1.7

# --- pressure limits. Sun 2006 gives dia < 20, MAP < 30 or > 200, PP < 20, HR > 200, changes > 20 mmHg from one beat
# to the next; the lower ones are widened, since shock (MAP 25, PP 10) is what a monitor is there to show.
SYS_RANGE = (20.0, 300.0)
DIA_RANGE = (10.0, 200.0)
MAP_RANGE = (18.0, 220.0)
LEAST_PULSE_PRESSURE = 6.0
PERIOD_RANGE_S = (0.26, 3.0)
LARGEST_CHANGE_MMHG = 40.0  # of sys or dia against the median of the neighbouring beats
STEEPEST_FALL_MMHG_S = 1200.0  # a flush ends in a fall of thousands; a pulse falls by hundreds


@dataclass(frozen=True, slots=True)
class PressureBeats:
    """Beats of an arterial pressure block, one element a beat.

    onset, next_onset, sys_position: positions in samples (float64). sys, dia, map: mmHg; ``map`` is the mean between
    the two onsets. valid: False where the beat breaks a limit of Sun 2006 or its interval holds a gap.
    """

    onset: Floats
    next_onset: Floats
    sys_position: Floats
    sys: Floats
    dia: Floats
    map: Floats
    valid: Bools

    def __len__(self) -> int:
        return len(self.onset)


class EcgBlock:
    """A block of ECG made ready for :func:`qrs_complexes` and :func:`complexes`, once for both.

    x: [n] in mV, NaN where missing. known: False where less than half a second of it is there.
    """

    def __init__(self, x: npt.ArrayLike, rate_hz: float = 100) -> None:
        self.samples = np.asarray(x)
        values, self.bad = bridged(x, rate_hz)
        self.rate_hz, self.known = rate_hz, values is not None
        self.values: Floats = np.empty(0) if values is None else values
        self.band: Floats = np.empty(0) if values is None else filtered(values, _qrs_kernel(rate_hz))
        """At 11–27 Hz, in which a narrow complex stands out."""
        self.strength = np.abs(self.band)
        self.strength[self.bad[: len(self.band)]] = 0.0
        self.clean = _without_spikes(self.values, self.strength, self.bad, rate_hz) if self.known else None
        """Without the spikes of a pacer; None where what is sharp is not known to be one."""


def r_peaks(x: npt.ArrayLike | EcgBlock, rate_hz: float = 100) -> Floats:
    """Positions of the QRS complexes, in fractional samples: the middle of their energy, which is the R peak of a
    complex that is mostly R (or mostly S), whichever its polarity.

    x: [n] ECG in mV, NaN where missing. Works from 0.1 to 5 mV and 25 to 220 beats/min; empty when there is no QRS
    (asystole, noise alone, less than 0.5 s of signal) or no two complexes look alike.
    """
    return qrs_complexes(x, rate_hz)[0]


def qrs_complexes(x: npt.ArrayLike | EcgBlock, rate_hz: float = 100) -> tuple[Floats, int]:
    """As :func:`r_peaks`, and the number of complexes that resemble no other: movement, cautery or a lone ectopic.

    Where no narrow complexes are found, and in a paced heart's ECG, once its spikes are out, they are sought as broad
    ones, which hold little of the band in which a narrow one stands out.
    """
    ecg = x if isinstance(x, EcgBlock) else EcgBlock(x, rate_hz)
    if not ecg.known:
        return np.empty(0), 0
    if ecg.clean is not None:
        found, _ = _of_any_shape(ecg.clean, ecg.bad, ecg.rate_hz)
        keep, strange = _of_one_heart(filtered(ecg.clean, _broad_kernel(ecg.rate_hz)), found, ecg.rate_hz)
        return found[keep], strange
    found, strange = _narrow(ecg.values, ecg.band, ecg.strength, ecg.bad, ecg.rate_hz)
    return (found, strange) if len(found) else _broad(ecg.values, ecg.bad, ecg.rate_hz)


def complexes(x: npt.ArrayLike | EcgBlock, rate_hz: float = 100, least_mv: float = 0.0) -> tuple[Floats, Floats]:
    """Ventricular complexes of any shape, and whatever else looks like one: positions in fractional samples, and
    heights (root of the energy at 3–15 Hz, in which a broad complex is as strong as a narrow one; mV).

    Where :func:`r_peaks` counts only what it believes to be one heart's beats, this leaves nothing out that could be
    one: for rules that ask whether there was *any* complex, or of what shape. least_mv: height below which there is
    none, e.g. a share of this patient's usual one, for after the last beat noise is the strongest that there is.
    """
    ecg = x if isinstance(x, EcgBlock) else EcgBlock(x, rate_hz)
    if not ecg.known:
        return np.empty(0), np.empty(0)
    return _of_any_shape(ecg.values if ecg.clean is None else ecg.clean, ecg.bad, ecg.rate_hz, least_mv)


def without_pacing(x: npt.ArrayLike | EcgBlock, rate_hz: float = 100) -> npt.NDArray[np.floating]:
    """The ECG [n] in mV without its pacer spikes, NaN where missing; ``x`` itself where there are none."""
    ecg = x if isinstance(x, EcgBlock) else EcgBlock(x, rate_hz)
    samples: npt.NDArray[np.floating] = ecg.samples
    return samples if ecg.clean is None else np.where(np.isfinite(samples), ecg.clean, np.nan).astype(samples.dtype)


def upstrokes(x: npt.ArrayLike, rate_hz: float = 100, kind: PulseKind = "ABP") -> Floats:
    """Positions of the steepest rise of each pulse, in fractional samples.

    x: [n] pressure in mmHg (``kind="ABP"``) or plethysmogram in any unit (``"PPG"``), NaN where missing. Empty where
    nothing pulsates.
    """
    values, bad = bridged(x, rate_hz)
    if values is None:
        return np.empty(0)
    slope = filtered(values, _slope_kernel(rate_hz))
    slope[bad] = 0.0
    rise = np.maximum(slope, 0.0)
    width = max(3, round(PULSE_RISE_S * rate_hz) | 1)
    risen = np.convolve(rise, np.ones(width), "same")[: len(rise)]  # height climbed within 128 ms
    candidates = maxima(slope)
    candidates = candidates[slope[candidates] > 0]
    if not len(candidates):
        return np.empty(0)
    height = risen[candidates]
    background = float(np.mean(risen[~bad]))
    level = local_level(risen, rate_hz)[candidates]
    keep = height > PULSE_RELATIVE * level
    if kind == "ABP":
        keep &= height > PULSE_RISE_MMHG
    else:
        keep &= level > PULSE_LEAST_CREST * background
    candidates = candidates[keep]
    # Rank by slope and height together: the height alone is flat over the window and would move the fiducial.
    chosen = strongest_apart(candidates, slope[candidates] * risen[candidates], PULSE_REFRACTORY_S * rate_hz)
    candidates = candidates[chosen]
    if kind == "PPG" and median(level) < PULSE_CREST * background and not regular(candidates, PULSE_IRREGULAR):
        return np.empty(0)
    return parabola(slope, candidates)


def abp_beats(x: npt.ArrayLike, rate_hz: float = 100, steep: Floats | None = None) -> PressureBeats:
    """Complete beats of an arterial pressure block, x: [n] in mmHg, NaN where missing. steep: its :func:`upstrokes`,
    where they are known.

    A beat runs from its onset (foot) to the next one; the last pulse of the block, whose end is not seen yet, is left
    out, and so is a beat that spans a gap longer than 50 ms.
    """
    pressure = np.asarray(x, dtype=np.float64)
    if steep is None:
        steep = upstrokes(pressure, rate_hz, "ABP")
    if len(steep) < 2:
        empty = np.empty(0)
        return PressureBeats(empty, empty, empty, empty, empty, empty, np.empty(0, dtype=bool))
    smooth, bad = bridged(pressure, rate_hz)
    assert smooth is not None  # upstrokes were found in it
    feet = _feet(smooth, steep, rate_hz)
    begin, end = feet[:-1], feet[1:]
    reach = round(0.45 * rate_hz)
    sys_at = np.empty(len(begin), dtype=np.intp)
    for i, (a, b) in enumerate(zip(np.floor(steep[:-1]).astype(int), end, strict=True)):
        sys_at[i] = a + int(np.argmax(smooth[a : max(a + 1, min(b, a + reach))]))
    total = np.concatenate(([0.0], np.cumsum(0.5 * (smooth[1:] + smooth[:-1]))))
    fall = np.diff(smooth, append=smooth[-1]) * rate_hz
    steepest_fall = np.array([-fall[a:b].min() for a, b in zip(begin, end, strict=True)])
    gaps = np.concatenate(([0], np.cumsum(bad)))
    whole = gaps[end] == gaps[begin]
    high, low = smooth[sys_at], smooth[begin]
    mean = (total[end] - total[begin]) / (end - begin)
    valid = whole & _plausible(high, low, mean, (end - begin) / rate_hz) & (steepest_fall < STEEPEST_FALL_MMHG_S)
    return PressureBeats(
        begin.astype(float), end.astype(float), sys_at.astype(float), high, low, mean, valid & _steady(high, low)
    )


# ---------------------------------------------------------------------------------------------------- building blocks


def _narrow(values: Floats, band: Floats, strength: Floats, bad: Bools, rate_hz: float) -> tuple[Floats, int]:
    """The complexes that stand out at 11–27 Hz, and how many resemble no other."""
    candidates = maxima(strength)
    candidates = candidates[strength[candidates] > QRS_FLOOR_MV]
    if not len(candidates):
        return np.empty(0), 0
    level = local_level(strength, rate_hz)[candidates]
    height = strength[candidates]
    background = median(strength[~bad])
    keep = (height > QRS_RELATIVE * level) & (level > QRS_LEAST_CREST * background)
    candidates, height = candidates[keep], height[keep]
    chosen = strongest_apart(candidates, height, QRS_REFRACTORY_S * rate_hz)
    candidates, height = candidates[chosen], height[chosen]
    candidates = candidates[_not_t_waves(values, candidates, height, rate_hz)]
    if not len(candidates):
        return np.empty(0), 0
    if median(level) < QRS_CREST * background and not regular(candidates, QRS_IRREGULAR):
        return np.empty(0), 0
    # The fiducial is the middle of the QRS energy: it does not jump from R to S when noise makes one the larger.
    energy = filtered(band * band, _energy_kernel(rate_hz, QRS_ENERGY_S))
    peaks = _extreme_near(energy, candidates, round(0.04 * rate_hz))
    inside = (peaks > 0) & (peaks < len(band) - 1)
    found = _distinct(parabola(energy, peaks[inside]), QRS_REFRACTORY_S * rate_hz)
    keep, strange = _of_one_heart(band, found, rate_hz)
    return found[keep], strange


def _broad(values: Floats, bad: Bools, rate_hz: float) -> tuple[Floats, int]:
    """The complexes that stand out at 3–15 Hz where nearly all of them are alike, and how many resemble no other."""
    found, height = _of_any_shape(values, bad, rate_hz)
    strength = _broad_strength(values, bad, rate_hz)
    if len(found) <= LEAST_ALIKE or median(height) < BROAD_CREST * median(strength[~bad]):
        return np.empty(0), 0
    keep, strange = _of_one_heart(filtered(values, _broad_kernel(rate_hz)), found, rate_hz)
    return (found[keep], strange) if np.count_nonzero(keep) >= BROAD_SHARE_ALIKE * len(found) else (np.empty(0), 0)


def _without_spikes(values: Floats, strength: Floats, bad: Bools, rate_hz: float) -> Floats | None:
    """``values`` without the spikes of a pacer; None where what is sharp is not known to be one.

    A narrow QRS may be nearly as sharp. So either complexes remain that the spikes belong to, or nothing remains at
    all: a pacer without capture.
    """
    spikes, sharpness, bend = pacer_spikes(values, strength, rate_hz)
    if not len(spikes):
        return None
    clean = without_spikes(values, spikes, rate_hz)
    found, heights = _of_any_shape(clean, bad, rate_hz)
    if not len(found):
        sure = median(sharpness) > SURELY_SHARP and median(bend) > SURELY_TALL_MV
        return clean if sure else None
    of_spikes = _broad_strength(values, bad, rate_hz)[spikes]
    return clean if belong_together(spikes, of_spikes, found, heights, rate_hz) else None


def _broad_strength(values: Floats, bad: Bools, rate_hz: float) -> Floats:
    """Root of the energy at 3–15 Hz."""
    band = filtered(values, _broad_kernel(rate_hz))
    band[bad] = 0.0
    return np.sqrt(np.maximum(filtered(band * band, _energy_kernel(rate_hz, BROAD_ENERGY_S)), 0.0))


def _of_any_shape(values: Floats, bad: Bools, rate_hz: float, least_mv: float = 0.0) -> tuple[Floats, Floats]:
    strength = _broad_strength(values, bad, rate_hz)
    candidates = maxima(strength)
    candidates = candidates[strength[candidates] > max(BROAD_FLOOR_MV, least_mv)]
    if not len(candidates):
        return np.empty(0), np.empty(0)
    candidates = candidates[strength[candidates] > BROAD_RELATIVE * local_level(strength, rate_hz)[candidates]]
    candidates = candidates[strongest_apart(candidates, strength[candidates], BROAD_REFRACTORY_S * rate_hz)]
    candidates = candidates[_not_t_waves(values, candidates, strength[candidates], rate_hz)]
    return parabola(strength, candidates), strength[candidates]


@lru_cache(maxsize=16)
def _qrs_kernel(rate_hz: float) -> Floats:
    reach = int(np.ceil(4 * QRS_WIDE_S * rate_hz))
    t = np.arange(-reach, reach + 1) / rate_hz
    narrow, wide = np.exp(-0.5 * (t / QRS_NARROW_S) ** 2), np.exp(-0.5 * (t / QRS_WIDE_S) ** 2)
    kernel: Floats = narrow / narrow.sum() - wide / wide.sum()
    return kernel


@lru_cache(maxsize=16)
def _broad_kernel(rate_hz: float) -> Floats:
    reach = int(np.ceil(4 * BROAD_WIDE_S * rate_hz))
    t = np.arange(-reach, reach + 1) / rate_hz
    narrow, wide = np.exp(-0.5 * (t / BROAD_NARROW_S) ** 2), np.exp(-0.5 * (t / BROAD_WIDE_S) ** 2)
    kernel: Floats = narrow / narrow.sum() - wide / wide.sum()
    return kernel


@lru_cache(maxsize=16)
def _energy_kernel(rate_hz: float, width_s: float) -> Floats:
    """Gaussian: one hump for a whole complex."""
    reach = int(np.ceil(4 * width_s * rate_hz))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (width_s * rate_hz)) ** 2)
    unit: Floats = kernel / kernel.sum()
    return unit


@lru_cache(maxsize=16)
def _slope_kernel(rate_hz: float) -> Floats:
    """Derivative of a Gaussian of 18 ms, in units per sample (differentiates up to about 9 Hz)."""
    width = 0.018 * rate_hz
    reach = int(np.ceil(4 * width))
    t = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = t * np.exp(-0.5 * (t / width) ** 2)
    return kernel / float(np.sum(kernel * t))


def _not_t_waves(values: Floats, positions: npt.NDArray[np.intp], height: Floats, rate_hz: float) -> Bools:
    """Pan & Tompkins' rule: close behind a QRS, a deflection less than half as strong is its T wave; so is one close
    behind or before a far sharper one, however tall it is."""
    step = max(1, round(0.01 * rate_hz))
    bend = np.zeros(len(values))
    bend[step:-step] = np.abs(values[2 * step :] - 2 * values[step:-step] + values[: -2 * step])
    sharpness = bend[_extreme_near(bend, positions, round(0.04 * rate_hz))]
    close = np.diff(positions) < T_WAVE_S * rate_hz
    keep = np.ones(len(positions), dtype=bool)
    keep[1:] &= ~(close & (sharpness[1:] < T_WAVE_SHARPNESS * sharpness[:-1]))
    keep[:-1] &= ~(close & (sharpness[:-1] < T_WAVE_SHARPNESS * sharpness[1:]))
    last = -1
    for i in np.flatnonzero(keep).tolist():
        if last >= 0 and positions[i] - positions[last] < T_WAVE_S * rate_hz:
            keep[i] = height[i] >= T_WAVE_RATIO * height[last]
        if keep[i]:
            last = i
    return keep


def _of_one_heart(band: Floats, found: Floats, rate_hz: float) -> tuple[Bools, int]:
    """Which complexes are beats and which are movement or cautery among them, for beats look alike; and how many
    resemble no other.

    The largest class of similar complexes is the rhythm. A complex that resembles no other is kept where it may be an
    ectopic beat, i.e. unless the rhythm runs on through it as if it were not there, or its neighbours are too many.
    """
    keep = np.ones(len(found), dtype=bool)
    if len(found) < LEAST_ALIKE:
        return keep, 0
    reach = round(SHAPE_S * rate_hz)
    index = np.clip(np.round(found).astype(int)[:, None] + np.arange(-reach, reach + 1), 0, len(band) - 1)
    shape = band[index]
    shape = shape - shape.mean(axis=1, keepdims=True)
    shape /= np.maximum(np.sqrt((shape * shape).sum(axis=1, keepdims=True)), 1e-9)
    alike = (shape[:, None, :] * shape[None, :, :]).sum(axis=2) > ALIKE  # sums, not BLAS: the same on every machine
    count = alike.sum(axis=1)
    rhythm = alike[int(np.argmax(count))]
    members = np.flatnonzero(rhythm)
    if len(members) < LEAST_ALIKE or len(members) < LEAST_SHARE_ALIKE * len(found):
        return (np.zeros(len(found), dtype=bool) if len(found) > LEAST_ALIKE + 1 else keep), len(found)
    usual = median(np.diff(found[members]))
    for a, b in zip(members[:-1].tolist(), members[1:].tolist(), strict=True):
        room = round((found[b] - found[a]) / usual) - 1  # beats that have room in between
        strange = [i for i in range(a + 1, b) if count[i] <= 1 or room < 1]
        if len(strange) > max(room, 0):
            keep[strange] = False
    return keep, int(np.count_nonzero(count <= 1))


def _extreme_near(x: Floats, positions: npt.NDArray[np.intp], reach: int) -> npt.NDArray[np.intp]:
    """The index of the largest value within ``reach`` samples of each position."""
    index = np.clip(positions[:, None] + np.arange(-reach, reach + 1), 0, len(x) - 1)
    largest: npt.NDArray[np.intp] = index[np.arange(len(positions)), np.argmax(x[index], axis=1)]
    return largest


def _distinct(positions: Floats, least: float) -> Floats:
    """Positions without those that a refinement brought onto their neighbour."""
    if len(positions) < 2:
        return positions
    return positions[np.concatenate(([True], np.diff(positions) > 0.5 * least))]


def _feet(pressure: Floats, steep: Floats, rate_hz: float) -> npt.NDArray[np.intp]:
    """The lowest sample between the last pulse's peak and each steepest rise, at most 300 ms before the rise."""
    reach = round(0.30 * rate_hz)
    feet = np.empty(len(steep), dtype=np.intp)
    last = 0
    for i, at in enumerate(np.ceil(steep).astype(int).tolist()):
        a = max(0, at - reach, last)
        stretch = pressure[a : at + 1]
        # The last of equal minima: a clipped or flat diastole ends where the rise begins.
        feet[i] = a + len(stretch) - 1 - int(np.argmin(stretch[::-1]))
        last = at
    return feet


def _plausible(high: Floats, low: Floats, mean: Floats, period_s: Floats) -> Bools:
    def within(v: Floats, limits: tuple[float, float]) -> Bools:
        return (v >= limits[0]) & (v <= limits[1])

    return (
        within(high, SYS_RANGE)
        & within(low, DIA_RANGE)
        & within(mean, MAP_RANGE)
        & (high - low >= LEAST_PULSE_PRESSURE)
        & within(period_s, PERIOD_RANGE_S)
    )


def _steady(high: Floats, low: Floats) -> Bools:
    """Beats whose sys and dia lie near the median of the block's neighbouring beats (Sun's beat-to-beat rule; against
    the median rather than the last beat, so that one artefact does not take its neighbour with it)."""
    if len(high) < 3:
        return np.ones(len(high), dtype=bool)
    steady = np.ones(len(high), dtype=bool)
    for v in (high, low):
        padded = np.pad(v, 3, mode="reflect" if len(v) > 3 else "edge")
        middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 7), axis=1)
        steady &= np.abs(v - middle) <= LARGEST_CHANGE_MMHG
    return steady
