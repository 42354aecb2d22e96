"""Tables of an evaluation, read back from what it wrote."""

from __future__ import annotations

import csv
from pathlib import Path


def read_table(path: Path) -> list[dict[str, float | str]]:
    """The rows of a CSV as :func:`models.evaluation.report.write_table` writes it; what reads as a number is
    one, empty cells are left out."""
    with path.open(newline="", encoding="utf-8") as handle:
        return [{k: _value(v) for k, v in row.items() if v != ""} for row in csv.DictReader(handle)]


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
