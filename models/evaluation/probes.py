"""Linear probes under simulator sweeps: what is known of a factor, and does it move when only others do?

A ridge regression reads one factor (heart rate, transit time, QT, spectral edge, MAP) from a representation, fitted on
all subjects of that factor's sweep but one and tested on that one. *Leak* is how much the reading moves when another
factor is swept instead, relative to its movement under its own sweep: 0 for an invariant reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.data.sweeps import Sweep, sweep
from models.evaluation.linear import ridge
from models.physiome import PhysioME
from models.progress import Progress
from models.signals.windows import CONTEXT_FIELDS

VALUES: dict[str, tuple[float, ...]] = {
    "hr": (50.0, 70.0, 90.0, 110.0),
    "ptt": (0.14, 0.18, 0.22, 0.26),
    "qt": (0.36, 0.40, 0.44, 0.48),
    "sef": (20.0, 32.0, 44.0, 56.0),
    "map": (60.0, 75.0, 90.0, 105.0),
}
RIDGE = 10.0
LOST_S = 300.0
_BATCH = 48
_AGE = CONTEXT_FIELDS.index("age_s")

Floats = npt.NDArray[np.floating]
Row = dict[str, float | str]


def make_sweeps(model: PhysioME, seed: int, subjects: int = 6, progress: Progress | None = None) -> dict[str, Sweep]:
    """The sweeps of all factors, one simulation a subject and value."""
    found = {}
    for done, (factor, values) in enumerate(VALUES.items()):
        found[factor] = sweep(factor, values, model.config.window_spec, seed, subjects, 2)
        if progress:
            progress("sweeps", done + 1, len(VALUES))
    return found


@torch.no_grad()
def representations(model: PhysioME, windows: Sweep) -> dict[str, Floats]:
    """Of each window [W, d]: ``fused``; mean token of each sensor, ``ECG`` …; and its restored one where that sensor
    was lost five minutes ago and the others are measured, ``ECG restored`` …; nothing is remembered of it (a sweep has
    no past), so what these tokens tell comes from the other sensors."""
    model.eval()
    device = next(model.parameters()).device
    given = windows.windows
    names = [str(m) for m in model.config.modalities]
    kept: dict[str, list[Floats]] = {}

    def keep(name: str, value: torch.Tensor) -> None:
        kept.setdefault(name, []).append(value.cpu().numpy().astype(np.float64))

    for first in range(0, len(given.values), _BATCH):
        part = slice(first, first + _BATCH)
        signals, presence, context = (
            torch.from_numpy(x[part]).to(device) for x in (given.signals, given.presence, given.context)
        )
        features = model.frame_features(model.scaling(signals, presence, context)[0])
        out = model(signals, presence, context, features, None, 0)
        keep("fused", out["fused"])
        for m, name in enumerate(names):
            keep(name, out["tokens"][:, m].mean(1))
            seen, aged = presence.clone(), context.clone()
            seen[:, m], aged[:, m, _AGE] = False, LOST_S
            keep(f"{name} restored", model(signals, seen, aged, features, None, 0)["restored_tokens"][:, m].mean(1))
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def left_out(
    x: Floats, y: Floats, subject: npt.NDArray[np.intp], others: Mapping[str, tuple[Floats, npt.NDArray[np.intp]]]
) -> tuple[Floats, dict[str, Floats]]:
    """Readings of every subject by the probe of the others: of the own sweep [n], and of other sweeps ``name -> [n']``.

    others: the same representation in other sweeps, with the subject of each window (the same subjects)."""
    own = np.full(len(y), np.nan)
    moved = {name: np.full(len(z), np.nan) for name, (z, _) in others.items()}
    for one in np.unique(subject):
        weights, intercept = ridge(x[subject != one], y[subject != one], RIDGE / (subject != one).sum())
        own[subject == one] = x[subject == one] @ weights + intercept
        for name, (z, who) in others.items():
            moved[name][who == one] = z[who == one] @ weights + intercept
    return own, moved


def movement(read: Floats, setting: Floats, subject: npt.NDArray[np.intp]) -> float:
    """SD of the reading over the values of a sweep, within subjects, root mean square over these."""
    spread = []
    for one in np.unique(subject):
        mine = subject == one
        spread.append(np.var([read[mine & (setting == v)].mean() for v in np.unique(setting[mine])]))
    return float(np.sqrt(np.mean(spread)))


def probe_rows(model: PhysioME, sweeps: Mapping[str, Sweep]) -> list[Row]:
    """One row a factor and representation: R², MAE, and the leak from each other factor."""
    found = {factor: representations(model, s) for factor, s in sweeps.items()}
    rows: list[Row] = []
    for factor, s in sweeps.items():
        truth = s.windows.values
        for name, x in found[factor].items():
            others = {g: (found[g][name], sweeps[g].subject) for g in sweeps if g != factor}
            read, moved = left_out(x, truth, s.subject, others)
            own = movement(read, s.setting, s.subject)
            row: Row = {
                "factor": factor, "representation": name, "windows": len(truth),
                "r2": 1.0 - float(((read - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()),
                "mae": float(np.abs(read - truth).mean()), "sd": float(truth.std()),
            }  # fmt: skip
            for g, values in moved.items():
                row[f"leak_{g}"] = movement(values, sweeps[g].setting, sweeps[g].subject) / own if own else float("nan")
            rows.append(row)
    return rows


def shown_factors(rows: Sequence[Row]) -> list[str]:
    """Factors of the rows, each once, in their order."""
    return list(dict.fromkeys(str(row["factor"]) for row in rows))
