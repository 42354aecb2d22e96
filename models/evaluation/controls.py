"""Negative controls and invariants of a trained model: what must not work, and what must hold to the last bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.batches.group import Group
from models.batches.recall import recall
from models.evaluation.bootstrap import Interval, additive_bootstrap, difference_interval
from models.evaluation.comparison import Prepared, patient_numbers
from models.evaluation.gaps import anchored_estimates, model_pressures
from models.evaluation.lost_windows import BATCH, Indices, LostWindows, TokenBank, first_pass, lose, usable_rows
from models.imputers import ZeroImputer
from models.networks.transformer import key_bias
from models.physiome import PhysioME
from models.signals.modalities import Modality

CONTROL_WINDOWS = 240
PASS_ONE_TOLERANCE = 1e-4
NOISE_R2 = 0.02  # an R² below this is nothing: the sampling error of a mean

Row = dict[str, float | str]


def control_rows(prepared: Prepared, uncoupled: Group | None) -> list[Row]:
    """Every control; ``uncoupled`` are simulated patients whose channels share nothing."""
    rows = shuffled_patients(prepared) + invariants(prepared.model, prepared.test)
    rows += coupling_off(prepared, uncoupled) if uncoupled is not None else []
    windows = float(len(usable_rows(prepared.test, CONTROL_WINDOWS, 2024)))
    return [row | {"windows": windows} for row in rows]


# -- what must not work -------------------------------------------------------------------------------------------


def shuffled_patients(prepared: Prepared) -> list[Row]:
    """Each modality restored from the observed sensors and context of *another* patient: R² ≤ 0.

    Against the mean of these windows' own tokens: a shift of the whole test group against training (another device)
    is the same for all patients, and matching it is no restoration.
    """
    test, m_count = prepared.test, len(prepared.model.config.modalities)
    rows = usable_rows(test, CONTROL_WINDOWS, 2024)
    patient = patient_numbers(test)[rows]
    other = another_patient(patient, np.random.default_rng(7))
    out: list[Row] = []
    for m, modality in enumerate(prepared.model.config.modalities):
        ages = np.zeros((len(rows), m_count))
        ages[:, m] = 300.0
        own = lose(test, prepared.test_bank, rows, ages, prepared.rivals.mean)
        for name, source in (("own patient", np.arange(len(rows))), ("another patient", other)):
            given = _rows(own, source)
            for imputer in ("restoration", "SelfMask"):
                r2 = token_r2_interval(prepared, given, own.complete[:, m], imputer, m, patient)
                if r2 is None:
                    continue
                wrong = name == "another patient"
                row = _row(f"{modality.value} restored from {name}", imputer, "token R²", r2)
                out.append(row | _answer("≤ 0" if wrong else "> 0", r2.estimate <= NOISE_R2 if wrong else r2.lo > 0))
    return out


def coupling_off(prepared: Prepared, group: Group) -> list[Row]:
    """Patients whose channels are independent: nothing never measured can be restored (R² ≤ 0), and pressure that was
    measured is not known better than by hold."""
    model, modalities = prepared.model, prepared.model.config.modalities
    rows = usable_rows(group, CONTROL_WINDOWS, 2024)
    patient, bank = patient_numbers(group)[rows], TokenBank(model, group)
    methods = prepared.rivals.methods(group)
    out: list[Row] = []
    for m, modality in enumerate(modalities):
        ages = np.zeros((len(rows), len(modalities)))
        ages[:, m] = np.inf
        lost = lose(group, bank, rows, ages, prepared.rivals.mean)
        for imputer in ("restoration", "SelfMask"):
            r2 = token_r2_interval(prepared, lost, lost.complete[:, m], imputer, m, patient)
            if r2 is not None:
                row = _row(f"coupling off: {modality.value} never measured", imputer, "token R²", r2)
                out.append(row | _answer("≤ 0", r2.estimate <= NOISE_R2))
    abp = modalities.index(Modality.ABP)
    for age in (60.0, 300.0):
        ages = np.zeros((len(rows), len(modalities)))
        ages[:, abp] = age
        lost = lose(group, bank, rows, ages, prepared.rivals.mean)
        truth = group.labels["pressures"][rows][:, -1, 0].astype(np.float64)
        held, moved = (np.abs(v[:, 0] - truth) for v in anchored_estimates(model, group, lost))
        for imputer in ("restoration", "SelfMask"):
            if imputer not in methods:
                continue
            gain = difference_interval(
                patient, held, np.abs(model_pressures(model, lost, methods[imputer])[:, 0] - truth)
            )
            row = _row(f"coupling off: ABP lost {age:.0f} s ago", imputer, "MAP error, hold − ours (mmHg)", gain)
            out.append(row | _answer("interval does not lie above 0", not gain.lo > 0))
        gain = difference_interval(patient, held, moved)
        row = _row(f"coupling off: ABP lost {age:.0f} s ago", "delay regression", "MAP error, hold − its (mmHg)", gain)
        out.append(row | _answer("interval does not lie above 0", not gain.lo > 0))
    return out


def another_patient(patient: Indices, rng: np.random.Generator) -> Indices:
    """For each window one of another patient (the same shift for all windows of a patient, so that series match)."""
    names = np.unique(patient)
    order = rng.permutation(names)
    partner = dict(zip(order, np.roll(order, 1), strict=True))
    out = np.zeros(len(patient), np.intp)
    for p in names:
        mine, theirs = np.flatnonzero(patient == p), np.flatnonzero(patient == partner[p])
        out[mine] = theirs[np.arange(len(mine)) % len(theirs)]
    return out


@torch.no_grad()
def token_r2_interval(
    prepared: Prepared, lost: LostWindows, truth: Tensor, imputer: str, m: int, patient: Indices
) -> Interval | None:
    """R² of modality ``m``'s imputed tokens about the mean of ``truth`` [B, N, d]; None without such an imputer."""
    methods = prepared.rivals.methods(prepared.test)
    if imputer not in methods:
        return None
    parts = []
    for first in range(0, len(lost), BATCH):
        part = lost.part(first, first + BATCH)
        state, _ = first_pass(prepared.model, part)
        imputed = methods[imputer](part).impute(prepared.model, state)
        assert imputed is not None
        parts.append(imputed[:, m])
    residual = (torch.cat(parts) - truth).square().sum((1, 2)).double().numpy()
    total = (truth - truth.mean(0)).square().sum((1, 2)).double().numpy()
    found = additive_bootstrap(patient, np.stack([residual, total], 1), lambda s: 1.0 - s[:, 0] / s[:, 1])
    return Interval(*(float(v[0]) for v in found))


