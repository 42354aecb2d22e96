"""Frame features of complete windows, computed once for an encoder and kept on disk.

Encoders are frozen after pre-training, so every later stage, seed by seed and ablation by ablation, reads the same
features. They lie beside the windows, under the encoders' fingerprint, and are mapped into memory.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.batches.chance import device_of
from models.batches.group import Group
from models.physiome import PhysioME
from models.progress import Progress
from models.signals.errors import BadInput


def complete_scaled(model: PhysioME, group: Group, rows: np.ndarray) -> torch.Tensor:
    """Complete windows, scaled as in the graph: [B, M, L], on the model's device; 0 where the truth is not known."""
    device = device_of(model)
    signals = torch.from_numpy(group.dataset.signals(rows)).to(device)
    natural = group.lost(rows, np.zeros((len(rows), signals.shape[1])))
    known = torch.from_numpy(group.known[rows]).to(device)
    scaled: torch.Tensor = model.scaling(signals, known, torch.from_numpy(natural.context).to(device))[0]
    return scaled


def features_path(windows: Path, out: Path, fingerprint: str, group: str) -> Path:
    """Beside the windows where one may write there, else in the run folder."""
    place = windows if os.access(windows, os.W_OK) else out
    return place / "features" / fingerprint / f"{group}.npy"


@torch.no_grad()
def cache_features(
    model: PhysioME, group: Group, progress: Progress, name: str, path: Path | None = None, batch: int = 64,
    rows: npt.NDArray[np.intp] | None = None,
) -> None:  # fmt: skip
    """Gives ``group.features`` [W, M, N, d] float32; with ``path`` from that file, made if it is not there. rows: the
    windows that are needed, NaN elsewhere (None: all; not with a file).

    The file is mapped copy-on-write: nothing is read before it is needed, and nothing written back.
    """
    stage = f"features {name}"
    if path is not None and path.is_file():
        group.features = _mapped(path, len(group))
        progress(stage, len(group), len(group))
        return
    model.eval()
    shape = (len(group), len(model.config.modalities), model.config.frames, model.config.width)
    scratch = None
    if path is None:
        values: np.ndarray = np.full(shape, np.nan, np.float32)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.part")
        values = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float32, shape=shape)
    wanted = np.arange(len(group)) if rows is None else rows
    for first in range(0, len(wanted), batch):
        part = wanted[first : first + batch]
        values[part] = model.frame_features(complete_scaled(model, group, part)).cpu().numpy()
        progress(stage, first + len(part), len(wanted))
    if path is not None and scratch is not None:
        assert isinstance(values, np.memmap)
        values.flush()
        scratch.replace(path)
        values = np.load(path, mmap_mode="c", allow_pickle=False)
    group.features = torch.from_numpy(values)


def _mapped(path: Path, windows: int) -> torch.Tensor:
    try:
        values = np.load(path, mmap_mode="c", allow_pickle=False)
    except ValueError as error:
        raise BadInput("a file of frame features", f"{path} ({error})", "delete it; it is made again") from error
    if len(values) != windows:
        raise BadInput(f"features of {windows} windows", f"{len(values)} in {path}", "delete it; it is made again")
    return torch.from_numpy(values)
