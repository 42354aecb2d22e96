"""What a graph's inputs must look like: checked before a library sees them, so that a mistake is one sentence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.runtime.backend import Arrays
from models.runtime.spec import CHOICE_INPUT, MEMORY_INPUT, BundleSpec
from models.signals.errors import BadInput


class InputForm:
    """Names, types and shapes (without the batch) of the inputs of a graph or engine."""

    def __init__(self, each: dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]]) -> None:
        self.each = each

    @classmethod
    def of(cls, spec: BundleSpec) -> InputForm:
        """Of a bundle's graph."""
        m, length = len(spec.modalities), spec.rate_hz * spec.frame_s * spec.frames
        f32, boolean = np.dtype(np.float32), np.dtype(np.bool_)
        each: dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]] = {
            **{name.lower(): (f32, (length,)) for name in spec.modalities},
            "presence": (boolean, (m, spec.frames)),
            "context": (f32, (m, len(spec.context_fields))),
        }
        if len(spec.imputers) > 1:
            each[CHOICE_INPUT] = (boolean, ())
        if spec.memory:
            each[MEMORY_INPUT] = (f32, (m, spec.token_width))
        return cls(each)

    def nothing(self, batch: int) -> Arrays:
        """Windows of which nothing is known: signals 0, all absent, context and memory NaN."""
        arrays: Arrays = {n: np.zeros((batch, *shape), kind) for n, (kind, shape) in self.each.items()}
        for name in {"context", MEMORY_INPUT} & set(arrays):
            arrays[name].fill(np.nan)
        return arrays

    def check(self, inputs: Arrays) -> int:
        """The batch. Raises BadInput for unknown or missing names, other types and shapes, and an empty batch."""
        if strange := sorted(set(inputs) ^ set(self.each)):
            what = "an unknown" if strange[0] in inputs else "no"
            raise BadInput(f"the inputs {', '.join(self.each)}", f"{what} {strange[0]}", "give these, in lower case")
        batch = len(inputs["presence"]) if np.ndim(inputs["presence"]) else 0
        if batch < 1:
            raise BadInput("a batch of at least one window", "an empty one", "leave it out")
        for name, (kind, shape) in self.each.items():
            _check(name, inputs[name], kind, (batch, *shape))
        return batch


def _check(name: str, values: npt.NDArray[np.generic], kind: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    if values.dtype != kind or values.shape != shape:
        found = f"{values.dtype} {list(values.shape)}"
        raise BadInput(f"{kind} {list(shape)} for the input {name}", found, "cut windows as the bundle's spec says")
