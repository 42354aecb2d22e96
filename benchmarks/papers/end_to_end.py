"""Methods that train encoders and all for a task: SelfMask as published, and its null, zeros in absent slots.

L_task = the losses of the bedside's heads by their weights + a linear classifier's of hypotension on the fused window.
The latter is needed: the bedside's own risk head reads a few concepts without a gradient, so that no label of the task
that is compared would ever reach the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import Batch
from models.imputers import ZeroImputer
from models.physiome import PhysioME
from models.training.losses import WEIGHTS
from models.training.selfmask_stage import SelfMaskStage, head_task

CLASSIFIER = "task_classifier"


def add_classifier(model: PhysioME) -> None:
    """Gives the model the linear classifier of hypotension within 5, 10 and 15 min that is trained with it."""
    model.add_module(CLASSIFIER, nn.Linear(model.config.width, 3))


def task(model: PhysioME, batch: Batch, out: dict[str, Tensor]) -> Tensor:
    """L_task of a batch; outcomes that are not known do not count."""
    known = batch.hypotension == batch.hypotension
    logits = model.get_submodule(CLASSIFIER)(out["fused"])
    each = nn.functional.binary_cross_entropy_with_logits(logits, torch.nan_to_num(batch.hypotension), reduction="none")
    return head_task(model, batch, out) + WEIGHTS["hypotension"] * objectives.masked_mean(each, known)


class ZeroFillStage(SelfMaskStage):
    """L_task alone with zeros in the slots of absent tokens, everything else as SelfMask end to end has it."""

    def objective(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The task's loss, without its weight."""
        out = self.model(
            batch.signals, batch.presence, batch.context, features=self._features(batch), imputer=ZeroImputer(),
            wave_rows=0,
        )  # fmt: skip
        return {"task": self.task(self.model, batch, out)}
