"""Alarm conditions in event time: who may raise one, when it begins, what it says, when it ends."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.findings import Rhythm
from models.signals.modalities import Modality
from streams.alarms import AlarmEngine
from streams.alarms.circulation import ARRHYTHMIAS
from streams.alarms.limits import HOLD_S, beyond
from streams.alarms.technical import technical
from streams.pasts import AlarmsPast
from streams.records import AlarmRecord, ArrhythmiaCall, PredictionRecord, RhythmRecord, StateRecord, VitalsRecord

S = 10**9


def vitals(second: float, epoch: int = 0, **values: float | None) -> VitalsRecord:
    return VitalsRecord(bed="a", session="s", epoch=epoch, time_ns=int(second * S), **values)


def state(second: float, **states: str) -> StateRecord:
    return StateRecord(bed="a", session="s", epoch=0, time_ns=int(second * S), state=states)


def rhythm(
    second: float, rhythm: str = "beats", *calls: str, epoch: int = 0, verdict: str = "unopposed", **pulse: str
) -> RhythmRecord:
    """``calls``: keys of the calls that hold; ``pulse``: by channel."""
    return RhythmRecord(
        bed="a", session="s", epoch=epoch, time_ns=int(second * S), rhythm=rhythm, pulse=pulse,
        calls=[ArrhythmiaCall(key, verdict, "because", 35.0) for key in calls],
    )  # fmt: skip


def risk(second: int, value: float, *, valid: bool = True, abstain: bool = False, epoch: int = 0) -> PredictionRecord:
    return PredictionRecord(
        bed="a", session="s", epoch=epoch, window_end_ns=second * S, model="m", backend="b", modalities=[],
        presence=[], ages_s=[], valid=valid, abstain=abstain, reason="", risk={"15": (value, 0.0, 1.0)},
        pressures={"map": (30.0, 20.0, 40.0)},
    )  # fmt: skip


def said(records: list[AlarmRecord]) -> list[tuple[str, str, bool]]:
    return [(r.text, r.priority, r.active) for r in records]


def test_low_pressure_begins_after_its_delay_gets_worse_and_ends() -> None:
    engine = AlarmEngine()
    changes: list[tuple[float, tuple[str, str, bool]]] = []
    for second in range(40):
        pressure = 80.0 if second < 10 else 62.0 if second < 20 else 48.0 if second < 30 else 70.0
        changes += [(second, c) for c in said(engine.on_vitals(vitals(second, abp_map=pressure)))]
    assert changes == [
        (15, ("ABP LOW 62 < 65", "medium", True)),
        (20, ("ABP LOW 48 < 65", "high", True)),
        (30, ("ABP LOW 48 < 65", "high", False)),
    ]


def served(second: int, service: str, epoch: int = 0) -> PredictionRecord:
    return msgspec.structs.replace(risk(second, 0.1, epoch=epoch), service=service, valid=service != "unavailable")


def test_a_model_that_fails_over_or_is_gone_is_a_technical_alarm() -> None:
    engine = AlarmEngine()
    states = ["", "failed_over", "failed_over", "unavailable", "unavailable", ""]
    changes = [said(engine.on_prediction(served(second, state))) for second, state in enumerate(states, 1)]
    assert changes == [
        [],
        [("MODEL FAILED OVER", "low", True)],
        [],
        [("MODEL NOT AVAILABLE", "medium", True)],
        [],
        [("MODEL NOT AVAILABLE", "medium", False)],
    ]


def test_the_models_alarm_is_technical_ends_with_its_epoch_and_comes_again() -> None:
    engine = AlarmEngine()
    (begun,) = engine.on_prediction(served(5, "failed_over"))
    assert begun.kind == "technical" and begun.key == "technical.model" and begun.time_ns == 5 * S
    assert said(engine.on_prediction(served(2, "failed_over", epoch=1))) == [
        ("MODEL FAILED OVER", "low", False),
        ("MODEL FAILED OVER", "low", True),
    ]
    assert engine.on_prediction(served(9, "unavailable")) == []  # of the epoch that was left


def test_what_clears_within_the_delay_is_no_alarm() -> None:
    engine = AlarmEngine()
    for second in range(60):
        low = second % 4 == 0
        assert engine.on_vitals(vitals(second, hr=30.0 if low else 70.0)) == []


@pytest.mark.parametrize("rate,key", [(45.0, "hr.low"), (130.0, "hr.high")])
def test_heart_rate_alarm_within_ten_seconds(rate: float, key: str) -> None:
    engine = AlarmEngine()
    begun = [r for s in range(11) for r in engine.on_vitals(vitals(s, hr=rate))]
    assert [r.key for r in begun] == [key] and begun[0].time_ns <= 10 * S


def test_a_numeric_that_becomes_unknown_has_not_recovered_but_ends_its_alarm_in_time() -> None:
    engine = AlarmEngine()
    for second in range(10):
        engine.on_vitals(vitals(second, abp_map=45.0))
    (said_so,) = engine.on_vitals(vitals(10, abp_map=None))
    assert (said_so.active, said_so.text, said_so.now, said_so.priority) == (True, "ABP LOW 45 < 65", "-?-", "high")
    assert [r for s in range(11, 10 + int(HOLD_S)) for r in engine.on_vitals(vitals(s))] == []
    assert [r.active for r in engine.on_vitals(vitals(10 + HOLD_S, abp_map=None))] == [False]
    assert engine.active == {}


def test_a_value_that_comes_and_goes_is_held_and_never_begins_anew() -> None:
    """A pressure that is known in one second of four: its delay runs through, its alarm never ends."""
    engine = AlarmEngine()
    changes = [
        r for s in range(60) for r in engine.on_vitals(vitals(s, abp_map=50.0 if s % 4 == 0 else None)) if not r.now
    ]
    assert changes == [] and list(engine.active) == ["map.low"]
    ended = [r.active for s in range(60, 90) for r in engine.on_vitals(vitals(s))]
    assert ended.count(False) == 1 and not ended[-1]


def test_worst_value_and_present_value_are_both_there_and_the_priority_follows_the_present() -> None:
    engine = AlarmEngine()
    for second in range(10):
        engine.on_vitals(vitals(second, abp_map=45.0))
    (milder,) = engine.on_vitals(vitals(10, abp_map=58.0))
    assert (milder.priority, milder.text, milder.now) == ("medium", "ABP LOW 45 < 65", "58")
    (renewed,) = engine.on_vitals(vitals(11, abp_map=60.0))
    assert (renewed.priority, renewed.text, renewed.now) == ("medium", "ABP LOW 45 < 65", "60")
    (worse,) = engine.on_vitals(vitals(12, abp_map=12.0))
    assert (worse.priority, worse.text, worse.now) == ("high", "ABP LOW 12 < 65", "12")
    (ended,) = engine.on_vitals(vitals(13, abp_map=66.0))
    assert (ended.active, ended.now) == (False, "")


def test_a_limit_is_not_violated_at_its_own_value() -> None:
    engine = AlarmEngine()
    assert [r for s in range(30) for r in engine.on_vitals(vitals(s, abp_map=65.0, hr=120.0))] == []


def test_technical_conditions_follow_the_state() -> None:
    engine = AlarmEngine()
    assert engine.on_state(state(0, ECG="", ABP="", EEG="not connected")) == []
    begun = engine.on_state(state(1, ECG="lead off", ABP="flush", PPG="lead off", EEG="not connected"))
    assert {r.text for r in begun} == {"ECG LEADS OFF", "ABP LINE FLUSHED", "PPG SENSOR OFF"}
    assert {r.kind for r in begun} == {"technical"}
    changed = engine.on_state(state(2, ECG="no data", ABP="", PPG="lead off"))
    assert ("ECG NO SIGNAL", "low", True) in said(changed) and ("ABP LINE FLUSHED", "low", False) in said(changed)
    assert len(changed) == 2


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("absence", list(Absence))
def test_every_absence_has_a_text_or_is_meant_to_be_silent(modality: Modality, absence: Absence) -> None:
    found = technical(modality, absence)
    assert (found is None) == (absence is Absence.NOT_CONNECTED)
    assert found is None or found[1].startswith(modality.value)


def test_risk_needs_two_consecutive_valid_updates() -> None:
    engine = AlarmEngine()
    assert engine.on_prediction(risk(1, 0.9)) == []
    assert engine.on_prediction(risk(1, 0.9)) == []  # the same window again
    assert engine.on_prediction(risk(2, 0.5)) == []
    assert engine.on_prediction(risk(3, 0.9)) == []
    assert engine.on_prediction(risk(4, 0.95, valid=False)) == []
    assert engine.on_prediction(risk(5, 0.9)) == []
    assert engine.on_prediction(risk(60, 0.9)) == []  # too long ago to be consecutive
    assert said(engine.on_prediction(risk(61, 0.91))) == [("HYPOTENSION RISK 91 > 85 (15 min)", "medium", True)]
    assert said(engine.on_prediction(risk(62, 0.85))) == [("HYPOTENSION RISK 91 > 85 (15 min)", "medium", False)]


def missed(second: int, how: str = "skipped", value: float = 0.1) -> PredictionRecord:
    late = risk(second, value, valid=False)
    return msgspec.structs.replace(late, missed=how, risk=late.risk if how == "late" else {})


@pytest.mark.parametrize("how", ["skipped", "late"])
def test_a_window_that_the_model_missed_neither_ends_a_risk_nor_begins_one(how: str) -> None:
    engine = AlarmEngine()
    begun = [r for s in (1, 2) for r in engine.on_prediction(risk(s, 0.95))]
    assert said(begun) == [("HYPOTENSION RISK 95 > 85 (15 min)", "medium", True)]
    assert [r for s in range(3, 13) for r in engine.on_prediction(missed(s, how))] == []
    assert engine.on_prediction(risk(13, 0.95)) == []  # as it stood: not said again
    changes = [r for s in range(14, 60) for r in engine.on_prediction(missed(s, how))]
    assert [(r.time_ns // S, r.active, r.text, r.now) for r in changes] == [
        (24, True, "MODEL BEHIND", ""), (24, True, begun[0].text, "-?-")
    ]  # fmt: skip
    caught_up, known = engine.on_prediction(risk(60, 0.93))
    assert (caught_up.active, caught_up.text, caught_up.priority) == (False, "MODEL BEHIND", "low")
    assert (known.active, known.text, known.now) == (True, begun[0].text, "93")
    assert [r.active for r in engine.on_prediction(risk(61, 0.2))] == [False]
    assert [r for s in range(62, 70) for r in engine.on_prediction(missed(s, how, 0.99))] == []


def test_risks_on_both_sides_of_a_window_that_was_skipped_are_consecutive() -> None:
    engine = AlarmEngine()
    assert [r for record in (risk(1, 0.95), missed(2)) for r in engine.on_prediction(record)] == []
    assert [r.active for r in engine.on_prediction(risk(3, 0.95))] == [True]


def test_a_window_that_was_skipped_says_nothing_of_the_model_but_ends_the_epoch_before() -> None:
    engine = AlarmEngine()
    engine.on_prediction(served(1, "failed_over"))
    assert engine.on_prediction(missed(2)) == [] and list(engine.active) == ["technical.model"]
    ended = engine.on_prediction(msgspec.structs.replace(missed(1), epoch=1))
    assert [(r.key, r.active) for r in ended] == [("technical.model", False)]


def test_an_estimated_pressure_raises_nothing() -> None:
    engine = AlarmEngine()
    assert [r for s in range(60) for r in engine.on_prediction(risk(s, 0.1))] == []


def test_a_new_epoch_ends_what_stood() -> None:
    engine = AlarmEngine()
    for second in range(10):
        engine.on_vitals(vitals(second, abp_map=50.0))
    ended = engine.on_vitals(vitals(3, epoch=1, abp_map=50.0))
    assert [(r.active, r.epoch) for r in ended] == [(False, 1)]
    assert engine.active == {}


values = st.none() | st.floats(-20, 200)
pulses = st.sampled_from(["", "present", "none"])
events = st.one_of(
    st.builds(lambda mean, hr: ("vitals", {"abp_map": mean, "hr": hr}), values, values),
    st.builds(lambda absence: ("state", {"ABP": absence, "ECG": absence}), st.sampled_from(["", *map(str, Absence)])),
    st.builds(
        lambda *a: ("rhythm", a),
        st.sampled_from([r.value for r in Rhythm]), st.sets(st.sampled_from(list(ARRHYTHMIAS))),
        st.sampled_from(["confirmed", "unopposed", "contradicted"]), pulses, pulses,
    ),
    st.builds(
        lambda value, missed: ("risk", (value, missed)),
        st.floats(0.5, 1.0), st.sampled_from(["", "", "invalid", "late", "skipped"]),
    ),
    st.sampled_from([("epoch", None), ("jump", None)]),
)  # fmt: skip


@given(st.lists(events, max_size=80))
def test_alarms_are_balanced(events: list[tuple[str, object]]) -> None:
    """No alarm ends that has not begun, each record says something new, and what stands is what began last and has not
    ended; whatever the sensors and the model say, in whatever order."""
    engine = AlarmEngine()
    standing: dict[str, AlarmRecord] = {}
    second, epoch = 0, 0
    for what, given_ in events:
        second += 1
        records: list[AlarmRecord] = []
        if what == "vitals":
            records = engine.on_vitals(vitals(second, epoch=epoch, **given_))
        elif what == "state":
            records = engine.on_state(msgspec.structs.replace(state(second, **given_), epoch=epoch))
        elif what == "rhythm":
            name, calls, verdict, abp, ppg = given_
            records = engine.on_rhythm(
                rhythm(second, name, *sorted(calls), epoch=epoch, verdict=verdict, ABP=abp, PPG=ppg)
            )
        elif what == "risk":
            told = risk(second, given_[0], valid=given_[1] == "", epoch=epoch)
            records = engine.on_prediction(msgspec.structs.replace(told, missed=given_[1].removeprefix("invalid")))
        elif what == "epoch":
            epoch += 1
        else:
            second += 100
        for record in records:
            before = standing.pop(record.key, None)
            assert record.active or before is not None, f"{record.key} ended without a beginning"
            if record.active:
                again = before is not None and msgspec.structs.replace(before, time_ns=record.time_ns) == record
                assert not again, f"{record.key} said twice"
                standing[record.key] = record
        assert {key: record.text for key, record in standing.items()} == engine.active
        assert not {"map.low", "risk.hypotension"} <= standing.keys()


def test_a_prediction_of_the_epoch_before_disturbs_nothing() -> None:
    """The inference thread may finish a window of before a seek after the new epoch's first vitals."""
    engine = AlarmEngine()
    begun = [c for s in range(100, 110) for c in engine.on_vitals(vitals(s, epoch=1, abp_map=50.0))]
    assert [r.active for r in begun] == [True]
    assert engine.on_prediction(risk(900, 0.99, epoch=0)) == []
    assert engine.on_vitals(vitals(110, epoch=1, abp_map=50.0)) == []
    assert list(engine.active) == ["map.low"]


