"""Carriers that are no part of Vigil: ezmsg where it is installed, and Kafka where a broker is named.

Each is set up as its own documentation does it: ezmsg by the low-level API of its example (a graph server, a publisher
and a subscriber, messages received without a copy), with its defaults; Kafka by aiokafka's producer and consumer with
theirs (acknowledged by the leader, nothing lingers), and by the Faust app that Vigil itself runs there.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.transport.inside import KEY, Deliver, Send, faust_app

HOST = "127.0.0.1"
CONNECTS_S = 1.0  # as in ezmsg's example: before, a subscriber is not yet known
_numbers = itertools.count(1)


@asynccontextmanager
async def ezmsg(deliver: Deliver) -> AsyncIterator[Send]:
    """Publisher and subscriber in this process, where ezmsg hands the object over and serializes nothing."""
    ez: Any = importlib.import_module("ezmsg.core")
    logging.getLogger("ezmsg").setLevel(logging.ERROR)  # it warns of the back-pressure that a flood is there to make
    address = (HOST, free_port())
    server = ez.GraphServer()
    server.start(address)
    try:
        publisher = await ez.Publisher.create("/CARRIED", address, host=HOST)
        subscriber = await ez.Subscriber.create("/CARRIED", address)
        await asyncio.sleep(CONNECTS_S)

        async def read() -> None:
            while True:
                async with subscriber.recv_zero_copy() as message:
                    deliver(message)

        reader = asyncio.create_task(read())
        try:
            yield publisher.broadcast
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            for client in (publisher, subscriber):
                client.close()
            for client in (publisher, subscriber):
                await client.wait_closed()
    finally:
        server.stop()


class OnKafka:
    """Carriers on one broker. url: ``kafka://HOST:PORT``."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def aiokafka(self, deliver: Deliver) -> AsyncIterator[Send]:
        """aiokafka's producer and a consumer without a group, on a topic of one partition."""
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

        bootstrap = self._url.partition("://")[2]
        async with _topic(bootstrap) as topic:
            producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
            consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
            await producer.start()
            await consumer.start()

            async def read() -> None:
                async for message in consumer:
                    deliver(message.value)

            async def send(message: bytes) -> object:
                return await producer.send(topic, message, KEY)

            reader = asyncio.create_task(read())
            try:
                yield send
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
                await consumer.stop()
                await producer.stop()

    @asynccontextmanager
    async def faust(self, deliver: Deliver) -> AsyncIterator[Send]:
        """Vigil's transport on Kafka: the same app as on ``embedded://``."""
        async with _topic(self._url.partition("://")[2]) as topic, faust_app(self._url, topic, deliver) as send:
            yield send


@asynccontextmanager
async def _topic(bootstrap: str) -> AsyncIterator[str]:
    """A topic of its own, of one partition, gone afterwards."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    name = f"carried-{os.getpid()}-{next(_numbers)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        yield name
    finally:
        await admin.delete_topics([name])
        await admin.close()


def free_port() -> int:
    """One that nobody on this machine listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
