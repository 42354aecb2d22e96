"""Crises replayed: what screen, alarms, estimates and risk say at each moment, beside what they must say."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.arrests.command`, which is imported when it is run."""
    from benchmarks.arrests.command import main as command

    return command(argv)
