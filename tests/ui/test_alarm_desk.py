"""Alarms under the operator's hands: keys, clicks, the panel of limits, and what is there again after a restart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.commands import CommandMaker, Order
from streams.limit_settings import DEFAULT_SETTINGS, LimitSetting, checked, default_setting, moved
from tests.ui.harness import Inline, Later, Screen, near
from tests.ui.synthetic import FakeSession, Patient
from ui.bed.alarm_journal import Entry
from ui.bed.alarm_states import PAUSE_S, Mode
from ui.bed.audible import audible_level
from ui.style.theme import default_theme, theme_named
from ui.window.alarm_files import JOURNAL_BYTES, AlarmFiles, KeptState, limits_of, limits_toml

Make = Callable[..., Screen]
STYLE = default_theme().alarm
HIGH = ("asystole", "ASYSTOLE", "high", "physiological")
LOW = ("map.low", "ABP LOW 58 < 65", "medium", "physiological")


@pytest.fixture
def screen(screen: Make) -> Make:
    """Small windows paint faster."""
    return partial(screen, size=(1024, 640))


def with_alarms(s: Screen) -> Screen:
    s.run_to(1.1)
    for alarm in (HIGH, LOW):
        s.feed.push(s.patient.alarm(*alarm, time_s=1.0))
    s.frames(12)
    return s


def seen(s: Screen) -> dict[str, bool]:
    return {a.record.key: a.acknowledged for f in s.window.top.fields for a in f.alarms}


def tight(**values: object) -> tuple[LimitSetting, ...]:
    return checked([replace(moved(default_setting("hr"), 45.0, 110.0), **values)])


# Acknowledgement ------------------------------------------------------------------------------------------------------


def test_a_click_on_an_alarm_acknowledges_that_one_and_beside_it_opens_the_list(screen: Make, qtbot: QtBot) -> None:
    s = with_alarms(screen())
    cells = {alarm.record.key: cell for alarm, cell in s.window.top.cells()}
    qtbot.mouseClick(s.window.top, Qt.MouseButton.LeftButton, pos=cells["map.low"].center().toPoint())
    s.frames(12)
    assert seen(s) == {"asystole": False, "map.low": True} and not s.window.alarms.isVisible()
    assert s.session.calls == [("acknowledge", {"map.low": 1.0})], "it is told, so that it is recorded"
    qtbot.mouseClick(s.window.top, Qt.MouseButton.LeftButton, pos=cells["map.low"].center().toPoint())
    assert s.window.alarms.isVisible(), "one that was seen needs no more than the list"
    ((_, box), *_) = s.window.alarms.lines()
    qtbot.mouseClick(s.window.alarms, Qt.MouseButton.LeftButton, pos=box.center().toPoint())
    s.frames(12)
    assert seen(s) == {"asystole": True, "map.low": True} and s.window.alarms.isVisible()
    qtbot.mouseClick(s.window.alarms, Qt.MouseButton.LeftButton, pos=QPoint(20, s.window.alarms.height() - 4))
    assert not s.window.alarms.isVisible()


def test_what_another_display_has_acknowledged_is_acknowledged_here(screen: Make) -> None:
    s = with_alarms(screen(Patient(epoch=3)))
    make = CommandMaker("desk", "anna")
    s.feed.push(make(s.patient.bed, "s", 0, Order("acknowledge", {"asystole": 1.0, "map.low": 0.5})))
    s.feed.push(make(s.patient.bed, "another", 0, Order("acknowledge", {"map.low": 1.0})))
    s.frames(12)
    assert seen(s) == {"asystole": True, "map.low": False}, "and one that began before is another"


def test_a_latched_alarm_is_told_apart_and_goes_when_it_is_seen(screen: Make, qtbot: QtBot) -> None:
    s = with_alarms(screen())
    s.feed.push(s.patient.alarm(*HIGH, active=False, time_s=2.0))
    s.frames(12)
    (field, *_) = s.window.top.fields
    assert [a.words for a in field.alarms] == ["*** ASYSTOLE — ended 00:00:02"]
    assert not s.window.numerics.flashes.get("ECG"), "the number of now is not alarming any more"
    own = STYLE.colours["high"]
    for _ in range(4):
        s.frames(8)
        image = s.window.top.grab().toImage().convertToFormat(s.image().format())
        ground = s.pixels(s.window.top.places()["high"].toAlignedRect().adjusted(3, 3, -3, -3), image)
        assert near(ground, own.held, 10).mean() > 0.6, "steady"
    qtbot.keyClick(s.window, Qt.Key.Key_A)
    s.frames(12)
    assert seen(s) == {"map.low": True}


# Silence --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ctrl", "shift", "words"),
    [
        (False, False, "AUDIO PAUSED"),
        (False, True, "AUDIO OFF"),
        (True, False, "ALARM PAUSED"),
        (True, True, "ALARM OFF"),
    ],
)
def test_every_silence_is_on_the_screen_and_ends_as_it_says(
    screen: Make, qtbot: QtBot, ctrl: bool, shift: bool, words: str
) -> None:
    s = with_alarms(screen())
    assert s.window.top.silence == "" and audible_level(s.window.ward.beds) == "high"

    def press() -> None:
        held = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        held |= Qt.KeyboardModifier.ControlModifier if ctrl else Qt.KeyboardModifier.NoModifier
        qtbot.keyClick(s.window, Qt.Key.Key_P, held)

    press()
    s.frames(8)
    if shift:
        assert s.window.top.silence == "" and "once more" in s.window.toast.text()
        press()
        s.frames(8)
    assert s.window.top.silence.startswith(words) and audible_level(s.window.ward.beds) == ""
    assert not s.window.top.silence_place.intersects(QRectF(s.window.face.sound.geometry())), "no sign covers another"
    assert s.window.top.silence_place.isValid() and {"asystole", "map.low"} == set(seen(s))
    image = s.window.top.grab().toImage().convertToFormat(s.image().format())
    said = s.pixels(s.window.top.silence_place.toAlignedRect(), image)
    assert near(said, QColor(STYLE.colours["medium"].held_ink), 60).sum() > 60, "bell and words are drawn"
    lit = set()
    for _ in range(14):  # a whole turn of the slower flash, and more
        s.now += 0.1
        s.frames(2)
        lit.add(tuple(x for f in s.window.top.fields for x in f.lit))
        assert s.window.top.silence.startswith(words)
    assert (len(lit) == 1) == words.startswith("ALARM"), "only ALARM PAUSED and ALARM OFF stop the flash"
    s.now += PAUSE_S
    s.frames(8)
    assert (s.window.top.silence == "") == (not shift)
    assert audible_level(s.window.ward.beds) == ("" if shift else "high")
    if shift:
        s.frames(8)
        assert words in s.window.toast.text() and s.window.top._reminds, "what does not end is reminded of"
        press()
        s.frames(8)
        assert s.window.top.silence == "" and audible_level(s.window.ward.beds) == "high"


def test_one_bed_is_silent_and_the_other_is_not(screen: Make) -> None:
    s = screen(Patient(bed="A"), FakeSession(beds=("A", "B")), others=[Patient(bed="B")])
    s.run_to(2.0)
    s.window.desk.silence_alarms("AUDIO PAUSED")
    s.frames(8)
    assert {w.bed: w.silence for w in s.window.ward.said} == {"A": "AUDIO PAUSED", "B": ""}
    s.window.show_bed("B")
    s.frames(8)
    assert s.window.top.silence == ""


# Limits ---------------------------------------------------------------------------------------------------------------


def test_what_stands_beside_the_numbers_are_the_streams_limits(screen: Make) -> None:
    patient = Patient(absent={Modality.ABP: [(2, 99, Absence.WITHHELD)]})
    s = screen(patient)
    s.run_to(0.9)
    assert s.window.numerics.readouts["ECG"].limits.text == "-?- / -?-", "before the stream has told"
    s.run_to(1.1)
    said = {key: r.limits for key, r in s.window.numerics.readouts.items()}
    assert said["ECG"].text == "120 / 50" and not said["ECG"].silent
    assert said["ABP"].text == "MAP 110 / 65" and not said["ABP"].silent
    assert said["PPG"].silent == "alarm off" and said["EEG"].text == ""
    patient.limits, patient.limits_by = tight(), "anna"
    s.run_to(2.2)
    said = {key: r.limits for key, r in s.window.numerics.readouts.items()}
    assert said["ECG"].text == "110 / 45" and said["ABP"].silent == "not measured", "withheld: it cannot fire"


def bells(s: Screen) -> int:
    """Ink of a crossed bell beside the heart's limits."""
    numerics = s.window.numerics
    image = numerics.grab().toImage().convertToFormat(s.image().format())
    area = s.pixels(QRect(numerics.width() - 130, 0, 112, 22), image)
    return int(near(area, s.window.look.colour("text_soft"), 25).sum())


