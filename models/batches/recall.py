"""The token memory of a batch, as the engine would have it: the donors' tokens, encoded by the model as it is now."""

from __future__ import annotations

import torch
from torch import Tensor

from models.batches.batch import Batch
from models.physiome import PhysioME


@torch.no_grad()
def recall(model: PhysioME, batch: Batch) -> Tensor | None:
    """Mean token [B, M, d] of each modality in its donor window (``models.data.donors``), NaN where there is none.

    None for a model without memory, so that every pass may ask for it.
    """
    if model.memory is None:
        return None
    mean = model.encode(batch.donors, torch.ones_like(batch.known)).mean(2)
    return torch.where(batch.remembered.unsqueeze(-1), mean, torch.full_like(mean, float("nan")))
