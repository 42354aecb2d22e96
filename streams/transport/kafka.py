"""Faust's Kafka transport with the guarantees of :mod:`streams.transport.guarded`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.transport.guarded import GuardedConsumer, Rewind


class KafkaConsumer(GuardedConsumer, driver.Consumer):
    """aiokafka in a thread of its own, as Faust runs it."""

    async def _offset_at(self, tp: TP, timestamp: float) -> int | None:
        thread = self._thread
        found = await thread.call_thread(
            thread._ensure_consumer().offsets_for_times,
            {TopicPartition(tp.topic, tp.partition): int(timestamp * 1000)},
        )
        entry = found[TopicPartition(tp.topic, tp.partition)]
        return None if entry is None else entry.offset


class KafkaTransport(driver.Transport):
    """``kafka://HOST:PORT``; see :func:`streams.transport.install`."""

    Consumer: ClassVar[Any] = KafkaConsumer

    def __init__(self, *args: Any, rewind: Mapping[str, Rewind] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rewind: Mapping[str, Rewind] = dict(rewind or {})
