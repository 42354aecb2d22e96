"""What has happened to the alarms of a bed: began, ended, seen, limits set, silenced. Pure; bounded.

The display notes it, and what is on disk of earlier runs comes before. An alarm that is said again, to a display that
has just begun, is not noted again: its beginning is told with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from streams.alarm_log import AlarmEvent, AlarmLog, Event
from streams.limit_settings import LIMITED, LimitSetting
from streams.records import AlarmRecord, AnyRecord

KEPT = 500
"""Entries of a bed, in memory; the file keeps some more."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """unix_s: when it was noted. time_s: event time. what: "began", "ended", "acknowledged", … words: with stars where
    it is of an alarm. since_s: of that, event time at which it began."""

    unix_s: float
    session: str
    time_s: float
    what: str
    words: str
    priority: str = ""
    key: str = ""
    since_s: float | None = None

    @property
    def identity(self) -> tuple[str, str, str, float]:
        """What makes two notes the same: an alarm begins once."""
        at_s = self.since_s if self.since_s is not None and self.what == Event.BEGAN else self.time_s
        return self.session, self.what, self.key or self.words, at_s


class Journal:
    """Of one bed; ``entries`` oldest first."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self._log = AlarmLog()
        self._known: dict[tuple[str, str, str, float], None] = {}
        self._new: list[Entry] = []

    def before(self, entries: Iterable[Entry]) -> None:
        """What is on disk, which was noted before anything here."""
        now = list(self.entries)
        self.entries.clear()
        for entry in entries:
            self._keep(entry)
        old = {entry.identity for entry in self.entries}
        kept = [entry for entry in now if entry.identity not in old]
        self._new = [entry for entry in self._new if entry.identity not in old]
        for entry in kept:
            self._keep(entry)

    def follow(self, record: AnyRecord, unix_s: float) -> None:
        """Takes every record of the bed in order."""
        for event in self._log.follow(record):
            if event.event in (Event.BEGAN, Event.ENDED) or _louder(event):
                self.note(_entry(event, unix_s))

    def note(self, entry: Entry) -> None:
        """Adds an entry, unless it is there."""
        if entry.identity not in self._known:
            self._keep(entry)
            self._new.append(entry)

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._known[entry.identity] = None
        while len(self._known) > 2 * KEPT:
            del self._known[next(iter(self._known))]

    def take_new(self) -> list[Entry]:
        """What is to be written: noted since the last call."""
        new, self._new = self._new, []
        return new


def _louder(event: AlarmEvent) -> bool:
    """A change is worth a line where the alarm has become one of high priority; a new worst value is not."""
    return event.event is Event.CHANGED and event.alarm.priority == "high"


def _entry(event: AlarmEvent, unix_s: float) -> Entry:
    alarm = event.alarm
    since_s = alarm.since_ns * 1e-9 if alarm.since_ns is not None else None
    what = "got worse" if event.event is Event.CHANGED else event.event.value
    time_s = event.time_ns * 1e-9
    return Entry(unix_s, alarm.session, time_s, what, words_of(alarm), alarm.priority, alarm.key, since_s)


def words_of(alarm: AlarmRecord) -> str:
    """An alarm in a line of the journal."""
    return f"{alarm.text} ({alarm.reason})" if alarm.reason else alarm.text


def changes(before: Iterable[LimitSetting], after: Iterable[LimitSetting]) -> str:
    """What is different, numeric by numeric: ``Heart rate 50–120 → 45–130``; "" where nothing is."""
    was = {setting.vital: setting for setting in before}
    said = []
    for setting in after:
        old = was.get(setting.vital)
        if old == setting:
            continue
        said.append(f"{LIMITED[setting.vital].label} {_said(old)} → {_said(setting)}")
    return ", ".join(said)


def _said(setting: LimitSetting | None) -> str:
    if setting is None:
        return "-?-"
    low = f"{setting.low:g}" if setting.low is not None else "none"
    high = f"{setting.high:g}" if setting.high is not None else "none"
    return (
        f"{low}–{high} {setting.priority} {setting.delay_s:g} s"
        + (" latching" if setting.latch else "")
        + ("" if setting.on else " off")
    )
