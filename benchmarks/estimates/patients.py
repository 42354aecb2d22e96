"""Patients cut once by the pipeline of the live stream, and what is left of their windows when sensors are lost.

A sensor that was lost *a* seconds before a window's end has the context of *a* seconds ago, its age grown by *a*
(:mod:`models.data.missingness`), and no cell, frame, pulse or rhythm since: what the pipeline itself would have given,
without running it once for every loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.offline import drive
from models.data.folder import find_recordings, indexed_groups, patient_rule
from models.data.generate import HELD_OUT_DEVICE
from models.data.labels import frame_pressures, pressure_track
from models.data.missingness import lose
from models.data.recorded_labels import labels_with_gaps
from models.data.simulator import simulate_patient
from models.data.windows import grid_signal
from models.runtime.pleth_look import PlethLook, pleth_look, pleth_of
from models.runtime.pressure_past import EVERY_S, PressurePast
from models.signals.absence import Absence
from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from models.signals.findings import Findings, Rhythm
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SIMULATED_S = 1800
CALIBRATION_SEED, REPORT_SEED = 9_100_000, 9_200_000
"""First seeds of patients that nothing else was trained, stopped, tested or looked at with."""
UNREADABLE, LACKING = "could not be read", "have no ABP and PPG"
BLOCK = 12
"""Groups of a folder are taken in turns of twelve for calibration and for the report; neighbours may be one patient, so
the first of each twelve is left out."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Patient:
    """windows: of every stride, as the pipeline gave them. history float32 [1, T + 1, M, C]: the context of each
    second. pressures [W, 3]: true MAP, SBP, DBP of the newest frame in mmHg, NaN where unknown. hypotension [W, 3] by
    horizon, NaN where unknown; hypotensive [W]: already. looks [T + 1, 2]: rate and form of the pleth in the window
    that ends with each second (:mod:`models.runtime.pleth_look`), NaN where they are not known. pasts: how
    the pressure went with them, as of every fifth second (:mod:`models.runtime.pressure_past`)."""

    name: str
    simulated: bool
    windows: list[Window]
    history: npt.NDArray[np.float32]
    pressures: Floats
    hypotension: Floats
    hypotensive: npt.NDArray[np.bool_]
    looks: Floats
    pasts: list[PressurePast]

    def past(self, second: int) -> PressurePast:
        """What was learnt up to ``second``."""
        return self.pasts[min(max(second, 0) // EVERY_S, len(self.pasts) - 1)]

    def look(self, second: int) -> PlethLook | None:
        """That of the window which ends at ``second``."""
        if not 0 <= second < len(self.looks) or not np.isfinite(self.looks[second]).all():
            return None
        return PlethLook(*self.looks[second].tolist())


def cut(
    name: str, channels: ChannelMap, spec: WindowSpec, stride_s: int, clean: npt.NDArray[np.float32] | None = None
) -> Patient:
    """One recording; ``clean``: its pressure [T · 100] without faults, where that is known."""
    seconds = int(channels.duration_s) + 1
    abp, ppg = spec.modalities.index(Modality.ABP), spec.modalities.index(Modality.PPG)
    looks = np.full((seconds + 1, 2), np.nan)
    history = np.full((seconds + 1, len(spec.modalities), len(CONTEXT_FIELDS)), np.nan, np.float32)
    measured = np.full(seconds * GRID_RATE_HZ, np.nan, np.float32)
    kept: list[Window] = []
    for _, output in drive(channels, spec):
        for window in output.windows:
            if window.end_s > seconds:
                continue
            history[window.end_s] = window.context
            if window.cells[abp, -1]:
                last = window.end_s * GRID_RATE_HZ
                measured[last - GRID_RATE_HZ : last] = window.signals[abp, -GRID_RATE_HZ:]
            look = pleth_look(pleth_of(window, spec)) if window.cells[ppg, -1] else None
            if look is not None:
                looks[window.end_s] = look.rate, look.form
            if window.end_s % stride_s == 0 and window.end_s >= spec.window_s:
                kept.append(window)
    track = pressure_track(measured if clean is None else clean)
    end_s = np.array([w.end_s for w in kept], np.float64)
    labels, now = labels_with_gaps(track, end_s, float(int(channels.duration_s)))
    truth = frame_pressures(track, end_s - spec.frame_s, spec.frame_s)
    return Patient(name, clean is not None, kept, history[None], truth, labels, now, looks, pasts(history, looks, spec))


def pasts(
    history: npt.NDArray[np.float32], looks: Floats, spec: WindowSpec
) -> list[PressurePast]:  # fmt: skip
    """The pasts of a recording that lost nothing but what it lacks itself; history [T + 1, M, C], looks [T + 1, 2]."""
    ecg, abp, ppg = (spec.modalities.index(m) for m in (Modality.ECG, Modality.ABP, Modality.PPG))
    age, level, delay = (CONTEXT_FIELDS.index(name) for name in ("age_s", "level", "own_delay_s"))
    found = [PressurePast.none()]
    for second in range(EVERY_S, len(history), EVERY_S):
        row, past = history[second], found[-1]
        if row[abp, age] == 0 and row[ppg, age] == 0 and np.isfinite(looks[second]).all():
            timed = float(row[ppg, delay]) if row[ecg, age] == 0 else float("nan")
            past = past.add(float(row[abp, level]), timed, PlethLook(*looks[second].tolist()))
        found.append(past)
    return found


def simulated(first_seed: int, count: int, spec: WindowSpec, stride_s: int) -> Iterator[Patient]:
    """Half an hour each; those of the report have the device that training has not met."""
    device = HELD_OUT_DEVICE if first_seed == REPORT_SEED else "train"
    for seed in range(first_seed, first_seed + count):
        patient = simulate_patient(seed, duration_s=SIMULATED_S, device=device)
        channels = map_channels(patient)
        clean = grid_signal(channels, Modality.ABP, SIMULATED_S, patient.read_clean)
        yield cut(f"simulated {seed}", channels, spec, stride_s, clean)


def recorded(
    place: Path, spec: WindowSpec, stride_s: int, calibration: bool | None = None, rule: str = "",
    passed: Counter[str] | None = None,
) -> Iterator[Patient]:  # fmt: skip
    """A recording, or those of a folder (:func:`records`). What cannot be judged is passed over, and counted by its
    reason in ``passed``. Raises BadInput where nothing is left."""
    reasons: Counter[str] = Counter() if passed is None else passed
    some = False
    for group, record in records(place, calibration, rule=rule):
        try:
            recording = open_recording(str(record))
        except BadInput:
            reasons[UNREADABLE] += 1
            continue
        try:
            channels = map_channels(recording)
            if {Modality.ABP, Modality.PPG} <= set(channels.channels):
                patient = cut(f"{place.name} {group}", channels, spec, stride_s)
            else:
                reasons[LACKING] += 1
                continue
        except BadInput:
            reasons[UNREADABLE] += 1
            continue
        finally:
            recording.close()
        some = True
        yield patient
    if not some:
        found = ", ".join(f"{count} {why}" for why, count in reasons.items()) or "no group for this purpose"
        raise BadInput(f"recordings with ABP and PPG in {place.name}", found, "name others, or leave it out")


def records(place: Path, calibration: bool | None, a_group: int = 2, rule: str = "") -> list[tuple[str, Path]]:
    """Group and file of the recordings to take; a group is a patient.

    place: one recording, or a folder of them at any depth. rule: whose each is
    (:func:`models.data.folder.patient_rule`), by default the groups of ``index.csv`` where there is one, else each file
    is a patient. calibration: of a folder with groups only that part. At most the ``a_group`` longest of a group are
    taken. Raises BadInput for a folder without recordings, a rule that does not fit, and an index of recordings that
    are not there.
    """
    if not place.is_dir():
        return [(place.stem, place)]
    indexed = (place / "index.csv").is_file()
    rule = rule or ("index" if indexed else "file")
    found = find_recordings(place, ("*",), ()).files
    group_of = patient_rule(rule, place)
    groups: dict[str, list[Path]] = {}
    for path in found:
        group = group_of(path)
        if group is not None:
            groups.setdefault(group, []).append(place / path)
        elif rule != "index":
            raise BadInput(f"a patient in every path by {rule!r}", f"none in {path}", "choose another --patient")
    if rule == "index":
        named = indexed_groups(place)
        missing = sorted(set(named) - {path.with_suffix("").as_posix() for path in found})
        if missing:
            raise BadInput(
                f"the recordings that index.csv of {place.name} names", f"{len(missing)} of {len(named)} missing, "
                f"{missing[0]} first", "put them there, or take their lines out",
            )  # fmt: skip
    if rule == "file":
        return [(group, file) for group, files in groups.items() for file in files]
    names = sorted(groups, key=lambda g: (not g.isdigit(), int(g) if g.isdigit() else 0, g))
    chosen: list[tuple[str, Path]] = []
    for i, name in enumerate(names):
        if calibration is not None and (i % BLOCK == 0 or (i // BLOCK % 2 == 0) != calibration):
            continue
        longest = sorted(groups[name], key=lambda f: (-_bytes_of(f), f.name))
        chosen += [(name, file) for file in longest[:a_group]]
    return chosen


def _bytes_of(file: Path) -> int:
    """A WFDB header's data lie beside it."""
    data = file.with_suffix(".dat")
    return (data if data.is_file() else file).stat().st_size


def lost(patient: Patient, rows: Sequence[int], ages_s: npt.NDArray[np.float64], spec: WindowSpec) -> list[Window]:
    """The windows ``rows`` as they are when each modality was lost ``ages_s`` [n, M] before their end; 0 was not lost,
    infinite never measured."""
    windows = [patient.windows[i] for i in rows]
    presence, context = lose(
        np.stack([w.presence for w in windows]), patient.history, np.zeros(len(windows), np.intp),
        np.array([w.end_s for w in windows]), ages_s, spec.frame_s, spec.modalities,
    )  # fmt: skip
    before_end = np.arange(spec.window_s)[::-1]
    out = []
    for window, kept, row, ages in zip(windows, presence, context, ages_s, strict=True):
        gone = frozenset(m for m, age in zip(spec.modalities, ages, strict=True) if age > 0)
        cells = window.cells & ~(ages[:, None] > before_end)
        newest = {m: Absence.NO_DATA if m in gone else why for m, why in window.newest.items()}
        out.append(
            replace(
                window, presence=kept, context=row, cells=cells, newest=newest, findings=_left(window.findings, gone)
            )
        )
    return out


def _left(findings: Findings, gone: frozenset[Modality]) -> Findings:
    return Findings(
        Rhythm.UNKNOWN if Modality.ECG in gone else findings.rhythm,
        {m: pulse for m, pulse in findings.pulse.items() if m not in gone},
        findings.overdue - gone,
    )
