"""Do intervals and risks mean what they say, when sensors are missing and the last measurement is old?

Coverage of the 80 % intervals before and after the conformal widening, by share of missing frames and by age of the
last measurement; reliability of the risks by number of absent sensors, before and after the temperature. The test
patients took no part in fitting either.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.batches.predict import Outputs
from models.data.labels import HORIZONS_S
from models.data.missingness import LossPlan
from models.evaluation.depth import LEAST_EEG_S
from models.evaluation.hypotension import same_windows, study_note
from models.evaluation.metrics import coverage, reliability, risk_calibration
from models.evaluation.report import COLOURS, over_seeds, plot, write_table
from models.evaluation.settings import Pass, every_subset
from models.progress import Progress
from models.runtime.calibration import AGE_EDGES_S, LEVEL, MISSING_EDGES, half_width
from models.runtime.spec import Conformal
from models.signals.modalities import Modality

if TYPE_CHECKING:
    from models.training.run_folder import TrainedRun

MOST_WINDOWS = 1500
_PRESSURES = ("map", "sbp", "dbp")

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Row = dict[str, float | str]


# -- intervals ---------------------------------------------------------------------------------------------------------


def interval_rows(p: Pass, conformal: dict[str, Conformal], seed: int) -> list[Row]:
    """Coverage and width of MAP, SBP, DBP (of an ABP that is absent now) and depth (with enough EEG), by share of
    missing frames and, for pressures, by age; the losses are drawn as in training."""
    rng = np.random.default_rng([seed, 33])
    lost = p.group.draw(rng, p.rows, LossPlan(complete=0.1, subset=0.6, recent=0.2, ragged=0.1))
    out = p.of(lost)
    abp = p.modalities.index(Modality.ABP.value)
    absent = ~lost.presence[:, abp, -1]
    age = np.nan_to_num(out.age(abp), nan=np.inf)
    truth = p.label("pressures")[:, -1]
    rows: list[Row] = []
    for i, name in enumerate(_PRESSURES):
        quantiles = out.values["pressure"][:, i]
        widen = _widening(conformal.get(name), out, out.age(abp))
        known = absent & np.isfinite(truth[:, i])
        rows += _binned(name.upper(), quantiles, truth[:, i], widen, known, out.missing, age, AGE_EDGES_S)
    if "depth" in out.values:
        eeg = p.modalities.index(Modality.EEG.value)
        known = lost.presence[:, eeg].sum(-1) * p.model.config.frame_s >= LEAST_EEG_S
        depth = p.label("depth")
        widen = _widening(conformal.get("depth"), out, np.zeros(len(depth)))
        rows += _binned("depth", out.values["depth"], depth, widen, known & np.isfinite(depth), out.missing, None, ())
    return rows


def _widening(table: Conformal | None, out: Outputs, age_s: Floats) -> Floats:
    return np.array([half_width(table, float(m), float(a)) for m, a in zip(out.missing, age_s, strict=True)])


def _binned(
    name: str, quantiles: Floats, truth: Floats, widen: Floats, known: Bools, missing: Floats, age_s: Floats | None,
    age_edges: Sequence[float],
) -> list[Row]:  # fmt: skip
    bins: list[tuple[str, str, Bools]] = [("all", "all", known)]
    for low, high in pairwise(MISSING_EDGES):
        last = high == MISSING_EDGES[-1]
        inside = (missing >= low) & ((missing < high) | last)
        bins.append((f"{low:.0%}–{high:.0%}", "all", known & inside))
    if age_s is not None:
        for low, high in pairwise(age_edges):
            bins.append(("all", f"{low:g}–{high:g} s", known & (age_s >= low) & (age_s < high)))
        bins.append(("all", "older", known & (age_s >= age_edges[-1]) & np.isfinite(age_s)))
        bins.append(("all", "never", known & np.isinf(age_s)))
    rows: list[Row] = []
    for share, age, use in bins:
        lo, hi, true, more = quantiles[use, 0], quantiles[use, 2], truth[use], widen[use]
        rows.append({
            "quantity": name, "missing": share, "age": age, "windows": int(use.sum()),
            "coverage_raw": coverage(true, lo, hi), "coverage": coverage(true, lo - more, hi + more),
            "width_raw": float((hi - lo).mean()) if use.any() else float("nan"),
            "width": float((hi - lo + 2 * more).mean()) if use.any() else float("nan"),
        })  # fmt: skip
    return rows


# -- risks -------------------------------------------------------------------------------------------------------------


def uncooled(hazard_logits: Floats) -> Floats:
    """Risks [W, 3] that the members [W, K, 3] would give without the temperature."""
    survival = np.cumprod(1.0 / (1.0 + np.exp(hazard_logits.astype(np.float64))), axis=-1)
    risks: Floats = (1.0 - survival).mean(1)
    return risks


def pooled_risks(p: Pass) -> dict[int, tuple[Floats, Floats, Indices]]:
    """By number of absent sensors: risks after and before the temperature [n, 3], and which windows [n] they are of;
    every subset of that size, windows hypotensive already left out."""
    use = ~p.label("hypotensive_now").astype(bool)
    found: dict[int, list[tuple[Floats, Floats, Indices]]] = {}
    for setting in every_subset(p.modalities):
        values = p(setting).values
        part = values["risk"][use], uncooled(values["hazard_logits"])[use], np.flatnonzero(use)
        found.setdefault(setting.absent, []).append(part)
    return {k: tuple(np.concatenate(column) for column in zip(*parts, strict=True)) for k, parts in found.items()}  # type: ignore[misc]


def risk_rows(p: Pass) -> list[Row]:
    """A row a number of absent sensors and horizon: risks with and without the temperature against what came."""
    label = p.label("hypotension")
    rows: list[Row] = []
    for absent, (after, before, of) in pooled_risks(p).items():
        for j, horizon in enumerate(HORIZONS_S):
            known = np.isfinite(label[of, j])
            positive = label[of, j][known] > 0.5
            row: Row = {
                "absent": absent, "minutes": horizon / 60, "windows": int(known.sum()),
                "prevalence": float(positive.mean()) if known.any() else float("nan"),
                "mean_risk": float(after[known, j].mean()) if known.any() else float("nan"),
            }  # fmt: skip
            for name, risk in (("before", before), ("after", after)):
                found = risk_calibration(risk[known, j], positive)
                row |= {f"{key}_{name}": getattr(found, key) for key in ("slope", "intercept", "brier", "ece")}
            rows.append(row)
    return rows


# -- tables and plots --------------------------------------------------------------------------------------------------

_INTERVALS = {
    "quantity": "quantity", "missing": "frames missing", "age": "age of the last measurement", "windows": "windows",
    "coverage_raw": "cover before", "coverage": "cover after", "width_raw": "width before", "width": "width after",
}  # fmt: skip
_RISKS = {
    "absent": "sensors absent", "minutes": "within min", "windows": "windows", "prevalence": "prevalence",
    "mean_risk": "mean risk", "slope_before": "slope before", "slope_after": "after",
    "intercept_before": "intercept before", "intercept_after": "after", "ece_before": "ECE before",
    "ece_after": "after", "brier_before": "Brier before", "brier_after": "after",
}  # fmt: skip


def evaluate_calibration(runs: Sequence[TrainedRun], out: Path, progress: Progress | None = None) -> list[Row]:
    """Writes both tables and plots; returns the rows of the intervals. Several runs (seeds) are averaged."""
    chosen = [_some(len(run.group("test"))) for run in runs]
    names = ("risk", "hazard_logits", "pressure") + (("depth",) if runs[0].model.config.has_eeg else ())
    passes = [Pass(r.model, r.group("test"), rows, names) for r, rows in zip(runs, chosen, strict=True)]
    same_windows(passes)
    intervals, risks = [], []
    for done, (run, p) in enumerate(zip(runs, passes, strict=True)):
        intervals.append(interval_rows(p, run.conformal, run.settings.seed))
        risks.append(risk_rows(p))
        if progress:
            progress("calibration", done + 1, len(runs))
    group = passes[0].group
    kind = "simulated" if group.dataset.simulated else "recorded"
    note = study_note(runs, group, f"{len(chosen[0]):,} windows used. Intervals are meant to cover {LEVEL:.0%}.")
    rows = over_seeds(intervals, ("quantity", "missing", "age"))
    write_table(rows, _INTERVALS, out, "calibration_intervals", f"Coverage of the 80 % intervals ({kind})", note)
    words = f"{note} Before and after the temperature; windows hypotensive already are left out."
    table = over_seeds(risks, ("absent", "minutes"))
    write_table(table, _RISKS, out, "calibration_risk", f"Calibration of the risks by absent sensors ({kind})", words)
    _plot_risks(passes[0], out, f"{words} First seed.", kind)
    _plot_intervals(rows, out, note, kind)
    return rows


def _some(windows: int) -> npt.NDArray[np.intp]:
    """At most ``MOST_WINDOWS`` windows, evenly spread over patients and time."""
    return np.unique(np.linspace(0, windows - 1, min(windows, MOST_WINDOWS)).astype(np.intp))


def _plot_risks(p: Pass, out: Path, note: str, kind: str) -> None:
    label, pooled = p.label("hypotension"), pooled_risks(p)
    title = f"Reliability of the risks by number of absent sensors ({kind})"
    with plot(out, "calibration_risk", title, note, (9.0, 3.9), cols=len(HORIZONS_S)) as axes:
        for j, axis in enumerate(axes):
            axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
            for colour, (absent, (after, before, of)) in zip(COLOURS, pooled.items(), strict=False):
                known = np.isfinite(label[of, j])
                for risk, style, name in ((before, ":", None), (after, "o-", f"{absent} absent")):
                    points = reliability(risk[known, j], label[of, j][known] > 0.5)
                    axis.plot([a for a, *_ in points], [b for _, b, _ in points], style, color=colour, markersize=3,
                              linewidth=1.1, label=name)  # fmt: skip
            axis.set_xlim(0, 1)
            axis.set_ylim(0, 1)
            axis.set_xlabel("predicted risk")
            axis.set_title(f"within {HORIZONS_S[j] / 60:g} min")
        axes[0].set_ylabel("observed share (dotted: before)")
        axes[0].legend(fontsize=7, frameon=False)


def _plot_intervals(rows: Sequence[Row], out: Path, note: str, kind: str) -> None:
    with plot(
        out, "calibration_intervals", f"Coverage of the 80 % intervals ({kind})", note, (9.0, 3.9), cols=2
    ) as axes:
        for axis, fixed, along in zip(axes, ("age", "missing"), ("missing", "age"), strict=True):
            for colour, name in zip(COLOURS, ("MAP", "SBP", "DBP", "depth"), strict=False):
                here = [r for r in rows if r["quantity"] == name and r[fixed] == "all" and r[along] != "all"]
                if not here:
                    continue
                places = np.arange(len(here))
                axis.plot(places, [float(r["coverage"]) for r in here], "o-", color=colour, markersize=4, label=name)
                axis.plot(places, [float(r["coverage_raw"]) for r in here], ":", color=colour, linewidth=1)
                if len(here) > len(axis.get_xticklabels()) or name == "MAP":
                    axis.set_xticks(places, [str(r[along]) for r in here], rotation=20, fontsize=7)
            axis.axhline(LEVEL, color="#999999", linewidth=0.8)
            axis.set_ylim(0.3, 1.0)
            axis.set_xlabel("share of frames missing" if along == "missing" else "age of the last measurement")
        axes[0].set_ylabel("coverage (dotted: before)")
        axes[0].legend(fontsize=7, frameon=False)
