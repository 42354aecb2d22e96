"""``python -m benchmarks fuzz``: a table of what became of so many mutated messages and recordings.

A crash is any exception but the documented ones (a dead letter of a message, BadInput in one line of a recording); a
hang is a message or a recording that takes longer than 5 s of the processor, or a minute of the wall (somebody waits
for what never comes; other work on the machine is no hang); and the process may hold 1 GiB more than it began with.
Each failure is told with its seed, which finds it again: ``tests/test_fuzz.py`` keeps those that were found.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.fuzz.messages import PER_CASE, run_case
from benchmarks.fuzz.recordings import Recordings
from benchmarks.report import publish
from benchmarks.tables import machine, table

HANG_S, WAIT_S = 5.0, 60.0
MORE_BYTES = 1 << 30


class Hang(Exception):
    """It took longer than it may."""


@dataclass
class Run:
    """What became of the inputs of one sort; failures as (seed, where and what)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    longest_s: float = 0.0


def main(argv: list[str]) -> int:
    """Runs both sorts and prints the tables; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--recordings", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others follow")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore", RuntimeWarning)  # of overflows in absurd samples
    began = psutil.Process().memory_info().rss
    with _bounded():
        messages = Run()
        for seed in range(options.seed, options.seed + -(-options.messages // PER_CASE)):
            _case(messages, seed, lambda seed: run_case(seed, lambda: _within(messages)))
        with tempfile.TemporaryDirectory() as folder:
            recordings, made = Run(), Recordings(Path(folder))
            for seed in range(options.seed, options.seed + options.recordings):
                _case(recordings, seed, lambda seed: _recording(made, seed, recordings))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = [
        [name, count, run.longest_s, len(run.failures)]
        for name, count, run in (
            ("mutated messages", messages.outcomes["mutated"], messages),
            ("mutated recordings", sum(recordings.outcomes.values()), recordings),
        )
    ]
    parts = [f"## Mutated input, seeds from {options.seed} on, {machine()}", ""]
    parts += [table(["what", "count", "longest (s)", "failures"], rows), ""]
    parts += [f"Messages with what followed from them: {_listed(messages.outcomes)}.",
              f"Recordings: {_listed(recordings.outcomes)}.",
              f"Memory: {began / 1e6:.0f} MB at the start, {peak / 1e6:.0f} MB at most."]  # fmt: skip
    for run in (messages, recordings):
        parts += [f"* seed {seed}: {what}" for seed, what in run.failures]
    publish("\n".join(parts), options.out)
    return 1 if messages.failures or recordings.failures else 0


def _case(run: Run, seed: int, body: Callable[[int], Counter[str]]) -> None:
    try:
        run.outcomes += body(seed)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {Path(at.filename).name}:{at.lineno}: {' '.join(str(error).split())[:200]}"
        run.failures.append((seed, what))
        print(f"seed {seed}: {what}", file=sys.stderr, flush=True)


def _recording(made: Recordings, seed: int, run: Run) -> Counter[str]:
    with _within(run):
        return Counter({made.run_case(seed): 1})


@contextmanager
def _within(run: Run) -> Iterator[None]:
    """Hang where the body takes longer than it may; the longest is noted."""

    def ring(number: int, frame: object) -> None:
        raise Hang(f"it took longer than {HANG_S:g} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, HANG_S), (signal.ITIMER_REAL, signal.SIGALRM, WAIT_S))
    before = [signal.signal(number, ring) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    began = time.process_time()
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0.0)
            signal.signal(number, handler)
        run.longest_s = max(run.longest_s, time.process_time() - began)


@contextmanager
def _bounded() -> Iterator[None]:
    """The process may not ask for more memory than that: what does fails with MemoryError, which is a crash."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _listed(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items())) or "none"
