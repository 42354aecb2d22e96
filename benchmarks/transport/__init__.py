"""The transport alone, beside its alternatives: messages a second, and how late they come."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.transport.command`, which is imported when it is run."""
    from benchmarks.transport.command import main as command

    return command(argv)
