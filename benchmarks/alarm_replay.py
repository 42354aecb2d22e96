"""A recording through the windower and the alarm engine of the live stream, without the stream."""

from __future__ import annotations

from collections.abc import Collection

from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.alarms import AlarmEngine
from streams.codec import samples_to_bytes
from streams.records import AlarmRecord, RhythmRecord, StateRecord, VitalsRecord, WaveChunk, WaveTick
from streams.windower import BedWindower


def replay(
    source: str, from_s: int, until_s: int, sensors: Collection[Modality] = tuple(Modality)
) -> list[tuple[int, AlarmRecord]]:
    """Every change of the alarms in a recording between two times, in ticks of a second: (second, record), as the
    stream sends them. source: as of :func:`open_recording`. sensors: those that are connected; no others are read."""
    channels = map_channels(open_recording(source))
    windower, engine = BedWindower(WindowSpec(), Accounting()), AlarmEngine()
    changes: list[tuple[int, AlarmRecord]] = []
    for number, second in enumerate(range(from_s, until_s + 1)):
        start, end, eos = second * SECOND_NS, (second + 1) * SECOND_NS, second == until_s
        chunks = []
        wanted = [c for m, leads in channels.leads.items() if m in sensors and not eos for c in leads]
        for c in wanted:
            segment = channels.read(c.modality, start, end, c.lead)
            data = samples_to_bytes(segment.values)
            chunks.append(
                WaveChunk(c.modality.value, c.label, c.rate_hz, c.origin_ns, segment.first_index, data, lead=c.lead)
            )
        tick = WaveTick(
            bed="", session="bench", epoch=0, tick_seq=number, start_ns=start, end_ns=start if eos else end,
            chunks=chunks, eos=eos,
        )  # fmt: skip
        for record in windower.handle(tick, 0).records:
            found: list[AlarmRecord] = []
            if isinstance(record, StateRecord):
                found = engine.on_state(record)
            elif isinstance(record, VitalsRecord):
                found = engine.on_vitals(record)
            elif isinstance(record, RhythmRecord):
                found = engine.on_rhythm(record)
            changes += [(change.time_ns // SECOND_NS, change) for change in found]
    return changes
