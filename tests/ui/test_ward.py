"""Several beds, pure: each record goes to its own, what is said of a bed is what its own screen says, nothing stale
looks live, and a bed that nobody looks at is judged like any other."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.errors import BadInput
from models.signals.findings import Pulse
from models.signals.modalities import Modality
from streams.records import CommandRecord, DeadLetter
from tests.ui.harness import Inline
from tests.ui.synthetic import MODEL, NS, Chapter, FakeSession, Patient
from ui.bed.bed_words import BedWords, in_room, rest_words
from ui.bed.bedside import Answer
from ui.bed.liveness import Life
from ui.bed.readouts import readout
from ui.bed.state import GLIMPSE_S
from ui.bed.ward import KEPT_WAVES, Ward
from ui.style.theme import default_theme
from ui.window.control_link import ControlLink, ask_all

THEME = default_theme()
A, B = "Bed 3", "Bed 4"
ASYSTOLE = ("asystole", "ASYSTOLE", "high", "physiological")


class Round:
    """A ward, its session and its patients on one clock; ``play`` brings records of all of them, interleaved."""

    def __init__(self, *patients: Patient) -> None:
        self.patients = {patient.bed: patient for patient in patients or (Patient(bed=A), Patient(bed=B))}
        self.session = FakeSession(beds=tuple(self.patients))
        self.ward = Ward(THEME, 1000.0)
        self.now = 1000.0
        self.silent: set[str] = set()
        self.answers = True
        self._seq = 0
        self.say()

    def say(self) -> None:
        """What the window does ten times a second."""
        if self.answers:
            self.session.frozen_heartbeat = round(self.now * NS)
            shown, *others = ask_all(self.session)
            self.answer = Answer(shown.status)
            self.ward.take(shown, self.now)
            self.ward.hear(others, self.now)
        self.ward.keep_time(self.now)
        self.ward.on_show.advance(self.now)
        self.ward.judge(self.now, self.answer)

    def play(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            ticks = [p.tick(self._seq) for bed, p in self.patients.items() if bed not in self.silent]
            for record in (r for records in zip(*ticks, strict=False) for r in records):
                self.ward.apply(record, self.now)
            for records in ticks:  # a bed may have more of them in a tick than another
                for record in records[min(map(len, ticks)) :]:
                    self.ward.apply(record, self.now)
            self._seq += 1
            self.say()

    def alarm(self, bed: str, *alarm: str, **changes: object) -> None:
        self.ward.apply(self.patients[bed].alarm(*alarm, **changes), self.now)  # type: ignore[arg-type]

    def words(self, bed: str) -> BedWords:
        """What the ward said last, and would say now."""
        said = next(words for words in self.ward.said if words.bed == bed)
        return replace(said, alarms=next(b for b in self.ward.beds if b.name == bed).state.alarms.standing)


def slow(bed: str, **vitals: object) -> Patient:
    return Patient(bed=bed, story=[Chapter(0, 99, vitals={"hr": 41.0, "abp_map": 58.0, **vitals})])


# Whose is what ----------------------------------------------------------------------------------------------------


def test_interleaved_records_are_each_beds_own() -> None:
    r = Round(Patient(bed=A), slow(B))
    r.play(3.0)
    assert (r.words(A).rate, r.words(A).mean) == ("75", "86")
    assert (r.words(B).rate, r.words(B).mean, r.words(B).rate_source) == ("41", "58", "ECG")
    assert r.ward.names == (A, B)
    r.alarm(B, *ASYSTOLE)
    assert r.words(A).worst is None and r.words(B).worst.words == "*** ASYSTOLE"


def test_an_acknowledgement_a_seek_and_an_epoch_are_one_beds_only() -> None:
    r = Round()
    r.play(2.0)
    for bed in (A, B):
        r.alarm(bed, *ASYSTOLE)
    r.ward.on_show.state.alarms.acknowledge()
    assert r.words(A).worst.acknowledged and not r.words(B).worst.acknowledged
    r.patients[B].epoch = 1
    r.play(0.2)
    assert r.words(A).worst is not None and r.words(B).worst is None


def test_who_sends_no_data_is_no_bed() -> None:
    r = Round()
    head = {"bed": "?", "session": "s", "epoch": 0}
    letter = DeadLetter(**head, topic="waves", partition=0, offset=0, reason="r", size=1)  # type: ignore[arg-type]
    command = CommandRecord(**head, id="1", operator="o", time_ns=0, name="pause")  # type: ignore[arg-type]
    for record in (letter, command):
        r.ward.apply(record, r.now)
    assert r.ward.names == (A, B)


def test_a_bed_that_the_session_does_not_name_is_shown_after_the_others() -> None:
    r = Round()
    r.ward.apply(Patient(bed="Bed 9").alarm(*ASYSTOLE), r.now)
    r.say()
    assert r.ward.names == (A, B, "Bed 9") and r.words("Bed 9").worst is not None
    assert r.words("Bed 9").life is Life.WAITING and r.words("Bed 9").life_words == "NO SAMPLES YET"


def test_rows_come_from_the_bed_that_they_are_of() -> None:
    r = Round()
    r.session.lacking = {B: (Modality.ABP,)}
    r.play(1.0)
    connected = {bed.name: [lane.key for lane in bed.state.lanes if lane.connected] for bed in r.ward.beds}
    assert connected == {A: ["ECG", "ABP", "PPG", "EEG"], B: ["ECG", "PPG", "EEG"]}
    assert [bed.snapshot.title for bed in r.ward.beds] == ["surgery1.vital", "case of Bed 4"]


# The words are those of the bed's own screen ----------------------------------------------------------------------


@pytest.mark.parametrize(("chapter", "off"), [
    (Chapter(0, 99), None), (Chapter(2, 99, pulse={Modality.PPG: Pulse.NONE}), Modality.ABP),
    (Chapter(0, 99), Modality.ABP), (Chapter(0, 99, vitals={"hr": None, "abp_map": 12.0, "abp_sys": None}), None),
    (Chapter(0, 99), Modality.ECG),
])  # fmt: skip
def test_the_words_say_what_the_large_tiles_say(chapter: Chapter, off: Modality | None) -> None:
    absent = {off: [(2, 99, Absence.LEAD_OFF)]} if off else {}
    r = Round(Patient(bed=A), Patient(bed=B, story=[chapter], absent=absent))
    r.play(6.2)
    bed = r.ward.beds[1]
    heart, pressure = (readout(bed.state, bed.state.lane(name), bed.moment) for name in ("ECG", "ABP"))
    said = r.words(B)
    mean = pressure.value if pressure.estimated else pressure.second or "-?-"
    assert (said.rate, said.mean, said.estimated) == (heart.value, mean, pressure.estimated)
    assert ("–" in said.mean) == said.estimated and bool(said.rate_source) == (said.rate != "-?-")


def test_an_estimate_is_marked_and_ends_with_the_pulse() -> None:
    off = {Modality.ABP: [(2, 99, Absence.NO_DATA)]}
    lost = Chapter(6, 99, pulse={Modality.PPG: Pulse.NONE})
    r = Round(Patient(bed=A), Patient(bed=B, absent=off, story=[lost]))
    r.play(5.5)
    assert r.words(B).mean == "59–73" and r.words(B).estimated
    r.play(2.0)
    assert r.words(B).mean == "-?-" and not r.words(B).estimated


def test_all_sensors_off_leaves_no_number_and_the_alarms_that_say_so() -> None:
    r = Round(Patient(bed=A), Patient(bed=B, absent={m: [(2, 99, Absence.LEAD_OFF)] for m in MODEL}))
    r.alarm(B, "technical.ECG", "ECG LEADS OFF", "medium", "technical")
    r.alarm(B, "technical.ABP", "ABP NO SIGNAL")
    r.play(8.0)
    said = r.words(B)
    assert (said.rate, said.mean, said.life) == ("-?-", "-?-", Life.LIVE)
    assert said.worst.words == "ECG LEADS OFF" and said.more == 1


# Live, paused, ended, lost ----------------------------------------------------------------------------------------


def test_a_bed_that_falls_silent_is_lost_within_three_seconds_though_nobody_looks_at_it() -> None:
    r = Round()
    r.play(3.0)
    r.alarm(B, *ASYSTOLE)
    r.silent = {B}
    r.play(2.3)
    assert r.words(B).life is Life.LIVE
    r.play(0.4)
    said = r.words(B)
    assert said.life is Life.LOST and said.life_words == "NOT LIVE" and said.held
    assert said.why_lost.startswith("NO SAMPLES FROM THE STREAM")
    assert (said.rate, said.mean) == ("-?-", "-?-") and said.worst.words == "*** ASYSTOLE"
    assert r.words(A).life is Life.LIVE and r.words(A).rate == "75"
    r.silent = set()
    r.play(1.2)
    assert r.words(B).life is Life.LIVE and not r.words(B).held


def test_vitals_that_stop_while_ticks_go_on_leave_no_number() -> None:
    r = Round()
    second = r.patients[B].second
    r.play(3.0)
    r.patients[B].second = lambda at: second(at)[:2]  # type: ignore[method-assign]
    r.play(3.3)
    assert r.words(B).life is Life.LIVE and (r.words(B).rate, r.words(B).mean) == ("-?-", "-?-")


@pytest.mark.parametrize(("change", "life", "words"), [
    ({"paused": True}, Life.PAUSED, "PAUSED"), ({"ended": True}, Life.ENDED, "ENDED"),
])  # fmt: skip
def test_a_bed_that_stands_by_order_or_is_over_is_not_lost(change: dict[str, object], life: Life, words: str) -> None:
    r = Round()
    r.play(3.0)
    r.session.of[B], r.silent = change, {B}
    r.play(20.0)
    said = r.words(B)
    assert (said.life, said.life_words) == (life, words) and said.held
    assert said.rate == ("75" if life is Life.PAUSED else "-?-"), "a pause ages nothing, an end does"
    assert r.words(A).life is Life.LIVE
    del r.session.of[B]
    r.silent = set()
    r.play(0.1)
    assert r.words(B).life is Life.LIVE


def test_a_resume_gives_a_bed_that_nobody_looks_at_time_to_go_on() -> None:
    r = Round()
    r.play(3.0)
    r.session.of[B], r.silent = {"paused": True}, {B}
    r.play(20.0)
    del r.session.of[B]
    r.play(1.0)
    assert r.words(B).life is Life.LIVE and r.words(B).rate == "75", "a pause is no silence"
    r.play(2.0)
    assert r.words(B).life is Life.LOST


def test_a_sign_of_life_counts_whichever_bed_was_asked_about() -> None:
    r = Round()
    r.play(3.0)
    hear, r.ward.hear = r.ward.hear, lambda *_: None  # type: ignore[method-assign]
    r.play(2.5)
    assert r.words(B).life is Life.LIVE
    r.ward.hear = hear  # type: ignore[method-assign]


def test_an_older_answer_does_not_take_the_place_of_the_newest_of_the_bed_on_show() -> None:
    r = Round()
    r.session.of[A] = {"paused": True}
    old = ask_all(r.session)
    r.session.of = {}
    r.play(1.0)
    r.ward.hear(old, r.now)
    assert not r.ward.on_show.status.paused


def test_a_bed_has_its_own_speed() -> None:
    r = Round()
    r.session.of[B] = {"speed": 0.25}
    r.play(3.0)
    r.silent = {B}
    assert [bed.speed for bed in r.ward.beds] == [1.0, 0.25]
    assert [bed.moment.speed for bed in r.ward.beds] == [1.0, 0.25]


@pytest.mark.parametrize("what", ["error", "heartbeat", "failure"])
def test_what_stops_the_session_stops_every_bed(what: str) -> None:
    r = Round()
    r.play(3.0)
    if what == "error":
        r.session.changes = {"error": "The window stage stopped."}
        r.say()
    elif what == "heartbeat":
        r.answers = False
        r.now += 2.1
        r.say()
    else:
        r.ward.judge(r.now, replace(r.answer, failure="The session cannot be asked: boom"))
    assert {r.words(bed).life for bed in (A, B)} == {Life.LOST}
    assert {r.words(bed).rate for bed in (A, B)} == {"-?-"}


def test_the_run_is_over_when_no_bed_goes_on() -> None:
    r = Round()
    r.play(2.0)
    r.session.of[A], r.silent = {"ended": True}, {A}
    r.play(3.0)
    assert not r.ward.over(r.now), "the other bed goes on"
    r.session.of[B] = {"paused": True}
    r.silent = {A, B}
    r.play(3.0)
    assert not r.ward.over(r.now), "the other bed may be told to go on"
    r.session.of[B] = {"ended": True}
    r.play(0.1)
    assert r.ward.over(r.now)


# On show ----------------------------------------------------------------------------------------------------------


def test_a_bed_comes_on_show_with_what_it_has() -> None:
    r = Round()
    r.play(5.0)
    assert r.ward.on_show.name == A
    hidden = r.ward.beds[1].state
    assert 0.0 < r.now - 1000.0 - hidden.clock.position_s < 0.2, "its beam goes on"
    assert hidden.lane("ECG").trace.shown.ring.end > 4.9 * 500, "its waves are ready"
    r.ward.show(B, r.now)
    lane = r.ward.on_show.state.lane("PPG")
    assert lane.trace.raw.ring.end - lane.trace.raw.ring.start == 5 * 125
    assert not r.ward.on_show.state.undrawn, "nobody has painted what came before"
    assert r.ward.on_show.prediction_seen == r.ward.on_show.state.prediction.window_end_ns


def test_a_large_ward_keeps_the_waves_of_the_bed_on_show_only_and_everything_else_of_all() -> None:
    names = [f"Bed {n}" for n in range(KEPT_WAVES + 1)]
    off = {Modality.ABP: [(2, 99, Absence.NO_DATA)]}
    r = Round(*(Patient(bed=name, absent=off) for name in names))
    r.play(5.2)
    for bed in r.ward.beds:
        kept = [lane.trace is not None or lane.estimate is not None for lane in bed.state.lanes]
        assert kept == [True, True] + 2 * [bed.name == names[0]], "of the others a glimpse of ECG and pressure"
        seconds = [lane.trace.raw.ring.capacity / lane.trace.raw.rate_hz for lane in bed.state.lanes[:2]]
        assert seconds == [THEME.sweep.history_s if bed.name == names[0] else GLIMPSE_S] * 2
        assert (bed.state.lane("ABP").estimate is not None) == (bed.name == names[0])
        assert r.words(bed.name).rate == "75" and r.words(bed.name).mean == "59–73"
        assert len(bed.state.lane("ABP").cells) == 5 and bed.state.rhythm is not None and bed.state.trend
        assert bed.state.clock.newest_s == pytest.approx(5.2) and (bed.name == names[0] or not bed.state.undrawn)
    r.session.show(names[3])
    r.play(1.0)
    assert [bed.name for bed in r.ward.beds if bed.state.lane("PPG").trace is not None] == [names[3]]
    lengths = {bed.name: bed.state.lane("ECG").trace.raw.ring.capacity / 500 for bed in r.ward.beds}
    assert lengths == {name: THEME.sweep.history_s if name == names[3] else GLIMPSE_S for name in names}
    r.ward.on_show.state.settle()
    trace = r.ward.on_show.state.lane("ECG").trace
    assert trace.shown.ring.end - trace.shown.ring.start > 6.0 * 500, "the glimpse is what its waves begin with"
    drawn = trace.shown.ring.read(3 * 500, 6 * 500)
    assert np.isfinite(drawn).all() and drawn.max() > 0.8


def test_a_ward_of_very_many_beds_keeps_no_glimpse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.bed.ward.GLIMPSES", KEPT_WAVES + 2)
    names = [f"Bed {n}" for n in range(KEPT_WAVES + 2)]
    r = Round(*(Patient(bed=name) for name in names))
    r.play(1.2)
    assert all(bed.state.glimpsed and bed.state.lane("ECG").trace is not None for bed in r.ward.beds)
    late = Patient(bed="late")
    r.ward.apply(late.tick(0)[0], r.now)
    kept = {bed.name for bed in r.ward.beds if any(lane.trace is not None for lane in bed.state.lanes)}
    assert kept == {names[0]} and not r.ward.beds[1].state.glimpsed


def test_in_a_very_large_ward_every_bed_is_judged_within_half_a_second() -> None:
    names = [str(n) for n in range(1, 129)]
    r = Round(*(Patient(bed=name, restore=False) for name in names))
    r.play(1.1)
    for name in names:
        r.ward.apply(r.patients[name].alarm(*ASYSTOLE), r.now)
    for tenth in range(4):
        r.say()
        said = [words for words in r.ward.said if words.worst is not None]
        assert len(said) >= 32 * (tenth + 1) and r.ward.said[0].worst is not None
    assert len(said) == 128


def test_beds_follow_each_other_and_the_ends_meet() -> None:
    r = Round(*(Patient(bed=str(n)) for n in range(1, 4)))
    assert [r.ward.neighbour(1), r.ward.neighbour(-1)] == ["2", "3"]
    r.ward.show("3", r.now)
    assert r.ward.neighbour(1) == "1"


# The link ---------------------------------------------------------------------------------------------------------


def test_bed_and_status_belong_together_and_what_was_painted_before_is_not_the_next_beds() -> None:
    session = FakeSession(beds=(A, B))
    session.of[B] = {"position_s": 7.0}
    link = ControlLink(session, 0.0, Inline())
    link.poll(1.0)
    link.poll(1.01)
    assert link.bed == A and (link.snapshot.bed, link.snapshot.status.position_s) == (A, 1512.0)
    assert [(s.bed, s.status.position_s) for s in link.others] == [(B, 7.0)] and session.bed == A
    link.report_shown("sample_to_screen", 1, 2)
    link.show(B)
    assert link.bed == B and link.snapshot.bed == A, "the old answer is about the old bed, and says so"
    assert session.reported_for == [A]
    link.poll(1.02)
    link.poll(1.03)
    assert link.snapshot.bed == B and link.snapshot.status.position_s == 7.0 and link.snapshot.title == "case of Bed 4"


def test_a_bed_that_is_refused_leaves_the_one_before_on_show() -> None:
    link = ControlLink(FakeSession(beds=(A, B)), 0.0, Inline())
    link.poll(1.0)
    link.poll(1.01)
    link.show("Bed 9")
    assert any("show bed Bed 9" in sentence for sentence in link.poll(1.02))
    link.poll(1.03)
    assert link.bed == A


def test_a_bed_that_cannot_be_asked_leaves_the_right_one_on_show() -> None:
    session = FakeSession(beds=(A, B))
    session.of[B] = {"no such field": 1}
    with pytest.raises(TypeError):
        ask_all(session)
    assert session.bed == A
    with pytest.raises(BadInput):
        session.show("Bed 9")


# Which are shown where there is no room for all -------------------------------------------------------------------


def said(bed: str, priority: str = "", life: Life = Life.LIVE, acknowledged: bool = False) -> BedWords:
    r = Round(Patient(bed=bed))
    r.play(1.2)
    if priority:
        r.alarm(bed, "k", "TEXT", priority, "physiological")
    if acknowledged:
        r.ward.on_show.state.alarms.acknowledge()
    return replace(r.words(bed), life=life)


def test_the_beds_that_most_need_a_look_have_the_room_in_their_own_order() -> None:
    quiet = [said(str(n)) for n in range(1, 10)]
    worse = [
        said("10", "medium"),
        said("11", "high", acknowledged=True),
        said("12", life=Life.LOST),
        said("13", "high"),
    ]
    everybody = (*quiet, *worse)
    shown, rest = in_room(everybody, 5, on_show="2")
    assert [w.bed for w in shown] == ["2", "10", "11", "12", "13"]
    assert rest_words(rest) == ("+8 beds", "no alarm")
    shown, rest = in_room(everybody, 2, on_show="2")
    assert [w.bed for w in shown] == ["2", "13"] and rest[0].bed == "11"
    assert rest_words(rest) == ("+11 beds", "1 HIGH, 1 NOT LIVE")
    assert in_room(everybody, 13, "2") == (everybody, ())


def test_an_ended_epoch_of_a_hidden_bed_is_over_by_its_last_tick_too() -> None:
    r = Round()
    r.play(2.0)
    last = r.patients[B].tick(40)[0]
    r.ward.apply(msgspec.structs.replace(last, eos=True), r.now)
    r.silent = {B}
    r.play(1.0)
    assert r.words(B).life is Life.ENDED
