"""What a bed's pipeline knows from before the last minute and a half, which is all that samples read again can tell.

A worker that takes over a bed reads its newest samples again, and has of them the grids, cells, beats and findings that
any worker would have. What is older is in here, as of the end of a cell that no late sample can change any more
(:data:`SETTLED_S`): the context (:mod:`models.signals.context`), the cells that a window or a context may still look
back to, the zero and the extremes of each channel, and who serves among several leads. The cells that follow are then
judged again, as after a late sample, and come out bit for bit as those of the worker that has gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.context import ContextState
from models.signals.leads import Runs
from models.signals.modalities import Modality
from models.signals.offset import Zero
from models.signals.state import Extremes

SETTLED_S = 3
"""Cells so old are not judged again: samples may be 2 s late, and reach at most 0.32 s back over the grid."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelState:
    """Of one channel. cells: bool [n], the newest last: which of the cells before the memory's second a model may read.
    zero: as of now; followed: what earlier cells left of it (:meth:`models.signals.offset.OffsetTrack.export`)."""

    modality: Modality
    lead: int
    cells: npt.NDArray[np.bool_]
    zero: float
    followed: tuple[int, Zero] | None
    extremes: Extremes


@dataclass(frozen=True, slots=True, eq=False)
class PipelineState:
    """Of a whole bed: what the cells before ``context.second`` have left."""

    context: ContextState
    channels: tuple[ChannelState, ...]
    choices: Mapping[Modality, Runs]

    @property
    def second(self) -> int:
        """The first cell that it does not know of."""
        return self.context.second
