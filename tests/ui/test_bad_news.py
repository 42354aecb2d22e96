"""Bad news is a measurement: what numerics and prediction tile say of a patient who is dying, or may be."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.estimable import forbidden
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from streams.records import ArrhythmiaCall, PredictionRecord, RhythmRecord, StateRecord, VitalsRecord
from tests.ui.synthetic import NS, Chapter, FakeSession, Patient
from ui.bed.alarm_view import NO_CIRCULATION
from ui.bed.findings_words import circulation, pulse_finding, rhythm_finding
from ui.bed.liveness import Life, Moment
from ui.bed.prediction_view import PredictionWords, prediction_words
from ui.bed.readouts import Readout, readout
from ui.bed.state import DisplayState
from ui.style.theme import default_theme
from ui.waves.backdrop import header_of
from ui.waves.scales import LaneScale

THEME = default_theme()
ECG, ABP, PPG, EEG = MODEL_MODALITIES
NO_PULSE = {ABP: Pulse.NONE, PPG: Pulse.NONE}
FLAT_12 = {"hr": None, "pulse_rate": None, "abp_sys": None, "abp_dia": None, "abp_map": 12.0, "rppg_delay_s": None}
NO_RISK = {"abstain": True, "risk": {}, "reason": "no rhythm"}


def at(event_s: float, **changes: object) -> Moment:
    return Moment(event_s, 100.0 + event_s, **changes)  # type: ignore[arg-type]


def play(patient: Patient, until_s: float) -> DisplayState:
    state = DisplayState(THEME)
    state.set_channels(FakeSession().channels)
    for seq in range(round(until_s / 0.05)):
        for record in patient.tick(seq):
            state.apply(record, 100.0 + seq * 0.05)
    return state


def numbers(state: DisplayState, moment: Moment) -> dict[Modality, Readout]:
    return {lane.modality: readout(state, lane, moment) for lane in state.lanes}


def tile(state: DisplayState, event_s: float, **changes: object) -> PredictionWords:
    return prediction_words(state, at(event_s, **changes))


# Measured pressure, whatever it says ------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [12.0, 3.0, 0.0, -2.0])
def test_a_pressure_without_a_pulse_has_a_mean_and_says_so(mean: float) -> None:
    chapter = Chapter(4, 99, pulse=NO_PULSE, vitals={**FLAT_12, "abp_map": mean}, predicted=NO_RISK)
    found = numbers(play(Patient(story=[chapter]), 8.5), at(8.5))
    assert (found[ABP].value, found[ABP].second) == ("-?-", f"{mean:.0f}")
    assert found[ABP].finding.words == found[PPG].finding.words == "NO PULSE"
    assert found[ABP].finding.priority == "high" and not found[ABP].estimated and found[PPG].value == "-?-"


@pytest.mark.parametrize("level", [12.0, 5.0, 0.0, -4.0])
def test_a_pressure_near_zero_is_drawn_in_view(level: float) -> None:
    scale = LaneScale(THEME.lanes[ABP], height_mm=30.0)
    scale.observe((62.0, 121.0), 0.0)
    assert scale.observe((level - 0.4, level + 0.4), 1.0)
    y = scale.scale.y(level, 0.0, 100.0)
    assert 10.0 < y < 90.0 and scale.scale.low <= -10.0 and 0.0 in scale.scale.ticks
    for second in range(2, 40):
        scale.observe((level - 0.4, level + 0.4), float(second))
    assert scale.scale.high <= 60.0 and 10.0 < scale.scale.y(level, 0.0, 100.0) < 90.0


def test_noise_is_not_blown_up_until_it_looks_like_a_pulse() -> None:
    scale = LaneScale(THEME.lanes[PPG], height_mm=30.0)
    scale.observe((0.2, 1.2), 0.0, Pulse.PRESENT)
    for second in range(1, 40):
        scale.observe((0.59, 0.61), float(second), Pulse.NONE)
    assert 0.02 / (scale.scale.high - scale.scale.low) < 0.03
    fresh = LaneScale(THEME.lanes[PPG], height_mm=30.0)
    fresh.observe((0.59, 0.61), 0.0, Pulse.UNKNOWN)  # it takes seconds to know
    assert 0.02 / (fresh.scale.high - fresh.scale.low) < 0.25
    fresh.observe((0.59, 0.61), 3.0, Pulse.NONE)
    assert 0.02 / (fresh.scale.high - fresh.scale.low) < 0.25
    assert fresh.observe((0.2, 1.2), 4.0, Pulse.PRESENT) and fresh.scale.high > 1.2


# Rhythm in words --------------------------------------------------------------------------------------------------


def rhythm(kind: Rhythm, *calls: ArrhythmiaCall) -> RhythmRecord:
    return RhythmRecord(bed="Bed 3", session="s", epoch=0, time_ns=0, rhythm=kind.value, pulse={}, calls=list(calls))


@pytest.mark.parametrize(("record", "words", "priority"), [
    (rhythm(Rhythm.BEATS), "", ""), (rhythm(Rhythm.UNKNOWN), "", ""),
    (rhythm(Rhythm.STILL), "ASYSTOLE?", "medium"), (rhythm(Rhythm.FIBRILLATION), "VF?", "medium"),
    (rhythm(Rhythm.UNCLEAR), "BEATS NOT CLEAR", "medium"),
    (rhythm(Rhythm.STILL, ArrhythmiaCall("asystole", "confirmed", "no pulse", 5.0)), "ASYSTOLE", "high"),
    (rhythm(Rhythm.STILL, ArrhythmiaCall("asystole", "unopposed", "", 5.0)), "ASYSTOLE", "high"),
    (rhythm(Rhythm.STILL, ArrhythmiaCall("asystole", "contradicted", "PPG pulses", 5.0)), "ASYSTOLE?", "medium"),
    (rhythm(Rhythm.FIBRILLATION, ArrhythmiaCall("vfib", "confirmed", "no pulse")), "VF", "high"),
    (rhythm(Rhythm.BEATS, ArrhythmiaCall("vtach", "contradicted", "PPG pulses", 180.0)), "VT?", "medium"),
    (rhythm(Rhythm.BEATS, ArrhythmiaCall("tachy.extreme", "confirmed", "", 180.0)), "", ""),
])  # fmt: skip
def test_the_rhythm_in_a_word(record: RhythmRecord, words: str, priority: str) -> None:
    found = rhythm_finding(record)
    assert (found.words, found.priority) == (words, priority)


@pytest.mark.parametrize("kind", [Rhythm.STILL, Rhythm.FIBRILLATION, Rhythm.UNCLEAR])
def test_what_cannot_be_counted_has_no_rate_from_the_ecg_but_from_a_pulse(kind: Rhythm) -> None:
    by_ecg = Chapter(4, 99, kind, vitals={"hr": 117.0, "hr_source": "ECG"})
    assert numbers(play(Patient(story=[by_ecg]), 8.5), at(8.5))[ECG].value == "-?-"
    call = ArrhythmiaCall("asystole", "contradicted", "PPG pulses at 82/min", 5.0)
    by_pulse = Chapter(4, 99, kind, calls=[call], vitals={"hr": 82.0, "hr_source": "PPG"})
    heart = numbers(play(Patient(story=[by_pulse]), 8.5), at(8.5))[ECG]
    assert heart.value == "82" and heart.notes[:2] == ("PPG pulses at 82/min", "from PPG PLETH")


def test_a_pulse_rate_that_is_not_the_fingers_says_whose_it_is() -> None:
    off = Patient(absent={PPG: [(4, 99, Absence.ARTEFACT)]}, story=[Chapter(4, 99, vitals={"pulse_rate": 75.0})])
    found = numbers(play(off, 9.5), at(9.5))[PPG]
    assert found.value == "75" and "from ABP ART (PPG artefact)" in found.notes
    assert not any("from" in note for note in numbers(play(Patient(), 9.5), at(9.5))[PPG].notes)


@pytest.mark.parametrize(("key", "verdict", "value"), [
    ("asystole", "confirmed", "-?-"), ("vfib", "unopposed", "-?-"), ("asystole", "contradicted", "64"),
    ("brady.extreme", "confirmed", "64"),
])  # fmt: skip
def test_p_waves_of_a_heart_that_stands_still_are_no_rate(key: str, verdict: str, value: str) -> None:
    call = ArrhythmiaCall(key, verdict, "ABP and PPG show no pulse", 9.0)
    chapter = Chapter(4, 99, Rhythm.BEATS, calls=[call], vitals={"hr": 64.0, "hr_source": "ECG"})
    assert numbers(play(Patient(story=[chapter]), 8.5), at(8.5))[ECG].value == value


def test_findings_are_as_bad_as_their_alarms() -> None:
    def of(modality: Modality, kind: Rhythm, abp: Pulse, ppg: Pulse) -> str:
        return pulse_finding(Findings(kind, {ABP: abp, PPG: ppg}), modality).priority

    none, there, unknown = Pulse.NONE, Pulse.PRESENT, Pulse.UNKNOWN
    assert of(ABP, Rhythm.BEATS, none, none) == of(PPG, Rhythm.BEATS, none, none) == "high"
    assert of(ABP, Rhythm.BEATS, none, unknown) == "high" and of(PPG, Rhythm.STILL, unknown, none) == "high"
    assert of(ABP, Rhythm.BEATS, none, there) == of(PPG, Rhythm.BEATS, there, none) == "medium"
    assert of(PPG, Rhythm.BEATS, unknown, none) == "medium" and of(ABP, Rhythm.STILL, none, there) == "high"
    assert of(ABP, Rhythm.BEATS, there, none) == of(PPG, Rhythm.BEATS, none, there) == ""


# Estimates end with the news --------------------------------------------------------------------------------------


def shows_estimate(state: DisplayState, event_s: float) -> bool:
    return numbers(state, at(event_s))[ABP].estimated


@pytest.mark.parametrize(("chapter", "said"), [
    (Chapter(9, 99, pulse={PPG: Pulse.NONE}), "estimate ended: the PPG shows no pulse"),
    (Chapter(9, 99, Rhythm.STILL), "estimate ended: the ECG is still"),
    (Chapter(9, 99, Rhythm.FIBRILLATION), "estimate ended: the ECG shows fibrillation"),
    (Chapter(9, 99, overdue=(PPG,)), "estimate ended: the next pulse on the PPG is late"),
])  # fmt: skip
def test_an_estimate_ends_with_the_second_that_brings_bad_news_however_slow_the_model(
    chapter: Chapter, said: str
) -> None:
    patient = Patient(absent={ABP: [(3, 99, Absence.NO_DATA)]}, story=[chapter], prediction_delay_s=0.4)
    state = play(patient, 9.55)
    lane = state.lane("ABP")
    assert shows_estimate(state, 9.55)
    for record in patient.second(10):
        state.apply(record, 110.0)
    assert state.prediction.pressures and not state.prediction.not_estimable.get("ABP"), "the model still offers one"
    assert not shows_estimate(state, 10.0)
    end = lane.estimate.line.ring.end
    beam = state.clock.position_s - lane.estimate.lag_s
    assert not np.isfinite(lane.estimate.line.ring.read(int(beam * 100) + 2, end)).any(), "the wave ends, too"
    state.apply(patient.prediction(10), 110.1)
    assert not np.isfinite(lane.estimate.line.ring.read(int(beam * 100) + 2, 2000)).any()
    scale = LaneScale(lane.style, 30.0)
    assert header_of(lane, scale, "", 10.0).status == f"NO SIGNAL 7 s · {said}", "one reason, not two"


def test_without_findings_there_is_no_estimate() -> None:
    patient = Patient(absent={ABP: [(3, 99, Absence.NO_DATA)]})
    state = play(patient, 9.55)
    assert shows_estimate(state, 9.55)
    state.rhythm = None
    assert not shows_estimate(state, 9.55)


def test_an_estimate_stands_on_its_own_where_the_risk_abstains() -> None:
    chapter = Chapter(0, 99, predicted=NO_RISK)
    state = play(Patient(absent={ABP: [(3, 99, Absence.NO_DATA)]}, story=[chapter]), 9.55)
    found = numbers(state, at(9.55))
    assert found[ABP].estimated and found[ABP].value == "59–73"
    assert found[EEG].notes[-1].startswith("depth (not BIS) 38–55")
    words = tile(state, 9.55)
    assert {risk.value for risk in words.risks} == {"-?-"} and words.reason == "no risk given: no rhythm"


def test_depth_and_edge_vanish_with_the_eeg() -> None:
    state = play(Patient(absent={EEG: [(5, 99, Absence.LEAD_OFF)]}), 9.55)
    rogue = Patient().prediction(9)
    assert rogue.depth is not None
    state.apply(rogue, 109.5)
    eeg = numbers(state, at(9.55))[EEG]
    assert eeg.value == "-?-" and eeg.notes == ("sensor off for 4 s",) and not eeg.estimated


# The tile: facts before probabilities -----------------------------------------------------------------------------


def test_a_low_pressure_is_said_with_its_length_and_no_probability() -> None:
    state = play(Patient(story=[Chapter(4, 12, vitals={"abp_map": 58.0})]), 11.5)
    news = tile(state, 11.5).news
    assert (news.headline, news.detail, news.priority) == ("MAP < 65 NOW", "for 6 s · 58 mmHg", "medium")
    assert {risk.value for risk in tile(state, 11.5).risks} == {"-?-"}
    deeper = play(Patient(story=[Chapter(4, 12, vitals={"abp_map": 41.0})]), 11.5)
    assert tile(deeper, 11.5).news.priority == "high"
    recovered = play(Patient(story=[Chapter(4, 12, vitals={"abp_map": 58.0})]), 13.5)
    assert tile(recovered, 13.5).news is None and tile(recovered, 13.5).risks[0].value == "71"


def test_an_unknown_pressure_is_neither_low_now_nor_recovered() -> None:
    absent = {ABP: [(8, 20, Absence.NO_DATA)]}
    low = [Chapter(4, 8, vitals={"abp_map": 58.0})]
    state = play(Patient(absent=absent, story=low, restore=False), 15.5)
    news = tile(state, 15.5).news
    assert (news.headline, news.detail, news.priority) == ("LAST KNOWN MAP 58 < 65", "7 s ago; not known now", "")
    again = play(Patient(absent=absent, story=[*low, Chapter(20, 99, vitals={"abp_map": 60.0})], restore=False), 23.5)
    assert tile(again, 23.5).news.detail.startswith("for 2 s"), "what lies before a gap is not counted in"


def test_a_low_estimate_says_that_it_is_one() -> None:
    chapter = Chapter(4, 99, predicted={"pressures": {"map": (62.0, 56.0, 69.0), "sbp": (80.0, 70.0, 90.0),
                                                      "dbp": (50.0, 40.0, 60.0)}})  # fmt: skip
    state = play(Patient(absent={ABP: [(3, 99, Absence.WITHHELD)]}, story=[chapter]), 11.5)
    news = tile(state, 11.5).news
    assert (news.headline, news.priority) == ("ESTIMATED MAP < 65 (56–69)", "medium") and news.detail == "for 6 s"
    state.apply(msgspec.structs.replace(state.rhythm, pulse={"PPG": "none"}), 111.5)
    news = tile(state, 11.5).news
    assert news is None or "ESTIMATED" not in news.headline


@pytest.mark.parametrize(("findings", "headline", "priority"), [
    (Findings(Rhythm.BEATS, NO_PULSE), "NO PULSE", "high"),
    (Findings(Rhythm.BEATS, {PPG: Pulse.NONE}), "NO PULSE", "medium"),
    (Findings(Rhythm.BEATS, {ABP: Pulse.NONE, PPG: Pulse.PRESENT}), "PULSE ON PPG, NONE ON ABP", "medium"),
    (Findings(Rhythm.BEATS, {ABP: Pulse.PRESENT, PPG: Pulse.NONE}), "PULSE ON ABP, NONE ON PPG", "medium"),
    (Findings(Rhythm.STILL), "NO HEARTBEAT ON THE ECG", "high"),
    (Findings(Rhythm.FIBRILLATION), "NO HEARTBEAT ON THE ECG", "high"),
    (Findings(Rhythm.STILL, {PPG: Pulse.PRESENT}), "", ""), (Findings(Rhythm.BEATS, {ABP: Pulse.PRESENT}), "", ""),
    (Findings(), "", ""),
])  # fmt: skip
def test_the_circulation_in_a_headline(findings: Findings, headline: str, priority: str) -> None:
    found = circulation(findings)
    assert (found.words, found.priority) == (headline, priority)


def test_no_pulse_comes_before_a_low_pressure_and_before_any_risk() -> None:
    chapter = Chapter(4, 99, pulse=NO_PULSE, vitals=FLAT_12)  # and a model that has not noticed
    words = tile(play(Patient(story=[chapter]), 9.5), 9.5)
    assert words.news.headline == "NO PULSE" and {risk.value for risk in words.risks} == {"-?-"}
    open_line = Chapter(4, 99, pulse={ABP: Pulse.NONE}, vitals={"abp_sys": None, "abp_dia": None, "abp_map": 2.0})
    words = tile(play(Patient(story=[open_line]), 9.5), 9.5)
    assert words.news.headline == "PULSE ON PPG, NONE ON ABP", (
        "a pressure that the finger contradicts is not called low"
    )
    cuff = Chapter(4, 99, pulse={PPG: Pulse.NONE}, vitals={"abp_map": 58.0})
    assert tile(play(Patient(story=[cuff]), 9.5), 9.5).news.headline == "MAP < 65 NOW"


@pytest.mark.parametrize("key", sorted(NO_CIRCULATION))
def test_a_standing_alarm_without_circulation_is_the_news(key: str) -> None:
    state = play(Patient(), 9.5)
    state.apply(Patient().alarm(key, "*** ASYSTOLE", "high", "physiological", reason="no pulse"), 109.5)
    assert tile(state, 9.5).news.headline == "ASYSTOLE"
    state.apply(Patient().alarm(key, "ASYSTOLE?", "medium", "physiological"), 109.6)
    assert tile(state, 9.5).news is None


def test_nothing_is_green_beside_a_high_alarm() -> None:
    state = play(Patient(risk_15=0.3), 9.5)
    assert {risk.band for risk in tile(state, 9.5).risks} == {"low"}
    state.apply(Patient().alarm("vtach", "V-TACH", "high", "physiological"), 109.5)
    assert {risk.band for risk in tile(state, 9.5).risks} == {"plain"}


@pytest.mark.parametrize("life", [Life.LOST, Life.ENDED, Life.WAITING])
def test_a_screen_that_is_not_live_says_no_now(life: Life) -> None:
    state = play(Patient(story=[Chapter(4, 99, vitals={"abp_map": 58.0})]), 9.5)
    words = prediction_words(state, Moment(9.5, 120.0, life))
    assert words.news is None and {risk.value for risk in words.risks} == {"-?-"}
    assert all(found.invalid and not found.second for found in numbers(state, Moment(9.5, 120.0, life)).values())


# Whatever comes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Second:
    """What one second of a random run brings; None: that record does not come."""

    absence: dict[Modality, Absence] | None
    rhythm: Rhythm | None
    pulse: dict[Modality, Pulse]
    overdue: bool
    vitals: bool
    prediction: str
    wait_s: float


seconds = st.lists(
    st.builds(
        Second,
        st.none() | st.dictionaries(st.sampled_from([ECG, ABP, PPG, EEG]), st.sampled_from(list(Absence)), max_size=4),
        st.none() | st.sampled_from(list(Rhythm)),
        st.dictionaries(st.sampled_from([ABP, PPG]), st.sampled_from(list(Pulse))),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["", "ordinary", "abstains", "invalid", "refused"]),
        st.sampled_from([0.0, 0.0, 0.0, 2.0, 5.0]),
    ),
    min_size=1,
    max_size=14,
)
HEAD: dict[str, object] = {"bed": "Bed 3", "session": "s", "epoch": 0}


def prediction(second: int, kind: str) -> PredictionRecord:
    made = msgspec.structs.replace(
        Patient().prediction(second),
        pressures={"map": (91.0, 84.0, 98.0), "sbp": (133.0, 120.0, 140.0), "dbp": (77.0, 70.0, 84.0)},
        valid=kind != "invalid",
    )
    if kind == "abstains":
        made = msgspec.structs.replace(made, **NO_RISK)
    return msgspec.structs.replace(made, not_estimable={"ABP": "too wide"}) if kind == "refused" else made


@settings(max_examples=150, deadline=None)
@given(seconds, st.sampled_from([0.25, 1.0, 4.0]), st.sampled_from([Life.LIVE, Life.PAUSED, Life.LOST, Life.ENDED]))
def test_no_sequence_of_records_shows_a_forbidden_estimate_or_an_old_number(
    run: list[Second], speed: float, last: Life
) -> None:
    """Numbers tell where they come from: HR is 100 plus the second of the vitals, estimates are 91 and 133/77."""
    state = DisplayState(THEME)
    state.set_channels(FakeSession().channels)
    wall, absence, findings, heard = 1000.0, {}, None, -1e9
    came: dict[int, float] = {}
    newest = -1
    for k, second in enumerate(run, start=1):
        wall += 1.0 / speed
        if second.absence is not None:
            absence = {m: second.absence.get(m) for m in MODEL_MODALITIES}
            reasons = {m.value: reason or "" for m, reason in absence.items()}
            state.apply(StateRecord(**HEAD, time_ns=k * NS, state=reasons), wall)  # type: ignore[arg-type]
        if second.vitals:
            pressures = {"abp_sys": 118.0, "abp_dia": 71.0, "abp_map": 86.0} if not absence.get(ABP) else {}
            state.apply(VitalsRecord(**HEAD, time_ns=k * NS, hr=100.0 + k, hr_source="PPG", **pressures), wall)  # type: ignore[arg-type]
            came[k] = wall
        if second.rhythm is not None:
            overdue = frozenset({PPG} if second.overdue else ())
            findings, heard, newest = Findings(second.rhythm, second.pulse, overdue), wall, k
            record = RhythmRecord(**HEAD, time_ns=k * NS, rhythm=second.rhythm.value,  # type: ignore[arg-type]
                                  pulse={m.value: p.value for m, p in second.pulse.items()},
                                  overdue=[m.value for m in overdue])  # fmt: skip
            state.apply(record, wall)
        if second.prediction:
            state.apply(prediction(k, second.prediction), wall)
        wall += second.wait_s
        life = last if k == len(run) else Life.LIVE
        moment = Moment(float(k), wall, life, wall if life is Life.PAUSED else -1e9, speed)
        limit_s = 3.0 / min(1.0, speed)
        known = wall - heard <= limit_s or life is Life.PAUSED
        refused = not known or k - newest > 3 or bool(forbidden(ABP, findings or Findings(), absence))
        for lane in state.lanes:
            found = readout(state, lane, moment)
            words = " ".join((found.value, found.second))
            if "–" in words:
                assert found.estimated and found.mark == "ESTIMATED" and lane.modality is ABP
                assert not refused and absence.get(ABP) is not None and life is not Life.LOST
            assert found.estimated == ("–" in words) and (found.estimated or found.mark != "ESTIMATED")
            if lane.modality is ECG and re.fullmatch(r"\d+", found.value):
                of = int(found.value) - 100
                assert k - of <= 3 and (wall - came[of] <= limit_s or life is Life.PAUSED) and life is not Life.LOST
        said = prediction_words(state, moment)
        if said.news is not None:
            assert {risk.value for risk in said.risks} == {"-?-"}
            assert "ESTIMATED" not in said.news.headline or not refused
