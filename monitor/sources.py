"""From the SOURCE words of a command to beds: recordings, folders of recordings, the built-in patient, devices.

A device is ``SCHEME:WHAT``, where the scheme is an entry point of the group ``vigil.sources``: a callable that makes a
:class:`streams.sources.device.Device` of the whole word. So a driver is a package of its own; ``lsl:`` is one of ours.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock

from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from monitor.redaction import HIDDEN
from monitor.settings import RunSettings
from streams.fields import MAX_NAME
from streams.sources.planned import PlannedSource
from streams.sources.recorded import RecordedSession
from streams.sources.replay import replays
from streams.sources.source import MakeSource, Source

DRIVERS = "vigil.sources"
MAX_BEDS = 128
MAX_NOTES = 3
_OPENING = Lock()
"""Recordings are opened one after the other, each in its bed's thread: readers load their libraries when they need
them, and two threads that load one library at a time may find it half made."""


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


def beds(settings: RunSettings) -> dict[str, MakeSource]:
    """Bed → its source; beds have the names of the settings, or are numbered from 1 in the order of the sources. Raises
    BadInput for names that do not fit, and for what a device cannot do: begin elsewhere than now, or go at another
    speed."""
    sources = _named(expanded(settings.sources), settings.names)
    drivers = {bed: driver for bed, word in sources.items() if (driver := driver_of(word)) is not None}
    recorded = {bed: partial(_open, word, settings.channels) for bed, word in sources.items() if bed not in drivers}
    if drivers and (settings.speed != 1.0 or settings.from_s):
        raise BadInput(
            "real time from now on, for a device", "--speed or --from", f"leave these out with {sources[min(drivers)]}"
        )
    made = replays(recorded, speed=settings.speed, from_s=settings.from_s, for_s=settings.for_s, drops=settings.drops)
    made |= {bed: partial(_live, driver, sources[bed], settings) for bed, driver in drivers.items()}
    return {bed: made[bed] for bed in sources}


def _named(words: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    names = names or [str(number) for number in range(1, len(words) + 1)]
    if len(set(names)) != len(words) or len(names) != len(words) or not all(0 < len(n) <= MAX_NAME for n in names):
        raise BadInput(
            f"{len(words)} different names of 1 to {MAX_NAME} characters in --bed", ", ".join(map(repr, names)),
            "name each source once",
        )  # fmt: skip
    return dict(zip(names, words, strict=True))


def is_live(sources: Sequence[str]) -> bool:
    """Whether a device is among them, whose data nobody else keeps."""
    return any(driver_of(word) is not None for word in sources)


def driver_of(word: str) -> EntryPoint | None:
    """The driver for a device's word; None for what is no device."""
    scheme, colon, _ = word.partition(":")
    if not colon or os.path.exists(word) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", scheme):
        return None
    return next(iter(entry_points(group=DRIVERS, name=scheme.casefold())), None)


def _live(driver: EntryPoint, word: str, settings: RunSettings, bed: str, session: str) -> Source:
    from streams.sources.live import LiveSource

    device = driver.load()(word)
    live = LiveSource(device, bed, session, overrides=settings.channels)
    return PlannedSource(live, for_s=settings.for_s, drops=settings.drops)


def called(sources: Sequence[str]) -> str:
    """What a report calls the source: file names, not where they lie."""
    return ", ".join(Path(source).name if os.path.exists(source) else source for source in sources)


def _open(source: str, overrides: Mapping[str, str]) -> ChannelMap:
    with _OPENING:
        return _opened(source, overrides)


def _opened(source: str, overrides: Mapping[str, str]) -> ChannelMap:
    from models.signals.readers.opener import open_recording

    HIDDEN.hide_files([source])
    recording = open_recording(source)
    HIDDEN.hide([recording.name, *(track.name for track in recording.tracks)])
    notes = tuple(getattr(recording, "notes", ()))
    for note in notes[:MAX_NOTES]:  # what a reader found odd (a file that ends early) is said, not only in inspect
        print(f"vigil: {recording.name}: {note}", file=sys.stderr)
    if len(notes) > MAX_NOTES:
        print(f"vigil: {recording.name}: {len(notes) - MAX_NOTES} more notes in `vigil inspect`", file=sys.stderr)
    if isinstance(recording, RecordedSession) and not overrides:
        return recording.channel_map()
    return map_channels(recording, overrides)
