"""The live alarm path on the recordings of the PhysioNet/CinC Challenge 2015, each with one alarm at 300 s that experts
judged true or false (Clifford et al., Computing in Cardiology 2015; 42:273–276).

DIR holds them as WFDB records with an ``index.csv`` (record, alarm, alarm_true). Each is replayed in ticks of a second
through the windower and the alarm engine up to 300.0 s and nothing after (the Challenge's real-time rule), so the alarm
is judged on what a bedside would have shown: TRUE if the alarm of that kind stands at high priority at any second of
the last 12 — the Challenge's 10 s from the event to its alarm, and two for a second's work on either side. By default
the replay begins 120 s before the alarm, which is twice what any rule remembers.

Records are split by the first byte of the SHA-256 of their name: even is *tuning*, odd is *reporting*. Score:
(TP + TN) / (TP + TN + FP + 5 FN). Intervals: 95 %, 2000 bootstrap samples of records within kind.

With ``--background`` instead the alarms over recordings without verdicts (:mod:`benchmarks.background`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.alarm_replay import replay
from benchmarks.background import background
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.errors import BadInput
from streams.alarms.arrhythmia import HARDLY_UNLIKE
from streams.records import AlarmRecord

ALARM_S, WINDOW_S, REPLAYED_S = 300, 12, 120
KEYS = {
    # kind in index.csv: key of the alarm
    "Asystole": "asystole",
    "Bradycardia": "brady.extreme",
    "Tachycardia": "tachy.extreme",
    "Ventricular_Flutter_Fib": "vfib",
    "Ventricular_Tachycardia": "vtach",
}
NEVER_SILENT = ("Asystole", "Ventricular_Flutter_Fib", "Ventricular_Tachycardia")
BOOTSTRAPS = 2000


@dataclass(frozen=True, slots=True)
class Judged:
    """One record. true: the experts' verdict. high: the alarm of its kind stood at high priority within the window;
    called: or would have, had no other sensor contradicted it; heard: it stood at whatever priority, or another alarm
    of high priority did."""

    record: str
    kind: str
    true: bool
    high: bool
    called: bool
    heard: bool

    @property
    def tuning(self) -> bool:
        """Whether the record belongs to the tuning half."""
        return in_tuning(self.record)


def in_tuning(record: str) -> bool:
    """Which half a record belongs to."""
    return hashlib.sha256(record.encode()).digest()[0] % 2 == 0


def index_of(folder: Path) -> list[dict[str, str]]:
    """The rows of the folder's index.csv that name an alarm. Raises BadInput where there is none."""
    index = folder / "index.csv"
    if not index.is_file():
        raise BadInput("a folder of WFDB records with their index.csv", f"none in {folder}", "unpack the set")
    with index.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("alarm") in KEYS]


def judge(record: str, kind: str, true: bool, changes: Iterable[tuple[int, AlarmRecord]]) -> Judged:
    """What of the alarms stood within the last seconds: what began there, or had begun before and not ended."""
    first_s = ALARM_S - WINDOW_S
    standing: dict[str, AlarmRecord] = {}
    within: list[AlarmRecord] = []
    for second, change in changes:
        if second > first_s and not within:
            within += standing.values()
        if change.active:
            standing[change.key] = change
            within += [change] if second > first_s else []
        else:
            standing.pop(change.key, None)
    within += standing.values()
    mine = [a for a in within if a.key == KEYS[kind]]
    high = any(a.priority == "high" for a in mine)
    called = any(a.priority == "high" or a.reason != HARDLY_UNLIKE for a in mine)
    return Judged(record, kind, true, high, called, bool(mine) or any(a.priority == "high" for a in within))


@dataclass(frozen=True, slots=True)
class Score:
    """Records by the experts' verdict and the rule's: true and false positives and negatives."""

    tp: int
    fn: int
    fp: int
    tn: int

    @classmethod
    def of(cls, true: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]) -> Score:
        """The counts over records [n]: ``true`` by the experts, ``said`` by the rule."""
        return cls(int((true & said).sum()), int((true & ~said).sum()), int((~true & said).sum()),
                   int((~true & ~said).sum()))  # fmt: skip

    @property
    def sensitivity(self) -> float:
        """Share of the true alarms that stood, in percent."""
        return 100 * self.tp / max(self.tp + self.fn, 1)

    @property
    def specificity(self) -> float:
        """Share of the false alarms that did not, in percent."""
        return 100 * self.tn / max(self.tn + self.fp, 1)

    @property
    def challenge(self) -> float:
        """The Challenge's score in percent: a true alarm that is missed counts five times."""
        return 100 * (self.tp + self.tn) / max(self.tp + self.tn + self.fp + 5 * self.fn, 1)


