"""Records in, what the screen shows out: epochs, withheld channels, estimates in absent cells only, numerics, words."""

import msgspec
import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.modalities import MODEL_MODALITIES, Modality
from streams.control import ChannelInfo
from streams.feed import FeedStatus
from streams.records import LeadState, PredictionRecord, RestoredChunk, StateRecord, WaveChunk, WaveTick
from tests.ui.synthetic import NS, FakeSession, Patient
from ui.bed.liveness import Moment
from ui.bed.prediction_view import band_of, prediction_words
from ui.bed.readouts import readout
from ui.bed.state import DisplayState
from ui.bed.status_words import status_words
from ui.panels.shortcuts import SHORTCUTS, next_speed
from ui.style.theme import default_theme, parse_theme
from ui.style.words import clock_words, duration_words, number_words, speed_words
from ui.waves.backdrop import header_of
from ui.waves.scales import LaneScale

THEME = default_theme()


def at(event_s: float, **changes: object) -> Moment:
    """A moment of a patient fed by :func:`feed`: records arrive when they are of."""
    return Moment(event_s, 100.0 + event_s, **changes)  # type: ignore[arg-type]


def told(patient: Patient, second: int, **kind: object) -> DisplayState:
    """A state that knows the prediction of one second, and nothing else."""
    state = DisplayState(THEME)
    state.apply(patient.prediction(second, **kind), 100.0 + second)  # type: ignore[arg-type]
    return state


def state_of(
    patient: Patient, until_s: float, channels: tuple[ChannelInfo, ...] = FakeSession().channels
) -> DisplayState:
    state = DisplayState(THEME)
    state.set_channels(channels)
    feed(state, patient, 0.0, until_s)
    return state


def feed(state: DisplayState, patient: Patient, begin_s: float, until_s: float) -> None:
    for seq in range(round(begin_s / 0.05), round(until_s / 0.05)):
        for record in patient.tick(seq):
            state.apply(record, 100.0 + seq * 0.05)
        state.settle()


def lane(state: DisplayState, modality: Modality):
    found = state.lane(modality.value)
    assert found is not None
    return found


def test_rows_are_the_connected_channels_and_what_the_model_reads() -> None:
    state = DisplayState(THEME)
    only = (ChannelInfo(Modality.ECG, "II", "mV", 500.0), ChannelInfo(Modality.ECG, "V", "mV", 500.0, 1),
            ChannelInfo(Modality.RESP, "RESP", "au", 62.5))  # fmt: skip
    assert state.set_channels(only)
    assert [row.key for row in state.lanes] == ["ECG", "ECG:V", "ABP", "PPG", "EEG", "RESP"]
    assert lane(state, Modality.ABP).absence == Absence.NOT_CONNECTED.value
    assert not state.set_channels(only)
    assert state.lane("ECG") is state.lanes[0] and (state.lanes[1].lead, state.lanes[1].title) == (1, "ECG lead V")


def test_samples_arrive_where_their_index_says() -> None:
    state = state_of(Patient(), 3.0)
    trace = lane(state, Modality.ABP).trace
    assert trace.raw.ring.end == 375
    from tests.ui.synthetic import wave

    np.testing.assert_allclose(trace.raw.ring.read(0, 375), wave(Modality.ABP, np.arange(375) / 125.0), rtol=1e-6)


def test_withheld_truth_is_never_taken_in() -> None:
    state = state_of(Patient(), 2.0)
    values = np.full(125, 80, "<f4").tobytes()
    chunk = WaveChunk("ABP", "ART", 125.0, 0, 250, values, withheld=True)
    state.apply(WaveTick(bed="Bed 3", session="s", epoch=0, tick_seq=40, start_ns=2 * NS, end_ns=3 * NS,
                         chunks=[chunk]), 103.0)  # fmt: skip
    assert lane(state, Modality.ABP).trace.raw.ring.end == 250
    assert np.isnan(lane(state, Modality.ABP).trace.raw.ring.read(250, 375)).all()


def test_a_new_epoch_clears_everything_and_late_records_of_the_old_one_are_ignored() -> None:
    old = Patient(absent={Modality.ABP: [(4, 9, Absence.NO_DATA)]})
    state = state_of(old, 8.0)
    before = state.generation
    state.apply(old.alarm("k", "ABP NO SIGNAL"), 109.0)
    new = Patient(epoch=1)
    for record in new.tick(2000):
        state.apply(record, 110.0)
    assert state.generation == before + 1
    assert state.prediction is None and state.vitals is None and state.last_pressure is None
    assert state.rhythm is None or state.rhythm.epoch == 1
    assert not state.alarms and not state.trend
    assert lane(state, Modality.ABP).estimate is None and len(lane(state, Modality.ABP).cells) <= 1
    for record in old.tick(160):
        state.apply(record, 111.0)
    assert state.clock.newest_s == pytest.approx(100.05)
    assert lane(state, Modality.ECG).trace.raw.ring.start == 50_000


