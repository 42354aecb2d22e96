"""What Vigil and Faust need of a transport, stated once and run unchanged on the embedded hub and on a real Kafka.

A difference between the two found in use belongs here first, as a test that fails on one of them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict

import pytest
from aiokafka.partitioner import DefaultPartitioner
from faust.exceptions import ProducerSendError
from faust.types import TP

from streams.transport import Rewind
from tests.transport.harness import TIMEOUT_S, Broker, Sink, in_loop, ready, running, sender, until

KEYS = [f"bed-{n}".encode() for n in range(16)]


def numbered(n: int, start: int = 0) -> list[bytes]:
    return [str(i).encode() for i in range(start, start + n)]


async def send_all(send, suffix, values, key=b"bed-1"):
    for value in values:
        await send(suffix, key, value)


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


# -- rewinding --------------------------------------------------------------------------------------------------------


async def one_run(broker: Broker, expect: int, rewind: dict[str, Rewind] | None = None) -> list[int]:
    app = broker.app(partitions=1, rewind=rewind)
    sink = Sink(app, broker.topic(app))
    async with running(app):
        await sink.until(expect)
        # Nothing more may come: the next message is the first after all those expected.
        await broker_probe(app, broker, sink, expect)
    return sink.offsets


async def broker_probe(app, broker: Broker, sink: Sink, expect: int) -> None:
    topic = broker.topic(app)
    await topic.send(key=b"probe", value=b"probe")
    await sink.until(expect + 1)


@in_loop
async def test_a_rewound_topic_is_read_again_from_before_the_commit_each_time_the_same_way(broker: Broker):
    async with sender(broker) as send:
        await send.declare("waves", partitions=1)
        await send_all(send, "waves", numbered(100))
    assert await one_run(broker, 100) == list(range(101))
    assert await one_run(broker, 20, {"waves": Rewind(messages=20)}) == list(range(81, 102))
    assert await one_run(broker, 20, {"waves": Rewind(messages=20)}) == list(range(82, 103))
    assert await one_run(broker, 103, {"waves": Rewind(messages=10_000)}) == list(range(104))
    assert await one_run(broker, 0) == [104]


@in_loop
async def test_a_topic_may_be_rewound_by_seconds(broker: Broker):
    now = time.time()
    async with sender(broker) as send:
        await send.declare("waves", partitions=1, retention=3600)
        for i in range(50):  # ten seconds between messages, the last one now
            await send("waves", b"bed-1", b"x", timestamp=now - 10 * (49 - i))
    await one_run(broker, 50)
    offsets = await one_run(broker, 4, {"waves": Rewind(seconds=25)})
    # Within the last 25 s: those 20, 10 and 0 s old (47..49) and the first run's probe (50); then this run's probe.
    assert offsets == [47, 48, 49, 50, 51]


# -- tables -----------------------------------------------------------------------------------------------------------


def counting(broker: Broker):
    app = broker.app()
    table = app.Table(broker.name("counts"), default=int, key_type=str, value_type=int, partitions=4)

    async def count(stream):
        async for event in stream.events():
            bed = event.key.decode()
            if event.value == b"delete":
                table.pop(bed, None)
            else:
                table[bed] += int(event.value)
            seen.append(event.value)

    seen: list[bytes] = []
    app.agent(broker.topic(app), name=broker.name("count"))(count)
    return app, table, seen


@in_loop
async def test_tables_recover_from_their_changelog(broker: Broker):
    async with sender(broker) as send:
        app, table, seen = counting(broker)
        async with running(app):
            for i in range(60):
                await send("waves", KEYS[i % 6], b"1")
            await send("waves", KEYS[0], b"delete")
            await until(lambda: len(seen) == 61, "all were counted")
            assert {bed: table[bed] for bed in table} == {key.decode(): 10 for key in KEYS[1:6]}
        for expected in (11, 12):
            app, table, seen = counting(broker)
            async with running(app):
                assert {bed: table[bed] for bed in table} == {key.decode(): expected - 1 for key in KEYS[1:6]}
                for key in KEYS[1:6]:
                    await send("waves", key, b"1")
                await until(lambda: len(seen) == 5, "the new ones were counted")  # noqa: B023
                assert {bed: table[bed] for bed in table} == {key.decode(): expected for key in KEYS[1:6]}


# -- several workers --------------------------------------------------------------------------------------------------


def share(app, broker: Broker) -> set[int]:
    return {tp.partition for tp in app.consumer.assignment() if tp.topic == broker.name("waves")}


@in_loop
async def test_workers_share_the_partitions_and_one_takes_over_when_the_other_goes(broker: Broker):
    one, two = broker.app(), broker.app()
    first, second = Sink(one, broker.topic(one)), Sink(two, broker.topic(two))

    async with running(one), sender(broker) as send:
        assert share(one, broker) == {0, 1, 2, 3}
        async with running(two):
            await until(
                lambda: bool(share(one, broker)) and bool(share(two, broker)) and not one.rebalancing, "both work"
            )
            assert share(one, broker) | share(two, broker) == {0, 1, 2, 3}
            assert not share(one, broker) & share(two, broker)
            for value in numbered(80):
                await send("waves", None, value, partition=int(value) % 4)
            await until(lambda: len(set(first.values) | set(second.values)) == 80, "all have come")
            assert {e.message.partition for e in second.events} <= share(two, broker)
            assert second.events, "the second worker has work"
        await until(lambda: share(one, broker) == {0, 1, 2, 3} and not one.rebalancing, "the first took over")
        for value in numbered(80, start=80):
            await send("waves", None, value, partition=int(value) % 4)
        await until(lambda: {int(v) for v in [*first.values, *second.values]} == set(range(160)), "none is lost")


@in_loop
async def test_a_partition_that_is_taken_over_is_read_again_from_a_warm_window_before(broker: Broker):
    one, two = (broker.app(rewind={"waves": Rewind(messages=10)}) for _ in range(2))
    first, second = Sink(one, broker.topic(one)), Sink(two, broker.topic(two))
    async with running(one), sender(broker) as send:
        async with running(two):
            await until(lambda: len(share(one, broker)) == len(share(two, broker)) == 2, "both work")
            await until(lambda: not one.rebalancing and not two.rebalancing, "both are ready")
            for value in numbered(200):
                await send("waves", None, value, partition=int(value) % 4)
            await until(lambda: len(first.events) + len(second.events) == 200, "each was handled once")
            moved = share(two, broker)
            first.events.clear()
        await until(lambda: share(one, broker) == {0, 1, 2, 3} and not one.rebalancing, "the first took over")
        await until(lambda: len(first.events) >= 40, "the windows are warm")
    again = defaultdict(list)
    for event in first.events:
        again[event.message.partition].append(event.message.offset)
    assert len(moved) == 2
    assert {partition: again[partition] for partition in moved} == {p: list(range(40, 50)) for p in moved}


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
    began = time.monotonic()
    await app.stop()
    took = time.monotonic() - began
    assert took < (0.5 if broker.kind == "embedded" else 5.0), f"stopping took {took:.2f} s"
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
        async with running(app):
            await sink.until(40 - first)
    assert sink.offsets[0] >= first > 0
    assert sink.offsets == list(range(sink.offsets[0], 40))
