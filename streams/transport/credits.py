"""Back-pressure: how many ticks may be under way between a source and the slowest of its consumers.

Agents' sends never block (an agent that waits for the topic it feeds deadlocks), so only sources wait, and they wait
here. A credit is taken per tick, by the tick's identity, and is free again once every stage has handled that tick.
Identity, not a count: delivery is at least once, and a tick handled twice must not free two credits.

The same book says whether anybody still handles ticks: since when, without a break, a stage has had some to handle and
has handled none. Both ends of that time are set under one lock as ticks come and go, so that it never begins before a
tick was there to be handled, however long nothing was sent before it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """``stage`` has had ticks of ``lane`` to handle since ``since_ns`` (monotonic), and has handled none of them."""

    since_ns: int
    stage: str
    lane: Hashable


@dataclass(slots=True)
class _Unhandled:
    ticks: int
    since_ns: int


class Credits:
    """At most ``limit`` ticks of each lane under way; every method may be called from any thread.

    stages: names of the consumers that must all have handled a tick before its credit is free. lane: of a tick; ticks
    of one lane (a bed) are handled in turn, other lanes may go on when one stands still.
    """

    def __init__(
        self,
        limit: int,
        stages: Iterable[str],
        lane: Callable[[Hashable], Hashable] = lambda _tick: None,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._stages = frozenset(stages)
        self._lane, self._now = lane, monotonic_ns
        if limit < 1:
            raise ValueError(f"at least 1 tick must be allowed under way, got {limit}")
        if not self._stages:
            raise ValueError("credits need at least one stage that releases them")
        self._limit = limit
        self._under_way: dict[Hashable, set[str]] = {}
        self._of_lane: Counter[Hashable] = Counter()  # how many of them
        self._unhandled: dict[tuple[str, Hashable], _Unhandled] = {}
        self._handled_ns: dict[tuple[str, Hashable], int] = {}
        self._changed = threading.Lock()
        self._of_its_own: dict[Hashable, threading.Condition] = {}  # of each lane: who waits there alone is woken
        self._closed = False

    def acquire(self, tick: Hashable, timeout: float | None = None, most: int | None = None) -> bool:
        """Wait until there is a credit and take it for this tick; for source threads. most: ticks under way that this
        one may make, where that is fewer than the limit.

        False, and nothing taken, if the credits are closed or ``timeout`` seconds pass. A tick that is still under
        way (sent again) keeps its one credit and does not wait.
        """
        with self._changed:
            self._turn(tick).wait_for(lambda: self._may_go(tick, most), timeout)
            return self._take(tick, most)

    def release(self, stage: str, tick: Hashable) -> None:
        """``stage`` has handled ``tick``. Ticks that are not under way (duplicates, rewound ones) change nothing."""
        if stage not in self._stages:
            raise KeyError(f"{stage!r} is not one of the stages {sorted(self._stages)}")
        with self._changed:
            waiting_for = self._under_way.get(tick)
            if waiting_for is None or stage not in waiting_for:
                return
            waiting_for.discard(stage)
            self._handled_ns[stage, self._lane(tick)] = self._now()
            self._settle(stage, tick)
            if not waiting_for:
                self._free(tick)

    def forget(self, tick: Hashable) -> None:
        """The tick was never sent after all: its credit is free."""
        with self._changed:
            if tick not in self._under_way:
                return
            for stage in self._under_way[tick]:
                self._settle(stage, tick)
            self._free(tick)

    def close(self) -> None:
        """Nobody waits any more: every acquire, now and later, returns False."""
        with self._changed:
            self._closed = True
            for turn in self._of_its_own.values():
                turn.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nobody waits any more."""
        return self._closed

    @property
    def under_way(self) -> int:
        """Ticks sent and not yet handled by every stage."""
        with self._changed:
            return len(self._under_way)

    def longest_wait(self, lanes: Collection[Hashable] | None = None) -> Wait | None:
        """The stage and lane (of all, or of ``lanes``) that have stood still for longest; None while there is nothing
        to handle."""
        with self._changed:
            waits = [
                Wait(left.since_ns, stage, lane)
                for (stage, lane), left in self._unhandled.items()
                if lanes is None or lane in lanes
            ]
        return min(waits, key=lambda wait: wait.since_ns, default=None)

    def handled_ns(self, lane: Hashable = None) -> int:
        """Monotonic time at which every stage had last handled a tick of the lane: of the stage that did so first; 0
        before."""
        with self._changed:
            return min((self._handled_ns.get((stage, lane), 0) for stage in self._stages), default=0)

    def _turn(self, tick: Hashable) -> threading.Condition:
        """On which those wait that have a tick of this one's lane."""
        lane = self._lane(tick)
        turn = self._of_its_own.get(lane)
        if turn is None:
            turn = self._of_its_own[lane] = threading.Condition(self._changed)
        return turn

    def _may_go(self, tick: Hashable, most: int | None = None) -> bool:
        limit = self._limit if most is None else min(most, self._limit)
        return self._closed or tick in self._under_way or self._of_lane[self._lane(tick)] < limit

    def _take(self, tick: Hashable, most: int | None = None) -> bool:
        if self._closed or not self._may_go(tick, most):
            return False
        if tick not in self._under_way:
            self._under_way[tick] = set(self._stages)
            lane, now_ns = self._lane(tick), self._now()
            self._of_lane[lane] += 1
            for stage in self._stages:
                self._unhandled.setdefault((stage, lane), _Unhandled(0, now_ns)).ticks += 1
        return True

    def _free(self, tick: Hashable) -> None:
        del self._under_way[tick]
        self._of_lane[self._lane(tick)] -= 1
        self._turn(tick).notify_all()

    def _settle(self, stage: str, tick: Hashable) -> None:
        """``stage`` has one tick less to handle, and its wait for the others begins now."""
        key = (stage, self._lane(tick))
        left = self._unhandled[key]
        left.ticks, left.since_ns = left.ticks - 1, self._now()
        if not left.ticks:
            del self._unhandled[key]
