"""Which sensors an evaluation leaves, and one pass of predictions over a group for each such setting.

A *setting* says for each modality how long ago it was lost. Every evaluation of this package names settings and reads
the same pass, so a table by subset costs one forward pass a subset, heads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.batches.group import Group, Losses
from models.batches.predict import Outputs, predict
from models.data.missingness import NEVER
from models.imputers import Imputer
from models.physiome import PhysioME

HEADS = ("risk", "hazard_logits", "depth", "pressure", "fused")
"""What a pass keeps by default."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Sensors left: ``lost_s`` by row of the model, s since it was lost (0: measured now, inf: never measured)."""

    name: str
    lost_s: tuple[float, ...]

    @property
    def observed(self) -> tuple[int, ...]:
        """Rows measured now."""
        return tuple(i for i, age in enumerate(self.lost_s) if age == 0)

    @property
    def absent(self) -> int:
        """How many sensors are absent."""
        return len(self.lost_s) - len(self.observed)


def every_subset(rows: Sequence[str], age_s: float = NEVER, empty: bool = False) -> list[Setting]:
    """The 2^M − 1 non-empty subsets (and the empty one), the full set first, then by number of absent sensors.

    Absent sensors were lost ``age_s`` seconds ago; by default they were never measured. Names read ``ECG+PPG``.
    """
    masks = sorted(range(0 if empty else 1, 2 ** len(rows)), key=lambda mask: (-mask.bit_count(), mask))
    return [_setting(rows, mask, age_s) for mask in masks]


def _setting(rows: Sequence[str], mask: int, age_s: float) -> Setting:
    kept = [bool(mask >> i & 1) for i in range(len(rows))]
    name = "+".join(str(r) for r, k in zip(rows, kept, strict=True) if k) or "none"
    return Setting("all sensors" if all(kept) else name, tuple(0.0 if k else age_s for k in kept))


def all_sensors(rows: Sequence[str]) -> Setting:
    """The setting in which every row is measured."""
    return _setting(rows, 2 ** len(rows) - 1, NEVER)


def lost_for(rows: Sequence[str], lost: str, ages_s: Iterable[float]) -> list[Setting]:
    """One sensor lost so many seconds ago, the others measured."""
    at = [str(r) for r in rows].index(str(lost))
    return [
        Setting(f"{lost} lost {_span(age)} ago", tuple(float(age) if i == at else 0.0 for i in range(len(rows))))
        for age in ages_s
    ]


def _span(age_s: float) -> str:
    return f"{age_s / 60:g} min" if age_s >= 60 else f"{age_s:g} s"


class Pass:
    """Predictions of windows of one group, each setting made once and kept.

    rows: windows, all by default. names: outputs to keep (:data:`HEADS`; those the model lacks are left out).
    """

    def __init__(
        self, model: PhysioME, group: Group, rows: npt.NDArray[np.intp] | None = None,
        names: tuple[str, ...] = HEADS, imputer: Imputer | None = None,
    ) -> None:  # fmt: skip
        self.model, self.group, self.imputer = model, group, imputer
        self.rows = np.arange(len(group)) if rows is None else rows
        self.names = names
        self.modalities = tuple(str(m) for m in model.config.modalities)
        self._made: dict[tuple[float, ...], Outputs] = {}

    def __call__(self, setting: Setting) -> Outputs:
        """Predictions in this setting; made on the first call."""
        if setting.lost_s not in self._made:
            self._made[setting.lost_s] = self.of(self.lost(setting))
        return self._made[setting.lost_s]

    def lost(self, setting: Setting) -> Losses:
        """The windows as this setting loses them."""
        return self.group.lost(self.rows, np.tile(np.array(setting.lost_s), (len(self.rows), 1)))

    def of(self, lost: Losses) -> Outputs:
        """Predictions under any losses of these windows, not kept."""
        return predict(self.model, self.group, self.rows, lost, self.names, imputer=self.imputer)

    # what the tables need of the windows themselves

    @property
    def patient_of(self) -> npt.NDArray[np.intp]:
        """Patient of each window [W]."""
        return self.group.dataset.patient_of[self.rows]

    def label(self, name: str) -> npt.NDArray[np.floating]:
        """A label of each window [W, …]; NaN where unknown."""
        return self.group.labels[name][self.rows]
