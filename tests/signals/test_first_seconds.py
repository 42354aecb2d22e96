"""A sensor that works is usable from its first whole second: nothing is called absent for lack of history."""

from __future__ import annotations

import pytest

from models.data.simulator import open_demo
from models.signals.channels import map_channels
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import WindowSpec

NS = 1_000_000_000


@pytest.mark.parametrize("seed", range(1, 8))
def test_every_channel_of_a_faultless_patient_is_present_at_once(seed: int) -> None:
    channels = map_channels(open_demo(f"demo:seed={seed},faults=off,duration=20"))
    pipeline = BedPipeline(WindowSpec(), channels.channels.keys())
    cells = []
    for second in range(10):
        chunks = []
        for modality, channel in channels.channels.items():
            read = channels.read(modality, second * NS, (second + 1) * NS)
            chunks.append(Chunk(modality, channel.rate_hz, channel.origin_ns, read.first_index, read.values))
        cells += pipeline.push(chunks, second * NS, (second + 1) * NS).cells
    assert len(cells) >= 8
    absent = [(c.second, m, c.absence[m]) for c in cells for m in channels.channels if c.absence[m] is not None]
    assert absent == []
