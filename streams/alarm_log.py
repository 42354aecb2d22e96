"""What alarmed, when and for how long: alarm records made into events, for the file and the report of a run.

An alarm that stands when the replay jumps ends where it stood, at the last moment that was played before the jump: the
engine notices at the first record of the new place, whose time says nothing about the old one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

from models.signals.times import SECOND_NS
from streams.fields import PRIORITIES
from streams.records import AlarmRecord, AnyRecord, WaveTick
from streams.sessions import is_past

JUMPED = "the replay jumped"


class Event(StrEnum):
    """What happened to an alarm."""

    BEGAN = "began"
    CHANGED = "changed"  # another text, priority or reason; a new present value alone is none
    ENDED = "ended"
    STANDING = "standing at the end"


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """Something that happened to ``alarm`` (as it reads from then on, or read last) at event time ``time_ns``."""

    time_ns: int
    event: Event
    alarm: AlarmRecord
    reason: str


@dataclass(slots=True)
class _Bed:
    """What stands, of which session and epoch, and how far each epoch was played."""

    session: str = ""
    epoch: int = -1
    standing: dict[str, AlarmRecord] = field(default_factory=dict)
    played_ns: dict[int, int] = field(default_factory=dict)

    def last_ns(self, alarm: AlarmRecord) -> int:
        """The last moment at which ``alarm``, which still stands, is known to have stood."""
        return max(alarm.time_ns, self.played_ns.get(alarm.epoch, alarm.time_ns))


class AlarmLog:
    """Events of all beds; feed it every record of the last consumer, in order. Pure."""

    def __init__(self) -> None:
        self._beds: dict[str, _Bed] = {}

    def follow(self, record: AnyRecord) -> list[AlarmEvent]:
        """What the record makes known, in the order of event time."""
        if not isinstance(record, WaveTick | AlarmRecord):
            return []
        bed, events = self._beds.setdefault(record.bed, _Bed(record.session)), []
        if record.session != bed.session:
            if is_past(record.session, record.epoch, bed.session, bed.epoch):
                return []
            events = [AlarmEvent(bed.last_ns(alarm), Event.ENDED, alarm, JUMPED) for alarm in bed.standing.values()]
            bed = self._beds[record.bed] = _Bed(record.session, record.epoch)
        if isinstance(record, WaveTick):
            self._played(bed, record)
        else:
            events += self._alarm(bed, record)
        return events

    def standing(self) -> list[AlarmEvent]:
        """Those that stand now, at the last moment played."""
        return [
            AlarmEvent(bed.last_ns(alarm), Event.STANDING, alarm, alarm.reason)
            for bed in self._beds.values()
            for alarm in bed.standing.values()
        ]

    @staticmethod
    def _played(bed: _Bed, tick: WaveTick) -> None:
        if tick.epoch not in bed.played_ns:
            needed = {alarm.epoch for alarm in bed.standing.values()}
            needed.add(max(bed.played_ns, default=-1))  # its last alarms may be yet to come
            bed.played_ns = {epoch: at for epoch, at in bed.played_ns.items() if epoch in needed}
        bed.played_ns[tick.epoch] = tick.end_ns

    @staticmethod
    def _alarm(bed: _Bed, record: AlarmRecord) -> Iterator[AlarmEvent]:
        if record.epoch < bed.epoch:
            return  # delivered twice
        if record.epoch > bed.epoch:
            for alarm in bed.standing.values():
                yield AlarmEvent(bed.last_ns(alarm), Event.ENDED, alarm, JUMPED)
            bed.standing.clear()
            bed.epoch = record.epoch
        before = bed.standing.pop(record.key, None)
        if record.active:
            bed.standing[record.key] = record
            if before is None:
                yield AlarmEvent(record.time_ns, Event.BEGAN, record, record.reason)
            elif _reading(before) != _reading(record):
                yield AlarmEvent(record.time_ns, Event.CHANGED, record, record.reason)
        elif before is not None:
            yield AlarmEvent(record.time_ns, Event.ENDED, before, record.reason)


def _reading(alarm: AlarmRecord) -> tuple[str, str, str, str]:
    return alarm.priority, alarm.kind, alarm.text, alarm.reason


@dataclass(slots=True)
class _Count:
    first_ns: int
    count: int = 0
    active_ns: int = 0
    highest: int = 0


class AlarmCounts:
    """Counts alarms by key, over all beds; a subscriber of records. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._log = AlarmLog()
        self._counts: dict[str, _Count] = {}
        self._began_ns: dict[tuple[str, str], int] = {}

    def __call__(self, record: AnyRecord) -> None:
        """Takes the next record."""
        with self._lock:
            for event in self._log.follow(record):
                self._note(event)

    def report(self) -> dict[str, dict[str, float | str]]:
        """By key: how often it began, for how many seconds it stood (until now, if it stands), its highest priority,
        and the event time in seconds at which it first began."""
        with self._lock:
            standing_ns: dict[str, int] = {}
            for event in self._log.standing():
                key = event.alarm.key
                standing_ns[key] = standing_ns.get(key, 0) + self._stood_ns(event)
            return {
                key: {
                    "count": count.count,
                    "seconds_active": round((count.active_ns + standing_ns.get(key, 0)) / SECOND_NS, 3),
                    "highest_priority": PRIORITIES[count.highest],
                    "first_s": round(count.first_ns / SECOND_NS, 3),
                }
                for key, count in sorted(self._counts.items())
            }

    def standing(self) -> dict[str, int]:
        """How many alarms stand now, by priority."""
        with self._lock:
            return dict(Counter(event.alarm.priority for event in self._log.standing()))

    def _note(self, event: AlarmEvent) -> None:
        alarm = event.alarm
        count = self._counts.setdefault(alarm.key, _Count(event.time_ns))
        count.highest = max(count.highest, PRIORITIES.index(alarm.priority))
        if event.event is Event.BEGAN:
            count.count += 1
            self._began_ns[alarm.bed, alarm.key] = event.time_ns
        elif event.event is Event.ENDED:
            count.active_ns += self._stood_ns(event)

    def _stood_ns(self, event: AlarmEvent) -> int:
        """Never below nothing: within an epoch a source's own clock may run back."""
        return max(0, event.time_ns - self._began_ns[event.alarm.bed, event.alarm.key])
