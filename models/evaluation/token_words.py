"""What tokens say: simple physiology read from true, restored and remembered tokens by one frozen linear read-out.

R² of tokens is mostly about who the patient is. Here a read-out (:mod:`models.batches.readouts`), solved on training
patients' true tokens, reads mean and pulse pressure, heart rate and spectral edge from the tokens of a sensor that was
lost a while ago. Beside the restored ones stand what an imputer has to beat (the remembered token held, and the value
that is usual) and what it cannot pass (the true tokens).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batches.batch import Batch
from models.batches.group import Group
from models.batches.readouts import READ, TokenReadouts, solved, truths
from models.batches.recall import recall
from models.evaluation.bootstrap import difference_interval
from models.imputers import HoldImputer, Imputer, OracleImputer, RestorationImputer
from models.physiome import PhysioME
from models.selfmask import SelfMaskImputer

AGES_S = (60, 300)
SOLVED_WINDOWS, WINDOWS = 2000, 600
_BATCH = 64

Row = dict[str, float | str]
Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


def solved_readouts(model: PhysioME, train: Group, seed: int) -> TokenReadouts:
    """Read-outs of true tokens of ``train``, whose truth is known."""
    rows = train.choose(np.random.default_rng([seed, 41]), SOLVED_WINDOWS)
    lost = train.lost(rows, np.zeros((len(rows), len(model.config.modalities))))
    parts = [slice(first, first + _BATCH) for first in range(0, len(rows), _BATCH)]
    return solved(model, (train.batch(rows[part], lost.part(part), 0) for part in parts))


def word_rows(model: PhysioME, group: Group, readouts: TokenReadouts, seed: int, selfmask: bool) -> list[Row]:
    """One row a modality, quantity and age of loss: mean absolute errors in the quantity's unit, and by how much
    restored tokens are nearer than held ones, with its 95 % interval over patients (above 0: restoration helps).

    The other sensors are as they were; windows count in which the lost one was measured throughout.
    """
    rng = np.random.default_rng([seed, 43])
    found: list[Row] = []
    for m, modality in enumerate(model.config.modalities):
        whole = np.flatnonzero(group.presence[:, m].all(-1) & group.known[:, m].all(-1))
        for age in AGES_S:
            rows = group.choose(rng, WINDOWS, whole[group.labels["end_s"][whole] >= age + 60])
            if not len(rows):
                continue
            errors = _errors(model, group, rows, m, float(age), readouts, selfmask)
            for q, quantity in enumerate(READ.get(modality, ())):
                row: Row = {"modality": str(modality), "quantity": f"{quantity.name} ({quantity.unit})", "age_s": age}
                each = {name: values[:, q] * quantity.spread for name, values in errors.items()}
                counts = np.isfinite(each["true"])
                if not counts.any():
                    continue
                row |= {"word_windows": float(counts.sum())}
                row |= {name: float(np.nanmean(values)) for name, values in each.items()}
                gain = difference_interval(group.dataset.patient_of[rows], each["held"], each["restored"])
                found.append(row | {"gain": gain.estimate, "gain from": gain.lo, "gain to": gain.hi})
    return found


@torch.no_grad()
def _errors(
    model: PhysioME, group: Group, rows: Indices, m: int, age_s: float, readouts: TokenReadouts, selfmask: bool
) -> Mapping[str, Floats]:
    """Absolute errors [W, Q] of the read-outs of row ``m``, averaged over frames, by what is read."""
    ages = np.zeros((len(rows), len(model.config.modalities)))
    ages[:, m] = age_s
    lost = group.lost(rows, ages)
    device = next(model.parameters()).device
    kept: dict[str, list[Floats]] = {}
    for first in range(0, len(rows), _BATCH):
        part = slice(first, first + _BATCH)
        batch = group.batch(rows[part], lost.part(part), 0).to(device)
        goal = truths(batch, model.config.modalities)[m]
        for name, tokens in _tokens(model, batch, m, selfmask).items():
            error = (readouts.read(m, tokens) - goal).abs()
            kept.setdefault(name, []).append(error.nanmean(1).double().cpu().numpy())
        kept.setdefault("usual", []).append(goal.abs().nanmean(1).double().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _tokens(model: PhysioME, batch: Batch, m: int, selfmask: bool) -> dict[str, Tensor]:
    """Tokens [B, N, d] of row ``m`` by who fills its slots."""
    memory = recall(model, batch)
    true = model.encode(batch.features, batch.known)
    donated = model.encode(batch.donors, torch.ones_like(batch.known)).mean(2)
    held = torch.where(batch.remembered.unsqueeze(-1), donated, torch.full_like(donated, float("nan")))
    fill: dict[str, Imputer] = {
        "restored": RestorationImputer(), "held": HoldImputer(held), "true": OracleImputer(true),
    }  # fmt: skip
    if selfmask:
        fill["SelfMask"] = SelfMaskImputer()
    tokens = model.encode(batch.features, batch.presence)
    _, embedded = model.context(batch.context, batch.presence)
    state = model.pass_one(tokens, batch.presence, embedded, memory)
    found = {}
    for name, imputer in fill.items():
        given = imputer.impute(model, state)
        assert given is not None
        found[name] = given[:, m]
    return found
