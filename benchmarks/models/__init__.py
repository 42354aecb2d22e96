"""The comparison of models: a plan of runs (``plan.toml``), their training, and the tables made of them."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.models.command`, which is imported when it is run."""
    from benchmarks.models.command import main as command

    return command(argv)
