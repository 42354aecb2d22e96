"""The alarm area: fixed fields, nothing hidden, nothing rotating, legible in every phase, gone at once when it ends."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.modalities import Modality
from streams.records import AlarmRecord
from tests.ui.synthetic import Patient
from ui.bed.alarm_view import (
    FIELDS,
    ROOM,
    Alarm,
    AlarmBook,
    AlarmField,
    alarm_of,
    breaths_row,
    colours,
    field_of,
    fields,
    lit,
)
from ui.style.theme import PRIORITIES, default_theme

STYLE = default_theme().alarm
KEYS = ["asystole", "vfib", "no_pulse", "vtach", "abp.no_pulse", "abp.disconnect", "brady.extreme", "tachy.extreme",
        "map.low", "hr.low", "risk.hypotension"]  # fmt: skip


def record(key: str, priority: str = "high", kind: str = "physiological", time_s: float = 0.0,
           active: bool = True, **more: str) -> AlarmRecord:  # fmt: skip
    return Patient().alarm(key, key.upper(), priority, kind, active, time_s, **more)


def book(*records: AlarmRecord) -> AlarmBook:
    made = AlarmBook()
    for one in records:
        made.apply(one)
    return made


def shown(alarms: AlarmBook, now_s: float = 0.0) -> dict[str, AlarmField]:
    return {field.name: field for field in fields(alarms.standing, now_s, STYLE)}


def keys(field: AlarmField) -> list[str]:
    return [alarm.record.key for alarm in field.alarms]


def luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance of an sRGB colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("kind", ["physiological", "technical"])
@pytest.mark.parametrize(("phase", "acknowledged", "held"), list(itertools.product((True, False), repeat=3)))
def test_the_text_is_legible_in_every_phase(
    priority: str, kind: str, phase: bool, acknowledged: bool, held: bool
) -> None:
    alarm = Alarm(record("x", priority, kind), 0.0, acknowledged)
    fill, ink = colours(alarm, phase, held, STYLE)
    assert contrast(fill, ink) >= 4.5
    assert ink == colours(alarm, not phase, held, STYLE)[1], "the text stays as it is while the background flashes"


@pytest.mark.parametrize("priority", ["high", "medium"])
def test_the_background_visibly_flashes_until_it_is_acknowledged(priority: str) -> None:
    fresh, seen = (Alarm(record("x", priority), 0.0, acknowledged) for acknowledged in (False, True))
    assert contrast(colours(fresh, True, False, STYLE)[0], colours(fresh, False, False, STYLE)[0]) > 2.0
    assert colours(seen, True, False, STYLE) == colours(seen, False, False, STYLE)
    assert colours(fresh, True, True, STYLE) == colours(fresh, False, True, STYLE), "what is not live does not flash"


def test_flash_rates_and_duty_are_those_of_the_standard() -> None:
    times = np.arange(0, 60, 0.01)
    for priority, low, top in (("high", 1.4, 2.8), ("medium", 0.4, 0.8)):
        on = np.array([lit(priority, t, STYLE) for t in times])
        assert low <= np.sum(np.diff(on.astype(int)) == 1) / 60 <= top
        assert 0.2 <= on.mean() <= 0.6
    assert all(lit("low", t, STYLE) for t in times)


def test_each_alarm_has_its_field_and_keeps_it() -> None:
    alarms = book(record("map.low"), record("hr.low", "medium"), record("resp.low", "low"),
                  record("technical.ECG", "medium", "technical"), record("technical.EEG", "low", "technical"),
                  record("technical.ABP", "high", "technical"))  # fmt: skip
    for now_s in np.arange(0, 20, 0.3):
        found = shown(alarms, float(now_s))
        assert keys(found["high"]) == ["map.low", "technical.ABP"]
        assert keys(found["medium"]) == ["hr.low", "resp.low"]
        assert keys(found["technical"]) == ["technical.ECG", "technical.EEG"]


def test_the_worst_comes_first_whenever_it_began() -> None:
    order = [*KEYS[:8], "hr.low", "map.low"]
    for shift in range(len(order)):
        turned = order[shift:] + order[:shift]
        alarms = book(*(record(key, time_s=0.0 if key in KEYS[:8] else 5.0 - len(key)) for key in turned))
        assert [a.record.key for a in alarms.standing] == order


def test_many_high_alarms_are_all_there_and_the_rest_is_counted() -> None:
    alarms = book(*(record(key, time_s=1.0) for key in ("map.low", "asystole", "no_pulse")))
    assert keys(shown(alarms)["high"]) == ["asystole", "no_pulse", "map.low"] and shown(alarms)["high"].more == 0
    for number, key in enumerate(("hr.low", "brady.extreme", "resp.low")):
        alarms.apply(record(key, time_s=2.0 + number))
    field = shown(alarms)["high"]
    assert keys(field) == ["asystole", "no_pulse", "brady.extreme", "resp.low"] and field.more == 2


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(PRIORITIES), st.booleans(),
                          st.sampled_from(["physiological", "technical"]), st.integers(0, 50)), max_size=25),
       st.floats(0, 100))  # fmt: skip
def test_no_alarm_is_lost_and_worst_and_newest_are_always_in_sight(
    events: list[tuple[str, str, bool, str, int]], now_s: float
) -> None:
    alarms, standing, since = AlarmBook(), {}, {}
    for key, priority, active, kind, time_s in sorted(events, key=lambda event: event[4]):
        alarms.apply(record(key, priority, kind, time_s, active))
        if active:
            standing[key] = (priority, kind)
            since.setdefault(key, time_s)
        else:
            standing.pop(key, None)
            since.pop(key, None)
    found = shown(alarms, now_s)
    assert {a.record.key: a.since_s for a in alarms.standing} == pytest.approx(since)
    for name in FIELDS:
        mine = {key for key in standing if field_of(record(key, *standing[key])) == name}
        field = found[name]
        assert len(set(keys(field))) == len(field.alarms) and set(keys(field)) <= mine
        assert len(field.alarms) + field.more == len(mine) and len(field.alarms) == min(len(mine), ROOM[name])
        if mine:
            ranked = [a.record.key for a in alarms.standing if a.record.key in mine]
            assert field.alarms[0].record.key == ranked[0]
            assert max(since[key] for key in mine) in {a.since_s for a in field.alarms}


def test_an_end_is_an_end_and_worst_and_present_value_stand_together() -> None:
    alarms = book(record("hr.low", time_s=3.0, now="36"))
    alarms.apply(record("hr.low", time_s=9.0, now="47"))
    (alarm,) = alarms.standing
    assert (alarm.words, alarm.now, alarm.since_s) == ("*** HR.LOW", "now 47", 3.0)
    alarms.apply(record("hr.low", time_s=10.0, active=False))
    assert not alarms.standing and not len(alarms)
    alarms.apply(record("hr.low", time_s=20.0))
    assert alarms.standing[0].since_s == 20.0 and not alarms.standing[0].acknowledged


def test_acknowledged_alarms_stay_and_one_that_gets_worse_speaks_up_again() -> None:
    alarms = book(record("map.low", "medium"), record("hr.low"))
    assert alarms.acknowledge() == {"map.low": 0.0, "hr.low": 0.0}
    alarms.apply(record("map.low", "medium", now="55"))
    assert [a.acknowledged for a in alarms.standing] == [True, True] and len(shown(alarms)["high"].alarms) == 1
    alarms.apply(record("map.low", "high", now="45"))
    assert {a.record.key: a.acknowledged for a in alarms.standing} == {"map.low": False, "hr.low": True}
    alarms.apply(record("new"))
    assert not next(a for a in alarms.standing if a.record.key == "new").acknowledged


def test_memory_is_bounded_and_what_is_dropped_is_the_least() -> None:
    alarms = book(record("asystole"), *(record(f"k{n}", "low", time_s=float(n)) for n in range(1000)))
    assert len(alarms) == AlarmBook.KEPT and alarms.standing[0].record.key == "asystole"


def test_the_number_an_alarm_is_about() -> None:
    of = {key: [m for m in Modality if alarm_of(m, [Alarm(record(key), 0.0)], Modality.RESP)] for key in KEYS}
    assert of["asystole"] == of["hr.low"] == of["vtach"] == [Modality.ECG]
    assert of["map.low"] == of["abp.disconnect"] == [Modality.ABP] and of["no_pulse"] == [Modality.ABP, Modality.PPG]
    assert of["risk.hypotension"] == []
    resp = [Alarm(record("resp.low"), 0.0)]
    for rows, its in (
        ({Modality.ECG, Modality.RESP, Modality.CO2}, Modality.RESP),
        ({Modality.ECG, Modality.CO2, Modality.AWP}, Modality.CO2),
        ({Modality.ECG, Modality.CVP}, Modality.ECG),
    ):
        assert [m for m in Modality if alarm_of(m, resp, breaths_row(rows))] == [its], "in one row, wherever that is"
    assert alarm_of(Modality.ECG, [Alarm(record("ecg.no_beats", "medium", "technical"), 0.0)], Modality.RESP) is None


def test_a_long_run_keeps_its_phase() -> None:
    assert math.isclose(sum(lit("high", 1e6 + t / 100, STYLE) for t in range(1000)) / 1000, STYLE.duty, abs_tol=0.02)
