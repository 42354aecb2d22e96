"""From a group of windows on disk to batches; randomness is the caller's, seeded by step, so that runs can resume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from models.batches.batch import Batch
from models.batches.negatives import draw_rows
from models.data.dataset import WindowDataset, bootstrap_weights
from models.data.donors import NONE, Donors, since_loss
from models.data.missingness import LossPlan, draw_ages, lose, ragged
from models.networks.heads import ENSEMBLE
from models.sizes import PhysioMEConfig

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Losses:
    """Presence bool [B, M, N] and context float32 [B, M, C] of windows whose sensors were lost; ``donors`` [B, M], rows
    of the group that were wholly measured before (``models.data.donors``), is what is remembered: None nothing."""

    presence: npt.NDArray[np.bool_]
    context: npt.NDArray[np.float32]
    donors: Indices | None = None

    def part(self, which: slice | Indices | npt.NDArray[np.bool_]) -> Losses:
        """The losses of some of the windows."""
        donors = None if self.donors is None else self.donors[which]
        return Losses(self.presence[which], self.context[which], donors)


class Group:
    """A group's labels in memory, its signals on disk and, once cached, its frame features in memory.

    recorded_share: of the windows that are drawn, those of recorded patients where others are simulated; None: as many
    as there are.
    """

    def __init__(
        self, dataset: WindowDataset, config: PhysioMEConfig, seed: int, recorded_share: float | None = None
    ) -> None:
        self.dataset, self.config, self._seed = dataset, config, seed
        self.recorded = dataset.recorded
        mixed = bool(self.recorded.any() and not self.recorded.all())
        self.recorded_share = recorded_share if mixed else None
        self.labels = {
            name: dataset.whole(name)
            for name in ("pressures", "r_times", "eeg", "depth", "hypotension", "hypotensive_now", "end_s")
        }
        self.presence = dataset.whole("presence").astype(np.bool_)
        self.known = dataset.whole("known").astype(np.bool_)
        stages = [p.arrays.get("stage", np.full(p.windows, -1)) for p in dataset.patients]
        self.stage = np.concatenate(stages).astype(np.int64)
        self.history = dataset.whole("history").astype(np.float32)
        self.features: torch.Tensor | None = None
        self.bootstrap = bootstrap_weights(dataset.patient_count, ENSEMBLE, seed)

    def __len__(self) -> int:
        return len(self.dataset)

    # -- which windows are drawn ---------------------------------------------------------------------------------

    def draw_rows(self, rng: np.random.Generator, size: int, among: Indices | None = None) -> Indices:
        """``size`` windows (of ``among``, None: all) with replacement, recorded and simulated ones by their shares."""
        rows = np.arange(len(self)) if among is None else among
        parts = (rows[~self.recorded[rows]], rows[self.recorded[rows]])
        if self.recorded_share is None or not all(len(part) for part in parts):
            return rows[rng.integers(0, len(rows), size)]
        from_recorded = rng.random(size) < self.recorded_share
        simulated, recorded = (rows[rng.integers(0, len(rows), size)] for rows in parts)
        return np.where(from_recorded, recorded, simulated)

    def draw_apart(self, rng: np.random.Generator, size: int, among: Indices | None = None) -> Indices:
        """``size`` windows for a contrast, several of each patient and far apart (:mod:`models.batches.negatives`)."""
        parts = [
            draw_rows(rng, self.dataset.patient_of[rows], self.labels["end_s"][rows], count, rows)
            for rows, count in self._parts(size, among)
        ]
        return np.concatenate(parts)

    def choose(self, rng: np.random.Generator, count: int, among: Indices | None = None) -> Indices:
        """At most ``count`` different windows in random order, recorded and simulated ones by their shares."""
        parts = [rng.permutation(rows)[:most] for rows, most in self._parts(count, among)]
        return parts[0] if len(parts) == 1 else rng.permutation(np.concatenate(parts))

    def _parts(self, size: int, among: Indices | None) -> list[tuple[Indices, int]]:
        """Windows of one kind, recorded or simulated, and how many of ``size`` are theirs."""
        rows = np.arange(len(self)) if among is None else among
        kinds = [rows[~self.recorded[rows]], rows[self.recorded[rows]]]
        if self.recorded_share is None or not all(len(kind) for kind in kinds):
            return [(rows, size)]
        recorded = round(size * self.recorded_share)
        return [(kind, n) for kind, n in zip(kinds, (size - recorded, recorded), strict=True) if n]

    def only(self, recorded: bool) -> Group | None:
        """The recorded patients of this group, or the simulated ones, with their features; None without any."""
        rows = np.flatnonzero(self.recorded == recorded)
        if not len(rows):
            return None
        if len(rows) == len(self):
            return self
        folders = [p.folder for p in self.dataset.patients if p.recorded == recorded]
        part = Group(WindowDataset(folders), self.config, self._seed)
        if self.features is not None:
            part.features = self.features[torch.from_numpy(rows)]
        return part

    # -- what was lost, and batches ------------------------------------------------------------------------------

    @cached_property
    def donors(self) -> Donors:
        """What was measured last before a loss."""
        return Donors(np.asarray(self.presence.all(-1)), self.dataset.study_of, self.labels["end_s"])

    def donors_before(self, rows: Indices, ages_s: npt.NDArray[np.float64], presence: npt.NDArray[np.bool_]) -> Indices:
        """Donors [B, M] of windows ``rows`` that lost modalities ``ages_s`` ago, or frames to be left ``presence``."""
        step_s, frame_s = self.config.frame_step_s, self.config.frame_s
        return self.donors(rows, since_loss(self.presence[rows], presence, ages_s, step_s, frame_s))

    def lost(self, rows: Indices, ages_s: npt.NDArray[np.float64]) -> Losses:
        """Windows ``rows`` whose modalities were lost ``ages_s`` [B, M] before their end (0: not lost)."""
        presence, context = lose(
            self.presence[rows], self.history, self.dataset.study_of[rows],
            self.labels["end_s"][rows].astype(np.int64), ages_s, self.config.frame_step_s, self.config.modalities,
        )  # fmt: skip
        return Losses(presence, context, self.donors_before(rows, ages_s, presence))

    def draw(self, rng: np.random.Generator, rows: Indices, plan: LossPlan) -> Losses:
        """Losses by the plan of training."""
        ages, is_ragged = draw_ages(rng, len(rows), len(self.config.modalities), plan)
        lost = self.lost(rows, ages)
        lost.presence[is_ragged] = ragged(rng, lost.presence[is_ragged])
        return Losses(lost.presence, lost.context, self.donors_before(rows, ages, lost.presence))

    def batch(self, rows: Indices, lost: Losses, signal_rows: int | None = None) -> Batch:
        """``signal_rows``: only so many windows' signals are read (the rest are zeros, for windows without waves)."""
        if self.features is None:
            raise RuntimeError("cache the frame features first")
        count = len(rows) if signal_rows is None else min(signal_rows, len(rows))
        m = len(self.config.modalities)
        signals = np.zeros((len(rows), m, self.config.samples), np.float32)
        if count:
            signals[:count] = self.dataset.signals(rows[:count])
        donors = np.full((len(rows), m), NONE) if lost.donors is None else lost.donors
        pick = {name: torch.from_numpy(np.asarray(values[rows])) for name, values in self.labels.items()}
        return Batch(
            signals=torch.from_numpy(signals),
            features=self.features[torch.from_numpy(rows)],
            presence=torch.from_numpy(lost.presence),
            donors=self._donated(donors),
            remembered=torch.from_numpy(donors != NONE),
            known=torch.from_numpy(self.known[rows]),
            context=torch.from_numpy(lost.context),
            pressures=pick["pressures"],
            r_times=pick["r_times"],
            eeg=pick["eeg"],
            depth=pick["depth"],
            hypotension=pick["hypotension"],
            stage=torch.from_numpy(self.stage[rows]),
            bootstrap=torch.from_numpy(self.bootstrap[self.dataset.patient_of[rows]]),
            patient=torch.from_numpy(self.dataset.patient_of[rows].astype(np.int64)),
            end_s=pick["end_s"].long(),
        )

    def _donated(self, donors: Indices) -> torch.Tensor:
        """Frame features [B, M, N, d] of each modality in its donor; of any window where there is none."""
        assert self.features is not None
        return self.features[torch.from_numpy(np.maximum(donors, 0)), torch.arange(donors.shape[1])]
