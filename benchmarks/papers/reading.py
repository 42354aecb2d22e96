"""What a linear classifier reads of each method: the fused representation, each sensor alone, or numbers of a monitor.

Every classifier is fitted twice: on windows that lack nothing, as the papers do, and on windows that lost sensors as
those tested do (each of the subsets alike, never measured).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group
from models.batches.recall import recall
from models.data.sources import CORE
from models.evaluation.linear import sigmoid
from models.evaluation.lost_windows import read_slots
from models.evaluation.metrics import log_odds
from models.evaluation.readouts import NUMBERS, RISKS, TASKS, fit_heads, truths
from models.evaluation.rivals import pooled
from models.imputers import Imputer, MaskTokenImputer, RestorationImputer, ZeroImputer
from models.physiome import PhysioME
from models.selfmask import SelfMaskImputer
from models.signals.modalities import Modality

FILLS: dict[str, Imputer] = {
    "restoration": RestorationImputer(), "mask token": MaskTokenImputer(), "zeros": ZeroImputer(),
    "selfmask": SelfMaskImputer(),
}  # fmt: skip
HEADS = ("complete", "losses")
_BATCH = 128

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Represents = Callable[[Group, Indices, Floats], Floats]
"""Windows ``rows`` [W] of a group whose sensors were lost ``ages_s`` [W, M] ago -> [W, p], finite."""
Said = dict[str, dict[str, Floats]]
"""Head -> task -> prediction [W]."""


def representation(model: PhysioME, fill: str) -> Represents:
    """What is read under the name ``fill``."""
    fixed: dict[str, Represents] = {"constant": nothing, "numbers": numbers, "tokens": partial(side_by_side, model)}
    return fixed.get(fill) or partial(fused, model, fill)


@torch.no_grad()
def fused(model: PhysioME, fill: str, group: Group, rows: Indices, ages_s: Floats) -> Floats:
    """The slots of pass 2, with ``fill`` in those of what is absent: of each modality their mean and the newest one,
    [W, 2 M d]. The pooling after them is not read: no self-supervised loss trains it."""
    parts = []
    lost = group.lost(rows, ages_s)
    for first in range(0, len(rows), _BATCH):
        batch = group.batch(rows[first : first + _BATCH], lost.part(slice(first, first + _BATCH)), 0)
        memory = recall(model, batch)
        found = model.represent(batch.signals, batch.presence, batch.context, batch.features, FILLS[fill], memory)
        parts.append(read_slots(found.slots).numpy())
    return np.concatenate(parts).astype(np.float64)


def side_by_side(model: PhysioME, group: Group, rows: Indices, ages_s: Floats) -> Floats:
    """The tokens of each sensor beside one another, 0 where it is absent, and which are there: [W, 2 M d + M]."""
    tokens, here = sensor_tokens(model, group, rows, ages_s)
    return np.concatenate([tokens.reshape(len(rows), -1), here], axis=1)


@torch.no_grad()
def sensor_tokens(
    model: PhysioME, group: Group, rows: Indices, ages_s: Floats
) -> tuple[Floats, npt.NDArray[np.bool_]]:  # fmt: skip
    """Mean and newest encoder token of each sensor by itself [W, M, 2 d], 0 where it has no frame, and whether it has
    any, bool [W, M]."""
    lost, parts = group.lost(rows, ages_s), []
    for first in range(0, len(rows), _BATCH):
        batch = group.batch(rows[first : first + _BATCH], lost.part(slice(first, first + _BATCH)), 0)
        parts.append(pooled(model.encode(batch.features, batch.presence), batch.presence).numpy())
    return np.concatenate(parts).astype(np.float64), np.asarray(lost.presence.any(-1))


def numbers(group: Group, rows: Indices, ages_s: Floats) -> Floats:
    """What a monitor's numerics say: MAP and pulse pressure while an ABP is measured, the heart rate while anything
    pulsates; 0 and a mark where not known. [W, 6]."""
    modalities = group.config.bedside_rows
    truth = truths(group, rows, modalities)
    here = ages_s == 0
    abp = here[:, modalities.index(Modality.ABP)]
    pulse = here[:, [modalities.index(m) for m in CORE]].any(1)
    said = [
        np.where(abp, (truth["map"] - 80.0) / 15.0, np.nan),
        np.where(abp, (truth["sbp"] - truth["map"] - 40.0) / 15.0, np.nan),
        np.where(pulse, (truth["hr"] - 75.0) / 15.0, np.nan),
    ]
    columns = np.stack(said, axis=1)
    known = np.isfinite(columns)
    return np.concatenate([np.where(known, columns, 0.0), known], axis=1)


def nothing(group: Group, rows: Indices, ages_s: Floats) -> Floats:
    """No input at all: a classifier on it says the training patients' mean. [W, 1]."""
    return np.zeros((len(rows), 1))


