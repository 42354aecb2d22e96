"""The recorder: what an hour of one bed takes on the disk, what a second costs, and whether damaged files are borne.

The bed is the built-in patient with the shipped model: every record that a session has. Cost is processor time, of the
sink alone: encoding, packing, writing; and of the stream's thread, which only queues.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import machine, publish, table
from models.signals.errors import BadInput
from monitor.run import open_session
from monitor.settings import RunSettings, parse_drops
from streams.records import AnyRecord, BeatRecord, PredictionRecord, WaveTick
from streams.sinks.mcap import McapSink, topic_of
from streams.sinks.sink import SinkRunner
from streams.sources.recorded import RecordedSession

SOURCE = "demo:duration=600"
TICKS_PER_FLUSH = 10  # of 50 ms
MAX_READ_S = 60.0


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
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="so many damaged recordings, too")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    records, seconds = session_records(options.source)
    parts = [f"## Recording: `{options.source}`, {machine()}", ""]
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(Path(folder), records, seconds, compress, share) for compress, share in _WAYS]
        parts.append(table(["records", "compression", "MB/hour", "sink ms/s", "queue ms/s", "open s/hour"], rows))
        if options.fuzz:
            base = [r for r in records if isinstance(r, WaveTick | PredictionRecord | BeatRecord)][:800]
            found = fuzz(Path(folder), base, range(options.fuzz))
            parts += ["", f"Damaged recordings, seeds 0 to {options.fuzz - 1}: {dict(sorted(found.items()))}."]
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


# -- damaged files ----------------------------------------------------------------------------------------------------


def fuzz(folder: Path, records: Sequence[AnyRecord], seeds: Sequence[int]) -> Counter[str]:
    """Opens and reads so many damaged recordings of ``records``: how many gave waves, and how many a sentence. Anything
    else is raised, with its seed in a note."""
    bases = []
    for compress in (True, False):
        path = folder / f"base{compress:d}.mcap"
        sink = McapSink(path, compress=compress)
        for number, record in enumerate(records, 1):
            sink.add(record)
            if number % 50 == 0:
                sink.flush()
        sink.close()
        bases.append(path.read_bytes())
        path.unlink()
    found: Counter[str] = Counter()
    damaged = folder / "damaged.mcap"
    for seed in seeds:
        damaged.write_bytes(mutated(bases[seed % 2], seed))
        try:
            found[_outcome(damaged)] += 1
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return found


def _outcome(path: Path) -> str:
    """Reads all that a replay would."""
    try:
        session = RecordedSession(path)
    except BadInput as error:
        if len(str(error).splitlines()) != 1:
            raise ValueError(f"no single sentence: {error}") from error
        return "sentence"
    channels = session.channel_map()
    begin_s = channels.begin_ns / 1e9
    for track in session.tracks:
        values = session.read(track.name, begin_s, begin_s + MAX_READ_S).values
        if np.isinf(values).any():
            raise ValueError("a sample is infinite")
    session.events()
    session.close()
    return "waves, all" if not session.notes else "waves, in part"


def mutated(content: bytes, seed: int) -> bytes:
    """``content`` with one to eight places damaged; of four files in five the chunks' checksums are made right again,
    so that what is in them is looked at."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(0, len(data)))
        kind = int(rng.integers(0, 7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[at : at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        elif kind == 2:
            data[at : at + 8] = int(rng.choice(_NUMBERS)).to_bytes(8, "little")
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            data[at:at] = data[at : at + int(rng.integers(1, 256))]
        elif kind == 5 and rng.integers(0, 4) == 0:
            del data[max(at, 64) :]
        else:
            data[at : at + 5] = b"\xc7\xff\xff\xff\xff"  # msgpack that promises 4 GB
    return _mended(bytes(data)) if seed % 5 else bytes(data)


_NUMBERS = np.array([0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF, 1 << 31, 1 << 62, (1 << 63) - 1], np.uint64)


def _mended(content: bytes) -> bytes:
    """Chunks that are not compressed get the checksum of what is in them."""
    data, at = bytearray(content), 8
    while at + 9 <= len(data):
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9
        if opcode == 6 and data[at + 28 : at + 32] == bytes(4) and at + length <= len(data):
            inside = bytes(data[at + 40 : at + length])
            data[at + 16 : at + 24] = len(inside).to_bytes(8, "little")
            data[at + 24 : at + 28] = zlib.crc32(inside).to_bytes(4, "little")
        at += length
    return bytes(data)
