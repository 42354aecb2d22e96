"""The one protocol of everything that can be replayed: metadata first, then any range of any track.

Time zero of a recording is the first sample of any *mapped* track (see ``aliases.map_channels``); readers give times
from the recording's own start and :class:`models.signals.channels.ChannelMap` shifts them once. Ranges are
``[start_s, end_s)``. Missing samples are NaN, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

OTHER_SIGNAL = "other"


class TrackKind(StrEnum):
    """A wave has a rate, a numeric and an event times of their own."""

    WAVE = "wave"
    NUMERIC = "numeric"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Track:
    """One recorded track under the recording's own name.

    ``start_s`` is the time of sample index 0 in seconds from the recording's start; sample ``i`` of a wave lies at
    ``start_s + i / rate_hz``. ``samples`` is the length of the index grid, missing samples included (waves), or the
    number of values (numerics, events). ``gaps_s`` lists the ``[start, end)`` stretches without data, in seconds.
    ``declared``: the modality that the file itself says the track is, ``OTHER_SIGNAL`` for a signal that is none of
    them (a central venous pressure), "" where the file does not say.
    """

    name: str
    kind: TrackKind
    unit: str
    rate_hz: float | None
    start_s: float
    samples: int
    gaps_s: tuple[tuple[float, float], ...] = field(default=())
    declared: str = ""

    @property
    def end_s(self) -> float:
        """One sample after the last of a wave; of other tracks where they begin."""
        return self.start_s + self.samples / self.rate_hz if self.rate_hz else self.start_s


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples ``first_index … first_index + len(values)`` of one wave track, float32, NaN where missing."""

    first_index: int
    values: FloatArray


@runtime_checkable
class Recording(Protocol):
    """A recording of one patient. Reading is thread-compatible: one thread at a time."""

    @property
    def name(self) -> str:
        """Short name for the screen (file name, ``vitaldb:1``, ``demo:seed=7``); no patient data."""

    @property
    def duration_s(self) -> float:
        """From the recording's start to its last sample, in s."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks, in the recording's own order."""

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """The samples of a wave track with ``start_s <= time < end_s``, in the track's own unit.

        Clipped to the track's own extent; empty where the range lies outside. Raises KeyError for an unknown track.
        """

    def numerics(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Times in seconds and values of a numeric track, for reference."""

    def events(self) -> list[tuple[float, str]]:
        """Time and text of the recording's annotations."""

    def close(self) -> None:
        """Gives files and memory back; nothing is read afterwards."""
