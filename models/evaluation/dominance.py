"""How much each task leans on each sensor: removed, swapped with another patient's, and its Shapley value.

The value of a set of sensors is the task's figure with only these measured (the others never). The Shapley value of a
sensor is its mean gain over all orders in which sensors could be added (Shapley 1953), exact over the 2^M subsets; the
values of all sensors add to the gain of the full set over nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import factorial

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Losses
from models.batches.predict import Outputs
from models.batches.recall import recall
from models.evaluation.bootstrap import LEAST_PATIENTS, resampled_patients
from models.evaluation.hypotension import bounds
from models.evaluation.metrics import rank_replicates
from models.evaluation.settings import Pass, Setting, all_sensors, every_subset
from models.progress import Progress

RESAMPLES = 200
_BATCH = 64

Floats = npt.NDArray[np.floating]
Row = dict[str, float | str]
Figure = Callable[[Outputs], Floats]
"""A task's figure of a pass, higher is better: [1 + R], the estimate and its bootstrap resamples over patients."""


def shapley(value: Mapping[frozenset[int], Floats], count: int) -> list[Floats]:
    """Shapley values of ``count`` sensors from the value of every subset, the empty one included."""
    out: list[Floats] = []
    for m in range(count):
        others = [i for i in range(count) if i != m]
        total = np.zeros_like(np.asarray(value[frozenset()], np.float64))
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(others, size):
                total = total + weight * (value[frozenset((*chosen, m))] - value[frozenset(chosen)])
        out.append(total)
    return out


def figures(p: Pass) -> dict[str, Figure]:
    """Tasks of a bedside model: AUROC of hypotension within 5 and 15 min (windows hypotensive already left out), and
    the negative absolute error of MAP (mmHg) and of depth."""
    _, patient = np.unique(p.patient_of, return_inverse=True)
    count = int(patient.max()) + 1
    drawn = np.ones((1, count), np.int64)
    if count >= LEAST_PATIENTS:
        drawn = np.vstack([drawn, resampled_patients(count, RESAMPLES, np.random.default_rng(7))])
    now, label = p.label("hypotensive_now").astype(bool), p.label("hypotension")

    def area(horizon: int) -> Figure:
        use = np.isfinite(label[:, horizon]) & ~now

        def of(out: Outputs) -> Floats:
            if not use.any():
                return np.full(len(drawn), np.nan)
            return rank_replicates(out.values["risk"][use, horizon], label[use, horizon] > 0.5, patient[use], drawn)[0]

        return of

    def accuracy(said: Callable[[Outputs], Floats], truth: Floats) -> Figure:
        def of(out: Outputs) -> Floats:
            error = np.abs(said(out) - truth)
            known = np.isfinite(error)
            sums = np.bincount(patient[known], error[known], count)
            with np.errstate(invalid="ignore", divide="ignore"):
                return -(drawn @ sums) / (drawn @ np.bincount(patient[known], minlength=count))

        return of

    found = {
        "AUROC, hypotension within 5 min": area(0), "AUROC, hypotension within 15 min": area(2),
        "− MAE of MAP, mmHg": accuracy(lambda o: o.values["pressure"][:, 0, 1], p.label("pressures")[:, -1, 0]),
    }  # fmt: skip
    if "depth" in p.names:
        found["− MAE of depth"] = accuracy(lambda o: o.values["depth"][:, 1], p.label("depth"))
    return found


def dominance_rows(p: Pass, seed: int, progress: Progress | None = None) -> list[Row]:
    """One row a task and sensor."""
    subsets = every_subset(p.modalities, empty=True)
    tasks = figures(p)
    value: dict[str, dict[frozenset[int], Floats]] = {task: {} for task in tasks}
    for done, setting in enumerate(subsets):
        out = p(setting)
        for task, figure in tasks.items():
            value[task][frozenset(setting.observed)] = figure(out)
        if progress:
            progress("subsets", done + 1, len(subsets))
    swapped = [swap(p, m, seed) for m in range(len(p.modalities))]
    everyone = frozenset(range(len(p.modalities)))
    rows: list[Row] = []
    for task, figure in tasks.items():
        full = value[task][everyone]
        for m, share in enumerate(shapley(value[task], len(p.modalities))):
            row: Row = {"task": task, "sensor": p.modalities[m], "full": float(full[0])}
            drops = (
                ("removed", full - value[task][everyone - {m}]), ("swapped", full - figure(swapped[m])),
                ("alone", value[task][frozenset((m,))] - value[task][frozenset()]), ("shapley", share),
            )  # fmt: skip
            for name, change in drops:
                row[name] = float(change[0])
                row[f"{name}_lo"], row[f"{name}_hi"] = bounds(change[1:])
            rows.append(row)
    return rows


@torch.no_grad()
def swap(p: Pass, modality: int, seed: int) -> Outputs:
    """Predictions with one sensor's frames and context taken from a window of another patient."""
    setting: Setting = all_sensors(p.modalities)
    lost = p.lost(setting)
    other = others_windows(p.patient_of, np.random.default_rng([seed, 51, modality]))
    presence, context = lost.presence.copy(), lost.context.copy()
    presence[:, modality], context[:, modality] = presence[other, modality], context[other, modality]
    swapped = Losses(presence, context, lost.donors)
    device = next(p.model.parameters()).device
    kept: dict[str, list[Floats]] = {name: [] for name in p.names}
    for first in range(0, len(p.rows), _BATCH):
        part = slice(first, first + _BATCH)
        given = swapped.part(part)
        own = p.group.batch(p.rows[part], given, 0).to(device)
        features = own.features.clone()
        features[:, modality] = p.group.batch(p.rows[other[part]], given, 0).to(device).features[:, modality]
        out = p.model(own.signals, own.presence, own.context, features, p.imputer, 0, recall(p.model, own))
        for name in p.names:
            kept[name].append(out[name].cpu().numpy())
    values = {name: np.concatenate(parts) for name, parts in kept.items()}
    return Outputs(p.rows, swapped, values)


def others_windows(patient_of: npt.NDArray[np.intp], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """For each window one of another patient, at random; its own place where there is only one patient."""
    out = np.arange(len(patient_of))
    for patient in np.unique(patient_of):
        mine, rest = np.flatnonzero(patient_of == patient), np.flatnonzero(patient_of != patient)
        if len(rest):
            out[mine] = rng.choice(rest, len(mine))
    return out
