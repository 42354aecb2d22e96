"""Alarm conditions: from states (technical), measured numerics (physiological) and the predicted risk.

Pure and clock-free: all timing is event time. Only :class:`~streams.records.VitalsRecord` raises physiological limit
alarms, and that holds measurements alone; an estimate cannot reach them. A sensor that is not measured has a
technical condition and thereby ends its physiological ones (its numerics are unknown). Priorities, texts and the kinds
follow IEC 60601-1-8 as far as a research display needs; sounds, pauses and acknowledgement are the display's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.records import AlarmRecord, PredictionRecord, Record, StateRecord, VitalsRecord

SECOND_NS = 1_000_000_000
JUMP_NS = 10 * SECOND_NS  # between the vitals of one second and the next: the clock has jumped
ASYSTOLE_S, NO_BEATS_S = 4.0, 8.0
"""A measured ECG that is still for longer than the first is asystole, unless a pulse is measured (heart rates end at
15 beats/min). In one that moves but shows no beats for longer than the second (movement, fibrillation, complexes that
the detector misses) asystole cannot be told: a technical condition of its own says so."""
ASYSTOLE, NO_BEATS = "asystole", "ecg.no_beats"
ENGINE = "technical.model"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one measured numeric.

    vital: field of VitalsRecord. below: True for a lower limit. extreme: the value from which the priority is high.
    delay_s: the condition must have stood so long before it is an alarm. extreme_delay_s: shorter, beyond ``extreme``.
    """

    key: str
    text: str
    vital: str
    below: bool
    value: float
    extreme: float
    delay_s: float
    extreme_delay_s: float

    def violated(self, measured: float, threshold: float) -> bool:
        return measured < threshold if self.below else measured > threshold


DEFAULT_LIMITS: tuple[Limit, ...] = (
    # key         text             field        below  limit extreme delays: HR within 10 s, pressure 20 s of the onset
    Limit("hr.low", "HR LOW", "hr", True, 50.0, 40.0, 3.0, 1.0),
    Limit("hr.high", "HR HIGH", "hr", False, 120.0, 150.0, 3.0, 1.0),
    Limit("map.low", "ABP LOW", "abp_map", True, 65.0, 50.0, 5.0, 5.0),
    Limit("map.high", "ABP HIGH", "abp_map", False, 110.0, 130.0, 5.0, 5.0),
    Limit("resp.low", "RR LOW", "resp_rate", True, 6.0, 4.0, 10.0, 10.0),
    Limit("resp.high", "RR HIGH", "resp_rate", False, 30.0, 40.0, 10.0, 10.0),
)
"""Adult defaults, common on monitors; the low pressure limit is the hypotension that the model predicts."""


@dataclass(frozen=True, slots=True)
class RiskLimit:
    """Alarm on the predicted risk (0-100): after two consecutive valid updates above ``above``."""

    horizon_min: str = "15"
    above: float = 85.0
    updates: int = 2
    within_s: float = 20.0  # updates further apart are not consecutive


TECHNICAL: dict[Absence, tuple[str, str]] = {
    # reason: (priority, text of any modality); "" has no condition
    Absence.NOT_CONNECTED: ("", ""),
    Absence.NO_DATA: ("low", "NO SIGNAL"),
    Absence.WITHHELD: ("low", "WITHHELD"),
    Absence.LEAD_OFF: ("low", "SENSOR OFF"),
    Absence.SATURATED: ("low", "OVERLOAD"),
    Absence.OUT_OF_RANGE: ("low", "OUT OF RANGE"),
    Absence.FLAT: ("low", "FLAT LINE"),
    Absence.NOT_PULSATILE: ("medium", "NO PULSATILE"),
    Absence.ARTEFACT: ("low", "ARTEFACT"),
}

TECHNICAL_OF: dict[tuple[Modality, Absence], tuple[str, str]] = {
    # what monitors say of one modality in particular
    (Modality.ECG, Absence.LEAD_OFF): ("medium", "LEADS OFF"),
    (Modality.ECG, Absence.FLAT): ("medium", "FLAT LINE"),
    (Modality.ABP, Absence.LEAD_OFF): ("medium", "DISCONNECTED"),
    (Modality.PPG, Absence.NOT_PULSATILE): ("low", "NO PULSE"),
    (Modality.EEG, Absence.LEAD_OFF): ("low", "HIGH IMPEDANCE"),
    (Modality.RESP, Absence.LEAD_OFF): ("low", "LEADS OFF"),
}