def test_another_bed_is_not_shown() -> None:
    state = state_of(Patient(), 1.0)
    for record in Patient(bed="Bed 4").tick(500):
        state.apply(record, 120.0)
    assert state.bed == "Bed 3" and state.clock.newest_s == pytest.approx(1.0)


def test_estimates_are_kept_in_absent_cells_only_whatever_is_sent() -> None:
    state = state_of(Patient(absent={Modality.ABP: [(4, 6, Absence.FLAT)]}), 8.0)
    everywhere = np.full(300, 77, "<f4").tobytes()
    rogue = Patient().prediction(7)
    chunks = [RestoredChunk(name, 100, 500, everywhere, everywhere, everywhere) for name in ("ABP", "EEG")]
    record = msgspec.structs.replace(rogue, window_end_ns=8 * NS, restored=chunks)
    state.apply(record, 109.0)
    line = lane(state, Modality.ABP).estimate.line.ring
    shown = np.isfinite(line.read(0, 900))
    assert shown[400:600].all() and not shown[:400].any() and not shown[600:].any()
    assert lane(state, Modality.EEG).estimate is None


def test_what_was_estimated_is_never_revised() -> None:
    patient = Patient(absent={Modality.ABP: [(2, 30, Absence.NO_DATA)]})
    state = state_of(patient, 6.0)
    line = lane(state, Modality.ABP).estimate.line.ring
    before = line.read(0, line.end)
    end = line.end
    chunk = RestoredChunk("ABP", 100, 300, *[np.full(200, 11, "<f4").tobytes()] * 3)
    state.apply(msgspec.structs.replace(patient.prediction(5), window_end_ns=7 * NS, restored=[chunk]), 110.0)
    np.testing.assert_array_equal(line.read(0, end), before)


def test_an_invalid_prediction_draws_nothing() -> None:
    patient = Patient(absent={Modality.ABP: [(2, 30, Absence.NO_DATA)]})
    state = DisplayState(THEME)
    state.set_channels(FakeSession().channels)
    for second in range(1, 5):
        for record in patient.second(second):
            state.apply(record, float(second))
        state.apply(patient.prediction(second, valid=False, reason="too late"), float(second))
    assert lane(state, Modality.ABP).estimate is None
    assert not state.trend


def test_measured_pressure_then_estimate_then_nothing() -> None:
    patient = Patient(absent={Modality.ABP: [(5, 99, Absence.NO_DATA)]})
    state = state_of(patient, 4.5)
    measured = readout(state, lane(state, Modality.ABP), at(4.5))
    assert (measured.value, measured.second, measured.mark) == ("118/71", "86", "")
    assert measured.limits.text == "MAP 110 / 65"
    feed(state, patient, 4.5, 12.5)
    estimated = readout(state, lane(state, Modality.ABP), at(12.5))
    assert (estimated.label, estimated.value, estimated.second, estimated.mean) == ("MAP", "59–73", "", "59–73")
    assert estimated.estimated and estimated.mark == "ESTIMATED"
    assert estimated.notes == ("sys 84–101   dia 45–57", "measured 118/71 (86), 8 s ago")
    later = readout(state, lane(state, Modality.ABP), at(20.0))
    assert later.value == "-?-" and later.second == "" and not later.estimated


def test_stale_vitals_are_not_shown_as_current() -> None:
    state = state_of(Patient(), 4.1)
    assert readout(state, lane(state, Modality.ECG), at(6.9)).value == "75"
    assert readout(state, lane(state, Modality.ECG), at(7.1)).invalid


def test_the_source_of_the_heart_rate_is_named() -> None:
    state = state_of(Patient(absent={Modality.ECG: [(2, 9, Absence.LEAD_OFF)]}), 5.5)
    assert readout(state, lane(state, Modality.ECG), at(5.5)).notes == (
        "from ABP ART (ECG sensor off)",
        "RR 12 /min (ECG), no alarm",
    )
    state = state_of(Patient(absent={Modality.EEG: [(2, 9, Absence.ARTEFACT)]}), 5.5)
    eeg = readout(state, lane(state, Modality.EEG), at(5.5))
    assert eeg.value == "-?-" and not eeg.estimated and eeg.notes[0].startswith("artefact for ")
    assert len(eeg.notes) == 1, "depth goes with the EEG"
    whole = state_of(Patient(), 5.5)
    with_eeg = readout(whole, lane(whole, Modality.EEG), at(5.5))
    assert with_eeg.notes[-1] == "depth (not BIS) 38–55, openibis 50"


