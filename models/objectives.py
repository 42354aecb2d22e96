"""Training objectives. Each is a function of tensors; weights and schedules live in ``models.training``.

Masks select what counts; an empty selection gives a zero that still carries a graph. Sources: PhysioME
(arXiv 2510.11110), NeuroNet (arXiv 2404.17585), NT-Xent (arXiv 2002.05709), quantile loss (Koenker & Bassett 1978).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

QUANTILES = (0.1, 0.5, 0.9)
MASKED_SCORE = -1.0e4
APART_S = 60.0
"""Seconds from which two windows of one patient are negatives of each other."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` (bool, same shape); NaN values outside the mask do not count."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def token_variance(tokens: Tensor, known: Tensor | None = None) -> Tensor:
    """Variance over a batch of tokens [..., d], averaged over their dimensions; a scalar above 0.

    ``known`` bool [...]: tokens of real recordings whose truth is known (None: all). The others are what an encoder
    makes of nothing, and no unit for an error.
    """
    flat = tokens.flatten(0, -2)
    if known is None:
        return flat.var(0, unbiased=False).mean() + 1e-4
    inside = known.flatten().unsqueeze(-1)
    count = inside.sum().clamp(min=1)
    mean = torch.where(inside, flat, torch.zeros_like(flat)).sum(0) / count
    squares = torch.where(inside, flat - mean, torch.zeros_like(flat)).square()
    return (squares.sum(0) / count).mean() + 1e-4


