"""What one bed of a replay sends: the samples of its leads, cut to ticks, withheld where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.signals.device_numerics import Series
from models.signals.modalities import Modality
from models.signals.recording import Segment
from models.signals.times import SECOND_NS
from streams.codec import samples_to_bytes
from streams.records import DeviceNumber, WaveChunk
from streams.sources.device_replay import NumberReplay

Segments = dict[tuple[Modality, int], Segment]
"""What was decoded, by modality and lead."""


class ChannelLike(Protocol):
    """What the replay needs to know of :class:`models.signals.channels.Channel`."""

    @property
    def label(self) -> str:
        """The recording's name for it."""

    @property
    def rate_hz(self) -> float:
        """Its native rate."""

    @property
    def origin_ns(self) -> int:
        """Event time of sample 0."""

    @property
    def lead(self) -> int:
        """Its number among the leads of its modality."""

    def first_index_at(self, time_ns: int, /) -> int:
        """The first sample at or after an event time."""


class Channels(Protocol):
    """What the replay needs of :class:`models.signals.channels.ChannelMap`."""

    @property
    def leads(self) -> Mapping[Modality, Sequence[ChannelLike]]:
        """The mapped channels of each modality, the preferred one first."""

    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int, /) -> Segment:
        """Samples of a lead with ``start_ns <= time < end_ns``, NaN where missing."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A modality is withheld for event times in ``[start_s, end_s)``; a tick that the range touches is withheld."""

    modality: Modality
    start_s: float
    end_s: float


class Withholding:
    """Which channels are withheld: for stretches that were planned, and by the operator. What is played is withheld
    while the operator holds it; in a pre-roll only from the event time on at which the cable was pulled, since it was
    in before."""

    def __init__(self, drops: Sequence[Drop] = ()) -> None:
        # float: an open end is infinite
        self._drops = [(d.modality, d.start_s * SECOND_NS, d.end_s * SECOND_NS) for d in drops]
        self._held_from_ns: dict[Modality, int] = {}

    def hold(self, modality: Modality, at_ns: int) -> None:
        """The operator pulls the cable at an event time; a second call changes nothing."""
        self._held_from_ns.setdefault(modality, at_ns)

    def give_back(self, modality: Modality) -> None:
        """And plugs it in again."""
        self._held_from_ns.pop(modality, None)

    def jumped(self, to_ns: int) -> None:
        """The replay goes on from an event time: from there on what is held is out."""
        for modality, from_ns in self._held_from_ns.items():
            self._held_from_ns[modality] = min(from_ns, to_ns)

    def of(self, modality: Modality, start_ns: int, end_ns: int, preroll: bool = False) -> bool:
        """Whether the modality is withheld within [start_ns, end_ns)."""
        from_ns = self._held_from_ns.get(modality)
        if from_ns is not None and (not preroll or from_ns < end_ns):
            return True
        return any(m is modality and start < end_ns and start_ns < end for m, start, end in self._drops)


class BedReplay:
    """Cuts the ticks of one bed. Pure but for ``decode``, which reads the recording.

    end_ns: event time at which this bed ends; ``[0, end_ns)`` is what it has. empty_s: stretches ``[start, end)`` in
    which none of its channels has data, in order. numbers: what the device measured itself.
    """

    def __init__(
        self,
        bed: str,
        session: str,
        channels: Channels,
        end_ns: int,
        drops: Sequence[Drop] = (),
        empty_s: Sequence[tuple[float, float]] = (),
        numbers: Sequence[Series] = (),
    ) -> None:
        self.bed, self.session, self.end_ns = bed, session, end_ns
        self.empty_ns = [(round(a * SECOND_NS), round(b * SECOND_NS)) for a, b in empty_s]
        self._channels = channels
        self._numbers = NumberReplay(numbers)
        self.withheld = Withholding(drops)

    def decode(self, start_ns: int, end_ns: int) -> Segments:
        """The samples of ``[start_ns, end_ns)`` of every channel; on the decoding thread."""
        end_ns = min(end_ns, self.end_ns)
        return {
            (modality, channel.lead): self._channels.read(modality, start_ns, end_ns, channel.lead)
            for modality, leads in self._channels.leads.items()
            for channel in leads
        }

    def chunks(self, segments: Segments, start_ns: int, end_ns: int, preroll: bool = False) -> list[WaveChunk]:
        """One chunk a channel (empty where the recording has nothing), from decoded ``segments``."""
        chunks = []
        for modality, channel in ((m, channel) for m, leads in self._channels.leads.items() for channel in leads):
            segment = segments[modality, channel.lead]
            first = max(channel.first_index_at(start_ns), segment.first_index)
            last = min(channel.first_index_at(end_ns), segment.first_index + len(segment.values))
            values = segment.values[first - segment.first_index : max(first, last) - segment.first_index]
            chunks.append(
                WaveChunk(
                    modality.value,
                    channel.label,
                    channel.rate_hz,
                    channel.origin_ns,
                    max(first, 0),
                    samples_to_bytes(values),
                    self.withheld.of(modality, start_ns, end_ns, preroll),
                    channel.lead,
                )
            )
        return chunks

    def numbers(self, _segments: Segments, start_ns: int, end_ns: int, first: bool) -> list[DeviceNumber]:
        """See :meth:`streams.sources.device_replay.NumberReplay.told`."""
        return self._numbers.told(start_ns, end_ns, first)


def last_sample_ns(chunks: Sequence[WaveChunk], default: int) -> int:
    """Event time of the newest sample of a tick; ``default`` for an empty one."""
    times = [c.origin_ns + (c.first_index + len(c.data) // 4 - 1) * 1e9 / c.rate_hz for c in chunks if c.data]
    return round(max(times)) if times else default
