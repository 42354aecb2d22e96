"""The display's feed: order, bounds, and that no alarm is lost to waves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.feed import DisplayFeed
from streams.records import AlarmRecord, AnyRecord, VitalsRecord, WaveTick

HEAD = {"session": "s", "epoch": 0}


def wave(number: int) -> WaveTick:
    return WaveTick(bed="a", **HEAD, tick_seq=number, start_ns=number, end_ns=number + 1)


def vitals(number: int) -> VitalsRecord:
    return VitalsRecord(bed="a", **HEAD, time_ns=number)


def alarm(number: int, key: str = "asystole", bed: str = "a", active: bool = True) -> AlarmRecord:
    return AlarmRecord(
        bed=bed, **HEAD, time_ns=number, key=key, priority="high", kind="physiological", text=key, active=active
    )  # fmt: skip


def filled(capacity: int, records: list[AnyRecord]) -> list[AnyRecord]:
    feed = DisplayFeed(capacity)
    for record in records:
        feed.push(record)
    status = feed.status
    assert status.pushed == len(records) and status.waiting <= capacity
    assert status.dropped == max(0, len(records) - capacity)
    kept = feed.drain(10**6)
    assert len(kept) == status.waiting and feed.status.waiting == 0
    return kept


def test_a_slow_display_loses_the_oldest_waves_first() -> None:
    kept = filled(4, [alarm(0), vitals(1), wave(2), wave(3), wave(4), wave(5)])
    assert kept == [alarm(0), vitals(1), wave(4), wave(5)]


def test_then_the_oldest_of_the_rest_and_never_an_alarm_for_them() -> None:
    records = [alarm(0), *(vitals(i) for i in range(1, 6)), alarm(6, "vfib"), vitals(7), wave(8)]
    assert filled(3, records) == [alarm(0), alarm(6, "vfib"), vitals(7)]


def test_of_alarms_alone_what_a_newer_word_has_made_old_goes_first() -> None:
    records = [alarm(0, "vfib"), alarm(1), alarm(2, bed="b"), alarm(3, active=False), alarm(4)]
    assert filled(3, records) == [alarm(0, "vfib"), alarm(2, bed="b"), alarm(4)]
    assert filled(2, [alarm(0, "vfib"), alarm(1), wave(2)]) == [alarm(0, "vfib"), alarm(1)]


def test_a_limit_takes_the_oldest_and_leaves_the_rest() -> None:
    feed = DisplayFeed(10)
    for record in (wave(0), alarm(1), vitals(2), wave(3)):
        feed.push(record)
    assert feed.drain(2) == [wave(0), alarm(1)] and feed.drain() == [vitals(2), wave(3)] and feed.drain() == []


kinds = st.tuples(st.sampled_from("wva"), st.sampled_from(["asystole", "vfib", "map.low"]), st.booleans())


@given(st.lists(kinds, max_size=60), st.integers(3, 12))
def test_order_is_kept_and_the_last_word_on_every_alarm_arrives(
    what: list[tuple[str, str, bool]], capacity: int
) -> None:
    records: list[AnyRecord] = [
        wave(i) if kind == "w" else vitals(i) if kind == "v" else alarm(i, key, active=active)
        for i, (kind, key, active) in enumerate(what)
    ]
    kept = filled(capacity, records)
    positions = [records.index(record) for record in kept]
    assert positions == sorted(positions)
    last = {record.key: record for record in records if isinstance(record, AlarmRecord)}
    assert set(last.values()) <= set(record for record in kept if isinstance(record, AlarmRecord))


def test_a_feed_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        DisplayFeed(0)