def test_another_session_of_the_bed_begins_anew() -> None:
    engine = AlarmEngine()
    for second in range(10):
        engine.on_vitals(vitals(second, abp_map=50.0))
    other = VitalsRecord(bed="a", session="other", epoch=0, time_ns=0, abp_map=80.0)
    (ended,) = engine.on_vitals(other)
    assert not ended.active
    assert ended.session == "other"


@pytest.mark.parametrize("to_s", [-(10**6), 80, 115, 10**6])
def test_a_jump_of_the_clock_ends_what_stood_and_blinds_nothing(to_s: int) -> None:
    engine = AlarmEngine()
    for second in range(90, 101):
        engine.on_vitals(vitals(second, hr=45.0))
        engine.on_prediction(risk(second, 0.95))
        engine.on_rhythm(rhythm(second, "still", "asystole", PPG="none"))
    assert set(engine.active) == {"asystole", "no_pulse", "risk.hypotension"}
    ended = engine.on_vitals(vitals(to_s, hr=45.0))
    assert {(r.key, r.active) for r in ended} == {(k, False) for k in ("asystole", "no_pulse", "risk.hypotension")}
    engine.on_prediction(risk(101, 0.95))  # was with the model at the jump
    assert "risk.hypotension" not in engine.active
    for second in range(to_s + 1, to_s + 6):
        engine.on_vitals(vitals(second, hr=45.0))
        engine.on_prediction(risk(second, 0.95))
        engine.on_rhythm(rhythm(second, "beats", PPG="none"))
    assert set(engine.active) == {"hr.low", "ppg.no_pulse", "risk.hypotension"}


