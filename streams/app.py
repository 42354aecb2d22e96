"""The topology: seven topics, and the agents between them.

    waves ──▶ window ──▶ vitals ──▶ alarm ──▶ alarms ──┐
      │          └─ mailbox ─ inference ─▶ predictions ─┼─▶ show ─▶ feeds, subscribers
      └────────────────────────────────────────────────┘
    commands ──▶ command, alarm, explain      beds ──▶ show      whatever cannot be read ──▶ deadletters

The same factory builds it on ``embedded://NAME`` for one process and on ``kafka://`` for many workers. Topics are raw:
agents decode, validate and dead-letter. Whatever leaves an agent takes the app down, visibly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import faust
from faust.types import TP, EventT

from models.signals.errors import BadInput, VigilError
from streams.alarm_stage import AlarmStage
from streams.codec import DecodeError
from streams.faust_settings import faust_settings
from streams.records import TOPICS, AnyRecord, MemoryRecord, PredictionRecord, WaveTick
from streams.sessions import same_source
from streams.stages import CommandStage, FollowStage, ShowStage, WindowStage
from streams.transport import Rewind, install
from streams.transport.kafka_options import KafkaOptions
from streams.wire import Outbox, Wire

log = logging.getLogger("vigil.stream")

Handle = Callable[[AnyRecord, bool], Awaitable[None]]
"""Takes a record; True: it was handled before, by this process or another, and only warms what is remembered."""


@dataclass(slots=True)
class Stages:
    """What this process does. A worker without a display has no ``show``; a display alone has nothing else; a source
    alone has ``command`` and ``follow``."""

    window: WindowStage | None = None
    alarm: AlarmStage | None = None
    show: ShowStage | None = None
    command: CommandStage | None = None
    follow: FollowStage | None = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads a topic. owner: answers for what cannot be read. refuses: what its ``handle`` raises at a record that
    it takes for a dead letter."""

    name: str
    handle: Handle
    owner: bool
    refuses: tuple[type[VigilError], ...] = ()


SILENCE_S = 5.0  # of a topic that is read again first

WARMING = ("waves", "vitals", "predictions")
"""Topics whose readers have a state: windows, numerics, alarms."""


class CrashingApp(faust.App):
    """Dies of what leaves an agent. Faust's own commits the message, forgets the agent's state and goes on."""

    prefix = ""
    """Of the names of its topics: several wards may share a broker."""

    sharing = False
    """Whether it is one of several that share the beds."""

    async def may_say(self, bed: bytes, *, found_later: bool = False) -> bool:
        """Whether what was found of a bed is this worker's to say; waits, where its membership is in doubt.
        found_later: not while its tick was handled, so that the bed may be another's by now."""
        consumer: Any = self.consumer
        if not self.sharing or (consumer.lease_holds() and not found_later):
            return True
        partition = consumer.key_partition(f"{self.prefix}waves", bed)
        if partition is None:
            return True
        return bool(await (consumer.has(partition) if found_later else consumer.may_say(partition)))

    def on_init_dependencies(self) -> Iterable[Any]:
        """Without Faust's own statistics, which nobody reads: they took a twelfth of what a message costs."""
        services = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return services

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        await self.crash(exc)


