"""Faults on a real Kafka, every tick, second and window accounted for: workers killed and frozen, the broker away, ...

Starts a Kafka of its own (Java 17 and Maven, as the tests do) and every role as a process of its own: two workers, one
source that plays a built-in patient on every bed, this process as the reader. ``none`` is the same without a fault:
what the machine gives anyway, beside which the others stand.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.beds import END_S, Ward, reading
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.times import SECOND_NS
from streams.feed import DisplayFeed
from streams.records import AnyRecord, VitalsRecord
from streams.roles.display import DisplayProcess

if TYPE_CHECKING:
    from tests.transport.kafka_broker import KafkaBroker

AFTER_S = 5.0  # for the reader, when the source has ended
SILENT_S = 120.0  # after a fault, with no bed moving: it was not overcome
STANDS_S = 30.0  # a role that stands still
LOOKS_S = 15.0  # of a display before and after it stands still, and of a worker that joins

Strike = Callable[["KafkaBroker", Ward, float], None]
"""Does it, for so many seconds where it is an outage of the broker, and returns when it is over."""


def _nothing(_kafka: KafkaBroker, _ward: Ward, _seconds: float) -> None:
    pass


def _still(kafka: KafkaBroker, _ward: Ward, seconds: float) -> None:
    kafka.pause()
    time.sleep(seconds)
    kafka.resume()


def _gone(kafka: KafkaBroker, _ward: Ward, seconds: float) -> None:
    kafka.kill()
    time.sleep(seconds)
    kafka.restart()


def _killed(_kafka: KafkaBroker, ward: Ward, _seconds: float) -> None:
    ward.workers[0].kill()


def _frozen(_kafka: KafkaBroker, ward: Ward, _seconds: float) -> None:
    ward.workers[0].send_signal(signal.SIGSTOP)
    time.sleep(STANDS_S)
    ward.workers[0].send_signal(signal.SIGCONT)


def _reassigned(_kafka: KafkaBroker, ward: Ward, _seconds: float) -> None:
    ward.until_well(ward.worker())
    time.sleep(LOOKS_S)
    ward.workers[0].terminate()


def _reader_frozen(_kafka: KafkaBroker, ward: Ward, _seconds: float) -> None:
    reader = ward.start("benchmarks", "faults", "--read", ward.url, ward.prefix)
    time.sleep(LOOKS_S)
    reader.send_signal(signal.SIGSTOP)
    time.sleep(STANDS_S)
    reader.send_signal(signal.SIGCONT)
    time.sleep(LOOKS_S)
    reader.terminate()
    reader.wait(END_S)
    lines = [json.loads(line) for line in ward.said(reader).splitlines() if line.startswith("{")]
    cut = max(range(1, len(lines)), key=lambda n: float(lines[n]["at"]) - float(lines[n - 1]["at"]))
    own = max(max(bed.vitals) for bed in ward.beds.values())
    before, first, last = lines[cut - 1], lines[cut], lines[-1]
    most = max(line["mb"] for line in lines[cut:])
    ward.notes.append(
        f"the display that stood still for {STANDS_S:.0f} s: {before['mb']} MB before, {most} MB at most after; its "
        f"newest second {before['second']} before, {first['second']} at its first look, {last['second']} at its last, "
        f"where the one that never stood still had {own}"
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """words: of the table; ``{:g}`` in them is the length of the outage, in seconds."""

    words: str
    strike: Strike

    @property
    def is_outage(self) -> bool:
        """Whether the broker is away for as long as one likes."""
        return "{" in self.words


FAULTS = {
    "none": Fault("none", _nothing),
    "kill": Fault("a worker is killed (`kill -9`)", _killed),
    "still": Fault("the broker stands still for {:g} s", _still),
    "gone": Fault("the broker is killed (`kill -9`), and started again after {:g} s", _gone),
    "frozen": Fault(f"a worker stands still for {STANDS_S:.0f} s, then goes on", _frozen),
    "reassigned": Fault("a third worker comes, one leaves (SIGTERM)", _reassigned),
    "display": Fault(f"a display stands still for {STANDS_S:.0f} s, then goes on", _reader_frozen),
}
COLUMNS = [
    "fault", "ticks sent", "arrived", "twice",
    "numerics: seconds missing", "of", "told again", "told otherwise",
    "windows missing", "of", "invalid", "late", "skipped", "told again", "told otherwise",
    "longest silence, s", "cores: ours", "others'", "load", "ended",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a fault, and for how long if it is an outage."""

    name: str
    seconds: float

    @property
    def words(self) -> str:
        """Of the table."""
        return FAULTS[self.name].words.format(self.seconds)


def cases(names: Sequence[str], outages_s: Sequence[float]) -> list[Case]:
    """In the order of the names; an outage once for each length.

    >>> [case.words for case in cases(["none", "still"], [10, 300])]
    ['none', 'the broker stands still for 10 s', 'the broker stands still for 300 s']
    """
    return [Case(name, s) for name in names for s in (outages_s if FAULTS[name].is_outage else (0.0,))]


