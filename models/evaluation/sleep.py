"""Sleep staging by subset of the three channels, one run a fold, beside the figures that PhysioME's paper gives.

Folds are by subject (the paper's public code splits by night), and the figures of a fold are those of its own test
subjects. Accuracy, macro F1, Cohen's kappa (J Educ Psychol Meas 1960;20:37) and macro one-against-rest AUC over the
five stages; a stage that a fold lacks does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import mean_interval
from models.evaluation.hypotension import study_note
from models.evaluation.metrics import auroc
from models.evaluation.report import COLOURS, INTERVAL, caption, over_seeds, plot, write_table
from models.evaluation.settings import Pass, every_subset
from models.networks.sleep import SLEEP_STAGES
from models.progress import Progress
from models.signals.errors import BadInput

if TYPE_CHECKING:
    from models.training.run_folder import TrainedRun

PUBLISHED: tuple[tuple[str, int, float, float], ...] = (
    # method, channels, ACC, AUC in per cent: PhysioME, arXiv 2510.11110, Sleep-EDFX
    ("ViT (paper)", 1, 42.68, 66.08), ("ViT (paper)", 2, 47.16, 66.99), ("ViT (paper)", 3, 48.18, 65.28),
    ("NeuroNet (paper)", 1, 70.42, 89.48), ("NeuroNet (paper)", 2, 74.43, 91.23), ("NeuroNet (paper)", 3, 75.90, 92.02),
    ("DP-NeuroNet (paper)", 1, 76.51, 92.70), ("DP-NeuroNet (paper)", 2, 77.77, 93.85),
    ("DP-NeuroNet (paper)", 3, 78.83, 94.46),
)  # fmt: skip

Floats = npt.NDArray[np.floating]
Stages = npt.NDArray[np.integer]
Row = dict[str, float | str]


def confusion(truth: Stages, said: Stages, classes: int = len(SLEEP_STAGES)) -> npt.NDArray[np.int64]:
    """Counts [true, said]."""
    return np.bincount(truth * classes + said, minlength=classes * classes).reshape(classes, classes)


def accuracy(counts: npt.NDArray[np.integer]) -> float:
    """Share on the diagonal of the confusion ``counts`` [true, predicted]; NaN without any."""
    return float(np.trace(counts) / counts.sum()) if counts.sum() else float("nan")


def macro_f1(counts: npt.NDArray[np.integer]) -> float:
    """Mean F1 over the stages that occur."""
    occurs = counts.sum(1) > 0
    hits, total = np.diag(counts), counts.sum(0) + counts.sum(1)
    return float((2 * hits[occurs] / total[occurs]).mean()) if occurs.any() else float("nan")


def kappa(counts: npt.NDArray[np.integer]) -> float:
    """Agreement beyond chance; NaN where one stage is all there is."""
    n = counts.sum()
    if not n:
        return float("nan")
    chance = float((counts.sum(0) * counts.sum(1)).sum() / n**2)
    return (accuracy(counts) - chance) / (1 - chance) if chance < 1 else float("nan")


def macro_auc(logits: Floats, truth: Stages) -> float:
    """Mean one-against-rest AUROC of softmax shares over the stages that occur."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    found = [auroc(shares[:, k], truth == k) for k in range(logits.shape[1]) if (truth == k).any()]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def fold_rows(p: Pass) -> list[Row]:
    """Figures of one fold's test subjects, each subset of channels."""
    known = p.group.stage[p.rows] >= 0
    truth, patient = p.group.stage[p.rows][known], p.patient_of[known]
    if not len(truth):
        raise BadInput("scored epochs", "none in the test group", "prepare the data with their hypnograms")
    rows: list[Row] = []
    for setting in every_subset(p.modalities):
        logits = p(setting).values["stage_logits"][known].astype(np.float64)
        said = logits.argmax(1)
        counts = confusion(truth, said)
        right = mean_interval(patient, said == truth)
        rows.append({
            "setting": setting.name, "channels": len(setting.observed), "epochs": len(truth),
            "subjects": len(np.unique(patient)), "acc": accuracy(counts), "acc_lo": right.lo, "acc_hi": right.hi,
            "macro_f1": macro_f1(counts), "kappa": kappa(counts), "auc": macro_auc(logits, truth),
        })  # fmt: skip
    return rows


