"""DP-NeuroNet pre-training of one modality encoder (NeuroNet, arXiv 2404.17585; PhysioME, arXiv 2510.11110).

Two augmented views through shared weights, two maskings of each:
L = ½ Σ_views (rec_a + rec_b) + ½ Σ_views NTXent(two maskings of one view) + NTXent(view 1, view 2).
The reconstruction target (frame features) is detached. At demo scale, where minutes replace days, a linear read-out of
simple physiology (level, spread, band powers a frame) is added so that the frozen features hold what heads need.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.encoder import ModalityEncoder
from models.networks.transformer import Transformer, key_bias, sincos_positions
from models.objectives import masked_mean, nt_xent, token_loss
from models.signals.modalities import Modality

_BANDS_HZ = ((0.6, 2.5), (2.5, 5.0), (5.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 47.0))
FRAME_READOUTS = 3 + len(_BANDS_HZ)
_GAIN = {Modality.ECG: 0.2, Modality.ABP: 0.0, Modality.PPG: 0.2, Modality.EEG: 0.1}
_NOISE = {Modality.ECG: 0.03, Modality.ABP: 0.02, Modality.PPG: 0.05, Modality.EEG: 0.03}


def augment(x: Tensor, modality: Modality, generator: torch.Generator) -> Tensor:
    """One view of scaled windows [B, L], drawn a sample: gain, offset, slow wander, noise. No stretch (it changes the
    heart rate) and no time shift (10 ms are worth 3 mmHg of pulse delay)."""
    batch, length = x.shape

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    gain = torch.exp(_GAIN[modality] * draw(batch, 1).clamp(-2, 2))
    time = torch.linspace(0.0, 1.0, length)
    wander = 0.1 * draw(batch, 1) * torch.sin(2 * torch.pi * (6 * draw(batch, 1).abs() * time + draw(batch, 1)))
    if modality is Modality.ABP:
        wander = 0.1 * wander  # pressure level is the message
    noise = _NOISE[modality] * draw(batch, 1).abs() * draw(batch, length)
    return gain * x + wander + noise


def frame_readouts(x: Tensor, frames: int, rate_hz: int) -> Tensor:
    """Scaled windows [B, L] -> [B, N, R]: mean, log spread, log peak-to-peak, log band powers of each frame."""
    parts = x.unflatten(-1, (frames, -1))
    mean = parts.mean(-1)
    centred = parts - mean.unsqueeze(-1)
    size = parts.amax(-1) - parts.amin(-1)
    length = parts.shape[-1]
    window = torch.hann_window(length)
    power = torch.fft.rfft(centred * window).abs().square() / length
    hertz = torch.fft.rfftfreq(length, 1.0 / rate_hz)
    bands = [power[..., (hertz >= a) & (hertz < b)].mean(-1) for a, b in _BANDS_HZ]
    log = [torch.log10(v + 1e-5) for v in (centred.square().mean(-1), size, *bands)]
    return torch.stack([mean, *log], dim=-1)


def projector(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, out))


class DPNeuroNet(nn.Module):
    """Wraps a modality encoder with what only pre-training needs: decoder, two separate projectors, read-out."""

    positions: Tensor

    def __init__(self, encoder: ModalityEncoder, modality: Modality, rate_hz: int, heads: int, mask_ratio: float):
        super().__init__()
        width = encoder.width
        self.encoder, self.modality, self.rate_hz = encoder, modality, rate_hz
        self.kept = max(1, round(encoder.frames * (1.0 - mask_ratio)))  # int(20 · 0.2) would be 3, not 4
        self.mask_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.register_buffer("positions", sincos_positions(encoder.frames, width)[None], persistent=False)
        self.decoder = Transformer(width, heads, 1)
        self.predict = nn.Linear(width, width)
        self.project_masks = projector(width, width)
        self.project_views = projector(width, width)
        self.readout = nn.Linear(width, FRAME_READOUTS)
        self.register_buffer("readout_mean", torch.zeros(FRAME_READOUTS))
        self.register_buffer("readout_scale", torch.ones(FRAME_READOUTS))

    def fit_readout(self, x: Tensor) -> None:
        """Standardises the read-out by a sample of scaled windows [B, L]."""
        values = frame_readouts(x, self.encoder.frames, self.rate_hz).flatten(0, 1)
        self.readout_mean = values.mean(0)
        self.readout_scale = values.std(0) + 1e-3

    def _keep(self, batch: int, generator: torch.Generator) -> Tensor:
        """bool [B, N] with exactly ``kept`` True a row, drawn a sample."""
        order = torch.rand(batch, self.encoder.frames, generator=generator).argsort(-1)
        return order < self.kept

    def _reconstruct(self, tokens: Tensor, features: Tensor, keep: Tensor) -> Tensor:
        x = torch.where(keep.unsqueeze(-1), tokens, self.mask_token) + self.positions
        out = self.predict(self.decoder(x, key_bias(torch.ones_like(keep))))
        return token_loss(out, features, ~keep)

    def loss(
        self, x: Tensor, temperature: float, readout_weight: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Scaled complete windows [B, L] -> named losses and their ``total``."""
        batch = x.shape[0]
        reconstruction, masks, views = [], [], []
        readout = torch.zeros(())
        for view in range(2):
            sample = augment(x, self.modality, generator)
            features = self.encoder.features(sample)
            summaries = []
            for _ in range(2):
                keep = self._keep(batch, generator)
                tokens, cls = self.encoder(features, keep)
                reconstruction.append(self._reconstruct(tokens, features, keep))
                summaries.append(cls)
            first, second = (self.project_masks(c) for c in summaries)
            masks.append(nt_xent(first, second, temperature))
            views.append(self.project_views(summaries[0]))
            if view == 0 and readout_weight:
                tokens, _ = self.encoder(features, torch.ones_like(keep))
                target = (
                    frame_readouts(sample, self.encoder.frames, self.rate_hz) - self.readout_mean
                ) / self.readout_scale
                readout = masked_mean(
                    (self.readout(tokens) - target).square(), torch.ones_like(target, dtype=torch.bool)
                )
        parts = {
            "reconstruction": 0.5 * torch.stack(reconstruction).sum(),
            "maskings": 0.5 * torch.stack(masks).sum(),
            "views": nt_xent(views[0], views[1], temperature),
            "readout": readout_weight * readout,
        }
        parts["total"] = torch.stack(list(parts.values())).sum()
        return parts
