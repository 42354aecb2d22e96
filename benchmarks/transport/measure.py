"""One carrier measured at one size: a flood in a closed loop, and delays in an open one (:mod:`benchmarks.open_loop`).

The loop waits by ``select``: by ``epoll`` asyncio rounds each wait up to the next millisecond, which is more than most
of these carriers take.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks.open_loop import Ledger, Punctuality, send_on_time
from benchmarks.transport.inside import MOST_UNDER_WAY, Open
from models.signals.errors import VigilError
from models.signals.times import SECOND_NS

NUMBER_BYTES = 8
FIRST_NS = SECOND_NS // 10
ARRIVES_S = 5.0
"""After the last was due; what has not come by then is lost."""
LEAST_FLOOD_S = 20.0
LOOKS_S = 0.02

T = TypeVar("T")


class StoodStill(VigilError):
    """A flood in which nothing came any more."""


@dataclass(frozen=True, slots=True)
class Delays:
    """came: of the messages. sent: how late the sender itself began, which is part of the former."""

    came: Punctuality
    sent: Punctuality


def numbered(number: int, filler: bytes) -> bytes:
    """A message as long as ``filler``, which begins with its number."""
    return number.to_bytes(NUMBER_BYTES, "little") + filler[NUMBER_BYTES:]


def flood(open_carrier: Open, filler: bytes, seconds: float, warm_s: float) -> float:
    """Messages a second that come while the sender keeps :data:`MOST_UNDER_WAY` under way, after ``warm_s``."""
    return _run(_flood(open_carrier, filler, seconds, warm_s))


def delays(open_carrier: Open, filler: bytes, rate_hz: float, seconds: float, warm_s: float) -> Delays:
    """Of messages that are due at ``rate_hz`` for ``seconds``, after as many as ``warm_s`` has."""
    return _run(_delays(open_carrier, filler, rate_hz, seconds, warm_s))


async def _flood(open_carrier: Open, filler: bytes, seconds: float, warm_s: float) -> float:
    room = asyncio.Semaphore(MOST_UNDER_WAY)
    begin_ns = 0
    came, last_ns = 0, 0

    def deliver(message: bytes) -> None:
        nonlocal came, last_ns
        room.release()
        now_ns = time.monotonic_ns()
        if begin_ns <= now_ns < end_ns:
            came, last_ns = came + 1, now_ns

    async with open_carrier(deliver) as send:
        begin_ns = time.monotonic_ns() + round(warm_s * SECOND_NS)
        end_ns = begin_ns + round(seconds * SECOND_NS)
        number = 0
        try:
            async with asyncio.timeout(max(LEAST_FLOOD_S, 3 * (seconds + warm_s))):
                while time.monotonic_ns() < end_ns:
                    await room.acquire()
                    await send(numbered(number, filler))
                    number += 1
                for _ in range(MOST_UNDER_WAY):  # what is under way comes before the carrier ends
                    await room.acquire()
        except TimeoutError as error:
            raise StoodStill(f"Of {number} messages in a flood some never came.") from error
    return came / ((last_ns - begin_ns) / SECOND_NS) if came else 0.0


async def _delays(open_carrier: Open, filler: bytes, rate_hz: float, seconds: float, warm_s: float) -> Delays:
    came, sent = Ledger(), Ledger()
    got = 0

    def deliver(message: bytes) -> None:
        nonlocal got
        got += 1
        came.came(int.from_bytes(message[:NUMBER_BYTES], "little"), time.monotonic_ns())

    async with open_carrier(deliver) as send:
        begin_ns = time.monotonic_ns() + FIRST_NS
        due_ns = [begin_ns + round(i * SECOND_NS / rate_hz) for i in range(round((warm_s + seconds) * rate_hz))]
        for number, due in enumerate(due_ns):
            came.expect(number, due)
            sent.expect(number, due)
        await send_on_time(lambda i: send(numbered(i, filler)), due_ns, sent.came)
        until_s = time.monotonic() + ARRIVES_S
        while got < len(due_ns) and time.monotonic() < until_s:
            await asyncio.sleep(LOOKS_S)
    from_ns = begin_ns + round(warm_s * SECOND_NS)
    return Delays(came.account(from_ns), sent.account(from_ns))


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)
