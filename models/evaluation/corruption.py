"""Missingness that training did not see, and noise as well as absence.

Frames are lost in patterns (here and there, in bursts, in step across sensors), scored on the tokens of the lost
frames; and sensors are drowned in noise, once unnoticed (the noise is encoded as if it were signal) and once flagged
(the same sensor declared absent and restored): what a quality gate is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Losses
from models.evaluation.bootstrap import Interval, additive_bootstrap, mean_interval
from models.evaluation.comparison import Prepared, Step, patient_numbers, run_methods
from models.evaluation.lost_windows import BATCH, Indices, LostWindows, bedside, lose, usable_rows
from models.evaluation.readouts import NUMBERS, TITLES, truths, window_errors
from models.signals.modalities import Modality

Bools = npt.NDArray[np.bool_]
Row = dict[str, float | str]
Pattern = Callable[[np.random.Generator, Bools], Bools]

SHOWN = ("train mean", "hold", "mask token", "ridge", "restoration", "SelfMask", "oracle")
SNRS_DB = (10, 0, -10)
CORRUPTED = 240
_NOISY = (Modality.ABP, Modality.PPG, Modality.ECG, Modality.EEG)


def scattered(share: float) -> Pattern:
    """Frames lost here and there, each with this probability; never the newest (its age would grow)."""

    def lose_frames(rng: np.random.Generator, presence: Bools) -> Bools:
        lost = rng.random(presence.shape) < share
        lost[..., -1] = False
        return presence & ~lost

    return lose_frames


def burst(frames: int) -> Pattern:
    """One run of frames lost in every sensor at once: electrocautery, a transport."""

    def lose_frames(rng: np.random.Generator, presence: Bools) -> Bools:
        count = presence.shape[-1]
        first = rng.integers(0, max(1, count - frames), len(presence))
        at = np.arange(count)
        inside = (at >= first[:, None]) & (at < first[:, None] + frames) & (at < count - 1)
        kept: Bools = presence & ~inside[:, None, :]
        return kept

    return lose_frames


def periodic(rng: np.random.Generator, presence: Bools) -> Bools:
    """Every other frame of one random sensor: a duty cycle, a cuff."""
    out = presence.copy()
    which = rng.integers(0, presence.shape[1], len(presence))
    out[np.arange(len(out)), which, -2::-2] = False
    return out


def newest_only(rng: np.random.Generator, presence: Bools) -> Bools:
    """One random sensor has just come back: its newest frame is all there is of it."""
    out = presence.copy()
    which = rng.integers(0, presence.shape[1], len(presence))
    out[np.arange(len(out)), which, :-1] = False
    return out


PATTERNS: dict[str, Pattern] = {
    "30 % of frames, here and there (seen in training)": scattered(0.3),
    "70 % of frames, here and there": scattered(0.7),
    "bursts of 3 frames, all sensors at once": burst(3),
    "every other frame of one sensor": periodic,
    "one sensor back since one frame": newest_only,
}


def dropout_rows(prepared: Prepared, step: Step) -> list[Row]:
    """A row a pattern and imputer: R² and cosine of the tokens of lost frames, errors of the frozen heads."""
    test, model = prepared.test, prepared.model
    rows = usable_rows(test, CORRUPTED, 2024)
    truth, patient = truths(test, rows, bedside(model)), patient_numbers(test)[rows]
    methods = {k: v for k, v in prepared.rivals.methods(test).items() if k in SHOWN}
    none = np.zeros((len(rows), len(model.config.modalities)))
    out: list[Row] = []
    for number, (name, pattern) in enumerate(PATTERNS.items()):
        step("frame dropout", number + 1, len(PATTERNS))
        natural = test.lost(rows, none)
        presence = pattern(np.random.default_rng([2024, number]), natural.presence)
        lost = lose(test, prepared.test_bank, rows, none, prepared.rivals.mean, Losses(presence, natural.context))
        for imputer, (representation, residual, total, cosine) in run_methods(
            model, lost, prepared.rivals.mean, methods
        ).items():
            each = np.repeat(patient, residual.shape[1])
            terms = np.stack([residual.ravel(), total.ravel()], 1)
            r2 = additive_bootstrap(each, terms, lambda s: 1.0 - s[:, 0] / s[:, 1])
            row: Row = {"missing": name, "imputer": imputer, "lost_share": float(1 - presence.mean())}
            row["windows"] = float(len(rows))
            _put(row, "r2", Interval(*(float(v[0]) for v in r2)))
            _put(row, "cosine", mean_interval(each, cosine.ravel()))
            _errors(row, prepared, representation, truth, patient)
            out.append(row)
    return out


def noise_rows(prepared: Prepared, step: Step) -> list[Row]:
    """A row a noisy sensor, level and way of dealing with it: errors of the frozen heads. Signal-to-noise ratio by
    the spread of each window's signal; the noise is white, as from a bad contact."""
    model, test = prepared.model, prepared.test
    rows = usable_rows(test, CORRUPTED, 2024)
    modalities = bedside(model)
    truth, patient = truths(test, rows, modalities), patient_numbers(test)[rows]
    none = np.zeros((len(rows), len(modalities)))
    clean = lose(test, prepared.test_bank, rows, none, prepared.rivals.mean)
    methods = prepared.rivals.methods(test)
    out: list[Row] = []

    def add(sensor: str, level: str, treated: str, lost: LostWindows, imputer: str) -> None:
        found = run_methods(model, lost, prepared.rivals.mean, {imputer: methods[imputer]})[imputer]
        row: Row = {"sensor": sensor, "noise": level, "treated": treated, "windows": float(len(rows))}
        _errors(row, prepared, found[0], truth, patient)
        out.append(row)

    add("none", "clean", "complete", clean, "mask token")
    chosen = [m for m in _NOISY if m in modalities]
    for number, modality in enumerate(chosen):
        step("noise", number + 1, len(chosen))
        m = modalities.index(modality)
        for snr in SNRS_DB:
            noisy = _with_noise(prepared, clean, m, snr)
            add(modality.value, f"{snr} dB", "unnoticed", noisy, "mask token")
        gone = np.zeros_like(none)
        gone[:, m] = 60.0  # noise has been there for a minute, as has its flag
        flagged = lose(test, prepared.test_bank, rows, gone, prepared.rivals.mean)
        for imputer in ("restoration", "SelfMask", "hold"):
            if imputer in methods:
                add(modality.value, "any", f"flagged, {imputer}", flagged, imputer)
    return out


