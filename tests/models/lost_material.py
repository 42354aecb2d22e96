"""Small groups of windows for the tests of restoration: pulses that follow a drifting pressure, at ci size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.batches.group import Group
from models.data.dataset import WindowDataset, save_patient
from models.physiome import SIZES, PhysioME
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS

CI = SIZES["ci"]
SECONDS, STRIDE, FIRST = 1200, 30, 60
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def write_patient(folder: Path, seed: int) -> None:
    """One patient: MAP wanders, the pulse delay follows it, HR is its own, EEG tells the depth."""
    rng = np.random.default_rng(seed)
    window_s, m = CI.frames * CI.frame_s, len(CI.modalities)
    index = {x: i for i, x in enumerate(CI.modalities)}
    seconds = np.arange(SECONDS + 1)
    pressure = 80 + 15 * np.sin(seconds / rng.uniform(120, 300) + rng.uniform(0, 6)) + rng.normal(0, 4)
    delay = 0.30 + rng.uniform(0, 0.1) - 0.001 * (pressure - 80)
    heart_s = rng.uniform(0.7, 1.0)
    r = np.arange(0.3, SECONDS, heart_s)
    depth = rng.uniform(20, 80)
    history = np.full((SECONDS + 1, m, len(CONTEXT_FIELDS)), np.nan, np.float32)
    history[1:, :, C["age_s"]] = 0.0
    for modality, level, scale in (("ABP", pressure, 45.0), ("PPG", 2.0, 1.0), ("ECG", 0.0, 0.1), ("EEG", 0.0, depth)):
        i = index[Modality(modality)]
        history[1:, i, C["level"]] = np.broadcast_to(level, seconds.shape)[1:]
        history[1:, i, C["scale"]] = scale
        for name in ("mean_60s", "mean_300s", "mean_600s"):
            history[1:, i, C[name]] = history[1:, i, C["level"]]
        history[1:, i, C["ppg_delay_s"]] = delay[1:]
    history[1:, index[Modality.ABP], C["own_delay_s"]] = delay[1:] - 0.1
    history[1:, index[Modality.PPG], C["own_delay_s"]] = delay[1:]
    history[1:, index[Modality.ABP], C["delay_slope"]] = -1000.0
    ends = np.arange(FIRST, SECONDS - 30, STRIDE)
    signals = np.zeros((len(ends), m, window_s * GRID_RATE_HZ), np.float32)
    r_times = np.full((len(ends), 48), np.nan, np.float32)
    for w, end in enumerate(ends):
        t = end - window_s + np.arange(signals.shape[-1]) / GRID_RATE_HZ
        mine = r[(r >= end - window_s) & (r < end)] - (end - window_s)
        r_times[w, : len(mine)] = mine
        phase = (t - 0.3) / heart_s
        lag = np.interp(t, seconds, delay) / heart_s
        signals[w, index[Modality.ECG]] = np.exp(-0.5 * ((phase + 0.5) % 1 - 0.5) ** 2 * (heart_s / 0.012) ** 2)
        pulse = lambda p: np.exp(-3 * (p % 1)) * np.minimum(1, (p % 1) * 12)  # noqa: E731
        shape = pulse(phase - lag + 0.1 / heart_s)
        signals[w, index[Modality.ABP]] = np.interp(t, seconds, pressure) + 45 * (shape - shape.mean())
        signals[w, index[Modality.PPG]] = 2.0 + pulse(phase - lag)
        signals[w, index[Modality.EEG]] = depth * rng.normal(size=len(t)) * 0.5
    n = len(ends)
    frame_ends = ends[:, None] - CI.frame_s * np.arange(CI.frames)[::-1]
    at = pressure[np.maximum(frame_ends - 1, 0)]
    low = pressure < 70
    ahead = [[low[e : e + h].any() for e in ends] for h in (60, 120, 180)]
    save_patient(
        folder,
        {
            "signals": signals, "presence": np.ones((n, m, CI.frames), bool), "history": history,
            "pressures": np.stack([at, at + 30, at - 15], -1).astype(np.float32), "r_times": r_times,
            "eeg": np.full((n, 7), depth, np.float32), "depth": np.full(n, depth, np.float32),
            "hypotension": np.stack(ahead, 1).astype(np.float32),
            "hypotensive_now": np.zeros(n, bool), "end_s": ends.astype(np.int64),
        },
        {"seed": seed, "group": "any", "windows": n, "device": "test", "patient": f"p{seed}"},
    )  # fmt: skip


def make_group(folder: Path, seeds: range, model: PhysioME) -> Group:
    """Writes the patients, opens them and caches the frame features."""
    folders = [folder / f"{seed:04d}" for seed in seeds]
    for seed, one in zip(seeds, folders, strict=True):
        write_patient(one, seed)
    group = Group(WindowDataset(folders), CI, 0)
    rows = np.arange(len(group))
    natural = group.lost(rows, np.zeros((len(rows), len(CI.modalities))))
    with torch.no_grad():
        scaled, _ = model.scaling(
            torch.from_numpy(group.dataset.signals(rows)), torch.from_numpy(natural.presence),
            torch.from_numpy(natural.context),
        )  # fmt: skip
        group.features = model.frame_features(scaled)
    return group
