"""The embedded hub by itself: logs, retention, partitions, threads, end of life."""

from __future__ import annotations

import threading

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from streams.transport import Hub, HubClosed, Retention, UnknownTopic, hub
from streams.transport.hub import _key_hash
from streams.transport.log import KeyRequired, PartitionLog


@given(
    sizes=st.lists(st.integers(0, 30), max_size=200),
    messages=st.integers(1, 40),
    limit=st.integers(1, 300),
    total=st.integers(1, 50),
)
def test_a_log_is_the_newest_part_of_what_was_appended(sizes, messages, limit, total):
    log = PartitionLog(Retention(messages=messages, bytes=limit))
    for offset, size in enumerate(sizes):
        assert log.append(None, b"x" * size, float(offset)) == offset
        kept = log.read(0, 10_000)
        assert [record.offset for record in kept] == list(range(log.earliest, offset + 1))
        assert [len(record.value) for record in kept] == sizes[log.earliest : offset + 1]
        assert log.bytes == sum(sizes[log.earliest : offset + 1])
        # Within the bounds, and not smaller than need be; the newest message stays however large it is.
        assert len(kept) <= messages and (log.bytes <= limit or len(kept) == 1)
        if log.earliest > 0:
            assert len(kept) == messages or log.bytes + sizes[log.earliest - 1] > limit
    assert log.next_offset == len(sizes)
    for start in range(-1, len(sizes) + 2):
        expected = list(range(max(start, log.earliest), len(sizes)))[:total]
        assert [record.offset for record in log.read(start, total)] == expected


@given(st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 255))), max_size=400))
def test_compaction_keeps_what_a_table_needs(operations):
    log = PartitionLog(Retention(messages=1, bytes=1), compact=True)
    log._compact_at = 16  # as if it had been compacted before: small enough for the test to see it happen
    table: dict[bytes, bytes] = {}
    for number, value in operations:
        key, data = b"%d" % number, None if value is None else b"%d" % value
        log.append(key, data, 0.0)
        table.pop(key, None) if data is None else table.__setitem__(key, data)
    replayed: dict[bytes, bytes] = {}
    records = log.read(0, 10_000)
    for record in records:
        replayed.pop(record.key, None) if record.value is None else replayed.__setitem__(record.key, record.value)
    assert replayed == table
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    if operations:
        assert offsets[-1] == len(operations) - 1, "a table knows that it has recovered by reaching the last record"
    for start in range(len(operations) + 1):
        assert [r.offset for r in log.read(start, 3)] == [o for o in offsets if o >= start][:3]


def test_a_compacted_log_stays_small_and_needs_keys():
    log = PartitionLog(Retention(), compact=True)
    for i in range(50_000):
        log.append(b"%d" % (i % 10), b"x" * 10, 0.0)
    assert len(log) < 2048
    assert log.bytes == sum(11 for _ in log.read(0, 10_000))
    with pytest.raises(KeyRequired, match="Expected a key"):
        log.append(None, b"x", 0.0)


def test_a_log_forgets_by_age_and_frees_its_memory():
    log = PartitionLog(Retention(seconds=10.0))
    for i in range(20_000):
        log.append(None, b"x", float(i))
    assert (log.earliest, log.next_offset, len(log)) == (19_989, 20_000, 11)
    assert len(log._records) < 10_000


def test_age_spares_what_a_working_group_still_needs():
    with Hub("h", retention=Retention(messages=50, seconds=10.0)) as h:
        h.create_topic("waves")
        h.group("slow").join("worker", None, lambda: True)
        h.group("gone").commit({("waves", 0): 0})  # has no members any more
        h.commit("slow", {("waves", 0): 3})
        for i in range(40):
            h.produce("waves", None, b"x", timestamp=float(i))
        assert h.earliest("waves", 0) == 3
        h.commit("slow", {("waves", 0): 40})
        h.produce("waves", None, b"x", timestamp=40.0)
        assert h.earliest("waves", 0) == 30
        h.group("slow").leave("worker")
        for _ in range(100):
            h.produce("waves", None, b"x", timestamp=40.0)
        assert h.earliest("waves", 0) == 91, "the hard bound spares nobody"


