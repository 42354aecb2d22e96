"""Limits that a user sets: what is refused, from when they hold, who else is told, and who goes on with them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.alarm_stage import AlarmStage
from streams.alarms import AlarmEngine, limits_from
from streams.alarms.limits import HOLD_S
from streams.codec import decode, encode
from streams.commands import CommandMaker, Order
from streams.feed import DisplayFeed
from streams.fields import PRIORITIES
from streams.limit_settings import (
    DEFAULT_SETTINGS,
    LIMITED,
    LONGEST_DELAY_S,
    LimitSetting,
    checked,
    default_setting,
    moved,
    setting_of,
)
from streams.pasts import AlarmsPast
from streams.records import (
    AlarmRecord,
    AnyRecord,
    CommandRecord,
    LimitsRecord,
    MemoryRecord,
    StateRecord,
    VitalsRecord,
)
from streams.remote import RemoteSession

S = 1_000_000_000
HEAD: dict[str, Any] = {"bed": "1", "session": "s", "epoch": 0}


def state(second: int, epoch: int = 0, **states: str) -> StateRecord:
    return StateRecord(**{**HEAD, "epoch": epoch}, time_ns=second * S, state=states or {"ECG": "", "ABP": ""})


def vitals(second: float, **values: Any) -> VitalsRecord:
    return VitalsRecord(**HEAD, time_ns=round(second * S), **values)


def changed(which: str, **values: Any) -> tuple[LimitSetting, ...]:
    return tuple(replace(s, **values) if s.vital == which else s for s in DEFAULT_SETTINGS)


def command(limits: tuple[LimitSetting, ...], bed: str = "1") -> CommandRecord:
    return CommandMaker("desk", "anna")(bed, "s", 0, Order("limits", limits=tuple(limits)))


class Desk:
    """What an alarm stage sends."""

    def __init__(self, **options: Any) -> None:
        self.sent: list[AnyRecord] = []
        self.stage = AlarmStage(self.send, **options)

    async def send(self, topic: str, record: AnyRecord) -> None:
        self.sent.append(decode(encode(record)))

    def take(self, *records: AnyRecord, warming: bool = False) -> None:
        async def run() -> None:
            for record in records:
                topic = "commands" if isinstance(record, CommandRecord) else "vitals"
                await self.stage.handle(topic, record, warming)

        asyncio.run(run())

    @property
    def alarms(self) -> list[tuple[str, str, bool]]:
        return [(a.text, a.priority, a.active) for a in self.sent if isinstance(a, AlarmRecord)]

    @property
    def limits(self) -> list[LimitsRecord]:
        return [r for r in self.sent if isinstance(r, LimitsRecord)]


# What may be set ------------------------------------------------------------------------------------------------------


def test_what_is_set_by_default_makes_sense_and_each_numeric_is_there_once() -> None:
    assert checked(()) == checked(DEFAULT_SETTINGS) == DEFAULT_SETTINGS
    assert [s.vital for s in DEFAULT_SETTINGS] == list(LIMITED)
    assert set(LIMITED) <= set(VitalsRecord.__struct_fields__)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"low": 120.0, "high": 120.0}, "a low limit of Heart rate below the high one, found 120 and 120"),
        ({"low": 130.0, "extreme_low": None}, "a low limit of Heart rate below the high one"),
        ({"low": 5.0, "extreme_low": None}, "a low limit of Heart rate of 20 to 300 /min, found 5"),
        ({"high": 400.0, "extreme_high": None}, "a high limit of Heart rate of 20 to 300 /min, found 400"),
        ({"high": math.nan}, "a high limit of Heart rate of 20 to 300"),
        ({"extreme_low": 60.0}, "a very low limit of Heart rate below the low one"),
        ({"extreme_high": 110.0}, "a high limit of Heart rate below the very high one"),
        ({"low": None}, "a low limit of Heart rate beside the very low one"),
        ({"delay_s": 60.0}, "a delay of Heart rate of 0 to 15 s"),
        ({"delay_s": math.nan}, "a delay of Heart rate"),
        ({"priority": "loud"}, "a priority of Heart rate"),
        ({"vital": "charm"}, "limits of hr, "),
        ({"vital": "abp_map"}, "limits of abp_map once"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        checked(changed("hr", **values))
    assert words in str(refused.value) and "\n" not in str(refused.value)


@given(
    st.sampled_from(sorted(v for v, row in LIMITED.items() if not row.time)),
    st.floats(1, 300) | st.none(),
    st.floats(1, 300) | st.none(),
)
def test_extremes_go_with_their_limits(vital: str, low: float | None, high: float | None) -> None:
    """Whatever limits make sense make sense with the extremes that go with them, and are there again if taken back."""
    plain = default_setting(vital)
    made = moved(plain, low, high)
    assert (made.low, made.high) == (low, high)
    least, most = LIMITED[vital].plausible
    if all(value is None or least <= value <= most for value in (low, high)) and (low or 0) < (high or math.inf):
        (found,) = [s for s in checked([made]) if s.vital == vital]
        assert found == made
        for side in ("low", "high"):
            assert (getattr(made, f"extreme_{side}") is None) == (getattr(made, side) is None)
    assert moved(plain, plain.low, plain.high) == plain


# The engine -----------------------------------------------------------------------------------------------------------


@given(
    vital=st.sampled_from(sorted(LIMITED)),
    values=st.lists(st.floats(1, 300), min_size=1, max_size=40),
    low=st.floats(20, 100),
    width=st.floats(1, 100),
    delay_s=st.integers(0, int(LONGEST_DELAY_S)),
    priority=st.sampled_from(PRIORITIES),
    on=st.booleans(),
)
def test_an_alarm_stands_exactly_while_its_limit_has_been_crossed_for_its_delay(
    vital: str, values: list[float], low: float, width: float, delay_s: int, priority: str, on: bool
) -> None:
    """Against a rule that looks at all the seconds anew each time."""
    setting = moved(replace(default_setting(vital), on=on, delay_s=float(delay_s), priority=priority), low, low + width)
    setting = replace(setting, extreme_low=None, extreme_high=None)
    engine = AlarmEngine(limits_from([setting]))
    standing: dict[str, AlarmRecord] = {}
    for second, value in enumerate(values):
        for record in engine.on_vitals(vitals(second, **{vital: value}, resp_source="RESP")):
            standing.pop(record.key, None)
            if record.active:
                standing[record.key] = record
        for side, crosses in (("low", lambda v: v < setting.low), ("high", lambda v: v > setting.high)):
            run = 0
            while run <= second and crosses(values[second - run]):
                run += 1
            alarm = standing.get(f"{LIMITED[vital].key}.{side}")
            assert (alarm is not None) == (on and run > delay_s)
            if alarm is not None:
                assert alarm.priority == priority and alarm.since_ns == (second - run + 1 + delay_s) * S


def test_the_text_is_worst_value_and_limit() -> None:
    engine = AlarmEngine()
    said = [r for second in range(8) for r in engine.on_vitals(vitals(second, abp_map=52.0 if second != 6 else 60.0))]
    assert said[0].text == "ABP LOW 52 < 65" and said[-1].text == "ABP LOW 52 < 65", "the worst, then the limit"


def test_a_limit_between_two_whole_numbers_is_said_as_it_is() -> None:
    engine = AlarmEngine(limits_from(changed("abp_map", low=64.5, delay_s=0.0)))
    assert [r.text for r in engine.on_vitals(vitals(0, abp_map=64.4))] == ["ABP LOW 64.4 < 64.5"]


def test_a_limit_that_is_put_off_ends_its_alarm_also_while_nothing_is_measured() -> None:
    """One that is no longer crossed may still be: that is seen with the next value."""
    for limits, ended_s in ((changed("hr", on=False), 6), (changed("hr", high=140.0), 8)):
        engine = AlarmEngine()
        said = [r for second in range(5) for r in engine.on_vitals(vitals(second, hr=130.0))]
        said += engine.on_vitals(vitals(5))
        engine.set_limits(limits_from(limits))
        said += [r for second in (6, 7) for r in engine.on_vitals(vitals(second))]
        said += engine.on_vitals(vitals(8, hr=130.0))
        assert [(r.time_ns // S, r.active, r.now) for r in said] == [
            (3, True, "130"),
            (5, True, "-?-"),
            (ended_s, False, ""),
        ]


def test_beyond_the_extreme_it_is_high_whatever_the_priority() -> None:
    engine = AlarmEngine(limits_from(changed("hr", priority="low")))
    said = [r for second in range(9) for r in engine.on_vitals(vitals(second, hr=45.0 if second < 6 else 30.0))]
    assert [(r.priority, r.time_ns // S) for r in said] == [("low", 3), ("high", 6)]
    assert {r.since_ns for r in said} == {3 * S}, "one alarm, which has got worse"


@pytest.mark.parametrize(("vital", "within_s"), [("hr", 10.0), ("abp_map", 20.0)])
def test_no_delay_that_may_be_set_is_longer_than_the_conventions_allow(vital: str, within_s: float) -> None:
    """Of which the numeric itself takes some seconds: a heart rate up to five, see tests/streams/test_alarm_onsets."""
    assert LONGEST_DELAY_S <= 15.0 and default_setting(vital).delay_s + 5.0 <= within_s


def test_a_sensor_that_is_off_disables_its_physiological_alarms_and_says_so_instead() -> None:
    engine = AlarmEngine()
    said: list[AlarmRecord] = []
    for second in range(40):
        off = second >= 20
        said += engine.on_state(state(second, ECG="lead off" if off else ""))
        said += engine.on_vitals(vitals(second, hr=None if off else 160.0))
    told = [(r.key, r.active, r.time_ns // S) for r in said if r.now != "-?-"]
    assert told == [
        ("hr.high", True, 1), ("technical.ECG", True, 20), ("hr.high", False, 20 + int(HOLD_S)),
    ]  # fmt: skip


def test_a_condition_that_ends_within_its_delay_is_no_alarm() -> None:
    engine = AlarmEngine()
    assert not [r for s in range(30) for r in engine.on_vitals(vitals(s, abp_map=60.0 if s % 5 else 80.0))]


# The stage ------------------------------------------------------------------------------------------------------------


def test_limits_hold_from_the_moment_they_are_set_and_the_stage_says_which_do() -> None:
    desk = Desk()
    desk.take(state(0), *(vitals(s, hr=100.0) for s in range(5)))
    assert [(r.set_by, tuple(r.limits)) for r in desk.limits] == [("", DEFAULT_SETTINGS)] and not desk.alarms
    tight = checked(changed("hr", high=90.0, priority="high"))
    desk.take(command(tight))
    assert (desk.limits[-1].set_by, tuple(desk.limits[-1].limits)) == ("anna", tight)
    desk.take(*(vitals(s, hr=100.0) for s in range(5, 10)))
    assert desk.alarms == [("HR HIGH 100 > 90", "high", True)]
    desk.take(command(changed("hr", on=False)), vitals(10, hr=100.0))
    assert desk.alarms[-1] == ("HR HIGH 100 > 90", "high", False), "off: what stands ends"
    desk.take(*(vitals(s, hr=250.0) for s in range(11, 30)))
    assert len(desk.alarms) == 2
    assert desk.limits[-1].time_ns == 0, "of the time that the stage is at"


def test_every_epoch_is_told_and_of_one_bed_nothing_goes_to_another() -> None:
    desk = Desk()
    tight = checked(changed("hr", high=90.0))
    desk.take(state(0), command(tight), state(1), state(0, epoch=1), state(1, epoch=1))
    assert [(r.epoch, r.set_by) for r in desk.limits] == [(0, ""), (0, "anna"), (1, "anna")]
    desk.take(replace(state(0), bed="2"))
    assert desk.limits[-1].bed == "2" and tuple(desk.limits[-1].limits) == DEFAULT_SETTINGS


def test_displays_that_come_later_are_told_with_what_stands() -> None:
    desk = Desk(renew_s=5.0)
    desk.take(*(state(second) for second in range(12)))
    assert [r.time_ns // S for r in desk.limits] == [0, 0, 5, 10]


def test_what_makes_no_sense_is_refused_and_changes_nothing() -> None:
    desk = Desk()
    desk.take(state(0))
    with pytest.raises(BadInput, match="a low limit"):
        desk.take(command(changed("hr", low=200.0)))
    assert desk.stage.limits("1").settings == DEFAULT_SETTINGS and len(desk.limits) == 1


def test_who_takes_the_bed_over_goes_on_with_its_limits() -> None:
    first, heir = Desk(memory_s=10.0), Desk(renew_s=5.0)
    tight = checked(changed("hr", high=90.0))
    first.take(state(0), command(tight), state(1))
    memories = [r for r in first.sent if isinstance(r, MemoryRecord)]
    assert memories[-1].time_ns == 1 * S, "told at once, not ten seconds later"
    heir.take(memories[-1], state(1), vitals(1, hr=100.0), warming=True)
    heir.take(state(2), *(vitals(s, hr=100.0) for s in range(2, 8)))
    assert heir.stage.limits("1").set_by == "anna" and tuple(heir.limits[0].limits) == tight
    assert ("HR HIGH 100 > 90", "medium", True) in heir.alarms
    stranger = Desk()
    stranger.take(memories[0], state(1), warming=True)
    assert stranger.stage.limits("1").settings == DEFAULT_SETTINGS, "before they were set"


def remembered(high: float, by: str = "anna") -> MemoryRecord:
    past = AlarmsPast(limits=list(checked(changed("hr", high=high))), limits_by=by)
    return MemoryRecord(**HEAD, time_ns=0, tick_seq=0, alarms=past)


def high_of(desk: Desk) -> float | None:
    setting = setting_of(desk.stage.limits("1").settings, "hr")
    return setting.high if setting is not None else None


def test_of_several_memories_the_newest_counts_and_an_order_that_came_meanwhile_before_all() -> None:
    heir = Desk()
    heir.take(remembered(90.0), state(0), remembered(80.0), state(1), warming=True)
    assert high_of(heir) == 80.0
    heir.take(command(checked(changed("hr", high=70.0))))
    heir.take(remembered(85.0), state(2), warming=True)
    assert high_of(heir) == 70.0, "all that is read again is older"
    heir.take(state(3))
    assert heir.limits[-1].set_by == "anna" and high_of(heir) == 70.0


@pytest.mark.parametrize("forgotten", [False, True])
def test_who_gets_a_bed_back_goes_on_with_what_was_set_elsewhere_meanwhile(forgotten: bool) -> None:
    desk = Desk()
    desk.take(state(0), command(checked(changed("hr", high=90.0))))
    if forgotten:
        desk.stage.forget(["1"])
    else:
        desk.take(state(1))
    desk.take(remembered(80.0, "eva"), state(9), warming=True)
    assert high_of(desk) == 80.0 and desk.stage.limits("1").set_by == "eva"


def test_a_display_elsewhere_sends_them_and_refuses_what_makes_no_sense() -> None:
    from tests.streams.test_remote import Desk as Display

    display = Display()
    display.bed("1")
    display.session.set_limits(changed("hr", high=90.0))
    (sent,) = display.sent
    assert (sent.name, sent.bed, sent.operator) == ("limits", "1", "anna")
    high = setting_of(sent.limits, "hr")
    assert high is not None and high.high == 90.0
    with pytest.raises(BadInput):
        display.session.set_limits(changed("hr", high=30.0))
    assert len(display.sent) == 1 and isinstance(display.session, RemoteSession)
    display.session.acknowledge({f"k{n}": float(n) for n in range(20)})
    told = {k: v for c in display.sent[1:] for k, v in c.args.items()}
    assert len(display.sent) == 3 and told == {f"k{n}": float(n) for n in range(20)}, "no message of too many arguments"


def test_a_full_feed_keeps_the_newest_limits_as_it_keeps_alarms() -> None:
    feed = DisplayFeed(3)
    for second in range(6):
        feed.push(LimitsRecord(**HEAD, time_ns=second * S, limits=[]))
        feed.push(state(second))
    kept = [r.time_ns // S for r in feed.drain() if isinstance(r, LimitsRecord)]
    assert kept[-1] == 5


def test_only_a_breathing_signal_is_trusted_with_an_alarm() -> None:
    engine = AlarmEngine()
    assert not [r for s in range(30) for r in engine.on_vitals(vitals(s, resp_rate=3.0, resp_source="ECG+PPG"))]
    assert [r for s in range(30, 60) for r in engine.on_vitals(vitals(s, resp_rate=3.0, resp_source=Modality.RESP))]


def test_a_memory_with_limits_that_make_no_sense_is_refused_before_anything_is_taken_of_it() -> None:
    heir = Desk()
    wild = AlarmsPast(limits=list(changed("hr", low=500.0)), limits_by="anna")
    memory = MemoryRecord(**HEAD, time_ns=0, tick_seq=0, alarms=wild)
    with pytest.raises(BadInput, match="Heart rate"):
        heir.take(memory, warming=True)
    assert heir.stage.limits("1").settings == DEFAULT_SETTINGS
