"""What only the embedded transport has: plain Faust finds it, many loops, lapses, its hub's end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import faust
import pytest
from faust.exceptions import ProducerSendError

from models.signals.errors import BadInput
from streams.faust_settings import faust_settings
from streams.transport import EmbeddedTransport, HubClosed, Retention, hub, install
from tests.transport.harness import TIMEOUT_S, Broker, Sink, in_loop, ready, running, until


@pytest.fixture
def embedded():
    with hub("embedded-tests"):
        yield Broker("embedded", "embedded://embedded-tests")


def test_plain_faust_finds_the_transport_by_its_url():
    code = "import faust; app = faust.App('a', broker='embedded://x'); print(type(app.transport).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["EmbeddedTransport"]


@in_loop
async def test_a_plain_faust_app_works_without_anything_of_ours():
    with hub("plain"):
        app = faust.App("plain", broker="embedded://plain", autodiscover=False, web_enabled=False, store="memory://",
                        datadir=faust_settings(broker="embedded://plain")["datadir"])  # fmt: skip
        topic = app.topic("waves", value_serializer="raw", key_serializer="raw", internal=True)
        sink = Sink(app, topic)
        async with running(app):
            await topic.send(key=b"k", value=b"x")
            await sink.until(1)


def test_a_broker_that_is_neither_embedded_nor_kafka_or_has_no_name_is_refused():
    app = faust.App("a", **faust_settings(broker="confluent://localhost"))
    with pytest.raises(BadInput, match="scheme embedded or kafka, found 'confluent'"):
        install(app)
    app = faust.App("a", **faust_settings(broker="embedded:///"))
    with pytest.raises(BadInput, match="embedded://NAME"):
        app.transport.hub  # noqa: B018


@in_loop
async def test_messages_from_another_thread_reach_the_agent(embedded):
    app = embedded.app()
    sink = Sink(app, embedded.topic(app))
    async with running(app):
        source = threading.Thread(
            target=lambda: [hub("embedded-tests").produce(embedded.name("waves"), b"k", b"%d" % i) for i in range(500)]
        )
        source.start()
        await sink.until(500)
        source.join()
    assert sink.values == [b"%d" % i for i in range(500)]


@in_loop
async def test_workers_in_loops_of_different_threads_share_the_partitions(embedded):
    begun, stop, result = threading.Event(), threading.Event(), []

    async def other() -> None:
        app = embedded.app()
        sink = Sink(app, embedded.topic(app))
        async with running(app):
            result.append(sink)
            begun.set()
            await until(stop.is_set, "told to stop")

    app = embedded.app()
    topic = embedded.topic(app)
    sink = Sink(app, topic)
    async with running(app):
        thread = threading.Thread(target=lambda: asyncio.run(other()))
        thread.start()
        await until(begun.is_set, "the other works")
        await until(lambda: len(app.consumer.assignment()) == 2 and not app.rebalancing, "partitions are shared")
        for i in range(200):
            await topic.send(key=None, value=b"%d" % i)
        seen = lambda: sorted(int(v) for v in [*sink.values, *result[0].values])  # noqa: E731
        await until(lambda: seen() == list(range(200)), "each was handled once")
        stop.set()
        thread.join(TIMEOUT_S)
    assert len(result[0].values) == len(sink.values) == 100


@in_loop
async def test_a_reader_overtaken_by_retention_says_so_and_goes_on(embedded, caplog):
    h = hub("embedded-tests")
    name = embedded.name("waves")
    h.create_topic(name, 1, retention=Retention(messages=10))
    app = embedded.app(partitions=1, broker_commit_interval=0.05)
    sink = Sink(app, embedded.topic(app))
    for i in range(5):
        h.produce(name, b"k", b"%d" % i)
    async with running(app):
        await sink.until(5)
        app.consumer.pause_partitions(app.consumer.assignment())
        await until(lambda: app.consumer.hub.committed(app.conf.id, name, 0) == 5, "committed")
        for i in range(5, 40):
            h.produce(name, b"k", b"%d" % i)
        app.consumer.resume_partitions(app.consumer.assignment())
        await sink.until(15)
        await until(lambda: h.committed(app.conf.id, name, 0) == 40, "commits go on over the gap")
        assert app.consumer.lapsed == 25
    assert sink.values == [b"%d" % i for i in [*range(5), *range(30, 40)]]
    assert "25 messages fell out of retention" in caplog.text


@in_loop
async def test_a_table_outlives_the_compaction_of_its_changelog(embedded):
    def counting():
        app = embedded.app(partitions=1)
        table = app.Table(embedded.name("counts"), default=int, key_type=str, value_type=int, partitions=1)

        async def count(stream):
            async for event in stream.events():
                table[event.key.decode()] += 1

        app.agent(embedded.topic(app), name=embedded.name("count"))(count)
        return app, table

    app, table = counting()
    async with running(app):
        for i in range(3000):
            hub("embedded-tests").produce(embedded.name("waves"), b"bed-%d" % (i % 3), b"x")
        await until(lambda: sum(table.values()) == 3000, "all were counted")
    changelog = table.changelog_topic.get_topic_name()
    assert len(hub("embedded-tests").fetch(changelog, 0, 0, 10_000)) < 2048
    app, table = counting()
    async with running(app):
        assert dict(table.items()) == {f"bed-{n}": 1000 for n in range(3)}


@pytest.mark.expects_error_log
@in_loop
async def test_a_kafka_that_does_not_answer_is_one_sentence():
    app = Broker("kafka", "kafka://127.0.0.1:1").app()
    with pytest.raises(BadInput, match=r"Expected a Kafka broker at 127\.0\.0\.1:1, found no answer"):
        await app.start()
    await app.stop()


@pytest.mark.expects_error_log
@in_loop
async def test_a_hub_closed_under_a_running_worker_ends_it_visibly():
    with hub("short-lived") as h:
        app = Broker("embedded", "embedded://short-lived").app()
        topic = app.topic("waves", value_serializer="raw", internal=True)
        Sink(app, topic)
        await app.start()
        await ready(app)
        h.close()
        await asyncio.wait_for(app.wait_until_stopped(), TIMEOUT_S)
        assert isinstance(app.crash_reason, HubClosed)
        with pytest.raises(ProducerSendError, match="closed with its session"):
            await topic.send(value=b"x")
        await app.stop()


@in_loop
async def test_a_worker_without_agents_is_ready_and_a_new_topic_of_an_unknown_name_has_the_apps_partitions(embedded):
    app = embedded.app(partitions=3)
    assert isinstance(app.transport, EmbeddedTransport)
    async with running(app):
        await app.send(embedded.name("undeclared"), value=b"x", value_serializer="raw")
        assert app.consumer.topic_partitions(embedded.name("undeclared")) == 3
        assert app.consumer.topic_partitions("never") is None
        assert app.consumer.key_partition("never", b"k") is None
