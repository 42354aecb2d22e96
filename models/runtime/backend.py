"""The one protocol behind which an exported graph runs, whatever library runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """name: "onnx"; detail: library, version, device and threads, for the status line and the report."""

    name: str
    detail: str


class Backend(Protocol):
    """Runs one graph. Inputs: ``{modality: float32 [B, L]}`` (lower-case modality names), ``presence`` bool
    [B, M, N], ``context`` float32 [B, M, C] and, of a graph with two imputers, ``selfmask`` bool [B]; of one with a
    memory, ``memory`` float32 [B, M, d].
    Outputs: see :data:`models.runtime.spec.OUTPUTS`. Not thread-safe.
    """

    @property
    def info(self) -> BackendInfo: ...

    def warm_up(self) -> None: ...

    def run(self, inputs: Arrays) -> Arrays: ...

    def close(self) -> None: ...
