"""The trends of one bed: its numerics, predictions, presence and alarms over hours, by event time. Pure.

Folded from the same records, at the same moment and behind the same gates as what the screen shows: a rate of beats
that are none is no heart rate here either, and an estimate is kept where it was allowed when it came. What was said of
a second stays after a seek, until that second is played again; another patient or session starts afresh.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.records import AlarmRecord, AnyRecord, CellRecord, PredictionRecord, RhythmRecord, VitalsRecord
from ui.bed.findings_words import NO_BEATS, stands_still
from ui.bed.liveness import STALE_S
from ui.bed.series import Series, Stretch, code_of

VITALS = ("hr", "pulse_rate", "resp_rate", "abp_sys", "abp_dia", "abp_map", "sef95", "bsr", "openibis", "spo2")
HORIZONS = ("5", "10", "15")
INTERVALS = (*(f"risk_{minutes}" for minutes in HORIZONS), "depth", "map_estimated")
"""Of the model; each is followed by what it may lie between, ``…_lo`` and ``…_hi``."""
COLUMNS: tuple[str, ...] = (*VITALS, *(f"{name}{end}" for name in INTERVALS for end in ("", "_lo", "_hi")))
UNITS = {
    **dict.fromkeys(("hr", "pulse_rate", "resp_rate"), "/min"),
    **dict.fromkeys(("abp_sys", "abp_dia", "abp_map", "map_estimated"), "mmHg"),
    "sef95": "Hz",
    **dict.fromkeys(("bsr", "spo2"), "%"),
    **dict.fromkeys(("openibis", "depth", *(f"risk_{minutes}" for minutes in HORIZONS)), ""),
}
"""As kept here; what has none is a number from 0 to 100."""
AT = {name: number for number, name in enumerate(COLUMNS)}
MODALITIES = tuple(Modality)

_MEASURED_COLUMNS, _MODEL_COLUMNS = slice(0, len(VITALS)), slice(len(VITALS), len(COLUMNS))
_PERCENT = frozenset({"bsr"})  # from a share of one
_ROW = {modality.value: row for row, modality in enumerate(MODALITIES)}
_UNKNOWN = (math.nan, math.nan, math.nan)
_HELD = int(STALE_S)

FINE_BLOCKS = 144
"""A day second by second, of a bed among few."""
FINE_BLOCKS_OF_MANY = 12
"""Two hours, of a bed among many."""
ALARMS_KEPT = 1024
PASSES_KEPT = 64


@dataclass(frozen=True, slots=True)
class AlarmSpan:
    """An alarm from its onset to its end, event time; end None: it stands. number: of the pass that told of it."""

    key: str
    priority: str
    kind: str
    text: str
    begin_s: float
    end_s: float | None
    number: int


@dataclass(slots=True)
class Pass:
    """One run through event time without a jump. ahead_s: by how much the monotonic clock was ahead of event time, by
    the record that was the least late."""

    begin_s: float
    now_s: float
    ahead_s: float


class Trends:
    """See the module. ``now_s``: event time of the newest record, None before the first."""

    def __init__(self) -> None:
        self._series = Series(len(COLUMNS), len(MODALITIES), FINE_BLOCKS)
        self._identity: tuple[str, int] | None = None
        self._clear()

    def _clear(self) -> None:
        self._series.clear()
        self._passes: deque[Pass] = deque(maxlen=PASSES_KEPT)
        self._alarms: deque[AlarmSpan] = deque(maxlen=ALARMS_KEPT)
        self._standing: dict[str, AlarmSpan] = {}
        self._number = 0
        self._replaces = False  # alarms of earlier passes are left that this one may come to
        self._next_pass()

    def _next_pass(self) -> None:
        self._number += 1
        self._begun = False
        self._last: dict[int, int] = {}  # by first column, the second last said
        self._vitals: tuple[int, str] | None = None  # second and source of the heart rate
        self._stopped: dict[str, int] = {}  # column that must not be read: newest second

    def keep(self, fine_blocks: int) -> None:
        """See :meth:`ui.bed.series.Series.keep`."""
        self._series.keep(fine_blocks)

    # What is known ------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float | None:
        """Event time of the newest record."""
        return self._passes[-1].now_s if self._passes else None

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Event time from the first to the last second of which anything is known."""
        series = self._series
        return (series.begin_s, series.end_s) if series.begin_s < series.end_s else None

    @property
    def changes(self) -> int:
        """Another number whenever something is known anew."""
        return self._series.changes

    @property
    def bytes(self) -> int:
        """Of memory for the rows."""
        return self._series.bytes

    def stretch(self, begin_s: float, end_s: float, most: int) -> Stretch:
        """See :meth:`ui.bed.series.Series.stretch`; columns as in ``COLUMNS``."""
        return self._series.stretch(begin_s, end_s, most)

    def alarms(self, begin_s: float, end_s: float) -> list[AlarmSpan]:
        """Alarms that stood at any time of [begin_s, end_s), by onset."""
        found = (*self._alarms, *self._standing.values())
        shown = (a for a in found if a.begin_s < end_s and (a.end_s is None or a.end_s >= begin_s))
        return sorted(shown, key=lambda alarm: alarm.begin_s)

    def ahead_s(self, time_s: float) -> float | None:
        """By how much the monotonic clock was ahead of event time then; None where that was never reached."""
        for one in reversed(self._passes):
            if one.begin_s <= time_s:
                return one.ahead_s
        return self._passes[0].ahead_s if self._passes else None

    # Records ------------------------------------------------------------------------------------------------------

    def apply(self, record: AnyRecord, now_s: float, *, pressure: bool, depth: bool) -> None:
        """Folds one in; ``now_s`` is the monotonic time of its arrival. pressure, depth: whether an estimated pressure,
        and a depth, may be shown now."""
        match record:
            case VitalsRecord():
                self._take(record, record.time_ns, now_s)
                self._take_vitals(record)
            case CellRecord():
                self._begin(record)
                known = [(_ROW[name], code_of(value)) for name, value in record.absence.items() if name in _ROW]
                self._series.put_codes(record.second, *zip(*known, strict=True)) if known else None
            case RhythmRecord():
                self._take(record, record.time_ns, now_s)
                self._take_rhythm(record)
            case PredictionRecord():
                self._begin(record)
                if not record.missed:  # a window that was missed says nothing of the patient
                    self._take_prediction(record, pressure, depth)
            case AlarmRecord():
                self._begin(record)
                self._take_alarm(record)
            case _:
                pass

    def _begin(self, record: AnyRecord) -> None:
        identity = (record.session, record.epoch)
        if identity == self._identity:
            return
        if self._identity is not None and identity[0] != self._identity[0]:
            self._clear()
        elif self._identity is not None:
            until_s = self.now_s
            for alarm in self._standing.values():
                end_s = alarm.begin_s if until_s is None else max(alarm.begin_s, until_s)
                self._alarms.append(replace(alarm, end_s=end_s))
            self._standing.clear()
            self._replaces = bool(self._alarms)
            self._next_pass()
        self._identity = identity

    def _take(self, record: VitalsRecord | RhythmRecord, time_ns: int, now_s: float) -> None:
        """Time goes on."""
        self._begin(record)
        time_s = time_ns / SECOND_NS
        if not self._begun:
            self._begun = True
            self._passes.append(Pass(time_s, time_s, now_s - time_s))
        here = self._passes[-1]
        here.now_s = max(here.now_s, time_s)
        here.ahead_s = min(here.ahead_s, now_s - time_s)
        if self._replaces:
            self._alarms = deque(
                (a for a in self._alarms if a.number == self._number or not here.begin_s <= a.begin_s <= here.now_s),
                ALARMS_KEPT,
            )
            self._replaces = any(a.number != self._number and a.begin_s > here.now_s for a in self._alarms)

    def _put(self, columns: slice, second: int, values: list[float]) -> None:
        """What was said before stands until it would be stale, as on the screen; a longer silence is a gap."""
        before = self._last.get(columns.start)
        if before is not None and 1 < second - before <= _HELD:
            self._series.fill(before, second, columns)
        self._last[columns.start] = second
        self._series.put(second, columns, values)

    def _take_vitals(self, record: VitalsRecord) -> None:
        second = record.time_ns // SECOND_NS
        values = []
        for name in VITALS:
            value = getattr(record, name)
            values.append(math.nan if value is None else value * 100.0 if name in _PERCENT else value)
        self._put(_MEASURED_COLUMNS, second, values)
        self._vitals = second, record.hr_source
        self._strike()

    def _take_rhythm(self, record: RhythmRecord) -> None:
        second = record.time_ns // SECOND_NS
        if Rhythm(record.rhythm) in NO_BEATS or stands_still(record):
            self._stopped["hr"] = second
        if record.pulse.get(Modality.PPG.value) == Pulse.NONE.value:
            self._stopped["pulse_rate"] = second
        self._strike()

    def _strike(self) -> None:
        """Takes out a rate of beats that the finding of the same second says are none, as the numerics do."""
        if self._vitals is None:
            return
        second, source = self._vitals
        if self._stopped.get("hr") == second and source == Modality.ECG:
            self._series.put(second, (AT["hr"],), (math.nan,))
        if self._stopped.get("pulse_rate") == second:
            self._series.put(second, (AT["pulse_rate"],), (math.nan,))

    def _take_prediction(self, record: PredictionRecord, pressure: bool, depth: bool) -> None:
        values: list[float] = []
        for minutes in HORIZONS:
            risk = record.risk.get(minutes) if record.valid and not record.abstain else None
            values += (100.0 * value for value in risk or _UNKNOWN)
        values += (record.depth if record.valid and depth else None) or _UNKNOWN
        mean = (record.pressures or {}).get("map") if record.valid and pressure else None
        values += mean or _UNKNOWN
        self._put(_MODEL_COLUMNS, record.window_end_ns // SECOND_NS, values)

    def _take_alarm(self, record: AlarmRecord) -> None:
        known, time_s = self._standing.pop(record.key, None), record.time_ns / SECOND_NS
        changed = known is not None and (known.priority, known.kind) != (record.priority, record.kind)
        if known is not None and (changed or not record.active):
            self._alarms.append(replace(known, end_s=max(known.begin_s, time_s)))
        if record.active:
            begin_s = time_s if known is None or changed else known.begin_s
            self._standing[record.key] = AlarmSpan(
                record.key, record.priority, record.kind, record.text, begin_s, None, self._number
            )
            while len(self._standing) > ALARMS_KEPT:
                self._standing.pop(next(iter(self._standing)))
