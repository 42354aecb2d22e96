"""A recorded bed, cut to ticks as it was sent: the exact replay, also where a device's clock was corrected on the way.

Takes the place of :class:`streams.sources.bed_replay.BedReplay`, which knows one rate and origin a channel. A live
device's channel changes both whenever its clock is corrected (:mod:`models.signals.live_grid`), while its index runs
on. Where a tick of the replay is one that was recorded, its chunks are those; else (other ticks, or a tick is missing)
they are put together of the samples by their own times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from msgspec.structs import replace

from models.signals.channels import Channel
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.codec import ROUNDING_NS, chunk_values, samples_to_bytes
from streams.fields import MAX_NUMBERS
from streams.records import DeviceNumber, WaveChunk, WaveTick
from streams.sources.bed_replay import Drop, Withholding

Ticks = list[WaveTick]
"""What was decoded: the recorded ticks that touch a stretch of event time, in the order in which they came."""


class Recorded(Protocol):
    """What the replay needs of :class:`streams.sources.recorded.RecordedSession`."""

    def ticks(self, start_ns: int, end_ns: int, /) -> Ticks:
        """The recorded ticks that touch ``[start_ns, end_ns)`` of event time."""

    @property
    def channels(self) -> Sequence[Channel]:
        """Every channel, in the order of the screen."""


class RecordedReplay:
    """One bed of a recorded session, for :class:`streams.sources.player.ReplayPlayer`.

    end_ns: event time at which it ends. drops: withheld beside what was withheld then. empty_s: stretches
    ``[start, end)`` in which none of its channels has data, in order.
    """

    def __init__(
        self,
        bed: str,
        session: str,
        recorded: Recorded,
        end_ns: int,
        drops: Sequence[Drop] = (),
        empty_s: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.bed, self.session, self.end_ns = bed, session, end_ns
        self.empty_ns = [(round(a * SECOND_NS), round(b * SECOND_NS)) for a, b in empty_s]
        self._recorded = recorded
        self.withheld = Withholding(drops)

    def decode(self, start_ns: int, end_ns: int) -> Ticks:
        """The recorded ticks of ``[start_ns, end_ns)``; on the decoding thread."""
        return self._recorded.ticks(start_ns, min(end_ns, self.end_ns))

    def chunks(self, segments: Ticks, start_ns: int, end_ns: int, preroll: bool = False) -> list[WaveChunk]:
        """The chunks of the tick ``[start_ns, end_ns)``, from decoded ``segments``."""
        touching = [tick for tick in segments if tick.start_ns < end_ns and start_ns < tick.end_ns]
        same = [tick for tick in touching if (tick.start_ns, tick.end_ns) == (start_ns, end_ns)]
        found = same[-1].chunks if same else [_joined(c, touching, start_ns, end_ns) for c in self._recorded.channels]
        return [
            replace(chunk, withheld=True)
            if not chunk.withheld and self.withheld.of(Modality(chunk.modality), start_ns, end_ns, preroll)
            else chunk
            for chunk in found
        ]

    def numbers(self, segments: Ticks, start_ns: int, end_ns: int, _first: bool) -> list[DeviceNumber]:
        """What the device told in the recorded ticks that end within it: they say it again every now and then."""
        ended = (tick for tick in segments if start_ns < tick.end_ns <= end_ns)
        told = {(number.name, number.time_ns): number for tick in ended for number in tick.numbers}
        return list(told.values())[-MAX_NUMBERS:]


def _joined(channel: Channel, ticks: Iterable[WaveTick], start_ns: int, end_ns: int) -> WaveChunk:
    """A channel's samples with ``start_ns <= time < end_ns``, by index; NaN where some are missing between others."""
    parts = [
        (chunk, *_within(chunk, tick, start_ns, end_ns))
        for tick in ticks
        for chunk in tick.chunks
        if (chunk.modality, chunk.lead) == (channel.modality.value, channel.lead)
    ]
    withheld = any(chunk.withheld for chunk, _, _ in parts)
    parts = [part for part in parts if part[1] < part[2]]
    if not parts:
        first = max(channel.first_index_at(start_ns), 0)
        line = channel.modality.value, channel.label, channel.rate_hz, channel.origin_ns
        return WaveChunk(*line, first, b"", withheld, channel.lead)
    earliest = min(parts, key=lambda part: part[1])[0]  # on its line; what a later line has, its index places
    first = min(lo for _, lo, _ in parts)
    room = round((end_ns - start_ns) * 1e-9 * earliest.rate_hz) + 2
    values = np.full(min(max(hi for _, _, hi in parts) - first, room), np.nan, np.float32)
    for chunk, lo, hi in parts:
        kept = chunk_values(chunk.data)[lo - chunk.first_index : hi - chunk.first_index]
        kept = kept[: max(len(values) - (lo - first), 0)]
        values[lo - first : lo - first + len(kept)] = kept
    return replace(earliest, first_index=first, data=samples_to_bytes(values), withheld=withheld)


def _within(chunk: WaveChunk, tick: WaveTick, start_ns: int, end_ns: int) -> tuple[int, int]:
    """The index range of a chunk's samples in ``[start_ns, end_ns)``: all where the tick they came in lies in it (a
    time at its edge is rounded), else those with such times."""
    first, last = chunk.first_index, chunk.first_index + len(chunk.data) // 4
    if start_ns <= tick.start_ns and tick.end_ns <= end_ns:
        return first, last
    per_ns = chunk.rate_hz / 1e9
    lo, hi = (int(np.ceil((at_ns - ROUNDING_NS - chunk.origin_ns) * per_ns)) for at_ns in (start_ns, end_ns))
    lo = first if start_ns <= tick.start_ns else lo
    hi = last if tick.end_ns <= end_ns else hi
    return min(max(lo, first), last), min(max(hi, first), last)