def test_a_limit_that_is_off_has_the_crossed_bell(screen: Make) -> None:
    patient = Patient()
    s = screen(patient)
    s.run_to(1.1)
    without = bells(s)
    patient.limits = tight(on=False)
    s.run_to(2.1)
    assert s.window.numerics.readouts["ECG"].limits.silent == "alarm off"
    assert bells(s) > without + 30


def test_limits_are_set_with_the_keyboard_alone(screen: Make, qtbot: QtBot, tmp_path: Path) -> None:
    s = screen(kept=tmp_path)
    s.run_to(1.1)
    qtbot.keyClick(s.window, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    panel = s.window.limits
    assert panel.isVisible() and panel.geometry().right() < s.window.numerics.geometry().left()
    s.window.activateWindow()
    for row in panel.rows:
        for box in (row.low, row.high, row.delay):
            room = box.fontMetrics().horizontalAdvance(box.text())
            assert box.lineEdit().width() >= room and box.lineEdit().height() > 8, "each value can be read"
    panel.rows[0].on.setFocus()

    def where() -> QWidget:
        return QApplication.focusWidget() or panel.rows[0].on

    qtbot.keyClick(where(), Qt.Key.Key_Space)
    assert panel.rows[0].on.text() == "off" and s.session.calls == [], "Space is the switch's here, no pause"
    qtbot.keyClick(where(), Qt.Key.Key_Space)
    qtbot.keyClick(where(), Qt.Key.Key_Tab)
    low = panel.rows[0].low
    assert low.hasFocus() or not s.window.isActiveWindow()
    low.setFocus()
    low.selectAll()
    qtbot.keyClicks(low, "130")
    qtbot.keyClick(low, Qt.Key.Key_Return)
    assert "a low limit of Heart rate below the high one" in panel.error.text() and panel.isVisible()
    low.selectAll()
    qtbot.keyClicks(low, "45")
    assert panel.rows[0].very.text() == "35 / 150"
    qtbot.keyClick(low, Qt.Key.Key_Return)
    assert not panel.isVisible()
    ((name, limits, bed),) = s.session.calls
    assert name == "limits" and bed == "Bed 3"
    assert limits == checked([moved(default_setting("hr"), 45.0, 120.0)])
    assert limits_of((tmp_path / "limits.toml").read_text())["Bed 3"] == limits
    qtbot.keyClick(s.window, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    panel.rows[0].on.click()
    qtbot.keyClick(panel, Qt.Key.Key_Escape)
    assert not panel.isVisible() and len(s.session.calls) == 1, "Esc sets nothing"


def test_the_panel_has_the_value_of_now_and_goes_with_its_bed(screen: Make) -> None:
    s = screen(Patient(bed="A"), FakeSession(beds=("A", "B")), others=[Patient(bed="B")])
    s.window.alarm_room.toggle_limits()
    assert not s.window.limits.apply.isEnabled(), "before the stream has told by which limits it judges"
    s.window.alarm_room.toggle_limits()
    s.run_to(1.1)
    s.window.alarm_room.toggle_limits()
    s.frames(8)
    apnoea = s.window.limits.rows[-1]
    assert apnoea.vital == "apnoea_s" and [box.isEnabled() for box in (apnoea.low, apnoea.high, apnoea.delay)] == [
        False, True, False,
    ]  # fmt: skip
    assert s.window.limits.rows[0].now.text() == "75" and s.window.limits.title.text() == "Alarm limits of A"
    s.window.show_bed("B")
    s.frames(8)
    assert not s.window.limits.isVisible(), "else A's would be set for B"


def test_a_panel_that_was_opened_early_takes_the_limits_of_the_bed(screen: Make) -> None:
    patient = Patient()
    patient.limits = tight()
    s = screen(patient)
    s.window.alarm_room.toggle_limits()
    assert s.window.limits.error.text()
    s.run_to(1.3)
    assert s.window.limits.apply.isEnabled() and not s.window.limits.error.text()
    s.window.limits.take()
    assert s.session.calls[-1][:2] == ("limits", tight()), "and not the defaults, which nobody has set"


@pytest.mark.parametrize("field", ["low", "high", "delay"])
def test_the_keys_that_quiet_an_alarm_are_theirs_in_every_field(screen: Make, qtbot: QtBot, field: str) -> None:
    s = with_alarms(screen())
    s.window.alarm_room.toggle_limits()
    box = getattr(s.window.limits.rows[0], field)
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_P)
    qtbot.keyClick(box, Qt.Key.Key_A)
    qtbot.keyClick(box, Qt.Key.Key_S)
    s.frames(12)
    assert s.window.top.silence.startswith("AUDIO PAUSED") and all(seen(s).values())
    assert s.window.limits.isVisible() and not s.window.pictures.done()


def test_the_panel_follows_the_theme(screen: Make) -> None:
    s = screen()
    s.run_to(1.2)
    s.window.alarm_room.toggle_limits()
    s.frames(8)
    s.window.look.theme = theme_named("light")
    s.frames(8)
    assert theme_named("light").colour["panel"] in s.window.limits.styleSheet()


def test_defaults_are_one_press_and_forget_what_was_kept(screen: Make, tmp_path: Path) -> None:
    s = screen(Patient(limits=tight(), limits_by="anna"), kept=tmp_path)
    s.run_to(1.1)
    s.window.desk.set_limits(tight())
    s.window.alarm_room.toggle_limits()
    assert s.window.limits.rows[0].low.value() == 45.0
    s.window.limits.reset.click()
    s.window.limits.apply.click()
    assert s.session.calls[-1] == ("limits", DEFAULT_SETTINGS, "Bed 3")
    assert limits_of((tmp_path / "limits.toml").read_text()) == {}


def test_limits_by_the_numbers_open_the_panel(screen: Make, qtbot: QtBot) -> None:
    s = screen()
    s.run_to(1.1)
    numerics = s.window.numerics
    qtbot.mouseClick(numerics, Qt.MouseButton.LeftButton, pos=QPoint(numerics.width() - 40, 12))
    assert s.window.limits.isVisible()


# What is kept ---------------------------------------------------------------------------------------------------------


def test_after_a_restart_it_is_as_it_was_left_and_says_so(screen: Make, tmp_path: Path) -> None:
    first = with_alarms(screen(kept=tmp_path))
    first.window.desk.acknowledge_alarm("asystole")
    for _ in range(2):
        first.window.desk.silence_alarms("AUDIO OFF")
    first.window.desk.set_limits(tight())
    first.frames(12)
    first.window.close()
    s = screen(kept=tmp_path)
    s.run_to(0.4)
    assert s.window.top.silence == "AUDIO OFF" and "as it was left" in s.window.toast.text()
    assert s.session.calls == [], "by which limits the stream judges is not known yet"
    s.run_to(2.0)
    assert s.session.calls == [("limits", tight(), "Bed 3")], "nobody has set any here: those that were kept"
    for alarm in (HIGH, LOW):  # a stream that went on says again what stands
        s.feed.push(s.patient.alarm(*alarm, time_s=1.0))
    s.frames(12)
    assert seen(s) == {"asystole": True, "map.low": False}
    s.window.alarm_room.toggle_alarms()
    s.frames(12)
    said = [(e.what, e.key) for e in s.window.alarms.entries]
    assert said.count(("began", "asystole")) == 1 and ("acknowledged", "asystole") in said
    assert "AUDIO OFF" in [what for what, _ in said]


def test_a_pause_goes_on_over_a_restart_and_ends_at_its_time(screen: Make, tmp_path: Path) -> None:
    first = screen(kept=tmp_path, unix_s=1e9)
    first.start_at(0.0)
    first.run_to(1.0)
    first.window.desk.silence_alarms("ALARM PAUSED")
    first.frames(12)
    first.window.close()
    s = screen(kept=tmp_path, unix_s=1e9 + 60.0)
    s.start_at(0.0)
    s.run_to(0.5)
    assert s.window.top.silence.startswith("ALARM PAUSED 1:0")
    s.now += 62.0
    s.frames(8)
    assert s.window.top.silence == ""


@pytest.mark.parametrize("session", ["s+2", "another"])
def test_a_silence_is_not_handed_to_the_next_patient(screen: Make, tmp_path: Path, session: str) -> None:
    first = screen(kept=tmp_path)
    first.run_to(1.0)
    for _ in range(2):
        first.window.desk.silence_alarms("ALARM OFF")
    first.window.close()
    s = screen(Patient(session=session), kept=tmp_path)
    s.run_to(1.0)
    assert s.window.top.silence == "" and "as it was left" not in s.window.toast.text()
    s.window.close()
    again = screen(kept=tmp_path)
    again.run_to(1.0)
    assert again.window.top.silence == "ALARM OFF", "of the one that was silenced, and nobody has ended it"


@pytest.mark.parametrize("session", ["s+2", "another"])
def test_a_silence_ends_with_its_session_and_says_so(screen: Make, tmp_path: Path, session: str) -> None:
    s = screen(kept=tmp_path)
    s.run_to(1.0)
    for _ in range(2):
        s.window.desk.silence_alarms("AUDIO OFF")
    s.frames(8)
    assert s.window.top.silence == "AUDIO OFF"
    s.patient = Patient(session=session, epoch=1)
    s.run_to(1.5)
    assert s.window.top.silence == "" and "Bed 3: AUDIO OFF is over (ANOTHER " in s.window.toast.text()
    assert [e.what for e in s.window.desk.journal("Bed 3").entries][-2:] == ["AUDIO OFF", "end of AUDIO OFF"]
    s.window.close()
    again = screen(kept=tmp_path)
    again.run_to(0.4)
    assert again.window.top.silence == ""


def test_a_file_that_says_no_session_silences_nobody(screen: Make, tmp_path: Path) -> None:
    (tmp_path / "alarm-states.json").write_text('{"Bed 3": {"mode": "AUDIO OFF"}}')
    s = screen(kept=tmp_path)
    s.run_to(1.0)
    assert s.window.top.silence == ""


def test_a_bed_silenced_before_its_first_record_is_silent_and_the_others_keep_theirs(
    screen: Make, tmp_path: Path
) -> None:
    (tmp_path / "alarm-states.json").write_text('{"B": {"mode": "AUDIO OFF", "session": "s"}}')
    s = screen(Patient(bed="A"), FakeSession(beds=("A", "B")), others=[Patient(bed="B")], kept=tmp_path)
    s.window.desk.silence_alarms("ALARM PAUSED")
    s.run_to(1.0)
    assert {w.bed: w.silence for w in s.window.ward.said} == {"A": "ALARM PAUSED", "B": "AUDIO OFF"}


def test_limits_that_another_desk_has_set_are_left_alone(screen: Make, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(limits_toml({"Bed 3": tight()}))
    s = screen(Patient(limits=tight(high=115.0), limits_by="anna"), kept=tmp_path)
    s.run_to(1.2)
    assert s.session.calls == [] and s.window.numerics.readouts["ECG"].limits.text == "115 / 45"


def test_limits_that_get_lost_are_sent_again(screen: Make, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(limits_toml({"Bed 3": tight()}))
    s = screen(kept=tmp_path)
    s.run_to(1.2)
    for _ in range(2):
        s.now += 5.1
        s.frames(8)
    assert s.session.calls == [("limits", tight(), "Bed 3")] * 3, "every five seconds until the stream has taken them"


@pytest.mark.parametrize("name", ["limits.toml", "alarm-states.json"])
@pytest.mark.parametrize(
    "content", [b"\xff\x00", b"[", b"a = 1", b'["Bed 3".hr]\nlow = 300.0\nhigh = 20.0\n', b'{"1": {"mode": "LOUD"}}']
)
def test_what_cannot_be_read_is_said_and_never_written_over(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    files = AlarmFiles(tmp_path, tmp_path, Inline())
    said = files.poll()
    assert not files.limits.value and not files.states.value
    for _ in range(2):
        files.keep_limits("1", tight())
        files.keep_state("1", KeptState(Mode.AUDIO_OFF))
        said += files.poll()
    (said_once,) = said
    assert name in said_once and "\n" not in said_once
    assert files.limits.value == {"1": tight()} and files.states.value == {"1": KeptState(Mode.AUDIO_OFF)}
    assert (tmp_path / name).read_bytes() == content, "and what is beside it goes on:"
    other = next(path for path in tmp_path.iterdir() if path.name != name)
    assert "1" in other.read_text()


def test_two_displays_keep_each_others_beds(tmp_path: Path) -> None:
    one, two = (AlarmFiles(tmp_path, tmp_path, Inline()) for _ in range(2))
    one.keep_limits("1", tight())
    one.keep_state("1", KeptState(Mode.AUDIO_OFF))
    two.keep_limits("2", tight(high=115.0))
    two.keep_state("2", KeptState(Mode.ALARM_PAUSED))
    one.keep_limits("1", None)
    later = AlarmFiles(tmp_path, tmp_path, Inline())
    assert [*one.poll(), *two.poll(), *later.poll()] == []
    assert later.limits.value == {"2": tight(high=115.0)}
    assert later.states.value == {"1": KeptState(Mode.AUDIO_OFF), "2": KeptState(Mode.ALARM_PAUSED)}


def test_a_display_leaves_the_silence_of_other_beds_as_another_display_has_it(screen: Make, tmp_path: Path) -> None:
    one, two = (screen(others=[Patient(bed="Bed 4")], kept=tmp_path) for _ in range(2))
    for s in (one, two):
        s.run_to(1.0)
    two.window.show_bed("Bed 4")
    two.window.desk.silence_alarms("AUDIO PAUSED")
    one.window.desk.silence_alarms("ALARM PAUSED")
    kept = AlarmFiles(tmp_path, tmp_path, Inline())
    kept.poll()
    assert {bed: state.mode for bed, state in kept.states.value.items()} == {
        "Bed 3": Mode.ALARM_PAUSED, "Bed 4": Mode.AUDIO_PAUSED,
    }  # fmt: skip


def test_what_is_set_before_the_file_was_read_leaves_the_rest_of_it(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(limits_toml({"Bed 3": tight()}))
    worker = Later()
    files = AlarmFiles(tmp_path, tmp_path, worker)
    files.keep_limits("Bed 4", tight(high=115.0))
    assert not files.limits.settled
    worker.run()
    assert files.poll() == [] and files.limits.settled
    assert files.limits.value == {"Bed 3": tight(), "Bed 4": tight(high=115.0)}
    assert limits_of((tmp_path / "limits.toml").read_text()) == files.limits.value


def test_a_journal_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "alarm-journal").write_text("")
    files, said = AlarmFiles(tmp_path, tmp_path, Inline()), []
    for n in range(3):
        files.add_to_journal("1", [Entry(float(n), "s", 1.0, "began", "X", "high", "k")])
        said += files.poll()
    assert len(said) == 1 and said[0].startswith("the journal of alarms is not kept")


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.sampled_from([tight(), tight(on=False, latch=True)])))
def test_limits_are_read_as_they_were_written(limits: dict[str, tuple[LimitSetting, ...]]) -> None:
    assert limits_of(limits_toml(limits)) == limits


def test_limits_that_make_no_sense_are_no_limits() -> None:
    with pytest.raises(BadInput, match="a low limit of Heart rate"):
        limits_of('["1".hr]\nlow = 200.0\nhigh = 100.0\n')


def test_a_journal_on_disk_is_bounded_and_survives_a_torn_line(tmp_path: Path) -> None:
    files, got = AlarmFiles(tmp_path, tmp_path, Inline()), []
    entry = Entry(1.0, "s", 1.0, "began", "X" * 100, "high", "k")
    for n in range(60):
        files.add_to_journal("Theatre 2/..", [replace(entry, unix_s=float(n * 100 + k)) for k in range(100)])
    (path,) = (tmp_path / "alarm-journal").iterdir()
    assert path.stat().st_size <= JOURNAL_BYTES + 20_000
    with path.open("ab") as file:
        file.write(b'{"unix_s": 3')
    files.add_to_journal("Theatre 2/..", [replace(entry, unix_s=6000.0)])
    files.load_journal("Theatre 2/..", got.extend)
    files.keep_state("1", KeptState())
    assert files.poll() == [] and [one.unix_s for one in got[-2:]] == [5999.0, 6000.0] and len(got) > 100


def test_what_is_silenced_of_a_bed_that_is_lost_is_in_its_log(screen: Make) -> None:
    s = screen()
    s.run_to(2.0)
    s.alive = False
    s.frames(300)
    assert s.window.ward.on_show.verdict.urgent
    journal = s.window.desk.journal(s.patient.bed)
    for _ in range(2):
        s.window.desk.acknowledge()
    assert [entry.what for entry in journal.entries] == ["acknowledged"], "once"


def test_nobody_without_data_has_a_log(screen: Make) -> None:
    s = screen()
    s.window.desk.silence_alarms("AUDIO PAUSED")
    for number in range(3):
        s.feed.push(CommandMaker("desk", "anna")(f"stranger {number}", "s", 0, Order("pause")))
    s.run_to(1.5)
    assert set(s.window.desk._journals) == {s.patient.bed}
