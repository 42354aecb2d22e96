"""Pre-LN transformer blocks with an explicit key mask, written so that ONNX and TensorRT fuse the attention.

``(q·s) @ kᵀ + bias`` with a finite bias of −1e4 on masked keys: the weight of a masked key is exactly 0 in fp32 (and
fp16), no row can become NaN, and the operator pattern is the one TensorRT fuses. There is no key bias (softmax does
not see it). Low-rank adapters (LoRA, arXiv 2106.09685) sit on the attention projections and are merged for export.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MASKED_KEY_BIAS = -1.0e4


def sincos_positions(length: int, width: int) -> Tensor:
    """Fixed sine–cosine positions [length, width] (Vaswani 2017)."""
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    angle = torch.arange(length, dtype=torch.float32)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, width)


def key_bias(keep: Tensor) -> Tensor:
    """bool [B, K] (True = may be attended) -> additive bias [B, 1, 1, K]."""
    zero = torch.zeros((), dtype=torch.float32, device=keep.device)
    return torch.where(keep, zero, zero + MASKED_KEY_BIAS)[:, None, None, :]


class LowRankLinear(nn.Module):
    """A linear map with an optional low-rank adapter: W x + (α/r) B A x."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.down: nn.Parameter | None = None
        self.up: nn.Parameter | None = None
        self.scale = 0.0
        self.dropout = nn.Dropout(0.0)

    def add_adapter(self, rank: int, alpha: float, dropout: float) -> None:
        """Freezes W and adds A (random) and B (zero), so the map is unchanged at first."""
        self.linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, self.linear.in_features) / math.sqrt(self.linear.in_features))
        self.up = nn.Parameter(torch.zeros(self.linear.out_features, rank))
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)

    def merge_adapter(self) -> None:
        """Adds the adapter into W and removes it."""
        if self.down is not None and self.up is not None:
            with torch.no_grad():
                self.linear.weight += self.scale * (self.up @ self.down)
            self.down = self.up = None

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        y: Tensor = self.linear(x)
        if self.down is not None and self.up is not None:
            y = y + self.scale * (self.dropout(x) @ self.down.T) @ self.up.T
        return y


class Attention(nn.Module):
    """Multi-head attention of queries [B, Q, d] to keys and values from memory [B, K, d]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.head_width = heads, width // heads
        self.query = LowRankLinear(width, width, bias=True)
        self.key_value = LowRankLinear(width, 2 * width, bias=False)
        self.out = LowRankLinear(width, width, bias=True)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """x [B, Q, d], memory [B, K, d], bias [B, 1, 1, K] added to the scores (see :func:`key_bias`) -> [B, Q, d]."""
        q = self.query(x) * (1.0 / math.sqrt(self.head_width))
        k, v = self.key_value(memory).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2) for t in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-1, -2) + bias, dim=-1)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Pre-LN block: self-attention and a perceptron of ``ratio`` times the width."""

    def __init__(self, width: int, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, T, d], bias [B, 1, 1, T] -> [B, T, d]."""
        normed = self.norm_attention(x)
        x = x + self.attention(normed, normed, bias)
        out: Tensor = x + self.perceptron(self.norm_perceptron(x))
        return out


class MemoryBlock(nn.Module):
    """A block whose queries attend to a fixed memory and to themselves in one attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = Block(width, heads)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """x [B, Q, d], memory [B, K, d] (already normed), bias [B, 1, 1, K + Q]."""
        normed = self.block.norm_attention(x)
        x = x + self.block.attention(normed, torch.cat([memory, normed], dim=1), bias)
        out: Tensor = x + self.block.perceptron(self.block.norm_perceptron(x))
        return out


class Transformer(nn.Module):
    """``depth`` blocks and a final LayerNorm; [B, T, d] with key bias [B, 1, 1, T] -> [B, T, d]."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [B, T, d], bias [B, 1, 1, T] -> [B, T, d]."""
        for block in self.blocks:
            x = block(x, bias)
        normed: Tensor = self.norm(x)
        return normed


def low_rank_layers(module: nn.Module) -> list[LowRankLinear]:
    """Every layer of ``module`` that can carry an adapter."""
    return [layer for layer in module.modules() if isinstance(layer, LowRankLinear)]
