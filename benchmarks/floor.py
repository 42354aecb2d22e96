"""What the stream costs: the whole program beside the same work in a bare loop, by CPU time, in one interleaved run.

The whole program is a headless session on ``embedded://`` at ``--speed max``: source and decoding threads, Faust
agents, topics, alarms, accounting, inference thread and watchdog, counted from its first prediction on. The bare loop
is :mod:`benchmarks.bare`: the same ticks, windows, quality checks, numerics, alarm rules and model. Both run in this
process, in turn, so that what else the machine does meets both; each figure is of the process's CPU (user and system,
all threads), the median of the rounds. ``--tick 50``: the ticks are those of a run at real time.

``--flame FILE.svg``: where the whole program's time goes, sampled by py-spy in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bare import Spent, run_bare, shipped_engine
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.runtime.backend import RuntimeOptions
from models.runtime.bundle import load_bundle
from models.runtime.select import select_engine
from models.runtime.threads import default_threads
from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BackendUnavailable, BadInput
from models.signals.readers.opener import open_recording
from models.signals.times import SECOND_NS
from monitor.session import Session
from streams.records import AnyRecord, PredictionRecord, WaveTick
from streams.sources.replay import replays

AIMS_US = (500.0, 250.0)  # of CPU a tick beyond signals and model
MILLISECOND_NS = 1_000_000
WARM_S = 40.0  # of recording, before the first round: imports, caches, the model's first runs


@dataclass(frozen=True, slots=True)
class Whole:
    """One run of the whole program: seconds of CPU and of wall for a second of the recording, from the first prediction
    on; its predictions and lost samples."""

    cpu_s: float
    wall_s: float
    predictions: int
    lost: int


class _Began:
    """Notes when the first prediction comes, and what had been streamed until then; on the stream thread."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = float("nan")
        self.event_s = self._newest_s = 0.0

    def __call__(self, record: AnyRecord) -> None:
        if isinstance(record, WaveTick):
            self._newest_s = record.end_ns / SECOND_NS
        elif isinstance(record, PredictionRecord) and math.isnan(self.cpu_s):
            self.cpu_s, self.wall_s, self.event_s = time.process_time(), time.monotonic(), self._newest_s