def test_only_a_measured_breath_alarms() -> None:
    """Rates read from ECG and pulse are shown; in an irregular heart they say what is not there."""
    for source, expected in (("RESP", ["resp.low"]), ("CO2", ["resp.low"]), ("ECG+PPG", []), ("", [])):
        engine = AlarmEngine()
        for second in range(20):
            record = msgspec.structs.replace(vitals(second, resp_rate=3.0), resp_source=source)
            engine.on_vitals(record)
        assert list(engine.active) == expected


@pytest.mark.parametrize("gravest", ["asystole", "vfib"])
def test_beside_a_heart_without_beats_no_rate_is_judged(gravest: str) -> None:
    """P waves of an asystole are no bradycardia; where the pulse contradicts the asystole, a bradycardia may be one."""
    engine = AlarmEngine()
    engine.on_rhythm(rhythm(1, "still", gravest, "brady.extreme", "tachy.extreme"))
    assert list(engine.active) == [gravest]
    doubted = AlarmEngine()
    doubted.on_rhythm(rhythm(1, "still", gravest, "brady.extreme", verdict="contradicted", PPG="present"))
    assert set(doubted.active) == {gravest, "brady.extreme"}


@given(st.floats(0.0, 300.0), st.sampled_from([50.0, 65.0, 110.0, 120.0, 6.0, 85.0]))
def test_a_text_never_denies_its_own_alarm(value: float, limit: float) -> None:
    """ "65 < 65" is no alarm: the value is shown on its own side of the limit, in as few digits as that takes, and
    never further from it than it is rounded."""
    shown = float(beyond(value, limit))
    if value < limit:
        assert shown < limit
    elif value > limit:
        assert shown > limit
    assert abs(shown - value) <= 0.5


