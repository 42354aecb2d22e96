"""Credits: exact under duplicates, and nobody hangs."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.transport import Credits

STAGES = ("windower", "recorder")


@given(
    limit=st.integers(1, 5),
    operations=st.lists(
        st.tuples(st.sampled_from(["acquire", "windower", "recorder", "forget"]), st.integers(0, 9)), max_size=80
    ),
)
def test_never_more_than_the_limit_under_way_and_duplicates_free_nothing(limit, operations):
    credits = Credits(limit, STAGES)
    model: dict[int, set[str]] = {}
    for what, tick in operations:
        if what == "acquire":
            may = tick in model or len(model) < limit
            assert credits.acquire(tick, timeout=0) is may
            if may:
                model.setdefault(tick, set(STAGES))
        elif what == "forget":
            credits.forget(tick)
            model.pop(tick, None)
        else:
            credits.release(what, tick)
            model.get(tick, set()).discard(what)
            model = {key: left for key, left in model.items() if left}
        assert credits.under_way == len(model) <= limit


BEDS = ("bed1", "bed2")


@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(["acquire", "acquire", "windower", "recorder", "forget"]),
            st.sampled_from(BEDS),
            st.integers(0, 4),
            st.integers(0, 9 * 10**9),
        ),
        max_size=60,
    )
)
def test_a_wait_begins_when_a_tick_is_there_to_be_handled_and_again_with_each_one_that_is(operations):
    """Against the definition: the later of when the oldest tick came and when the stage last was done with one."""
    now = [0]
    credits = Credits(100, STAGES, lane=lambda tick: tick[0], monotonic_ns=lambda: now[0])
    came: dict[tuple[str, tuple[str, int]], int] = {}
    done: dict[tuple[str, str], int] = {}
    for what, bed, number, passes in operations:
        now[0] += passes
        tick = (bed, number)
        if what == "acquire":
            assert credits.acquire(tick, timeout=0)
            if not any(t == tick for _, t in came):
                came |= dict.fromkeys([(stage, tick) for stage in STAGES], now[0])
        else:
            stages = STAGES if what == "forget" else (what,)
            (credits.forget(tick) if what == "forget" else credits.release(what, tick))
            for stage in stages:
                if came.pop((stage, tick), None) is not None:
                    done[stage, bed] = now[0]
        expected = {
            (stage, bed): max(
                min(at for (s, t), at in came.items() if (s, t[0]) == (stage, bed)), done.get((stage, bed), 0)
            )
            for stage, (bed, _) in came
        }
        wait = credits.longest_wait()
        if not expected:
            assert wait is None
        else:
            assert wait is not None and expected[wait.stage, wait.lane] == wait.since_ns == min(expected.values())


def test_the_last_time_that_every_stage_handled_a_tick():
    now = [5]
    credits = Credits(9, STAGES, monotonic_ns=lambda: now[0])
    assert credits.handled_ns() == 0
    for tick, at in ((1, 10), (2, 20)):
        now[0] = at
        credits.acquire(tick)
        credits.release("windower", tick)
    assert credits.handled_ns() == 0
    credits.release("recorder", 1)
    now[0] = 30
    credits.release("recorder", 1)  # a duplicate is no progress
    assert credits.handled_ns() == 20
    credits.release("recorder", 2)
    assert credits.handled_ns() == 20


def blocked(call) -> tuple[threading.Thread, list]:
    result: list = []
    thread = threading.Thread(target=lambda: result.append(call()))
    thread.start()
    return thread, result


def test_a_source_waits_until_every_stage_has_handled_a_tick():
    credits = Credits(1, STAGES)
    assert credits.acquire("a")
    thread, result = blocked(lambda: credits.acquire("b"))
    credits.release("windower", "a")
    credits.release("windower", "a")
    thread.join(0.05)
    assert thread.is_alive() and not result
    credits.release("recorder", "a")
    thread.join(10)
    assert result == [True]


def test_closing_frees_whoever_waits_and_all_who_come_later():
    credits = Credits(1, STAGES)
    assert credits.acquire("a")
    thread, result = blocked(lambda: credits.acquire("b"))
    credits.close()
    thread.join(10)
    assert result == [False]
    assert credits.closed
    assert not credits.acquire("c")


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least 1 tick"):
        Credits(0, STAGES)
    with pytest.raises(ValueError, match="at least one stage"):
        Credits(1, [])
    with pytest.raises(KeyError, match="display"):
        Credits(1, STAGES).release("display", "a")
