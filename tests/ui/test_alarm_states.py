"""Silence, acknowledgement and latching: no state may be ambiguous, and none hides an alarm. IEC 60601-1-8."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from streams.limit_settings import DEFAULT_SETTINGS, default_setting
from streams.records import AlarmRecord, VitalsRecord
from tests.ui.synthetic import Patient
from ui.bed.alarm_journal import KEPT, Entry, Journal, changes
from ui.bed.alarm_states import (
    CONFIRM_S,
    PAUSE_S,
    REMIND_EVERY_S,
    REMIND_S,
    STILL,
    TIMED,
    Mode,
    Silence,
    SilenceSwitch,
    sounding,
)
from ui.bed.alarm_view import FIELDS, ROOM, Alarm, AlarmBook, colours, field_of, fields
from ui.bed.latching import LATCHING, latches
from ui.bed.limit_words import limit_words
from ui.style.theme import PRIORITIES, default_theme

STYLE = default_theme().alarm
KEYS = ["asystole", "vfib", "vtach", "no_pulse", "map.low", "hr.high", "technical.ECG"]
SILENT = [Mode.AUDIO_PAUSED, Mode.AUDIO_OFF, Mode.ALARM_PAUSED, Mode.ALARM_OFF]


def record(key: str, priority: str = "high", active: bool = True, time_s: float = 0.0, **more: str) -> AlarmRecord:
    kind = "technical" if key.startswith("technical") else "physiological"
    return Patient().alarm(key, key.upper(), priority, kind, active, time_s, **more)


def alarm(key: str, priority: str = "high", **more: bool) -> Alarm:
    return Alarm(record(key, priority), 0.0, **more)


# What sounds ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(PRIORITIES), st.booleans(), st.booleans()), max_size=8)
)
def test_the_worst_that_nobody_has_seen_sounds(told: list[tuple[str, str, bool, bool]]) -> None:
    standing = [Alarm(record(k, p), 0.0, seen, 1.0 if over else None) for k, p, seen, over in told]
    loud = [p for _, p, seen, over in told if not seen and not over]
    want = next((p for p in ("high", "medium", "low") if p in loud), "")
    assert sounding(standing, Silence(), 5.0) == want
    for mode in SILENT:
        silence = Silence(mode, 0.0, 120.0 if mode in TIMED else math.inf)
        assert sounding(standing, silence, 5.0) == "" and silence.words(5.0)
        assert sounding(standing, silence, 120.0) == (want if mode in TIMED else "")


@given(st.sampled_from(SILENT), st.floats(0, 1e6), st.floats(0, 1000))
def test_what_silences_is_on_the_screen_and_what_is_on_the_screen_silences(
    mode: Mode, pressed_s: float, later_s: float
) -> None:
    switch = SilenceSwitch()
    switch.press(mode, pressed_s)
    switch.press(mode, pressed_s) if mode not in TIMED else None
    now_s = pressed_s + later_s
    silence = switch.silence
    silent = sounding([alarm("asystole")], silence, now_s) == ""
    words = silence.words(now_s)
    assert silent == bool(words), "a silent screen always says why, and a loud one never says that it is silent"
    if silent:
        assert words.startswith(mode.value)
    if mode in TIMED:
        assert silent == (now_s < pressed_s + PAUSE_S), "a pause ends by itself, at its time"
        if silent:
            minutes, seconds = re.fullmatch(rf"{mode.value} (\d):(\d\d)", words).groups()  # type: ignore[union-attr]
            left_s = 60 * int(minutes) + int(seconds)
            assert left_s >= 1 and 0 <= left_s - (pressed_s + PAUSE_S - now_s) <= 1.001
    else:
        assert silent


def test_the_four_states_are_told_apart() -> None:
    words = {Silence(mode, 0.0, 60.0 if mode in TIMED else math.inf).words(1.0) for mode in SILENT}
    assert len(words) == 4 and all("PAUSED" in w or "OFF" in w for w in words)
    assert all(w.startswith(("AUDIO", "ALARM")) for w in words)


def test_a_pause_begins_at_once_and_what_does_not_end_is_asked_for_twice() -> None:
    for mode in SILENT:
        switch = SilenceSwitch()
        said = switch.press(mode, 10.0)
        assert (switch.silence.at(10.0) is mode) == (mode in TIMED)
        if mode not in TIMED:
            assert "once more" in said
            switch.press(mode, 10.1 + CONFIRM_S)
            assert switch.silence.at(15.0) is Mode.ON, "the second time came too late"
            switch.press(mode, 15.0)
            assert switch.silence.at(15.0) is mode
        assert switch.press(mode, 16.0) == "alarms sound and flash again"
        assert switch.silence.at(16.0) is Mode.ON
    switch = SilenceSwitch()
    switch.press(Mode.AUDIO_OFF, 0.0)
    switch.press(Mode.ALARM_OFF, 0.5)
    assert switch.silence.at(1.0) is Mode.ON, "each is confirmed for itself"


def test_a_pause_that_is_over_is_dropped_once() -> None:
    switch = SilenceSwitch()
    assert not switch.end(0.0)
    switch.press(Mode.ALARM_PAUSED, 0.0)
    assert not switch.end(PAUSE_S - 0.01)
    assert switch.end(PAUSE_S) and not switch.end(PAUSE_S + 1)


def test_what_does_not_end_by_itself_is_reminded_of() -> None:
    off, paused = Silence(Mode.AUDIO_OFF, 100.0), Silence(Mode.AUDIO_PAUSED, 100.0, 1e9)
    moments = [100.0 + t / 2 for t in range(2 * 600)]
    on = [t for t in moments if off.reminds(t)]
    assert not [t for t in moments if paused.reminds(t) or Silence().reminds(t)]
    assert on[0] == 100.0 + REMIND_EVERY_S
    begins = [t for t in on if t - 0.5 not in on]
    assert len(begins) == 4 and {b - a for a, b in pairwise(begins)} == {REMIND_EVERY_S}
    assert len(on) == 4 * 2 * REMIND_S


# Acknowledgement and latching -----------------------------------------------------------------------------------------


class AlarmsOfABed(RuleBasedStateMachine):
    """Alarms come, get worse, end, come again and are seen, one by one or all, in any state of silence; against the
    plainest account of them."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.switch, self.now_s = AlarmBook(), SilenceSwitch(), 0.0
        self.holds: dict[str, tuple[str, float]] = {}  # priority, since
        self.seen: set[tuple[str, float]] = set()
        self.unseen: dict[str, float] = {}

    @rule(seconds=st.floats(0.1, 100))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(key=st.sampled_from(KEYS), priority=st.sampled_from(PRIORITIES))
    def begins_or_changes(self, key: str, priority: str) -> None:
        self.now_s += 0.1
        known = self.holds.get(key)
        since_s = known[1] if known else self.now_s
        if known and PRIORITIES.index(priority) < PRIORITIES.index(known[0]):
            self.seen.discard((key, since_s))
        self.holds[key] = priority, since_s
        self.unseen.pop(key, None)
        self.book.apply(record(key, priority, time_s=self.now_s), DEFAULT_SETTINGS)

    @rule(key=st.sampled_from(KEYS))
    def ends(self, key: str) -> None:
        known = self.holds.pop(key, None)
        if known and key in LATCHING and known[0] == "high" and (key, known[1]) not in self.seen:
            self.unseen[key] = known[1]
        self.book.apply(record(key, active=False, time_s=self.now_s), DEFAULT_SETTINGS)

    @rule(key=st.sampled_from(KEYS))
    def one_is_seen(self, key: str) -> None:
        self.book.acknowledge({key})
        if key in self.holds:
            self.seen.add((key, self.holds[key][1]))
        self.unseen.pop(key, None)

    @rule()
    def all_are_seen(self) -> None:
        new = self.book.acknowledge()
        want = {k: s for k, (_, s) in self.holds.items() if (k, s) not in self.seen} | self.unseen
        assert new == pytest.approx(want)
        self.seen |= {(key, since_s) for key, (_, since_s) in self.holds.items()}
        self.unseen.clear()

    @rule(mode=st.sampled_from(SILENT))
    def a_key_is_pressed(self, mode: Mode) -> None:
        self.switch.press(mode, self.now_s)

    @invariant()
    def no_alarm_is_hidden_and_none_is_quiet_without_a_reason(self) -> None:
        silence = self.switch.silence
        standing = {a.record.key: a for a in self.book.standing}
        assert {k: (a.record.priority, a.acknowledged) for k, a in standing.items()} == {
            k: (p, (k, s) in self.seen) for k, (p, s) in self.holds.items()
        }
        assert ([a.record.key for a in self.book.unseen] and True) or not self.unseen
        assert {a.record.key for a in self.book.unseen} == set(self.unseen)
        still = silence.still(self.now_s)
        area = fields(self.book.shown, self.now_s, STYLE, True, still)
        for field in area:
            mine = [a for a in self.book.shown if field_of(a.record) == field.name]
            assert len(field.alarms) + field.more == len(mine) and len(field.alarms) == min(len(mine), ROOM[field.name])
            holding = [a for a in mine if a.ended_s is None]
            if holding:
                assert field.alarms[0] == holding[0], "what has ended never stands before what holds"
            for one, lit in zip(field.alarms, field.lit, strict=True):
                fill, _ = colours(one, lit, field.held, STYLE, field.still)
                own = STYLE.colours[one.record.priority]
                if one.record.priority == "high" and not one.quiet:
                    assert fill in ((own.lit,) if still else (own.lit, own.dark)), "high: never dimmed, in no state"
                assert not still or lit, "and nothing flashes while alarms are paused or off"
        loud = {p for k, (p, s) in self.holds.items() if (k, s) not in self.seen}
        quiet = sounding(self.book.standing, silence, self.now_s) == ""
        assert quiet == (not loud or bool(silence.words(self.now_s)))


