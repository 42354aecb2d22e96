"""One trial in a process of its own: ``python -m benchmarks.pipelines.child TRIAL``, the trial as JSON."""

from __future__ import annotations

import importlib
import sys

from benchmarks.pipelines.peers import PEERS
from benchmarks.pipelines.trial import Trial


def main(text: str) -> None:
    """Runs it to its end."""
    trial = Trial.loaded(text)
    module, _, name = PEERS[trial.peer].runs.partition(":")
    getattr(importlib.import_module(f"benchmarks.pipelines.{module}"), name)(trial)


if __name__ == "__main__":
    main(sys.argv[1])
