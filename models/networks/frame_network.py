"""The frame network: one frame of one modality to one feature vector (NeuroNet, arXiv 2404.17585).

Stem Conv1d k7 s2, BatchNorm, ELU, MaxPool s2; three parallel branches with kernels 3, 5 and 7, four residual blocks
each with strides 1/1/2/2; pooled over time, concatenated, a two-layer perceptron. Frames are folded into the batch, so
a frame's feature depends on that frame alone and may be cached while the frame stays in the window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_KERNELS = (3, 5, 7)


class ResidualBlock(nn.Module):
    """Two convolutions of one kernel size with BatchNorm and ELU; the shortcut is a 1×1 convolution on change."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ELU(),
            nn.Conv1d(outputs, outputs, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv1d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm1d(outputs)
            )
        self.activation = nn.ELU()

    def forward(self, x: Tensor) -> Tensor:
        """[F, inputs, T] -> [F, outputs, T / stride]."""
        out: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return out


class FrameNetwork(nn.Module):
    """[F, frame_samples] scaled samples -> [F, width]. ``channels`` are those of the first and last two blocks."""

    def __init__(self, channels: tuple[int, int], width: int) -> None:
        super().__init__()
        low, high = channels
        self.stem = nn.Sequential(
            nn.Conv1d(1, low, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm1d(low),
            nn.ELU(),
            nn.MaxPool1d(3, stride=2, padding=1),
        )
        self.branches = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(low, low, kernel, 1),
                ResidualBlock(low, low, kernel, 1),
                ResidualBlock(low, high, kernel, 2),
                ResidualBlock(high, high, kernel, 2),
            )
            for kernel in _KERNELS
        )
        features = 2 * high * len(_KERNELS)  # mean and maximum over time: level as well as events
        self.perceptron = nn.Sequential(
            nn.Linear(features, features // 2),
            nn.ELU(),
            nn.Linear(features // 2, features // 2),
            nn.ELU(),
            nn.Linear(features // 2, width),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Scaled frames [F, frame_samples] -> features [F, width]."""
        stem = self.stem(frames.unsqueeze(1))
        maps = torch.cat([branch(stem) for branch in self.branches], dim=1)
        features: Tensor = self.perceptron(torch.cat([maps.mean(-1), maps.amax(-1)], dim=-1))
        return features


class PatchEmbedding(nn.Module):
    """[F, frame_samples] -> [F, width]: one linear map of the frame, as a vision transformer embeds its patches
    (arXiv 2010.11929). The baseline of the ablation CNN versus ViT; like the frame network it sees one frame alone."""

    def __init__(self, frame_samples: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(frame_samples, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Scaled frames [F, frame_samples] -> features [F, width]."""
        features: Tensor = self.project(frames)
        return features