def interval(judged: Sequence[Judged], said: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Of the Challenge's score: records drawn again within each kind of alarm."""
    generator = np.random.default_rng(0)
    true = np.array([j.true for j in judged])
    kinds = [np.flatnonzero([j.kind == kind for j in judged]) for kind in KEYS]
    scores = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([generator.choice(k, len(k)) for k in kinds if len(k)])
        scores.append(Score.of(true[drawn], said[drawn]).challenge)
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)


def rows_of(judged: Sequence[Judged], name: str) -> list[list[object]]:
    """The rows of one kind of alarm, or of all: the nulls, every call of the ECG, and what the other sensors leave."""
    true = np.array([j.true for j in judged])
    verdicts = {
        "always true": np.ones(len(judged), dtype=bool),
        "always false": np.zeros(len(judged), dtype=bool),
        "no suppression": np.array([j.called for j in judged]),
        "ECG + PPG + ABP": np.array([j.high for j in judged]),
    }
    rows: list[list[object]] = []
    for rule, said in verdicts.items():
        s = Score.of(true, said)
        low, high = interval(judged, said)
        rows.append(
            [name, rule, len(judged), s.tp, s.fn, s.fp, s.tn, f"{s.sensitivity:.0f} %", f"{s.specificity:.0f} %",
             f"{s.challenge:.1f} [{low:.0f}–{high:.0f}]"]
        )  # fmt: skip
    return rows


def tables(judged: Sequence[Judged]) -> str:
    """Markdown, both halves: a row an alarm and rule."""
    header = ["alarm", "rule", "n", "TP", "FN", "FP", "TN", "TPR", "TNR", "score [95 %]"]
    parts = []
    for half, chosen in (
        ("Reporting half", [j for j in judged if not j.tuning]),
        ("Tuning half", [j for j in judged if j.tuning]),
    ):
        rows = [r for k in KEYS if (of := [j for j in chosen if j.kind == k]) for r in rows_of(of, k.replace("_", " "))]
        rows += rows_of(chosen, "**all**") if chosen else []
        parts.append(f"### {half}\n\n{table(header, rows)}")
    critical = [j for j in judged if j.true and j.kind in NEVER_SILENT]
    silent = [j.record for j in critical if not j.heard]
    parts.append(
        f"True asystole, ventricular fibrillation or tachycardia with neither its own alarm, at whatever priority, nor "
        f"any other of high priority: {len(silent)} of {len(critical)}{': ' + ', '.join(silent) if silent else ''}."
    )
    return "\n\n".join(parts)


def main(argv: list[str]) -> int:
    """Judges a folder of the Challenge, or counts alarms over recordings without verdicts; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks alarms", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", type=Path, nargs="?", help="WFDB records of the Challenge with their index.csv")
    what.add_argument("--background", nargs="+", metavar="SET", help="folders of WFDB records, files or demo:…")
    parser.add_argument("--records", type=int, default=120, help="of a set at most (default 120)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of a recording at most (default 30)")
    parser.add_argument("--seconds", type=int, default=REPLAYED_S, help="replayed before the alarm (default 120)")
    parser.add_argument("--list", type=Path, help="a CSV with every record's verdict")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    if options.background:
        tables_of = background(options.background, options.records, round(60 * options.minutes))
        publish(f"## Alarms where nobody judged one, {machine()}\n\n{tables_of}", options.out)
        return 0
    judged = []
    for row in index_of(options.folder):
        changes = replay(str(options.folder / f"{row['record']}.hea"), max(0, ALARM_S - options.seconds), ALARM_S)
        judged.append(judge(row["record"], row["alarm"], row["alarm_true"] == "True", changes))
    if options.list is not None:
        with options.list.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["record", "alarm", "true", "high", "called", "heard", "half"])
            for j in judged:
                writer.writerow(
                    [j.record, j.kind, j.true, j.high, j.called, j.heard, "tuning" if j.tuning else "reporting"]
                )
    publish(f"## Alarms: `{options.folder.name}`, {len(judged)} records, {machine()}\n\n{tables(judged)}", options.out)
    return 0
