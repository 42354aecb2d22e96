"""The null: one loop, no framework, no wire. What the work costs by itself."""

from __future__ import annotations

import time

from benchmarks.pipelines.script import script
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import ModelWork, SignalWork
from models.signals.times import SECOND_NS


def run(trial: Trial) -> None:
    """Each tick when it is due: shown, then worked on; its windows are predicted one by one before the next tick."""
    cues, ear, signals, model = script(trial.beds, trial.total_s), Ear(trial), SignalWork(), ModelWork(trial.beds)
    for cue in cues:
        tick = cue.due(trial.begin_ns)
        time.sleep(max(0.0, (tick.due_ns - time.monotonic_ns()) / SECOND_NS))
        ear.tick(tick)
        for job in signals.windows(tick):
            model.predict([job])
            ear.prediction(job.bed, job.window.end_s)
    ear.close()
    model.close()
