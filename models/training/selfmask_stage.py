"""The SelfMask stage (ICLR 2026 submission 25120): the predictor learns to imagine what no sensor measured.

    σ = h_ω(g_φ̄([Z + e, T + e]));  M = TopK(σ)                      which observed tokens to hide
    Z̃ = E(x ⊙ (1 − M) + V ⊙ M);    Ẑ = g_φ([Z̃ + e, T + e])         L_obs:   ‖(Ẑ − sg Z) ⊙ M‖² / (K d)
    Z̃' = E(x ⊙ (1 − M') + V ⊙ M'); Z̄ = g_φ([Z̃' + e, Ẑ_missing + e]) L_cross: ‖(Z̄ − sg Z) ⊙ M'‖² / (K' d)
    φ̄ ← τ φ̄ + (1 − τ) φ

M' hides more than M and all that M hides, so what it hides beyond M can come back only through Ẑ_missing, which was
imagined while it was still seen: the imagined tokens have to agree with the observed ones. Since training windows are
complete, Ẑ_missing is also held against the truth (``supervised``; 0 leaves that out). The token losses
are in units of the tokens' variance, which the weights of the configuration allow for. h maximises both losses
(reversed gradient), a share of the windows is masked at random instead.

By default encoders, fusion and heads stay frozen, so that in the comparison only the imputer differs. ``end_to_end`` is
the paper's own form, L = L_task + α L_obs + β L_cross, with all of them trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import Batch, fixed_batches, mean_losses, step_batches
from models.batches.chance import device_of, step_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.physiome import PhysioME
from models.selfmask import MaskScorer, SelfMaskImputer, block_frames, hide, imagine, nested_masks, reverse_gradient
from models.training.losses import WEIGHTS, head_losses, weigh, weighted

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import SelfMaskConfig

_STOP_WINDOWS = 768

TaskLoss = Callable[[PhysioME, Batch, dict[str, Tensor]], Tensor]
"""L_task of the model's outputs for a batch, a scalar."""


def head_task(model: PhysioME, batch: Batch, out: dict[str, Tensor]) -> Tensor:
    """The losses of the model's heads by their weights in the main stage."""
    return weighted(head_losses(model, batch, out), WEIGHTS)


class SelfMaskParts(nn.Module):
    """What the stage trains and saves: g_φ (or, end to end, the model that holds it), g_φ̄, h_ω and V."""

    def __init__(self, model: PhysioME, end_to_end: bool) -> None:
        super().__init__()
        predictor = model.selfmask
        self.trained: nn.Module = model if end_to_end else predictor
        if model.memory is not None and not end_to_end:
            self.memory = model.memory.selfmask
        self.average = copy.deepcopy(predictor).requires_grad_(False)
        self.scorer = MaskScorer(predictor.width, predictor.heads)
        # One V a modality: their frame features have spaces of their own.
        self.stand_in = nn.Parameter(torch.randn(len(model.config.modalities), 1, model.config.width) * 0.02)

    def train(self, mode: bool = True) -> SelfMaskParts:
        """g_φ̄ never drops out, and BatchNorm keeps the statistics of pre-training."""
        super().train(mode)
        self.average.eval()
        for module in self.trained.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self


