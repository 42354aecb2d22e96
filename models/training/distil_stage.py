"""Making a student: distil the encoder, then train its small heads; both as stages of the one training loop.

Frame features and the teachers' representations are computed once, so a step is a short transformer on cached features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn

from models import distillation, objectives
from models.batches.chance import device_of, step_random
from models.batches.group import Group, Losses
from models.batches.negatives import draw_rows
from models.data.missingness import ragged
from models.distillation import Distillation, represent, student_encoder
from models.networks.encoder import ModalityEncoder
from models.physiome import PhysioME
from models.progress import Progress
from models.signals.modalities import Modality
from models.sizes import Row
from models.student import PROMISES, Student
from models.training.loop import run_stage
from models.training.stage import NotNegative, Positive, Share, StageSettings

Indices = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

HEAD_WEIGHTS = {"pressure": 1.0, "depth": 1.0, "heart_rate": 0.5, "hypotension": 2.0}
_SCORED = 1024
_KNOWN_SHARE = 0.5  # of a teacher's frames
_RECENT, _RAGGED = 0.2, 0.2  # shares of the head's training windows: sensor just lost, frames lost here and there


class DistilConfig(StageSettings, frozen=True, kw_only=True):
    """Students of one sensor each, taught by the encoders of the run (PaCX)."""

    students: tuple[str, ...] = ("ECG", "ABP", "PPG", "EEG")
    teachers: tuple[str, ...] = ()  # empty: all modalities but the student's own
    lora_rank: Annotated[int, Meta(ge=1)] = distillation.RANK
    lora_alpha: Positive = distillation.ALPHA
    contrastive_weight: NotNegative = distillation.CONTRASTIVE_WEIGHT
    regression_weight: NotNegative = distillation.REGRESSION_WEIGHT
    smoothing: Share = distillation.SMOOTHING
    temperature: Positive = distillation.TEMPERATURE
    adapt: bool = True  # False: the encoder stays as it was, only heads learn (what retrieval is compared with)
    ragged: Share = 0.3  # of the student's windows: frames lost here and there
    head_steps: Annotated[int, Meta(ge=1)] = 800
    head_rate: Positive = 2e-3


@dataclass(frozen=True, slots=True)
class DistilData:
    """A group's windows as distillation sees them."""

    features: Tensor  # [W, N, d] of the student's sensor
    present: Bools  # [W, N] as recorded
    teachers: Tensor  # [W, T, D] representations of the complete windows
    valid: Tensor  # bool [W, T]: enough of the teacher's signal is known
    patient: Indices
    end_s: Indices

    def __len__(self) -> int:
        return len(self.patient)


def own_features(group: Group, row: int, rows: Indices | slice = slice(None)) -> Tensor:
    """Cached frame features of one modality, [W, N, d]."""
    if group.features is None:
        raise RuntimeError("cache the frame features first")
    index = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
    return torch.as_tensor(group.features[index])[:, row]


@torch.no_grad()
def representations(
    encoder: ModalityEncoder, features: Tensor, present: npt.NDArray[np.bool_], batch: int = 512
) -> Tensor:
    """Of all windows: features [W, N, d], present [W, N] -> [W, 2d], in eval mode on the encoder's device."""
    encoder.eval()
    device = device_of(encoder)
    parts = [
        represent(encoder, features[i : i + batch].to(device), torch.from_numpy(present[i : i + batch]).to(device))
        for i in range(0, len(features), batch)
    ]
    return torch.cat(parts)


def distil_data(model: PhysioME, group: Group, student: Modality, teachers: Sequence[Modality]) -> DistilData:
    """Caches what distillation of ``student`` needs of a group whose frame features are cached."""
    rows = {m: i for i, m in enumerate(model.config.modalities)}
    parts, valid = [], []
    for m in teachers:
        encoder = model.encoders[rows[m]]
        assert isinstance(encoder, ModalityEncoder)
        parts.append(representations(encoder, own_features(group, rows[m]), group.known[:, rows[m]]))
        valid.append(torch.from_numpy(group.known[:, rows[m]].mean(-1) >= _KNOWN_SHARE))
    device = device_of(model)
    return DistilData(
        features=own_features(group, rows[student]).to(device),
        present=group.presence[:, rows[student]],
        teachers=torch.stack(parts, dim=1),
        valid=torch.stack(valid, dim=1).to(device),
        patient=np.asarray(group.dataset.patient_of, np.intp),
        end_s=group.labels["end_s"].astype(np.intp),
    )


