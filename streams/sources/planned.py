"""A live source of which a plan was made: it ends after a while, and sensors are withheld for stretches of it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from msgspec.structs import replace

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.records import BedRecord, WaveTick
from streams.sources.bed_replay import Drop
from streams.sources.source import Emit, Source


class PlannedSource:
    """``source`` until it has played ``for_s`` seconds of event time (None: until it is stopped), without ``drops``.

    At its end it sends an end of stream, as a recording does, and then only waits to be stopped.
    """

    def __init__(self, source: Source, *, for_s: float | None = None, drops: Sequence[Drop] = ()) -> None:
        if for_s is not None and not for_s > 0:
            raise BadInput("a length above 0 s", f"{for_s:g} s", "leave it out to go on until it is stopped")
        self._source, self._drops = source, tuple(drops)
        self._end_ns = None if for_s is None else round(for_s * SECOND_NS)
        self._over, self._stopped = Event(), Event()

    def describe(self) -> BedRecord:
        """As the source says it, with the end that is planned."""
        record = self._source.describe()
        known = {channel.modality for channel in record.channels}
        for drop in self._drops:
            if drop.modality.value not in known:
                raise BadInput(
                    f"a channel to drop out of {', '.join(sorted(known))}", drop.modality, "name one that is there"
                )
        return record

    def run(self, emit: Emit) -> None:
        """Until it is over and stopped."""
        self._source.run(lambda tick: self._emit(tick, emit))
        if self._over.is_set():
            self._stopped.wait()

    def stop(self) -> None:
        """``run`` returns soon."""
        self._source.stop()
        self._stopped.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        """Withholds a modality from the next tick on, or gives it back."""
        self._source.set_dropped(modality, dropped)

    def dropped_now(self) -> frozenset[Modality]:
        """What is withheld at this moment, by order or by plan."""
        at_ns = round(self.position_s * SECOND_NS)
        return self._source.dropped_now() | self._planned(at_ns, at_ns + 1)

    @property
    def epoch(self) -> int:
        """Counts the fresh starts."""
        return self._source.epoch

    @property
    def position_s(self) -> float:
        """Event time of the newest tick."""
        return self._source.position_s

    def _planned(self, start_ns: int, end_ns: int) -> frozenset[Modality]:
        start_s, end_s = start_ns / SECOND_NS, end_ns / SECOND_NS
        return frozenset(d.modality for d in self._drops if d.start_s < end_s and start_s < d.end_s)

    def _emit(self, tick: WaveTick, emit: Emit) -> bool:
        withheld = {m.value for m in self._planned(tick.start_ns, tick.end_ns)}
        if withheld:
            chunks = [replace(c, withheld=True) if c.modality in withheld else c for c in tick.chunks]
            tick = replace(tick, chunks=chunks)
        if not emit(tick):
            return False
        if self._end_ns is None or tick.end_ns < self._end_ns:
            return True
        self._over.set()
        end = replace(tick, tick_seq=tick.tick_seq + 1, start_ns=tick.end_ns, due_ns=0, chunks=[], eos=True)
        emit(end)
        return False
