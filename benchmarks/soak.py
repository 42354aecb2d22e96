"""Half an hour of the demo with its window: does memory grow, is anything lost?

Resident memory is sampled once a second; growth is the slope of a straight line through the samples after the first
fifth of the run (start-up and the filling of the ten-minute display buffers lie before it).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.runs import vigil_run
from benchmarks.tables import machine, publish, table


def main(argv: list[str]) -> int:
    """Runs the demo and writes memory and losses; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--source", default="demo")
    parser.add_argument("--speed", default="1")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    began = time.monotonic()
    times_s: list[float] = []
    rss_mb: list[float] = []

    def watch(process: psutil.Process) -> None:
        rss_mb.append(process.memory_info().rss / 2**20)
        times_s.append(time.monotonic() - began)

    speed = 50.0 if options.speed == "max" else float(options.speed)
    extra = ["--headless"] if options.headless else []
    seconds = options.minutes * 60 * speed
    report = vigil_run(options.source, "--for", str(seconds), "--speed", options.speed, *extra, watch=watch)
    memory, at = np.array(rss_mb), np.array(times_s) / 3600
    settled = np.arange(len(memory)) >= len(memory) // 5
    slope = float(np.polyfit(at[settled], memory[settled], 1)[0]) if settled.sum() > 2 else float("nan")
    quarters = [float(np.median(part)) for part in np.array_split(memory, 4)]
    lost = sum(counts["lost"] for counts in report["samples"].values())
    rows = [[f"{q:.0f}" for q in quarters] + [f"{memory.max():.0f}", f"{slope:+.1f}"]]
    header = ["1st quarter (MB)", "2nd", "3rd", "4th", "peak", "slope (MB/h)"]
    text = "\n".join(
        [
            f"## Soak: `{options.source}` at {options.speed}×, {options.minutes:g} min, {machine()}",
            "",
            table(header, rows),
            "",
            f"{report['windows']} windows, {report['predictions']} predictions, {report['skipped_windows']} skipped, "
            f"{lost} samples lost, {report['dead_letters']} dead letters.",
        ]
    )
    publish(text, options.out)
    return 0
