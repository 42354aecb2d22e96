"""A Kafka client that takes its time where the broker is away, knows since when it is, and can be told to give up.

aiokafka tries to connect again every tenth of a second, for ever, and waits for each answer as long as it was told to;
neither can be ended from outside. This puts three things around a client of its own, in that client's event loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from streams.transport.backoff import Backoff

T = TypeVar("T")

ASK_S = 1.0  # without an answer, before the broker is asked whether it is there

Answered = Callable[[Any, Any, int], None]
"""Told each answer of the broker: the request, the answer, and when the request was sent (monotonic ns)."""


class GivenUp(ConnectionError):
    """Nobody waits for the broker any more."""


class Patience:
    """Around ``client``, which must not have connected yet; to be used in its event loop, but for :attr:`heard_ns`.

    Connections that cannot be made are tried again after a time that grows (:class:`Backoff`), for each broker and use
    on its own. answered: called with every answer.
    """

    def __init__(
        self,
        client: AIOKafkaClient,
        answered: Answered = lambda _request, _answer, _sent_ns: None,
        *,
        chance: Callable[[], float] = random.random,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._client, self._answered, self._chance, self._now = client, answered, chance, monotonic_ns
        self._connect, self._send = client._get_conn, client.send
        self._backoffs: dict[Any, Backoff] = {}
        self._not_before: dict[Any, float] = {}  # event loop's time
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard_ns = monotonic_ns()
        """When the broker last answered, monotonic; from any thread."""
        client._get_conn = self._patiently  # type: ignore[method-assign]
        client.send = self._sent  # type: ignore[method-assign]

    @property
    def given_up(self) -> bool:
        """Whether :meth:`give_up` was called."""
        return self._over.done()

    def give_up(self) -> None:
        """Whatever waits for the broker fails now, and so does whatever asks it from now on."""
        if not self._over.done():
            self._over.set_result(None)
        for connection in list(self._client._conns.values()):
            connection.close(reason=CloseReason.SHUTDOWN)

    async def until_given_up(self, work: Awaitable[T]) -> T:
        """What ``work`` gives; GivenUp, and the work cancelled, where that comes first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            raise GivenUp("the broker was not waited for any longer")
        return task.result()

    async def keep_asking(self) -> None:
        """Asks the broker something small whenever nothing else has been answered for a second, until cancelled: so
        that silence means that it is away."""
        while not self._over.done():
            await asyncio.wait({self._over}, timeout=ASK_S)
            node = self._client.get_random_node()
            if node is None or self._over.done() or self._now() - self.heard_ns < ASK_S * 1e9:
                continue
            with suppress(KafkaError):
                await self._client.send(node, MetadataRequest([]))

    async def _patiently(self, node: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False) -> Any:
        """The connection to a broker; None where there is none now."""
        key, loop = (node, group), asyncio.get_running_loop()
        known = self._client._conns.get(key)
        if known is not None and known.connected():
            return known
        if not self._over.done() and (wait_s := self._not_before.get(key, 0.0) - loop.time()) > 0:
            await asyncio.wait({self._over}, timeout=wait_s)
        if self._over.done():
            return None
        try:
            connection = await self.until_given_up(self._connect(node, group=group, no_hint=no_hint))
        except GivenUp:
            return None
        backoff = self._backoffs.setdefault(key, Backoff(self._chance))
        if connection is None:
            self._not_before[key] = loop.time() + backoff.failed()
        else:
            backoff.succeeded()
        return connection

    async def _sent(self, node: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        sent_ns = self._now()
        try:
            answer = await self._send(node, request, group=group)
        except KeyError as error:  # of two requests that time out, the second finds the connection forgotten
            raise NodeNotReadyError(f"the connection to node {node} is gone") from error
        self.heard_ns = self._now()
        self._answered(request, answer, sent_ns)
        return answer
