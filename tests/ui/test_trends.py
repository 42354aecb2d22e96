"""The trends of a bed are what its records said, by event time: after seeks, gaps, bad news and another patient."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from streams.records import AlarmRecord, AnyRecord, ArrhythmiaCall, PredictionRecord, VitalsRecord
from tests.ui.synthetic import NS, Chapter, FakeSession, Patient
from ui.bed.series import CODES, MID, code_of
from ui.bed.state import DisplayState
from ui.bed.trends import AT, COLUMNS, MODALITIES, UNITS, VITALS, Trends
from ui.style.theme import default_theme


def told(
    patient: Patient, begin: int, end: int, state: DisplayState | None = None, ahead_s: float = 100.0
) -> DisplayState:
    """A state that was told the seconds [begin, end] of a patient, and the predictions."""
    if state is None:
        state = DisplayState(default_theme())
        state.set_channels(FakeSession().channels)
    for second in range(begin, end + 1):
        for record in (*patient.second(second), patient.prediction(second)):
            state.apply(record, second + ahead_s)
    return state


def column(trends: Trends, name: str, begin: int, end: int) -> np.ndarray:
    stretch = trends.stretch(begin, end, end - begin)
    assert stretch.step_s == 1
    return stretch.values[:, MID, AT[name]]


def vitals(second: float, epoch: int = 0, session: str = "s", **values: object) -> VitalsRecord:
    return VitalsRecord(bed="Bed 3", session=session, epoch=epoch, time_ns=round(second * NS), **values)  # type: ignore[arg-type]


NUMBERS: dict[str, object] = {
    "spo2": 97.0, "etco2": 36.0, "etco2_wave": 35.0, "temp_c": 36.6, "bis": 44.0, "cvp_mean": 8.0, "pap_mean": 18.0,
    "icp_mean": 11.0, "nibp_sys": 124.0, "nibp_dia": 70.0, "nibp_map": 88.0, "nibp_age_s": 3.0,
}  # fmt: skip
"""Of devices and further waves."""


def cuffs(trends: Trends, begin: int, end: int, name: str = "nibp_sys") -> dict[int, float]:
    """Second -> value of the marks of a cuff."""
    values = column(trends, name, begin, end)
    return {begin + int(at): float(values[at]) for at in np.flatnonzero(np.isfinite(values))}


_VALUES = st.fixed_dictionaries(
    {name: st.none() | st.floats(0, 250, width=32) for name in VITALS if name != "bsr"} | {"bsr": st.none()}
)


@settings(max_examples=40, deadline=None)
@given(
    passes=st.lists(st.tuples(st.integers(0, 900), st.lists(_VALUES, min_size=1, max_size=12)), min_size=1, max_size=4)
)
def test_each_second_is_what_was_said_of_it_last(passes: list[tuple[int, list[dict[str, float | None]]]]) -> None:
    trends, truth = Trends(), {}
    for epoch, (begin, said) in enumerate(passes):
        for number, values in enumerate(said):
            record = vitals(begin + number, epoch, **dict[str, object](values))  # type: ignore[arg-type]
            trends.apply(record, 0.0, pressure=False, depth=False)
            truth[begin + number] = values
    first, last = min(truth), max(truth)
    assert trends.span_s == (first, last + 1)
    shown = trends.stretch(first, last + 1, 2000).values[:, MID]
    for second in range(first, last + 1):
        for name in VITALS:
            value = truth.get(second, {}).get(name)
            got = shown[second - first, AT[name]]
            assert math.isnan(got) if value is None else got == np.float32(value)


def test_every_column_has_a_unit_and_is_written() -> None:
    assert all(name.removesuffix("_lo").removesuffix("_hi") in UNITS for name in COLUMNS)
    told_of = Patient(absent={Modality.ABP: [(30, 60, Absence.NO_DATA)]}, story=[Chapter(0, 99, vitals=NUMBERS)])
    state = told(told_of, 1, 60)
    known = np.logical_or.reduce(np.isfinite(state.trends.stretch(0, 61, 61).values[:, MID]))
    assert known.all(), [name for name, at in AT.items() if not known[at]]


def test_percent_and_intervals_as_they_were_given() -> None:
    patient = Patient(story=[Chapter(0, 99, vitals={"bsr": 0.25}, predicted={"risk": {"15": (0.4, 0.31, 0.66)}})])
    trends = told(patient, 1, 20).trends
    row = trends.stretch(10, 11, 1).values[0, MID]
    assert row[AT["bsr"]] == 25.0
    np.testing.assert_allclose(row[AT["risk_15"] : AT["risk_15"] + 3], (40, 31, 66), rtol=1e-6)
    assert np.isnan(row[AT["risk_5"] : AT["risk_15"]]).all(), "a horizon that was not given"
    np.testing.assert_allclose(row[AT["depth"] : AT["depth"] + 3], (46, 38, 55))


def test_a_gap_is_a_gap_and_a_late_word_stands_for_three_seconds() -> None:
    trends = Trends()
    for second in (1, 2, 3, 6, 7, 12):
        trends.apply(vitals(second, hr=60.0 + second), 0.0, pressure=False, depth=False)
    got = column(trends, "hr", 0, 14)
    want = [math.nan, 61, 62, 63, 63, 63, 66, 67, math.nan, math.nan, math.nan, math.nan, 72, math.nan]
    np.testing.assert_array_equal(got, want)


def test_what_is_said_to_be_unknown_is_not_held() -> None:
    trends = Trends()
    for second, rate in ((1, 60.0), (2, None), (3, None), (4, 64.0)):
        trends.apply(vitals(second, hr=rate), 0.0, pressure=False, depth=False)
    np.testing.assert_array_equal(column(trends, "hr", 1, 5), [60, math.nan, math.nan, 64])


def test_the_presence_is_that_of_the_cells_with_its_reason() -> None:
    state = told(Patient(absent={Modality.PPG: [(10, 20, Absence.LEAD_OFF)]}), 1, 30)
    presence = state.trends.stretch(0, 30, 30).presence
    at = MODALITIES.index(Modality.PPG)
    codes = [CODES[code - 1] if code else "" for code in presence[:, 0, at]]
    assert codes == [""] * 10 + [Absence.LEAD_OFF.value] * 10 + [""] * 10
    assert (presence[:, 1, at] > 0).tolist() == [True] * 10 + [False] * 10 + [True] * 10
    assert not presence[:, :, MODALITIES.index(Modality.RESP)].any(), "of which nobody said anything"
    assert len(CODES) == len(Absence) + 1 and code_of("of next year") == 0


def test_an_estimate_is_kept_only_where_it_was_allowed() -> None:
    absent = {Modality.ABP: [(20, 60, Absence.NO_DATA)]}
    no_pulse = Chapter(40, 50, pulse={Modality.PPG: Pulse.NONE})
    estimated: dict[str, object] = {"pressures": dict.fromkeys(("map", "sbp", "dbp"), (66.0, 59.0, 73.0))}
    everywhere = [replace(no_pulse, predicted=estimated), Chapter(0, 99, predicted=estimated)]
    got = column(told(Patient(absent=absent, story=everywhere), 1, 70).trends, "map_estimated", 0, 71)
    assert np.isnan(got[:20]).all(), "measured: whatever is sent, it is no estimate"
    assert (got[22:40] == 66).all()
    assert np.isnan(got[41:50]).all(), "a finger without a pulse"
    assert (got[52:60] == 66).all() and np.isnan(got[61:]).all()


def test_a_rate_of_beats_that_are_none_is_no_heart_rate() -> None:
    call = [ArrhythmiaCall("asystole", "confirmed", "no pulse")]
    story = [Chapter(20, 30, rhythm=Rhythm.STILL), Chapter(40, 50, calls=call),
             Chapter(60, 70, pulse={Modality.PPG: Pulse.NONE})]  # fmt: skip
    trends = told(Patient(story=story), 1, 80).trends
    rate, pulse = column(trends, "hr", 0, 81), column(trends, "pulse_rate", 0, 81)
    for begin, end in ((21, 31), (41, 51)):
        assert np.isnan(rate[begin:end]).all()
    assert (rate[31:41] == 75).all() and (rate[51:] == 75).all()
    assert np.isnan(pulse[61:71]).all() and (pulse[1:61] == 75).all()
    mean = column(trends, "abp_map", 1, 81)
    assert (mean == 86).all(), "bad news of one sensor takes nothing from another"


@pytest.mark.parametrize(
    "changes", [{"valid": False}, {"abstain": True, "reason": "too little"}], ids=["not valid", "abstains"]
)
def test_no_risk_where_none_was_given(changes: dict[str, object]) -> None:
    trends = told(Patient(story=[Chapter(10, 20, predicted=changes)]), 1, 30).trends
    risk = column(trends, "risk_15", 0, 31)
    assert np.isnan(risk[11:21]).all() and np.isfinite(risk[21:]).all() and np.isfinite(risk[1:11]).all()


def test_a_window_that_was_missed_says_nothing() -> None:
    story = [
        Chapter(10, 12, predicted={"missed": "skipped", "valid": False}),
        Chapter(20, 29, predicted={"missed": "late", "valid": False}),
    ]
    risk = column(told(Patient(story=story), 1, 40).trends, "risk_15", 1, 41)
    assert np.isfinite(risk[:19]).all(), "what was at hand stood"
    assert np.isnan(risk[21:27]).all(), "too long"


def test_a_seek_keeps_what_was_seen_and_another_patient_starts_afresh() -> None:
    state = told(Patient(risk_15=0.5), 1, 100)
    told(Patient(epoch=1, risk_15=0.9), 40, 60, state)
    risk = column(state.trends, "risk_15", 1, 101)
    np.testing.assert_allclose(risk, np.r_[np.full(39, 50), np.full(21, 90), np.full(40, 50)])
    assert state.trends.now_s == 60 and state.trends.span_s == (0, 101)
    told(Patient(epoch=0), 1, 20, state)  # of before the seek, late
    assert column(state.trends, "risk_15", 50, 51) == pytest.approx(90)
    told(Patient(epoch=2, session="s+2", risk_15=0.2), 70, 80, state)
    assert state.trends.span_s == (69, 81)
    assert np.isnan(column(state.trends, "risk_15", 1, 70)).all()


def alarm(second: float, active: bool = True, epoch: int = 0, key: str = "hr.low", **more: str) -> AlarmRecord:
    made = Patient(epoch=epoch, session="s").alarm(key, f"{key} {second:g}", "medium", "physiological", active, second)
    return msgspec.structs.replace(made, **more)


def spans(trends: Trends, begin: float = -1e9, end: float = 1e9) -> list[tuple[str, str, float, float | None]]:
    return [(a.key, a.priority, a.begin_s, a.end_s) for a in trends.alarms(begin, end)]


def alarmed(*records: VitalsRecord | AlarmRecord) -> Trends:
    trends = Trends()
    for record in records:
        trends.apply(record, 0.0, pressure=False, depth=False)
    return trends


def test_alarms_from_onset_to_end_also_when_they_get_worse() -> None:
    trends = alarmed(alarm(10), alarm(12), alarm(15, priority="high"), alarm(20, False, priority="high"),
                     alarm(30, key="map.low"), alarm(31, False, key="never began"))  # fmt: skip
    assert spans(trends) == [
        ("hr.low", "medium", 10, 15), ("hr.low", "high", 15, 20), ("map.low", "medium", 30, None)]  # fmt: skip
    assert [a.text for a in trends.alarms(11, 12)] == ["hr.low 12"], "as last said"
    assert spans(trends, 20, 30) == [("hr.low", "high", 15, 20)]
    assert spans(trends, 20.5, 29.5) == []


def test_alarms_of_a_stretch_that_is_played_again_are_those_of_the_last_time() -> None:
    before: list[VitalsRecord | AlarmRecord] = [
        vitals(0),
        alarm(10),
        alarm(20, False),
        alarm(50),
        vitals(60),
        alarm(70, key="map.low"),
        vitals(80),
    ]
    again: list[VitalsRecord | AlarmRecord] = [vitals(5, 1), vitals(30, 1), alarm(52, epoch=1), vitals(55, 1)]
    trends = alarmed(*before, *again)
    assert spans(trends) == [("hr.low", "medium", 52, None), ("map.low", "medium", 70, 80)]


def test_alarms_are_bounded() -> None:
    records = [alarm(second, second % 2 == 0, key=f"k{second // 2}") for second in range(1, 4000)]
    standing = [alarm(second, key=f"other{second}") for second in range(4000, 8000)]
    assert len(alarmed(*records, *standing).alarms(-1e9, 1e9)) <= 2048


def test_when_an_event_time_was_is_known_also_after_a_jump_of_the_clock() -> None:
    state = told(Patient(), 1, 50, ahead_s=100.4)
    told(Patient(epoch=1), 3600, 3650, state, ahead_s=-3440.0)  # its clock was put an hour on
    assert state.trends.ahead_s(20.0) == pytest.approx(100.4)
    assert state.trends.ahead_s(3610.0) == pytest.approx(-3440.0)
    assert Trends().ahead_s(1.0) is None


def test_ten_thousand_strange_records_leave_it_whole() -> None:
    rng = np.random.default_rng(5)
    state = DisplayState(default_theme())
    patient = Patient(story=[Chapter(-1e18, 1e18, vitals={"hr": 1e30, "bsr": -5.0}, predicted={"risk": {}})])
    for number in range(2500):
        second = int(rng.choice((1, 10**4, 10**8))) + number
        made: tuple[AnyRecord, ...] = (*Patient.second(patient, second)[1:4], patient.prediction(60))
        for record in made:
            changes: dict[str, object] = {"epoch": number // 500}
            if isinstance(record, PredictionRecord):
                changes["window_end_ns"] = second * NS
            state.apply(msgspec.structs.replace(record, **changes), float(number))
    assert state.trends.bytes < 12e6
    known = state.trends.span_s
    assert known is not None
    assert len(state.trends.stretch(*known, 500).values) <= 1010


def measured(trends: Trends, seconds: range, epoch: int = 0, at: dict[int, float] | None = None) -> None:
    """A cuff that measured systolic pressures ``at`` seconds, which the device says ever again."""
    for second in seconds:
        known = [one for one in at or {} if one <= second]
        values: dict[str, object] = {}
        if known:
            upper = (at or {})[known[-1]]
            values = {"nibp_sys": upper, "nibp_dia": 70.0, "nibp_map": 85.0, "nibp_age_s": float(second - known[-1])}
        trends.apply(vitals(second, epoch, **values), 0.0, pressure=False, depth=False)


def test_a_cuff_is_known_where_it_measured_and_nowhere_between() -> None:
    trends = Trends()
    measured(trends, range(1, 400), at={40: 124.0, 200: 124.0, 330: 96.0})
    assert cuffs(trends, 0, 400) == {40: 124.0, 200: 124.0, 330: 96.0}, "also the same pressure measured anew"
    assert cuffs(trends, 0, 400, "nibp_map") == dict.fromkeys((40, 200, 330), 85.0)


def test_a_cuff_that_is_told_of_late_is_where_it_measured() -> None:
    trends = Trends()
    for second in range(1, 60):
        values = {"nibp_sys": 120.0, "nibp_age_s": second - 20.4} if second >= 25 else {}
        trends.apply(vitals(second, **values), 0.0, pressure=False, depth=False)
    assert cuffs(trends, 0, 60) == {20: 120.0}
    assert trends.known == {"nibp_sys", "nibp_dia", "nibp_map"}


def test_a_cuff_of_unknown_age_is_where_it_changed() -> None:
    trends = Trends()
    for second in range(1, 90):
        upper = 110.0 if second < 30 else 140.0
        trends.apply(vitals(second, nibp_sys=upper), 0.0, pressure=False, depth=False)
    assert cuffs(trends, 0, 90) == {30: 140.0}, "of the first nobody knows when it was measured"


def test_a_cuff_of_before_a_seek_is_not_of_the_second_after_it() -> None:
    trends = Trends()
    measured(trends, range(1, 30), at={10: 124.0})
    measured(trends, range(300, 330), epoch=1, at={200: 96.0, 310: 99.0})
    assert cuffs(trends, 0, 400) == {10: 124.0, 310: 99.0}
    measured(trends, range(5, 20), epoch=2)
    assert cuffs(trends, 0, 400) == {310: 99.0}, "played again, without one"


def test_what_a_bed_has_is_known_from_when_it_first_had_it() -> None:
    trends = told(Patient(story=[Chapter(10, 20, vitals={"cvp_mean": 8.0, "temp_c": 36.6})]), 1, 40).trends
    assert {"cvp_mean", "temp_c"} <= trends.known and "pap_mean" not in trends.known
    gone = np.isfinite(column(trends, "cvp_mean", 0, 40))
    assert gone[11:20].all() and not gone[21:].any(), "a gap is a gap"
    trends.apply(vitals(1, session="other"), 0.0, pressure=False, depth=False)
    assert not trends.known


def test_what_a_cuff_says_while_it_measures_is_no_measurement() -> None:
    trends = Trends()
    for second in range(1, 120):
        interim = second < 60
        upper, since = (114.0, 40) if interim else (105.0, 60)
        rest = {} if interim else {"nibp_dia": 59.0, "nibp_map": 72.0}
        told_of = {"nibp_sys": upper, "nibp_age_s": float(second - since), **rest} if second >= 40 else {}
        trends.apply(vitals(second, **told_of), 0.0, pressure=False, depth=False)
    assert cuffs(trends, 0, 120) == {60: 105.0}