class SelfMaskStage:
    """SelfMask's training step on cached frame features (end to end: on signals).

    ``task`` is L_task, computed if ``settings.task`` gives it a weight. ``end_to_end`` trains encoders, fusion and
    heads too, and needs that weight: without a task the encoders would make their tokens easy to guess (ValueError).
    """

    name = "selfmask"

    def __init__(
        self,
        model: PhysioME,
        train: Group,
        stop: Group,
        settings: SelfMaskConfig,
        seed: int,
        task: TaskLoss = head_task,
        end_to_end: bool = False,
        plan: LossPlan | None = None,
    ) -> None:
        if end_to_end and not settings.task:
            raise ValueError("end_to_end needs a weight of the task")
        self.model, self.settings, self.seed = model.eval(), settings, seed
        self.task, self.end_to_end = task, end_to_end
        self._stop, self._plan = stop, plan or LossPlan()
        self._signal_rows = settings.batch if end_to_end else 0
        self._batches = step_batches(
            train, self._plan, settings.batch, seed, self.name, device_of(model), self._signal_rows
        )
        model.requires_grad_(end_to_end)
        model.selfmask.requires_grad_(True)
        if model.memory is not None:
            model.memory.selfmask.requires_grad_(True)
        self.module = SelfMaskParts(model, end_to_end).to(device_of(model))
        self.block = block_frames(model.config.frame_s, model.config.frame_step_s)

    # -- the seam of models.training.stage ----------------------------------------------------------------------

    def losses(self, step: int) -> dict[str, Tensor]:
        """SelfMask's losses over the batch of ``step``, weighted."""
        settings, random = self.settings, step_random(self.seed, self.name, step, device_of(self.model))
        weights = {
            "observed": settings.alpha, "cross": settings.beta, "supervised": settings.supervised,
            "task": settings.task,
        }  # fmt: skip
        return weigh(self.objective(self._batches(step), random.torch), weights)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """φ̄ ← τ φ̄ + (1 − τ) φ."""
        for slow, fast in zip(self.module.average.parameters(), self.model.selfmask.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - self.settings.momentum)

    @torch.no_grad()
    def score(self) -> dict[str, float]:
        """Error of the imagined tokens of absent slots over a fixed draw of windows and losses, in units of the tokens'
        variance, and L_task where it has a weight; end to end that alone counts, for the targets move."""
        batches = fixed_batches(
            self._stop, self._plan, self.seed, _STOP_WINDOWS, self.settings.batch, device_of(self.model),
            self._signal_rows,
        )  # fmt: skip

        def losses(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            x = self._features(batch)
            return self._unmasked(batch, x, *self._observe(batch, x))

        sums = mean_losses(batches, losses)
        task = self.settings.task * sums.get("task", 0.0)
        return {"score": task if self.end_to_end else sums["supervised"] + task} | sums

    # -- the algorithm ------------------------------------------------------------------------------------------

    def objective(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of the algorithm: its losses without their weights."""
        model, predict, observed = self.model, self.model.selfmask, batch.presence
        x = self._features(batch)
        embedded, z, complete = self._observe(batch, x)
        mask, mask_cross = self.masks(z, observed, embedded.detach(), generator)

        seen = model.encode(hide(x, observed, mask, self.module.stand_in), observed)
        imagined = imagine(model, seen, observed, embedded, recall(model, batch))
        seen_less = model.encode(hide(x, observed, mask_cross, self.module.stand_in), observed)
        filled = torch.where(observed.unsqueeze(-1), seen_less, imagined)
        every = torch.ones_like(observed)
        again = predict(filled, every, every, embedded)
        variance = token_variance(complete, batch.known)
        return {
            "observed": hidden_error(imagined, z, mask, variance),
            "cross": hidden_error(again, z, mask_cross, variance),
        } | self._unmasked(batch, x, embedded, z, complete)

    def masks(self, z: Tensor, observed: Tensor, embedded: Tensor, generator: torch.Generator) -> list[Tensor]:
        """M for L_obs and for L_cross: h's choice, or chance in a share of the windows."""
        with torch.no_grad():
            context, states = self.module.average.hidden(z, observed, observed, embedded)
        settings = self.settings
        chance = torch.rand(observed.shape, generator=generator, device=observed.device)
        by_chance = torch.rand((len(observed), 1, 1), generator=generator, device=observed.device)
        scores = reverse_gradient(self.module.scorer(context, states, observed).float())
        random_share = 1.0 if settings.masks == "random" else settings.random_share
        scores = torch.where(by_chance < random_share, chance, scores)
        return nested_masks(scores, observed, (settings.observed_share, settings.cross_share), self.block)

    def _observe(self, batch: Batch, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Context embedding [B, d], Z of what was observed and Z of all that is known [B, M, N, d].

        Both Z are targets and the input of g_φ̄, hence without a gradient."""
        with torch.set_grad_enabled(self.end_to_end and torch.is_grad_enabled()):
            embedded = self.model.context(batch.context, batch.presence)[1]
        with torch.no_grad():
            z = self.model.encode(x, batch.presence)
            return embedded, z, self.model.encode(x, batch.known)

    def _unmasked(self, batch: Batch, x: Tensor, embedded: Tensor, z: Tensor, complete: Tensor) -> dict[str, Tensor]:
        """Nothing hidden, as at inference: ``supervised`` and L_task, f_ψ([Z_observed, Ẑ_missing])."""
        memory, shown = recall(self.model, batch), batch.presence | ~batch.known
        if self.settings.task:
            out = self.model(
                batch.signals, batch.presence, batch.context, features=x, imputer=SelfMaskImputer(), wave_rows=0,
                memory=memory,
            )  # fmt: skip
            supervised = objectives.missing_loss(out["restored_tokens"], complete, shown, batch.known)
            return {"supervised": supervised, "task": self.task(self.model, batch, out)}
        imagined = imagine(self.model, z, batch.presence, embedded, memory)
        return {"supervised": objectives.missing_loss(imagined, complete, shown, batch.known)}

    def _features(self, batch: Batch) -> Tensor:
        """Frame features [B, M, N, d] of the complete windows: cached, or with a gradient."""
        if not self.end_to_end:
            return batch.features
        scaled, _ = self.model.scaling(batch.signals, batch.known, batch.context)
        return self.model.frame_features(scaled)


def token_variance(tokens: Tensor, known: Tensor | None = None) -> Tensor:
    """Variance of each modality's tokens [B, M, N, d] over the batch, [M, 1]; ``known`` bool [B, M, N] as of
    :func:`models.objectives.token_variance`."""
    every = [
        objectives.token_variance(tokens[:, m].float(), None if known is None else known[:, m])
        for m in range(tokens.shape[1])
    ]
    return torch.stack(every).unsqueeze(-1)


def hidden_error(predicted: Tensor, target: Tensor, mask: Tensor, variance: Tensor) -> Tensor:
    """Mean over windows of (1 / (K d)) ‖(predicted − target) ⊙ M‖², in units of the modality's variance [M, 1].

    predicted, target [B, M, N, d]; mask [B, M, N] of exact zeros and ones, K of them; windows with K = 0 do not count.
    """
    each = (predicted - target).float().square().mean(-1) / variance
    count = mask.detach().sum((1, 2))
    rows = (each * mask).sum((1, 2)) / count.clamp(min=1)
    return objectives.masked_mean(rows, count > 0)
