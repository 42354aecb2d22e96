"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many of it are done, and of how many."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that is not shown."""
