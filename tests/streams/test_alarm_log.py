"""What alarmed and for how long: events and counts, over seeks, repetitions and several beds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.alarm_log import JUMPED, AlarmCounts, AlarmEvent, AlarmLog, Event
from streams.records import AlarmRecord, AnyRecord, VitalsRecord, WaveTick

S = 10**9


def alarm(second: float, key: str = "map.low", *, active: bool = True, **changes: object) -> AlarmRecord:
    fields: dict[str, object] = {
        "bed": "1", "session": "s", "epoch": 0, "priority": "medium", "kind": "physiological",
        "text": "ABP LOW 60 < 65",
    }  # fmt: skip
    return AlarmRecord(time_ns=round(second * S), key=key, active=active, **(fields | changes))  # type: ignore[arg-type]


def tick(second: int, epoch: int = 0, bed: str = "1") -> WaveTick:
    return WaveTick(bed=bed, session="s", epoch=epoch, tick_seq=second, start_ns=(second - 1) * S, end_ns=second * S)


def told(*records: AnyRecord) -> list[tuple[float, Event, str, str]]:
    log = AlarmLog()
    events = [event for record in records for event in log.follow(record)] + log.standing()
    return [(event.time_ns / S, event.event, event.alarm.text, event.reason) for event in events]


def test_an_alarm_begins_changes_and_ends() -> None:
    assert told(
        alarm(10),
        alarm(11, now="58"),  # only the present value: no event
        alarm(12, text="ABP LOW 45 < 65", priority="high", now="45"),
        alarm(13, text="ABP LOW 45 < 65", priority="high", now="50", reason="the PPG shows no pulse"),
        alarm(14, text="ABP LOW 45 < 65", priority="high", now="50", reason="the PPG shows no pulse"),
        alarm(20, active=False, text="ABP LOW 45 < 65", reason="measured above 65 again"),
        tick(30),
    ) == [
        (10, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (12, Event.CHANGED, "ABP LOW 45 < 65", ""),
        (13, Event.CHANGED, "ABP LOW 45 < 65", "the PPG shows no pulse"),
        (20, Event.ENDED, "ABP LOW 45 < 65", "measured above 65 again"),
    ]


def test_what_still_stands_at_the_end_is_said_with_the_last_moment_played() -> None:
    assert told(
        tick(9), alarm(10, reason="r"), tick(33), VitalsRecord(bed="1", session="s", epoch=0, time_ns=33 * S)
    ) == [
        (10, Event.BEGAN, "ABP LOW 60 < 65", "r"),
        (33, Event.STANDING, "ABP LOW 60 < 65", "r"),
    ]


def test_an_end_of_what_never_began_is_nothing() -> None:
    assert told(alarm(5, active=False)) == []


def test_a_seek_ends_what_stood_where_it_stood() -> None:
    """The engine's ends come with the time of the new place, and after waves that were read there already."""
    assert told(
        tick(100), alarm(100), tick(120), tick(20, epoch=1), tick(21, epoch=1),
        alarm(20, epoch=1, active=False), alarm(25, epoch=1), tick(26, epoch=1),
    ) == [
        (100, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (120, Event.ENDED, "ABP LOW 60 < 65", JUMPED),
        (25, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (26, Event.STANDING, "ABP LOW 60 < 65", ""),
    ]  # fmt: skip


def test_an_alarm_that_is_read_after_the_waves_of_the_next_epochs_still_ends_in_its_own() -> None:
    assert told(tick(100), tick(101), tick(20, epoch=1), alarm(100), alarm(20, epoch=1, active=False)) == [
        (100, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (101, Event.ENDED, "ABP LOW 60 < 65", JUMPED),
    ]
    many = [tick(s, epoch=e) for e, s in enumerate((100, 20, 50, 70, 90))]
    assert told(tick(99), alarm(99), *many, alarm(90, epoch=4)) == [
        (99, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (100, Event.ENDED, "ABP LOW 60 < 65", JUMPED),
        (90, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (90, Event.STANDING, "ABP LOW 60 < 65", ""),
    ]


def test_records_of_an_epoch_that_was_left_change_nothing_when_they_are_delivered_again() -> None:
    assert len(told(alarm(100), alarm(20, epoch=1), alarm(100), alarm(101, active=False))) == 4  # the last one stands


def test_beds_are_told_apart() -> None:
    log = AlarmLog()
    for record in (alarm(1), alarm(2, bed="2"), alarm(3, active=False), tick(9, bed="2"), tick(8)):
        log.follow(record)
    assert log.standing() == [AlarmEvent(9 * S, Event.STANDING, alarm(2, bed="2"), "")]


def counted(*records: AnyRecord) -> dict[str, dict[str, float | str]]:
    counts = AlarmCounts()
    for record in records:
        counts(record)
    return counts.report()


def test_nothing_alarmed() -> None:
    assert counted(tick(1), tick(2)) == {}


def test_counts_by_key() -> None:
    asystole = {"key": "asystole", "priority": "high", "text": "ASYSTOLE"}
    assert counted(
        alarm(10), alarm(12, priority="high"), alarm(13), alarm(20, active=False), alarm(30.25), tick(40),
        alarm(38, **asystole), alarm(39.5, **asystole, active=False),
    ) == {
        "asystole": {"count": 1, "seconds_active": 1.5, "highest_priority": "high", "first_s": 38.0},
        "map.low": {"count": 2, "seconds_active": 19.75, "highest_priority": "high", "first_s": 10.0},
    }  # fmt: skip


def test_counts_over_a_seek_and_of_several_beds() -> None:
    assert counted(
        tick(100), alarm(100), tick(120), tick(20, 1), alarm(20, epoch=1, active=False), alarm(25, epoch=1),
        tick(30, 1), alarm(7, bed="2"), tick(9, bed="2"),
    )["map.low"] == {"count": 3, "seconds_active": 27.0, "highest_priority": "medium", "first_s": 100.0}  # fmt: skip


def test_a_clock_that_runs_back_within_an_epoch_takes_no_time_away() -> None:
    assert counted(alarm(100), tick(5), alarm(5, active=False))["map.low"]["seconds_active"] == 0.0


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.booleans(), st.integers(0, 60)), max_size=60))
def test_began_and_ended_take_turns_and_seconds_add_up(steps: list[tuple[str, bool, bool, int]]) -> None:
    """Against a second-by-second account of which keys stood."""
    log, counts = AlarmLog(), AlarmCounts()
    epoch, second = 0, 0
    stood: dict[str, int] = {"a": 0, "b": 0}
    now: dict[str, AlarmRecord] = {}
    events: list[AlarmEvent] = []

    def feed(record: AnyRecord) -> None:
        events.extend(log.follow(record))
        counts(record)

    for key, active, seek, to in steps:
        if seek:
            epoch, second = epoch + 1, to
            feed(tick(second, epoch))
            for name in list(now):
                feed(alarm(second, name, epoch=epoch, active=False))
            now.clear()
        else:
            feed(alarm(second, key, epoch=epoch, active=active))
            if active:
                now.setdefault(key, alarm(second, key))
            else:
                now.pop(key, None)
            second += 1
            for name in now:
                stood[name] += 1
            feed(tick(second, epoch))
    for key in ("a", "b"):
        mine = [event.event for event in events if event.alarm.key == key]
        assert mine[::2] == [Event.BEGAN] * len(mine[::2]) and mine[1::2] == [Event.ENDED] * len(mine[1::2])
        assert (len(mine) % 2 == 1) == (key in now) == any(event.alarm.key == key for event in log.standing())
        report = counts.report().get(key, {"count": 0, "seconds_active": 0.0})
        assert (report["count"], report["seconds_active"]) == (len(mine[::2]), stood[key])


def test_another_session_of_the_bed_ends_what_stood_and_has_a_log_of_its_own() -> None:
    """Its epochs begin anew, and the same alarm of it is another one."""
    old = alarm(10, session="7-1-a", epoch=2)
    assert told(old, alarm(3, session="8-1-b"), alarm(4, session="8-1-b", active=False)) == [
        (10, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (10, Event.ENDED, "ABP LOW 60 < 65", JUMPED),
        (3, Event.BEGAN, "ABP LOW 60 < 65", ""),
        (4, Event.ENDED, "ABP LOW 60 < 65", ""),
    ]
    later = alarm(20, session="7-1-a+2", epoch=3)
    assert [e for _, e, _, _ in told(old, later, alarm(11, session="7-1-a", epoch=2, active=False))] == [
        Event.BEGAN, Event.ENDED, Event.BEGAN, Event.STANDING,
    ], "what comes late of the patient before is nothing"  # fmt: skip
