"""PhysioME (arXiv 2510.11110): prediction from whichever sensors work, and restoration of those that do not.

    scale → frame networks → modality encoders ─┬─ pass 1: observed slots are keys, absent ones only ask
                                                ├─ impute the absent tokens (restoration decoders)
                                                └─ pass 2: observed and imputed slots are keys → heads

One static graph serves every subset of sensors, frame by frame: absence is an input (``presence``), masked with Where
and with finite attention biases, never with control flow. Content under the mask cannot change one output bit. What is
asked of the fused window is the task's affair: the bedside's heads or sleep staging.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.imputers import Imputer, MaskTokenImputer, RestorationImputer
from models.networks.bedside import BedsideHeads, Represented
from models.networks.decoders import DecoderBank
from models.networks.encoder import ModalityEncoder
from models.networks.fusion import ContextEmbedding, Fusion, InputScaling, forget
from models.networks.heads import HypotensionHead
from models.networks.memory import TokenMemory
from models.networks.sleep import SleepHead
from models.networks.transformer import LowRankLinear, low_rank_layers
from models.networks.waves import NEWEST_FRAMES, WaveDecoders
from models.runtime.spec import FEATURES, FRAMES, SCALED
from models.selfmask import ChosenImputer, SelfMaskPredictor
from models.sizes import SIZES as SIZES
from models.sizes import PhysioMEConfig as PhysioMEConfig


@dataclass(frozen=True, slots=True)
class Fused:
    """State after pass 1: everything an imputer may look at. Shapes as in :class:`PhysioME`."""

    tokens: Tensor  # [B, M, N, d] encoder tokens, undefined where absent
    presence: Tensor  # [B, M, N]
    context_out: Tensor  # [B, d] context token after pass 1
    slots: Tensor  # [B, M, N, d] slots after pass 1
    embedded: Tensor  # [B, d] embedding of what is known from before the window
    memory: Tensor | None = None  # [B, M, d] mean token of the last window with the modality whole, NaN never


class PhysioME(nn.Module):
    """The model. B batch, M rows (modalities or leads), N frames, L samples, d width, C context fields."""

    def __init__(self, config: PhysioMEConfig) -> None:
        super().__init__()
        self.config = config
        c, m = config, len(config.modalities)
        self.scaling = InputScaling(c.modalities, c.frame_samples, c.step_samples)
        self.encoders = nn.ModuleList(
            ModalityEncoder(
                c.frames, c.frame_samples, c.channels, c.width, c.heads, c.encoder_depth, c.step_samples, c.backbone
            )
            for _ in range(m)
        )
        self.context = ContextEmbedding(c.modalities, c.width, c.use_context)
        self.fusion = Fusion(m, c.frames, c.width, c.heads, c.fusion_depth)
        self.restoration = DecoderBank(m, c.width, c.decoder_width, c.heads, c.decoder_depth)
        self.pool = nn.Sequential(nn.Linear((1 + 2 * m) * c.width, c.width), nn.GELU(), nn.LayerNorm(c.width))
        self.heads: BedsideHeads | SleepHead = SleepHead(c.width) if c.task == "sleep" else BedsideHeads(c)
        self.selfmask = SelfMaskPredictor(
            m, c.frames, c.width, c.selfmask_width, c.selfmask_heads, c.selfmask_depth, c.selfmask_dropout
        )
        self.selfmask.requires_grad_(False)  # trained by its own stage only
        self.imputer: Imputer = MaskTokenImputer() if c.imputer == "mask_token" else RestorationImputer()
        self.memory: TokenMemory | None = None
        if c.use_memory:
            self.add_memory()
        self._frozen = False

    # -- the core: scale, encode, pass 1, impute, pass 2 ----------------------------------------------------------

    def represent(
        self, signals: Tensor, presence: Tensor, context: Tensor, features: Tensor | None = None,
        imputer: Imputer | None = None, memory: Tensor | None = None,
    ) -> Represented:  # fmt: skip
        """A window through both passes; arguments as in :meth:`forward`."""
        scaled, present = self.scaling(signals, presence, context)
        if features is None:
            features = self.frame_features(scaled)
        tokens = self.encode(features, presence)
        filled, embedded = self.context(context, presence)
        state = self.pass_one(tokens, presence, embedded, memory)
        restored = (imputer or self.imputer).impute(self, state)
        fused, slots = self.pass_two(tokens, restored, presence, embedded)
        if not self.config.use_context:
            context = forget(context, self.config.modalities)
        return Represented(scaled, present, presence, context, filled, embedded, tokens, restored, fused, slots)

    def frame_features(self, scaled: Tensor) -> Tensor:
        """Scaled samples [B, M, L] -> [B, M, N, d]; each frame on its own, so these may be cached."""
        return torch.stack([enc.features(scaled[:, m]) for m, enc in enumerate(self.encoders)], dim=1)  # type: ignore[operator]

    def encode(self, features: Tensor, presence: Tensor) -> Tensor:
        """Frame features [B, M, N, d] -> encoder tokens [B, M, N, d]; absent frames are not attended."""
        rows = [enc(features[:, m], presence[:, m])[0] for m, enc in enumerate(self.encoders)]
        return torch.stack(rows, dim=1)

    @torch.no_grad()
    def targets(self, features: Tensor, known: Tensor) -> Tensor:
        """Encoder tokens [B, M, N, d] of what is known, as a stage is to predict them: without a gradient, and nothing
        dropped out of them."""
        training = self.training
        tokens = self.eval().encode(features, known)
        self.train(training)
        return tokens

    def pass_one(self, tokens: Tensor, presence: Tensor, embedded: Tensor, memory: Tensor | None = None) -> Fused:
        """``memory`` is only handed on to the imputers."""
        context_out, slots = self.fusion(self.fusion.adapt(tokens), presence, presence, embedded)
        return Fused(tokens, presence, context_out, slots, embedded, memory)

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
        imputer: Imputer | None = None, wave_rows: int | None = None, memory: Tensor | None = None,
        wave_frames: int | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """signals [B, M, L] in physical units, presence bool [B, M, N], context [B, M, C], NaN = unknown.

        ``features`` are cached frame features [B, M, N, d]; ``imputer`` replaces the model's own; ``wave_rows`` decodes
        the waves of the first windows only (training), ``wave_frames`` those of the newest frames only; ``memory``
        [B, M, d] is the mean encoder token of each modality in the last window that had it whole, NaN = never (None:
        all), used for absent slots by a model with memory.
        Returns ``tokens``, ``restored_tokens`` [B, M, N, d], ``fused``
        and ``embedded`` (context) [B, d] and what the task's heads give (:class:`BedsideHeads`, :class:`SleepHead`).
        """
        window = self.represent(signals, presence, context, features, imputer, memory)
        heads = self.heads
        out: dict[str, Tensor] = (
            heads(window.fused) if isinstance(heads, SleepHead) else heads(window, wave_rows, wave_frames)
        )
        tokens, restored = window.tokens, window.restored
        return out | {
            "tokens": tokens, "restored_tokens": torch.zeros_like(tokens) if restored is None else restored,
            "fused": window.fused, "embedded": window.embedded,
        }  # fmt: skip

    def add_memory(self) -> None:
        """Gives the imputers their readers of the token memory; what was trained before stays as it is."""
        c = self.config
        self.memory = TokenMemory(len(c.modalities), c.width, c.decoder_width, c.selfmask_width)
        self.memory.to(next(self.parameters()).device)
        self.memory.selfmask.requires_grad_(False)  # trained by its own stage only
        self.config = replace(c, use_memory=True)

    # -- frozen encoders with adapters ----------------------------------------------------------------------------

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
        """As :meth:`torch.nn.Module.train`; frozen encoders keep the statistics of their BatchNorm."""
        super().train(mode)
        if self._frozen:
            for module in self.encoders.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
        return self

    def trainable(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Names and parameters that require a gradient."""
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)

    # -- parts of the bedside's heads that have stages of their own ------------------------------------------------

    @property
    def bedside(self) -> BedsideHeads:
        """The bedside's heads; TypeError for a model of another task."""
        if not isinstance(self.heads, BedsideHeads):
            raise TypeError(f"a {self.config.task} model has no bedside heads")
        return self.heads

    @property
    def hypotension(self) -> HypotensionHead:
        """The head of hypotension. TypeError of a model with another task's heads."""
        return self.bedside.hypotension

    @property
    def waves(self) -> WaveDecoders:
        """The decoders of restored waves. TypeError of a model with another task's heads."""
        return self.bedside.waves


