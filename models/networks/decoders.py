"""Token decoders: restoration of absent slots, and prediction of the slots that were not sampled (PhysioME)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.transformer import MemoryBlock, key_bias


class TokenDecoder(nn.Module):
    """Predicts the encoder tokens of one modality from the fused sequence.

    Queries are the modality's own N slots after pass 1, the memory is the context token and every slot of pass 1; only
    ``keys`` are attended, and the queries attend to each other. Whether the input carries a gradient is the caller's
    affair (restoration: stop-gradient).
    """

    def __init__(self, width: int, decoder_width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, decoder_width)
        self.norm_memory = nn.LayerNorm(decoder_width)
        self.blocks = nn.ModuleList(MemoryBlock(decoder_width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(decoder_width)
        self.out = nn.Linear(decoder_width, width)

    def states(self, own: Tensor, sequence: Tensor, keys: Tensor, hint: Tensor | None = None) -> Tensor:
        """own [B, N, d], sequence [B, 1 + M·N, d], keys bool [B, 1 + M·N], hint [B, w] for the queries -> [B, N, w]."""
        x = self.narrow(own)
        if hint is not None:
            x = x + hint.unsqueeze(1)
        memory = self.norm_memory(self.narrow(sequence))
        always = torch.ones_like(keys[:, :1]).expand(-1, own.shape[1])
        bias = key_bias(torch.cat([keys, always], dim=1))
        for block in self.blocks:
            x = block(x, memory, bias)
        normed: Tensor = self.norm(x)
        return normed

    def forward(self, own: Tensor, sequence: Tensor, keys: Tensor) -> Tensor:
        """Tokens [B, N, d]; arguments as in :meth:`states`."""
        tokens: Tensor = self.out(self.states(own, sequence, keys))
        return tokens


class DecoderBank(nn.Module):
    """One :class:`TokenDecoder` a modality."""

    def __init__(self, modalities: int, width: int, decoder_width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(TokenDecoder(width, decoder_width, heads, depth) for _ in range(modalities))

    def states(self, context: Tensor, slots: Tensor, keys: Tensor, hint: Tensor | None = None) -> Tensor:
        """context [B, d], slots of pass 1 [B, M, N, d], keys bool [B, M, N], hint [B, M, w] (what is remembered of each
        modality) -> states [B, M, N, w]."""
        sequence = torch.cat([context.unsqueeze(1), slots.flatten(1, 2)], dim=1)
        keep = keys.flatten(1)
        keep = torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1)
        return torch.stack(
            [
                decoder.states(slots[:, m], sequence, keep, None if hint is None else hint[:, m])  # type: ignore[operator]
                for m, decoder in enumerate(self.decoders)
            ],
            dim=1,
        )

    def read(self, states: Tensor) -> Tensor:
        """States [B, M, N, w] -> tokens [B, M, N, d]."""
        return torch.stack([decoder.out(states[:, m]) for m, decoder in enumerate(self.decoders)], dim=1)  # type: ignore[operator]

    def forward(self, context: Tensor, slots: Tensor, keys: Tensor) -> Tensor:
        """Tokens [B, M, N, d]; arguments as in :meth:`states`."""
        return self.read(self.states(context, slots, keys))
