"""A whole recording through the whole program at ``--speed max``: nothing skipped, nothing lost."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.report import publish
from benchmarks.runs import vigil_run
from benchmarks.tables import machine, table


def main(argv: list[str]) -> int:
    """Plays the recording as fast as possible and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks throughput", description=__doc__)
    parser.add_argument("source", nargs="?", default="demo:duration=1800")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    report = vigil_run(options.source, "--speed", "max", "--headless")
    rows = [[modality, *counts.values()] for modality, counts in report["samples"].items()]
    speed = report["seconds_streamed"] / report["wall_seconds"]
    text = "\n".join(
        [
            f"## Throughput: `{report['source']}` at max, {machine()}",
            "",
            table(["modality", "sent", "received", "lost", "duplicated", "withheld"], rows),
            "",
            f"{report['seconds_streamed']:.0f} s in {report['wall_seconds']:.1f} s: {speed:.0f} times real time; "
            f"{report['windows']} windows, {report['predictions']} predictions, {report['skipped_windows']} skipped, "
            f"peak memory {report['peak_rss_mb']:.0f} MB.",
        ]
    )
    publish(text, options.out)
    return 0
