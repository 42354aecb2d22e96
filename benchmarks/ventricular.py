"""Learns the weights of ventricular tachycardia again, and cross-validates them, on the tuning half of the recordings
of the PhysioNet/CinC Challenge 2015 (split: :mod:`benchmarks.alarms`).

Logistic regression, L2 10. Of a record with a ventricular-tachycardia alarm counts the most suspicious run of its last
12 s (its choice and the weights in turn, six times), four times where the alarm was true; and with a tenth of the
weight the most suspicious run at every 20th second of 100–280 of every record, taken for none: what is learnt from
alarms alone calls broad complexes wherever they are. The limit is 0.6 below the even odds of the training, where
sensitivity and specificity are about as the score weighs them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.alarms import ALARM_S, WINDOW_S, Score, in_tuning, index_of
from benchmarks.report import publish
from models.evaluation.linear import logistic
from models.signals.beats import complexes
from models.signals.channels import ChannelMap, map_channels
from models.signals.findings import PULSE_CHANNELS
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.readers.opener import open_recording
from models.signals.resample import Resampler
from models.signals.times import SECOND_NS
from streams.alarms.arrhythmia import PULSE_S, PULSE_SPAN_S
from streams.alarms.arrhythmia_pulse import PulseChannel
from streams.alarms.arrhythmia_usual import USUAL_S
from streams.alarms.arrhythmia_ventricular import ECG_WEIGHTS, SLOWER, fast_runs

Floats = npt.NDArray[np.float64]

L2, MISSED, BACKGROUND, LIMIT = 10.0, 4.0, 0.1, -0.6
ROUNDS, FOLDS, REPEATS = 6, 7, 8
NAMES = [*ECG_WEIGHTS, "regular", "slower"]


def runs_at(grids: dict[Modality, npt.NDArray[np.float32]], second: int) -> Floats:
    """[runs, measures] of the runs at a second, those of the pulse last."""
    ecg = grids[Modality.ECG][(second - USUAL_S) * GRID_RATE_HZ : second * GRID_RATE_HZ]
    rates = [
        rate
        for m in PULSE_CHANNELS
        if m in grids
        and (rate := PulseChannel.of(m, grids[m][: second * GRID_RATE_HZ][-PULSE_S * GRID_RATE_HZ :]).rate(
            PULSE_SPAN_S["vtach"])) is not None
    ]  # fmt: skip
    rows = [
        [min(max(run.measures[name], w.low), w.high) for name, w in ECG_WEIGHTS.items()]
        + [float(bool(rates)), float(any(rate < SLOWER * run.rate for rate in rates))]
        for run in fast_runs(ecg, *complexes(ecg))
    ]
    return np.array(rows).reshape(-1, len(NAMES))


def grids_of(channels: ChannelMap) -> dict[Modality, npt.NDArray[np.float32]]:
    """The 100-Hz grid of each channel up to the alarm."""
    grids = {}
    for modality, channel in channels.channels.items():
        segment = channels.read(modality, 0, ALARM_S * SECOND_NS)
        resampler = Resampler(channel.rate_hz, channel.origin_ns)
        grids[modality] = resampler(segment.values, segment.first_index, 0, ALARM_S * GRID_RATE_HZ)
    return grids


def learn(bags: list[Floats], true: npt.NDArray[np.bool_], background: list[Floats]) -> tuple[Floats, Floats, Floats]:
    """Weights (intercept last), means and SDs of the measures."""
    every = np.concatenate([b for b in bags if len(b)])
    mean, sd = every.mean(axis=0), every.std(axis=0) + 1e-6
    scaled = [(b - mean) / sd for b in bags]
    scaled_background = [(b - mean) / sd for b in background if len(b)]
    weights: Floats | None = None
    for _ in range(ROUNDS):
        rows, labels, counts = [], [], []
        for bag, label in zip(scaled, true, strict=True):
            if len(bag):
                rows.append(_suspicious(bag, weights))
                labels.append(float(label))
                counts.append(MISSED if label else 1.0)
        rows += [_suspicious(bag, weights) for bag in scaled_background]
        labels += [0.0] * len(scaled_background)
        counts += [BACKGROUND] * len(scaled_background)
        fitted = logistic(np.array(rows), np.array(labels, np.bool_), L2, counts=np.array(counts))
        weights = np.roll(fitted, -1)  # the intercept last
    assert weights is not None
    return weights, mean, sd


def _suspicious(bag: Floats, weights: Floats | None) -> Floats:
    chosen: Floats = bag.mean(axis=0) if weights is None else bag[int(np.argmax(bag @ weights[:-1]))]
    return chosen


def said(model: tuple[Floats, Floats, Floats], bags: list[Floats]) -> npt.NDArray[np.bool_]:
    """bool [records]: whether the ``model`` (weights, mean, sd) calls any run of a record's bag ventricular."""
    weights, mean, sd = model
    best = [float((((b - mean) / sd) @ weights[:-1] + weights[-1]).max()) if len(b) else -np.inf for b in bags]
    return np.array(best) > LIMIT


