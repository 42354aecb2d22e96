"""The dead letters of a Kafka: read, and their messages sent anew from where they still lie.

A letter says where its message is: topic, partition, offset. What was sent anew is remembered by the broker, as the
committed offsets of the group ``PREFIXvigil-deadletters``, message by message, after the broker has it: a second replay
sends nothing twice, and one that was cut off goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from models.signals.errors import BadInput, VigilError
from streams.codec import DecodeError, decode
from streams.records import TOPICS, DeadLetter
from streams.transport.first_contact import first_contact
from streams.transport.kafka_options import KafkaOptions
from streams.transport.security import client_options

LETTERS = "deadletters"
GROUP = "vigil-deadletters"
FETCH_MS, GIVE_UP_S = 500, 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter where it lies. replayed: its message was sent anew before, or given up as gone."""

    letter: DeadLetter
    partition: int
    offset: int
    replayed: bool


@dataclass(slots=True)
class Letters:
    """All that lie there, in the order in which each partition has them. unreadable: letters that are none."""

    kept: list[Kept] = field(default_factory=list)
    unreadable: int = 0


@dataclass(slots=True)
class Replayed:
    """sent: messages. gone: the broker does not keep them any more. repeated: named by more than one letter, sent once.
    refused: letters that name no topic of the ward."""

    sent: int = 0
    gone: int = 0
    repeated: int = 0
    refused: int = 0


class DeadLetters:
    """Of one ward. bootstrap: HOST:PORT. Raises BadInput where nobody answers or the topic is not there."""

    def __init__(self, bootstrap: str, prefix: str = "", kafka: KafkaOptions | None = None) -> None:
        self._bootstrap, self._prefix, self._kafka = bootstrap, prefix, kafka or KafkaOptions()
        self._known: dict[str, set[int]] = {}
        self._ours = frozenset(prefix + name for name in TOPICS if name != LETTERS)

    async def read(self) -> Letters:
        """Everything up to now."""
        async with self._consumer(group=True) as consumer:
            found = Letters()
            partitions = await self._partitions()
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            for tp in partitions:
                done = await consumer.committed(tp) or 0
                async for record in _records(consumer, tp, begins[tp], ends[tp]):
                    try:
                        letter = decode(record.value)
                    except DecodeError:
                        letter = None
                    if isinstance(letter, DeadLetter):
                        found.kept.append(Kept(letter, tp.partition, record.offset, record.offset < done))
                    else:
                        found.unreadable += 1
            return found

    async def replay(self, kept: Iterable[Kept], told: Callable[[Replayed], None] = lambda _: None) -> Replayed:
        """Sends the messages of those that were not replayed before anew, to the partition where they were. told: how
        far it is, after each."""
        done, seen = Replayed(), set[tuple[str, int, int]]()
        async with self._consumer(group=True) as marks, self._consumer() as consumer, self._producer() as producer:
            marks.assign(await self._partitions())
            for each in kept:
                letter = each.letter
                where = letter.topic, letter.partition, letter.offset
                if each.replayed:
                    seen.add(where)
                    continue
                if letter.topic not in self._ours:
                    done.refused += 1
                elif where in seen:
                    done.repeated += 1
                else:
                    seen.add(where)
                    tp = TopicPartition(letter.topic, letter.partition)
                    record = await self._original(consumer, tp, letter.offset)
                    if record is None:
                        done.gone += 1
                    else:
                        await producer.send_and_wait(letter.topic, record.value, record.key, partition=letter.partition)
                        done.sent += 1
                await marks.commit({TopicPartition(self._prefix + LETTERS, each.partition): each.offset + 1})
                told(done)
        return done

    async def _original(self, consumer: Any, tp: TopicPartition, offset: int) -> Any | None:
        """The message at ``offset``; None where it is not there any more, or never was."""
        if tp.partition not in await self._numbers(tp.topic):
            return None
        consumer.assign([tp])
        begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        if not begin <= offset < end:
            return None
        async for record in _records(consumer, tp, offset, offset + 1):
            return record
        return None

    async def _partitions(self) -> list[TopicPartition]:
        topic = self._prefix + LETTERS
        numbers = await self._numbers(topic)
        if not numbers:
            raise BadInput(
                f"the topic {topic} at {self._bootstrap}",
                "none",
                "check --prefix, or start a worker, which makes it",
            )
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    async def _numbers(self, topic: str) -> set[int]:
        """Numbers of a topic's partitions; none where there is no such topic, which asking does not make."""
        if topic not in self._known:
            async with self._started(AIOKafkaAdminClient(**self._options())) as admin:
                found = await admin.describe_topics([topic]) if topic in await admin.list_topics() else []
            self._known[topic] = {part["partition"] for each in found for part in each["partitions"]}
        return self._known[topic]

    def _options(self) -> dict[str, Any]:
        return {"bootstrap_servers": self._bootstrap, **client_options(self._kafka.security)}

    @asynccontextmanager
    async def _consumer(self, *, group: bool = False) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            group_id=f"{self._prefix}{GROUP}" if group else None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **self._options(),
        )
        async with self._started(consumer):
            yield consumer

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[Any]:
        producer = AIOKafkaProducer(
            enable_idempotence=True, max_request_size=self._kafka.message_bytes, **self._options()
        )
        async with self._started(producer):
            yield producer

    @asynccontextmanager
    async def _started(self, client: Any) -> AsyncIterator[Any]:
        stop = getattr(client, "stop", None) or client.close
        await first_contact(client, self._bootstrap, self._kafka.security)
        try:
            yield client
        finally:
            await stop()


async def _records(consumer: Any, tp: TopicPartition, begin: int, end: int) -> AsyncIterator[Any]:
    """Messages of a partition with ``begin <= offset < end``."""
    if begin >= end:
        return
    consumer.seek(tp, begin)
    at = begin
    deadline = asyncio.get_running_loop().time() + GIVE_UP_S
    while at < end:
        found = (await consumer.getmany(tp, timeout_ms=FETCH_MS)).get(tp, [])
        for record in found:
            if record.offset >= end:
                return
            yield record
        now = asyncio.get_running_loop().time()
        if found:
            deadline = now + GIVE_UP_S
        elif now > deadline:
            raise VigilError(f"The broker gives no messages of {tp.topic}, partition {tp.partition}.")
        at = await consumer.position(tp)
