"""Which cases of VitalDB make the cohort: rules in order, each with the number of cases that it leaves out.

The rules are those of the studies that hypotension results are compared with: adults, general anaesthesia, non-cardiac
surgery, invasive pressure (Jo et al., PLoS One 2022; 17:e0272055, on VitalDB; Lee et al., Br J Anaesth 2021; 126:808),
and the tracks that the model reads. Tables: ``cases`` (clinical information, one row a case) and ``trks`` (one row a
track) as the open data set serves them (Lee et al., Sci Data 2022; 9:279).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.data.sources import VitaldbData
from models.data.splits import place
from models.signals.errors import BadInput
from models.signals.modalities import Modality

TRACKS: dict[Modality, str] = {
    Modality.ABP: "SNUADC/ART",
    Modality.ECG: "SNUADC/ECG_II",
    Modality.PPG: "SNUADC/PLETH",
    Modality.EEG: "BIS/EEG1_WAV",
}
DEPTH_TRACKS = ("BIS/BIS", "BIS/SQI")
NEEDED = ("caseid", "subjectid", "casestart", "caseend", "anestart", "aneend", "age", "ane_type", "opname", "optype")
CARDIAC = re.compile(
    r"\bCABG\b|coronary artery bypass|cardiopulmonary bypass|\b(mitral|aortic|tricuspid|pulmonary) valve|valvuloplasty"
    r"|valve replacement|heart transplant|pericardi|(atrial|ventricular) septal|\bMIDCAB\b|\bcardiac\b",
    re.IGNORECASE,
)
"""In the name or type of the operation; VitalDB holds non-cardiac surgery by design, so this is a safeguard."""


class FlowRow(msgspec.Struct, frozen=True):
    """One rule of a cohort: how many it leaves out and how many are left."""

    rule: str
    excluded: int
    left: int


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the clinical table. Times in s from the recording's start; NaN and "" where unknown."""

    case: int
    subject: str
    age: float
    anaesthesia: str
    operation: str
    start_s: float
    end_s: float
    anaesthesia_start_s: float
    anaesthesia_end_s: float


def read_cases(path: Path) -> list[Case]:
    """The clinical table. Raises BadInput where columns are missing or a case has no number."""
    rows = _table(path, NEEDED)
    cases = []
    for row in rows:
        if not row["caseid"].strip().isdigit():
            raise BadInput("a number as each caseid", f"{row['caseid']!r} in {path.name!r}", "download the table again")
        cases.append(
            Case(
                int(row["caseid"]), row["subjectid"].strip() or f"case{row['caseid']}", _number(row["age"]),
                row["ane_type"].strip(), f"{row['opname']} {row['optype']}", _number(row["casestart"]),
                _number(row["caseend"]), _number(row["anestart"]), _number(row["aneend"]),
            )
        )  # fmt: skip
    return cases


def read_tracks(path: Path) -> dict[int, set[str]]:
    """Names of the tracks of each case."""
    found: dict[int, set[str]] = {}
    for row in _table(path, ("caseid", "tname")):
        if row["caseid"].strip().isdigit():
            found.setdefault(int(row["caseid"]), set()).add(row["tname"].strip())
    return found


def select(
    cases: list[Case], tracks: Mapping[int, set[str]] | None, settings: VitaldbData, modalities: Iterable[Modality]
) -> tuple[list[Case], list[FlowRow]]:
    """The cohort in order of case numbers, and how it came about.

    tracks None: not known before the files are opened; the rules about tracks are then left to the reading. ``cases``
    of the settings draws that many by hash of the case number, so a larger number only adds cases.
    """
    wanted = [TRACKS[m] for m in modalities if m in TRACKS]
    if Modality.EEG in modalities:
        wanted += DEPTH_TRACKS
    rules: list[tuple[str, Callable[[Case], bool]]] = [
        (f"age under {settings.least_age} or unknown", lambda c: c.age >= settings.least_age),
        ("no general anaesthesia", lambda c: c.anaesthesia.casefold() == "general"),
        ("cardiac surgery", lambda c: CARDIAC.search(c.operation) is None),
        (
            f"recording shorter than {settings.least_minutes} min",
            lambda c: c.end_s - c.start_s >= 60.0 * settings.least_minutes,
        ),
    ]
    if settings.anaesthesia_only:
        rules.append(("start or end of anaesthesia unknown", lambda c: c.anaesthesia_end_s - c.anaesthesia_start_s > 0))
    if tracks is not None:
        rules += [(f"no track {name}", _with_track(tracks, name)) for name in wanted]
    left = sorted(cases, key=lambda c: c.case)
    flow = [FlowRow("cases in the clinical table", 0, len(left))]
    for rule, fits in rules:
        left = _apply(flow, rule, left, [c for c in left if fits(c)])
    if settings.one_case_a_patient:
        first: dict[str, Case] = {}
        for c in left:
            first.setdefault(c.subject, c)
        left = _apply(flow, "a further case of the same patient", left, list(first.values()))
    if settings.cases and len(left) > settings.cases:
        drawn = sorted(left, key=lambda c: place(str(c.case), settings.salt))[: settings.cases]
        left = _apply(flow, f"beyond the {settings.cases} cases asked for", left, drawn)
    if not left:
        reasons = "; ".join(f"{row.rule}: {row.excluded}" for row in flow[1:] if row.excluded)
        raise BadInput("cases that qualify", f"none of {flow[0].left} ({reasons})", "change the rules of the cohort")
    return sorted(left, key=lambda c: c.case), flow


def _apply(flow: list[FlowRow], rule: str, before: list[Case], after: list[Case]) -> list[Case]:
    flow.append(FlowRow(rule, len(before) - len(after), len(after)))
    return after


def _with_track(tracks: Mapping[int, set[str]], name: str) -> Callable[[Case], bool]:
    return lambda c: name in tracks.get(c.case, ())


def _number(text: str) -> float:
    """NaN where there is none; ages over 89 are given as ``>89``."""
    plain = text.strip().lstrip(">")
    try:
        return float(plain) if plain else float("nan")
    except ValueError:
        return float("nan")


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file (plain or gzip, with or without a byte-order mark) as text."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:  # BadGzipFile is an OSError
        raise BadInput("a readable table of VitalDB", f"{path.name!r} ({error})", "download the table again") from error
    reader = csv.DictReader(io.StringIO(text))
    lacks = [c for c in columns if c not in (reader.fieldnames or ())]
    if lacks:
        raise BadInput(
            f"the columns {', '.join(lacks)}", f"{', '.join((reader.fieldnames or ['none'])[:8])} in {path.name!r}",
            "download the table again",
        )  # fmt: skip
    return [{c: row[c] or "" for c in columns} for row in reader]
