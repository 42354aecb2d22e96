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
MOST_PREROLLS = 64
"""Of a bed, whose records may still come: a seek may be given up for another while the model is behind."""


class PrerollAlarms:
    """Keeps the alarms of one bed's pre-roll to itself, and tells at the moment sought which stand: what began and
    ended on the way is nobody's, what stands began when it did. The model may be behind: what it says of the pre-roll
    after that is kept until it has come to the moment too."""

    def __init__(self) -> None:
        self._epoch: tuple[str, int] | None = None
        self._goes_to_ns: int | None = None
        self._going = False
        self._kept: dict[str, AlarmRecord] = {}
        self._told: set[str] = set()  # of what began in the pre-roll

    @property
    def going(self) -> bool:
        """Whether the pre-roll is under way."""
        return self._going

    def keeps(self, key: str) -> bool:
        """Whether an alarm that stands is not to be told yet."""
        return key in self._kept

    def take(self, change: AlarmRecord, *, predicted: bool = False) -> list[AlarmRecord]:
        """A change of an alarm: what of it is to be told now. predicted: it is of a window of the model's."""
        if self._epoch != (change.session, change.epoch):
            return [change]
        known = self._kept.pop(change.key, None)
        if not change.active:
            self._told.discard(change.key)
            return [] if known is not None else [change]  # it was told, or ends one of the epoch before
        late = predicted and self._is_before(change.time_ns) and change.key not in self._told
        if known is not None:
            change = replace(change, time_ns=known.time_ns)
        if self._going or late:
            self._kept[change.key] = change
            return []
        return [change]

    def see(self, state: StateRecord) -> list[AlarmRecord]:
        """A state, in order, before its alarms: what is to be told since the moment sought is reached."""
        epoch = state.session, state.epoch
        if epoch != self._epoch:
            self._epoch, self._goes_to_ns, self._going, self._kept, self._told = epoch, None, False, {}, set()
        if state.goes_to_ns is not None and state.time_ns < state.goes_to_ns:
            self._goes_to_ns, self._going = state.goes_to_ns, True
            return []
        if not self._going:
            return []
        self._going, self._told = False, set(self._kept)
        return self._tell()

    def see_window(self, record: PredictionRecord) -> list[AlarmRecord]:
        """A prediction, in order, after its alarms: what is to be told since the model is past the moment sought."""
        if self._going or self._epoch != (record.session, record.epoch) or self._is_before(record.window_end_ns):
            return []
        return self._tell()

    def _tell(self) -> list[AlarmRecord]:
        told, self._kept = list(self._kept.values()), {}
        return told

    def _is_before(self, time_ns: int) -> bool:
        return self._goes_to_ns is not None and time_ns <= self._goes_to_ns


class PrerollFilter:
    """Tells the records of pre-rolls from those that were played, of all beds; feed it every record in order."""

    def __init__(self) -> None:
        self._beds: dict[str, dict[tuple[str, int], int]] = {}

    def __call__(self, record: AnyRecord) -> bool:
        """Whether the record is about a time before the moment that was sought."""
        epoch = record.session, record.epoch
        if isinstance(record, WaveTick | StateRecord) and record.goes_to_ns is not None:
            known = self._beds.setdefault(record.bed, {})
            known[epoch] = record.goes_to_ns
            if len(known) > MOST_PREROLLS:
                del known[next(iter(known))]
        time_ns, goes_to_ns = _time_ns(record), self._beds.get(record.bed, {}).get(epoch)
        return time_ns is not None and goes_to_ns is not None and time_ns <= goes_to_ns


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
