"""The bedside's heads: pressures, risk of hypotension, depth, EEG features and restored waves of one fused window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.fusion import ppg_units
from models.networks.heads import DepthHead, HypotensionHead, PressureAnchor, PressureHead
from models.networks.waves import EegFeatures, PressureWave, WaveDecoders, pulse_seen
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import PhysioMEConfig

_AGE = CONTEXT_FIELDS.index("age_s")
_EEG_CONCEPTS = 3 + 1  # depth and suppression, beside the pressure's trend: what the risk is computed from


@dataclass(frozen=True, slots=True)
class Represented:
    """A window after both passes. B batch, M rows, N frames, L samples, d width, C context fields."""

    scaled: Tensor  # [B, M, L] model units, 0 where absent
    present: Tensor  # bool [B, M, L]
    presence: Tensor  # bool [B, M, N]
    context: Tensor  # [B, M, C], NaN unknown
    filled: Tensor  # [B, M, C] normalised context, learned values for the unknown
    embedded: Tensor  # [B, d] context token before the passes
    tokens: Tensor  # [B, M, N, d] encoder tokens, undefined where absent
    restored: Tensor | None  # [B, M, N, d] imputed tokens; None: the missing token stood in
    fused: Tensor  # [B, d]
    slots: Tensor  # [B, M, N, d] after pass 2


class BedsideHeads(nn.Module):
    """All that a bedside window is asked for; depth and EEG features only if the model reads an EEG."""

    def __init__(self, config: PhysioMEConfig) -> None:
        super().__init__()
        c, rows = config, config.bedside_rows
        self.rows, self.abp = rows, rows.index(Modality.ABP)
        self.eeg = rows.index(Modality.EEG) if config.has_eeg else None
        concepts = PressureAnchor.trend_features + (_EEG_CONCEPTS if config.has_eeg else 0)
        self.anchor = PressureAnchor(rows)
        self.pressure = PressureHead(c.width, c.width)
        self.hypotension = HypotensionHead(concepts, len(rows))
        if config.has_eeg:
            self.depth = DepthHead(c.width)
            self.eeg_features = EegFeatures(c.width)
        self.waves = WaveDecoders(rows, c.frames, c.frame_samples, c.rate_hz, c.wave_channels, c.width)
        self.pressure_wave = PressureWave(c.frames, c.samples)

    def forward(self, window: Represented, wave_rows: int | None, wave_frames: int | None = None) -> dict[str, Tensor]:
        """Outputs by name (``models.runtime.spec.OUTPUTS``) and, for training, ``pressure_frames`` [B, N, 3, 3],
        ``risk_hints`` [B, F], ``hazard_logits`` [B, K, 3] and ``raw_{abp,ppg,ecg}`` [rows, L]; waves of the first
        ``wave_rows`` windows (None: all), of their newest ``wave_frames`` frames."""
        w = window
        level, pulse, term, anchors = self.anchor(w.context, w.filled)
        age = w.context[:, self.abp, _AGE]
        quantiles, mean, size = self.pressure(w.slots[:, self.abp], w.fused, level, pulse, term, anchors, age)
        newest = quantiles[:, -1]
        out = {"pressure": newest, "pressure_frames": quantiles}
        # The risk sees the fused representation through what can be read from it (a concept bottleneck, Koh 2020):
        # given all of it, or all pressures by all quantiles, the head learnt to know its few hundred training patients.
        concepts = [self.anchor.trend(anchors, newest[:, 0])]
        if self.eeg is not None:
            out["depth"] = self.depth(w.slots[:, self.eeg], w.fused)
            out["eeg_features"] = self.eeg_features(w.slots[:, self.eeg], w.fused)
            concepts += [(out["depth"] - 50.0) / 25.0, out["eeg_features"][:, 6:]]
        hints = torch.cat(concepts, dim=-1).detach()
        logits = self.hypotension.logits(hints)
        risks = self.hypotension.cumulative(self.hypotension.cooled(logits, w.presence))
        out |= {
            "risk_hints": hints,
            "hazard_logits": logits,
            "risk": risks.mean(1),
            "risk_lo": risks.amin(1),
            "risk_hi": risks.amax(1),
        }
        if wave_rows != 0:
            out |= self._waves(w, mean, size, slice(wave_rows), wave_frames)
        return out

    def _waves(
        self, w: Represented, mean: Tensor, size: Tensor, rows: slice, frames: int | None
    ) -> dict[str, Tensor]:  # fmt: skip
        context, (count, samples) = w.context[rows], (w.presence.shape[-1], w.scaled.shape[-1])
        drawn = samples if frames is None else samples // count * min(frames, count)
        raw = self.waves(
            w.scaled[rows], w.present[rows], w.slots[rows], w.fused[rows], w.embedded[rows], context, drawn
        )  # fmt: skip
        level, scale = ppg_units(context, self.rows)
        seen = pulse_seen(w.presence[rows], self.rows)
        return {f"raw_{m.value.lower()}": wave for m, wave in raw.items()} | {
            "abp_wave": self.pressure_wave(raw[Modality.ABP], mean[rows], size[rows], seen),
            "ppg_wave": level + scale * raw[Modality.PPG],
            "ecg_wave": raw[Modality.ECG],
        }
