"""Checkpoints: tensors in safetensors, facts as JSON in its header; written whole or not at all. No pickle.

A checkpoint of a stage holds the module, the optimiser's moments, the moving average, the best weights so far and where
the stage stands. Randomness is a function of seed, stage and step, so none is stored, and a resumed run on the CPU
gives the same weights as an unbroken one.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.signals.errors import BadInput, VigilError

SCHEMA = "vigil.checkpoint/1"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(VigilError):
    """Nothing more can be written; the former checkpoint is intact."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name and plain facts (stage, step, best score, fingerprint …)."""

    tensors: dict[str, Tensor]
    facts: dict[str, float | int | str]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name begins with ``prefix/``, without it."""
        head = prefix + "/"
        return {name[len(head) :]: value for name, value in self.tensors.items() if name.startswith(head)}


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns "no space left" into one sentence (DiskFull)."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"The disk is full while writing to {folder}; free some space and run the same command again, it goes on "
            "from the last checkpoint."
        ) from error


def save(path: Path, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, float | int | str]) -> None:
    """Writes ``parts`` (prefix -> tensors) and ``facts``. Atomic: a crash or a full disk leaves the former file."""
    tensors = {
        f"{prefix}/{name}": value.detach().cpu().clone().contiguous()
        for prefix, part in parts.items()
        for name, value in part.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    try:
        save_file(tensors, str(scratch), metadata={"schema": SCHEMA, "facts": json.dumps(dict(facts))})
        os.replace(scratch, path)
    except SafetensorError as error:  # the library's own word for an error of the file system
        scratch.unlink(missing_ok=True)
        raise OSError(_errno_in(str(error)), f"could not write: {error}", str(path)) from error
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def _errno_in(text: str) -> int:
    """The error number in a message such as ``IoError(Os { code: 28, kind: StorageFull, … })``."""
    return next((code for code in _FULL if f"code: {code}," in text or f"os error {code})" in text), errno.EIO)


def load(path: Path) -> Checkpoint:
    """Raises BadInput for a file that is not a checkpoint of Vigil."""
    remedy = "delete it to train that stage again"
    try:
        with safe_open(str(path), framework="pt") as handle:
            header = handle.metadata() or {}
            facts = json.loads(header.get("facts", "{}"))
            if header.get("schema") != SCHEMA:
                raise BadInput(f"a checkpoint of schema {SCHEMA}", f"{header.get('schema')!r} in {path}", remedy)
            return Checkpoint({name: handle.get_tensor(name) for name in handle.keys()}, facts)  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise BadInput("a checkpoint in safetensors", f"{path} ({error})", remedy) from error


def check(
    saved: Checkpoint, path: Path, stage: str, fingerprint: str, prefix: str, state: Mapping[str, Tensor]
) -> None:
    """Raises BadInput unless the checkpoint is of this stage, of these settings and data, and of this architecture."""
    facts = saved.facts
    if facts.get("stage") != stage:
        raise BadInput(f"a checkpoint of stage {stage}", f"one of stage {facts.get('stage')} in {path}", "move it away")
    check_tensors(path, saved.part(prefix), state)
    if facts.get("fingerprint") != fingerprint:
        raise BadInput(
            f"a checkpoint of stage {stage} with these settings, seed and data (fingerprint {fingerprint})",
            f"fingerprint {facts.get('fingerprint')} in {path}",
            "use the configuration it was trained with, or another --out",
        )


def check_tensors(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raises BadInput naming the first tensor that is missing, surplus or of another shape or type."""
    remedy = "use a checkpoint of the same size and version, or train again"
    for name, value in wanted.items():
        described = f"a tensor {name} of {list(value.shape)} ({value.dtype})"
        if name not in found:
            raise BadInput(described, f"none in {path}", remedy)
        other = found[name]
        if other.shape != value.shape or other.dtype != value.dtype:
            raise BadInput(described, f"{list(other.shape)} ({other.dtype}) in {path}", remedy)
    surplus = next((name for name in found if name not in wanted), None)
    if surplus is not None:
        raise BadInput("a checkpoint of this architecture", f"a further tensor {surplus} in {path}", remedy)


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as flat tensors: ``{index}.{field}``."""
    return {
        f"{index}.{field}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for field, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """The reverse of :func:`optimiser_state`."""
    whole = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, field = key.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    whole["state"] = state
    optimiser.load_state_dict(whole)
