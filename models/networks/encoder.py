"""The modality encoder of DP-NeuroNet: frame features, positions, CLS and a pre-LN transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.frame_network import FrameNetwork, PatchEmbedding
from models.networks.transformer import Transformer, key_bias, sincos_positions


class ModalityEncoder(nn.Module):
    """Encodes the frames of one modality; absent frames are never keys. The CLS token is always valid.

    ``features`` depends on single frames (cacheable), ``forward`` on the window.
    """

    positions: Tensor

    def __init__(
        self, frames: int, frame_samples: int, channels: tuple[int, int], width: int, heads: int, depth: int,
        step_samples: int | None = None, backbone: str = "cnn",
    ):  # fmt: skip
        """``step_samples`` from frame to frame (None: they follow one another); ``backbone`` "cnn" or "vit"."""
        super().__init__()
        self.frames, self.frame_samples, self.width = frames, frame_samples, width
        self.step_samples = frame_samples if step_samples is None else step_samples
        self.frame_network = (
            PatchEmbedding(frame_samples, width) if backbone == "vit" else FrameNetwork(channels, width)
        )
        self.embed = nn.Linear(width, width)
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.register_buffer("positions", sincos_positions(frames + 1, width)[None], persistent=False)
        self.transformer = Transformer(width, heads, depth)

    def features(self, signal: Tensor) -> Tensor:
        """Scaled samples [B, L] -> frame features [B, N, d]."""
        if self.step_samples == self.frame_samples:
            frames = signal.reshape(-1, self.frame_samples)
        else:
            frames = signal.unfold(-1, self.frame_samples, self.step_samples).flatten(0, 1)
        features: Tensor = self.frame_network(frames).reshape(-1, self.frames, self.width)
        return features

    def forward(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, N, d] and presence bool [B, N] -> tokens [B, N, d] and CLS [B, d]."""
        tokens = self.embed(features) + self.positions[:, 1:]
        cls = (self.cls + self.positions[:, :1]).expand(features.shape[0], -1, -1)
        always = torch.ones_like(present[:, :1])
        bias = key_bias(torch.cat([always, present], dim=1))
        out = self.transformer(torch.cat([cls, tokens], dim=1), bias)
        return out[:, 1:], out[:, 0]
