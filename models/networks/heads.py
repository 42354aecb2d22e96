"""Heads: hypotension hazards with an ensemble's bounds, depth of anaesthesia and pressures as quantiles."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.networks.fusion import delay_term
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

_F = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
"""Pulse transit time changes by tens of ms; a larger step means that the delay was taken from another beat."""
CORRECTION_TAU_S = 300.0
ENSEMBLE = 9
"""Of nine exchangeable members the least and the greatest are on average the 10 % and 90 % points of their
distribution (the expected quantile of the minimum of K draws is 1/(K + 1)); no sorting operator is needed."""


class PressureAnchor(nn.Module):
    """What ``context`` alone says about the pressure now: last level, delay change × slope, trends.

    The delay regression is the physics of pulse transit: MAP ≈ last MAP + slope · (R→PPG delay now − then).
    """

    features = 2 * len(CONTEXT_FIELDS) + 4
    trend_features = 9

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.modalities = modalities
        self.abp, self.ppg = modalities.index(Modality.ABP), modalities.index(Modality.PPG)
        self.default = nn.Parameter(torch.tensor([80.0, 50.0]))  # MAP, pulse pressure where never measured

    def trend(self, features: Tensor, newest: Tensor) -> Tensor:
        """Where the pressure stands and where it goes: features [B, F] of :meth:`forward`, quantiles of the newest MAP
        [B, 3] mmHg -> [B, 9]. MAP against the means of the last 1, 5 and 10 min, age and whether measured at all, MAP
        above 65 mmHg, width of its interval, pulse pressure. No delay of a device reaches these but through the MAP."""
        low, middle, high = ((newest[:, i, None] - 80.0) / 25.0 for i in range(3))
        means = features[:, _F["mean_60s"] : _F["mean_600s"] + 1]
        scale, age = (features[:, _F[name], None] for name in ("scale", "age_s"))
        above = (newest[:, 1, None] - 65.0) / 15.0
        parts = [2.0 * (middle - means), age, features[:, -2:-1], above, high - middle, middle - low, scale]
        return torch.cat(parts, dim=-1)

    def forward(self, context: Tensor, filled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """context and its filled normal form [B, M, C] -> level, pulse pressure, delay term [B] mmHg, features."""
        row = context[:, self.abp]
        level, pulse = row[:, _F["level"]], row[:, _F["scale"]]
        known = level == level
        term, term_known = delay_term(context, self.modalities)
        level = torch.where(known, level.clamp(0.0, 250.0), self.default[0])
        pulse = torch.where(pulse == pulse, pulse.clamp(5.0, 200.0), self.default[1])
        extra = torch.stack([term / 20.0, term_known.float(), known.float(), (level - 65.0) / 15.0], dim=-1)
        features = torch.cat([filled[:, self.abp], filled[:, self.ppg], extra], dim=-1)
        return level, pulse, term, features


class PressureHead(nn.Module):
    """MAP, SBP and DBP of every frame by 10/50/90 % quantiles: the anchor plus a learned correction.

    MAP = level + g·term + c, with the anchored delay regression's term taken in full where g = 1 (its start is near
    that: the term is physics, and the same on any device) and a correction c that grows with the age of the anchor as
    1 − exp(−(age + 3 s)/τ): right after a loss nothing beats the anchor. τ is fixed: learned, it fell to 77 s, which
    cost patients that training had not met up to 0.1 mmHg in the first two minutes and gained at most 0.2 after five.
    SBP = MAP + (1 − f)·PP and DBP = MAP − f·PP with f near 1/3; spreads are positive, so quantiles never cross.
    """

    log_tau: Tensor

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.slot = nn.Linear(width, hidden)
        self.window = nn.Linear(width + PressureAnchor.features, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 10)
        self.register_buffer("log_tau", torch.tensor(math.log(CORRECTION_TAU_S)))
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([0.0, 2.0, 0.0, 0.0, *([0.5] * 6)]))

    def forward(
        self, slots: Tensor, fused: Tensor, level: Tensor, pulse: Tensor, term: Tensor, anchors: Tensor, age_s: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ABP slots of pass 2 [B, N, d], age of the ABP [B] (NaN: never measured) -> quantiles
        [B, N, 3 (MAP, SBP, DBP), 3], MAP and PP medians [B, N]."""
        age = torch.where(age_s == age_s, age_s, torch.full_like(age_s, 1e5)).clamp(0.0, 1e5)
        trust = 1.0 - torch.exp(-(age + 3.0) / torch.exp(self.log_tau)).unsqueeze(-1)
        x = self.slot(slots) + self.window(torch.cat([fused, anchors], dim=-1)).unsqueeze(1)
        y = self.out(nn.functional.gelu(self.hidden(nn.functional.gelu(x))))
        mean = level[:, None] + torch.sigmoid(y[..., 1]) * term[:, None] + trust * 20.0 * y[..., 0]
        size = pulse[:, None] * torch.exp(0.7 * trust * torch.tanh(y[..., 2]))
        share = torch.sigmoid(y[..., 3] - math.log(2.0))
        middle = torch.stack([mean, mean + (1.0 - share) * size, mean - share * size], dim=-1)
        spread = 5.0 * nn.functional.softplus(y[..., 4:])
        quantiles = torch.stack([middle - spread[..., :3], middle, middle + spread[..., 3:]], dim=-1)
        return quantiles, mean, size


