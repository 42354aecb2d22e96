"""Several beds in the real window: a hidden bed's bad news is as loud as its own screen would be, and nothing of one
bed is ever shown, ordered or reported under the name of another."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QFontMetricsF
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.modalities import Modality
from tests.ui.harness import Later, Screen, hue_like, near
from tests.ui.synthetic import MODEL, Chapter, FakeSession, Patient
from ui.bed.bed_words import rest_words
from ui.bed.liveness import Life
from ui.style.theme import default_theme
from ui.window.operator import LIVE_SOURCE

Make = Callable[..., Screen]
THEME = default_theme()
A, B = "Bed 3", "Bed 4"
ASYSTOLE = ("asystole", "ASYSTOLE", "high", "physiological")


def two(screen: Make, second: Patient | None = None, **kwargs: object) -> Screen:
    """Bed 3 ordinary, and Bed 4 with a heart rate of 41 and a mean pressure of 70."""
    other = second or Patient(bed=B, story=[Chapter(0, 999, vitals={"hr": 41.0, "pulse_rate": 41.0, "abp_map": 70.0})])
    return screen(Patient(bed=A), FakeSession(beds=(A, B)), others=[other], **kwargs)


def chip(s: Screen, bed: str):  # type: ignore[no-untyped-def]
    return next(found for found in s.window.beds.chips if found.words.bed == bed)


def pixels(s: Screen, place: QRectF) -> np.ndarray:
    image = s.window.beds.grab().toImage().convertToFormat(s.image().format())
    return s.pixels(place.toAlignedRect().adjusted(3, 3, -3, -3), image)


def on_screen(s: Screen) -> str:
    """All that is said on the screen in words, but for the strip of beds."""
    w = s.window
    parts = [w.top._bed, w.top._source, *(a.words for f in w.top.fields for a in f.alarms), w.banner.words]
    parts += [" ".join((r.value, r.second, r.mark, *r.notes)) for r in w.numerics.readouts.values()]
    parts += [r.value for r in w.prediction.words.risks] + [a.words for a in w.alarms.alarms]
    if w.toast.isVisible():
        parts.append(w.toast.text())
    return " | ".join(parts)


# One bed ----------------------------------------------------------------------------------------------------------


def test_one_bed_has_no_strip_and_its_room_is_the_waves(screen: Make) -> None:
    s = screen()
    s.run_to(2.0)
    w = s.window
    assert not w.beds.isVisible() and w.beds.chips and w.ward.names == (A,)
    assert w.sweep.mapTo(w.face, QPoint()).y() - w.look.px(28) == w.top.geometry().bottom() + 1 == w.look.px(60)
    heights = w.top.height() + w.sweep.height() + w.face.tiles.height() + w.replay.height()
    assert heights + w.look.px(28) == w.height(), "the rest is the room of the banner"
    s.window.operator.next_bed(1.0)
    assert "no other bed" in w.toast.text() and s.session.calls == []


def test_two_beds_have_a_strip_below_the_top_bar(screen: Make) -> None:
    s = two(screen)
    s.run_to(2.2)
    w = s.window
    assert w.beds.isVisible() and w.beds.geometry().top() == w.look.px(60)
    assert w.sweep.mapTo(w.face, QPoint()).y() - w.look.px(28) == w.beds.geometry().bottom() + 1
    words = {c.words.bed: (c.words.rate, c.words.mean, c.on_show) for c in w.beds.chips}
    assert words == {A: ("75", "86", True), B: ("41", "70", False)}
    outline = pixels(s, chip(s, A).place.adjusted(-4, -4, 4, 4))
    assert (
        near(outline, THEME.colour["text"], 40).mean()
        > near(pixels(s, chip(s, B).place.adjusted(-4, -4, 4, 4)), THEME.colour["text"], 40).mean()
    )


# Bad news of a bed that is not on show ----------------------------------------------------------------------------


def test_a_high_alarm_of_a_hidden_bed_fills_its_chip_in_both_phases_of_the_top_bars_flash(screen: Make) -> None:
    s = two(screen)
    for patient in (s.patient, s.others[0]):
        s.feed.push(patient.alarm(*ASYSTOLE, now="0"))
    s.run_to(1.0)
    own = THEME.alarm.colours["high"]
    seen: dict[bool, np.ndarray] = {}
    for _ in range(12):
        s.run_to(s.now - s.begin + 0.1)
        found = chip(s, B)
        assert found.words.worst.words == "*** ASYSTOLE"
        assert found.lit == s.window.top.fields[0].lit[0], "in step with the top bar"
        drawn = pixels(s, found.place)
        assert near(drawn, own.lit if found.lit else own.dark, 12).mean() > 0.55
        seen[found.lit] = near(drawn, own.ink, 90)
    assert set(seen) == {True, False}
    assert seen[True].sum() > 150 and (seen[True] & seen[False]).sum() > 0.8 * seen[True].sum(), "the text stays"


def test_an_alarm_that_is_acknowledged_at_its_bed_is_steady_and_the_other_beds_goes_on(screen: Make) -> None:
    s = two(screen)
    for patient in (s.patient, s.others[0]):
        s.feed.push(patient.alarm(*ASYSTOLE))
    s.run_to(1.0)
    s.window.desk.acknowledge()
    s.run_to(1.3)
    assert chip(s, A).words.worst.acknowledged and not chip(s, B).words.worst.acknowledged
    own = THEME.alarm.colours["high"]
    assert near(pixels(s, chip(s, A).place), own.held, 12).mean() > 0.5


def test_a_hidden_bed_that_dies_turns_red_and_keeps_its_alarm(screen: Make) -> None:
    s = two(screen)
    s.feed.push(s.others[0].alarm("map.low", "ABP LOW 48 < 65", "medium", "physiological"))
    s.run_to(2.2)
    dead, s.others = s.others, []
    s.run_to(5.2)
    found = chip(s, B)
    assert found.words.life is Life.LOST and (found.words.rate, found.words.mean) == ("-?-", "-?-")
    drawn = pixels(s, found.place)
    assert near(drawn, THEME.alarm.colours["high"].lit, 12).mean() > 0.05, "NOT LIVE in red"
    assert near(drawn, THEME.alarm.colours["medium"].held, 12).mean() > 0.3, "its alarm stands, and is not live"
    assert s.window.banner.words == "" and s.window.sweep.stamp is None, "the bed on show is well"
    s.window.show_bed(B)
    assert "NO SAMPLES" in s.window.banner.words and s.window.sweep.stamp.words == "NOT LIVE"
    s.others = dead
    s.run_to(6.3)
    assert s.window.banner.words == "" and chip(s, B).words.life is Life.LIVE


def test_a_hidden_bed_at_its_end_and_one_without_sensors(screen: Make) -> None:
    off = Patient(bed="Bed 5", absent={m: [(1, 99, Absence.LEAD_OFF)] for m in MODEL})
    s = screen(Patient(bed=A), FakeSession(beds=(A, B, "Bed 5")), others=[Patient(bed=B), off])
    s.run_to(2.2)
    s.session.of[B] = {"ended": True}
    s.others = [off]
    s.run_to(8.0)
    assert chip(s, B).words.life_words == "ENDED" and chip(s, B).words.rate == "-?-"
    assert not near(pixels(s, chip(s, B).place), THEME.alarm.colours["high"].lit, 12).any(), "an end is no alarm"
    gone = chip(s, "Bed 5").words
    assert (gone.life, gone.rate, gone.mean) == (Life.LIVE, "-?-", "-?-")


@pytest.mark.parametrize("size", [(1024, 640), (1456, 819)])
def test_of_twenty_beds_the_worst_are_seen_and_the_rest_is_counted(screen: Make, size: tuple[int, int]) -> None:
    names = tuple(f"Bed {n}" for n in range(1, 21))
    patients = [Patient(bed=name, restore=False) for name in names]
    s = screen(patients[0], FakeSession(beds=names), size, others=patients[1:])
    s.run_to(1.2)
    assert _rest(s)[1] == "no alarm" and s.window.beds.chips[0].words.bed == names[0]
    s.feed.push(patients[18].alarm(*ASYSTOLE))
    s.feed.push(patients[11].alarm("map.low", "ABP LOW 48 < 65", "medium", "physiological"))
    s.run_to(1.6)
    beds = [c.words.bed for c in s.window.beds.chips]
    assert {"Bed 1", "Bed 12", "Bed 19"} <= set(beds) and beds == sorted(beds, key=names.index)
    assert len(beds) + len(s.window.beds.rest) == 20 and len(beds) >= 4
    places = [c.place for c in s.window.beds.chips] + [s.window.beds.rest_place]
    assert all(a.right() < b.left() for a, b in pairwise(places))
    assert places[0].left() > 0 and places[-1].right() < s.window.width()
    title = QFontMetricsF(s.window.look.font(13, True)).horizontalAdvance("Bed 19")
    assert places[0].width() > 2.2 * title, "room for the name and the numbers"


def _rest(s: Screen) -> tuple[str, str]:
    return rest_words(s.window.beds.rest)


def test_more_high_alarms_than_room_are_loud_in_the_rest(screen: Make, qtbot: QtBot) -> None:
    names = tuple(f"Bed {n}" for n in range(1, 21))
    patients = [Patient(bed=name, restore=False) for name in names]
    s = screen(patients[0], FakeSession(beds=names), (1024, 640), others=patients[1:])
    for patient in patients[1:]:
        s.feed.push(patient.alarm(*ASYSTOLE))
    s.run_to(1.2)
    strip, own = s.window.beds, THEME.alarm.colours["high"]
    assert _rest(s)[1] == f"{len(strip.rest)} HIGH"
    for _ in range(8):
        s.run_to(s.now - s.begin + 0.1)
        drawn = pixels(s, strip.rest_place)
        lit, dark = near(drawn, own.lit, 12).mean(), near(drawn, own.dark, 12).mean()
        assert max(lit, dark) > 0.6 and (lit > dark) == s.window.beds.chips[1].lit
    worst = strip.rest[0].bed
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.rest_place.center().toPoint())
    assert s.window.ward.on_show.name == s.session.bed == worst


# Another bed on show ----------------------------------------------------------------------------------------------


def test_a_click_and_the_keys_show_a_bed(screen: Make, qtbot: QtBot) -> None:
    s = two(screen)
    s.run_to(1.5)
    qtbot.waitExposed(s.window)
    qtbot.mouseClick(s.window.beds, Qt.MouseButton.LeftButton, pos=chip(s, B).place.center().toPoint())
    assert s.window.ward.on_show.name == s.session.bed == B and chip(s, B).on_show
    qtbot.keyClick(s.window, Qt.Key.Key_PageDown)
    assert s.window.ward.on_show.name == A
    qtbot.keyClick(s.window, Qt.Key.Key_PageUp)
    assert s.window.ward.on_show.name == s.session.bed == B
    qtbot.mouseClick(s.window.beds, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    assert s.window.ward.on_show.name == B


def test_before_the_session_has_answered_all_is_already_about_the_new_bed(screen: Make) -> None:
    s = two(screen)
    s.session.lacking = {B: (Modality.EEG,)}
    s.session.of = {A: {"position_s": 1512.0, "duration_s": 2016.0}, B: {"position_s": 3.0, "duration_s": 500.0}}
    s.feed.push(s.patient.alarm(*ASYSTOLE))
    s.feed.push(s.others[0].alarm("map.low", "ABP LOW 48 < 65", "medium", "physiological"))
    s.run_to(3.3)
    s.window.operator.toggle_sensor(2.0)
    assert "ASYSTOLE" in on_screen(s) and "WITHHELD" in on_screen(s) and "ABP LOW" not in on_screen(s)
    later = s.window.link._worker = Later()
    before = s.window.sweep._inks
    s.window.show_bed(B)  # no frame has passed
    for _ in range(2):
        said = on_screen(s)
        assert said.startswith("Bed 4 | ") and "case of Bed 4" in said and "surgery1" not in said
        assert "ASYSTOLE" not in said and "ABP LOW 48 < 65" in said and "WITHHELD" not in said
        assert s.window.numerics.readouts["ECG"].value == "41" and s.window.numerics.readouts["ABP"].second == "70"
        assert [lane.key for lane in s.window.state.lanes if lane.connected] == ["ECG", "ABP", "PPG"]
        assert s.window.replay.seek.duration_s == 500.0 and "00:08:20" in s.window.replay.time.text()
        assert not {id(ink.lane) for ink in s.window.sweep._inks} & {id(ink.lane) for ink in before}
        assert s.window.banner.words == "" and s.window.sweep.stamp is None
        s.frames(4)  # frames pass, the session says nothing
    later.run()
    s.frames(10)
    assert on_screen(s).startswith("Bed 4 | ") and s.session.bed == B


def test_an_answer_about_the_bed_before_is_not_taken_for_the_new_one(screen: Make) -> None:
    s = two(screen)
    s.session.of = {A: {"paused": True, "duration_s": 2016.0}, B: {"duration_s": 500.0}}
    s.run_to(2.2)
    later = s.window.link._worker = Later()
    s.frames(10)  # it has been asked about Bed 3
    s.window.show_bed(B)
    later._waiting.pop(0)()  # and answers
    s.frames(10)
    assert s.window.link.snapshot.bed == A and s.window.ward.on_show.name == B
    assert s.window.replay.seek.duration_s == 500.0 and s.window.sweep.stamp is None
    later.run()
    s.frames(3)
    later.run()
    s.frames(10)
    assert s.window.link.snapshot.bed == B and s.window.ward.on_show.name == B


def test_the_waves_are_the_new_beds_at_once_and_the_old_ones_come_back_as_they_were(screen: Make) -> None:
    flat = Patient(bed=B, story=[Chapter(0, 999, waves={Modality.PPG: lambda t: np.full(len(t), 0.5)})])
    s = two(screen, flat)
    s.run_to(4.0)
    area = s.wave_area(Modality.PPG)
    high = hue_like(s.pixels(area), THEME.lanes[Modality.PPG].colour, 0.97, 45).any(axis=1).sum()
    s.window.show_bed(B)
    s.application.processEvents()
    drawn = hue_like(s.pixels(s.wave_area(Modality.PPG)), THEME.lanes[Modality.PPG].colour, 0.97, 45)
    assert drawn.any(axis=1).sum() < 0.3 * high, "a wave of the other bed"
    assert drawn.any(axis=0)[10 : s.column(s.window.sweep.head_s) - 12].mean() > 0.9, "it begins with what it has"
    s.window.show_bed(A)
    s.application.processEvents()
    again = hue_like(s.pixels(s.wave_area(Modality.PPG)), THEME.lanes[Modality.PPG].colour, 0.97, 45)
    assert again.any(axis=1).sum() > 0.9 * high


def test_a_switch_in_the_middle_of_an_alarm_loses_neither_beds(screen: Make) -> None:
    s = two(screen)
    s.run_to(2.0)
    s.feed.push(s.patient.alarm(*ASYSTOLE))
    s.run_to(2.3)
    assert [a.words for a in s.window.top.fields[0].alarms] == ["*** ASYSTOLE"]
    s.window.show_bed(B)
    assert not any(field.alarms for field in s.window.top.fields) and not s.window.numerics.flashes
    assert chip(s, A).words.worst.words == "*** ASYSTOLE" and not chip(s, A).on_show
    s.run_to(2.6)
    s.feed.push(s.patient.alarm(*ASYSTOLE, active=False))
    s.feed.push(s.others[0].alarm("no_pulse", "NO PULSE", "high", "physiological"))
    s.run_to(2.9)
    assert chip(s, A).words.worst.words.startswith("*** ASYSTOLE — ended"), "until somebody has seen it"
    assert [a.words for a in s.window.top.fields[0].alarms] == ["*** NO PULSE"]


def test_what_is_ordered_goes_to_the_bed_that_was_on_show_then(screen: Make) -> None:
    s = two(screen)
    s.run_to(2.0)
    later = s.window.link._worker = Later()
    s.window.operator.toggle_sensor(1.0)
    s.window.operator.next_bed(1.0)
    s.window.operator.toggle_sensor(2.0)
    s.window.operator.toggle_pause()
    s.window.operator.next_bed(1.0)
    s.window.operator.toggle_pause()
    later.run()
    called = list(zip(s.session.called_for, (call[0] for call in s.session.calls), strict=True))
    assert called == [(A, "drop"), (B, "drop"), (B, "pause"), (A, "pause")]


def test_each_bed_is_paused_on_its_own(screen: Make) -> None:
    s = two(screen)
    s.run_to(3.2)
    s.session.of[A] = {"paused": True}
    running, s.patient = s.patient, s.others[0]
    s.others = []
    s.run_to(9.0)
    assert s.window.sweep.stamp.words == "PAUSED" and s.window.numerics.readouts["ECG"].value == "75"
    s.window.show_bed(B)
    assert s.window.sweep.stamp is None and not s.window.numerics.readouts["ECG"].held
    s.run_to(15.0)
    assert chip(s, A).words.life_words == "PAUSED" and chip(s, A).words.rate == "75"
    s.session.of = {}
    s.others = [running]
    for tenth in range(1, 25):
        s.run_to(15.0 + tenth / 10)
        assert chip(s, A).words.life is not Life.LOST, "a resume does not look dead"
    assert chip(s, A).words.life is Life.LIVE and chip(s, A).words.rate == "75"


def test_no_report_is_of_what_was_due_before_the_bed_was_on_show(screen: Make) -> None:
    s = two(screen)
    s.run_to(4.3)
    reported = len(s.session.reports)
    at_ns = round(s.now * 1e9)
    s.window.show_bed(B)
    s.run_to(4.5)
    new = [(stage, due) for stage, due, _ in s.session.reports[reported:] if stage == "sample_to_screen"]
    of = s.session.reported_for[reported:]
    assert {bed for bed, (_, due, _) in zip(of, s.session.reports[reported:], strict=True) if due > at_ns} == {B}
    assert new and all(due > at_ns for (_, due), bed in zip(new, of, strict=False) if bed == B)
    assert "window_to_screen" not in [stage for stage, _, _ in s.session.reports[reported:]]
    s.run_to(6.0)
    at_ns, reported = round(s.now * 1e9), len(s.session.reports)
    s.window.show_bed(A)  # some of its ticks had come and were not yet drawn when it left the screen
    s.run_to(6.2)
    late = zip(s.session.reported_for[reported:], s.session.reports[reported:], strict=True)
    assert all(due > at_ns for bed, (stage, due, _) in late if bed == A and stage == "sample_to_screen")


def test_gains_are_each_beds_own(screen: Make) -> None:
    s = two(screen)
    s.run_to(2.0)
    s.window.operator.change_gain(1.0)
    s.window.show_bed(B)
    assert "×1" in s.window.sweep._headers[0].details
    s.window.show_bed(A)
    assert "×2" in s.window.sweep._headers[0].details


def test_a_drag_on_the_position_bar_does_not_seek_another_beds_recording(screen: Make, qtbot: QtBot) -> None:
    s = two(screen)
    s.run_to(1.0)
    bar = s.window.replay.seek
    qtbot.mousePress(bar, Qt.MouseButton.LeftButton, pos=QPoint(50, bar.height() // 2))
    s.window.operator.next_bed(1.0)
    qtbot.mouseRelease(bar, Qt.MouseButton.LeftButton, pos=QPoint(90, bar.height() // 2))
    assert s.session.calls == []


def test_a_bed_that_the_session_refuses_is_left_again_and_that_is_said(screen: Make) -> None:
    s = two(screen)
    s.run_to(1.0)
    s.window.show_bed("Bed 9")
    s.frames(10)
    assert s.window.ward.on_show.name == A and on_screen(s).startswith("Bed 3 | ")
    assert "show bed Bed 9" in s.window.toast.text()


def test_the_list_of_alarms_covers_no_bed(screen: Make) -> None:
    s = two(screen)
    s.feed.push(s.patient.alarm(*ASYSTOLE))
    s.run_to(1.0)
    s.window.alarm_room.toggle_alarms()
    s.run_to(1.3)
    assert s.window.alarms.geometry().top() > s.window.beds.geometry().bottom()


# A live source ----------------------------------------------------------------------------------------------------


def test_a_live_source_has_no_replay_bar_and_cannot_be_paused(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.session.changes = {"seekable": False}
    s.run_to(3.2)
    bar = s.window.replay
    assert not any(widget.isVisible() for widget in (bar.play, bar.step, bar.speed, bar.seek))
    assert "LIVE" in bar.time.text() and "00:00:03" in bar.time.text() and "LIVE" in s.window.top._source
    qtbot.waitExposed(s.window)
    for key in (Qt.Key.Key_Space, Qt.Key.Key_Left, Qt.Key.Key_Plus, Qt.Key.Key_N, Qt.Key.Key_Period):
        s.window.say("-")
        qtbot.keyClick(s.window, key)
        assert s.window.toast.text() == LIVE_SOURCE
    assert s.session.calls == []
    qtbot.keyClick(s.window, Qt.Key.Key_2)
    assert s.session.calls == [("drop", Modality.ABP, True)], "its sensors can be withheld"
    s.session.changes = {}
    s.run_to(3.5)
    assert bar.play.isVisible() and bar.seek.isVisible()


def test_the_end_of_a_live_source_is_no_end_of_a_recording(screen: Make) -> None:
    s = screen()
    s.run_to(2.0)
    s.session.changes = {"seekable": False, "ended": True}
    s.frames(20)
    assert "LIVE SOURCE" in s.window.banner.words and s.window.sweep.stamp.words == "END OF THE LIVE SOURCE"
