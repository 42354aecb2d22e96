"""The same patients and the same model through Vigil, through other frameworks, and through a bare loop."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.pipelines.command`, which is imported when it is run."""
    from benchmarks.pipelines.command import main as command

    return command(argv)
