"""Systolic, diastolic and mean arterial pressure, beat by beat, averaged as a bedside monitor shows them.

The average is over the last twelve valid beats, at most 12 s of them. Against a Philips IntelliVue's own numerics
over an operation, longer averages agree a little better (20 beats: 98 % of mean pressures within 0.7 mmHg, twelve
0.8, four 1.0) but show a fall later; see ``tests/streams/test_vitals_recordings.py``.

A measured pressure without a pulse, or without a beat that passes for one, has a mean all the same, down to 0 and
below: that is what an arrest, an open line or a clamp looks like, and nobody must have to guess it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.beats import abp_beats
from models.signals.found_beats import FoundBeats
from models.signals.modalities import GRID_RATE_HZ

SPAN_S = 12.0
BEATS = 12
SILENCE_S = 5.0  # without a valid beat for so long there is no pressure to show
GUARD_S = 0.30  # as for the heart rate: the foot that ends a beat is settled when this much signal follows
LEAST_BEATS = 2
MEAN_S = 3.0  # of pressure that a mean without beats is taken over: a whole beat of 20/min
LEAST_KNOWN = 0.9  # of these seconds
LEAST_VALID = 0.5  # of the beats of the last 12 s; fewer valid ones mean an artefact, not a pressure


@dataclass(frozen=True, slots=True)
class Pressures:
    """mmHg; ``sys`` and ``dia`` are None without a pulse."""

    sys: float | None
    dia: float | None
    mean: float


@dataclass(frozen=True, slots=True)
class _BeatPressure:
    end_s: float
    sys: float
    dia: float
    mean: float
    valid: bool


class PressureTrain:
    """Pressures of each complete beat, taken in once; clock-free, memory bounded."""

    def __init__(self) -> None:
        self._beats: deque[_BeatPressure] = deque(maxlen=4 * BEATS)
        self._accepted_until_s = -np.inf
        self._unmeasured_until_s = self._pulseless_until_s = -np.inf

    def update(
        self,
        second: int,
        block: npt.NDArray[np.float32],
        measured: bool,
        pulseless: bool = False,
        found: FoundBeats | None = None,
    ) -> Pressures | None:
        """Take in the block that ends at ``second``; return the averaged pressures, None where there are none. found:
        the upstrokes of this block, where they are known."""
        until = second - GUARD_S
        if not measured or pulseless:
            # What was read before a disconnection, flush, drop or arrest is no longer the patient's pressure.
            self._beats.clear()
            self._accepted_until_s = self._pulseless_until_s = float(second)
            if not measured:
                self._unmeasured_until_s = float(second)
            return self._mean_alone(second, block) if measured else None
        start_s = second - len(block) / GRID_RATE_HZ
        beats = abp_beats(block, steep=None if found is None else found.at)
        ends = start_s + beats.next_onset / GRID_RATE_HZ
        begins = start_s + beats.onset / GRID_RATE_HZ
        for i in np.flatnonzero((ends > self._accepted_until_s) & (ends <= until)).tolist():
            if begins[i] < max(self._unmeasured_until_s, self._pulseless_until_s):
                continue
            if self._beats and begins[i] < self._beats[-1].end_s - 0.1:
                continue  # its foot moved over the edge of the last block: already counted
            self._beats.append(
                _BeatPressure(
                    float(ends[i]), float(beats.sys[i]), float(beats.dia[i]), float(beats.map[i]), bool(beats.valid[i])
                )
            )
        self._accepted_until_s = max(self._accepted_until_s, until)
        averaged = self._averaged(second)
        if averaged is None and second - max(self._unmeasured_until_s, start_s) >= SILENCE_S:
            return self._mean_alone(second, block)
        return averaged

    def _mean_alone(self, second: int, block: npt.NDArray[np.float32]) -> Pressures | None:
        """The mean of the last seconds, of none in which the line was not measured (a flush is no pressure)."""
        span = round(min(MEAN_S, second - self._unmeasured_until_s) * GRID_RATE_HZ)
        newest = block[-span:]
        known = newest[np.isfinite(newest)].astype(np.float64)
        if len(known) < LEAST_KNOWN * span:
            return None
        return Pressures(None, None, float(known.mean()))

    def _averaged(self, second: int) -> Pressures | None:
        recent = [b for b in self._beats if b.end_s > second - GUARD_S - SPAN_S][-BEATS:]
        valid = [b for b in recent if b.valid]
        if len(valid) < LEAST_BEATS or len(valid) < LEAST_VALID * len(recent) or second - valid[-1].end_s > SILENCE_S:
            return None
        n = len(valid)
        return Pressures(sum(b.sys for b in valid) / n, sum(b.dia for b in valid) / n, sum(b.mean for b in valid) / n)
