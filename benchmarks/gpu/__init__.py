"""Everything that only a GPU can show, in one command of ten minutes: engines, speed, a ward, fail-over, training."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.gpu.command`, which is imported when it is run."""
    from benchmarks.gpu.command import main as command

    return command(argv)
