"""Hypotension ahead, judged honestly: every time point, forward in time, by patient, beside what is simpler.

Every window of the test patients counts at its cadence (20 s). Primary: points that are hypotensive already are left
out; secondary: they are in, as positives. A horizon that the recording cuts off is unlabelled and left out. Thresholds
of alarms are set on the calibration patients. Several runs (seeds) are averaged, seed by seed on the same patients, and
the bootstrap draws those patients once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.data.labels import HORIZONS_S
from models.evaluation.alarms import REFRACTORY_S, TimePoints, replay_alarms, trade_off
from models.evaluation.baselines import MAP_RULE_MMHG, FusedRisk, LateFusion, TrendBaseline, abp_row, current_map
from models.evaluation.bootstrap import LEAST_PATIENTS, resampled_patients
from models.evaluation.metrics import at_sensitivity, predictive_value, rank_replicates, risk_calibration
from models.evaluation.report import COLOURS, INTERVAL, caption, plot, write_table
from models.evaluation.settings import Pass, Setting, all_sensors, every_subset, lost_for
from models.progress import Progress
from models.signals.errors import BadInput
from models.signals.modalities import Modality

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.run_folder import TrainedRun

LOST_S = (60.0, 300.0, 600.0, 1200.0)
SENSITIVITY = 0.8
RESAMPLES = 300
HELD_OUT_MECHANISM = "cardiac"
RULES = {"excluded": "points hypotensive already are left out", "included": "they are in, as positives"}

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Row = dict[str, float | str]


class RiskStudy:
    """Risks of one or several runs of one configuration on the same windows, with the baselines of each setting."""

    def __init__(self, runs: Sequence[TrainedRun], group: str = "test") -> None:
        self.runs = list(runs)
        self.passes = [Pass(run.model, run.group(group)) for run in runs]
        self.group = self.passes[0].group
        same_windows(self.passes)
        self.abp = abp_row(runs[0].model)
        self.trend = TrendBaseline(runs[0].group("train"), self.abp)
        self.late = [LateFusion(run.model, run.group("train"), run.settings.seed) for run in runs]
        self.fused = [FusedRisk(run.model, run.group("train"), run.settings.seed) for run in runs]
        self.odds = [late.odds(p.group, p.rows) for late, p in zip(self.late, self.passes, strict=True)]
        self.now = self.group.labels["hypotensive_now"].astype(bool)
        self.label = self.group.labels["hypotension"]
        self.rows = self.passes[0].modalities

    def scores(self, setting: Setting) -> dict[str, Floats]:
        """Scores [S, W, 3] of the model and of every baseline; S is 1 for those that need no training run."""
        lost = self.passes[0].lost(setting)
        level = -current_map(lost, self.abp)
        return {
            "model": np.stack([p(setting).values["risk"] for p in self.passes]),
            "map": np.repeat(level[None, :, None], len(HORIZONS_S), axis=2),
            "trend": self.trend(setting, lost)[None],
            "fused": np.stack([f(p(setting).values["fused"]) for f, p in zip(self.fused, self.passes, strict=True)]),
            "late": np.stack([late.fuse(odds, setting) for late, odds in zip(self.late, self.odds, strict=True)]),
        }

    def points(self, horizon: int) -> TimePoints:
        """Every window with its outcome within horizon number ``horizon``."""
        return TimePoints(
            self.group.dataset.study_of, self.group.labels["end_s"].astype(np.float64), self.now,
            self.label[:, horizon].astype(np.float64), HORIZONS_S[horizon],
        )  # fmt: skip

    def use(self, rule: str, horizon: int) -> Bools:
        """bool [W]: windows that count; those whose pressure is low already only if ``rule`` is not "excluded"."""
        known: Bools = np.isfinite(self.label[:, horizon])
        return known & ~self.now if rule == "excluded" else known


def same_windows(passes: Sequence[Pass]) -> None:
    """Several seeds are compared on the same test windows, or not at all."""
    first = passes[0].group.labels
    for other in passes[1:]:
        labels = other.group.labels
        same = len(labels["end_s"]) == len(first["end_s"]) and all(
            np.array_equal(labels[name], first[name], equal_nan=True) for name in ("end_s", "hypotension", "depth")
        )
        if not same:
            raise BadInput("runs on the same test patients", "runs on different ones", "evaluate them one by one")


# -- one row a setting, horizon and rule ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ranked:
    """AUROC and average precision: the estimate first, then those of the resamples; means over seeds."""

    area: Floats
    precision: Floats


def ranked(scores: Floats, positive: Bools, patient_of: npt.NDArray[np.intp], drawn: npt.NDArray[np.integer]) -> Ranked:
    """scores [S, n]; drawn [1 + R, P], of which the first row is ones."""
    found = [rank_replicates(score, positive, patient_of, drawn) for score in scores]
    return Ranked(np.mean([f[0] for f in found], axis=0), np.mean([f[1] for f in found], axis=0))


def bounds(replicates: Floats) -> tuple[float, float]:
    """95 % interval of the resamples that are defined; NaN where fewer than half are."""
    known = replicates[np.isfinite(replicates)]
    if len(known) * 2 < max(len(replicates), 1):
        return float("nan"), float("nan")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def risk_row(
    scores: dict[str, Floats], use: Bools, label: Floats, patient_of: npt.NDArray[np.intp], horizon: int,
    resamples: int | None = None,
) -> Row:  # fmt: skip
    """Figures of one horizon on the windows ``use``; ``scores`` as of :meth:`RiskStudy.scores`.

    A baseline is compared on the windows where it is known, with the model on the very same.
    """
    resamples = RESAMPLES if resamples is None else resamples
    positive = label > 0.5
    row: Row = {"minutes": HORIZONS_S[horizon] / 60}
    model = scores["model"][:, :, horizon]
    row |= _figures(model, use, positive, patient_of, resamples)
    calibrations = [risk_calibration(m[use], positive[use]) for m in model]
    for name in ("intercept", "slope", "brier", "ece"):
        row[name] = float(np.mean([getattr(c, name) for c in calibrations]))
    row["ppv"], row["specificity"] = _predictive(model, use, positive)
    for name in (key for key in scores if key != "model"):
        other = scores[name][:, :, horizon]
        known = use & np.isfinite(other).all(0)
        row |= _gain(name, model, other, known, positive, patient_of, resamples)
        row[f"ppv_{name}"] = _predictive(other, known, positive)[0]
    return row


def _figures(model: Floats, use: Bools, positive: Bools, patient_of: npt.NDArray[np.intp], resamples: int) -> Row:
    patients = len(np.unique(patient_of[use]))
    out: Row = {
        "windows": int(use.sum()), "patients": patients,
        "prevalence": float(positive[use].mean()) if use.any() else float("nan"),
    }  # fmt: skip
    found = _ranked_on(model, use, positive, patient_of, resamples)
    out["auroc"], out["auprc"] = float(found.area[0]), float(found.precision[0])
    out["auroc_lo"], out["auroc_hi"] = bounds(found.area[1:])
    out["auprc_lo"], out["auprc_hi"] = bounds(found.precision[1:])
    return out


def _gain(
    name: str, model: Floats, other: Floats, known: Bools, positive: Bools, patient_of: npt.NDArray[np.intp],
    resamples: int,
) -> Row:  # fmt: skip
    nan = float("nan")
    keys = (f"auroc_{name}", f"auprc_{name}", f"gain_{name}", f"gain_{name}_lo", f"gain_{name}_hi")
    if not known.any():
        return dict.fromkeys(keys, nan)
    theirs = _ranked_on(other, known, positive, patient_of, resamples)
    difference = _ranked_on(model, known, positive, patient_of, resamples).area - theirs.area
    values = (theirs.area[0], theirs.precision[0], difference[0], *bounds(difference[1:]))
    return {key: float(value) for key, value in zip(keys, values, strict=True)}


def _ranked_on(scores: Floats, use: Bools, positive: Bools, patient_of: npt.NDArray[np.intp], resamples: int) -> Ranked:
    """Resamples are the same for every score on the same windows, so differences are paired."""
    _, patient = np.unique(patient_of[use], return_inverse=True)
    count = int(patient.max()) + 1 if len(patient) else 0
    drawn = np.ones((1, count), np.int64)
    if count >= LEAST_PATIENTS:
        drawn = np.vstack([drawn, resampled_patients(count, resamples, np.random.default_rng(5))])
    if not count:
        return Ranked(np.full(1, np.nan), np.full(1, np.nan))
    return ranked(scores[:, use], positive[use], patient, drawn)


def _predictive(scores: Floats, use: Bools, positive: Bools) -> tuple[float, float]:
    """Positive predictive value and specificity at the threshold that reaches the sensitivity on these windows."""
    if not (positive & use).any():
        return float("nan"), float("nan")
    found = [
        predictive_value(s[use], positive[use], at_sensitivity(s[use], positive[use], SENSITIVITY)) for s in scores
    ]
    return float(np.mean([f[0] for f in found])), float(np.mean([f[2] for f in found]))


def subset_rows(study: RiskStudy, settings: Sequence[Setting], progress: Progress | None = None) -> list[Row]:
    """Every setting, horizon and rule."""
    rows: list[Row] = []
    for done, setting in enumerate(settings):
        scores = study.scores(setting)
        for rule in RULES:
            for j in range(len(HORIZONS_S)):
                found = risk_row(scores, study.use(rule, j), study.label[:, j], study.group.dataset.patient_of, j)
                named: Row = {"setting": setting.name, "absent": setting.absent, "already_hypotensive": rule}
                rows.append(named | found)
        if progress:
            progress("risk by sensors", done + 1, len(settings))
    return rows


# -- the held-out mechanism --------------------------------------------------------------------------------------------


def mechanism_rows(study: RiskStudy, settings: Sequence[Setting]) -> list[Row]:
    """The same, apart for patients with the mechanism that training has not met, and for the others."""
    facts = [patient.facts.get("mechanisms") for patient in study.group.dataset.patients]
    if all(found is None for found in facts):
        return []
    new = [isinstance(found, list) and HELD_OUT_MECHANISM in found for found in facts]
    held_out = np.array(new)[study.group.dataset.study_of]
    rows: list[Row] = []
    for setting in settings:
        scores = study.scores(setting)
        for name, of in (("held out: failing contractility", held_out), ("met in training", ~held_out)):
            for j in range(len(HORIZONS_S)):
                use = study.use("excluded", j) & of
                found = risk_row(scores, use, study.label[:, j], study.group.dataset.patient_of, j)
                named: Row = {"setting": setting.name, "mechanism": name}
                rows.append(named | found)
    return rows


# -- alarms ------------------------------------------------------------------------------------------------------------


def alarm_rows(study: RiskStudy, calibration: RiskStudy, settings: Sequence[Setting]) -> list[Row]:
    """Alarms of the first run and of the baselines, at the threshold that reaches the sensitivity on the calibration
    patients; the rule MAP < 73 has its own."""
    rows: list[Row] = []
    for setting in settings:
        here, there = study.scores(setting), calibration.scores(setting)
        for j, horizon in enumerate(HORIZONS_S):
            points, fitted = study.points(j), calibration.points(j)
            for name, score, threshold in _thresholds(here, there, fitted, j):
                value, sensitivity, specificity = _at(score, points, threshold)
                figures = replay_alarms(points, score, threshold).as_row()
                rows.append({
                    "setting": setting.name, "minutes": horizon / 60, "score": name, "threshold": abs(threshold),
                    "sensitivity": sensitivity, "ppv": value, "specificity": specificity, **figures,
                })  # fmt: skip
    return rows


NAMES = {"model": "model", "map": "current MAP", "trend": "MAP + trend", "late": "late fusion"}


def _thresholds(
    here: dict[str, Floats], there: dict[str, Floats], fitted: TimePoints, horizon: int
) -> list[tuple[str, Floats, float]]:
    out = []
    for key, name in NAMES.items():
        score, calibrated = here[key][0, :, horizon], there[key][0, :, horizon]
        use = fitted.usable & np.isfinite(calibrated)
        threshold = at_sensitivity(calibrated[use], fitted.outcome[use] > 0.5, SENSITIVITY)
        if np.isfinite(threshold) and np.isfinite(score).any():
            out.append((name, score, threshold))
    if np.isfinite(here["map"]).any():
        out.append(
            (f"MAP < {MAP_RULE_MMHG:g} mmHg", here["map"][0, :, horizon], float(np.nextafter(-MAP_RULE_MMHG, 0)))
        )
    return out


def _at(score: Floats, points: TimePoints, threshold: float) -> tuple[float, float, float]:
    use = points.usable & np.isfinite(score)
    return predictive_value(score[use], points.outcome[use] > 0.5, threshold)


# -- tables and plots --------------------------------------------------------------------------------------------------

_RISK = {
    "setting": "sensors", "minutes": "within min", "windows": "windows", "prevalence": "prevalence",
    "auroc": "AUROC", "auroc_lo": "from", "auroc_hi": "to", "auroc_map": "of last MAP", "auroc_trend": "of MAP + trend",
    "auroc_late": "of late fusion", "auroc_fused": "linear on the representation", "gain_map": "gain over MAP",
    "gain_map_lo": "from", "gain_map_hi": "to",
    "gain_trend": "gain over trend", "gain_trend_lo": "from", "gain_trend_hi": "to",
}  # fmt: skip
_PRECISION = {
    "setting": "sensors", "minutes": "within min", "prevalence": "prevalence", "auprc": "AUPRC", "auprc_lo": "from",
    "auprc_hi": "to", "auprc_map": "of last MAP", "auprc_trend": "of MAP + trend", "ppv": "PPV at 80 % sensitivity",
    "ppv_map": "of last MAP", "ppv_trend": "of MAP + trend", "specificity": "specificity", "brier": "Brier",
    "ece": "ECE", "slope": "calibration slope", "intercept": "intercept",
}  # fmt: skip
_ALARMS = {
    "setting": "sensors", "minutes": "within min", "score": "alarm on", "threshold": "threshold",
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "alarms_per_h": "alarms/h",
    "false_alarms_per_h": "false/h", "events": "events", "event_sensitivity": "announced", "lead_min": "lead, min",
    "lead_q25_min": "quarter", "lead_q75_min": "three quarters",
}  # fmt: skip
_MECHANISM = {"setting": "sensors", "mechanism": "mechanism", "patients": "patients"} | {
    key: _RISK[key] for key in _RISK if key != "setting"
}


def evaluate_hypotension(runs: Sequence[TrainedRun], out: Path, progress: Progress | None = None) -> list[Row]:
    """Writes the tables and plots of the runs (seeds of one configuration) to ``out``; returns the rows by subset."""
    study, calibration = RiskStudy(runs), RiskStudy(runs[:1], "calibration")
    lost = lost_for(study.rows, Modality.ABP, LOST_S)
    settings = every_subset(study.rows) + lost
    note = study_note(study.runs, study.group, INTERVAL)
    rows = subset_rows(study, settings, progress)
    simulated = "simulated" if study.group.dataset.simulated else "recorded"
    for rule, said in RULES.items():
        chosen = [row for row in rows if row["already_hypotensive"] == rule]
        words = f"{note} Every time point every {study_cadence(study.group):g} s; {said}."
        title = f"Hypotension ahead, already hypotensive {rule} ({simulated})"
        write_table(chosen, _RISK, out, f"hypotension_{rule}", title, words + _SUBSETS)
        write_table(chosen, _PRECISION, out, f"hypotension_{rule}_precision", f"{title}: precision, calibration", words)
    few = [all_sensors(study.rows), *lost[1:3], *(s for s in settings if _without_abp(s, study.abp))]
    alarms = alarm_rows(study, calibration, few)
    words = (
        f"{note} Thresholds reach {SENSITIVITY:.0%} sensitivity on the calibration patients; refractory time "
        f"{REFRACTORY_S / 60:g} min; the first seed's model."
    )
    write_table(alarms, _ALARMS, out, "hypotension_alarms", f"Alarms of hypotension ahead ({simulated})", words)
    mechanisms = mechanism_rows(study, few)
    if mechanisms:
        title = f"Hypotension by mechanism ({simulated})"
        write_table(mechanisms, _MECHANISM, out, "hypotension_mechanism", title, note)
    _plot_subsets(rows, out, note)
    _plot_trade_off(study, out, study_note(study.runs[:1], study.group))
    return rows


_SUBSETS = " Sensors not named were never measured, unless they were lost some minutes ago."


def _without_abp(setting: Setting, abp: int) -> bool:
    return setting.absent == 1 and setting.lost_s[abp] > 0


def study_note(runs: Sequence[TrainedRun], group: Group, said: str = "") -> str:
    """The caption of tables on a group's windows."""
    seeds = [run.settings.seed for run in runs]
    return caption(len(group), group.dataset.patient_count, seeds, group.dataset.simulated, said)


