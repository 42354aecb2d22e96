"""SelfMask (ICLR 2026 submission 25120): imagine the absent tokens, and learn which observed ones to hide.

    σ = h_ω(g_φ̄([Z + e, T + e]))        which observed tokens to hide          :class:`MaskScorer`, :func:`nested_masks`
    Z̃ = E(x ⊙ (1 − M) + V ⊙ M)          encoded again, V in their place        :func:`hide`
    Ẑ = g_φ([Z̃ + e, T + e])             absent and hidden tokens imagined       :class:`SelfMaskPredictor`
    Z̄ = g_φ([Z̃ + e, Ẑ_missing + e])     hidden tokens again, from the imagined

Z are the encoder tokens, T learned queries in the absent slots, e positions and modality embedding. M = 1 means masked,
everywhere. At inference nothing is hidden: Ẑ at the absent slots is what :class:`SelfMaskImputer` gives to pass 2.
What the paper leaves open is settled so: K counts masked tokens of a sensor, K_cross > K_obs, masks are nested; h gets
its gradient straight through the top-K, reversed (it seeks what is hard, not what is easy); the targets carry none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.imputers import RestorationImputer
from models.networks.transformer import Block, Transformer, key_bias, sincos_positions

if TYPE_CHECKING:
    from models.physiome import Fused, PhysioME

_SOFTNESS = 0.5  # of the relaxed top-K, in standard deviations of a window's scores
_LOWEST = -1.0e4  # score of what may not be hidden


class DroppingTransformer(Transformer):
    """The pre-LN transformer with dropout on what attention and perceptron add."""

    def __init__(self, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__(width, heads, depth)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, T, d], bias [B, 1, 1, T] -> [B, T, d]."""
        for block in self.blocks:
            assert isinstance(block, Block)
            around = block.norm_attention(x)
            x = x + self.drop(block.attention(around, around, bias))
            x = x + self.drop(block.perceptron(block.norm_perceptron(x)))
        normed: Tensor = self.norm(x)
        return normed


class SelfMaskPredictor(nn.Module):
    """g_φ: from the observed tokens to those of every slot. d is the width of the encoder tokens."""

    positions: Tensor

    def __init__(
        self,
        modalities: int,
        frames: int,
        token_width: int,
        width: int,
        heads: int,
        depth: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        # Each modality has token spaces of its own: into the common width and back.
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(token_width), nn.Linear(token_width, width)) for _ in range(modalities)
        )
        self.context = nn.Linear(token_width, width)
        self.query = nn.Parameter(torch.randn(1, modalities, 1, width) * 0.02)
        self.modality = nn.Parameter(torch.randn(1, modalities, 1, width) * 0.02)
        self.register_buffer("positions", sincos_positions(frames, width)[None, None], persistent=False)
        self.transformer = DroppingTransformer(width, heads, depth, dropout)
        self.out = nn.ModuleList(nn.Linear(width, token_width) for _ in range(modalities))

    def hidden(
        self, tokens: Tensor, filled: Tensor, keys: Tensor, embedded: Tensor, hint: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """States of the context token [B, w] and of the slots [B, M, N, w]; arguments as in :meth:`forward`. ``hint``
        [B, M, w], what is remembered of each modality, goes to the queries of slots that hold no token."""
        inside = filled.unsqueeze(-1)
        known = torch.where(inside, tokens, torch.zeros_like(tokens))
        adapted = torch.stack([adapter(known[:, m]) for m, adapter in enumerate(self.adapters)], dim=1)
        query = self.query.expand_as(adapted) if hint is None else self.query + hint.unsqueeze(2)
        slots = torch.where(inside, adapted, query) + self.positions + self.modality
        keep = keys.flatten(1)
        bias = key_bias(torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1))
        sequence = torch.cat([self.context(embedded).unsqueeze(1), slots.flatten(1, 2)], dim=1)
        states = self.transformer(sequence, bias)
        return states[:, 0], states[:, 1:].reshape(slots.shape)

    def forward(self, tokens: Tensor, filled: Tensor, keys: Tensor, embedded: Tensor) -> Tensor:
        """Tokens of every slot [B, M, N, d].

        tokens [B, M, N, d]; filled bool [B, M, N]: slots that hold a token (the others hold the query T); keys bool
        [B, M, N]: slots that may be attended; embedded [B, d]: the context embedding, always a key, so that nothing
        observed gives a finite prior.
        """
        return self.read(self.hidden(tokens, filled, keys, embedded)[1])

    def read(self, states: Tensor) -> Tensor:
        """States [B, M, N, w] -> tokens [B, M, N, d]."""
        return torch.stack([out(states[:, m]) for m, out in enumerate(self.out)], dim=1)


class MaskScorer(nn.Module):
    """h_ω: a score for each slot from the states of the averaged predictor g_φ̄; the highest are hidden."""

    def __init__(self, width: int, heads: int, depth: int = 2) -> None:
        super().__init__()
        self.transformer = Transformer(width, heads, depth)
        self.score = nn.Linear(width, 1)

    def forward(self, context: Tensor, states: Tensor, observed: Tensor) -> Tensor:
        """context [B, w], states [B, M, N, w], observed bool [B, M, N] -> scores [B, M, N]."""
        keep = observed.flatten(1)
        bias = key_bias(torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1))
        out = self.transformer(torch.cat([context.unsqueeze(1), states.flatten(1, 2)], dim=1), bias)
        scores: Tensor = self.score(out[:, 1:]).reshape(observed.shape)
        return scores


