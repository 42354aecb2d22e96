"""The process-wide broker behind ``embedded://NAME``: topics, partitions, retention, offsets and groups.

A hub is what a Kafka cluster is to ``kafka://``: producers append to partitioned, append-only logs of bounded
length; consumers read from any offset and commit per group. It knows no Faust and no event loop, so that sources may
append from their own threads. Everything here is guarded by one lock, held for microseconds and never across a call
to a listener.

Keys choose partitions by Kafka's default partitioner (murmur2 of the key, sign bit cleared, modulo the number of
partitions; ``org.apache.kafka.clients.producer.internals.BuiltInPartitioner``), taken from aiokafka, so that a bed
lies in the same partition on either broker. Messages without a key go round the partitions in turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from itertools import count

from models.signals.errors import VigilError
from streams.transport.group import Group, TopicPartition
from streams.transport.log import PartitionLog, Record, Retention

__all__ = ["Hub", "HubClosed", "Record", "Retention", "UnknownTopic", "hub"]


class HubClosed(VigilError):
    """The hub was closed with its session; whoever still uses it outlived the session."""


class UnknownTopic(VigilError):
    """A topic or partition that was never declared on this hub."""


@lru_cache(maxsize=4096)
def _key_hash(key: bytes) -> int:
    # aiokafka's murmur2 is pure Python (about 10 µs a key); beds are few, hence the cache. Imported here because
    # sources that only append without keys need no Kafka client at start-up.
    from aiokafka.partitioner import murmur2

    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed


class _Topic:
    """A topic's partitions, and who wants to know of new messages."""

    __slots__ = ("listeners", "logs", "turn")

    def __init__(self, partitions: int, retention: Retention, compact: bool) -> None:
        self.logs = [PartitionLog(retention, compact) for _ in range(partitions)]
        self.listeners: tuple[Callable[[], object], ...] = ()
        self.turn = count()


