"""What a hypotension model has to beat: the current MAP, its trend, a late fusion of single sensors, a linear head.

All are logistic regressions on the training patients, under the very setting they are compared in: with an ABP that
was lost ten minutes ago, the MAP is that of ten minutes ago and the regression has learnt what that is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.batches.batch import TRAINING
from models.batches.group import Group, Losses
from models.batches.predict import predict
from models.data.labels import HORIZONS_S
from models.evaluation.linear import logistic, sigmoid
from models.evaluation.metrics import log_odds
from models.evaluation.settings import Setting
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

MAP_RULE_MMHG = 73.0
"""The simplest rule in the field: alarm at MAP < 73 mmHg."""
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
PROBE_WINDOWS = 6000
PROBE_PENALTY = 0.02
"""Ridge penalty a window, on inputs of unit variance."""
_BATCH = 256

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]


def current_map(lost: Losses, abp: int) -> Floats:
    """The last measured MAP in mmHg, NaN where it was never measured."""
    return lost.context[:, abp, _C["level"]].astype(np.float64)


def trend_features(lost: Losses, abp: int) -> Floats:
    """:func:`trend_columns` of the last measured MAP and its means over 1, 5 and 10 min: [W, 8]; NaN as MAP is."""
    row = lost.context[:, abp].astype(np.float64)
    return trend_columns(row[:, _C["level"]], [row[:, _C[name]] for name in ("mean_60s", "mean_300s", "mean_600s")])


def trend_columns(mean: Floats, earlier: Sequence[Floats]) -> Floats:
    """MAP [W] in mmHg, its square, its difference from each of ``earlier`` means (0 where one is not known), and their
    products with it, in units of about one: [W, 2 + 2 len(earlier)]; NaN as MAP is."""
    level = (mean - 75.0) / 12.0
    change = [np.where(np.isfinite(level), np.nan_to_num((mean - e) / 6.0), np.nan).clip(-4, 4) for e in earlier]
    return np.stack([level, level**2, *change, *(level * c for c in change)], axis=1)


class TrendBaseline:
    """MAP + trend: one logistic regression a setting and horizon, fitted on the training patients."""

    def __init__(self, train: Group, abp: int) -> None:
        self.train, self.abp = train, abp
        self._fitted: dict[float, list[Floats]] = {}

    def __call__(self, setting: Setting, lost: Losses) -> Floats:
        """Risks [W, 3]; NaN where the MAP was never measured."""
        x = trend_features(lost, self.abp)
        out = np.full((len(x), len(HORIZONS_S)), np.nan)
        known = np.isfinite(x).all(1)
        if known.any():
            for j, weights in enumerate(self._weights(setting.lost_s[self.abp])):
                out[known, j] = _risk(x[known], weights)
        return out

    def _weights(self, age_s: float) -> list[Floats]:
        if age_s not in self._fitted:
            rows = np.arange(len(self.train))
            ages = np.zeros((len(rows), self.train.presence.shape[1]))
            ages[:, self.abp] = age_s
            x = trend_features(self.train.lost(rows, ages), self.abp)
            self._fitted[age_s] = fit_risks(x, self.train, rows, 1.0)
        return self._fitted[age_s]


class LateFusion:
    """One probe a sensor, trained alone on frozen encoder tokens and its own context; the log odds of those that are
    measured are averaged. What it cannot do is let one sensor explain another."""

    def __init__(self, model: PhysioME, train: Group, seed: int) -> None:
        self.model = model
        rows = np.sort(np.random.default_rng([seed, 41]).permutation(len(train))[:PROBE_WINDOWS])
        natural = train.lost(rows, np.zeros((len(rows), train.presence.shape[1])))
        features = single_features(model, train, rows, natural)
        self.scale = [(np.nanmean(x, 0), np.nanstd(x, 0) + 1e-6) for x in features]
        self.weights = []
        for x, (mean, sd) in zip(features, self.scale, strict=True):
            here = np.isfinite(x).all(1)
            self.weights.append(fit_risks((x[here] - mean) / sd, train, rows[here], PROBE_PENALTY * max(1, here.sum())))

    def odds(self, group: Group, rows: Indices) -> Floats:
        """Log odds of each sensor alone [M, W, 3]; NaN where it has no frame. They do not depend on the setting."""
        natural = group.lost(rows, np.zeros((len(rows), group.presence.shape[1])))
        features = single_features(self.model, group, rows, natural)
        out = np.full((len(features), len(rows), len(HORIZONS_S)), np.nan)
        for m, (x, (mean, sd), weights) in enumerate(zip(features, self.scale, self.weights, strict=True)):
            here = np.isfinite(x).all(1)
            for j, w in enumerate(weights):
                out[m, here, j] = log_odds(_risk((x[here] - mean) / sd, w))
        return out

    @staticmethod
    def fuse(odds: Floats, setting: Setting) -> Floats:
        """Risks [W, 3] of the sensors that the setting leaves; NaN where none of them has a frame."""
        left = odds[list(setting.observed)]
        count = np.isfinite(left).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count > 0, np.nansum(left, axis=0) / count, np.nan)
        return 1.0 / (1.0 + np.exp(-mean))


class FusedRisk:
    """A head on the whole fused representation, beside the shipped one, which reads a few concepts of it: a
    logistic regression a horizon on training windows that lost sensors as in training. If it is better, the bottleneck
    throws something away."""

    def __init__(self, model: PhysioME, train: Group, seed: int) -> None:
        rng = np.random.default_rng([seed, 47])
        rows = np.sort(rng.permutation(len(train))[:PROBE_WINDOWS])
        x = predict(model, train, rows, train.draw(rng, rows, TRAINING), ("fused",)).values["fused"].astype(np.float64)
        self.mean, self.sd = x.mean(0), x.std(0) + 1e-6
        self.weights = fit_risks((x - self.mean) / self.sd, train, rows, PROBE_PENALTY * len(rows))

    def __call__(self, fused: Floats) -> Floats:
        """Risks [W, 3] of fused representations [W, d]."""
        z = (fused.astype(np.float64) - self.mean) / self.sd
        return np.stack([_risk(z, weights) for weights in self.weights], axis=1)


@torch.no_grad()
def single_features(model: PhysioME, group: Group, rows: Indices, lost: Losses) -> list[Floats]:
    """Of each modality alone [W, d + 2 C]: mean of its present tokens and its context row, with what is unknown in the
    row marked; NaN where no frame is present."""
    device = next(model.parameters()).device
    parts: list[Floats] = []
    for first in range(0, len(rows), _BATCH):
        part = slice(first, first + _BATCH)
        batch = group.batch(rows[part], lost.part(part), 0)
        seen = batch.presence.to(device)
        tokens = model.encode(batch.features.to(device), seen)
        count = seen.sum(-1, keepdim=True)
        pooled = torch.where(seen.unsqueeze(-1), tokens, 0.0).sum(2) / count.clamp(min=1)
        parts.append(torch.where(count > 0, pooled, torch.nan).cpu().numpy().astype(np.float64))
    tokens_of = np.concatenate(parts)
    context = lost.context.astype(np.float64)
    known = np.isfinite(context)
    return [
        np.concatenate([tokens_of[:, m], np.where(known[:, m], context[:, m], 0.0), known[:, m]], axis=1)
        for m in range(tokens_of.shape[1])
    ]


def fit_risks(x: Floats, train: Group, rows: Indices, ridge: float) -> list[Floats]:
    """Weights of each horizon, on windows whose outcome is known and that are not hypotensive yet."""
    now = train.labels["hypotensive_now"][rows].astype(bool)
    out = []
    for j in range(len(HORIZONS_S)):
        label = train.labels["hypotension"][rows, j]
        use = np.isfinite(label) & ~now & np.isfinite(x).all(1)
        if not use.any():
            out.append(np.full(x.shape[1] + 1, np.nan))
            continue
        out.append(logistic(x[use], label[use] > 0.5, ridge))
    return out


def abp_row(model: PhysioME) -> int:
    """The model's row of the arterial pressure. ValueError if it has none."""
    return model.config.modalities.index(Modality.ABP)


def _risk(x: Floats, weights: Floats) -> Floats:
    return sigmoid(weights[0] + x @ weights[1:])
