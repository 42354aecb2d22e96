"""A consumer on Kafka without a framework: what remains when one writes the loop oneself.

As aiokafka's documentation has it: a producer, a consumer in a group that commits by itself, ``async for``. The model
runs in a thread, so that heartbeats and waves go on beside it. Settings are the defaults.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.pipelines.script import script
from benchmarks.pipelines.trial import Ear, Trial
from benchmarks.pipelines.work import ModelWork, SignalWork
from models.signals.times import SECOND_NS
from streams.codec import decode, encode
from streams.mailbox import WindowJob
from streams.records import WaveTick

LOOKS_S = 0.1


def told(job: WindowJob) -> bytes:
    """A prediction on the topic: bed and end of its window."""
    return f"{job.bed} {job.window.end_s}".encode()


def hear(ear: Ear, is_tick: bool, value: bytes) -> None:
    """What a sink does with a message of either topic."""
    if is_tick:
        tick = decode(value)
        assert isinstance(tick, WaveTick)
        ear.tick(tick)
    else:
        bed, _, end_s = value.decode().partition(" ")
        ear.prediction(bed, int(end_s))


def run(trial: Trial) -> None:
    """In one loop."""
    asyncio.run(_run(trial))


async def make_topics(bootstrap: str, *names: str) -> None:
    """Each of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    finally:
        await admin.close()


async def _run(trial: Trial) -> None:
    waves, predictions = f"{trial.prefix}waves", f"{trial.prefix}predictions"
    cues, ear = script(trial.beds, trial.total_s), Ear(trial)
    signals, model = SignalWork(), ModelWork(trial.beds)
    jobs: asyncio.Queue[WindowJob] = asyncio.Queue()
    await make_topics(trial.bootstrap, waves, predictions)
    producer = AIOKafkaProducer(bootstrap_servers=trial.bootstrap)
    options: dict[str, Any] = {"bootstrap_servers": trial.bootstrap, "auto_offset_reset": "earliest"}
    worker = AIOKafkaConsumer(waves, group_id=f"{trial.prefix}worker", **options)
    sink = AIOKafkaConsumer(waves, predictions, group_id=f"{trial.prefix}sink", **options)

    async def play() -> None:
        for cue in cues:
            tick = cue.due(trial.begin_ns)
            await asyncio.sleep(max(0.0, (tick.due_ns - time.monotonic_ns()) / SECOND_NS))
            await producer.send(waves, encode(tick), tick.bed.encode())

    async def cut() -> None:
        async for message in worker:
            tick = decode(message.value)
            assert isinstance(tick, WaveTick)
            for job in signals.windows(tick):
                jobs.put_nowait(job)

    async def predict() -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await jobs.get()]
            while not jobs.empty():
                batch.append(jobs.get_nowait())
            await loop.run_in_executor(None, model.predict, batch)
            for job in batch:
                await producer.send(predictions, told(job), job.bed.encode())

    async def listen() -> None:
        async for message in sink:
            hear(ear, message.topic == waves, message.value)

    clients = (producer, worker, sink)
    for client in clients:
        await client.start()
    tasks = [asyncio.create_task(work()) for work in (play, cut, predict, listen)]
    try:
        while not trial.over:
            await asyncio.sleep(LOOKS_S)
            for task in tasks:
                if task.done():
                    task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in reversed(clients):
            await client.stop()
    ear.close()
    model.close()
