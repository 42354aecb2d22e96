"""Looking back in a live run, in the real window: nothing of the past looks live, and now stays loud beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.modalities import Modality
from tests.ui.harness import Later, Screen, near
from tests.ui.recorded import UNIX_S, Recorder, alarm
from tests.ui.synthetic import Chapter, FakeSession, Patient
from ui.style.theme import default_theme
from ui.window.history import NOBODY_LOOKS_S

Make = Callable[..., Screen]
BLUE = default_theme().colour["past"]
SECONDS = 60


def patient() -> Patient:
    return Patient(
        absent={Modality.ABP: [(25, 45, Absence.NO_DATA)]},
        story=[Chapter(20, 40, vitals={"hr": 171.0, "pulse_rate": 171.0})],
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("history") / "x.mcap"
    recorder = Recorder(path, patient(), [alarm(22, "HR 171 > 120"), alarm(42, "HR 171 > 120", active=False)])
    recorder.run_to(SECONDS)
    return path


def live(screen: Make, recording: Path | None, **kwargs: object) -> Screen:
    session = FakeSession(**({"beds": kwargs.pop("beds")} if "beds" in kwargs else {}))  # type: ignore[arg-type]
    session.changes["seekable"] = False
    made = screen(patient(), session, recording=recording, unix_s=UNIX_S, **kwargs)
    made.start_at(SECONDS - 4.0)
    made.run_to(SECONDS - 0.5)
    return made


def blue(s: Screen) -> float:
    """Share of the frame around the waves that is the blue of the past."""
    image = s.image()
    pixels = s.pixels(image.rect(), image)
    return float(near(pixels[:, :2], BLUE, 20.0).mean())


def test_a_key_looks_back_and_a_key_is_live_again(screen: Make, recording: Path, qtbot: QtBot) -> None:
    s = live(screen, recording)
    w = s.window
    assert not w.past.isVisible() and blue(s) == 0.0 and w.numerics.readouts["ECG"].value == "75"
    qtbot.keyClick(w, Qt.Key.Key_H)
    s.frames(8)
    assert w.past.isVisible() and w.past.words is not None and w.sweep.stamp is not None and w.sweep.stamp.past
    assert w.past.words.title.startswith("HISTORY ") and "live continues" not in w.past.words.title
    assert w.past.words.then == "alarms then: ** HR 171 > 120 (171)" and w.past.words.now.startswith("HR 75")
    assert blue(s) > 0.8
    assert (w.numerics.readouts["ECG"].value, w.numerics.readouts["ECG"].held) == ("171", "PAST")
    assert w.numerics.readouts["ABP"].mark == "ESTIMATED"
    qtbot.keyClick(w, Qt.Key.Key_Escape)
    s.frames(8)
    assert not w.past.isVisible() and blue(s) == 0.0 and w.sweep.stamp is None
    assert (w.numerics.readouts["ECG"].value, w.numerics.readouts["ECG"].held) == ("75", "")
    head_s = w.sweep.head_s
    assert head_s is not None and head_s > SECONDS - 1.0


def test_arrows_go_back_and_on_and_up_to_now_is_live(screen: Make, recording: Path, qtbot: QtBot) -> None:
    s = live(screen, recording)
    for _ in range(3):
        qtbot.keyClick(s.window, Qt.Key.Key_Left)
    s.frames(3)
    page = s.window.history.page
    assert page is not None and page.at_s == pytest.approx(UNIX_S + SECONDS - 30.5, abs=0.3)
    qtbot.keyClick(s.window, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    s.frames(3)
    assert s.window.history.page is not None and s.window.history.page.at_s == UNIX_S, "the recording begins there"
    qtbot.keyClick(s.window, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    s.frames(3)
    assert s.window.history.page is None and "this is live" in s.window.toast.text()
    assert not any(call[0] in ("seek", "step") for call in s.session.calls)


def test_an_alarm_of_now_is_as_loud_as_ever(screen: Make, recording: Path) -> None:
    s = live(screen, recording)
    s.window.operator.toggle_history()
    s.feed.push(alarm(SECONDS, "ASYSTOLE", key="asystole", priority="high"))
    s.frames(10)
    assert s.window.past.isVisible()
    high = next(field for field in s.window.top.fields if field.name == "high")
    assert [a.record.text for a in high.alarms] == ["ASYSTOLE"] and not high.held
    assert "ASYSTOLE" not in s.window.past.words.then  # type: ignore[union-attr]


def test_a_stream_that_dies_is_said_over_the_past(screen: Make, recording: Path) -> None:
    s = live(screen, recording)
    s.window.operator.toggle_history()
    s.frames(3)
    s.alive = False
    s.now += 30.0
    s.frames(10)
    assert s.window.banner.isVisible() and "not live" in s.window.banner.words and s.window.banner.urgent
    assert (
        s.window.past.words is not None and "NOT LIVE" in s.window.past.words.now and "-?-" in s.window.past.words.now
    )


def test_what_is_drawn_is_what_was_drawn_then(screen: Make, recording: Path) -> None:
    """The page of 30 s ago beside a screen that stands there: the same rows of ABP, waves and masks."""
    s = live(screen, recording)
    s.window.operator.look_at(UNIX_S + 30.0)
    s.frames(3)
    state = s.window._shown_page.state  # type: ignore[union-attr]
    lane = state.lane("ABP")
    assert lane is not None and lane.cells.is_absent(27) and not lane.cells.is_absent(23)
    sweep, paper = s.window.sweep, s.window.sweep.paper
    assert paper is not None and sweep.head_s == pytest.approx(30.0, abs=0.6)
    row = sweep.lane_rows[[one.key for one in state.lanes].index("ABP")]
    image = s.image()
    strip = s.pixels(image.rect(), image)[row.strip_top + row.strip_height // 2, sweep.margins[0] :]
    measured, absent = (int(paper.column(t)) for t in (23.5, 28.5))
    red = default_theme().lanes[Modality.ABP].colour
    assert near(strip[measured : measured + 16], red, 150.0).mean() > 0.9
    assert near(strip[absent : absent + 16], red, 90.0).mean() < 0.5


def test_the_bar_of_a_live_bed_is_that_of_its_recording(screen: Make, recording: Path, qtbot: QtBot) -> None:
    s = live(screen, recording)
    s.frames(10)
    bar = s.window.replay
    assert bar.seek.isVisible() and not bar.play.isVisible() and bar.time.text().startswith("● LIVE")
    assert bar.seek.position_s == bar.seek.duration_s == pytest.approx(SECONDS, abs=1.0)
    x = round(bar.seek.x_of(30.0))
    qtbot.mouseClick(bar.seek, Qt.MouseButton.LeftButton, pos=bar.seek.rect().center().__class__(x, 10))
    s.frames(10)
    page = s.window.history.page
    assert page is not None and page.at_s == pytest.approx(UNIX_S + 30.0, abs=1.0)
    assert bar.live.isVisible() and bar.time.text().startswith("PAST ")
    qtbot.mouseClick(bar.live, Qt.MouseButton.LeftButton)
    s.frames(10)
    assert s.window.history.page is None and not bar.live.isVisible()
    s.window.operator.toggle_history()
    s.frames(3)
    qtbot.mouseClick(s.window.past, Qt.MouseButton.LeftButton)
    s.frames(3)
    assert s.window.history.page is None


def test_of_several_looks_the_newest_is_read_and_none_waits_in_line(screen: Make, recording: Path) -> None:
    s = live(screen, recording)
    later = Later()
    s.window.history._worker = later
    for second in (10.0, 20.0, 30.0):
        s.window.operator.look_at(UNIX_S + second)
        s.frames(1)
    assert len(later._waiting) == 1 and not s.window.past.isVisible(), "what is on the screen is live, and says so"
    later.run()
    s.frames(2)
    later.run()
    s.frames(8)
    assert s.window.history.page is not None and s.window.history.page.at_s == UNIX_S + 30.0
    assert s.window.past.words is not None


def test_what_was_asked_of_one_bed_is_not_shown_under_another(screen: Make, recording: Path) -> None:
    s = live(screen, recording, others=[Patient(bed="Bed 4")], beds=("Bed 3", "Bed 4"))
    later = Later()
    s.window.history._worker = later
    s.window.operator.look_at(UNIX_S + 30.0)
    s.window.show_bed("Bed 4")
    s.window.operator.look_at(UNIX_S + 20.0)
    later.run()
    s.frames(2)
    assert s.window.history.page is None
    later.run()
    s.frames(2)
    assert s.window.history.page is not None and s.window.history.page.bed == "Bed 4"
    s.window.show_bed("Bed 3")
    s.frames(8)
    assert not s.window.past.isVisible() and s.window.state.bed == "Bed 3"


def test_no_latency_is_told_of_what_nobody_saw(screen: Make, recording: Path) -> None:
    s = live(screen, recording)
    s.window.operator.toggle_history()
    s.frames(3)
    before = len(s.session.reports)
    s.run_to(SECONDS + 5.0)
    assert not [r for r in s.session.reports[before:] if r[0] in ("sample_to_screen", "window_to_screen")]
    s.window.operator.back_to_live()
    s.run_to(SECONDS + 6.0)
    told = [r for r in s.session.reports[before:] if r[0] == "sample_to_screen"]
    assert 10 < len(told) <= 30, "of the ticks since, not of those that came meanwhile"


def test_nobody_looks_back_for_ever(screen: Make, recording: Path) -> None:
    s = live(screen, recording)
    s.window.operator.toggle_history()
    s.frames(3)
    s.now += NOBODY_LOOKS_S - 1.0
    s.frames(2)
    assert s.window.history.page is not None
    s.now += 2.0
    s.frames(10)
    assert s.window.history.page is None and not s.window.past.isVisible()


def test_without_a_recording_it_says_so(screen: Make, tmp_path: Path) -> None:
    s = live(screen, None)
    s.window.operator.toggle_history()
    assert "not recorded here" in s.window.toast.text() and not s.window.history.looking
    s.frames(8)
    assert not s.window.replay.seek.isVisible()


def test_a_recording_that_cannot_be_read_is_one_sentence_and_the_screen_stays_live(
    screen: Make, tmp_path: Path
) -> None:
    (tmp_path / "x.mcap").write_bytes(b"this is none")
    s = live(screen, tmp_path / "x.mcap")
    s.window.operator.toggle_history()
    assert s.window.toast.text().startswith("The recording cannot be read: Expected an MCAP recording")
    s.frames(8)
    assert not s.window.past.isVisible() and s.window.numerics.readouts["ECG"].value == "75"


def test_a_larger_window_reads_a_longer_page(screen: Make, recording: Path) -> None:
    s = live(screen, recording, size=(1100, 700))
    s.window.operator.toggle_history()
    s.frames(5)
    before = s.window.history.page
    s.window.resize(1700, 900)
    s.frames(10)
    after = s.window.history.page
    assert before is not None and after is not None and after.seconds > before.seconds + 2.0
    assert after.at_s == before.at_s and after.seconds == pytest.approx(s.window.sweep.page_s)
    ecg = s.window._shown_page.state.lane("ECG")  # type: ignore[union-attr]
    assert ecg is not None and ecg.trace is not None and after.head_s is not None
    begin = ecg.trace.shown.index_at(after.head_s - after.seconds)
    assert np.isfinite(ecg.trace.shown.ring.read(begin, begin + 100)).all()


@pytest.mark.parametrize(("session", "words"), [("s+2", "ANOTHER PATIENT"), ("other", "ANOTHER SESSION")])
def test_another_patient_is_said_to_be_one(
    screen: Make, recording: Path, session: str, words: str, qtbot: QtBot
) -> None:
    """The bed has gone on with somebody else since."""
    s = live(screen, recording)
    w = s.window
    qtbot.keyClick(w, Qt.Key.Key_H)
    s.frames(8)
    assert w.past.words is not None and w.past.words.title.startswith("HISTORY ")
    w.ward.on_show.state.apply(replace(patient().tick(0)[0], session=session, epoch=1), 0.0)
    s.frames(8)
    assert w.past.words.title.startswith(f"{words}  ·  HISTORY ")
    assert w.sweep.stamp is not None and w.sweep.stamp.words.startswith(words)
