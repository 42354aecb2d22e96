"""Alarm conditions in event time: who may raise one, when it begins, what it says, when it ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.alarms import AlarmEngine, technical
from streams.records import AlarmRecord, PredictionRecord, StateRecord, VitalsRecord

S = 10**9


def vitals(second: float, epoch: int = 0, **values: float | None) -> VitalsRecord:
    return VitalsRecord(bed="a", session="s", epoch=epoch, time_ns=int(second * S), **values)


def state(second: float, **states: str) -> StateRecord:
    return StateRecord(bed="a", session="s", epoch=0, time_ns=int(second * S), state=states)


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


def test_an_unknown_numeric_ends_its_alarm() -> None:
    engine = AlarmEngine()
    for second in range(10):
        engine.on_vitals(vitals(second, abp_map=50.0))
    assert engine.active
    assert [r.active for r in engine.on_vitals(vitals(10, abp_map=None))] == [False]
    assert engine.active == {}


def test_a_limit_is_not_violated_at_its_own_value() -> None:
    engine = AlarmEngine()
    assert [r for s in range(30) for r in engine.on_vitals(vitals(s, abp_map=65.0, hr=120.0))] == []


def test_technical_conditions_follow_the_state() -> None:
    engine = AlarmEngine()
    assert engine.on_state(state(0, ECG="", ABP="", EEG="not connected")) == []
    begun = engine.on_state(state(1, ECG="lead off", ABP="not pulsatile", PPG="lead off", EEG="not connected"))
    assert {r.text for r in begun} == {"ECG LEADS OFF", "ABP NO PULSATILE", "PPG SENSOR OFF"}
    assert {r.kind for r in begun} == {"technical"}
    changed = engine.on_state(state(2, ECG="no data", ABP="", PPG="lead off"))
    assert ("ECG NO SIGNAL", "low", True) in said(changed) and ("ABP NO PULSATILE", "medium", False) in said(changed)
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


@given(st.lists(st.tuples(st.sampled_from(["map", "hr", "abp"]), st.none() | st.floats(0, 200)), max_size=80))
def test_alarms_are_balanced(events: list[tuple[str, float | None]]) -> None:
    """No alarm ends that has not begun, and what stands is what began last and has not ended."""
    engine = AlarmEngine()
    standing: set[str] = set()
    for second, (what, value) in enumerate(events):
        if what == "abp":
            records = engine.on_state(state(second, ABP="flat" if value else ""))
        else:
            records = engine.on_vitals(vitals(second, **{"abp_map" if what == "map" else "hr": value}))
        for record in records:
            assert record.active or record.key in standing
            standing = standing | {record.key} if record.active else standing - {record.key}
    assert standing == set(engine.active)


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
        engine.on_vitals(vitals(second, abp_map=50.0))
        engine.on_prediction(risk(second, 0.95))
    assert set(engine.active) == {"map.low", "risk.hypotension"}
    ended = engine.on_vitals(vitals(to_s, abp_map=50.0))
    assert {(r.key, r.active) for r in ended} == {("map.low", False), ("risk.hypotension", False)}
    engine.on_prediction(risk(101, 0.95))  # was with the model at the jump
    assert "risk.hypotension" not in engine.active
    for second in range(to_s + 1, to_s + 6):
        engine.on_vitals(vitals(second, abp_map=50.0))
        engine.on_prediction(risk(second, 0.95))
    assert set(engine.active) == {"map.low", "risk.hypotension"}
