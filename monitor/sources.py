"""From the SOURCE words of a command to beds: recordings, folders of recordings, the built-in patient, devices."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from streams.sources.recorded import RecordedSession
from streams.sources.replay import OpenChannels

MAX_BEDS = 128
MAX_NOTES = 3


def expanded(sources: Sequence[str]) -> list[str]:
    """``sources`` with each folder replaced by the recordings in it, in order of their paths.

    Raises BadInput for a folder without any, and for more beds than one machine can be asked for.
    """
    found = [name for source in sources for name in _expanded(source)]
    if not 1 <= len(found) <= MAX_BEDS:
        raise BadInput(f"1 to {MAX_BEDS} sources", f"{len(found)}", "name fewer of them, or a smaller folder")
    return found


def _expanded(source: str) -> list[str]:
    path = Path(source).expanduser()
    if not path.is_dir() or path.with_name(f"{path.name}.hea").is_file():
        return [source]
    from models.data.folder import find_recordings

    found = find_recordings(path, ("*",), ())
    return [str(found.root / name) for name in found.files]


def recordings(sources: Iterable[str], overrides: Mapping[str, str]) -> dict[str, OpenChannels]:
    """Bed → how to open its recording; beds are numbered from 1 in the order of ``sources``.

    overrides: which track is which signal (:func:`models.signals.aliases.parse_overrides`), for every bed.
    """
    return {str(number): partial(_open, source, overrides) for number, source in enumerate(sources, 1)}


def called(sources: Sequence[str]) -> str:
    """What a report calls the source: file names, not where they lie."""
    return ", ".join(Path(source).name if os.path.exists(source) else source for source in sources)


def _open(source: str, overrides: Mapping[str, str]) -> ChannelMap:
    from models.signals.readers.opener import open_recording

    recording = open_recording(source)
    notes = tuple(getattr(recording, "notes", ()))
    for note in notes[:MAX_NOTES]:  # what a reader found odd (a file that ends early) is said, not only in inspect
        print(f"vigil: {recording.name}: {note}", file=sys.stderr)
    if len(notes) > MAX_NOTES:
        print(f"vigil: {recording.name}: {len(notes) - MAX_NOTES} more notes in `vigil inspect`", file=sys.stderr)
    if isinstance(recording, RecordedSession) and not overrides:
        return recording.channel_map()
    return map_channels(recording, overrides)
