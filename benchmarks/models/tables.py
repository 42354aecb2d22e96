"""Tables and plots of a plan's runs: the evaluations over the seeds of the main runs, and the ablations.

An ablation is compared with ``control``, paired by test window: the same patients, windows and losses, heads fitted the
same way on complete windows, encoders (where the change allows) the same file. What is named in ``OUTCOMES`` was fixed
before anything was run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.models.plan import PlannedRun
from models.evaluation.bootstrap import Interval, additive_bootstrap, difference_interval
from models.evaluation.comparison import Scores, compare, prepare
from models.evaluation.report import INTERVAL, caption, write_table
from models.evaluation.restoration_tables import absent_one, pooled, pooled_patients
from models.evaluation.rivals import ANCHORED, NEVER
from models.signals.errors import BadInput
from models.training.progress import ProgressBars
from models.training.run_folder import MODEL, TrainedRun, open_run

EVALUATIONS = ("restoration", "hypotension", "depth", "calibration", "invariance")
CONTROL = "control"
OURS = ("restoration", "SelfMask")
OUTCOMES = (  # modality absent, head's quantity, how the figure is named
    ("ABP", "map", "MAP error, ABP absent (mmHg)"),
    ("ECG", "hr", "HR error, ECG absent (/min)"),
    ("EEG", "depth", "depth error, EEG absent (0–100)"),
)
COLUMNS = {
    "change": "change", "when": "absent sensors were", "imputer": "imputer", "outcome": "outcome",
    "control": "control", "changed": "changed", "worse_text": "changed is worse by", "found": "found",
}  # fmt: skip

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


def make_tables(planned: Sequence[PlannedRun], runs: Path, out: Path) -> None:
    """Writes every table for which runs are finished; says which runs are missing. BadInput where none is."""
    done = [run for run in planned if (runs / run.name / MODEL).is_file()]
    missing = [run.name for run in planned if run not in done]
    if not done:
        raise BadInput(f"finished runs in {runs}", "none", "train them with: python -m benchmarks models run")
    if missing:
        print(f"Not trained, so not in the tables: {', '.join(missing)}")
    bar = ProgressBars()
    seeds = [open_run(runs / run.name, bar) for run in done if not run.ablation]
    for name in EVALUATIONS if seeds else ():
        module = import_module(f"models.evaluation.{name}")
        getattr(module, f"evaluate_{name}")(seeds, out / name, bar)
    if any(run.name == CONTROL for run in done):
        ablations(done, runs, out, bar)


# -- ablations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores of one ablation (or the control) by regime."""

    run: PlannedRun
    scores: dict[str, Scores]


def ablations(done: Sequence[PlannedRun], runs: Path, out: Path, bar: ProgressBars) -> None:
    """``ablations.md`` and ``.csv``."""
    measured = [measure(run, open_run(runs / run.name, bar), bar) for run in done if run.ablation]
    control = next(m for m in measured if m.run.name == CONTROL)
    rows = [row for changed in measured if changed is not control for row in compared(control, changed)]
    first = next(iter(control.scores.values()))
    said = (
        f"Short runs ({control.run.settings.fusion.steps} fusion and {control.run.settings.selfmask.steps} SelfMask "
        "steps), each beside the control that is the same but for the change; paired by window. Token R² is against "
        "the mean of the run's own tokens, so that across different encoders it is not the same quantity. "
    )
    note = caption(len(first.rows), len(set(first.patient.tolist())), [first.seed], True, said + INTERVAL)
    write_table(rows, COLUMNS, out, "ablations", "Ablations", note)


def measure(run: PlannedRun, trained: TrainedRun, bar: ProgressBars) -> Measured:
    """Each modality absent alone, lost some time ago and never measured; frozen heads only."""
    model, train, test = trained.model, trained.group("train"), trained.group("test")
    names = [m.value for m in model.config.modalities]
    which = [subset for subsets, _ in absent_one(names).values() for subset in subsets]
    anchored = prepare(model, train, test, ANCHORED, trained.settings.seed)
    never = prepare(model, train, test, NEVER, trained.settings.seed, like=anchored)
    return Measured(run, {p.regime.name: compare(p, bar, which, refit=False) for p in (anchored, never)})


def compared(control: Measured, changed: Measured) -> list[Row]:
    """Rows of one ablation: token R² over all single losses, and the outcomes, for both imputers and regimes."""
    rows: list[Row] = []
    for when, theirs in changed.scores.items():
        mine = control.scores[when]
        if theirs.rows.tolist() != mine.rows.tolist():
            raise BadInput("the same test windows in every run", f"others in {changed.run.name}", "share the data")
        single = absent_one(mine.modalities)
        for imputer in OURS:
            common: Row = {"change": changed.run.what or changed.run.name, "when": when, "imputer": imputer}
            rows.append(common | token_row(mine, theirs, imputer))
            for modality, task, title in OUTCOMES:
                subset = single[f"{modality} absent"][0]
                before, after = (pooled([s], subset, imputer, "frozen", task) for s in (mine, theirs))
                worse = difference_interval(pooled_patients([mine], subset), after, before)
                rows.append(common | _row(title, float(np.nanmean(before)), float(np.nanmean(after)), worse))
    return rows


def token_row(control: Scores, changed: Scores, imputer: str) -> Row:
    """R² of imputed tokens, each modality absent alone, all together; the difference paired by window."""
    parts: list[Floats] = []
    for scores in (control, changed):
        for quantity in ("residual", "total"):
            values = [
                pooled([scores], subset, imputer, "tokens", f"{quantity}_{m}")
                for subset, absent in absent_one(scores.modalities).values()
                for m in absent
            ]
            parts.append(np.concatenate(values))
    patient = np.concatenate([control.patient] * len(control.modalities))

    def both(s: Floats) -> Floats:
        before, after = 1.0 - s[:, 0] / s[:, 1], 1.0 - s[:, 2] / s[:, 3]
        return np.stack([before, after, before - after], 1)

    estimate, lo, hi = additive_bootstrap(patient, np.stack(parts, 1), both)
    worse = Interval(float(estimate[2]), float(lo[2]), float(hi[2]))
    return _row("token R²", float(estimate[0]), float(estimate[1]), worse)


def _row(outcome: str, control: float, changed: float, worse: Interval) -> Row:
    found = "no difference shown" if not worse.excludes(0.0) else ("worse" if worse.estimate > 0 else "better")
    return {
        "outcome": outcome, "control": control, "changed": changed, "worse": worse.estimate, "worse_lo": worse.lo,
        "worse_hi": worse.hi, "found": found,
        "worse_text": f"{worse.estimate:.3f} ({worse.lo:.3f} to {worse.hi:.3f})",
    }  # fmt: skip
