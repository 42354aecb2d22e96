"""Latency of the built-in patient at real time, stage by stage, from the run's own report; for one bed window included.

The load is an open loop: ticks have times at which they are due, whatever the program does meanwhile, and latency runs
from there, so a stall counts for all that it delays. Nothing is left out for warming up: imports, the first windows and
the loading of the model happen beside the first seconds of waves, as they do for a user. Several beds are patients of
their own, headless. Aims (DESIGN): time to first wave ≤ 3 s; sample → screen p99 < 100 ms; window end → prediction
p99 < 150 ms.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.runs import vigil_run
from benchmarks.tables import machine, table
from models.signals.errors import BadInput

AIMS_MS = {"sample_to_screen": 100.0, "window_to_prediction": 150.0}
AIM_FIRST_WAVE_S = 3.0
SPARE_S = 60.0  # of recording beyond the run


def main(argv: list[str]) -> int:
    """Runs each number of beds and writes their latencies beside the aims; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of a run (default 120)")
    parser.add_argument("--beds", type=int, nargs="+", default=[1], help="one run for each number (default 1)")
    parser.add_argument("--source", default="demo", help="of a single bed (default: the built-in patient)")
    parser.add_argument("--backend", default="auto", help="as of `vigil run`")
    parser.add_argument("--headless", action="store_true", help="leave the window of a single bed out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    if min(options.beds) < 1 or options.seconds <= 0:
        raise BadInput("beds and seconds above 0", "less", "leave the option out")
    parts, reports = [], {}
    for beds in options.beds:
        alone = beds == 1
        sources = [options.source] if alone else _patients(beds, options.seconds)
        extra = ["--headless"] if options.headless or not alone else []
        report = vigil_run(*sources, "--for", str(options.seconds), "--backend", options.backend, *extra)
        reports[str(beds)] = report
        name = f"`{options.source}`" if alone else f"{beds} beds"
        parts.append(f"## Latency: {name} at 1×, {options.seconds:.0f} s, {machine()}\n\n{_section(report)}")
    publish("\n\n".join(parts), options.out, {"reports": reports})
    return 0


def _patients(beds: int, seconds: float) -> list[str]:
    return [f"demo:seed={bed},duration={seconds + SPARE_S:.0f}" for bed in range(1, beds + 1)]


def _section(report: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for stage, figures in report["latency_ms"].items():
        aim = AIMS_MS.get(stage)
        met = None if aim is None else ("met" if figures["p99"] < aim else "MISSED")
        told = [figures[q] for q in ("p50", "p99", "p999", "max")]
        rows.append([stage, *told, aim and f"p99 < {aim:.0f}", met])
    first = report.get("first_wave_s")
    if first is not None:
        met = "met" if first <= AIM_FIRST_WAVE_S else "MISSED"
        rows.append(["first wave on screen (s)", float(first), None, None, None, f"≤ {AIM_FIRST_WAVE_S:.0f} s", met])
    lost = sum(counts["lost"] for counts in report["samples"].values())
    return (
        f"{table(['stage (ms)', 'p50', 'p99', 'p99.9', 'max', 'aim', ''], rows)}\n\n"
        f"{report['predictions']} predictions, {report['invalid_predictions']} not valid, {report['skipped_windows']} "
        f"windows skipped, {lost} samples lost, {report['slowed_seconds']} s fallen back, backend {report['backend']}, "
        f"peak memory {report['peak_rss_mb']:.0f} MB."
    )
