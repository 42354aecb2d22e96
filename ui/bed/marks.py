"""What has been seen of a recording, and what it says of itself, as marks along its time. Pure.

Of a recording that is replayed nobody knows what lies ahead but its own annotations and gaps; the rest are marks of
what this display has seen, and they stay when the replay goes elsewhere. What is seen again is one mark. Bounded: of
too many the oldest of the least priority go first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from models.signals.absence import Absence
from models.signals.times import SECOND_NS
from streams.records import AlarmRecord, StateRecord
from ui.bed.alarm_words import text_said
from ui.style.language import tr
from ui.style.theme import PRIORITIES

KEPT = 512
AGAIN_S = 2.0  # so near, the same alarm or loss is the same one seen again
BEFORE_S = 5.0  # where a jump to a mark lands before it, so that one sees it come
WITHHELD, EVENT = "withheld", "event"

Events = tuple[tuple[float, str], ...]
"""Annotations of a recording: seconds from its beginning, and the text."""


@dataclass(frozen=True, slots=True)
class Mark:
    """kind: a priority of alarms, ``WITHHELD`` or ``EVENT``. end_s: None while it goes on."""

    kind: str
    begin_s: float
    end_s: float | None
    words: str


class Marks:
    """Of one bed; knows no epochs, so that what was seen before a jump is remembered."""

    def __init__(self) -> None:
        self._closed: dict[str, list[Mark]] = {}  # by what it is of, in order of time
        self._open: dict[str, Mark] = {}
        self._events: Events = ()
        self._all: tuple[Mark, ...] | None = None  # as of the last change

    def clear(self) -> None:
        """Another recording or patient."""
        self._closed, self._open, self._all = {}, {}, None

    def alarm(self, record: AlarmRecord) -> None:
        """An alarm began, changed or ended. What of a sensor's loss is of low priority other marks tell."""
        time_s = record.time_ns / SECOND_NS
        if not record.active:
            self._close(record.key, time_s)
        elif record.kind == "physiological" or record.priority != PRIORITIES[-1]:
            known = self._open.get(record.key)
            if known is None:
                self._put(record.key, Mark(record.priority, time_s, None, text_said(record.text)))
            elif _rank(record.priority) <= _rank(known.kind):
                self._put(record.key, replace(known, kind=record.priority, words=text_said(record.text)))

    def state(self, record: StateRecord) -> None:
        """Which sensors are withheld from now on."""
        time_s = record.time_ns / SECOND_NS
        for modality, absence in record.state.items():
            key = f"{WITHHELD} {modality}"
            if absence != Absence.WITHHELD.value:
                self._close(key, time_s)
            elif key not in self._open:
                self._put(key, Mark(WITHHELD, time_s, None, tr("{modality} withheld", modality=tr(modality))))

    def jumped(self, last_s: float) -> None:
        """The replay goes elsewhere; what goes on was last seen at ``last_s``."""
        for key in list(self._open):
            self._close(key, last_s)

    def all(self, events: Events = ()) -> tuple[Mark, ...]:
        """All of them, and the recording's own ``events``, by their beginning."""
        if self._all is None or events != self._events:
            own = [Mark(EVENT, at_s, at_s, words) for at_s, words in events]
            seen = [mark for marks in self._closed.values() for mark in marks]
            self._all = tuple(sorted([*own, *seen, *self._open.values()], key=lambda mark: mark.begin_s))
            self._events = events
        return self._all

    def _put(self, key: str, mark: Mark) -> None:
        self._open[key], self._all = mark, None

    def _close(self, key: str, time_s: float) -> None:
        mark = self._open.pop(key, None)
        if mark is None:
            return
        self._all = None
        begin_s, end_s, kind = mark.begin_s, max(time_s, mark.begin_s), mark.kind
        apart = []
        for known in self._closed.get(key, []):
            assert known.end_s is not None
            if known.begin_s > end_s + AGAIN_S or known.end_s < begin_s - AGAIN_S:
                apart.append(known)
                continue
            begin_s, end_s = min(begin_s, known.begin_s), max(end_s, known.end_s)
            if _rank(known.kind) < _rank(kind):
                kind, mark = known.kind, known
        apart.append(Mark(kind, begin_s, end_s, mark.words))
        self._closed[key] = sorted(apart, key=lambda m: m.begin_s)
        if sum(map(len, self._closed.values())) > KEPT:
            self._forget_one()

    def _forget_one(self) -> None:
        key, mark = min(
            ((key, marks[0]) for key, marks in self._closed.items()),
            key=lambda of: (-_rank(of[1].kind), of[1].begin_s),
        )
        self._closed[key] = [m for m in self._closed[key] if m is not mark]
        if not self._closed[key]:
            del self._closed[key]


def neighbour(marks: Iterable[Mark], position_s: float, direction: int) -> Mark | None:
    """The next mark that begins after ``position_s`` and is not come to already, or the last one before; None where
    there is none."""
    if direction > 0:
        later = [mark for mark in marks if mark.begin_s > position_s + BEFORE_S + 0.5]
        return min(later, key=lambda mark: mark.begin_s, default=None)
    return max((mark for mark in marks if mark.begin_s < position_s), key=lambda mark: mark.begin_s, default=None)


def _rank(kind: str) -> int:
    return PRIORITIES.index(kind) if kind in PRIORITIES else len(PRIORITIES)
