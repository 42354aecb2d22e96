"""The front door: what is chosen is opened beside what is on the screen, which stays until it is open."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QImage, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from models.signals.errors import BadInput
from tests.ui.doors import DoorScreen, FakeOpener
from tests.ui.harness import Inline, Later
from tests.ui.synthetic import Patient
from ui.panels.shortcuts import SHORTCUTS
from ui.start.notice import NoticePanel
from ui.start.opening import Choice, Found, Opening, Recent, Stage
from ui.window.app import run_door
from ui.window.door import KEEP_S, Door
from ui.window.helpers import Helpers
from ui.window.main_window import MainWindow
from ui.window.start_window import StartWindow

NO_FILE = BadInput("an existing recording", "no file 'gone.vital'", "check the path")


@pytest.fixture
def door(qapp: object) -> Iterator[Callable[..., DoorScreen]]:
    made: list[DoorScreen] = []

    def make(**options: object) -> DoorScreen:
        made.append(DoorScreen(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., DoorScreen]


# Opening ----------------------------------------------------------------------------------------------------------


def test_a_choice_turns_the_start_page_into_the_display(door: Make) -> None:
    s = door()
    assert isinstance(s.door.window, StartWindow) and s.at == ()
    start = s.door.window
    s.door.page.demo.click()
    s.ticks()
    assert isinstance(s.door.window, MainWindow) and s.door.window.isVisible() and not start.isVisible()
    assert s.at == ("demo",) and s.opener.entries == [("demo",)] and s.opener.closed == []


def test_the_display_has_the_place_of_the_window_before_it(door: Make) -> None:
    s = door(size=(1111, 701))
    s.door.ask(Choice(("demo",)))
    s.ticks()
    assert (s.door.window.width(), s.door.window.height()) == (1111, 701)
    s.door.window.showFullScreen()
    s.door.ask(Choice(("a.vital",)))
    s.ticks()
    assert s.at == ("a.vital",) and s.door.window.isFullScreen()


def test_a_second_file_ends_the_first_only_when_it_is_open(door: Make) -> None:
    later = Later()
    s = door(first="a.vital", worker=later)
    later.run()
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    assert s.at == ("a.vital",) and s.door.window.isVisible() and s.opener.closed == []
    assert "Opening b.vital" in s.said and "goes on until then" in s.said
    s.ticks(1, seconds=7.0)
    assert "7 s" in s.said
    first = s.door.window
    later.run()
    s.ticks()
    assert s.at == ("b.vital",) and s.said == "" and not first.isVisible()
    later.run()
    assert s.opener.closed == [("a.vital",)]


def test_nothing_of_the_patient_before_is_on_the_new_screen(door: Make) -> None:
    s = door(first="a.vital")
    first = s.door.window
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    second = s.door.window
    assert isinstance(first, MainWindow) and isinstance(second, MainWindow)
    assert second.ward is not first.ward and second.link is not first.link
    s.door.window.operator.toggle_pause()  # type: ignore[union-attr]
    s.ticks()
    assert ("pause",) in s.opener.sessions[("b.vital",)].calls
    assert ("pause",) not in s.opener.sessions[("a.vital",)].calls


def test_what_cannot_be_opened_is_one_sentence_and_the_run_before_goes_on(door: Make) -> None:
    s = door(first="a.vital")
    s.opener.wrong["gone.vital"] = NO_FILE
    s.door.ask(Choice(("gone.vital",)))
    s.ticks()
    assert s.said == f"gone.vital was not opened | {NO_FILE}"
    assert s.at == ("a.vital",) and s.opener.closed == []
    del s.opener.wrong["gone.vital"]
    assert [button.text() for button in s.door.panel.buttons] == ["Close", "Try again"]
    s.door.panel.buttons[1].click()
    s.ticks()
    assert s.at == ("gone.vital",)


@pytest.mark.expects_error_log
def test_a_fault_of_ours_is_a_sentence_and_in_the_log(door: Make, caplog: pytest.LogCaptureFixture) -> None:
    s = door()
    s.opener.wrong["odd.vital"] = ZeroDivisionError("a secret of the patient")
    s.door.ask(Choice(("odd.vital",)))
    s.ticks()
    assert "by a fault of this program (ZeroDivisionError)" in s.said and "in /log/vigil.log" in s.said
    assert "Traceback" not in s.said and "secret" not in s.said
    (record,) = [r for r in caplog.records if r.name == "vigil.door"]
    assert record.exc_info is not None


@pytest.mark.expects_error_log
def test_a_fault_of_the_window_itself_is_said_once(door: Make) -> None:
    s = door(first="a.vital")
    for _ in range(3):
        try:
            raise KeyError("x")
        except KeyError as error:
            s.door.stumbled(error)
    s.ticks()
    assert s.said.startswith("A fault | Something on this screen does not work") and "KeyError" in s.said
    s.door.panel.buttons[0].click()
    s.ticks()
    assert s.said == ""


def test_a_sentence_without_an_end_is_cut(door: Make) -> None:
    s = door()
    s.opener.wrong["x"] = BadInput("a stream", "x" * 5000, "name one")
    s.door.ask(Choice(("x",)))
    s.ticks()
    assert len(s.said) < 1000
    assert s.door.panel.geometry().bottom() < s.door.window.height()


# Giving up --------------------------------------------------------------------------------------------------------


def test_what_was_given_up_is_closed_again_when_it_opens(door: Make) -> None:
    later = Later()
    s = door(worker=later)
    later.run()
    s.door.ask(Choice(("huge.vital",)))
    s.ticks()
    s.door.panel.buttons[0].click()  # Cancel
    s.ticks()
    assert s.said == ""
    later.run()
    assert s.opener.cancelled[0].is_set()
    s.ticks()
    later.run()
    assert s.at == () and s.opener.closed == [("huge.vital",)]


def test_the_newest_choice_wins(door: Make) -> None:
    later = Later()
    s = door(worker=later)
    later.run()
    for name in ("a", "b", "c"):
        s.door.ask(Choice((name,)))
    later.run()
    s.ticks()
    later.run()
    assert s.at == ("c",)
    assert sorted(s.opener.closed) == [("a",), ("b",)]


def test_closing_the_window_while_it_opens_ends_what_opens(qapp: object) -> None:
    """Under real threads: the opener waits until it is told that nobody wants it any more."""
    opener = FakeOpener()
    began, usual = threading.Event(), opener.open

    def slow(choice: Choice, cancelled: threading.Event):  # type: ignore[no-untyped-def]
        began.set()
        assert cancelled.wait(20)
        return usual(choice, cancelled)

    opener.open = slow  # type: ignore[method-assign]
    s = DoorScreen(opener, worker=Helpers())
    s.door.ask(Choice(("huge.vital",)))
    assert began.wait(20)
    s.close()
    assert opener.closed == [("huge.vital",)]


def test_one_that_hangs_holds_up_no_other(qapp: object, qtbot: QtBot) -> None:
    opener, release = FakeOpener(), threading.Event()
    usual = opener.open

    def hanging(choice: Choice, cancelled: threading.Event):  # type: ignore[no-untyped-def]
        if choice.sources == ("dead drive",):
            release.wait(30)
        return usual(choice, cancelled)

    opener.open = hanging  # type: ignore[method-assign]
    s = DoorScreen(opener, worker=Helpers())
    try:
        s.door.ask(Choice(("dead drive",)))
        s.ticks()
        s.door.ask(Choice(("b.vital",)))

        def shown() -> bool:
            s.ticks(1)
            return s.at == ("b.vital",)

        qtbot.waitUntil(shown, timeout=20_000)
    finally:
        release.set()
        s.close()
    assert set(opener.closed) == {("dead drive",), ("b.vital",)}


@given(
    st.lists(
        st.sampled_from(["ask", "ends", "confirm", "dismiss", "cancel", "retry", "run", "poll", "bad"]), max_size=30
    )
)
def test_every_session_that_was_opened_is_shown_or_ended(steps: list[str]) -> None:
    """Whatever is pressed in whatever order: one session is on the screen at most, and none is left running."""
    later, opener = Later(), FakeOpener()
    opener.wrong["bad"] = NO_FILE
    opening, shown = Opening(opener, later), None
    for number, step in enumerate(steps):
        if step in ("ask", "ends", "bad"):
            name = "bad" if step == "bad" else f"n{number}"
            opening.ask(Choice((name,)), float(number), "It ends." if step == "ends" else "")
        elif step in ("confirm", "retry"):
            getattr(opening, step)(float(number))
        elif step in ("dismiss", "cancel"):
            getattr(opening, step)()
        elif step == "run":
            later.run()
        elif (opened := opening.poll()) is not None:
            if shown is not None:
                opening.end(shown)
            shown = opened
        opening.notice(float(number))
    opening.cancel()
    later.run()
    opening.poll()
    later.run()
    on_screen = [shown.choice.sources] if shown is not None else []
    assert sorted(opener.closed + on_screen) == sorted(choice.sources for choice in opener.opened)


# Who is asked first -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recording": True}, "being recorded"),
        ({"recording": False, "seekable": False}, "watched live"),
        ({"recording": False}, ""),
        ({"recording": True, "ended": True}, ""),
    ],
)
def test_a_recorded_or_live_patient_is_not_left_by_a_slip(door: Make, changes: dict[str, object], words: str) -> None:
    opener = FakeOpener()
    opener.changes = changes
    s = door(opener=opener, first="a.vital")
    s.ticks(30)
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    if not words:
        assert s.at == ("b.vital",)
        return
    assert words in s.said and s.at == ("a.vital",) and len(opener.opened) == 1
    assert s.door.panel.buttons[0].text() == "Stay" and s.door.panel.buttons[0].hasFocus()
    s.door.panel.buttons[0].click()
    s.ticks()
    assert s.said == "" and s.at == ("a.vital",) and len(opener.opened) == 1
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    s.door.panel.buttons[1].click()
    s.ticks()
    assert s.at == ("b.vital",) and opener.closed == [("a.vital",)]


def test_what_the_run_before_could_not_finish_is_said(door: Make) -> None:
    s = door(first="a.vital")
    s.opener.close_wrong = BadInput("room on the disk", "none", "make some")
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    assert isinstance(s.door.window, MainWindow) and "room on the disk" in s.door.window.toast.text()
    s.opener.close_wrong = None


# Where it was left ------------------------------------------------------------------------------------------------


def test_where_it_stands_is_kept_now_and_then_and_when_it_is_left(door: Make) -> None:
    s = door(first="a.vital")
    s.ticks(30)
    assert s.opener.lefts == []
    s.ticks(1, seconds=KEEP_S)
    assert s.opener.lefts == [(("a.vital",), 1512.0)]
    s.opener.sessions[("a.vital",)].changes["position_s"] = 1600.0
    s.ticks(10)
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    assert s.opener.lefts[1:] == [(("a.vital",), 1600.0)]


@pytest.mark.parametrize("changes", [{"ended": True}, {"seekable": False}])
def test_what_is_over_or_live_is_left_nowhere(door: Make, changes: dict[str, object]) -> None:
    opener = FakeOpener()
    opener.changes = changes | {"recording": False}
    s = door(opener=opener, first="a.vital")
    s.ticks(30)
    s.ticks(1, seconds=KEEP_S)
    assert opener.lefts == [(("a.vital",), None)]


# Dropping ---------------------------------------------------------------------------------------------------------


def entering(s: DoorScreen, data: QMimeData) -> QDragEnterEvent:
    middle, copied = s.door.window.rect().center(), Qt.DropAction.CopyAction
    return QDragEnterEvent(middle, copied, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)


def dropped(s: DoorScreen, data: QMimeData) -> None:
    """As the window system does it: over the window, then on it."""
    window = s.door.window
    enter = entering(s, data)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted() and s.door.frame.isVisible()
    middle, copied = QPointF(window.rect().center()), Qt.DropAction.CopyAction
    drop = QDropEvent(middle, copied, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(window, drop)
    s.ticks()


def urls(*addresses: str) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl(address) for address in addresses])
    return data


def text(words: str) -> QMimeData:
    data = QMimeData()
    data.setText(words)
    return data


@pytest.mark.parametrize("first", ["", "a.vital"])
def test_files_are_dropped_on_the_start_page_and_on_a_running_display(door: Make, first: str, tmp_path: Path) -> None:
    s = door(first=first)
    files = [tmp_path / "two words.vital", tmp_path / "ü.edf"]
    dropped(s, urls(*(QUrl.fromLocalFile(str(file)).toString() for file in [*files, files[0]])))
    assert s.at == tuple(map(str, files)), "each a bed, none twice"


def test_a_line_of_text_is_a_source(door: Make) -> None:
    s = door()
    dropped(s, text(" demo:scenario=pea \n"))
    assert s.at == ("demo:scenario=pea",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: urls("https://example.org/case.vital"), "download it first"),
        (lambda: urls("file:///a.vital", "https://example.org/b.vital"), "download it first"),
        (lambda: text("one\ntwo"), "choose a file"),
        (lambda: text("   "), "name a file"),
        (lambda: text("x" * 10_000), "choose a file"),
        (lambda: urls(*(f"file:///{n}.vital" for n in range(200))), "at most 128"),
    ],
)
def test_what_is_no_file_is_refused_in_a_sentence(door: Make, data: Callable[[], QMimeData], words: str) -> None:
    s = door(first="a.vital")
    dropped(s, data())
    assert words in s.said and "Nothing was opened" in s.said
    assert s.at == ("a.vital",) and len(s.opener.opened) == 1


def test_who_only_passes_over_the_window_drops_nothing(door: Make) -> None:
    s, data = door(), text("demo")
    QApplication.sendEvent(s.door.window, entering(s, data))
    assert s.door.frame.isVisible()
    QApplication.sendEvent(s.door.window, QDragLeaveEvent())
    s.ticks()
    assert not s.door.frame.isVisible() and s.at == ()


# Keyboard and dialogs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["", "a.vital"])
def test_ctrl_o_chooses_a_file(door: Make, qtbot: QtBot, first: str, tmp_path: Path) -> None:
    file = tmp_path / "case.vital"
    file.touch()
    s = door(first=first)
    qtbot.waitExposed(s.door.window)
    qtbot.keyClick(s.door.window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    dialog = s.door.dialog
    assert dialog is not None
    s.door.show_dialog("file")
    assert s.door.dialog is dialog, "one at a time"
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile(str(file))
    dialog.accept()
    s.ticks()
    assert s.at == (str(file),) and s.door.dialog is None


def test_a_dialog_that_is_left_opens_nothing(door: Make) -> None:
    s = door()
    s.door.show_dialog("folder")
    assert s.door.dialog is not None
    s.door.dialog.reject()
    s.ticks()
    assert s.at == () and s.door.dialog is None and s.said == ""


def test_the_panel_has_the_keyboard_while_it_asks(door: Make, qtbot: QtBot) -> None:
    """Esc stays, Tab and the arrows go round its buttons, Space is no pause of the display behind it."""
    opener = FakeOpener()
    opener.changes = {"recording": True}
    s = door(opener=opener, first="a.vital")
    s.ticks(10)
    qtbot.waitExposed(s.door.window)
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    stay, go = s.door.panel.buttons
    for key in (Qt.Key.Key_Tab, Qt.Key.Key_Right, Qt.Key.Key_Left):
        focused = QApplication.focusWidget()
        qtbot.keyClick(focused, key)
        assert QApplication.focusWidget() is not focused and QApplication.focusWidget() in (stay, go)
    stay.setFocus()
    qtbot.keyClick(stay, Qt.Key.Key_Escape)
    s.ticks()
    assert s.said == "" and s.at == ("a.vital",)
    s.door.ask(Choice(("b.vital",)))
    s.ticks()
    s.door.panel.buttons[1].setFocus()
    qtbot.keyClick(s.door.panel.buttons[1], Qt.Key.Key_Space)
    s.ticks()
    assert s.at == ("b.vital",)
    assert ("pause",) not in opener.sessions[("a.vital",)].calls


def test_the_start_page_lies_over_a_running_display_and_esc_leaves_it(door: Make, qtbot: QtBot) -> None:
    s = door(first="a.vital")
    s.ticks(10)
    window = s.door.window
    assert isinstance(window, MainWindow)
    qtbot.waitExposed(window)
    qtbot.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    s.ticks()
    assert window.face.page == "start" and s.door.page.isVisible() and window.top.isVisible()
    focused = QApplication.focusWidget()
    assert focused is s.door.page.demo
    for key in (Qt.Key.Key_1, Qt.Key.Key_Right, Qt.Key.Key_N, Qt.Key.Key_S):
        qtbot.keyClick(QApplication.focusWidget(), key)
    s.ticks()
    assert s.opener.sessions[("a.vital",)].calls == [], "nothing is done to waves that nobody sees"
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Escape)
    s.ticks()
    assert window.face.page == "bedside" and s.at == ("a.vital",)


@pytest.mark.parametrize(
    "key", [key for s in SHORTCUTS if s.group in ("Alarms", "Sound") or s.action == "toggle_help" for key in s.keys]
)
def test_alarms_and_sound_are_at_hand_on_the_start_page(door: Make, qtbot: QtBot, key: str) -> None:
    s = door(first="a.vital")
    s.ticks(10)
    window = s.door.window
    assert isinstance(window, MainWindow)
    qtbot.waitExposed(window)
    window.turn_page("start")
    s.ticks()
    focused = QApplication.focusWidget()
    assert focused is s.door.page.demo
    shortcut = next(one for one in window.findChildren(QShortcut) if one.key() == QKeySequence(key))
    pressed: list[str] = []
    shortcut.activated.connect(lambda: pressed.append(key))
    at = QKeySequence(key)[0]
    qtbot.keyClick(focused, at.key(), at.keyboardModifiers())
    arrow = key in ("Up", "Down")  # the page's own
    assert pressed == ([] if arrow else [key])
    s.door.page.scenario.setFocus()
    if len(key) == 1 and key.isalpha():
        qtbot.keyClick(s.door.page.scenario, at.key())
        assert pressed == [key], "a letter finds a scenario there"


def test_a_window_without_a_door_says_so(screen) -> None:  # type: ignore[no-untyped-def]
    s = screen()
    s.window.operator.open_other("file")
    assert "nothing else can be opened" in s.window.toast.text()


# The page ---------------------------------------------------------------------------------------------------------


def recent(name: str, position_s: float | None = None, missing: bool = False) -> Recent:
    return Recent(Choice((name,)), position_s, 1e9 - 600.0, missing)


def test_what_was_open_before_can_be_gone_on_with(door: Make) -> None:
    opener = FakeOpener()
    opener.recents = (recent("/a/one.vital", 1512.0), recent("/a/gone.vital", 20.0, True), recent("demo"))
    s = door(opener=opener)
    go_on, one, gone, demo = s.door.page.cards
    assert (go_on.title, go_on.detail) == ("Go on where you were", "one.vital at 00:25:12")
    assert "left at 00:25:12" in one.detail and "10 min ago" in one.detail and "/a" in one.detail
    assert not gone.isEnabled() and "not there any more" in gone.detail
    assert demo.isEnabled() and "left at" not in demo.detail
    go_on.click()
    s.ticks()
    assert opener.opened == [Choice(("/a/one.vital",), 1512.0)]


def test_a_recent_one_begins_at_its_start(door: Make) -> None:
    opener = FakeOpener()
    opener.recents = (recent("/a/one.vital", 1512.0),)
    s = door(opener=opener)
    s.door.page.cards[1].click()
    s.ticks()
    assert opener.opened == [Choice(("/a/one.vital",))]


@pytest.mark.parametrize("last", [recent("a", 3.0), recent("a"), recent("a", 900.0, True)])
def test_one_cannot_go_on_with_what_is_over_or_gone(door: Make, last: Recent) -> None:
    opener = FakeOpener()
    opener.recents = (last,)
    s = door(opener=opener)
    assert [card.title for card in s.door.page.cards] == ["a"]


def test_the_list_leaves_out_what_is_on_the_screen_and_can_be_cleared(door: Make) -> None:
    opener = FakeOpener()
    opener.recents = (recent("a.vital", 900.0), recent("b.vital", 700.0))
    s = door(opener=opener, first="a.vital")
    assert isinstance(s.door.window, MainWindow)
    s.door.window.turn_page("start")
    s.ticks()
    assert s.door.page.cards[0].detail == "b.vital at 00:11:40"
    assert s.door.page.clear.isVisible()
    s.door.page.clear.click()
    s.ticks()
    assert s.door.page.cards == [] and not s.door.page.clear.isVisible()


def test_streams_are_listed_and_chosen(door: Make) -> None:
    opener = FakeOpener()
    opener.found["lsl"] = (
        Found("lsl:name=Amp", "Amp", "4 ch, 500 Hz"),
        Found("lsl:name=M", "M", "", "it is a stream of text"),
    )
    s = door(opener=opener)
    s.door.page.live["lsl"].click()
    assert s.door.page.empty.text() == "Looking …" and not s.door.page.again.isEnabled()
    s.ticks()
    amp, markers = s.door.page.cards
    assert amp.isEnabled() and not markers.isEnabled() and markers.detail == "it is a stream of text"
    amp.click()
    s.ticks()
    assert s.at == ("lsl:name=Amp",)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (BadInput("pylsl for LabStreamingLayer", "none that loads", "install it with: pip"), "install it with"),
        ((), "None was found"),
    ],
)
def test_no_streams_is_a_sentence(door: Make, found: object, words: str) -> None:
    opener = FakeOpener()
    opener.found["lsl"] = found  # type: ignore[assignment]
    s = door(opener=opener)
    s.door.page.live["lsl"].click()
    s.ticks()
    assert words in s.door.page.empty.text() and s.door.page.again.isEnabled()
    s.door.page.back.click()
    assert s.door.page.heading.text() == "RECENT"


def test_a_search_that_comes_late_is_not_shown_in_another_list(door: Make) -> None:
    later, opener = Later(), FakeOpener()
    opener.found["lsl"] = (Found("lsl:name=Amp", "Amp", ""),)
    s = door(opener=opener, worker=later)
    s.door.page.live["lsl"].click()
    s.door.page.back.click()
    later.run()
    s.ticks()
    assert s.door.page.cards == []


def test_a_case_and_a_name_are_typed(door: Make, qtbot: QtBot) -> None:
    s = door()
    page = s.door.page
    qtbot.waitExposed(s.door.window)
    page.vitaldb.click()
    s.ticks()
    assert "the number of a VitalDB case" in s.said
    s.door.panel.buttons[0].click()
    page.case.setFocus()
    qtbot.keyClicks(page.case, "7")
    qtbot.keyClick(page.case, Qt.Key.Key_Return)
    s.ticks()
    assert s.at == ("vitaldb:7",)
    s.door.page.word.setText("demo:seed=7")
    s.door.page.word.returnPressed.emit()
    s.ticks()
    assert s.at == ("demo:seed=7",)


def test_the_scenario_beside_the_demo_is_opened(door: Make) -> None:
    s = door()
    s.door.page.scenario.setCurrentIndex(2)
    assert s.door.page.scenario.currentText() == "vtach pulseless"
    s.door.page.demo.click()
    s.ticks()
    assert s.at == ("demo:scenario=vtach_pulseless",)


def test_everything_on_the_page_is_reached_by_the_arrows(door: Make, qtbot: QtBot) -> None:
    opener = FakeOpener()
    opener.recents = (recent("/a/one.vital", 1512.0), recent("/a/gone.vital", None, True), recent("demo"))
    s = door(opener=opener)
    qtbot.waitExposed(s.door.window)
    page = s.door.page
    reached, edge = {QApplication.focusWidget()}, [QApplication.focusWidget()]
    while edge:
        here = edge.pop()
        for key in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right):
            here.setFocus()
            if here is page.scenario and key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
                continue  # they choose in it
            qtbot.keyClick(here, key)
            there = QApplication.focusWidget()
            if there not in reached:
                reached.add(there)
                edge.append(there)
    wanted = {widget for row in page.rows for widget in row} | {card for card in page.cards if card.isEnabled()}
    assert wanted <= reached
    page.demo.setFocus()
    qtbot.keyClick(page.demo, Qt.Key.Key_Return)
    s.ticks()
    assert s.at == ("demo",)


@pytest.mark.parametrize("size", [(1024, 640), (1024, 700), (1366, 768), (3840, 2160)])
def test_nothing_on_the_page_lies_over_another(door: Make, size: tuple[int, int]) -> None:
    opener = FakeOpener()
    opener.recents = tuple(recent(f"/a/{n}.vital", 60.0 * n) for n in range(10))
    for first in ("", "x.vital"):
        s = door(opener=opener, size=size, first=first)
        if isinstance(s.door.window, MainWindow):
            s.door.window.turn_page("start")
        s.ticks()
        page = s.door.page
        boxes = [one.geometry() for row in page.rows for one in row] + [page.area.geometry(), page.heading.geometry()]
        assert all(page.rect().contains(box) for box in boxes)
        for number, box in enumerate(boxes):
            assert not any(box.intersects(other) for other in boxes[number + 1 :])
        assert max(box.bottom() for box in boxes) < page.height() - page._look.px(30), "the disclaimer is free"


def test_stages_of_a_notice_have_a_safe_answer_first() -> None:
    opening = Opening(FakeOpener(), Inline())
    opening.ask(Choice(("a",)), 0.0, "It ends.")
    notice = opening.notice(0.0)
    assert notice is not None and notice.stage is Stage.ASKED and notice.answers[0] == ("Stay", "dismiss")


def test_what_is_held_over_the_window_hides_no_patient(door: Make) -> None:
    s = door(first="a.vital")
    window = s.door.window
    assert isinstance(window, MainWindow)
    Patient().run(s.door.opened.feed, 0.0, 3.0)  # type: ignore[union-attr]
    s.ticks(40)

    def middle() -> np.ndarray:
        image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
        return raw[20 : image.height() // 2, 20:-20].copy()

    before = middle()
    assert before.std() > 5
    s.door.frame.appear()
    assert np.array_equal(middle(), before)


def test_the_panel_covers_no_number(door: Make) -> None:
    for size in ((1024, 640), (1456, 819)):
        s = door(first="a.vital", size=size)
        s.ticks(10)
        s.opener.wrong["x"] = BadInput("a stream", "y" * 600, "name one")
        s.door.ask(Choice(("x",)))
        s.ticks()
        window = s.door.window
        assert isinstance(window, MainWindow) and s.said
        panel, numbers = s.door.panel.geometry(), window.numerics.rect()
        numbers.moveTo(window.numerics.mapTo(window.face, numbers.topLeft()))
        assert not panel.intersects(numbers) and window.face.rect().contains(panel)
        assert panel.top() > window.top.geometry().bottom()


@pytest.mark.expects_error_log
def test_a_fault_in_a_call_of_qt_is_said_and_the_window_goes_on(qapp: object) -> None:
    """As a program: until the window is closed, then all has been ended."""
    opener, seen, hook = FakeOpener(), [], sys.excepthook

    def look() -> None:
        seen.extend(one.notice for one in QApplication.activeWindow().findChildren(NoticePanel))  # type: ignore[union-attr]
        QApplication.activeWindow().close()  # type: ignore[union-attr]

    def fault() -> None:
        QTimer.singleShot(200, look)
        raise ZeroDivisionError

    QTimer.singleShot(0, fault)
    assert run_door(opener, opener.open(Choice(("a.vital",)), threading.Event())) == 0
    assert opener.closed == [("a.vital",)] and sys.excepthook is hook
    assert [notice.title for notice in seen if notice is not None] == ["A fault"]


def test_a_signal_closes_the_window_that_is_there_then(qapp: object) -> None:
    opener = FakeOpener()
    QTimer.singleShot(50, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run_door(opener) == 0


def test_the_door_ticks_by_itself(qapp: object, qtbot: QtBot) -> None:
    opener = FakeOpener()
    door = Door(opener, lambda opened: MainWindow(opened.control, opened.feed))
    door.window.show()
    door.ask(Choice(("demo",)))
    try:
        qtbot.waitUntil(lambda: opener.entries == [("demo",)], timeout=20_000)
        assert door.window.isVisible()
    finally:
        door.window.close()
        door.finish()
    assert opener.closed == [("demo",)]
