"""The page of trends in the real window: opened, zoomed, pointed at, left for a moment of it, saved; also by keys."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QKeySequence, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.limit_settings import checked, default_setting, moved
from tests.ui.harness import Screen, hue_like
from tests.ui.recorded import UNIX_S, Recorder
from tests.ui.synthetic import Chapter, FakeSession, Patient
from ui.bed.past import wall_words
from ui.bed.series import MID
from ui.bed.trends import AT
from ui.panels.shortcuts import SHORTCUTS
from ui.style.words import clock_words
from ui.trends.page import TrendsPage
from ui.window.menu import MENU
from ui.window.trends import TRENDS

Make = Callable[..., Screen]
ROOT = Path(__file__).resolve().parents[2]


def seen(s: Screen, begin: int, end: int, patient: Patient | None = None) -> None:
    """What a patient's seconds [begin, end) said, at once."""
    one = patient or s.patient
    for second in range(begin, end):
        for record in (*one.second(second), one.prediction(second)):
            s.window.ward.apply(record, s.now + second - end)


def opened(make: Make, seconds: int = 600, patient: Patient | None = None, **more: object) -> tuple[Screen, TrendsPage]:
    s = make(patient, **more)
    seen(s, 1, seconds)
    s.start_at(seconds)
    s.run_to(seconds + 1.5)
    press(s, "M")
    s.frames(14)
    assert s.window.trends.page is not None
    return s, s.window.trends.page


def press(s: Screen, keys: str) -> None:
    """A key as the keyboard gives it."""
    stroke = QKeySequence(keys)[0]  # type: ignore[index]
    s.window.activateWindow()
    s.application.processEvents()
    QTest.keyClick(s.window, stroke.key(), stroke.keyboardModifiers())
    s.frames(8)


def there(page: TrendsPage) -> list[Any]:
    """The plots that the bed has."""
    return [panel for panel in page.canvas.panels if panel.item.isVisible()]


def place(page: TrendsPage, panel: int, time_s: float) -> QPoint:
    """Of an event time in the middle of a plot, counted among those that are there, in the canvas."""
    view = there(page)[panel].item.vb
    x = view.mapViewToScene(QPointF(time_s, 0.0)).x()
    at: QPoint = page.canvas.mapFromScene(QPointF(x, view.sceneBoundingRect().center().y()))
    return at


