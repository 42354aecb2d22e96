"""Nobody leaves a patient, or ends a recording, by a slip of a finger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent

from tests.ui.harness import Screen
from tests.ui.synthetic import FakeSession
from ui.panels.toast import STAYS_S
from ui.window.leaving import Leaving


def test_what_runs_has_to_be_left_twice_within_the_time_that_it_is_said() -> None:
    leaving = Leaving(STAYS_S)
    assert leaving.asked(100.0, True, False) == "once more to quit"
    assert leaving.asked(100.0 + STAYS_S, True, False) == ""
    late = Leaving(STAYS_S)
    late.asked(100.0, True, True)
    assert late.asked(100.1 + STAYS_S, True, True) == "once more to quit, which ends the recording"


def test_what_is_over_may_be_left_at_once() -> None:
    assert Leaving(STAYS_S).asked(100.0, False, True) == ""


def running(screen: Callable[..., Screen], **changes: object) -> Screen:
    session = FakeSession()
    session.changes.update(changes)
    s = screen(session=session)
    s.run_to(2.0)
    return s


def test_q_asks_once_while_a_bed_runs(screen, qtbot) -> None:
    s = running(screen, recording=False)
    qtbot.keyClick(s.window, Qt.Key.Key_Q)
    assert s.window.isVisible() and s.window.toast.text() == "once more to quit"
    s.frames(int(60 * STAYS_S) + 30)
    qtbot.keyClick(s.window, Qt.Key.Key_Q)
    assert s.window.isVisible(), "too late: it is asked again"
    qtbot.keyClick(s.window, Qt.Key.Key_Q)
    assert not s.window.isVisible()


def test_q_goes_at_the_end_of_a_recording(screen, qtbot) -> None:
    s = running(screen, ended=True)
    qtbot.keyClick(s.window, Qt.Key.Key_Q)
    assert not s.window.isVisible()


class FromOutside(QCloseEvent):
    """As the window manager sends it."""

    def spontaneous(self) -> bool:
        return True


@pytest.mark.parametrize(("recording", "stays"), [(True, True), (False, False)])
def test_a_window_closed_from_outside_asks_while_it_is_recorded(screen, recording: bool, stays: bool) -> None:
    s = running(screen, recording=recording)
    event = FromOutside()
    s.window.closeEvent(event)
    assert event.isAccepted() != stays
    assert s.window.frame_timer.isActive() is False  # a test brings its own frames
    if stays:
        assert "ends the recording" in s.window.toast.text()
        again = FromOutside()
        s.window.closeEvent(again)
        assert again.isAccepted()


def test_who_is_told_to_end_ends(screen) -> None:
    """A signal, or the end of the run: nobody is there to be asked."""
    s = running(screen, recording=True)
    s.window.close()
    assert not s.window.isVisible()
