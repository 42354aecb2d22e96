"""How a patient's mean pressure went with what other sensors say, while it was measured: moments of a regression.

Delay from the R peak to the pleth's pulse, pulse rate and form of the pleth, every five seconds beside the mean
pressure; what is ten minutes old counts e times less. Kept as counts, means and scatters, so that a bed's whole past is
a few dozen numbers. Seconds without a known delay are told apart: rate and form have moments of their own, without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.runtime.pleth_look import PlethLook
from models.signals.delays import LARGEST_DELAY_CHANGE_S
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

EVERY_S = 5
FORGET_S = 600.0
UNITS = (0.02, 0.1, 0.1)
"""Of delay in s, logarithm of the rate and of the form: what counts as one."""
LEAST_WEIGHT = 5.0  # of moments that are used
_LEVEL, _DELAY = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("own_delay_s")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """weight: how many samples count; mean [k]; scatter [k, k], the weighted sum of products about the mean."""

    weight: float
    mean: Floats
    scatter: Floats

    @classmethod
    def none(cls, width: int) -> Moments:
        """Of no sample."""
        return cls(0.0, np.zeros(width), np.zeros((width, width)))

    def add(self, sample: Floats) -> Moments:
        """With one more sample [k], :data:`EVERY_S` after the last."""
        kept = math.exp(-EVERY_S / FORGET_S)
        old, weight = self.weight * kept, self.weight * kept + 1.0
        apart = sample - self.mean
        return Moments(
            weight, self.mean + apart / weight, self.scatter * kept + np.outer(apart, apart) * (old / weight)
        )

    def numbers(self) -> list[float]:
        """All of it as k² + k + 1 numbers."""
        return [self.weight, *self.mean.tolist(), *self.scatter.ravel().tolist()]

    @classmethod
    def of(cls, numbers: Sequence[float], width: int) -> Moments:
        """What :meth:`numbers` told."""
        return cls(numbers[0], np.array(numbers[1 : width + 1]), np.array(numbers[width + 1 :]).reshape(width, width))


@dataclass(frozen=True, slots=True, eq=False)
class PressurePast:
    """moments of MAP in mmHg with delay, rate and form in :data:`UNITS` (``full``), and of MAP, rate and form
    (``bare``), which are there also without an ECG."""

    full: Moments
    bare: Moments

    @classmethod
    def none(cls) -> PressurePast:
        """Nothing was seen yet."""
        return cls(Moments.none(4), Moments.none(3))

    def add(self, level: float, delay_s: float, look: PlethLook | None) -> PressurePast:
        """With one more second: MAP in mmHg; delay NaN where it is not known. Nothing changes without a pressure or a
        look. A delay of another beat begins its moments anew."""
        if look is None or not math.isfinite(level):
            return self
        sample = np.array([level, *signs(delay_s, look)])
        full, bare = self.full, self.bare.add(sample[[0, 2, 3]])
        if math.isfinite(delay_s):
            jumped = full.weight > 0 and abs(sample[1] - full.mean[1]) * UNITS[0] > LARGEST_DELAY_CHANGE_S
            full = (Moments.none(4) if jumped else full).add(sample)
        return PressurePast(full, bare)

    def numbers(self) -> tuple[float, ...]:
        """All of it, for another process."""
        return (*self.full.numbers(), *self.bare.numbers())

    @classmethod
    def of(cls, numbers: Sequence[float]) -> PressurePast:
        """What :meth:`numbers` told; ValueError for another count of them."""
        if len(numbers) != NUMBERS:
            raise ValueError(f"a past of {NUMBERS} numbers, not {len(numbers)}")
        return cls(Moments.of(numbers[:_FULL], 4), Moments.of(numbers[_FULL:], 3))


_FULL = 1 + 4 + 16
NUMBERS = _FULL + 1 + 3 + 9


def signs(delay_s: float, look: PlethLook | None) -> tuple[float, float, float]:
    """Delay, rate and form in :data:`UNITS`, NaN where not known."""
    if look is None or not (look.rate > 0.0 and look.form > 0.0):
        return delay_s / UNITS[0], math.nan, math.nan
    return delay_s / UNITS[0], math.log(look.rate) / UNITS[1], math.log(look.form) / UNITS[2]


def beside_pressure(window: Window, spec: WindowSpec) -> tuple[float, float]:
    """Level in mmHg and delay in s, NaN where not known now, of a window whose pressure and pleth are measured."""
    row = {m: i for i, m in enumerate(spec.modalities)}
    timed = Modality.ECG in row and bool(window.cells[row[Modality.ECG], -1])
    level = float(window.context[row[Modality.ABP], _LEVEL])
    return level, float(window.context[row[Modality.PPG], _DELAY]) if timed else math.nan
