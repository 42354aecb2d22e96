"""What every stage of training shares: learning-rate schedule, moving average, CSV log, progress."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, steps done and steps in all."""


def cosine_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to ``peak``, then a cosine to 2 % of it."""
    warmup = max(1, min(warmup, steps // 4))
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, along))))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def adamw(module: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices decay, vectors and scalars do not."""
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.98))


class MovingAverage:
    """Exponential moving average of the trainable parameters, with the usual start-up correction."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in self.values:
                    self.values[name].lerp_(parameter, 1.0 - decay)

    def swap(self, module: nn.Module) -> None:
        """Exchanges the module's parameters with the averages; a second call undoes it."""
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in self.values:
                    kept = parameter.detach().clone()
                    parameter.copy_(self.values[name])
                    self.values[name] = kept


def copy_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a state dict, not a live reference to it."""
    return {name: value.detach().clone() for name, value in state.items()}


class CsvLog:
    """Appends rows of numbers to a CSV file, header first; a resumed run continues the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()

    def row(self, values: Mapping[str, float | int | str]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["elapsed_s", *values])
            seconds = f"{time.monotonic() - self.started:.1f}"
            writer.writerow([seconds, *(f"{v:.6g}" if isinstance(v, float) else v for v in values.values())])
