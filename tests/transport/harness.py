"""What the conformance tests share: a broker of either kind, apps on it, and agents that note what they are given."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import faust

from streams.faust_settings import faust_settings
from streams.transport import Rewind, install

TIMEOUT_S = 30.0
KEYS = [f"bed-{n}".encode() for n in range(16)]
_names = itertools.count(1)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in a fresh event loop; whatever it leaves behind there is an error."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def guarded() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 2 * TIMEOUT_S)
            left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
            if left:  # tasks that were cancelled just now need a moment to notice
                await asyncio.wait(left, timeout=10.0)
            left = [repr(task) for task in left if not task.done()]
            assert not left, f"tasks left behind: {left}"

        asyncio.run(guarded())

    return run


@dataclass
class Broker:
    """``embedded`` or ``kafka`` and its URL. Names are unique per test, so that tests share one Kafka."""

    kind: str
    url: str
    prefix: str = field(default_factory=lambda: f"t{next(_names)}")

    def name(self, suffix: str) -> str:
        return f"{self.prefix}-{suffix}"

    def app(
        self,
        group: str = "g",
        *,
        reset: str = "earliest",
        partitions: int = 4,
        rewind: dict[str, Rewind] | None = None,
        **overrides: Any,
    ) -> faust.App:
        """An app with Vigil's settings and transport, not started."""
        settings = faust_settings(broker=self.url, partitions=partitions, offset_reset=reset)
        app = faust.App(self.name(group), **{**settings, **overrides})
        install(app, rewind={self.name(topic): how for topic, how in (rewind or {}).items()})
        return app

    def topic(self, app: faust.App, suffix: str = "waves", **options: Any) -> Any:
        """A raw topic of this test, declared with its app."""
        return app.topic(self.name(suffix), value_serializer="raw", key_serializer="raw", internal=True, **options)


class Sink:
    """An agent that keeps (partition, offset, key, value) of every event it is given."""

    def __init__(self, app: faust.App, topic: Any, act: Callable[[Any], Any] | None = None) -> None:
        self.events: list[Any] = []
        self._more: asyncio.Event | None = None

        async def keep(stream: Any) -> None:
            async for event in stream.events():
                self.events.append(event)
                if act is not None:
                    result = act(event)
                    if asyncio.iscoroutine(result):
                        await result
                if self._more is not None:
                    self._more.set()

        self.agent = app.agent(topic, name=f"{topic.get_topic_name()}-sink-{next(_names)}")(keep)

    @property
    def values(self) -> list[bytes]:
        return [event.value for event in self.events]

    @property
    def offsets(self) -> list[int]:
        return [event.message.offset for event in self.events]

    async def until(self, n: int, timeout: float = TIMEOUT_S) -> None:
        """Wait until ``n`` events have come in all."""
        self._more = self._more or asyncio.Event()

        async def wait() -> None:
            assert self._more is not None
            while len(self.events) < n:
                self._more.clear()
                await self._more.wait()

        try:
            await asyncio.wait_for(wait(), timeout)
        except TimeoutError:
            raise AssertionError(f"expected {n} messages, got {len(self.events)} in {timeout} s") from None


async def until(condition: Callable[[], bool], what: str, timeout: float = TIMEOUT_S) -> None:
    """Poll a condition that nobody signals."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"timed out waiting until {what}"
        await asyncio.sleep(0.01)


async def ready(app: faust.App) -> None:
    """Wait until the worker has its partitions and reads them."""
    await asyncio.wait_for(app.tables.recovery.completed.wait(), TIMEOUT_S)
    await until(lambda: not app.rebalancing, "the rebalance is over")


@asynccontextmanager
async def running(*apps: faust.App) -> AsyncIterator[None]:
    """Start the apps, wait until they are ready, stop them in the end."""
    started = []
    try:
        for app in apps:
            await app.start()
            started.append(app)
            await ready(app)
        yield
    finally:
        for app in reversed(started):
            await app.stop()


@asynccontextmanager
async def sender(broker: Broker) -> AsyncIterator[Callable[..., Any]]:
    """A producer apart from the apps under test: ``await send(topic_suffix, key, value, ...)`` returns the metadata."""
    app = broker.app("sender")
    app.producer_only = True
    await app.start()
    producer = await app.maybe_start_producer()

    async def send(suffix: str, key: bytes | None, value: bytes | None, **options: Any) -> Any:
        arguments = {"partition": None, "timestamp": None, "headers": None, **options}
        return await producer.send_and_wait(broker.name(suffix), key, value, **arguments)

    async def declare(suffix: str, **options: Any) -> None:
        await broker.topic(app, suffix, **options).declare()

    send.declare = declare  # type: ignore[attr-defined]
    send.app = app  # type: ignore[attr-defined]
    try:
        yield send
    finally:
        await app.stop()


def numbered(n: int, start: int = 0) -> list[bytes]:
    """``n`` different values, in order."""
    return [str(i).encode() for i in range(start, start + n)]


async def send_all(send: Callable[..., Any], suffix: str, values: list[bytes], key: bytes = b"bed-1") -> None:
    """One after the other, all with one key."""
    for value in values:
        await send(suffix, key, value)
