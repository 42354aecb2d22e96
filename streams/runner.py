"""The stream thread: the Faust app in an event loop of its own, its sign of life and the watch over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from models.signals.errors import VigilError
from streams.codec import encode
from streams.records import AnyRecord
from streams.stages import Send
from streams.transport.hub import hub
from streams.wire import Outbox, Wire, deliver

if TYPE_CHECKING:
    import faust

    from streams.app import Stages

EMBEDDED = "embedded://"
HEARTBEAT_S = 0.25
STALL_S = 5.0  # no tick read for so long although some are under way: the stream is dead


class StreamStalled(VigilError):
    """Ticks are under way and nobody reads them."""


class StreamRunner:
    """Runs one worker. :meth:`run` is the body of its thread and raises whatever took the app down.

    make_stages: builds what the worker does, given how its stages send; called in the loop. unread: how many ticks
    are under way while nobody is entitled to hold them up. on_ready: called in the loop once messages flow.
    """

    def __init__(
        self,
        session: str,
        broker: str,
        make_stages: Callable[[Send], Stages],
        unread: Callable[[], int],
        on_ready: Callable[[], None],
    ) -> None:
        self._session, self._broker, self._make_stages = session, broker, make_stages
        self._unread, self._on_ready = unread, on_ready
        self._outbox = Outbox()
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._stopping = False
        self.heartbeat_ns = time.monotonic_ns()
        """Monotonic time of the loop's last sign of life."""

    def post(self, topic: str, bed: str, message: bytes) -> None:
        """Send a message, from any thread; kept until the app runs."""
        self._outbox.post(topic, bed, message)

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
        asyncio.run(self._run())

    async def _run(self) -> None:
        from streams.app import create_app  # Faust: 0.65 s

        made: list[faust.App] = []
        app, wire = create_app(
            self._session,
            self._make_stages(_sender(made)),
            self._outbox,
            broker=self._broker,
            # An embedded hub begins and ends with the session, so there is nothing older to skip.
            offset_reset="earliest" if self._broker.startswith(EMBEDDED) else "latest",
            only_own=True,
            on_ready=self._on_ready,
        )
        made.append(app)
        with self._lock:
            self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
            if self._stopping:
                self._stop_event.set()
        try:
            await self._until_over(app, wire, self._stop_event)
        finally:
            with self._lock:
                self._loop = None
            await app.stop()
            if self._broker.startswith(EMBEDDED):
                hub(self._broker.removeprefix(EMBEDDED)).close()
        if app.crash_reason is not None:
            raise app.crash_reason

    async def _until_over(self, app: faust.App, wire: Wire, stop: asyncio.Event) -> None:
        """Start the app and stay until it stops, dies, stands still or is told to end."""
        starting = asyncio.ensure_future(app.start())
        over = {asyncio.ensure_future(c) for c in (stop.wait(), app.wait_until_stopped(), self._beat(wire))}
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

    async def _beat(self, wire: Wire) -> None:
        while True:
            self.heartbeat_ns = time.monotonic_ns()
            check_progress(wire.last_message, self._unread(), time.monotonic())
            await asyncio.sleep(HEARTBEAT_S)


def check_progress(last_message: dict[tuple[str, int], float], unread: int, now: float) -> None:
    """Raise StreamStalled if ticks are under way and no partition of ``waves`` was read for ``STALL_S``.

    last_message: (topic, partition) -> monotonic seconds at which its last message was read. Credits run out soon
    after one partition stops, so in the end none is read.
    """
    ages = {partition: now - at for (topic, partition), at in last_message.items() if topic == "waves"}
    if unread and ages and min(ages.values()) > STALL_S:
        oldest = ", ".join(f"{age:.0f} s ago in partition {partition}" for partition, age in sorted(ages.items()))
        raise StreamStalled(f"The stream stands still: the last ticks were read {oldest}, and {unread} wait.")


def _sender(made: list[faust.App]) -> Send:
    """How stages send: encoded, keyed by bed, never waiting for the broker. ``made`` gets the app once it is built."""

    async def send(topic: str, record: AnyRecord) -> None:
        await deliver(made[0], topic, record.bed.encode(), encode(record))

    return send