def main(argv: list[str]) -> int:
    """Runs both in turn and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks floor", description=__doc__)
    parser.add_argument("source", nargs="?", default="demo:duration=600", help="as of `vigil run` (default: the demo)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of recording a run (default 300)")
    parser.add_argument("--rounds", type=int, default=5, help="of both (default 5)")
    parser.add_argument("--tick", type=int, default=50, help="their length in ms (default 50; at max they have 250)")
    parser.add_argument("--flame", type=Path, help="a flame graph of the whole program (SVG; needs py-spy)")
    parser.add_argument("--only", choices=["whole", "bare"], help="one of both, once, for a profiler")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.seconds <= 0 or not 1 <= options.tick <= 1000:
        raise BadInput("rounds and seconds above 0, ticks of 1 to 1000 ms", "others", "leave the option out")
    tick_ns = options.tick * MILLISECOND_NS
    if options.flame is not None:
        _flame(options.source, options.seconds, options.flame)
    if options.only == "whole":
        run_whole(options.source, options.seconds, tick_ns)
        return 0
    channels, engine = open_channels(options.source), shipped_engine()
    if options.only == "bare":
        run_bare(channels, engine, options.seconds, tick_ns)
        return 0
    run_whole(options.source, WARM_S, tick_ns)
    run_bare(channels, engine, WARM_S, tick_ns)
    bare: list[Spent] = []
    whole: list[Whole] = []
    for _ in range(options.rounds):
        engine.forget("bed 1")
        bare.append(run_bare(channels, engine, options.seconds, tick_ns))
        whole.append(run_whole(options.source, options.seconds, tick_ns))
    publish(_report(channels.recording.name, options.seconds, bare, whole), options.out)
    return 0


def open_channels(source: str) -> ChannelMap:
    """The channels of a recording or of the built-in patient, mapped as by default."""
    return map_channels(open_recording(source))


def run_whole(source: str, seconds: float, tick_ns: int) -> Whole:
    """One headless session at speed max over the first ``seconds``. Raises what ended it."""
    bundle, cancel = load_bundle(None), threading.Event()
    options = RuntimeOptions(default_threads(), cancel=cancel)
    engine = select_engine(bundle, "onnx", options=options).engine  # closed by the session
    sources = replays({"bed 1": lambda: open_channels(source)}, speed=None, for_s=seconds, fast_tick_ns=tick_ns)
    session = Session(sources, bundle.window_spec, lambda: engine, cancel=cancel)
    began = _Began()
    session.subscribe(began)
    session.start()
    session.wait_opened()
    session.wait()
    report = session.report()
    left_s = report["seconds_streamed"] - began.event_s or math.nan
    lost = sum(counts["lost"] for counts in report["samples"].values())
    return Whole(
        (time.process_time() - began.cpu_s) / left_s,
        (time.monotonic() - began.wall_s) / left_s,
        int(report["predictions"]),
        lost,
    )


def _report(name: str, seconds: float, bare: list[Spent], whole: list[Whole]) -> str:
    ticks, windows = bare[0].ticks, bare[0].windows
    parts = {part: statistics.median(spent.cpu_s[part] for spent in bare) for part in bare[0].cpu_s}
    floor = statistics.median(s.total_s for s in bare)
    program = seconds * statistics.median(w.cpu_s for w in whole)
    ratios = sorted(seconds * w.cpu_s / s.total_s for w, s in zip(whole, bare, strict=True))
    beyond = sorted(1e6 * (seconds * w.cpu_s - s.total_s) / ticks for w, s in zip(whole, bare, strict=True))
    rows: list[list[object]] = [
        [part, 1000 * spent / seconds, round(1e6 * spent / ticks), f"{100 * spent / floor:.0f} %"]
        for part, spent in parts.items()
    ]
    rows.append(["bare loop", 1000 * floor / seconds, round(1e6 * floor / ticks), "100 %"])
    rows.append(
        ["whole program", 1000 * program / seconds, round(1e6 * program / ticks), f"{100 * program / floor:.0f} %"]
    )
    told = statistics.median(beyond)
    aims = ", ".join(f"{aim:.0f} µs {'met' if told <= aim else 'MISSED'}" for aim in AIMS_US)
    speed = statistics.median(1 / w.wall_s for w in whole)
    return "\n".join(
        [
            f"## Floor: `{name}`, {seconds:.0f} s at max in ticks of {round(1000 * seconds / ticks)} ms, "
            f"{len(bare)} rounds in turn, {machine()}",
            "",
            table(["CPU", "ms a second of the recording", "µs a tick", "of the floor"], rows),
            "",
            f"Whole program ÷ bare loop: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}). Beyond "
            f"signals and model a tick costs {told:.0f} µs of CPU ({beyond[0]:.0f} to {beyond[-1]:.0f}; aims {aims}). "
            f"{ticks} ticks, {windows} windows; {whole[0].predictions} predictions, {whole[0].lost} samples lost; the "
            f"whole program runs {speed:.0f} times as fast as real time.",
        ]
    )


def _flame(source: str, seconds: float, path: Path) -> None:
    """Raises BackendUnavailable without py-spy."""
    tool = shutil.which("py-spy")
    if tool is None:
        raise BackendUnavailable("No flame graph: py-spy is not on the path (pip install py-spy).")
    run = [sys.executable, "-m", "benchmarks", "floor", source, "--seconds", str(seconds), "--only", "whole"]
    subprocess.run([tool, "record", "--rate", "200", "--gil", "--output", str(path), "--", *run], check=True)
