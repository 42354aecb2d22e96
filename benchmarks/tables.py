"""Markdown tables and the line that says on what machine they were made."""

from __future__ import annotations

from collections.abc import Sequence

from models.runtime.machine import machine as machine


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats to three significant places, None as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def short(value: float | None) -> float | int | None:
    """A figure for a cell: a whole number from 100 on.

    >>> short(4743.998), short(1.25), short(None)
    (4744, 1.25, None)
    """
    return value if value is None or abs(value) < 100 else round(value)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
