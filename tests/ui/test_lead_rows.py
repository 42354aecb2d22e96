"""Rows of further leads: their own samples, cells and absence, and nothing that is the modality's; hidden at first."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.findings import Rhythm
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import samples_to_bytes
from streams.control import ChannelInfo
from streams.records import BedChannel, BedRecord, WaveChunk, WaveTick
from streams.sources.look_back import LookBack
from streams.status import channels_of
from streams.windower import BedWindower
from tests.signals.waves import RATE, beat_times, ecg
from tests.ui.harness import Screen
from tests.ui.recorded import UNIX_S, Recorder
from tests.ui.synthetic import NS, TICK_S, Chapter, FakeSession, Patient, wave
from ui.bed.layout import Layout, RowChoice, usual_choice
from ui.bed.layout_file import Layouts, rows_set
from ui.bed.lead_rows import rows_of
from ui.bed.past import LEAD_S, WORDS_S, page_of
from ui.bed.state import DisplayState
from ui.bed.strip import strip_of, table
from ui.style.theme import default_theme
from ui.waves.strip_paper import write_strip

Make = Callable[..., Screen]
THEME = default_theme()
V5 = "ECG:V5"
ECG = Modality.ECG


def state_of(patient: Patient, until_s: float, begin_s: float = 0.0, state: DisplayState | None = None) -> DisplayState:
    state = state or DisplayState(THEME)
    state.set_channels(FakeSession(leads=patient.leads).channels)
    for seq in range(round(begin_s / TICK_S), round(until_s / TICK_S)):
        for record in patient.tick(seq):
            state.apply(record, 100.0 + seq * TICK_S)
        state.settle()
    return state


def row(state: DisplayState, key: str):  # type: ignore[no-untyped-def]
    return next(lane for lane in state.lanes if lane.key == key)


def raw(lane, first: int, last: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.array(lane.trace.raw.ring.read(first, last))


def with_v5(screen: Make, patient: Patient) -> Screen:
    s = screen(patient, FakeSession(leads=patient.leads))
    s.run_to(1.0)
    s.window.choices.rows.toggle_row(V5)
    return s


# Which rows there are ---------------------------------------------------------------------------------------------


def test_every_channel_of_the_bed_is_told_with_its_lead() -> None:
    told = [BedChannel("ECG", "II", "mV", 500.0), BedChannel("ECG", "V5", "mV", 250.0, 1)]
    found = channels_of(BedRecord(bed="a", session="s", epoch=0, title="t", channels=told))
    assert found == (ChannelInfo(ECG, "II", "mV", 500.0), ChannelInfo(ECG, "V5", "mV", 250.0, 1))


def test_rows_go_by_the_number_of_the_lead_and_are_called_by_their_label() -> None:
    channels = [ChannelInfo(ECG, label, "mV", 500.0, lead) for lead, label in ((2, "V5"), (0, "II"), (1, "V5"))]
    channels += [ChannelInfo(ECG, "", "mV", 500.0, 3)]
    rows = [(key, info and info.lead) for key, modality, info in rows_of(channels) if modality is ECG]
    assert rows == [("ECG", 0), ("ECG:V5", 1), ("ECG:V5 #2", 2), ("ECG:3", 3)]
    long = rows_of([ChannelInfo(ECG, "x" * 255, "mV", 500.0, lead) for lead in range(3)])
    keys = [key for key, _, _ in long]
    assert len(set(keys)) == len(keys) and max(map(len, keys)) <= 200, "a layout can name them"


def test_a_bed_with_one_lead_has_the_rows_that_it_had() -> None:
    assert [key for key, _, _ in rows_of(FakeSession().channels)] == ["ECG", "ABP", "PPG", "EEG"]
    assert rows_of([]) == []


# What is in them --------------------------------------------------------------------------------------------------


def test_each_row_has_the_samples_of_its_own_lead_and_the_first_those_of_the_one_that_serves() -> None:
    state = state_of(Patient(leads=("V5", "I"), serves=[(5, 1)]), 9.0)
    times = np.arange(6 * 500, 8 * 500) / 500.0
    for key, size in ((V5, 0.5), ("ECG:I", 1 / 3), ("ECG", 0.5)):
        np.testing.assert_allclose(raw(row(state, key), 3000, 4000), size * wave(ECG, times), atol=1e-6)
    assert (row(state, "ECG").lead_label, row(state, "ECG").lead) == ("V5", 1)
    assert [row(state, key).lead for key in (V5, "ECG:I")] == [1, 2], "they do not follow who serves"


def test_cells_and_absence_are_those_of_the_lead() -> None:
    patient = Patient(leads=("V5", "I"), lead_absent={1: [(4, 7, Absence.NO_DATA)]})
    state = state_of(patient, 6.0)
    assert row(state, V5).absence == "no data" and row(state, V5).absent_since_s == 5.0
    assert row(state, "ECG").absence == row(state, "ECG:I").absence == ""
    state = state_of(patient, 12.0, 6.0, state)
    assert [second for second in range(11) if row(state, V5).cells.is_absent(second)] == [4, 5, 6]
    assert row(state, V5).absence == "" and np.isfinite(raw(row(state, V5), 3600, 5900)).all(), "plugged in again"
    assert np.isnan(raw(row(state, V5), 2000, 3500)).all()
    assert not any(row(state, "ECG").cells.is_absent(second) for second in range(11))


def test_the_lead_that_serves_may_fail_while_another_does_not() -> None:
    state = state_of(Patient(leads=("V5",), absent={ECG: [(4, 9, Absence.NO_DATA)]}), 8.0)
    assert row(state, "ECG").absence == "no data" and row(state, V5).absence == ""
    assert [row(state, V5).cells.is_absent(second) for second in range(4, 7)] == [False] * 3


@pytest.mark.parametrize("tick", [25, 100])
def test_the_stream_says_it_of_the_seconds_in_which_it_was_so(tick: int) -> None:
    """Through the windower itself: V5 is silent in the seconds 12 to 17 and no other. tick: samples at 100 Hz."""
    seconds = 30
    beats = beat_times(72.0, seconds)
    leads = [ecg(beats, seconds, amplitude=a, noise=0.01).astype(np.float32) for a in (1.0, 0.7)]
    leads[1][1200:1800] = np.nan
    windower, state = BedWindower(WindowSpec(frames=3), Accounting()), DisplayState(THEME)
    state.set_channels((ChannelInfo(ECG, "II", "mV", 100.0), ChannelInfo(ECG, "V5", "mV", 100.0, 1)))
    for sequence, first in enumerate(range(0, seconds * RATE, tick)):
        chunks = [
            WaveChunk("ECG", ("II", "V5")[k], 100.0, 0, first, samples_to_bytes(values[first : first + tick]), lead=k)
            for k, values in enumerate(leads)
        ]
        ends = [round(at * NS / RATE) for at in (first, first + tick)]
        head = {"bed": "a", "session": "s", "epoch": 0, "tick_seq": sequence}
        told = WaveTick(**head, start_ns=ends[0], end_ns=ends[1], chunks=chunks)  # type: ignore[arg-type]
        for record in (told, *windower.handle(told, 0).records):
            state.apply(record, 0.0)
    known = range(3, seconds - 1)
    assert [s for s in known if row(state, V5).cells.is_absent(s)] == list(range(12, 18))
    assert not [s for s in known if row(state, "ECG").cells.is_absent(s)]
    assert len(row(state, V5).cells) == len(row(state, "ECG").cells)


def test_a_new_epoch_forgets_the_wave_and_not_which_lead_it_is() -> None:
    state = state_of(Patient(leads=("V5",), lead_absent={1: [(0, 9, Absence.FLAT)]}), 4.0)
    assert row(state, V5).absence == "flat" and len(row(state, V5).cells)
    state = state_of(Patient(leads=("V5",), epoch=1), 0.5, 0.0, state)
    lane = row(state, V5)
    assert (lane.lead, lane.absence, len(lane.cells)) == (1, "", 0)
    assert np.isfinite(raw(lane, 0, 240)).all()


def test_leads_that_change_their_numbers_keep_their_rows() -> None:
    state = state_of(Patient(leads=("V5",)), 2.0)
    channels = [c for c in FakeSession(leads=("I", "V5")).channels if c.lead != 1]
    state.set_channels(tuple(channels))
    assert (row(state, V5).lead, [lane.key for lane in state.lanes][:2]) == (2, ["ECG", V5])
    state.set_channels(FakeSession().channels)
    assert [lane.key for lane in state.lanes] == ["ECG", "ABP", "PPG", "EEG"], "the lead is gone from the device"


def test_a_glimpse_of_a_bed_is_of_its_first_rows() -> None:
    state = DisplayState(THEME)
    state.keep(drawn=False, waves=False, glimpse=True)
    state = state_of(Patient(leads=("V5",)), 3.0, 0.0, state)
    assert row(state, "ECG").trace is not None and row(state, V5).trace is None


# What is not in them ------------------------------------------------------------------------------------------------


def test_no_estimate_no_number_and_no_alarm_stands_in_a_further_row(screen: Make) -> None:
    absent: dict[Modality, list[tuple[int, int, Absence]]] = {ECG: [(3, 99, Absence.NO_DATA)]}
    s = with_v5(screen, Patient(leads=("V5",), absent=absent, lead_absent={1: [(3, 99, Absence.LEAD_OFF)]}))
    s.run_to(8.0)
    s.feed.push(s.patient.alarm("hr.high", "HR 171 > 120", "medium", "physiological"))
    s.run_to(8.2)
    first, further = row(s.window.state, "ECG"), row(s.window.state, V5)
    assert first.estimate is not None and first.said.estimated and first.badges
    assert further.estimate is None and not further.said.estimated and not further.badges
    assert (further.said.state, further.said.why_not) == ("sensor off", "")
    numerics = s.window.numerics
    assert list(numerics.flashes) == ["ECG"]
    readout = numerics.readouts[V5]
    assert (readout.value, readout.label, readout.notes, readout.mark) == ("", "", (), "")
    header = s.window.sweep.headers[1]
    assert header.status.startswith("SENSOR OFF") and not header.estimated


def test_bad_news_stands_once_and_dims_no_lead(screen: Make) -> None:
    story = [Chapter(2.0, 99.0, rhythm=Rhythm.FIBRILLATION)]
    s = with_v5(screen, Patient(leads=("V5",), story=story))
    s.run_to(5.0)
    said = s.window.numerics.readouts
    assert said["ECG"].finding.words and not said[V5].finding.words
    assert not row(s.window.state, V5).fades("artefact"), "what looks like an artefact may be fibrillation there too"


# On the screen ------------------------------------------------------------------------------------------------------


def test_they_are_hidden_until_chosen_and_are_no_hidden_trouble(screen: Make) -> None:
    s = screen(Patient(leads=("V5", "I")), FakeSession(leads=("V5", "I")))
    s.run_to(2.0)
    assert [lane.key for lane in s.window.sweep.lanes] == ["ECG", "ABP", "PPG", "EEG"]
    assert not s.window.face.hidden.isVisible()
    s.window.action_of("choose_rows")()
    table_ = s.window.choices.layouts.dialog.table
    offered = [(table_.item(k, 0).text(), table_.item(k, 1).text()) for k in range(3)]
    assert offered == [("ECG II", "shown"), ("ECG lead V5", "hidden"), ("ECG lead I", "hidden")]
    s.window.choices.rows.toggle_row(V5)
    s.run_to(3.0)
    assert [lane.title for lane in s.window.sweep.lanes] == ["ECG", "ECG lead V5", "ABP", "PPG", "EEG"]
    assert list(s.window.numerics.readouts) == ["ECG", V5, "ABP", "PPG", "EEG"]
    for key in ("PPG", "ECG"):
        s.window.choices.rows.toggle_row(key)
    s.run_to(3.5)
    assert s.window.face.hidden.words == "2 rows hidden: ECG, PPG"


def test_a_hidden_ecg_does_not_make_its_further_lead_speak_for_it(screen: Make) -> None:
    s = with_v5(screen, Patient(leads=("V5",)))
    s.window.choices.rows.toggle_row("ECG")
    s.run_to(3.0)
    assert s.window.numerics.readouts[V5].value == "" and "HR 75" in s.window.face.hidden.rows[0].words


def test_the_digit_of_any_lead_pulls_the_one_cable(screen: Make) -> None:
    s = with_v5(screen, Patient(leads=("V5",)))
    s.run_to(2.0)
    s.window.operator.toggle_sensor(2.0)
    assert s.session.calls[-1] == ("drop", ECG, True)
    assert s.window.toast.text() == "ECG, all its leads, WITHHELD — press 2 to restore"


def test_a_gain_is_that_of_all_leads_on_show(screen: Make) -> None:
    s = with_v5(screen, Patient(leads=("V5",)))
    s.run_to(3.0)
    sweep, (ecg_, v5) = s.window.sweep, s.window.sweep.lanes[:2]
    s.window.operator.change_gain(1.0)
    assert sweep.scale_of(ecg_).choice == sweep.scale_of(v5).choice == 20.0


def test_calipers_read_the_wave_of_their_row(screen: Make) -> None:
    s = with_v5(screen, Patient(leads=("V5",)))
    s.run_to(6.0)
    s.window.freeze.toggle_freeze()
    layer = s.window.freeze.layer
    for key, height in (("ECG", 0.83), (V5, 0.415)):
        s.window.freeze.clear_calipers()
        layer.chosen = (key, "")
        s.window.freeze.next_line()
        layer.chosen = (key, "first")
        s.window.freeze.snap()
        assert layer.calipers[key].first == pytest.approx(height, rel=0.02), "by the monitor's filter"


def test_strip_and_table_hold_what_is_shown_and_no_name_twice(screen: Make, tmp_path: Path) -> None:
    patient = Patient(leads=("V5",), serves=[(2, 1)], lead_absent={1: [(3, 4, Absence.FLAT)]})
    s = with_v5(screen, patient)
    s.window.choices.rows.toggle_row("PPG")
    s.run_to(6.0)
    lanes = s.window.sweep.lanes
    strip = strip_of(lanes, 2.0, 6.0, bed="b", title="", when="")
    assert [lane.name for lane in strip.lanes] == ["ECG V5", "ECG lead V5", "ABP ART", "EEG BIS 1"]
    rows = list(csv.DictReader(io.StringIO(table(strip))))
    head = list(rows[0])
    assert len(set(head)) == len(head)
    at = next(r for r in rows if r["time_s"].startswith("3.5"))
    assert at["ECG_lead_V5_presence"] == "flat"
    scales = [s.window.sweep.scale_of(lane).scale for lane in lanes]
    assert write_strip(strip, THEME, scales, str(tmp_path / "x.pdf")), "with a hidden row and one of a further lead"


def test_the_past_has_them_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    patient = Patient(leads=("V5",), lead_absent={1: [(20, 25, Absence.FLAT)]})
    Recorder(path, patient).run_to(40)
    found = LookBack(path)
    while found.follow():
        pass
    past = found.past("Bed 3", round((UNIX_S + 30) * 1e9), 10 + LEAD_S, WORDS_S)
    state = page_of(past, THEME, 10.0).state
    lane = row(state, V5)
    assert [second for second in range(18, 29) if lane.cells.is_absent(second)] == [20, 21, 22, 23, 24]
    np.testing.assert_allclose(raw(lane, 13000, 14000), wave(ECG, np.arange(13000, 14000) / 500.0) / 2, atol=1e-6)


# Layouts ------------------------------------------------------------------------------------------------------------


def test_a_layout_of_before_the_second_lead_stays_in_use() -> None:
    layout = Layout("mine", (RowChoice("ECG", height=2.0), RowChoice("ABP")))
    layouts = Layouts().used(["ECG", "ABP"], layout)
    assert layouts.for_rows(["ECG", V5, "ABP"]) == layout and rows_set(["ECG", V5]) == ("ECG",)
    shown = {row.key: row.shown for row in layout.arranged(["ECG", V5, "ABP", "PPG"])}
    assert shown == {"ECG": True, V5: False, "ABP": True, "PPG": True}
    with_it = layout.changed(["ECG", V5, "ABP"], V5, shown=True)
    assert [row.key for row in with_it.arranged(["ECG", V5, "ABP"]) if row.shown] == ["ECG", V5, "ABP"]


def test_where_a_layout_hides_everything_the_usual_rows_are_shown() -> None:
    hidden = Layout("", tuple(RowChoice(key, shown=False) for key in ("ECG", V5)))
    assert [row.shown for row in hidden.arranged(["ECG", V5])] == [True, False]
    assert not usual_choice(V5).shown
