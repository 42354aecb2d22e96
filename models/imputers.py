"""Imputers: what stands in the slots of absent frames before pass 2. All share encoders, fusion and heads.

The comparison of missing-data methods swaps only this part. ``Fused`` is the state after pass 1
(``models.physiome.Fused``); an imputer returns tokens [B, M, N, d], of which only the absent slots are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.physiome import Fused, PhysioME


class Imputer(Protocol):
    """Fills absent slots; must not read ``state.tokens`` where ``state.presence`` is False. None leaves the learned
    missing token in them."""

    def impute(self, model: PhysioME, state: Fused) -> Tensor | None:
        """Tokens [B, M, N, d], of which the absent slots are used; None: the learned missing token stands there."""


class RestorationImputer:
    """PhysioME's own: one decoder a modality predicts the encoder tokens. Its input carries no gradient, so it cannot
    bend the encoders (the paper's ablation: 78.83 against 77.13 accuracy), unless the model is that ablation. A model
    with memory restores relative to what is remembered (``models.networks.memory``)."""

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """The decoders' tokens [B, M, N, d]."""
        context, slots = state.context_out, state.slots
        if model.config.stop_gradient:
            context, slots = context.detach(), slots.detach()
        if model.memory is None:
            restored: Tensor = model.restoration(context, slots, state.presence)
            return restored
        reader = model.memory.restoration
        recalled = reader.recall(state.memory, state.presence)
        states = model.restoration.states(context, slots, state.presence, recalled.hint)
        return reader.tokens(recalled, states, model.restoration.read(states), ~state.presence)


class ZeroImputer:
    """Zeros in token space."""

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """Zeros [B, M, N, d]."""
        return torch.zeros_like(state.tokens)


class MaskTokenImputer:
    """The learned missing token μ of each modality, which lives in the fused space: nothing is imputed."""

    def impute(self, model: PhysioME, state: Fused) -> None:
        """None: the missing tokens stay."""


class MeanImputer:
    """One token a modality and slot for all windows, [M, N, d] (or [M, 1, d]): the training mean, or the *memory
    token*, which is learned with everything else frozen."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """The same tokens for every window, [B, M, N, d]."""
        return self.mean[None].expand_as(state.tokens)


class HoldImputer:
    """Last observation carried forward: the latest present token before the slot; where the window itself has none,
    ``before``: the last token measured before the window [B, M, d], or the last window's token of the same slot
    [B, M, N, d]."""

    def __init__(self, before: Tensor) -> None:
        self.before = before

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """The last token seen, slot by slot, [B, M, N, d]."""
        before = self.before.unsqueeze(2).expand_as(state.tokens) if self.before.dim() == 3 else self.before
        held, seen, rows = state.tokens[:, :, 0], torch.zeros_like(state.presence[:, :, 0]), []
        for n in range(state.tokens.shape[2]):
            here = state.presence[:, :, n]
            held, seen = torch.where(here[..., None], state.tokens[:, :, n], held), seen | here
            rows.append(torch.where(seen[..., None], held, before[:, :, n]))
        return torch.stack(rows, dim=2)


class GivenImputer:
    """Tokens [B, M, N, d] found beforehand from what is known of these very windows: random fill, regressions,
    templates (``models.evaluation.rivals``)."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """The tokens as given, [B, M, N, d]."""
        return self.tokens


class OracleImputer:
    """The encoder tokens of the complete window: the ceiling of any imputer."""

    def __init__(self, complete: Tensor) -> None:
        self.complete = complete

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        """The tokens of the complete window, [B, M, N, d]."""
        return self.complete