def turned(page: TrendsPage, at: QPoint, angle: int) -> None:
    """The wheel over a place."""
    event = QWheelEvent(
        QPointF(at),
        QPointF(page.canvas.mapToGlobal(at)),
        QPoint(),
        QPoint(0, angle),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(page.canvas.viewport(), event)


def said(page: TrendsPage) -> dict[str, tuple[str, str]]:
    """Value and range of every line of the legend."""
    return {v.line.column: (v.value, v.range) for _, _, values in page.canvas.values._said for v in values}


def test_the_page_comes_with_its_key_and_goes_with_it(screen: Make) -> None:
    s = screen()
    assert s.window.face.page == "bedside" and s.window.trends.page is None, "nothing is loaded before"
    s.run_to(3.0)
    press(s, "M")
    assert s.window.face.page == TRENDS and s.window.trends.isVisible()
    press(s, "M")
    assert s.window.face.page == "bedside" and not s.window.trends.isVisible()
    press(s, "M")
    press(s, "Esc")
    assert s.window.face.page == "bedside"
    assert any(entry.argument == TRENDS for entry in MENU)


def test_in_the_first_second_everything_is_unknown(screen: Make) -> None:
    s = screen()
    press(s, "M")
    page = s.window.trends.page
    assert page is not None
    assert {value for value, _ in said(page).values()} == {"-?-"}
    assert page.note.text() == "nothing known yet"
    for keys in ("Ctrl+Left", "Ctrl+Up", "Ctrl+Home", "Return", "Ctrl+Shift+Right", "Ctrl+E"):
        press(s, keys)
    assert s.session.calls == []


def test_now_is_what_the_numerics_say(screen: Make) -> None:
    _, page = opened(screen)
    got = said(page)
    assert (got["abp_sys"], got["abp_map"], got["hr"]) == (("118", ""), ("86", ""), ("75", ""))
    assert got["sef95"] == ("13.2", "") and got["bsr"] == ("0", "")
    assert got["risk_15"] == ("81", "66–90") and got["depth"] == ("46", "38–55")
    assert got["map_estimated"] == ("-?-", "")
    assert page.canvas.values._head[0] == "NOW  00:10:01"


def test_a_dead_stream_leaves_no_number_and_the_lines_end(screen: Make) -> None:
    s, page = opened(screen)
    s.frames(330)
    assert {value for value, _ in said(page).values()} == {"-?-"}
    assert page.canvas.values._head[0].startswith("LOST")
    stretch = page._stretch
    assert stretch is not None
    known = stretch.times_s[np.isfinite(stretch.values[:, MID, AT["hr"]])]
    assert page.span.range_s[1] > known[-1] + 5.0


def test_the_cross_hair_tells_the_values_of_its_moment(screen: Make) -> None:
    story = [Chapter(250, 300, vitals={"hr": 131.0, "hr_source": "ECG"})]
    absent = {Modality.ABP: [(350, 400, Absence.NO_DATA)]}
    s, page = opened(screen, patient=Patient(story=story, absent=absent))
    QTest.mouseMove(page.canvas.viewport(), QPoint(1, 1))  # a test before may have left the pointer where it is to go
    for second, want in ((275, ("131", "")), (200, ("75", ""))):
        QTest.mouseMove(page.canvas.viewport(), place(page, 1, second + 0.5))
        s.frames(8)
        assert said(page)["hr"] == want
        assert page.canvas.values._head[0] in [clock_words(second + off) for off in (-1, 0, 1, 2)], "to a pixel"
    QTest.mouseMove(page.canvas.viewport(), place(page, 1, 375.5))
    s.frames(8)
    got = said(page)
    assert (got["abp_map"], got["map_estimated"]) == (("-?-", ""), ("66", "59–73"))
    assert dict((name, words) for name, words, _ in page.canvas.values._foot[1])["ABP"] == "no signal"
    QApplication.sendEvent(page.canvas.viewport(), QEvent(QEvent.Type.Leave))
    QApplication.sendEvent(page.canvas, QEvent(QEvent.Type.Leave))
    s.frames(8)
    assert page.cross_s is None


def test_lines_break_at_gaps_and_the_estimate_is_another_line(screen: Make) -> None:
    absent = {Modality.ABP: [(200, 400, Absence.NO_DATA)]}
    s, page = opened(screen, patient=Patient(absent=absent))
    image = page.canvas.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    view = page.canvas.panels[0].item.vb

    def ink(begin_s: float, end_s: float, colour: str) -> np.ndarray:
        box = view.sceneBoundingRect()
        left, right = (page.canvas.mapFromScene(view.mapViewToScene(QPointF(t, 0.0))).x() for t in (begin_s, end_s))
        raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
        part = raw[int(box.top()) + 2 : int(box.bottom()) - 1, left + 3 : right - 3, 2::-1].astype(float)
        shown: np.ndarray = hue_like(part, colour, least=0.985, ink=120).max(0)
        return shown

    lanes = s.window.look.theme.lanes[Modality.ABP]
    assert ink(50, 200, lanes.colour).all(), "the mean is measured"
    assert not ink(200, 400, lanes.colour).any(), "nothing is glued over the gap"
    dashes = ink(200, 400, lanes.estimated)
    assert 0.3 < dashes.mean() < 0.9, "dashed"
    assert page.canvas.panels[0].spread[3]._figures.ndarray()[:, 3] == pytest.approx(14.0), "its interval"


def test_zoom_and_pan_by_mouse_and_now_again(screen: Make) -> None:
    s, page = opened(screen)
    at = place(page, 0, 450.0)
    begin, end = page.span.range_s
    turned(page, at, 240)
    s.frames(8)
    assert page.span.range_s[1] - page.span.range_s[0] == pytest.approx(0.64 * (end - begin))
    assert page.span.following, "about now, while it follows"
    page.pan(-500.0)
    s.frames(8)
    assert not page.span.following and "does not follow now" in page.note.text()
    here = page.span.range_s
    s.frames(30)
    assert page.span.range_s == here
    page.span.zoom(0.5, 350.0)
    begin, end = page.span.range_s
    assert (350.0 - begin) / (end - begin) == pytest.approx((350.0 - here[0]) / (here[1] - here[0]))
    page.pan(5000.0)
    assert page.span.following, "pulled as far as now"


def test_a_page_that_nobody_touches_follows_again(screen: Make) -> None:
    s, page = opened(screen)
    page.span.choose(300.0)
    page.pan(-100.0)
    s.frames(8)
    assert not page.span.following
    s.now += 121.0
    s.frames(10)
    assert page.span.following


def test_with_the_keyboard_alone(screen: Make) -> None:
    s, page = opened(screen)
    press(s, "Ctrl+Down")
    assert page.span.chosen_s == 300.0
    press(s, "Ctrl+Home")
    assert math.isinf(page.span.chosen_s) and page.span.range_s[0] == 0.0
    for _ in range(3):
        press(s, "Ctrl+Left")
    press(s, "Ctrl+Shift+Left")
    at = page.cross_s
    assert at is not None and at == pytest.approx(601.0 - 0.53 * (601.0 * 1.02), abs=5.0)
    press(s, "Ctrl+Right")
    assert page.cross_s is not None and page.cross_s > at
    assert said(page)["hr"][0] == "75"
    press(s, "Return")
    assert s.session.calls == [("seek", pytest.approx(page.cross_s))]
    assert s.window.face.page == "bedside", "to see what was there"
    press(s, "Return")
    assert len(s.session.calls) == 1, "not while another page is on show"
    press(s, "M")
    press(s, "Ctrl+End")
    assert page.cross_s is None and page.span.following
    press(s, "Ctrl+Up")
    assert math.isinf(page.span.chosen_s), "there is nothing longer"


def test_the_page_comes_along_with_the_cross_hair(screen: Make) -> None:
    s, page = opened(screen, seconds=1200)
    press(s, "Ctrl+Down")
    for _ in range(3):
        press(s, "Ctrl+Shift+Left")
    assert page.cross_s is not None
    assert page.span.range_s[0] <= page.cross_s <= page.span.range_s[1] < 1150.0


def test_every_order_of_the_keyboard_is_one_of_the_page(screen: Make) -> None:
    _, page = opened(screen, seconds=100)
    for shortcut in SHORTCUTS:
        if shortcut.action == "on_trends" and shortcut.argument not in ("save", "go"):
            before = (page.span.range_s, page.cross_s, page.span.chosen_s, page.span.following)
            if shortcut.argument == "now":
                page.pan(-50.0)
            page.do(str(shortcut.argument))
            after = (page.span.range_s, page.cross_s, page.span.chosen_s, page.span.following)
            assert after != before or shortcut.argument == "now", shortcut.argument


def test_a_click_seeks_in_a_replay(screen: Make) -> None:
    s, page = opened(screen)
    QTest.mouseClick(page.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place(page, 2, 300.0))
    s.frames(8)
    assert s.session.calls == [("seek", pytest.approx(300.0, abs=3.0))]
    assert s.window.face.page == "bedside"
    page.visit(-40.0)
    page.visit(1e6)
    s.frames(8)
    assert s.session.calls[1:] == [("seek", 0.0), ("seek", 2016.0)], "within the recording"


def test_after_the_seek_the_trends_are_still_there(screen: Make) -> None:
    s, page = opened(screen)
    seen(s, 300, 330, Patient(epoch=1, risk_15=0.2))
    s.frames(14)
    stretch = s.window.state.trends.stretch(1, 600, 600)
    assert np.isfinite(stretch.values[:, MID, AT["risk_15"]]).all()
    seen(s, 10, 20, Patient(epoch=2, session="s+2"))
    press(s, "Ctrl+Home")
    assert page.span.range_s[0] == pytest.approx(9.0)
    assert "seen here since 00:00:09" in page.note.text()


def live(make: Make, path: Path | None) -> tuple[Screen, TrendsPage]:
    session = FakeSession()
    session.changes = {"seekable": False, "duration_s": 0.0}
    return opened(make, seconds=120, session=session, recording=path, unix_s=UNIX_S)


def test_a_live_bed_is_told_by_the_clock_on_the_wall_and_looked_back_in(screen: Make, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    recorder = Recorder(path, Patient())
    recorder.run_to(20.0)
    s, page = live(screen, path)
    assert page.canvas.values._head[0] in [f"NOW  {wall_words(UNIX_S + second)}" for second in (120, 121, 122)]
    now_words = page.canvas.axis.words(121.0)
    assert now_words == wall_words(UNIX_S + 121.0)
    for value in page.canvas.axis.tickValues(60.0, 121.0, 400.0)[0][1]:
        assert page.canvas.axis.words(value).endswith(("0", "5")), "at round times of that clock"
    page.visit(14.0)
    s.frames(10)
    assert s.window.face.page == "bedside"
    shown = s.window._shown_page
    assert shown is not None and shown.at_s == pytest.approx(UNIX_S + 14.0, abs=0.5)
    assert s.session.calls == []


def test_a_live_bed_that_is_not_recorded_says_so_and_stays(screen: Make) -> None:
    s, page = live(screen, None)
    page.visit(60.0)
    s.frames(8)
    assert s.window.face.page == TRENDS
    assert "not recorded" in s.window.toast.text()


def test_another_bed_has_trends_of_its_own(screen: Make) -> None:
    other = Patient(bed="Bed 4", story=[Chapter(0, 1e9, vitals={"hr": 44.0, "hr_source": "ECG"})])
    session = FakeSession(beds=("Bed 3", "Bed 4"))
    s = screen(session=session, others=[other])
    s.run_to(10.0)
    press(s, "M")
    page = s.window.trends.page
    assert page is not None and said(page)["hr"][0] == "75"
    page._point(5.0)
    s.window.show_bed("Bed 4")
    s.frames(14)
    assert page.cross_s is None
    assert said(page)["hr"][0] == "44"


def test_alarms_are_marked_and_told(screen: Make) -> None:
    s, page = opened(screen)
    patient = s.patient
    for record in (patient.alarm("map.low", "*** ABP LOW 52 < 65", "high", "physiological", time_s=300.0),
                   patient.alarm("ecg.off", "ECG LEADS OFF", time_s=350.0),
                   patient.alarm("map.low", "", "high", "physiological", active=False, time_s=400.0)):  # fmt: skip
        s.feed.push(record)
    s.frames(70)
    page._point(360.0)
    s.frames(8)
    assert page.canvas.values._head[1] == "*** ABP LOW 52 < 65  +1"
    page._point(500.0)
    s.frames(8)
    assert page.canvas.values._head[1] == "ECG LEADS OFF"
    onsets, bars = page.canvas._ticks[2, "high"]
    np.testing.assert_allclose(bars._figures.ndarray()[0, (0, 2)], (300.0, 100.0))
    assert onsets._figures.ndarray()[0, 0] == 300.0


def test_the_files_hold_what_was_shown(screen: Make, tmp_path: Path) -> None:
    absent = {Modality.ABP: [(100, 200, Absence.NO_DATA)]}
    s, _ = opened(screen, seconds=400, patient=Patient(absent=absent))
    s.window.pictures.folder = tmp_path / "new"
    press(s, "Ctrl+Home")
    press(s, "Ctrl+E")
    assert "saved" in s.window.toast.text() and ".csv" in s.window.toast.text()
    files = {path.suffix: path for path in (tmp_path / "new").iterdir()}
    assert set(files) == {".png", ".svg", ".csv"}
    image = QImage(str(files[".png"]))
    assert image.width() >= 1600 and image.height() > 600
    drawing = ET.parse(files[".svg"]).getroot()
    assert drawing.tag.endswith("svg") and len(list(drawing.iter())) > 500
    with files[".csv"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_second = {float(row["time_s"]): row for row in rows}
    assert by_second[50]["abp_map_mmhg"] == "86" and by_second[50]["abp"] == "measured"
    gone = by_second[150]
    assert gone["abp_map_mmhg"] == "" and gone["map_estimated_mmhg"] == "66" and gone["map_estimated_hi_mmhg"] == "73"
    assert gone["abp"] == Absence.NO_DATA.value and gone["hr_per_min"] == "75" and gone["bsr_percent"] == "0"
    assert float(gone["risk_15"]) == pytest.approx(81.0) and not any(name.endswith("_least") for name in gone)


def test_a_folder_that_cannot_be_written_is_said(screen: Make, tmp_path: Path) -> None:
    s, _ = opened(screen, seconds=50)
    (tmp_path / "file").write_text("")
    s.window.pictures.folder = tmp_path / "file"
    press(s, "Ctrl+E")
    assert "could not write" in s.window.toast.text()


@pytest.mark.parametrize("size", [(1024, 700), (3840, 2160)])
def test_every_plot_has_room_in_every_window(screen: Make, size: tuple[int, int]) -> None:
    s, page = opened(screen, seconds=60, size=size)
    s.frames(10)
    unit = s.window.look.unit
    shown = there(page)
    assert shown == [panel for panel in page.canvas.panels if not panel.plot.sometimes], "nobody has told of the others"
    heads = [panel.item.vb.sceneBoundingRect() for panel in shown]
    assert all(box.height() >= 44 * unit and box.width() > 0.6 * size[0] for box in heads)
    assert sum(box.height() for box in heads) > 0.62 * page.canvas.height(), "and what is not there takes none"
    assert len({(round(box.left()), round(box.right())) for box in heads}) == 1, "one axis of time"


def test_a_channel_that_is_not_there_takes_no_room(screen: Make) -> None:
    session = FakeSession(modalities=(Modality.ECG, Modality.ABP, Modality.PPG))
    absent = {Modality.EEG: [(0, 10**6, Absence.NOT_CONNECTED)]}
    _, page = opened(screen, seconds=60, session=session, patient=Patient(absent=absent))
    eeg = next(panel for panel in page.canvas.panels if panel.plot.needs)
    assert eeg.item.vb.sceneBoundingRect().height() < 30
    assert "sef95" not in said(page) and "hr" in said(page)


def test_a_saturation_has_a_plot_once_somebody_tells_of_one(screen: Make) -> None:
    _, page = opened(screen, seconds=60, patient=Patient(story=[Chapter(0, 99, vitals={"spo2": 97.0})]))
    plot = next(panel for panel in page.canvas.panels if panel.plot.title == "SATURATION")
    assert not plot.idle and plot.item.vb.sceneBoundingRect().height() > 44 and "spo2" in said(page)


def test_a_bed_that_has_everything_shows_everything(screen: Make) -> None:
    told = {
        "spo2": 97.0,
        "cvp_mean": 8.0,
        "pap_mean": 18.0,
        "icp_mean": 11.0,
        "etco2": 36.0,
        "temp_c": 36.6,
        "bis": 44.0,
    }
    told |= {"nibp_sys": 124.0, "nibp_dia": 70.0, "nibp_map": 88.0}
    story = [
        Chapter(second - 0.5, second + 0.5, vitals={**told, "nibp_age_s": second - 20.0}) for second in range(20, 70)
    ]
    s, page = opened(screen, seconds=60, patient=Patient(story=story), size=(1456, 819))
    assert all(panel.item.isVisible() for panel in page.canvas.panels)
    boxes = [panel.item.vb.sceneBoundingRect() for panel in page.canvas.panels]
    assert all(box.height() > 14 for box in boxes), [box.height() for box in boxes]
    shares = [box.height() / panel.plot.weight for box, panel in zip(boxes, page.canvas.panels, strict=True)]
    assert max(shares) < 1.5 * min(shares), "of the room each has its share"
    assert all(one.bottom() < two.top() for one, two in pairwise(boxes))
    values = said(page)
    assert values["temp_c"][0] == "36.6" and values["bis"][0] == "44" and values["pap_mean"][0] == "18"
    assert values["nibp_sys"] == ("124", "41 s ago") and values["nibp_dia"][0] == "70"
    page.cross_s = 50.5
    page.renew(s.window.ward, s.now)
    assert said(page)["nibp_map"][0] == "88" and said(page)["nibp_sys"][1] == "30 s ago"
    page.cross_s = 10.5
    page.renew(s.window.ward, s.now)
    assert said(page)["nibp_sys"] == ("-?-", ""), "before the first"


def test_a_quick_replay_is_not_drawn_more_often_than_seen(screen: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s, page = opened(screen, seconds=60)
    drawn: list[float] = []
    monkeypatch.setattr(page.canvas, "draw", lambda *args: drawn.append(s.now))
    for second in range(61, 121):
        seen(s, second, second + 1)
        s.frames(3)
    assert 3 <= len(drawn) <= 8  # of three seconds


def test_nothing_of_it_is_loaded_before_it_is_opened() -> None:
    code = "import sys, ui.window.main_window; print([m for m in ('pyqtgraph', 'ui.trends.page') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_limits_drawn_are_those_that_the_stream_judges_by(screen: Make) -> None:
    patient = Patient()
    s, page = opened(screen, 60, patient)

    def drawn() -> list[list[float]]:
        return [sorted(limit.value() for limit in panel.limits) for panel in there(page)]

    assert drawn()[:3] == [[65.0, 110.0], [50.0, 120.0], [6.0, 30.0]]
    mine = moved(default_setting("hr"), 45.0, 105.0), msgspec.structs.replace(default_setting("abp_map"), on=False)
    patient.limits = checked(mine)
    s.run_to(64.0)
    s.frames(40)
    assert drawn()[:2] == [[], [45.0, 105.0]]