class InferenceGraph(nn.Module):
    """The exported face of the model: inputs by modality, outputs in the order of ``OUTPUTS``.

    With ``selfmask`` (bool [B]) both imputers are in the graph and each window is filled by the one it asks for. A
    model with memory has the input ``memory`` [B, M, d] as its last. With ``seams`` it also gives, under the names of
    :func:`seams`, the values at which a runtime may cut it to keep the features of frames already seen.
    """

    def __init__(self, model: PhysioME, seams: bool = False) -> None:
        super().__init__()
        self.model, self.seams = model, seams

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """One signal [B, L] a row of the model, presence, context, for both imputers ``selfmask``, and ``memory``."""
        model, rows = self.model, len(self.model.config.modalities)
        presence, context, *choice = inputs[rows:]
        memory = choice.pop() if model.memory is not None else None
        imputer = ChosenImputer(*choice) if choice else None
        signals = torch.stack(inputs[:rows], dim=1)
        inner: tuple[Tensor, ...] = ()
        features = None
        if self.seams:  # the exporter finds that the model scales once more, and leaves one of the two
            scaled, _ = model.scaling(signals, presence, context)
            frames = [scaled[:, m].reshape(-1, model.config.frame_samples) for m in range(rows)]
            found = [enc.frame_network(x) for enc, x in zip(model.encoders, frames, strict=True)]  # type: ignore[operator]
            features = torch.stack([f.reshape(-1, model.config.frames, model.config.width) for f in found], dim=1)
            inner = (scaled, *frames, *found, features)
        out = model(
            signals, presence, context, features=features, imputer=imputer, memory=memory, wave_frames=NEWEST_FRAMES
        )
        return (*(out[name] for name in model.config.outputs), *inner)


def seams(config: PhysioMEConfig) -> list[str]:
    """Names of the values at which the graph may be cut: ``scaled`` [B, M, L]; of each modality its ``frames``
    [B·N, samples] and their features [B·N, d]; all ``features`` [B, M, N, d]. For frames that do not overlap."""
    names = [m.value.lower() for m in config.bedside_rows]
    return [SCALED, *(f"{FRAMES}_{n}" for n in names), *(f"{FEATURES}_{n}" for n in names), FEATURES]


def has_adapters(model: PhysioME) -> bool:
    """Whether LoRA adapters are still separate from the weights."""
    return any(isinstance(x, LowRankLinear) and x.down is not None for x in model.encoders.modules())
