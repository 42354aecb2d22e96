"""The risk head to convergence, everything else frozen: what it reads is computed once, so a step takes a millisecond.

The head sees the window through a few numbers that carry no gradient (``risk_hints`` of the bedside's heads). Beside
the other heads it gets a few thousand small batches, which leaves it far from converged; here it gets as many large
ones as it needs, decays strongly (the few hundred training patients are easily learnt by heart), and stops early on
patients of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models import objectives
from models.batches.batch import TRAINING
from models.batches.chance import device_of, quiet_random, step_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.physiome import PhysioME

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import RiskConfig

_BATCH = 128


class RiskStage:
    """Trains ``model.hypotension`` but for its temperature, on hints of ``settings.draws`` losses a window."""

    name = "risk"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: RiskConfig, seed: int = 0,
        plan: LossPlan = TRAINING,
    ) -> None:  # fmt: skip
        model.requires_grad_(False).eval()
        self.model, self.module = model, model.hypotension.requires_grad_(True)
        for fitted_later in model.hypotension.fitted_later:
            fitted_later.requires_grad_(False)
        self.settings, self.seed, self._train = settings, seed, train
        device = device_of(model)
        self._rows, stopping = labelled(train), labelled(stop)
        self._place = np.full(len(train), -1)
        self._place[self._rows] = np.arange(len(self._rows))
        drawn = [hints(model, train, self._rows, plan, seed, k) for k in range(settings.draws)]
        self._hints = torch.cat(drawn).to(device)
        self._labels, self._weights = (
            torch.from_numpy(np.asarray(values[self._rows], np.float32)).to(device).repeat(settings.draws, 1)
            for values in (train.labels["hypotension"], train.bootstrap[train.dataset.patient_of])
        )
        self._stop_hints = hints(model, stop, stopping, plan, seed, 0).to(device)
        self._stop_labels = torch.from_numpy(np.asarray(stop.labels["hypotension"][stopping], np.float32)).to(device)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Hazard loss over hints drawn for ``step``."""
        random = step_random(self.seed, self.name, step)
        size, windows = self.settings.batch, len(self._rows)
        at = self._place[self._train.draw_rows(random.numpy, size, self._rows)]
        drawn = at + windows * random.numpy.integers(0, self.settings.draws, size)
        rows = torch.from_numpy(drawn).to(self._hints.device)
        logits = self.module.logits(self._hints[rows])
        return {"hypotension": objectives.hazard_loss(logits, self._labels[rows], self._weights[rows])}

    def score(self) -> dict[str, float]:
        """Hazard loss over all hints of the early-stopping patients."""
        logits = self.module.logits(self._stop_hints)
        each = torch.ones(logits.shape[:2], device=logits.device)
        return {"score": float(objectives.hazard_loss(logits, self._stop_labels, each))}


def labelled(group: Group) -> npt.NDArray[np.intp]:
    """Windows whose future is known at any horizon: a short recording has few of them. All, where it is of none, which
    teach nothing."""
    known = np.isfinite(np.asarray(group.labels["hypotension"], np.float32)).any(1)
    return np.flatnonzero(known) if known.any() else np.arange(len(group))


@torch.no_grad()
def hints(
    model: PhysioME, group: Group, rows: npt.NDArray[np.intp], plan: LossPlan, seed: int, draw: int
) -> Tensor:  # fmt: skip
    """What the risk head reads of the windows ``rows`` [W, F] under one draw of losses, on the CPU."""
    lost = group.draw(quiet_random(seed, "risk hints", draw).numpy, rows, plan)
    parts: list[Tensor] = []
    for first in range(0, len(rows), _BATCH):
        here = slice(first, first + _BATCH)
        batch = group.batch(rows[here], lost.part(here), 0).to(device_of(model))
        memory = recall(model, batch)
        out = model(
            batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=0, memory=memory
        )  # fmt: skip
        parts.append(out["risk_hints"].cpu())
    return torch.cat(parts)
