"""What a device measured itself, out of a recorded session, gathered while its file is gone through."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from models.signals.device_numerics import kinds
from models.signals.recording import Track, TrackKind
from models.signals.times import SECOND_NS
from streams.records import WaveTick

Told = tuple["array[int]", "array[float]"]
"""Times in ns and values, NaN where the device had none; 16 bytes a number."""
DEVICE = "DEVICE"


class RecordedNumbers:
    """``take`` every tick, then ``choose`` what is played."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str, int, str], Told] = {}
        self._told: dict[str, Told] = {}

    def take(self, tick: WaveTick) -> None:
        """What is told again, as it is every now and then, is not taken again."""
        for number in tick.numbers:
            if number.name not in kinds():
                continue
            times_ns, values = self._all.setdefault((tick.bed, tick.session, tick.epoch, number.name), _none())
            if not times_ns or times_ns[-1] < number.time_ns:
                times_ns.append(number.time_ns)
                values.append(math.nan if number.value is None else number.value)

    def choose(self, bed: str, epochs: Collection[tuple[str, int]]) -> tuple[Track, ...]:
        """A track for each number of a bed in those (session, epoch), called by a name that it is known by; of other
        beds and epochs nothing is kept."""
        tracks = {}
        for (whose, session, epoch, name), (times_ns, values) in self._all.items():
            if whose != bed or (session, epoch) not in epochs:
                continue
            track = f"{DEVICE}/{next(known for known in kinds()[name].tracks if '/' not in known)}"
            told = self._told.setdefault(track, _none())
            told[0].extend(times_ns)
            told[1].extend(values)
            tracks[track] = kinds()[name].unit
        self._all.clear()
        return tuple(
            Track(track, TrackKind.NUMERIC, unit, None, float(times_s[0]), len(times_s))
            for track, unit in tracks.items()
            for times_s, _ in (self.read(track),)
        )

    def read(self, track: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Times in s, in order, and values; of a moment that was played twice the first. KeyError for an unknown
        track."""
        times_ns, values = self._told[track]
        times, first = np.unique(np.frombuffer(times_ns, np.int64), return_index=True)
        return times / SECOND_NS, np.frombuffer(values, np.float64)[first]


def _none() -> Told:
    return array("q"), array("d")
