"""What one part has found so far: tables, sentences and how it ended, on disk after every line of it.

``PART.json``: part, state ("running", "done", "failed"), seconds, tables (name → rows), said (sentences), error. A part
that is killed in the middle leaves what there was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import finite

Row = dict[str, Any]


class Book:
    """Of one part. budget_s: what it may take; clock: seconds, monotonic."""

    def __init__(
        self, folder: Path, part: str, budget_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self.folder, self.part, self.budget_s = folder, part, budget_s
        self.tables: dict[str, list[Row]] = {}
        self.said: list[str] = []
        self._clock, self._began = clock, clock()
        self._state, self._error = "running", ""
        self._keep()

    def left(self) -> float:
        """Seconds of the budget that are left, at least 0."""
        return max(0.0, self.budget_s - (self._clock() - self._began))

    def row(self, table: str, **cells: Any) -> None:
        """One more row of a table; cells are what JSON can hold."""
        self.tables.setdefault(table, []).append(cells)
        self._keep()

    def say(self, sentence: str) -> None:
        """A sentence about what is not there, or how something was measured; the same one once."""
        if sentence not in self.said:
            self.said.append(sentence)
            self._keep()

    def done(self) -> None:
        """All that was to be measured has been."""
        self._state = "done"
        self._keep()

    def failed(self, error: str) -> None:
        """It ends here, and why."""
        self._state, self._error = "failed", error
        self._keep()

    def _keep(self) -> None:
        told = {
            "part": self.part, "state": self._state, "seconds": round(self._clock() - self._began, 1),
            "tables": self.tables, "said": self.said, "error": self._error,
        }  # fmt: skip
        write(self.folder, self.part, told)


def write(folder: Path, part: str, told: Mapping[str, Any]) -> None:
    """``PART.json``, whole or not at all: the one before stays until then."""
    beside = folder / f"{part}.json.part"
    beside.write_text(json.dumps(finite(told), indent=1) + "\n", encoding="utf-8")
    beside.replace(folder / f"{part}.json")


def read(folder: Path, part: str) -> dict[str, Any]:
    """What a part has left; empty where it has left nothing that can be read."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def rows_of(folder: Path, part: str, table: str) -> list[Row]:
    """The rows of one table of a part that came before; empty where it has none."""
    found: list[Row] = read(folder, part).get("tables", {}).get(table, [])
    return found


def columns(rows: Sequence[Row]) -> list[str]:
    """Of all rows, in the order in which they first came."""
    return list(dict.fromkeys(name for row in rows for name in row))
