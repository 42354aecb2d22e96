"""Windows for training, cut by the very pipeline that serves the live stream, and the clean signals beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from models.signals.channels import ChannelMap
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.pipeline import BedPipeline, Chunk, PipelineOutput
from models.signals.recording import Segment
from models.signals.resample import resample
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec

FloatArray = npt.NDArray[np.float32]


def push_recording(
    pipeline: BedPipeline, channels: ChannelMap, push_s: float = 8.0, end_s: float | None = None
) -> Iterator[PipelineOutput]:
    """Drives a pipeline with a whole recording in pushes of ``push_s`` seconds, as the stream does tick by tick.

    Any push length gives the same cells and windows bit for bit.
    """
    total_ns = round((channels.duration_s if end_s is None else end_s) * SECOND_NS)
    step_ns = round(push_s * SECOND_NS)
    wanted = [m for m in channels.channels if m in pipeline.spec.modalities]
    for start_ns in range(0, total_ns, step_ns):
        end_ns = min(start_ns + step_ns, total_ns)
        chunks = []
        for channel in (lead for modality in wanted for lead in channels.leads[modality]):
            segment = channels.read(channel.modality, start_ns, end_ns, channel.lead)
            if len(segment.values):
                chunks.append(Chunk.of(channel, segment))
        yield pipeline.push(chunks, start_ns, end_ns)
    yield pipeline.finish(total_ns)


def cut_windows(
    channels: ChannelMap, spec: WindowSpec, stride_s: int = 1, push_s: float = 8.0, end_s: float | None = None
) -> Iterator[Window]:
    """Windows of a recording that end at multiples of ``stride_s`` seconds from time zero."""
    pipeline = BedPipeline(spec, [m for m in channels.channels if m in spec.modalities])
    for output in push_recording(pipeline, channels, push_s, end_s):
        yield from (w for w in output.windows if w.end_s % stride_s == 0)


def grid_signal(
    channels: ChannelMap, modality: Modality, seconds: int, read: Callable[[str, float, float], Segment]
) -> FloatArray:
    """A whole channel [seconds · 100] on the grid through the stream's resampler, from another reader of the same
    tracks (the simulator's clean signals); NaN where there is nothing."""
    channel = channels.channels[modality]
    segment = read(channel.track, channels.zero_s, channels.zero_s + seconds + 1.0)
    out = np.full(seconds * GRID_RATE_HZ, np.nan, np.float32)
    first, values = resample(segment.values, channel.rate_hz, channel.origin_ns, segment.first_index)
    begin, end = max(first, 0), min(first + len(values), len(out))
    out[begin:end] = values[begin - first : end - first]
    return out
