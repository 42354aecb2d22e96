"""Heart and pulse rate from trains of beats: one train a source, fed second by second, and the bedside averaging rule.

The rule (IEC 60601-2-27 asks that it be disclosed; the customary one): the mean of the last twelve RR intervals less
the largest and the smallest; if each of the last three is longer than 1200 ms, the mean of the last four. Where there
are deflections that look like no beat, a beat too few or too many is likely, and only intervals near the median of the
twelve count, if they are at least half of them. An interval never spans a gap or a stretch that was not measured, and
a number ends with the beats it came from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median, spans_gap
from models.signals.found_beats import FoundBeats
from models.signals.modalities import GRID_RATE_HZ, Modality

GUARD_S = 0.30  # a beat is believed when this much signal follows it: filters and refractory rule are settled
OVERLAP_S = 0.10  # looked back over, since a beat's position may move slightly from one block to the next
REFRACTORY_S = 0.20
SILENCE_S = 4.0  # without a beat for so long (15 beats/min) there is no rate: asystole, or lost pulses
HISTORY = 96  # beats kept: 60 s at 96 beats/min, for the respiratory modulation
INTERVALS = 12
LEAST_INTERVALS = 3
SLOW_RR_S, SLOW_INTERVALS = 1.2, 4
DOUBTFUL = 2  # deflections unlike a beat in one block; a single one may be an ectopic beat
DOUBT_S = 10
UNSTEADY, STEADY = 0.85, 0.95
NEAR_MEDIAN, LEAST_USUAL = 0.2, 0.5
RATE_RANGE = (15.0, 300.0)


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: event time, the height of its deflection (max less min around it) and its mean level, in the signal's
    unit. ``joined``: the stretch from the beat before was measured without a gap, so the interval between counts."""

    time_s: float
    height: float
    level: float
    joined: bool


class BeatTrain:
    """The beats of one source, in order, each once, although each second looks at a block that overlaps the last.

    before_s, after_s: the stretch around a beat from which its height and level are taken. Clock-free; memory bounded.
    """

    def __init__(self, before_s: float, after_s: float) -> None:
        self._before = round(before_s * GRID_RATE_HZ)
        self._after = round(after_s * GRID_RATE_HZ)
        self._beats: deque[Beat] = deque(maxlen=HISTORY)
        self._accepted_until_s = -np.inf
        self._joined = False
        self._second = 0
        self._strange_at = -np.inf

    @property
    def beats(self) -> Sequence[Beat]:
        """Those that are remembered, oldest first."""
        return self._beats

    @property
    def doubtful(self) -> bool:
        """Whether a block of the last 10 s held deflections that look like no beat: movement, cautery."""
        return self._second - self._strange_at <= DOUBT_S

    def update(self, second: int, found: FoundBeats | None) -> list[Beat]:
        """Take in the beats of the block that ends at ``second`` (its last sample lies at second − 10 ms), None where
        it is not measured; return the new ones."""
        self._second = second
        until = second - GUARD_S
        if found is None:
            self._joined = False
            self._accepted_until_s = second + OVERLAP_S
            return []
        block, positions = found.samples, found.at
        start_s = second - len(block) / GRID_RATE_HZ
        if found.strange >= DOUBTFUL:
            self._strange_at = second
        times = start_s + positions / GRID_RATE_HZ
        gaps = spans_gap(block, positions)
        new: list[Beat] = []
        for i in np.flatnonzero((times > self._accepted_until_s - OVERLAP_S) & (times <= until)).tolist():
            time_s = float(times[i])
            last = self._beats[-1].time_s if self._beats else -np.inf
            if time_s < last + REFRACTORY_S:
                continue
            # Joined if the beat before in this block is the last one kept, and nothing is missing between.
            follows = i > 0 and abs(float(times[i - 1]) - last) < OVERLAP_S and not gaps[i - 1]
            at = int(positions[i])
            around = block[max(0, at - self._before) : at + self._after + 1]
            around = around[np.isfinite(around)]
            if not len(around):
                continue
            beat = Beat(time_s, float(around.max() - around.min()), float(around.mean()), self._joined and follows)
            self._beats.append(beat)
            self._joined = True
            new.append(beat)
        self._accepted_until_s = max(self._accepted_until_s, until)
        return new

    def intervals(self, second: float, span_s: float = 30.0) -> npt.NDArray[np.float64]:
        """The unbroken RR intervals in seconds that ended within ``span_s`` before ``second``, oldest first."""
        return np.array(
            [b.time_s - a.time_s for a, b in pairwise(self._beats) if b.joined and b.time_s > second - span_s]
        )

    def rate(self, second: float) -> float | None:
        """Beats per minute by the averaging rule, None without enough beats or after ``SILENCE_S`` without one."""
        if not self._beats or second - self._beats[-1].time_s > SILENCE_S:
            return None
        return averaged_rate(self.intervals(second), self.doubtful)


def averaged_rate(intervals_s: npt.ArrayLike, doubtful: bool = False) -> float | None:
    """Rate per minute from RR intervals in seconds, oldest first; None from fewer than three. doubtful: beats may be
    missing among them, or others than beats.

    >>> averaged_rate([0.75] * 20)
    80.0
    >>> averaged_rate([0.75] * 20 + [1.5] * 4)
    40.0
    >>> averaged_rate([0.75, 0.75, 0.75, 1.5] * 3, doubtful=True)
    80.0
    """
    rr = np.asarray(intervals_s, dtype=np.float64)
    if len(rr) < LEAST_INTERVALS:
        return None
    if np.all(rr[-3:] > SLOW_RR_S):
        mean = float(np.mean(rr[-SLOW_INTERVALS:]))
    else:
        last = np.sort(rr[-INTERVALS:])
        usual = last[np.abs(last - median(last)) <= NEAR_MEDIAN * median(last)]
        if doubtful and len(last) >= INTERVALS // 2 and len(usual) >= LEAST_USUAL * len(last):
            mean = float(np.mean(usual))
        else:
            mean = float(np.mean(last[1:-1] if len(last) > 4 else last))
    rate = 60.0 / mean
    return rate if RATE_RANGE[0] <= rate <= RATE_RANGE[1] else None


def steadiness(intervals_s: npt.ArrayLike) -> float | None:
    """Share of the last twelve intervals within 20 % of their median; None from fewer than six."""
    rr = np.asarray(intervals_s, dtype=np.float64)[-INTERVALS:]
    if len(rr) < INTERVALS // 2:
        return None
    middle = median(rr)
    return float(np.mean(np.abs(rr - middle) <= NEAR_MEDIAN * middle))


def auto_rate(trains: Mapping[Modality, BeatTrain], second: float) -> tuple[float | None, Modality | None]:
    """The rate of the first source that has one, in the order ECG, ABP, PPG, and that source.

    One exception, as in Li, Mark & Clifford (Physiol Meas 2008; 29:15–32): an ECG that holds deflections unlike a beat
    and whose intervals are unsteady gives way to a steady pulse. An arrhythmia without such deflections does not.
    """
    rates = [
        (rate, source)
        for source in (Modality.ECG, Modality.ABP, Modality.PPG)
        if source in trains and (rate := trains[source].rate(second)) is not None
    ]
    if not rates:
        return None, None
    first = rates[0][1]
    if trains[first].doubtful:
        own = steadiness(trains[first].intervals(second))
        if own is None or own < UNSTEADY:
            for rate, source in rates[1:]:
                if (steadiness(trains[source].intervals(second)) or 0.0) >= STEADY:
                    return rate, source
    return rates[0]