class Hub:
    """Topics, offsets and consumer groups of one name, for one process.

    default_partitions: partitions of a topic that is used before it is declared.
    retention: bound of each partition of a topic declared without its own.
    """

    def __init__(self, name: str, *, default_partitions: int = 1, retention: Retention | None = None) -> None:
        if default_partitions < 1:
            raise ValueError(f"a topic needs at least 1 partition, got {default_partitions}")
        self.name = name
        self._default_partitions = default_partitions
        self._retention = retention or Retention()
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, Group] = {}
        self._lock = threading.Lock()
        self._closed = False

    # -- topics ---------------------------------------------------------------------------------------------------

    def create_topic(
        self,
        topic: str,
        partitions: int | None = None,
        *,
        retention: Retention | None = None,
        compact: bool = False,
    ) -> bool:
        """Declare a topic; True if it is new. As on Kafka, a topic that exists is left as it is."""
        if partitions is not None and partitions < 1:
            raise ValueError(f"a topic needs at least 1 partition, got {partitions} for {topic!r}")
        with self._lock:
            self._check_open()
            if topic in self._topics:
                return False
            self._topics[topic] = _Topic(partitions or self._default_partitions, retention or self._retention, compact)
            return True

    def topics(self) -> dict[str, int]:
        """Name -> number of partitions of every topic."""
        with self._lock:
            return {name: len(topic.logs) for name, topic in self._topics.items()}

    def partitions(self, topic: str) -> int:
        """Number of partitions of a topic."""
        with self._lock:
            return len(self._topic(topic).logs)

    def partition_for(self, topic: str, key: bytes | None) -> int:
        """The partition a message with this key goes to."""
        with self._lock:
            return self._partition_for(self._topic(topic), key)

    # -- messages -------------------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        key: bytes | None = None,
        value: bytes | None = None,
        *,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> tuple[int, int]:
        """Append one message from any thread; returns (partition, offset). Never waits.

        timestamp: seconds since 1970 (default: now). A topic not yet declared is created with the default number of
        partitions, as Kafka's ``auto.create.topics.enable`` does.
        """
        stamp = time.time() if timestamp is None else timestamp
        with self._lock:
            self._check_open()
            entry = self._topics.get(topic)
            if entry is None:
                entry = self._topics[topic] = _Topic(self._default_partitions, self._retention, False)
            if partition is None:
                partition = self._partition_for(entry, key)
            elif not 0 <= partition < len(entry.logs):
                raise UnknownTopic(
                    f"Expected a partition of {topic!r} below {len(entry.logs)}, found {partition}; "
                    "leave the partition to the key."
                )
            needed_from = partial(self._needed_from, (topic, partition))
            offset = entry.logs[partition].append(key, value, stamp, headers, needed_from)
            listeners = entry.listeners
        for notify in listeners:
            notify()
        return partition, offset

    def fetch(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        """At most ``limit`` messages from ``offset`` on; from the earliest kept one if ``offset`` is gone."""
        with self._lock:
            self._check_open()
            return self._log(topic, partition).read(offset, limit)

    def earliest(self, topic: str, partition: int) -> int:
        """Offset of the oldest message kept (the next offset if there is none)."""
        with self._lock:
            return self._log(topic, partition).earliest

    def highwater(self, topic: str, partition: int) -> int:
        """Offset that the next message will get."""
        with self._lock:
            return self._log(topic, partition).next_offset

    def offset_at(self, topic: str, partition: int, timestamp: float) -> int | None:
        """Offset of the first message at or after ``timestamp`` (seconds since 1970), None if there is none."""
        with self._lock:
            return self._log(topic, partition).offset_at(timestamp)

    # -- listeners ------------------------------------------------------------------------------------------------

    def listen(self, topics: Iterable[str], notify: Callable[[], object]) -> None:
        """Call ``notify`` (from the producer's thread) after every append to these topics and on close."""
        with self._lock:
            self._check_open()
            for name in topics:
                entry = self._topic(name)
                if notify not in entry.listeners:
                    entry.listeners = (*entry.listeners, notify)

    def unlisten(self, notify: Callable[[], object]) -> None:
        """Forget a listener; unknown ones are ignored."""
        with self._lock:
            for entry in self._topics.values():
                entry.listeners = tuple(one for one in entry.listeners if one != notify)

    # -- groups ---------------------------------------------------------------------------------------------------

    def group(self, name: str) -> Group:
        """The consumer group of this name; made on first use."""
        with self._lock:
            self._check_open()
            found = self._groups.get(name)
            if found is None:
                found = self._groups[name] = Group(name)
            return found

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Note that a group needs nothing before these offsets any more."""
        self.group(group).commit(offsets)

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        """The offset a group committed last, None if it never did."""
        return self.group(group).committed((topic, partition))

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether its session has ended."""
        return self._closed

    def close(self) -> None:
        """End the hub: its memory goes, its name is free again, whoever still waits on it is woken and told."""
        with _registry_lock:
            if _registry.get(self.name) is self:
                del _registry[self.name]
        with self._lock:
            self._closed = True
            listeners = {notify for entry in self._topics.values() for notify in entry.listeners}
            groups = list(self._groups.values())
            self._topics.clear()
            self._groups.clear()
        for notify in listeners:
            notify()
        for group in groups:
            group.wake_all()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- inside the lock ------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise HubClosed(
                f"Expected an open embedded hub {self.name!r}, found it closed with its session; "
                "stop the workers before the session."
            )

    def _topic(self, name: str) -> _Topic:
        self._check_open()
        try:
            return self._topics[name]
        except KeyError:
            raise UnknownTopic(
                f"Expected a topic declared on the embedded hub {self.name!r}, found {name!r}; "
                "declare it with internal=True."
            ) from None

    def _log(self, topic: str, partition: int) -> PartitionLog:
        logs = self._topic(topic).logs
        if not 0 <= partition < len(logs):
            raise UnknownTopic(
                f"Expected a partition of {topic!r} below {len(logs)}, found {partition}; check the assignment."
            )
        return logs[partition]

    def _needed_from(self, tp: TopicPartition) -> int | None:
        """The first offset that a group with members has not yet committed."""
        offsets = [group.committed(tp) for group in self._groups.values() if group.members()]
        return min((offset for offset in offsets if offset is not None), default=None)

    @staticmethod
    def _partition_for(entry: _Topic, key: bytes | None) -> int:
        if key is None:
            return next(entry.turn) % len(entry.logs)
        return _key_hash(key) % len(entry.logs)


_registry: dict[str, Hub] = {}
_registry_lock = threading.Lock()


def hub(name: str) -> Hub:
    """The open hub of this name in this process; made on first use. URLs fold case, so do names."""
    name = name.lower()
    with _registry_lock:
        found = _registry.get(name)
        if found is None:
            found = _registry[name] = Hub(name)
        return found
