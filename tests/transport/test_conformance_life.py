"""What Vigil and Faust need of a transport, part 3 of 3: starting, stopping, failing visibly.

Stated once and run unchanged on the embedded hub and on a real Kafka. A difference between the two found in use belongs
here first, as a test that fails on one of them.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.transport.harness import (
    TIMEOUT_S,
    Broker,
    Sink,
    in_loop,
    numbered,
    ready,
    running,
    send_all,
    sender,
    until,
)

# -- life -------------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_worker_stops_promptly_under_load_and_leaves_no_thread_behind(broker: Broker):
    before = set(threading.enumerate())
    app = broker.app()
    topic = broker.topic(app)
    sink = Sink(app, topic, lambda _: asyncio.sleep(0.01))
    await app.start()
    await ready(app)
    for value in numbered(500):
        await topic.send(key=b"bed-1", value=value)
    await sink.until(3)
    await app.stop()
    assert len(sink.offsets) < 400, "it worked off what was waiting"
    await until(lambda: set(threading.enumerate()) <= before | executor_threads(), "its threads are gone")


def executor_threads() -> set[threading.Thread]:
    # The default executor of the event loop (name resolution) belongs to the loop, not to the app.
    return {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}


@in_loop
async def test_a_worker_may_be_stopped_at_any_moment_of_its_start(broker: Broker):
    for patience in range(0, 100, 9):
        app = broker.app(f"hurried-{patience}")
        Sink(app, broker.topic(app))
        starting = asyncio.ensure_future(app.start())
        for _ in range(patience):
            await asyncio.sleep(0.0 if broker.kind == "embedded" else 0.002)
        await asyncio.wait_for(app.stop(), 5)
        await asyncio.wait_for(starting, 5)


@in_loop
async def test_a_worker_starts_and_stops_again_and_again_in_one_process(broker: Broker):
    async with sender(broker) as send:
        for turn in range(3):
            app = broker.app(partitions=1)
            sink = Sink(app, broker.topic(app))
            async with running(app):
                await send_all(send, "waves", numbered(5, start=5 * turn))
                await sink.until(5)
            assert sink.values == numbered(5, start=5 * turn)


def test_a_worker_runs_in_a_thread_that_is_not_the_main_one(broker: Broker):
    result: list[object] = []

    async def work() -> None:
        app = broker.app()
        topic = broker.topic(app)
        sink = Sink(app, topic)
        async with running(app):
            await topic.send(key=b"bed-1", value=b"hello")
            await sink.until(1)
        result.extend(sink.values)

    def run() -> None:
        try:
            asyncio.run(work())
        except AssertionError as exc:
            result.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(TIMEOUT_S)
    assert result == [b"hello"]


@pytest.mark.kafka
@pytest.mark.expects_error_log  # aiokafka logs every fetch that it will try again
@in_loop
async def test_closed_connections_are_made_anew_and_nothing_is_lost(kafka_bootstrap: str, retries_are_no_errors: None):
    """As a broker closes them that restarts, or that has not heard of a client for long."""
    broker = Broker("kafka", f"kafka://{kafka_bootstrap}")
    app = broker.app(partitions=1)
    topic = broker.topic(app)
    sink = Sink(app, topic)

    async def close(client: Any) -> int:
        connections = [connection for connection in client._conns.values() if connection.connected()]
        for connection in connections:
            connection.close()
        return len(connections)

    async with running(app):
        for turn in range(3):
            for value in numbered(20, start=20 * turn):
                await topic.send(key=b"bed-1", value=value)
            await sink.until(20 * turn + 10)
            thread = app.consumer._thread
            assert await thread.call_thread(close, thread._consumer._client) > 0
            assert await close(app.producer._producer.client) > 0
        await until(lambda: set(sink.values) == set(numbered(60)), "all have come")
        assert not app.crashed
        await thread.call_thread(close, thread._consumer._client)  # it may be stopped while it tries again


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.expects_error_log
@in_loop
async def test_an_exception_that_leaves_an_agent_takes_the_app_down_with_its_reason(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)

    def fail(event):
        raise ZeroDivisionError("in the agent")

    Sink(app, topic, fail)
    async with running(app):
        await topic.send(key=b"bed-1", value=b"x")
        await asyncio.wait_for(app.wait_until_stopped(), TIMEOUT_S)
        assert app.crashed
        assert str(app.crash_reason) == "in the agent"


@pytest.mark.expects_error_log
@in_loop
async def test_an_exception_in_the_fetch_loop_takes_the_app_down_with_its_reason(broker: Broker, monkeypatch):
    app = broker.app()
    topic = broker.topic(app)
    Sink(app, topic)

    def fail(tp, record):
        raise ZeroDivisionError("in the fetch loop")

    async with running(app):
        monkeypatch.setattr(app.consumer, "_to_message", fail)
        await topic.send(key=b"bed-1", value=b"x")
        await asyncio.wait_for(app.wait_until_stopped(), TIMEOUT_S)
        assert app.crashed
        assert str(app.crash_reason) == "in the fetch loop"


@pytest.mark.expects_error_log
@in_loop
async def test_an_exception_while_committing_takes_the_app_down_with_its_reason(broker: Broker, monkeypatch):
    app = broker.app(broker_commit_interval=0.05)
    topic = broker.topic(app)
    Sink(app, topic)

    async def fail(offsets):
        raise ZeroDivisionError("while committing")

    async with running(app):
        with monkeypatch.context() as patch:
            patch.setattr(app.consumer, "_commit", fail)
            await topic.send(key=b"bed-1", value=b"x")
            await asyncio.wait_for(app.wait_until_stopped(), TIMEOUT_S)
        assert str(app.crash_reason) == "while committing"