class Bounded:
    """Linear heads whose numbers stay within what the training patients had: fitted on complete windows and read under
    a loss, a line runs on beyond any patient."""

    def __init__(self, x: Floats, truth: dict[str, Floats], patient: Indices) -> None:
        self.heads = fit_heads(x, truth, patient)
        self.range = {task: (np.nanmin(truth[task]), np.nanmax(truth[task])) for task in self.heads.numbers}

    def __call__(self, x: Floats) -> dict[str, Floats]:
        """Predictions [W] by task."""
        found = self.heads.predict(x)
        return found | {task: found[task].clip(*limits) for task, limits in self.range.items()}


def fitting_truths(train: Group, rows: Indices) -> dict[str, Floats]:
    """The truths of training windows; of recorded ones no risk: their recordings are of minutes, so that the outcomes
    that are known are those of early falls, and a classifier would learn that no EEG means danger."""
    truth = truths(train, rows, train.config.bedside_rows)
    return truth | {task: np.where(train.recorded[rows], np.nan, truth[task]) for task in RISKS}


class Classifier:
    """Linear heads on a representation, by the windows they were fitted on."""

    def __init__(self, represents: Represents, train: Group, rows: Indices, seed: int) -> None:
        self.represents = represents
        truth, patient = fitting_truths(train, rows), train.dataset.patient_of[rows]
        nothing_lost = np.zeros((len(rows), len(train.config.modalities)))
        drawn = {"complete": nothing_lost, "losses": drawn_losses(train, rows, seed)}
        self.heads = {name: Bounded(represents(train, rows, drawn[name]), truth, patient) for name in HEADS}

    def __call__(self, group: Group, rows: Indices, ages_s: Floats) -> Said:
        """Predictions for windows under one loss."""
        x = self.represents(group, rows, ages_s)
        return {name: heads(x) for name, heads in self.heads.items()}


class LateFusion:
    """A classifier a sensor on its encoder tokens; numbers are averaged over the sensors that are there, each alike,
    risks in log odds. What it cannot do is let one sensor explain another. Losses change no sensor: one head."""

    def __init__(self, model: PhysioME, train: Group, rows: Indices) -> None:
        self.model = model
        truth, patient = fitting_truths(train, rows), train.dataset.patient_of[rows]
        tokens, here = sensor_tokens(model, train, rows, np.zeros((len(rows), len(train.config.modalities))))
        self.heads = [
            Bounded(x[one], {task: v[one] for task, v in truth.items()}, patient[one])
            for x, one in zip(tokens.swapaxes(0, 1), here.T, strict=True)
        ]

    def __call__(self, group: Group, rows: Indices, ages_s: Floats) -> Said:
        """Predictions for windows under one loss; NaN where nothing is measured."""
        tokens, here = sensor_tokens(self.model, group, rows, ages_s)
        each = [heads(x) for heads, x in zip(self.heads, tokens.swapaxes(0, 1), strict=True)]
        found: dict[str, Floats] = {}
        for task in TASKS:
            values = np.stack([one.get(task, np.full(len(rows), np.nan)) for one in each], axis=1)
            values = np.where(here, values, np.nan)
            count = np.isfinite(values).sum(1)
            whole = values if task in NUMBERS else log_odds(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(count > 0, np.nansum(np.where(np.isfinite(values), whole, np.nan), 1) / count, np.nan)
            found[task] = mean if task in NUMBERS else sigmoid(mean)
        return dict.fromkeys(HEADS, found)


def drawn_losses(group: Group, rows: Indices, seed: int) -> Floats:
    """Ages [W, M]: of what a window measured, each non-empty subset alike stays (age 0), the rest was never measured.

    A recording without an EEG draws over the subsets of its own sensors.
    """
    rng = np.random.default_rng([seed, 61])
    measured = np.asarray(group.presence[rows].any(-1))
    kept = np.zeros_like(measured)
    while True:
        empty = ~kept.any(1)
        if not empty.any():
            return np.where(kept, 0.0, np.inf)
        kept[empty] = (rng.random((int(empty.sum()), measured.shape[1])) < 0.5) & measured[empty]
