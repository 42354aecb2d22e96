"""Any folder of WFDB, EDF or .vital files: every file a study, patients by a rule that the user gives."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from models.data.recorded import StudyOrder
from models.data.sources import FolderData
from models.signals.errors import BadInput
from models.signals.windows import WindowSpec

SUFFIXES = (".vital", ".edf", ".bdf", ".rec", ".hea")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Recordings below a folder, as paths relative to it, and those that the user's patterns leave out."""

    root: Path
    files: tuple[PurePosixPath, ...]
    excluded: tuple[PurePosixPath, ...]


def find_recordings(root: Path, include: Sequence[str], exclude: Sequence[str]) -> Found:
    """Files with a known suffix, in order of their paths; headers of the segments of a WFDB record are part of it.

    Raises BadInput where there is no folder or nothing in it that could be a recording.
    """
    if not root.is_dir():
        raise BadInput("a folder of recordings", f"no folder {str(root)!r}", "check the path")
    paths = sorted(p for p in root.rglob("*") if p.suffix.casefold() in SUFFIXES and p.is_file())
    parts = {part for p in paths if p.suffix.casefold() == ".hea" for part in wfdb_segments(p)}
    every = [PurePosixPath(p.relative_to(root).as_posix()) for p in paths if p not in parts]
    if not every:
        kinds = sorted({p.suffix or p.name for p in root.rglob("*") if p.is_file()})[:_SHOWN]
        raise BadInput(
            f"files that end in {', '.join(SUFFIXES)}", f"{', '.join(kinds) or 'no files'} in {str(root)!r}",
            "choose another folder",
        )  # fmt: skip
    taken = [p for p in every if _matches(p, include) and not _matches(p, exclude)]
    if not taken:
        raise BadInput("a recording left", f"all {len(every)} excluded", "change the patterns of include and exclude")
    return Found(root, tuple(taken), tuple(p for p in every if p not in set(taken)))


def wfdb_segments(header: Path) -> list[Path]:
    """Headers that a multi-segment WFDB header names (``name/segments`` in its first line), its layout among them."""
    try:
        with header.open("rb") as stream:
            text = stream.read(1 << 20).decode("latin-1")
    except OSError as error:
        raise BadInput("a readable file", f"{header.name!r}: {error.strerror}", "check its permissions") from error
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or "/" not in lines[0][0]:
        return []
    names = [words[0] for words in lines[1:] if words[0] != "~"]
    return [header.parent / f"{name}.hea" for name in names if name != header.stem]


def indexed_groups(root: Path) -> dict[str, str]:
    """Record -> group by ``index.csv``; a record without a group is left out. Raises BadInput where that is no table
    of both columns."""
    path = root / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            table = csv.DictReader(handle)
            lacks = {"record", "group"} - set(table.fieldnames or ())
            if lacks:
                raise BadInput("columns record and group in index.csv", f"no {', '.join(sorted(lacks))}", "add them")
            return {row["record"]: row["group"] for row in table if row["group"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput("a readable index.csv that says whose each record is", str(error), "use another rule") from error


def patient_rule(rule: str, root: Path) -> Callable[[PurePosixPath], str | None]:
    """From a file's path below the folder ``root`` to its patient: None where the rule does not fit (no parent folder
    of its own, not in the index, or no match of a regular expression).

    Raises BadInput for an expression that is none or has not exactly one group, and for an index that is none.
    """
    if rule == "parent":
        return lambda path: path.parent.as_posix() if len(path.parts) > 1 else None
    if rule == "file":
        return lambda path: path.with_suffix("").as_posix()
    if rule == "index":
        group_of = indexed_groups(root)
        return lambda path: group_of.get(path.with_suffix("").as_posix())
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise BadInput(
            "'parent', 'file', 'index' or a regular expression", f"{rule!r} ({error})", "correct it"
        ) from error
    if pattern.groups != 1:
        raise BadInput("one group in the patient's expression", f"{pattern.groups} in {rule!r}", r"write r'(p\d+)_'")

    def by_pattern(path: PurePosixPath) -> str | None:
        match = pattern.search(path.as_posix())
        return match.group(1) if match else None

    return by_pattern


def folder_orders(settings: FolderData, spec: WindowSpec, out: Path) -> tuple[list[StudyOrder], Found]:
    """What to cut, and what was found. Raises BadInput for a rule that does not fit every file."""
    found = find_recordings(Path(settings.path).expanduser(), settings.include, settings.exclude)
    rule = patient_rule(settings.patient, found.root)
    patients = {path: rule(path) for path in found.files}
    unfit = [str(path) for path, patient in patients.items() if patient is None]
    if unfit:
        more = f" and {len(unfit) - _SHOWN} more" if len(unfit) > _SHOWN else ""
        raise BadInput(
            f"a patient in every path by {settings.patient!r}", f"none in {', '.join(unfit[:_SHOWN])}{more}",
            "use 'file' where each file is a patient, another expression, or exclude these files",
        )  # fmt: skip
    orders = [
        StudyOrder(
            out / study_name(path.as_posix()), str(found.root / path), path.as_posix(), str(patient), "folder", spec,
            settings.stride_s, need=tuple(m for m in settings.need if m in spec.modalities),
            channels=dict(settings.channels), least_known=settings.least_known, site=settings.site,
        )
        for path, patient in patients.items()
    ]  # fmt: skip
    return orders, found


def study_name(path: str) -> str:
    """A folder name for a study: readable, safe on any file system, different for different paths."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", path).strip("._")[-60:]
    return f"{plain}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _matches(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path.as_posix(), pattern) or fnmatch(path.name, pattern) for pattern in patterns)
