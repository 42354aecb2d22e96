"""Checkpoints: tensors in safetensors, the rest in JSON; written whole or not at all; resumed bit for bit.

No pickle. A checkpoint holds the model, the optimiser's moments, the moving average, the step, and the state of the
torch random generator (uint8 tensor), so a resumed run on the CPU gives the same weights as an unbroken one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.signals.errors import BadInput


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name and plain facts (step, best score, fingerprint …)."""

    tensors: dict[str, Tensor]
    facts: dict[str, float | int | str]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name begins with ``prefix/``, without it."""
        head = prefix + "/"
        return {name[len(head) :]: value for name, value in self.tensors.items() if name.startswith(head)}


def save(path: Path, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, float | int | str]) -> None:
    """Writes ``parts`` (prefix -> tensors) and ``facts``. Atomic: a crash leaves the former file."""
    tensors = {
        f"{prefix}/{name}": value.detach().clone().contiguous()
        for prefix, part in parts.items()
        for name, value in part.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    save_file(tensors, str(scratch), metadata={"facts": json.dumps(dict(facts))})
    os.replace(scratch, path)


def load(path: Path) -> Checkpoint:
    """Raises BadInput for a file that is not a checkpoint."""
    try:
        with safe_open(str(path), framework="pt") as handle:
            facts = json.loads((handle.metadata() or {}).get("facts", "{}"))
            return Checkpoint({name: handle.get_tensor(name) for name in handle.keys()}, facts)  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise BadInput("a checkpoint in safetensors", f"{path} ({error})", "train again without --resume") from error


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as flat tensors: ``{index}.{field}``."""
    return {
        f"{index}.{field}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for field, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    whole = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, field = key.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    whole["state"] = state
    optimiser.load_state_dict(whole)
