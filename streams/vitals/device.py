"""The numbers that a device measured itself, as of one moment: pure, clock-free, bounded.

Each is current for as long as its kind says after it was told; the device may say that it has none. Those of one
measurement (a cuff's three) are given together: one of them that is no longer told beside the others is not of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from models.signals.device_numerics import kinds
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.records import DeviceNumber

MEMORY = 32  # of each kind: told within the moments that are still to be judged
TOGETHER_NS = 2 * SECOND_NS


class DeviceNumbers:
    """Feed it what comes; ask for moments in order."""

    def __init__(self) -> None:
        self._told: dict[str, deque[DeviceNumber]] = {}

    def see(self, numbers: Iterable[DeviceNumber]) -> None:
        """Take in what a tick brought. What was told before (again, or late) changes nothing newer."""
        for number in numbers:
            if number.name not in kinds():
                continue
            told = self._told.setdefault(number.name, deque(maxlen=MEMORY))
            if not told or number.time_ns > told[-1].time_ns:
                told.append(number)

    def at(self, time_ns: int, withheld: Collection[Modality] = ()) -> dict[str, float | None]:
        """The current ones at ``time_ns``, and with those of one measurement its age, as ``nibp_age_s``; None, or left
        out, where there is none.
        withheld: sensors whose numbers are withheld with them."""
        newest: dict[str, DeviceNumber] = {}
        for name, told in self._told.items():
            found = next((number for number in reversed(told) if number.time_ns <= time_ns), None)
            if found is not None:
                newest[name] = found
        heard_ns: dict[str, int] = {}
        for name, number in newest.items():
            if together := kinds()[name].together:
                heard_ns[together] = max(heard_ns.get(together, number.time_ns), number.time_ns)
        values: dict[str, float | None] = {}
        since_ns: dict[str, int] = {}
        for name, number in newest.items():
            kind = kinds()[name]
            alone = kind.together != "" and heard_ns[kind.together] - number.time_ns > TOGETHER_NS
            stale = time_ns - number.time_ns > kind.fresh_ns
            values[name] = None if alone or stale or kind.sensor in withheld else number.value
            if kind.together and values[name] is not None and number.since_ns is not None:
                since_ns[kind.together] = max(since_ns.get(kind.together, number.since_ns), number.since_ns)
        ages = {f"{name}_age_s": max(0.0, (time_ns - since) / SECOND_NS) for name, since in since_ns.items()}
        return values | ages
