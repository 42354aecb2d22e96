"""Marks along a recording: what was seen is remembered once, however often; and the speed that is reached."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from streams.codec import decode, encode
from streams.control import BedView
from streams.records import AlarmRecord, StateRecord
from streams.sources.replay import EVENT_LENGTH, ReplaySource
from tests.streams.sources import CountingMap, NamedRecording
from tests.ui.harness import Screen, near
from tests.ui.synthetic import FakeSession, Patient
from ui.bed.marks import BEFORE_S, EVENT, KEPT, WITHHELD, Mark, Marks, neighbour
from ui.bed.speed_meter import SpeedMeter
from ui.panels.bar_marks import marks_at
from ui.style.words import clock_words

Make = Callable[..., Screen]
S = 1_000_000_000
HEAD = {"bed": "Bed 3", "session": "s"}


def alarm(key: str, time_s: float, *, active: bool = True, priority: str = "medium", text: str = "",
          kind: str = "physiological") -> AlarmRecord:  # fmt: skip
    return AlarmRecord(**HEAD, epoch=0, time_ns=round(time_s * S), key=key, priority=priority, kind=kind,
                       text=text or key, active=active)  # fmt: skip


def state(time_s: float, absence: str) -> StateRecord:
    return StateRecord(**HEAD, epoch=0, time_ns=round(time_s * S), state={"ABP": absence, "ECG": ""})


def test_an_alarm_is_a_mark_of_its_worst_priority_from_its_beginning_to_its_end() -> None:
    marks = Marks()
    marks.alarm(alarm("map", 10.0, text="LOW"))
    marks.alarm(alarm("map", 20.0, priority="high", text="VERY LOW"))
    marks.alarm(alarm("map", 30.0, text="LOW"))
    assert marks.all() == (Mark("high", 10.0, None, "VERY LOW"),)
    marks.alarm(alarm("map", 40.0, active=False))
    marks.alarm(alarm("never begun", 41.0, active=False))
    marks.alarm(alarm("technical.ABP", 42.0, priority="low", kind="technical"))
    assert marks.all() == (Mark("high", 10.0, 40.0, "VERY LOW"),)


def test_what_is_seen_again_is_one_mark_and_a_jump_closes_what_goes_on() -> None:
    marks = Marks()
    for begin, end in ((10.0, 20.0), (15.0, 30.0), (50.0, 60.0), (10.0, 20.0)):
        marks.alarm(alarm("hr", begin))
        marks.alarm(alarm("hr", end, active=False))
    assert [(m.begin_s, m.end_s) for m in marks.all()] == [(10.0, 30.0), (50.0, 60.0)]
    marks.state(state(70.0, "withheld"))
    marks.alarm(alarm("hr", 75.0))
    marks.jumped(80.0)
    assert marks.all()[2:] == (Mark(WITHHELD, 70.0, 80.0, "ABP withheld"), Mark("medium", 75.0, 80.0, "hr"))
    marks.state(state(12.0, ""))
    assert len(marks.all()) == 4
    marks.clear()
    assert marks.all() == ()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e4), st.floats(0, 300)), max_size=60))
def test_marks_of_one_alarm_never_overlap_and_hold_all_that_was_seen(seen: list[tuple[str, float, float]]) -> None:
    marks = Marks()
    for key, begin_s, length_s in seen:
        marks.alarm(alarm(key, begin_s))
        marks.alarm(alarm(key, begin_s + length_s, active=False))
    for key in "abc":
        mine = [m for m in marks.all() if m.words == key]
        for a, b in itertools.pairwise(mine):
            assert a.end_s is not None and a.end_s < b.begin_s
        for _, begin_s, length_s in (one for one in seen if one[0] == key):
            assert any(m.begin_s <= begin_s + 1e-6 and begin_s + length_s - 1e-6 <= m.end_s for m in mine)  # type: ignore[operator]


def test_they_are_bounded_and_the_worst_remain() -> None:
    marks = Marks()
    for n in range(KEPT + 200):
        key, priority = ("a", "high") if n % 4 == 0 else ("b", "low")
        marks.alarm(alarm(key, 10.0 * n, priority=priority))
        marks.alarm(alarm(key, 10.0 * n + 1, active=False))
    kinds = [mark.kind for mark in marks.all()]
    assert len(kinds) == KEPT and kinds.count("high") == (KEPT + 200) / 4


@given(st.lists(st.floats(0, 1000), max_size=20), st.floats(0, 1000))
def test_next_and_before_come_to_all_marks_and_end(begins: list[float], at_s: float) -> None:
    marks = [Mark(EVENT, begin_s, begin_s, "") for begin_s in begins]
    reached, position_s = set(), at_s
    while (mark := neighbour(marks, position_s, 1)) is not None:
        assert mark.begin_s not in reached and mark.begin_s > position_s
        reached.add(mark.begin_s)
        position_s = max(position_s, mark.begin_s - BEFORE_S)
    position_s, behind = at_s, set()
    while (mark := neighbour(marks, position_s, -1)) is not None:
        assert mark.begin_s < position_s
        behind.add(mark.begin_s)
        position_s = max(0.0, mark.begin_s - BEFORE_S)
    assert all(b >= at_s for b in set(begins) - behind if not any(0 <= x - b <= BEFORE_S for x in behind))


# -- of the recording, and on the bar ----------------------------------------------------------------------------------


def test_a_recordings_own_annotations_are_told_with_the_bed() -> None:
    class Annotated(CountingMap):
        def events(self) -> list[tuple[float, str]]:
            threads = {thread.name for thread in threading.enumerate()}
            assert "decode-1" not in threads, "two threads would read one file"
            return [(99.0, "after its end"), (5.0, " intubation "), (2.0, "x" * 500), (-1.0, "before"), (3.0, "")]

    recording = Annotated(10.0)
    recording.recording = NamedRecording()  # type: ignore[attr-defined]
    source = ReplaySource("1", "s", lambda: recording)  # type: ignore[arg-type,return-value]
    record = source.describe()
    source.stop()
    source.run(lambda tick: False)
    assert record.events == [(2.0, "x" * EVENT_LENGTH), (5.0, "intubation")]
    assert decode(encode(record)) == record


class Annotating(FakeSession):
    def view(self, bed: str = "") -> BedView:
        found = super().view(bed)
        return BedView(found.status, found.channels, found.gaps_s, found.title, found.bed, found.beds,
                       ((1000.0, "incision"), (1600.0, "clamp")))  # fmt: skip


def test_marks_are_on_the_bar_and_outlive_a_seek_but_not_another_session(screen: Make, qtbot: QtBot) -> None:
    s = screen(session=Annotating())
    s.run_to(1.0)
    s.feed.push(alarm("map.low", 300.0, priority="high", text="ABP LOW"))
    s.feed.push(alarm("map.low", 500.0, active=False))
    s.patient = Patient(epoch=1)
    s.start_at(40.0)
    s.run_to(40.3)
    bar = s.window.replay.seek
    told = [(mark.kind, mark.begin_s) for mark in bar._marks]
    assert told == [("high", 300.0), (EVENT, 1000.0), (EVENT, 1600.0)]
    image = bar.grab().toImage().convertToFormat(s.image().format())
    red = near(s.pixels(bar.rect(), image), s.window.look.theme.alarm.colours["high"].lit, 30)
    columns = red.any(axis=0).nonzero()[0]
    assert columns.min() == pytest.approx(bar.x_of(300.0), abs=2)
    assert columns.max() == pytest.approx(bar.x_of(500.0), abs=2)
    assert marks_at(bar._marks, 400.0, 1.0, clock_words) == ["00:05:00  ABP LOW"]
    assert marks_at(bar._marks, 1001.0, 2.0, clock_words) == ["00:16:40  incision"]
    s.patient = Patient(session="t")
    s.start_at(41.0)
    s.run_to(41.3)
    assert [mark.kind for mark in bar._marks] == [EVENT, EVENT]


def test_the_keys_go_to_shortly_before_the_next_mark_and_the_one_before(screen: Make, qtbot: QtBot) -> None:
    s = screen(session=Annotating())  # at 1512 s
    s.run_to(0.5)
    qtbot.keyClick(s.window, Qt.Key.Key_BracketRight)
    qtbot.keyClick(s.window, Qt.Key.Key_BracketLeft)
    assert s.session.calls == [("seek", 1595.0), ("seek", 995.0)]
    s.session.changes = {"position_s": 1999.0}
    s.frames(12)
    qtbot.keyClick(s.window, Qt.Key.Key_BracketRight)
    assert len(s.session.calls) == 2 and "no event is known after this" in s.window.toast.text()
    s.session.changes = {"seekable": False}
    s.frames(12)
    qtbot.keyClick(s.window, Qt.Key.Key_BracketLeft)
    assert len(s.session.calls) == 2


# -- the speed that is reached -----------------------------------------------------------------------------------------


@given(st.floats(0.25, 300.0), st.sampled_from([0.25, 1.0, 10.0, 50.0, None]), st.floats(0.005, 0.12))
def test_the_speed_reached_is_said_where_it_is_not_the_one_asked_for(
    speed: float, asked: float | None, frame_s: float
) -> None:
    meter = SpeedMeter()
    for n in range(int(3.0 / frame_s)):
        meter.see(100.0 + speed * n * frame_s, n * frame_s, True)
    reached = meter.reached(asked)
    if asked is None or speed < 0.89 * asked:
        assert reached == pytest.approx(speed, rel=1e-6)
    elif speed > 0.91 * asked:
        assert reached is None
    meter.see(0.0, 4.0, False)
    assert meter.reached(asked) is None, "after a stop it is not known"


def test_the_bar_says_how_fast_it_really_goes_and_nothing_while_it_stands(screen: Make) -> None:
    s = screen()
    s.session.changes = {"speed": 10.0}
    s.run_to(2.5)  # the patient's records come at real time
    assert s.window.replay.speed.text() == "1.0×" and "1.0× of 10×" in s.window.top._source
    s.session.changes = {"speed": 10.0, "paused": True}
    s.frames(12)
    assert s.window.replay.speed.text() == "10×"
