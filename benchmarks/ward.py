"""How many beds one machine carries: each a patient of its own at real time, all headless, the model included.

``--search`` finds the most beds that keep up: it doubles until one does not, then halves the difference down to four.
``--beds 16 32 60 100`` runs ``vigil run`` once for each number, all in one process on ``embedded://``. With
``--broker`` a source process, ``--workers`` worker processes and this process as the reader share the machine with the
Kafka.

What keeps up says every window of every bed in time: nothing missing, nothing invalid, and the replay never falls back.
CPU is of all threads of the processes, from 25 s on; what one bed costs a second is that over the beds. The built-in
patients are made as they are played, which costs under 1 ms a second of a bed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.beds import Heard, Ward
from benchmarks.report import publish
from benchmarks.runs import vigil_run
from benchmarks.tables import machine, table

STEP = 4  # beds
SETTLES_S = 25.0  # imports, ten seconds of look-back, the first windows
CATCHES_UP_S = 60.0  # beyond twice its length, for a source to come to its end


def main(argv: list[str]) -> int:
    """Runs every number of beds and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ward", description=__doc__)
    parser.add_argument("--beds", type=int, nargs="+", default=[16, 32, 60, 100])
    parser.add_argument(
        "--search", type=int, metavar="FROM", help="find where it stops keeping up, from so many beds on"
    )
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--broker", help="kafka://HOST:PORT; without, all in one process")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    if options.broker is None:
        where = "one process"
    else:
        where = f"on Kafka, {options.workers} worker{'s' if options.workers > 1 else ''}"

    def run(beds: int) -> list[object]:
        if options.broker is None:
            return _embedded(beds, options.seconds)
        return _on_kafka(beds, options.seconds, options.broker, options.workers)

    rows = [run(beds) for beds in options.beds] if options.search is None else search(run, options.search)
    header = ["beds", "cores", "ms of CPU a bed and second", "windows", "predictions", "missing", "invalid",
              "fell back (s)", "sample → out p50 (ms)", "p99", "window → prediction p99", "memory (MB)"]  # fmt: skip
    text = "\n".join(
        [
            f"## A ward, {where}: {options.seconds} s at real time, {machine()}",
            "",
            table(header, rows),
            "",
            _model(rows),
        ]
    )
    publish(text, options.out)
    return 0


def search(run: Callable[[int], list[object]], first: int) -> list[list[object]]:
    """The rows of every run, by beds: doubled while they keep up, then between the last that did and the first that did
    not, until those are ``STEP`` apart."""
    rows: dict[int, list[object]] = {}
    kept, failed = 0, None
    while failed is None or failed - kept > STEP:
        beds = (2 * kept or first) if failed is None else (kept + failed) // 2
        rows[beds] = run(beds)
        if _kept_up(rows[beds]):
            kept = beds
        else:
            failed = beds
    return [rows[beds] for beds in sorted(rows)]


def _kept_up(row: list[object]) -> bool:
    """Nothing missing, invalid or given up."""
    return not any(row[i] for i in (5, 6, 7))


def _patients(beds: int, seconds: int) -> list[str]:
    """ECG 500 Hz, PPG and ABP 125 Hz, EEG 128 Hz, each bed another patient."""
    return [f"demo:seed={bed},duration={seconds + 60}" for bed in range(1, beds + 1)]


class CpuLoad:
    """CPU seconds of processes between two moments."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self.cores, self.memory_mb = float("nan"), 0.0

    def look(self, processes: list[psutil.Process]) -> None:
        """Counts from the first call on to the last."""
        now = time.monotonic()
        times = [p.cpu_times() for p in processes]
        used = sum(t.user + t.system for t in times)
        self.memory_mb = max(self.memory_mb, sum(p.memory_info().rss for p in processes) / 2**20)
        if self._first is None:
            self._first = (now, used)
        elif now > self._first[0]:
            self.cores = (used - self._first[1]) / (now - self._first[0])


def run_beds(beds: int, seconds: int, *arguments: str) -> tuple[dict[str, Any], CpuLoad]:
    """The report of so many beds in one process, headless, and what they cost; ``arguments``: more of `vigil run`."""
    load, began = CpuLoad(), time.monotonic()

    def watch(process: psutil.Process) -> None:
        if SETTLES_S < time.monotonic() - began < seconds:
            load.look([process])

    usual = ["--channels", "RESP=none", "--headless", "--for", str(seconds)]
    return vigil_run(*_patients(beds, seconds), *usual, *arguments, watch=watch), load


def _embedded(beds: int, seconds: int) -> list[object]:
    report, load = run_beds(beds, seconds)
    latency = report["latency_ms"]
    shown, told = latency["sample_to_feed"], latency["window_to_prediction"]
    missing = report["windows"] - report["predictions"]
    return [
        beds, f"{load.cores:.2f}", 1000 * load.cores / beds, report["windows"], report["predictions"], missing,
        report["invalid_predictions"], report["slowed_seconds"], shown["p50"], shown["p99"], told["p99"],
        round(report["peak_rss_mb"]),
    ]  # fmt: skip


def _on_kafka(beds: int, seconds: int, broker: str, workers: int) -> list[object]:
    load = CpuLoad()
    with tempfile.TemporaryDirectory() as folder:
        ward = Ward(broker, Path(folder))
        try:
            for worker in [ward.worker() for _ in range(workers)]:
                ward.until_well(worker)
            patients = _patients(beds, seconds)
            source = ward.role("source", *patients, "--for", str(seconds), "--channels", "RESP=none")
            began, live = time.monotonic(), [psutil.Process(c.pid) for c in (*ward.workers, source)]
            while source.poll() is None and time.monotonic() - began < 2 * seconds + CATCHES_UP_S:
                if SETTLES_S < time.monotonic() - began < seconds:
                    load.look(live)
                time.sleep(1.0)
        finally:
            ward.close()
    return _row(beds, list(ward.beds.values()), load)


def _row(beds: int, heard: list[Heard], load: CpuLoad) -> list[object]:
    """Of the table; a window is expected of every second whose numerics were told."""
    windows, predictions = sum(len(bed.vitals) for bed in heard), sum(len(bed.predictions) for bed in heard)
    sample = np.percentile([ms for bed in heard for ms in bed.sample_ms] or [np.nan], [50, 99])
    window = np.percentile([ms for bed in heard for ms in bed.window_ms] or [np.nan], 99)
    return [
        beds, f"{load.cores:.2f}", 1000 * load.cores / beds, windows, predictions, windows - predictions,
        sum(len(why) for bed in heard for why in bed.not_valid.values()), None,
        round(float(sample[0]), 1), round(float(sample[1]), 1),
        round(float(window), 1), round(load.memory_mb),
    ]  # fmt: skip


def _model(rows: list[list[object]]) -> str:
    """What a thousand beds need, by the largest ward that kept up: nothing missing, invalid or given up."""
    kept = [row for row in rows if _kept_up(row)]
    if not kept:
        return "None of these kept up."
    most = max(kept, key=lambda row: int(str(row[0])))
    beds, cost_ms = int(str(most[0])), float(str(most[2]))
    return (
        f"{beds} beds kept up, at {cost_ms:.0f} ms of CPU a bed and second: a thousand would need {cost_ms:.0f} such "
        f"cores, in {ceil(1000 / beds)} wards like this one."
    )