def test_a_pressure_just_below_its_limit() -> None:
    engine = AlarmEngine()
    texts = [r.text for s in range(20) for r in engine.on_vitals(vitals(s, abp_map=64.7))]
    assert texts == ["ABP LOW 64.7 < 65"]
    texts = [r.text for s in range(20, 22) for r in engine.on_prediction(risk(s, 0.8503))]
    assert all("85 > 85" not in text for text in texts)


def low_for_minutes(second: int) -> list[VitalsRecord | RhythmRecord]:
    """A pressure that was at its worst long ago, and is still low."""
    pressure = 80.0 if second < 10 else 41.0 if second < 30 else 58.0
    return [vitals(second, abp_map=pressure), rhythm(second, ABP="present", PPG="present")]


def arrest_after_a_lost_line(second: int) -> list[VitalsRecord | RhythmRecord]:
    """The line shows no pulse, then falls silent; the pleth shows none all the time."""
    line = {"ABP": "none"} if 10 <= second < 20 else {"ABP": "present"} if second < 10 else {}
    pressure = {"abp_map": 80.0} if second < 10 else {"abp_map": 22.0} if second < 20 else {}
    pleth = "present" if second < 10 else "none"
    return [vitals(second, **pressure), rhythm(second, "unclear" if second >= 10 else "beats", PPG=pleth, **line)]


