"""One factor of a patient moved, the rest held: windows for probing what a representation knows and ignores.

Each value is lived by the same subjects with the same random numbers, without episodes, decoys or faults, at a constant
depth of anaesthesia. What is returned as the factor's value is measured from the simulation, window by window, since a
setting is not what the body makes of it (a heart at rest at 80 beats slower under anaesthesia).

    hr   resting heart rate, 1/min; stroke volume and pressure set point held (resistance gives way)
    ptt  transit time to the finger in s, that to the radial artery in proportion; beats and pressures held
         (R peaks to a few hundredths of a second, since the reflexes hear of a pulse later)
    qt   QT at a rate of 60, s; only the ECG changes
    sef  depth of anaesthesia, 60 light … 5; only the EEG changes: the circulation is not depressed by it. The value is
         the spectral edge (95 %) in Hz of the clean EEG
    map  resting mean arterial pressure, mmHg
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.data.labels import eeg_features
from models.data.sim.ecg import qt_intervals
from models.data.sim.noise import Stream, derive_seed, generator
from models.data.sim.pharmacology import concentration_for
from models.data.sim.scenarios import Plan, Scenario
from models.data.sim.subject import Subject, draw_subject
from models.data.simulator import SimulatedPatient
from models.data.windows import cut_windows, grid_signal
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import WindowSpec

SUBJECTS, WINDOWS = 6, 3
SETTLE_S = 60  # the circulation and the context find their level
DEPTH = 46.0
SPECTRAL_EDGE = 5  # column of ``eeg_features``

_LIMITS: dict[str, tuple[float, float]] = {
    "hr": (35.0, 160.0),
    "ptt": (0.05, 0.5),
    "qt": (0.30, 0.56),
    "sef": (5.0, 60.0),  # lighter, breathing wanders as well
    "map": (50.0, 130.0),
}
FACTORS = tuple(_LIMITS)

Floats = npt.NDArray[np.float64]


class SweepWindows(NamedTuple):
    """Windows of a sweep, complete: signals float32 [W, M, L] in physical units, presence bool [W, M, N] (all true),
    context float32 [W, M, C]; values [W], the factor as it was in the window."""

    signals: npt.NDArray[np.float32]
    presence: npt.NDArray[np.bool_]
    context: npt.NDArray[np.float32]
    values: Floats


@dataclass(frozen=True)
class Sweep:
    """A sweep with its layout: ``setting`` [W] the value asked for, ``subject`` [W] 0 … subjects − 1, ``end_s`` [W]."""

    windows: SweepWindows
    setting: Floats
    subject: npt.NDArray[np.intp]
    end_s: npt.NDArray[np.int64]


def sweep(
    factor: str,
    values: Sequence[float],
    spec: WindowSpec,
    seed: int,
    subjects: int = SUBJECTS,
    windows: int = WINDOWS,
    device: str = "train",
) -> Sweep:
    """``windows`` windows, one after another, of each subject at each value: [values · subjects · windows].

    The same seed gives the same subjects and noise for every factor. Raises BadInput for an unknown factor or a value
    outside of what a body can do.
    """
    _check(factor, values)
    parts: list[SweepWindows] = []
    setting, who, ends = [], [], []
    for value in values:
        for number in range(subjects):
            part, end_s = _lived(factor, float(value), spec, derive_seed(seed, number) >> 1, windows, device)
            parts.append(part)
            setting += [float(value)] * windows
            who += [number] * windows
            ends += end_s
    joined = SweepWindows(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return Sweep(joined, np.array(setting), np.array(who, np.intp), np.array(ends, np.int64))


def altered(factor: str, value: float, subject: Subject) -> Mapping[str, float]:
    """The subject's fields that the factor sets."""
    if factor == "hr":
        return {"hr0": value}
    if factor == "ptt":
        return {"ptt_ppg_s": value, "ptt_abp_s": value * subject.ptt_abp_s / subject.ptt_ppg_s}
    if factor == "qt":
        return {"qtc_s": value}
    return {"map0": value} if factor == "map" else {}


def _lived(
    factor: str, value: float, spec: WindowSpec, seed: int, windows: int, device: str
) -> tuple[SweepWindows, list[int]]:
    subject = draw_subject(generator(seed, Stream.SUBJECT))
    first = SETTLE_S + spec.window_s
    ends = [first + k * spec.window_s for k in range(windows)]
    duration = ends[-1] + 2  # the resampler looks ahead
    target = concentration_for(value if factor == "sef" else DEPTH, subject.ce50)
    plan = Plan(Scenario.STABLE, (), ((-1e9, target),), depth_acts=False)
    patient = SimulatedPatient(
        seed, duration_s=duration, device=device, faults=False, plan=plan,
        subject={"pvc_per_min": 0.0, **altered(factor, value, subject)},
    )  # fmt: skip
    channels = map_channels(patient)
    cut = {w.end_s: w for w in cut_windows(channels, spec, 1, end_s=duration) if w.end_s in ends}
    rate, length = spec.rate_hz, spec.window_s
    clean = [grid_signal(channels, m, duration, patient.read_clean) for m in spec.modalities]
    signals = np.stack([np.stack([x[(e - length) * rate : e * rate] for x in clean]) for e in ends])
    presence = np.ones((windows, len(spec.modalities), spec.frames), np.bool_)
    context = np.stack([cut[e].context for e in ends])
    measured = np.array([_measured(factor, patient, e - length, e) for e in ends])
    return SweepWindows(signals, presence, context, measured), ends


def _measured(factor: str, patient: SimulatedPatient, start_s: int, end_s: int) -> float:
    """The factor as it was over [start_s, end_s): in body time, whose difference from a channel's own is constant."""
    if factor == "sef":
        eeg = grid_signal(map_channels(patient), Modality.EEG, end_s, patient.read_clean)
        return float(eeg_features(eeg[start_s * GRID_RATE_HZ :])[SPECTRAL_EDGE])
    if factor == "map":
        truth = patient.truth
        inside = (truth.abp_onset_s[:-1] >= start_s) & (truth.abp_onset_s[:-1] < end_s)
        return float(truth.map_mmhg[inside].mean())
    course = patient.course(Modality.ECG)
    beats = course.beats(start_s, end_s)
    if factor == "hr":
        return float(60.0 / beats.rr.mean())
    return float(beats.ptt.mean() if factor == "ptt" else qt_intervals(beats, course.subject).mean())


def _check(factor: str, values: Sequence[float]) -> None:
    if factor not in _LIMITS:
        raise BadInput(f"a factor out of {', '.join(FACTORS)}", repr(factor), "choose one of these")
    low, high = _LIMITS[factor]
    wrong = [v for v in values if not low <= v <= high]
    if wrong or not len(values):
        found = ", ".join(f"{v:g}" for v in wrong) or "none"
        raise BadInput(f"values of {factor} from {low:g} to {high:g}", found, "choose others")
