"""The recorder of a run: its file, its thread, and what is said where it cannot go on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from platformdirs import user_data_path

from models.signals.errors import BadInput, VigilError
from streams.sinks.mcap import Limits, McapSink
from streams.sinks.sink import SinkRunner

SUFFIX = ".mcap"


def default_path(now: datetime, folder: Path | None = None) -> Path:
    """Where a live run is recorded unless the user says where: in ``folder``, else in the user's own data, by date and
    time. BadInput for a folder that cannot be made."""
    folder = folder or user_data_path("vigil") / "recordings"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "there is a file of that name" if isinstance(error, FileExistsError) else error.strerror or error
        raise BadInput(
            "a folder to record into, or one that can be made", f"{folder} ({reason})",
            "choose another in [recorder] folder",
        ) from error  # fmt: skip
    return folder / f"{now:%Y-%m-%d-%H%M%S}{SUFFIX}"


def recorder(
    path: Path, limits: Limits | None = None, on_failure: Callable[[VigilError], None] | None = None
) -> SinkRunner:
    """Records into ``path``, within ``limits``. on_failure: called where the recording cannot go on; by default that is
    said, and what is recorded goes on. BadInput for a path that cannot be recorded into."""
    if path.suffix.casefold() != SUFFIX:
        raise BadInput(f"a file that ends in {SUFFIX} for the recording", repr(path.name), f"write {path.stem}{SUFFIX}")
    return SinkRunner(McapSink(path, limits), on_failure=on_failure or _failed, on_drops=_dropped)


def _failed(error: VigilError) -> None:
    print(f"vigil: nothing more is recorded, the monitoring goes on: {error}", file=sys.stderr)


def _dropped(count: int) -> None:
    print(f"vigil: the recorder is too slow: {count} records left out so far", file=sys.stderr)
