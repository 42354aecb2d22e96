"""Other methods as the main stage, on the same encoders, fusion encoder and heads: what the field compares against.

    leave_one_out        each modality against the mean of the others (SleepFM, arXiv 2405.17766)
    masked_autoencoding  most tokens hidden and modalities dropped; decoders give them back (MultiMAE, arXiv 2204.01678)
    consistency          what few sensors say should be what all of them say: d(r(x_subset), sg r(x_full))

Each is trained as PhysioME's stage is: encoders frozen with LoRA, heads beside the objective, losses of sensors drawn a
sample. Only the objective differs, so differences in the results are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import TRAINING, Batch
from models.batches.chance import device_of, step_random
from models.data.missingness import LossPlan
from models.networks.bedside import BedsideHeads
from models.physiome import PhysioME, has_adapters
from models.training.fusion_stage import FusionStage
from models.training.losses import WEIGHTS, head_losses, weigh
from models.training.pretrain import projector

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import FusionConfig
    from models.training.stage import Stage

_PROJECTED = 64
_STOP_WINDOWS, _STOP_BATCH = 1024, 64


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch and what its windows knew before anything was lost."""

    batch: Batch
    complete_context: Tensor  # [B, M, C] of the windows before anything was lost


class MainStage:
    """What the methods share: drawing, heads, scoring. A method adds ``objective`` and the parts only it needs."""

    name = "fusion"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: FusionConfig, seed: int = 0,
        plan: LossPlan = TRAINING,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed + 1)
        if not has_adapters(model):
            model.freeze_encoders(settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
        if isinstance(model.heads, BedsideHeads):
            model.waves.requires_grad_(False)  # they have a stage of their own
        self.model, self._train, self._stop = model, train, stop
        self.settings, self.seed, self.plan = settings, seed, plan
        self.weights = WEIGHTS | settings.weights
        self.module = nn.ModuleDict({"model": model} | self.parts()).to(device_of(model))

    def parts(self) -> dict[str, nn.Module]:
        """Modules that only training needs."""
        return {}

    def objective(self, drawn: Drawn, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The method's losses and the heads', without their weights."""
        raise NotImplementedError

    def losses(self, step: int) -> dict[str, Tensor]:
        """The method's losses over a batch drawn for ``step``, weighted."""
        random = step_random(self.seed, self.name, step, device_of(self.model))
        group = self._train
        rows = group.draw_apart(random.numpy, self.settings.batch)
        return weigh(self.objective(self._drawn(group, rows, random.numpy), random.torch), self.weights)

    def score(self) -> dict[str, float]:
        """Mean losses over fixed early-stopping windows; ``score`` is their weighted sum."""
        rng = np.random.default_rng([self.seed, 99])
        chosen = self._stop.choose(rng, _STOP_WINDOWS)
        sums: dict[str, float] = {}
        for first in range(0, len(chosen), _STOP_BATCH):
            rows = chosen[first : first + _STOP_BATCH]
            generator = torch.Generator(device_of(self.model)).manual_seed(self.seed * 7919 + first)
            for name, value in self.objective(self._drawn(self._stop, rows, rng), generator).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(rows)
        means = {name: value / len(chosen) for name, value in sums.items()}
        return {"score": sum(self.weights[name] * value for name, value in means.items())} | means

    def _drawn(self, group: Group, rows: np.ndarray, rng: np.random.Generator) -> Drawn:
        device = device_of(self.model)
        batch = group.batch(rows, group.draw(rng, rows, self.plan), 0)
        complete = group.lost(rows, np.zeros((len(rows), len(self.model.config.modalities))))
        return Drawn(batch.to(device), torch.from_numpy(complete.context).to(device))

    def _heads(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Outputs of the model under the batch's losses, and the losses of its heads."""
        out = self.model(batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=0)
        return out, head_losses(self.model, batch, out)


class LeaveOneOutStage(MainStage):
    """x^k = projected mean token of modality k; L = contrast of x^k with the mean of x^≠k, both ways, over k."""

    def parts(self) -> dict[str, nn.Module]:
        """A projector a modality."""
        c = self.model.config
        return {"projectors": nn.ModuleList(projector(c.width, _PROJECTED) for _ in c.modalities)}

    def objective(self, drawn: Drawn, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Contrast of each modality with the mean of the others, and the losses of the heads."""
        batch = drawn.batch
        out, parts = self._heads(batch)
        projectors = self.module["projectors"]
        assert isinstance(projectors, nn.ModuleList)
        embedded = torch.stack(
            [
                project(objectives.mean_token(out["tokens"][:, m], batch.presence[:, m]))
                for m, project in enumerate(projectors)
            ],
            dim=1,
        )
        contrast = objectives.leave_one_out(
            embedded,
            batch.presence.any(-1),
            self.settings.contrastive_temperature,
            objectives.negative_weights(batch.patient, batch.end_s),
        )
        return {"leave_one_out": contrast} | parts


class MaskedAutoencodingStage(MainStage):
    """Encoders and fusion see only a sample of the tokens of the modalities that were not dropped; one decoder a
    modality predicts all others, those of the complete window. The decoders are the model's restoration decoders, so
    that the method fills absent slots at inference; here the gradient does pass through their input."""

    def objective(self, drawn: Drawn, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Error of the tokens that were not sampled, and the losses of the heads."""
        model, batch = self.model, drawn.batch
        target = model.targets(batch.features, batch.known)
        visible = objectives.draw_tokens(batch.presence, self.settings.token_sample, generator)
        tokens = model.encode(batch.features, visible)
        _, embedded = model.context(batch.context, visible)
        state = model.pass_one(tokens, visible, embedded)
        predicted = model.restoration(state.context_out, state.slots, visible)
        _, parts = self._heads(batch)
        hidden = objectives.missing_loss(predicted, target, visible | ~batch.known, batch.known)
        return {"autoencoding": hidden} | parts


class ConsistencyStage(MainStage):
    """L = 1 − cos(r(x_subset), sg r(x_full)), r the fused representation, over the windows that lost something."""

    def objective(self, drawn: Drawn, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Distance of the representations with and without losses, and the losses of the heads."""
        batch = drawn.batch
        with torch.no_grad():
            full = self.model.represent(
                batch.signals, batch.known, drawn.complete_context, features=batch.features
            ).fused
        out, parts = self._heads(batch)
        lossy = (batch.known & ~batch.presence).any(-1).any(-1)
        return {"consistency": objectives.consistency(out["fused"], full, lossy)} | parts


METHODS: dict[str, type[MainStage]] = {
    "leave_one_out": LeaveOneOutStage,
    "masked_autoencoding": MaskedAutoencodingStage,
    "consistency": ConsistencyStage,
}


def main_stage(
    method: str, model: PhysioME, train: Group, stop: Group, settings: FusionConfig, seed: int = 0,
    plan: LossPlan = TRAINING,
) -> Stage:  # fmt: skip
    """The main stage of a method: PhysioME's own ("physiome") or one of :data:`METHODS`."""
    if method == "physiome":
        return FusionStage(model, train, stop, settings, seed, plan)
    return METHODS[method](model, train, stop, settings, seed, plan)
