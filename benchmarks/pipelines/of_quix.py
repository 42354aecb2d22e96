"""Quix Streams: a StreamingDataFrame on Kafka.

As its documentation has it: an Application, topics with their serializers, a chain of ``apply`` on what comes, the
result to another topic, ``app.run()`` in the main thread; sending and hearing by ``get_producer`` and ``get_consumer``.
Settings are the defaults (also librdkafka's: what is sent lingers for 5 ms); only a group that is new reads from the
beginning.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from quixstreams import Application

from benchmarks.pipelines.of_aiokafka import hear, told
from benchmarks.pipelines.script import script
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import ModelWork, SignalWork
from models.signals.times import SECOND_NS
from streams.codec import decode, encode
from streams.records import WaveTick

POLL_S = 0.1


def run(trial: Trial) -> None:
    """The application in this thread, source and sink each in one of their own."""
    ear, signals, model = Ear(trial), SignalWork(), ModelWork(trial.beds)
    cues = script(trial.beds, trial.total_s)
    app, outside = _application(trial, "worker"), _application(trial, "sink")
    waves = app.topic(f"{trial.prefix}waves", value_deserializer="bytes", value_serializer="bytes")
    predictions = app.topic(f"{trial.prefix}predictions", value_serializer="bytes", value_deserializer="bytes")

    def work(value: bytes) -> list[bytes]:
        tick = decode(value)
        assert isinstance(tick, WaveTick)
        said = []
        for job in signals.windows(tick):
            model.predict([job])
            said.append(told(job))
        return said

    frame: Any = app.dataframe(waves)
    frame = frame.apply(work, expand=True)
    frame.to_topic(predictions)

    def play() -> None:
        with outside.get_producer() as producer:
            for cue in cues:
                tick = cue.due(trial.begin_ns)
                time.sleep(max(0.0, (tick.due_ns - time.monotonic_ns()) / SECOND_NS))
                producer.produce(topic=waves.name, key=tick.bed.encode(), value=encode(tick))

    def listen() -> None:
        with outside.get_consumer() as consumer:
            consumer.subscribe([waves.name, predictions.name])
            while not trial.over:
                message = consumer.poll(POLL_S)
                if message is not None and message.error() is None:
                    hear(ear, message.topic() == waves.name, message.value())
        ear.close()
        app.stop()

    threads = [threading.Thread(target=task, daemon=True) for task in (play, listen)]
    for thread in threads:
        thread.start()
    app.run()
    for thread in threads:
        thread.join()
    model.close()


def _application(trial: Trial, role: str) -> Application:
    return Application(
        broker_address=trial.bootstrap,
        consumer_group=f"{trial.prefix}{role}",
        auto_offset_reset="earliest",
        state_dir=Path(trial.folder) / role,
        loglevel="ERROR",
    )
