"""From scores a window to tables: token R², cosine and recovered fractions by imputer, with intervals over patients.

recovered fraction = (error of the mask token − error of the imputer)/(error of the mask token − error of the oracle),
on summed window errors; given only where the interval of (mask token − oracle) excludes 0, else a dash. Windows of all
seeds of training are pooled, patients are drawn with their windows of every seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import Interval, additive_bootstrap, difference_interval, mean_interval, ratio_interval
from models.evaluation.comparison import Scores, name_of, subsets
from models.evaluation.readouts import NUMBERS, TASKS

Row = dict[str, float | str]
Floats = npt.NDArray[np.float64]
OURS = ("restoration", "SelfMask")
TO_BEAT = ("mask token", "hold", "ridge", "delay regression")
FLOOR, CEILING = "mask token", "oracle"


def pooled(scores: Sequence[Scores], which: Iterable[int], imputer: str, head: str, quantity: str) -> Floats:
    """Values of all seeds and subsets one after the other; goes with :func:`pooled_patients`."""
    chosen = list(which)
    return np.concatenate([s.get(subset, imputer, head, quantity) for s in scores for subset in chosen])


def pooled_patients(scores: Sequence[Scores], which: Iterable[int]) -> npt.NDArray[np.intp]:
    """Patient of each window [n], over the seeds of ``scores`` and the chosen subsets."""
    chosen = list(which)
    return np.concatenate([s.patient for s in scores for _ in chosen])


def absent_one(modalities: Sequence[str]) -> dict[str, tuple[list[int], list[str]]]:
    """Label -> subsets and the absent modalities scored: each modality absent alone."""
    everything = 2 ** len(modalities) - 1
    return {f"{m} absent": ([everything & ~(1 << i)], [m]) for i, m in enumerate(modalities)}


def absent_by_number(modalities: Sequence[str]) -> dict[str, tuple[list[int], list[str]]]:
    """Label -> subsets by number of absent modalities, from one to all."""
    count = len(modalities)
    found = {}
    for k in range(1, count + 1):
        chosen = [s for s in subsets(count) if count - s.bit_count() == k]
        found[f"{k} of {count} absent"] = (chosen, list(modalities))
    return found


def every_subset(modalities: Sequence[str]) -> dict[str, tuple[list[int], list[str]]]:
    """Label -> each subset on its own, labelled by what is observed."""
    return {
        name_of(s, modalities): ([s], [m for i, m in enumerate(modalities) if not s >> i & 1])
        for s in subsets(len(modalities))
    }


def token_figures(
    scores: Sequence[Scores], which: list[int], absent: list[str], imputer: str
) -> tuple[Interval, Interval]:
    """R² of imputed tokens against the training mean, and mean cosine, over absent slots."""
    patient = np.concatenate([pooled_patients(scores, which)] * len(absent)) if absent else np.empty(0, np.intp)
    parts = {
        name: np.concatenate([pooled(scores, which, imputer, "tokens", f"{name}_{m}") for m in absent] or [np.empty(0)])
        for name in ("residual", "total", "cosine")
    }
    terms = np.stack([parts["residual"], parts["total"]], 1)
    r2 = additive_bootstrap(patient, terms, lambda s: 1.0 - s[:, 0] / s[:, 1])
    return Interval(*(float(v[0]) for v in r2)), mean_interval(patient, parts["cosine"])


def recovered(scores: Sequence[Scores], which: list[int], imputer: str, head: str, task: str) -> Interval:
    """Share of what the lost sensors cost that the imputer gives back, with its interval over patients."""
    patient = pooled_patients(scores, which)
    floor, ours, ceiling = (pooled(scores, which, name, head, task) for name in (FLOOR, imputer, CEILING))
    return ratio_interval(patient, floor - ours, floor - ceiling)


def imputer_rows(scores: Sequence[Scores], groups: dict[str, tuple[list[int], list[str]]], head: str) -> list[Row]:
    """A row a group and imputer: R², cosine, mean error and recovered fraction of every task."""
    rows: list[Row] = []
    for label, (which, absent) in groups.items():
        patient = pooled_patients(scores, which)
        for imputer in scores[0].imputers:
            row: Row = {"when": scores[0].regime, "case": label, "imputer": imputer}
            r2, cosine = token_figures(scores, which, absent, imputer)
            _put(row, "r2", r2)
            _put(row, "cosine", cosine)
            for task in TASKS:
                _put(row, f"{task}_error", mean_interval(patient, pooled(scores, which, imputer, head, task)))
                _put(row, f"{task}_recovered", recovered(scores, which, imputer, head, task))
            rows.append(row)
    return rows


def goal_rows(scores: Sequence[Scores], groups: dict[str, tuple[list[int], list[str]]], head: str) -> list[Row]:
    """Ours against each rival, paired by window, wherever the interval of mask token − oracle excludes 0: the gain is
    the rival's mean error less ours, and its interval decides."""
    rows: list[Row] = []
    for label, (which, _) in groups.items():
        patient = pooled_patients(scores, which)
        for task in TASKS:
            errors = {name: pooled(scores, which, name, head, task) for name in {*OURS, *TO_BEAT, FLOOR, CEILING}}
            if not difference_interval(patient, errors[FLOOR], errors[CEILING]).excludes(0.0):
                continue
            for ours in OURS:
                for rival in TO_BEAT:
                    gain = difference_interval(patient, errors[rival], errors[ours])
                    if not np.isfinite(gain.estimate):
                        continue
                    row: Row = {
                        "when": scores[0].regime, "case": label, "head": head, "task": task, "imputer": ours,
                        "against": rival, "error": float(np.nanmean(errors[ours])),
                        "error_against": float(np.nanmean(errors[rival])), "found": verdict(gain),
                    }  # fmt: skip
                    _put(row, "gain", gain)
                    rows.append(row)
    return rows


def verdict(gain: Interval) -> str:
    """``better`` or ``worse`` where the interval excludes 0, else ``undecided``."""
    if gain.lo > 0:
        return "better"
    return "worse" if gain.hi < 0 else "undecided"


def subset_rows(scores: Sequence[Scores], head: str) -> list[Row]:
    """A row a quantity and observed subset, a column an imputer: token R² and mean errors."""
    rows: list[Row] = []
    groups = every_subset(scores[0].modalities)
    for quantity in ("token R²", *NUMBERS):
        for label, (which, absent) in groups.items():
            row: Row = {"when": scores[0].regime, "quantity": quantity, "observed": label, "absent": len(absent)}
            for imputer in scores[0].imputers:
                if quantity == "token R²":
                    value = token_figures(scores, which, absent, imputer)[0].estimate
                else:
                    known = pooled(scores, which, imputer, head, quantity)
                    value = float(np.nanmean(known)) if np.isfinite(known).any() else float("nan")
                row[imputer] = value
            rows.append(row)
    return rows


def text(found: Interval, digits: int = 2) -> str:
    """``0.62 [0.51, 0.70]``; a dash where there is nothing."""
    if not np.isfinite(found.estimate):
        return "–"
    if not np.isfinite(found.lo):
        return f"{found.estimate:.{digits}f}"
    return f"{found.estimate:.{digits}f} [{found.lo:.{digits}f}, {found.hi:.{digits}f}]"


def _put(row: Row, name: str, found: Interval) -> None:
    row[name], row[f"{name}_lo"], row[f"{name}_hi"] = found
    row[f"{name}_text"] = text(found)
