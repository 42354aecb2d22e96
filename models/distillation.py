"""Distillation of the multi-sensor encoders into a student that needs one sensor (PaCX, arXiv 2606.01537).

    student   one modality's encoder, frozen, with LoRA (r 8, α 8) on qkv and fc of every block and free LayerNorms
    teachers  the frozen encoders of the other modalities, on complete windows
    L_C       symmetric InfoNCE of 256-d linear projections; learned temperature from 0.07; label smoothing 0.02
    L_R       ½(1 − cos(r(z), sg t)), one linear regression head a teacher
    L         0.5 · L_C + 1.0 · L_R, both a mean over the teachers

The heads are discarded at inference; the adapters are merged. Representations are standardised by the training windows
before the heads: what all windows share would otherwise give the cosine for nothing, and hide what tells them apart.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.encoder import ModalityEncoder
from models.networks.transformer import Attention, Block, LowRankLinear, low_rank_layers
from models.objectives import MASKED_SCORE, masked_mean

RANK, ALPHA = 8, 8.0
PROJECTION_WIDTH = 256
TEMPERATURE, LARGEST_SCALE = 0.07, 100.0
SMOOTHING = 0.02
CONTRASTIVE_WEIGHT, REGRESSION_WEIGHT = 0.5, 1.0


# -- the student's encoder --------------------------------------------------------------------------------------------


def student_encoder(encoder: ModalityEncoder, rank: int = RANK, alpha: float = ALPHA) -> ModalityEncoder:
    """A copy of a trained encoder, ready to be adapted: its own LoRA merged, everything frozen but new LoRA on query,
    key, value and both perceptron layers of every block, and all LayerNorms. It computes what the encoder computes."""
    student = copy.deepcopy(encoder)
    merge_student(student)
    student.requires_grad_(False)
    for module in list(student.modules()):
        if isinstance(module, Attention):
            module.query.add_adapter(rank, alpha, 0.0)
            module.key_value.add_adapter(rank, alpha, 0.0)
        elif isinstance(module, Block):
            for i, layer in enumerate(module.perceptron):
                if isinstance(layer, nn.Linear):
                    module.perceptron[i] = adapted(layer, rank, alpha)
        elif isinstance(module, nn.LayerNorm):
            module.requires_grad_(True)
    return student


def adapted(linear: nn.Linear, rank: int, alpha: float) -> LowRankLinear:
    """A linear layer with an adapter around it (W itself is kept, not copied)."""
    layer = LowRankLinear(linear.in_features, linear.out_features, linear.bias is not None)
    layer.linear = linear
    layer.add_adapter(rank, alpha, 0.0)
    return layer


def merge_student(encoder: nn.Module) -> None:
    """Folds all adapters into the weights; the parameter names are those of a plain encoder again."""
    for layer in low_rank_layers(encoder):
        layer.merge_adapter()
    for module in encoder.modules():
        if isinstance(module, Block):
            for i, part in enumerate(module.perceptron):
                if isinstance(part, LowRankLinear):
                    module.perceptron[i] = part.linear


def trainable_share(encoder: nn.Module) -> float:
    """Share of an encoder's parameters that are trained."""
    every = sum(p.numel() for p in encoder.parameters())
    return sum(p.numel() for p in encoder.parameters() if p.requires_grad) / every


def represent(encoder: ModalityEncoder, features: Tensor, present: Tensor) -> Tensor:
    """The representation of a window, [B, 2d]: CLS and the mean token of the present frames (0 without any).

    features [B, N, d] of single frames, present bool [B, N]; absent frames count for nothing.
    """
    tokens, cls = encoder(features, present)
    kept = torch.where(present.unsqueeze(-1), tokens, torch.zeros_like(tokens))
    return torch.cat([cls, kept.sum(1) / present.sum(1, keepdim=True).clamp(min=1)], dim=-1)


# -- the objective ----------------------------------------------------------------------------------------------------


