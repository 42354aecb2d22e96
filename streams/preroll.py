"""The pre-roll of a seek: the minute of the recording before the moment that was sought, read and not played.

A seek begins a new epoch, and whatever is known of a bed hangs on its last seconds: windows, numerics, context, the
delays of alarms. So an epoch begins :data:`PREROLL_NS` before its moment, or where the recording does, and its ticks
come as fast as the stream takes them until there. They are ticks like any other, in order and without a hole, so that
all stages know what they would know had the replay run there; only what is said to a person begins at the moment
itself. Each of them says where it goes (``goes_to_ns`` of :class:`streams.records.WaveTick`); the last one ends there.
"""

from __future__ import annotations

from msgspec.structs import replace

from models.signals.times import SECOND_NS
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BeatRecord,
    CellRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)

PREROLL_NS = 60 * SECOND_NS
"""As long as any window, numeric or delay of an alarm looks back but those of :mod:`streams.memories`."""


class PrerollAlarms:
    """Keeps the alarms of one bed's pre-roll to itself, and tells at the moment sought which stand: what began and
    ended on the way is nobody's, what stands began when it did."""

    def __init__(self) -> None:
        self._epoch: tuple[str, int] | None = None
        self._goes_to_ns = 0
        self._kept: dict[str, AlarmRecord] = {}

    @property
    def going(self) -> bool:
        """Whether the pre-roll is under way."""
        return self._epoch is not None

    def take(self, change: AlarmRecord) -> list[AlarmRecord]:
        """A change of an alarm: what of it is to be told now."""
        if self._epoch != (change.session, change.epoch):
            return [change]
        known = self._kept.pop(change.key, None)
        if not change.active:
            return [] if known is not None else [change]  # it ends one of the epoch before
        self._kept[change.key] = change if known is None else replace(change, time_ns=known.time_ns)
        return []

    def see(self, state: StateRecord) -> list[AlarmRecord]:
        """A state, in order, before its alarms: what is to be told since the moment sought is reached."""
        epoch = state.session, state.epoch
        if state.goes_to_ns is not None and state.time_ns < state.goes_to_ns:
            if epoch != self._epoch:
                self._epoch, self._kept = epoch, {}
            return []
        told = list(self._kept.values()) if epoch == self._epoch else []
        self._epoch, self._kept = None, {}
        return told


class PrerollFilter:
    """Tells the records of pre-rolls from those that were played, of all beds; feed it every record in order."""

    def __init__(self) -> None:
        self._beds: dict[str, tuple[str, int, int]] = {}

    def __call__(self, record: AnyRecord) -> bool:
        """Whether the record is about a time before the moment that was sought."""
        if isinstance(record, WaveTick | StateRecord) and record.goes_to_ns is not None:
            self._beds[record.bed] = record.session, record.epoch, record.goes_to_ns
        time_ns = _time_ns(record)
        session, epoch, goes_to_ns = self._beds.get(record.bed, ("", -1, 0))
        return time_ns is not None and (session, epoch) == (record.session, record.epoch) and time_ns <= goes_to_ns


def _time_ns(record: AnyRecord) -> int | None:
    """The event time until which the record says anything, None where that does not matter."""
    match record:
        case WaveTick():
            return record.end_ns
        case CellRecord():
            return (record.second + 1) * SECOND_NS
        case PredictionRecord():
            return record.window_end_ns
        case StateRecord():
            return record.time_ns + 1  # it holds from then on
        case VitalsRecord() | RhythmRecord() | BeatRecord():
            return record.time_ns
        case _:
            return None