class HypotensionHead(nn.Module):
    """Hazards of a first hypotensive event in (0, 5], (5, 10] and (10, 15] min; risks are cumulative, so ordered.

    ``ENSEMBLE`` members differ by their start and by bootstrap weights over patients; their mean is the risk, least
    and greatest its bounds. After training the logits ℓ of hazard h become ℓ / T + o_h + Σ p_hm · missing_m, with
    T = softplus(a + Σ b_m · missing_m): temperature and offset (Platt 1999) by what is missing, since a head that lost
    its best sensor is wrong in its mean, not in its sharpness alone.
    """

    def __init__(self, inputs: int, modalities: int, horizons: int = 3, hidden: int = 8) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.hidden = nn.Linear(inputs, ENSEMBLE * hidden)
        self.weight = nn.Parameter(torch.randn(ENSEMBLE, hidden, horizons) / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.full((ENSEMBLE, 1, horizons), -2.5))
        self.temperature = nn.Parameter(torch.tensor(math.log(math.e - 1.0)), requires_grad=False)
        self.temperature_missing = nn.Parameter(torch.zeros(modalities), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(horizons), requires_grad=False)
        self.offset_missing = nn.Parameter(torch.zeros(modalities, horizons), requires_grad=False)

    @property
    def fitted_later(self) -> tuple[nn.Parameter, ...]:
        """What calibration fits, and no stage of training."""
        return self.temperature, self.temperature_missing, self.offset, self.offset_missing

    def logits(self, features: Tensor) -> Tensor:
        """[B, inputs] -> hazard logits [B, K, H] before the temperature."""
        x = nn.functional.gelu(self.hidden(self.dropout(features))).unflatten(-1, (ENSEMBLE, -1)).transpose(0, 1)
        logits: Tensor = (x @ self.weight + self.bias).transpose(0, 1)
        return logits

    def cooled(self, logits: Tensor, presence: Tensor) -> Tensor:
        """Logits [B, K, H] by temperature and offset of the share of missing frames, presence bool [B, M, N]."""
        missing = 1.0 - presence.float().mean(-1)
        temperature = nn.functional.softplus(self.temperature + missing @ self.temperature_missing)
        offset = self.offset + missing @ self.offset_missing
        return logits / (temperature[:, None, None] + 1e-3) + offset[:, None]

    @staticmethod
    def cumulative(logits: Tensor) -> Tensor:
        """Hazard logits [..., H] -> cumulative risk [..., H], non-decreasing by construction."""
        survival = 1.0 - torch.sigmoid(logits)
        steps = [survival[..., 0]]
        for j in range(1, survival.shape[-1]):
            steps.append(steps[-1] * survival[..., j])
        return 1.0 - torch.stack(steps, dim=-1)

    def forward(self, features: Tensor, presence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, inputs] -> risk, lower and upper bound, each [B, H]."""
        risks = self.cumulative(self.cooled(self.logits(features), presence))
        return risks.mean(1), risks.amin(1), risks.amax(1)


class DepthHead(nn.Module):
    """Depth of anaesthesia 0–100 (not BIS) by 10/50/90 % quantiles, ordered and bounded by construction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, slots: Tensor, fused: Tensor) -> Tensor:
        """EEG slots of pass 2 [B, N, d], fused [B, d] -> [B, 3]."""
        y = self.head(torch.cat([slots.mean(1), fused], dim=-1))
        below, above = nn.functional.softplus(y[:, 1] - 1.0), nn.functional.softplus(y[:, 2] - 1.0)
        return 100.0 * torch.sigmoid(torch.stack([y[:, 0] - below, y[:, 0], y[:, 0] + above], dim=-1))
