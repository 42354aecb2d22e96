"""Faust's Kafka transport with the guarantees of :mod:`streams.transport.guarded`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from models.signals.errors import BadInput
from streams.transport.guarded import GuardedConsumer, Rewind

# Faust lets an idle fetch wait 1.5 s at the broker; a seek or a resumed partition then waits that long for its turn.
FETCH_MAX_WAIT_MS = 100
# How long a stop waits for a connection that is being made; a broker that answers does so in milliseconds.
CONNECT_GRACE_S = 1.0


class KafkaConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka, with short idle fetches."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # read when it starts; Faust has no setting for it
        return consumer

    async def on_thread_stop(self) -> None:
        """Faust's own; fetches that wait to be tried again, where a connection broke, do not keep it from stopping."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # aiokafka 0.14 cancels such a fetch, waits for it and is cancelled by it: the thread would die, and whoever
            # stops it wait for ever.
            consumer = self._ensure_consumer()
            fetches = list(consumer._fetcher._pending_tasks)
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
            await consumer._client.close()


class KafkaConsumer(GuardedConsumer, driver.Consumer):
    """aiokafka in a thread of its own, as Faust runs it."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return KafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_stop(self) -> None:
        """Faust's own; a commit that is dropped after a crash does not keep the rest from stopping."""
        try:
            await super().on_stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # After a crash the thread drops the last commit, which cancels the wait for it; without this the rest of
            # the consumer would never be stopped.
            self.log.warning("the consumer's thread ended before the last offsets were committed")

    def _newest(self, tp: TP) -> int | None:
        """As of the last fetch. What is assigned changes in the consumer's thread, so nothing is taken for granted."""
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        return None if state is None else state.highwater

    async def _offset_at(self, tp: TP, timestamp: float) -> int | None:
        thread = self._thread
        found = await thread.call_thread(
            thread._ensure_consumer().offsets_for_times,
            {TopicPartition(tp.topic, tp.partition): int(timestamp * 1000)},
        )
        entry = found[TopicPartition(tp.topic, tp.partition)]
        return None if entry is None else entry.offset


class KafkaProducer(driver.Producer):
    """aiokafka's producer; may be stopped while it is still connecting, and then leaves nothing running."""

    transport: KafkaTransport
    _connecting: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        """Faust's own, as a task that a stop can wait for."""
        self._connecting = asyncio.ensure_future(super().on_start())
        await asyncio.wait({self._connecting})
        if self._connecting.cancelled():
            return
        try:
            self._connecting.result()
        except KafkaConnectionError as exc:
            where = ", ".join(f"{url.host}:{url.port or self.transport.default_port}" for url in self.transport.url)
            plain = self.transport.app.conf.broker_credentials is None
            remedy = "start it, or use embedded://NAME" if plain else "start it, or check [tls] and [sasl]"
            raise BadInput(f"a Kafka broker at {where}", "no answer", remedy) from exc

    async def on_stop(self) -> None:
        """Faust's own, after a connection in the making has come about or been given up."""
        if self._connecting is not None and not self._connecting.done():
            # aiokafka forgets connections that it is making when it is cancelled, so it may finish if it can.
            await asyncio.wait({self._connecting}, timeout=CONNECT_GRACE_S)
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        await super().on_stop()


class KafkaTransport(driver.Transport):
    """``kafka://HOST:PORT``; see :func:`streams.transport.install`."""

    Consumer: ClassVar[Any] = KafkaConsumer
    Producer: ClassVar[Any] = KafkaProducer

    def __init__(self, *args: Any, rewind: Mapping[str, Rewind] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rewind: Mapping[str, Rewind] = dict(rewind or {})
