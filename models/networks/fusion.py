"""The multimodal side: scaling, context token, adapters and the fusion transformer of PhysioME (arXiv 2510.11110)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.networks.transformer import Transformer, key_bias, sincos_positions
from models.signals.delays import LARGEST_DELAY_CHANGE_S
from models.signals.modalities import Modality, SleepChannel
from models.signals.windows import CONTEXT_FIELDS

_F = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
_HOLD_SAMPLES = 4  # a present cell may miss up to 40 ms of samples


Rows = tuple[Modality | SleepChannel, ...]


def ppg_units(context: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Level and scale [B, 1] of the PPG, whose unit is arbitrary; 0 and 1 where unknown or where no row is one.
    context [B, M, C]."""
    if Modality.PPG not in rows:
        return torch.zeros_like(context[:, 0, :1]), torch.ones_like(context[:, 0, :1])
    row = context[:, rows.index(Modality.PPG)]
    level, scale = row[:, _F["level"], None], row[:, _F["scale"], None]
    return (
        torch.where(level == level, level, torch.zeros_like(level)),
        torch.where(scale > 1e-6, scale, torch.ones_like(scale)),
    )


def forget(context: Tensor, rows: Rows) -> Tensor:
    """Context [B, M, C] of which nothing is remembered: NaN but for level and scale of the PPG, the unit of its input
    (the ablation "without context")."""
    kept = torch.zeros(context.shape[1:], dtype=torch.bool, device=context.device)
    if Modality.PPG in rows:
        kept[rows.index(Modality.PPG), [_F["level"], _F["scale"]]] = True
    return torch.where(kept, context, torch.full_like(context, math.nan))


