"""What imputers do with the token memory: the mean token of each modality's last wholly measured window.

An absent sensor's tokens are mostly identity (patient, device, beat shape), which no other sensor tells. So an imputer
does not draw them from nothing: it starts from the remembered token and predicts what has changed since.

    query + W · LayerNorm(memory)  →  decoder  →  memory + change        where the modality is remembered
    query + unknown                →  decoder  →  token, as without memory      where it is not

``change`` is a read-out of its own that starts at zero: training begins at *hold* and can only leave it for the better,
and what the decoder says of a sensor that was never measured stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Recalled:
    """What one imputer is told. Modalities that are wholly present are never remembered: they need nothing."""

    memory: Tensor  # [B, M, d], 0 where not known
    known: Tensor  # bool [B, M]
    hint: Tensor  # [B, M, w], added to the queries of absent slots


class MemoryReader(nn.Module):
    """The part of one imputer whose states have width w; M modalities, d the width of the encoder tokens."""

    def __init__(self, modalities: int, token_width: int, width: int) -> None:
        super().__init__()
        self.token_width = token_width
        self.norms = nn.ModuleList(nn.LayerNorm(token_width) for _ in range(modalities))
        self.projections = nn.ModuleList(nn.Linear(token_width, width) for _ in range(modalities))
        self.unknown = nn.Parameter(torch.zeros(1, modalities, width))
        self.changes = nn.ModuleList(nn.Linear(width, token_width) for _ in range(modalities))
        for change in self.changes:
            assert isinstance(change, nn.Linear)
            nn.init.zeros_(change.weight)
            nn.init.zeros_(change.bias)

    def recall(self, memory: Tensor | None, presence: Tensor) -> Recalled:
        """memory [B, M, d], NaN where never measured (None: all of it); presence bool [B, M, N]."""
        if memory is None:
            unknown = torch.full_like(presence[:, :, :1], float("nan"), dtype=self.unknown.dtype)
            memory = unknown.expand(-1, -1, self.token_width)
        finite = (memory.abs() < float("inf")).all(-1)
        known = finite & ~presence.all(-1)
        kept = torch.where(known.unsqueeze(-1), memory, torch.zeros_like(memory))
        rows = [project(norm(kept[:, m])) for m, (norm, project) in enumerate(zip(self.norms, self.projections))]  # noqa: B905
        hint = torch.where(known.unsqueeze(-1), torch.stack(rows, dim=1), self.unknown)
        return Recalled(kept, known, hint)

    def tokens(self, recalled: Recalled, states: Tensor, plain: Tensor, absent: Tensor) -> Tensor:
        """The imputer's states [B, M, N, w] and the tokens it reads from them on its own, ``plain`` [B, M, N, d] ->
        tokens [B, M, N, d]: memory + change in the ``absent`` slots [B, M, N] of what is remembered, else ``plain``."""
        change = torch.stack([read(states[:, m]) for m, read in enumerate(self.changes)], dim=1)
        inside = (recalled.known.unsqueeze(-1) & absent).unsqueeze(-1)
        return torch.where(inside, recalled.memory.unsqueeze(2) + change, plain)


class TokenMemory(nn.Module):
    """The readers of both imputers. A module of its own, so that a model trained without memory can be given one."""

    def __init__(self, modalities: int, token_width: int, restoration_width: int, selfmask_width: int) -> None:
        super().__init__()
        self.restoration = MemoryReader(modalities, token_width, restoration_width)
        self.selfmask = MemoryReader(modalities, token_width, selfmask_width)
