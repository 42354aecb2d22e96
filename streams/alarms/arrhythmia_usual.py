"""What is usual for this heart: its complex and its pulse, against which a fast run of beats is judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.signals.modalities import GRID_RATE_HZ, Modality
from streams.alarms.arrhythmia_pulse import EDGE_S, NEAR, STEADY, Channels, pulse_rates
from streams.alarms.arrhythmia_ventricular import SLOWER, Run, UsualComplex

Floats = npt.NDArray[np.float64]

USUAL_S = 60  # from which the usual complex is learnt
RUN_REACH_S = 6.0  # before the second of a call, in which its complexes lie
USUAL_KEPT_S = 300  # what was usual before the runs
STEADY_S = 5.0  # of pulses


@dataclass(frozen=True, slots=True)
class UsualState:
    """All that a :class:`UsualMemory` knows. called: the newest seconds in which a run was called, in order. shape: the
    usual complex, learnt last at ``learnt_at``. pulse: by channel, when its rate (/min) was last steady, and the
    rate."""

    called: tuple[int, ...] = ()
    shape: UsualComplex | None = None
    learnt_at: int = 0
    pulse: Mapping[Modality, tuple[int, float]] = field(default_factory=dict)


class UsualMemory:
    """Complex and pulse rates of this heart outside of the runs that are called: nothing is learnt from those, and what
    was usual before is kept while they last."""

    def __init__(self) -> None:
        self._called: deque[int] = deque(maxlen=USUAL_S)
        self._complex: UsualComplex | None = None
        self._learnt_at = 0
        self._pulse: dict[Modality, tuple[int, float]] = {}

    def export(self) -> UsualState:
        """What is known now."""
        return UsualState(tuple(self._called), self._complex, self._learnt_at, dict(self._pulse))

    def restore(self, state: UsualState) -> None:
        """Know from now on what ``state`` says."""
        self._called = deque(state.called, maxlen=USUAL_S)
        self._complex, self._learnt_at, self._pulse = state.shape, state.learnt_at, dict(state.pulse)

    def complex_at(self, second: int, ecg: npt.NDArray[np.float32], at: Floats, height: Floats) -> UsualComplex | None:
        """Of the last minute without what was called there; where nothing is left of it, the one known before. ecg, at,
        height: as of :func:`streams.alarms.arrhythmia_ventricular.fast_runs`."""
        ago_s = (len(ecg) - at) / GRID_RATE_HZ
        called_s = second - np.array(self._called, dtype=np.float64)[:, None]
        apart = np.any((ago_s >= called_s) & (ago_s < called_s + RUN_REACH_S), axis=0)
        learnt = UsualComplex.of(ecg, at, height, apart)
        if learnt is None and second - self._learnt_at > USUAL_KEPT_S:  # what is called is the rule by now
            self._called.clear()
            learnt = UsualComplex.of(ecg, at, height)
        if learnt is not None:
            self._complex, self._learnt_at = learnt, second
        return self._complex

    def steady_pulses(self, second: int, channels: Channels, run: Run) -> dict[Modality, float]:
        """Channels that pulsed on through the run as before it, slower than it, as if it were not there; a pulse at
        another rate than before may be every second beat of a fast one."""
        pulses = pulse_rates(channels, max(STEADY_S, run.began_s + EDGE_S), STEADY)
        return {
            m: rate
            for m, rate in pulses.items()
            if rate < SLOWER * run.rate
            and m in self._pulse
            and second - self._pulse[m][0] <= USUAL_KEPT_S
            and abs(rate - self._pulse[m][1]) <= NEAR * self._pulse[m][1]
        }

    def add(self, second: int, channels: Channels, called: bool) -> None:
        """Whether a run was called in ``second``. A second without a call in the midst of one teaches nothing."""
        if called:
            self._called.append(second)
        elif not self._called or second - self._called[-1] > RUN_REACH_S:
            self._pulse |= {m: (second, rate) for m, rate in pulse_rates(channels, STEADY_S, STEADY).items()}
