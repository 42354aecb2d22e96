"""A worker is killed under several beds on Kafka: how long until another has taken over, and what was lost."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tables import machine, publish, table
from models.signals.times import SECOND_NS
from streams.records import AnyRecord, PredictionRecord, StatusRecord, VitalsRecord, WaveTick
from streams.roles.display import DisplayProcess
from streams.runner import Sharing

START_S = 60.0


@dataclass(slots=True)
class Bed:
    """What came of one bed: by second of event time, how often and when (monotonic s)."""

    vitals: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    predictions: dict[int, list[PredictionRecord]] = field(default_factory=lambda: defaultdict(list))
    arrived_s: list[float] = field(default_factory=list)
    ticks: int = 0

    def take(self, record: AnyRecord) -> None:
        """Counts a record."""
        if isinstance(record, VitalsRecord):
            self.vitals[record.time_ns // SECOND_NS].append(repr(record))
            self.arrived_s.append(time.monotonic())
        elif isinstance(record, PredictionRecord):
            self.predictions[record.window_end_ns // SECOND_NS].append(record)
        elif isinstance(record, WaveTick):
            self.ticks += 1

    def row(self, name: str) -> list[object]:
        """Of the table."""
        first, last = min(self.vitals), max(self.vitals)
        gaps = [b - a for a, b in zip(self.arrived_s[:-1], self.arrived_s[1:], strict=True)]
        windows = range(min(self.predictions), max(self.predictions) + 1)
        return [
            name,
            f"{max(gaps):.1f}",
            sum(s not in self.vitals for s in range(first, last + 1)),
            sum(len(v) > 1 for v in self.vitals.values()),
            sum(len(set(v)) > 1 for v in self.vitals.values()),
            sum(s not in self.predictions for s in windows),
            sum(len(p) > 1 for p in self.predictions.values()),
            sum(any(not r.valid for r in p) for p in self.predictions.values()),
        ]


def main(argv: list[str]) -> int:
    """Runs source, workers and a reader as processes; writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks failover", description=__doc__)
    parser.add_argument("--broker", required=True, help="kafka://HOST:PORT")
    parser.add_argument("--beds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--kill-at", type=float, default=45.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    prefix = f"failover{time.time_ns():x}-"
    common = ["--broker", options.broker, "--prefix", prefix]
    beds: dict[str, Bed] = defaultdict(Bed)
    workers_seen: dict[str, set[str]] = defaultdict(set)

    def take(record: AnyRecord) -> None:
        if isinstance(record, StatusRecord):
            workers_seen[record.role].add(record.bed)
        else:
            beds[record.bed].take(record)

    display = DisplayProcess(options.broker, Sharing(prefix=prefix, partitions=8, only_own=False))
    display.subscribe(take)
    display.start()
    if not display.ready.wait(START_S):
        raise SystemExit("the broker gave no partitions")
    workers = [_vigil("worker", *common) for _ in range(2)]
    sources = [f"demo:seed={seed}" for seed in range(1, options.beds + 1)]
    try:
        time.sleep(15.0)
        source = _vigil("source", *sources, "--for", str(options.seconds), *common)
        time.sleep(options.kill_at)
        workers[0].kill()
        killed_s = time.monotonic()
        source.wait(options.seconds + 60.0)
        time.sleep(3.0)
    finally:
        for process in workers:
            process.terminate()
        display.stop()
    columns = [
        "bed", "longest silence, s", "seconds missing", "told twice", "told differently",
        "windows missing", "windows twice", "windows invalid",
    ]  # fmt: skip
    rows = [
        bed.row(name) if bed.vitals and bed.predictions else [name, f"nothing told of {bed.ticks} ticks", *[""] * 6]
        for name, bed in sorted(beds.items())
    ]
    back = [min((t for t in bed.arrived_s if t > killed_s), default=float("nan")) - killed_s for bed in beds.values()]
    text = "\n".join(
        [
            f"## Takeover: {options.beds} beds, two workers, one killed at {options.kill_at:.0f} s, {machine()}",
            "",
            table(columns, rows),
            "",
            f"First numerics after the kill: {max(back):.1f} s for the last bed. Windows are cut once a second.",
        ]
    )
    publish(text, options.out)
    return 0


def _vigil(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "monitor", *arguments], stdout=subprocess.DEVNULL)
