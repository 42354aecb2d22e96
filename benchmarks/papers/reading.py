"""What a linear classifier reads of each method: the fused representation, each sensor alone, or numbers of a monitor.

Every classifier is fitted twice: on windows that lack nothing, as the papers do, and on windows that lost sensors as
those tested do (each of the subsets alike, never measured).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group
from models.batches.predict import predict
from models.evaluation.linear import sigmoid
from models.evaluation.metrics import log_odds
from models.evaluation.readouts import NUMBERS, TASKS, Heads, fit_heads, truths
from models.imputers import Imputer, MaskTokenImputer, RestorationImputer, ZeroImputer
from models.physiome import PhysioME
from models.selfmask import SelfMaskImputer
from models.signals.modalities import Modality

FILLS: dict[str, Imputer] = {
    "restoration": RestorationImputer(), "mask token": MaskTokenImputer(), "zeros": ZeroImputer(),
    "selfmask": SelfMaskImputer(),
}  # fmt: skip
HEADS = ("complete", "losses")
_PULSATILE = (Modality.ECG, Modality.ABP, Modality.PPG)
_BATCH = 128

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Represents = Callable[[Group, Indices, Floats], Floats]
"""Windows ``rows`` [W] of a group whose sensors were lost ``ages_s`` [W, M] ago -> [W, p], finite."""
Said = dict[str, dict[str, Floats]]
"""Head -> task -> prediction [W]."""


def fused(model: PhysioME, fill: str) -> Represents:
    """The fused representation [W, d], with ``fill`` in the slots of what is absent."""

    def of(group: Group, rows: Indices, ages_s: Floats) -> Floats:
        lost = group.lost(rows, ages_s)
        found = predict(model, group, rows, lost, ("fused",), _BATCH, FILLS[fill])
        return found.values["fused"].astype(np.float64)

    return of


def numbers(group: Group, rows: Indices, ages_s: Floats) -> Floats:
    """What a monitor's numerics say: MAP and pulse pressure while an ABP is measured, the heart rate while anything
    pulsates; 0 and a mark where not known. [W, 6]."""
    modalities = group.config.bedside_rows
    truth = truths(group, rows, modalities)
    here = ages_s == 0
    abp = here[:, modalities.index(Modality.ABP)]
    pulse = here[:, [modalities.index(m) for m in _PULSATILE]].any(1)
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


class Classifier:
    """Linear heads on a representation, by the windows they were fitted on."""

    def __init__(self, represents: Represents, train: Group, rows: Indices, seed: int) -> None:
        self.represents = represents
        truth = truths(train, rows, train.config.bedside_rows)
        patient = train.dataset.patient_of[rows]
        modalities = len(train.config.modalities)
        drawn = {"complete": np.zeros((len(rows), modalities)), "losses": drawn_losses(train, rows, seed)}
        self.heads = {name: fit_heads(represents(train, rows, drawn[name]), truth, patient) for name in HEADS}

    def __call__(self, group: Group, rows: Indices, ages_s: Floats) -> Said:
        """Predictions for windows under one loss."""
        x = self.represents(group, rows, ages_s)
        return {name: heads.predict(x) for name, heads in self.heads.items()}


class LateFusion:
    """A classifier a sensor on the mean of its encoder tokens; numbers are averaged over the sensors that are there,
    risks in log odds. What it cannot do is let one sensor explain another. Losses change no sensor: one head."""

    def __init__(self, model: PhysioME, train: Group, rows: Indices) -> None:
        self.model = model
        truth, patient = truths(train, rows, train.config.bedside_rows), train.dataset.patient_of[rows]
        self.heads: list[Heads] = []
        for x in self._tokens(train, rows):
            here = np.isfinite(x).all(1)
            self.heads.append(fit_heads(x[here], {task: v[here] for task, v in truth.items()}, patient[here]))

    def __call__(self, group: Group, rows: Indices, ages_s: Floats) -> Said:
        """Predictions for windows under one loss; NaN where nothing is measured."""
        each = [self._one(heads, x) for heads, x in zip(self.heads, self._tokens(group, rows), strict=True)]
        found: dict[str, Floats] = {}
        for task in TASKS:
            values = np.stack([one.get(task, np.full(len(rows), np.nan)) for one in each], axis=1)
            values = np.where(ages_s == 0, values, np.nan)
            count = np.isfinite(values).sum(1)
            whole = values if task in NUMBERS else log_odds(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(count > 0, np.nansum(np.where(np.isfinite(values), whole, np.nan), 1) / count, np.nan)
            found[task] = mean if task in NUMBERS else sigmoid(mean)
        return dict.fromkeys(HEADS, found)

    @staticmethod
    def _one(heads: Heads, x: Floats) -> dict[str, Floats]:
        here = np.isfinite(x).all(1)
        found = {}
        for task, values in heads.predict(x[here]).items():
            found[task] = np.full(len(x), np.nan)
            found[task][here] = values
        return found

    @torch.no_grad()
    def _tokens(self, group: Group, rows: Indices) -> list[Floats]:
        """Mean encoder token of each sensor alone [W, d] as recorded; NaN where no frame is present."""
        natural = group.lost(rows, np.zeros((len(rows), len(group.config.modalities))))
        parts = []
        for first in range(0, len(rows), _BATCH):
            batch = group.batch(rows[first : first + _BATCH], natural.part(slice(first, first + _BATCH)), 0)
            tokens, inside = self.model.encode(batch.features, batch.presence), batch.presence.unsqueeze(-1)
            total = torch.where(inside, tokens, torch.zeros_like(tokens)).sum(2)
            count = inside.sum(2)
            parts.append(torch.where(count > 0, total / count.clamp(min=1), torch.nan).numpy())
        whole = np.concatenate(parts).astype(np.float64)
        return [whole[:, m] for m in range(whole.shape[1])]


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
