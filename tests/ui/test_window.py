"""The real window, its pixels checked: sweep, gap, breaks, estimates, presence, prediction, alarms, banner."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPoint

from models.signals.absence import Absence
from models.signals.findings import Pulse
from models.signals.modalities import Modality
from tests.ui.harness import Screen, hue_like, near
from tests.ui.synthetic import MODEL, Chapter, FakeSession, Patient
from ui.style.theme import default_theme

Make = Callable[..., Screen]
THEME = default_theme()
FLAT = Absence.FLAT
COLOUR = {m: THEME.lanes[m].colour for m in Modality}
ESTIMATED = {m: THEME.lanes[m].estimated for m in Modality}


def ink(screen: Screen, modality: Modality, least: float = 0.97) -> np.ndarray:
    """Columns of a lane's wave area that hold any of its colour, bright or dimmed."""
    return hue_like(screen.pixels(screen.wave_area(modality)), COLOUR[modality], least, 45).any(axis=0)


def sweep_s(screen: Screen) -> float:
    """Seconds from one edge of the screen to the other."""
    paper = screen.window.sweep.paper
    return paper.width / paper.per_s


def test_the_wave_is_drawn_up_to_the_beam_in_its_colour(screen: Make) -> None:
    s = screen()
    s.run_to(4.0)
    for modality in MODEL:
        bright = near(s.pixels(s.wave_area(modality)), COLOUR[modality], 60).any(axis=0)
        beam = s.column(s.window.sweep.head_s)
        assert bright[5 : beam - 12].mean() > 0.9, modality
        assert not bright[beam + 3 :].any(), modality


def test_the_erase_gap_runs_ahead_of_the_beam_and_the_last_sweep_is_dimmed(screen: Make) -> None:
    s = screen()
    s.run_to(1.55 * sweep_s(s))
    paper, beam = s.window.sweep.paper, s.column(s.window.sweep.head_s)
    assert paper.gap == pytest.approx(0.02 * paper.width, abs=1)
    for modality in (Modality.ECG, Modality.PPG):
        pixels = s.pixels(s.wave_area(modality))
        assert not hue_like(pixels[:, beam + 3 : beam + paper.gap - 2], COLOUR[modality]).any(), "ink in the gap"
        right = pixels[:, beam + paper.gap + 4 : -4]
        assert hue_like(right, COLOUR[modality], 0.95, 40).any(axis=0).mean() > 0.9, "the last sweep is gone"
        assert not near(right, COLOUR[modality], 60).any(), "the last sweep is not dimmed"
        assert near(pixels[:, 4 : beam - 12], COLOUR[modality], 60).any(axis=0).mean() > 0.9


def test_the_incremental_picture_is_the_picture_drawn_at_once(screen: Make) -> None:
    """Frame by frame or in one go from the buffers: the same wave, but for antialiasing where strokes join."""
    s = screen(Patient(absent={Modality.ABP: [(3, 8, Absence.NO_DATA)]}))
    s.run_to(0.7 * sweep_s(s))
    area = s.wave_area(Modality.PPG)
    before = s.pixels(area)
    s.window.sweep.relayout()
    after = s.pixels(area)
    assert np.mean(np.abs(before - after).max(axis=-1) > 90) < 0.004
    moved = np.argmax(near(before, COLOUR[Modality.PPG], 80), axis=0) - np.argmax(
        near(after, COLOUR[Modality.PPG], 80), axis=0)  # fmt: skip
    assert np.mean(np.abs(moved) > 3) < 0.02


