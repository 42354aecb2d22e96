"""How results are written: tables as Markdown and CSV, plots as PNG, in one quiet style, each saying what it is of.

A table is a list of rows, a row a plain dictionary. The CSV holds every key at full precision; the Markdown shows the
chosen columns, rounded. Every table and every plot carries a caption with the number of windows, patients and seeds,
and the word *simulated* where the patients are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, float | str]
Rows = Sequence[Row]

COLOURS = ("#20639b", "#d1495b", "#3caea3", "#edae49", "#6b5b95", "#7a7a7a", "#8d5524", "#1b1b1b")
"""Distinct also in grey and for most colour-blind readers; the order is the order of series."""
INTERVAL = "95 % interval: bootstrap over patients."


def cell(value: float | str | None) -> str:
    """A table cell: a dash where there is no number, integers with separators, three digits below 1.5."""
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    if isinstance(value, str):
        return value.replace("|", r"\|")
    if isinstance(value, int | np.integer) or (float(value).is_integer() and abs(value) >= 2):
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1.5 else f"{value:.1f}"


def markdown(rows: Rows, columns: Mapping[str, str]) -> str:
    """A Markdown table of ``columns`` (key -> heading)."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(key)) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def caption(windows: int, patients: int, seeds: Sequence[int] | int, simulated: bool, said: str = "") -> str:
    """The line under a table or plot. seeds: how many, or which; simulated: the patients are."""
    count = seeds if isinstance(seeds, int) else len(seeds)
    named = "" if isinstance(seeds, int) else f" ({', '.join(str(s) for s in seeds)})"
    kind = "Simulated patients" if simulated else "Recorded patients"
    line = f"{kind}: {patients:,}; {windows:,} windows; {count} seed{'' if count == 1 else 's'}{named}."
    return f"{line} {said}".strip()


def write_table(
    rows: Rows, columns: Mapping[str, str], folder: Path, name: str, title: str, note: str
) -> tuple[Path, Path]:
    """Writes ``folder/name.md`` and ``folder/name.csv`` and returns both paths.

    columns: key -> heading of what the Markdown shows, in order. note: the caption (:func:`caption`); a table without
    one does not say what it is of, which raises ValueError, and so do columns that no row has.
    """
    if not note:
        raise ValueError(f"table {name} needs a note that says what it is of")
    unknown = [key for key in columns if rows and not any(key in row for row in rows)]
    if unknown:
        raise ValueError(f"table {name}: no row has {', '.join(unknown)}")
    folder.mkdir(parents=True, exist_ok=True)
    body = markdown(rows, columns) if rows else "No rows: nothing of this kind was in the data."
    page = folder / f"{name}.md"
    page.write_text(f"# {title}\n\n{note}\n\n{body}\n", encoding="utf-8")
    keys = list(dict.fromkeys(key for row in rows for key in row)) or list(columns)
    sheet = folder / f"{name}.csv"
    with sheet.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, keys, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return page, sheet


def over_seeds(rows_by_seed: Sequence[Rows], keys: Sequence[str]) -> list[dict[str, float | str]]:
    """Rows of several seeds that agree in ``keys``, as one: the mean of every number, and its SD over seeds as
    ``{name}_sd`` where there are at least two. Order of first appearance; ``seeds`` counts them."""
    grouped: dict[tuple[float | str, ...], list[Row]] = {}
    for rows in rows_by_seed:
        for row in rows:
            grouped.setdefault(tuple(row.get(key, "") for key in keys), []).append(row)
    return [_mean_row(group, keys) for group in grouped.values()]


def _mean_row(group: Rows, keys: Sequence[str]) -> dict[str, float | str]:
    out: dict[str, float | str] = {}
    for name in dict.fromkeys(name for row in group for name in row):
        values = [row[name] for row in group if name in row]
        if name in keys or any(isinstance(v, str) for v in values):
            out[name] = values[0]
            continue
        numbers = np.array(values, np.float64)
        numbers = numbers[np.isfinite(numbers)]
        out[name] = float(numbers.mean()) if len(numbers) else float("nan")
        if len(group) > 1:
            out[f"{name}_sd"] = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    out["seeds"] = len(group)
    return out


@contextmanager
def plot(
    folder: Path, name: str, title: str, note: str, size: tuple[float, float] = (7.2, 4.2), rows: int = 1, cols: int = 1
) -> Iterator[Any]:
    """Axes (one, or an array of ``rows`` × ``cols``) to draw on; ``folder/name.png`` is written at the end.

    ``note`` is printed small below, so that a picture that is passed on alone still says what it is of.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not note:
        raise ValueError(f"plot {name} needs a note that says what it is of")
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, cols)
    for axis in np.ravel(axes):
        _quiet(axis)
    figure.suptitle(title, fontsize=11, x=0.02, ha="left", fontweight="bold")
    figure.supxlabel(_wrapped(note, round(size[0] * 17)), fontsize=7, color="#555555", x=0.02, ha="left")
    with rc_context({"axes.titlesize": 9, "axes.labelsize": 9}):
        yield axes
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png")


def _quiet(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#999999")
    axis.tick_params(colors="#444444", labelsize=8)
    axis.grid(True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.xaxis.label.set_size(9)
    axis.yaxis.label.set_size(9)


def _wrapped(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text, width)
