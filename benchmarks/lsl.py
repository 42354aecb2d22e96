"""LabStreamingLayer in, from two real outlets on this machine: is every sample there, at its time, and how soon?

The ECG's device is as bad as they come: its crystal is off by 200 ppm, its stamps jitter by ±20 ms, its clock jumps by
200,000 s and back, and half-way it is gone for three seconds and made anew. The PPG's is a good one. Sample ``i`` has
the value ``i`` and is taken at a known time, so each can be accounted for. Latency is from the moment at which the
outlet pushes a block to the moment at which the tick with its samples is handed over.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.report import publish
from benchmarks.tables import machine, table
from streams.codec import chunk_values
from streams.records import WaveTick
from streams.sources.live import LiveSource
from streams.sources.lsl import LslDevice

AWAY_S = 3.0
SETTLED_S = 30.0  # drift and jitter are known by then


@dataclass(frozen=True)
class Outlet:
    """jumps: (after so many seconds, by so many) of the stamps."""

    zero_s: float
    name: str
    label: str
    rate_hz: float
    block: int
    drift: float = 0.0
    jitter_s: float = 0.0
    jumps: tuple[tuple[float, float], ...] = ()

    @property
    def period_s(self) -> float:
        """Seconds from one sample to the next, in truth."""
        return (1.0 + self.drift) / self.rate_hz

    def pushed_s(self, index: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """When the block that holds each sample is pushed: at the time of its last sample."""
        return self.zero_s + (index // self.block * self.block + self.block - 1) * self.period_s


@dataclass(frozen=True)
class Account:
    """Of one stream: samples pushed since the first that arrived, and what became of them."""

    sent: int
    received: int
    lost: int
    doubled: int
    disordered: int
    error_ms: tuple[float, float]
    latency_ms: tuple[float, float]
    lines: int


def main(argv: list[str]) -> int:
    """Runs source and outlets for a while and writes the account; returns the exit code, 1 where a sample is lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks lsl", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the run (default 600)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--outlet", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.outlet:
        _push(Outlet(**json.loads(options.outlet)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "lsl_api.cfg"
        config.write_text(
            f"[lab]\nSessionID = vigil-{os.getpid()}\n[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n",
            encoding="utf-8",
        )
        os.environ["LSLAPICFG"] = str(config)  # before liblsl is used
        text, complete = _run(options.seconds)
    publish(text, options.out)
    return 0 if complete else 1


def _run(seconds: float) -> tuple[str, bool]:
    now_s = time.monotonic()
    jumps = ((seconds / 4, 200_000.0), (3 * seconds / 4, -200_000.0))
    bad = Outlet(now_s, "bad", "II", 500.0, 10, drift=200e-6, jitter_s=0.02, jumps=jumps)
    good = Outlet(now_s, "good", "PLETH", 125.0, 5)
    processes = {"bad": [_start(bad)], "good": [_start(good)]}
    source = LiveSource(LslDevice(), "bed", "s")
    source.describe()
    heard: list[tuple[float, WaveTick]] = []

    def emit(tick: WaveTick) -> bool:
        heard.append((time.monotonic(), tick))
        return True

    thread = threading.Thread(target=source.run, args=(emit,))
    cpu_s = time.process_time()
    thread.start()
    time.sleep(seconds / 2)
    stretches = {"bad": _end(processes["bad"].pop()), "good": []}
    time.sleep(AWAY_S)
    processes["bad"].append(_start(bad))
    time.sleep(max(0.0, seconds / 2 - AWAY_S))
    for name, (process,) in processes.items():
        stretches[name] += _end(process)
    time.sleep(1.0)
    source.stop()
    thread.join()
    cpu_s = time.process_time() - cpu_s
    accounts = {o.name: _account(heard, o, stretches[o.name], m) for o, m in ((bad, "ECG"), (good, "PPG"))}
    counts = source.counts()
    late, doubled = counts["late_samples"], counts["duplicate_samples"]
    rows = [
        [name, a.sent, a.received, a.lost, a.doubled, a.disordered, *a.error_ms, *a.latency_ms, a.lines]
        for name, a in accounts.items()
    ]
    header = ["stream", "sent", "received", "lost", "doubled", "out of order", "time off p50 (ms)", "p99"]
    text = "\n".join(
        [
            f"## LSL in: {seconds:.0f} s, {machine()}",
            "",
            "bad: 500 Hz, 200 ppm, ±20 ms of jitter, ±200,000 s of clock jumps, lost and made anew; good: 125 Hz",
            "",
            table([*header, "push → tick p50 (ms)", "p99", "lines"], rows),
            "",
            f"{len(heard)} ticks, {counts['epochs']} epochs, {counts['gaps']} gaps, {late} samples late, "
            f"{doubled} doubled, {100 * cpu_s / seconds:.1f} % of a core.",
        ]
    )
    return text, all(a.lost == a.doubled == a.disordered == 0 for a in accounts.values())


def _account(heard: list[tuple[float, WaveTick]], outlet: Outlet, stretches: list[list[int]], modality: str) -> Account:
    values, errors, latencies, lines = [], [], [], set()
    zero_s = (heard[0][1].due_ns - heard[0][1].end_ns) * 1e-9
    for at_s, tick in heard:
        for chunk in tick.chunks:
            if chunk.modality != modality or not chunk.data:
                continue
            mine = chunk_values(chunk.data).astype(np.float64)
            index = chunk.first_index + np.arange(len(mine))
            times_s = zero_s + (chunk.origin_ns + index * 1e9 / chunk.rate_hz) * 1e-9
            values.append(mine)
            errors.append(times_s - (outlet.zero_s + mine * outlet.period_s))
            latencies.append(at_s - outlet.pushed_s(mine[-1:]))
            lines.add((tick.epoch, chunk.origin_ns, chunk.rate_hz))
    got = np.concatenate(values)
    got = got[np.isfinite(got)]
    settled = np.concatenate(errors)[round(SETTLED_S * outlet.rate_hz) :]
    sent = np.concatenate([np.arange(a, b + 1) for a, b in stretches])
    sent = sent[sent >= got[0]]
    latency_ms = 1e3 * np.concatenate(latencies)
    return Account(
        sent=len(sent),
        received=len(got),
        lost=len(np.setdiff1d(sent, got)),
        doubled=len(got) - len(np.unique(got)),
        disordered=int(np.count_nonzero(np.diff(got) <= 0)),
        error_ms=_p50_p99(1e3 * np.abs(settled)),
        latency_ms=_p50_p99(latency_ms),
        lines=len(lines),
    )


def _p50_p99(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    return (float(np.percentile(values, 50)), float(np.percentile(values, 99))) if len(values) else (math.nan, math.nan)


def _start(outlet: Outlet) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks", "lsl", "--outlet", json.dumps(asdict(outlet))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # it is there
    return process


def _end(process: subprocess.Popen[str]) -> list[list[int]]:
    """End an outlet; first and last sample of each stretch in which somebody listened."""
    out, _ = process.communicate()
    found: list[list[int]] = json.loads(out)
    return found


def _push(outlet: Outlet) -> None:
    """The body of an outlet's process: push until standard input ends, then say what was pushed."""
    pylsl = importlib.import_module("pylsl")
    info = pylsl.StreamInfo(outlet.name, "", 1, outlet.rate_hz, "float32", outlet.name)
    channel = info.desc().append_child("channels").append_child("channel")
    channel.append_child_value("label", outlet.label)
    stream = pylsl.StreamOutlet(info, outlet.block)
    print("ready", flush=True)
    over = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=watch, daemon=True).start()
    chance = random.Random(11)
    block = max(0, math.ceil((time.monotonic() - outlet.zero_s) / outlet.period_s)) // outlet.block + 1
    stretches: list[list[int]] = []
    listened = False
    while True:
        first, last = block * outlet.block, (block + 1) * outlet.block - 1
        taken_s = outlet.zero_s + last * outlet.period_s
        if over.wait(max(0.0, taken_s - time.monotonic())):
            break
        stamp_s = taken_s + chance.uniform(-outlet.jitter_s, outlet.jitter_s)
        stamp_s += sum(by for after, by in outlet.jumps if taken_s - outlet.zero_s >= after)
        heard = stream.have_consumers()
        stream.push_chunk(
            [[float(i)] for i in range(first, last + 1)], stamp_s + pylsl.local_clock() - time.monotonic()
        )
        if heard and not listened:
            stretches.append([first, last])
        elif heard:
            stretches[-1][1] = last
        listened = heard
        block += 1
    time.sleep(0.5)  # what was pushed is on its way
    print(json.dumps(stretches), flush=True)
