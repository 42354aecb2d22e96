"""The PhysioME stage: frozen modality encoders with LoRA; fusion, restoration, waves and heads are trained.

Each sample carries its own presence and context (drawn with the data, physically consistent). The encoders see a
cached feature a frame; the waves are decoded for part of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models import objectives
from models.networks.decoders import DecoderBank
from models.networks.waves import frame_interpolation, pulse_seen, unit_shape
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.training.pretrain import projector

WEIGHTS: dict[str, float] = {
    "intra": 0.5, "missing": 1.0, "contrastive": 0.2, "pressure": 1.0, "pressure_present": 0.2, "depth": 1.0,
    "hypotension": 2.0, "eeg": 0.5, "wave_abp": 2.0, "wave_ppg": 1.0, "wave_ecg": 2.0,
}  # fmt: skip
_EEG_CENTRE = torch.tensor([1.5, 1.0, 1.0, 0.5, 0.0, 15.0, 0.0])
_EEG_SCALE = torch.tensor([0.6, 0.6, 0.6, 0.6, 0.6, 5.0, 0.3])
_R_WIDTH_S = 0.025
_NEWEST_S, _NEWEST_WEIGHT = 2, 4.0  # only the newest second is shown, and it lacks the future that others have
_SCALE, _LEVEL = CONTEXT_FIELDS.index("scale"), CONTEXT_FIELDS.index("level")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. Labels are NaN where unknown."""

    signals: Tensor  # [B, M, L] physical units, complete
    features: Tensor  # [B, M, N, d] cached frame features of the complete window
    presence: Tensor  # bool [B, M, N]
    context: Tensor  # [B, M, C]
    pressures: Tensor  # [B, N, 3] MAP, SBP, DBP of each frame, mmHg
    r_times: Tensor  # [B, R] seconds from the window's start, NaN-padded
    eeg: Tensor  # [B, 7]
    depth: Tensor  # [B]
    hypotension: Tensor  # [B, 3] event within 5, 10, 15 min
    bootstrap: Tensor  # [B, K] weights of the window's patient


def rhythm_target(r_times: Tensor, samples: int, rate_hz: int) -> Tensor:
    """ECG as rhythm only: a bump of 1 mV, σ 25 ms, at each R peak; [B, R] seconds -> [B, L]."""
    batch = r_times.shape[0]
    nearest = torch.arange(-10, 11)
    centre = torch.where(r_times == r_times, r_times, torch.full_like(r_times, -10.0)) * rate_hz
    index = centre.round().long().unsqueeze(-1) + nearest
    bump = torch.exp(-0.5 * ((index - centre.unsqueeze(-1)) / (_R_WIDTH_S * rate_hz)).square())
    inside = (index >= 0) & (index < samples)
    out = torch.zeros(batch, samples)
    return out.scatter_add(1, index.clamp(0, samples - 1).flatten(1), torch.where(inside, bump, 0.0).flatten(1))


def pulse_target(abp: Tensor, pressures: Tensor) -> Tensor:
    """Unit shape of a pressure wave: (abp − MAP(t)) / PP(t), MAP and PP interpolated between frame centres."""
    frames, samples = pressures.shape[1], abp.shape[1]
    grid = frame_interpolation(frames, samples)
    pulse = (pressures[..., 1] - pressures[..., 2]).clamp(min=8.0)
    return (abp - pressures[..., 0] @ grid) / (pulse @ grid)


