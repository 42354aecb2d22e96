"""What Vigil and Faust need of a transport, part 2 of 3: rewinding, tables, several workers.

Stated once and run unchanged on the embedded hub and on a real Kafka. A difference between the two found in use belongs
here first, as a test that fails on one of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

from streams.transport import Rewind
from tests.transport.harness import (
    KEYS,
    Broker,
    Sink,
    in_loop,
    numbered,
    running,
    send_all,
    sender,
    until,
)

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
        await until(lambda: len(first.events) >= 20, "the windows are warm")
    again = defaultdict(list)
    for event in first.events:
        again[event.message.partition].append(event.message.offset)
    assert len(moved) == 2
    # What was its own all along it knows.
    assert dict(again) == {p: list(range(40, 50)) for p in moved}


@in_loop
async def test_a_rebalance_while_a_partition_is_read_again_begins_that_anew(broker: Broker):
    async with sender(broker) as send:
        await send.declare("waves", partitions=4)
        for value in numbered(200):
            await send("waves", None, value, partition=int(value) % 4)
        before = broker.app()
        sink = Sink(before, broker.topic(before))
        async with running(before):
            await sink.until(200)
    one, two = (broker.app(rewind={"waves": Rewind(messages=10)}) for _ in range(2))
    go_on = asyncio.Event()

    async def hold(event: Any) -> None:
        if not go_on.is_set() and event.message.offset == 42:
            await go_on.wait()

    first, second = Sink(one, broker.topic(one), hold), Sink(two, broker.topic(two))
    async with running(one):
        await first.until(3)
        first.events.clear()
        async with running(two):
            go_on.set()
            await until(lambda: len(share(one, broker)) == len(share(two, broker)) == 2, "both work")
            await until(lambda: not one.rebalancing and not two.rebalancing, "both are ready")
            wanted = {(partition, offset) for partition in range(4) for offset in range(40, 50)}

            def whole() -> bool:
                read = {(e.message.partition, e.message.offset) for e in [*first.events, *second.events]}
                return wanted <= read

            await until(whole, "every partition was read again")