def test_25_mm_a_second_on_the_screen(screen: Make) -> None:
    s = screen()
    s.run_to(5.0)
    pixels = near(s.pixels(s.wave_area(Modality.ECG)), COLOUR[Modality.ECG], 70)
    rows = np.where(pixels.any(axis=0), np.argmax(pixels, axis=0), pixels.shape[0])
    peaks = [i for i in range(3, len(rows) - 3) if rows[i] == rows[i - 3 : i + 4].min() and rows[i] < rows.min() + 12]
    starts = [p for k, p in enumerate(peaks) if k == 0 or p - peaks[k - 1] > 20]
    period = np.mean(np.diff(starts))
    dpi = s.window.screen().physicalDotsPerInch()
    assert period == pytest.approx(0.8 * 25 * dpi / 25.4, rel=0.02)
    height = np.median(rows[5:200]) - rows.min()
    assert height == pytest.approx(1.0 * 10 * dpi / 25.4, rel=0.15)  # 1 mV, less what 0.5-40 Hz takes of a spike


def test_a_gap_breaks_the_line(screen: Make) -> None:
    s = screen(Patient(absent={m: [(3, 4, Absence.NO_DATA)] for m in MODEL}, restore=False))
    s.run_to(6.0)
    for modality in MODEL:
        columns = ink(s, modality)
        assert columns[s.columns(1, 3)].mean() > 0.9 and columns[s.columns(4, 5)].mean() > 0.9
        wave = near(s.pixels(s.wave_area(modality)), COLOUR[modality], 60).any(axis=0)
        assert not wave[s.columns(3, 4, 3)].any(), f"a line across the gap of {modality}"


def test_estimates_appear_in_absent_cells_only_pale_dashed_and_with_the_word(screen: Make) -> None:
    patient = Patient(absent={Modality.ABP: [(3, 8, Absence.NO_DATA)]})
    s = screen(patient, size=(1600, 800))
    s.run_to(10.5)
    pixels = s.pixels(s.wave_area(Modality.ABP))
    pale = near(pixels, ESTIMATED[Modality.ABP], 45)
    bright = near(pixels, COLOUR[Modality.ABP], 60)  # a level line between two rows of pixels is a little paler
    inside, before, after = s.columns(3, 8), s.columns(0.3, 3), s.columns(8, 10)
    assert pale[:, inside].any(axis=0).mean() > 0.4
    assert not pale[:, before].any() and not pale[:, after].any()
    assert not bright[:, inside].any()
    foot = _foot(s, pale.shape[0], 66.0)
    for beat in range(5, 9):  # level at 66 mmHg for the first fifth of each beat
        level = pixels[foot - 2 : foot + 3, s.column(0.8 * beat) : s.column(0.8 * beat + 0.18)]
        dashes = near(level, ESTIMATED[Modality.ABP], 120).any(axis=0)
        assert 0.2 < dashes.mean() < 0.9, "the estimate is not dashed"
    there = near(pixels, COLOUR[Modality.ABP], 75).any(axis=0)  # a steep stroke is fainter
    assert there[before].mean() > 0.9 and there[after].mean() > 0.9
    badge = pixels[: round(18 * s.window.look.unit), :]
    background = near(badge, THEME.colour["background"], 14)
    assert not background[:, s.column(3) + 10 : s.column(4) + 40].all(axis=0).any(), "no badge over the estimate"
    assert s.lane(Modality.ABP).badges[3].words == "ESTIMATED from ECG, PPG, EEG  ±7 mmHg"
    assert set(s.lane(Modality.ABP).badges) == {3, 4, 5, 6, 7}


def test_the_uncertainty_band_is_drawn_without_seams(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 9, Absence.NO_DATA)]}))
    s.run_to(10.0)
    pixels = s.pixels(s.wave_area(Modality.ABP))
    foot = _foot(s, pixels.shape[0], 61.5)
    for beat in range(4, 9):  # level at 66 mmHg, so the band covers 59-73 at each of these columns
        covered = pixels[foot, s.column(beat * 0.8 + 0.02) + 2 : s.column(beat * 0.8 + 0.16) - 2]
        background = near(covered, THEME.colour["background"], 20)
        assert not background.any(), "a seam is bare"
        assert np.ptp(covered[:, 0]) < 12, "a seam is painted twice"


def _foot(s: Screen, height: int, mmhg: float) -> int:
    """The row of the wave area at a pressure."""
    return round(s.window.sweep.scale_of(s.lane(Modality.ABP)).scale.y(mmhg, 0, height))


