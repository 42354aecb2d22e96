"""What the model says of one window, in the user's terms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window

FloatArray = npt.NDArray[np.float32]
AMENDED_S = {Modality.ABP: 0.5, Modality.PPG: 0.5, Modality.ECG: 0.75}
"""What a window says anew of the time before its hop, seconds: at its very end a wave has no future, and a beat that is
not over yet is drawn low, or not at all. Half a second is the rise of any pulse; an R wave is known from the pulse that
follows it, which comes a quarter of a second later."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 10 % and 90 % bounds."""

    value: float
    lo: float
    hi: float

    @property
    def half_width(self) -> float:
        """Half the distance of the bounds."""
        return (self.hi - self.lo) / 2.0


@dataclass(frozen=True, slots=True)
class RestoredWave:
    """The newest hop of a restored channel, on the 100-Hz grid, and before it what amends the hop before.

    ``first_index`` counts grid samples from time zero; ``values`` [amends + hop · rate] in the modality's canonical
    unit, NaN where the cell was measured or nothing may be shown. ``lo``/``hi`` bound the 10–90 % band, same shape.
    The first ``amends`` samples take the place of what the window before said of them; where it said nothing, neither
    do they: a window speaks for its own hop only.
    """

    modality: Modality
    first_index: int
    rate_hz: int
    values: FloatArray
    lo: FloatArray
    hi: FloatArray
    amends: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """One window's result.

    presence: bool [M, N] it was made from. valid: False if the output was not finite or came too late, with
    ``reason``. abstain: True where no risk is given, with ``reason``; depth and estimates stand on their own. risk: per
    horizon in minutes, empty then. pressures: MAP, SBP, DBP of the newest frame, None unless ABP is absent and may be
    estimated. not_estimable: why a modality's absent channel is not shown.
    """

    window_end_s: int
    presence: npt.NDArray[np.bool_]
    valid: bool
    abstain: bool
    reason: str
    risk: dict[int, Interval]
    depth: Interval | None
    pressures: dict[str, Interval] | None
    restored: tuple[RestoredWave, ...] = ()
    not_estimable: dict[Modality, str] = field(default_factory=dict)
    ages_s: tuple[float, ...] = ()


def lost(window: Window, reason: str) -> Prediction:
    """The prediction of a window that the backend lost: invalid, with the reason."""
    ages = tuple(float(age) for age in window.context[:, CONTEXT_FIELDS.index("age_s")])
    return Prediction(window.end_s, window.presence, False, False, reason, {}, None, None, ages_s=ages)
