"""Alarm conditions of one bed: from states (technical), rhythm and pulse, measured numerics and the predicted risk.

Pure and clock-free: all timing is event time. Only measurements raise physiological alarms; an estimate cannot reach
them. A sensor that is lost has a technical condition, and takes nothing from the alarms of the others; a limit that was
violated when its numeric became unknown, an arrhythmia whose ECG did, stands for a while (``HOLD_S``). Where one alarm
takes the place of another there is no second with neither. Priorities, texts and kinds follow
IEC 60601-1-8 as far as a research display needs. Limits are what the bed's operator has set
(:mod:`streams.limit_settings`); sounds, pauses and acknowledgement are the display's (:mod:`ui.bed.alarm_states`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import BREATHS, Modality
from models.signals.times import SECOND_NS
from streams.alarms.circulation import (
    ARRHYTHMIAS,
    LOST_PULSES,
    NOT_KNOWN,
    REPLACES,
    SAME_RATE,
    Condition,
    LastSaid,
    arrhythmias,
    lost_pulses,
    pulses_of,
)
from streams.alarms.limits import DEFAULT_LIMITS, HOLD_S, Limit, RiskLimit, beyond
from streams.alarms.technical import BEHIND, ENGINE, FLAT_BREATHS, MODEL_BEHIND, SERVICE, of_leads, technical
from streams.pasts import AlarmsPast, StandingPast
from streams.records import AlarmRecord, PredictionRecord, Record, RhythmRecord, StateRecord, VitalsRecord
from streams.sessions import is_past

JUMP_NS = 10 * SECOND_NS  # between the vitals of one second and the next: the clock has jumped
NO_BEATS, NO_BEATS_S = "ecg.no_beats", 8.0
"""An ECG that moves, but shows no beats for so long while nothing else shows a pulse: whether the heart beats cannot be
told, which is a technical condition of its own."""
RISK, LOW_PRESSURE, LOST_PULSE, APNOEA = "risk.hypotension", "map.low", "lost pulse", "apnoea.high"


@dataclass(slots=True)
class _Standing:
    """A limit that is violated: since when, the worst value so far, and when a value was last known."""

    since_ns: int
    worst: float
    known_ns: int


class AlarmEngine:
    """Alarms of one bed. Feed it every record of states, rhythm, vitals and predictions in order; each call returns the
    alarms that began, changed (worse value, other reason or priority) or ended. A new epoch or session ends all of the
    old, and so does a jump of the clock, which shows in the vitals of one second after the other; what still comes from
    an earlier epoch (a window that was with the model at a seek) is left aside."""

    def __init__(self, limits: tuple[Limit, ...] = DEFAULT_LIMITS, risk: RiskLimit | None = None) -> None:
        self._limits = limits
        self._risk = risk or RiskLimit()
        self._session, self._epoch = "", -1
        self._active: dict[str, Condition] = {}
        self._began_ns: dict[str, int] = {}
        self._standing: dict[str, _Standing] = {}
        self._wanted: dict[str, Condition | None] = {}
        self._since_ns: dict[str, int] = {}
        self._said = LastSaid()
        self._rhythm_ns: int | None = None
        self._abp_mean: float | None = None
        self._risk_run: list[int] = []
        self._worst_risk = 0.0
        self._last_window_ns: int | None = None
        self._last_vitals_ns: int | None = None

    def set_limits(self, limits: tuple[Limit, ...]) -> None:
        """Judge by these from the next second on: what stands by one that is off ends then, by one that is no longer
        crossed when the numeric is known."""
        self._limits = limits

    @property
    def active(self) -> dict[str, str]:
        """Key -> text of the alarms that stand now."""
        return {key: alarm.text for key, alarm in self._active.items()}

    def export(self) -> AlarmsPast:
        """What the alarms hang on and may be older than the records of the last minutes."""
        rhythm, pulse, abp_mean = self._said.export()
        standing = {key: StandingPast(s.since_ns, s.worst, s.known_ns) for key, s in self._standing.items()}
        said = {m.value: p.value for m, p in pulse.items()}
        return AlarmsPast(standing, self._worst_risk, rhythm.value, said, abp_mean)

    def inherit(self, record: Record, time_ns: int, past: AlarmsPast) -> None:
        """Another engine of the bed knew ``past`` at ``time_ns``; what both know goes on as it was there. Of another
        epoch or stretch of time it is left aside."""
        here_ns = self._last_vitals_ns
        if (record.session, record.epoch) != (self._session, self._epoch) or here_ns is None:
            return
        if abs(here_ns - time_ns) >= JUMP_NS:
            return
        below = {limit.key: limit.below for limit in self._limits}
        for key, before in past.standing.items():
            now = self._standing.get(key)
            if now is not None and now.since_ns <= before.known_ns:
                now.since_ns = min(now.since_ns, before.since_ns)
                now.worst = min(now.worst, before.worst) if below[key] else max(now.worst, before.worst)
        if self._risk_run:
            self._worst_risk = max(self._worst_risk, past.worst_risk)
        pulse = {Modality(m): Pulse(p) for m, p in past.pulse.items()}
        self._said.inherit(Rhythm(past.rhythm), pulse, past.abp_mean)

    def on_state(self, record: StateRecord) -> list[AlarmRecord]:
        """Technical alarms: what a sensor's state begins and ends."""
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.time_ns))
        for modality in Modality:
            state = record.state.get(modality.value, "")
            found = technical(modality, Absence(state)) if state else None
            wanted = Condition(found[0], "technical", found[1]) if found else None
            if state == Absence.FLAT and modality in BREATHS and APNOEA in self._active:
                wanted = None  # it is what the apnoea is seen by, and no news beside it
            changes += self._set(record, record.time_ns, f"technical.{modality.value}", wanted)
            leads = record.leads.get(modality.value)
            found = of_leads(modality, leads) if leads else None
            wanted = Condition(found[0], "technical", found[1]) if found else None
            changes += self._set(record, record.time_ns, f"technical.{modality.value}.lead", wanted)
        return changes

    def on_vitals(self, record: VitalsRecord) -> list[AlarmRecord]:
        """Alarms of limits: what a second's vitals begin, change and end."""
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.time_ns))
        if self._last_vitals_ns is not None and not -JUMP_NS < record.time_ns - self._last_vitals_ns < JUMP_NS:
            changes += self._end_all(record, record.time_ns)
        self._last_vitals_ns = record.time_ns
        self._abp_mean = record.abp_map
        for limit in self._limits:
            self._wanted[limit.key] = self._check(limit, record)
            changes += self._set(record, record.time_ns, limit.key, self._unless_replaced(limit.key))
        if APNOEA in self._active:
            for key in (key for key in FLAT_BREATHS if key in self._active):
                if self._active[key].text == FLAT_BREATHS[key]:
                    changes += self._set(record, record.time_ns, key, None)
        if LOW_PRESSURE in self._active:
            self._risk_run, self._worst_risk = [], 0.0
            changes += self._set(record, record.time_ns, RISK, None)
        return changes

    def on_rhythm(self, record: RhythmRecord) -> list[AlarmRecord]:
        """Comes after the vitals of the same second."""
        if self._is_past(record):
            return []
        before = list(self._new_epoch(record, record.time_ns))
        changes: list[AlarmRecord] = []
        found = self._arrhythmias(record) | self._lost_pulses(record)
        for key in (*ARRHYTHMIAS, *LOST_PULSES):
            changes += self._set(record, record.time_ns, key, found.get(key))
        for key in REPLACES:
            changes += self._set(record, record.time_ns, key, self._unless_replaced(key))
        changes += self._set(record, record.time_ns, NO_BEATS, self._no_beats(record))
        return before + sorted(changes, key=lambda change: not change.active)

    def on_prediction(self, record: PredictionRecord) -> list[AlarmRecord]:
        """The alarms of a risk and of the model: what a window's prediction begins, changes and ends."""
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.window_end_ns))
        if record.missed:
            return changes + self._missed(record)
        if self._last_window_ns is not None and record.window_end_ns <= self._last_window_ns:
            if record.window_end_ns > self._last_window_ns - JUMP_NS:
                return changes  # delivered twice
            self._risk_run, self._worst_risk = [], 0.0
        self._last_window_ns = record.window_end_ns
        changes += self._set(record, record.window_end_ns, ENGINE, _service(record))
        changes += self._set(record, record.window_end_ns, BEHIND, None)
        return changes + self._set(record, record.window_end_ns, RISK, self._at_risk(record))

    def _missed(self, record: PredictionRecord) -> list[AlarmRecord]:
        """A window that the model had no time for, or not in time, says nothing of the patient: a risk that stands goes
        on to stand, none begins. After a while its present value is not known, and the model is said to be behind."""
        last_ns = self._last_window_ns
        if last_ns is None or not record.window_end_ns - last_ns > HOLD_S * SECOND_NS:
            return []
        priority, text = MODEL_BEHIND
        changes = self._set(record, record.window_end_ns, BEHIND, Condition(priority, "technical", text))
        if (standing := self._active.get(RISK)) is not None:
            changes += self._set(record, record.window_end_ns, RISK, replace(standing, now=NOT_KNOWN))
        return changes

    def _at_risk(self, record: PredictionRecord) -> Condition | None:
        """What may come is no alarm beside what is there: none while the pressure is low."""
        limit = self._risk
        interval = record.risk.get(limit.horizon_min) if record.valid and not record.abstain else None
        risk = 100.0 * interval[0] if interval and LOW_PRESSURE not in self._active else 0.0
        if not risk > limit.above:
            self._risk_run, self._worst_risk = [], 0.0
            return None
        fresh = record.window_end_ns - int(limit.within_s * SECOND_NS)
        self._risk_run = [at for at in self._risk_run if at >= fresh][-limit.updates :]
        self._risk_run.append(record.window_end_ns)
        if len(self._risk_run) < limit.updates and RISK not in self._active:
            return None
        self._worst_risk = max(self._worst_risk, risk)
        text = f"HYPOTENSION RISK {beyond(self._worst_risk, limit.above)} > {limit.above:.0f} ({limit.horizon_min} min)"
        return Condition("medium", "physiological", text, now=f"{risk:.0f}")

    def _check(self, limit: Limit, record: VitalsRecord) -> Condition | None:
        measured = limit.measured(record)
        standing = self._standing.get(limit.key)
        if math.isinf(limit.value):  # off
            self._standing.pop(limit.key, None)
            return None
        if measured is None:
            if standing is None or record.time_ns - standing.known_ns > HOLD_S * SECOND_NS:
                self._standing.pop(limit.key, None)
                return None
            last = self._wanted.get(limit.key)
            return replace(last, now=NOT_KNOWN) if last else None
        if not limit.violated(measured, limit.value):
            self._standing.pop(limit.key, None)
            return None
        if standing is None:
            standing = self._standing[limit.key] = _Standing(record.time_ns, measured, record.time_ns)
        standing.known_ns = record.time_ns
        standing.worst = min(standing.worst, measured) if limit.below else max(standing.worst, measured)
        extreme = limit.violated(measured, limit.extreme)
        if record.time_ns - standing.since_ns < (limit.extreme_delay_s if extreme else limit.delay_s) * SECOND_NS:
            return None
        priority = "high" if extreme else limit.priority
        return Condition(priority, "physiological", limit.words(standing.worst), now=limit.now(measured))

    def _unless_replaced(self, key: str) -> Condition | None:
        """The condition of a limit, None where a standing alarm of the rhythm says more."""
        wanted = self._wanted.get(key)
        if wanted is None:
            return None
        for by in REPLACES.get(key, frozenset()) & self._active.keys():
            if by == SAME_RATE[key] or self._active[by].priority == "high" or wanted.priority != "high":
                return None
        return wanted

    def _arrhythmias(self, record: RhythmRecord) -> dict[str, Condition]:
        """The calls that hold, and for a while those that held when the ECG fell silent, unless a pulse shows."""
        found = arrhythmias(record)
        if record.rhythm or Pulse.PRESENT in pulses_of(record).values():
            self._rhythm_ns = record.time_ns
        elif self._rhythm_ns is not None and record.time_ns - self._rhythm_ns <= HOLD_S * SECOND_NS:
            held = {key: replace(self._active[key], now=NOT_KNOWN) for key in ARRHYTHMIAS if key in self._active}
            return held | found
        return found

    def _lost_pulses(self, record: RhythmRecord) -> dict[str, Condition]:
        """The lost pulses that have stood for their delay, together: what becomes of one has stood as long. The first
        begins only on what is seen in this very second."""
        said = self._said.update(record, self._abp_mean)
        found = lost_pulses(said)
        alarming = {key: c for key, c in found.items() if c.kind == "physiological"}
        stood_s = self._stood_s(LOST_PULSE, bool(alarming), record.time_ns)
        standing = any(self._active[key].kind == "physiological" for key in LOST_PULSES if key in self._active)
        seen = standing or not said.lost or Pulse.NONE in pulses_of(record).values()
        # What takes the place of one that stands has no delay of its own.
        return {k: c for k, c in found.items() if k not in alarming or standing or (seen and stood_s >= c.delay_s)}

    def _no_beats(self, record: RhythmRecord) -> Condition | None:
        unclear = record.rhythm == Rhythm.UNCLEAR and Pulse.PRESENT not in pulses_of(record).values()
        stood_s = self._stood_s(NO_BEATS, unclear, record.time_ns)
        return Condition("medium", "technical", "ECG NO BEATS FOUND") if unclear and stood_s >= NO_BEATS_S else None

    def _stood_s(self, what: str, holds: bool, time_ns: int) -> float:
        """For how many seconds ``what`` has held without a break; 0 where it does not."""
        if not holds:
            self._since_ns.pop(what, None)
            return 0.0
        return (time_ns - self._since_ns.setdefault(what, time_ns)) / SECOND_NS

    def _set(self, source: Record, time_ns: int, key: str, wanted: Condition | None) -> list[AlarmRecord]:
        """The change from what stands under ``key`` to ``wanted``, at most one record."""
        standing = self._active.get(key)
        if wanted == standing:
            return []
        if wanted is None:
            assert standing is not None
            del self._active[key]
            return [_record(source, time_ns, key, standing, self._began_ns.pop(key), active=False)]
        self._active[key] = wanted
        return [_record(source, time_ns, key, wanted, self._began_ns.setdefault(key, time_ns), active=True)]

    def _is_past(self, record: Record) -> bool:
        return is_past(record.session, record.epoch, self._session, self._epoch)

    def _new_epoch(self, record: Record, time_ns: int) -> Iterator[AlarmRecord]:
        if (record.session, record.epoch) == (self._session, self._epoch):
            return
        self._session, self._epoch = record.session, record.epoch
        yield from self._end_all(record, time_ns)

    def _end_all(self, record: Record, time_ns: int) -> Iterator[AlarmRecord]:
        for key, alarm in self._active.items():
            yield _record(record, time_ns, key, alarm, self._began_ns[key], active=False)
        self._active.clear()
        self._began_ns.clear()
        self._standing.clear()
        self._wanted.clear()
        self._since_ns.clear()
        self._said, self._rhythm_ns, self._abp_mean = LastSaid(), None, None
        self._risk_run, self._worst_risk = [], 0.0
        self._last_window_ns = self._last_vitals_ns = None


def _service(record: PredictionRecord) -> Condition | None:
    """The model's technical condition, if it has one."""
    priority, text = SERVICE.get(record.service, ("", ""))
    return Condition(priority, "technical", text) if priority else None


def _record(source: Record, time_ns: int, key: str, alarm: Condition, since_ns: int, *, active: bool) -> AlarmRecord:
    return AlarmRecord(
        bed=source.bed,
        session=source.session,
        epoch=source.epoch,
        time_ns=time_ns,
        key=key,
        priority=alarm.priority,
        kind=alarm.kind,
        text=alarm.text,
        active=active,
        reason=alarm.reason,
        now=alarm.now if active else "",
        since_ns=since_ns,
    )