def delay_term(context: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """The anchored delay regression's move of the MAP, slope · (R→PPG delay now − beside the last ABP), in mmHg [B]
    within ±40, and whether it is known, bool [B] (else 0). A larger step of the delay than pulse transit makes is from
    another beat, and counts as unknown. context [B, M, C]."""
    row = context[:, rows.index(Modality.ABP)]
    change = context[:, rows.index(Modality.PPG), _F["own_delay_s"]] - row[:, _F["ppg_delay_s"]]
    term = row[:, _F["delay_slope"]] * change
    known = (term == term) & (change.abs() < LARGEST_DELAY_CHANGE_S)
    return torch.where(known, term.clamp(-40.0, 40.0), torch.zeros_like(term)), known


class InputScaling(nn.Module):
    """Physical units in, scaled fp32 out: ABP (x − 90)/30, ECG x/1 mV, EEG, EOG x/50 µV, PPG by its context; clipped.

    Gaps of up to 40 ms inside a present frame hold the last sample; absent frames become exactly 0, whatever stands
    there (NaN, 1e30). Where frames overlap, a sample is shown if any present frame covers it.
    """

    def __init__(self, modalities: Rows, frame_samples: int, step_samples: int | None = None) -> None:
        super().__init__()
        self.modalities, self.frame_samples = modalities, frame_samples
        self.step_samples = frame_samples if step_samples is None else step_samples

    def ppg_units(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`ppg_units`."""
        return ppg_units(context, self.modalities)

    def sample_presence(self, presence: Tensor) -> Tensor:
        """Presence a frame [B, M, N] -> presence a sample [B, M, L]."""
        overlap = self.frame_samples // self.step_samples
        if overlap == 1:
            return presence.unsqueeze(-1).expand(*presence.shape, self.frame_samples).flatten(2)
        ends = nn.functional.pad(presence.float(), (overlap - 1, overlap - 1))
        cells = nn.functional.max_pool1d(ends, overlap, stride=1) > 0.5
        return cells.unsqueeze(-1).expand(*cells.shape, self.step_samples).flatten(2)

    def forward(self, signals: Tensor, presence: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """[B, M, L] and presence [B, M, N] -> scaled [B, M, L] and presence a sample, bool [B, M, L]."""
        present = self.sample_presence(presence)
        x = torch.where(present, signals, torch.zeros_like(signals))
        for _ in range(_HOLD_SAMPLES):
            x = torch.where(x == x, x, torch.cat([x[..., :1], x[..., :-1]], dim=-1))
        scaled = []
        for m, modality in enumerate(self.modalities):
            row = x[:, m]
            if modality is Modality.ABP:
                scaled.append(((row - 90.0) / 30.0).clamp(-5.0, 7.0))
            elif modality is Modality.PPG:
                level, scale = self.ppg_units(context)
                scaled.append(((row - level) / scale).clamp(-8.0, 8.0))
            elif modality is Modality.ECG:
                scaled.append(row.clamp(-5.0, 5.0))
            else:
                scaled.append((row / 50.0).clamp(-8.0, 8.0))
        out = torch.stack(scaled, dim=1)
        return torch.where(present & (out == out), out, torch.zeros_like(out)), present


class ContextEmbedding(nn.Module):
    """``context`` [B, M, C] with NaN = unknown -> normalised features and the context token's embedding [B, d].

    Where ABP and PPG are rows the token is also given :func:`delay_term`: a product of three fields, which a small
    perceptron learns badly, and what decoders and heads need to know of a lost pressure.
    """

    def __init__(self, modalities: Rows, width: int, remembers: bool = True) -> None:
        """``remembers`` False: every field counts as unknown (see :func:`forget`)."""
        super().__init__()
        self.modalities, self.remembers = modalities, remembers
        fields = len(CONTEXT_FIELDS)
        self.unknown = nn.Parameter(torch.zeros(len(modalities), fields))
        self.anchored = remembers and {Modality.ABP, Modality.PPG} <= set(modalities)
        inputs = len(modalities) * (2 * fields + 1) + (2 if self.anchored else 0)
        self.embed = nn.Sequential(nn.Linear(inputs, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def normalise(self, context: Tensor) -> Tensor:
        """Each field about zero mean and unit size; NaN stays NaN. PPG levels only relative to its own scale."""
        rows = []
        age = torch.log1p(context[..., _F["age_s"]].clamp(0.0, 1800.0)) / math.log(1801.0)
        for m, modality in enumerate(self.modalities):
            row = context[:, m]
            level, scale = row[:, _F["level"]], row[:, _F["scale"]]
            means = [row[:, _F[f"mean_{w}s"]] for w in (60, 300, 600)]
            if modality is Modality.ABP:
                level, means = (level - 80.0) / 25.0, [(v - 80.0) / 25.0 for v in means]
                scale = (scale - 50.0) / 25.0
            elif modality is Modality.PPG:
                safe = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
                means = [((v - level) / safe).clamp(-4.0, 4.0) for v in means]
                level, scale = level * 0.0, scale * 0.0  # arbitrary units
            else:
                unit, usual = (1.0, 0.1) if modality is Modality.ECG else (50.0, 20.0)
                level, means = level / unit, [v / unit for v in means]
                scale = torch.log10(scale.clamp(1e-3 * usual, 1e3 * usual) / usual)
            delays = [(row[:, _F[f]] - 0.5) / 0.2 for f in ("own_delay_s", "ppg_delay_s")]
            slope = torch.tanh(row[:, _F["delay_slope"]] / 300.0)
            rows.append(torch.stack([level, scale, age[:, m], *means, *delays, slope], dim=-1))
        return torch.stack(rows, dim=1).clamp(-6.0, 6.0)

    def forward(self, context: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised context with learned values for the unknown [B, M, C], and the embedding [B, d]."""
        normal = self.normalise(context if self.remembers else forget(context, self.modalities))
        known = normal == normal
        filled = torch.where(known, normal, self.unknown.expand_as(normal))
        share = presence.float().mean(-1, keepdim=True)
        told = torch.cat([filled, known.float(), share], dim=-1).flatten(1)
        if self.anchored:
            term, term_known = delay_term(context, self.modalities)
            told = torch.cat([told, term[:, None] / 20.0, term_known[:, None].float()], dim=-1)
        return filled, self.embed(told)


class Fusion(nn.Module):
    """Adapters, modality tokens, positions and the fusion encoder over [context token, M·N slots]."""

    positions: Tensor

    def __init__(self, modalities: int, frames: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(modalities)
        )
        self.modality = nn.Parameter(torch.randn(1, modalities, 1, width) * 0.02)
        self.missing = nn.Parameter(torch.randn(1, modalities, 1, width) * 0.02)
        self.register_buffer("positions", sincos_positions(frames, width)[None, None], persistent=False)
        self.transformer = Transformer(width, heads, depth)

    def adapt(self, tokens: Tensor) -> Tensor:
        """Encoder tokens [B, M, N, d] -> the multimodal width."""
        return torch.stack([adapter(tokens[:, m]) for m, adapter in enumerate(self.adapters)], dim=1)

    def forward(self, adapted: Tensor, filled: Tensor, keys: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """One pass.

        adapted [B, M, N, d]; filled bool [B, M, N]: slots that hold a token (others hold μ); keys bool [B, M, N]:
        slots that may be attended; context [B, d]. Returns context out [B, d] and slots [B, M, N, d].
        """
        shape = adapted.shape
        slots = torch.where(filled.unsqueeze(-1), adapted, self.missing.expand_as(adapted))
        slots = (slots + self.positions + self.modality).flatten(1, 2)
        keep = keys.flatten(1)
        bias = key_bias(torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1))
        out = self.transformer(torch.cat([context.unsqueeze(1), slots], dim=1), bias)
        return out[:, 0], out[:, 1:].reshape(shape)
