"""``vigil evaluate restoration``: what the restoration decoder and SelfMask are worth against simple imputers.

One frozen encoder set and one head a run, only the imputer swapped (:mod:`comparison`); lost pressure by age
(:mod:`gaps`); restored waves (:mod:`restored_waves`); unseen missingness and noise (:mod:`corruption`); controls. Runs
are seeds of one configuration: windows are pooled, patients resampled jointly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.batches.group import Group
from models.evaluation.bootstrap import Interval
from models.evaluation.comparison import Scores, Step, compare, prepare
from models.evaluation.controls import control_rows
from models.evaluation.corruption import ERROR_COLUMNS, dropout_rows, noise_rows
from models.evaluation.gaps import GapScores, gap_goals, gap_rows, gap_scores
from models.evaluation.readouts import TASKS, TITLES
from models.evaluation.report import INTERVAL, Rows, caption, over_seeds, write_table
from models.evaluation.restoration_plots import plot_gap, plot_heat_map, plot_recovered, plot_waves
from models.evaluation.restoration_tables import (
    absent_by_number,
    absent_one,
    goal_rows,
    imputer_rows,
    subset_rows,
    text,
)
from models.evaluation.restored_waves import WaveScores, wave_rows, wave_scores
from models.evaluation.rivals import ANCHORED, NEVER
from models.physiome import PhysioME
from models.signals.errors import BadInput
from models.training.run_folder import TrainedRun

UNCOUPLED = "coupling_off"
_FRACTION = (
    "Recovered fraction: (error with the mask token − error with the imputer) / (error with the mask token − error "
    "with the oracle); a dash where the interval of that denominator includes 0. Token R²: against the training mean."
)
_HEAD = {
    "frozen": "One head, trained on complete windows, serves all imputers.",
    "refitted": "The head was refitted for each imputer on training windows that had lost random subsets.",
}


@dataclass
class Collected:
    """Results of every run, by topic."""

    scores: dict[str, list[Scores]] = field(default_factory=dict)  # by regime
    gaps: list[GapScores] = field(default_factory=list)
    waves: list[WaveScores] = field(default_factory=list)
    dropout: list[Rows] = field(default_factory=list)
    noise: list[Rows] = field(default_factory=list)
    controls: list[Rows] = field(default_factory=list)


def evaluate_restoration(runs: Sequence[TrainedRun], out: Path, progress: Step) -> None:
    """Evaluates the runs and writes Markdown, CSV and PNG to ``out``. Raises BadInput for runs that cannot be compared
    (no bedside task, or test patients that differ)."""
    collected = Collected()
    seeds, test = [], None
    for run in runs:
        if run.model.config.task != "bedside":
            raise BadInput("runs of the bedside task", repr(run.model.config.task), "use vigil evaluate sleep")
        test = run.group("test")
        waves = run.settings.waves.steps > 0
        collect(collected, run.model, run.group("train"), test, run.settings.seed, uncoupled_of(run), progress, waves)
        seeds.append(run.settings.seed)
    rows = [s.rows.tolist() for s in collected.scores[ANCHORED.name]]
    if test is None or any(r != rows[0] for r in rows):
        raise BadInput("runs over the same test patients", "different ones", "give seeds of one configuration")
    write(collected, out, seeds, simulated=is_simulated(test))


def collect(
    into: Collected,
    model: PhysioME,
    train: Group,
    test: Group,
    seed: int,
    uncoupled: Group | None,
    step: Step,
    waves: bool = True,
) -> None:
    """Everything of one run. ``waves``: its wave decoders are trained; untrained ones would be drawn and scored."""
    anchored = prepare(model, train, test, ANCHORED, seed)
    never = prepare(model, train, test, NEVER, seed, like=anchored)
    for prepared in (anchored, never):
        into.scores.setdefault(prepared.regime.name, []).append(compare(prepared, step))
    into.gaps.append(gap_scores(model, train, test, anchored.rivals, seed, step))
    if waves:
        into.waves.append(wave_scores(anchored, step))
    into.dropout.append(dropout_rows(anchored, step))
    into.noise.append(noise_rows(anchored, step))
    into.controls.append(control_rows(anchored, uncoupled))


def uncoupled_of(run: TrainedRun) -> Group | None:
    """The patients without coupling beside the run's windows (``extra/coupling_off``), if they were made."""
    for folder in (
        run.windows.parent / "extra" / UNCOUPLED,
        run.windows / "extra" / UNCOUPLED,
        run.windows / UNCOUPLED,
    ):
        patients = sorted(p.parent for p in folder.glob("*/index.json"))
        if patients:
            return run.group_of(patients, UNCOUPLED)
    return None


