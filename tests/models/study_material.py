"""A study without signals: pressure courses with events, written in the data format, with random frame features."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from models.batches.group import Group
from models.data.dataset import WindowDataset, save_patient
from models.data.labels import hypotension_labels
from models.physiome import SIZES, PhysioME
from models.runtime.spec import Conformal
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

CI = SIZES["ci"]
M = len(CI.modalities)
ABP, EEG = (CI.modalities.index(m) for m in (Modality.ABP, Modality.EEG))
SECONDS, STRIDE = 1500, 60
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def write_patient(folder: Path, seed: int, facts: dict[str, object]) -> None:
    """MAP falls linearly to 58 mmHg from a drawn time on and recovers; hypotension is labelled from it."""
    rng = np.random.default_rng(seed)
    time = np.arange(SECONDS + 1, dtype=np.float64)
    start, fall = rng.uniform(500, 1100), rng.uniform(60, 240)
    drop = np.clip((time - start) / fall, 0, 1) * (time < start + fall + 200)
    level = rng.uniform(72, 95)
    course = level - drop * (level - 58) + rng.normal(0, 1.0, len(time))
    low = np.flatnonzero(level - drop * (level - 58) < 65)
    events = [(float(low[0]), float(low[-1]))] if len(low) >= 60 else []
    history = np.full((SECONDS + 1, M, len(CONTEXT_FIELDS)), np.nan, np.float32)
    history[1:, :, _C["age_s"]] = 0.0
    history[1:, ABP, _C["level"]], history[1:, ABP, _C["scale"]] = course[1:], 45.0
    sums = np.concatenate([[0.0], np.cumsum(course)])
    for name, span in (("mean_60s", 60), ("mean_300s", 300), ("mean_600s", 600)):
        first = np.maximum(0, time[1:].astype(int) + 1 - span)
        history[1:, ABP, _C[name]] = (sums[2:] - sums[first]) / (time[1:] + 1 - first)
    end_s = np.arange(CI.window_s + 16, SECONDS + 1, STRIDE)
    labels, now = hypotension_labels(events, end_s.astype(np.float64), float(SECONDS))
    w = len(end_s)
    pressures = np.repeat(course[end_s][:, None, None], 3, axis=2) + np.array([0.0, 30.0, -15.0])
    arrays = {
        "signals": np.zeros((w, M, CI.samples), np.float32),
        "presence": np.ones((w, M, CI.frames), np.bool_), "history": history,
        "pressures": np.repeat(pressures, CI.frames, axis=1).astype(np.float32),
        "r_times": np.zeros((w, 1), np.float32), "eeg": np.zeros((w, 7), np.float32),
        "depth": rng.uniform(20, 70, w).astype(np.float32), "hypotension": labels, "hypotensive_now": now,
        "end_s": end_s,
    }  # fmt: skip
    save_patient(folder, arrays, {"seed": seed, "simulated": True, "patient": f"p{seed}"} | facts)


def make_group(folder: Path, seeds: Iterable[int], held_out: bool = False) -> Group:
    """Every third patient of a held-out group has the mechanism that training has not met, and decoupled depth."""
    folders = []
    for number, seed in enumerate(seeds):
        new = held_out and number % 3 == 0
        facts: dict[str, object] = {"mechanisms": ["cardiac"] if new else ["vasodilation"], "depth_acts": not new}
        write_patient(folder / f"{number:04d}", seed, facts)
        folders.append(folder / f"{number:04d}")
    group = Group(WindowDataset(folders), CI, 1)
    torch.manual_seed(0)
    group.features = torch.randn(len(group), M, CI.frames, CI.width)
    return group


def fake_run(groups: dict[str, Group], seed: int = 3) -> SimpleNamespace:
    """What evaluations read of a run: settings, model, conformal, group(name). Weights are random."""
    torch.manual_seed(seed)
    model = PhysioME(CI).eval()
    table = Conformal([0.0, 0.5, 1.0], [0.0, 60.0, 1800.0], [[1.0, 2.0], [3.0, 4.0]])
    return SimpleNamespace(
        settings=SimpleNamespace(seed=seed, name="tiny"), model=model, group=groups.__getitem__,
        conformal=dict.fromkeys(("map", "sbp", "dbp", "depth"), table),
    )  # fmt: skip


def make_groups(folder: Path) -> dict[str, Group]:
    return {
        "train": make_group(folder / "train", range(12)),
        "calibration": make_group(folder / "calibration", range(100, 106)),
        "test": make_group(folder / "test", range(200, 209), held_out=True),
    }
