"""The comparison of models: a plan of runs (``plan.toml``), their training, and the tables made of them."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    from benchmarks.models.command import main as command

    return command(argv)
