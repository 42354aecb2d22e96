"""Restored waves: beat timing at ±100 ms and physiological read-outs, beside the beat template.

Whole windows, frame edges included, at several ages of the loss; with the ECG hidden too, because heart rate alone is
matched by any template that is drawn at R peaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from models.evaluation.beat_template import TemplateTokens, beats_of
from models.evaluation.bootstrap import Interval, additive_bootstrap, mean_interval
from models.evaluation.comparison import Prepared, Step, patient_numbers
from models.evaluation.lost_windows import Indices, LostWindows, anchored_pressure, bedside, lose, usable_rows
from models.evaluation.metrics import beat_matches
from models.evaluation.readouts import truths
from models.signals.modalities import GRID_RATE_HZ, Modality

WAVE_WINDOWS, WAVE_BATCH, EXAMPLES = 160, 40, 4
CASES: tuple[tuple[Modality, tuple[Modality, ...], tuple[int, ...]], ...] = (
    (Modality.ABP, (), (30, 180, 600)),
    (Modality.ABP, (Modality.ECG,), (180,)),
    (Modality.ABP, (Modality.PPG,), (180,)),
    (Modality.PPG, (), (180,)),
    (Modality.ECG, (), (180,)),
    (Modality.ECG, (Modality.ABP,), (180,)),
)
"""Restored modality, what is hidden beside it, ages in s."""
WAVES = ("mask token", "restoration", "SelfMask", "beat template")
_NEWEST_S = 5

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


@dataclass
class WaveScores:
    """Per window and (case, age, method): hits, found and true beats [W, 3]; signed errors [W] of read-outs."""

    seed: int
    patient: Indices
    beats: dict[tuple[str, int, str], Floats] = field(default_factory=dict)
    readouts: dict[tuple[str, int, str, str], Floats] = field(default_factory=dict)
    examples: dict[str, Floats] = field(default_factory=dict)


def case_name(target: Modality, hidden: tuple[Modality, ...], modalities: tuple[Modality, ...]) -> str:
    """ "ABP from ECG and PPG": the target, and which waves are left."""
    left = [m.value for m in modalities if m is not target and m not in hidden and m is not Modality.EEG]
    return f"{target.value} from {' and '.join(left)}"


def wave_scores(prepared: Prepared, step: Step) -> WaveScores:
    """Every case, age and method on the same windows."""
    model, test = prepared.model, prepared.test
    modalities = bedside(model)
    rows = usable_rows(test, WAVE_WINDOWS, 2024)
    scores = WaveScores(prepared.seed, patient_numbers(test)[rows])
    truth = truths(test, rows, modalities)
    methods = prepared.rivals.methods(test)
    template = prepared.rivals.template.of(test)
    jobs = [(case, age) for case in CASES for age in case[2] if all(x in modalities for x in (case[0], *case[1]))]
    for number, ((target, hidden, _), age) in enumerate(jobs):
        step("waves", number + 1, len(jobs))
        name, row = case_name(target, hidden, modalities), modalities.index(target)
        ages = np.zeros((len(rows), len(modalities)))
        for m in (target, *hidden):
            ages[:, modalities.index(m)] = age
        lost = lose(test, prepared.test_bank, rows, ages, prepared.rivals.mean)
        for method in WAVES:
            if method == "beat template":
                waves = _template_waves(template, lost, row, modalities)
            elif method in methods:
                waves = _model_waves(prepared, lost, method, target)
            else:
                continue
            counts = np.array(
                [_matches(target, wave, template, int(r), row) for wave, r in zip(waves, rows, strict=True)]
            )
            scores.beats[name, age, method] = counts
            for readout, error in _readout_errors(target, waves, rows, truth, template, row).items():
                scores.readouts[name, age, method, readout] = error
            if target is Modality.ABP and not hidden and method != "mask token":
                shown = np.unique(np.linspace(0, len(rows) - 1, EXAMPLES).astype(int))
                scores.examples[f"{method}, {age} s"] = np.asarray(waves[shown], np.float64)
                scores.examples["truth"] = test.dataset.signals(rows[shown])[:, row].astype(np.float64)
    return scores


@torch.no_grad()
def _model_waves(prepared: Prepared, lost: LostWindows, method: str, target: Modality) -> Floats:
    """The model's restored wave [W, L] in physical units."""
    model, out = prepared.model, []
    make = prepared.rivals.methods(prepared.test)[method]
    for first in range(0, len(lost), WAVE_BATCH):
        part = lost.part(first, first + WAVE_BATCH)
        signals = torch.from_numpy(prepared.test.dataset.signals(part.rows))
        found = model(
            signals, part.presence, part.context, features=part.features, imputer=make(part), memory=part.memory
        )
        out.append(found[f"{target.value.lower()}_wave"].numpy())
    return np.concatenate(out).astype(np.float64)