@pytest.mark.parametrize("bounds", [{"messages": 0}, {"bytes": 0}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_impossible_retention_is_refused(bounds):
    with pytest.raises(ValueError, match="positive"):
        Retention(**bounds)


def test_offsets_are_found_by_time():
    with Hub("h") as h:
        h.create_topic("waves")
        for stamp in (10.0, 20.0, 30.0):
            h.produce("waves", None, b"x", timestamp=stamp)
        assert [h.offset_at("waves", 0, t) for t in (0.0, 10.0, 10.5, 30.0, 30.1)] == [0, 0, 1, 2, None]


# Golden values of Kafka's own test of Utils.murmur2 (org.apache.kafka.common.utils.UtilsTest), as signed 32-bit.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", MURMUR2)
def test_keys_are_hashed_as_kafka_does(key):
    assert _key_hash(key) == MURMUR2[key] & 0x7FFFFFFF


@given(st.binary(max_size=40), st.integers(1, 64))
def test_a_key_chooses_the_partition_that_kafka_would(key, partitions):
    with Hub("h") as h:
        h.create_topic("waves", partitions)
        assert h.partition_for("waves", key) == DefaultPartitioner()(key, list(range(partitions)), [])
        assert h.produce("waves", key, b"x") == (h.partition_for("waves", key), 0)


def test_messages_without_a_key_go_round():
    with Hub("h") as h:
        h.create_topic("waves", 3)
        assert [h.produce("waves", None, b"x") for _ in range(6)] == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_a_topic_that_exists_stays_as_it_is():
    with Hub("h") as h:
        assert h.create_topic("waves", 3)
        assert not h.create_topic("waves", 5)
        assert h.topics() == {"waves": 3}
        with pytest.raises(ValueError, match="at least 1 partition"):
            h.create_topic("none", 0)


def test_a_wrong_topic_or_partition_is_named():
    with Hub("h") as h:
        h.create_topic("waves", 2)
        with pytest.raises(UnknownTopic, match="found 'wave'"):
            h.fetch("wave", 0, 0, 1)
        with pytest.raises(UnknownTopic, match="below 2, found 2"):
            h.fetch("waves", 2, 0, 1)
        with pytest.raises(UnknownTopic, match="below 2, found 7"):
            h.produce("waves", b"k", b"x", partition=7)


def test_producers_in_many_threads_lose_nothing_and_keep_their_order():
    with Hub("h") as h:
        h.create_topic("waves", 2)
        told = threading.Event()
        h.listen(["waves"], told.set)
        barrier = threading.Barrier(5)

        def produce(name: int) -> None:
            barrier.wait()
            for i in range(1000):
                h.produce("waves", b"bed-%d" % name, b"%d" % i)

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        barrier.wait()
        seen: dict[bytes, list[int]] = {b"bed-%d" % n: [] for n in range(4)}
        position = [0, 0]
        while sum(len(values) for values in seen.values()) < 4000:
            assert told.wait(10), "a message came without notice"
            told.clear()
            for partition in (0, 1):
                while records := h.fetch("waves", partition, position[partition], 64):
                    assert records[0].offset == position[partition]
                    position[partition] = records[-1].offset + 1
                    for record in records:
                        seen[record.key].append(int(record.value))
        for thread in threads:
            thread.join()
        assert all(values == list(range(1000)) for values in seen.values())


def test_groups_have_their_own_offsets():
    with Hub("h") as h:
        h.create_topic("waves", 2)
        for _ in range(5):
            h.produce("waves", b"k", b"x", partition=1)
        h.commit("one", {("waves", 1): 3})
        assert h.committed("one", "waves", 1) == 3
        assert h.committed("one", "waves", 0) is None
        assert h.committed("other", "waves", 1) is None


def test_a_hub_lives_as_long_as_its_session():
    first = hub("Bed-Session")
    assert hub("bed-session") is first, "URLs fold case"
    first.create_topic("waves")
    first.produce("waves", None, b"x" * 100)
    woken = []
    first.listen(["waves"], lambda: woken.append(1))
    first.close()
    first.close()
    assert woken and first.closed
    for use in (
        lambda: first.produce("waves", None, b"x"),
        lambda: first.fetch("waves", 0, 0, 1),
        lambda: first.create_topic("other"),
        lambda: first.group("g"),
    ):
        with pytest.raises(HubClosed, match="closed with its session"):
            use()
    with hub("bed-session") as second:
        assert second is not first
        assert second.topics() == {}


def test_listeners_are_told_until_they_leave():
    with Hub("h") as h:
        h.create_topic("waves")
        told = []

        def notify() -> None:
            told.append(h.highwater("waves", 0))  # may use the hub: no lock is held

        h.listen(["waves"], notify)
        h.listen(["waves"], notify)
        h.produce("waves", None, b"x")
        h.unlisten(notify)
        h.produce("waves", None, b"x")
        assert told == [1]