def _rows(lost: LostWindows, at: Indices) -> LostWindows:
    pick = torch.from_numpy(at)
    return LostWindows(
        lost.rows[at], lost.features[pick], lost.presence[pick], lost.context[pick], lost.before[pick],
        lost.before_row[at], lost.complete[pick],
    )  # fmt: skip


# -- what must hold -----------------------------------------------------------------------------------------------


@torch.no_grad()
def invariants(model: PhysioME, group: Group, count: int = 24) -> list[Row]:
    """Content under the mask, physical removal, the effect of imputed tokens, everything absent."""
    modalities = model.config.modalities
    rows = usable_rows(group, count, 11)
    signals = torch.from_numpy(group.dataset.signals(rows))
    ages = np.zeros((len(rows), len(modalities)))
    ages[np.arange(len(rows)), np.arange(len(rows)) % len(modalities)] = 120.0
    lost = group.lost(rows, ages)
    memory = recall(model, group.batch(rows, lost, 0))
    presence, context = torch.from_numpy(lost.presence), torch.from_numpy(lost.context)
    out = [_bits(model, signals, presence, context, memory)]
    out.append(_removal(model, signals, presence, context))
    usual = model(signals, presence, context, wave_rows=0, memory=memory)
    zero = model(signals, presence, context, wave_rows=0, imputer=ZeroImputer(), memory=memory)
    for name in ("hazard_logits", "pressure", "depth"):
        if name in usual:
            change = float((usual[name] - zero[name]).abs().max())
            row = _row("imputed tokens replaced by zeros", "restoration", f"largest change of {name}", _only(change))
            out.append(row | _answer("> 0", change > 0))
    nothing = model(
        torch.full_like(signals, float("nan")), torch.zeros_like(presence), torch.full_like(context, float("nan"))
    )
    finite = all(bool(torch.isfinite(v).all()) for v in nothing.values())
    row = _row("everything absent, never measured", "restoration", "outputs that are finite", _only(float(finite)))
    return [*out, row | _answer("all", finite)]


