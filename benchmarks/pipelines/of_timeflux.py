"""Timeflux: an application of graphs, whose nodes exchange DataFrames in cycles.

As its documentation has it: the application is a description of graphs, nodes and edges; nodes of one graph run one
after the other in each of its cycles, graphs run in processes of their own and are what work is divided by: here a
graph for each bed and one for the model, and a graph with a broker (ZeroMQ) between them; signals are DataFrames with
an index of times, what happens are rows of ``label`` and ``data``. A cycle comes :data:`RATE_HZ` times a second. The
application is run by timeflux's own command.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from timeflux.core.exceptions import WorkerInterrupt
from timeflux.core.node import Node
from timeflux.timeflux import main as timeflux

from benchmarks.pipelines.script import bed_names, script, ticks_of
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import ModelWork, SignalWork
from benchmarks.transport.outside import HOST, free_port
from models.signals.times import SECOND_NS
from streams.codec import chunk_values, samples_to_bytes
from streams.records import WaveChunk, WaveTick

RATE_HZ = 100
LEAVES_NS = 3 * SECOND_NS
"""After the last tick was due a graph ends, and with it all. By then the sinks have left what they heard: an interrupt
may find a graph in the midst of anything."""
HEAD = ("bed", "session", "tick_seq", "start_ns", "end_ns", "due_ns")
LEAD = ("modality", "label", "rate_hz", "origin_ns", "first_index")


class TickNode(Node):
    """A bed: what is due goes out in the next cycle, a DataFrame a channel, one tick a cycle."""

    def __init__(self, trial: str, bed: str) -> None:
        self._trial = Trial.loaded(trial)
        self._cues = deque(script(self._trial.beds, self._trial.total_s, only=bed))

    def update(self) -> None:
        """One cycle."""
        if time.monotonic_ns() > self._trial.until_ns + LEAVES_NS:
            raise WorkerInterrupt("the trial is over")
        if not self._cues or self._cues[0].after_ns > time.monotonic_ns() - self._trial.begin_ns:
            return
        tick = self._cues.popleft().due(self._trial.begin_ns)
        head = {name: getattr(tick, name) for name in HEAD}
        for chunk in tick.chunks:
            values = chunk_values(chunk.data)
            at_ns = chunk.origin_ns + ((chunk.first_index + np.arange(len(values))) * 1e9 / chunk.rate_hz)
            lead = {name: getattr(chunk, name) for name in LEAD}
            getattr(self, f"o_{chunk.modality}").set(
                values[:, None], at_ns.astype("datetime64[ns]"), [chunk.label], {"head": head, "lead": lead}
            )


class WindowNode(Node):
    """DataFrames in, windows out, as events."""

    def __init__(self) -> None:
        self._signals = SignalWork()

    def update(self) -> None:
        """One cycle."""
        ports = [port for _, _, port in self.iterate("i*") if port.ready()]
        if not ports:
            return
        chunks = [
            WaveChunk(**port.meta["lead"], data=samples_to_bytes(port.data.to_numpy(np.float32)[:, 0]))
            for port in ports
        ]
        jobs = self._signals.windows(WaveTick(**ports[0].meta["head"], epoch=0, chunks=chunks))
        if jobs:
            now = np.datetime64(time.time_ns(), "ns")
            rows = [["window", {"job": job}] for job in jobs]
            self.o.data = pd.DataFrame(rows, index=[now] * len(rows), columns=["label", "data"])


class ModelNode(Node):
    """Events that are windows in, events that they were predicted out."""

    def __init__(self, beds: int) -> None:
        self._model = ModelWork(beds)

    def update(self) -> None:
        """One cycle: one batch of what has come."""
        if not self.i.ready():
            return
        jobs = [data["job"] for data in self.i.data["data"]]
        self._model.predict(jobs)
        rows = [["prediction", {"bed": job.bed, "end_s": job.window.end_s}] for job in jobs]
        self.o.data = pd.DataFrame(rows, index=self.i.data.index, columns=["label", "data"])

    def terminate(self) -> None:
        """Gives the model back."""
        self._model.close()


class EarNode(Node):
    """A sink of channels, or of events."""

    def __init__(self, trial: str) -> None:
        self._trial = Trial.loaded(trial)
        self._ear: Ear | None = Ear(self._trial)

    def update(self) -> None:
        """One cycle; leaves what was heard when the trial is over."""
        if self._ear is None:
            return
        if self._trial.over:
            self._ear.close()
            self._ear = None
            return
        ports = [port for _, _, port in self.iterate("i*") if port.ready()]
        if ports and "head" in ports[0].meta:
            self._ear.tick_of(ports[0].meta["head"]["bed"], ports[0].meta["head"]["tick_seq"])
        elif ports:
            for data in ports[0].data["data"]:
                self._ear.prediction(data["bed"], data["end_s"])


def application(trial: Trial) -> dict[str, Any]:
    """What ``timeflux APP.json`` would be given."""
    into, out = (f"tcp://{HOST}:{free_port()}" for _ in range(2))

    def node(name: str, kind: str, module: str = __name__, **params: object) -> dict[str, Any]:
        return {"id": name, "module": module, "class": kind, "params": params}

    text = trial.dumped()
    zmq = "timeflux.nodes.zmq"
    return {
        "graphs": [
            {"id": "Broker", "rate": 1, "nodes": [node("proxy", "Broker", zmq, address_in=into, address_out=out)]},
            {
                "id": "Model",
                "rate": RATE_HZ,
                "nodes": [
                    node("sub", "Sub", zmq, topics=["windows"], address=out),
                    node("model", "ModelNode", beds=trial.beds),
                    node("ear", "EarNode", trial=text),
                ],
                "edges": [{"source": "sub:windows", "target": "model"}, {"source": "model", "target": "ear"}],
            },
            *(
                {
                    "id": f"Waves_{bed}",
                    "rate": RATE_HZ,
                    "nodes": [
                        node("ticks", "TickNode", trial=text, bed=bed),
                        node("windows", "WindowNode"),
                        node("pub", "Pub", zmq, topic="windows", address=into),
                        node("ear", "EarNode", trial=text),
                    ],
                    "edges": [
                        {"source": "ticks:*", "target": "windows"},
                        {"source": "ticks:*", "target": "ear"},
                        {"source": "windows", "target": "pub"},
                    ],
                }
                for bed in bed_names(trial.beds)
            ),
        ]
    }


def run(trial: Trial) -> None:
    """Its manager starts a process a graph, and ends them all when the first has ended."""
    signals = SignalWork()
    for tick in ticks_of("bed1", 1, 3):  # what is imported late is imported now, and not in each process
        signals.windows(tick)
    path = Path(trial.folder) / "application.json"
    path.write_text(json.dumps(application(trial)), encoding="utf-8")
    sys.argv = ["timeflux", str(path)]
    timeflux()
