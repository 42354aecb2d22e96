"""Stopping a consumer of Kafka while the broker does not answer: aiokafka's fetches then wait to be tried again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.drivers import aiokafka as driver

from streams.transport.kafka import KafkaConsumerThread


def test_fetches_that_wait_to_be_tried_again_do_not_keep_the_thread_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[str] = []

    async def run() -> None:
        async def close() -> None:
            closed.append("client")

        fetches = [asyncio.ensure_future(asyncio.sleep(3600)) for _ in range(3)]
        fetcher: Any = SimpleNamespace(
            _fetch_task=asyncio.ensure_future(asyncio.sleep(3600)), _fetch_waiters=[], _pending_tasks=fetches
        )
        consumer = SimpleNamespace(_fetcher=fetcher, _client=SimpleNamespace(close=close))

        async def stop(self: Any) -> None:
            await Fetcher.close(fetcher)
            await close()

        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_thread_stop", stop)
        await asyncio.sleep(0)
        thread = object.__new__(KafkaConsumerThread)
        thread._consumer = consumer
        await thread.on_thread_stop()
        assert all(fetch.cancelled() for fetch in fetches)

    asyncio.run(run())
    assert closed == ["client"]


def test_who_cancels_the_stop_itself_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stop(self: Any) -> None:
        await asyncio.sleep(3600)

    async def run() -> None:
        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_thread_stop", stop)
        thread = object.__new__(KafkaConsumerThread)
        thread._consumer = SimpleNamespace()
        stopping = asyncio.ensure_future(thread.on_thread_stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    asyncio.run(run())