def test_an_absence_is_timed_from_its_first_reason() -> None:
    state = state_of(Patient(absent={Modality.ABP: [(2, 4, Absence.NO_DATA), (4, 9, Absence.FLAT)]}), 6.5)
    assert lane(state, Modality.ABP).absence == "flat"
    assert lane(state, Modality.ABP).absent_since_s == 2.0


def test_memory_stays_bounded() -> None:
    state = DisplayState(THEME)
    state.set_channels(FakeSession().channels)
    patient = Patient(absent={Modality.ABP: [(0, 10**6, Absence.NO_DATA)]})
    for second in range(1, 1500):  # two and a half times what the longest memory holds
        for record in (*patient.second(second), patient.prediction(second), *[patient.alarm(f"k{second}", "x")]):
            state.apply(record, float(second))
    abp = lane(state, Modality.ABP)
    assert len(abp.cells) == 600 and len(abp.badges) <= 600 and len(state.trend) == 600
    assert abp.estimate.line.ring.capacity == 60_000 and len(state.alarms) <= 256 and len(state.beats) <= 64


def test_bands_are_those_of_the_number_as_shown() -> None:
    assert [band_of(x, (50, 85)) for x in (0, 50, 50.4, 50.6, 85, 85.4, 85.6, 100)] == [
        "low", "low", "low", "middle", "middle", "middle", "high", "high"]  # fmt: skip


def test_a_prediction_says_its_age_and_a_stale_one_has_no_number() -> None:
    state = told(Patient(risk_15=0.9), 40)
    fresh = prediction_words(state, at(40.4))
    assert [r.value for r in fresh.risks] == ["80", "87", "90"] and not fresh.stale
    assert [r.band for r in fresh.risks] == ["middle", "high", "high"]
    assert fresh.age == "updated 0.4 s ago"
    late = prediction_words(state, at(43.5))
    assert late.stale and late.age.startswith("STALE") and {r.value for r in late.risks} == {"-?-"}
    assert prediction_words(DisplayState(THEME), at(1.0)).risks[0].value == "-?-"


def estimate_at(state: DisplayState, event_s: float) -> str:
    return readout(state, lane(state, Modality.ABP), at(event_s)).value


def skipped(patient: Patient, end: int, reason: str = "skipped: the model was behind") -> PredictionRecord:
    told = patient.prediction(end, valid=False, reason=reason)
    return msgspec.structs.replace(
        told, missed="skipped", risk={}, depth=None, pressures=None, restored=[], not_estimable={}
    )


def test_a_second_that_was_skipped_does_not_flash_and_lasting_ones_end_what_is_shown() -> None:
    patient = Patient(risk_15=0.9, absent={Modality.ABP: [(20, 99, Absence.NO_DATA)]})
    state = state_of(patient, 40.1)
    abp = lane(state, Modality.ABP)
    shown = estimate_at(state, 40.2)
    assert [r.value for r in prediction_words(state, at(40.2)).risks] == ["80", "87", "90"] and shown == "59–73"
    for second in (41, 42):
        for record in (*patient.second(second), skipped(patient, second)):
            state.apply(record, 100.0 + second)
        words = prediction_words(state, at(second + 0.2))
        assert [r.value for r in words.risks] == ["80", "87", "90"] and not words.stale and words.reason == ""
        assert words.age == f"updated {second + 0.2 - 40:.1f} s ago" and len(words.sources) == 4
        assert estimate_at(state, second + 0.2) == shown and abp.not_estimable == ""
    for second in (43, 44):
        for record in (*patient.second(second), skipped(patient, second)):
            state.apply(record, 100.0 + second)
        words = prediction_words(state, at(second + 0.2))
        assert words.stale and {r.value for r in words.risks} == {"-?-"} and words.sources == ()
        assert words.reason == "skipped: the model was behind" and words.age.startswith("STALE")
        assert estimate_at(state, second + 0.2) == "-?-"
    state.apply(patient.prediction(45), 145.0)
    assert [r.value for r in prediction_words(state, at(45.2)).risks] == ["80", "87", "90"] and state.missed is None
    state.apply(skipped(patient, 45), 145.1)  # told again by another, who knows less
    assert state.missed is None and prediction_words(state, at(45.2)).risks[0].value == "80"


