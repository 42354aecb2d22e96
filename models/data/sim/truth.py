"""What really happened to a simulated patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.sim.crises import HeartRhythm, Phase
from models.data.sim.faults import Fault
from models.data.sim.noise import Float64Array
from models.data.sim.subject import Device

HYPOTENSION_MMHG = 65.0
HYPOTENSION_S = 60.0


@dataclass(frozen=True, slots=True)
class RhythmSpan:
    """What the heart does over [start_s, end_s): its rhythm, and whether it ejects.

    Times are the recording's, to 10 ms. The last beat before a start may still be under way: its pulse reaches the
    sensors up to half a second later.
    """

    start_s: float
    end_s: float
    rhythm: HeartRhythm
    pulse: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """The whole recording's truth. Times are seconds in the time of the channel in which the thing is seen.

    Beats: ``r_s`` R peaks in ECG; ``abp_upstroke_s``, ``ppg_upstroke_s`` the steepest point of each pulse. With the
    channels coupled the three arrays have one entry a beat and belong together; uncoupled they are independent.
    Pressure: one entry a pulse, from ``abp_onset_s`` to the next onset, in mmHg *in the artery*; the transducer shows
    ``abp_offset_mmhg`` more.
    Per second (index = whole second): ``hr_bpm``, ``depth`` (100 awake … 0 isoelectric), ``propofol_ug_ml`` at the
    effect site of the brain, ``suppression_percent`` (expected share of suppressed EEG), ``resp_rate_min``.
    Hypotension: ``[onset, end)`` of mean pressure below 65 mmHg for at least 60 s.
    Rhythms: spans without gaps over the whole recording; lone ectopic beats do not end one. Without a pulse the heart
    of a crisis may go on (``r_s``) while the upstrokes cease, and pressures have an entry about every second.
    """

    r_s: Float64Array
    abp_upstroke_s: Float64Array
    ppg_upstroke_s: Float64Array
    abp_onset_s: Float64Array
    map_mmhg: Float64Array
    sbp_mmhg: Float64Array
    dbp_mmhg: Float64Array
    abp_offset_mmhg: float
    hr_bpm: Float64Array
    depth: Float64Array
    propofol_ug_ml: Float64Array
    suppression_percent: Float64Array
    resp_rate_min: Float64Array
    hypotension: tuple[tuple[float, float], ...]
    rhythms: tuple[RhythmSpan, ...]
    treatments: tuple[tuple[float, str], ...]
    faults: tuple[Fault, ...]
    device: Device


def rhythm_spans(phases: tuple[Phase, ...], end_s: float) -> tuple[RhythmSpan, ...]:
    """Spans over [0, end_s): sinus rhythm with a pulse up to the first phase, then one a phase."""
    starts = [(0.0, HeartRhythm.SINUS, True)] + [(p.start_s, p.rhythm, p.pulse) for p in phases]
    ends = [start for start, _, _ in starts[1:]] + [end_s]
    return tuple(
        RhythmSpan(start, min(end, end_s), rhythm, pulse)
        for (start, rhythm, pulse), end in zip(starts, ends, strict=True)
        if start < end_s
    )


def find_hypotension(
    onset_s: Float64Array,
    map_mmhg: Float64Array,
    threshold_mmhg: float = HYPOTENSION_MMHG,
    least_s: float = HYPOTENSION_S,
) -> tuple[tuple[float, float], ...]:
    """Stretches ``[onset, end)`` in which every beat's mean pressure is below the threshold for ``least_s`` or more.

    onset_s: float64 [n + 1], onsets of n beats and the end of the last. map_mmhg: float64 [n], finite.
    Beats are averaged over 5 first, so that one beat at the threshold does not cut an event in two.
    """
    if map_mmhg.size == 0:
        return ()
    low = running_mean(map_mmhg, 5) < threshold_mmhg
    change = np.diff(np.concatenate([[0], low.astype(np.int8), [0]]))
    starts, ends = onset_s[np.flatnonzero(change == 1)], onset_s[np.flatnonzero(change == -1)]
    return tuple((float(a), float(b)) for a, b in zip(starts, ends, strict=True) if b - a >= least_s)


def running_mean(values: Float64Array, width: int) -> Float64Array:
    """Centred mean over ``width`` (odd) neighbours, fewer at the ends; same length."""
    kernel = np.ones(min(width, values.size))
    return np.convolve(values, kernel, mode="same") / np.convolve(np.ones(values.size), kernel, mode="same")
