"""``vigil evaluate invariance``: probes under sweeps, consistency over subsets, dominance of sensors, known and unknown
devices. Rows carry the run, so a randomly initialised one beside shows what pre-training gained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.consistency import consistency_rows
from models.evaluation.dominance import dominance_rows, figures
from models.evaluation.hypotension import bounds, study_note
from models.evaluation.probes import RIDGE, make_sweeps, probe_rows, shown_factors
from models.evaluation.report import COLOURS, INTERVAL, Row, Rows, plot, write_table
from models.evaluation.settings import HEADS, Pass, all_sensors, lost_for
from models.progress import Progress
from models.signals.modalities import Modality

if TYPE_CHECKING:
    from models.training.run_folder import TrainedRun

MOST_WINDOWS = 1000
SWEEP_SEED = 900_000  # far from the seeds of training patients
DEVICE_GROUPS = {"calibration": "known devices", "test": "held-out device"}


def some_rows(windows: int) -> np.ndarray:
    """At most ``MOST_WINDOWS`` windows, evenly over patients and time."""
    return np.unique(np.linspace(0, windows - 1, min(windows, MOST_WINDOWS)).astype(np.intp))


def heads_of(run: TrainedRun) -> tuple[str, ...]:
    """What a pass of this model can keep."""
    return tuple(name for name in HEADS if name != "depth" or run.model.config.has_eeg)


def device_rows(run: TrainedRun) -> list[dict[str, float | str]]:
    """Each task's figure with the devices of training and with the held-out one, all sensors and without ABP.

    The held-out group also has other mechanisms, so this is the cost of both."""
    rows: list[dict[str, float | str]] = []
    for group, devices in DEVICE_GROUPS.items():
        p = Pass(run.model, run.group(group), some_rows(len(run.group(group))), heads_of(run))
        for setting in (all_sensors(p.modalities), *lost_for(p.modalities, Modality.ABP, (300.0, float("inf")))):
            out = p(setting)
            for task, figure in figures(p).items():
                found = figure(out)
                low, high = bounds(found[1:])
                name = setting.name.replace("lost inf min ago", "never measured")
                rows.append({
                    "devices": devices, "setting": name, "task": task, "patients": len(np.unique(p.patient_of)),
                    "windows": len(p.rows), "value": float(found[0]), "lo": low, "hi": high,
                })  # fmt: skip
    return rows


_PROBES = {"run": "run", "factor": "factor", "representation": "read from", "windows": "windows", "r2": "R²",
           "mae": "MAE", "sd": "SD of the factor"}  # fmt: skip
_CONSISTENCY = {"run": "run", "setting": "sensors", "distance": "distance", "distance_lo": "from", "distance_hi": "to",
                "retrieved": "own window nearest"}  # fmt: skip
_DOMINANCE = {"run": "run", "task": "task", "sensor": "sensor", "full": "all sensors", "removed": "lost if removed",
              "removed_lo": "from", "removed_hi": "to", "swapped": "if another patient's", "alone": "gain alone",
              "shapley": "Shapley value", "shapley_lo": "from", "shapley_hi": "to"}  # fmt: skip
_DEVICES = {"run": "run", "task": "task", "setting": "sensors", "devices": "devices", "patients": "patients",
            "value": "value", "lo": "from", "hi": "to"}  # fmt: skip


def evaluate_invariance(runs: Sequence[TrainedRun], out: Path, progress: Progress | None = None) -> None:
    """Writes tables and plots; each run has its own rows, named by its configuration and seed."""
    tables: dict[str, list[dict[str, float | str]]] = {"probes": [], "consistency": [], "dominance": [], "devices": []}
    sweeps = make_sweeps(runs[0].model, SWEEP_SEED, progress=progress)
    for run in runs:
        name: dict[str, float | str] = {"run": f"{run.settings.name}, seed {run.settings.seed}"}
        group = run.group("test")
        p = Pass(run.model, group, some_rows(len(group)), heads_of(run))
        found = {
            "probes": probe_rows(run.model, sweeps), "consistency": consistency_rows(p),
            "dominance": dominance_rows(p, run.settings.seed, progress), "devices": device_rows(run),
        }  # fmt: skip
        for table, rows in found.items():
            tables[table] += [name | row for row in rows]
    group = runs[0].group("test")
    kind = "simulated" if group.dataset.simulated else "recorded"
    note = study_note(runs, group, f"{min(MOST_WINDOWS, len(group)):,} windows used. {INTERVAL}")
    leaks = {f"leak_{g}": f"leak from {g}" for g in shown_factors(tables["probes"])}
    first = next(iter(sweeps.values()))
    subjects = f"Simulated sweeps of one factor: {len(np.unique(first.subject))} subjects, {len(first.setting)} windows"
    words = (
        f"{subjects} a factor; ridge ({RIDGE:g}), each subject read by the others' probe. "
        "Leak: movement of the reading under another factor's sweep over that under its own."
    )
    write_table(tables["probes"], _PROBES | leaks, out, "probes", "Linear probes under sweeps (simulated)", words)
    said = f"{note} Distance from the full representation, in units of that between patients; others never measured."
    write_table(tables["consistency"], _CONSISTENCY, out, "consistency", f"Consistency over subsets ({kind})", said)
    said = f"{note} Shapley values are exact over all subsets; another patient's: its frames and context swapped."
    write_table(tables["dominance"], _DOMINANCE, out, "dominance", f"What each task leans on ({kind})", said)
    said = f"{note} The held-out group has another device and, in part, another mechanism."
    write_table(tables["devices"], _DEVICES, out, "devices", f"Known and unknown devices ({kind})", said)
    _plot_dominance(tables["dominance"], out, note, kind)
    _plot_probes(tables["probes"], out, words)


def _plot_dominance(rows: Rows, out: Path, note: str, kind: str) -> None:
    chosen = [r for r in rows if r["run"] == rows[0]["run"]]
    tasks = list(dict.fromkeys(str(r["task"]) for r in chosen))
    title = f"What each task leans on: Shapley values ({kind})"
    with plot(out, "dominance", title, note, (9.0, 3.2), cols=len(tasks)) as axes:
        for axis, task in zip(np.ravel(axes), tasks, strict=True):
            here = [r for r in chosen if r["task"] == task]
            x = np.arange(len(here))
            value = np.array([float(r["shapley"]) for r in here])
            axis.bar(x, value, color=COLOURS[0], width=0.6)
            axis.vlines(x, [float(r["shapley_lo"]) for r in here], [float(r["shapley_hi"]) for r in here],
                        color="#333333", linewidth=1)  # fmt: skip
            axis.axhline(0, color="#666666", linewidth=0.8)
            axis.set_xticks(x, [str(r["sensor"]) for r in here])
            axis.set_title(task, fontsize=8)


def _plot_probes(rows: Rows, out: Path, note: str) -> None:
    chosen: list[Row] = [r for r in rows if r["run"] == rows[0]["run"]]
    factors = list(dict.fromkeys(str(r["factor"]) for r in chosen))
    names = list(dict.fromkeys(str(r["representation"]) for r in chosen))
    table = np.array([[next(float(r["r2"]) for r in chosen if r["factor"] == f and r["representation"] == n)
                       for f in factors] for n in names])  # fmt: skip
    with plot(out, "probes", "R² of linear probes under sweeps (simulated)", note, (6.4, 4.6)) as axis:
        axis.grid(False)
        shown = axis.imshow(np.clip(table, -0.2, 1), cmap="Blues", vmin=-0.2, vmax=1, aspect="auto")
        axis.set_xticks(range(len(factors)), factors)
        axis.set_yticks(range(len(names)), names)
        for (i, j), value in np.ndenumerate(table):
            text = f"{value:.2f}" if value > -1 else "< −1"
            axis.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if value > 0.6 else "#222222")
        axis.figure.colorbar(shown, ax=axis, shrink=0.8)