def test_before_the_first_prediction_the_tile_says_why_there_is_none() -> None:
    patient = Patient()
    state = state_of(patient, 0.0)
    state.apply(skipped(patient, 1, "skipped: the model was not loaded yet"), 101.0)
    words = prediction_words(state, at(1.2))
    assert {r.value for r in words.risks} == {"-?-"} and words.age == "no prediction yet"
    assert words.reason == "skipped: the model was not loaded yet" and not state.trend


def test_a_prediction_that_is_late_does_not_flash_either() -> None:
    state = told(Patient(risk_15=0.9), 40)
    late = Patient(risk_15=0.9).prediction(41, valid=False, reason="the result came 1.4 s after its window")
    state.apply(msgspec.structs.replace(late, missed="late"), 141.0)
    assert prediction_words(state, at(41.4)).risks[2].value == "90"
    stale = prediction_words(state, at(43.4))
    assert stale.reason == "not valid: the result came 1.4 s after its window" and stale.risks[2].value == "-?-"


def test_no_number_where_the_model_abstains_or_failed() -> None:
    kinds = ({"valid": False, "reason": "the output was not finite"}, {"abstain": True, "reason": "no pressure known"})
    for kind in kinds:
        words = prediction_words(told(Patient(), 40, **kind), at(40.1))
        assert {risk.value for risk in words.risks} == {"-?-"} and {risk.band for risk in words.risks} == {""}
        assert kind["reason"] in words.reason


def test_made_from_gives_percent_present_and_age() -> None:
    patient = Patient(absent={Modality.ABP: [(0, 99, Absence.NO_DATA)], Modality.EEG: [(33, 38, Absence.FLAT)]})
    sources = {s.modality: s for s in prediction_words(told(patient, 40), at(40.1)).sources}
    assert sources["ABP"].words == "none for 40 s" and not sources["ABP"].present
    assert sources["ECG"].words == "100 %"
    assert sources["EEG"].present and 0.5 < sources["EEG"].fraction < 1.0


def test_a_measured_sensor_that_the_model_could_not_read_is_not_called_none() -> None:
    state = told(Patient(), 40)
    state.set_channels(FakeSession().channels)
    assert state.prediction is not None
    row = state.prediction.modalities.index("ABP")
    unread, never = list(state.prediction.presence), list(state.prediction.presence)
    unread[row], never[row] = [True] * 6 + [False] * 4, [False] * 10
    ages = [12.0 if i == row else 0.0 for i in range(len(unread))]
    for presence, expected in ((unread, "60 %, not used for 12 s"), (never, "not used for 12 s")):
        state.prediction = msgspec.structs.replace(state.prediction, presence=presence, ages_s=ages)
        words = {s.modality: s.words for s in prediction_words(state, at(40.1)).sources}
        assert words["ABP"] == expected and words["ECG"] == "100 %"


def test_the_status_line_names_backend_latency_losses_and_drops() -> None:
    line, more = status_words(FakeSession().status(), FeedStatus(100, 7, 0))
    assert line == ("onnx · PhysioME demo · sample→screen 71 ms · window→prediction 38 ms · 0 lost · 7 not drawn · REC")
    assert "ONNX Runtime" in more and "92.0" in more
    assert status_words(None, FeedStatus(0, 0, 0))[0] == "starting …"


def test_a_replay_that_the_machine_slows_is_said() -> None:
    session = FakeSession()
    session.changes = {"speed": 10.0, "achieved_speed": 6.28}
    status = session.status()
    line, more = status_words(status, FeedStatus(100, 0, 0))
    assert "slowed: too fast for this machine" in line and "6.3 times real time instead of 10" in more
    assert status.pace == 6.28 and speed_words(status.speed, status.achieved_speed) == "6.3× of 10×"
    session.changes = {"source_notes": ("9 ticks of devices wait on disk for the broker (0.1 MB).",)}
    line, more = status_words(session.status(), FeedStatus(100, 0, 0))
    assert "source is behind or has dropped ticks" in line and "9 ticks of devices wait on disk" in more
    session.changes = {"speed": 10.0}
    assert "slowed" not in status_words(session.status(), FeedStatus(100, 0, 0))[0] and session.status().pace == 10.0


@pytest.mark.parametrize(
    ("service", "begins", "told"),
    [
        ("", "onnx fp32 · ", ""),
        ("refused", "onnx fp32, a better one refused · ", "may not serve"),
        ("failed_over", "onnx fp32, failed over · ", "took over"),
        ("unavailable", "model not available · ", "without predictions"),
    ],
)
def test_the_status_line_says_how_the_model_is_served_and_why(service: str, begins: str, told: str) -> None:
    session = FakeSession()
    session.changes = {"service": service, "precision": "fp32", "notes": ("tensorrt is not installed", "x" * 300)}
    line, more = status_words(session.status(), FeedStatus(0, 0, 0))
    assert line.startswith(begins) and told in more
    assert "tensorrt is not installed" in more and max(map(len, more.splitlines())) < 170


