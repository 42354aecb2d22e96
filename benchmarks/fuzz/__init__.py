"""Broken and hostile input: messages through the app's stages, and recordings through their readers."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """See :mod:`benchmarks.fuzz.command`, which is imported when it is run."""
    from benchmarks.fuzz.command import main as command

    return command(argv)
