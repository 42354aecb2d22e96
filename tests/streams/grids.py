"""A grid of whole signals, as the pipeline offers it, and a run of findings, vitals and arrhythmia calls over it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.absence import Standing, standing_of
from models.signals.findings import PULSE_CHANNELS, Findings, Pulse, Rhythm
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.presence import LOOK_BACK_SAMPLES, cell_verdict
from models.signals.pulse import overdue
from models.signals.quality import find_beats
from models.signals.rhythm import judge_rhythm
from streams.alarms.arrhythmia import ArrhythmiaMonitor, Call
from streams.records import NUMERICS, ArrhythmiaCall, RhythmRecord, VitalsRecord
from streams.vitals.monitor import Vitals, VitalsMonitor

Grid = Callable[[Modality, int, int], npt.NDArray[np.float32]]
S = 1_000_000_000


def grid_of(signals: Mapping[Modality, npt.ArrayLike]) -> Grid:
    arrays = {m: np.asarray(x, dtype=np.float32) for m, x in signals.items()}

    def grid(modality: Modality, first_g: int, last_g: int) -> npt.NDArray[np.float32]:
        out = np.full(last_g - first_g, np.nan, dtype=np.float32)
        x = arrays.get(modality, np.empty(0, dtype=np.float32))
        a, b = max(first_g, 0), min(last_g, len(x))
        if b > a:
            out[a - first_g : b - first_g] = x[a:b]
        return out

    return grid


def findings_at(second: int, grid: Grid, measured: Collection[Modality]) -> Findings:
    """What the measured sensors say of the second before ``second``; the others say nothing."""
    last_g = second * GRID_RATE_HZ
    pulse: dict[Modality, Pulse] = {}
    late: set[Modality] = set()
    rhythm = Rhythm.UNKNOWN
    for modality in measured:
        if modality not in (Modality.ECG, *PULSE_CHANNELS):
            continue
        block = grid(modality, last_g - LOOK_BACK_SAMPLES, last_g)
        beats = find_beats(modality, block)
        verdict = cell_verdict(modality, block, beats)
        if modality in PULSE_CHANNELS:
            pulse[modality] = verdict.pulse
            if verdict.pulse is Pulse.PRESENT and overdue(beats, len(block)):
                late.add(modality)
        elif standing_of(verdict.absence) is not Standing.ABSENT:
            judged = judge_rhythm(block, beats)
            if verdict.absence is None or judged in (Rhythm.STILL, Rhythm.FIBRILLATION):
                rhythm = judged
    return Findings(rhythm, pulse, frozenset(late))


@dataclass(frozen=True, slots=True)
class Second:
    """Everything that the stream says once a second, of the one that ended at ``vitals.second``."""

    vitals: Vitals
    findings: Findings
    calls: list[Call]

    @property
    def vitals_record(self) -> VitalsRecord:
        numbers = {name: getattr(self.vitals, name) for name in NUMERICS}
        return VitalsRecord(bed="a", session="s", epoch=0, time_ns=self.vitals.second * S, **numbers)

    @property
    def rhythm_record(self) -> RhythmRecord:
        return RhythmRecord(
            bed="a",
            session="s",
            epoch=0,
            time_ns=self.vitals.second * S,
            rhythm=self.findings.rhythm.value,
            pulse={m.value: p.value for m, p in self.findings.pulse.items()},
            overdue=sorted(m.value for m in self.findings.overdue),
            calls=[ArrhythmiaCall(c.key, c.verdict.value, c.reason, c.value) for c in self.calls],
        )


def seconds_over(
    signals: Mapping[Modality, npt.ArrayLike],
    seconds: int,
    unmeasured: Mapping[Modality, tuple[int, int]] | None = None,
) -> list[Second]:
    """The seconds 1 … seconds; ``unmeasured``: seconds [a, b) in which a modality is not measured and says nothing."""
    vitals, arrhythmias, grid = VitalsMonitor(), ArrhythmiaMonitor(), grid_of(signals)
    out = []
    for k in range(1, seconds + 1):
        hidden = {m for m, (a, b) in (unmeasured or {}).items() if a <= k < b}
        measured = {m: m not in hidden for m in signals}
        findings = findings_at(k, grid, [m for m in signals if m not in hidden])
        calls = arrhythmias.update(k, grid, measured, findings)
        out.append(Second(vitals.update(k, grid, measured, findings), findings, calls))
    return out


def vitals_over(
    signals: Mapping[Modality, npt.ArrayLike],
    seconds: int,
    unmeasured: Mapping[Modality, tuple[int, int]] | None = None,
) -> list[Vitals]:
    """One Vitals a second, as in :func:`seconds_over`."""
    vitals, grid = VitalsMonitor(), grid_of(signals)
    out = []
    for k in range(1, seconds + 1):
        hidden = {m for m, (a, b) in (unmeasured or {}).items() if a <= k < b}
        findings = findings_at(k, grid, [m for m in signals if m not in hidden])
        measured = {m: m not in hidden for m in signals}
        out.append(vitals.update(k, grid, measured, findings))
    return out