def _template_waves(template: TemplateTokens, lost: LostWindows, row: int, modalities: tuple[Modality, ...]) -> Floats:
    """Templates [W, L], NaN where there is none; ABP at the pressure of the delay regression."""
    _, level, _ = anchored_pressure(lost.context, modalities)
    samples = template.samples
    found = [template.wave(lost, i, row, float(level[i])) for i in range(len(lost))]
    return np.stack([np.full(samples, np.nan) if wave is None else wave for wave in found]).astype(np.float64)


def _matches(target: Modality, wave: Floats, template: TemplateTokens, row: int, m: int) -> tuple[int, int, int]:
    found = beats_of(target, wave.astype(np.float32)) if np.isfinite(wave).all() else np.empty(0)
    return beat_matches(found, template.beats(row, m))


def _readout_errors(
    target: Modality, waves: Floats, rows: Indices, truth: dict[str, Floats], template: TemplateTokens,
    m: int,
) -> dict[str, Floats]:  # fmt: skip
    """Errors of HR and, by target, of MAP and SBP over the newest 5 s, or of the R→PPG delay in ms."""
    beats = [beats_of(target, w.astype(np.float32)) if np.isfinite(w).all() else np.empty(0) for w in waves]
    rate = np.array([60.0 / np.median(np.diff(b)) if len(b) > 2 else np.nan for b in beats])
    out = {"hr": rate - truth["hr"]}
    true_waves = template.group.dataset.signals(rows)[:, m].astype(np.float64)
    if target is Modality.ABP:
        newest = slice(-_NEWEST_S * GRID_RATE_HZ, None)
        out["map"] = waves[:, newest].mean(1) - true_waves[:, newest].mean(1)
        out["sbp"] = waves[:, newest].max(1) - true_waves[:, newest].max(1)
    elif target is Modality.PPG:
        ecg = template.modalities.index(Modality.ECG)
        ours = np.array([_delay(template.beats(int(r), ecg), b) for r, b in zip(rows, beats, strict=True)])
        theirs = np.array([_delay(template.beats(int(r), ecg), template.beats(int(r), m)) for r in rows])
        difference = 1000.0 * (ours - theirs)
        out["ptt"] = np.where(np.abs(difference) < 200.0, difference, np.nan)  # beyond, another beat was taken
    return out


def _delay(r_s: Floats, pulses_s: Floats) -> float:
    """Median time from the last R peak to each pulse, s."""
    at = np.searchsorted(r_s, pulses_s) - 1
    some = at >= 0
    return float(np.median(pulses_s[some] - r_s[at[some]])) if some.sum() >= 3 else float("nan")


def wave_rows(scores: list[WaveScores]) -> list[Row]:
    """A row a case, age and method: beat F1 and the mean absolute errors of the read-outs, with intervals."""
    rows: list[Row] = []
    patient = np.concatenate([s.patient for s in scores])
    for case, age, method in scores[0].beats:
        row: Row = {"restored": case, "age_s": float(age), "method": method}
        counts = np.concatenate([s.beats[case, age, method] for s in scores])
        found = additive_bootstrap(patient, counts, lambda s: 2.0 * s[:, 0] / (s[:, 1] + s[:, 2]))
        _put(row, "f1", Interval(*(float(v[0]) for v in found)), 3)
        for readout in ("hr", "map", "sbp", "ptt"):
            if (case, age, method, readout) in scores[0].readouts:
                error = np.concatenate([s.readouts[case, age, method, readout] for s in scores])
                _put(row, readout, mean_interval(patient, np.abs(error)), 1)
        rows.append(row)
    return rows


def _put(row: Row, name: str, found: Interval, digits: int) -> None:
    row[name], row[f"{name}_lo"], row[f"{name}_hi"] = found
    row[f"{name}_text"] = (
        f"{found.estimate:.{digits}f} [{found.lo:.{digits}f}, {found.hi:.{digits}f}]"
        if np.isfinite(found.estimate)
        else "–"
    )
