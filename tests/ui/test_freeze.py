"""Frozen waves in the real window: they stand while all else goes on, say so, are measured, scrolled, and thaw."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QMouseEvent, QWheelEvent
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.modalities import Modality
from tests.ui.harness import Screen, near
from tests.ui.recorded import UNIX_S, Recorder, alarm
from tests.ui.synthetic import MODEL, FakeSession, Patient
from ui.bed.calipers import reading
from ui.style.theme import default_theme
from ui.window.freeze import THAWS_S

Make = Callable[..., Screen]
BLUE = default_theme().colour["past"]
Z, ALT, SHIFT = Qt.Key.Key_Z, Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier


def at_rest(s: Screen) -> QImage:
    """The waves without what is stamped over them."""
    s.window.sweep.put_stamp(None)
    s.application.processEvents()
    return s.image()


def differs(s: Screen, one: QImage, other: QImage) -> float:
    """Share of the pixels that anybody would see differ; edges of lines drawn in one go are a little softer."""
    a, b = (s.pixels(image.rect(), image) for image in (one, other))
    return float((np.abs(a - b).max(axis=2) > 60).mean())


def drag(s: Screen, lane: str, begin: tuple[float, float], end: tuple[float, float], keys: object = None) -> None:
    """From (event time, level) to (event time, level)."""
    layer = s.window.freeze.layer
    found = layer.lane_of(lane)
    assert found is not None
    points = []
    for time_s, level in (begin, end):
        x = layer.x_of(time_s)
        assert x is not None
        points.append(QPointF(x, layer.y_of(found, level)))
    modifiers = keys if isinstance(keys, Qt.KeyboardModifier) else Qt.KeyboardModifier.NoModifier
    left = Qt.MouseButton.LeftButton
    for kind, at in (
        (QEvent.Type.MouseButtonPress, points[0]),
        (QEvent.Type.MouseMove, (points[0] + points[1]) / 2),
        (QEvent.Type.MouseMove, points[1]),
        (QEvent.Type.MouseButtonRelease, points[1]),
    ):
        s.application.sendEvent(layer, QMouseEvent(kind, at, layer.mapToGlobal(at), left, left, modifiers))


def test_a_key_freezes_the_waves_as_they_are_and_all_else_goes_on(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(14.0)
    w, before = s.window, at_rest(s)
    qtbot.keyClick(w, Z)
    s.frames(8)
    assert w.sweep.stamp is not None and w.sweep.stamp.words == "FROZEN 00:00:13  ·  live in 60 s"
    pixels = s.pixels(s.image().rect())
    assert near(pixels[:, :2], BLUE, 20.0).mean() > 0.8
    frozen, reports = at_rest(s), len(s.session.reports)
    s.run_to(20.0)
    assert at_rest(s) == frozen and differs(s, before, frozen) < 0.001, "the same waves, six seconds later"
    assert w.state.clock.newest_s > 19.5 and w.numerics.readouts["ECG"].value == "75"
    assert not [r for r in s.session.reports[reports + 30 :] if r[0] == "sample_to_screen"], "nobody saw those"
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert w.sweep.stamp is None and w.sweep.head_s == pytest.approx(20.0, abs=0.4) and not w.freeze.frozen


def test_an_alarm_is_as_loud_over_frozen_waves_and_is_said_on_them(screen: Make) -> None:
    s = screen()
    s.run_to(6.0)
    s.window.freeze.toggle_freeze()
    s.feed.push(s.patient.alarm("asystole", "ASYSTOLE", priority="high", kind="physiological", time_s=6.0))
    s.frames(10)
    high = next(field for field in s.window.top.fields if field.name == "high")
    assert [a.record.text for a in high.alarms] == ["ASYSTOLE"] and not high.held
    stamp = s.window.sweep.stamp
    assert stamp is not None and stamp.urgent and "ASYSTOLE" in stamp.more and stamp.words.startswith("FROZEN")


def test_a_dead_stream_is_said_over_frozen_waves(screen: Make) -> None:
    s = screen()
    s.run_to(6.0)
    s.window.freeze.toggle_freeze()
    s.alive = False
    s.now += 30.0
    s.frames(10)
    assert s.window.banner.isVisible() and s.window.banner.urgent and s.window.freeze.frozen


def test_nobody_leaves_frozen_waves_behind(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(6.0)
    w = s.window
    w.freeze.toggle_freeze()
    for _ in range(2):
        s.now += THAWS_S - 2.0
        s.frames(10)
        assert w.freeze.frozen and w.sweep.stamp is not None and w.sweep.stamp.words.endswith("live in 2 s")
        qtbot.keyClick(w, Qt.Key.Key_C)
    s.now += THAWS_S - 1.0
    s.frames(80)
    assert not w.freeze.frozen and "live again" in w.toast.text() and w.sweep.stamp != "FROZEN"
    assert not w.freeze.layer.calipers


def test_before_anything_has_come_there_is_nothing_to_freeze(screen: Make) -> None:
    s = screen()
    s.window.freeze.toggle_freeze()
    assert not s.window.freeze.frozen and "nothing has arrived" in s.window.toast.text()
    s.window.freeze.next_line()
    assert "freeze the waves first" in s.window.toast.text()


@pytest.mark.parametrize("what", ["epoch", "patient", "memory", "resize", "speed"])
def test_what_is_frozen_stays_what_it_was(screen: Make, what: str) -> None:
    s = screen()
    s.run_to(12.0)
    w = s.window
    w.freeze.toggle_freeze()
    s.frames(2)
    view = w.freeze.view
    assert view is not None
    ring = view.state.lanes[0].trace.shown  # type: ignore[union-attr]
    before = ring.ring.read(ring.index_at(4.0), ring.index_at(11.0))
    if what == "epoch":
        s.patient.epoch = 1
        s.start_at(300.0)
        s.run_to(303.0)
    elif what == "patient":
        s.patient.session, s.patient.epoch = "other", 0
        s.run_to(14.0)
        s.frames(8)
        assert w.sweep.stamp is not None and w.sweep.stamp.words.startswith("ANOTHER SESSION  ·  FROZEN 00:00:11")
    elif what == "memory":  # the oldest is written over
        for lane in w.state.lanes:
            assert lane.trace is not None
            lane.trace.shown.ring.clear()
        s.run_to(14.0)
    elif what == "resize":
        w.resize(1600, 900)
        s.run_to(14.0)
    else:
        w.operator.set_sweep_speed(12.5)
        s.run_to(14.0)
    assert w.freeze.frozen and w.sweep.head_s == view.head_s
    assert np.array_equal(before, ring.ring.read(ring.index_at(4.0), ring.index_at(11.0))) and len(before) == 3500
    pixels = s.pixels(s.wave_area(Modality.ECG))
    assert near(pixels, default_theme().lanes[Modality.ECG].colour, 80.0).any()
    w.escape()
    s.frames(3)
    assert w.sweep.head_s == pytest.approx(w.state.clock.position_s, abs=0.3)


def test_another_bed_and_other_rows_are_live_at_once(screen: Make) -> None:
    session = FakeSession((*MODEL, Modality.RESP), beds=("Bed 3", "Bed 4"))
    s = screen(Patient(), session, others=[Patient(bed="Bed 4")])
    s.run_to(6.0)
    s.window.freeze.toggle_freeze()
    s.window.show_bed("Bed 4")
    s.frames(8)
    assert not s.window.freeze.frozen and s.window.sweep.stamp is None
    s.window.freeze.toggle_freeze()
    assert len(s.window.sweep.lanes) == 5
    session.lacking = {"Bed 4": (Modality.PPG,)}
    s.frames(10)
    assert s.window.freeze.frozen, "the row is there, without its sensor"
    session.lacking = {"Bed 4": (Modality.RESP,)}
    s.frames(10)
    assert not s.window.freeze.frozen and "sensors have changed" in s.window.toast.text()
    assert len(s.window.sweep.lanes) == 4


# Calipers -------------------------------------------------------------------------------------------------------


def test_a_drag_measures_in_event_time_and_in_the_lanes_unit(screen: Make) -> None:
    s = screen()
    s.run_to(9.5)
    s.window.freeze.toggle_freeze()
    s.frames(2)
    drag(s, "ECG", (5.0, 0.0), (5.8, 1.0))
    layer = s.window.freeze.layer
    lane = layer.lane_of("ECG")
    assert lane is not None
    found = reading(lane, layer.calipers["ECG"])
    px_s = 1.0 / s.window.sweep.paper.per_s  # type: ignore[union-attr]
    assert found.interval_ms == pytest.approx(800.0, abs=2000 * px_s) and found.unit == "mV"
    assert found.height == pytest.approx(1.0, abs=0.06) and not found.ground.estimated
    drag(s, "ECG", (5.8, 0.5), (6.6, 0.5))  # the line that is there is moved
    assert layer.calipers["ECG"].end == pytest.approx(6.6, abs=2 * px_s)
    assert layer.calipers["ECG"].begin == pytest.approx(5.0, abs=2 * px_s)
    drag(s, "ABP", (5.0, 80.0), (5.0, 80.0))
    assert set(layer.calipers) == {"ECG"}, "a click sets nothing"


def test_a_drag_with_shift_snaps_to_peaks(screen: Make) -> None:
    s = screen()
    s.run_to(9.5)
    s.window.freeze.toggle_freeze()
    s.frames(2)
    drag(s, "ECG", (4.33, 0.2), (5.07, 0.2), SHIFT)  # R waves at 4.3 and 5.1
    calipers = s.window.freeze.layer.calipers["ECG"]
    assert (calipers.begin, calipers.end) == pytest.approx((4.3, 5.1), abs=0.003)
    assert calipers.first == pytest.approx(calipers.second, abs=0.02) and calipers.first > 0.7


def test_across_the_seam_it_is_the_time_that_went_by(screen: Make) -> None:
    s = screen(size=(1024, 700))
    s.run_to(12.0)
    w = s.window
    w.freeze.toggle_freeze()
    s.frames(2)
    paper, layer = w.sweep.paper, w.freeze.layer
    assert paper is not None and w.sweep.head_s is not None
    old, new = w.sweep.head_s - w.sweep.page_s + 0.3, w.sweep.head_s - 0.3
    x_old, x_new = layer.x_of(old), layer.x_of(new)
    assert x_old is not None and x_new is not None and x_old > x_new, "the older one lies to the right"
    drag(s, "ECG", (new, 0.0), (old, 0.5))
    lane = layer.lane_of("ECG")
    assert lane is not None
    apart_px = (x_old - x_new) * w.sweep.ratio
    found = reading(lane, layer.calipers["ECG"]).interval_ms
    assert found == pytest.approx(1000 * (new - old), abs=30.0)
    assert abs(found - 1000 * apart_px / paper.per_s) > 1000.0, "and not what lies between them on the glass"


def test_calipers_by_keys_alone(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(9.5)
    w, layer = s.window, s.window.freeze.layer
    qtbot.keyClick(w, Z)
    s.frames(2)
    qtbot.keyClick(w, Qt.Key.Key_C)
    first = layer.calipers["ECG"]
    assert layer.chosen == ("ECG", "begin") and first.end - first.begin == pytest.approx(1.0)
    for _ in range(5):
        qtbot.keyClick(w, Qt.Key.Key_Right, ALT)
    qtbot.keyClick(w, Qt.Key.Key_Left, ALT | SHIFT)
    assert layer.calipers["ECG"].begin == pytest.approx(first.begin - 5 * 0.002)
    qtbot.keyClick(w, Qt.Key.Key_C)
    qtbot.keyClick(w, Qt.Key.Key_K)
    assert layer.chosen == ("ECG", "end") and layer.calipers["ECG"].end != first.end
    qtbot.keyClick(w, Qt.Key.Key_C)
    qtbot.keyClick(w, Qt.Key.Key_Down, ALT)
    assert layer.chosen == ("ECG", "first") and layer.calipers["ECG"].first < first.first
    qtbot.keyClick(w, Qt.Key.Key_C, SHIFT)
    assert layer.chosen is not None and layer.chosen[0] == "ABP"
    assert (layer.calipers["ABP"].begin, layer.calipers["ABP"].end) == (
        layer.calipers["ECG"].begin,
        layer.calipers["ECG"].end,
    )
    qtbot.keyClick(w, Qt.Key.Key_Delete)
    assert not layer.calipers and w.freeze.frozen and not s.session.calls


def test_on_an_estimate_the_calipers_say_so_on_the_screen(screen: Make) -> None:
    s = screen(Patient(absent={Modality.ABP: [(4, 60, Absence.NO_DATA)]}))
    s.run_to(10.0)
    s.window.freeze.toggle_freeze()
    s.frames(2)
    plain = at_rest(s)
    drag(s, "ABP", (6.0, 70.0), (6.8, 110.0))
    s.frames(2)
    lane = s.window.freeze.layer.lane_of("ABP")
    assert lane is not None
    words = reading(lane, s.window.freeze.layer.calipers["ABP"]).words
    assert words[0].count("~") == 3 and words[1].startswith("ESTIMATED")
    amber = near(s.pixels(s.wave_area(Modality.ABP)), default_theme().colour["absent"], 30.0).sum()
    assert amber > near(s.pixels(s.wave_area(Modality.ABP), plain), default_theme().colour["absent"], 30.0).sum() + 100


# To and fro -----------------------------------------------------------------------------------------------------


def test_memory_is_scrolled_page_by_page_and_its_end_is_said(screen: Make, qtbot: QtBot) -> None:
    s = screen(size=(1024, 700))
    s.run_to(16.0)
    w = s.window
    qtbot.keyClick(w, Z)
    s.frames(2)
    frozen_s, page_s = w.sweep.head_s, w.sweep.page_s
    assert frozen_s is not None
    qtbot.keyClick(w, Qt.Key.Key_Left)
    s.frames(2)
    assert w.sweep.head_s == pytest.approx(frozen_s - page_s) and not s.session.calls, "no seek"
    assert w.freeze.layer.time_of(w.sweep.margins[0] + 1.0) == pytest.approx(frozen_s - 2 * page_s, abs=0.05), (
        "from the left"
    )
    qtbot.keyClick(w, Qt.Key.Key_Home)
    s.frames(2)
    assert w.sweep.head_s == pytest.approx(page_s, abs=0.05)
    qtbot.keyClick(w, Qt.Key.Key_Left)
    assert "memory begins at 00:00:00; seek" in w.toast.text()
    centre = QPointF(w.freeze.layer.rect().center())
    turn = QWheelEvent(centre, w.freeze.layer.mapToGlobal(centre), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
                       Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)  # fmt: skip
    s.application.sendEvent(w.freeze.layer, turn)
    s.frames(2)
    assert w.sweep.head_s == pytest.approx(page_s * 1.125, abs=0.05)
    qtbot.keyClick(w, Qt.Key.Key_End)
    s.frames(2)
    assert w.sweep.head_s == frozen_s


SECONDS = 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("freeze") / "x.mcap"
    Recorder(path, Patient(), [alarm(5, "HR 171 > 120")]).run_to(SECONDS)
    return path


def live(screen: Make, recording: Path | None) -> Screen:
    """A screen that has seen the last 16 s of a live bed, which was recorded from its beginning."""
    session = FakeSession()
    session.changes["seekable"] = False
    made = screen(Patient(), session, size=(1024, 700), recording=recording, unix_s=UNIX_S)
    made.start_at(SECONDS - 16.0)
    made.run_to(SECONDS - 0.5)
    return made


def test_beyond_memory_the_recording_goes_on(screen: Make, recording: Path, qtbot: QtBot) -> None:
    s = live(screen, recording)
    w = s.window
    qtbot.keyClick(w, Z)
    s.frames(8)
    assert w.sweep.stamp is not None and not w.past.isVisible()
    seen = []
    for _ in range(9):
        qtbot.keyClick(w, Qt.Key.Key_Left)
        s.frames(8)
        seen.append((w.sweep.head_s, w.past.isVisible()))
    assert not seen[0][1] and seen[-1][1], "first out of memory, then out of the file"
    heads = [head for head, _ in seen]
    assert all(a >= b - 0.6 for a, b in pairwise(heads)) and heads[-1] < 8.5  # type: ignore[operator]
    assert "the recording begins" in w.toast.text() and w.freeze.frozen
    assert "live in" in w.sweep.stamp.words and w.sweep.stamp.words.startswith("PAST ")
    for _ in range(9):
        qtbot.keyClick(w, Qt.Key.Key_Right)
        s.frames(8)
    assert not w.past.isVisible() and w.sweep.head_s == pytest.approx(SECONDS - 0.6, abs=0.2)
    qtbot.keyClick(w, Qt.Key.Key_Home)
    s.frames(8)
    assert w.past.isVisible() and w.sweep.head_s is not None and w.sweep.head_s < 8.5
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert not w.past.isVisible() and not w.freeze.frozen, "one key to live"
    assert w.sweep.stamp is not None and w.sweep.stamp.words == "NOT LIVE", "nothing came meanwhile, and that is said"


def test_without_a_recording_what_is_not_there_is_said(screen: Make) -> None:
    s = live(screen, None)
    s.window.freeze.toggle_freeze()
    for _ in range(4):
        s.window.freeze.seek_by(-1.0)
        s.frames(2)
    assert "not recorded: there is nothing before" in s.window.toast.text()


def test_a_page_of_the_past_is_measured_and_left_in_two_steps(screen: Make, recording: Path, qtbot: QtBot) -> None:
    s = live(screen, recording)
    w = s.window
    qtbot.keyClick(w, Qt.Key.Key_H)
    s.frames(8)
    assert w.history.page is not None and not w.freeze.frozen
    assert w.sweep.head_s is not None
    drag(s, "ABP", (w.sweep.head_s - 3.0, 80.0), (w.sweep.head_s - 2.0, 100.0))
    s.frames(8)
    assert w.freeze.frozen and set(w.freeze.layer.calipers) == {"ABP"}
    assert w.sweep.stamp is not None and "calipers end in" in w.sweep.stamp.words
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert not w.freeze.frozen and w.history.page is not None
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert w.history.page is None


# Marks ----------------------------------------------------------------------------------------------------------


def test_a_mark_is_asked_for_typed_and_drawn_when_it_comes_back(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(8.0)
    w = s.window
    at_s = w.state.clock.position_s
    qtbot.keyClick(w, Qt.Key.Key_Y)
    entry = w.paper.marking.entry
    assert entry.isVisible()
    entry.setFocus()
    qtbot.keyClicks(entry, "zq induction 2")
    s.run_to(10.0)
    assert not w.freeze.frozen and entry.text() == "zq induction 2", "letters are letters here"
    qtbot.keyClick(entry, Qt.Key.Key_Return)
    s.frames(2)
    assert s.session.calls == [("mark", at_s, "zq induction 2")] and not entry.isVisible()
    assert not w.freeze.layer.marks, "nothing is claimed before it came back"
    s.feed.push(s.patient.mark(at_s, "zq induction 2"))
    s.feed.push(s.patient.mark(at_s, "zq induction 2"))
    before = s.image()
    s.frames(8)
    assert [(m.time_s, m.word) for m in w.freeze.layer.marks] == [(at_s, "zq induction 2")]
    changed = np.abs(s.pixels(before.rect()) - s.pixels(before.rect(), before)).max(axis=2) > 60
    column = w.sweep.margins[0] + s.column(at_s)
    assert changed[:, column - 1 : column + 2].sum() > 40
    s.feed.push(replace(s.patient.mark(at_s, "x"), id="other", session="another patient"))
    qtbot.keyClick(w, Qt.Key.Key_Y)
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert len(w.freeze.layer.marks) == 1 and not entry.isVisible() and len(s.session.calls) == 1


def test_a_mark_is_recorded_looked_back_at_and_exported(tmp_path: Path, screen: Make) -> None:
    from streams.sources.recorded import RecordedSession

    path = tmp_path / "x.mcap"
    recorder = Recorder(path, Patient())
    recorder.run_to(20)
    recorder.add([Patient().mark(15.5, "incision")])
    recorder.run_to(SECONDS)
    assert (15.5, "mark: incision") in RecordedSession(path).events()
    s = live(screen, path)
    s.window.operator.look_at(UNIX_S + 21.0)
    s.frames(10)
    assert [(m.time_s, m.word) for m in s.window.freeze.layer.marks] == [(15.5, "incision")]


def test_a_replay_of_the_recording_draws_its_marks_again_and_the_bar_has_them(screen: Make) -> None:
    s = screen()
    s.session.events = ((5.5, "mark: incision"), (6.0, "high begin: ASYSTOLE"), (7.0, "mark"))
    s.run_to(9.5)
    s.frames(20)
    assert [(m.time_s, m.word) for m in s.window.freeze.layer.marks] == [(5.5, "incision"), (7.0, "")]
    s.feed.push(s.patient.mark(8.0, "now"))
    s.frames(10)
    assert [m.word for m in s.window.freeze.layer.marks] == ["incision", "", "now"]
    assert "mark: now" in [mark.words for mark in s.window.ward.on_show.marks]


def test_calipers_by_key_are_seen_beside_a_slower_row(screen: Make, qtbot: QtBot) -> None:
    """Breaths at 6.25 mm/s have a page four times as long, whose middle is off the page of the others."""
    rows = (*MODEL, Modality.RESP)
    s = screen(Patient(modalities=rows), FakeSession(rows))
    s.run_to(9.5)
    w, layer = s.window, s.window.freeze.layer
    qtbot.keyClick(w, Z)
    s.frames(2)
    for _ in w.sweep.lanes:
        qtbot.keyClick(w, Qt.Key.Key_C, SHIFT)
    qtbot.keyClick(w, Qt.Key.Key_C)
    assert list(layer.calipers) == [lane.key for lane in w.sweep.lanes]
    for lane in w.sweep.lanes:
        assert layer.x_of(layer.calipers[lane.key].begin, lane) is not None, lane.key
    w.freeze.clear_calipers()
    fast, *_, slow = w.sweep.lanes
    w.freeze._place(slow)
    w.freeze._place(fast, layer.calipers[slow.key])
    assert layer.x_of(layer.calipers[fast.key].begin, fast) is not None
