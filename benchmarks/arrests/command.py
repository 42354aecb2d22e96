"""``python -m benchmarks arrests [DIR]``: every case in every way it is played, judged, and told second by second.

DIR: a folder of WFDB records; those of them that :mod:`benchmarks.arrests.cases` knows are replayed too. Each case runs
through a whole session without a window: as it is, from a seek into the middle of the event, with sensors withheld
from 12 s on (all as fast as possible, looked at in the patient's own time), and some at 4×, as they come.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.arrests.cases import SIMULATED, WITHHELD_FROM_S, Case, Must, of_folder
from benchmarks.arrests.log import log
from benchmarks.arrests.looks import Look, looks
from benchmarks.arrests.replay import SharedEngine, through_session
from benchmarks.arrests.rules import Judgement, NoEstimate
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.data.simulator import SimulatedPatient
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from streams.sources.bed_replay import Drop

AFTER_SEEK_S = 50.0  # played after a jump


@dataclass(frozen=True, slots=True)
class Way:
    """How a case is played. withheld: sensors, from 12 s on. seek_to_s: where it goes on after its first seconds."""

    words: str = "as it is"
    withheld: tuple[Modality, ...] = ()
    seek_to_s: float | None = None
    speed: float | None = None

    @property
    def drops(self) -> tuple[Drop, ...]:
        """The sensors withheld, to the end."""
        return tuple(Drop(m, WITHHELD_FROM_S, float("inf")) for m in self.withheld)


@dataclass(frozen=True, slots=True)
class Row:
    """One rule of one case, played in one way."""

    case: str
    way: str
    words: str
    judgement: Judgement
    estimate: bool


@dataclass(frozen=True, slots=True)
class Played:
    """A case played in one way: its rules' judgements, and the looks that they judged."""

    case: Case
    way: Way
    rows: list[Row]
    looks: list[Look]


def ways(case: Case) -> Iterator[Way]:
    """As it is, then with each seek, each set of sensors withheld and each speed of the case."""
    yield Way()
    for at_s in case.seeks:
        yield Way(f"seek to {at_s:g} s", seek_to_s=at_s)
    for withheld in case.withhold:
        yield Way(f"without {' + '.join(withheld)}", withheld=withheld)
    for speed in case.paced:
        yield Way(f"at {speed:g}×", speed=speed)


def play(case: Case, way: Way, engine: SharedEngine) -> Played:
    """Plays the case through a whole session, and judges the looks at its screen."""
    replayed = through_session(
        case.source,
        engine,
        speed=way.speed,
        drops=way.drops,
        seek_to_s=way.seek_to_s,
        for_s=min(case.until_s, (way.seek_to_s or case.until_s) + AFTER_SEEK_S),
    )
    seen = list(looks(replayed))
    return Played(case, way, judged(case, way, seen), seen)


def judged(case: Case, way: Way, seen: list[Look]) -> list[Row]:
    """The rows of the rules that this way of playing asks."""
    sensors = set(case.sensors) - set(way.withheld)
    rows = []
    for must in case.musts:
        rule = must.rule
        within = [look for look in seen if rule.span[0] < look.at_s <= min(rule.span[1], case.until_s)]
        if way.seek_to_s is not None and must.settles:
            within = [look for look in within if look.at_s > way.seek_to_s + must.settles]
        if must.asked(sensors) and within:
            rows.append(Row(case.name, way.words, rule.words, rule.judge(within), isinstance(rule, NoEstimate)))
    return rows


def with_truth(case: Case) -> Case:
    """The case with the last pulse before each arrest as the simulator has it (a recording does not say)."""
    recording = open_recording(case.source)
    if not isinstance(recording, SimulatedPatient):
        return case
    upstrokes = recording.truth.ppg_upstroke_s

    def known(must: Must) -> Must:
        rule = must.rule
        if not isinstance(rule, NoEstimate) or rule.last_pulse_s is None:
            return must
        return replace(must, rule=replace(rule, last_pulse_s=float(upstrokes[upstrokes < rule.span[0] + 0.8].max())))

    return replace(case, musts=tuple(known(must) for must in case.musts))


def report(played: list[Played], seconds: float) -> str:
    """Markdown: what was missed, the latest estimate and alarm, and a row a rule."""
    rows = [row for one in played for row in one.rows]
    missed = [row for row in rows if not row.judgement.met]
    late = max((row for row in rows if row.estimate and row.judgement.late_s is not None),
               key=lambda row: row.judgement.late_s or 0.0, default=None)  # fmt: skip
    red = max((row for row in rows if row.words.startswith("red") and row.judgement.late_s is not None),
              key=lambda row: row.judgement.late_s or 0.0, default=None)  # fmt: skip
    parts = [
        "# What is said in an arrest",
        "`python -m benchmarks arrests DIR`; what each rule asks is in `benchmarks/arrests/cases.py`. A look every "
        f"0.1 s at the alarms, the numerics, the estimates and the prediction tile. {machine()}, {seconds:.0f} s.",
        f"{len(rows)} requirements in {len(played)} runs of {len({one.case.name for one in played})} cases: "
        f"**{len(rows) - len(missed)} met, {len(missed)} missed**.",
    ]
    if late is not None:
        parts.append(
            f"Longest stand of an estimate after the last true pulse: **{late.judgement.late_s:.1f} s** "
            f"({late.case}, {late.way}: {late.judgement.figure})."
        )
    if red is not None:
        parts.append(f"Slowest red alarm: {red.judgement.late_s:.1f} s ({red.case}, {red.way}: {red.words}).")
    parts += ["## Missed", _rows(missed) if missed else "Nothing.", "## All requirements", _rows(rows)]
    parts.append("## Second by second")
    for one in played:
        if one.way == Way():
            parts += [f"### {one.case.name}", log(one.looks)]
    return "\n\n".join(parts)


def _rows(rows: list[Row]) -> str:
    cells = [(row.case, row.way, row.words, "met" if row.judgement.met else "**missed**", row.judgement.figure)
             for row in rows]  # fmt: skip
    return table(["case", "played", "must", "", "figure"], cells)


def main(argv: list[str]) -> int:
    """Plays the cases and writes the report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks arrests", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="WFDB records; the simulated crises only without it")
    parser.add_argument("--cases", nargs="+", help="only these")
    parser.add_argument("--plain", action="store_true", help="only as they are: no seeks, sensors withheld, speeds")
    parser.add_argument("--log", action="store_true", help="tell every run second by second, not only the plain ones")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(argv)
    cases = SIMULATED
    if arguments.folder is not None:
        found = {path.stem for path in arguments.folder.glob("*.hea")}
        cases = of_folder(str(arguments.folder), found) + SIMULATED
    if arguments.cases:
        cases = tuple(case for case in cases if case.name in arguments.cases)
    began, engine = time.monotonic(), SharedEngine()
    played = []
    for case in map(with_truth, cases):
        for way in [Way()] if arguments.plain else ways(case):
            one = play(case, way, engine)
            missed = sum(not row.judgement.met for row in one.rows)
            print(f"{case.name}, {way.words}: {len(one.rows) - missed} met, {missed} missed", file=sys.stderr)
            if arguments.log:
                print(log(one.looks), file=sys.stderr)
            # A look holds the records of its alarms: kept only of the runs that are told.
            played.append(one if way == Way() else replace(one, looks=[]))
    engine.close()
    publish(report(played, time.monotonic() - began), arguments.out)
    return 0
