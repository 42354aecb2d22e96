"""The replay clock under a mocked monotonic clock: no position ever jumps but by a seek."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from models.signals.times import SECOND_NS
from streams.clock import ReplayClock, Span


class Mono:
    """A monotonic clock turned by hand."""

    def __init__(self, now: int = 12_345) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def clock_at(speed: float | None = 1.0, start_s: int = 0, end_s: int = 100) -> tuple[ReplayClock, Mono]:
    mono = Mono()
    clock = ReplayClock(Span(start_s * SECOND_NS, end_s * SECOND_NS), speed, monotonic_ns=mono)
    return clock, mono


def test_stands_until_started() -> None:
    clock, mono = clock_at(start_s=7)
    mono.now += 50 * SECOND_NS
    assert clock.position_ns() == 7 * SECOND_NS
    assert clock.due_ns(7 * SECOND_NS) is None
    clock.start()
    mono.now += SECOND_NS
    assert clock.position_ns() == 8 * SECOND_NS


@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0, 50.0])
def test_due_time_and_position_agree(speed: float) -> None:
    clock, mono = clock_at(speed)
    clock.start()
    due = clock.due_ns(10 * SECOND_NS)
    assert due == 12_345 + round(10 * SECOND_NS / speed)
    mono.now = due
    assert clock.position_ns() == 10 * SECOND_NS


def test_pause_holds_and_resume_goes_on_from_there() -> None:
    clock, mono = clock_at(2.0)
    clock.start()
    mono.now += 3 * SECOND_NS
    clock.pause()
    mono.now += 1000 * SECOND_NS
    assert clock.position_ns() == 6 * SECOND_NS
    assert clock.due_ns(7 * SECOND_NS) is None
    assert clock.due_ns(6 * SECOND_NS) is not None  # already due before the pause: still sent
    clock.resume()
    assert clock.due_ns(8 * SECOND_NS) == mono.now + SECOND_NS


def test_seek_begins_an_epoch_and_stays_in_the_span() -> None:
    clock, mono = clock_at()
    clock.start()
    mono.now += SECOND_NS
    clock.seek(50 * SECOND_NS)
    assert (clock.epoch, clock.position_ns()) == (1, 50 * SECOND_NS)
    clock.seek(-5)
    assert (clock.epoch, clock.position_ns()) == (2, 0)
    clock.seek(10**18)
    assert clock.position_ns() == 100 * SECOND_NS


def test_position_stops_at_the_end() -> None:
    clock, mono = clock_at()
    clock.start()
    mono.now += 10**6 * SECOND_NS
    assert clock.position_ns() == 100 * SECOND_NS


def test_step_while_paused_plays_on_without_an_epoch() -> None:
    clock, mono = clock_at()
    clock.start()
    mono.now += 5 * SECOND_NS
    clock.pause()
    clock.step(SECOND_NS)
    assert (clock.epoch, clock.position_ns()) == (0, 6 * SECOND_NS)
    assert clock.due_ns(6 * SECOND_NS) == mono.now
    assert clock.due_ns(6 * SECOND_NS + 1) is None
    clock.step(-2 * SECOND_NS)
    assert (clock.epoch, clock.position_ns(), clock.paused) == (1, 4 * SECOND_NS, True)


def test_step_while_running_is_a_relative_seek() -> None:
    clock, mono = clock_at()
    clock.start()
    mono.now += 5 * SECOND_NS
    clock.step(10 * SECOND_NS)
    assert (clock.epoch, clock.position_ns()) == (1, 15 * SECOND_NS)


def test_at_max_all_is_due_and_the_position_is_what_was_sent() -> None:
    clock, mono = clock_at(None)
    clock.start()
    assert clock.due_ns(99 * SECOND_NS) == 0
    mono.now += 50 * SECOND_NS
    assert clock.position_ns() == 0
    clock.reached(30 * SECOND_NS)
    clock.reached(20 * SECOND_NS)
    assert clock.position_ns() == 30 * SECOND_NS
    clock.set_speed(1.0)
    mono.now += SECOND_NS
    assert clock.position_ns() == 31 * SECOND_NS


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.2, 51.0, float("inf"), float("nan")])
def test_a_speed_out_of_range_is_one_sentence(speed: float) -> None:
    with pytest.raises(BadInput, match=r"0\.25 to 50"):
        clock_at(speed)


ACTIONS = st.lists(st.tuples(st.sampled_from(["wait", "pause", "resume", "speed"]), st.floats(0.25, 50.0)), max_size=30)


@given(ACTIONS)
def test_only_time_moves_the_position(actions: list[tuple[str, float]]) -> None:
    """Whatever is paused, resumed or re-paced: the position is the integral of the speed (to rounding)."""
    clock, mono = clock_at(1.0, end_s=10**6)
    clock.start()
    expected, speed, paused = 0.0, 1.0, False
    for action, value in actions:
        before = clock.position_ns()
        if action == "wait":
            mono.now += int(value * SECOND_NS)
            expected += 0.0 if paused else int(value * SECOND_NS) * speed
        elif action == "speed":
            clock.set_speed(value)
            speed = value
        else:
            getattr(clock, action)()
            paused = action == "pause"
        if action != "wait":
            assert clock.position_ns() == before
        assert clock.position_ns() == pytest.approx(expected, abs=len(actions) + 1e-6 * expected)
        assert clock.position_ns() >= before


def test_it_falls_back_to_what_could_be_sent_and_goes_on_from_there() -> None:
    clock, mono = clock_at(10.0)
    clock.start()
    mono.now += 2 * SECOND_NS  # 20 s of event time are due, 12 are sent
    assert clock.fall_back(12 * SECOND_NS) == round(0.8 * SECOND_NS)
    assert clock.position_ns() == 12 * SECOND_NS and clock.due_ns(12 * SECOND_NS) == mono.now
    mono.now += SECOND_NS
    assert clock.position_ns() == 22 * SECOND_NS and clock.epoch == 0


def test_it_does_not_fall_back_without_need() -> None:
    clock, mono = clock_at(2.0)
    assert clock.fall_back(SECOND_NS) == 0  # not started
    clock.start()
    mono.now += SECOND_NS
    assert clock.fall_back(3 * SECOND_NS) == 0 and clock.position_ns() == 2 * SECOND_NS  # not due yet
    clock.pause()
    mono.now += SECOND_NS
    assert clock.fall_back(SECOND_NS) == 0 and clock.position_ns() == 2 * SECOND_NS
    fast, mono = clock_at(None)
    fast.start()
    mono.now += SECOND_NS
    assert fast.fall_back(0) == 0


# -- a seek by a pre-roll --------------------------------------------------------------------------------------------


@given(st.sampled_from([0.25, 1.0, 50.0, None]), st.booleans(), st.integers(0, 100), st.integers(0, 30))
def test_it_stands_at_the_moment_sought_until_all_before_it_is_sent(
    speed: float | None, paused: bool, to_s: int, took_s: int
) -> None:
    clock, mono = clock_at(speed)
    clock.start()
    mono.now += SECOND_NS
    if paused:
        clock.pause()
    clock.seek(to_s * SECOND_NS, 60 * SECOND_NS)
    assert (clock.goes_to_ns, clock.epoch_start_ns) == (to_s * SECOND_NS, max(to_s - 60, 0) * SECOND_NS)
    assert clock.going == (to_s > 0)
    if clock.going:
        assert not clock.running and clock.due_ns(clock.epoch_start_ns) == clock.due_ns(clock.goes_to_ns) == 0
        assert clock.due_ns(clock.goes_to_ns + 1) is None
        for change in (lambda: None, clock.pause, clock.resume, lambda: clock.set_speed(speed)):
            mono.now += took_s * SECOND_NS
            change()
            clock.reached(clock.goes_to_ns - 1)
            assert clock.position_ns() == clock.goes_to_ns and clock.going
        (clock.pause if paused else clock.resume)()
        clock.reached(clock.goes_to_ns)
    assert not clock.going and clock.position_ns() == to_s * SECOND_NS and clock.paused == paused
    mono.now += SECOND_NS
    went_s = 0.0 if paused or speed is None else speed
    assert clock.position_ns() == min(round((to_s + went_s) * SECOND_NS), 100 * SECOND_NS)


def test_a_seek_without_a_preroll_and_a_step_while_paused_are_as_ever() -> None:
    clock, _ = clock_at()
    clock.start()
    clock.seek(70 * SECOND_NS)
    assert not clock.going and clock.epoch_start_ns == clock.goes_to_ns == 70 * SECOND_NS
    clock.pause()
    clock.step(SECOND_NS, 60 * SECOND_NS)
    assert not clock.going and clock.epoch == 1 and clock.position_ns() == 71 * SECOND_NS
    clock.step(-SECOND_NS, 60 * SECOND_NS)
    assert clock.going and clock.epoch == 2 and clock.epoch_start_ns == 10 * SECOND_NS
