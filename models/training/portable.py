"""A run's settings for any machine: without the paths of the one it was made on, and with its recordings found anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from models.data.sources import FolderData, SleepEdfData, VitaldbData
from models.signals.errors import BadInput
from models.training.config import MixedData, TrainConfig

Recorded = FolderData | VitaldbData | SleepEdfData

UNNAMED = "recordings"


def portable(settings: TrainConfig) -> TrainConfig:
    """The settings with no path in them: of each folder of recordings its own name is left."""
    named = _with_folders(settings, lambda part, place: "" if isinstance(part, VitaldbData) else folder_name(place))
    return msgspec.structs.replace(named, data_folder="")


def folder_name(path: str) -> str:
    """The last name of a path of either kind of system; ``recordings`` where that says nothing, or who has a home.

    >>> folder_name("/data/alice/uci/"), folder_name("D:\\\\ward\\\\uci"), folder_name("~alice"), folder_name("..")
    ('uci', 'uci', 'recordings', 'recordings')
    """
    last = re.split(r"[\\/]+", path.strip().rstrip("\\/"))[-1]
    return UNNAMED if last in ("", ".", "..") or last.startswith("~") or last.endswith(":") else last


def recordings_of(settings: TrainConfig) -> dict[str, str]:
    """Site -> folder of every part of the data that is recorded; VitalDB's is "" where it is the user's cache."""
    return {_site(part): _place(part) for part in _recorded(settings)}


def with_recordings(settings: TrainConfig, given: Mapping[str, Path]) -> TrainConfig:
    """The settings with the recordings of the sites ``given`` in these folders. BadInput for a site they lack."""
    sites = list(recordings_of(settings))
    if strange := [site for site in given if site not in sites]:
        known = f"a site out of {', '.join(sites)}" if sites else "no --recordings: this model's patients are simulated"
        raise BadInput(known, f"--recordings {strange[0]}={given[strange[0]]}", "correct it, or leave it out")
    return _with_folders(settings, lambda part, place: str(given.get(_site(part), place)))


def check_recordings(settings: TrainConfig) -> None:
    """Raises BadInput for the first site whose folder of recordings is not where the settings say."""
    for site, place in recordings_of(settings).items():
        if place and not Path(place).expanduser().is_dir():
            raise BadInput(
                f"the recordings of {site} that the model was trained and tested on", f"no folder {place!r}",
                f"say where they are: --recordings {site}=FOLDER",
            )  # fmt: skip


def _recorded(settings: TrainConfig) -> tuple[Recorded, ...]:
    data = settings.data
    if isinstance(data, MixedData):
        return data.recorded
    return (data,) if isinstance(data, Recorded) else ()


def _site(part: Recorded) -> str:
    if isinstance(part, FolderData):
        return part.site or "folder"
    return "vitaldb" if isinstance(part, VitaldbData) else "sleep-edf"


def _place(part: Recorded) -> str:
    return part.folder if isinstance(part, VitaldbData) else part.path


def _with_folders(settings: TrainConfig, new: Callable[[Recorded, str], str]) -> TrainConfig:
    data = settings.data

    def moved(part: FolderData | VitaldbData) -> FolderData | VitaldbData:
        if isinstance(part, VitaldbData):
            return msgspec.structs.replace(part, folder=new(part, part.folder))
        return msgspec.structs.replace(part, path=new(part, part.path))

    if isinstance(data, MixedData):
        return msgspec.structs.replace(
            settings, data=msgspec.structs.replace(data, recorded=tuple(map(moved, data.recorded)))
        )
    if isinstance(data, FolderData | VitaldbData):
        return msgspec.structs.replace(settings, data=moved(data))
    if isinstance(data, SleepEdfData):
        return msgspec.structs.replace(settings, data=msgspec.structs.replace(data, path=new(data, data.path)))
    return settings
