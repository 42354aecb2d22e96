"""The heads again, everything else frozen: what a comparison of imputers needs, where one head serves them all.

On complete windows the head learns what the representation says when nothing is missing; with losses it is refitted to
the model's imputer. ``pool`` trains the pooling of pass 2 as well; its transformer is that of pass 1 too, which the
imputers read: to move it here would spoil what they have learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.batches.batch import TRAINING, Batch, fixed_batches, mean_losses, step_batches
from models.batches.chance import device_of, step_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.imputers import Imputer, MaskTokenImputer
from models.networks.bedside import BedsideHeads
from models.physiome import PhysioME
from models.training.losses import WEIGHTS, head_losses, weigh

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import HeadsConfig

COMPLETE = LossPlan(complete=1.0, subset=0.0, recent=0.0, ragged=0.0)
_STOP_WINDOWS = 1024


class HeadsStage:
    """Trains ``model.heads`` but for the waves and the temperature, on top of the model's own imputer."""

    name = "heads"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: HeadsConfig, seed: int = 0
    ) -> None:  # fmt: skip
        model.requires_grad_(False).eval()
        heads: nn.Module = model.heads.requires_grad_(True)
        self.model = model
        self.module = nn.ModuleDict({"heads": heads})
        if settings.pool:
            self.module["pool"] = model.pool.requires_grad_(True)
        if isinstance(model.heads, BedsideHeads):
            model.waves.requires_grad_(False)
            for fitted_later in model.hypotension.fitted_later:
                fitted_later.requires_grad_(False)
        self._stop, self.settings = stop, settings
        self.plan, self.seed = COMPLETE if settings.complete else TRAINING, seed
        self._batches = step_batches(train, self.plan, settings.batch, seed, self.name, device_of(model))

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the heads over the batch of ``step``."""
        random = step_random(self.seed, self.name, step)
        plain = random.numpy.random() < self.settings.plain_share
        return self.objective(self._batches(step), MaskTokenImputer() if plain else None)

    def score(self) -> dict[str, float]:
        """Mean losses over fixed batches; ``score`` is their sum."""
        batches = fixed_batches(self._stop, self.plan, self.seed, _STOP_WINDOWS, 64, device_of(self.model))
        found = mean_losses(batches, lambda batch, _: self.objective(batch))
        return {"score": sum(found.values())} | found

    def objective(self, batch: Batch, imputer: Imputer | None = None) -> dict[str, Tensor]:
        """Weighted losses of the heads, as in the main stage; ``imputer`` None is the model's own."""
        out = self.model(
            batch.signals, batch.presence, batch.context, features=batch.features, imputer=imputer, wave_rows=0,
            memory=recall(self.model, batch),
        )  # fmt: skip
        return weigh(head_losses(self.model, batch, out), WEIGHTS)
