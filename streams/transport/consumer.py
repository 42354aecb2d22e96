"""The embedded transport's consumer: a member of a hub's consumer group, in the event loop of its app."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from faust.assignor.partition_assignor import PartitionAssignor
from faust.types import TP, ConsumerMessage
from mode import Service
from mode.utils.times import want_seconds

from models.signals.errors import BadInput
from streams.transport.group import Group, Lead, Rejoin, Take
from streams.transport.guarded import GuardedConsumer
from streams.transport.hub import Hub, Record
from streams.transport.log import Retention

if TYPE_CHECKING:
    from streams.transport.transport import EmbeddedTransport

# A fetch hands over at most so many messages in all, so that a newly busy topic waits no longer than they take.
MAX_POLL_RECORDS = 512

_member_numbers = itertools.count(1)


class Wakeup:
    """An event that other threads may set and one coroutine awaits; many settings before a wait count once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> bool:
        """From any thread; False if the event loop is closed: there is nobody left to wake."""
        if self._loop.is_closed():
            return False
        if not self._set:
            self._set = True
            self._loop.call_soon_threadsafe(self._rouse)
        return True

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout: float | None = None) -> None:
        """Until set (then unset again) or ``timeout`` seconds."""
        if not self._set:
            # A bare future costs no task, unlike asyncio.Event under wait_for: this runs once per fetch.
            self._waiter = self._loop.create_future()
            if not self._set:
                await asyncio.wait({self._waiter}, timeout=timeout)
            self._waiter = None
        self._set = False


class HubCluster:
    """The view of the cluster that Faust's assignor asks for: a topic's partitions."""

    def __init__(self, hub: Hub) -> None:
        self._topics = hub.topics()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Numbers of a topic's partitions; None where there is no such topic."""
        partitions = self._topics.get(topic)
        return None if partitions is None else set(range(partitions))


