"""Hours of the demo, at real time or accelerated: does memory grow, is anything lost, does anything pile up?

The demo's sensors fail and come back at random all the while. Resident memory, open files and threads are sampled once
a second; growth is the slope of a straight line through the samples after the first fifth of the run (start-up and the
filling of the ten-minute display buffers lie before it), by hours of the patient's time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.report import publish
from benchmarks.runs import vigil_run
from benchmarks.tables import machine, table

Floats = npt.NDArray[np.float64]

LIMIT_MB_H = 1.0  # of growth in an hour of the patient's time


def main(argv: list[str]) -> int:
    """Runs the demo and writes memory and losses; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.5, help="of the patient's time")
    parser.add_argument("--source", help="default: the demo, as long as that")
    parser.add_argument("--speed", default="1")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    began = time.monotonic()
    seen: list[tuple[float, float, float, int, int]] = []

    def watch(process: psutil.Process) -> None:
        used, memory_mb = process.cpu_times(), process.memory_info().rss / 2**20
        at = time.monotonic() - began, used.user + used.system
        seen.append((*at, memory_mb, process.num_fds(), process.num_threads()))

    seconds = options.hours * 3600
    source = options.source or f"demo:duration={round(seconds) + 60}"
    extra = ["--headless"] if options.headless else []
    report = vigil_run(source, "--for", str(seconds), "--speed", options.speed, *extra, watch=watch)
    wall_s, cpu_s, memory, files, threads = np.array(seen, dtype=np.float64).T
    progress = cpu_s if options.speed == "max" else wall_s  # as fast as possible is as fast as there is a processor
    hours = progress / progress[-1] * report["seconds_streamed"] / 3600
    settled = hours >= hours[-1] / 5
    slope = float(np.polyfit(hours[settled], memory[settled], 1)[0]) if settled.sum() > 2 else float("nan")
    quarters = [f"{np.median(part):.0f}" for part in np.array_split(memory, 4)]
    header = ["memory (MB): 1st quarter", "2nd", "3rd", "4th", "peak", "slope (MB an hour)",
              "open files, first and last quarter", "threads"]  # fmt: skip
    rows = [[*quarters, f"{memory.max():.0f}", f"{slope:+.2f}", _from_to(files), _from_to(threads)]]
    lost = sum(counts["lost"] for counts in report["samples"].values())
    text = "\n".join(
        [
            f"## Soak: `{source}` at {options.speed}, {hours[-1]:.1f} h of the patient's time "
            f"in {wall_s[-1] / 60:.0f} min, {machine()}",
            "",
            table(header, rows),
            "",
            f"{report['windows']} windows, {report['predictions']} predictions, {report['skipped_windows']} skipped, "
            f"{lost} samples lost, {report['dead_letters']} dead letters. Goal: at most {LIMIT_MB_H:g} MB an hour.",
        ]
    )
    publish(text, options.out, draw=lambda path: _draw(path, hours, memory, files, threads))
    return 0


def _from_to(counted: Floats) -> str:
    quarters = np.array_split(counted, 4)
    return f"{np.median(quarters[0]):.0f} → {np.median(quarters[-1]):.0f}"


def _draw(path: Path, hours: Floats, memory: Floats, files: Floats, threads: Floats) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(hours, memory, lw=0.8)
    above.set_ylabel("resident memory (MB)")
    above.set_ylim(bottom=0)
    below.plot(hours, files, lw=0.8, label="open files")
    below.plot(hours, threads, lw=0.8, label="threads")
    below.set_ylim(bottom=0)
    below.set_xlabel("hours of the patient's time")
    below.legend(loc="lower right")
    figure.savefig(path)
