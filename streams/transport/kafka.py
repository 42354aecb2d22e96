"""Faust's Kafka transport with the guarantees of :mod:`streams.transport.guarded`."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, RecordMetadata

from models.signals.errors import BadInput
from streams.transport.guarded import GuardedConsumer, Rewind
from streams.transport.lease import Lease
from streams.transport.patient import GivenUp, Patience

# Faust lets an idle fetch wait 1.5 s at the broker; a seek or a resumed partition then waits that long for its turn.
FETCH_MAX_WAIT_MS = 100
# How long a stop waits for a connection that is being made; a broker that answers does so in milliseconds.
CONNECT_GRACE_S = 1.0


class KafkaConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka, with short idle fetches, that waits for the broker until it is told not to."""

    patience: Patience | None = None
    lease: Lease | None = None
    _asking: asyncio.Task[None] | None = None
    _given_up = False  # before there was a client to tell

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_consumer(loop)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # read when it starts; Faust has no setting for it
        self.lease = Lease(self.app.conf.broker_session_timeout)
        self.patience = Patience(consumer._client, self.lease.answered)
        if self._given_up:
            self.patience.give_up()
        return consumer

    async def on_start(self) -> None:
        """Faust's own; then the broker is asked whether it is there."""
        await super().on_start()
        if self.patience is not None:
            self._asking = asyncio.ensure_future(self.patience.keep_asking())

    async def on_thread_stop(self) -> None:
        """Faust's own, after the asking has ended."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._consumer is None or (task is not None and task.cancelling()):
                raise
            # aiokafka cancels its fetches one by one and waits for each, and is thrown out of that by one that failed a
            # moment ago and was about to try again; the thread would never be said to have ended.
            fetches = self._consumer._fetcher._pending_tasks
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
            await self._consumer._client.close()

    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        """Faust's own, without a limit that would take the app down where the broker is away meanwhile."""
        for tp, offset in partitions.items():
            consumer.seek(tp, offset)
            self.consumer._read_offset[tp] = offset or None
        await asyncio.gather(*(consumer.position(tp) for tp in partitions))

    def give_up(self) -> None:
        """Wait for the broker no longer; from any thread."""
        self._given_up = True
        if self.patience is not None and not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(self.patience.give_up)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Faust's own; ConsumerStoppedError where the broker is not waited for any longer."""
        return await super().call_thread(self._patiently, fun, *args, **kwargs)

    async def _patiently(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        work = fun(*args, **kwargs)
        if not inspect.isawaitable(work):
            return work
        if self.patience is None:
            return await work
        try:
            return await self.patience.until_given_up(work)
        except GivenUp as exc:
            raise ConsumerStoppedError from exc


class KafkaConsumer(GuardedConsumer, driver.Consumer):
    """aiokafka in a thread of its own, as Faust runs it."""

    _thread: KafkaConsumerThread

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

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            return await super()._commit(offsets)
        except ConsumerStoppedError:
            self.log.warning("the last offsets were not committed: the broker did not answer in time")
            return False

    @property
    def heard_ns(self) -> int | None:
        """When the broker last answered (monotonic), from any thread; None before it was asked."""
        patience = self._thread.patience
        return None if patience is None else patience.heard_ns

    def lease_holds(self) -> bool:
        """As of the broker's last word that this is a member of its group."""
        lease = self._thread.lease
        return lease is None or lease.holds(time.monotonic_ns())

    def give_up(self) -> None:
        """Wait for the broker no longer: what is being done with it fails."""
        self._thread.give_up()

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
    """aiokafka's producer. What it has taken it sends whenever the broker takes it, in order, however long that is. It
    may be stopped while it is still connecting, and then leaves nothing running."""

    transport: KafkaTransport
    _connecting: asyncio.Future[None] | None = None
    _patience: Patience | None = None

    def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
        producer = super()._new_producer(transactional_id)
        # How long an answer is waited for is a setting; a message does not grow old meanwhile.
        producer._message_accumulator._batch_ttl = math.inf
        self._patience = Patience(producer.client)
        return producer

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
            remedy = "start it, or check the address, and [tls] and [sasl] where the broker asks for them"
            raise BadInput(f"a Kafka broker at {where}", "no answer", remedy) from exc

    async def send(self, *args: Any, **kwargs: Any) -> Awaitable[RecordMetadata]:
        """Faust's own; where there is no room because the broker is away it waits, until the caller is cancelled."""
        while True:
            try:
                return await super().send(*args, **kwargs)
            except ProducerSendError as exc:
                if not isinstance(exc.__cause__, KafkaTimeoutError | UnknownTopicOrPartitionError):
                    raise
            if self._patience is not None and self._patience.given_up:
                await asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """Wait for the broker no longer: what it has not taken fails with a KafkaError."""
        producer = self._producer
        if producer is None or self._patience is None:
            return
        accumulator = producer._message_accumulator
        accumulator._batch_ttl = 0.0
        for batch in [
            *accumulator._pending_batches,
            *(b for waiting in accumulator._batches.values() for b in waiting),
        ]:
            batch._ttl = 0.0
        self._patience.give_up()

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
