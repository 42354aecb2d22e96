"""A small PhysioME with plausible inputs, shared by the tests of the model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from models.export import example_inputs
from models.physiome import SIZES, PhysioME, PhysioMEConfig

torch.set_num_threads(1)  # more of them spin on a busy machine: a hundred times slower for models this small

CI: PhysioMEConfig = SIZES["ci"]


def stacked(batch: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Signals [B, M, L], presence [B, M, N], context [B, M, C] of plausible windows, all present."""
    arrays = example_inputs(CI, batch, seed)
    signals = np.stack([arrays[m.value.lower()] for m in CI.modalities], axis=1)
    return tuple(torch.from_numpy(np.asarray(a)) for a in (signals, arrays["presence"], arrays["context"]))  # type: ignore[return-value]


@cache
def plain_model() -> PhysioME:
    """Random weights, made once for the many examples of a property: nobody may change it."""
    torch.manual_seed(3)
    return PhysioME(CI).eval()


@pytest.fixture
def small_model() -> PhysioME:
    """Random weights, with the zero-initialised layers shaken so that nothing is trivially constant."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    model = PhysioME(CI).eval()
    with torch.no_grad():
        model.bedside.pressure.out.weight.normal_(std=0.1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                assert module.running_mean is not None
                module.running_mean.normal_(std=0.1)
    return model


def with_memory(model: PhysioME) -> PhysioME:
    """The model with readers of the token memory, their zero-initialised parts shaken."""
    torch.manual_seed(11)
    model.add_memory()
    assert model.memory is not None
    with torch.no_grad():
        for reader in (model.memory.restoration, model.memory.selfmask):
            reader.unknown.normal_(std=0.1)
            for change in reader.changes:
                change.weight.normal_(std=0.1)  # type: ignore[operator, union-attr]
    return model.requires_grad_(True)
