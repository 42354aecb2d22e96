"""Simulated patients to training windows on disk; one process a core, one folder a patient, resumable.

Patients of the groups are disjoint by seed. The test group is listened to by the held-out device profile, which no
other group has met.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.dataset import Arrays, save_patient
from models.data.labels import (
    EEG_FEATURES,
    eeg_features,
    frame_pressures,
    hypotension_labels,
    hypotensive_events,
    padded_times,
    pressure_track,
)
from models.data.labels import r_times as find_r_times
from models.data.sim.eeg import SHIPPED_SPECTRA
from models.data.sim.operation import SHIPPED_COURSE
from models.data.simulator import SimulatedPatient, simulate_patient
from models.data.windows import cut_windows, grid_signal
from models.signals.channels import ChannelMap, map_channels
from models.signals.modalities import Modality
from models.signals.preprocessing import PREPROCESSING
from models.signals.windows import CONTEXT_FIELDS, WindowSpec

HELD_OUT_DEVICE = "heldout"


@dataclass(frozen=True, slots=True)
class PatientOrder:
    """One patient to make. ``stride_s``: between windows; ``scenario`` None is drawn."""

    folder: Path
    group: str
    seed: int
    duration_s: int
    stride_s: int
    spec: WindowSpec
    device: str = "train"
    scenario: str | None = None
    coupled: bool = True
    spectra: int = SHIPPED_SPECTRA
    course: int = SHIPPED_COURSE


def make_patient(order: PatientOrder) -> None:
    """Simulates one patient, cuts its windows by the live pipeline and writes them with their labels."""
    patient = simulate_patient(
        order.seed,
        scenario=order.scenario,
        duration_s=order.duration_s,
        device=order.device,
        coupled=order.coupled,
        spectra=order.spectra,
        course=order.course,
    )
    channels = map_channels(patient)
    modalities = order.spec.modalities
    clean = np.stack([grid_signal(channels, m, order.duration_s, patient.read_clean) for m in modalities])
    arrays = windows_with_labels(order, channels, clean, np.asarray(patient.truth.depth))
    save_patient(order.folder, arrays, index_facts(order, patient, channels, arrays))


def index_facts(
    order: PatientOrder, patient: SimulatedPatient, channels: ChannelMap, arrays: Arrays
) -> dict[str, object]:
    """What ``index.json`` says of a simulated patient; times are seconds of the recording."""
    modalities = order.spec.modalities
    shares = arrays["presence"].mean((0, 2)) if len(arrays["presence"]) else np.zeros(len(modalities))
    labels = {name: np.isfinite(arrays[name]) for name in ("hypotension", "depth", "eeg", "pressures")}
    plan = patient.plan
    episodes = [[start, what.value, kind] for start, what, kind in plan.marks() if start < order.duration_s]
    faults = [f for f in patient.faults if f.modality in modalities]
    return {
        "patient": f"simulated-{order.seed}", "study": f"simulated-{order.seed}", "source": "simulator",
        "site": "simulator", "simulated": True, "device": order.device, "group": order.group, "seed": order.seed,
        "name": patient.name, "time_base": "seconds from the start of the simulation", "zero_s": channels.zero_s,
        "duration_s": order.duration_s, "stride_s": order.stride_s, "windows": len(arrays["end_s"]),
        "modalities": [m.value for m in modalities],
        "channels": {m.value: c.track for m, c in channels.channels.items() if m in modalities},
        "known": {m.value: round(float(s), 4) for m, s in zip(modalities, shares, strict=True)},
        "labelled": {name: round(float(v.mean()), 4) if v.size else 0.0 for name, v in labels.items()},
        "preprocessing": PREPROCESSING, "coupled": order.coupled, "scenario": patient.scenario.value,
        "spectra": order.spectra, "course": order.course,
        "mechanisms": sorted({what for _, what, kind in episodes if kind == "event"}), "episodes": episodes,
        "treatments": [[time, text] for time, text in patient.truth.treatments],
        "hypotension_s": [list(event) for event in patient.truth.hypotension],
        "depth_acts": plan.depth_acts,
        "faults": [[f.modality.value, f.kind.value, f.start_s, f.end_s] for f in faults],
    }  # fmt: skip


def windows_with_labels(
    order: PatientOrder, channels: ChannelMap, clean: np.ndarray, depth_by_second: np.ndarray
) -> Arrays:
    """The arrays of one patient; clean float32 [M, T · rate] is the same recording without faults.

    Signals are as measured where a frame is present and clean elsewhere, so that what a lost sensor would have shown
    is known. Only windows whose clean signals are complete are kept.
    """
    spec = order.spec
    m, rate, length = len(spec.modalities), spec.rate_hz, spec.samples
    index = {modality: i for i, modality in enumerate(spec.modalities)}
    history = np.full((order.duration_s + 1, m, len(CONTEXT_FIELDS)), np.nan, np.float32)
    ends, signals, presence = [], [], []
    for window in cut_windows(channels, spec, 1, end_s=order.duration_s):
        history[window.end_s] = window.context
        if window.end_s % order.stride_s or window.end_s < spec.window_s:
            continue
        truth = clean[:, (window.end_s - spec.window_s) * rate : window.end_s * rate]
        if truth.shape[1] != length or np.isnan(truth).any():
            continue
        shown = np.repeat(window.presence, spec.frame_s * rate, axis=1) & np.isfinite(window.signals)
        ends.append(window.end_s)
        signals.append(np.where(shown, window.signals, truth))
        presence.append(window.presence)
    end_s = np.array(ends, np.int64)
    track = pressure_track(clean[index[Modality.ABP]])
    labels, now = hypotension_labels(hypotensive_events(track), end_s.astype(np.float64), float(order.duration_s))
    starts = end_s[:, None] - spec.window_s + spec.frame_s * np.arange(spec.frames)
    pressures = frame_pressures(track, starts.ravel().astype(np.float64), spec.frame_s)
    beats = find_r_times(clean[index[Modality.ECG]])
    second = np.minimum(end_s, len(depth_by_second)) - 1
    eeg = np.full((len(ends), EEG_FEATURES), np.nan, np.float32)
    if Modality.EEG in index and ends:
        row = clean[index[Modality.EEG]]
        eeg = eeg_features(np.stack([row[(e - spec.window_s) * rate : e * rate] for e in ends]).astype(np.float32))
    return {
        "signals": np.asarray(signals, np.float32).reshape(-1, m, length),
        "presence": np.asarray(presence, np.bool_).reshape(-1, m, spec.frames),
        "history": history,
        "pressures": pressures.reshape(len(ends), spec.frames, 3),
        "r_times": padded_times(beats, end_s - spec.window_s, spec.window_s),
        "eeg": eeg,
        "depth": depth_by_second[second].astype(np.float32),
        "hypotension": labels,
        "hypotensive_now": now,
        "end_s": end_s,
    }


def make_patients(orders: list[PatientOrder], processes: int, progress: Callable[[int, int], None]) -> None:
    """Makes the patients whose folders are not finished yet."""
    todo = [order for order in orders if not (order.folder / "index.json").is_file()]
    done = len(orders) - len(todo)
    progress(done, len(orders))
    if processes <= 1 or len(todo) < 2:
        for order in todo:
            make_patient(order)
            done += 1
            progress(done, len(orders))
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(make_patient, todo):
            done += 1
            progress(done, len(orders))
