"""The imputers that a learned restoration has to beat, fitted on training patients only.

Each method is a function of :class:`LostWindows` that gives an :class:`Imputer` for that batch, so that one frozen
model serves all of them. None reads content under the mask.

zero, mask token: nothing fitted. random fill: the tokens of a random training window. train mean. hold: the last
window. memory token: one token a modality and slot, learned with everything frozen so that the fused representation
is that of complete windows. ridge: all tokens of an absent modality from the pooled tokens of the observed ones and
the context, one closed-form fit for each subset observed. delay regression: ABP tokens from the anchored R-to-PPG-delay
regression of MAP, with hold for the others. beat template: the modality's last beat drawn again at each beat that
another sensor shows, encoded. restoration and SelfMask are the model's own; the oracle knows the complete window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.batches.group import Group
from models.data.missingness import ragged
from models.evaluation.beat_template import TemplateTokens
from models.evaluation.linear import choose_penalty, ridge
from models.evaluation.lost_windows import (
    Indices,
    LostWindows,
    TokenBank,
    anchored_pressure,
    bedside,
    first_pass,
    lose,
    usable_rows,
)
from models.imputers import (
    GivenImputer,
    HoldImputer,
    Imputer,
    MaskTokenImputer,
    MeanImputer,
    OracleImputer,
    RestorationImputer,
    ZeroImputer,
)
from models.physiome import Fused, PhysioME
from models.selfmask import SelfMaskImputer
from models.signals.modalities import Modality

RIDGE_WINDOWS = 1500
MEMORY_STEPS, _MEMORY_RATE, _MEMORY_BATCH = 80, 0.02, 48

Method = Callable[[LostWindows], Imputer]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regime:
    """How long ago absent modalities were lost: log-uniform between two ages, or never measured."""

    name: str
    youngest_s: float
    oldest_s: float

    def ages(self, rng: np.random.Generator, count: int, modalities: int) -> Floats:
        """[count, modalities], whole seconds; every modality has one, whether it is lost is another matter."""
        if not np.isfinite(self.oldest_s):
            return np.full((count, modalities), np.inf)
        low, high = np.log(self.youngest_s), np.log(self.oldest_s)
        return np.ceil(np.exp(rng.uniform(low, high, (count, modalities))))


ANCHORED = Regime("lost 1 to 10 min ago", 60.0, 600.0)
NEVER = Regime("never measured", np.inf, np.inf)


class Rivals:
    """All methods, fitted for one model and one regime."""

    def __init__(self, model: PhysioME, group: Group, bank: TokenBank, regime: Regime, seed: int) -> None:
        rng = np.random.default_rng([seed, 41])
        self.model, self.seed = model, seed
        rows = usable_rows(group, RIDGE_WINDOWS, seed)
        complete = bank(rows)
        self.mean = complete.mean(0)
        ages = regime.ages(rng, len(rows), complete.shape[1])
        self._pool = complete
        self._memory = memory_token(model, group, bank, rows, ages, self.mean, seed)
        self._ridge = RidgeTokens(model, group, bank, rows, ages, self.mean, seed)
        self._delay = DelayTokens(model, group, bank, rows, ages, self.mean)
        self.template = TemplateTokens(model, group)

    def methods(self, group: Group) -> dict[str, Method]:
        """For windows of ``group``; SelfMask only if the model has it."""
        found: dict[str, Method] = {
            "zero": lambda lost: ZeroImputer(),
            "random fill": lambda lost: GivenImputer(self._random(lost)),
            "train mean": lambda lost: MeanImputer(self.mean),
            "hold": lambda lost: HoldImputer(lost.before),
            "memory token": lambda lost: MeanImputer(self._memory),
            "mask token": lambda lost: MaskTokenImputer(),
            "ridge": lambda lost: _Ridge(self._ridge, lost.context),
            "delay regression": lambda lost: _Delay(self._delay, lost),
            "beat template": lambda lost: GivenImputer(self.template.of(group)(lost)),
            "restoration": lambda lost: RestorationImputer(),
            "SelfMask": lambda lost: SelfMaskImputer(),
            "oracle": lambda lost: OracleImputer(lost.complete),
        }
        if getattr(self.model, "selfmask", None) is None:
            del found["SelfMask"]
        return found

    def _random(self, lost: LostWindows) -> Tensor:
        """Tokens of one random training window a modality, the same in every subset."""
        rows = [np.random.default_rng([self.seed, 43, int(r)]).integers(0, len(self._pool), lost.presence.shape[1])
                for r in lost.rows]  # fmt: skip
        at = torch.from_numpy(np.stack(rows))
        return torch.stack([self._pool[at[:, m], m] for m in range(at.shape[1])], dim=1)


# -- memory token -------------------------------------------------------------------------------------------------


def memory_token(
    model: PhysioME, group: Group, bank: TokenBank, rows: Indices, ages: Floats, mean: Tensor, seed: int
) -> Tensor:
    """Tokens [M, N, d] that stand for any absent modality: fitted so that the fused representation of windows with
    random subsets lost is that of the complete windows (mean squared error), all else frozen. Starts at the mean."""
    rng = np.random.default_rng([seed, 42])
    memory = nn.Parameter(mean.clone())
    optimiser = torch.optim.Adam([memory], _MEMORY_RATE)
    modalities = mean.shape[0]
    frozen = [p for p in model.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    for step in range(MEMORY_STEPS):
        optimiser.param_groups[0]["lr"] = _MEMORY_RATE * (1.0 - step / MEMORY_STEPS)
        at = rng.integers(0, len(rows), _MEMORY_BATCH)
        observed = (rng.integers(0, 2**modalities - 1, len(at))[:, None] >> np.arange(modalities)) & 1
        lost = lose(group, bank, rows[at], np.where(observed == 1, 0.0, ages[at]), mean)
        state, embedded = first_pass(model, lost)
        with torch.no_grad():
            goal, _ = model.pass_two(state.tokens, lost.complete, state.presence, embedded)
        fused, _ = model.pass_two(state.tokens, memory.expand_as(state.tokens), state.presence, embedded)
        optimiser.zero_grad()
        (nn.functional.mse_loss(fused, goal) / (goal.var(0).mean() + 1e-9)).backward()
        optimiser.step()
    for p in frozen:
        p.requires_grad_(True)
    return memory.detach()


# -- regressions --------------------------------------------------------------------------------------------------


def pooled(tokens: Tensor, presence: Tensor) -> Tensor:
    """Mean and newest of the present tokens of each modality, 0 where none is: [B, M, N, d] -> [B, M, 2 d]."""
    inside = presence.unsqueeze(-1)
    known = torch.where(inside, tokens, torch.zeros_like(tokens))
    mean = known.sum(2) / inside.sum(2).clamp(min=1)
    position = torch.arange(1, tokens.shape[2] + 1)
    newest = (presence * position).argmax(2)
    last = known.gather(2, newest[..., None, None].expand(-1, -1, 1, tokens.shape[-1])).squeeze(2)
    return torch.cat([mean, last], dim=-1)


def context_inputs(model: PhysioME, context: Tensor, presence: Tensor) -> Tensor:
    """Normalised context with a flag for what is known: [B, 2 M C]."""
    normal = model.context.normalise(context)
    known = normal == normal
    return torch.cat([torch.where(known, normal, torch.zeros_like(normal)), known.float()], dim=-1).flatten(1)


class RidgeTokens:
    """Ridge regressions of a modality's tokens, one for each subset of modalities that shows anything; fitted when
    first needed, on training windows with just that subset."""

    def __init__(
        self, model: PhysioME, group: Group, bank: TokenBank, rows: Indices, ages: Floats, mean: Tensor, seed: int
    ) -> None:
        self._model, self._group, self._bank, self._rows = model, group, bank, rows
        self._ages, self._mean, self._seed = ages, mean, seed
        self._fits: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._penalty: dict[int, float] = {}

    def inputs(self, tokens: Tensor, presence: Tensor, context: Tensor) -> Tensor:
        """Regressors [B, p]: mean tokens of what is present [B, M, N, d], and the context."""
        return torch.cat([pooled(tokens, presence).flatten(1), context_inputs(self._model, context, presence)], dim=-1)

    def fit(self, m: int, shown: int) -> tuple[Tensor, Tensor]:
        """Weights [p, N d] and offset for modality ``m`` where the modalities of the bits ``shown`` show something."""
        if (m, shown) not in self._fits:
            observed = ((shown >> np.arange(self._ages.shape[1])) & 1) == 1
            ages = np.where(observed[None], 0.0, self._ages)
            lost = self._group.lost(self._rows, ages)
            if observed[m]:  # some frames of the modality itself are there
                rng = np.random.default_rng([self._seed, 44, m])
                lost.presence[:, m] = ragged(rng, lost.presence[:, m])
            windows = lose(self._group, self._bank, self._rows, ages, self._mean, lost)
            with torch.no_grad():
                tokens = self._model.encode(windows.features, windows.presence)
                x = self.inputs(tokens, windows.presence, windows.context).double().numpy()
            y = windows.complete[:, m].flatten(1).double().numpy()
            if m not in self._penalty:
                self._penalty[m] = choose_penalty(x, y, self._group.dataset.patient_of[self._rows])
            weights, offset = ridge(x, y, self._penalty[m])
            self._fits[m, shown] = torch.from_numpy(weights).float(), torch.from_numpy(offset).float()
        return self._fits[m, shown]


class _Ridge:
    def __init__(self, fits: RidgeTokens, context: Tensor) -> None:
        self._fits, self._context = fits, context

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        x = self._fits.inputs(state.tokens, state.presence, self._context)
        any_shown = state.presence.any(-1)
        shown = (any_shown.long() << torch.arange(any_shown.shape[1])).sum(1)
        out = torch.zeros_like(state.tokens)
        for m in range(out.shape[1]):
            needed = ~state.presence[:, m].all(-1)
            for code in shown[needed].unique().tolist():
                here = needed & (shown == code)
                weights, offset = self._fits.fit(m, code)
                out[here, m] = (x[here] @ weights + offset).unflatten(-1, out.shape[2:])
        return out


class DelayTokens:
    """Ridge from [MAP by the delay regression, held MAP, pulse pressure, pooled tokens of the last window] to the
    tokens of ABP, fitted on training windows that lost ABP alone."""

    def __init__(
        self, model: PhysioME, group: Group, bank: TokenBank, rows: Indices, ages: Floats, mean: Tensor
    ) -> None:
        self._model, self._abp = model, model.config.modalities.index(Modality.ABP)
        only = np.zeros_like(ages)
        only[:, self._abp] = ages[:, self._abp]
        lost = lose(group, bank, rows, only, mean)
        x = self.inputs(lost.before, lost.context).double().numpy()
        y = lost.complete[:, self._abp].flatten(1).double().numpy()
        penalty = choose_penalty(x, y, group.dataset.patient_of[rows])
        self._weights, self._offset = (torch.from_numpy(v).float() for v in ridge(x, y, penalty))

    def inputs(self, before: Tensor, context: Tensor) -> Tensor:
        """Regressors [B, p] from the tokens of the last whole window and the context; unknown numbers are 0, marked."""
        held, moved, pulse = anchored_pressure(context, bedside(self._model))
        numbers = torch.stack([(held - 80.0) / 25.0, (moved - 80.0) / 25.0, (pulse - 50.0) / 25.0], dim=-1)
        known = numbers == numbers
        numbers = torch.where(known, numbers, torch.zeros_like(numbers))
        tokens = before[:, self._abp]
        return torch.cat([numbers, known.float(), tokens.mean(1), tokens[:, -1]], dim=-1)

    def __call__(self, lost: LostWindows) -> Tensor:
        """Tokens [B, M, N, d]: hold, and ABP by the regression."""
        out = lost.before.clone()
        x = self.inputs(lost.before, lost.context)
        out[:, self._abp] = (x @ self._weights + self._offset).unflatten(-1, out.shape[2:])
        return out


class _Delay:
    """Hold within the window as *hold* does it, but for ABP."""

    def __init__(self, fit: DelayTokens, lost: LostWindows) -> None:
        self._tokens, self._abp = fit(lost), fit._abp

    def impute(self, model: PhysioME, state: Fused) -> Tensor:
        held = HoldImputer(self._tokens).impute(model, state)
        held[:, self._abp] = self._tokens[:, self._abp]
        return held
