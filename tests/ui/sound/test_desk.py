"""What is heard: alarms of every bed, the beat tone, and what the screen says of its silence."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from models.signals.modalities import Modality
from streams.records import BeatRecord
from tests.ui.harness import FRAME_S, Inline, Screen
from tests.ui.sound.outputs import Ear
from tests.ui.synthetic import TICK_S, Chapter, FakeSession, Patient
from tests.ui.test_alarm_view import record
from ui.bed.alarm_states import Mode, Silence, sounding
from ui.bed.alarm_view import Alarm
from ui.bed.audible import audible_level
from ui.bed.bedside import Answer, Bedside
from ui.bed.liveness import Life, Verdict
from ui.bed.ward import Ward
from ui.panels.shortcuts import SHORTCUTS
from ui.sound.beat_clock import BeatClock, lit
from ui.sound.choice import SoundChoice
from ui.sound.figures import default_figures
from ui.sound.sign import SoundWords
from ui.style.theme import default_theme
from ui.window.alarm_desk import AlarmDesk
from ui.window.alarm_files import AlarmFiles
from ui.window.control_link import ask_all
from ui.window.menu import MENU
from ui.window.sound_desk import SoundDesk

Make = Callable[..., Screen]
FIGURES = default_figures()
RATE = FIGURES.sample_rate_hz
A, B = "Bed 3", "Bed 4"
ASYSTOLE = ("asystole", "ASYSTOLE", "high", "physiological")
NO_PULSE = ("no_pulse", "NO PULSE", "high", "physiological")
LOW = ("map.low", "MAP LOW", "medium", "physiological")


class Room:
    """A ward, a session, a desk and an ear, frame by frame as the window has them."""

    def __init__(self, *, beds: tuple[str, ...] = (A,), beats: bool = False) -> None:
        self.ear, self.session, self.now = Ear(), FakeSession(beds=beds), 1000.0
        self.patients = [Patient(bed=bed, modalities=(Modality.ECG,)) for bed in beds]
        self.ward = Ward(default_theme(), self.now)
        self.desk = SoundDesk(
            self.ward,
            SoundChoice(volume=100, beat_tone=beats),
            self.ear.open,
            say=lambda words: None,
            monotonic=lambda: self.now,
            start=False,
        )
        link: Any = SimpleNamespace(do=lambda what, action: None)
        self.operator = AlarmDesk(
            link, self.ward, AlarmFiles(None, None, Inline()), say=lambda words: None,
            now_s=lambda: self.now, unix=lambda: self.now,
        )  # fmt: skip
        self.seq, self.answers, self.begin, self.frames = 0, True, self.now, 0
        self.run(2.0)

    def show(self, bed: str) -> None:
        self.session.show(bed)
        self.ward.show(bed, self.now)

    def alarm(self, alarm: tuple[str, str, str, str], active: bool = True, bed: str = A) -> None:
        self.ward.apply(Patient(bed=bed).alarm(*alarm, active=active, time_s=self.now), self.now)

    def frame(self, ticks: bool) -> None:
        self.now += FRAME_S
        while ticks and (self.seq + 1) * TICK_S <= self.now - self.begin:
            for patient in self.patients:
                for one in patient.tick(self.seq):
                    self.ward.apply(one, self.now)
            self.seq += 1
        if self.answers:
            self.session.frozen_heartbeat = round(self.now * 1e9)
        shown, *others = ask_all(self.session)
        self.ward.take(shown, self.now)
        self.ward.hear(others, self.now)
        self.ward.keep_time(self.now)
        head_s = self.ward.on_show.advance(self.now)
        self.desk.frame(self.now, head_s)
        self.frames += 1
        if self.frames % 6 == 0:
            self.ward.judge(self.now, Answer(shown.status))
        self.desk.keeper.step(self.now)
        self.ear.pull(self.now, FRAME_S)

    def run(self, seconds: float, ticks: bool = True) -> float:
        """Goes on, the patient too; the peak of what was heard."""
        begin_s = self.now
        for _ in range(max(1, round(seconds / FRAME_S))):
            self.frame(ticks)
        return float(np.abs(self.ear.heard(begin_s + FRAME_S / 2, 1e9)).max(initial=0.0))

    def stand(self, seconds: float) -> float:
        """Goes on without a tick."""
        return self.run(seconds, ticks=False)

    @property
    def sign(self) -> str:
        return text_of(self.desk.words()[0])


def test_a_bed_that_is_silenced_is_not_heard_and_another_is() -> None:
    room = Room(beds=(A, B))
    room.alarm(ASYSTOLE)
    assert room.run(1.0) > 0.0
    room.operator.silence_alarms(Mode.AUDIO_PAUSED.value)
    room.run(3.0)  # what has begun is heard to its end, since another bed may sound
    assert room.run(8.0) == 0.0 and room.sign == "SOUND ON: 100 %"
    room.alarm(LOW, bed=B)
    assert room.run(1.0) > 0.0, "of the other bed"
    room.show(B)
    room.operator.silence_alarms(Mode.ALARM_PAUSED.value)
    room.run(0.2)
    assert room.run(8.0) == 0.0 and "PAUSED" in room.sign, "all are: the sign says so"
    room.run(112.0)
    assert room.run(8.0) > 0.0, "and it ends by itself"


def text_of(words: SoundWords | None) -> str:
    assert words is not None
    return f"{'✗ ' if words.crossed else ''}{words.head}: {words.detail}"


HIGH, MEDIUM = (10 ** (FIGURES.burst[level].level_db / 20) for level in ("high", "medium"))


def test_a_high_alarm_is_heard_within_a_frame_and_by_its_interval() -> None:
    room = Room()
    assert room.run(1.0) == 0.0
    room.alarm(ASYSTOLE)
    assert room.stand(FRAME_S) > 0.0
    assert room.run(10.0) == pytest.approx(HIGH, rel=1e-3)
    heard = np.abs(room.ear.heard(0, 1e9)) > 0
    assert room.sign == "SOUND ON: 100 %"
    gaps = np.diff(np.flatnonzero(heard)) / RATE
    assert gaps[gaps > 2.0] == pytest.approx([FIGURES.burst["high"].interval_s], abs=0.15)


def test_the_alarm_of_a_bed_that_is_not_on_show_is_heard() -> None:
    room = Room(beds=(A, B))
    room.alarm(LOW, bed=B)
    assert room.run(1.0) == pytest.approx(MEDIUM, rel=1e-3)
    room.alarm(ASYSTOLE, bed=A)
    assert room.run(1.0) == pytest.approx(HIGH, rel=1e-3)
    room.operator.acknowledge()  # of the one on show
    assert room.run(2.0) > 0
    assert room.run(12.0) == pytest.approx(MEDIUM, rel=1e-3), "the other goes on"
    room.show(B)
    room.run(1.0)
    room.operator.acknowledge()
    room.run(2.0)
    assert room.run(11.0) == 0.0


def test_an_alarm_that_is_acknowledged_falls_silent_and_one_that_gets_worse_speaks_up() -> None:
    room = Room()
    room.alarm(LOW)
    room.run(0.1)
    room.operator.acknowledge()
    room.run(1.0)
    assert room.run(12.0) == 0.0
    room.alarm(("map.low", "MAP LOW", "high", "physiological"))
    assert room.stand(2 * FRAME_S) > 0.0


def test_a_paused_replay_is_silent_at_once_and_says_so_and_goes_on_with_its_alarm() -> None:
    room = Room()
    room.alarm(ASYSTOLE)
    assert room.run(0.5) > 0
    room.session.changes = {"paused": True}
    room.stand(0.3)
    assert room.sign == "✗ SILENT: paused" and room.stand(8.0) == 0.0
    room.session.changes = {}
    assert room.run(0.5) > 0 and room.sign == "SOUND ON: 100 %"


def test_the_end_of_a_recording_is_silent_and_says_so() -> None:
    room = Room()
    room.alarm(ASYSTOLE)
    room.run(0.5)
    room.session.changes = {"ended": True}
    room.stand(0.3)
    assert room.sign == "✗ SILENT: ended" and room.stand(8.0) == 0.0


def test_a_stream_that_is_lost_is_heard_until_acknowledged_and_anew_when_it_is_lost_again() -> None:
    room = Room()
    room.answers = False
    assert room.stand(5.0) == pytest.approx(MEDIUM, rel=1e-3)
    assert room.ward.on_show.verdict.life is Life.LOST and room.sign == "SOUND ON: 100 %"
    room.operator.acknowledge()
    room.stand(1.0)
    assert room.stand(15.0) == 0.0
    room.answers = True
    room.begin = room.now - room.seq * TICK_S
    assert room.run(2.0) == 0.0 and room.ward.on_show.verdict.life is Life.LIVE
    room.answers = False
    assert room.stand(5.0) == pytest.approx(MEDIUM, rel=1e-3)


def test_a_screen_that_hangs_is_heard_unless_all_sound_is_off() -> None:
    room = Room()
    room.operator.silence_alarms(Mode.AUDIO_PAUSED.value)
    room.run(1.0)

    def hang() -> float:
        begin_s = room.now
        for _ in range(round(8.0 / FRAME_S)):  # the audio library asks on, and no frame comes
            room.now += FRAME_S
            room.ear.pull(room.now, FRAME_S)
        return float(np.abs(room.ear.heard(begin_s, 1e9)).max(initial=0.0))

    assert hang() == pytest.approx(MEDIUM, rel=1e-3)
    room.desk.close()
    assert hang() == 0.0, "a window that is closed does not hang"


def test_a_high_alarm_outlasts_the_stream_that_told_of_it() -> None:
    room = Room()
    room.alarm(ASYSTOLE)
    room.run(0.5)
    room.answers = False
    room.stand(6.0)
    assert room.stand(9.0) == pytest.approx(HIGH, rel=1e-3)


def test_no_device_is_said_as_long_as_it_lasts() -> None:
    room = Room()
    room.ear.there = False
    assert room.ear.output is not None
    room.ear.output.failure = "gone"
    room.alarm(ASYSTOLE)
    room.run(5.0)
    assert room.sign == "✗ NO SOUND: no audio device"
    assert room.desk.words()[0].warns
    room.ear.there = True
    room.run(3.5)
    assert room.sign == "SOUND ON: 100 %" and room.run(6.0) == pytest.approx(HIGH, rel=1e-3)


def test_a_window_without_sound_says_so_and_opens_no_device(screen: Make) -> None:
    s = screen()
    s.run_to(1.0)
    words = s.window.face.sound.words
    assert words is not None and (words.head, words.crossed, words.warns) == ("SOUND OFF", True, False)
    assert s.window.sound.keeper.trouble == ""


def test_the_window_has_it_all_alarms_within_a_frame_sign_keys_menu_and_silence_at_its_end(
    screen: Make, qtbot: QtBot
) -> None:
    ear = Ear()
    s = screen(sound=SoundChoice(volume=100), open_output=ear.open)
    window = s.window
    keeper = window.sound.keeper

    def heard() -> float:
        return float(np.abs(ear.pull(s.now, FRAME_S)).max())

    def press(key: Qt.Key, shift: bool = False, control: bool = False) -> str:
        held = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        qtbot.keyClick(window, key, Qt.KeyboardModifier.ShiftModifier if shift else held)
        keeper.step(s.now)
        s.frames(8)
        return text_of(window.face.sound.words)

    s.run_to(0.5)
    assert text_of(window.face.sound.words) == "✗ NO SOUND: opening the audio device"
    keeper.step(s.now)
    s.run_to(1.0)
    assert text_of(window.face.sound.words) == "SOUND ON: 100 %  ♪ no beat" and heard() == 0.0
    s.feed.push(Patient().alarm(*ASYSTOLE, time_s=1.0))
    s.frames(1)
    assert heard() > 0.0
    assert press(Qt.Key.Key_V, shift=True) == "SOUND ON: 90 %  ♪ not now"
    assert press(Qt.Key.Key_V) == "SOUND ON: 100 %  ♪ not now"
    assert press(Qt.Key.Key_B, control=True) == "SOUND ON: 100 %"
    assert press(Qt.Key.Key_M, shift=True) == "✗ SOUND OFF: Shift+M: on" and ear.closed == 1
    assert press(Qt.Key.Key_M, shift=True) == "SOUND ON: 100 %"
    assert ear.opened == 2 and heard() > 0.0
    mine = {shortcut.action for shortcut in SHORTCUTS if shortcut.group == "Sound"}
    assert mine == {"change_volume", "toggle_beat_tone", "toggle_sound"} <= {entry.action for entry in MENU}
    window.close()
    heard()
    assert heard() == 0.0


# The beat tone ----------------------------------------------------------------------------------------------------


def begins(room: Room, begin_s: float) -> np.ndarray:
    """When tones begin, in the seconds of the ear."""
    heard = np.abs(room.ear.heard(begin_s, 1e9)) > 1e-4
    at = np.flatnonzero(heard)
    return at[np.diff(at, prepend=-RATE) > 0.1 * RATE] / RATE


def test_every_measured_beat_is_one_tone_a_fixed_time_behind() -> None:
    room = Room(beats=True)
    begin_s = room.now
    room.run(10.0)
    found = begins(room, begin_s)
    assert len(found) == pytest.approx(10, abs=1)
    np.testing.assert_allclose(np.diff(found), 1.0, atol=0.05)
    event_s = begin_s - room.begin + found
    late = np.mod(event_s - FIGURES.beat.delay_s, 1.0)
    assert np.all((late < 0.15) | (late > 0.98)), "a beat is at each whole second, the beam a tick behind"
    assert room.sign == "SOUND ON: 100 %  ♪ ECG"


@pytest.mark.parametrize("changes", [{"paused": True}, {"speed": 10.0}, {"speed": 0.5}, {"speed": None}])
def test_there_is_no_beat_tone_out_of_real_time(changes: dict[str, object]) -> None:
    room = Room(beats=True)
    room.run(3.0)
    room.session.changes = changes
    room.run(1.0)
    assert room.run(4.0) == 0.0
    assert "♪ ECG" not in room.sign


def test_nothing_is_a_beat_but_a_beat_record() -> None:
    """The stream makes those of measured samples alone; a wave that is estimated or a rate that is known is none."""
    room = Room(beats=True)
    room.run(2.0)
    kept, room.patients[0].second = room.patients[0].second, lambda second: []  # type: ignore[method-assign]
    room.run(4.0)
    assert room.run(4.0) == 0.0 and room.sign.endswith("♪ no beat")
    room.patients[0].second = lambda second: [r for r in kept(second) if not isinstance(r, BeatRecord)]  # type: ignore[method-assign]
    assert room.run(4.0) == 0.0


def test_electrical_beats_without_a_pulse_do_not_sound_like_life() -> None:
    room = Room(beats=True)
    room.run(2.0)
    room.alarm(NO_PULSE)
    room.run(0.1)
    room.operator.acknowledge()
    room.run(2.0)
    assert room.run(4.0) == 0.0 and room.sign.endswith("♪ not now")
    room.alarm(NO_PULSE, active=False)
    assert room.run(2.0) > 0.0


def beat(time_s: float) -> BeatRecord:
    return BeatRecord(bed="b", session="s", epoch=0, time_ns=round(time_s * 1e9), source="ECG")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.3, 2.0), min_size=1, max_size=20),
    st.floats(0.3, 1.4),
    st.lists(st.floats(0.005, 0.2), min_size=20, max_size=150),
)
def test_a_beat_that_is_known_in_time_is_due_once_and_in_rhythm(
    gaps: list[float], late_s: float, frames: list[float]
) -> None:
    clock, times = BeatClock(FIGURES.beat.delay_s), np.cumsum([5.0, *gaps])
    head, due, longest = 4.0, [], max(frames)
    for frame in frames:
        head += frame
        known = [beat(t) for t in times if t + late_s <= head]
        due += [(found.time_ns * 1e-9, head) for found in clock.due("b", known, head, 1.0)]
    reached = head - FIGURES.beat.delay_s
    assert [t for t, _ in due] == pytest.approx([t for t in times if t <= reached])
    assert all(0 <= at - t - FIGURES.beat.delay_s <= longest + 1e-6 for t, at in due)


def test_a_jump_of_the_beam_or_another_bed_makes_up_for_no_beats() -> None:
    clock, beats = BeatClock(1.6), [beat(t) for t in np.arange(0, 100, 0.5)]
    assert clock.due("a", beats, 10.0, 1.0) == [] and len(clock.due("a", beats, 10.4, 1.0)) == 1
    assert clock.due("a", beats, 60.0, 1.0) == [] and clock.due("a", beats, 20.0, 1.0) == []
    assert clock.due("b", beats, 20.4, 1.0) == []
    assert clock.due("b", beats, None, 1.0) == [] and clock.due("b", beats, 20.8, 1.0) == []
    assert len(clock.due("b", beats, 21.2, 1.0)) == 1


# What should sound ------------------------------------------------------------------------------------------------

PRIORITIES = ["high", "medium", "low"]


@given(st.lists(st.tuples(st.sampled_from(PRIORITIES), st.booleans())))
def test_the_highest_of_what_nobody_has_acknowledged_sounds(alarms: list[tuple[str, bool]]) -> None:
    standing = [Alarm(record(f"k{i}", priority), 0.0, seen) for i, (priority, seen) in enumerate(alarms)]
    open_ones = [priority for priority, seen in alarms if not seen]
    assert sounding(standing, Silence(), 0.0) == next(
        (priority for priority in PRIORITIES if priority in open_ones), ""
    )


@pytest.mark.parametrize("life", list(Life))
@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_each_state_of_a_bed(life: Life, urgent: bool, seen: bool) -> None:
    bed = Bedside(A, default_theme(), 0.0)
    bed.verdict, bed.loss_seen = Verdict(life, "words" if urgent else "", urgent), seen
    technical = "medium" if urgent and not seen else ""
    assert audible_level([bed]) == technical
    bed.state.alarms.apply(record("asystole", "high"))
    assert audible_level([bed]) == ("high" if life is Life.LIVE or urgent else technical)


def test_the_beat_tone_falls_with_the_saturation_of_now() -> None:
    room = Room(beats=True)
    heard: list[float] = []
    beat = room.desk.player.beat

    def listen(pitch_hz: float, now_s: float) -> None:
        heard.append(pitch_hz)
        beat(pitch_hz, now_s)

    room.desk.player.beat = listen  # type: ignore[method-assign]
    own = FIGURES.beat
    for spo2, want in (
        (None, own.pitch_hz),
        (100.0, own.full_hz),
        (88.0, own.full_hz * 2 ** (-12 / own.steps_per_octave)),
    ):
        room.patients[0].story = [Chapter(0, 1e9, vitals={"spo2": spo2})]
        room.run(4.0)
        heard.clear()
        room.run(4.0)
        assert heard and heard == pytest.approx([want] * len(heard))


def test_the_heart_symbol_is_lit_once_a_beat_with_its_tone_and_not_only_for_beats_that_were_told_early() -> None:
    """Beats of a second are told together, up to 1.4 s late; each is to be seen, none twice."""
    beats, told, lights = [beat(t) for t in np.arange(0.2, 20.0, 0.8)], [], []
    for frame in range(60 * 18):
        head_s = frame / 60
        told = [b for b in beats if np.ceil(b.time_ns * 1e-9) + 0.4 <= head_s]
        lights.append(lit(told, head_s, FIGURES.beat.delay_s, 1.0))
    began = np.flatnonzero(np.diff(np.array(lights, int)) == 1) / 60
    np.testing.assert_allclose(began, [t + 1.6 for t in np.arange(0.2, 16.3, 0.8)], atol=0.04)
