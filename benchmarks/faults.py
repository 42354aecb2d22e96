"""Faults on a real Kafka, every tick, second and window accounted for: workers killed and frozen, the broker away, ...

Starts a Kafka of its own (Java 17 and Maven, as the tests do) and every role as a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables import machine, publish, table
from models.signals.times import SECOND_NS
from streams.feed import DisplayFeed
from streams.records import AnyRecord, PredictionRecord, VitalsRecord, WaveTick, tick_identity
from streams.roles.display import DisplayProcess
from streams.runner import Sharing

if TYPE_CHECKING:
    from tests.transport.kafka_broker import KafkaBroker

START_S = 120.0
PARTITIONS = 8


@dataclass(slots=True)
class Bed:
    """What came of one bed: by second of event time, how often; and when (monotonic s)."""

    vitals: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    predictions: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    arrived_s: list[float] = field(default_factory=list)
    ticks: Counter[object] = field(default_factory=Counter)

    def take(self, record: AnyRecord) -> None:
        """Counts a record."""
        if isinstance(record, VitalsRecord):
            self.vitals[record.time_ns // SECOND_NS].append(repr(record))
            self.arrived_s.append(time.monotonic())
        elif isinstance(record, PredictionRecord):
            self.predictions[record.window_end_ns // SECOND_NS].append(record.valid)
        elif isinstance(record, WaveTick) and not record.eos:
            self.ticks[tick_identity(record)] += 1

    def counts(self) -> Counter[str]:
        """Of the table, to be added up over beds."""
        told, windows = self.vitals, self.predictions
        return Counter({
            "arrived": len(self.ticks),
            "twice": sum(self.ticks.values()) - len(self.ticks),
            "missing": sum(s not in told for s in range(min(told), max(told) + 1)) if told else 0,
            "again": sum(len(v) > 1 and len(set(v)) == 1 for v in told.values()),
            "differently": sum(len(set(v)) > 1 for v in told.values()),
            "windows missing": sum(s not in windows for s in range(min(windows), max(windows) + 1)) if windows else 0,
            "windows invalid": sum(not all(v) for v in windows.values()),
            "windows": len(windows),
        })  # fmt: skip

    @property
    def silence_s(self) -> float:
        """The longest time on the wall without numerics."""
        return max((b - a for a, b in zip(self.arrived_s[:-1], self.arrived_s[1:], strict=True)), default=0.0)


class Ward:
    """Roles of one case, on topics of its own, and what a reader in this process hears."""

    def __init__(self, kafka: KafkaBroker, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.prefix = f"faults{time.time_ns():x}-"
        self.url = f"kafka://{kafka.bootstrap}"
        self.beds: dict[str, Bed] = defaultdict(Bed)
        self.reader = DisplayProcess(self.url, Sharing(prefix=self.prefix, partitions=PARTITIONS, only_own=False))
        self.reader.subscribe(lambda record: self.beds[record.bed].take(record))
        self.reader.start()
        if not self.reader.ready.wait(START_S):
            raise SystemExit("the broker gave no partitions")
        self.started: list[subprocess.Popen[bytes]] = []
        self.notes: list[str] = []

    def role(self, name: str, *arguments: str, module: str = "monitor") -> subprocess.Popen[bytes]:
        """A command in a process of its own; what it says goes to a file."""
        environment = os.environ | {"XDG_STATE_HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{self.prefix}{name}-{len(self.started)}").open("wb") as said:
            common = ["--broker", self.url, "--prefix", self.prefix] if module == "monitor" else []
            process = subprocess.Popen(
                [sys.executable, "-m", module, name, *arguments, *common], stderr=said, stdout=said, env=environment
            )
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes], name: str) -> str:
        """What a role has said."""
        path = self.folder / f"{self.prefix}{name}-{self.started.index(process)}"
        return path.read_text(errors="replace")

    def worker(self) -> subprocess.Popen[bytes]:
        """Another worker."""
        return self.role("worker", "--backend", "onnx", "--log-json")

    def ready(self, process: subprocess.Popen[bytes], name: str) -> None:
        """Waits until a role says that it is well."""
        deadline = time.monotonic() + START_S
        while '"event": "well"' not in self.said(process, name):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"a {name} did not begin: {self.said(process, name)[-500:]}")
            time.sleep(0.2)

    def close(self) -> None:
        """Ends whatever still runs."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.started:
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                process.kill()
                self.notes.append("a role did not end when told")
        self.reader.stop()


