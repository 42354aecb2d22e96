"""Latency of the demo at real time, window included, from the run's own report.

Aims (DESIGN): time to first wave ≤ 3 s; sample → screen p99 < 100 ms; window end → prediction p99 < 150 ms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.report import publish
from benchmarks.runs import vigil_run
from benchmarks.tables import machine, table

AIMS_MS = {"sample_to_screen": 100.0, "window_to_prediction": 150.0}
AIM_FIRST_WAVE_S = 3.0


def main(argv: list[str]) -> int:
    """Runs the demo and writes its latencies beside the aims; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the run (default 120)")
    parser.add_argument("--source", default="demo")
    parser.add_argument("--headless", action="store_true", help="leave the window out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    extra = ["--headless"] if options.headless else []
    report = vigil_run(options.source, "--for", str(options.seconds), *extra)
    rows: list[list[object]] = []
    for stage, figures in report["latency_ms"].items():
        aim = AIMS_MS.get(stage)
        met = None if aim is None else ("met" if figures["p99"] < aim else "MISSED")
        rows.append([stage, figures["p50"], figures["p99"], figures["max"], aim and f"p99 < {aim:.0f}", met])
    first = report.get("first_wave_s")
    if first is not None:
        met = "met" if first <= AIM_FIRST_WAVE_S else "MISSED"
        rows.append(["first wave on screen (s)", float(first), None, None, f"≤ {AIM_FIRST_WAVE_S:.0f} s", met])
    lost = sum(counts["lost"] for counts in report["samples"].values())
    text = "\n".join(
        [
            f"## Latency: `{options.source}` at 1×, {options.seconds:.0f} s, {machine()}",
            "",
            table(["stage (ms)", "p50", "p99", "max", "aim", ""], rows),
            "",
            f"{report['predictions']} predictions, {report['skipped_windows']} windows skipped, {lost} samples lost, "
            f"backend {report['backend']}, peak memory {report['peak_rss_mb']:.0f} MB.",
        ]
    )
    publish(text, options.out)
    return 0