TestAlarmsOfABed = AlarmsOfABed.TestCase
TestAlarmsOfABed.settings = settings(max_examples=40, stateful_step_count=40)


def test_acknowledging_one_acknowledges_no_other_and_no_new_one() -> None:
    book = AlarmBook()
    book.apply(record("asystole", time_s=1.0))
    book.apply(record("hr.high", time_s=1.0))
    assert book.acknowledge({"asystole"}) == {"asystole": 1.0} and book.acknowledge({"asystole"}) == {}
    assert {a.record.key: a.acknowledged for a in book.standing} == {"asystole": True, "hr.high": False}
    book.apply(record("asystole", active=False, time_s=5.0))
    assert not book.unseen, "it had been seen"
    book.apply(record("asystole", time_s=6.0))
    assert not {a.record.key: a.acknowledged for a in book.standing}["asystole"]
    book.see("asystole", 1.0)
    assert not {a.record.key: a.acknowledged for a in book.standing}["asystole"], "that was the one before"


def test_which_messages_stay_is_data() -> None:
    assert latches(record("asystole"), ()) and not latches(record("asystole", "medium"), ())
    assert not latches(record("technical.ECG"), ())
    assert not latches(record("hr.low"), DEFAULT_SETTINGS)
    sticky = [replace(s, latch=s.vital == "hr") for s in DEFAULT_SETTINGS]
    assert latches(record("hr.low", "medium"), sticky) and not latches(record("map.low"), sticky)
    book = AlarmBook()
    book.apply(record("hr.low", "medium", time_s=1.0), sticky)
    book.apply(record("hr.low", "medium", active=False, time_s=62.0), sticky)
    (ended,) = book.unseen
    assert ended.words == "** HR.LOW — ended 00:01:02" and sounding(book.shown, Silence(), 0.0) == ""
    assert colours(ended, True, False, STYLE) == colours(ended, False, False, STYLE), "it does not flash"