def reverse_gradient(x: Tensor) -> Tensor:
    """x itself, with the opposite gradient (Ganin & Lempitsky 2015): what follows is maximised."""
    return 2.0 * x.detach() - x


def nested_masks(scores: Tensor, observed: Tensor, shares: tuple[float, ...], block: int = 1) -> list[Tensor]:
    """Straight-through top-K masks of the observed slots, one a share, each within the next if shares rise.

    scores [B, M, N], observed bool [B, M, N] -> float [B, M, N], exactly 1 on the ⌈share · T⌉ highest of a sensor's T
    observed slots, exactly 0 elsewhere: K is a sensor's, for a scorer that likes one sensor would hide all of it and
    nothing of the others (measured with a common K: 10, 0, 0 and 0 frames). The gradient is that of a sigmoid around
    the K-th score (M = hard + soft − sg(soft)), on scores standardised within the sensor, so that their size cannot
    saturate it. ``block`` hides runs of
    that many frames (T and K count runs), for frames that overlap: a neighbour would give them away.
    """
    frames = scores.shape[-1]
    if block > 1:
        scores, observed_runs = _runs(scores, observed, block)
    else:
        observed_runs = observed
    valid = observed_runs.flatten(0, 1)
    count = valid.sum(1, keepdim=True)
    standard = _standardised(scores.flatten(0, 1), valid, count)
    ordered, order = torch.where(valid, standard, _LOWEST).detach().sort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    masks = []
    for share in shares:
        size = torch.ceil(share * count - 1e-6).long()
        last = ordered.gather(1, (size - 1).clamp(min=0))
        following = torch.where(size < count, ordered.gather(1, size.clamp(max=order.shape[1] - 1)), last - 1.0)
        soft = torch.sigmoid((standard - 0.5 * (last + following)) / _SOFTNESS)
        hard = (rank < size) & valid
        mask = torch.where(valid, hard.float() + (soft - soft.detach()), torch.zeros_like(soft))
        mask = mask.reshape(observed_runs.shape)
        if block > 1:
            mask = torch.where(observed, mask.repeat_interleave(block, dim=-1)[..., :frames], 0.0)
        masks.append(mask)
    return masks


def _standardised(scores: Tensor, valid: Tensor, count: Tensor) -> Tensor:
    """Scores [B, T] of zero mean and unit spread over a row's valid ones."""
    kept = torch.where(valid, scores, torch.zeros_like(scores))
    mean = kept.sum(1, keepdim=True) / count.clamp(min=1)
    centred = torch.where(valid, scores - mean, torch.zeros_like(scores))
    spread = (centred.square().sum(1, keepdim=True) / count.clamp(min=1) + 1e-6).sqrt()
    return centred / spread


def _runs(scores: Tensor, observed: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Mean score and presence of runs of ``block`` frames [B, M, ⌈N / block⌉]."""
    pad = -scores.shape[-1] % block
    inside = nn.functional.pad(observed, (0, pad)).unflatten(-1, (-1, block))
    kept = torch.where(inside, nn.functional.pad(scores, (0, pad)).unflatten(-1, (-1, block)), 0.0)
    return kept.sum(-1) / inside.sum(-1).clamp(min=1), inside.any(-1)


def block_frames(frame_s: float, step_s: float) -> int:
    """Frames of a run whose middle frame shares no sample with a frame outside it: 1 where frames do not overlap."""
    return 2 * -(-round(1000 * frame_s) // round(1000 * step_s)) - 1


def hide(features: Tensor, observed: Tensor, mask: Tensor, stand_in: Tensor) -> Tensor:
    """x ⊙ (1 − M) + V ⊙ M on frame features [B, M, N, d], with the mask's straight-through gradient.

    mask [B, M, N] of exact zeros and ones, stand_in V [M, 1, d]; features of absent slots become 0, whatever they are.
    """
    kept = torch.where(observed.unsqueeze(-1), features, torch.zeros_like(features))
    masked = mask.unsqueeze(-1)
    return kept * (1.0 - masked) + stand_in * masked


def imagine(model: PhysioME, tokens: Tensor, presence: Tensor, embedded: Tensor, memory: Tensor | None) -> Tensor:
    """Ẑ: tokens of every slot [B, M, N, d] from the observed ones; a model with memory imagines what is absent relative
    to what is remembered of it (memory [B, M, d], NaN: nothing)."""
    if model.memory is None:
        imagined: Tensor = model.selfmask(tokens, presence, presence, embedded)
        return imagined
    reader = model.memory.selfmask
    recalled = reader.recall(memory, presence)
    _, states = model.selfmask.hidden(tokens, presence, presence, embedded, recalled.hint)
    return reader.tokens(recalled, states, model.selfmask.read(states), ~presence)


class SelfMaskImputer:
    """Absent tokens imagined by ``model.selfmask`` from the observed ones and the context embedding."""

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """Tokens [B, M, N, d] of every slot."""
        return imagine(model, state.tokens, state.presence, state.embedded, state.memory)


class ChosenImputer:
    """Both of the model's imputers, chosen by window: SelfMask where ``selfmask`` [B] is True, else restoration."""

    def __init__(self, selfmask: Tensor) -> None:
        self.selfmask = selfmask

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """Tokens [B, M, N, d] of every slot, by the imputer of each window."""
        restored = RestorationImputer().impute(model, state)
        imagined = SelfMaskImputer().impute(model, state)
        return torch.where(self.selfmask[:, None, None, None], imagined, restored)