class DistilStage:
    """L = 0.5 · L_C + 1.0 · L_R between the student and each teacher, over windows of complete teachers."""

    def __init__(
        self, module: Distillation, train: DistilData, stop: DistilData, config: DistilConfig, name: str, seed: int
    ) -> None:
        self.name, self.module = name, module
        self._train, self._stop, self._config, self._seed = train, stop, config, seed

    def losses(self, step: int) -> dict[str, Tensor]:
        """Contrastive and relational loss against each teacher, over a batch drawn for ``step``."""
        random = step_random(self._seed, self.name, step)
        rows = draw_rows(random.numpy, self._train.patient, self._train.end_s, self._config.batch)
        present = self._train.present[rows].copy()
        some = random.numpy.random(len(rows)) < self._config.ragged
        present[some] = ragged(random.numpy, present[some])
        return self._losses(self._train, rows, present)

    def score(self) -> dict[str, float]:
        """Mean losses over windows of the early-stopping patients; ``score`` is their sum."""
        rng = np.random.default_rng([self._seed, 97])
        batch, sums = self._config.batch, dict[str, float]()
        rounds = max(1, min(_SCORED, len(self._stop)) // batch)
        for _ in range(rounds):
            rows = draw_rows(rng, self._stop.patient, self._stop.end_s, batch)
            for name, value in self._losses(self._stop, rows, self._stop.present[rows]).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / rounds
        return {**sums, "score": sum(sums.values())}

    def _losses(self, data: DistilData, rows: Indices, present: Bools) -> dict[str, Tensor]:
        c, device = self._config, data.features.device
        index = torch.from_numpy(rows).to(device)
        log_weight = objectives.negative_weights(
            torch.from_numpy(data.patient[rows]).to(device), torch.from_numpy(data.end_s[rows]).to(device)
        )
        parts = self.module.losses(
            data.features[index], torch.from_numpy(present).to(device), data.teachers[index], data.valid[index],
            log_weight, c.smoothing,
        )  # fmt: skip
        weight = {"contrastive": c.contrastive_weight, "regression": c.regression_weight}
        return {name: weight[name] * value for name, value in parts.items() if weight[name]}


# -- heads ------------------------------------------------------------------------------------------------------------


def heart_rates(r_times: Floats) -> Floats:
    """Mean heart rate of windows per minute from R peaks [W, R] (s, NaN-padded); NaN with fewer than three."""
    count = np.isfinite(r_times).sum(-1)
    span = np.nanmax(np.where(count[:, None] > 0, r_times, 0.0), axis=-1) - np.nanmin(
        np.where(count[:, None] > 0, r_times, 0.0), axis=-1
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = 60.0 * (count - 1) / span
    return np.where((count >= 3) & (span > 0), rate, np.nan).astype(np.float32)


def single_sensor_loss(group: Group, row: int, rng: np.random.Generator, rows: Indices) -> Losses:
    """Presence [B, 1, N] and context [B, 1, C] of one sensor: as recorded, just lost, or frames lost here and there."""
    kind = rng.choice(3, size=len(rows), p=(1.0 - _RECENT - _RAGGED, _RECENT, _RAGGED))
    ages = np.zeros((len(rows), group.presence.shape[1]))
    longest = group.config.window_s - group.config.frame_s  # a frame is left
    ages[:, row] = np.where(kind == 1, np.ceil(rng.uniform(0.0, longest, len(rows))), 0.0)
    lost = group.lost(rows, ages)
    presence = lost.presence[:, row : row + 1].copy()
    presence[kind == 2] = ragged(rng, presence[kind == 2])
    return Losses(presence, lost.context[:, row : row + 1])


def present_as_recorded(group: Group, row: int, rows: Indices) -> Losses:
    """Presence [B, 1, N] and context [B, 1, C] of one sensor as recorded."""
    lost = group.lost(rows, np.zeros((len(rows), group.presence.shape[1])))
    return Losses(lost.presence[:, row : row + 1], lost.context[:, row : row + 1])


class StudentHeadsStage:
    """Heads and context embedding of a student on its frozen, distilled encoder."""

    def __init__(
        self, student: Student, train: Group, stop: Group, row: int, settings: StageSettings, name: str, seed: int
    ) -> None:
        self.name, self.module = name, student
        self._groups, self._row, self._settings, self._seed = (train, stop), row, settings, seed
        self._rates = tuple(heart_rates(g.labels["r_times"]) for g in self._groups)
        self._risk = "risk" in PROMISES[student.modality]

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the heads over a batch drawn for ``step``."""
        rng = step_random(self._seed, self.name, step).numpy
        rows = rng.integers(0, len(self._groups[0]), self._settings.batch)
        return self._losses(0, rows, rng)

    def score(self) -> dict[str, float]:
        """Losses over early-stopping windows; ``score`` is their sum."""
        rng = np.random.default_rng([self._seed, 96])
        rows = rng.permutation(len(self._groups[1]))[: 2 * _SCORED]
        parts = {name: float(v.detach()) for name, v in self._losses(1, rows, rng).items()}
        return {**parts, "score": sum(parts.values())}

    def _losses(self, which: int, rows: Indices, rng: np.random.Generator) -> dict[str, Tensor]:
        group, device = self._groups[which], device_of(self.module)
        lost = single_sensor_loss(group, self._row, rng, rows)
        out = self.module(
            own_features(group, self._row, rows).to(device),
            torch.from_numpy(lost.presence).to(device),
            torch.from_numpy(lost.context).to(device),
        )

        def label(values: npt.NDArray[np.generic]) -> tuple[Tensor, Tensor]:
            """Labels with zeros for the unknown, and which are known."""
            tensor = torch.from_numpy(np.asarray(values[rows], np.float32)).to(device)
            return torch.nan_to_num(tensor), tensor == tensor

        pressure, pressure_known = label(group.labels["pressures"][:, -1])
        depth, depth_known = label(group.labels["depth"])
        rate, rate_known = label(self._rates[which])
        rate_error = nn.functional.smooth_l1_loss(out["heart_rate"] / 10.0, rate / 10.0, reduction="none")
        parts = {
            "pressure": objectives.pinball(out["pressure"] / 10.0, pressure / 10.0, pressure_known),
            "depth": objectives.pinball(out["depth"] / 10.0, depth / 10.0, depth_known),
            "heart_rate": objectives.masked_mean(rate_error, rate_known),
        }
        if self._risk:
            labels = torch.from_numpy(np.asarray(group.labels["hypotension"][rows], np.float32)).to(device)
            bootstrap = torch.from_numpy(group.bootstrap[group.dataset.patient_of[rows]]).to(device)
            parts["hypotension"] = objectives.hazard_loss(out["hazard_logits"], labels, bootstrap)
        return {name: HEAD_WEIGHTS[name] * value for name, value in parts.items()}


# -- one student ------------------------------------------------------------------------------------------------------


def start_encoder(model: PhysioME, student: Modality, config: DistilConfig) -> ModalityEncoder:
    """The encoder that distillation starts from, with what of it may change."""
    encoder = model.encoders[model.config.modalities.index(student)]
    assert isinstance(encoder, ModalityEncoder)
    copied = student_encoder(encoder, config.lora_rank, config.lora_alpha)
    return copied if config.adapt else copied.requires_grad_(False)


def begin(model: PhysioME, student: Modality, train: DistilData, config: DistilConfig) -> Distillation:
    """The untrained distillation of a student, standardised by the training windows."""
    encoder = start_encoder(model, student, config)
    own = representations(encoder, train.features, np.ones_like(train.present))
    teachers = [train.teachers[train.valid[:, t], t] for t in range(train.teachers.shape[1])]
    return Distillation(encoder, own, teachers, config.temperature).to(device_of(model))


def distil_encoder(
    model: PhysioME, train: Group, stop: Group, student: Modality, config: DistilConfig, folder: Path,
    fingerprint: str, seed: int, progress: Progress,
) -> Distillation:  # fmt: skip
    """The distillation of one student, trained (or loaded from ``folder``), its adapters still apart."""
    teachers = teachers_of(config, student, model.config.modalities)
    data = [distil_data(model, group, student, teachers) for group in (train, stop)]
    torch.manual_seed(seed)
    module = begin(model, student, data[0], config)
    stage = DistilStage(module, data[0], data[1], config, f"distil_{student.value.lower()}", seed)
    run_stage(stage, config, folder, fingerprint, progress)
    return module


def teachers_of(config: DistilConfig, student: Modality, rows: Sequence[Row]) -> tuple[Modality, ...]:
    """The teachers of one student among a model's rows."""
    sensors = [m for m in rows if isinstance(m, Modality)]
    return tuple(m for m in sensors if (m.value in config.teachers if config.teachers else m is not student))


def head_settings(config: DistilConfig) -> StageSettings:
    """The heads' stage: small, so it learns faster and is looked at more often."""
    steps = config.head_steps
    return StageSettings(
        steps=steps, batch=config.batch, rate=config.head_rate, warmup=min(50, steps // 4), weight_decay=0.05,
        ema=0.995, evaluate_every=max(1, min(100, steps)), save_every=max(1, min(400, steps)),
        precision=config.precision,
    )  # fmt: skip


def train_student(
    model: PhysioME, train: Group, stop: Group, student: Modality, config: DistilConfig, folder: Path,
    fingerprint: str, seed: int, progress: Progress,
) -> Student:  # fmt: skip
    """A whole student: distilled, merged, with trained heads; in eval mode."""
    module = distil_encoder(model, train, stop, student, config, folder, fingerprint, seed, progress)
    distillation.merge_student(module.encoder)
    torch.manual_seed(seed)
    row = model.config.modalities.index(student)
    own = representations(module.encoder, own_features(train, row), train.known[:, row])
    made = Student(module.encoder, student, model.config, own).to(device_of(model))
    settings = head_settings(config)
    stage = StudentHeadsStage(made, train, stop, row, settings, f"heads_{student.value.lower()}", seed)
    run_stage(stage, settings, folder, fingerprint, progress)
    return made.eval()