def test_what_was_seen_before_a_restart_is_seen_and_what_began_since_is_not() -> None:
    book = AlarmBook({"map.low": 12.0, "hr.high": 12.0})
    book.apply(replace(record("map.low", time_s=40.0), since_ns=12_000_000_000))
    book.apply(replace(record("hr.high", time_s=40.0), since_ns=39_000_000_000))
    assert {a.record.key: a.acknowledged for a in book.standing} == {"map.low": True, "hr.high": False}
    assert {a.since_s for a in book.standing} == {12.0, 39.0}


# Limits beside the number ---------------------------------------------------------------------------------------------


def test_limits_that_cannot_fire_say_why() -> None:
    def vitals(**values: object) -> VitalsRecord:
        return VitalsRecord(bed="a", session="s", epoch=0, time_ns=0, **values)  # type: ignore[arg-type]

    measured = vitals(hr=70.0, resp_rate=12.0, resp_source="ECG+PPG")
    said = limit_words(DEFAULT_SETTINGS, "hr", measured)
    assert (said.text, said.silent) == ("120 / 50", "")
    assert limit_words(DEFAULT_SETTINGS, "abp_map", measured).silent == "not measured"
    assert limit_words(DEFAULT_SETTINGS, "hr", None).silent == "not measured"
    assert limit_words(DEFAULT_SETTINGS, "pulse_rate", vitals(pulse_rate=70.0)).silent == "alarm off"
    assert limit_words(DEFAULT_SETTINGS, "resp_rate", measured).silent == "not measured by RESP or CO2"
    assert limit_words(None, "hr", measured).text == "-?- / -?-" and limit_words(None, "hr", measured).silent
    low = replace(default_setting("hr"), high=None, extreme_high=None)
    assert limit_words([low], "hr", measured).text == "< 50"
    none = replace(low, low=None, extreme_low=None)
    assert limit_words([none], "hr", measured).silent == "alarm off"


