"""PhysioME (arXiv 2510.11110): prediction from whichever sensors work, and restoration of those that do not.

    scale → frame networks → modality encoders ─┬─ pass 1: observed slots are keys, absent ones only ask
                                                ├─ impute the absent tokens (restoration decoders)
                                                └─ pass 2: observed and imputed slots are keys → heads, waves

One static graph serves every subset of sensors, frame by frame: absence is an input (``presence``), masked with Where
and with finite attention biases, never with control flow. Content under the mask cannot change one output bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.imputers import Imputer, RestorationImputer
from models.networks.decoders import DecoderBank
from models.networks.encoder import ModalityEncoder
from models.networks.fusion import ContextEmbedding, Fusion, InputScaling
from models.networks.heads import DepthHead, HypotensionHead, PressureAnchor, PressureHead
from models.networks.transformer import LowRankLinear, low_rank_layers
from models.networks.waves import EegFeatures, PressureWave, WaveDecoders, pulse_seen
from models.runtime.spec import OUTPUTS
from models.selfmask import ChosenImputer, SelfMaskPredictor
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS, WindowSpec

_CONCEPTS = 9 + 3 + 1  # pressures, depth and suppression that the risk is computed from


@dataclass(frozen=True, slots=True)
class PhysioMEConfig:
    """Size of a model. ``demo`` is shipped, ``ci`` is for tests; the paper's is d 512, depth 6, 8 heads."""

    frames: int = 10
    frame_s: int = 3
    rate_hz: int = 100
    width: int = 96
    heads: int = 4
    encoder_depth: int = 2
    fusion_depth: int = 2
    decoder_depth: int = 2
    decoder_width: int = 96
    channels: tuple[int, int] = (16, 24)
    wave_channels: int = 32
    selfmask_width: int = 96
    selfmask_heads: int = 4
    selfmask_depth: int = 2
    selfmask_dropout: float = 0.3
    modalities: tuple[Modality, ...] = MODEL_MODALITIES

    @property
    def frame_samples(self) -> int:
        return self.frame_s * self.rate_hz

    @property
    def samples(self) -> int:
        return self.frames * self.frame_samples

    @property
    def window_spec(self) -> WindowSpec:
        return WindowSpec(self.modalities, self.rate_hz, self.frame_s, self.frames, 1)