def is_simulated(group: Group) -> bool:
    """Whether the patients are; a group without such a fact counts as simulated only if its names say so."""
    return all(str(p.facts.get("name", p.facts.get("source", ""))).startswith("sim") for p in group.dataset.patients)


@dataclass(frozen=True)
class Page:
    """Where tables go and what their captions say."""

    out: Path
    seeds: Sequence[int]
    patients: int
    simulated: bool

    def note(self, said: str, windows: int) -> str:
        """The caption: what the rows are, of how many windows, patients and seeds."""
        return caption(windows, self.patients, list(self.seeds), self.simulated, f"{said} {INTERVAL}")

    def table(self, rows: Rows, columns: Mapping[str, str], name: str, title: str, said: str, windows: int) -> None:
        """Writes the rows as Markdown and CSV, with their caption."""
        write_table(rows, columns, self.out, name, title, self.note(said, windows))


def write(collected: Collected, out: Path, seeds: Sequence[int], simulated: bool) -> None:
    """All tables and plots."""
    first = next(iter(collected.scores.values()))[0]
    page = Page(out, seeds, len(set(first.patient.tolist())), simulated)
    for head in _HEAD:
        write_comparison(page, list(collected.scores.values()), head)
    for regime, scores in collected.scores.items():
        note = page.note("R² against the training mean.", len(first.rows))
        plot_heat_map(scores, out, f"subsets_r2_{_short(regime)}", note)
    write_gaps(page, collected.gaps)
    if collected.waves:
        write_waves(replace(page, seeds=[s.seed for s in collected.waves]), collected.waves)
    write_corruption(page, collected.dropout, collected.noise)
    rows = [dict(row) | {"seed": seed} for seed, part in zip(seeds, collected.controls, strict=True) for row in part]
    page.table(rows, CONTROL_COLUMNS, "controls", "Controls", CONTROLS_SAID, int(rows[0]["windows"]))


CONTROLS_SAID = "R² about the mean of these windows. Bit-exact and removal checks: 24 windows."
WHEN = {"when": "absent sensors were"}
FIGURES = {"case": "case", "imputer": "imputer", "r2_text": "token R²", "cosine_text": "token cosine"}
RECOVERED = {f"{task}_recovered_text": f"recovered: {TITLES[task]}" for task in TASKS}
GOALS = {
    "case": "case", "task": "quantity", "imputer": "imputer", "against": "against", "error": "error",
    "error_against": "its error", "gain_text": "gain", "found": "found",
}  # fmt: skip
PRESSURE_COLUMNS = {
    "lost": "ABP lost", "estimator": "estimator", "map_text": "MAP error", "map_bias": "MAP bias",
    "sbp_text": "SBP error", "sbp_bias": "SBP bias", "dbp_text": "DBP error", "dbp_bias": "DBP bias",
}  # fmt: skip
PRESSURE_GOALS = {
    "lost": "ABP lost", "imputer": "imputer", "goal": "goal", "value": "value", "value_lo": "from", "value_hi": "to",
    "reached": "reached", "interval_agrees": "whole interval",
}  # fmt: skip
WAVE_COLUMNS = {
    "restored": "restored", "age_s": "lost (s ago)", "method": "method", "f1_text": "beat F1 ±100 ms",
    "hr_text": "HR error (/min)", "map_text": "MAP error (mmHg)", "sbp_text": "SBP error (mmHg)",
    "ptt_text": "R→PPG delay error (ms)",
}  # fmt: skip
CONTROL_COLUMNS = {
    "seed": "seed", "control": "control", "imputer": "imputer", "quantity": "quantity", "value": "value",
    "value_lo": "from", "value_hi": "to", "should_be": "should be", "holds": "holds",
}  # fmt: skip
ERRORS = {f"{task}_text": title for task, title in ERROR_COLUMNS.items()}


