"""Latency without coordinated omission: what is sent is due at times that were fixed before, and is timed from there.

A *closed* loop sends the next message when the last has come. While what it measures stands still it sends nothing, so
of a stall of a second it tells one slow message where a device would have had twenty wait: the measured object chooses
when it is looked at (Tene, "How NOT to measure latency", 2015). An *open* loop sends as a device does, whatever becomes
of it: a message that is sent late, since the one before held up the sender, has been waiting since it was due, and
that counts. What has not come at the end is lost, and told beside; quantiles are of what came.

Warm-up is sent like the rest and not counted: what was due before ``from_ns`` is left out, late or not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from models.signals.times import SECOND_NS


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Of what was due in a stretch of time. Delays in ms from the due time to the first arrival, None where nothing
    came. twice: arrivals of what had come before."""

    due: int
    lost: int
    twice: int
    p50_ms: float | None
    p99_ms: float | None
    most_ms: float | None


class Ledger:
    """What was due when, and when it came; monotonic ns. Pure."""

    def __init__(self) -> None:
        self._due: dict[Hashable, int] = {}
        self._came: dict[Hashable, int] = {}
        self._twice: list[Hashable] = []

    def expect(self, key: Hashable, due_ns: int) -> None:
        """``key`` is due then."""
        self._due[key] = due_ns

    def came(self, key: Hashable, now_ns: int) -> None:
        """``key`` has come; what nobody expects is left out of every account."""
        if key in self._came:
            self._twice.append(key)
        else:
            self._came[key] = now_ns

    def account(self, from_ns: int = 0, until_ns: int | None = None) -> Punctuality:
        """Of all that was due in [from_ns, until_ns)."""
        counted = {k: due for k, due in self._due.items() if from_ns <= due and (until_ns is None or due < until_ns)}
        delays = np.array([(self._came[key] - due) / 1e6 for key, due in counted.items() if key in self._came])
        twice = sum(key in counted for key in self._twice)
        if not len(delays):
            return Punctuality(len(counted), len(counted), twice, None, None, None)
        p50, p99 = np.percentile(delays, (50, 99))
        return Punctuality(
            len(counted), len(counted) - len(delays), twice, float(p50), float(p99), float(delays.max())
        )  # fmt: skip


async def send_on_time(
    send: Callable[[int], Awaitable[object]],
    due_ns: Sequence[int],
    late: Callable[[int, int], object] = lambda i, now_ns: None,
    *,
    now_ns: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """``send(i)`` when the ``i``-th is due, and at once where that has passed; it may take its time, and what is late
    for it is sent late. late: told of each when it was about to be sent. due_ns: in order."""
    for i, due in enumerate(due_ns):
        # Also where it is late: readers in this loop run while their sender lets them.
        await sleep(max(0, due - now_ns()) / SECOND_NS)
        late(i, now_ns())
        await send(i)