@torch.no_grad()
def _with_noise(prepared: Prepared, clean: LostWindows, m: int, snr_db: float) -> LostWindows:
    """The same windows with white noise on modality ``m``, encoded anew; the context stays as it was."""
    model, features = prepared.model, clean.features.clone()
    rng = np.random.default_rng([2024, m, int(snr_db) + 100])
    for first in range(0, len(clean), BATCH):
        part = clean.part(first, first + BATCH)
        signals = prepared.test.dataset.signals(part.rows)
        spread = np.nanstd(signals[:, m], axis=1, keepdims=True)
        noise = rng.standard_normal(signals[:, m].shape) * spread * 10 ** (-snr_db / 20)
        signals[:, m] = signals[:, m] + noise.astype(np.float32)
        scaled, _ = model.scaling(torch.from_numpy(signals), part.presence, part.context)
        features[first : first + BATCH, m] = model.encoders[m].features(scaled[:, m])  # type: ignore[operator]
    return LostWindows(
        clean.rows, features, clean.presence, clean.context, clean.before, clean.before_row, clean.complete
    )


def _errors(
    row: Row, prepared: Prepared, representation: npt.ArrayLike, truth: dict[str, npt.NDArray[np.float64]],
    patient: Indices,
) -> None:  # fmt: skip
    errors = window_errors(prepared.heads.predict(representation), truth)
    for task in NUMBERS:
        if task in errors:
            _put(row, task, mean_interval(patient, errors[task]))


def _put(row: Row, name: str, found: Interval) -> None:
    row[name], row[f"{name}_lo"], row[f"{name}_hi"] = found
    row[f"{name}_text"] = (
        f"{found.estimate:.2f} [{found.lo:.2f}, {found.hi:.2f}]" if np.isfinite(found.estimate) else "–"
    )


ERROR_COLUMNS = {task: TITLES[task] for task in NUMBERS}
