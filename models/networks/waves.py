"""Decoders of restored channels: pulse-locked waves for ABP, PPG and ECG; features, never a trace, for EEG.

Timing comes from the sensors that still work, not from tokens. Every recording has its own delay between channels
(devices add up to 0.5 s), which only ``context`` knows, so each source is first shifted by the delay it had to the
target when both were last measured, and then read by dilated convolutions over the *whole* window at 25 Hz: a beat
that straddles two frames is one beat. Each source is given as it is and as *beats*, impulses at its QRS complexes or
upstrokes: the first carries shape, the second does not depend on the device. Training hides the first now and then, so
that a foreign device's shape cannot undo the rhythm. Shape, level and size are separate: ABP = MAP + PP · unit shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.signals.delays import LARGEST_DELAY_CHANGE_S
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

WAVE_MODALITIES: tuple[Modality, ...] = (Modality.ABP, Modality.PPG, Modality.ECG)
"""Modalities restored as waves; each is also a source for the other two."""

_F = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
_STRIDE = 4
_DILATIONS = (1, 2, 4, 8, 1, 2)
_HIDE_SHAPE = 0.35  # share of windows and sources whose shape is hidden in training
_REACH = 4 + _STRIDE * (2 * sum(_DILATIONS) + 1) + 4
"""Samples to either side on which a sample of a decoded wave depends: stem, dilated blocks, expansion, output."""
NEWEST_FRAMES = 3
"""Frames at the end of a window of which a running monitor has the waves drawn: it shows the newest second, and the
size of a wave is taken over the frames drawn (9 s)."""
_LOWEST, _HIGHEST = -0.65, 0.9  # of a pressure wave about its mean, in pulse pressures


def pulse_seen(presence: Tensor, modalities: tuple[Modality, ...]) -> Tensor:
    """Frames with a pulse source: presence bool [B, M, N] -> bool [B, N]."""
    rows = [presence[:, i] for i, m in enumerate(modalities) if m in WAVE_MODALITIES]
    return torch.stack(rows, dim=1).any(1)


def shift(x: Tensor, samples: Tensor) -> Tensor:
    """x(t + samples) by linear interpolation; x [B, S, L], samples [B, S] (fractional), 0 outside the window."""
    length = x.shape[-1]
    position = torch.arange(length, dtype=x.dtype, device=x.device) + samples.unsqueeze(-1)
    left = position.floor()
    share = position - left
    inside = (position >= 0) & (position <= length - 1)
    first = left.clamp(0, length - 1).long()
    second = (left + 1).clamp(0, length - 1).long()
    value = torch.gather(x, 2, first) * (1.0 - share) + torch.gather(x, 2, second) * share
    return torch.where(inside, value, torch.zeros_like(value))


def steepness(x: Tensor) -> Tensor:
    """|x(t + 20 ms) − x(t − 20 ms)| of [B, S, L] against its mean over the window, clipped to 0–3.

    Tells where a QRS or an upstroke is, whichever way and however strongly the lead is connected.
    """
    ahead = torch.cat([x[..., 2:], x[..., -1:], x[..., -1:]], dim=-1)
    behind = torch.cat([x[..., :1], x[..., :1], x[..., :-2]], dim=-1)
    steep = (ahead - behind).abs()
    return (steep / (8.0 * steep.mean(-1, keepdim=True) + 0.01)).clamp(max=3.0)


def beats(x: Tensor, present: Tensor) -> Tensor:
    """Impulses (σ 30 ms, height 1) at the QRS complexes or upstrokes of each source; x and present [B, S, L].

    A beat is where the smoothed slope (of the ECG the squared slope over 20 ms, which T waves lack; of pulses the
    rise over 50 ms) is the largest within ±300 ms and at least 0.3 of the largest within ±2 s. Rows are in the order
    of :data:`WAVE_MODALITIES`. Nothing within 50 ms of an absent sample counts: the step to zero there is no beat.
    Carries no gradient.
    """
    x = x.detach()
    rows = [_squared_slope(x[:, i]) if m is Modality.ECG else _rise(x[:, i]) for i, m in enumerate(WAVE_MODALITIES)]
    near_gap = nn.functional.max_pool1d(1.0 - present, 11, 1, 5)
    smooth = nn.functional.avg_pool1d(torch.stack(rows, dim=1), 7, 1, 3) * (1.0 - near_gap)
    around = nn.functional.max_pool1d(smooth, 61, 1, 30)
    largest = nn.functional.max_pool1d(smooth, 401, 1, 200)
    peak = ((smooth >= around) & (smooth > 0.3 * largest) & (smooth > 1e-6)).to(x.dtype)
    offset = torch.arange(-10, 11, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (offset / 3.0).square())
    spread = nn.functional.conv1d(peak.flatten(0, 1).unsqueeze(1), kernel[None, None], padding=10)
    marks: Tensor = spread.squeeze(1).unflatten(0, peak.shape[:2]).clamp(max=1.0)
    return marks


def _squared_slope(x: Tensor) -> Tensor:
    """(x(t + 10 ms) − x(t − 10 ms))², [B, L]."""
    return (torch.cat([x[:, 1:], x[:, -1:]], -1) - torch.cat([x[:, :1], x[:, :-1]], -1)).square()


def _rise(x: Tensor) -> Tensor:
    """x(t + 30 ms) − x(t − 20 ms) where positive, [B, L]."""
    ahead = torch.cat([x[:, 3:], x[:, -1:].expand(-1, 3)], -1)
    behind = torch.cat([x[:, :1].expand(-1, 2), x[:, :-2]], -1)
    return (ahead - behind).clamp(min=0.0)


def frame_interpolation(frames: int, steps: int) -> Tensor:
    """Matrix [N, steps]: linear interpolation from frame centres, constant beyond the outer ones."""
    centre = (torch.arange(steps, dtype=torch.float32) + 0.5) / steps * frames - 0.5
    distance = (centre.clamp(0, frames - 1)[None] - torch.arange(frames, dtype=torch.float32)[:, None]).abs()
    return (1.0 - distance).clamp(min=0.0)


class ContextDelays(nn.Module):
    """Seconds by which each source must be read ahead to line up with a target, from ``context``.

    With R the R peak, A and P the pressure and plethysmogram upstrokes: A = R + a, P = R + p. The ABP row holds a and
    the p of the same time; the PPG row holds the newest p. As pressure changes, a follows p by a learned share.
    """

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.abp, self.ppg = modalities.index(Modality.ABP), modalities.index(Modality.PPG)
        self.default = nn.Parameter(torch.tensor([0.4, 0.6]))  # a, p where unknown
        self.follow = nn.Parameter(torch.tensor(0.7))

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """context [B, M, C] -> delays a, p [B] in seconds, and whether each is known, float [B, 2]."""
        own_a = context[:, self.abp, _F["own_delay_s"]]
        then_p = context[:, self.abp, _F["ppg_delay_s"]]
        now_p = context[:, self.ppg, _F["own_delay_s"]]
        p_known, a_known = now_p == now_p, own_a == own_a
        change = now_p - then_p
        change = torch.where(change.abs() < LARGEST_DELAY_CHANGE_S, change, torch.zeros_like(change))
        # Where both are known they agree but for the change: a step to another beat would part P from A.
        p = torch.where(then_p == then_p, then_p + change, torch.where(p_known, now_p, self.default[1]))
        a = torch.where(a_known, own_a, self.default[0]) + self.follow * change
        return a.clamp(-1.0, 2.0), p.clamp(-1.0, 2.0), torch.stack([a_known, p_known], dim=-1).float()

    def to_target(self, target: Modality, a: Tensor, p: Tensor) -> Tensor:
        """Read-ahead in seconds [B, 3] of the sources in :data:`WAVE_MODALITIES` for one target."""
        upstroke = {Modality.ECG: torch.zeros_like(a), Modality.ABP: a, Modality.PPG: p}
        return torch.stack([upstroke[source] - upstroke[target] for source in WAVE_MODALITIES], dim=-1)


class _ConditionedBlock(nn.Module):
    """x + W·gelu(conv(x)·(1 + γ) + β), dilated, with γ and β from the window's condition vector."""

    def __init__(self, channels: int, dilation: int, condition: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation)
        self.film = nn.Linear(condition, 2 * channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, offset = self.film(condition).unsqueeze(-1).chunk(2, dim=1)
        out: Tensor = x + self.mix(nn.functional.gelu(self.conv(x) * (1.0 + gain) + offset))
        return out


class WaveDecoder(nn.Module):
    """Aligned sources, slot tokens and a condition vector -> one unit-free wave [B, L] over the whole window."""

    upsample: Tensor

    def __init__(self, frames: int, samples: int, channels: int, width: int, condition: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4 * len(WAVE_MODALITIES), channels, 9, stride=_STRIDE, padding=4)
        self.token = nn.Linear(width, channels)
        self.register_buffer("upsample", frame_interpolation(frames, samples // _STRIDE), persistent=False)
        self.blocks = nn.ModuleList(_ConditionedBlock(channels, d, condition) for d in _DILATIONS)
        self.expand = nn.Conv1d(channels, 8 * _STRIDE, 3, padding=1)
        self.out = nn.Conv1d(8, 1, 9, padding=4)

    def forward(self, aligned: Tensor, tokens: Tensor, condition: Tensor, drawn: int) -> Tensor:
        """aligned [B, 12, L] (signal, steepness, mask and beats a source), tokens [B, N, d], condition [B, c] -> the
        newest ``drawn`` samples, as they are in the whole wave."""
        samples = aligned.shape[-1]
        first = max(0, samples - drawn - _REACH) // _STRIDE
        aligned, upsample = aligned[..., first * _STRIDE :], self.upsample[:, first:]
        x = self.stem(aligned) + self.token(tokens).transpose(1, 2) @ upsample
        for block in self.blocks:
            x = block(x, condition)
        x = nn.functional.gelu(self.expand(x)).unflatten(1, (8, _STRIDE)).transpose(2, 3).flatten(2)
        wave: Tensor = self.out(x).squeeze(1)
        return wave[:, -drawn:]


class WaveDecoders(nn.Module):
    """The three wave decoders; returns raw shapes by modality."""

    def __init__(
        self, modalities: tuple[Modality, ...], frames: int, frame_samples: int, rate_hz: int, channels: int,
        width: int,
    ):  # fmt: skip
        super().__init__()
        self.rate_hz, self.rows = rate_hz, [modalities.index(m) for m in WAVE_MODALITIES]
        self.delays = ContextDelays(modalities)
        self.condition = nn.Sequential(nn.Linear(2 * width + 2, width), nn.GELU(), nn.Linear(width, width))
        samples = frames * frame_samples
        self.decoders = nn.ModuleDict(
            {m.value: WaveDecoder(frames, samples, channels, width, width) for m in WAVE_MODALITIES}
        )

    def forward(
        self, scaled: Tensor, present: Tensor, slots: Tensor, fused: Tensor, embedded: Tensor, context: Tensor,
        drawn: int,
    ) -> dict[Modality, Tensor]:  # fmt: skip
        """scaled and present [B, M, L], slots of pass 2 [B, M, N, d], fused and context embedding [B, d] -> the newest
        ``drawn`` samples of each wave [B, drawn]. Beats are looked for in all of the window."""
        a, p, known = self.delays(context)
        sources = torch.stack([scaled[:, r] for r in self.rows], dim=1)
        masks = torch.stack([present[:, r] for r in self.rows], dim=1).float()
        impulses = beats(sources, masks)
        shapes = torch.stack([sources, steepness(sources) * masks], dim=1)
        if self.training:
            hidden = torch.rand(shapes.shape[0], 1, shapes.shape[2], 1, device=shapes.device) < _HIDE_SHAPE
            shapes = torch.where(hidden, torch.zeros_like(shapes), shapes)
        sources = torch.cat([shapes.flatten(1, 2), masks, impulses], dim=1)
        condition = self.condition(torch.cat([fused, embedded, known], dim=-1))
        waves: dict[Modality, Tensor] = {}
        for modality, row in zip(WAVE_MODALITIES, self.rows, strict=True):
            ahead = self.delays.to_target(modality, a, p) * self.rate_hz
            aligned = shift(sources, ahead.repeat(1, 4))
            waves[modality] = self.decoders[modality.value](aligned, slots[:, row], condition, drawn)
        return waves


def unit_shape(raw: Tensor, frames: int, seen: Tensor | None = None) -> Tensor:
    """[B, L] -> zero mean and unit mean peak-to-peak a frame (every 3-s frame holds a whole beat), of ``seen`` frames.

    ``seen`` bool [B, N]: frames in which a pulse source is present (None: all). Elsewhere nothing tells the beats and
    the decoder draws next to nothing: counted in, such frames would shrink the size and so enlarge the wave. Where no
    frame is seen every frame counts, so the shape stays finite.
    """
    parts = raw.unflatten(-1, (frames, -1))
    counts = torch.ones_like(parts[..., 0])
    if seen is not None:
        counts = torch.where(seen | ~seen.any(-1, keepdim=True), counts, torch.zeros_like(counts))
    share = counts / counts.sum(-1, keepdim=True)
    centre = (parts.mean(-1) * share).sum(-1, keepdim=True)
    size = ((parts.amax(-1) - parts.amin(-1)) * share).sum(-1, keepdim=True)
    shape: Tensor = ((raw - centre) / (size + 0.05)).clamp(_LOWEST, _HIGHEST)
    return shape


class PressureWave(nn.Module):
    """ABP wave = MAP(t) + PP(t) · unit shape, mmHg; MAP and PP a frame, interpolated between frame centres.

    Where no drawn frame has a pulse source nothing tells a beat: the wave is MAP(t), flat. What the decoder
    draws there, next to nothing, would be blown up to a pulse that nobody measured, another one at every precision.
    """

    interpolation: Tensor

    def __init__(self, frames: int, samples: int) -> None:
        super().__init__()
        self.frames = frames
        self.register_buffer("interpolation", frame_interpolation(frames, samples), persistent=False)

    def forward(self, raw: Tensor, mean: Tensor, pulse: Tensor, seen: Tensor) -> Tensor:
        """raw [B, l], the newest samples of a window in whole frames, mean and pulse pressure [B, N] in mmHg, ``seen``
        [B, N] as in :func:`unit_shape` -> [B, l] mmHg."""
        grid = self.interpolation[:, -raw.shape[-1] :]
        frames = raw.shape[-1] * self.frames // self.interpolation.shape[-1]
        drawn = seen[:, -frames:]
        shape = torch.where(drawn.any(-1, keepdim=True), unit_shape(raw, frames, drawn), torch.zeros_like(raw))
        return mean @ grid + (pulse @ grid) * shape


class EegFeatures(nn.Module):
    """log10 band powers (uV^2) delta/theta/alpha/beta/gamma, SEF95 in Hz, suppression ratio 0–1 of the window."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 7))
        with torch.no_grad():
            last = self.head[2]
            assert isinstance(last, nn.Linear)
            last.bias.copy_(torch.tensor([1.5, 1.0, 1.0, 0.5, 0.0, math.log(0.5), -2.0]))

    def forward(self, slots: Tensor, fused: Tensor) -> Tensor:
        """EEG slots of pass 2 [B, N, d], fused [B, d] -> [B, 7]."""
        raw = self.head(torch.cat([slots.mean(1), fused], dim=-1))
        return torch.cat([raw[:, :5], 47.0 * torch.sigmoid(raw[:, 5:6]), torch.sigmoid(raw[:, 6:])], dim=-1)
