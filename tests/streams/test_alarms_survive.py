"""From the wave to the alarm: what must stand, how soon, and that no loss, return, seek or pause silences it."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.signals.modalities import Modality
from streams.alarms import AlarmEngine
from streams.alarms.circulation import REPLACES
from streams.alarms.limits import HOLD_S
from streams.records import AlarmRecord
from tests.signals.waves import RATE, beat_times, pulse
from tests.streams.bedside import ABP, ECG, PPG, Bedside, Signals, arrest, fibrillation, noise, well
from tests.streams.test_alarms import rhythm, risk, vitals

ONSET_S = 25.0
LAST_S = 75
RED_S, PRESSURE_S = 10.0, 20.0
OF_ARREST = {"pea": {"no_pulse"}, "asystole": {"asystole", "no_pulse"}, "vfib": {"vfib", "no_pulse"}}


@cache
def played(kind: str, parts: tuple[Modality, ...] = (ECG, ABP, PPG)) -> Bedside:
    return Bedside(arrest(kind, LAST_S, ONSET_S, parts)).play(0, LAST_S)


# -- what must stand, and how soon ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OF_ARREST)
def test_an_arrest_is_red_within_ten_seconds_and_its_pressure_within_twenty(kind: str) -> None:
    bed = played(kind)
    for key in OF_ARREST[kind]:
        assert ONSET_S < bed.first(key, "high") <= ONSET_S + RED_S, key
    assert ONSET_S < bed.first("map.low", "high") <= ONSET_S + PRESSURE_S
    told = OF_ARREST[kind] | {"map.low", "abp.no_pulse", "ppg.no_pulse", "hr.low"}
    assert bed.physiological() <= told | ({"vtach"} if kind == "vfib" else set())
    for second in range(int(ONSET_S + PRESSURE_S), LAST_S):
        assert bed.red(second) >= OF_ARREST[kind] | {"map.low"}, second


@pytest.mark.parametrize("kind", OF_ARREST)
def test_a_pressure_that_leaves_its_range_keeps_its_alarm_and_the_present_value_follows(kind: str) -> None:
    """115/60 to 12 mmHg: once the alarm stands, it stands, and says 12 in the end."""
    bed = played(kind)
    begun = int(bed.first("map.low")) + 1
    now = [bed.at[0, second]["map.low"].now for second in range(begun, LAST_S)]
    values = [int(value) for value in now]
    assert values == sorted(values, reverse=True) and values[-1] == 12
    assert bed.standing["map.low"].text == "ABP LOW 12 < 65"


@pytest.mark.parametrize(
    ("kind", "parts", "key"),
    [("asystole", (ECG,), "asystole"), ("vfib", (ECG,), "vfib"), ("pea", (ABP,), "abp.no_pulse"),
     ("pea", (ECG, ABP), "abp.no_pulse"), ("asystole", (ECG, PPG), "no_pulse"), ("pea", (ABP, PPG), "no_pulse")],
)  # fmt: skip
def test_fewer_sensors_say_it_as_soon(kind: str, parts: tuple[Modality, ...], key: str) -> None:
    bed = played(kind, parts)
    assert ONSET_S < bed.first(key, "high") <= ONSET_S + RED_S
    assert all(key in bed.red(second) for second in range(int(bed.first(key, "high")) + 1, LAST_S))


def test_one_finger_alone_without_a_pulse_is_told_but_not_cried() -> None:
    bed = played("pea", (ECG, PPG))
    assert ONSET_S < bed.first("ppg.no_pulse") <= ONSET_S + RED_S + 3
    assert all(bed.red(second) == set() for second in range(1, LAST_S))
    assert "the ECG beats" in bed.standing["ppg.no_pulse"].reason


@pytest.mark.parametrize("lead", ["asystole", "vfib"])
@pytest.mark.parametrize("parts", [(ECG,), (ECG, ABP, PPG)])
def test_an_arrest_from_the_first_sample_is_red(lead: str, parts: tuple[Modality, ...]) -> None:
    whole: Signals = {
        ECG: noise(40, 0.01) if lead == "asystole" else fibrillation(40),
        ABP: 14.0 + noise(40, 0.1),
        PPG: 0.3 + noise(40, 0.002),
    }
    bed = Bedside({m: whole[m].astype(np.float32) for m in parts}).play(0, 40)
    assert bed.first(lead, "high") <= RED_S
    if ABP in parts:
        assert bed.first("no_pulse", "high") <= RED_S and bed.first("map.low", "high") <= PRESSURE_S
    assert all(lead in bed.red(second) for second in range(10, 40))


def with_pressure(wave: np.ndarray, seconds: int = 60) -> Bedside:
    return Bedside({**well(seconds), ABP: wave.astype(np.float32)}).play(0, seconds)


def after(then: np.ndarray, seconds: int = 60, onset_s: float = ONSET_S) -> np.ndarray:
    return np.where(np.arange(seconds * RATE) < onset_s * RATE, well(seconds)[ABP], then)


def test_an_open_line_is_announced_and_the_patient_is_not_called_dead() -> None:
    bed = with_pressure(after(0.5 + noise(60, 0.1)))
    assert ONSET_S < bed.first("abp.disconnect", "high") <= ONSET_S + RED_S
    assert "the PPG pulses" in bed.standing["abp.disconnect"].reason
    assert bed.standing["abp.disconnect"].now in ("mean 0", "mean 1")
    assert bed.physiological() <= {"abp.disconnect", "abp.no_pulse", "map.low"}


def test_a_line_that_wobbles_about_zero_is_open_too() -> None:
    bed = with_pressure(after(pulse(beat_times(75, 60), 60, -8.0, 14.0)))
    assert bed.first("abp.disconnect", "high") <= ONSET_S + PRESSURE_S
    assert "no_pulse" not in bed.physiological()


def test_a_damped_line_beside_a_pulsing_finger_is_medium_and_says_why() -> None:
    bed = with_pressure(after(88.0 + noise(60, 0.2)))
    assert ONSET_S < bed.first("abp.no_pulse") <= ONSET_S + RED_S
    assert bed.physiological() == {"abp.no_pulse"} and bed.first("abp.no_pulse", "high") == float("inf")
    assert "the PPG pulses: line damped" in bed.standing["abp.no_pulse"].reason
    assert bed.vitals[-1].abp_map == pytest.approx(88, abs=1) and bed.vitals[-1].abp_sys is None


def test_a_flush_is_no_emergency() -> None:
    wave = well(60)[ABP].copy()
    wave[2500:2800] = 285.0 + noise(3, 0.3)
    bed = with_pressure(wave)
    assert bed.physiological() == set()
    assert any(a.key == "technical.ABP" and "FLUSHED" in a.text for _, a in bed.changes)


def test_a_finger_that_is_lost_while_the_pressure_falls_hides_nothing() -> None:
    times = beat_times(80, LAST_S)
    low = pulse(times + 0.2, LAST_S, 38.0, 62.0) + noise(LAST_S, 0.2)
    wave = np.where(np.arange(LAST_S * RATE) < 35 * RATE, well(LAST_S)[ABP], low).astype(np.float32)
    for how in ("gone", "withheld"):
        bed = Bedside({**well(LAST_S), ABP: wave}).play(0, LAST_S, **{how: {PPG: (ONSET_S, 999.0)}})
        assert 35 < bed.first("map.low") <= 35 + PRESSURE_S
        assert bed.physiological() == {"map.low"}
        assert all({"map.low", "technical.PPG"} <= bed.keys(s) for s in range(int(35 + PRESSURE_S), LAST_S))


def test_a_patient_who_is_well_alarms_nothing() -> None:
    assert Bedside(well(60)).play(0, 60).changes == []


# -- loss and return ----------------------------------------------------------------------------------------------

LOST_S = (42.0, 57.0)
SUBSETS = [set(some) for count in (1, 2, 3) for some in combinations((ECG, ABP, PPG), count)]
SAYS = {"pea": {ABP, PPG}, "asystole": {ECG, ABP, PPG}, "vfib": {ECG, ABP, PPG}}
"""Which sensors bring the bad news."""


@cache
def before_the_loss(kind: str) -> Bedside:
    return Bedside(arrest(kind, LAST_S, ONSET_S)).play(0, LOST_S[0])


@cache
def with_loss(kind: str, lost: frozenset[Modality], how: str) -> Bedside:
    """Played to the end; what comes before the loss is the same for all, and played once."""
    return before_the_loss(kind).copied().play(LOST_S[0], LAST_S, goes_on=True, **{how: dict.fromkeys(lost, LOST_S)})


@pytest.mark.parametrize("how", ["withheld", "gone"])
@pytest.mark.parametrize("lost", SUBSETS, ids=["+".join(sorted(some)) for some in SUBSETS])
@pytest.mark.parametrize("kind", OF_ARREST)
def test_the_loss_of_sensors_silences_no_arrest_that_another_shows(kind: str, lost: set[Modality], how: str) -> None:
    bed = with_loss(kind, frozenset(lost), how)
    others = SAYS[kind] - lost
    silent = [second for second in range(int(ONSET_S + RED_S), LAST_S) if not bed.red(second)]
    if others:
        assert silent == []
    else:  # nothing is left to tell: what was said last stands for a while
        assert all(LOST_S[0] + HOLD_S <= second <= LOST_S[1] + RED_S for second in silent)
    for second in range(int(LOST_S[1] + RED_S), LAST_S):
        assert bed.red(second) >= OF_ARREST[kind], f"not back at {second} s"


def test_what_goes_on_from_a_copy_is_what_goes_on() -> None:
    signals = arrest("vfib", LAST_S, ONSET_S)
    through = Bedside(signals).play(0, LAST_S, gone=dict.fromkeys((ABP, ECG), LOST_S))
    bed = with_loss("vfib", frozenset({ABP, ECG}), "gone")
    assert bed.changes == through.changes and bed.vitals == through.vitals and bed.states == through.states


@pytest.mark.parametrize("how", ["withheld", "gone"])
def test_a_lost_pressure_is_held_then_technical_and_returns(how: str) -> None:
    bed = with_loss("pea", frozenset({ABP}), how)
    held = [bed.at[0, second].get("map.low") for second in range(44, 51)]
    assert all(alarm is not None and alarm.now == "-?-" and alarm.text.startswith("ABP LOW") for alarm in held)
    assert "map.low" not in bed.keys(55) and "technical.ABP" in bed.keys(55)
    told = bed.at[0, 55]["no_pulse"]
    assert told.reason == "the PPG shows none, the ABP showed none last, the ECG beats" and told.now == "-?-"
    assert bed.red(LAST_S - 1) >= {"map.low", "no_pulse"}
    assert bed.standing["no_pulse"].reason == "ABP and PPG show none, the ECG beats"


def test_a_pulse_that_comes_back_ends_all_of_it() -> None:
    patient, dead = well(90), arrest("vfib", 90, ONSET_S)
    t = np.arange(90 * RATE) / RATE
    signals = {m: np.where(t < 50, dead[m], patient[m]).astype(np.float32) for m in dead}
    bed = Bedside(signals).play(0, 90)
    assert bed.red(49) >= {"vfib", "no_pulse", "map.low"}
    assert bed.keys(89) == set()
    assert {key for second in range(62, 90) for key in bed.keys(second)} <= {"map.low", "hr.low", "hr.high"}


# -- seek, pause, speed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OF_ARREST)
def test_after_a_seek_into_the_event_the_alarms_stand_again(kind: str) -> None:
    bed = Bedside(arrest(kind, LAST_S, ONSET_S)).play(0, 45).play(40, LAST_S, epoch=1).play(2, 20, epoch=2)
    bed.play(38, LAST_S, epoch=3)
    for epoch, from_s in ((1, 40), (3, 38)):
        for key in OF_ARREST[kind]:
            assert bed.first(key, "high", epoch) <= from_s + RED_S, key
        assert bed.first("map.low", "high", epoch) <= from_s + PRESSURE_S
        for second in range(int(from_s + PRESSURE_S), LAST_S):
            assert bed.red(second, epoch) >= OF_ARREST[kind] | {"map.low"}
    assert all(bed.keys(second, 2) == set() for second in range(3, 21)), "what stood before the seek stands after it"


def test_a_pause_changes_nothing_and_the_length_of_a_tick_next_to_nothing() -> None:
    signals = arrest("vfib", 60, ONSET_S)
    through, broken = Bedside(signals).play(0, 60), Bedside(signals)
    broken.play(0, 60, received_ns=10**15)  # a pause of days or none: alarms know event time alone
    assert through.changes == broken.changes
    for tick_s in (0.05, 1.0):
        other = Bedside(signals, tick_s).play(0, 60)
        assert {a.key for _, a in other.changes} == {a.key for _, a in through.changes}
        for key in through.physiological():
            assert other.first(key) == pytest.approx(through.first(key), abs=1.25)
        assert other.red(59) == through.red(59)


# -- one alarm in the place of another ----------------------------------------------------------------------------


def test_no_risk_beside_a_low_pressure_not_even_for_a_second() -> None:
    engine = AlarmEngine()
    for second in range(1, 6):
        engine.on_prediction(risk(second, 0.95))
        engine.on_vitals(vitals(second, abp_map=80.0))
    assert set(engine.active) == {"risk.hypotension"}
    for second in range(6, 11):
        engine.on_prediction(risk(second, 0.95))
        assert "risk.hypotension" in engine.active
        engine.on_vitals(vitals(second, abp_map=60.0))
    changes = engine.on_vitals(vitals(11, abp_map=60.0))
    assert {(r.key, r.active) for r in changes} == {("map.low", True), ("risk.hypotension", False)}
    for second in range(12, 20):
        assert engine.on_prediction(risk(second, 0.95)) == []
    engine.on_vitals(vitals(20, abp_map=70.0))
    engine.on_prediction(risk(21, 0.95))
    assert [r.key for r in engine.on_prediction(risk(22, 0.95))] == ["risk.hypotension"]


def test_one_lost_pulse_becomes_another_without_a_second_of_neither() -> None:
    engine = AlarmEngine()
    said = [{"ABP": "none"}] * 4 + [{"ABP": "none", "PPG": "none"}] * 3 + [{"PPG": "none", "ABP": ""}] * 3
    said += [{"ABP": "none", "PPG": ""}] * 3 + [{"ABP": "none", "PPG": "present"}] * 3
    priorities = []
    for second, pulse_of in enumerate(said):
        engine.on_vitals(vitals(second))
        engine.on_rhythm(rhythm(second, "beats", **pulse_of))
        priorities.append(sorted(key for key in engine.active))
    keys = [p[0] if p else "" for p in priorities]
    assert all(len(p) <= 1 for p in priorities)
    assert keys[:2] == ["", "abp.no_pulse"] and "" not in keys[1:]
    assert keys[4:13] == ["no_pulse"] * 9, "a silent channel is no recovery"
    assert keys[13:] == ["abp.no_pulse"] * 3, "the finger pulses again: the line is in doubt, not the patient"


def test_a_call_that_is_contradicted_takes_no_graver_alarms_place() -> None:
    for verdict, call, left in (
        ("contradicted", "vfib", {"vfib", "hr.high"}),
        ("unopposed", "vfib", {"vfib"}),
        ("contradicted", "tachy.extreme", {"tachy.extreme"}),  # it judges the very rate
    ):
        engine = AlarmEngine()
        for second in range(8):
            engine.on_vitals(vitals(second, hr=160.0))
            engine.on_rhythm(rhythm(second, "fibrillation", call, verdict=verdict, ABP="present"))
        assert set(engine.active) == left


rates = st.sampled_from([None, 36.0, 38.0, 46.0, 60.0, 130.0, 170.0])
called = st.sets(st.sampled_from(["asystole", "vfib", "vtach", "brady.extreme", "tachy.extreme"]), max_size=2)
verdicts = st.sampled_from(["confirmed", "unopposed", "contradicted"])


@settings(max_examples=200)
@given(st.lists(st.tuples(rates, called, verdicts), max_size=60))
def test_a_limit_that_is_violated_is_told_in_every_second_by_itself_or_by_what_replaces_it(
    seconds: list[tuple[float | None, set[str], str]],
) -> None:
    """Beside an engine that hears the numerics alone."""
    engine, alone = AlarmEngine(), AlarmEngine()
    for second, (rate, calls, verdict) in enumerate(seconds):
        engine.on_vitals(vitals(second, hr=rate))
        alone.on_vitals(vitals(second, hr=rate))
        engine.on_rhythm(rhythm(second, "beats", *sorted(calls), verdict=verdict, PPG="present"))
        for key, by in REPLACES.items():
            replaced = by & engine.active.keys()
            assert (key in engine.active) <= (key in alone.active)
            if key in alone.active:
                assert key in engine.active or replaced, f"neither {key} nor another at {second} s"
                assert engine.active.get(key, alone.active[key]) == alone.active[key], "the worst value was forgotten"


evidence = st.tuples(
    st.sampled_from(["beats", "still", "fibrillation", "unclear", ""]),
    st.sampled_from(["none", "none", "", "present"]),
    st.sampled_from(["none", "none", "", "present"]),
)


@settings(max_examples=300)
@given(st.lists(evidence, min_size=1, max_size=60))
@example([("beats", "", "none"), ("still", "", "none"), ("beats", "", "none")])
def test_a_lost_pulse_stands_until_something_speaks_against_it(seconds: list[tuple[str, str, str]]) -> None:
    """Once red for a lost pulse, it is red or medium in every second until a pulse shows, or nothing has been known of
    any pulse for ten seconds; and it is said of nothing that was not seen."""
    engine = AlarmEngine()
    red, known_s = False, -1000
    seen_none = False
    for second, (rhythm_is, abp, ppg) in enumerate(seconds):
        engine.on_vitals(vitals(second))
        records = engine.on_rhythm(rhythm(second, rhythm_is, ABP=abp, PPG=ppg))
        lost = {key for key in engine.active if key in ("no_pulse", "abp.no_pulse", "ppg.no_pulse")}
        seen_none |= "none" in (abp, ppg)
        assert seen_none or not lost
        if "none" in (abp, ppg):
            known_s = second
        if "present" in (abp, ppg):
            red = False
            assert "no_pulse" not in engine.active, "a pulse is to be seen"
        elif second - known_s > HOLD_S:
            red = False
            assert not lost, "stands for ever"
        elif red:
            assert lost, f"silent at {second} s, and nothing speaks against it"
        red |= any(_red_pulse(record) for record in records)


def _red_pulse(record: AlarmRecord) -> bool:
    return record.active and record.priority == "high" and record.key in ("no_pulse", "abp.no_pulse")
