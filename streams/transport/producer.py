"""The embedded transport's producer: appends to the hub at once, so that a send never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from faust.exceptions import ProducerSendError
from faust.transport.producer import Producer
from faust.types import TP, HeadersArg, RecordMetadata

from models.signals.errors import VigilError
from streams.transport.consumer import declare_topic

if TYPE_CHECKING:
    from streams.transport.transport import EmbeddedTransport


class EmbeddedProducer(Producer):
    """Same limits as Kafka's: a message above ``producer_max_request_size`` bytes is refused."""

    transport: EmbeddedTransport

    def __post_init__(self) -> None:
        self._on_produce_message = self.app.on_produce_message.send

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Append; the awaitable is done already.

        Raises ProducerSendError for a message that is too large, a partition that does not exist or a closed hub.
        """
        done: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        done.set_result(self._append(topic, key, value, partition, timestamp, headers))
        return done

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        """Append and return where."""
        return self._append(topic, key, value, partition, timestamp, headers)

    def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
    ) -> RecordMetadata:
        if key is None and value is None:  # aiokafka refuses these, so an app must not come to rely on them here
            raise ProducerSendError(f"Expected a key or a value for {topic!r}, found neither; send at least one.")
        size = (len(key) if key else 0) + (len(value) if value else 0)
        if size > self.max_request_size:
            raise ProducerSendError(
                f"Expected a message of at most {self.max_request_size} bytes on {topic!r}, found {size}; "
                "send smaller messages."
            )
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
        self._on_produce_message(key=key, value=value, partition=partition, timestamp=timestamp, headers=pairs)
        hub = self.transport.hub
        try:
            hub.create_topic(topic, self.app.conf.topic_partitions)
            partition, offset = hub.produce(
                topic, key, value, partition=partition, timestamp=timestamp, headers=tuple(pairs)
            )
        except VigilError as exc:
            raise ProducerSendError(str(exc)) from exc
        return RecordMetadata(topic, partition, TP(topic, partition), offset, timestamp, 0)

    async def flush(self) -> None:
        """Waits until everything buffered has been sent."""
        await self.buffer.flush()

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:
        """Declares the topic in the hub."""
        declare_topic(self.transport.hub, topic, partitions, **options)

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Where a key belongs; the topic is made if it is not there."""
        hub = self.transport.hub
        hub.create_topic(topic, self.app.conf.topic_partitions)
        return TP(topic, hub.partition_for(topic, key))

    def supports_headers(self) -> bool:
        """Yes."""
        return True
