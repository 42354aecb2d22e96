"""WFDB headers that the ``wfdb`` package would stumble over, put right beside their data (header(5), WFDB Guide).

The package reads a header from its file and again for every block of samples, so a header that has to be put right is
written into a folder of its own, with links to the data files. The recording itself is never touched.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import tempfile
from pathlib import Path

MAX_HEADER_BYTES = 64 << 20
_LENGTH, _TIME, _DATE = 3, 4, 5  # fields of the record line
_DEFAULT_RATE = "250"
_SECONDS = re.compile(r"\d{1,2}(\.\d{1,6})?")


def tidied(raw: bytes) -> tuple[str, list[str]]:
    """The header's text in ASCII, and notes on what was left out.

    The package reads ASCII and drops everything else: of a unit in µV it would make volts. It also refuses a record
    whose start is no date or time; nobody asks for it, so it is left out.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    text = text.replace("µ", "u").replace("μ", "u")
    lines = text.splitlines()
    at = _record_line(lines)
    if at is None:
        return text, []
    fields = lines[at].split()
    start = fields[_TIME:]
    if not start or (_is_time(start[0]) and (len(start) < 2 or _is_date(start[1]))):
        return text, []
    lines[at] = " ".join(fields[:_TIME])
    return "\n".join(lines) + "\n", [f"its start ({' '.join(start[:2])}) is no time that a calendar has"]


def with_length(text: str, frames: int) -> str:
    """The header with ``frames`` as its length, which it gave as 0 (unknown), not at all, or wrong."""
    lines = text.splitlines()
    at = _record_line(lines)
    assert at is not None
    fields = lines[at].split()
    fields += [_DEFAULT_RATE, ""][len(fields) - 2 :] if len(fields) < 4 else []
    fields[_LENGTH] = str(frames)
    lines[at] = " ".join(fields)
    return "\n".join(lines) + "\n"


class CorrectedHeaders:
    """A temporary folder of headers that were put right, with links to the data files beside the originals."""

    def __init__(self, folder: Path) -> None:
        self._originals = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def put(self, name: str, text: str) -> Path:
        """Write the header of record ``name``; returns the folder that it is in now."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="vigil-wfdb-")
        folder = Path(self._temporary.name)
        (folder / f"{name}.hea").write_text(text, encoding="ascii", errors="ignore")
        return folder

    def link(self, file: str) -> None:
        """Make a data file reachable from the folder too."""
        assert self._temporary is not None
        there = Path(self._temporary.name) / file
        if there.exists():
            return
        original = (self._originals / file).resolve()
        try:
            os.symlink(original, there)
        except OSError:  # a system without links
            shutil.copyfile(original, there)

    def close(self) -> None:
        """Removes the mended copy, if one was made."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _record_line(lines: list[str]) -> int | None:
    return next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)


def _is_time(text: str) -> bool:
    """HH:MM:SS, MM:SS or SS, with or without a fraction of up to six digits."""
    *higher, seconds = text.split(":")
    if len(higher) > 2 or not _SECONDS.fullmatch(seconds) or not all(re.fullmatch(r"\d{1,2}", p) for p in higher):
        return False
    limits = (24, 60)[2 - len(higher) :]
    return float(seconds) < 60 and all(int(p) < limit for p, limit in zip(higher, limits, strict=True))


def _is_date(text: str) -> bool:
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    if match is None:
        return False
    day, month, year = map(int, match.groups())
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True
