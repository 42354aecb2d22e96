"""The one protocol behind which an exported graph runs, whatever library runs it.

A backend module has ``load(bundle, options) -> Backend``, which raises BackendUnavailable with the missing piece named
and what installs it. Which one serves is decided by :mod:`models.runtime.select`, whether it may by
:mod:`models.runtime.gate`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
Precision = Literal["fp32", "fp16", "bf16"]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1; from any thread."""

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes that engines with static shapes are built for; a larger batch is split, a smaller one padded."""


def _silent(what: str, share: float) -> None:
    """Progress that is not shown."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a bundle is to be run. ``precision`` "auto": fp16, then bf16, then fp32, the first that passes the gate;
    ``cache``: folder of built engines, None: the user's cache folder; ``cancel``: set it to end a build."""

    threads: int | None = None
    precision: Precision | Literal["auto"] = "auto"
    buckets: tuple[int, ...] = BUCKETS
    cache: Path | None = None
    device: int = 0
    progress: Progress = _silent
    cancel: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """name: "onnx"; detail: library, version, device and threads, for the status line and the report."""

    name: str
    detail: str
    precision: Precision = "fp32"


class Backend(Protocol):
    """Runs one graph. Inputs: ``{modality: float32 [B, L]}`` (lower-case modality names), ``presence`` bool
    [B, M, N], ``context`` float32 [B, M, C] and, of a graph with two imputers, ``selfmask`` bool [B]; of one with a
    memory, ``memory`` float32 [B, M, d].
    Outputs: see :data:`models.runtime.spec.OUTPUTS`. Any batch from 1; a backend with buckets splits and pads by
    itself. Raises :class:`models.signals.errors.BackendFailed` where the library fails. Not thread-safe.
    """

    @property
    def info(self) -> BackendInfo:
        """Which backend this is, in name, words and precision."""

    def warm_up(self) -> None:
        """What the first run would otherwise pay for; called once, before any window."""

    def run(self, inputs: Arrays) -> Arrays:
        """The outputs by name. Raises BackendFailed where the library fails."""

    def close(self) -> None:
        """Gives memory and devices back; nothing is run afterwards."""


@runtime_checkable
class Replays(Protocol):
    """A backend that replays recorded launches (CUDA graphs): the gate compares them with the plain run."""

    def run_plain(self, inputs: Arrays) -> Arrays:
        """As :meth:`Backend.run`, without recorded launches."""


@runtime_checkable
class HasBuckets(Protocol):
    """A backend of static shapes: the gate tries each bucket."""

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes that it was built for."""


@runtime_checkable
class CountsKernels(HasBuckets, Protocol):
    """A backend of recorded launches that knows how many kernels a bucket's holds: their number is most of the time
    that a small batch takes. Buckets without a record are left out."""

    @property
    def kernels(self) -> dict[int, int]:
        """Bucket -> kernels of its recorded launch."""