def main(argv: list[str]) -> int:
    """Fits and judges on both halves and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ventricular", description=__doc__)
    parser.add_argument("folder", type=Path, help="WFDB records of the Challenge with their index.csv")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    bags: list[Floats] = []
    background: list[Floats] = []
    true: list[bool] = []
    of_bag: list[int] = []
    for row in (r for r in index_of(options.folder) if in_tuning(r["record"])):
        grids = grids_of(map_channels(open_recording(str(options.folder / f"{row['record']}.hea"))))
        if Modality.ECG not in grids:
            continue
        mine = -1
        if row["alarm"] == "Ventricular_Tachycardia":
            mine = len(bags)
            bags.append(np.concatenate([runs_at(grids, s) for s in range(ALARM_S - WINDOW_S + 1, ALARM_S + 1)]))
            true.append(row["alarm_true"] == "True")
        for second in range(100, 281, 20):
            background.append(runs_at(grids, second))
            of_bag.append(mine)
    labels, owner = np.array(true), np.array(of_bag)
    generator = np.random.default_rng(0)
    scores, quiet = [], []
    for _ in range(REPEATS):
        fold = generator.permutation(len(bags)) % FOLDS
        fold_of = np.where(owner >= 0, fold[owner], generator.integers(FOLDS, size=len(owner)))
        guess, alarmed = np.zeros(len(bags), dtype=bool), np.zeros(len(background), dtype=bool)
        for k in range(FOLDS):
            train, test, beside = np.flatnonzero(fold != k), np.flatnonzero(fold == k), np.flatnonzero(fold_of == k)
            rest = [background[i] for i in np.flatnonzero(fold_of != k)]
            model = learn([bags[i] for i in train], labels[train], rest)
            guess[test] = said(model, [bags[i] for i in test])
            alarmed[beside] = said(model, [background[i] for i in beside])
        scores.append(Score.of(labels, guess).challenge)
        quiet.append(100.0 * float(alarmed.mean()))
    weights, mean, sd = learn(bags, labels, background)
    lines = [
        f'    "{n}": Weight({w.low}, {w.high}, {mean[i]:.3f}, {sd[i]:.3f}, {weights[i]:.3f}),'
        for i, (n, w) in enumerate(ECG_WEIGHTS.items())
    ]
    regular, slower = -weights[-3] / sd[-2], -weights[-2] / sd[-1]
    intercept = weights[-1] + regular * mean[-2] + slower * mean[-1] - LIMIT
    publish(
        "\n".join(
            [
                f"{len(bags)} alarms ({int(labels.sum())} true), {len(background)} seconds before alarms. "
                f"{FOLDS}-fold cross-validation, {REPEATS} times: score {np.mean(scores):.1f} "
                f"(SD {np.std(scores):.1f}), {np.mean(quiet):.1f} % of the seconds before alarmed.",
                "```",
                *lines,
                f"INTERCEPT = {intercept:.3f}",
                f"PULSE_REGULAR, PULSE_SLOWER = {regular:.3f}, {slower:.3f}",
                "```",
            ]
        ),
        options.out,
    )
    return 0
