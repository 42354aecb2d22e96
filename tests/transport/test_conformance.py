"""What Vigil and Faust need of a transport, part 1 of 3: messages, groups, offsets, retention.

Stated once and run unchanged on the embedded hub and on a real Kafka. A difference between the two found in use belongs
here first, as a test that fails on one of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import pytest
from aiokafka.partitioner import DefaultPartitioner
from faust.exceptions import ProducerSendError
from faust.types import TP

from tests.transport.harness import (
    KEYS,
    TIMEOUT_S,
    Broker,
    Sink,
    in_loop,
    numbered,
    running,
    send_all,
    sender,
    until,
)

# -- messages ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_each_partition_keeps_its_order_and_a_key_its_partition(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)
    sink = Sink(app, topic)
    async with running(app):
        for i in range(320):
            await topic.send(key=KEYS[i % 16], value=str(i).encode())
        await sink.until(320)
    by_partition, by_key = defaultdict(list), defaultdict(set)
    for event in sink.events:
        by_partition[event.message.partition].append((event.message.offset, int(event.value)))
        by_key[event.key].add(event.message.partition)
    for seen in by_partition.values():
        assert [offset for offset, _ in seen] == list(range(len(seen)))
        assert [value for _, value in seen] == sorted(value for _, value in seen)
    partitioner = DefaultPartitioner()
    assert dict(by_key) == {key: {partitioner(key, [0, 1, 2, 3], [])} for key in KEYS}


@in_loop
async def test_the_app_foretells_the_partition_of_a_key(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)
    Sink(app, topic)
    async with running(app):
        for key in KEYS:
            sent = await (await topic.send(key=key, value=b"x"))
            foretold = app.producer.key_partition(topic.get_topic_name(), key)
            assert foretold == sent.topic_partition
            assert app.consumer.key_partition(topic.get_topic_name(), key) == foretold.partition


@in_loop
async def test_raw_bytes_missing_keys_and_values_headers_and_timestamps_arrive_as_sent(broker: Broker):
    app = broker.app(partitions=1)
    sink = Sink(app, broker.topic(app))
    sent = [
        (None, b"no key"),
        (b"no value", None),
        (b"", b""),
        (b"\x00\xff", bytes(range(256)) * 40),
        (b"not json", b"{\xff\xfe"),
    ]
    async with running(app), sender(broker) as send:
        for key, value in sent:
            await send("waves", key, value, timestamp=1_700_000_000.125, headers=[("session", b"\x01\x02")])
        await sink.until(len(sent))
    assert [(event.key, event.value) for event in sink.events] == sent
    assert {event.message.timestamp for event in sink.events} == {1_700_000_000.125}
    assert {tuple(dict(event.message.headers).items()) for event in sink.events} == {(("session", b"\x01\x02"),)}


@in_loop
async def test_what_an_agent_cannot_read_does_not_stop_what_follows(broker: Broker):
    app = broker.app(partitions=1)
    bad = []

    def read(event):
        try:
            int(event.value)
        except ValueError:
            bad.append(event.value)

    sink = Sink(app, broker.topic(app), read)
    async with running(app), sender(broker) as send:
        await send_all(send, "waves", [b"1", b"\xc1garbage", b"2", b"", b"3"])
        await sink.until(5)
    assert bad == [b"\xc1garbage", b""]
    assert sink.values == [b"1", b"\xc1garbage", b"2", b"", b"3"]


@in_loop
async def test_a_message_above_the_size_limit_is_refused_with_its_reason(broker: Broker):
    app = broker.app(producer_max_request_size=10_000)
    topic = broker.topic(app)
    sink = Sink(app, topic)
    async with running(app):
        with pytest.raises(ProducerSendError):
            await topic.send(key=b"bed-1", value=b"x" * 20_000)
        await topic.send(key=b"bed-1", value=b"x" * 9_000)
        await sink.until(1)


@in_loop
async def test_a_message_without_key_and_value_is_refused(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)
    sink = Sink(app, topic)
    async with running(app):
        with pytest.raises((ProducerSendError, AssertionError), match=r"(?i)key or (a )?value"):
            await topic.send(key=None, value=None)
        await topic.send(key=b"bed-1", value=b"x")
        await sink.until(1)
    assert sink.values == [b"x"]


@in_loop
async def test_two_agents_of_one_app_both_see_every_message_of_a_topic(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)
    first, second = Sink(app, topic), Sink(app, topic)
    async with running(app):
        for value in numbered(50):
            await topic.send(key=b"bed-1", value=value)
        await first.until(50)
        await second.until(50)
    assert first.values == second.values == numbered(50)


@in_loop
async def test_ten_thousand_messages_arrive_once_each(broker: Broker):
    app = broker.app()
    topic = broker.topic(app)
    sink = Sink(app, topic)
    async with running(app):
        for i in range(10_000):
            await topic.send(key=KEYS[i % 16], value=str(i).encode())
        await sink.until(10_000)
    assert sorted(int(value) for value in sink.values) == list(range(10_000))


@in_loop
async def test_a_burst_beyond_the_buffers_of_a_slow_agent_is_neither_lost_nor_stalled(broker: Broker):
    app = broker.app(partitions=1, stream_buffer_maxsize=100)
    topic = broker.topic(app)

    async def dawdle(event):
        if event.message.offset % 50 == 0:
            await asyncio.sleep(0.001)

    sink = Sink(app, topic, dawdle)
    async with sender(broker) as send:
        await send.declare("waves")
        await asyncio.gather(*(send("waves", b"bed-1", value, partition=0) for value in numbered(3_000)))
    async with running(app):
        began = time.monotonic()
        await sink.until(3_000)
    assert sink.offsets == list(range(3_000))
    assert time.monotonic() - began < 10, "fetching slept although there was room"


# -- groups and offsets -----------------------------------------------------------------------------------------------


@in_loop
async def test_a_group_goes_on_where_it_stopped(broker: Broker):
    async with sender(broker) as send:
        first = broker.app(partitions=1)
        sink = Sink(first, broker.topic(first))
        async with running(first):
            await send_all(send, "waves", numbered(50))
            await sink.until(50)
        await send_all(send, "waves", numbered(50, start=50))
        second = broker.app(partitions=1)
        sink = Sink(second, broker.topic(second))
        async with running(second):
            await sink.until(50)
            await send_all(send, "waves", [b"last"])
            await sink.until(51)
        assert sink.values == [*numbered(50, start=50), b"last"]


@in_loop
async def test_groups_do_not_know_of_each_other(broker: Broker):
    one, other = broker.app("one"), broker.app("other")
    sinks = [Sink(app, broker.topic(app)) for app in (one, other)]
    async with running(one, other), sender(broker) as send:
        await send_all(send, "waves", numbered(30))
        for sink in sinks:
            await sink.until(30)
    assert [sink.values for sink in sinks] == [numbered(30)] * 2


@in_loop
async def test_a_new_group_starts_at_the_first_message_or_after_the_last_as_told(broker: Broker):
    earliest, latest = broker.app("earliest"), broker.app("latest", reset="latest")
    old, new = (Sink(app, broker.topic(app)) for app in (earliest, latest))
    async with sender(broker) as send:
        await send.declare("waves")
        await send_all(send, "waves", numbered(10))
        async with running(earliest, latest):
            await send_all(send, "waves", numbered(5, start=10))
            await old.until(15)
            await new.until(5)
    assert old.values == numbered(15)
    assert new.values == numbered(5, start=10)


@in_loop
async def test_messages_that_come_while_the_flow_stands_still_are_not_skipped(broker: Broker):
    app = broker.app(reset="latest", partitions=1)
    sink = Sink(app, broker.topic(app))
    async with running(app), sender(broker) as send:
        app.consumer.stop_flow()  # as Faust does in a rebalance; nothing is committed yet
        await send_all(send, "waves", numbered(20))
        app.consumer.resume_flow()
        await sink.until(20)
    assert sorted(set(sink.values), key=int) == numbered(20)


@in_loop
async def test_a_paused_partition_waits_and_the_others_do_not(broker: Broker):
    app = broker.app(partitions=2)
    sink = Sink(app, broker.topic(app))
    paused = TP(broker.name("waves"), 0)
    async with running(app), sender(broker) as send:
        app.consumer.pause_partitions({paused})
        for value in numbered(10):
            await send("waves", None, value, partition=0)
            await send("waves", None, value, partition=1)
        await sink.until(10)
        assert {event.message.partition for event in sink.events} == {1}
        app.consumer.resume_partitions({paused})
        await sink.until(20)
    assert [event.value for event in sink.events if event.message.partition == 0] == numbered(10)


@in_loop
async def test_a_seek_reads_again_from_there(broker: Broker):
    app = broker.app(partitions=1)
    sink = Sink(app, broker.topic(app))
    async with running(app), sender(broker) as send:
        await send_all(send, "waves", numbered(10))
        await sink.until(10)
        await app.consumer.seek(TP(broker.name("waves"), 0), 7)
        await sink.until(13)
    assert sink.offsets == [*range(10), 7, 8, 9]


@in_loop
async def test_the_consumer_knows_first_and_next_offset_and_partitions(broker: Broker):
    app = broker.app(partitions=2)
    sink = Sink(app, broker.topic(app))
    name = broker.name("waves")
    async with running(app), sender(broker) as send:
        for value in numbered(6):
            await send("waves", None, value, partition=1)
        await sink.until(6)
        empty, full = TP(name, 0), TP(name, 1)
        assert await app.consumer.earliest_offsets(empty, full) == {empty: 0, full: 0}
        assert await app.consumer.highwaters(empty, full) == {empty: 0, full: 6}
        assert await app.consumer.position(full) == 6
        assert app.consumer.highwater(full) == 6
        assert {tp for tp in app.consumer.assignment() if tp.topic == name} == {empty, full}
        assert app.consumer.topic_partitions(name) == 2


# -- retention --------------------------------------------------------------------------------------------------------


@in_loop
async def test_old_messages_go_and_a_late_reader_starts_at_what_is_left(broker: Broker):
    bound = {"retention.bytes": 1_000_000, "segment.bytes": 1_048_576}
    app = broker.app(partitions=1)
    sink = Sink(app, broker.topic(app, config=bound))
    tp = TP(broker.name("waves"), 0)
    async with sender(broker) as send:
        await send.declare("waves", partitions=1, config=bound)
        for _ in range(40):
            await send("waves", b"bed-1", b"x" * 100_000)
        watcher = broker.app("watcher")
        Sink(watcher, broker.topic(watcher, config=bound))
        async with running(watcher):
            deadline = time.monotonic() + TIMEOUT_S
            while (await watcher.consumer.earliest_offsets(tp))[tp] == 0:
                assert time.monotonic() < deadline, "retention never dropped anything"
                await asyncio.sleep(0.05)
            first = (await watcher.consumer.earliest_offsets(tp))[tp]
        async with running(app):  # the broker may have dropped more by now
            await until(lambda: sink.offsets[-1:] == [39], "the newest message has come")
    assert sink.offsets[0] >= first > 0
    assert sink.offsets == list(range(sink.offsets[0], 40))