# The journal ----------------------------------------------------------------------------------------------------------


def test_the_journal_tells_begin_and_end_once() -> None:
    journal = Journal()
    begun = replace(record("asystole", time_s=3.0), since_ns=3_000_000_000)
    for one in (begun, replace(begun, now="5"), replace(begun, active=False, time_ns=9_000_000_000)):
        journal.follow(one, 100.0)
    assert [(e.what, e.time_s) for e in journal.entries] == [("began", 3.0), ("ended", 9.0)]
    assert journal.take_new() == list(journal.entries) and not journal.take_new()
    again = Journal()
    again.follow(replace(begun, time_ns=7_000_000_000), 200.0)  # said again, to a display that has just begun
    again.note(Entry(201.0, "s", 8.0, "AUDIO OFF", ""))
    again.before(list(journal.entries)[:1])
    assert [(e.what, e.unix_s) for e in again.entries] == [("began", 100.0), ("AUDIO OFF", 201.0)]
    assert [e.what for e in again.take_new()] == ["AUDIO OFF"]


def test_the_journal_is_bounded() -> None:
    journal = Journal()
    for n in range(3 * KEPT):
        journal.note(Entry(float(n), "s", float(n), "began", "X", "high", f"k{n}"))
    assert (
        len(journal.entries) == KEPT and journal.entries[-1].unix_s == 3 * KEPT - 1 and len(journal._known) <= 2 * KEPT
    )


def test_changes_of_limits_in_words() -> None:
    after = [replace(s, high=130.0) if s.vital == "hr" else replace(s, on=False) if s.vital == "abp_map" else s
             for s in DEFAULT_SETTINGS]  # fmt: skip
    assert changes(DEFAULT_SETTINGS, DEFAULT_SETTINGS) == ""
    assert changes(DEFAULT_SETTINGS, after) == (
        "Heart rate 50–120 medium 3 s → 50–130 medium 3 s, ABP mean 65–110 medium 5 s → 65–110 medium 5 s off"
    )


def test_every_state_is_still_or_not_and_there_are_fields_for_all() -> None:
    assert set(SILENT) > STILL and set(SILENT) > TIMED and len(FIELDS) == 3
