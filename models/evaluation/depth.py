"""Depth of anaesthesia (0–100, not BIS) by sensor subset: error, order, coverage; and where pressure must not help.

Windows with less than 15 s of EEG have no depth (the engine says "unknown"), so they count in ``shown`` only. The
prediction probability P_K (Smith, Dutton & Smith, Anesthesiology 1996;84:38) is the chance that of two windows with
different true depth the deeper one is said to be deeper; 0.5 is guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import LEAST_PATIENTS, mean_interval, resampled_patients
from models.evaluation.hypotension import bounds, same_windows, study_note
from models.evaluation.metrics import coverage
from models.evaluation.report import COLOURS, INTERVAL, over_seeds, plot, write_table
from models.evaluation.settings import Pass, Setting, all_sensors, every_subset, lost_for
from models.progress import Progress
from models.runtime.calibration import half_width
from models.runtime.spec import Conformal
from models.signals.errors import BadInput
from models.signals.modalities import Modality

if TYPE_CHECKING:
    from models.training.run_folder import TrainedRun

LEAST_EEG_S = 15.0
LOST_S = (6.0, 12.0, 18.0)
RESAMPLES = 300
_CHUNK = 256

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Row = dict[str, float | str]


def prediction_probability(
    said: Floats, truth: Floats, patient_of: npt.NDArray[np.intp], resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """P_K with its bootstrap interval over patients; ties of what is said count half, ties of the truth not at all.

    Concordant and comparable pairs are counted once for every pair of patients; a resample weighs these counts.
    """
    _, patient = np.unique(patient_of, return_inverse=True)
    count = int(patient.max()) + 1 if len(patient) else 0
    agree, pairs = np.zeros((count, count)), np.zeros((count, count))
    one_hot = np.zeros((len(patient), count))
    one_hot[np.arange(len(patient)), patient] = 1.0
    for first in range(0, len(said), _CHUNK):
        part = slice(first, first + _CHUNK)
        true = np.sign(truth[part, None] - truth[None])
        same_way = true * np.sign(said[part, None] - said[None])
        comparable = true != 0
        won = np.where(comparable, 0.5 * (1.0 + same_way), 0.0)
        agree += one_hot[part].T @ won @ one_hot
        pairs += one_hot[part].T @ comparable.astype(np.float64) @ one_hot
    nan = float("nan")
    if not pairs.sum():
        return nan, nan, nan
    estimate = float(agree.sum() / pairs.sum())
    if count < LEAST_PATIENTS:
        return estimate, nan, nan
    drawn = resampled_patients(count, resamples, np.random.default_rng(6)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        found = ((drawn @ agree) * drawn).sum(1) / ((drawn @ pairs) * drawn).sum(1)
    return (estimate, *bounds(found))


def depth_row(
    said: Floats, truth: Floats, shown: Bools, patient_of: npt.NDArray[np.intp], widen: Floats, prior: float
) -> Row:
    """Figures of quantiles [W, 3] against the truth [W] on the windows ``shown``; ``prior`` is what a constant says."""
    use = shown & np.isfinite(truth)
    row: Row = {"shown": float(shown.mean()) if len(shown) else float("nan"), "windows": int(use.sum())}
    if not use.any():
        return row
    error = said[use, 1] - truth[use]
    mae = mean_interval(patient_of[use], np.abs(error), RESAMPLES)
    found, low, high = prediction_probability(said[use, 1], truth[use], patient_of[use])
    lo, hi = said[use, 0] - widen[use], said[use, 2] + widen[use]
    return row | {
        "patients": len(np.unique(patient_of[use])), "mae": mae.estimate, "mae_lo": mae.lo, "mae_hi": mae.hi,
        "rmse": float(np.sqrt((error**2).mean())), "bias": float(error.mean()), "sd": float(error.std()),
        "mae_prior": float(np.abs(truth[use] - prior).mean()), "pk": found, "pk_lo": low, "pk_hi": high,
        "coverage": coverage(truth[use], lo, hi), "width": float((hi - lo).mean()),
    }  # fmt: skip


def depth_rows(p: Pass, conformal: dict[str, Conformal], settings: Sequence[Setting], prior: float) -> list[Row]:
    """Every setting, for all patients and, apart, for those whose depth and pressure are decoupled."""
    eeg = p.modalities.index(Modality.EEG.value)
    facts = p.group.dataset.patients
    decoupled = np.array([x.facts.get("depth_acts") is False for x in facts])[p.group.dataset.study_of[p.rows]]
    truth = p.label("depth")
    rows: list[Row] = []
    for setting in settings:
        out = p(setting)
        shown = out.lost.presence[:, eeg].sum(-1) * p.model.config.frame_s >= LEAST_EEG_S
        widen = np.array([half_width(conformal.get("depth"), float(v), 0.0) for v in out.missing])
        for name, of in (("all", np.ones_like(decoupled)), ("decoupled", decoupled)):
            if not of.any():
                continue
            found = depth_row(out.values["depth"][of], truth[of], shown[of], p.patient_of[of], widen[of], prior)
            named: Row = {"setting": setting.name, "absent": setting.absent, "patients_with": name}
            rows.append(named | found)
    return rows


_COLUMNS = {
    "setting": "sensors", "shown": "share shown", "windows": "windows", "patients": "patients", "mae": "MAE",
    "mae_lo": "from", "mae_hi": "to", "mae_prior": "MAE of the mean", "rmse": "RMSE", "bias": "bias", "sd": "SD",
    "pk": "P_K", "pk_lo": "from", "pk_hi": "to", "coverage": "cover of 80 %", "width": "width",
}  # fmt: skip


def evaluate_depth(runs: Sequence[TrainedRun], out: Path, progress: Progress | None = None) -> list[Row]:
    """Writes the tables and the plot; rows of several runs (seeds) are means, the intervals those of the first."""
    if not runs[0].model.config.has_eeg:
        raise BadInput("a model with an EEG", "one without", "evaluate depth with a four-sensor model")
    passes = [Pass(run.model, run.group("test"), names=("depth",)) for run in runs]
    same_windows(passes)
    prior = float(np.nanmean(runs[0].group("train").labels["depth"]))
    rows_of = passes[0].modalities
    settings = every_subset(rows_of) + lost_for(rows_of, Modality.EEG, LOST_S)
    found = []
    for done, (run, p) in enumerate(zip(runs, passes, strict=True)):
        found.append(depth_rows(p, run.conformal, settings, prior))
        if progress:
            progress("depth by sensors", done + 1, len(runs))
    rows = over_seeds(found, ("setting", "patients_with"))
    group = passes[0].group
    said = f"{INTERVAL} Depth is 0–100, not BIS. Shown: at least {LEAST_EEG_S:g} s of EEG in the window."
    note, kind = study_note(runs, group, said), "simulated" if group.dataset.simulated else "recorded"
    everyone = [r for r in rows if r["patients_with"] == "all"]
    apart = [r for r in rows if r["patients_with"] == "decoupled"]
    write_table(everyone, _COLUMNS, out, "depth", f"Depth of anaesthesia ({kind})", note)
    if apart:
        title = f"Depth of anaesthesia, patients in whom it does not move the pressure ({kind})"
        write_table(apart, _COLUMNS, out, "depth_decoupled", title, note)
    _plot(passes[0], rows_of, out, note, kind)
    return rows


def _plot(p: Pass, rows_of: Sequence[str], out: Path, note: str, kind: str) -> None:
    full = all_sensors(rows_of)
    alone = next(s for s in every_subset(rows_of) if s.name == Modality.EEG.value)
    truth = p.label("depth")
    with plot(out, "depth", f"Depth of anaesthesia, said and true ({kind})", note, (7.2, 3.8), cols=2) as axes:
        for axis, setting in zip(axes, (full, alone), strict=True):
            axis.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
            axis.plot(truth, p(setting).values["depth"][:, 1], ".", color=COLOURS[0], markersize=2, alpha=0.35)
            axis.set_xlim(0, 100)
            axis.set_ylim(0, 100)
            axis.set_aspect("equal")
            axis.set_xlabel("true depth")
            axis.set_title(setting.name if setting is full else f"{setting.name} alone")
        axes[0].set_ylabel("said")
