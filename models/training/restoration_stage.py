"""The restoration stage: everything else frozen, PhysioME's restoration decoders learn to use the token memory.

    L = ‖D(sg[slots], memory) − sg E(complete)‖² + δ L_readout   over what was lost

Each window comes with the last tokens of what it lost, from a donor before the loss (``models.data.donors``), as the
engine has them at the bedside. With ``memory`` off the decoders are merely trained on: the ablation. L_readout
(:mod:`models.batches.readouts`) holds what the restored tokens say against the truth; 0 leaves it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import Batch, fixed_batches, mean_losses, step_batches
from models.batches.chance import device_of, step_random
from models.batches.readouts import solved, truths
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.imputers import RestorationImputer
from models.physiome import PhysioME

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import RestorationConfig

LOSSES = LossPlan(complete=0.0, subset=0.7, recent=0.2, ragged=0.1)
"""A window that lost nothing teaches no restoration."""
_STOP_WINDOWS = 1024
_SOLVED_WINDOWS = 1536


class RestorationStage:
    """Trains ``model.restoration`` and its reader of the memory, which is added unless it is there already."""

    name = "restoration"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: RestorationConfig, seed: int = 0,
        plan: LossPlan = LOSSES,
    ) -> None:  # fmt: skip
        if settings.memory and model.memory is None:
            torch.manual_seed(seed + 2)
            model.add_memory()
        model.requires_grad_(False).eval()
        parts: dict[str, nn.Module] = {"restoration": model.restoration}
        if model.memory is not None:
            parts["memory"] = model.memory.restoration
        if settings.readout > 0.0:
            solving = fixed_batches(train, plan, seed, _SOLVED_WINDOWS, 64, device_of(model))
            parts["readouts"] = self._readouts = solved(model, (batch for batch, _ in solving))
        self.model, self.module = model, nn.ModuleDict(parts)
        for name, part in parts.items():
            part.requires_grad_(name != "readouts")  # they are of encoders that are frozen too
        self._stop, self.settings, self.seed, self.plan = stop, settings, seed, plan
        self._batches = step_batches(train, plan, settings.batch, seed, self.name, device_of(model))

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the restored tokens over the batch of ``step``."""
        step_random(self.seed, self.name, step)
        return self.objective(self._batches(step))

    def score(self) -> dict[str, float]:
        """Mean losses over fixed batches; ``score`` is their sum."""
        batches = fixed_batches(self._stop, self.plan, self.seed, _STOP_WINDOWS, 64, device_of(self.model))
        found = mean_losses(batches, lambda batch, _: self.objective(batch))
        return {"score": sum(found.values())} | found

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        """Distance of the restored tokens from the true ones, where sensors were lost."""
        model = self.model
        with torch.no_grad():
            target = model.encode(batch.features, batch.known)
            _, embedded = model.context(batch.context, batch.presence)
            tokens = model.encode(batch.features, batch.presence)
            state = model.pass_one(tokens, batch.presence, embedded, recall(model, batch))
        lost = batch.known & ~batch.presence
        restored = RestorationImputer().impute(model, state)
        found = {"missing": objectives.missing_loss(restored, target, ~lost, batch.known)}
        if self.settings.readout > 0.0:
            goal = truths(batch, model.config.modalities)
            found["readout"] = self.settings.readout * self._readouts.restored_loss(restored, goal, lost)
        return found
