"""Drives the pipeline of the live stream over a recording without a stream: for figures about signals and models."""

from __future__ import annotations

from collections.abc import Iterator

from models.signals.channels import ChannelMap
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk, PipelineOutput
from models.signals.times import SECOND_NS
from models.signals.windows import WindowSpec


def drive(
    channels: ChannelMap,
    spec: WindowSpec,
    withheld: dict[Modality, list[tuple[float, float]]] | None = None,
) -> Iterator[tuple[BedPipeline, PipelineOutput]]:
    """Push a recording second by second; a second that touches a withheld range is withheld whole.

    Yields the pipeline (for its grid) and what it gave, the end of the recording included.
    """
    pipeline = BedPipeline(spec, channels.channels.keys())
    end_s = int(channels.duration_s) + 1
    for second in range(end_s):
        chunks = []
        for channel in (lead for leads in channels.leads.values() for lead in leads):
            segment = channels.read(channel.modality, second * SECOND_NS, (second + 1) * SECOND_NS, channel.lead)
            if len(segment.values):
                hidden = any(a < second + 1 and second < b for a, b in (withheld or {}).get(channel.modality, []))
                chunks.append(Chunk.of(channel, segment, hidden))
        yield pipeline, pipeline.push(chunks, second * SECOND_NS, (second + 1) * SECOND_NS)
    yield pipeline, pipeline.finish(end_s * SECOND_NS)