SERVICE: dict[str, tuple[str, str]] = {
    # of a prediction: (priority, text) of the model's own technical condition, none for other values
    "failed_over": ("low", "MODEL FAILED OVER"),
    "unavailable": ("medium", "MODEL NOT AVAILABLE"),
}
"""After a fail-over predictions are as good as before, from a slower backend or a restarted one: low, and until the run
ends, since what broke once may break again. Without a model risk and estimates are gone, measured waves and their
alarms are not: medium."""


def technical(modality: Modality, absence: Absence) -> tuple[str, str] | None:
    """Priority and text of the technical condition, None where there is none."""
    priority, text = TECHNICAL_OF.get((modality, absence), TECHNICAL[absence])
    return (priority, f"{modality.value} {text}") if priority else None


@dataclass(frozen=True, slots=True)
class _Active:
    priority: str
    kind: str
    text: str


@dataclass(slots=True)
class _Standing:
    """A limit that is violated: since when and the worst value so far."""

    since_ns: int
    worst: float


class AlarmEngine:
    """Alarms of one bed. Feed it every record of states, vitals and predictions in order; each call returns the
    alarms that began, changed (worse value, other reason or priority) or ended. A new epoch or session ends all of the
    old, and so does a jump of the clock, which shows in the vitals of one second after the other; what still comes from
    an earlier epoch (a window that was with the model at a seek) is left aside."""

    def __init__(self, limits: tuple[Limit, ...] = DEFAULT_LIMITS, risk: RiskLimit | None = None) -> None:
        self._limits = limits
        self._risk = risk or RiskLimit()
        self._session, self._epoch = "", -1
        self._active: dict[str, _Active] = {}
        self._standing: dict[str, _Standing] = {}
        self._risk_run: list[int] = []
        self._worst_risk = 0.0
        self._last_window_ns: int | None = None
        self._last_vitals_ns: int | None = None

    @property
    def active(self) -> dict[str, str]:
        """Key -> text of the alarms that stand now."""
        return {key: alarm.text for key, alarm in self._active.items()}

    def on_state(self, record: StateRecord) -> list[AlarmRecord]:
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.time_ns))
        for modality in Modality:
            state = record.state.get(modality.value, "")
            found = technical(modality, Absence(state)) if state else None
            wanted = _Active(found[0], "technical", found[1]) if found else None
            changes += self._set(record, record.time_ns, f"technical.{modality.value}", wanted)
        return changes

    def on_vitals(self, record: VitalsRecord) -> list[AlarmRecord]:
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.time_ns))
        if self._last_vitals_ns is not None and not -JUMP_NS < record.time_ns - self._last_vitals_ns < JUMP_NS:
            changes += self._end_all(record, record.time_ns)
        self._last_vitals_ns = record.time_ns
        for limit in self._limits:
            changes += self._set(record, record.time_ns, limit.key, self._check(limit, record))
        changes += self._set(record, record.time_ns, ASYSTOLE, self._asystole(record))
        return changes + self._set(record, record.time_ns, NO_BEATS, self._no_beats(record))

    def on_prediction(self, record: PredictionRecord) -> list[AlarmRecord]:
        if self._is_past(record):
            return []
        changes = list(self._new_epoch(record, record.window_end_ns))
        if self._last_window_ns is not None and record.window_end_ns <= self._last_window_ns:
            if record.window_end_ns > self._last_window_ns - JUMP_NS:
                return changes  # delivered twice
            self._risk_run, self._worst_risk = [], 0.0
        self._last_window_ns = record.window_end_ns
        changes += self._set(record, record.window_end_ns, ENGINE, _service(record))
        limit = self._risk
        interval = record.risk.get(limit.horizon_min) if record.valid and not record.abstain else None
        risk = 100.0 * interval[0] if interval else 0.0
        if risk > limit.above:
            fresh = record.window_end_ns - int(limit.within_s * SECOND_NS)
            self._risk_run = [at for at in self._risk_run if at >= fresh][-limit.updates :]
            self._risk_run.append(record.window_end_ns)
        else:
            self._risk_run, self._worst_risk = [], 0.0
        wanted = None
        if len(self._risk_run) >= limit.updates:
            self._worst_risk = max(self._worst_risk, risk)
            text = f"HYPOTENSION RISK {self._worst_risk:.0f} > {limit.above:.0f} ({limit.horizon_min} min)"
            wanted = _Active("medium", "physiological", text)
        return changes + self._set(record, record.window_end_ns, "risk.hypotension", wanted)

    def _check(self, limit: Limit, record: VitalsRecord) -> _Active | None:
        measured: float | None = getattr(record, limit.vital)
        if measured is None and limit.key in self._standing and _too_slow_to_tell(limit, record):
            measured = self._standing[limit.key].worst
        if measured is None or not limit.violated(measured, limit.value):
            self._standing.pop(limit.key, None)
            return None
        standing = self._standing.setdefault(limit.key, _Standing(record.time_ns, measured))
        standing.worst = min(standing.worst, measured) if limit.below else max(standing.worst, measured)
        extreme = limit.violated(standing.worst, limit.extreme)
        if record.time_ns - standing.since_ns < (limit.extreme_delay_s if extreme else limit.delay_s) * SECOND_NS:
            return None
        priority = "high" if extreme else "medium"
        sign = "<" if limit.below else ">"
        return _Active(priority, "physiological", f"{limit.text} {standing.worst:.0f} {sign} {limit.value:.0f}")

    def _asystole(self, record: VitalsRecord) -> _Active | None:
        """A measured ECG that had beats and is still, and no pulse. A lone beat does not end it, a rhythm does."""
        still_s = record.ecg_stillness_s
        if still_s is None or record.pulse_rate is not None:
            return None
        if still_s > ASYSTOLE_S or (ASYSTOLE in self._active and record.hr is None):
            return _Active("high", "physiological", "ASYSTOLE")
        return None

    def _no_beats(self, record: VitalsRecord) -> _Active | None:
        """No beats in an ECG that is measured and moves, and no pulse."""
        silence_s = record.ecg_silence_s
        if silence_s is None or record.pulse_rate is not None or ASYSTOLE in self._active:
            return None
        if silence_s > NO_BEATS_S or (NO_BEATS in self._active and record.hr is None):
            return _Active("medium", "technical", "ECG NO BEATS FOUND")
        return None

    def _set(self, source: Record, time_ns: int, key: str, wanted: _Active | None) -> list[AlarmRecord]:
        """The change from what stands under ``key`` to ``wanted``, at most one record."""
        standing = self._active.get(key)
        if wanted == standing:
            return []
        if wanted is None:
            assert standing is not None
            del self._active[key]
            return [_record(source, time_ns, key, standing, active=False)]
        self._active[key] = wanted
        return [_record(source, time_ns, key, wanted, active=True)]

    def _is_past(self, record: Record) -> bool:
        return record.session == self._session and record.epoch < self._epoch

    def _new_epoch(self, record: Record, time_ns: int) -> Iterator[AlarmRecord]:
        if (record.session, record.epoch) == (self._session, self._epoch):
            return
        self._session, self._epoch = record.session, record.epoch
        yield from self._end_all(record, time_ns)

    def _end_all(self, record: Record, time_ns: int) -> Iterator[AlarmRecord]:
        for key, alarm in self._active.items():
            yield _record(record, time_ns, key, alarm, active=False)
        self._active.clear()
        self._standing.clear()
        self._risk_run, self._worst_risk = [], 0.0
        self._last_window_ns = self._last_vitals_ns = None


def _service(record: PredictionRecord) -> _Active | None:
    """The model's technical condition, if it has one."""
    priority, text = SERVICE.get(record.service, ("", ""))
    return _Active(priority, "technical", text) if priority else None


def _too_slow_to_tell(limit: Limit, record: VitalsRecord) -> bool:
    """Whether a low heart rate is unknown only because too few beats come although the ECG is measured."""
    return limit.vital == "hr" and limit.below and record.ecg_silence_s is not None


def _record(source: Record, time_ns: int, key: str, alarm: _Active, *, active: bool) -> AlarmRecord:
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
    )
