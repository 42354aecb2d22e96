"""Rows as the operator wants them, in the real window: hidden ones are told, speeds are true, choices are kept."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from models.signals.absence import Absence
from models.signals.findings import Pulse
from models.signals.modalities import Modality
from streams.records import AlarmRecord
from tests.ui.harness import Inline, Screen, hue_like, near
from tests.ui.synthetic import MODEL, NS, Chapter, FakeSession, Patient
from ui.style.theme import default_theme
from ui.waves.scales import LaneScale
from ui.waves.screen_sizes import measured_scale, parse_sizes, sizes_text
from ui.waves.sweep import screen_name
from ui.window.kept_file import KeptFile

Make = Callable[..., Screen]
THEME = default_theme()
WITH_RESP = (*MODEL, Modality.RESP)


def five() -> tuple[Patient, FakeSession]:
    return Patient(modalities=WITH_RESP), FakeSession(WITH_RESP)


def shown(s: Screen) -> list[str]:
    return [lane.key for lane in s.window.sweep.lanes]


def press(widget: object, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(widget, key, modifier)  # type: ignore[call-overload]


def test_rows_are_hidden_moved_and_sized_by_keys_alone(screen: Make) -> None:
    s = screen(*five())
    s.run_to(3.0)
    s.window.action_of("choose_rows")()
    dialog, usual = s.window.choices.layouts.dialog, s.window.sweep.lane_rows
    assert dialog.isVisible() and dialog.key == "ECG"
    press(dialog.table, Qt.Key.Key_Down)
    press(dialog.table, Qt.Key.Key_Down)
    assert dialog.key == "PPG"
    press(dialog.table, Qt.Key.Key_Space)
    assert shown(s) == ["ECG", "ABP", "EEG", "RESP"]
    press(dialog.table, Qt.Key.Key_Space)
    press(dialog.table, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    press(dialog.table, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    press(dialog.table, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    assert shown(s)[0] == "PPG" and dialog.key == "PPG", "the row that is moved stays chosen"
    press(dialog.table, Qt.Key.Key_Plus)
    now = s.window.sweep.lane_rows
    assert now[0].height > 1.2 * usual[0].height
    assert sum(row.height for row in now) == sum(row.height for row in usual)
    press(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    s.run_to(4.0)
    assert list(s.window.numerics.readouts) == shown(s), "each number beside its wave"


def test_a_hidden_row_is_told_with_its_number_and_its_alarm(screen: Make) -> None:
    arrest = Chapter(4.0, 99.0, pulse={Modality.PPG: Pulse.NONE}, waves={Modality.PPG: lambda t: np.full(len(t), 0.5)})
    s = screen(Patient(story=[arrest]))
    s.run_to(3.0)
    strip = s.window.face.hidden
    assert not strip.isVisible()
    for key in ("PPG", "EEG"):
        s.window.choices.rows.toggle_row(key)
    s.run_to(3.5)
    assert strip.isVisible() and strip.words == "2 rows hidden: PPG, EEG"
    assert "PR 75" in strip.rows[0].words and "SEF 13.2" in strip.rows[1].words
    s.run_to(6.5)
    assert "NO PULSE" in strip.rows[0].words and "75" not in strip.rows[0].words
    s.window.choices.rows.toggle_row("PPG")
    s.window.choices.rows.toggle_row("EEG")
    s.run_to(7.0)
    assert not strip.isVisible()


def test_an_alarm_about_a_hidden_number_flashes_where_it_is_told(screen: Make) -> None:
    s = screen()
    s.run_to(2.0)
    s.window.choices.rows.toggle_row("ABP")
    record = AlarmRecord(
        bed="Bed 3", session="s", epoch=0, time_ns=2 * NS, key="abp.map.low", priority="high", kind="physiological",
        text="MAP 48 < 65", active=True,
    )  # fmt: skip
    s.feed.push(record)
    s.run_to(2.6)
    row = s.window.face.hidden.rows[0]
    assert row.flash is not None and row.flash.alarm.record.priority == "high"
    lit: list[bool] = []
    for _ in range(30):
        s.frames(2)
        lit.append(bool(near(pixel_rows(s), THEME.alarm.colours["high"].lit, 30).any()))
    assert any(lit) and not all(lit), "it does not flash"
    assert not s.window.numerics.flashes


def pixel_rows(s: Screen) -> np.ndarray:
    strip = s.window.face.hidden
    return s.pixels(strip.rect(), strip.grab().toImage().convertToFormat(s.image().format()))


def test_the_digits_drop_the_sensor_of_the_row_that_is_seen(screen: Make) -> None:
    s = screen()
    s.run_to(1.0)
    s.window.choices.rows.move_row("EEG", -3)
    s.window.operator.toggle_sensor(1.0)
    assert s.session.calls[-1] == ("drop", Modality.EEG, True)


def test_breaths_run_at_their_own_speed_and_each_header_says_its_own(screen: Make) -> None:
    s = screen(*five())
    s.run_to(12.0)
    sweep = s.window.sweep
    ecg, resp = (sweep.paper_of(s.lane(m)) for m in (Modality.ECG, Modality.RESP))
    assert ecg.per_s == pytest.approx(4 * resp.per_s) and ecg.per_s == pytest.approx(25 * sweep.px_per_mm)
    said = {lane.key: header.details for lane, header in zip(sweep.lanes, sweep.headers, strict=True)}
    assert "6.25 mm/s" in said["RESP"] and all(" 25 mm/s" in f" {said[m.value]}" for m in MODEL)
    s.window.choices.rows.next_speed("ECG")
    assert sweep.paper_of(s.lane(Modality.ECG)).per_s == pytest.approx(50 * sweep.px_per_mm)
    assert sweep.paper_of(s.lane(Modality.ABP)).per_s == pytest.approx(25 * sweep.px_per_mm)


def drawn(s: Screen, modality: Modality) -> np.ndarray:
    row = s.window.sweep.lane_rows[shown(s).index(modality.value)]
    area = s.wave_area(modality)
    area.setTop(row.wave_top)
    area.setHeight(row.wave_height)
    return hue_like(s.pixels(area), THEME.lanes[modality].colour, 0.95, 45).any(axis=0)


def test_each_paper_has_its_own_beam_and_gap_and_is_the_picture_drawn_at_once(screen: Make) -> None:
    s = screen(*five())
    for lane in ("ABP", "PPG"):
        s.window.choices.rows.toggle_row(lane)
    s.window.choices.rows.move_row("RESP", -1)
    assert shown(s) == ["ECG", "RESP", "EEG"], "a slow row between two of another speed"
    seconds = s.window.sweep.paper.width / s.window.sweep.paper.per_s
    s.run_to(1.3 * seconds)
    sweep = s.window.sweep
    for modality in (Modality.ECG, Modality.RESP, Modality.EEG):
        paper = sweep.paper_of(s.lane(modality))
        at = paper.column(sweep.head_s)
        columns = drawn(s, modality)
        beam = int(at) % paper.width
        assert not columns[beam + 3 : beam + paper.gap - 3].any(), "ink in the gap"
        assert columns[5 : beam - 3].mean() > 0.85
        bright = near(s.pixels(s.wave_area(modality)), THEME.lanes[modality].colour, 60).any(axis=0)
        assert bright[5 : beam - 12].mean() > 0.8, "dimmed by the turn of another beam"
        later = columns[beam + paper.gap + 4 : -4]
        assert (later.mean() > 0.85) if at > paper.width else not later.any()
    before = s.pixels(sweep.rect(), s.image())
    sweep.relayout()
    after = s.pixels(sweep.rect(), s.image())
    assert np.mean(np.abs(before - after).max(axis=-1) > 90) < 0.003


def test_an_estimate_runs_at_the_speed_of_its_lane(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 30, Absence.NO_DATA)]}), size=(1600, 800))
    s.run_to(2.0)
    s.window.choices.rows._change("ABP", speed_mm_s=12.5)
    s.run_to(9.0)
    paper = s.window.sweep.paper_of(s.lane(Modality.ABP))
    pale = near(s.pixels(s.wave_area(Modality.ABP)), THEME.lanes[Modality.ABP].estimated, 45).any(axis=0)
    assert pale[int(paper.column(3.2)) : int(paper.column(7.0))].mean() > 0.4
    assert not pale[: int(paper.column(2.9))].any() and not pale[int(paper.column(9.1)) :].any()


def test_a_page_of_the_past_ends_at_the_right_edge_at_every_speed(screen: Make) -> None:
    s = screen(*five())
    s.run_to(30.0)
    state = s.window.state
    sweep = s.window.sweep
    sweep.show_bed(state, still=True)
    sweep.advance(30.0)
    for modality in (Modality.ECG, Modality.RESP):
        paper = sweep.paper_of(s.lane(modality))
        assert paper.column(30.0) <= paper.width - paper.gap
    assert sweep.paper_of(s.lane(Modality.ECG)).column(30.0) > 0.9 * sweep.paper.width


def test_an_ecg_of_a_centimetre_takes_no_more_than_it_needs_and_rows_do_not_dance(screen: Make) -> None:
    s = screen(size=(1600, 1000))
    heights: list[int] = []
    while len(heights) < 25:
        s.run_to(len(heights) + 1.0)
        heights.append(s.window.sweep.lane_rows[0].height)
    changes = [second for second in range(1, 25) if heights[second] != heights[second - 1]]
    assert len(changes) == 1 and heights[-1] < 0.8 * heights[0]
    wave = near(s.pixels(s.wave_area(Modality.ECG)), THEME.lanes[Modality.ECG].colour, 60)
    assert wave.any(axis=1)[2:-2].sum() > 8 and not wave[0].any() and not wave[-1].any(), "it is cut off"
    s.window.operator.change_gain(1.0)
    s.run_to(26.0)
    assert s.window.sweep.lane_rows[0].height > heights[-1], "twice the gain needs more"


def test_filters_are_chosen_by_name_and_said(screen: Make) -> None:
    drift = Chapter(0.0, 99.0, waves={Modality.ECG: lambda t: 0.8 * np.sin(2 * np.pi * 0.1 * t)})
    s = screen(Patient(story=[drift]))
    s.run_to(9.0)
    lane = s.lane(Modality.ECG)

    def swing() -> float:
        return float(np.nanmax(np.abs(lane.trace.shown.ring.read(1000, 4000))))

    monitor = swing()
    assert "monitor 0.5–40 Hz" in s.window.sweep.headers[0].details
    s.window.choices.rows.next_filter("ECG")
    assert "diagnostic 0.05–150 Hz" in s.window.sweep.headers[0].details and swing() > 3 * monitor
    s.window.choices.rows.next_filter("ECG")
    assert "filter off" in s.window.sweep.headers[0].details
    np.testing.assert_array_equal(lane.trace.shown.ring.read(0, 4000), lane.trace.raw.ring.read(0, 4000))
    s.run_to(10.0)
    s.window.choices.rows.next_filter("ECG")
    s.run_to(10.5)
    assert swing() == pytest.approx(monitor, rel=0.05) and np.isfinite(lane.trace.shown.ring.read(4800, 5000)).all()


def test_layouts_are_kept_by_name_and_the_last_comes_back(screen: Make, tmp_path: Path) -> None:
    s = screen(*five(), kept=tmp_path)
    s.run_to(1.0)
    for key in ("PPG", "EEG", "RESP"):
        s.window.choices.rows.toggle_row(key)
    assert s.window.choices.rows.save_layout("  ECG and\npressure ") and not s.window.choices.rows.save_layout("Usual")
    s.window.choices.rows.use_layout("Usual")
    assert len(shown(s)) == 5
    s.window.choices.rows.next_layout()
    assert shown(s) == ["ECG", "ABP"] and s.window.choices.rows.layout.name == "ECG and pressure"
    again = screen(*five(), kept=tmp_path)
    again.run_to(1.0)
    assert shown(again) == ["ECG", "ABP"] and again.window.choices.rows.names == ["ECG and pressure"]
    other = screen(kept=tmp_path)
    other.run_to(1.0)
    assert len(shown(other)) == 4, "another set of channels has its own"
    other.window.choices.rows.use_layout("ECG and pressure")
    assert shown(other) == ["ECG", "ABP"], "a row that it does not have is no error"
    again.window.choices.layouts.fill()
    assert [a.text() for a in again.window.choices.layouts.menu.actions()] == ["Usual", "ECG and pressure"]


def test_a_file_that_cannot_be_read_is_said_and_left_alone(screen: Make, tmp_path: Path) -> None:
    (tmp_path / "layouts.toml").write_text("[[lay", "utf-8")
    s = screen(kept=tmp_path)
    s.run_to(0.5)
    assert "layouts of rows are not kept" in s.window.toast.text()
    s.window.choices.rows.toggle_row("PPG")
    s.run_to(1.0)
    assert shown(s) == ["ECG", "ABP", "EEG"]
    assert (tmp_path / "layouts.toml").read_text("utf-8") == "[[lay"


def numbers(file: Path, said: list[str], worker: Executor) -> KeptFile[tuple[str, ...]]:
    return KeptFile(file, "words", lambda text, _: tuple(text.split()), " ".join, (), worker, said.append)


def test_two_windows_keep_each_others_choices(tmp_path: Path) -> None:
    said: list[str] = []
    one, two = (numbers(tmp_path / "new" / "words", said, Inline()) for _ in range(2))
    one.order(lambda words: (*words, "a"))
    two.order(lambda words: (*words, "b"))
    one.order(lambda words: (*words, "c"))
    assert one.poll() and one.value == ("a", "b", "c") and not said
    blocked = numbers(tmp_path / "new" / "words" / "x", said, Inline())
    blocked.order(lambda words: (*words, "d"))
    assert blocked.value == ("d",)
    blocked.poll()
    assert blocked.value == ("d",) and "words are not kept" in said[0]
    blocked.order(lambda words: (*words, "e"))
    blocked.poll()
    assert blocked.value == ("d", "e") and len(said) == 1, "once"
    (tmp_path / "new" / "words").unlink()
    blocked.order(lambda words: (*words, "f"))
    assert blocked.poll() and blocked.value == ("f",) and len(said) == 1, "it goes on where it can be written again"


# Scales -----------------------------------------------------------------------------------------------------------


def test_noise_of_a_dead_pulse_wave_stays_small_and_a_pulse_fills_its_lane_at_once() -> None:
    """Noise of half a percent of the level, with and without a pulse seen before."""
    for pulse in (Pulse.UNKNOWN, Pulse.NONE):
        for seen in (False, True):
            scale = LaneScale(THEME.lanes[Modality.PPG], 30.0)
            if seen:
                scale.observe((0.2, 1.2), 0.0, Pulse.PRESENT)
            for second in range(1, 40):
                scale.observe((0.4975, 0.5025), float(second), pulse)
            share = 0.005 / (scale.scale.high - scale.scale.low)
            assert share < (0.01 if seen else 0.2)
            scale.observe((0.3, 0.7), 41.0, Pulse.PRESENT)
            assert 0.4 / (scale.scale.high - scale.scale.low) > (0.25 if seen else 0.6)
    dead = LaneScale(THEME.lanes[Modality.ABP], 30.0)
    for second in range(40):
        dead.observe((87.8, 88.2), float(second), Pulse.NONE)
    assert 0.4 / (dead.scale.high - dead.scale.low) < 0.02


def test_a_damped_pressure_in_shock_is_still_seen() -> None:
    scale = LaneScale(THEME.lanes[Modality.ABP], 30.0)
    scale.observe((60.0, 130.0), 0.0, Pulse.PRESENT)
    for second in range(1, 40):
        scale.observe((38.0, 50.0), float(second), Pulse.PRESENT)
    assert 12.0 / (scale.scale.high - scale.scale.low) > 0.15


def test_what_is_no_measurement_makes_no_lane_higher() -> None:
    scale = LaneScale(THEME.lanes[Modality.ECG], 30.0)
    for second in range(12):
        scale.observe((-0.2, 0.6), float(second))
    need = scale.need_mm
    assert need is not None and 10.0 <= need <= 16.0
    scale.observe((-8.0, 8.0), 13.0, None, True)
    assert scale.need_mm == need
    scale.observe((-0.8, 1.9), 14.0)
    assert scale.need_mm is not None and scale.need_mm > need
    scale.observe((-0.2, 0.6), 15.0)
    assert scale.need_mm > need, "it never shrinks"


# The screen -------------------------------------------------------------------------------------------------------


def test_a_measured_screen_has_true_millimetres_and_keeps_them(screen: Make, tmp_path: Path) -> None:
    s = screen(kept=tmp_path)
    s.run_to(1.0)
    s.window.action_of("measure_screen")()
    dialog = s.window.choices.ruler.dialog
    dialog.length.setText("a hand")
    press(dialog.length, Qt.Key.Key_Return)
    assert dialog.isVisible() and "millimetres" in dialog.told.text()
    wanted = dialog.line.length / 5.0
    dialog.length.setText(f"{wanted:.3f} mm")
    press(dialog.length, Qt.Key.Key_Return)
    assert not dialog.isVisible()
    for one in (s, screen(kept=tmp_path)):
        one.run_to(2.0)
        assert one.window.sweep.px_per_mm == pytest.approx(5.0, rel=1e-3)
        assert one.window.sweep.paper.per_s == pytest.approx(125.0, rel=1e-3)
        assert "about" not in one.window.sweep.headers[0].details
    s.window.choices.ruler.take(None)
    assert s.window.sweep.px_per_mm != pytest.approx(5.0, rel=1e-3)


@pytest.mark.parametrize("typed", ["", "0", "-3", "nan", "inf", "1e9", "0.001", "15 cm"])
def test_a_length_that_cannot_be_is_not_taken(typed: str) -> None:
    assert measured_scale(600.0, typed) is None


def test_sizes_of_screens_are_read_again(screen: Make) -> None:
    name = screen_name(screen().window.screen())
    sizes = {name: 3.7795275, 'a "b" \\ c': 11.1}
    assert parse_sizes(sizes_text(sizes), "x") == sizes
