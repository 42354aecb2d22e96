"""The single-sensor student at inference: one sensor in, the bedside outputs that one sensor can give out.

    scale → frame network → adapted transformer → representation → concepts (pressure, heart rate, depth) → risk

The risk reads the concepts and the sensor's own context only (a concept bottleneck, as in :mod:`models.physiome`). What
a student promises is :data:`PROMISES`; what it has not earned on patients of its own is left out of its bundle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from models.distillation import Statistics, represent
from models.networks.encoder import ModalityEncoder
from models.networks.fusion import ContextEmbedding, InputScaling
from models.networks.heads import HypotensionHead
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import PhysioMEConfig

_RISK = ("risk", "risk_lo", "risk_hi")
PROMISES: dict[Modality, tuple[str, ...]] = {
    Modality.ECG: _RISK,
    Modality.ABP: _RISK,
    Modality.PPG: (*_RISK, "pressure"),
    Modality.EEG: ("depth",),
}
"""Outputs by sensor, names of :data:`models.runtime.spec.OUTPUTS`. A pressure is estimated from a pulse only."""

_OTHERS = ("own_delay_s", "ppg_delay_s", "delay_slope")  # of the context: need a second sensor
_LEVEL, _SCALE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("scale")
_OWN_FIELDS = [i for i, name in enumerate(CONTEXT_FIELDS) if name not in _OTHERS]
_CONCEPTS = 9 + 1 + 3  # pressures, heart rate, depth


class StudentHeads(nn.Module):
    """Pressures, heart rate and depth from the representation and the context; hazards from those concepts."""

    def __init__(self, width: int, context: int, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Dropout(0.1), nn.Linear(width + context, hidden), nn.GELU())
        self.out = nn.Linear(hidden, 9 + 1 + 3)
        self.default = nn.Parameter(torch.tensor([80.0, 45.0]))  # MAP, pulse pressure where never measured
        self.hypotension = HypotensionHead(_CONCEPTS + len(_OWN_FIELDS), 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, z: Tensor, embedded: Tensor, level: Tensor, pulse: Tensor) -> dict[str, Tensor]:
        """z [B, 2d]; embedded context [B, d]; last MAP and pulse pressure [B], NaN where unknown -> ``pressure``
        [B, 3, 3] mmHg, ``depth`` [B, 3] (10/50/90 %), ``heart_rate`` [B] per minute."""
        y = self.out(self.hidden(torch.cat([z, embedded], dim=-1)))
        mean = torch.where(level == level, level.clamp(0.0, 250.0), self.default[0]) + 20.0 * y[:, 0]
        known = torch.where(pulse == pulse, pulse.clamp(5.0, 200.0), self.default[1])
        size = known * torch.exp(0.7 * torch.tanh(y[:, 1]))
        share = torch.sigmoid(y[:, 2] - 0.693)  # the mean lies near a third of the pulse
        middle = torch.stack([mean, mean + (1.0 - share) * size, mean - share * size], dim=-1)
        below, above = 6.0 * softplus(y[:, 3:6] + 0.5), 6.0 * softplus(y[:, 6:9] + 0.5)
        depth, low, high = y[:, 10], softplus(y[:, 11] - 1.0), softplus(y[:, 12] - 1.0)
        return {
            "pressure": torch.stack([middle - below, middle, middle + above], dim=-1),
            "heart_rate": 75.0 + 25.0 * y[:, 9],
            "depth": 100.0 * torch.sigmoid(torch.stack([depth - low, depth, depth + high], dim=-1)),
        }

    def hazards(self, concepts: dict[str, Tensor], filled: Tensor) -> Tensor:
        """Hazard logits [B, K, 3]; the concepts carry no gradient. filled [B, C]: the normalised own context."""
        hints = torch.cat(
            [
                (concepts["pressure"].flatten(1) - 80.0) / 25.0,
                (concepts["heart_rate"][:, None] - 75.0) / 25.0,
                (concepts["depth"] - 50.0) / 25.0,
                filled[:, _OWN_FIELDS],
            ],
            dim=-1,
        )
        return self.hypotension.logits(hints.detach())


class Student(nn.Module):
    """One sensor's distilled encoder with its heads. ``encoder`` may still carry adapters; it is frozen here.

    ``config``: the size of the model it was distilled from. ``own`` [W, 2d]: representations of training windows, by
    which the heads' input is standardised.
    """

    own: Tensor

    def __init__(self, encoder: ModalityEncoder, modality: Modality, config: PhysioMEConfig, own: Tensor) -> None:
        super().__init__()
        self.modality, self.config = modality, config
        self.scaling = InputScaling((modality,), config.frame_samples, config.step_samples)
        self.encoder = encoder.requires_grad_(False)
        self.context = ContextEmbedding((modality,), config.width, config.use_context)
        self.statistics = Statistics(own)
        self.heads = StudentHeads(2 * config.width, config.width)
        self.register_buffer("own", torch.tensor([n not in _OTHERS for n in CONTEXT_FIELDS]), persistent=False)

    def train(self, mode: bool = True) -> Student:
        """As :meth:`torch.nn.Module.train`; the frozen encoder stays in eval mode."""
        super().train(mode)
        self.encoder.eval()  # frozen, its BatchNorm statistics too
        return self

    def frame_features(self, signals: Tensor, presence: Tensor, context: Tensor) -> Tensor:
        """Samples [B, 1, L] in physical units, bool [B, 1, N], [B, 1, C] -> features [B, N, d] of single frames."""
        scaled, _ = self.scaling(signals, presence, context)
        return self.encoder.features(scaled[:, 0])

    def forward(self, features: Tensor, presence: Tensor, context: Tensor) -> dict[str, Tensor]:
        """features [B, N, d], presence bool [B, 1, N], context [B, 1, C] with NaN = unknown; what the context says of
        other sensors is not read. Returns ``risk``, ``risk_lo``, ``risk_hi`` [B, 3], ``depth`` [B, 3], ``pressure``
        [B, 3, 3], and for training ``heart_rate`` [B] and ``hazard_logits`` [B, K, 3]."""
        context = torch.where(self.own, context, torch.full_like(context, float("nan")))
        filled, embedded = self.context(context, presence)
        z = self.statistics(represent(self.encoder, features, presence[:, 0]))
        last = context[:, 0] if self.modality is Modality.ABP else torch.full_like(context[:, 0], float("nan"))
        out: dict[str, Tensor] = self.heads(z, embedded, last[:, _LEVEL], last[:, _SCALE])
        logits = self.heads.hazards(out, filled[:, 0])
        head = self.heads.hypotension
        risks = head.cumulative(head.cooled(logits, presence))
        out |= {"risk": risks.mean(1), "risk_lo": risks.amin(1), "risk_hi": risks.amax(1), "hazard_logits": logits}
        return out


class StudentGraph(nn.Module):
    """The exported face: signal [B, L], presence [B, 1, N], context [B, 1, C] -> the outputs ``gives``, in order."""

    def __init__(self, student: Student, gives: tuple[str, ...]) -> None:
        super().__init__()
        self.student, self.gives = student, gives

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """signal [B, L], presence bool [B, 1, N], context [B, 1, C] -> the outputs ``gives``, in order."""
        signal, presence, context = inputs
        features = self.student.frame_features(signal.unsqueeze(1), presence, context)
        out = self.student(features, presence, context)
        return tuple(out[name] for name in self.gives)
