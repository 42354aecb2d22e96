"""A ward on a Kafka: its roles in processes of their own, and what a reader in this process hears of every bed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from models.signals.times import SECOND_NS
from streams.records import AnyRecord, PredictionRecord, VitalsRecord, WaveTick, tick_identity
from streams.roles.display import DisplayProcess
from streams.runner import Sharing

PARTITIONS = 8
START_S = 120.0  # for a role to begin, on a machine with other work
END_S = 30.0
LOOK_S = 0.2


Wording = tuple[tuple[str, int], ...]
"""What a record says: the name of every field, and a hash of what is in it."""
NOT_SAID = ("stamps_ns", "host", "clock_ns")
"""Who told it, and when."""


def reading(prefix: str) -> Sharing:
    """How one who reads everything shares the broker."""
    return Sharing(prefix=prefix, partitions=PARTITIONS, only_own=False)


class Heard:
    """What came of one bed: by second of event time each wording, by tick how often, and when (monotonic).

    ticks: by identity, ends of stream left out. vitals, predictions: of every record of that second a hash of each
    field. not_valid: seconds with a prediction that is not, by why: ``late``, ``skipped``, else ``invalid``. sample_ms,
    window_ms: from due to here, of ticks and of predictions that have a due time.
    """

    def __init__(self) -> None:
        self.ticks: Counter[object] = Counter()
        self.vitals: dict[int, list[Wording]] = defaultdict(list)
        self.predictions: dict[int, list[Wording]] = defaultdict(list)
        self.not_valid: dict[str, set[int]] = {"invalid": set(), "late": set(), "skipped": set()}
        self.vitals_at_s: list[float] = []
        self.sample_ms: list[float] = []
        self.window_ms: list[float] = []

    def take(self, record: AnyRecord, now_ns: int) -> None:
        """Counts a record that came at ``now_ns``."""
        if isinstance(record, WaveTick):
            if not record.eos:
                self.ticks[tick_identity(record)] += 1
            if record.due_ns > 0:
                self.sample_ms.append((now_ns - record.due_ns) / 1e6)
        elif isinstance(record, VitalsRecord):
            self.vitals[record.time_ns // SECOND_NS].append(_wording(record))
            self.vitals_at_s.append(now_ns / SECOND_NS)
        elif isinstance(record, PredictionRecord):
            second = record.window_end_ns // SECOND_NS
            self.predictions[second].append(_wording(record))
            if not record.valid:
                self.not_valid[record.missed or "invalid"].add(second)
            if due := record.stamps_ns.get("due", 0):
                self.window_ms.append((now_ns - due) / 1e6)

    def counts(self, seconds: int) -> Counter[str]:
        """Of a bed that has played so many seconds, to be added up over beds. What is missing are seconds of which
        nothing was ever told, at the beginning and at the end as well."""
        told, windows = self.vitals, self.predictions
        return Counter({
            "arrived": len(self.ticks),
            "twice": self.ticks.total() - len(self.ticks),
            "missing": seconds - len(told),
            "again": _again(told),
            "otherwise": _otherwise(told),
            "windows missing": seconds - len(windows),
            "windows again": _again(windows),
            "windows otherwise": _otherwise(windows),
            **{f"windows {why}": len(seconds_of) for why, seconds_of in self.not_valid.items()},
        })  # fmt: skip

    def fields_told_otherwise(self) -> set[str]:
        """Names of the fields in which records of one and the same second differ."""
        told = [*self.vitals.values(), *self.predictions.values()]
        return {name for said in told for other in said[1:] for name, _ in set(said[0]) ^ set(other)}

    @property
    def silence_s(self) -> float:
        """The longest time on the wall without numerics."""
        return max((b - a for a, b in zip(self.vitals_at_s, self.vitals_at_s[1:], strict=False)), default=0.0)


def _wording(record: VitalsRecord | PredictionRecord) -> Wording:
    names = (name for name in record.__struct_fields__ if name not in NOT_SAID)
    return tuple((name, hash(repr(getattr(record, name)))) for name in names)


def _again(told: dict[int, list[Wording]]) -> int:
    """Seconds of which the same was told more than once."""
    return sum(len(said) > 1 and len(set(said)) == 1 for said in told.values())


def _otherwise(told: dict[int, list[Wording]]) -> int:
    """Seconds of which two different things were told."""
    return sum(len(set(said)) > 1 for said in told.values())


class Ward:
    """Roles on topics of their own. url: ``kafka://HOST:PORT``. folder: for what they say and keep.

    beds: what the reader hears, from :meth:`__init__` on until :meth:`close`. workers: those that :meth:`worker` has
    started. notes: what there is to say afterwards, in sentences.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._folder = url, folder
        self.prefix = f"ward{time.time_ns():x}-"
        self.beds: dict[str, Heard] = defaultdict(Heard)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.notes: list[str] = []
        self._said: dict[int, Path] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._reader = DisplayProcess(url, reading(self.prefix))
        self._reader.subscribe(lambda record: self.beds[record.bed].take(record, time.monotonic_ns()))
        self._reader.start()
        if not self._reader.ready.wait(START_S):
            self._reader.stop()
            raise SystemExit(f"the broker {url} did not answer within {START_S:.0f} s")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """``python -m`` these words, in a process of its own; what it says goes to a file."""
        path = self._folder / f"{self.prefix}{len(self._started)}"
        with path.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdout=said,
                stderr=said,
                env=os.environ | {"XDG_STATE_HOME": str(self._folder)},
            )
        self._said[process.pid] = path
        self._started.append(process)
        return process

    def role(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """``vigil NAME`` on this broker, its events as JSON."""
        return self.start("monitor", name, *words, "--broker", self.url, "--prefix", self.prefix, "--log-json")

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """Another worker."""
        self.workers.append(self.role("worker", *words))
        return self.workers[-1]

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has said so far."""
        return self._said[process.pid].read_text(errors="replace")

    def until(self, what: str, reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Waits for something that ``process`` brings about; SystemExit where it ends before, or takes too long."""
        deadline = time.monotonic() + START_S
        while not reached():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{what} did not come: {self.said(process)[-500:]}")
            time.sleep(LOOK_S)

    def until_well(self, process: subprocess.Popen[bytes]) -> None:
        """Waits until a role says that it is well."""
        self.until("a role's start", lambda: '"event": "well"' in self.said(process), process)

    def ended(self, source: subprocess.Popen[bytes], silent_s: float) -> tuple[int | None, int | None]:
        """Waits for the end of a source, however late it comes on a slow machine; its exit code and the ticks that it
        says to have sent, ends of stream among them. None where it did not come: no bed has moved for so long."""
        heard, since_s = -1, time.monotonic()
        while source.poll() is None:
            now_heard, now_s = sum(len(bed.vitals_at_s) for bed in list(self.beds.values())), time.monotonic()
            if now_heard != heard:
                heard, since_s = now_heard, now_s
            if now_s - since_s > silent_s:
                self.notes.append(f"no bed moved for {silent_s:.0f} s, and the source had not come to its end")
                return None, None
            time.sleep(LOOK_S)
        ends = [json.loads(line) for line in self.said(source).splitlines() if '"event": "ended"' in line]
        return source.returncode, ends[-1]["ticks_sent"] if ends else None

    def close(self) -> None:
        """Ends whatever still runs."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.notes.append(f"a role did not end within {END_S:.0f} s of being told to")
        self._reader.stop()
