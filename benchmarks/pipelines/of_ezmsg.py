"""ezmsg: units that publish and subscribe, connected to a graph, run by ``ez.run``.

As its documentation has it: a unit for each step, state made in ``initialize`` (which runs in the unit's own process),
objects as messages, a source that is an asynchronous generator, blocking work in an executor of the loop or in a
process of its own (``process_components``). All settings are the defaults.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import ezmsg.core as ez

from benchmarks.pipelines.script import script
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import ModelWork, SignalWork
from benchmarks.transport.outside import HOST, free_port
from models.signals.times import SECOND_NS
from streams.mailbox import WindowJob
from streams.records import WaveTick

LOOKS_S = 0.1


@dataclass(frozen=True, slots=True)
class Predicted:
    """That the model has said something of a window."""

    bed: str
    end_s: int


class TrialSettings(ez.Settings):
    """apart: the model has a process of its own, and may block it."""

    trial: Trial
    apart: bool = False


class TickUnit(ez.Unit):
    """The beds: publishes each tick when it is due."""

    SETTINGS = TrialSettings
    OUTPUT = ez.OutputStream(WaveTick)

    async def initialize(self) -> None:
        """The script is made before the beginning."""
        trial = self.SETTINGS.trial
        self.cues = script(trial.beds, trial.total_s)

    @ez.publisher(OUTPUT)
    async def play(self) -> AsyncGenerator[Any, None]:
        """To its end."""
        for cue in self.cues:
            tick = cue.due(self.SETTINGS.trial.begin_ns)
            await asyncio.sleep(max(0.0, (tick.due_ns - time.monotonic_ns()) / SECOND_NS))
            yield self.OUTPUT, tick


class WindowUnit(ez.Unit):
    """Ticks in, windows out."""

    INPUT = ez.InputStream(WaveTick)
    OUTPUT = ez.OutputStream(WindowJob)

    async def initialize(self) -> None:
        """Of no bed yet."""
        self.signals = SignalWork()

    @ez.subscriber(INPUT)
    @ez.publisher(OUTPUT)
    async def cut(self, tick: WaveTick) -> AsyncGenerator[Any, None]:
        """What the tick closed."""
        for job in self.signals.windows(tick):
            yield self.OUTPUT, job


class ModelUnit(ez.Unit):
    """Windows in, that they were predicted out."""

    SETTINGS = TrialSettings
    INPUT = ez.InputStream(WindowJob)
    OUTPUT = ez.OutputStream(Predicted)

    async def initialize(self) -> None:
        """The model is loaded in the process in which it runs."""
        self.model = ModelWork(self.SETTINGS.trial.beds)

    @ez.subscriber(INPUT)
    @ez.publisher(OUTPUT)
    async def predict(self, job: WindowJob) -> AsyncGenerator[Any, None]:
        """One window."""
        if self.SETTINGS.apart:
            self.model.predict([job])
        else:
            await asyncio.get_running_loop().run_in_executor(None, self.model.predict, [job])
        yield self.OUTPUT, Predicted(job.bed, job.window.end_s)

    async def shutdown(self) -> None:
        """Gives the model back."""
        self.model.close()


class EarUnit(ez.Unit):
    """The sink, which also ends the graph."""

    SETTINGS = TrialSettings
    TICK = ez.InputStream(WaveTick)
    TOLD = ez.InputStream(Predicted)

    async def initialize(self) -> None:
        """Has heard nothing yet."""
        self.ear = Ear(self.SETTINGS.trial)

    @ez.subscriber(TICK)
    async def on_tick(self, tick: WaveTick) -> None:
        """A tick is here."""
        self.ear.tick(tick)

    @ez.subscriber(TOLD)
    async def on_told(self, told: Predicted) -> None:
        """A prediction is here."""
        self.ear.prediction(told.bed, told.end_s)

    @ez.task
    async def end(self) -> None:
        """When the trial is over."""
        while not self.SETTINGS.trial.over:
            await asyncio.sleep(LOOKS_S)
        self.ear.close()
        raise ez.NormalTermination


def run(trial: Trial) -> None:
    """All units in this process."""
    _run(TrialSettings(trial))


def run_apart(trial: Trial) -> None:
    """The model in a process of its own."""
    _run(TrialSettings(trial, apart=True))


def _run(settings: TrialSettings) -> None:
    logging.getLogger("ezmsg").setLevel(logging.ERROR)
    address = (HOST, free_port())
    server = ez.GraphServer()
    server.start(address)
    ticks, windows, model, ear = TickUnit(settings), WindowUnit(), ModelUnit(settings), EarUnit(settings)
    try:
        ez.run(
            components={"TICKS": ticks, "WINDOWS": windows, "MODEL": model, "EAR": ear},
            connections=(
                (ticks.OUTPUT, windows.INPUT),
                (ticks.OUTPUT, ear.TICK),
                (windows.OUTPUT, model.INPUT),
                (model.OUTPUT, ear.TOLD),
            ),
            process_components=(model,) if settings.apart else None,
            graph_address=address,
        )
    finally:
        server.stop()
