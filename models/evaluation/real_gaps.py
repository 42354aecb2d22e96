"""Pressure of a real recording that was withheld and estimated: agreement, trends and coverage, by length of the gap.

Plain numpy. One recording is one patient: intervals over patients cannot be given, and the *gaps* are the repeated
measures (each has its own anchor), so Bland–Altman's variance between is that between gaps. Nothing is tuned on such a
recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.evaluation.pressure_agreement import bland_altman, four_quadrant
from models.evaluation.report import COLOURS, plot

PRESSURES = ("map", "sbp", "dbp")
TITLES = {"map": "MAP", "sbp": "SBP", "dbp": "DBP"}
METHODS = ("hold", "delay regression", "model")
TREND_STEP_S = 60.0

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


@dataclass
class HiddenSeconds:
    """Hidden seconds of gaps of one length. Pressures are MAP, SBP, DBP in mmHg, NaN where unknown."""

    gap_s: float
    gaps: int = 0
    refused: int = 0  # seconds for which the model gave no estimate
    gap: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    since_s: list[float] = field(default_factory=list)
    truth: list[Sequence[float]] = field(default_factory=list)
    estimates: dict[str, list[Sequence[float]]] = field(default_factory=lambda: {m: [] for m in METHODS})
    bounds: list[Sequence[tuple[float, float]]] = field(default_factory=list)

    def add(
        self, gap: int, time_s: float, since_s: float, truth: Sequence[float], estimates: dict[str, Sequence[float]],
        bounds: Sequence[tuple[float, float]],
    ) -> None:  # fmt: skip
        """One hidden second. ``bounds``: 10 and 90 % of the model's MAP, SBP, DBP."""
        self.gap.append(gap)
        self.time_s.append(time_s)
        self.since_s.append(since_s)
        self.truth.append(truth)
        self.bounds.append(bounds)
        for name, values in estimates.items():
            self.estimates[name].append(values)

    def pair(self, method: str, pressure: str) -> tuple[Floats, Floats]:
        """Estimate and truth [n]."""
        column = PRESSURES.index(pressure)
        table = np.asarray(self.estimates[method], np.float64).reshape(-1, 3)
        return table[:, column], np.asarray(self.truth, np.float64).reshape(-1, 3)[:, column]

    def covered(self, pressure: str) -> float:
        """Share of known truths within the model's 10 to 90 % interval."""
        column = PRESSURES.index(pressure)
        _, truth = self.pair("model", pressure)
        bounds = np.asarray(self.bounds, np.float64).reshape(-1, 3, 2)[:, column]
        known = np.isfinite(truth) & np.isfinite(bounds).all(1)
        inside = (truth >= bounds[:, 0]) & (truth <= bounds[:, 1])
        return float(inside[known].mean()) if known.any() else float("nan")


def agreement_rows(hidden: Sequence[HiddenSeconds]) -> list[Row]:
    """A row a gap length, pressure and method: bias ± SD, limits of agreement over repeated gaps, MAE, coverage."""
    rows: list[Row] = []
    for part in hidden:
        for pressure in PRESSURES:
            for method in METHODS:
                estimate, truth = part.pair(method, pressure)
                found = bland_altman(estimate, truth, part.gap)
                late = np.asarray(part.since_s) > part.gap_s - 10
                last = np.abs(estimate - truth)[late]
                rows.append({
                    "gap_s": part.gap_s, "pressure": TITLES[pressure], "method": method, "gaps": part.gaps,
                    "seconds": float(found.pairs), "bias": found.bias, "sd": found.sd, "lower": found.lower,
                    "upper": found.upper, "mae": found.mae, "rmse": found.rmse,
                    "mae_last_10_s": float(np.nanmean(last)) if np.isfinite(last).any() else float("nan"),
                    "covered_80": part.covered(pressure) if method == "model" else float("nan"),
                    "seconds_refused": float(part.refused),
                })  # fmt: skip
    return rows


def trend_rows(hidden: Sequence[HiddenSeconds]) -> list[Row]:
    """A row a gap length and method: four-quadrant concordance of changes of MAP over a minute; gaps under two minutes
    hold no two such changes and are left out."""
    rows: list[Row] = []
    for part in hidden:
        if part.gap_s < 2 * TREND_STEP_S:
            continue
        for method in METHODS:
            estimate, truth = part.pair(method, "map")
            found = four_quadrant(estimate, truth, part.gap, np.asarray(part.time_s), TREND_STEP_S)
            row: Row = {"gap_s": part.gap_s, "method": method}
            row.update({k: float(v) for k, v in found.as_row().items()})
            rows.append(row)
    return rows


def plot_agreement(
    estimate: Floats, reference: Floats, bias: float, limits: tuple[float, float], folder: Path, name: str,
    title: str, note: str,
) -> None:  # fmt: skip
    """Bland–Altman: difference against mean, with bias and 95 % limits."""
    with plot(folder, name, title, note, (6.4, 4.2)) as axis:
        axis.plot((estimate + reference) / 2, estimate - reference, ".", color=COLOURS[0], markersize=3, alpha=0.35)
        for level, style, words in ((bias, "-", "bias"), (limits[0], "--", "−1.96 SD"), (limits[1], "--", "+1.96 SD")):
            if np.isfinite(level):
                axis.axhline(level, color=COLOURS[1], linestyle=style, linewidth=1.1)
                axis.annotate(f"{words} {level:+.1f}", (1.0, level), xycoords=("axes fraction", "data"), fontsize=7.5,
                              ha="right", va="bottom", color=COLOURS[1])  # fmt: skip
        axis.axhline(0.0, color="#999999", linewidth=0.7)
        axis.set_xlabel("mean of estimate and measurement (mmHg)")
        axis.set_ylabel("estimate − measurement (mmHg)")
