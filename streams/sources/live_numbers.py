"""The numbers that a live device tells, by the bed's event time, cut to ticks. Pure: told by its caller what time it
is.

When a number was measured is on the device's clock, of which only this much is known: the newest sample that has come
was taken about when it came. So the age of a cuff is that beside the newest sample, and a value with a time waits for
the first sample. One from the future, or of another age of the world, is not known: its clock is not that of the waves.

A value counts from when it was measured, where that is told, so that what is repeated does not become newer; that of a
cuff, which is good for long, from when it is told, with its age. That there is none counts at once.

What is told goes to the session in which it came, and in another patient's nothing is told that was measured before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from models.signals.device_numerics import in_unit, kinds
from models.signals.times import SECOND_NS
from streams.records import DeviceNumber
from streams.sources.device import DeviceValue
from streams.sources.device_replay import AGAIN_NS, MAX_EACH

AHEAD_NS = 2 * SECOND_NS
"""By so much a number may seem to be measured after it came: samples come in blocks."""
MOST_S = 1e11
"""No clock says more; beyond it is no time."""
OLDEST_NS = 30 * 24 * 3600 * SECOND_NS


@dataclass(slots=True)
class _Session:
    """What is told in a session: what no tick has had yet, and the newest that one has had, by name."""

    waiting: dict[str, deque[DeviceNumber]] = field(default_factory=dict)
    newest: dict[str, DeviceNumber] = field(default_factory=dict)

    def add(self, number: DeviceNumber) -> None:
        waiting = self.waiting.setdefault(number.name, deque(maxlen=MAX_EACH))
        last = waiting[-1] if waiting else self.newest.get(number.name)
        if last is None or number.time_ns > last.time_ns:
            waiting.append(number)


class LiveNumbers:
    """Feed it what comes; ask for ticks in order. Times in ns of event time but for the device's stamps."""

    def __init__(self, session: str) -> None:
        self._sessions = {session: _Session()}
        self._now = session
        self._from_ns: int | None = None  # of a session after the first
        self._behind_ns: int | None = None  # the device's clock, behind event time
        self._untimed: dict[str, tuple[DeviceValue, int]] = {}
        self._since: dict[str, tuple[float, int]] = {}

    def see_clock(self, stamp_s: float, now_ns: int) -> None:
        """The newest sample of those that have come ``now_ns`` has this stamp."""
        if not abs(stamp_s) < MOST_S:
            return
        self._behind_ns = now_ns - round(stamp_s * SECOND_NS)
        untimed, self._untimed = self._untimed, {}
        for said, came_ns in untimed.values():
            self.add(said, came_ns)

    def add(self, said: DeviceValue, now_ns: int) -> None:
        """Take in what has come ``now_ns``."""
        kind = kinds().get(said.name)
        if kind is None:
            return
        self._untimed.pop(said.name, None)
        value = in_unit(kind, said.value, said.unit)
        since_ns = None
        if value is not None and said.stamp_s is not None:
            if self._behind_ns is None:
                self._untimed[said.name] = said, now_ns
                return
            since_ns = self._measured_ns(said.name, said.stamp_s, now_ns)
            if since_ns is None:
                value = None
            elif self._from_ns is not None and since_ns < self._from_ns:
                return  # of the patient before
        time_ns = now_ns if since_ns is None or kind.held else since_ns
        self._sessions[self._now].add(DeviceNumber(said.name, time_ns, value, since_ns))

    def forget_clock(self) -> None:
        """The device is lost: when it is found again its clock may be another."""
        self._behind_ns = None

    def begin_session(self, session: str, now_ns: int) -> None:
        """Another patient: what comes from now on is told in ``session``, if it was measured since."""
        self._now, self._from_ns = session, now_ns
        self._sessions[session] = _Session()
        self._untimed, self._since = {}, {}

    def told(self, session: str, start_ns: int, end_ns: int, first: bool) -> list[DeviceNumber]:
        """The numbers of a tick of ``session``; those of sessions before are forgotten. first: of an epoch."""
        while (before := next(iter(self._sessions))) != session:
            del self._sessions[before]
        here, told = self._sessions[session], []
        again = first or -(-start_ns // AGAIN_NS) * AGAIN_NS < end_ns
        for name, waiting in here.waiting.items():
            newest = here.newest.get(name)
            if again and newest is not None and end_ns - newest.time_ns <= kinds()[name].fresh_ns:
                told.append(newest)
            while waiting and waiting[0].time_ns < end_ns:
                here.newest[name] = waiting.popleft()
                told.append(here.newest[name])
        return told

    def _measured_ns(self, name: str, stamp_s: float, now_ns: int) -> int | None:
        """When it was measured; for a stamp that has been told before the same as then, whatever clocks have done."""
        before = self._since.get(name)
        if before is not None and before[0] == stamp_s:
            return before[1]
        if self._behind_ns is None or not abs(stamp_s) < MOST_S:
            return None
        since_ns = round(stamp_s * SECOND_NS) + self._behind_ns
        if not now_ns - OLDEST_NS <= since_ns <= now_ns + AHEAD_NS:
            return None
        self._since[name] = stamp_s, min(since_ns, now_ns)
        return self._since[name][1]
