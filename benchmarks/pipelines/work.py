"""The work that every pipeline has done, by the same code: Vigil's windower of each bed, and the shipped model.

The windower brings what hangs on the signal itself to every peer: quality and presence second by second, numerics,
rhythm, the age of each sensor, what is lost or comes twice. What a framework does around that is its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from models.runtime.backend import RuntimeOptions
from models.runtime.bundle import load_bundle
from models.runtime.prediction import Prediction
from models.runtime.select import ServedEngine, select_engine
from models.runtime.threads import threads_for
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.mailbox import WindowJob
from streams.records import WaveTick
from streams.windower import BedWindower


def load_engine(beds: int) -> ServedEngine:
    """The shipped bundle on the CPU, with as many threads as Vigil gives it for so many beds."""
    return select_engine(load_bundle(), "onnx", options=RuntimeOptions(threads_for(beds))).engine


class SignalWork:
    """Of all beds: ticks in, windows out, one a second of each."""

    def __init__(self, spec: WindowSpec | None = None) -> None:
        self._spec, self._accounting = spec or load_bundle().window_spec, Accounting()
        self._windowers: dict[str, BedWindower] = {}

    def windows(self, tick: WaveTick) -> list[WindowJob]:
        """What the tick closed."""
        windower = self._windowers.get(tick.bed)
        if windower is None:
            windower = self._windowers[tick.bed] = BedWindower(self._spec, self._accounting)
        return windower.handle(tick, time.monotonic_ns()).windows


class ModelWork:
    """Windows in, what the model says out. engine: for tests."""

    def __init__(self, beds: int, engine: ServedEngine | None = None) -> None:
        self._engine = engine or load_engine(beds)

    def predict(self, jobs: Sequence[WindowJob]) -> list[Prediction]:
        """In one batch."""
        return self._engine.predict([job.window for job in jobs], keys=[job.key for job in jobs])

    def close(self) -> None:
        """Gives the engine back."""
        self._engine.close()
