"""Losses of the bedside's heads and waves on a batch; the main stages and the wave stage add them up by weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models import objectives
from models.batches.batch import Batch
from models.networks.fusion import ppg_units
from models.networks.waves import frame_interpolation, pulse_seen, unit_shape
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

WEIGHTS: dict[str, float] = {
    "intra": 0.5, "missing": 1.0, "contrastive": 0.2, "pressure": 1.0, "pressure_present": 0.2, "depth": 1.0,
    "hypotension": 2.0, "eeg": 0.5, "wave_abp": 2.0, "wave_ppg": 1.0, "wave_ecg": 2.0, "stage": 1.0,
    "leave_one_out": 0.2, "autoencoding": 1.0, "consistency": 1.0, "readout": 0.0, "readout_fit": 1.0,
}  # fmt: skip
_EEG_CENTRE = (1.5, 1.0, 1.0, 0.5, 0.0, 15.0, 0.0)
_EEG_SCALE = (0.6, 0.6, 0.6, 0.6, 0.6, 5.0, 0.3)
_R_WIDTH_S = 0.025
_NEWEST_S, _NEWEST_WEIGHT = 2, 4.0  # only the newest second is shown, and it lacks the future that others have
_SCALE = CONTEXT_FIELDS.index("scale")


def weigh(parts: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    """Each loss by its weight; an unknown name is an error."""
    return {name: weights[name] * value for name, value in parts.items()}


def weighted(parts: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Sum of the losses by weight; an unknown name is an error."""
    return torch.stack(list(weigh(parts, weights).values())).sum()


def head_losses(model: PhysioME, batch: Batch, out: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses of the heads that the model has; unknown labels do not count."""
    if model.config.task == "sleep":
        return {"stage": _stage_loss(batch, out)}
    abp = model.config.modalities.index(Modality.ABP)
    known = batch.pressures == batch.pressures
    absent = ~batch.presence[:, abp, :, None]
    frames = out["pressure_frames"] / 10.0
    goal = torch.where(known, batch.pressures, torch.zeros_like(batch.pressures)) / 10.0
    parts = {
        "pressure": objectives.pinball(frames, goal, known & absent),
        "pressure_present": objectives.pinball(frames, goal, known & ~absent),
        "hypotension": objectives.hazard_loss(out["hazard_logits"], batch.hypotension, batch.bootstrap),
    }
    if "depth" in out:
        depth_known = batch.depth == batch.depth
        depth = torch.where(depth_known, batch.depth, torch.zeros_like(batch.depth)) / 10.0
        parts["depth"] = objectives.pinball(out["depth"] / 10.0, depth, depth_known)
        centre, scale = batch.eeg.new_tensor(_EEG_CENTRE), batch.eeg.new_tensor(_EEG_SCALE)
        eeg_known = batch.eeg == batch.eeg
        goal = (torch.where(eeg_known, batch.eeg, centre) - centre) / scale
        error = nn.functional.smooth_l1_loss((out["eeg_features"] - centre) / scale, goal, reduction="none")
        parts["eeg"] = objectives.masked_mean(error, eeg_known)
    return parts


def _stage_loss(batch: Batch, out: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the sleep stage; −1 is unknown."""
    each = nn.functional.cross_entropy(out["stage_logits"], batch.stage.clamp(min=0), reduction="none")
    return objectives.masked_mean(each, batch.stage >= 0)


def rhythm_target(r_times: Tensor, samples: int, rate_hz: int) -> Tensor:
    """ECG as rhythm only: a bump of 1 mV, σ 25 ms, at each R peak; [B, R] seconds -> [B, L]."""
    nearest = torch.arange(-10, 11, device=r_times.device)
    centre = torch.where(r_times == r_times, r_times, torch.full_like(r_times, -10.0)) * rate_hz
    index = centre.round().long().unsqueeze(-1) + nearest
    bump = torch.exp(-0.5 * ((index - centre.unsqueeze(-1)) / (_R_WIDTH_S * rate_hz)).square())
    inside = (index >= 0) & (index < samples)
    out = torch.zeros(r_times.shape[0], samples, device=r_times.device)
    return out.scatter_add(1, index.clamp(0, samples - 1).flatten(1), torch.where(inside, bump, 0.0).flatten(1))


def pulse_target(abp: Tensor, pressures: Tensor) -> Tensor:
    """Unit shape of a pressure wave: (abp − MAP(t)) / PP(t), MAP and PP interpolated between frame centres."""
    grid = frame_interpolation(pressures.shape[1], abp.shape[1]).to(abp.device)
    pulse = (pressures[..., 1] - pressures[..., 2]).clamp(min=8.0)
    return (abp - pressures[..., 0] @ grid) / (pulse @ grid)


def wave_losses(model: PhysioME, batch: Batch, out: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Losses of the restored waves of the first ``rows`` windows, over absent frames whose truth is known."""
    config = model.config
    index = {m: i for i, m in enumerate(config.modalities)}
    missing = ~batch.presence[:rows] & batch.known[:rows]
    weight = missing.repeat_interleave(config.frame_samples, dim=-1).float()
    weight[..., -_NEWEST_S * config.rate_hz :] *= _NEWEST_WEIGHT
    signals = torch.nan_to_num(batch.signals[:rows])  # NaN where unknown, which has no weight
    pressures, abp = batch.pressures[:rows], signals[:, index[Modality.ABP]]
    known = (pressures == pressures).all(-1).all(-1)
    shape = pulse_target(abp, torch.where(known[:, None, None], pressures, torch.ones_like(pressures)))
    level, scale = ppg_units(batch.context[:rows], config.bedside_rows)
    ppg_known = batch.context[:rows, index[Modality.PPG], _SCALE] > 1e-6
    ppg = ((signals[:, index[Modality.PPG]] - level) / scale).clamp(-6.0, 6.0)
    rhythm = rhythm_target(batch.r_times[:rows], config.samples, config.rate_hz)
    seen = pulse_seen(batch.presence[:rows], config.bedside_rows)
    return {
        "wave_abp": objectives.wave_loss(
            unit_shape(out["raw_abp"], config.frames, seen),
            shape.clamp(-2.0, 2.0),
            weight[:, index[Modality.ABP]] * known[:, None],
        ),
        "wave_ppg": objectives.wave_loss(out["raw_ppg"], ppg, weight[:, index[Modality.PPG]] * ppg_known[:, None]),
        "wave_ecg": objectives.wave_loss(out["raw_ecg"], rhythm, weight[:, index[Modality.ECG]], smooth=0.1),
    }
