"""What the numerics say: one readout a lane, from measured vitals or, marked, from the model. Pure.

A number is measured, or it carries ``~`` and ESTIMATED, or it is ``-?-``. Nothing older than three seconds of event
time is shown as current.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.alarms import DEFAULT_LIMITS
from streams.records import PredictionRecord, VitalsRecord
from ui.lanes import Lane
from ui.state import DisplayState
from ui.words import INVALID, duration_words, number_words

STALE_S = 3.0
ESTIMATED = "ESTIMATED"
_NS = 1e-9


@dataclass(frozen=True, slots=True)
class Readout:
    """value: the large number; second: the one beside it (mean pressure). ``mark``: ESTIMATED, WITHHELD or ""."""

    label: str
    unit: str
    limits: str
    value: str
    second: str = ""
    mark: str = ""
    estimated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def invalid(self) -> bool:
        return self.value == INVALID


def limits_of(vital: str) -> str:
    """``120 / 45`` (high / low) of the alarm stage's limits for a vital, "" where it has none."""
    high = [limit.value for limit in DEFAULT_LIMITS if limit.vital == vital and not limit.below]
    low = [limit.value for limit in DEFAULT_LIMITS if limit.vital == vital and limit.below]
    if not high and not low:
        return ""
    return f"{high[0]:g} / {low[0]:g}" if high and low else f"{'<' if low else '>'} {(low or high)[0]:g}"


def current_vitals(state: DisplayState, now_s: float) -> VitalsRecord | None:
    """The newest vitals unless they are stale at event time ``now_s``."""
    vitals = state.vitals
    return vitals if vitals is not None and now_s - vitals.time_ns * _NS <= STALE_S else None


def current_prediction(state: DisplayState, now_s: float, stale_s: float) -> PredictionRecord | None:
    """The newest prediction if it is valid, not abstaining and not stale."""
    record = state.prediction
    if record is None or not record.valid or record.abstain or now_s - record.window_end_ns * _NS > stale_s:
        return None
    return record


def readout(state: DisplayState, lane: Lane, now_s: float, stale_s: float = STALE_S) -> Readout:
    """The readout of a lane at event time ``now_s``."""
    vitals = current_vitals(state, now_s)
    prediction = current_prediction(state, now_s, stale_s)
    mark = "WITHHELD" if lane.reason == Absence.WITHHELD.value else ""
    match lane.modality:
        case Modality.ECG:
            return _heart(state, lane, vitals, mark)
        case Modality.ABP:
            return _pressure(state, lane, vitals, prediction, now_s, mark)
        case Modality.PPG:
            return _pulse(vitals, mark, _absent_note(lane, now_s))
        case Modality.EEG:
            return _eeg(lane, vitals, prediction, mark, _absent_note(lane, now_s))
        case Modality.RESP:
            rate = vitals.resp_rate if vitals else None
            note = f"source {vitals.resp_source}" if vitals and vitals.resp_source else ""
            return Readout("RR", "/min", limits_of("resp_rate"), number_words(rate), mark=mark, notes=(note,))


def _absent_note(lane: Lane, now_s: float) -> str:
    if not lane.reason:
        return ""
    if lane.reason == Absence.NOT_CONNECTED.value:
        return "not connected"
    return f"{lane.reason} for {duration_words(max(0.0, now_s - lane.reason_since_s))}"


def _heart(state: DisplayState, lane: Lane, vitals: VitalsRecord | None, mark: str) -> Readout:
    notes = []
    if vitals is not None and vitals.hr is not None and vitals.hr_source:
        source = state.lane(vitals.hr_source)
        label = source.info.label if source is not None and source.info is not None else ""
        named = label if label.startswith(vitals.hr_source) else f"{vitals.hr_source} {label}".strip()
        notes.append(f"source {named}")
    has_resp_row = any(row.modality is Modality.RESP for row in state.lanes)
    if vitals is not None and vitals.resp_rate is not None and not has_resp_row:
        source_words = f" ({vitals.resp_source})" if vitals.resp_source else ""
        notes.append(f"RR {vitals.resp_rate:.0f} /min{source_words}")
    return Readout(
        "HR",
        "/min",
        limits_of("hr"),
        number_words(vitals.hr if vitals else None),
        mark=mark,
        notes=tuple(notes),
    )


def _triple(vitals: VitalsRecord) -> str:
    return f"{number_words(vitals.abp_sys)}/{number_words(vitals.abp_dia)} ({number_words(vitals.abp_map)})"


def _pressure(
    state: DisplayState,
    lane: Lane,
    vitals: VitalsRecord | None,
    prediction: PredictionRecord | None,
    now_s: float,
    mark: str,
) -> Readout:
    limits = limits_of("abp_map")
    limits = f"MAP {limits}" if limits else ""
    if vitals is not None and vitals.abp_map is not None:
        return Readout(
            "ABP",
            "mmHg",
            limits,
            f"{number_words(vitals.abp_sys)}/{number_words(vitals.abp_dia)}",
            number_words(vitals.abp_map),
            mark,
        )
    last = state.last_pressure
    ago = (
        f"measured {_triple(last)}, {duration_words(max(0.0, now_s - last.time_ns * _NS))} ago"
        if last is not None
        else "no value measured yet"
    )
    pressures = prediction.pressures if prediction is not None else None
    if lane.reason and pressures and {"sbp", "dbp", "map"} <= pressures.keys():
        mean, lo, hi = pressures["map"]
        return Readout(
            "ABP",
            "mmHg",
            limits,
            f"~{pressures['sbp'][0]:.0f}/{pressures['dbp'][0]:.0f}",
            f"~{mean:.0f}",
            ESTIMATED,
            True,
            (f"mean {lo:.0f}–{hi:.0f} (80 %)", ago),
        )
    return Readout("ABP", "mmHg", limits, INVALID, "", mark, False, (ago,))


def _pulse(vitals: VitalsRecord | None, mark: str, absent: str) -> Readout:
    notes = [absent] if absent else []
    if vitals is not None and vitals.rppg_delay_s is not None:
        notes.append(f"delay R–PPG {vitals.rppg_delay_s * 1000:.0f} ms")
    return Readout(
        "PR",
        "/min",
        limits_of("pulse_rate"),
        number_words(vitals.pulse_rate if vitals else None),
        mark=mark,
        notes=tuple(notes),
    )


def _eeg(
    lane: Lane, vitals: VitalsRecord | None, prediction: PredictionRecord | None, mark: str, absent: str
) -> Readout:
    notes, value, estimated = [absent] if absent else [], INVALID, False
    features = prediction.eeg_features if prediction is not None else None
    if vitals is not None and vitals.sef95 is not None:
        value = number_words(vitals.sef95, 1)
    elif lane.reason and features and "sef95" in features:
        value, estimated, mark = f"~{features['sef95']:.1f}", True, ESTIMATED
    if vitals is not None and vitals.bsr is not None:
        notes.append(f"BSR {vitals.bsr * 100:.0f} %")
    if prediction is not None and prediction.depth is not None:
        depth, lo, hi = prediction.depth
        notes.append(f"depth (not BIS) {depth:.0f}  {lo:.0f}–{hi:.0f}")
    return Readout("SEF", "Hz", "", value, mark=mark, estimated=estimated, notes=tuple(notes))
