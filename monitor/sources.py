"""From the SOURCE words of a command to beds: recordings, folders of recordings, the built-in patient, devices.

A device is ``SCHEME:WHAT``, where the scheme is an entry point of the group ``vigil.sources``: a callable that makes a
:class:`streams.sources.device.Device` of the whole word. So a driver is a package of its own; ``lsl:`` is one of ours.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock

from models.signals.channels import ChannelMap, map_channels
from models.signals.errors import BadInput
from monitor.recorder import SUFFIX
from monitor.redaction import HIDDEN
from monitor.settings import RunSettings
from streams.fields import MAX_NAME
from streams.sources.planned import PlannedSource
from streams.sources.recorded import RecordedSession
from streams.sources.replay import replays
from streams.sources.source import MakeSource, Source

DRIVERS = "vigil.sources"
BUILT_IN = ("demo", "vitaldb")
SOURCE = "a recording, a folder of recordings, demo, vitaldb:CASEID or a device"
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
    for word in settings.sources:
        check_word(word)
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


def check_word(word: str) -> None:
    """Refuse what is neither file nor folder nor a source by name, where it is near to one of these names or has a
    driver's form. All else is for the reader of files, which knows what lies beside."""
    path = Path(word).expanduser()
    scheme, colon, rest = word.partition(":")
    known = (*BUILT_IN, *sorted(entry_points(group=DRIVERS).names))
    if scheme.casefold() in known or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", scheme) or rest.startswith("//"):
        return
    with suppress(OSError):
        if path.exists() or path.with_name(f"{path.name}.hea").exists():
            return
        if difflib.get_close_matches(path.name, [beside.name for beside in path.parent.iterdir()], n=1):
            return
    devices = ", ".join(f"{name}:" for name in known if name not in BUILT_IN)
    near = difflib.get_close_matches(scheme.casefold(), known, n=1)
    if near:
        raise BadInput(f"{SOURCE} ({devices})", repr(word), f"did you mean {near[0]}{colon}{rest}?")
    if colon:
        raise BadInput(
            f"{SOURCE} ({devices})",
            f"{word!r}, for which there is no driver",
            "use one of these, or install its driver",
        )


def check_recording(word: str) -> None:
    """As :func:`check_word`, for a command that reads a recording from its end to its beginning: no device."""
    if driver_of(word) is not None:
        raise BadInput(
            "a recording", f"the device {word!r}", f"record it first: vigil run {word} --record session{SUFFIX}"
        )
    check_word(word)


def _named(words: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    names = names or [str(number) for number in range(1, len(words) + 1)]
    if len(set(names)) != len(words) or len(names) != len(words) or not all(0 < len(n) <= MAX_NAME for n in names):
        several = "different names" if len(words) > 1 else "name"
        raise BadInput(
            f"{len(words)} {several} of 1 to {MAX_NAME} characters in --bed", ", ".join(map(repr, names)),
            f"give --bed once for each of the {len(words)} sources" if len(words) > 1 else "give --bed once",
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
