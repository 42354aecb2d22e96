"""Estimates and risks as they are shown, subset by subset of sensors, on simulated and real patients."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.estimates.command`, which is imported when it is run."""
    from benchmarks.estimates.command import main as command

    return command(argv)