@pytest.mark.parametrize("course", [low_for_minutes, arrest_after_a_lost_line])
@pytest.mark.parametrize("told_at", [250, 295])
def test_an_alarm_that_began_long_ago_goes_on_as_it_was_where_another_takes_over(course: Any, told_at: int) -> None:
    straight, heir, cold = AlarmEngine(), AlarmEngine(), AlarmEngine()

    def feed(engine: AlarmEngine, second: int) -> list[AlarmRecord]:
        changes = []
        for record in course(second):
            changes += engine.on_vitals(record) if isinstance(record, VitalsRecord) else engine.on_rhythm(record)
        return changes

    for second in range(300):
        feed(straight, second)
        if second >= 200:
            feed(heir, second)
            feed(cold, second)
        if second == told_at:
            heir.inherit(state(second), second * S, msgspec.msgpack.decode(
                msgspec.msgpack.encode(straight.export()), type=AlarmsPast))  # fmt: skip
    feed(heir, 300), feed(straight, 300), feed(cold, 300)
    assert heir.active == straight.active != cold.active
    assert heir.export() == straight.export()
    for second in range(301, 320):
        assert feed(heir, second) == feed(straight, second)


def test_alarms_of_another_epoch_or_time_and_what_has_ended_since_are_not_taken_over() -> None:
    before = AlarmEngine()
    for second in range(40):
        before.on_vitals(vitals(second, abp_map=40.0))
    past = before.export()
    assert past.standing["map.low"].worst == 40.0
    for record, time_s in ((state(40), 60), (msgspec.structs.replace(state(40), epoch=1), 40)):
        engine = AlarmEngine()
        for second in range(20, 41):
            engine.on_vitals(vitals(second, abp_map=50.0))
        engine.inherit(record, time_s * S, past)
        assert engine.export().standing["map.low"].worst == 50.0
    engine = AlarmEngine()
    for second in range(20, 50):
        engine.on_vitals(vitals(second, abp_map=80.0 if second < 43 else 50.0))
    engine.inherit(state(49), 39 * S + S, past)  # it had ended, and began anew
    assert engine.export().standing["map.low"].worst == 50.0