SIZES: dict[str, PhysioMEConfig] = {
    "demo": PhysioMEConfig(),
    "ci": PhysioMEConfig(
        frames=8, width=32, encoder_depth=1, fusion_depth=1, decoder_depth=1, decoder_width=32,
        channels=(8, 12), wave_channels=8, selfmask_width=32,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fused:
    """State after pass 1: everything an imputer may look at. Shapes as in :class:`PhysioME`."""

    tokens: Tensor  # [B, M, N, d] encoder tokens, undefined where absent
    presence: Tensor  # [B, M, N]
    context_out: Tensor  # [B, d] context token after pass 1
    slots: Tensor  # [B, M, N, d] slots after pass 1
    embedded: Tensor  # [B, d] embedding of what is known from before the window


class PhysioME(nn.Module):
    """The model. B batch, M modalities, N frames, L samples, d width, C context fields."""

    def __init__(self, config: PhysioMEConfig) -> None:
        super().__init__()
        self.config = config
        c, m = config, len(config.modalities)
        self.scaling = InputScaling(c.modalities, c.frame_samples)
        self.encoders = nn.ModuleList(
            ModalityEncoder(c.frames, c.frame_samples, c.channels, c.width, c.heads, c.encoder_depth) for _ in range(m)
        )
        self.context = ContextEmbedding(c.modalities, c.width)
        self.fusion = Fusion(m, c.frames, c.width, c.heads, c.fusion_depth)
        self.restoration = DecoderBank(m, c.width, c.decoder_width, c.heads, c.decoder_depth)
        self.pool = nn.Sequential(nn.Linear((1 + 2 * m) * c.width, c.width), nn.GELU(), nn.LayerNorm(c.width))
        self.anchor = PressureAnchor(c.modalities)
        self.pressure = PressureHead(c.width, c.width)
        self.hypotension = HypotensionHead(PressureAnchor.pressure_features + _CONCEPTS, m)
        self.depth = DepthHead(c.width)
        self.eeg_features = EegFeatures(c.width)
        self.waves = WaveDecoders(c.modalities, c.frames, c.frame_samples, c.rate_hz, c.wave_channels, c.width)
        self.pressure_wave = PressureWave(c.frames, c.samples)
        self.selfmask = SelfMaskPredictor(
            m, c.frames, c.width, c.selfmask_width, c.selfmask_heads, c.selfmask_depth, c.selfmask_dropout
        )
        self.selfmask.requires_grad_(False)  # trained by its own stage only
        self.imputer: Imputer = RestorationImputer()
        self._frozen = False

    # -- encoders -----------------------------------------------------------------------------------------------

    def freeze_encoders(self, rank: int, alpha: float, dropout: float) -> None:
        """Freezes the modality encoders (BatchNorm statistics too) and adds LoRA to their attention projections."""
        self.encoders.requires_grad_(False)
        for layer in low_rank_layers(self.encoders):
            layer.add_adapter(rank, alpha, dropout)
        self._frozen = True
        self.train(self.training)

    def merge_adapters(self) -> None:
        """Folds LoRA into the frozen weights (for export)."""
        for layer in low_rank_layers(self.encoders):
            layer.merge_adapter()

    def train(self, mode: bool = True) -> PhysioME:
        super().train(mode)
        if self._frozen:
            for module in self.encoders.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
        return self

    def trainable(self) -> Iterable[tuple[str, nn.Parameter]]:
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)

    def frame_features(self, scaled: Tensor) -> Tensor:
        """Scaled samples [B, M, L] -> [B, M, N, d]; each frame on its own, so these may be cached."""
        return torch.stack([enc.features(scaled[:, m]) for m, enc in enumerate(self.encoders)], dim=1)  # type: ignore[operator]

    def encode(self, features: Tensor, presence: Tensor) -> Tensor:
        """Frame features [B, M, N, d] -> encoder tokens [B, M, N, d]; absent frames are not attended."""
        rows = [enc(features[:, m], presence[:, m])[0] for m, enc in enumerate(self.encoders)]
        return torch.stack(rows, dim=1)

    # -- the two passes -----------------------------------------------------------------------------------------

    def pass_one(self, tokens: Tensor, presence: Tensor, embedded: Tensor) -> Fused:
        context_out, slots = self.fusion(self.fusion.adapt(tokens), presence, presence, embedded)
        return Fused(tokens, presence, context_out, slots, embedded)

    def pass_two(
        self, tokens: Tensor, restored: Tensor | None, presence: Tensor, embedded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Observed tokens blended with imputed ones (None: the missing token), all of them keys.

        Returns the fused representation [B, d] and the slots [B, M, N, d].
        """
        every = torch.ones_like(presence)
        if restored is None:
            blended, filled = tokens, presence
        else:
            blended, filled = torch.where(presence.unsqueeze(-1), tokens, restored), every
        context_out, slots = self.fusion(self.fusion.adapt(blended), filled, every, embedded)
        pooled = torch.cat([context_out, slots.mean(2).flatten(1), slots[:, :, -1].flatten(1)], dim=-1)
        return self.pool(pooled), slots

    def forward(
        self, signals: Tensor, presence: Tensor, context: Tensor, features: Tensor | None = None,
        imputer: Imputer | None = None, wave_rows: int | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """signals [B, M, L] in physical units, presence bool [B, M, N], context [B, M, C], NaN = unknown.

        ``features`` are cached frame features [B, M, N, d]; ``imputer`` replaces the model's own; ``wave_rows`` decodes
        the waves of the first windows only (training). Returns every output of ``models.runtime.spec.OUTPUTS`` and, for
        training, ``pressure_frames`` [B, N, 3, 3], ``hazard_logits`` [B, K, 3], ``embedded`` [B, d] (context) and
        ``raw_{abp,ppg,ecg}`` [rows, L].
        """
        scaled, present = self.scaling(signals, presence, context)
        if features is None:
            features = self.frame_features(scaled)
        tokens = self.encode(features, presence)
        filled, embedded = self.context(context, presence)
        state = self.pass_one(tokens, presence, embedded)
        restored = (imputer or self.imputer).impute(self, state)
        fused, slots = self.pass_two(tokens, restored, presence, embedded)

        abp, eeg = (self.config.modalities.index(m) for m in (Modality.ABP, Modality.EEG))
        level, pulse, term, anchors = self.anchor(context, filled)
        age = context[:, abp, CONTEXT_FIELDS.index("age_s")]
        quantiles, mean, size = self.pressure(slots[:, abp], fused, level, pulse, term, anchors, age)
        newest = quantiles[:, -1]
        depth, eeg_features = self.depth(slots[:, eeg], fused), self.eeg_features(slots[:, eeg], fused)
        # The risk sees the fused representation through what can be read from it (a concept bottleneck, Koh 2020):
        # given all of it, the head learnt to know its few hundred training patients instead.
        concepts = ((newest - 80.0).flatten(1) / 25.0, (depth - 50.0) / 25.0, eeg_features[:, 6:])
        hints = torch.cat([self.anchor.pressure_only(anchors), *concepts], dim=-1)
        logits = self.hypotension.logits(hints.detach())
        cumulative = self.hypotension.cumulative(self.hypotension.cooled(logits, presence))
        out = {
            "risk": cumulative.mean(1), "risk_lo": cumulative.amin(1), "risk_hi": cumulative.amax(1),
            "depth": depth,
            "pressure": newest,
            "eeg_features": eeg_features,
            "tokens": tokens, "restored_tokens": torch.zeros_like(tokens) if restored is None else restored,
            "fused": fused,
            "pressure_frames": quantiles, "hazard_logits": logits, "embedded": embedded,
        }  # fmt: skip
        if wave_rows != 0:
            rows = slice(wave_rows)
            raw = self.waves(scaled[rows], present[rows], slots[rows], fused[rows], embedded[rows], context[rows])
            ppg_level, ppg_scale = self.scaling.ppg_units(context[rows])
            out |= {f"raw_{m.value.lower()}": wave for m, wave in raw.items()}
            seen = pulse_seen(presence[rows], self.config.modalities)
            out["abp_wave"] = self.pressure_wave(raw[Modality.ABP], mean[rows], size[rows], seen)
            out["ppg_wave"] = ppg_level + ppg_scale * raw[Modality.PPG]
            out["ecg_wave"] = raw[Modality.ECG]
        return out


class InferenceGraph(nn.Module):
    """The exported face of the model: inputs by modality, outputs in the order of ``OUTPUTS``.

    With ``selfmask`` (bool [B]) both imputers are in the graph and each window is filled by the one it asks for.
    """

    def __init__(self, model: PhysioME) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ecg: Tensor, abp: Tensor, ppg: Tensor, eeg: Tensor, presence: Tensor, context: Tensor,
        selfmask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        rows = {Modality.ECG: ecg, Modality.ABP: abp, Modality.PPG: ppg, Modality.EEG: eeg}
        signals = torch.stack([rows[m] for m in self.model.config.modalities], dim=1)
        imputer = None if selfmask is None else ChosenImputer(selfmask)
        out = self.model(signals, presence, context, imputer=imputer)
        return tuple(out[name] for name in OUTPUTS)


def has_adapters(model: PhysioME) -> bool:
    """Whether LoRA adapters are still separate from the weights."""
    return any(isinstance(x, LowRankLinear) and x.down is not None for x in model.encoders.modules())
