"""The PhysioME stage (arXiv 2510.11110): frozen modality encoders with LoRA; fusion, restoration and heads are trained.

    L = L_heads + α L_intra + β L_missing + γ L_contra (+ δ L_readout)

    L_intra    intra-modality decoders predict the encoder tokens of kept sensors that were not sampled
    L_missing  restoration decoders predict those of sensors that were lost; no gradient reaches their input
    L_contra   NT-Xent between each modality's mean token and the fused mean token
    L_readout  not the paper's: what the restored tokens say of simple physiology (models.batches.readouts)

With ``memory`` the restoration decoders know the last tokens of what was lost from the first step on.
Each sample has losses of its own, drawn with the data over all non-empty subsets of sensors. The encoders see a cached
feature a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import TRAINING, fixed_batches, mean_losses, step_batches
from models.batches.batch import Batch as Batch
from models.batches.chance import device_of, step_random
from models.batches.readouts import TokenReadouts, truths
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.networks.bedside import BedsideHeads
from models.networks.decoders import DecoderBank
from models.physiome import PhysioME, has_adapters
from models.training.losses import WEIGHTS as WEIGHTS
from models.training.losses import head_losses, weigh
from models.training.losses import rhythm_target as rhythm_target
from models.training.losses import wave_losses as wave_losses
from models.training.losses import weighted as weighted
from models.training.pretrain import projector

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import FusionConfig

_STOP_WINDOWS = 1024
_NOT_SCORED = ("intra", "contrastive", "readout_fit")  # they serve the representation, nothing is served by them


class FusionParts(nn.Module):
    """The model with what only training needs: intra-modality decoders, contrastive projectors and read-outs."""

    def __init__(self, model: PhysioME, readouts: bool = False) -> None:
        super().__init__()
        c, rows = model.config, len(model.config.modalities)
        self.model = model
        self.intra = DecoderBank(rows, c.width, c.decoder_width, c.heads, 1)
        self.projectors = nn.ModuleList(projector(c.width, 64) for _ in range(rows + 1))
        if readouts:
            self.readouts = TokenReadouts(c.modalities, c.width)


class FusionStage:
    """PhysioME's training step. Adapters are added to the encoders unless they are there already."""

    name = "fusion"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: FusionConfig, seed: int = 0,
        plan: LossPlan = TRAINING,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed + 1)
        if not has_adapters(model):
            model.freeze_encoders(settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
        if settings.memory and model.memory is None:
            model.add_memory()
        if isinstance(model.heads, BedsideHeads):
            model.waves.requires_grad_(False)  # they have a stage of their own
        self.model, self._stop = model, stop
        self.settings, self.seed, self.plan = settings, seed, plan
        self.weights = WEIGHTS | settings.weights
        self.module = FusionParts(model, self.weights["readout"] > 0.0).to(device_of(model))
        self._batches = step_batches(train, plan, settings.batch, seed, self.name, device_of(model), contrastive=True)

    def losses(self, step: int) -> dict[str, Tensor]:
        """PhysioME's losses over the batch of ``step``, weighted."""
        random = step_random(self.seed, self.name, step, device_of(self.model))
        return weigh(self.objective(self._batches(step), random.torch), self.weights)

    def score(self) -> dict[str, float]:
        """Mean losses over fixed batches; ``score`` is the weighted sum of those that count."""
        batches = fixed_batches(self._stop, self.plan, self.seed, _STOP_WINDOWS, 64, device_of(self.model))
        found = mean_losses(batches, lambda b, g: self.objective(b, g))
        return {"score": sum(self.weights[n] * v for n, v in found.items() if n not in _NOT_SCORED)} | found

    def objective(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        """One step of the algorithm: its losses without their weights."""
        model, parts = self.model, self.module
        target = model.targets(batch.features, batch.known)
        memory = recall(model, batch)
        out = model(
            batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=0, memory=memory
        )  # fmt: skip
        lost = batch.known & ~batch.presence

        sampled = objectives.draw_tokens(batch.presence, self.settings.token_sample, generator)
        state = model.pass_one(out["tokens"], sampled, out["embedded"])
        predicted = parts.intra(state.context_out, state.slots, sampled)
        found = {
            "intra": objectives.intra_loss(predicted, target, batch.presence, sampled, batch.known),
            "missing": objectives.missing_loss(out["restored_tokens"], target, ~lost, batch.known),
            "contrastive": objectives.contrastive_loss(
                out["tokens"],
                state.slots,
                sampled,
                parts.projectors,
                self.settings.contrastive_temperature,
                objectives.negative_weights(batch.patient, batch.end_s),
            ),
        }
        if self.weights["readout"] > 0.0:
            goal = truths(batch, model.config.modalities)
            found["readout_fit"] = parts.readouts.fit_loss(target, goal, batch.known)
            found["readout"] = parts.readouts.restored_loss(out["restored_tokens"], goal, lost)
        return found | head_losses(model, batch, out)
