"""When bursts start and end, whatever happens to alarms: random histories, checked against the rules one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.sound.figures import default_figures, rank
from ui.sound.schedule import Running, Schedule

FIGURES = default_figures()
FRAME_S = 1 / 60
LENGTH_S = {"high": 3.24, "medium": 0.96, "low": 0.67}
HALF_S = 1.36  # of a high burst: by then its first five pulses are over
REST_S = 2.5


@cache
def prototype() -> Schedule:
    return Schedule(FIGURES)  # its samples are made once


def fresh() -> Schedule:
    made = Schedule.__new__(Schedule)
    made.__dict__.update(prototype().__dict__)
    made.restart()
    return made


@dataclass
class Heard:
    """Bursts as (level, from, to, ended by), and what was asked for at each frame."""

    bursts: list[tuple[str, float, float, str]] = field(default_factory=list)
    frames: list[tuple[float, str, bool, Running | None]] = field(default_factory=list)


def play(history: list[tuple[float, str, bool]], step_s: float = FRAME_S) -> Heard:
    """history: (for so long, level, audible)."""
    schedule, heard, now = fresh(), Heard(), 100.0
    running: Running | None = None
    for length, level, audible in history:
        for _ in range(max(1, round(length / step_s))):
            now += step_s
            start, cut = schedule.step(now, level, audible)
            if running is not None and (cut or now >= running.end_s):
                why = "end" if now >= running.end_s else ("taken over" if start else "cut")
                heard.bursts.append((running.level, running.start_s, min(now, running.end_s), why))
                running = None
            if start:
                assert running is None, "a burst that runs was cut before another one"
                running = schedule.running
                assert running is not None and (running.level, running.start_s) == (start, now)
            assert schedule.running == running
            heard.frames.append((now, level, audible, running))
    return heard


HISTORIES = st.lists(
    st.tuples(
        st.floats(0.0, 6.0),
        st.sampled_from(["", "low", "medium", "high"]),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=12,
)


@given(HISTORIES)
@settings(max_examples=80, deadline=None)
def test_nothing_is_heard_that_nobody_asked_for_and_silence_is_at_once(history: list[tuple[float, str, bool]]) -> None:
    heard = play(history)
    asked_s = -1e9
    for now, level, audible, running in heard.frames:
        if level and audible:
            asked_s = now
        if running is not None:
            assert audible
            assert now - asked_s <= LENGTH_S["high"], "a burst ends, and none follows"
            if running.start_s == now:
                assert running.level == level


@given(HISTORIES)
@settings(max_examples=80, deadline=None)
def test_a_high_alarm_is_heard_within_a_frame(history: list[tuple[float, str, bool]]) -> None:
    """But for the rest between two halves, where a high one has just been heard."""
    heard = play(history)
    ended_s = -1e9
    was = ""
    begun_s = 0.0
    for now, level, audible, running in heard.frames:
        level = level if audible else ""
        if not audible:
            ended_s = -1e9
        if level == "high" != was:
            begun_s = now
        if running is not None and running.level == "high":
            ended_s = now
        if level == "high" and now - begun_s < LENGTH_S["high"]:
            one_is_heard = running is not None and running.level == "high"
            rests = now - ended_s < 0.60 or now - begun_s > LENGTH_S["high"] / 2
            assert one_is_heard or rests, (now - begun_s, now - ended_s)
        was = level


@given(HISTORIES)
@settings(max_examples=80, deadline=None)
def test_no_burst_is_cut_but_by_a_higher_one_after_its_half_or_by_silence(
    history: list[tuple[float, str, bool]],
) -> None:
    heard = play(history)
    silences = [now for now, _, audible, _ in heard.frames if not audible]
    for number, (level, begin, end, why) in enumerate(heard.bursts):
        if why == "taken over":
            assert rank(heard.bursts[number + 1][0]) > rank(level) if number + 1 < len(heard.bursts) else True
        elif end - begin < LENGTH_S[level] - 0.05:
            cut_by_silence = any(abs(now - end) < 1e-6 for now in silences)
            assert cut_by_silence or (level == "high" and HALF_S - 0.05 <= end - begin <= HALF_S + 0.6)


@given(HISTORIES)
@settings(max_examples=80, deadline=None)
def test_bursts_that_are_no_higher_keep_the_standards_distance(history: list[tuple[float, str, bool]]) -> None:
    heard = play(history)
    silences = [now for now, _, audible, _ in heard.frames if not audible]
    for (before, _, end, _), (after, begin, _, _) in pairwise(heard.bursts):
        if any(end - 1e-6 <= now <= begin for now in silences) or rank(after) > rank(before) or after == "high":
            continue
        assert begin - end >= REST_S - 1e-6


@pytest.mark.parametrize("level", ["high", "medium", "low"])
@pytest.mark.parametrize("step_s", [FRAME_S, 0.08])
def test_an_alarm_that_stands_is_heard_again_by_its_interval(level: str, step_s: float) -> None:
    heard = play([(100.0, level, True)], step_s)
    assert heard.bursts[0][1] <= 100.0 + step_s + 1e-9
    gaps = [after[1] - before[2] for before, after in pairwise(heard.bursts)]
    assert len(gaps) >= 2
    for gap in gaps:
        assert 0 <= gap - FIGURES.burst[level].interval_s <= step_s


def test_a_higher_priority_takes_over_at_once_and_a_lower_one_waits() -> None:
    heard = play([(0.2, "low", True), (0.2, "medium", True), (0.5, "high", True), (20.0, "medium", True)])
    levels = [(level, why) for level, _, _, why in heard.bursts[:4]]
    assert levels == [("low", "taken over"), ("medium", "taken over"), ("high", "cut"), ("medium", "end")]
    low, medium, high, again = heard.bursts[:4]
    assert medium[1] - low[1] <= 0.2 + 2 * FRAME_S and high[1] - medium[1] <= 0.2 + 2 * FRAME_S
    assert HALF_S - 0.05 < high[2] - high[1] < HALF_S + 0.1, "its half, to the end"
    assert again[1] - high[2] == pytest.approx(REST_S, abs=2 * FRAME_S)


def test_a_high_alarm_of_one_frame_is_heard_for_half_a_burst() -> None:
    heard = play([(0.0, "high", True), (5.0, "", True)])
    ((level, begin, end, _),) = heard.bursts
    assert level == "high" and HALF_S - 0.05 < end - begin < HALF_S + 0.1


def test_a_high_alarm_waits_for_no_rest_after_a_lower_burst() -> None:
    heard = play([(1.0, "medium", True), (0.1, "", True), (1.0, "high", True)])
    assert heard.frames[-1][3] is not None and heard.frames[-1][3].level == "high"
    assert heard.frames[-1][3].start_s == pytest.approx(101.1, abs=2 * FRAME_S)


def test_sound_that_comes_back_begins_at_once() -> None:
    heard = play([(4.0, "high", True), (0.5, "high", False), (1.0, "high", True)])
    back_s = 100.0 + 4.5
    assert heard.frames[-1][3] is not None and heard.frames[-1][3].start_s == pytest.approx(back_s, abs=3 * FRAME_S)