def test_the_estimate_lags_and_says_so_and_the_measurement_is_back_at_once(screen: Make) -> None:
    patient = Patient(absent={Modality.ABP: [(3, 8, Absence.NO_DATA)]})
    s = screen(patient)
    s.run_to(7.0)
    lag = s.lane(Modality.ABP).estimate.lag_s
    assert 1.5 < lag < 2.0, "half a second more than a hop and the model, for what amends it"
    status = s.window.sweep.headers[1].status
    assert f"the estimate lags {lag:.1f} s" in status and "NO SIGNAL" in status
    pale = near(s.pixels(s.wave_area(Modality.ABP)), ESTIMATED[Modality.ABP], 60).any(axis=0)
    head = s.window.sweep.head_s
    assert not pale[s.column(head - lag) + 4 :].any()
    assert pale[s.column(head - lag) - 30 : s.column(head - lag)].any()
    s.run_to(8.4)
    bright = near(s.pixels(s.wave_area(Modality.ABP)), COLOUR[Modality.ABP], 60).any(axis=0)
    assert bright[s.columns(8.0, s.window.sweep.head_s, 3)].mean() > 0.9


def test_estimates_once_drawn_stay_as_drawn(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 30, Absence.NO_DATA)]}))
    s.run_to(7.0)
    done = s.columns(3, 5)
    repaints = s.window.sweep.repaints
    before = s.pixels(s.wave_area(Modality.ABP))[:, done]
    s.run_to(8.0)
    assert s.window.sweep.repaints == repaints, "the scale changed; the comparison would be of another picture"
    np.testing.assert_array_equal(s.pixels(s.wave_area(Modality.ABP))[:, done], before)


def test_eeg_never_gets_an_estimated_trace(screen: Make) -> None:
    s = screen(Patient(absent={Modality.EEG: [(3, 30, Absence.ARTEFACT)]}))
    s.run_to(7.0)
    rows = s.pixels(s.wave_area(Modality.EEG))[: -round(16 * s.window.look.unit), s.columns(3, 6)]
    assert near(rows, THEME.colour["background"], 14).all()
    assert "EEG is never estimated" in s.window.sweep.headers[3].status


def test_not_estimable_is_said_in_the_lane(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 30, Absence.NO_DATA)]}, restore=False))
    s.run_to(7.0)
    assert "no estimate: no clean ABP of this patient yet" in s.window.sweep.headers[1].status
    assert s.window.numerics.readouts["ABP"].value == "-?-"


def test_the_presence_strip_follows_the_sweep_second_by_second(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 5, Absence.NO_DATA)], Modality.PPG: [(2, 3, Absence.WITHHELD)]}))
    s.run_to(7.5)
    strip = s.pixels(s.strip_area(Modality.ABP))
    for second in range(1, 7):
        cell = strip[:, s.columns(second, second + 1, 3)]
        present = hue_like(cell, COLOUR[Modality.ABP], 0.98, 60)
        absent = near(cell, THEME.colour["absent"], 60)
        assert (present.mean() > 0.9) == (second not in (3, 4)), second
        assert (0.05 < absent.mean() < 0.9) == (second in (3, 4)), second
    assert near(strip[:, s.column(7) + 3 :], THEME.colour["background"], 14).all(), "a cell not yet judged is shown"
    withheld = s.pixels(s.strip_area(Modality.PPG))[:, s.columns(2, 3, 3)]
    assert near(withheld, THEME.colour["withheld"], 60).any()


def test_the_pointer_learns_the_reason(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(3, 5, Absence.FLAT)]}))
    s.run_to(7.5)
    area = s.strip_area(Modality.ABP)
    assert (
        s.window.sweep.words_at(QPoint(area.left() + s.column(3.5), area.top() + 1))
        == "ABP  00:00:03  absent: flat line; estimated"
    )
    assert s.window.sweep.words_at(QPoint(area.left() + s.column(2.5), area.top() + 1)) == "ABP  00:00:02  measured"
    assert s.window.sweep.words_at(QPoint(2, 2)) == ""


