"""The comparison of imputers: one frozen encoder set and head, every subset of sensors, only the imputer swapped.

Held-out windows are the same for all imputers, subsets and seeds; what differs between two results is what stood in the
absent slots. Scores are kept a window, so that means, differences and recovered fractions all get intervals over
patients, with the seeds of training together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batches.group import Group
from models.evaluation.lost_windows import (
    BATCH,
    Indices,
    LostWindows,
    TokenBank,
    bedside,
    first_pass,
    lose,
    second_pass,
    usable_rows,
)
from models.evaluation.readouts import Heads, fit_heads, truths, window_errors
from models.evaluation.rivals import Method, Regime, Rivals
from models.physiome import PhysioME

TEST_WINDOWS, HEAD_WINDOWS, REFIT_WINDOWS = 400, 3000, 1200
_SAMPLE_SEED = 2024  # test windows and ages do not depend on the seed of training

Floats = npt.NDArray[np.float64]
Step = Callable[[str, int, int], None]
Key = tuple[int, str, str, str]
"""Observed subset as bits, imputer, head (``frozen``, ``refitted`` or ``tokens``), quantity."""


@dataclass
class Scores:
    """Values a window [W] by key; ``patient`` [W] and ``row`` [W] are those of the test windows."""

    seed: int
    regime: str
    modalities: tuple[str, ...]
    patient: Indices
    rows: Indices
    values: dict[Key, Floats] = field(default_factory=dict)
    truth: dict[str, Floats] = field(default_factory=dict)

    def get(self, subset: int, imputer: str, head: str, quantity: str) -> Floats:
        """Values [W] of one cell of the comparison; NaN where it was not made."""
        return self.values.get((subset, imputer, head, quantity), np.full(len(self.patient), np.nan))

    @property
    def imputers(self) -> list[str]:
        """Names of the imputers, in the order in which they were scored."""
        return list(dict.fromkeys(key[1] for key in self.values))


def subsets(modalities: int) -> range:
    """Every subset of observed modalities as bits: nothing observed (0) to all (2^M − 1)."""
    return range(2**modalities)


def name_of(subset: int, modalities: Sequence[str]) -> str:
    """Names of the observed modalities."""
    return " + ".join(m for i, m in enumerate(modalities) if subset >> i & 1) or "none"


def observed(subset: int, modalities: int) -> npt.NDArray[np.bool_]:
    """bool [modalities]: the bits of ``subset``."""
    bits: npt.NDArray[np.bool_] = ((subset >> np.arange(modalities)) & 1) == 1
    return bits


@dataclass
class Prepared:
    """What one model and regime need once: tokens, fitted rivals, the frozen heads."""

    model: PhysioME
    train: Group
    test: Group
    regime: Regime
    seed: int
    train_bank: TokenBank
    test_bank: TokenBank
    rivals: Rivals
    heads: Heads


def prepare(
    model: PhysioME, train: Group, test: Group, regime: Regime, seed: int, like: Prepared | None = None
) -> Prepared:
    """``like``: of the same model under another regime, whose tokens and heads are taken over."""
    model.eval()
    train_bank = like.train_bank if like else TokenBank(model, train)
    test_bank = like.test_bank if like else TokenBank(model, test)
    rivals = Rivals(model, train, train_bank, regime, seed)
    heads = like.heads if like else complete_heads(model, train, train_bank, rivals, seed)
    return Prepared(model, train, test, regime, seed, train_bank, test_bank, rivals, heads)


def compare(prepared: Prepared, step: Step, which: Iterable[int] | None = None, refit: bool = True) -> Scores:
    """Scores of every imputer in every subset (or those in ``which``) under one regime of ages."""
    model, train, test, regime, seed = (getattr(prepared, x) for x in ("model", "train", "test", "regime", "seed"))
    rivals, heads = prepared.rivals, prepared.heads
    modalities = bedside(model)
    m = len(modalities)
    rows = usable_rows(test, TEST_WINDOWS, _SAMPLE_SEED)
    ages = regime.ages(np.random.default_rng([_SAMPLE_SEED, 1]), len(rows), m)
    truth = truths(test, rows, modalities)
    names = tuple(x.value for x in modalities)
    scores = Scores(seed, regime.name, names, patient_numbers(test)[rows], rows, truth=truth)
    refitted = _refit(model, train, prepared.train_bank, rivals, regime, seed, step) if refit else {}
    methods = rivals.methods(test)
    chosen = list(subsets(m) if which is None else which)
    for number, subset in enumerate(chosen):
        step(f"subsets, {regime.name}", number + 1, len(chosen))
        kept = observed(subset, m)
        # With nothing absent nothing is imputed: one pass serves all.
        asked = methods if not kept.all() else {"mask token": methods["mask token"]}
        lost = lose(test, prepared.test_bank, rows, np.where(kept, 0.0, ages), rivals.mean)
        found = run_methods(model, lost, rivals.mean, asked)
        if kept.all():
            found = dict.fromkeys(methods, found["mask token"])
        for imputer, (representation, residual, total, cosine) in found.items():
            for head, fitted in (("frozen", heads), ("refitted", refitted.get(imputer))):
                if fitted is None:
                    continue
                predicted = fitted.predict(representation)
                for task, error in window_errors(predicted, truth).items():
                    scores.values[subset, imputer, head, task] = error
                    if task.startswith("hypotension"):
                        scores.values[subset, imputer, head, f"{task}_risk"] = predicted[task]
            for i, modality in enumerate(scores.modalities):
                if not kept[i]:
                    for name, value in (("residual", residual), ("total", total), ("cosine", cosine)):
                        scores.values[subset, imputer, "tokens", f"{name}_{modality}"] = value[:, i]
    return scores


def complete_heads(model: PhysioME, train: Group, bank: TokenBank, rivals: Rivals, seed: int) -> Heads:
    """The frozen heads: fitted on complete windows."""
    rows = usable_rows(train, HEAD_WINDOWS, seed, earliest_s=60)
    none = np.zeros((len(rows), len(model.config.modalities)))
    lost = lose(train, bank, rows, none, rivals.mean)
    found = run_methods(model, lost, rivals.mean, {"mask token": rivals.methods(train)["mask token"]})
    return fit_heads(found["mask token"][0], truths(train, rows, bedside(model)), patient_numbers(train)[rows])


def _refit(
    model: PhysioME, train: Group, bank: TokenBank, rivals: Rivals, regime: Regime, seed: int, step: Step
) -> dict[str, Heads]:
    """Heads fitted anew for each imputer, on training windows of which random subsets (all, now and then) are lost."""
    rng = np.random.default_rng([seed, 45])
    rows = usable_rows(train, REFIT_WINDOWS, seed + 1)
    m = len(model.config.modalities)
    kept = (rng.integers(0, 2**m, len(rows))[:, None] >> np.arange(m)) & 1
    ages = np.where(kept == 1, 0.0, regime.ages(rng, len(rows), m))
    step(f"heads refitted, {regime.name}", 0, 1)
    found = run_methods(model, lose(train, bank, rows, ages, rivals.mean), rivals.mean, rivals.methods(train))
    truth, patient = truths(train, rows, bedside(model)), patient_numbers(train)[rows]
    heads = {imputer: fit_heads(result[0], truth, patient) for imputer, result in found.items()}
    step(f"heads refitted, {regime.name}", 1, 1)
    return heads


Found = tuple[Floats, Floats, Floats, Floats]


@torch.no_grad()
def run_methods(model: PhysioME, whole: LostWindows, mean: Tensor, methods: dict[str, Method]) -> dict[str, Found]:
    """For each method: representation [B, p]; over the absent slots of each modality [B, M] the squared error of the
    imputed tokens, that of the training mean [M, N, d], and mean cosine (NaN where nothing is absent or imputed)."""
    parts: dict[str, list[Found]] = {name: [] for name in methods}
    for first in range(0, len(whole), BATCH):
        lost = whole.part(first, first + BATCH)
        state, embedded = first_pass(model, lost)
        absent = ~lost.presence
        for name, method in methods.items():
            imputed = method(lost).impute(model, state)
            representation = second_pass(model, state, embedded, imputed).numpy().astype(np.float64)
            parts[name].append((representation, *token_scores(imputed, lost.complete, mean, absent)))
    return {name: tuple(np.concatenate(x) for x in zip(*found, strict=True)) for name, found in parts.items()}  # type: ignore[misc]


def token_scores(imputed: Tensor | None, truth: Tensor, mean: Tensor, absent: Tensor) -> tuple[Floats, Floats, Floats]:
    """Squared error, squared error of the mean and mean cosine over absent slots: tokens [B, M, N, d] -> [B, M] each.

    Cosines are of tokens about the training mean: encoder tokens share a large common part that any method gets right.
    """
    nothing = ~absent.any(-1)
    inside = absent.unsqueeze(-1)
    total = torch.where(inside, (truth - mean).square(), 0.0).sum((2, 3))
    if imputed is None:
        residual = cosine = torch.full_like(total, float("nan"))
    else:
        residual = torch.where(inside, (imputed - truth).square(), 0.0).sum((2, 3))
        a, b = imputed - mean, truth - mean
        each = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-9)
        cosine = torch.where(absent, each, 0.0).sum(-1) / absent.sum(-1).clamp(min=1)
    out = (residual, total, cosine)
    return tuple(torch.where(nothing, torch.full_like(v, float("nan")), v).double().numpy() for v in out)  # type: ignore[return-value]


def patient_numbers(group: Group) -> Indices:
    """A number for each window's patient that is the same whichever run and seed looks at the data."""
    seeds = [int(str(p.facts.get("seed", i))) for i, p in enumerate(group.dataset.patients)]
    if len(set(seeds)) < len(seeds):
        seeds = list(range(len(seeds)))
    return np.asarray(seeds, np.intp)[group.dataset.patient_of]