class EmbeddedConsumer(GuardedConsumer):
    """Reads the partitions that the app's own assignor gives it, from the offsets its group has committed."""

    transport: EmbeddedTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.member = f"{self.app.conf.id}-{next(_member_numbers)}"
        self.lapsed = 0  #: messages that retention dropped before this consumer read them
        self._topics: frozenset[str] = frozenset()
        self._subscribed = False
        self._assigned: frozenset[TP] = frozenset()
        self._position: dict[TP, int] = {}
        self._generation = 0

    @property
    def hub(self) -> Hub:
        """The hub that it reads from."""
        return self.transport.hub

    @property
    def _group(self) -> Group:
        return self.hub.group(self.app.conf.id)

    @property
    def _assignor(self) -> PartitionAssignor:
        # Always the app's own: without it tables do not know which changelog partitions to recover from.
        return cast(PartitionAssignor, self.app.assignor)

    # -- life and membership --------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Listens before the first fetch."""
        loop = asyncio.get_running_loop()
        self._news = Wakeup(loop)  # new messages
        self._call = Wakeup(loop)  # something about the group
        await super().on_start()

    async def on_stop(self) -> None:
        """Leaves the group and wakes whoever waits."""
        await super().on_stop()
        if not self.hub.closed:
            self._group.leave(self.member)
            self.hub.unlisten(self._news.set)
        self._call.set()
        self._news.set()

    def close(self) -> None:
        """Wakes a fetch that waits."""
        self._news.set()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Set the topics and join the group (or join it anew). Unknown topics are made, as Kafka does."""
        self._topics = frozenset(topics)
        self._subscribed = True
        partitions = self.app.conf.topic_partitions
        for topic in self._topics:
            self.hub.create_topic(topic, partitions)
        self.hub.listen(self._topics, self._news.set)
        if self.app.client_only:
            self._place({TP(topic, p) for topic in self._topics for p in range(self.hub.partitions(topic))})
        else:
            await self._join()

    async def _join(self) -> None:
        # The order is Kafka's: the app learns of the rebalance, gives up what it has, and only then joins.
        self.app.on_rebalance_start()
        await self.on_partitions_revoked(set(self._assigned))
        self._group.join(self.member, self._assignor.metadata(set(self._topics)), self._call.set)

    @Service.task
    async def _stay_in_group(self) -> None:
        try:
            while not self.should_stop:
                if self._subscribed and not self.app.client_only and not self.hub.closed:
                    await self._follow_group()
                else:
                    await self._call.wait()
        except Exception as exc:
            await self.app.crash(exc)
            raise

    async def _follow_group(self) -> None:
        step = self._group.step(self.member)
        if isinstance(step, Rejoin):
            await self._join()
        elif isinstance(step, Lead):
            assignments = self._assignor.assign(cast(Any, HubCluster(self.hub)), dict(step.members))
            self._group.sync(step.generation, assignments)
        elif isinstance(step, Take):
            await self._take(step.generation, step.assignment)
        else:
            await self._call.wait()

    async def _take(self, generation: int, assignment: ConsumerProtocolMemberAssignment) -> None:
        self._assignor.on_assignment(assignment)
        self._generation = generation
        self.app.consumer_generation_id = generation
        self._place({TP(topic, p) for topic, partitions in assignment.assignment for p in partitions})
        await self.on_partitions_assigned(set(self._assigned), generation)

    def _place(self, assigned: set[TP]) -> None:
        for tp in self._assigned - assigned:
            self._position.pop(tp, None)
        self._assigned = frozenset(assigned)
        for tp in assigned:
            committed = None if self.app.client_only else self.hub.committed(self.app.conf.id, *tp)
            self._position[tp] = self._first_offset(tp) if committed is None else committed

    def _first_offset(self, tp: TP) -> int:
        policy = self.app.conf.consumer_auto_offset_reset
        if policy == "earliest":
            return self.hub.earliest(*tp)
        if policy == "latest":
            return self.hub.highwater(*tp)
        raise BadInput(
            "an offset reset of 'earliest' or 'latest'",
            f"{policy!r} and no committed offset for {tp.topic}-{tp.partition}",
            "set consumer_auto_offset_reset",
        )

    def assignment(self) -> set[TP]:
        """The partitions that it has now."""
        return set(self._assigned)

    # -- fetching -------------------------------------------------------------------------------------------------

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        if not self.flow_active:
            return {}
        records = self._fetch(active_partitions)
        if not records:
            await self._news.wait(timeout)
            if self.flow_active and not self.should_stop:
                records = self._fetch(self._get_active_partitions() if active_partitions is not None else None)
        return records

    def _fetch(self, active: set[TP] | None) -> dict[TP, list[Record]]:
        wanted = self._assigned if active is None else self._assigned & active
        limit = max(1, (self.app.conf.broker_max_poll_records or MAX_POLL_RECORDS) // max(1, len(wanted)))
        found: dict[TP, list[Record]] = {}
        for tp in wanted:
            position = self._position[tp]
            records = self.hub.fetch(tp.topic, tp.partition, position, limit)
            if records:
                self._note_lapse(tp, position, records[0].offset)
                self._position[tp] = records[-1].offset + 1
                found[tp] = records
        return found

    def _note_lapse(self, tp: TP, position: int, first: int) -> None:
        # A compacted changelog has gaps by design; elsewhere a gap means that retention overtook this reader.
        if first > position and not self._is_changelog_tp(tp):
            self.lapsed += first - position
            self.log.warning(
                "%s-%s: %s messages fell out of retention before %s read them",
                tp.topic, tp.partition, first - position, self.app.conf.id,
            )  # fmt: skip

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        key, value = record.key, record.value
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            0,  # CreateTime
            list(record.headers),
            key,
            value,
            None,
            len(key) if key else 0,
            len(value) if value else 0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _make_room(self) -> None:
        super()._make_room()
        if self.started:
            self._news.set()  # a fetch that waits for news of others looks again, and does not outlast the flow

    # -- offsets --------------------------------------------------------------------------------------------------

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to its committed offset; without one it stays where it is (None)."""
        committed: dict[TP, int] = {}
        for tp in self._assigned:
            offset = self.hub.committed(self.app.conf.id, *tp)
            committed[tp] = cast(int, offset)
            if offset is not None:
                self._position[tp] = offset
        return committed

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if self.hub.closed:
            return False
        plain = {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
        return self._group.commit(plain, self.member, self._generation)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._position[partition] = offset
        self._news.set()

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Reads on from these offsets."""
        for tp, offset in partitions.items():
            await self.seek(tp, offset)

    async def position(self, tp: TP) -> int | None:
        """The next offset that it reads; None where none is known."""
        return self._position.get(tp)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """The oldest offsets that the hub still has."""
        return {tp: self.hub.earliest(tp.topic, tp.partition) for tp in partitions}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """The offsets that the next messages will get."""
        return {tp: self.hub.highwater(tp.topic, tp.partition) for tp in partitions}

    def highwater(self, tp: TP) -> int:
        """The offset that the next message will get."""
        return self.hub.highwater(tp.topic, tp.partition)

    async def _offset_at(self, tp: TP, timestamp: float) -> int | None:
        return self.hub.offset_at(tp.topic, tp.partition, timestamp)

    # -- topics ---------------------------------------------------------------------------------------------------

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:
        """Declares the topic in the hub."""
        declare_topic(self.hub, topic, partitions, **options)

    def topic_partitions(self, topic: str) -> int | None:
        """How many a topic has; None where there is no such topic."""
        return self.hub.topics().get(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Where a key belongs; None where there is no such topic."""
        if topic not in self.hub.topics():
            return None
        return self.hub.partition_for(topic, key) if partition is None else partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)


def declare_topic(
    hub: Hub,
    topic: str,
    partitions: int,
    *,
    config: Mapping[str, Any] | None = None,
    retention: Any = None,
    compacting: bool | None = None,
    **_of_brokers: Any,
) -> None:
    """Faust's ``create_topic`` on a hub.

    Understands ``retention`` and Kafka's topic settings ``retention.ms``, ``retention.bytes`` and ``cleanup.policy``;
    replication and the other settings of brokers mean nothing inside one process.
    """
    config = config or {}
    default = Retention()
    seconds = want_seconds(retention) if retention else None
    if float(config.get("retention.ms", -1)) > 0:
        seconds = float(config["retention.ms"]) / 1000.0
    size = int(config.get("retention.bytes", -1))
    compact = bool(compacting) or "compact" in str(config.get("cleanup.policy", ""))
    bound = Retention(bytes=size if size > 0 else default.bytes, seconds=seconds or default.seconds)
    hub.create_topic(topic, partitions, retention=None if bound == default else bound, compact=compact)
