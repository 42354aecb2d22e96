"""The recorder: what an hour of one bed takes on the disk, and what a second costs.

The bed is the built-in patient with the shipped model: every record that a session has. Cost is processor time, of the
sink alone: encoding, packing, writing; and of the stream's thread, which only queues.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import publish
from benchmarks.tables import machine, table
from monitor.running import open_session
from monitor.settings import RunSettings, parse_drops
from streams.records import AnyRecord, WaveTick
from streams.sinks.mcap import McapSink, topic_of
from streams.sinks.sink import SinkRunner
from streams.sources.recorded import RecordedSession

SOURCE = "demo:duration=600"
TICKS_PER_FLUSH = 10  # of 50 ms


def session_records(source: str, drops: str = "ABP:60-") -> tuple[list[AnyRecord], float]:
    """Every record of a session over ``source`` at max, and its seconds; the pressure is withheld for a while, so that
    there are restored waves."""
    kept: list[AnyRecord] = []
    session = open_session(
        RunSettings(sources=(source,), speed=None, headless=True, backend="onnx", drops=parse_drops([drops]))
    )
    session.subscribe(kept.append)
    session.start()
    session.wait()
    session.stop()
    return kept, max(r.end_ns for r in kept if isinstance(r, WaveTick)) / 1e9


def main(argv: list[str]) -> int:
    """Records the session in several ways and writes the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks recording", description=__doc__)
    parser.add_argument("source", nargs="?", default=SOURCE)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    records, seconds = session_records(options.source)
    parts = [f"## Recording: `{options.source}`, {machine()}", ""]
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(Path(folder), records, seconds, compress, share) for compress, share in _WAYS]
        parts.append(table(["records", "compression", "MB/hour", "sink ms/s", "queue ms/s", "open s/hour"], rows))
    publish("\n".join(parts), options.out)
    return 0


_WAYS = ((True, "all"), (False, "all"), (True, "waves"))


def _measure(
    folder: Path, records: Sequence[AnyRecord], seconds: float, compress: bool, share: str
) -> list[str | float | None]:
    kept = [r for r in records if share == "all" or topic_of(r) == share]
    path = folder / f"{share}{compress:d}.mcap"
    sink = McapSink(path, compress=compress)
    began, ticks = time.process_time(), 0
    for record in kept:
        sink.add(record)
        ticks += isinstance(record, WaveTick)
        if isinstance(record, WaveTick) and ticks % TICKS_PER_FLUSH == 0:
            sink.flush()
    sink.close()
    sink_s = time.process_time() - began
    queue = SinkRunner(sink, capacity_bytes=1 << 40)
    began = time.process_time()
    for record in kept:
        queue(record)
    queue_s = time.process_time() - began
    began = time.process_time()
    RecordedSession(path).close()
    open_s = time.process_time() - began
    size = path.stat().st_size
    hour = 3600 / seconds
    packed = "zstd" if compress else "none"
    return [share, packed, size / 1e6 * hour, sink_s / seconds * 1e3, queue_s / seconds * 1e3, open_s * hour]