def study_cadence(group: Group) -> float:
    """Seconds between the windows of a patient, as is usual."""
    step = np.diff(group.labels["end_s"].astype(np.float64))
    return float(np.median(step[step > 0])) if (step > 0).any() else float("nan")


def _plot_subsets(rows: Sequence[Row], out: Path, note: str) -> None:
    chosen = [row for row in rows if row["already_hypotensive"] == "excluded"]
    names = list(dict.fromkeys(str(row["setting"]) for row in chosen))
    with plot(out, "hypotension_by_sensors", "Hypotension ahead, by sensors", note, (9.0, 5.6), cols=3) as axes:
        for axis, horizon in zip(axes, HORIZONS_S, strict=True):
            here = {str(r["setting"]): r for r in chosen if r["minutes"] == horizon / 60}
            y = np.arange(len(names))[::-1]
            value = np.array([float(here[n]["auroc"]) for n in names])
            low = np.array([float(here[n]["auroc_lo"]) for n in names])
            high = np.array([float(here[n]["auroc_hi"]) for n in names])
            axis.hlines(y, low, high, color=COLOURS[0], linewidth=1.4)
            axis.plot(value, y, "o", color=COLOURS[0], markersize=4, label="model")
            axis.plot([float(here[n]["auroc_map"]) for n in names], y, "|", color=COLOURS[1], markersize=9,
                      markeredgewidth=1.6, label="last MAP")  # fmt: skip
            axis.plot([float(here[n]["auroc_late"]) for n in names], y, "x", color=COLOURS[5], markersize=4,
                      label="late fusion")  # fmt: skip
            axis.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
            axis.set_yticks(y, names if axis is axes[0] else [""] * len(names), fontsize=7)
            axis.set_xlim(0.2, 1.0)
            axis.set_xlabel("AUROC")
            axis.set_title(f"within {horizon / 60:g} min")
        axes[0].legend(fontsize=7, frameon=False, loc="lower left")


def _plot_trade_off(study: RiskStudy, out: Path, note: str) -> None:
    scores = study.scores(all_sensors(study.rows))
    title = "False alarms against announced events, all sensors"
    with plot(out, "hypotension_alarms", title, note, (9.0, 3.8), cols=3) as axes:
        for j, (axis, horizon) in enumerate(zip(axes, HORIZONS_S, strict=True)):
            for colour, (key, name) in zip(COLOURS, NAMES.items(), strict=False):
                curve = np.array(trade_off(study.points(j), scores[key][0, :, j])).reshape(-1, 2)
                axis.plot(curve[:, 0], curve[:, 1], color=colour, linewidth=1.4, label=name)
            axis.set_xlabel("false alarms per hour")
            axis.set_ylim(0, 1.02)
            axis.set_title(f"within {horizon / 60:g} min")
        axes[0].set_ylabel("share of events announced")
        axes[2].legend(fontsize=7, frameon=False, loc="lower right")
