"""The topology: six topics, and the agents between them.

    waves ──▶ window ──▶ vitals ──▶ alarm ──▶ alarms ──┐
      │          └─ mailbox ─ inference ─▶ predictions ─┼─▶ show ─▶ feeds, subscribers
      └────────────────────────────────────────────────┘
    commands ──▶ command                     whatever cannot be read ──▶ deadletters

The same factory builds it on ``embedded://NAME`` for one process and on ``kafka://`` for many workers. Topics are raw:
agents decode, validate and dead-letter. Whatever leaves an agent takes the app down, visibly.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import faust
from faust.types import EventT

from models.signals.errors import BadInput, VigilError
from streams.codec import DecodeError, decode, encode
from streams.faust_settings import faust_settings
from streams.records import TOPICS, AnyRecord, DeadLetter, WaveTick
from streams.stages import AlarmStage, CommandStage, ShowStage, WindowStage
from streams.transport import install

_HEAD_BYTES = 64
# Two agents read each message; the second finds it decoded.
_decode = lru_cache(maxsize=512)(decode)


@dataclass(slots=True)
class Stages:
    """What this worker does. A worker without a display has no ``show``; a display alone has nothing else."""

    window: WindowStage | None = None
    alarm: AlarmStage | None = None
    show: ShowStage | None = None
    command: CommandStage | None = None


@dataclass(slots=True)
class Wire:
    """The app's side of the wire: records in and out, dead letters, and when each partition was last heard."""

    session: str
    outbox: Outbox
    last_message: dict[tuple[str, int], float] = field(default_factory=dict)

    def read(self, event: EventT, *, owner: bool) -> AnyRecord | None:
        """The event's record; None for one that cannot be read, which its ``owner`` puts among the dead letters."""
        message = event.message
        self.last_message[message.topic, message.partition] = time.monotonic()
        try:
            return _decode(message.value)
        except DecodeError as error:
            if owner:
                self.refuse(event, error)
            return None

    def refuse(self, event: EventT, error: VigilError) -> None:
        """Put the event's message among the dead letters."""
        message = event.message
        value: bytes = message.value or b""
        letter = DeadLetter(
            bed=(message.key or b"?")[:32].decode("utf-8", "replace") or "?",
            session=self.session,
            epoch=0,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=str(error)[:1000],
            size=len(value),
            head=value[:_HEAD_BYTES],
        )
        self.outbox.post("deadletters", letter.bed, encode(letter))


class Outbox:
    """Messages from any thread to the app's producer, in order."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes, bytes]] = deque()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crash: Callable[[BaseException], Awaitable[None]] | None = None

    def post(self, topic: str, bed: str, message: bytes) -> None:
        """From any thread; before the app runs it is kept, after its end it goes nowhere."""
        self._messages.append((topic, bed.encode(), message))
        loop, news = self._loop, self._news
        if loop is not None and news is not None and not loop.is_closed():
            loop.call_soon_threadsafe(news.set)

    async def pump(self, app: faust.App) -> None:
        """Hand everything to the producer until cancelled."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        while True:
            while self._messages:
                await deliver(app, *self._messages.popleft())
            await self._news.wait()
            self._news.clear()


async def deliver(app: faust.App, topic: str, key: bytes, message: bytes) -> None:
    """Send one raw message; a delivery that fails later takes the app down."""
    sent: Any = await app.producer.send(topic, key, message, None, None, None)
    if sent.done():
        sent.result()
    else:
        sent.add_done_callback(lambda done: _check(app, done))


def _check(app: faust.App, done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        app.add_future(app.crash(error))


def make_send(app_of: Callable[[], faust.App]) -> Callable[[str, AnyRecord], Awaitable[None]]:
    """How stages send: encode, key by bed, never wait for the broker."""

    async def send(topic: str, record: AnyRecord) -> None:
        await deliver(app_of(), topic, record.bed.encode(), encode(record))

    return send


class CrashingApp(faust.App):
    """Dies of what leaves an agent. Faust's own commits the message, forgets the agent's state and goes on."""

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
    on_ready: Callable[[], None] = lambda: None,
) -> tuple[faust.App, Wire]:
    """The Faust app of one worker, ready to start.

    session: what its dead letters are filed under. broker: ``embedded://NAME`` or ``kafka://HOST:PORT``. group: the
    consumer group; workers of one group share the beds. on_ready: called in the loop once partitions are assigned
    and messages flow.
    """
    app = CrashingApp(
        group or f"vigil-{session}", **faust_settings(broker=broker, partitions=partitions, offset_reset=offset_reset)
    )
    install(app)
    wire = Wire(session, outbox)
    topic = {name: _raw_topic(app, name, partitions) for name in TOPICS}

    def agent(source: str, name: str, handle: Callable[[AnyRecord], Awaitable[None]], *, owner: bool) -> None:
        """An agent on ``source`` that hands every readable record to ``handle``."""

        async def run(stream: faust.StreamT) -> None:
            async for event in stream.events():
                record = wire.read(event, owner=owner)
                if record is None:
                    continue
                try:
                    await handle(record)
                except (BadInput, DecodeError) as error:
                    wire.refuse(event, error)

        app.agent(topic[source], name=f"{name}_{source}")(run)

    if (window := stages.window) is not None:
        agent("waves", "window", _ticks_only(window.handle), owner=True)
    if (alarm := stages.alarm) is not None:
        for source in ("vitals", "predictions"):
            agent(source, "alarm", _bound(alarm.handle, source), owner=True)
    if (show := stages.show) is not None:
        # Who reads a topic alone answers for its dead letters; nobody does for those of the dead letters themselves.
        alone = {"waves": window is None, "vitals": alarm is None, "predictions": alarm is None,
                 "commands": stages.command is None, "alarms": True, "deadletters": False}  # fmt: skip
        for source in TOPICS:
            agent(source, "show", _bound(show.handle, source), owner=alone[source])
    if (command := stages.command) is not None:
        agent("commands", "command", command.handle, owner=True)

    @app.task
    async def ready() -> None:
        on_ready()
        await outbox.pump(app)

    return app, wire


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


def _bound(handle: Callable[[str, AnyRecord], Awaitable[None]], source: str) -> Callable[[AnyRecord], Awaitable[None]]:
    return lambda record: handle(source, record)


def _ticks_only(handle: Callable[[WaveTick], Awaitable[None]]) -> Callable[[AnyRecord], Awaitable[None]]:
    async def checked(record: AnyRecord) -> None:
        if not isinstance(record, WaveTick):
            raise DecodeError(f"The topic waves carries ticks, not records of the kind {type(record).__name__}.")
        await handle(record)

    return checked
