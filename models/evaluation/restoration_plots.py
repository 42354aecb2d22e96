"""Plots of the comparison of imputers (PNG, in the style of ``report``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.evaluation.comparison import Scores, name_of, subsets
from models.evaluation.report import COLOURS, plot
from models.evaluation.restoration_tables import every_subset, token_figures
from models.evaluation.restored_waves import WaveScores
from models.signals.modalities import GRID_RATE_HZ

Row = dict[str, float | str]
SHOWN = ("hold", "ridge", "delay regression", "beat template", "memory token", "train mean", "restoration", "SelfMask")
FOR_ABSENT = {"ECG absent": "hr", "ABP absent": "map", "PPG absent": "hr", "EEG absent": "depth"}
"""The quantity that an absent modality is worth most for."""
TITLE = {"map": "MAP", "hr": "heart rate", "depth": "depth"}
_WORST, _BEST = -1.0, 1.25
_COLOUR_OF = {
    "restoration": COLOURS[1], "SelfMask": COLOURS[0], "hold": "#7a7a7a", "delay regression": "#1b1b1b",
    "ridge": COLOURS[2], "mask token": COLOURS[3], "oracle": COLOURS[4],
}  # fmt: skip


def plot_recovered(rows: Sequence[Row], when: str, folder: Path, name: str, note: str) -> None:
    """Recovered fraction by imputer with intervals, one panel an absent modality; only what is defined."""
    panels = [(case, task) for case, task in FOR_ABSENT.items() if any(r["case"] == case for r in rows)]
    if not panels:
        return
    with plot(folder, name, f"Recovered fraction, absent sensor {when}", note, (9.0, 3.6), 1, len(panels)) as axes:
        for axis, (case, task) in zip(np.ravel(axes), panels, strict=True):
            mine = {str(r["imputer"]): r for r in rows if r["case"] == case}
            shown = [x for x in SHOWN if x in mine]
            for place, imputer in enumerate(reversed(shown)):
                row = mine[imputer]
                value, lo, hi = (float(row[f"{task}_recovered{end}"]) for end in ("", "_lo", "_hi"))
                if not np.isfinite(value):
                    continue
                colour = COLOURS[1] if imputer in ("restoration", "SelfMask") else COLOURS[0]
                axis.plot([max(lo, _WORST), min(hi, _BEST)], [place, place], color=colour, linewidth=1.4)
                if value >= _WORST:
                    axis.plot([value], [place], "o", color=colour, markersize=4.5)
                else:
                    axis.annotate(f"◂ {value:.1f}", (_WORST, place), color=colour, fontsize=7, va="center")
            if not any(np.isfinite(float(mine[x][f"{task}_recovered"])) for x in shown):
                axis.text(0.5, 0.5, "not defined: oracle − mask\ntoken includes 0", transform=axis.transAxes,
                          ha="center", va="center", fontsize=8, color="#777777")  # fmt: skip
            axis.axvline(0.0, color="#999999", linewidth=0.8)
            axis.axvline(1.0, color="#999999", linewidth=0.8, linestyle=":")
            axis.set_xlim(_WORST, _BEST)
            axis.set_ylim(-0.6, len(shown) - 0.4)
            axis.set_yticks(
                range(len(shown)), list(reversed(shown)) if axis is np.ravel(axes)[0] else [""] * len(shown)
            )
            axis.set_title(f"{case}: {TITLE[task]}", fontsize=9, loc="left")
            axis.set_xlabel("0 = mask token, 1 = oracle")


def plot_gap(rows: Sequence[Row], folder: Path, name: str, note: str) -> None:
    """MAP error against the age of the loss, for every estimator, with intervals."""
    rows = [r for r in rows if np.isfinite(float(r["age_s"]))]
    names = list(dict.fromkeys(str(r["estimator"]) for r in rows))
    order = [
        x
        for x in ("hold", "delay regression", "ridge", "mask token", "oracle", "restoration", "SelfMask")
        if x in names
    ]
    with plot(folder, name, "Error of mean pressure after the pressure line was lost", note, (7.6, 4.4)) as axis:
        for estimator in order:
            colour = _COLOUR_OF[estimator]
            mine = sorted((r for r in rows if r["estimator"] == estimator), key=lambda r: float(r["age_s"]))
            age = [float(r["age_s"]) for r in mine]
            ours = estimator in ("restoration", "SelfMask")
            axis.plot(age, [float(r["map"]) for r in mine], "-o" if ours else "--o", color=colour, label=estimator,
                      linewidth=1.8 if ours else 1.1, markersize=3.5)  # fmt: skip
            axis.fill_between(age, [float(r["map_lo"]) for r in mine], [float(r["map_hi"]) for r in mine],
                              color=colour, alpha=0.10, linewidth=0)  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(
            [1, 3, 10, 30, 60, 120, 300, 600], ["1 s", "3 s", "10 s", "30 s", "1 min", "2 min", "5 min", "10 min"]
        )
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("time since ABP was last measured")
        axis.set_ylabel("mean absolute error of MAP (mmHg)")
        axis.legend(fontsize=8, frameon=False, ncols=2)


def plot_heat_map(scores: Sequence[Scores], folder: Path, name: str, note: str) -> None:
    """Token R² of every observed subset (rows) and imputer (columns)."""
    modalities = scores[0].modalities
    groups = every_subset(modalities)
    labels = [name_of(s, modalities) for s in sorted(subsets(len(modalities)), key=lambda s: (-s.bit_count(), s))]
    labels = [x for x in labels if groups[x][1]]
    imputers = [x for x in scores[0].imputers if x not in ("mask token", "oracle")]
    values = np.array([[token_figures(scores, *groups[x], i)[0].estimate for i in imputers] for x in labels])
    with plot(folder, name, f"Token R² by observed sensors, absent ones {scores[0].regime}", note, (8.6, 5.2)) as axis:
        axis.grid(False)
        axis.imshow(np.clip(values, -1, 1), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                axis.text(j, i, f"{value:.2f}" if value > -10 else "< −10", ha="center", va="center", fontsize=7,
                          color="white" if abs(value) > 0.65 else "#222222")  # fmt: skip
        axis.set_xticks(range(len(imputers)), imputers, rotation=30, ha="right")
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylabel("observed")


def plot_waves(scores: WaveScores, folder: Path, name: str, note: str, seconds: int = 8) -> None:
    """The newest seconds of restored pressure beside the truth, for four patients."""
    rate_hz = GRID_RATE_HZ
    truth = scores.examples.get("truth")
    if truth is None or not len(truth):
        return
    drawn = [x for x in ("restoration, 180 s", "SelfMask, 180 s", "beat template, 180 s") if x in scores.examples]
    count = min(4, len(truth))
    with plot(folder, name, "Restored arterial pressure, lost three minutes ago", note, (9.0, 5.0), 2, 2) as axes:
        for i, axis in enumerate(np.ravel(axes)):
            if i >= count:
                axis.set_axis_off()
                continue
            span = slice(-seconds * rate_hz, None)
            t = np.arange(-seconds * rate_hz, 0) / rate_hz
            axis.plot(t, truth[i][span], color="#bbbbbb", linewidth=2.4, label="measured (hidden)")
            for colour, label in zip(COLOURS, drawn, strict=False):
                axis.plot(t, scores.examples[label][i][span], color=colour, linewidth=1.0, label=label.split(",")[0])
            axis.set_ylabel("mmHg")
            if i == 0:
                axis.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
                low, high = axis.get_ylim()
                axis.set_ylim(low, high + 0.3 * (high - low))
            if i >= 2:
                axis.set_xlabel("seconds before now")
