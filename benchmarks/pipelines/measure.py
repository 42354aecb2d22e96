"""Runs one trial in a process of its own, and adds up what its ears have left and what CPU it took."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.open_loop import Ledger, Punctuality
from benchmarks.pipelines.peers import PEERS
from benchmarks.pipelines.script import TICKS_S, bed_names
from benchmarks.pipelines.trial import Trial, heard
from benchmarks.transport.broker import drop_topics
from models.signals.times import SECOND_NS
from streams.sources.player import TICK_NS
from streams.sources.replay import lags_ns

LOADS_S = 15.0
"""From the start of a trial's process to the beginning: imports, the model, a broker's groups."""
GOES_S = 30.0
"""To go, once the trial is over; then it is killed."""
SAID = 800  # characters of what a trial that failed said last


@dataclass(frozen=True, slots=True)
class TrialResult:
    """ticks: from the due time of a tick's last sample to the sink. windows: from the due time of a window's end until
    the sink has its prediction. cpu_ms: of all processes of the trial, by second of a bed, None where none was seen.
    failed: why there is nothing else."""

    peer: str
    beds: int
    ticks: Punctuality
    windows: Punctuality
    cpu_ms: float | None
    failed: str = ""


def measure(
    peer: str, beds: int, seconds: int, warm_s: int, broker: str | None, loads_s: float = LOADS_S
) -> TrialResult:
    """The trial from its start to its end, ``loads_s`` longer than its ticks."""
    with tempfile.TemporaryDirectory() as folder:
        begin_ns = time.monotonic_ns() + round((loads_s + beds * PEERS[peer].loads_s) * SECOND_NS)
        trial = Trial(peer, beds, seconds, warm_s, begin_ns, folder, broker or "")
        with (Path(folder) / "said").open("w+b") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.pipelines.child", trial.dumped()],
                stdout=said,
                stderr=said,
                env=os.environ | {"XDG_STATE_HOME": folder},
            )
            cpu_ms = _watched(process, trial)
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
        ticks, predictions = heard(Path(folder))
    if trial.broker:
        asyncio.run(drop_topics(trial.bootstrap, trial.prefix))
    failed = "" if process.returncode == 0 and ticks else f"exit code {process.returncode}: {words[-SAID:]}"
    return found_of(trial, ticks, predictions, cpu_ms, failed)


def found_of(
    trial: Trial,
    ticks: Iterable[tuple[str, int, int]],
    predictions: Iterable[tuple[str, int, int]],
    cpu_ms: float | None,
    failed: str = "",
) -> TrialResult:
    """What is to be expected of a trial, beside what came. Pure."""
    shown, told = Ledger(), Ledger()
    for bed, lag_ns in zip(bed_names(trial.beds), lags_ns(trial.beds, TICK_NS), strict=True):
        begin_ns = trial.begin_ns + lag_ns
        for number in range(trial.total_s * TICKS_S):
            shown.expect((bed, number), begin_ns + (number + 1) * TICK_NS)
        for end_s in range(1, trial.total_s + 1):
            told.expect((bed, end_s), begin_ns + end_s * SECOND_NS)
    for bed, number, came_ns in ticks:
        shown.came((bed, number), came_ns)
    for bed, end_s, came_ns in predictions:
        told.came((bed, end_s), came_ns)
    span = trial.from_ns, trial.until_ns
    return TrialResult(trial.peer, trial.beds, shown.account(*span), told.account(*span), cpu_ms, failed)


def _watched(process: subprocess.Popen[bytes], trial: Trial) -> float | None:
    """Waits for the end; ms of CPU by second of a bed between the warm-up and the last tick."""
    used = []
    try:
        for at_ns in (trial.from_ns, trial.until_ns):
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, (at_ns - time.monotonic_ns()) / SECOND_NS))
            used.append(_cpu_s(process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(GOES_S)
    finally:
        if process.poll() is None:
            for one in _family(process.pid):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
    if used[0] is None or used[1] is None:
        return None
    return 1000 * (used[1] - used[0]) / (trial.seconds * trial.beds)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(pid: int) -> float | None:
    """Of a process and what it has started; None where it has ended."""
    total = None
    for one in _family(pid):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total = (total or 0.0) + times.user + times.system
    return total
