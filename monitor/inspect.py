"""``vigil inspect``: a recording's tracks as a table, and what each is taken for."""

from __future__ import annotations

from models.signals.inspection import inspect


def print_inspection(source: str) -> None:
    """Print the table; raises BadInput when the source cannot be read."""
    print(inspect(source))
