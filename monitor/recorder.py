"""The recorder of a run: its file, its thread, and what is said where it cannot go on."""

from __future__ import annotations

import sys
from pathlib import Path

from models.signals.errors import BadInput, VigilError
from streams.sinks.mcap import McapSink
from streams.sinks.sink import SinkRunner

SUFFIX = ".mcap"


def recorder(path: Path) -> SinkRunner:
    """Records into ``path``; the run goes on where the recording cannot, and it is said. BadInput for a path that
    cannot be recorded into."""
    if path.suffix.casefold() != SUFFIX:
        raise BadInput(f"a file that ends in {SUFFIX} in --record", repr(path.name), f"write {path.stem}{SUFFIX}")
    return SinkRunner(McapSink(path), on_failure=_failed, on_drops=_dropped)


def _failed(error: VigilError) -> None:
    print(f"vigil: the recording has ended: {error}", file=sys.stderr)


def _dropped(count: int) -> None:
    print(f"vigil: the recorder is too slow: {count} records left out so far", file=sys.stderr)
