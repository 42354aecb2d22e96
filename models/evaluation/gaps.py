"""Arterial pressure that was lost, from one second to ten minutes ago or never measured: errors in mmHg by age.

All estimates see the same windows at every age. *hold* and *delay regression* are read from ``context`` alone; the
model's own pressure head is run with each imputer in its slots, and with the oracle's tokens as its ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group
from models.data.labels import heart_rate
from models.evaluation.bootstrap import Interval, difference_interval, mean_interval, ratio_interval
from models.evaluation.comparison import Step, patient_numbers
from models.evaluation.linear import choose_penalty, ridge
from models.evaluation.lost_windows import (
    BATCH,
    Indices,
    LostWindows,
    TokenBank,
    anchored_pressure,
    bedside,
    lose,
    usable_rows,
)
from models.evaluation.rivals import Method, Rivals
from models.physiome import PhysioME
from models.signals.beats import upstrokes
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS

AGES_S = (1, 3, 10, 30, 60, 120, 180, 300, 600)
PRESSURES = ("map", "sbp", "dbp")
SHOWN = ("mask token", "ridge", "restoration", "SelfMask", "oracle")
NEAR_S, MARGIN_MMHG = 120, 1.0
GAP_WINDOWS = 400
_TRAIN_WINDOWS = 2500
_C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


@dataclass
class GapScores:
    """Signed errors [W] in mmHg by (age in s, estimator, pressure); inf is never measured."""

    seed: int
    patient: Indices
    errors: dict[tuple[float, str, str], Floats] = field(default_factory=dict)

    def ages(self) -> list[float]:
        """Ages in s since the pressure was lost, rising; inf, never measured, last."""
        return sorted({key[0] for key in self.errors})

    def estimators(self, age: float) -> list[str]:
        """Names of what was tried at this age."""
        return list(dict.fromkeys(key[1] for key in self.errors if key[0] == age))


def gap_scores(model: PhysioME, train: Group, test: Group, rivals: Rivals, seed: int, step: Step) -> GapScores:
    """Errors at every age, and never anchored with the oracle regression beside it."""
    rows = usable_rows(test, GAP_WINDOWS, 2024)
    truth = test.labels["pressures"][rows][:, -1].astype(np.float64)
    scores = GapScores(seed, patient_numbers(test)[rows])
    bank = TokenBank(model, test)
    abp = model.config.modalities.index(Modality.ABP)
    methods = rivals.methods(test)
    for number, age in enumerate((*AGES_S, np.inf)):
        step("gaps", number + 1, len(AGES_S) + 1)
        ages = np.zeros((len(rows), len(model.config.modalities)))
        ages[:, abp] = age
        lost = lose(test, bank, rows, ages, rivals.mean)
        for name in SHOWN:
            if name in methods:
                estimate = model_pressures(model, lost, methods[name])
                _keep(scores, age, name, estimate - truth)
        if np.isfinite(age):
            held, moved = anchored_estimates(model, test, lost)
            _keep(scores, age, "hold", held - truth)
            _keep(scores, age, "delay regression", moved - truth)
    train_rows = usable_rows(train, _TRAIN_WINDOWS, seed, earliest_s=60)
    mean = np.nanmean(train.labels["pressures"][train_rows][:, -1].astype(np.float64), axis=0)
    _keep(scores, np.inf, "training mean", np.broadcast_to(mean, truth.shape) - truth)
    _keep(scores, np.inf, "oracle regression", oracle_regression(model, train, train_rows, test, rows) - truth)
    return scores


def _keep(scores: GapScores, age: float, name: str, errors: Floats) -> None:
    for i, pressure in enumerate(PRESSURES):
        scores.errors[age, name, pressure] = errors[:, i]


@torch.no_grad()
def model_pressures(model: PhysioME, lost: LostWindows, method: Method) -> Floats:
    """Medians of MAP, SBP, DBP [B, 3] of the newest frame, with ``method`` in the absent slots."""
    out = []
    samples = model.config.samples
    for first in range(0, len(lost), BATCH):
        part = lost.part(first, first + BATCH)
        nothing = torch.zeros(len(part), len(model.config.modalities), samples)
        found = model(
            nothing, part.presence, part.context, features=part.features, imputer=method(part), wave_rows=0,
            memory=part.memory,
        )["pressure"]  # fmt: skip
        out.append(found[:, :, 1].double().numpy())
    return np.concatenate(out)


def anchored_estimates(model: PhysioME, group: Group, lost: LostWindows) -> tuple[Floats, Floats]:
    """MAP, SBP, DBP [B, 3] by hold and by the delay regression; SBP and DBP keep the distance to MAP that they had in
    the last window (a third of the pulse pressure where there is none)."""
    held, moved, pulse = (v.double().numpy() for v in anchored_pressure(lost.context, bedside(model)))
    abp = model.config.modalities.index(Modality.ABP)
    before = lost.before_row[:, abp]
    last = group.labels["pressures"][np.maximum(before, 0)][:, -1].astype(np.float64)
    above = np.where(before >= 0, last[:, 1] - last[:, 0], 2 * pulse / 3)
    below = np.where(before >= 0, last[:, 0] - last[:, 2], pulse / 3)
    return tuple(np.stack([level, level + above, level - below], 1) for level in (held, moved))  # type: ignore[return-value]


def oracle_regression(model: PhysioME, train: Group, train_rows: Indices, test: Group, rows: Indices) -> Floats:
    """MAP, SBP, DBP [B, 3] by ridge from the true physiology that other sensors could tell at best: heart rate and its
    variability, R→PPG delay, PPG shape by true upstrokes, EEG features and true depth, with squares. The ceiling of an
    estimate that was never anchored."""
    x, y = _physiology(model, train, train_rows), train.labels["pressures"][train_rows][:, -1].astype(np.float64)
    good = np.isfinite(y).all(1)
    penalty = choose_penalty(x[good], y[good], train.dataset.patient_of[train_rows][good])
    weights, offset = ridge(x[good], y[good], penalty)
    return _physiology(model, test, rows) @ weights + offset


def _physiology(model: PhysioME, group: Group, rows: Indices) -> Floats:
    labels, ppg = group.labels, model.config.modalities.index(Modality.PPG)
    end = labels["end_s"][rows].astype(np.int64)
    delay = group.history[group.dataset.study_of[rows], end][:, ppg, _C["own_delay_s"]].astype(np.float64)
    intervals = np.diff(labels["r_times"][rows].astype(np.float64), axis=1)
    with np.errstate(invalid="ignore"):
        spread = np.sqrt(np.nanmean((intervals - np.nanmean(intervals, 1, keepdims=True)) ** 2, axis=1))
    shapes = np.stack([_ppg_shape(group.dataset.signals(np.array([row]))[0, ppg]) for row in rows])
    numbers = np.column_stack(
        [heart_rate(labels["r_times"][rows]) / 60.0, spread, delay, labels["depth"][rows] / 100.0]
    )
    x = np.column_stack([numbers, numbers**2, labels["eeg"][rows].astype(np.float64), shapes])
    known = np.isfinite(x)
    return np.column_stack([np.where(known, x, 0.0), known.astype(np.float64)])


def _ppg_shape(wave: npt.NDArray[np.float32], points: int = 16) -> Floats:
    """Mean pulse over phases, about its mean and in units of its height, and its rise time; NaN without pulses."""
    at = upstrokes(wave, kind="PPG")
    if len(at) < 3:
        return np.full(points + 1, np.nan)
    phase = (np.arange(points) + 0.5) / points
    beat = np.interp(at[:-1, None] + phase * np.diff(at)[:, None], np.arange(len(wave)), wave).mean(0)
    height = max(float(np.ptp(beat)), 1e-6)
    return np.append((beat - beat.mean()) / height, np.argmax(beat) / points * np.median(np.diff(at)) / GRID_RATE_HZ)


# -- tables -------------------------------------------------------------------------------------------------------


def gap_rows(scores: list[GapScores]) -> list[Row]:
    """A row an age and estimator: mean absolute error with interval and bias of each pressure."""
    rows: list[Row] = []
    for age in scores[0].ages():
        for name in scores[0].estimators(age):
            row: Row = {"age_s": age, "lost": f"{age:.0f} s ago" if np.isfinite(age) else "never measured",
                        "estimator": name}  # fmt: skip
            for pressure in PRESSURES:
                patient, error = _pooled(scores, age, name, pressure)
                found = mean_interval(patient, np.abs(error))
                row[pressure], row[f"{pressure}_lo"], row[f"{pressure}_hi"] = found
                row[f"{pressure}_text"] = f"{found.estimate:.1f} [{found.lo:.1f}, {found.hi:.1f}]"
                row[f"{pressure}_bias"] = float(np.nanmean(error))
            rows.append(row)
    return rows


def gap_goals(scores: list[GapScores]) -> list[Row]:
    """The goals of anchored restoration: MAP error ≤ hold + 1 mmHg below 120 s, < hold beyond, ≤ delay regression; and
    never anchored: at least 80 % of the oracle regression's reduction of the error of the training mean."""
    rows: list[Row] = []
    for name in ("restoration", "SelfMask"):
        for age in scores[0].ages():
            if name not in scores[0].estimators(age):
                continue
            patient, ours = _pooled(scores, age, name, "map")
            if not np.isfinite(age):
                prior, oracle = (_pooled(scores, age, x, "map")[1] for x in ("training mean", "oracle regression"))
                share = ratio_interval(patient, np.abs(prior) - np.abs(ours), np.abs(prior) - np.abs(oracle))
                rows.append(
                    _goal(name, age, "share of the oracle regression's reduction ≥ 0.8", share, 0.8, above=True)
                )
                continue
            for rival in ("hold", "delay regression"):
                _, theirs = _pooled(scores, age, rival, "map")
                excess = difference_interval(patient, np.abs(ours), np.abs(theirs))
                limit = MARGIN_MMHG if rival == "hold" and age < NEAR_S else 0.0
                words = f"error − {rival} ≤ {limit:g} mmHg"
                rows.append(_goal(name, age, words, excess, limit, above=False))
    return rows


def _goal(name: str, age: float, words: str, found: Interval, limit: float, above: bool) -> Row:
    reached = found.estimate >= limit if above else found.estimate <= limit
    sure = found.lo >= limit if above else found.hi <= limit
    answer = "–" if not np.isfinite(found.estimate) else ("yes" if reached else "no")
    return {
        "age_s": age, "lost": f"{age:.0f} s ago" if np.isfinite(age) else "never measured", "imputer": name,
        "goal": words, "value": found.estimate, "value_lo": found.lo, "value_hi": found.hi, "reached": answer,
        "interval_agrees": "yes" if sure else "no",
    }  # fmt: skip


def _pooled(scores: list[GapScores], age: float, name: str, pressure: str) -> tuple[Indices, Floats]:
    nothing = np.full(len(scores[0].patient), np.nan)
    return (
        np.concatenate([s.patient for s in scores]),
        np.concatenate([s.errors.get((age, name, pressure), nothing) for s in scores]),
    )
