"""The topology: seven topics, and the agents between them.

    waves ──▶ window ──▶ vitals ──▶ alarm ──▶ alarms ──┐
      │          └─ mailbox ─ inference ─▶ predictions ─┼─▶ show ─▶ feeds, subscribers
      └────────────────────────────────────────────────┘
    commands ──▶ command      beds ──▶ show      whatever cannot be read ──▶ deadletters

The same factory builds it on ``embedded://NAME`` for one process and on ``kafka://`` for many workers. Topics are raw:
agents decode, validate and dead-letter. Whatever leaves an agent takes the app down, visibly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import faust

from models.signals.errors import BadInput, VigilError
from streams.codec import DecodeError
from streams.faust_settings import faust_settings
from streams.records import TOPICS, AnyRecord, WaveTick
from streams.stages import AlarmStage, CommandStage, FollowStage, ShowStage, WindowStage
from streams.transport import install
from streams.wire import Outbox, Wire

Handle = Callable[[AnyRecord], Awaitable[None]]


@dataclass(slots=True)
class Stages:
    """What this process does. A worker without a display has no ``show``; a display alone has nothing else; a source
    alone has ``command`` and ``follow``."""

    window: WindowStage | None = None
    alarm: AlarmStage | None = None
    show: ShowStage | None = None
    command: CommandStage | None = None
    follow: FollowStage | None = None


class CrashingApp(faust.App):
    """Dies of what leaves an agent. Faust's own commits the message, forgets the agent's state and goes on."""

    prefix = ""
    """Of the names of its topics: several wards may share a broker."""

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
    on_ready: Callable[[], None] = lambda: None,
) -> CrashingApp:
    """The Faust app of one worker, ready to start.

    session: what its dead letters are filed under. broker: ``embedded://NAME`` or ``kafka://HOST:PORT``. group: the
    consumer group; workers of one group share the beds. only_own: leave the records of other sessions alone (a broker
    may be shared; a worker for all comers handles them). prefix: of the names of the topics. on_ready: called in the
    loop once partitions are assigned and messages flow.
    """
    app = CrashingApp(
        group or f"vigil-{session}", **faust_settings(broker=broker, partitions=partitions, offset_reset=offset_reset)
    )
    app.prefix = prefix
    install(app)
    wire = Wire(session, outbox)
    topic = {name: _raw_topic(app, prefix + name, partitions) for name in TOPICS}

    def agent(
        source: str, name: str, handle: Handle, *, owner: bool, refuses: tuple[type[VigilError], ...] = ()
    ) -> None:
        """An agent on ``source`` that hands every readable record to ``handle``, which may refuse one by raising."""

        async def run(stream: faust.StreamT[Any]) -> None:
            async for event in stream.events():
                record = wire.read(event, owner=owner)
                if record is None or (only_own and record.session != session):
                    continue
                try:
                    await handle(record)
                except refuses as error:
                    wire.refuse(event, error)

        app.agent(topic[source], name=f"{name}_{source}")(run)

    if (window := stages.window) is not None:
        agent("waves", "window", _ticks_only(window.handle), owner=True, refuses=(BadInput, DecodeError))
    if (alarm := stages.alarm) is not None:
        for source in ("vitals", "predictions"):
            agent(source, "alarm", _bound(alarm.handle, source), owner=True)
    if (show := stages.show) is not None:
        # Who reads a topic alone answers for its dead letters; nobody does for those of the dead letters themselves.
        alone = {"beds": True, "waves": window is None, "vitals": alarm is None, "predictions": alarm is None,
                 "commands": stages.command is None, "alarms": True, "deadletters": False}  # fmt: skip
        for source in TOPICS:
            agent(source, "show", _bound(show.handle, source), owner=alone[source])
    if (follow := stages.follow) is not None:
        agent("vitals", "follow", follow.handle, owner=False)
    if (command := stages.command) is not None:
        agent("commands", "command", command.handle, owner=True, refuses=(BadInput,))

    async def ready() -> None:
        on_ready()
        await outbox.pump(app)

    app.task(ready)
    return app


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


def _bound(handle: Callable[[str, AnyRecord], Awaitable[None]], source: str) -> Handle:
    return lambda record: handle(source, record)


def _ticks_only(handle: Callable[[WaveTick], Awaitable[None]]) -> Handle:
    async def checked(record: AnyRecord) -> None:
        if not isinstance(record, WaveTick):
            raise DecodeError(f"The topic waves carries ticks, not records of the kind {type(record).__name__}.")
        await handle(record)

    return checked
