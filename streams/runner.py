"""The stream thread: the Faust app in an event loop of its own, its sign of life and the watch over it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from models.signals.errors import VigilError
from streams.codec import encode
from streams.records import TOPICS, AnyRecord
from streams.stages import Send
from streams.transport.credits import Wait
from streams.transport.hub import hub
from streams.transport.kafka_options import KafkaOptions
from streams.wire import Outbox

if TYPE_CHECKING:
    from streams.app import CrashingApp, Stages

EMBEDDED = "embedded://"
HEARTBEAT_S = 0.25
DRAIN_LOOK_S = 0.01
LAG_BEATS = 4  # beats from one look at the lag to the next
LATE_S = 1.0  # a beat that comes so late shows that the loop itself was held up, and nobody could read
AWAY_S = 5.0  # a broker that is asked every second has answered nothing for so long: it is away
HAND_OVER_S = 1.5  # at the end, for the broker to take what was sent; then as long again for the rest of the farewell
STALL_S = 5.0  # a stage has had ticks to handle for so long and handled none: the stream is dead


class StreamStalled(VigilError):
    """Ticks are there to be read and nobody reads them."""


class StallWatch:
    """Tells a stream that stands still from one that has nothing to do. Pure: every look brings its own time.

    What counts is the time since a tick became readable and is still unread, never the time since the last one was
    read: between the two may lie a pause of any length. Time in which the stage was entitled to wait, or in which the
    loop did not run (a stopped process, a machine that slept), does not count either.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._looked_ns: int | None = None
        self._excused_ns = 0

    def look(self, wait: Wait | None, now_ns: int) -> None:
        """Raise StreamStalled if ``wait`` is too long. wait: the longest one now, None where nobody is to read."""
        late = self._looked_ns is not None and now_ns - self._looked_ns > LATE_S * 1e9
        self._looked_ns = now_ns
        if wait is None or late:
            self._excused_ns = now_ns
            return
        still_s = (now_ns - max(wait.since_ns, self._excused_ns)) / 1e9
        if still_s > self._stall_s:
            bed = "" if wait.lane is None else f" of bed {wait.lane}"
            raise StreamStalled(
                f"The stream stands still: for {still_s:.0f} s the stage {wait.stage!r} has read "
                f"none of the ticks{bed} that wait for it."
            )


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a process shares a broker with others. group: consumers that share the beds among them, each message handled
    by one of them and none skipped; "" is read by this process alone, from now on. partitions: of every topic, the most
    processes that can share. prefix: of the names of the topics. only_own: leave the records of other sessions alone.
    rewind_s: of what was handled before, read again to know it. kafka: what a Kafka is asked for.
    """

    group: str = ""
    partitions: int = 1
    prefix: str = ""
    only_own: bool = True
    rewind_s: float = 0.0
    kafka: KafkaOptions = field(default_factory=KafkaOptions)


class StreamRunner:
    """Runs one worker. :meth:`run` is the body of its thread and raises whatever took the app down.

    make_stages: builds what the worker does, given how its stages send; called in the loop. unread: the longest wait
    of a tick to be read, None where none waits or the stage is entitled to let it; asked in the loop. on_ready: called
    in the loop once messages flow. sharing: with whom it shares the broker; by default it is alone there. owns_broker:
    an embedded one ends with it. posting: whether somebody may still post what has to be sent before the end.
    """

    def __init__(
        self,
        session: str,
        broker: str,
        make_stages: Callable[[Send], Stages],
        unread: Callable[[], Wait | None],
        on_ready: Callable[[], None],
        *,
        sharing: Sharing | None = None,
        owns_broker: bool = True,
        posting: Callable[[], bool] = lambda: False,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._posting = posting
        self._session, self._broker, self._make_stages = session, broker, make_stages
        self._unread, self._on_ready, self._now = unread, on_ready, monotonic_ns
        self._sharing, self._owns_broker = sharing or Sharing(), owns_broker
        self._outbox = Outbox()
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._stopping = False
        self.heartbeat_ns = self._now()
        """Monotonic time of the loop's last sign of life."""
        self._heard_ns: int | None = None
        self._gave_up = False
        self.other_wards: tuple[str, ...] = ()
        """Prefixes that others have on this Kafka, where nobody had this one before: it may be misspelt."""
        self.lag: int | None = None
        """Messages that came to its consumer and are not handled yet; None while it has none."""

    def post(self, topic: str, bed: str, message: bytes) -> None:
        """Send a message, from any thread; kept until the app runs."""
        self._outbox.post(topic, bed, message)

    @property
    def waiting(self) -> int:
        """Messages that the broker has not taken yet."""
        return self._outbox.waiting

    @property
    def undelivered(self) -> int:
        """Messages that the broker has not taken, those under way among them; after the end, those that are lost."""
        return self._outbox.undelivered

    @property
    def away_s(self) -> float:
        """For how long the broker has not answered; 0 while that may be chance, and on an embedded one."""
        silent_s = 0.0 if self._heard_ns is None else (self._now() - self._heard_ns) / 1e9
        return silent_s if silent_s > AWAY_S else 0.0

    @property
    def dead_letters(self) -> int:
        """Messages that it could not use."""
        return self._outbox.dead_letters

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run ``call`` in the loop, from any thread; nothing where there is no loop any more."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)

    def stop(self) -> None:
        """Let :meth:`run` return, from any thread, before or after it began."""
        with self._lock:
            self._stopping = True
            if self._loop is not None and self._stop_event is not None:
                self._loop.call_soon_threadsafe(self._stop_event.set)

    def run(self) -> None:
        """Until :meth:`stop`, or until something takes the app down, which is raised."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        with self._lock:
            self._loop, self._stop_event = asyncio.get_running_loop(), stop
            if self._stopping:
                stop.set()
        try:
            if not self._broker.startswith(EMBEDDED):
                await _unless(stop, self._ensure_topics())
            if not stop.is_set():
                await self._serve(stop)
        finally:
            with self._lock:
                self._loop = None

    async def _ensure_topics(self) -> None:
        from streams.transport.kafka_topics import ensure_topics

        address = self._broker.partition("://")[2]
        sharing = self._sharing
        self.other_wards = await ensure_topics(
            address, TOPICS, partitions=sharing.partitions, prefix=sharing.prefix, kafka=sharing.kafka
        )

    async def _serve(self, stop: asyncio.Event) -> None:
        from streams.app import create_app  # Faust: 0.65 s

        made: list[CrashingApp] = []
        app = create_app(
            self._session,
            self._make_stages(_sender(made, self._outbox)),
            self._outbox,
            broker=self._broker,
            # An embedded hub begins and ends with the session, so there is nothing older to skip.
            offset_reset="earliest" if self._broker.startswith(EMBEDDED) or self._sharing.group else "latest",
            group=self._sharing.group or None,
            partitions=self._sharing.partitions,
            prefix=self._sharing.prefix,
            only_own=self._sharing.only_own,
            rewind_s=self._sharing.rewind_s,
            kafka=self._sharing.kafka,
            on_ready=self._on_ready,
        )
        made.append(app)
        try:
            await self._until_over(app, stop)
        finally:
            crashed = app.crash_reason is not None
            await self._wind_up(app)
            if self._broker.startswith(EMBEDDED) and self._owns_broker:
                hub(self._broker.removeprefix(EMBEDDED)).close()
        if app.crash_reason is not None and (crashed or not self._gave_up):
            raise app.crash_reason

    async def _wind_up(self, app: CrashingApp) -> None:
        """Hand over what was posted and stop the app: in twice :data:`HAND_OVER_S` and little more, however the broker
        is. A broker that was away already is waited for no longer than it takes to find that out."""
        loop = asyncio.get_running_loop()
        until = loop.time() + (HAND_OVER_S if not self.away_s else HAND_OVER_S / 4)
        while self._outbox.pumping and app.crash_reason is None and (self._posting() or self._outbox.undelivered):
            if loop.time() > until:
                self._give_up(app)
                break
            await asyncio.sleep(DRAIN_LOOK_S)
        giving_up = loop.call_later(HAND_OVER_S, self._give_up, app)
        try:
            await app.stop()
        finally:
            giving_up.cancel()

    def _give_up(self, app: CrashingApp) -> None:
        """Nobody waits for the broker any longer."""
        self._gave_up = True
        self._outbox.give_up()
        for part in (app._consumer, app._producer):  # the properties would make them
            if part is not None and hasattr(part, "give_up"):
                part.give_up()

    async def _until_over(self, app: CrashingApp, stop: asyncio.Event) -> None:
        """Start the app and stay until it stops, dies, stands still or is told to end."""
        starting = asyncio.ensure_future(app.start())
        over = {asyncio.ensure_future(c) for c in (stop.wait(), app.wait_until_stopped(), self._beat(app))}
        try:
            done, _ = await asyncio.wait({starting, *over}, return_when=asyncio.FIRST_COMPLETED)
            if done == {starting}:
                starting.result()
                done, _ = await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (starting, *over):
                task.cancel()
            await asyncio.gather(starting, *over, return_exceptions=True)

    async def _beat(self, app: CrashingApp) -> None:
        watch = StallWatch(STALL_S)
        for beat in itertools.count():
            wait, self.heartbeat_ns = self._unread(), self._now()
            self._look(app)
            # Nobody can read where the broker is away; that is told apart from a stream that stands still.
            away = self._heard_ns is not None and self.heartbeat_ns - self._heard_ns > LATE_S * 1e9
            watch.look(None if away else wait, self.heartbeat_ns)
            if beat % LAG_BEATS == 0:
                self.lag = _lag(app)
            await asyncio.sleep(HEARTBEAT_S)

    def _look(self, app: CrashingApp) -> None:
        self._heard_ns = getattr(app.consumer, "heard_ns", None) if app.started else None


def _lag(app: CrashingApp) -> int | None:
    """None before the consumer has begun."""
    from faust.exceptions import ConsumerNotStarted

    consumer: Any = app.consumer if app.started else None
    try:
        return None if consumer is None else int(consumer.lag())
    except ConsumerNotStarted:
        return None


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """``work``, given up where ``stop`` is set before it is done; raises what it raises."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _sender(made: list[CrashingApp], outbox: Outbox) -> Send:
    """How stages send: encoded, keyed by bed, never waiting for the broker. ``made`` gets the app once it is built."""

    async def send(topic: str, record: AnyRecord) -> None:
        await outbox.deliver(made[0], topic, record.bed.encode(), encode(record))

    return send
