"""Carriers within one process and one event loop: asyncio's queue, Vigil's hub alone, and a Faust app on a broker URL.

A carrier is opened with what is to be done with each message that comes, and gives what sends one. All have the sender
and the reader in the same loop, so that none is given a core more than another.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

Deliver = Callable[[bytes], None]
Send = Callable[[bytes], Awaitable[object]]
Open = Callable[[Deliver], AbstractAsyncContextManager[Send]]

MOST_UNDER_WAY = 128
"""Messages sent and not yet come, of a flood: also what the queue holds."""
READ_AT_ONCE = 512
TOPIC, KEY = "carried", b"Bed 1"
STARTS_S = 60.0

_numbers = itertools.count(1)


@asynccontextmanager
async def queue(deliver: Deliver) -> AsyncIterator[Send]:
    """A bounded ``asyncio.Queue`` and one task that reads it: what nothing in one loop can do without."""
    waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_UNDER_WAY)

    async def read() -> None:
        while True:
            deliver(await waiting.get())

    reader = asyncio.create_task(read())
    try:
        yield waiting.put
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


@asynccontextmanager
async def hub_alone(deliver: Deliver) -> AsyncIterator[Send]:
    """The log behind ``embedded://`` without Faust: append, wake the reader, fetch."""
    from streams.transport.consumer import Wakeup
    from streams.transport.hub import hub

    with hub(f"transport-{next(_numbers)}") as log:
        log.create_topic(TOPIC, 1)
        news = Wakeup(asyncio.get_running_loop())
        log.listen([TOPIC], news.set)

        async def read() -> None:
            offset = 0
            while True:
                records = log.fetch(TOPIC, 0, offset, READ_AT_ONCE)
                for record in records:
                    deliver(record.value or b"")
                if records:
                    offset = records[-1].offset + 1
                await news.wait()

        async def send(message: bytes) -> None:
            log.produce(TOPIC, KEY, message)

        reader = asyncio.create_task(read())
        try:
            yield send
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


@asynccontextmanager
async def embedded(deliver: Deliver) -> AsyncIterator[Send]:
    """``embedded://`` as Vigil uses it: a Faust app with its settings, its producer, and an agent on one topic."""
    from streams.transport.hub import hub

    name = f"transport-{next(_numbers)}"
    with hub(name):
        async with faust_app(f"embedded://{name}", TOPIC, deliver) as send:
            yield send


@asynccontextmanager
async def faust_app(url: str, topic_name: str, deliver: Deliver) -> AsyncIterator[Send]:
    """A Faust app with Vigil's settings and transport on any broker; the topic is made with it."""
    from streams.app import CrashingApp
    from streams.faust_settings import faust_settings
    from streams.transport import install

    settings = faust_settings(broker=url, partitions=1, offset_reset="earliest")
    app = CrashingApp(f"{topic_name}-readers", **settings)
    install(app)
    topic = app.topic(
        topic_name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", partitions=1,
        internal=True,
    )  # fmt: skip

    async def read(stream: Any) -> None:
        async for event in stream.events():
            deliver(event.message.value)

    app.agent(topic, name="read")(read)
    ready = asyncio.Event()

    async def begin() -> None:
        ready.set()

    app.task(begin)

    async def send(message: bytes) -> object:
        return await app.producer.send(topic_name, KEY, message, None, None, None)

    await app.start()
    try:
        await asyncio.wait_for(ready.wait(), STARTS_S)
        yield send
    finally:
        await app.stop()
