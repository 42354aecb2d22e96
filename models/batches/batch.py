"""One batch of windows, and how batches are drawn: by seed, stage and step for training, once for a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.batches.ahead import Ahead
from models.batches.chance import StepRandom, quiet_random
from models.data.missingness import LossPlan

if TYPE_CHECKING:
    from models.batches.group import Group

TRAINING = LossPlan()
"""How sensors are lost in training."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. Labels are NaN where unknown."""

    signals: Tensor  # [B, M, L] physical units; complete, or NaN where not ``known``
    features: Tensor  # [B, M, N, d] cached frame features of the complete window
    presence: Tensor  # bool [B, M, N]
    donors: Tensor  # [B, M, N, d] frame features of the last window that had the modality whole
    remembered: Tensor  # bool [B, M] there is such a window
    known: Tensor  # bool [B, M, N] frames whose truth is known, absent or not: what may be a target
    context: Tensor  # [B, M, C]
    pressures: Tensor  # [B, N, 3] MAP, SBP, DBP of each frame, mmHg
    r_times: Tensor  # [B, R] seconds from the window's start, NaN-padded
    eeg: Tensor  # [B, 7]
    depth: Tensor  # [B]
    hypotension: Tensor  # [B, 3] event within 5, 10, 15 min
    stage: Tensor  # int64 [B] sleep stage, -1 unknown
    bootstrap: Tensor  # [B, K] weights of the window's patient
    patient: Tensor  # int64 [B] index in the group
    end_s: Tensor  # int64 [B] end of the window in its recording

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; copies to a GPU are asynchronous."""
        if device.type == "cpu":
            return self
        moved = (getattr(self, f.name).pin_memory().to(device, non_blocking=True) for f in fields(self))
        return Batch(*moved)


def draw_batch(
    group: Group, plan: LossPlan, size: int, random: StepRandom, device: torch.device, signal_rows: int = 0,
    contrastive: bool = False,
) -> Batch:  # fmt: skip
    """``size`` windows of a group with losses by the plan; signals of the first ``signal_rows`` only. ``contrastive``:
    several windows of each patient, far apart (:mod:`models.batches.negatives`), else any windows."""
    rows = group.draw_apart(random.numpy, size) if contrastive else group.draw_rows(random.numpy, size)
    return group.batch(rows, group.draw(random.numpy, rows, plan), signal_rows).to(device)


def step_batches(
    group: Group, plan: LossPlan, size: int, seed: int, name: str, device: torch.device, signal_rows: int = 0,
    contrastive: bool = False,
) -> Ahead[Batch]:  # fmt: skip
    """step -> :func:`draw_batch` of that step's randomness; on a GPU the next one is drawn while it computes."""

    def make(step: int) -> Batch:
        return draw_batch(group, plan, size, quiet_random(seed, name, step), device, signal_rows, contrastive)

    return Ahead(make, ahead=device.type != "cpu")


def fixed_batches(
    group: Group, plan: LossPlan, seed: int, windows: int, size: int, device: torch.device, signal_rows: int = 0
) -> Iterator[tuple[Batch, torch.Generator]]:
    """The same windows with the same losses at every call, each batch with a generator of its own."""
    rng = np.random.default_rng([seed, 99])
    chosen = group.choose(rng, windows)
    for first in range(0, len(chosen), size):
        rows = chosen[first : first + size]
        generator = torch.Generator(device).manual_seed(seed * 7919 + first)
        yield group.batch(rows, group.draw(rng, rows, plan), signal_rows).to(device), generator


def mean_losses(
    batches: Iterator[tuple[Batch, torch.Generator]],
    losses: Callable[[Batch, torch.Generator], dict[str, Tensor]],
) -> dict[str, float]:
    """Mean of named losses over batches, by window."""
    sums: dict[str, float] = {}
    count = 0
    for batch, generator in batches:
        size = len(batch.presence)
        count += size
        for name, value in losses(batch, generator).items():
            sums[name] = sums.get(name, 0.0) + float(value) * size
    return {name: value / count for name, value in sums.items()}