def token_loss(predicted: Tensor, target: Tensor, mask: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean squared error a token over slots in ``mask`` [...]; tokens [..., d]. The target carries no gradient.

    Divided by the target's variance over the batch (of what is ``known``, as of :func:`token_variance`), so that
    modalities weigh alike and a constant scores 1.
    """
    target = target.detach()
    return masked_mean((predicted - target).square().mean(-1), mask) / token_variance(target, known)


def intra_loss(predicted: Tensor, target: Tensor, kept: Tensor, sampled: Tensor, known: Tensor) -> Tensor:
    """L_intra: tokens of kept modalities that were not sampled. Tokens [B, M, N, d]; masks bool [B, M, N]."""
    return _by_modality(predicted, target, kept & ~sampled, known)


def missing_loss(restored: Tensor, target: Tensor, presence: Tensor, known: Tensor) -> Tensor:
    """L_missing: encoder tokens of absent slots, from the restoration decoders. Shapes as :func:`intra_loss`."""
    return _by_modality(restored, target, ~presence, known)


def _by_modality(predicted: Tensor, target: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    every = range(target.shape[1])
    return torch.stack([token_loss(predicted[:, m], target[:, m], mask[:, m], known[:, m]) for m in every]).mean()


def draw_tokens(kept: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Samples round(share · n) of the n ``kept`` slots of each window, at least one of them; bool [B, ...] both.

    Drawn a window and counted exactly: a coin a token would sometimes take none, and ``int`` would take 3 of 20 for
    0.2. A window that keeps nothing samples nothing.
    """
    flat = kept.flatten(1)
    chance = torch.rand(flat.shape, generator=generator, device=kept.device)
    place = torch.where(flat, chance, chance.new_full((), 2.0)).argsort(1).argsort(1)  # kept slots in random order
    number = flat.sum(1, keepdim=True)
    wanted = (number * share).round().clamp(min=1)
    return (flat & (place < wanted)).reshape(kept.shape)


def negative_weights(patient: Tensor, end_s: Tensor, apart_s: float = APART_S) -> Tensor:
    """Log-weights [B, B] of the negatives of a contrastive batch: patient [B], end_s [B].

    Windows of one patient less than ``apart_s`` apart are nearly the same and no negatives: ``-inf``. Of the rest, the
    same patient's windows weigh as much together as all other patients', and all together as much as their number;
    where there is only one kind, each counts once. The diagonal, where positives are, is 0.
    """
    itself = torch.eye(len(patient), dtype=torch.bool, device=patient.device)
    same = (patient[:, None] == patient[None, :]) & ~itself
    own, other = same & ((end_s[:, None] - end_s[None, :]).abs() >= apart_s), ~same & ~itself
    owns, others = own.sum(1, keepdim=True), other.sum(1, keepdim=True)
    half = (owns + others) / ((owns > 0).float() + (others > 0).float()).clamp(min=1)
    log = torch.where(own, (half / owns.clamp(min=1)).log(), (half / others.clamp(min=1)).log())
    return torch.where(itself, 0.0, torch.where(own | other, log, -torch.inf))


def nt_xent(
    a: Tensor, b: Tensor, temperature: float = 0.1, valid: Tensor | None = None, log_weight: Tensor | None = None
) -> Tensor:
    """NT-Xent of two views [B, d]: each of the 2B has one positive and 2B − 2 negatives; by one matrix product.

    ``valid`` bool [B] leaves pairs out, as anchors and as negatives. ``log_weight`` [B, B] as of
    :func:`negative_weights` says how much a column's window counts as a negative of a row's.
    """
    count = a.shape[0]
    z = functional.normalize(torch.cat([a, b]), dim=-1)
    scores = z @ z.T / temperature
    banned = torch.eye(2 * count, dtype=torch.bool, device=z.device)
    if valid is None:
        valid = torch.ones(count, dtype=torch.bool, device=z.device)
    both = torch.cat([valid, valid])
    scores = scores.masked_fill(banned | ~both[None, :], MASKED_SCORE)
    positive = torch.arange(2 * count, device=z.device).roll(count)
    if log_weight is not None:
        scores = scores + log_weight.clamp(min=MASKED_SCORE).repeat(2, 2)
    each = functional.cross_entropy(scores, positive, reduction="none")
    return masked_mean(each, both)


def contrastive_loss(
    tokens: Tensor, fused_slots: Tensor, presence: Tensor, projectors: torch.nn.ModuleList, temperature: float,
    log_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """L_contra: each modality's mean token against the fused mean token, where the modality has a present frame.

    tokens, fused_slots [B, M, N, d]; one projector a modality and one, the last, for the fused side; ``log_weight``
    of the negatives as in :func:`nt_xent`.
    """
    fused = mean_token(fused_slots.flatten(1, 2), presence.flatten(1))
    rows = []
    for m in range(tokens.shape[1]):
        mean, some = mean_token(tokens[:, m], presence[:, m]), presence[:, m].any(-1)
        rows.append(nt_xent(projectors[m](mean), projectors[-1](fused), temperature, some, log_weight))
    return torch.stack(rows).mean()


def mean_token(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean of the tokens [B, T, d] in ``mask`` bool [B, T] -> [B, d]; zero where there is none."""
    kept = torch.where(mask.unsqueeze(-1), tokens, torch.zeros_like(tokens))
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def leave_one_out(embedded: Tensor, present: Tensor, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """Leave-one-out contrast (SleepFM, arXiv 2405.17766): each modality against the mean of a window's *other* ones.

    embedded [B, M, P], present bool [B, M]. For modality k, cos(x_i^k, mean of x_j^≠k) / τ over the windows j of the
    batch should be largest at j = i, and the other way round. A window whose modality k, or all others, are absent is
    neither anchor nor negative of k. ``log_weight`` as of :func:`negative_weights`.
    """
    unit = functional.normalize(embedded, dim=-1)
    unit = torch.where(present.unsqueeze(-1), unit, torch.zeros_like(unit))
    target = torch.arange(len(unit), device=unit.device)
    rows = []
    for k in range(unit.shape[1]):
        others = [m for m in range(unit.shape[1]) if m != k]
        rest = functional.normalize(unit[:, others].sum(1), dim=-1)
        valid = present[:, k] & present[:, others].any(1)
        scores = unit[:, k] @ rest.T / temperature
        for logits in (scores, scores.T):
            if log_weight is not None:  # of a row's negatives, whichever side the row is
                logits = logits + log_weight.clamp(min=MASKED_SCORE)
            logits = logits.masked_fill(~valid[None, :], MASKED_SCORE)
            rows.append(masked_mean(functional.cross_entropy(logits, target, reduction="none"), valid))
    return torch.stack(rows).mean()


def consistency(subset: Tensor, full: Tensor, counts: Tensor) -> Tensor:
    """Missing-modality consistency: mean of 1 − cos(r(x_subset), sg r(x_full)), [B, d] each, where ``counts`` [B].

    The gradient stops on the full side: what all sensors say is the goal, it must not come down to what few can say.
    """
    return masked_mean(1.0 - functional.cosine_similarity(subset, full.detach(), dim=-1), counts)


def pinball(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Quantile loss; predicted [..., 3] by :data:`QUANTILES`, target and mask [...]."""
    level = torch.tensor(QUANTILES, dtype=predicted.dtype, device=predicted.device)
    error = target.unsqueeze(-1) - predicted
    return masked_mean(torch.maximum(level * error, (level - 1.0) * error).sum(-1), mask)


def hazard_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Discrete-time survival likelihood of hypotension in (0, 5], (5, 10], (10, 15] min.

    logits [B, K, H] of the hazards; labels [B, H] cumulative (1: an event within the horizon, 0: none, NaN: unknown);
    weights [B, K] bootstrap weights. Interval j counts while no event came before it and its own fate is known.
    """
    before = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], dim=1)
    counts = (before == 0) & (labels == labels)
    target = torch.where(counts, labels, torch.zeros_like(labels)).unsqueeze(1).expand_as(logits)
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = counts.unsqueeze(1) * weights.unsqueeze(-1)
    return (each * weight).sum() / weight.sum().clamp(min=1)


def wave_loss(predicted: Tensor, target: Tensor, weight: Tensor, smooth: float = 0.3) -> Tensor:
    """Huber loss of a wave and of its steps from sample to sample, so that upstrokes count and fuzz does not pay.

    predicted, target, weight [B, L]; samples of weight 0 do not count.
    """
    level = functional.smooth_l1_loss(predicted, target, reduction="none", beta=smooth)
    step = functional.smooth_l1_loss(predicted.diff(), target.diff(), reduction="none", beta=0.5 * smooth)
    both = torch.minimum(weight[:, 1:], weight[:, :-1])
    level_mean = (level * weight).sum() / weight.sum().clamp(min=1.0)
    return level_mean + 4.0 * (step * both).sum() / both.sum().clamp(min=1.0)
