"""Keys, buttons, position bar, the call to the session, and the display as a program."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage, QTextDocument
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.feed import DisplayFeed
from streams.records import AlarmRecord
from tests.ui.harness import Screen, hue_like
from tests.ui.synthetic import FakeSession, Patient
from ui.bed.alarm_view import fields
from ui.panels.shortcuts import SHORTCUTS
from ui.style.theme import default_theme
from ui.window.app import run_display
from ui.window.main_window import MainWindow

Make = Callable[..., Screen]


@pytest.mark.parametrize(("key", "call"), [
    (Qt.Key.Key_Space, ("pause",)), (Qt.Key.Key_Left, ("seek", 1502.0)), (Qt.Key.Key_Right, ("seek", 1522.0)),
    (Qt.Key.Key_Plus, ("speed", 2.0)), (Qt.Key.Key_Minus, ("speed", 0.5)), (Qt.Key.Key_2, ("drop", Modality.ABP, True)),
    (Qt.Key.Key_4, ("drop", Modality.EEG, True)),
])  # fmt: skip
def test_keys_reach_the_session(screen: Make, qtbot: QtBot, key: Qt.Key, call: tuple[object, ...]) -> None:
    s = screen()
    qtbot.waitExposed(s.window)
    qtbot.keyClick(s.window, key)
    assert s.session.calls == [call]


def test_every_shortcut_has_its_method_and_a_line_in_the_help(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    for shortcut in SHORTCUTS:
        assert callable(s.window.action_of(shortcut.action))
        assert shortcut.words
    s.window.toggle_help()
    s.frames(2)
    assert s.window.help.isVisible() and s.window.help.geometry() == s.window.centralWidget().rect()
    qtbot.mouseClick(s.window.help, Qt.MouseButton.LeftButton)
    assert not s.window.help.isVisible()


def test_esc_closes_what_is_open_from_the_top(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.window.alarm_room.toggle_alarms()
    s.window.toggle_help()
    for left in ((False, True), (False, False), (False, False)):
        qtbot.keyClick(s.window, Qt.Key.Key_Escape)
        assert (s.window.help.isVisible(), s.window.alarms.isVisible()) == left
    assert s.session.calls == []


def test_a_dropped_sensor_is_named_withheld_and_can_be_restored(screen: Make) -> None:
    s = screen()
    s.window.operator.toggle_sensor(2.0)
    assert "ABP WITHHELD" in s.window.toast.text()
    s.session.changes = {"dropped": frozenset({Modality.ABP})}
    s.frames(20)
    s.window.operator.toggle_sensor(2.0)
    assert s.session.calls == [("drop", Modality.ABP, True), ("drop", Modality.ABP, False)]
    s.window.operator.toggle_sensor(5.0)
    assert len(s.session.calls) == 2, "there is no fifth row"


def test_a_row_that_is_not_connected_cannot_be_dropped(screen: Make) -> None:
    s = screen(session=FakeSession((Modality.ECG, Modality.PPG)))
    s.window.operator.toggle_sensor(2.0)
    assert s.session.calls == [] and "not connected" in s.window.toast.text()


def test_paused_the_step_steps_and_space_resumes(screen: Make) -> None:
    s = screen()
    s.window.operator.step(1.0)
    assert s.session.calls == []
    s.session.changes = {"paused": True}
    s.frames(20)
    s.window.operator.step(1.0)
    s.window.operator.toggle_pause()
    assert s.session.calls == [("step", 1.0), ("resume",)]
    assert s.window.replay.play.text() == "▶"


def test_the_position_bar_seeks_where_it_is_let_go(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.frames(10)
    bar = s.window.replay.seek
    assert bar.x_of(bar.time_at(100)) == pytest.approx(100, abs=1)
    qtbot.mousePress(bar, Qt.MouseButton.LeftButton, pos=QPoint(50, bar.height() // 2))
    assert s.session.calls == []
    qtbot.mouseMove(bar, QPoint(120, bar.height() // 2))
    qtbot.mouseRelease(bar, Qt.MouseButton.LeftButton, pos=QPoint(round(bar.x_of(1000.0)), bar.height() // 2))
    assert s.session.calls[0][0] == "seek" and s.session.calls[0][1] == pytest.approx(1000.0, abs=4)


def test_gap_marks_lie_where_the_gaps_are(screen: Make) -> None:
    s = screen()
    s.frames(20)
    bar = s.window.replay.seek
    image = bar.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    below = s.pixels(bar.rect(), image)[round(bar.groove().bottom()) + 2 :]
    red = hue_like(below, default_theme().lanes[Modality.ABP].colour, 0.97, 60).any(axis=0)
    assert red[round(bar.x_of(100)) : round(bar.x_of(400))].all()
    assert not red[round(bar.x_of(450)) : round(bar.x_of(590))].any()


def test_a_failed_action_is_told_in_one_sentence(screen: Make) -> None:
    s = screen()
    s.session.failing = BadInput("a time within the recording", "4000 s", "seek up to 2016 s")
    s.window.operator.seek(4000.0)
    s.frames(3)
    assert "Expected a time within the recording, found 4000 s" in s.window.toast.text()


def test_a_status_that_raises_is_an_alarm_and_passes_when_it_passes(
    screen: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = screen()
    with monkeypatch.context() as patched:
        patched.setattr(s.session, "status", _raise)
        s.frames(20)
        assert "out of order" in s.window.banner.words
    s.frames(20)
    assert s.window.banner.words == ""


def _raise() -> None:
    raise RuntimeError("out of order")


def test_gain_and_sweep_speed_change_the_picture(screen: Make) -> None:
    s = screen()
    s.run_to(3.0)
    one = s.window.sweep.scale_of(s.lane(Modality.ECG)).scale
    s.window.operator.change_gain(1.0)
    two = s.window.sweep.scale_of(s.lane(Modality.ECG)).scale
    assert (two.high - two.low) == pytest.approx((one.high - one.low) / 2) and "×2" in s.window.toast.text()
    per_s = s.window.sweep.paper.per_s
    s.window.operator.next_sweep_speed()
    assert s.window.sweep.paper.per_s == pytest.approx(2 * per_s) and "50 mm/s" in s.window.toast.text()
    s.run_to(4.0)
    assert "50 mm/s" in s.window.sweep.headers[0].details


def test_the_picture_key_saves_a_picture_and_says_where(screen: Make, tmp_path: Path) -> None:
    s = screen()
    s.run_to(1.0)
    s.window.pictures.folder = tmp_path / "new"
    s.window.screenshot()
    s.frames(10)
    (saved,) = (tmp_path / "new").glob("vigil-*.png")
    assert not QImage(str(saved)).isNull() and str(saved) in s.window.toast.text()
    blocked = tmp_path / "file"
    blocked.write_text("")
    s.window.pictures.folder = blocked
    s.window.screenshot()
    s.frames(10)
    assert "could not write" in s.window.toast.text()


def test_full_screen_and_back(screen: Make) -> None:
    s = screen()
    s.window.manners.toggle_full_screen()
    assert s.window.isFullScreen()
    s.window.manners.toggle_full_screen()
    assert not s.window.isFullScreen()


def test_a_slow_session_does_not_hold_up_the_frames(qtbot: QtBot) -> None:
    """With a session that blocks for good, frames go on under the real timer, and the display says what is wrong."""
    release = threading.Event()
    session = FakeSession()
    window = MainWindow(session, DisplayFeed())
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.link.snapshot is not None, timeout=5000)
    session.pause = lambda: release.wait(30)  # type: ignore[method-assign, assignment]
    try:
        window.operator.toggle_pause()
        window.operator.toggle_pause()
        before = window.frames
        qtbot.waitUntil(lambda: window.frames > before + 30, timeout=5000)
        qtbot.waitUntil(lambda: "NO ANSWER FROM THE SESSION" in window.banner.words, timeout=10_000)
    finally:
        release.set()
        window.close()


def test_live_under_the_real_timer(qtbot: QtBot) -> None:
    """A thread feeds ticks as they fall due; the beam follows within the design's delay, and reports come back."""
    session, feed, stop = FakeSession(), DisplayFeed(), threading.Event()
    window = MainWindow(session, feed)
    qtbot.addWidget(window)
    window.show()

    def play() -> None:
        started, patient, seq = time.monotonic(), Patient(), 0
        while not stop.is_set():
            stop.wait(max(0.0, started + (seq + 1) * 0.05 - time.monotonic()))
            for record in patient.tick(seq, due_ns=time.monotonic_ns()):
                feed.push(record)
            seq += 1

    thread = threading.Thread(target=play)
    thread.start()
    try:
        qtbot.waitUntil(lambda: len(session.reports) > 20, timeout=15_000)
    finally:
        stop.set()
        thread.join()
        window.close()
    assert feed.status.dropped == 0
    behind = sorted((shown - due) / 1e6 for stage, due, shown in session.reports if stage == "sample_to_screen")
    assert behind[0] > 0 and behind[len(behind) // 2] < 150


class _Ending(FakeSession):
    """Ends by itself after its status was asked a few times."""

    asked = 0
    error = ""

    def status(self):  # type: ignore[no-untyped-def]
        self.asked += 1
        if self.asked > 3:
            self.changes = {"ended": True, "error": self.error}
        return super().status()


def test_run_display_takes_the_picture_when_the_run_ends(qapp: object, tmp_path: Path) -> None:
    feed, path = DisplayFeed(), tmp_path / "shot.png"
    Patient().run(feed, 0.0, 5.0)
    assert run_display(_Ending(), feed, screenshot=path, size=(1024, 640)) == 0
    image = QImage(str(path))
    assert (image.width(), image.height()) == (1024, 640)


def test_run_display_says_what_it_could_not_write(qapp: object, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BadInput, match="picture file"):
        run_display(_Ending(), DisplayFeed(), screenshot=blocked / "shot.png")


def test_a_failed_run_has_a_failing_exit_code(qapp: object) -> None:
    session = _Ending()
    session.error = "The source stopped."
    assert run_display(session, DisplayFeed(), close_at_end=True) == 1


def test_nothing_of_the_patient_is_logged(screen: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        s = screen()
        s.run_to(2.0)
    assert not [r for r in caplog.records if r.name.startswith("ui")]


class _Gapped(FakeSession):
    """Two sensors, both without data from 100 to 90,000.4 s."""

    @property
    def gaps_s(self) -> dict[Modality, tuple[tuple[float, float], ...]]:
        return {Modality.ECG: ((0.0, 10.0), (100.0, 90_000.4)), Modality.ABP: ((50.0, 100_000.0),)}


@pytest.mark.parametrize(
    ("at_s", "calls", "words"),
    [
        (200.0, [("seek", 90_000)], "skipped 24 h without data"),
        (60.0, [], "no gap to skip"),  # the ECG has data
        (95_000.0, [], "no gap to skip"),
    ],
)
def test_a_gap_can_be_skipped_by_a_key(
    screen: Make, qtbot: QtBot, at_s: float, calls: list[tuple[object, ...]], words: str
) -> None:
    session = _Gapped((Modality.ECG, Modality.ABP), duration_s=100_000.0)
    session.changes = {"position_s": at_s}
    s = screen(session=session)
    qtbot.waitExposed(s.window)
    qtbot.keyClick(s.window, Qt.Key.Key_N)
    assert s.session.calls == calls
    assert words in s.window.toast.text()


EVIL = "<img src='file:///etc/passwd'><b>ECG</b>\n<a href='x'>two</a>"


def test_names_are_shown_as_plain_text_everywhere(screen: Make) -> None:
    """Qt takes a text with tags for HTML, in labels and in tooltips, and would load what it names."""
    s = screen()
    s.window.say(EVIL)
    assert {label.textFormat() for label in s.window.findChildren(QLabel)} == {Qt.TextFormat.PlainText}
    s.window.banner.say(EVIL, True)
    s.window.replay.status.say("words", EVIL)
    alarm = AlarmRecord(
        bed="1", session="s", epoch=0, time_ns=0, key="k", priority="high", kind="technical", text=EVIL, active=True
    )
    s.window.state.alarms.apply(alarm)
    s.window.top.show_state("1", EVIL, fields(s.window.state.alarms.standing, 1000.0, s.window.look.theme.alarm, True))
    tooltips = [s.window.banner.toolTip(), s.window.replay.status.toolTip(), s.window.top.toolTip()]
    for tooltip in tooltips:
        document = QTextDocument()
        if tooltip.startswith("<qt>"):
            document.setHtml(tooltip)
        else:
            assert "<" not in tooltip
            document.setPlainText(tooltip)
        assert EVIL.casefold() in document.toPlainText().casefold()


def test_no_label_or_tooltip_is_left_to_guess() -> None:
    """A new tooltip of words that are not the house's own goes through ``tooltip_words``; a new label is plain."""
    for path in Path("ui").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("QLabel(") <= text.count("setTextFormat("), path
        for call in re.findall(r"setToolTip\((.*)", text):
            own = call.startswith(("tooltip_words(", "self._hint)", "tip)", '"')) or not call
            own = own or re.fullmatch(r'tr\("[^"]*"\)\)', call) is not None  # a translation, with no values in it
            assert own, f"{path}: {call}"