Fault = Callable[[Ward, list[subprocess.Popen[bytes]]], None]


def _still(seconds: float) -> Fault:
    def fault(ward: Ward, _workers: list[subprocess.Popen[bytes]]) -> None:
        ward.kafka.pause()
        time.sleep(seconds)
        ward.kafka.resume()

    return fault


def _gone(seconds: float) -> Fault:
    def fault(ward: Ward, _workers: list[subprocess.Popen[bytes]]) -> None:
        ward.kafka.kill()
        time.sleep(seconds)
        ward.kafka.restart()

    return fault


def _killed(_ward: Ward, workers: list[subprocess.Popen[bytes]]) -> None:
    workers[0].kill()


def _frozen(_ward: Ward, workers: list[subprocess.Popen[bytes]]) -> None:
    workers[0].send_signal(signal.SIGSTOP)
    time.sleep(30.0)
    workers[0].send_signal(signal.SIGCONT)


def _reassigned(ward: Ward, workers: list[subprocess.Popen[bytes]]) -> None:
    ward.ready(ward.worker(), "worker")
    time.sleep(15.0)
    workers[0].terminate()


def _reader_frozen(ward: Ward, _workers: list[subprocess.Popen[bytes]]) -> None:
    reader = ward.role("faults", "--read", ward.url, ward.prefix, module="benchmarks")
    time.sleep(15.0)
    reader.send_signal(signal.SIGSTOP)
    time.sleep(30.0)
    reader.send_signal(signal.SIGCONT)
    time.sleep(15.0)
    reader.terminate()
    reader.wait(30.0)
    lines = [json.loads(line) for line in ward.said(reader, "faults").splitlines() if line.startswith("{")]
    cut = max(range(1, len(lines)), key=lambda n: float(lines[n]["at"]) - float(lines[n - 1]["at"]))
    own = max(max(bed.vitals) for bed in ward.beds.values())
    before, first, last = lines[cut - 1], lines[cut], lines[-1]
    most = max(line["mb"] for line in lines[cut:])
    ward.notes.append(
        f"the display that stood still for 30 s: {before['mb']} MB before, {most} MB at most after; its newest second "
        f"{before['second']} before, {first['second']} at its first look, {last['second']} at its last, where the one "
        f"that never stood still had {own}"
    )


FAULTS: dict[str, tuple[str, Fault]] = {
    "none": ("none", lambda _ward, _workers: time.sleep(1.0)),
    "kill": ("a worker is killed (`kill -9`)", _killed),
    "still10": ("the broker stands still for 10 s", _still(10.0)),
    "still60": ("the broker stands still for 60 s", _still(60.0)),
    "gone10": ("the broker is killed, and there again after 10 s", _gone(10.0)),
    "gone60": ("the broker is killed, and there again after 60 s", _gone(60.0)),
    "frozen": ("a worker stands still for 30 s, then goes on", _frozen),
    "reassigned": ("a third worker comes, one leaves (SIGTERM)", _reassigned),
    "display": ("a display stands still for 30 s, then goes on", _reader_frozen),
}
COLUMNS = [
    "fault", "ticks sent", "arrived", "twice", "numerics: seconds missing", "told twice, same words",
    "told twice, other words", "windows", "missing", "invalid", "longest silence, s", "ended",
]  # fmt: skip


