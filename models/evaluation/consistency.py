"""Does the representation of a window stay where it is when sensors go? Missing-modality consistency, measured.

Distances are in units of the typical distance between windows of different patients, so 0 is unmoved and 1 is as far as
a stranger. Beside it, how often the window's own full representation is the nearest of all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import additive_bootstrap
from models.evaluation.settings import Pass, all_sensors, every_subset

_RETRIEVED = 600

Floats = npt.NDArray[np.float64]
Row = dict[str, float | str]


def between_patients(fused: Floats, patient_of: npt.NDArray[np.intp]) -> float:
    """Mean squared distance between windows of different patients; NaN with one patient.

    From sums: Σ‖a − b‖² over all pairs is n Σ‖a‖² − ‖Σa‖² (each pair once), less the same within patients.
    """

    def pairs(x: Floats) -> tuple[float, float]:
        n = len(x)
        return n * float((x * x).sum()) - float((x.sum(0) ** 2).sum()), n * (n - 1) / 2

    centred = fused.astype(np.float64) - fused.mean(0)
    total, number = pairs(centred)
    for patient in np.unique(patient_of):
        part, some = pairs(centred[patient_of == patient])
        total, number = total - part, number - some
    return total / number if number else float("nan")


def consistency_rows(p: Pass) -> list[Row]:
    """One row a subset of sensors, the full set left out; others never measured."""
    full = p(all_sensors(p.modalities)).values["fused"].astype(np.float64)
    unit = between_patients(full, p.patient_of)
    some = np.unique(np.linspace(0, len(full) - 1, min(len(full), _RETRIEVED)).astype(np.intp))
    rows: list[Row] = []
    for setting in every_subset(p.modalities, empty=True)[1:]:
        fused = p(setting).values["fused"].astype(np.float64)
        moved = ((fused - full) ** 2).sum(1) / unit
        found = additive_bootstrap(p.patient_of, np.stack([moved, np.ones_like(moved)], 1), _root_mean)
        estimate, low, high = (float(v[0]) for v in found)
        rows.append({
            "setting": setting.name, "absent": setting.absent, "windows": len(full), "distance": estimate,
            "distance_lo": low, "distance_hi": high, "retrieved": retrieved(fused[some], full[some]),
        })  # fmt: skip
    return rows


def _root_mean(sums: Floats) -> Floats:
    return np.sqrt(sums[:, 0] / sums[:, 1])


def retrieved(left: Floats, right: Floats) -> float:
    """Share of rows of ``left`` [n, d] whose nearest row of ``right`` is their own."""
    squared = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2.0 * left @ right.T
    return float(np.mean(squared.argmin(1) == np.arange(len(left))))
