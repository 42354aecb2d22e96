"""Markdown tables and the line that says on what machine they were made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.runtime.machine import machine as machine
from models.signals.errors import VigilError


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats to three significant places, None as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def publish(text: str, out: Path | None) -> None:
    """Prints the text, and writes it to ``out`` if that is given."""
    print(text)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise VigilError(f"The table {out} could not be written: {error.strerror or error}.") from error


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
