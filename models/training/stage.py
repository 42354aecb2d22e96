"""What a stage of training is: a module, its losses at a step, its score on the early-stopping patients.

:func:`models.training.loop.run_stage` does the rest (schedule, clipping, averaging, early stopping, checkpoints), so a
stage reads like its algorithm in the paper.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Meta
from torch import Tensor, nn

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]


class StageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every stage can be told. Raises ValueError for a warm-up that would not end within the stage."""

    steps: Natural  # 0 leaves the stage out
    batch: Count = 32
    rate: Positive = 1e-3  # peak of the schedule
    warmup: Natural = 0  # steps of linear rise to ``rate``; a cosine falls to 2 % of it afterwards
    clip: Positive = 1.0  # norm of the gradient
    weight_decay: NotNegative = 0.02  # of matrices; vectors and scalars never decay
    ema: Decay = 0.998  # of the averaged weights, those that are scored and kept; 0: no averaging
    evaluate_every: Count = 400
    save_every: Count = 400
    patience: Natural = 0  # evaluations without a better score after which the stage stops; 0: never
    precision: Precision = "auto"  # auto: fp32 on a CPU, bf16 (matrix products only) on a GPU that has it

    def __post_init__(self) -> None:
        if self.steps and self.warmup >= self.steps:
            raise ValueError(f"warmup {self.warmup} does not end within {self.steps} steps")


@runtime_checkable
class Stage(Protocol):
    """One stage of training. An optional method ``after_step(step: int)`` is called after each optimiser step."""

    @property
    def name(self) -> str:
        """Names ``{name}.safetensors``, ``{name}.csv`` and the TensorBoard tags. A plain attribute will do."""
        ...

    @property
    def module(self) -> nn.Module:
        """Its parameters that require a gradient are trained, clipped and averaged; its state_dict is saved."""
        ...

    def losses(self, step: int) -> dict[str, Tensor]:
        """Weighted named losses, the total is their sum. Everything random follows from (seed, name, step)."""
        ...

    def score(self) -> dict[str, float]:
        """Figures on the early-stopping patients; ``score`` is the one that counts, lower is better.

        Called with averaged weights in place, in eval mode and without gradients.
        """
        ...
