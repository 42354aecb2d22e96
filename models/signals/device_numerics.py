"""Numbers that a device has measured itself (SpO2, cuff pressure, BIS …): which are known, and those of a recording.

They are shown, limited and exported as the device's; nothing is computed from them and no model reads them. What they
are called where they are recorded, and coded by devices, is the table ``numerics.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.signals.aliases import named_among
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.recording import Track, TrackKind
from models.signals.times import SECOND_NS
from models.signals.units import canonical_factor, factor

UNKNOWN_NS = np.iinfo(np.int64).min
"""Stands for a time that nobody knows, in arrays."""
_CELSIUS = {name: (1.0, 0.0) for name in ("c", "°c", "degc", "celsius", "cel", "")} | {
    name: (5 / 9, -160 / 9) for name in ("f", "°f", "degf", "[degf]")
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A number that a device may give; fields as in ``numerics.toml``. fresh_ns: of ``fresh_s``."""

    name: str
    title: str
    unit: str
    low: float
    high: float
    fresh_ns: int
    tracks: tuple[str, ...]
    sensor: Modality | None = None
    held: bool = False
    together: str = ""
    mdc: tuple[int | str, ...] = ()


@cache
def kinds() -> Mapping[str, Kind]:
    """The table, by name, in its order."""
    text = resources.files("models.signals").joinpath("numerics.toml").read_text(encoding="utf-8")
    return {
        name: Kind(
            name,
            row["title"],
            row["unit"],
            row["low"],
            row["high"],
            row["fresh_s"] * SECOND_NS,
            tuple(row["tracks"]),
            Modality(row["sensor"]) if "sensor" in row else None,
            row.get("held", False),
            row.get("together", ""),
            tuple(row.get("mdc", ())),
        )
        for name, row in tomllib.loads(text).items()
    }


@dataclass(frozen=True, slots=True)
class Series:
    """What a recording has of one number, in a ``track``, by time from time zero, in ns.

    values: float64 [n], NaN where the device had none. since_ns: [n], when each was measured; ``UNKNOWN_NS`` where
    nobody knows, since the device has said it from the beginning.
    """

    kind: Kind
    track: str
    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    since_ns: npt.NDArray[np.int64]


class Numbered(Protocol):
    """What is needed of :class:`models.signals.channels.ChannelMap`."""

    def numerics(self, track: str, /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Times from time zero in s and values of a numeric track."""


def series_of(channels: Numbered, tracks: Sequence[Track]) -> tuple[Series, ...]:
    """The known numbers among a recording's ``tracks``, in the order of the table.

    Of several tracks of one kind the preferred one that has a value; one whose unit is of something else is left out.
    """
    names = {track.name: track for track in tracks if track.kind is TrackKind.NUMERIC}
    found: list[Series] = []
    for kind in kinds().values():
        for name in named_among(kind.tracks, list(names)):
            scale = scale_to(names[name].unit, kind)
            series = _series(kind, name, *channels.numerics(name), scale) if scale is not None else None
            if series is not None and np.isfinite(series.values).any():
                found.append(series)
                break
    return tuple(found)


def scale_to(unit: str, kind: Kind) -> tuple[float, float] | None:
    """Factor and offset that bring values in ``unit`` to the kind's; None where they are of something else."""
    unit = unit.strip()
    if kind.unit == "C":
        return _CELSIUS.get(unit.casefold())
    if kind.unit == "au" or not unit:
        return 1.0, 0.0
    try:
        if kind.sensor is Modality.CO2:
            return canonical_factor(unit, Modality.CO2), 0.0  # a share of the gas too
        return factor(unit, kind.unit), 0.0
    except BadInput:
        return None


def in_unit(kind: Kind, value: float | None, unit: str) -> float | None:
    """A ``value`` that a device gives in ``unit``, in the kind's; None where it is none, as in files."""
    scale = scale_to(unit, kind)
    if value is None or scale is None:
        return None
    told = value * scale[0] + scale[1]
    return told if kind.low <= told <= kind.high else None


def _series(
    kind: Kind,
    track: str,
    times_s: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    scale: tuple[float, float],
) -> Series:
    order = np.argsort(times_s, kind="stable")
    order = order[np.isfinite(times_s[order])]
    times_ns = np.round(times_s[order] * SECOND_NS).astype(np.int64)
    values = values[order] * scale[0] + scale[1]
    with np.errstate(invalid="ignore"):
        values = np.where((values >= kind.low) & (values <= kind.high), values, np.nan)
    since_ns = times_ns
    if kind.held and len(values):
        changed = np.r_[False, (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))]
        place = np.maximum.accumulate(np.where(changed, np.arange(len(values)), -1))
        since_ns = np.where(place >= 0, times_ns[place], UNKNOWN_NS)
    return Series(kind, track, times_ns, values, since_ns)
