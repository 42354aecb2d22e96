"""From the sources to the stream within one process: who waits, and what is dropped where nobody can.

A recording waits: half a second of its ticks may be under way, however fast it is played. A device cannot wait; of what
it sends ten seconds may be under way, and what finds no room then is dropped and counted, never kept without bound.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from streams.accounting import Accounting
from streams.clock import SECOND_NS
from streams.codec import encode
from streams.records import WaveTick, tick_identity
from streams.sources.source import Emit, Seekable, Source
from streams.transport.credits import Credits

MAX_UNDER_WAY = 200  # ticks of a bed sent and not yet handled: 10 s
UNDER_WAY_NS = SECOND_NS // 2
LEAST_UNDER_WAY = 8

Publish = Callable[[str, bytes], None]


def most_under_way(tick_ns: int, pace: float | None) -> int | None:
    """Ticks of a bed that may be sent and not yet handled: half a second's on the wall at ``pace``, however fast, and
    at least 8; None at speed max, where the limit of all is enough."""
    return None if pace is None else max(LEAST_UNDER_WAY, round(UNDER_WAY_NS * pace / max(tick_ns, 1)))


class Flow:
    """Takes the ticks of all sources of a process and publishes them.

    publish: ``publish(bed, message)`` hands an encoded tick to the broker, from the source's thread. stages: names of
    the consumers that must have handled a tick before there is room for another.
    """

    def __init__(self, publish: Publish, stages: Iterable[str], accounting: Accounting) -> None:
        self._publish, self._accounting = publish, accounting
        self.credits = Credits(MAX_UNDER_WAY, stages, lane=_bed_of)

    def emit_of(self, source: Source) -> Emit:
        """Where ``source`` sends its ticks: False once the flow is closed."""
        return self._replayed(source) if isinstance(source, Seekable) else self._live

    def _replayed(self, source: Seekable) -> Emit:
        def emit(tick: WaveTick) -> bool:
            speed = source.speed
            pace = None if speed is None else source.achieved_speed or speed
            if not self.credits.acquire(tick_identity(tick), most=most_under_way(tick.end_ns - tick.start_ns, pace)):
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


def _bed_of(tick: Hashable) -> Hashable:
    """The bed in a tick's identity."""
    return tick[0] if isinstance(tick, tuple) else None