def test_a_seek_clears_the_sweep_and_starts_at_the_left(screen: Make) -> None:
    s = screen()
    s.run_to(5.0)
    assert ink(s, Modality.PPG)[s.columns(1, 4)].all()
    s.patient = Patient(epoch=1)
    s.start_at(900.0)
    s.run_to(901.0)
    columns = ink(s, Modality.PPG)
    beam = s.column(s.window.sweep.head_s)
    assert beam < 1.1 * s.window.sweep.paper.per_s
    assert columns[4 : beam - 4].mean() > 0.85 and not columns[beam + 4 :].any()
    assert s.window.state.prediction is None or s.window.state.prediction.epoch == 1


def test_resizing_keeps_the_waves(screen: Make) -> None:
    s = screen()
    s.run_to(4.0)
    for size in ((1024, 640), (1920, 1080), (3840, 2160), (1280, 760)):
        s.window.resize(*size)
        s.frames(2)
        assert ink(s, Modality.PPG)[4 : s.column(s.window.sweep.head_s) - 4].mean() > 0.85, size
        right = s.window.numerics.geometry().right()
        assert right == size[0] - 1 and s.window.replay.geometry().bottom() == size[1] - 1


def test_stale_predictions_turn_grey_and_say_so(screen: Make) -> None:
    s = screen(Patient(risk_15=0.95))
    s.run_to(4.3)
    tile = s.window.prediction
    image = tile.grab().toImage().convertToFormat(tile.grab().toImage().Format.Format_RGB32)
    high = THEME.colour["risk_high"]
    assert near(s.pixels(tile.rect(), image), high, 40).any()
    assert not tile.words.stale and tile.words.risks[2].value == "95"
    s.patient.prediction_delay_s = 1e9  # no more predictions; the waves go on
    s.run_to(9.0)
    assert tile.words.stale and tile.words.age.startswith("STALE")
    assert {risk.value for risk in tile.words.risks} == {"-?-"}
    grey = s.pixels(tile.rect(), tile.grab().toImage().convertToFormat(image.format()))
    assert not near(grey, high, 40).any() and near(grey, THEME.colour["stale"], 30).any()


def sayings(s: Screen) -> set[str]:
    """Every number that the window shows as one of now."""
    numbers = {part for r in s.window.numerics.readouts.values() for part in (r.value, r.second) if part}
    return numbers | {risk.value for risk in s.window.prediction.words.risks}


