"""What a model says of the windows of a group under losses: what calibration fits and evaluation scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.batches.group import Group, Losses
from models.batches.recall import recall
from models.imputers import Imputer
from models.physiome import PhysioME
from models.signals.windows import CONTEXT_FIELDS

_AGE = CONTEXT_FIELDS.index("age_s")

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a group's windows gave: arrays by output name, with the losses they were drawn under."""

    rows: npt.NDArray[np.intp]
    lost: Losses
    values: dict[str, Floats]

    @property
    def missing(self) -> Floats:
        """Share of absent frames."""
        share: Floats = 1.0 - self.lost.presence.mean((1, 2))
        return share

    def age(self, row: int) -> Floats:
        """Age of a modality's last measurement in s; NaN: never."""
        return self.lost.context[:, row, _AGE]


@torch.no_grad()
def predict(
    model: PhysioME, group: Group, rows: npt.NDArray[np.intp], lost: Losses, names: tuple[str, ...], batch: int = 64,
    imputer: Imputer | None = None,
) -> Outputs:  # fmt: skip
    """Runs the model over windows; ``names`` of outputs to keep. Signals are read and waves decoded only if a wave is
    asked for. ``imputer`` replaces the model's own."""
    model.eval()
    waves = None if any(name.endswith("_wave") for name in names) else 0
    device = next(model.parameters()).device
    kept: dict[str, list[Floats]] = {name: [] for name in names}
    for first in range(0, len(rows), batch):
        part = slice(first, first + batch)
        data = group.batch(rows[part], lost.part(part), waves).to(device)
        out = model(data.signals, data.presence, data.context, data.features, imputer, waves, recall(model, data))
        for name in names:
            kept[name].append(out[name].cpu().numpy())
    return Outputs(rows, lost, {name: np.concatenate(values) for name, values in kept.items()})
