"""What a recording's device measured itself, cut to ticks. Pure.

A number is told in the tick that it lies in. So that who comes late, or after a seek, knows what is current (a cuff
measures every few minutes), the newest of each kind is told again in the first tick of an epoch and every ``AGAIN_NS``
of event time, with the time that it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from models.signals.device_numerics import UNKNOWN_NS, Series
from models.signals.times import SECOND_NS
from streams.fields import MAX_NUMBERS
from streams.records import DeviceNumber

AGAIN_NS = 30 * SECOND_NS
MAX_EACH = MAX_NUMBERS // 16
"""Of one kind in one tick: the newest; a device tells one a second."""


class NumberReplay:
    """The numbers of one recording."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._series = tuple((one, one.times_ns.tolist()) for one in series)

    def told(self, start_ns: int, end_ns: int, first: bool) -> list[DeviceNumber]:
        """The numbers with ``start_ns <= time < end_ns``, in order of kind and time. first: of an epoch."""
        told: list[DeviceNumber] = []
        again = first or -(-start_ns // AGAIN_NS) * AGAIN_NS < end_ns
        for one, times_ns in self._series:  # of a list: a search in an array costs ten times as much, in every tick
            lo, hi = bisect_left(times_ns, start_ns), bisect_left(times_ns, end_ns)
            if again and lo > 0 and start_ns - times_ns[lo - 1] <= one.kind.fresh_ns:
                lo -= 1
            told += [_number(one, place) for place in range(max(lo, hi - MAX_EACH), hi)]
        return told


def _number(series: Series, place: int) -> DeviceNumber:
    value, since_ns = float(series.values[place]), int(series.since_ns[place])
    return DeviceNumber(
        series.kind.name,
        int(series.times_ns[place]),
        None if np.isnan(value) else value,
        None if since_ns == UNKNOWN_NS else since_ns,
    )