def by_channels(rows: Sequence[Row]) -> list[Row]:
    """Means over the subsets of one, two and all channels, beside the published ones (per cent)."""
    out: list[Row] = []
    for channels in sorted({int(r["channels"]) for r in rows}):
        here = [r for r in rows if r["channels"] == channels]
        row: Row = {"method": "this run", "channels": channels}
        for name in ("acc", "macro_f1", "kappa", "auc"):
            row[name] = 100 * float(np.mean([float(r[name]) for r in here]))
        out.append(row)
    out += [{"method": m, "channels": k, "acc": acc, "auc": auc} for m, k, acc, auc in PUBLISHED]
    return out


_SUBSETS = {
    "setting": "channels", "epochs": "epochs", "subjects": "subjects", "acc": "ACC", "acc_lo": "from", "acc_hi": "to",
    "macro_f1": "macro F1", "kappa": "kappa", "auc": "AUC", "seeds": "folds",
}  # fmt: skip
_BESIDE = {"method": "method", "channels": "channels", "acc": "ACC %", "macro_f1": "macro F1 %", "kappa": "kappa %",
           "auc": "AUC %"}  # fmt: skip


def evaluate_sleep(runs: Sequence[TrainedRun], out: Path, progress: Progress | None = None) -> list[Row]:
    """One run a fold: figures by subset, averaged over folds, and beside the paper's by number of channels."""
    found: list[list[Row]] = []
    epochs, subjects = 0, set[str]()
    for done, run in enumerate(runs):
        if run.model.config.task != "sleep":
            raise BadInput(
                "runs of sleep staging", f"a {run.model.config.task} run", "train with a sleep configuration"
            )
        group = run.group("test")
        mine = {str(p.facts.get("patient", p.folder.name)) for p in group.dataset.patients}
        twice = sorted(mine & subjects)
        if twice:
            found_in = f"{len(twice)} in several ({twice[0]} …)"
            raise BadInput("folds without a common test subject", found_in, "give one run a fold, each fold once")
        subjects |= mine
        p = Pass(run.model, group, names=("stage_logits",))
        found.append(fold_rows(p))
        epochs += len(group)
        if progress:
            progress("sleep folds", done + 1, len(runs))
    rows = over_seeds(found, ("setting", "channels"))
    note = caption(epochs, len(subjects), [r.settings.seed for r in runs], False, INTERVAL + " of the folds' means.")
    if len(runs) == 1:
        note = study_note(runs, runs[0].group("test"), INTERVAL)
    write_table(rows, _SUBSETS, out, "sleep", f"Sleep staging by channels, {len(runs)} fold(s)", note)
    beside = by_channels(rows)
    said = f"{note} Published: PhysioME, arXiv 2510.11110, Sleep-EDFX, by its own split."
    write_table(beside, _BESIDE, out, "sleep_beside_paper", "Sleep staging beside the published figures", said)
    with plot(out, "sleep", "Sleep staging by number of channels", said) as axis:
        for colour, method in zip(COLOURS, dict.fromkeys(str(r["method"]) for r in beside), strict=False):
            here = [r for r in beside if r["method"] == method]
            x, y = [float(r["channels"]) for r in here], [float(r["acc"]) for r in here]
            axis.plot(x, y, "o-", color=colour, markersize=4, linewidth=2 if method == "this run" else 1, label=method)
        axis.set_xticks([1, 2, 3])
        axis.set_xlabel("channels")
        axis.set_ylabel("accuracy, %")
        axis.legend(fontsize=7, frameon=False)
    return rows
