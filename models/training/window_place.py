"""Where the windows of a carried model are made, and what that will cost, said before it is begun."""

from __future__ import annotations

from pathlib import Path

import msgspec
import platformdirs

from models.data.folder import study_name
from models.data.prepare import SUMMARY
from models.signals.preprocessing import PREPROCESSING
from models.training.config import DataConfig, MixedData, TrainConfig, digest
from models.training.data_stage import patient_orders
from models.training.portable import portable, recordings_of

CORE_SECONDS_A_HOUR = 13.4
"""To simulate an hour of a patient and cut it: 384 patients of half an hour took 21.5 min on two cores of an AMD EPYC
that did other work as well (the card of the shipped bundle)."""


def cached_windows(settings: TrainConfig) -> Path:
    """A folder in the user's cache for the windows of these data and this size, whoever's model reads them."""
    plain = msgspec.to_builtins(portable(settings))["data"]
    for part in (plain, plain.get("simulated", {}), *plain.get("recorded", ())):
        for place in ("path", "folder", "processes"):
            part.pop(place, None)
    kept = digest([plain, settings.size, PREPROCESSING])
    return Path(platformdirs.user_cache_dir("vigil", appauthor=False)) / "windows" / kept


def making(settings: TrainConfig, windows: Path) -> str:
    """What has to be made in ``windows`` before anything can be evaluated: one sentence, "" where nothing has."""
    parts = []
    simulated = _simulated(settings)
    if simulated is not None:
        folder = windows / "simulated" if isinstance(settings.data, MixedData) else windows
        todo = [o for o in patient_orders(settings, folder) if not (o.folder / "index.json").is_file()]
        if todo:
            minutes = sum(o.duration_s for o in todo) / 3600 * CORE_SECONDS_A_HOUR / simulated.processes / 60
            spec = todo[0].spec
            window_bytes = len(spec.modalities) * spec.samples * 4  # float32
            size = sum(o.duration_s // o.stride_s for o in todo) * window_bytes / 2**30
            parts.append(
                f"{len(todo)} patients are simulated (about {max(minutes, 1):.0f} min with {simulated.processes} "
                f"processes, {max(size, 0.1):.1f} GiB)"
            )
    sites = [site for site in recordings_of(settings) if not (_cut_into(settings, windows, site) / SUMMARY).is_file()]
    if sites:
        parts.append(f"the recordings of {', '.join(sites)} are cut (for how long depends on them)")
    if not parts:
        return ""
    return f"First {' and '.join(parts)} into {windows}; this is kept, and goes on where it was interrupted."


def _cut_into(settings: TrainConfig, windows: Path, site: str) -> Path:
    return windows / study_name(site) if isinstance(settings.data, MixedData) else windows


def _simulated(settings: TrainConfig) -> DataConfig | None:
    data = settings.data.simulated if isinstance(settings.data, MixedData) else settings.data
    return data if isinstance(data, DataConfig) else None
