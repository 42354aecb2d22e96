"""What the alarms of rhythm and pulse cost where nobody judged one: how often they begin, and what share of the time
they stand, by priority, over recordings that were not chosen for their alarms. True ones may be among them.

Each set is a folder of WFDB records, a file or ``demo:…``; all of these last are one set. Of a folder with an
``index.csv`` one recording of each ``group`` (patient) comes before a second one of any. Each recording is replayed
twice, with all its sensors and with its ECG alone.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.alarm_replay import replay
from benchmarks.tables import table
from models.signals.channels import map_channels
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from streams.alarms.circulation import ARRHYTHMIAS, LOST_PULSES
from streams.records import AlarmRecord

PRIORITIES = ("high", "medium")
ALL_SENSORS = (Modality.ECG, Modality.ABP, Modality.PPG)

Kind = tuple[str, str]  # key, priority


@dataclass(slots=True)
class Tally:
    """Of many replays: how often an alarm began at a priority, and for how many seconds it stood there."""

    recordings: int = 0
    seconds: int = 0
    begun: Counter[Kind] = field(default_factory=Counter)
    stood_s: Counter[Kind] = field(default_factory=Counter)

    def add(self, changes: Iterable[tuple[int, AlarmRecord]], seconds: int) -> None:
        """The changes of one replay that ended at ``seconds``, in order of time."""
        standing: dict[str, tuple[str, int]] = {}
        self.recordings += 1
        self.seconds += seconds
        for at_s, change in changes:
            priority, since_s = standing.get(change.key, ("", at_s))
            now = change.priority if change.active else ""
            if now == priority:
                continue
            if priority:
                self.stood_s[change.key, priority] += at_s - since_s
                del standing[change.key]
            if now:
                self.begun[change.key, now] += 1
                standing[change.key] = (now, at_s)
        for key, (priority, since_s) in standing.items():
            self.stood_s[key, priority] += max(0, seconds - since_s)

    def rate(self, kind: Kind) -> str:
        """Begun per hour, and the share of time."""
        if not self.begun[kind]:
            return "0"
        hours = self.seconds / 3600.0
        return f"{self.begun[kind] / hours:.1f} ({100.0 * self.stood_s[kind] / self.seconds:.2f} %)"


def recordings_of(source: str, most: int) -> list[str]:
    """The recordings of a set, at most so many."""
    folder = Path(source)
    if not folder.is_dir():
        return [source]
    names = sorted(path.stem for path in folder.glob("*.hea"))
    if not names:
        raise BadInput("a folder of WFDB records, a file or demo:…", f"no record in {folder}", "unpack the set")
    groups: dict[str, str] = {}
    if (index := folder / "index.csv").is_file():
        with index.open(encoding="utf-8", newline="") as file:
            groups = {row["record"]: row.get("group") or row["record"] for row in csv.DictReader(file)}
    turns: Counter[str] = Counter()
    order = []
    for name in names:
        group = groups.get(name, name)
        order.append((turns[group], name))
        turns[group] += 1
    chosen = sorted(order)[:most]
    return [str(folder / f"{name}.hea") for _, name in chosen]


def background(sources: Sequence[str], most: int, most_s: int) -> str:
    """The tables, a line a set and choice of sensors."""
    tallies: dict[tuple[str, str], Tally] = {}
    for source in sources:
        name = "demo" if source.startswith("demo") else Path(source).name
        for recording in recordings_of(source, most):
            channels = map_channels(open_recording(recording))
            seconds = min(int(channels.duration_s), most_s)
            sensors = [m for m in ALL_SENSORS if m in channels.channels]
            choices = {" + ".join(m.value for m in sensors): tuple(sensors)}
            if Modality.ECG in sensors:
                choices["ECG"] = (Modality.ECG,)
            for label, choice in choices.items():
                tallies.setdefault((name, label), Tally()).add(replay(recording, 0, seconds, choice), seconds)
    return "\n\n".join(_table(tallies, keys) for keys in (tuple(ARRHYTHMIAS), LOST_PULSES))


def _table(tallies: dict[tuple[str, str], Tally], keys: Sequence[str]) -> str:
    kinds = [(k, p) for k in keys for p in PRIORITIES if any(t.begun[k, p] for t in tallies.values())]
    rows = [
        [name, sensors, t.recordings, f"{t.seconds / 3600:.2f}", *(t.rate(kind) for kind in kinds)]
        for (name, sensors), t in tallies.items()
    ]
    return table(["set", "sensors", "n", "h", *(f"{k} {p}" for k, p in kinds)], rows)
