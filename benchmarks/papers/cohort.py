"""Who is in which fold, and which windows are tested. Folds are by patient, recorded and simulated ones apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.batches.group import Group
from models.data.dataset import Patient, WindowDataset, open_patient
from models.data.sources import CORE
from models.data.splits import folds
from models.physiome import PhysioMEConfig
from models.sizes import Row

FOLDS = 5
STOP_SHARE = 0.1
"""Of those not tested; on them a loss is watched, and nothing decided: every method has all its steps."""
RECORDED_SHARE = 0.5
"""Of the windows that training draws."""

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Person:
    """A patient and the folders of its windows."""

    name: str
    recorded: bool
    folders: tuple[Path, ...]


def name_of(patient: Patient) -> str:
    """Who it is; simulated ones are told apart by their seeds."""
    return patient.who or f"simulated/{patient.facts.get('seed')}"


def people(
    folders: Sequence[Path], simulated: int, recorded: int, modalities: Sequence[Row], studies: int = 2
) -> list[Person]:
    """The first ``simulated`` and ``recorded`` patients of ``folders`` by name, of each recorded one its ``studies``
    longest recordings. Left out are recordings heard through another device, which are the same patients again, and
    those without a window in which the circulation was measured throughout."""
    circulation = [list(modalities).index(m) for m in CORE]
    found: dict[str, list[tuple[int, Path]]] = {}
    real: dict[str, bool] = {}
    for folder in folders:
        patient = open_patient(folder)
        measured = np.asarray(patient.arrays["presence"])[:, circulation].all((1, 2))
        if patient.facts.get("device_seed") is not None or not measured.any():
            continue
        name = name_of(patient)
        found.setdefault(name, []).append((patient.windows, folder))
        real[name] = patient.recorded
    out: list[Person] = []
    for kind, most in ((False, simulated), (True, recorded)):
        names = sorted(name for name in found if real[name] == kind)[:most]
        for name in names:
            longest = sorted(found[name], key=lambda one: (-one[0], one[1].name))[:studies]
            out.append(Person(name, kind, tuple(sorted(folder for _, folder in longest))))
    return out


def fold_of(patients: Sequence[Person], fold: int, seed: int, count: int = FOLDS) -> dict[str, list[Path]]:
    """Folders of the groups train, stop and test of one fold; no patient is in two. BadInput for too few patients."""
    groups: dict[str, list[Path]] = {"train": [], "stop": [], "test": []}
    for kind in (False, True):
        mine = {p.name: p for p in patients if p.recorded == kind}
        if not mine:
            continue
        placed = folds(mine, count, seed)
        others = [name for name in sorted(mine) if placed[name] != fold]
        order = np.random.default_rng([seed, fold]).permutation(len(others))
        stop = {others[i] for i in order[: max(1, round(len(others) * STOP_SHARE))]}
        for name, person in mine.items():
            groups["test" if placed[name] == fold else "stop" if name in stop else "train"] += person.folders
    return groups


def open_fold(folders: dict[str, list[Path]], config: PhysioMEConfig, seed: int) -> dict[str, Group]:
    """The groups of a fold, without features."""
    return {name: Group(WindowDataset(of), config, seed, RECORDED_SHARE) for name, of in folders.items()}


def whole_rows(group: Group, a_patient: int) -> Indices:
    """At most ``a_patient`` windows of each patient that measured all its kind has (a recorded one the circulation, a
    simulated one the EEG as well), spread over its recordings."""
    circulation = [group.config.modalities.index(m) for m in CORE]
    measured = np.asarray(group.presence.all(-1))
    good = np.where(group.recorded, measured[:, circulation].all(1), measured.all(1))
    chosen = []
    for patient in range(group.dataset.patient_count):
        mine = np.flatnonzero(good & (group.dataset.patient_of == patient))
        if len(mine):
            chosen.append(mine[np.unique(np.linspace(0, len(mine) - 1, min(a_patient, len(mine))).round().astype(int))])
    return np.concatenate(chosen) if chosen else np.empty(0, np.intp)
