"""The trends of one bed: its numerics, predictions, presence and alarms over hours, by event time. Pure.

Folded from the same records, at the same moment and behind the same gates as what the screen shows: a rate of beats
that are none is no heart rate here either, and an estimate is kept where it was allowed when it came. What was said of
a second stays after a seek, until that second is played again; another patient or session starts afresh.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.records import AlarmRecord, AnyRecord, CellRecord, PredictionRecord, RhythmRecord, VitalsRecord
from ui.bed.findings_words import NO_BEATS, stands_still
from ui.bed.liveness import STALE_S
from ui.bed.series import Series, Stretch, code_of

VITALS = ("hr", "pulse_rate", "resp_rate", "abp_sys", "abp_dia", "abp_map", "sef95", "bsr", "openibis", "spo2",
          "etco2", "etco2_wave", "temp_c", "bis", "cvp_mean", "pap_mean", "icp_mean")  # fmt: skip
CUFF = ("nibp_sys", "nibp_dia", "nibp_map")
"""Of a cuff: known in the second of the measurement alone. Between two nothing was measured."""
HORIZONS = ("5", "10", "15")
INTERVALS = (*(f"risk_{minutes}" for minutes in HORIZONS), "depth", "map_estimated")
"""Of the model; each is followed by what it may lie between, ``…_lo`` and ``…_hi``."""
COLUMNS: tuple[str, ...] = (*VITALS, *CUFF, *(f"{name}{end}" for name in INTERVALS for end in ("", "_lo", "_hi")))
UNITS = {
    **dict.fromkeys(("hr", "pulse_rate", "resp_rate"), "/min"),
    **dict.fromkeys(("abp_sys", "abp_dia", "abp_map", "map_estimated", *CUFF), "mmHg"),
    **dict.fromkeys(("etco2", "etco2_wave", "cvp_mean", "pap_mean", "icp_mean"), "mmHg"),
    "sef95": "Hz",
    "temp_c": "°C",
    **dict.fromkeys(("bsr", "spo2"), "%"),
    **dict.fromkeys(("openibis", "bis", "depth", *(f"risk_{minutes}" for minutes in HORIZONS)), ""),
}
"""As kept here; what has none is a number from 0 to 100."""
AT = {name: number for number, name in enumerate(COLUMNS)}
MODALITIES = tuple(Modality)

MEASURED_COLUMNS, CUFF_COLUMNS = slice(0, len(VITALS)), slice(len(VITALS), len(VITALS) + len(CUFF))
MODEL_COLUMNS = slice(CUFF_COLUMNS.stop, len(COLUMNS))
_PARTS = [part for part, at in enumerate((MEASURED_COLUMNS, CUFF_COLUMNS, MODEL_COLUMNS)) for _ in COLUMNS[at]]
_SAME_CUFF_S = 2
"""Ages of one measurement differ by no more, since they are told in whole seconds."""
_MEASURING_S = 60
"""While it measures, a device may tell of a first systolic pressure alone, up to so long before the three."""
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
JOINED_S = 10.0
"""So long after the first record here it is not all known yet what a display knows that has been there: alarms that
stand are said again every five seconds, a prediction stands for a while."""


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
    epoch: int


class Trends:
    """See the module. ``now_s``: event time of the newest record, None before the first. ``joined_s``: when the first
    record came, monotonic, of a session of which something may have been told before; else None. ``adopted``: whether
    that was added since."""

    def __init__(self) -> None:
        self._series = Series(len(COLUMNS), len(MODALITIES), FINE_BLOCKS, _PARTS)
        self._identity: tuple[str, int] | None = None
        self._clear()

    def _clear(self) -> None:
        self.joined_s: float | None = None
        self.adopted = False
        self._first_s: float | None = None  # event time of the first vitals or rhythm
        self._series.clear()
        self._known: set[str] = set()
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
        self._cuff: tuple[list[float], int] | None = None  # what was told last, and of which second
        self._mark: tuple[int, int] | None = None  # second of the last one, and how many values it has

    def keep(self, fine_blocks: int) -> None:
        """See :meth:`ui.bed.series.Series.keep`."""
        self._series.keep(fine_blocks)

    # What is known ------------------------------------------------------------------------------------------------

    @property
    def session(self) -> str:
        """Whose they are; "" before the first record."""
        return self._identity[0] if self._identity is not None else ""

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
    def known(self) -> frozenset[str]:
        """The columns of which anything was ever known, of those that a device tells or a further wave has."""
        return frozenset(self._known)

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

    # What was told before -----------------------------------------------------------------------------------------

    def adopt(self, past: Trends, ahead_s: float) -> None:
        """What was told of the session before the first record here, folded by another up to ``JOINED_S`` after that;
        ``past`` is not to be used any more. Nothing that has been seen here is changed. ahead_s: by how much the
        monotonic clock here is ahead of the one of ``past``."""
        first_s = self._first_s
        if first_s is None or past.session != self.session or past.now_s is None:
            return
        for one in past._passes:
            one.ahead_s += ahead_s
        joined = self._passes[0].epoch == past._passes[-1].epoch and len(self._passes) < PASSES_KEPT
        self._adopt_alarms(past, first_s, joined)
        if joined:  # one run through event time, of which the end was seen here
            before, here = past._passes.pop(), self._passes[0]
            here.begin_s, here.ahead_s = min(before.begin_s, here.begin_s), min(before.ahead_s, here.ahead_s)
        mended = range(math.floor(first_s - JOINED_S), math.ceil(first_s + JOINED_S))
        if any(one is not self._passes[0] and one.begin_s < mended.stop for one in self._passes):
            mended = range(0)  # it was played again since
        self._passes = deque((*past._passes, *self._passes), PASSES_KEPT)
        self._series.adopt(past._series, mended)
        self._known |= past._known
        self.adopted = True

    def _adopt_alarms(self, past: Trends, first_s: float, joined: bool) -> None:
        """joined: the last pass of ``past`` is the first one here."""
        kept: list[AlarmSpan] = []
        for span in past.alarms(-math.inf, math.inf):
            last = span.number == past._number
            if last and self._begin_earlier(span, first_s):
                continue
            again = any(one.begin_s <= span.begin_s <= one.now_s for one in self._passes)
            if again:
                continue  # that second was seen here, without it
            end_s = span.end_s if span.end_s is not None else max(span.begin_s, past.now_s or span.begin_s)
            kept.append(replace(span, end_s=end_s, number=1 if last and joined else 0))
        self._alarms = deque((*kept, *self._alarms), ALARMS_KEPT)
        self._replaces = self._replaces or bool(kept)

    def _begin_earlier(self, span: AlarmSpan, first_s: float) -> bool:
        """Whether a span here is the rest of ``span``, which then begins when that did."""
        until_s = span.end_s if span.end_s is not None else first_s + 2 * JOINED_S
        key = span.key, span.priority, span.kind
        here = (a for a in (*self._alarms, *self._standing.values()) if (a.key, a.priority, a.kind) == key)
        rest = min(
            (a for a in here if span.begin_s <= a.begin_s <= until_s), key=lambda alarm: alarm.begin_s, default=None
        )
        if rest is None:
            return False
        whole = replace(rest, begin_s=span.begin_s)
        if rest.end_s is None:
            self._standing[span.key] = whole
        else:
            self._alarms[self._alarms.index(rest)] = whole
        return True

    # Records ------------------------------------------------------------------------------------------------------

    def apply(self, record: AnyRecord, now_s: float, *, pressure: bool, depth: bool) -> None:
        """Folds one in; ``now_s`` is the monotonic time of its arrival. pressure, depth: whether an estimated pressure,
        and a depth, may be shown now."""
        if self._identity is None:
            self.joined_s = now_s
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
            self._passes.append(Pass(time_s, time_s, now_s - time_s, record.epoch))
            self._first_s = time_s if self._first_s is None else self._first_s
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
            if value is not None:
                self._known.add(name)
        self._put(MEASURED_COLUMNS, second, values)
        self._take_cuff(record, second)
        self._vitals = second, record.hr_source
        self._strike()

    def _take_cuff(self, record: VitalsRecord, second: int) -> None:
        """A mark where a measurement was made, which is said again for minutes: by its age, and where nobody knows
        that, where it changes. One of before this pass began is not of it."""
        values = [math.nan if (value := getattr(record, name)) is None else value for name in CUFF]
        self._series.put(second, CUFF_COLUMNS, _UNKNOWN)
        before, age_s = self._cuff, record.nibp_age_s
        same = before is not None and np.array_equal(values, before[0], equal_nan=True)
        if age_s is None:
            at = before[1] if same and before is not None else second
            new = before is not None and not same
        else:
            at = math.floor(record.time_ns / SECOND_NS - age_s)
            if same and before is not None and abs(at - before[1]) <= _SAME_CUFF_S:
                at = before[1]
            new = (before is None or not same or at != before[1]) and at >= math.floor(self._passes[-1].begin_s)
        self._cuff = values, at
        said = sum(not math.isnan(value) for value in values)
        if new and said:
            if self._mark is not None and self._mark[1] < said and 0 < at - self._mark[0] <= _MEASURING_S:
                self._series.put(self._mark[0], CUFF_COLUMNS, _UNKNOWN)
            self._known.update(CUFF)
            self._series.put(at, CUFF_COLUMNS, values)
            self._mark = at, said

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
        self._put(MODEL_COLUMNS, record.window_end_ns // SECOND_NS, values)

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
