"""Numbers of a live device in the ticks of its bed: when each was measured, what is not known, whose it is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from models.signals.modalities import Modality
from streams.records import DeviceNumber, WaveTick
from streams.sources.device import DeviceValue
from streams.sources.device_replay import AGAIN_NS, MAX_EACH
from streams.sources.live_numbers import AHEAD_NS, LiveNumbers
from streams.vitals.device import DeviceNumbers
from tests.sources.live.accounts import SECOND
from tests.sources.live.simulated import Clock, SimulatedDevice
from tests.sources.live.test_live import BEFORE_S, play

CLOCK_S = 1_700_000_000.0  # the device's own, at event time zero


def spo2(value: float | None, at_s: float | None = None) -> DeviceValue:
    return DeviceValue("spo2", value, "%", None if at_s is None else CLOCK_S + at_s)


def cuff(value: float | None, at_s: float | None = None, unit: str = "mmHg") -> DeviceValue:
    return DeviceValue("nibp_sys", value, unit, None if at_s is None else CLOCK_S + at_s)


def numbers(*, clock: bool = True) -> LiveNumbers:
    made = LiveNumbers("s")
    if clock:
        made.see_clock(CLOCK_S + 100.0, 100 * SECOND)
    return made


def told(made: LiveNumbers, end_s: float = 200.0, session: str = "s", *, first: bool = False) -> list[DeviceNumber]:
    return made.told(session, round(end_s * SECOND) - 1, round(end_s * SECOND), first)


def test_a_value_counts_from_when_it_was_measured_and_a_cuff_from_when_it_was_told_with_its_age() -> None:
    made = numbers()
    made.add(spo2(97.0, 99.0), 101 * SECOND)
    made.add(cuff(16.0, 40.0, "kPa"), 101 * SECOND)
    made.add(DeviceValue("temp_c", 36.6, "degC"), 101 * SECOND)
    found = {number.name: number for number in told(made)}
    assert found["spo2"] == DeviceNumber("spo2", 99 * SECOND, 97.0, 99 * SECOND)
    assert found["nibp_sys"] == DeviceNumber("nibp_sys", 101 * SECOND, pytest.approx(120.01, abs=0.01), 40 * SECOND)
    assert found["temp_c"] == DeviceNumber("temp_c", 101 * SECOND, 36.6, None)


def test_what_is_repeated_is_not_newer_and_that_there_is_none_counts_at_once() -> None:
    made = numbers()
    for second in (100, 105, 110):
        made.add(spo2(97.0, 99.0), second * SECOND)
    assert [(n.time_ns, n.value) for n in told(made)] == [(99 * SECOND, 97.0)]
    made.add(spo2(None, 99.0), 111 * SECOND)
    assert [(n.time_ns, n.value) for n in told(made)] == [(111 * SECOND, None)]
    made.add(spo2(97.0, 99.0), 112 * SECOND)
    assert told(made) == [], "nor is it known again by being repeated"
    made.add(cuff(120.0, 40.0), 113 * SECOND)
    made.see_clock(CLOCK_S, 114 * SECOND)  # the device's clock is put back
    made.add(cuff(120.0, 40.0), 115 * SECOND)
    assert [n.since_ns for n in told(made)] == [40 * SECOND, 40 * SECOND]


@pytest.mark.parametrize("said", (spo2(127.0, 99.0), spo2(0.0), DeviceValue("spo2", 97.0, "mV"), spo2(None)))
def test_what_is_no_value_or_of_another_unit_is_not_known(said: DeviceValue) -> None:
    made = numbers()
    made.add(said, 101 * SECOND)
    assert told(made) == [DeviceNumber("spo2", 101 * SECOND, None, None)]
    made.add(DeviceValue("potassium", 4.0, "mmol/L"), 101 * SECOND)
    assert told(made) == []


@pytest.mark.parametrize("at_s", (101.0 + 2 * AHEAD_NS / SECOND, -1e8, 1e300, -1e300, float("nan")))
def test_a_time_that_cannot_be_is_no_number(at_s: float) -> None:
    made = numbers()
    made.see_clock(1e300, 101 * SECOND)
    made.add(spo2(97.0, at_s), 101 * SECOND)
    assert told(made) == [DeviceNumber("spo2", 101 * SECOND, None, None)]


def test_a_little_ahead_of_its_samples_it_was_measured_when_it_came() -> None:
    made = numbers()
    made.add(spo2(97.0, 101.5), 101 * SECOND)
    assert told(made) == [DeviceNumber("spo2", 101 * SECOND, 97.0, 101 * SECOND)]


def test_a_time_waits_for_the_clock_and_what_has_none_does_not() -> None:
    made = numbers(clock=False)
    made.add(cuff(120.0, 40.0), 99 * SECOND)
    made.add(spo2(96.0, 98.0), 99 * SECOND)
    made.add(spo2(None), 99 * SECOND)
    assert told(made) == [DeviceNumber("spo2", 99 * SECOND, None, None)]
    made.see_clock(CLOCK_S + 100.0, 100 * SECOND)
    assert told(made) == [DeviceNumber("nibp_sys", 99 * SECOND, 120.0, 40 * SECOND)]
    made.forget_clock()
    made.add(cuff(130.0, 100.0), 103 * SECOND)
    assert told(made) == []


def test_it_is_told_in_the_tick_that_it_lies_in_and_again_for_who_comes_late() -> None:
    made = numbers()
    made.add(cuff(120.0), 101 * SECOND)
    assert told(made, 101.0) == []
    (number,) = told(made, 101.1)
    assert told(made, 101.2) == []
    assert told(made, 101.3, first=True) == [number]
    again_s = AGAIN_NS / SECOND
    assert made.told("s", round(5 * AGAIN_NS) - 10, 5 * AGAIN_NS + 10, False) == [number]
    assert told(made, 101.0 + 1800.0 + again_s, first=True) == [], "not what is not current any more"


def test_a_tick_has_so_many_of_a_kind_and_no_more() -> None:
    made = numbers()
    for index in range(10 * MAX_EACH):
        made.add(spo2(float(80 + index % 20)), 101 * SECOND + index)
    assert len(told(made)) == MAX_EACH


def test_of_the_patient_before_nothing_is_told_to_the_next_one() -> None:
    made = numbers()
    made.add(cuff(120.0, 40.0), 101 * SECOND)
    made.add(spo2(91.0), 109 * SECOND)
    made.begin_session("s+2", 110 * SECOND)
    made.see_clock(CLOCK_S + 111.0, 111 * SECOND)
    made.add(cuff(120.0, 40.0), 111 * SECOND)  # the device still holds it
    made.add(spo2(98.0, 111.0), 111 * SECOND)
    assert [n.value for n in told(made, 105.0)] == [120.0]
    assert [n.value for n in told(made, 112.0, "s+2", first=True)] == [98.0]


def test_in_a_bed_they_are_in_the_ticks_and_a_withheld_sensor_takes_its_number_with_it() -> None:
    clock = Clock()
    stamp_s = clock.now / SECOND
    device = SimulatedDevice(
        clock,
        numbers=[
            (0.5, DeviceValue("spo2", 97.0, "%", stamp_s + 0.5)),
            (0.6, DeviceValue("nibp_sys", 121.0, "mmHg", stamp_s - 60.0)),
            (2.0, DeviceValue("spo2", 95.0, "%", stamp_s + 2.0)),
        ],
    )
    seen, at = DeviceNumbers(), []

    def on_tick(source: object, tick: WaveTick) -> None:
        seen.see(tick.numbers)
        withheld = {Modality(chunk.modality) for chunk in tick.chunks if chunk.withheld}
        at.append((tick.end_ns / SECOND - BEFORE_S, seen.at(tick.end_ns, withheld)))
        source.set_dropped(Modality.PPG, tick.end_ns > 3.0 * SECOND)  # type: ignore[attr-defined]

    _, ticks = play(device, 5.0, on_tick=on_tick)
    assert [(n.name, n.value) for t in ticks for n in t.numbers] == [
        ("spo2", 97.0), ("nibp_sys", 121.0), ("spo2", 95.0)
    ]  # fmt: skip
    for number in (n for t in ticks for n in t.numbers if n.name == "spo2"):
        assert number.time_ns / SECOND - BEFORE_S == pytest.approx({97.0: 0.5, 95.0: 2.0}[number.value], abs=0.1)
    values = [(when, now.get("spo2"), now.get("nibp_age_s")) for when, now in at]
    assert [v for _, v, _ in values if v][-1] == 95.0 and values[-1][1] is None
    assert values[-1][2] == pytest.approx(60.0 + values[-1][0], abs=0.2), "as old as it is"
    assert [v for (_, v, _), _ in pairwise(values)].count(97.0) == pytest.approx(30, abs=3)


def test_in_another_patients_session_the_cuff_of_the_one_before_is_not_known() -> None:
    clock = Clock()
    held = DeviceValue("nibp_sys", 121.0, "mmHg", clock.now / SECOND - 60.0)
    device = SimulatedDevice(
        clock, patients=[2.0], numbers=[(0.5, held), (1.95, DeviceValue("spo2", 91.0, "%")), (4.0, held)]
    )
    _, ticks = play(device, 6.0)
    sessions = {session: [n.name for t in ticks if t.session == session for n in t.numbers] for session in ("s", "s+2")}
    assert sessions == {"s": ["nibp_sys", "spo2"], "s+2": []}
