"""What the mean pressure does in an operation, in numbers that a simulator can be held against.

Everything is of hours: a longer recording is cut into hours, since a spread or an autocorrelation within three hours is
not that within one. An hour counts with 45 known minutes or more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.data.labels import HYPOTENSION_MMHG

HOUR_MIN, LEAST_MIN = 60, 45
LAGS_MIN = (1, 5, 10)
BEFORE_MIN = 5
HEADER = ["people", "hours", "MAP, mmHg", "SD", "SD of hours' means", "SD within", "|change| a minute", *(
    f"autocorrelation {lag} min" for lag in LAGS_MIN), "minutes below 65", "runs an hour", "their length, min",
    "fall in the 5 min before, mmHg", "MAP a minute before"]  # fmt: skip

Floats = npt.NDArray[np.float64]


def facts(title: str, people: Sequence[Floats]) -> list[object]:
    """A row of :data:`HEADER` from minutes of people, each [T] in mmHg, NaN where unknown. Ranges are quartiles; a run
    is of minutes below 65 mmHg, one or more."""
    hours = [h for h in hours_of(people) if np.isfinite(h).sum() >= LEAST_MIN]
    if not hours:
        return [title, 0, *[None] * (len(HEADER) - 2)]
    known = np.concatenate([h[np.isfinite(h)] for h in hours])
    found = [run for h in hours for run in runs(h)]
    before = [(h, a) for h, a in _onsets(hours) if (h[a - BEFORE_MIN - 1 : a] >= HYPOTENSION_MMHG).all()]
    change = np.concatenate([np.abs(np.diff(h)) for h in hours])
    return [
        title, len(hours), f"{known.mean():.1f}", f"{known.std():.1f}", f"{np.std([np.nanmean(h) for h in hours]):.1f}",
        quartiles([float(np.nanstd(h)) for h in hours]), f"{np.nanmean(change):.1f}",
        *(f"{autocorrelation(hours, lag):.2f}" for lag in LAGS_MIN),
        f"{np.mean(known < HYPOTENSION_MMHG):.3f}", f"{len(found) / (len(known) / 60):.2f}",
        quartiles([float(b - a) for a, b in found], 0),
        quartiles([float(h[a - BEFORE_MIN - 1] - h[a]) for h, a in before]),
        quartiles([float(h[a - 1]) for h, a in before]),
    ]  # fmt: skip


def hours_of(people: Sequence[Floats]) -> list[Floats]:
    """Whole hours, one after the other; what is left is left out."""
    return [m[k : k + HOUR_MIN] for m in people for k in range(0, len(m) - HOUR_MIN + 1, HOUR_MIN)]


def runs(mean: Floats) -> list[tuple[int, int]]:
    """[first, after) of the stretches below 65 mmHg; an unknown minute ends one."""
    low = np.concatenate([[False], mean < HYPOTENSION_MMHG, [False]]).astype(np.int8)
    edge = np.flatnonzero(np.diff(low))
    return [(int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def autocorrelation(hours: Sequence[Floats], lag: int) -> float:
    """Of what is left of each hour without its mean, all hours together."""
    product = power = 0.0
    for hour in hours:
        rest = hour - np.nanmean(hour)
        a, b = rest[:-lag], rest[lag:]
        both = np.isfinite(a) & np.isfinite(b)
        product += float((a[both] * b[both]).sum())
        power += float(0.5 * (a[both] ** 2 + b[both] ** 2).sum())
    return product / power if power else float("nan")


def quartiles(values: Sequence[float], digits: int = 1) -> str:
    """Median and quartiles."""
    if not values:
        return "–"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _onsets(hours: Sequence[Floats]) -> list[tuple[Floats, int]]:
    return [(h, a) for h in hours for a, _ in runs(h) if a > BEFORE_MIN]