def test_the_status_line_says_what_is_done_until_the_model_serves() -> None:
    session = FakeSession()
    session.changes = {"backend": "", "model": "", "preparing": "building TensorRT engines, fp16: 40 %"}
    line, more = status_words(session.status(), FeedStatus(0, 0, 0))
    assert line.startswith("building TensorRT engines, fp16: 40 % · ") and "no model" not in line
    assert "waves and alarms go on without it" in more
    session.changes["preparing"] = ""
    assert status_words(session.status(), FeedStatus(0, 0, 0))[0].startswith("no model · ")
    session.changes = {"preparing": "late"}
    assert status_words(session.status(), FeedStatus(0, 0, 0))[0].startswith("onnx · ")


def test_words() -> None:
    assert (
        clock_words(1512.9) == "00:25:12" and clock_words(float("nan")) == "--:--:--" and clock_words(-3) == "00:00:00"
    )
    assert [duration_words(s) for s in (38.7, 99.9, 240, 7300, float("inf"))] == [
        "38 s",
        "99 s",
        "4 min",
        "2 h",
        "a long time",
    ]
    assert number_words(None) == number_words(float("nan")) == "-?-" and number_words(13.24, 1) == "13.2"


def test_speeds_step_through_the_list() -> None:
    assert next_speed(1.0, 1) == 2.0 and next_speed(1.0, -1) == 0.5 and next_speed(50.0, 1) == 50.0
    assert next_speed(0.25, -1) == 0.25 and next_speed(None, -1) == 50.0 and next_speed(3.3, 1) == 5.0
    keys = [key for shortcut in SHORTCUTS for key in shortcut.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("old", "new", "told"), [
    ('scale = "pressure"', 'scale = "log"', "log"), ("filter = [0.5, 40.0]", "filter = [40.0, 0.5]", "filter"),
    ("[lane.RESP]", "[lane.SPO2]", "SPO2"), ("dim = 0.48", 'dim = "x"', "float"),
    ("choice = 30.0", "choice = 31.0", "31"),
    ("duty = 0.5 ", "dutty = 0.5 ", "dutty"), ("[alarm.colours.low]", "[alarm.colours.lower]", "low"),
])  # fmt: skip
def test_a_wrong_theme_gives_one_sentence(old: str, new: str, told: str) -> None:
    from importlib import resources

    text = resources.files("ui.style").joinpath("theme.toml").read_text("utf-8")
    assert old in text
    with pytest.raises(BadInput, match=told):
        parse_theme(text.replace(old, new))


def test_the_wave_shown_is_that_of_the_lead_that_serves_and_is_named() -> None:
    state = DisplayState(THEME)
    state.set_channels((ChannelInfo(Modality.ECG, "II", "mV", 100.0),))
    head = {"bed": "a", "session": "s", "epoch": 0}

    def second(number: int, serving: str) -> None:
        waves = {0: np.full(100, 1.0, "<f4"), 1: np.full(100, 2.0, "<f4")}
        chunks = [
            WaveChunk("ECG", label, 100.0, 0, number * 100, waves[lead].tobytes(), lead=lead)
            for lead, label in enumerate(("II", "V5"))
        ]
        state.apply(
            WaveTick(**head, tick_seq=number, start_ns=number * NS, end_ns=(number + 1) * NS, chunks=chunks),
            1.0 + number,
        )
        leads = sorted((LeadState(0, "II", ""), LeadState(1, "V5", "")), key=lambda lead: lead.label != serving)
        state.apply(
            StateRecord(**head, time_ns=(number + 1) * NS, state={"ECG": ""}, leads={"ECG": leads}), 1.0 + number
        )

    for number, serving in enumerate(("II", "II", "V5", "V5", "V5")):
        second(number, serving)
    shown = lane(state, Modality.ECG)
    header = header_of(shown, LaneScale(shown.style, 20.0), "", 5.0)
    assert (shown.label, header.details.split()[0]) == ("V5", "V5")
    trace = shown.trace
    assert trace is not None
    values = trace.raw.ring.read(trace.raw.ring.start, trace.raw.ring.end)
    assert set(values[np.isfinite(values)].tolist()) == {2.0}  # nothing of lead II is joined to it
    assert trace.raw.ring.end == 500
    assert len(state.lanes) == len(MODEL_MODALITIES)
