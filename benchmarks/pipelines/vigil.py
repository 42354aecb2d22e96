"""Vigil itself: its whole session, headless, on ``embedded://`` or on a Kafka, its ticks from a live source.

All of it works: wire and validation, dead letters, alarms, the model behind its watchdog, the watch over the stream,
latencies. The model is loaded before the beginning, as for every other peer.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import cache

from benchmarks.pipelines.script import Cue, bed_names, described, script
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import load_engine
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from monitor.session import Session
from streams.records import AnyRecord, BedRecord, PredictionRecord, WaveTick
from streams.runner import Sharing
from streams.sources.source import Emit


class ScriptedSource:
    """One bed of the script as a device would give it; a :class:`streams.sources.source.Source`."""

    epoch = 0

    def __init__(self, bed: str, session: str, cues: list[Cue], begin_ns: int) -> None:
        self._bed, self._session, self._cues, self._begin_ns = bed, session, cues, begin_ns
        self._stopped = threading.Event()

    @property
    def position_s(self) -> float:
        """Event time now."""
        return max(0.0, (time.monotonic_ns() - self._begin_ns) / SECOND_NS)

    def describe(self) -> BedRecord:
        """What it has."""
        return described(self._bed, self._session)

    def run(self, emit: Emit) -> None:
        """Every tick when it is due."""
        for cue in self._cues:
            tick = cue.due(self._begin_ns)
            if self._stopped.wait(max(0.0, (tick.due_ns - time.monotonic_ns()) / SECOND_NS)) or not emit(tick):
                return
        self._stopped.wait()

    def stop(self) -> None:
        """:meth:`run` returns."""
        self._stopped.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Nobody withholds anything here."""

    def dropped_now(self) -> frozenset[Modality]:
        """Nothing."""
        return frozenset()


def run(trial: Trial) -> None:
    """A session for as long as the trial takes."""
    ear, engine = Ear(trial), load_engine(trial.beds)

    @cache
    def cues(session: str) -> list[Cue]:
        return script(trial.beds, trial.total_s, session)

    def make(bed: str, session: str) -> ScriptedSource:
        mine = [cue for cue in cues(session) if cue.tick.bed == bed]
        return ScriptedSource(bed, session, mine, trial.begin_ns)

    def hear(record: AnyRecord) -> None:
        if isinstance(record, WaveTick):
            ear.tick(record)
        elif isinstance(record, PredictionRecord) and record.missed != "skipped":
            ear.prediction(record.bed, record.window_end_ns // SECOND_NS)

    session = Session(
        {bed: make for bed in bed_names(trial.beds)},
        engine.window_spec,
        lambda: engine,
        stay_open=True,
        broker=trial.broker or None,
        sharing=Sharing(prefix=trial.prefix) if trial.broker else None,
    )
    session.subscribe(hear)
    session.start()
    try:
        while not trial.over and not session.wait(0.2):
            pass
    finally:
        session.stop()
    ear.close()


def run_embedded(trial: Trial) -> None:
    """In one process, whatever broker there is."""
    run(replace(trial, broker=""))
