"""Rows beside the model's own: the number of each, where the respiratory rate stands, what is hidden at first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.records import StateRecord
from tests.ui.harness import Screen
from tests.ui.synthetic import MODEL, NS, Chapter, FakeSession, Patient
from ui.bed.layout import usual_choice
from ui.style.theme import default_theme
from ui.waves.scales import LaneScale, pressure_scale

Make = Callable[..., Screen]
M = Modality
FURTHER = (M.CVP, M.PAP, M.ICP, M.CO2, M.AWP)
NUMBERS = {
    "cvp_mean": 7.6,
    "pap_mean": 18.2,
    "icp_mean": 11.4,
    "etco2_wave": 37.6,
    "resp_rate": 5.0,
    "resp_source": "CO2",
}


def bed(*modalities: Modality, **vitals: object) -> tuple[Patient, FakeSession]:
    rows = (*MODEL, *modalities)
    return Patient(modalities=rows, story=[Chapter(0.0, 99.0, vitals={**NUMBERS, **vitals})]), FakeSession(rows)


def test_each_has_its_number_beside_it(screen: Make) -> None:
    s = screen(*bed(*FURTHER))
    s.run_to(3.0)
    said = s.window.numerics.readouts
    assert [lane.key for lane in s.window.sweep.lanes] == [*MODEL, "CVP", "PAP", "ICP", "CO2"]
    shown = {
        key: (said[key].label, said[key].value, said[key].second, said[key].unit) for key in said if key not in MODEL
    }
    assert shown == {
        "CVP": ("CVP mean", "8", "", "mmHg"),
        "PAP": ("PAP mean", "18", "", "mmHg"),
        "ICP": ("ICP mean", "11", "", "mmHg"),
        "CO2": ("etCO2 · RR", "38", "5", "mmHg · /min"),
    }
    assert said["CO2"].limits.text == "RR 30 / 6" and not said["CO2"].limits.silent
    assert not any("RR" in note for note in said["ECG"].notes), "said once"


def test_what_is_not_measured_is_no_number(screen: Make) -> None:
    gone = dict.fromkeys(("cvp_mean", "pap_mean", "icp_mean", "etco2_wave", "resp_rate"))
    s = screen(*bed(*FURTHER, **gone, resp_source=""))
    s.run_to(2.0)
    state = StateRecord(bed="Bed 3", session="s", epoch=0, time_ns=2 * NS, state={"CVP": Absence.NO_DATA.value})
    s.feed.push(state)
    s.run_to(2.5)
    said = s.window.numerics.readouts
    assert [said[key].value for key in ("CVP", "PAP", "ICP", "CO2")] == ["-?-"] * 4 and said["CO2"].second == "-?-"
    assert said["CVP"].notes[0].startswith("no signal")
    lane = s.lane(M.CVP)
    assert lane.said.why_not == "CVP is never estimated" and lane.estimate is None


def test_end_tidal_is_the_devices_own_where_it_tells_one_and_stands_in_one_place(screen: Make) -> None:
    s = screen(*bed(M.CO2, etco2=35.0, spo2=97.0))
    s.run_to(2.0)
    readout = s.window.numerics.readouts["CO2"]
    assert (readout.value, readout.notes) == ("35", ())
    assert [number.name for number in s.window.face.small.numbers] == ["spo2"]
    without = screen(*bed(M.CO2))
    without.run_to(2.0)
    readout = without.window.numerics.readouts["CO2"]
    assert (readout.value, readout.notes) == ("38", ("by the wave",))


def test_a_rate_that_is_not_the_capnograms_says_so_first(screen: Make) -> None:
    s = screen(*bed(M.CO2, resp_source="ECG+PPG"))
    s.run_to(2.0)
    readout = s.window.numerics.readouts["CO2"]
    assert readout.notes[0] == "RR from ECG+PPG" and readout.limits.silent == "not measured by RESP or CO2"


def test_the_rate_stands_in_the_row_of_respiration_where_there_is_one(screen: Make) -> None:
    s = screen(*bed(M.RESP, M.CO2))
    s.run_to(3.0)
    said = s.window.numerics.readouts
    assert (said["RESP"].value, said["RESP"].notes) == ("5", ("from CO2 x",))
    assert (said["CO2"].label, said["CO2"].value, said["CO2"].second) == ("etCO2", "38", "")


@pytest.mark.parametrize(("rows", "key"), [((M.RESP, M.CO2), "RESP"), ((M.CO2, M.CVP), "CO2"), ((M.CVP,), "ECG")])
def test_its_alarm_flashes_where_it_stands_and_nowhere_else(screen: Make, rows: tuple[Modality, ...], key: str) -> None:
    s = screen(*bed(*rows))
    s.run_to(2.0)
    s.feed.push(s.patient.alarm("resp.low", "RR LOW 5 < 6", "medium", "physiological", time_s=2.0))
    s.run_to(2.5)
    assert list(s.window.numerics.flashes) == [key]
    if key != "ECG":
        s.window.choices.rows.toggle_row(key)
        s.run_to(3.0)
        (hidden,) = s.window.face.hidden.rows
        assert hidden.key == key and hidden.flash is not None, "also where its row is hidden"


def test_the_airways_pressure_is_there_when_asked_for(screen: Make) -> None:
    s = screen(*bed(M.AWP))
    s.run_to(2.0)
    assert [lane.key for lane in s.window.sweep.lanes] == list(MODEL) and not s.window.face.hidden.isVisible()
    s.window.choices.rows.toggle_row("AWP")
    s.run_to(3.0)
    readout = s.window.numerics.readouts["AWP"]
    assert s.window.sweep.lanes[-1].key == "AWP" and (readout.value, readout.notes) == ("", ())
    assert usual_choice("CVP").shown and not usual_choice("AWP").shown


def test_a_tile_has_a_mark_for_each_sensor_that_is_shown_at_first(screen: Make) -> None:
    from ui.bed.bed_words import bed_words
    from ui.central.tile_words import tile_words

    s = screen(*bed(*FURTHER))
    s.run_to(3.0)
    on_show = s.window.ward.on_show
    words = tile_words(on_show, bed_words(on_show))
    assert [sensor.modality for sensor in words.sensors] == [*MODEL, M.CVP, M.PAP, M.ICP, M.CO2]
    assert next((number.label, number.value) for number in words.small) == ("RR", "5")


def test_a_bed_without_them_is_shown_as_it_was(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    assert [lane.key for lane in s.window.sweep.lanes] == list(MODEL)
    assert any(note.startswith("RR 12 /min") for note in s.window.numerics.readouts["ECG"].notes)


def test_a_venous_pressure_fills_its_row_and_noise_does_not() -> None:
    style = default_theme().lanes[M.CVP]
    scale = LaneScale(style, 20.0)
    assert (scale.scale.low, scale.scale.high) == (-5.0, 20.0), "before anything is known"
    scale.observe((5.0, 9.0), 1.0)
    assert (scale.scale.low, scale.scale.high) == (-5.0, 15.0)
    flat = pressure_scale(7.9, 8.1, snap=style.snap)
    assert flat.high - flat.low >= 20.0
    assert pressure_scale(70.0, 120.0) == pressure_scale(70.0, 120.0, snap=10.0), "an artery's is as it was"


def test_among_many_rows_an_ecg_is_not_cut_off(screen: Make) -> None:
    s = screen(*bed(M.RESP, *FURTHER), size=(1024, 700))
    s.run_to(10.0)
    sweep = s.window.sweep
    ecg = sweep.lanes[0]
    heights = {lane.key: row.height for lane, row in zip(sweep.lanes, sweep.lane_rows, strict=True)}
    assert heights["ECG"] > 1.3 * heights["ABP"] and len(heights) == 9
    found = ecg.range_of(4.0, 10.0)
    assert found is not None and sweep.scale_of(ecg).scale.high > 0.75 * found[1]


@pytest.mark.parametrize(("rows", "key"), [((M.RESP,), "RESP"), ((M.CO2,), "CO2")])
def test_an_apnoea_is_told_beside_the_rate_that_is_none(screen: Make, rows: tuple[Modality, ...], key: str) -> None:
    s = screen(*bed(*rows, apnoea_s=25.7, resp_rate=None, resp_source=""))
    s.run_to(2.0)
    readout = s.window.numerics.readouts[key]
    assert (readout.finding.words, readout.finding.priority) == ("APNOEA 25 s", "high")
    assert (readout.second if key == "CO2" else readout.value) == "-?-"
    s.feed.push(s.patient.alarm("apnoea.high", "APNOEA > 20 s", "high", "physiological", time_s=2.0))
    s.run_to(2.5)
    assert list(s.window.numerics.flashes) == [key]
    breathes = screen(*bed(*rows, apnoea_s=19.9))
    breathes.run_to(2.0)
    assert breathes.window.numerics.readouts[key].finding.words == ""