def test_a_dead_stream_raises_the_displays_own_alarm_and_leaves_no_number(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    assert s.window.banner.words == "" and s.window.sweep.stamp is None
    s.alive = False
    s.frames(100)
    assert s.window.banner.words == ""
    s.frames(80)
    assert "NO SIGN OF LIFE" in s.window.banner.words and s.window.banner.isVisible()
    assert s.window.sweep.stamp.words == "NOT LIVE" and sayings(s) == {"-?-"}


def test_a_stream_that_beats_but_gives_nothing_is_dead_within_three_seconds(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    s.frames(180)
    assert "NO SAMPLES" in s.window.banner.words and s.window.sweep.stamp.words == "NOT LIVE"
    assert sayings(s) == {"-?-"}
    s.start_at(4.3)
    s.run_to(6.2)
    assert s.window.banner.words == "" and s.window.sweep.stamp is None and "75" in sayings(s)


def test_vitals_that_stop_while_the_waves_go_on_leave_no_number(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    second = s.patient.second
    s.patient.second = lambda at: second(at)[:2]  # states and cells only
    s.run_to(6.9)
    assert s.window.numerics.readouts["ECG"].value == "75"
    s.run_to(7.4)
    assert all(r.invalid for r in s.window.numerics.readouts.values()) and s.window.sweep.stamp is None


def test_an_unanswered_session_leaves_no_number(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    s.worker.answers = False
    s.run_to(7.3)
    assert "NO ANSWER" in s.window.banner.words and sayings(s) == {"-?-"}


def test_the_end_of_the_recording_leaves_no_number_after_three_seconds(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    s.session.changes = {"ended": True}
    s.frames(12)
    assert s.window.sweep.stamp.words == "END OF RECORDING"
    s.frames(180)
    assert sayings(s) == {"-?-"} and not s.window.banner.urgent


def test_a_pause_is_no_alarm_but_stamped_on_everything(screen: Make) -> None:
    s = screen()
    s.run_to(4.3)
    before = s.pixels(s.window.sweep.rect())
    s.session.changes = {"paused": True}
    s.alive = False
    s.frames(1000)
    assert s.window.banner.words == "" and not s.window.prediction.words.stale
    assert s.window.sweep.stamp.words == "PAUSED" and "00:00:04" in s.window.sweep.stamp.more
    letters = np.abs(s.pixels(s.window.sweep.rect()) - before).max(axis=-1) > 60
    rows = np.flatnonzero(letters.mean(axis=1) > 0.03)
    assert np.ptp(rows[np.abs(rows - letters.shape[0] / 2) < 100]) > 40, "letters to be read from three metres"
    found = s.window.numerics.readouts["ECG"]
    assert found.value == "75" and found.held and s.window.prediction.words.held
    grey = s.pixels(s.window.numerics.rect(), s.window.numerics.grab().toImage().convertToFormat(s.image().format()))
    assert np.ptp(grey.reshape(-1, 3), axis=1).max() < 40, "no colour of a live number is left"


@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
def test_a_resume_after_a_long_pause_never_looks_dead(screen: Make, speed: float) -> None:
    s = screen()
    s.session.changes = {"speed": speed}
    s.run_to(4.3)
    s.session.changes = {"speed": speed, "paused": True}
    s.frames(900)
    s.session.changes = {"speed": speed}
    s.start_at(4.3)
    for tenth in range(1, 30):
        s.run_to(4.3 + tenth / 10)
        assert s.window.sweep.stamp is None or s.window.sweep.stamp.words == "PAUSED"
        assert s.window.banner.words == "" and s.window.numerics.readouts["ECG"].value == "75"


def test_after_a_seek_nothing_of_before_is_shown_and_no_zeros(screen: Make) -> None:
    s = screen(Patient(story=[Chapter(1, 99, vitals={"abp_map": 58.0})], absent={Modality.PPG: [(2, 99, FLAT)]}))
    s.feed.push(s.patient.alarm("map.low", "ABP LOW 58 < 65", "high", "physiological"))
    s.run_to(5.3)
    assert s.window.prediction.words.news is not None and s.window.top.fields[0].alarms
    s.patient = Patient(epoch=1, prediction_delay_s=9.0)
    s.start_at(900.0)
    s.run_to(900.9)
    assert sayings(s) == {"-?-"} and s.window.prediction.words.news is None and not s.window.numerics.flashes
    assert not any(field.alarms for field in s.window.top.fields) and not s.window.state.trend
    assert {r.notes for r in s.window.numerics.readouts.values()} <= {(), ("no value measured yet",)}
    s.run_to(901.9)
    assert "75" in sayings(s)


def test_a_failed_session_is_shown(screen: Make) -> None:
    s = screen()
    s.run_to(1.0)
    s.session.changes = {"error": "The window stage stopped: boom."}
    s.frames(20)
    assert s.window.banner.isVisible() and "boom" in s.window.banner.words
    red = s.pixels(s.window.banner.rect(), s.window.banner.grab().toImage().convertToFormat(s.image().format()))
    assert hue_like(red, THEME.colour["alarm_high"], 0.95).mean() > 0.5


def fields_of(s: Screen) -> dict[str, list[str]]:
    return {field.name: [alarm.words for alarm in field.alarms] for field in s.window.top.fields}


def test_alarms_stand_in_their_fields_until_they_end(screen: Make) -> None:
    s = screen()
    low = ("p", "ABP LOW 48 < 65", "high", "physiological")
    s.feed.push(s.patient.alarm("t", "ABP NO SIGNAL"))
    s.feed.push(s.patient.alarm(*low))
    s.run_to(1.0)
    for _ in range(60):
        s.frames(5)
        assert fields_of(s) == {"high": ["*** ABP LOW 48 < 65"], "medium": [], "technical": ["ABP NO SIGNAL"]}
    s.window.desk.acknowledge()
    s.frames(10)
    assert s.window.top.fields[0].alarms[0].acknowledged and fields_of(s)["high"] == ["*** ABP LOW 48 < 65"]
    s.feed.push(s.patient.alarm(*low, active=False))
    s.frames(10)
    assert fields_of(s) == {"high": [], "medium": [], "technical": ["ABP NO SIGNAL"]}


def bar(s: Screen, name: str) -> np.ndarray:
    """The pixels of one alarm field."""
    image = s.window.top.grab().toImage().convertToFormat(s.image().format())
    return s.pixels(s.window.top.places()[name].toAlignedRect().adjusted(3, 3, -3, -3), image)


def test_a_sensor_that_is_not_connected_does_not_flash(screen: Make) -> None:
    patient = Patient(absent={Modality.ABP: [(0, 99, Absence.NOT_CONNECTED)]}, restore=False)
    s = screen(patient, FakeSession((Modality.ECG, Modality.PPG)))
    s.feed.push(patient.alarm("no_pulse", "NO PULSE", "high", "physiological"))
    s.run_to(2.0)
    assert "PPG" in s.window.numerics.flashes and "ABP" not in s.window.numerics.flashes


def test_the_background_flashes_and_the_text_does_not(screen: Make) -> None:
    s = screen()
    s.feed.push(s.patient.alarm("map.low", "ABP LOW 48 < 65", "high", "physiological", now="50"))
    s.run_to(1.0)
    own = THEME.alarm.colours["high"]
    seen: dict[bool, tuple[np.ndarray, np.ndarray]] = {}
    for _ in range(40):
        s.run_to(s.now - s.begin + 0.1)
        pixels = bar(s, "high")
        phase = s.window.top.fields[0].lit[0]
        seen[phase] = near(pixels, own.lit if phase else own.dark, 12), near(pixels, own.ink, 90)
        number = s.window.numerics.grab().toImage().convertToFormat(s.image().format())
        behind = near(s.pixels(s.window.numerics.rect(), number), own.lit, 20)
        assert bool(behind.mean() > 0.01) == s.window.numerics.flashes["ABP"].lit == phase, "the number flashes along"
    for fill, _ in seen.values():
        assert fill.mean() > 0.7
    lit, dark = seen[True][1], seen[False][1]
    assert lit.sum() > 300 and (lit & dark).sum() > 0.8 * lit.sum()


def test_more_alarms_than_room_are_counted_and_listed(screen: Make) -> None:
    s = screen()
    for number, key in enumerate(("map.low", "hr.low", "resp.low", "asystole", "no_pulse", "abp.disconnect")):
        s.feed.push(s.patient.alarm(key, key.upper(), "high", "physiological", time_s=number, reason="because"))
    s.run_to(1.0)
    assert fields_of(s)["high"][:3] == ["*** ASYSTOLE", "*** NO_PULSE", "*** ABP.DISCONNECT"]
    assert s.window.top.fields[0].more == 2
    assert not s.window.alarms.isVisible()
    s.window.alarm_room.toggle_alarms()
    s.frames(12)
    panel = s.window.alarms
    assert panel.isVisible() and len(panel.alarms) == 6 and panel.alarms[0].record.reason == "because"
    assert panel.geometry().right() < s.window.numerics.geometry().left(), "it never covers a number"
    red = s.pixels(panel.rect(), panel.grab().toImage().convertToFormat(s.image().format()))
    assert near(red, THEME.alarm.colours["high"].lit, 12).mean() > 0.2
    s.window.alarm_room.toggle_alarms()
    assert not panel.isVisible()


@pytest.mark.parametrize("size", [(1024, 640), (1456, 819), (3840, 2160)])
def test_the_fields_have_their_places_whatever_stands_in_them(screen: Make, size: tuple[int, int]) -> None:
    s = screen(size=size)
    s.run_to(0.5)
    empty = s.window.top.places()
    for key in ("asystole", "hr.low", "map.low", "resp.low", "no_pulse"):
        s.feed.push(s.patient.alarm(key, f"{key.upper()} 12 < 65", "high", "physiological", now="12"))
    s.run_to(1.0)
    assert s.window.top.places() == empty
    assert near(bar(s, "high"), THEME.alarm.colours["high"].ink, 120).sum() > 200


def test_bad_news_ends_the_estimate_on_the_screen(screen: Make) -> None:
    lost = Chapter(7, 99, pulse={Modality.PPG: Pulse.NONE}, vitals={"pulse_rate": None})
    s = screen(Patient(absent={Modality.ABP: [(3, 99, Absence.NO_DATA)]}, story=[lost]), size=(1600, 800))
    s.run_to(7.9)
    assert s.window.numerics.readouts["ABP"].estimated
    s.run_to(8.25)
    assert s.window.numerics.readouts["ABP"].value == "-?-"
    assert s.window.prediction.words.news.headline == "NO PULSE"
    s.run_to(10.3)
    pale = near(s.pixels(s.wave_area(Modality.ABP)), ESTIMATED[Modality.ABP], 60).any(axis=0)
    assert pale[s.columns(4, 6)].mean() > 0.3
    assert not pale[s.column(7.2) : s.column(10.3)].any()
    s.window.sweep.relayout()
    again = near(s.pixels(s.wave_area(Modality.ABP)), ESTIMATED[Modality.ABP], 60).any(axis=0)
    assert not again[s.column(7.2) : s.column(10.3)].any(), "it does not come back when drawn anew"


def test_the_frame_takes_no_more_than_its_budget_and_catches_up(screen: Make) -> None:
    """A backlog is worked off over several frames; the beam never waits for all of it."""
    s = screen()
    s.run_to(1.0)
    s.patient.run(s.feed, 1.0, 121.0)
    waiting = s.feed.status.waiting
    s.now += 1.0  # the screen's clock stands still within a frame: only the number of batches can end the loop
    s.clock = _Steps(s.now, 0.0002)
    s.window.frame()
    taken = waiting - s.feed.status.waiting
    assert 0 < taken < waiting
    for _ in range(400):
        s.window.frame()
        if not s.feed.status.waiting:
            break
    assert s.feed.status.waiting == 0


class _Steps:
    """A clock that moves by a fixed step each time it is read."""

    def __init__(self, start: float, step: float) -> None:
        self.now, self.step = start, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_ticks_are_reported_once_after_they_were_painted(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    s.frames(10)
    reports = [r for r in s.session.reports if r[0] == "sample_to_screen"]
    dues = [due for _, due, _ in reports]
    assert len(dues) == len(set(dues)) and dues == sorted(dues)
    assert len(dues) >= 55
    assert any(stage == "window_to_screen" for stage, _, _ in s.session.reports)


def test_at_full_speed_the_display_keeps_up_with_what_it_is_given(screen: Make) -> None:
    session = FakeSession()
    session.changes = {"speed": None}
    s = screen(session=session)
    s.frames(10)
    s.patient.run(s.feed, 0.0, 90.0)
    for _ in range(2000):
        s.frames(1)
        if not s.feed.status.waiting:
            break
    s.frames(5)
    assert s.window.sweep.head_s == pytest.approx(90.0)
    columns = ink(s, Modality.PPG)
    assert columns.mean() > 0.85


def test_a_feed_that_overflowed_shows_the_loss_as_a_gap(screen: Make) -> None:
    s = screen(capacity=40)
    s.run_to(2.0)
    assert s.feed.status.dropped == 0
    s.patient.run(s.feed, 2.0, 5.0)
    assert s.feed.status.dropped > 0
    s.session.changes = {"speed": None}
    s.frames(30)
    assert f"{s.feed.status.dropped} not drawn" in s.window.replay.status.words
    columns = ink(s, Modality.PPG)
    assert not columns[s.columns(2.1, 3.0, 6)].any()


def test_an_unconnected_channel_is_given_room_once_it_is_estimated(screen: Make) -> None:
    session = FakeSession((Modality.ECG, Modality.PPG, Modality.EEG))
    patient = Patient(
        absent={Modality.ABP: [(0, 99, Absence.NOT_CONNECTED)]},
        modalities=(Modality.ECG, Modality.PPG, Modality.EEG),
    )
    patient.restore = False
    s = screen(patient, session)
    s.run_to(3.0)
    heights = [row.height for row in s.window.sweep.lane_rows]
    assert heights[1] < 0.6 * heights[0]
    assert s.window.sweep.headers[1].status.startswith("NOT CONNECTED")
    patient.restore = True
    s.run_to(6.5)
    heights = [row.height for row in s.window.sweep.lane_rows]
    assert heights[1] == pytest.approx(heights[0], abs=1)
    pale = near(s.pixels(s.wave_area(Modality.ABP)), ESTIMATED[Modality.ABP], 60).any(axis=0)
    assert pale[s.columns(3, 5)].mean() > 0.3


def test_numerics_stand_beside_their_waves_after_a_change_of_layout(screen: Make) -> None:
    s = screen()
    s.run_to(2.0)
    for error in ("boom", ""):
        s.session.changes = {"error": error}
        for _ in range(30):
            s.frames(1)
            s.window.frame()
            assert [row for _, row, _, _ in s.window.numerics._shown] == s.window.sweep.lane_rows
        assert s.window.banner.isVisible() == bool(error)


def test_a_fault_in_every_frame_is_on_the_screen(screen: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s = screen()
    s.run_to(3.0)

    def breaks(*_: object) -> None:
        raise ArithmeticError("a fault")

    monkeypatch.setattr(s.window.ward, "judge", breaks)
    with pytest.raises(ArithmeticError):
        s.frames(30)
    assert s.window.banner.isVisible() and "not live" in s.window.banner.words


def test_a_beam_that_stands_paints_nothing(screen: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s = screen()
    s.run_to(3.0)
    s.session.changes = {"paused": True}
    s.frames(60)
    painted: list[int] = []
    monkeypatch.setattr(s.window.sweep, "painted", painted.append)
    s.frames(30)
    assert not painted


def test_a_present_value_without_room_is_left_out_and_lies_on_no_other_field(screen: Make) -> None:
    """It stands beside its wave besides."""
    s = screen(size=(1366, 768), font_scale=1.5)
    s.run_to(0.5)
    empty = bar(s, "technical")
    for key, text in (("hr.low", "HR LOW 47 < 50"), ("map.low", "ABP LOW 60 < 65")):
        s.feed.push(s.patient.alarm(key, text, "medium", "physiological", now="48"))
    s.run_to(1.0)
    assert fields_of(s)["medium"][:2] == ["** HR LOW 47 < 50", "** ABP LOW 60 < 65"]
    assert np.array_equal(bar(s, "technical"), empty)


def test_millimetres_are_those_of_the_screen_to_which_the_window_is_moved(
    screen: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = screen()
    s.run_to(2.0)
    sweep = s.window.sweep
    before, paper = sweep.px_per_mm, sweep.paper_of(s.lane(Modality.ECG))
    assert paper.per_s == pytest.approx(25 * before)
    finer = SimpleNamespace(physicalDotsPerInch=lambda: before * 25.4 * 1.5, name=lambda: "finer")
    monkeypatch.setattr(sweep, "screen", lambda: finer)
    s.window.windowHandle().screenChanged.emit(s.window.screen())
    s.frames(3)
    assert sweep.px_per_mm == pytest.approx(1.5 * before)
    assert sweep.paper_of(s.lane(Modality.ECG)).per_s == pytest.approx(25 * 1.5 * before)
