"""``vigil play``: a recording as LabStreamingLayer streams, in real time, for whatever listens to such."""

from __future__ import annotations

import sys

from monitor.settings import RunSettings
from monitor.sources import beds
from monitor.termination import INTERRUPTED, termination_as_interrupt
from streams.records import WaveTick
from streams.sinks.lsl_out import WaveOutlets


def play(settings: RunSettings) -> int:
    """Play the one source of ``settings`` to its end; the exit code."""
    source = beds(settings)["1"]("1", "play")
    outlets = WaveOutlets(source.describe())
    for name in outlets.names:
        print(f"vigil: playing {name!r}", file=sys.stderr)

    def emit(tick: WaveTick) -> bool:
        return outlets(tick) and not tick.eos

    with termination_as_interrupt():
        try:
            source.run(emit)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0
