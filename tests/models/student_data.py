"""Windows of a made-up world in which all sensors show one rhythm and one pressure: what distillation can find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.batches.group import Group
from models.data.dataset import WindowDataset, save_patient
from models.physiome import SIZES, PhysioME
from models.signals.windows import CONTEXT_FIELDS

CI = SIZES["ci"]
_FIELD = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def make_group(folder: Path, patients: int, windows: int, seed: int, stride_s: int = 30) -> Group:
    """Each window has its own heart rate and MAP, a patient its own offsets; labels are true, events follow MAP."""
    rng = np.random.default_rng(seed)
    folders = []
    modalities = [m.value for m in CI.modalities]
    t = np.arange(CI.samples) / CI.rate_hz
    for p in range(patients):
        rate = np.clip(rng.uniform(60, 100) + 12 * rng.standard_normal(windows), 45, 130)
        mean = np.clip(rng.uniform(70, 90) + 8 * rng.standard_normal(windows), 50, 120)
        phase = 2 * np.pi * (rate[:, None] / 60 * t + rng.uniform(0, 1, (windows, 1)))
        pulse = np.sin(phase) + 0.3 * np.sin(2 * phase)
        size = (mean / 80)[:, None]  # the pulse's size tells the pressure in every sensor
        waves = {
            "ECG": size * np.exp(-((np.sin(phase / 2) / 0.1) ** 2)), "ABP": mean[:, None] + 15 * size * pulse,
            "PPG": size * pulse, "EEG": 30 * size * pulse,
        }  # fmt: skip
        signals = np.stack([waves[m] for m in modalities], axis=1)
        signals += 0.02 * np.array([1, 15, 1, 30])[None, :, None] * rng.standard_normal(signals.shape)
        end_s = CI.window_s + stride_s * np.arange(windows)
        seconds = int(end_s[-1])
        history = np.full((seconds + 1, len(modalities), len(CONTEXT_FIELDS)), np.nan, np.float32)
        history[1:, :, _FIELD["age_s"]] = 0.0
        history[1:, :, _FIELD["scale"]] = 1.0
        history[1:, :, _FIELD["level"]] = 0.0
        history[1:, modalities.index("ABP"), _FIELD["level"]] = 80.0
        history[1:, modalities.index("ABP"), _FIELD["scale"]] = 40.0
        history[1:, modalities.index("PPG"), _FIELD["own_delay_s"]] = 0.3
        peaks = np.full((windows, 64), np.nan, np.float32)
        for w in range(windows):
            first = rng.uniform(0, 0.3)
            beats = np.arange(first, CI.window_s, 60 / rate[w])
            peaks[w, : len(beats)] = beats
        pressure = np.stack([mean, mean + 25, mean - 12], axis=-1)
        risk = (mean < 78).astype(np.float32)
        arrays = {
            "signals": signals.astype(np.float32),
            "presence": np.ones((windows, len(modalities), CI.frames), np.bool_),
            "history": history, "pressures": np.repeat(pressure[:, None], CI.frames, 1).astype(np.float32),
            "r_times": peaks, "eeg": np.tile(np.float32([1, 1, 1, 1, 1, 15, 0]), (windows, 1)),
            "depth": np.clip(mean - 30, 0, 100).astype(np.float32),
            "hypotension": np.repeat(risk[:, None], 3, 1), "hypotensive_now": np.zeros(windows, np.bool_),
            "end_s": end_s.astype(np.int32),
        }  # fmt: skip
        arrays["eeg"][:, 5] = 10 + rate / 20
        place = folder / f"{p:04d}"
        save_patient(place, arrays, {"group": "train", "windows": windows, "duration_s": seconds, "coupled": True})
        folders.append(place)
    return Group(WindowDataset(folders), CI, seed)


@torch.no_grad()
def give_features(model: PhysioME, group: Group) -> None:
    """Caches the frame features of all windows."""
    rows = np.arange(len(group))
    signals = torch.from_numpy(group.dataset.signals(rows))
    context = torch.from_numpy(group.history[group.dataset.patient_of, group.labels["end_s"].astype(int)])
    scaled, _ = model.scaling(signals, torch.ones(*signals.shape[:2], CI.frames, dtype=torch.bool), context)
    group.features = model.frame_features(scaled)
