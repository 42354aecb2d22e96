"""What is live and what is not: the verdict on the whole screen, and the age of one value on two clocks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.synthetic import FakeSession
from ui.bed.liveness import IDLE_S, STALE_S, Life, Moment, Verdict, judge
from ui.waves.stamp import stamp_of


def verdict(failure: str = "", *, ended: bool = False, silent: float = 0.1, unanswered: float = 0.1,
            idle: float | None = 0.05, **changes: object) -> Verdict:  # fmt: skip
    session = FakeSession()
    session.changes = changes
    return judge(
        session.status(), failure, ended=ended, silent_s=silent, unanswered_s=unanswered, idle_s=idle, limit_s=2.0
    )


def test_a_running_replay_is_live() -> None:
    assert verdict() == Verdict(Life.LIVE)
    assert verdict(idle=None).life is Life.WAITING


@pytest.mark.parametrize(("found", "words"), [
    (verdict(silent=2.5), "NO SIGN OF LIFE"),
    (verdict(unanswered=2.5), "NO ANSWER"),
    (verdict(idle=2.6), "NO SAMPLES"),
    (verdict(broker_away_s=6.4, silent=6.0, idle=6.0), "NO ANSWER FROM THE BROKER for 6 s"),
    (verdict(broker_away_s=6.4, paused=True), "NO ANSWER FROM THE BROKER for 6 s"),
    (verdict("The session cannot be asked: boom"), "boom"),
    (verdict(error="The window stage stopped: index out of range."), "The window stage stopped"),
    (verdict(error="It stopped.", paused=True, ended=True), "It stopped."),
])  # fmt: skip
def test_whatever_is_lost_is_said_aloud(found: Verdict, words: str) -> None:
    assert found.life is Life.LOST and found.urgent and words in found.words
    stopped = found.words.startswith("SESSION STOPPED")
    stamp = stamp_of(found, 8.0)
    assert stamp is not None and stamp.words == ("STOPPED" if stopped else "NOT LIVE") and stamp.dimmed


def test_paused_and_ended_are_no_alarm_but_not_live_either() -> None:
    assert verdict(paused=True, silent=9.0, idle=9.0) == Verdict(Life.PAUSED)
    end = verdict(ended=True, silent=1.0, idle=9.0)
    assert end.life is Life.ENDED and not end.urgent
    told = judge(_status(ended=True), "", ended=False, silent_s=9, unanswered_s=9, idle_s=9.0, limit_s=2.0)
    assert told.life is Life.ENDED and "END OF RECORDING" in told.words
    paused = stamp_of(Verdict(Life.PAUSED), 8.0)
    assert paused is not None and paused.words == "PAUSED" and "00:00:08" in paused.more
    assert stamp_of(Verdict(Life.ENDED), 8.0).words == "END OF RECORDING"  # type: ignore[union-attr]
    assert stamp_of(Verdict(Life.LIVE), 8.0) is stamp_of(Verdict(Life.WAITING), None) is None


@pytest.mark.parametrize("changes", [{}, {"paused": True}, {"ended": True}])
def test_on_the_way_to_a_moment_nothing_is_live_and_a_stream_that_dies_there_is_lost(changes: dict[str, bool]) -> None:
    def judged(silent_s: float, idle_s: float) -> Verdict:
        return judge(_status(**changes), "", ended=False, silent_s=silent_s, unanswered_s=0.1, idle_s=idle_s,
                     limit_s=2.0, going=True)  # fmt: skip

    way = judged(0.1, 0.4)
    assert way == Verdict(Life.WAITING)
    stamp = stamp_of(way, None, goes_to_s=754.0)
    assert stamp is not None and "00:12:34" in stamp.words and not stamp.urgent
    assert not Moment(754.0, 0.0, way.life).fresh(754.0, 0.0), "a number of before is no number of now"
    assert judged(2.5, 0.4).life is judged(0.1, 2.6).life is Life.LOST


def _status(**changes: object):  # type: ignore[no-untyped-def]
    session = FakeSession()
    session.changes = changes
    return session.status()


def test_nothing_is_lost_later_than_three_seconds() -> None:
    assert IDLE_S <= STALE_S and STALE_S == 3.0


@given(st.floats(0.0, 1e5), st.floats(0.0, 1e3), st.floats(0.0, 1e3))
def test_at_real_time_no_value_is_fresh_beyond_three_seconds_of_either_clock(
    event_s: float, age_s: float, arrived_ago_s: float
) -> None:
    moment = Moment(event_s + 1e3, 1e6)
    fresh = moment.fresh(moment.event_s - age_s, moment.wall_s - arrived_ago_s)
    assert fresh == (moment.event_s - (moment.event_s - age_s) <= 3.0 and 1e6 - (1e6 - arrived_ago_s) <= 3.0)


def test_the_clock_on_the_wall_counts_where_event_time_stands_still() -> None:
    assert Moment(10.0, 500.0).fresh(10.0, 497.5)
    assert not Moment(10.0, 500.0).fresh(10.0, 496.5)


def test_a_pause_is_no_age() -> None:
    paused = Moment(10.0, 500.0, Life.PAUSED, running_since_s=500.0)
    assert paused.fresh(9.0, 100.0) and not paused.fresh(6.5, 499.9)
    assert Moment(10.1, 600.0, running_since_s=599.9).fresh(9.0, 100.0), "a resume does not blank the screen"
    assert not Moment(10.1, 603.0, running_since_s=599.9).fresh(9.0, 100.0)


def test_at_four_times_the_speed_three_seconds_are_still_three_of_either_clock() -> None:
    fast = Moment(100.0, 50.0, speed=4.0)
    assert fast.fresh(97.1, 49.0) and not fast.fresh(96.9, 49.9) and not fast.fresh(99.0, 46.9)


def test_in_slow_motion_a_second_of_the_patient_is_waited_for() -> None:
    slow = Moment(100.0, 50.0, speed=0.25)
    assert slow.fresh(99.0, 45.0) and not slow.fresh(99.0, 37.9) and not slow.fresh(96.9, 49.0)


@pytest.mark.parametrize("life", [Life.LOST, Life.WAITING])
def test_nothing_is_fresh_on_a_screen_that_is_not_live(life: Life) -> None:
    assert not Moment(10.0, 500.0, life).fresh(10.0, 500.0)
    assert not Moment(10.0, 500.0, life, math.inf, None).fresh(10.0, 500.0)