def main(argv: list[str]) -> int:
    """Runs the cases one after the other; writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults", description=__doc__)
    parser.add_argument("--beds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each recording, at real time")
    parser.add_argument("--fault-at", type=float, default=40.0, help="seconds after the first numerics")
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", nargs=2, metavar=("BROKER", "PREFIX"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.read:
        return _read(*options.read)
    from tests.transport.kafka_broker import start_kafka

    rows, notes = [], []
    with tempfile.TemporaryDirectory() as name:
        kafka = start_kafka(Path(name))
        try:
            for case in options.only:
                row, said = _case(kafka, Path(name), case, options)
                rows.append(row)
                notes += said
                print("|", " | ".join(map(str, row)), "|", *said, file=sys.stderr, flush=True)
        finally:
            kafka.stop()
    head = f"## Faults on Kafka: {options.beds} beds of {options.seconds:.0f} s, two workers, {machine()}"
    more = [
        "",
        "Broker, workers, source and readers share the machine. Sums over the beds; the silence is the longest of any. "
        "A recording waits while the broker is away. `ended`: exit codes of workers and source.",
        *(f"\n{note[0].upper()}{note[1:]}." for note in notes),
    ]
    publish("\n".join([head, "", table(COLUMNS, rows), *more]), options.out)
    return 0


def _case(kafka: KafkaBroker, folder: Path, case: str, options: argparse.Namespace) -> tuple[list[object], list[str]]:
    words, fault = FAULTS[case]
    ward = Ward(kafka, folder)
    try:
        workers = [ward.worker() for _ in range(2)]
        for worker in workers:
            ward.ready(worker, "worker")
        demos = [f"demo:seed={seed}" for seed in range(1, options.beds + 1)]
        source = ward.role("source", *demos, "--for", str(options.seconds), "--log-json")
        deadline = time.monotonic() + START_S
        while sum(bool(bed.vitals) for bed in ward.beds.values()) < options.beds:
            if source.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"no numerics: {ward.said(source, 'source')[-500:]}")
            time.sleep(0.2)
        time.sleep(options.fault_at)
        fault(ward, workers)
        try:
            code = source.wait(options.seconds + 200.0)
        except subprocess.TimeoutExpired:
            code = -1
            ward.notes.append(f"{case}: the source did not come to its end")
        time.sleep(5.0)
        ended = [json.loads(line) for line in ward.said(source, "source").splitlines() if '"event": "ended"' in line]
        sent = ended[-1]["ticks_sent"] - options.beds if ended else None  # without the ends of stream
    finally:
        ward.close()
    total: Counter[str] = Counter()
    for bed in ward.beds.values():
        total.update(bed.counts())
    codes = ", ".join(str(process.returncode) for process in ward.started[:2])
    row: list[object] = [
        words, sent, *(total[name] for name in ("arrived", "twice", "missing", "again", "differently")),
        *(total[name] for name in ("windows", "windows missing", "windows invalid")),
        round(max(bed.silence_s for bed in ward.beds.values()), 1), f"{codes}; {code}",
    ]  # fmt: skip
    return row, ward.notes


def _read(url: str, prefix: str) -> int:
    """A display without a screen, in a process of its own: says every half second how it stands."""
    feed = DisplayFeed()
    newest = [0]

    def take(record: AnyRecord) -> None:
        if isinstance(record, VitalsRecord):
            newest[0] = max(newest[0], record.time_ns // SECOND_NS)

    display = DisplayProcess(url, Sharing(prefix=prefix, partitions=PARTITIONS, only_own=False), [feed])
    display.subscribe(take)
    display.start()
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: over.append(number))
    while not over:
        time.sleep(0.5)
        feed.drain()
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6
        line = {"at": round(time.monotonic(), 2), "mb": round(size), "second": newest[0], "lag": display.stream.lag}
        print(json.dumps(line | {"dropped": feed.status.dropped}), flush=True)
    display.stop()
    return 0
