"""Head of the sleep model: five stages of a 30-s epoch."""

from __future__ import annotations

from torch import Tensor, nn

SLEEP_STAGES = ("W", "N1", "N2", "N3", "REM")
"""Classes in order (AASM; stages 3 and 4 of Rechtschaffen & Kales are N3)."""


class SleepHead(nn.Module):
    """Fused representation -> logits of :data:`SLEEP_STAGES`. One linear map: what it reads must already be there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stages = nn.Linear(width, len(SLEEP_STAGES))

    def forward(self, fused: Tensor) -> dict[str, Tensor]:
        """[B, d] -> ``stage_logits`` [B, 5]."""
        return {"stage_logits": self.stages(fused)}