def info_nce(
    student: Tensor, teacher: Tensor, scale: Tensor | float, valid: Tensor, log_weight: Tensor,
    smoothing: float = SMOOTHING,
) -> Tensor:  # fmt: skip
    """Symmetric InfoNCE of projections [B, P] (normalised here), scores times ``scale``.

    valid bool [B]: windows that both sides have; log_weight [B, B] of the negatives
    (:func:`models.objectives.negative_weights`). The smoothed part of the label goes evenly to the pairs that are left.
    """
    scores = functional.normalize(student, dim=-1) @ functional.normalize(teacher, dim=-1).T * scale
    allowed = valid[None, :] & valid[:, None] & (log_weight > -torch.inf)
    weights = torch.where(allowed, log_weight, torch.zeros_like(log_weight))
    each = []
    for logits in (scores, scores.T):
        log_p = torch.log_softmax(torch.where(allowed, logits + weights, MASKED_SCORE), dim=-1)
        spread = torch.where(allowed, log_p, torch.zeros_like(log_p)).sum(-1) / allowed.sum(-1).clamp(min=1)
        each.append(-(1.0 - smoothing) * log_p.diagonal() - smoothing * spread)
    return masked_mean(torch.stack(each), valid.expand(2, -1))


def cosine_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """½(1 − cos(r, sg t)) over valid windows; [B, D], [B, D], bool [B]."""
    cosine = functional.cosine_similarity(predicted, target.detach(), dim=-1)
    return masked_mean(0.5 * (1.0 - cosine), valid)


class Statistics(nn.Module):
    """Mean and size of each dimension over the training windows; part of the checkpoint, never trained."""

    mean: Tensor
    scale: Tensor

    def __init__(self, values: Tensor) -> None:
        """values: [W, D]."""
        super().__init__()
        self.register_buffer("mean", values.mean(0))
        self.register_buffer("scale", values.std(0, unbiased=False).clamp(min=1e-5))

    def forward(self, values: Tensor) -> Tensor:
        """[..., D] at zero mean and unit size."""
        return (values - self.mean) / self.scale


class Distillation(nn.Module):
    """The student's encoder with everything that only distillation needs.

    own [W, 2d] and teachers (each [W, D]): representations over training windows, as distillation begins.
    """

    def __init__(
        self, encoder: ModalityEncoder, own: Tensor, teachers: Sequence[Tensor], temperature: float = TEMPERATURE
    ) -> None:
        super().__init__()
        width = own.shape[1]
        self.encoder = encoder
        self.own = Statistics(own)
        self.teachers = nn.ModuleList(Statistics(values) for values in teachers)
        self.project_student = nn.Linear(width, PROJECTION_WIDTH)
        self.project_teachers = nn.ModuleList(nn.Linear(values.shape[1], PROJECTION_WIDTH) for values in teachers)
        self.regress = nn.ModuleList(nn.Linear(width, values.shape[1]) for values in teachers)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def train(self, mode: bool = True) -> Distillation:
        """As :meth:`torch.nn.Module.train`; the encoder keeps the statistics of its BatchNorm."""
        super().train(mode)
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()  # statistics belong to the frozen weights
        return self

    def losses(
        self, features: Tensor, present: Tensor, teachers: Tensor, valid: Tensor, log_weight: Tensor,
        smoothing: float = SMOOTHING,
    ) -> dict[str, Tensor]:  # fmt: skip
        """L_C and L_R, unweighted.

        features [B, N, d] and present bool [B, N] of the student's sensor; teachers [B, T, D]; valid bool [B, T]:
        windows that the teacher has; log_weight [B, B] as in :func:`info_nce`.
        """
        z = self.own(represent(self.encoder, features, present))
        valid = valid & present.any(-1, keepdim=True)
        projected = self.project_student(z)
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        contrastive, regression = [], []
        for t, standardise in enumerate(self.teachers):
            target, known = standardise(teachers[:, t]), valid[:, t]
            contrastive.append(
                info_nce(projected, self.project_teachers[t](target), scale, known, log_weight, smoothing)
            )
            regression.append(cosine_loss(self.regress[t](z), target, known))
        return {"contrastive": torch.stack(contrastive).mean(), "regression": torch.stack(regression).mean()}

    @torch.no_grad()
    def projections(self, z: Tensor, teacher: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """Unit projections of student windows [Q, 2d] and of one teacher's windows [Q, D] (retrieval), each [Q, P]."""
        own = self.project_student(self.own(z))
        other = self.project_teachers[which](self.teachers[which](teacher))
        return functional.normalize(own, dim=-1), functional.normalize(other, dim=-1)


def recall_at(similarity: Tensor, k: int = 5) -> Tensor:
    """bool [Q]: whether the partner, column 0 of [Q, 1 + negatives], is among the ``k`` most similar."""
    return (similarity[:, 1:] >= similarity[:, :1]).sum(-1) < k