class FusionStage(nn.Module):
    """The model with what only training needs: intra-modality decoders and contrastive projectors."""

    def __init__(self, model: PhysioME, token_sample: float, temperature: float) -> None:
        super().__init__()
        c, m = model.config, len(model.config.modalities)
        self.model, self.token_sample, self.temperature = model, token_sample, temperature
        self.intra = DecoderBank(m, c.width, c.decoder_width, c.heads, 1)
        self.projectors = nn.ModuleList(projector(c.width, 64) for _ in range(m + 1))

    def losses(self, batch: Batch, generator: torch.Generator, wave_rows: int) -> dict[str, Tensor]:
        """Named losses, unweighted."""
        model = self.model
        full = torch.ones_like(batch.presence)
        with torch.no_grad():
            target = model.encode(batch.features, full)
        out = model(batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=wave_rows)
        parts = self._token_losses(batch, target, out, generator)
        parts |= self._head_losses(batch, out)
        if wave_rows:
            parts |= wave_losses(self.model, batch, out, wave_rows)
        return parts

    def _token_losses(
        self, batch: Batch, target: Tensor, out: dict[str, Tensor], generator: torch.Generator
    ) -> dict[str, Tensor]:
        presence = batch.presence
        drawn = torch.rand(presence.shape, generator=generator) < self.token_sample
        state = self.model.pass_one(out["tokens"], presence & drawn, out["embedded"])
        predicted = self.intra(state.context_out, state.slots, presence & drawn)
        return {
            "intra": objectives.intra_loss(predicted, target, presence, drawn),
            "missing": objectives.missing_loss(out["restored_tokens"], target, presence),
            "contrastive": objectives.contrastive_loss(
                out["tokens"], state.slots, presence & drawn, self.projectors, self.temperature
            ),
        }

    def _head_losses(self, batch: Batch, out: dict[str, Tensor]) -> dict[str, Tensor]:
        abp = self.model.config.modalities.index(Modality.ABP)
        known = batch.pressures == batch.pressures
        absent = ~batch.presence[:, abp, :, None]
        frames = out["pressure_frames"] / 10.0
        goal = torch.where(known, batch.pressures, torch.zeros_like(batch.pressures)) / 10.0
        eeg_known = batch.eeg == batch.eeg
        eeg = (out["eeg_features"] - _EEG_CENTRE) / _EEG_SCALE
        eeg_goal = (torch.where(eeg_known, batch.eeg, _EEG_CENTRE) - _EEG_CENTRE) / _EEG_SCALE
        depth_known = batch.depth == batch.depth
        return {
            "pressure": objectives.pinball(frames, goal, known & absent),
            "pressure_present": objectives.pinball(frames, goal, known & ~absent),
            "depth": objectives.pinball(
                out["depth"] / 10.0, torch.where(depth_known, batch.depth, 0.0) / 10.0, depth_known
            ),
            "hypotension": objectives.hazard_loss(out["hazard_logits"], batch.hypotension, batch.bootstrap),
            "eeg": objectives.masked_mean(nn.functional.smooth_l1_loss(eeg, eeg_goal, reduction="none"), eeg_known),
        }


def wave_losses(model: PhysioME, batch: Batch, out: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Losses of the restored waves of the first ``rows`` windows, over absent frames only."""
    config = model.config
    index = {m: i for i, m in enumerate(config.modalities)}
    absent = (~batch.presence[:rows].repeat_interleave(config.frame_samples, dim=-1)).float()
    absent[..., -_NEWEST_S * config.rate_hz :] *= _NEWEST_WEIGHT
    pressures, abp = batch.pressures[:rows], batch.signals[:rows, index[Modality.ABP]]
    known = (pressures == pressures).all(-1).all(-1)
    shape = pulse_target(abp, torch.where(known[:, None, None], pressures, torch.ones_like(pressures)))
    shape = shape.clamp(-2.0, 2.0)
    level, scale = model.scaling.ppg_units(batch.context[:rows])
    ppg_known = batch.context[:rows, index[Modality.PPG], _SCALE] > 1e-6
    ppg = ((batch.signals[:rows, index[Modality.PPG]] - level) / scale).clamp(-6.0, 6.0)
    rhythm = rhythm_target(batch.r_times[:rows], config.samples, config.rate_hz)
    return {
        "wave_abp": objectives.wave_loss(
            unit_shape(out["raw_abp"], config.frames, pulse_seen(batch.presence[:rows], config.modalities)),
            shape,
            absent[:, index[Modality.ABP]] * known[:, None],
        ),
        "wave_ppg": objectives.wave_loss(out["raw_ppg"], ppg, absent[:, index[Modality.PPG]] * ppg_known[:, None]),
        "wave_ecg": objectives.wave_loss(out["raw_ecg"], rhythm, absent[:, index[Modality.ECG]], smooth=0.1),
    }


def weighted(parts: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Sum of the losses by weight; an unknown name is an error."""
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()