def write_comparison(page: Page, regimes: Sequence[Sequence[Scores]], head: str) -> None:
    """Single-absent cases, by number absent, every subset, and ours against each rival, under one kind of head."""
    scores, said = regimes[0], f"{_HEAD[head]} {_FRACTION}"
    windows = len(scores[0].rows)
    one, by_number = absent_one(scores[0].modalities), absent_by_number(scores[0].modalities)
    for name, title, groups in (("single_absent", "one sensor absent", one),
                                ("by_number", "by number of absent sensors", by_number)):  # fmt: skip
        rows = [row for part in regimes for row in imputer_rows(part, groups, head)]
        columns = WHEN | FIGURES | RECOVERED
        page.table(rows, columns, f"imputers_{name}_{head}", f"Imputers, {title} ({head} head)", said, windows)
        for part in regimes if groups is one else ():
            when = part[0].regime
            mine = [row for row in rows if row["when"] == when]
            plot_recovered(mine, when, page.out, f"recovered_{head}_{_short(when)}", page.note(_HEAD[head], windows))
    goals = [row for part in regimes for row in goal_rows(part, one | by_number, head)]
    said = f"{_HEAD[head]} Only where the interval of oracle − mask token excludes 0. Gain: its error − ours."
    page.table(goals, WHEN | GOALS, f"goals_{head}", f"Ours against simple imputers ({head} head)", said, windows)
    rows = [row for part in regimes for row in subset_rows(part, head)]
    columns = WHEN | {"quantity": "quantity", "observed": "observed"} | {i: i for i in scores[0].imputers}
    said = f"{_HEAD[head]} Mean absolute errors, and R² of all imputed tokens."
    page.table(rows, columns, f"all_subsets_{head}", f"Every subset of sensors ({head} head)", said, windows)


def write_gaps(page: Page, scores: list[GapScores]) -> None:
    """Tables and plot of the lost pressure by age."""
    rows, windows = gap_rows(scores), len(scores[0].patient)
    said = "Mean absolute error in mmHg at the end of the window; all other sensors are measured."
    page.table(rows, PRESSURE_COLUMNS, "pressure_by_age", "Lost arterial pressure by age", said, windows)
    goals, said_of_goals = gap_goals(scores), "MAP, mean absolute error in mmHg."
    page.table(goals, PRESSURE_GOALS, "pressure_goals", "Goals of restored pressure", said_of_goals, windows)
    plot_gap(rows, page.out, "pressure_by_age", page.note(said, windows))


def write_waves(page: Page, scores: list[WaveScores]) -> None:
    """Table and plot of restored waves."""
    rows, windows = wave_rows(scores), len(scores[0].patient)
    said = "Whole windows, frame edges included. Read-outs are taken from the restored wave."
    page.table(rows, WAVE_COLUMNS, "waves", "Restored waves: beats and read-outs", said, windows)
    plot_waves(scores[0], page.out, "waves", page.note("Four test windows, the first seed.", windows))


def write_corruption(page: Page, dropout: Sequence[Rows], noise: Sequence[Rows]) -> None:
    """Tables of lost frames and of noise on the sensors."""
    said = "Frozen head; mean absolute errors. Bounds are means over seeds."
    rows = _texts(over_seeds(dropout, ("missing", "imputer")))
    columns = {"missing": "missing", "imputer": "imputer", "r2_text": "token R²", "cosine_text": "cosine"} | ERRORS
    page.table(
        rows,
        columns,
        "frame_dropout",
        "Frames lost in patterns, seen in training or not",
        said,
        int(rows[0]["windows"]),
    )
    rows = _texts(over_seeds(noise, ("sensor", "noise", "treated")))
    columns = {"sensor": "sensor", "noise": "noise", "treated": "treated"} | ERRORS
    page.table(rows, columns, "noise", "Noise: unnoticed, and flagged and restored", said, int(rows[0]["windows"]))


def _texts(rows: list[dict[str, float | str]]) -> list[dict[str, float | str]]:
    """Texts of averaged rows made anew from their means."""
    for row in rows:
        for key in [k for k in row if k.endswith("_text")]:
            name = key.removesuffix("_text")
            bounds = (float(row.get(f"{name}{end}", float("nan"))) for end in ("", "_lo", "_hi"))
            row[key] = text(Interval(*bounds))
    return rows


def _short(regime: str) -> str:
    return regime.replace(" ", "_")
