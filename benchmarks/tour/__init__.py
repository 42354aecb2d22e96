"""The running program looked at: pictures of every page and state, a film, and ten thousand random events."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.tour.command`, which is imported when it is run."""
    from benchmarks.tour.command import main as command

    return command(argv)