def create_app(
    session: str,
    stages: Stages,
    outbox: Outbox,
    *,
    broker: str,
    partitions: int = 1,
    offset_reset: str = "latest",
    group: str | None = None,
    only_own: bool = False,
    prefix: str = "",
    rewind_s: float = 0.0,
    kafka: KafkaOptions | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> CrashingApp:
    """The Faust app of one worker, ready to start.

    session: what its dead letters are filed under. broker: ``embedded://NAME`` or ``kafka://HOST:PORT``. group: the
    consumer group; workers of one group share the beds. only_own: leave the records of other sessions alone (a broker
    may be shared; a worker for all comers handles them). prefix: of the names of the topics. rewind_s: who takes
    over partitions reads so much of what feeds its state again, as warming (:data:`WARMING`). kafka: what a Kafka is
    asked for. on_ready: called in the loop once partitions are assigned and messages flow.
    """
    app = CrashingApp(
        group or f"vigil-{session}",
        **faust_settings(broker=broker, partitions=partitions, offset_reset=offset_reset, kafka=kafka),
    )
    app.prefix, app.sharing = prefix, group is not None
    install(app, {prefix + name: Rewind(seconds=rewind_s) for name in WARMING} if rewind_s else None)
    wire = Wire(session, outbox)
    topic = {name: _raw_topic(app, prefix + name, partitions) for name in TOPICS}

    first = {name: _ReadFirst(app, prefix + name) for name in ("vitals", "predictions")}
    readers: dict[str, list[_Reader]] = {}

    def reads(
        source: str, name: str, handle: Handle, *, owner: bool, refuses: tuple[type[VigilError], ...] = ()
    ) -> None:
        """Every readable record on ``source`` goes to ``handle``, which may refuse one by raising."""
        readers.setdefault(source, []).append(_Reader(name, handle, owner, refuses))

    if (show := stages.show) is not None:
        # Who reads a topic alone answers for its dead letters; nobody does for those of the dead letters themselves.
        alone = {"beds": True, "waves": stages.window is None, "vitals": stages.alarm is None,
                 "predictions": stages.alarm is None, "commands": stages.command is None, "alarms": True,
                 "deadletters": False}  # fmt: skip
        for source in TOPICS:  # first of all: what is to be seen waits for nothing that is found in it
            reads(source, "show", _new(partial(show.handle, source)), owner=alone[source])
    if (window := stages.window) is not None:
        reads("waves", "window", _ticks_only(window.handle), owner=True, refuses=(BadInput, DecodeError))
        reads("commands", "explain", _new(window.explain), owner=False)
    if (alarm := stages.alarm) is not None:
        for source in ("vitals", "predictions"):
            reads(source, "alarm", partial(alarm.handle, source), owner=True, refuses=(BadInput,))
        reads("commands", "alarm", partial(alarm.handle, "commands"), owner=False, refuses=(BadInput,))
    if (follow := stages.follow) is not None:
        for source in ("vitals", "beds"):
            reads(source, "follow", _new(follow.handle), owner=False)
    if (command := stages.command) is not None:
        reads("commands", "command", _new(command.handle), owner=True, refuses=(BadInput,))

    def agent(source: str, its: list[_Reader]) -> None:
        """One agent a topic, whoever reads it: each of them a stream of its own would cost every tick as much again."""

        progress = _Progress(app)
        owner, warms = any(one.owner for one in its), any(one.name == "window" for one in its)
        memories = first.get(source) if any(one.name == "alarm" for one in its) else None

        async def run(stream: faust.StreamT[Any]) -> None:
            async for event in stream.events():
                again = progress.again(event)
                if again is Again.ELSEWHERE and warms:
                    for topic_read in first.values():
                        await topic_read.read(event.message.partition)
                record = None if again is Again.HERE else wire.read(event, owner=owner and again is Again.NO)
                if record is not None and not (only_own and not same_source(record.session, session)):
                    if memories is not None and window is not None:
                        memories.pass_on(event, record, window)
                    for one in its:
                        try:
                            await one.handle(record, again is not Again.NO)
                        except one.refuses as error:
                            wire.refuse(event, error)
                if memories is not None:
                    memories.note(event)

        app.agent(topic[source], name=source)(run)

    for source, its in readers.items():
        agent(source, its)

    async def ready() -> None:
        on_ready()
        await outbox.pump(app)

    app.task(ready)
    return app


class Again(Enum):
    """Whether a message was handled before: not, by another process of the group, or by this one."""

    NO = 0
    ELSEWHERE = 1
    HERE = 2


class _Progress:
    """How far an agent is, by partition: after a rewind messages come again."""

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._handled: dict[TP, int] = {}

    def again(self, event: EventT[Any]) -> Again:
        """Asked once for each message, in order."""
        message = event.message
        tp = TP(message.topic, message.partition)
        if message.offset >= getattr(self._app.consumer, "rewound_until", {}).get(tp, 0):
            self._handled[tp] = message.offset
            return Again.NO
        if message.offset <= self._handled.get(tp, -1):
            return Again.HERE
        self._handled[tp] = message.offset
        return Again.ELSEWHERE


class _ReadFirst:
    """Of partitions that were taken over, the vitals and predictions that are there are read before the waves: what the
    worker before knew of a bed is among them, and is gone on with from the tick on that it is of; and which windows it
    has told. To the last one, for that worker may have told more than it had read itself."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._app, self._topic, self._of_windows = app, topic, topic.endswith("predictions")
        self._next: dict[TP, int] = {}
        self._news = asyncio.Event()

    def note(self, event: EventT[Any]) -> None:
        """A message of the topic has been handled."""
        message = event.message
        self._next[TP(message.topic, message.partition)] = message.offset + 1
        self._news.set()

    def pass_on(self, event: EventT[Any], record: AnyRecord, window: WindowStage) -> None:
        """What another worker remembered, and of which windows it told, goes to the windows; what this one said is
        known."""
        message = event.message
        tp = TP(message.topic, message.partition)
        if isinstance(record, MemoryRecord) and message.offset < self._until(tp):
            read = getattr(self._app.consumer, "rewound_until", {}).get(tp, 0)
            window.inherit(record, message.offset < read)
        elif isinstance(record, PredictionRecord | WaveTick) and self._of_windows and message.offset < self._until(tp):
            window.note_told(record)

    async def read(self, partition: int) -> None:
        """Until what was there of the partition when it came here has been read; where nothing more comes for 5 s (it
        may have fallen out of retention), the waves go on without."""
        tp = TP(self._topic, partition)
        while self._next.get(tp, 0) < self._until(tp):
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), SILENCE_S)
            except TimeoutError:
                log.warning("%s-%s: no more to read first; beds go on without what was known of them", *tp)
                self._next[tp] = self._until(tp)

    def _until(self, tp: TP) -> int:
        if tp not in self._app.consumer.assignment():
            return 0
        return int(getattr(self._app.consumer, "told_until", {}).get(tp, 0))


def _raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    """Bytes in, bytes out; declared with the app, since a topic added later waits 45 s."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        internal=True,
        allow_empty=True,
    )


def _ticks_only(handle: Callable[[WaveTick, bool], Awaitable[None]]) -> Handle:
    async def checked(record: AnyRecord, warming: bool) -> None:
        if not isinstance(record, WaveTick):
            raise DecodeError(f"The topic waves carries ticks, not records of the kind {type(record).__name__}.")
        await handle(record, warming)

    return checked


def _new(handle: Callable[[AnyRecord], Awaitable[None]]) -> Handle:
    """For an agent without a state to warm."""

    async def only_new(record: AnyRecord, warming: bool) -> None:
        if not warming:
            await handle(record)

    return only_new
