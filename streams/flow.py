"""From the sources to the stream within one process: who waits, and what is dropped where nobody can.

A recording waits: half a second of its ticks may be under way, however fast it is played. Of a pre-roll, which comes as
fast as it is handled, a second's worth is: more would keep other beds waiting behind it; and none but the last when it
ends, so that who plays on has nothing to catch up. A device cannot wait; of
what it sends ten seconds may be under way, and what finds no room then is dropped and counted, never kept without
bound.
Towards a broker there is more room, on disk (:mod:`streams.courier`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from threading import Lock

from msgspec.structs import replace

from models.signals.times import SECOND_NS
from streams.accounting import Accounting
from streams.codec import encode
from streams.host import clock_offset_ns, stamped, this_host
from streams.records import CellRecord, WaveTick, tick_identity
from streams.sources.source import Emit, Seekable, Source
from streams.transport.credits import Credits

MAX_UNDER_WAY = 200  # ticks of a bed sent and not yet handled: 10 s
UNDER_WAY_NS = SECOND_NS // 2
LEAST_UNDER_WAY = 8
PREROLL_PACE = 2.0  # of which there may be as much under way as of a replay at this speed
REMOTE_UNDER_WAY_NS = 5 * SECOND_NS
REMOTE_LEAST_NS = 3 * SECOND_NS
"""Of event time, however slow it is: far consumers tell of whole seconds, and of one that has begun only with the rest
of it and a look ahead. With less under way source and workers would wait for each other for good."""
FOLLOW = "follow"

Publish = Callable[[str, bytes], None]


def most_under_way(tick_ns: int, pace: float | None, under_way_ns: int = UNDER_WAY_NS, least_ns: int = 0) -> int | None:
    """Ticks of a bed that may be sent and not yet handled: those of ``under_way_ns`` on the wall at ``pace``, however
    fast, and at least 8, and those of ``least_ns`` of event time; None at speed max: the limit of all is enough."""
    return None if pace is None else max(LEAST_UNDER_WAY, round(max(under_way_ns * pace, least_ns) / max(tick_ns, 1)))


class Flow:
    """Takes the ticks of all sources of a process and publishes them.

    publish: ``publish(bed, message)`` hands an encoded tick to the broker, from the source's thread. stages: names of
    the consumers that must have handled a tick before there is room for another. under_way_ns: on the wall, of what a
    paced recording may have under way; least_ns: of event time, which it may at any speed.
    """

    def __init__(
        self,
        publish: Publish,
        stages: Iterable[str],
        accounting: Accounting,
        *,
        under_way_ns: int = UNDER_WAY_NS,
        least_ns: int = 0,
    ) -> None:
        self._publish, self._accounting = publish, accounting
        self._under_way_ns, self._least_ns = under_way_ns, least_ns
        self.credits = Credits(MAX_UNDER_WAY, stages, lane=_bed_of)

    def emit_of(self, source: Source) -> Emit:
        """Where ``source`` sends its ticks: False once the flow is closed."""
        return self._replayed(source) if isinstance(source, Seekable) else self._live

    def _replayed(self, source: Seekable) -> Emit:
        def emit(tick: WaveTick) -> bool:
            speed = source.speed
            pace = None if speed is None else source.achieved_speed or speed
            if tick.goes_to_ns is not None:
                pace = PREROLL_PACE
            most = most_under_way(tick.end_ns - tick.start_ns, pace, self._under_way_ns, self._least_ns)
            if tick.end_ns == tick.goes_to_ns:
                most = max(1, self._least_ns // max(tick.end_ns - tick.start_ns, 1))
            if not self.credits.acquire(tick_identity(tick), most=most):
                return False
            self._send(tick)
            return True

        return emit

    def _live(self, tick: WaveTick) -> bool:
        if self.credits.acquire(tick_identity(tick), timeout=0.0):
            self._send(tick)
        elif not self.credits.closed:
            self._accounting.count("ticks_dropped")
        return not self.credits.closed

    def _send(self, tick: WaveTick) -> None:
        self._accounting.sent(tick)
        self._publish(tick.bed, encode(tick))


class RemoteFlow(Flow):
    """Of sources whose consumers are other processes: how far these are is told by what they send (:meth:`handled`).

    A recording waits for them as for those of its own process, with more under way, since they tell once a second. A
    device's ticks wait at the broker for whoever comes. keep: as ``publish``, of a device's ticks, for which there need
    not be room at the broker; what becomes of them then is its own affair, and counted there.
    """

    def __init__(self, publish: Publish, accounting: Accounting, keep: Publish) -> None:
        super().__init__(publish, [FOLLOW], accounting, under_way_ns=REMOTE_UNDER_WAY_NS, least_ns=REMOTE_LEAST_NS)
        self._keep = keep
        self._lock = Lock()
        self._sent: dict[str, deque[WaveTick]] = {}

    def handled(self, record: CellRecord | WaveTick) -> None:
        """A worker has handled all ticks of the record's bed and epoch that end with the second of this cell, or all of
        them (the end of its stream); and all of earlier epochs."""
        until_ns = None if isinstance(record, WaveTick) else (record.second + 1) * SECOND_NS
        with self._lock:
            waiting = self._sent.get(record.bed, deque())
            done = []
            while waiting and waiting[0].session == record.session and waiting[0].epoch <= record.epoch:
                if waiting[0].epoch == record.epoch and until_ns is not None and waiting[0].end_ns > until_ns:
                    break
                done.append(waiting.popleft())
        for tick in done:
            self.credits.release(FOLLOW, tick_identity(tick))

    def _send(self, tick: WaveTick) -> None:
        super()._send(_of_this_host(tick))

    def _replayed(self, source: Seekable) -> Emit:
        emit = super()._replayed(source)

        def remembering(tick: WaveTick) -> bool:
            with self._lock:  # before it is sent: it may be handled at once
                self._sent.setdefault(tick.bed, deque()).append(replace(tick, chunks=[]))
            return emit(tick)

        return remembering

    def _live(self, tick: WaveTick) -> bool:
        if self.credits.closed:
            return False
        self._accounting.sent(tick)
        self._keep(tick.bed, encode(_of_this_host(tick)))
        return True


def _of_this_host(tick: WaveTick) -> WaveTick:
    return stamped(tick, this_host(), clock_offset_ns())


def _bed_of(tick: Hashable) -> Hashable:
    """The bed in a tick's identity."""
    return tick[0] if isinstance(tick, tuple) else None