def _bits(model: PhysioME, signals: Tensor, presence: Tensor, context: Tensor, memory: Tensor | None) -> Row:
    """Largest difference of any output between NaN, 1e30 and the true signal under the mask, and in what is remembered
    of sensors that are measured."""
    samples = presence.repeat_interleave(signals.shape[-1] // presence.shape[-1], dim=-1)
    plain = model(signals, presence, context, memory=memory)
    worst = 0.0
    for junk in (float("nan"), 1e30):
        spoilt = None
        if memory is not None:
            spoilt = torch.where(presence.all(-1).unsqueeze(-1), torch.full_like(memory, junk), memory)
        content = torch.where(samples, signals, torch.full_like(signals, junk))
        dirty = model(content, presence, context, memory=spoilt)
        worst = max(worst, *(0.0 if torch.equal(plain[k], dirty[k]) else _largest(plain[k], dirty[k]) for k in plain))
    row = _row("content under the mask: NaN, 1e30, the truth", "restoration", "largest difference", _only(worst))
    return row | _answer("exactly 0", worst == 0.0)


def _largest(a: Tensor, b: Tensor) -> float:
    difference = float((a - b).abs().nan_to_num(nan=float("inf")).max())
    return difference if difference > 0 else float("inf")  # NaN in both is a difference too


def _removal(model: PhysioME, signals: Tensor, presence: Tensor, context: Tensor) -> Row:
    """Pass 1 with absent slots masked against pass 1 with only the observed slots in the sequence."""
    scaled, _ = model.scaling(signals, presence, context)
    tokens = model.encode(model.frame_features(scaled), presence)
    _, embedded = model.context(context, presence)
    state = model.pass_one(tokens, presence, embedded)
    fusion = model.fusion
    slots = (fusion.adapt(tokens) + fusion.positions + fusion.modality).flatten(1, 2)
    worst = 0.0
    for i in range(len(signals)):
        kept = presence[i].flatten()
        sequence = torch.cat([embedded[i : i + 1].unsqueeze(1), slots[i : i + 1, kept]], dim=1)
        alone = fusion.transformer(sequence, key_bias(torch.ones(sequence.shape[:2], dtype=torch.bool)))
        masked = torch.cat(
            [state.context_out[i : i + 1].unsqueeze(1), state.slots[i : i + 1].flatten(1, 2)[:, kept]], 1
        )
        worst = max(worst, float((alone - masked).abs().max()))
    row = _row("pass 1: masked against physically removed", "any", "largest difference of observed slots", _only(worst))
    return row | _answer(f"≤ {PASS_ONE_TOLERANCE:g}", worst <= PASS_ONE_TOLERANCE)


def _row(control: str, imputer: str, what: str, found: Interval) -> Row:
    return {
        "control": control, "imputer": imputer, "quantity": what, "value": found.estimate, "value_lo": found.lo,
        "value_hi": found.hi,
    }  # fmt: skip


def _only(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))


def _answer(should: str, holds: bool) -> Row:
    return {"should_be": should, "holds": "yes" if holds else "NO"}
