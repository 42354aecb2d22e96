"""Randomness that follows from (seed, stage, step) alone, so that runs can resume; and where tensors live."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class StepRandom:
    """Randomness of one step. ``torch`` draws on the device of the batch, ``numpy`` draws windows and losses."""

    torch: torch.Generator
    numpy: np.random.Generator


def step_random(seed: int, name: str, step: int, device: torch.device | str = "cpu") -> StepRandom:
    """Generators that depend on seed, stage and step only; also seeds the global one, which dropout draws from."""
    torch.manual_seed(_words(seed, name, step)[0])
    return quiet_random(seed, name, step, device)


def quiet_random(seed: int, name: str, step: int, device: torch.device | str = "cpu") -> StepRandom:
    """The same generators; the global one is left alone, so that a thread may draw."""
    words = _words(seed, name, step)
    generator = torch.Generator(device).manual_seed(words[1])
    return StepRandom(generator, np.random.default_rng(words[2]))


def _words(seed: int, name: str, step: int) -> list[int]:
    state = np.random.SeedSequence([seed, zlib.crc32(name.encode()), step]).generate_state(3, np.uint64)
    return [int(word) >> 1 for word in state]


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters live."""
    return next(module.parameters()).device


def best_device(wanted: str = "auto") -> torch.device:
    """``auto``: a GPU if there is one, else the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
