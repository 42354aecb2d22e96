"""What Vigil needs of any Faust consumer beyond Faust 0.15.3, as a mixin for the embedded and the Kafka transport.

1. A fetch loop that dies takes the app down. Faust's own leaves a worker that calls itself ready and does nothing.
2. Topics may be *rewound*: after a restart or failover they are read again from before the committed offset, so that
   whoever cuts windows finds its window warm. Faust seeks to the committed offsets *after* the partitions-assigned
   callbacks, so this has to happen in the consumer (``perform_seek``), and the committed offsets stay as they are,
   lest repeated failovers rewind ever further.
3. A group without a committed offset keeps the place it started from. Faust forgets it when messages arrive while
   the flow is stopped, and with ``latest`` would skip them.
4. When the buffers of all partitions were full, fetching goes on as soon as there is room, not after Faust's fixed
   second of sleep.
5. What was handled is committed before partitions are given up: fewer duplicates for the next owner.
6. A message that is taken at once, as nearly all are, costs no task. Faust's fetch loop makes four for each, to race
   its being taken against the end of the flow.
7. Who comes back to partitions that another has gone on with meanwhile reads them again as one who never had them, and
   says nothing more of what it had in hand (:meth:`GuardedConsumer.may_say`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from faust.transport.consumer import Consumer
from faust.types import TP, Message
from mode.services import WaitResults

ROOM_LOOK_S = 0.05  # while the buffer of a partition is full
LEASE_LOOK_S = 0.05  # from one look to the next at a lease that has run out


@dataclass(frozen=True, slots=True)
class Rewind:
    """How far before the committed offset a topic is read again; the further of the two bounds counts.

    messages: that many messages of each partition.
    seconds: back to the first message whose timestamp is at most this old now.
    """

    messages: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.messages < 0 or self.seconds < 0:
            raise ValueError(f"a rewind goes back, so its bounds are not negative, got {self}")


class FetchLoopEnded(RuntimeError):
    """The fetch loop returned or was cancelled although nobody stopped the app."""


class GuardedConsumer(Consumer):
    """Mixin; put it before a concrete consumer. ``transport.rewind`` maps topic names to :class:`Rewind`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started_at: dict[TP, int] = {}
        self.rewound_until: dict[TP, int] = {}
        """Where reading went back: the offset from which on messages are new to the group."""
        self.told_until: dict[TP, int] = {}
        """Of topics that are rewound: what was there when the partition came here, whoever has handled it or not."""
        # In the last rebalance, with what was committed then: what they say is known here, should they come back.
        self._given_up: dict[TP, int | None] = {}
        self._superseded: set[TP] = set()  # of them, those with which another has gone on
        self._assignments = 0
        self._handled: dict[TP, int] = {}  # newest offset that was
        self._room: asyncio.Future[None] | None = None

    # -- 1: visible death -----------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            await super()._drain_messages(fetcher)
        except asyncio.CancelledError as exc:
            await self._crash_unless_stopping(fetcher, exc)
            raise
        except Exception as exc:
            await self.app.crash(exc)
            raise
        else:
            await self._crash_unless_stopping(fetcher, None)

    async def _crash_unless_stopping(self, fetcher: Any, cause: BaseException | None) -> None:
        if self.app.should_stop or self.should_stop or fetcher.should_stop or self.app.rebalancing:
            return
        ended = FetchLoopEnded("the fetch loop ended although nobody stopped the app")
        ended.__cause__ = cause
        await self.app.crash(ended)

    # -- 2 and 3: where reading starts ----------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Faust's own, then back by what a topic's :class:`Rewind` asks, of partitions that were another's before."""
        await super().perform_seek()
        self._assignments += 1
        self._superseded = {
            tp for tp, was in self._given_up.items() if (self._committed_offset[tp] or 0) > (was or 0)
        }  # fmt: skip
        rewinds: Mapping[str, Rewind] = getattr(self.transport, "rewind", {})
        targets: dict[TP, int] = {}
        taken_over: list[TP] = []
        for assigned in self.assignment():
            tp = TP(assigned.topic, assigned.partition)
            committed = self._committed_offset[tp]
            if self._is_changelog_tp(tp):
                continue  # tables place these themselves
            if committed is None:
                start = self._started_at.get(tp)
                if start is None:
                    position = await self.position(tp)
                    if position is not None:
                        self._started_at[tp] = position
                else:
                    targets[tp] = start
            elif tp.topic in rewinds and (tp not in self._given_up or tp in self._superseded):
                taken_over.append(tp)
                target = await self._rewound(tp, committed, rewinds[tp.topic])
                if target < committed:
                    targets[tp] = target
                    self.rewound_until[tp] = committed
        if taken_over:
            there = await self.highwaters(*taken_over)
            self.told_until |= {tp: there[tp] for tp in taken_over}
        if targets:
            await self.seek_wait(targets)
            for tp, offset in targets.items():
                self._read_offset[tp] = offset or None

    async def _rewound(self, tp: TP, committed: int, rewind: Rewind) -> int:
        target = committed - rewind.messages
        if rewind.seconds:
            found = await self._offset_at(tp, time.time() - rewind.seconds)
            if found is not None:
                target = min(target, found)
        return max(target, (await self.earliest_offsets(tp))[tp])

    async def _offset_at(self, tp: TP, timestamp: float) -> int | None:
        """Offset of the first message at or after ``timestamp`` (seconds since 1970), None if there is none."""
        raise NotImplementedError

    def lag(self) -> int:
        """Messages of its partitions that came and are not handled yet, as of the last commit and fetch."""
        behind = 0
        for assigned in self.assignment():
            tp = TP(assigned.topic, assigned.partition)
            newest = self._newest(tp)
            committed = self._committed_offset[tp]
            done = self._started_at.get(tp) if committed is None else committed
            if newest is not None and done is not None:
                behind += max(0, newest - done)
        return behind

    def _newest(self, tp: TP) -> int | None:
        """The offset that the next message will get; None while it is not known."""
        return self.highwater(tp)

    def ack(self, message: Message) -> bool:
        """Faust's own, and nothing acked stays among the unacked."""
        done = super().ack(message)
        if message.acked:
            tp = TP(message.topic, message.partition)
            self._handled[tp] = max(self._handled.get(tp, -1), message.offset)
            # Faust forgets to do this for offsets before the committed one, and then waits for them when it stops.
            self._unacked_messages.discard(message)
        return done

    # -- 7: who may speak ----------------------------------------------------------------------------------------

    def lease_holds(self) -> bool:
        """Whether nobody else can have been given the partitions of this member; always so in one process."""
        return True

    async def may_say(self, partition: int) -> bool:
        """Waits until it is known whether what was in hand of the beds of ``partition`` is still this member's to say.
        At once, and True, as long as the lease holds."""
        if self.lease_holds():
            return True
        before = self._assignments
        while not self.lease_holds() or self.app.rebalancing:
            await asyncio.sleep(LEASE_LOOK_S)
        return self._assignments == before or self._is_mine(partition, self._superseded)

    async def has(self, partition: int) -> bool:
        """Whether ``partition`` is this member's, for who comes with what it found of it a while ago. Waits where that
        is in doubt: until the broker has said so, and while the partitions are shared out anew."""
        before = self._assignments
        while not self.lease_holds() or self.app.rebalancing:
            await asyncio.sleep(LEASE_LOOK_S)
        return self._is_mine(partition, self._superseded if self._assignments != before else ())

    def _is_mine(self, partition: int, superseded: Iterable[TP]) -> bool:
        return partition in {tp.partition for tp in self.assignment()} - {tp.partition for tp in superseded}

    # -- 4: no second of sleep ------------------------------------------------------------------------------------

    async def _wait_next_records(self, timeout: float) -> Any:
        if not self.app.client_only and self.flow_active and not self._get_active_partitions():
            self._room = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._room}, timeout=timeout)
            self._room = None
            return {}, self._get_active_partitions()
        if not self.app.client_only and len(self._get_active_partitions()) < len(self.assignment()):
            timeout = min(
                timeout, ROOM_LOOK_S
            )  # a fetch waits for those that have room; another may get some meanwhile
        return await super()._wait_next_records(timeout)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def on_buffer_drop(self, tp: TP) -> None:
        """Faust's own, and a fetch that waits for room looks again."""
        super().on_buffer_drop(tp)
        self._make_room()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Faust's own, and a fetch that waits for room looks again."""
        super().resume_partitions(tps)
        self._make_room()

    def stop_flow(self) -> None:
        """Faust's own, and a fetch that waits for room looks again."""
        super().stop_flow()
        self._make_room()

    # -- 6: no tasks for what is done at once --------------------------------------------------------------------

    async def sleep(self, n: Any) -> None:
        """Faust's own; none at all, as after every fetch, only lets the others run."""
        await (asyncio.sleep(0) if n == 0 else super().sleep(n))

    async def wait_first(self, *waits: Any, timeout: Any = None) -> Any:
        """Faust's own, where the first of ``waits`` is not over at once."""
        if timeout is not None or len(waits) < 2 or not asyncio.iscoroutine(waits[0]):
            return await super().wait_first(*waits, timeout=timeout)
        first, others = waits[0], waits[1:]
        try:
            waited_for = first.send(None)
        except StopIteration as done:
            for other in others:
                if asyncio.iscoroutine(other):
                    other.close()
            return WaitResults([first], [done.value], False)
        return await super().wait_first(_going_on(first, waited_for), *others)

    # -- 5: commit before giving up -------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commits what was handled before the partitions go."""
        if revoked and not self.app.should_stop:
            await self.commit()
        # One that was still being read again is not known yet, and is read again from the beginning.
        self._given_up = {
            tp: self._committed_offset[tp]
            for tp in revoked
            if self._handled.get(tp, -1) + 1 >= self.rewound_until.get(tp, 0)
        }
        for tp in revoked:
            self._started_at.pop(tp, None)
        await super().on_partitions_revoked(revoked)


async def _going_on(begun: Coroutine[Any, Any, Any], waited_for: Any) -> Any:
    """A coroutine that was begun and waits, as one that can be made a task."""
    return await _Begun(begun, waited_for)


class _Begun:
    def __init__(self, begun: Coroutine[Any, Any, Any], waited_for: Any) -> None:
        self._begun, self._waited_for = begun, waited_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waited_for = self._waited_for
        while True:
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001 (a cancellation, too, is its own)
                step = partial(self._begun.throw, error)
            else:
                step = partial(self._begun.send, sent)
            try:
                waited_for = step()
            except StopIteration as done:
                return done.value
