"""The wave stage: everything else frozen, the decoders of restored waves learn to draw what the sensors lost.

A stage of its own, since a wave's loss is orders of magnitude larger in numbers than a head's, and since nothing of it
should bend the representation. The newest two seconds count four times: only the newest second is ever shown, and it
lacks the future that the others have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from models.batches.batch import TRAINING, Batch, fixed_batches, mean_losses, step_batches
from models.batches.chance import device_of, step_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.imputers import Imputer, MaskTokenImputer
from models.physiome import PhysioME
from models.training.losses import WEIGHTS, wave_losses, weigh

if TYPE_CHECKING:
    from models.batches.group import Group
    from models.training.config import WaveConfig

_STOP_WINDOWS = 384


class WaveStage:
    """Trains ``model.waves`` alone."""

    name = "waves"

    def __init__(
        self, model: PhysioME, train: Group, stop: Group, settings: WaveConfig, seed: int = 0,
        plan: LossPlan = TRAINING,
    ) -> None:  # fmt: skip
        model.requires_grad_(False).eval()
        self.model, self.module = model, model.waves.requires_grad_(True)
        self._stop, self.settings, self.seed, self.plan = stop, settings, seed, plan
        size = settings.batch
        self._batches = step_batches(train, plan, size, seed, self.name, device_of(model), signal_rows=size)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of the waves over the batch of ``step``."""
        random = step_random(self.seed, self.name, step)  # what hides the shape of sources now and then
        plain = random.numpy.random() < self.settings.plain_share
        return self.objective(self._batches(step), MaskTokenImputer() if plain else None)

    def score(self) -> dict[str, float]:
        """Mean losses over fixed batches; ``score`` is their sum."""
        device, size = device_of(self.model), self.settings.batch
        batches = fixed_batches(self._stop, self.plan, self.seed, _STOP_WINDOWS, size, device, signal_rows=size)
        found = mean_losses(batches, lambda batch, _: self.objective(batch))
        return {"score": sum(found.values())} | found

    def objective(self, batch: Batch, imputer: Imputer | None = None) -> dict[str, Tensor]:
        """Weighted losses of the waves of one batch; ``imputer`` None is the model's own."""
        memory = recall(self.model, batch)
        out = self.model(
            batch.signals, batch.presence, batch.context, features=batch.features, imputer=imputer, memory=memory
        )  # fmt: skip
        return weigh(wave_losses(self.model, batch, out, len(batch.presence)), WEIGHTS)