def main(argv: list[str]) -> int:
    """Runs the cases one after the other; writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults", description=__doc__)
    parser.add_argument("--beds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=120, help="of each recording, at real time")
    parser.add_argument("--fault-at", type=float, default=40.0, help="seconds after the first numerics of every bed")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument(
        "--outage", type=float, nargs="+", default=[10.0, 60.0], help="seconds without a broker, each a case"
    )
    parser.add_argument("--logs", type=Path, help="folder for what the roles say (default: thrown away)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", nargs=2, metavar=("BROKER", "PREFIX"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.read:
        return _read(*options.read)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the roles share the machine
    from tests.transport.kafka_broker import start_kafka

    rows, notes = [], []
    with tempfile.TemporaryDirectory() as name:
        kafka = start_kafka(Path(name))
        folder = options.logs or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for case in cases(options.only, options.outage):
                row, said = _run(kafka, folder, case, options)
                rows.append(row)
                notes += said
                print("|", " | ".join(map(str, row)), "|", *said, file=sys.stderr, flush=True)
        finally:
            kafka.stop()
    head = f"## Faults on Kafka: {options.beds} beds of {options.seconds} s, two workers, {machine()}"
    more = [
        "",
        "Broker, workers, source and readers share the machine. Sums over the beds; the silence is the longest of any. "
        "A recording waits while the broker is away. `cores`: processors in use on the mean, by all of these, and by "
        "whatever else ran; `load`: mean of the last minute when the fault began. `ended`: exit codes of workers and "
        "source (130: told to end).",
        *(f"\n{note[0].upper()}{note[1:]}." for note in notes),
    ]
    publish("\n".join([head, "", table(COLUMNS, rows), *more]), options.out)
    return 0


def _run(kafka: KafkaBroker, folder: Path, case: Case, options: argparse.Namespace) -> tuple[list[object], list[str]]:
    """A row of the table, and what there is to say of it."""
    cores = Cores()
    ward = Ward(f"kafka://{kafka.bootstrap}", folder)
    try:
        for worker in [ward.worker("--backend", "onnx") for _ in range(2)]:
            ward.until_well(worker)
        demos = [f"demo:seed={seed}" for seed in range(1, options.beds + 1)]
        source = ward.role("source", *demos, "--for", str(options.seconds))
        ward.until(
            "numerics of every bed",
            lambda: sum(bool(bed.vitals) for bed in list(ward.beds.values())) == options.beds,
            source,
        )
        time.sleep(options.fault_at)
        load = os.getloadavg()[0]
        FAULTS[case.name].strike(kafka, ward, case.seconds)
        code, sent = ward.ended(source, SILENT_S)
        time.sleep(AFTER_S)
        ours, others = cores.used()
    finally:
        ward.close()
    total: Counter[str] = Counter()
    otherwise = sorted(set().union(*(bed.fields_told_otherwise() for bed in ward.beds.values())))
    if otherwise:
        ward.notes.append(f"what was told otherwise differed in {', '.join(otherwise)}")
    for bed in ward.beds.values():
        total.update(bed.counts(options.seconds))
    seconds = options.beds * options.seconds
    codes = ", ".join(str(worker.returncode) for worker in ward.workers)
    row: list[object] = [
        case.words, None if sent is None else sent - options.beds,  # without the ends of stream
        total["arrived"], total["twice"],
        total["missing"], seconds, total["again"], total["otherwise"],
        total["windows missing"], seconds,
        *(total[f"windows {name}"] for name in ("invalid", "late", "skipped", "again", "otherwise")),
        round(max((bed.silence_s for bed in ward.beds.values()), default=0.0), 1), round(ours, 2), round(others, 2),
        round(load, 1), f"{codes}; {code}",
    ]  # fmt: skip
    return row, [f"{case.words}: {note}" for note in ward.notes]


class Cores:
    """Processors in use since it was made: by this process and all that it has started, and by others."""

    def __init__(self) -> None:
        self._began = time.monotonic(), _own_s(), _all_s()

    def used(self) -> tuple[float, float]:
        """Ours and others', on the mean."""
        at_s, own_s, all_s = self._began
        took_s, ours_s = time.monotonic() - at_s, _own_s() - own_s
        return ours_s / took_s, max(0.0, _all_s() - all_s - ours_s) / took_s


def _own_s() -> float:
    """CPU seconds of this process and its children, those that have ended and were waited for among them."""
    own = psutil.Process()
    used_s = 0.0
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used_s += times.user + times.system + times.children_user + times.children_system
    return used_s


def _all_s() -> float:
    """CPU seconds of everything on the machine."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _read(url: str, prefix: str) -> int:
    """A display without a screen, in a process of its own: says every half second how it stands."""
    feed = DisplayFeed()
    newest = [0]

    def take(record: AnyRecord) -> None:
        if isinstance(record, VitalsRecord):
            newest[0] = max(newest[0], record.time_ns // SECOND_NS)

    display = DisplayProcess(url, reading(prefix), [feed])
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
