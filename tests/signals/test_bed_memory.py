"""What a pipeline knew, handed to one that has seen only the newest samples: it goes on as if always there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.bed_memory import SETTLED_S, PipelineState
from models.signals.context import ContextMemory
from models.signals.modalities import Modality
from models.signals.pipeline import RESTORED_FROM_S, BedPipeline, Chunk
from models.signals.windows import CONTEXT_FIELDS
from tests.signals.bed import RATES, SPEC, Collected, assert_same, bed_waves, chunks_between
from tests.signals.test_context import ROWS, Bed

M = Modality
SECONDS = 180
AGE = CONTEXT_FIELDS.index("age_s")
_waves = bed_waves(SECONDS, seed=5)


def push(pipeline: BedPipeline, waves: dict[Modality, np.ndarray], first_s: int, last_s: int, found: Collected):
    """Ticks of a second."""
    for k in range(first_s, last_s):
        found.add(pipeline.push(chunks_between(waves, k, k + 1), k * 10**9, (k + 1) * 10**9), k)


def with_gaps(gaps: list[tuple[Modality, int, int]], base: dict[Modality, np.ndarray] = _waves):
    waves = {m: w.copy() for m, w in base.items()}
    for modality, start, length in gaps:
        rate = RATES[modality]
        waves[modality][int(start * rate) : int((start + length) * rate)] = np.nan
    return waves


def taken_over(waves: dict[Modality, np.ndarray], at_s: int, *, handed: bool = True, warm_s: int = RESTORED_FROM_S):
    """Windows after ``at_s``: of a pipeline that was always there, and of one that began ``warm_s`` before it."""
    straight, heir = BedPipeline(SPEC, list(waves)), BedPipeline(SPEC, list(waves))
    expected, found = Collected.empty(), Collected.empty()
    push(straight, waves, 0, at_s - 1, Collected.empty())
    push(heir, waves, at_s - warm_s, at_s - 1, Collected.empty())
    push(straight, waves, at_s - 1, at_s, Collected.empty())
    state = straight.export()
    assert state is not None and state.second <= at_s - SETTLED_S
    if handed:
        heir.restore(state)
    push(heir, waves, at_s - 1, at_s, Collected.empty())
    push(straight, waves, at_s, SECONDS, expected)
    push(heir, waves, at_s, SECONDS, found)
    return expected, found


gaps = st.lists(st.tuples(st.sampled_from(list(RATES)), st.integers(0, SECONDS - 1), st.integers(1, 120)), max_size=6)


@given(gaps, st.integers(RESTORED_FROM_S, SECONDS - 10))
@settings(max_examples=5, deadline=None)
def test_who_takes_over_goes_on_as_the_one_before(gaps: list[tuple[Modality, int, int]], at_s: int) -> None:
    expected, found = taken_over(with_gaps(gaps), at_s)
    assert found.cells == expected.cells
    assert [w.end_s for w in found.windows] == [w.end_s for w in expected.windows]
    for a, b in zip(found.windows, expected.windows, strict=True):
        assert_same(a, b)


def test_a_pressure_that_was_lost_keeps_its_age_and_level_and_without_the_memory_does_not() -> None:
    waves = with_gaps([(M.ABP, 60, SECONDS)])
    expected, found = taken_over(waves, 140)
    row = SPEC.modalities.index(M.ABP)
    assert found.windows[0].context[row, AGE] == found.windows[0].end_s - 60
    assert_same(found.windows[-1], expected.windows[-1])
    _, cold = taken_over(waves, 140, handed=False)
    assert np.isnan(cold.windows[-1].context[row]).all()


def test_an_electrode_that_is_off_is_not_believed_by_who_takes_over() -> None:
    """An amplifier coupled to direct current: beats at 200 mV, then the electrode comes off and drifts. Who sees only
    that takes it for the channel's own level."""
    waves = {m: w.copy() for m, w in _waves.items()}
    off = int(60 * RATES[M.ECG])
    waves[M.ECG] += np.float32(200.0)
    waves[M.ECG][off:] = 220.0 + np.random.default_rng(1).normal(0, 0.2, len(waves[M.ECG]) - off)
    expected, found = taken_over(waves, 150)
    assert expected.cells[-1].absence[M.ECG] is not None
    assert found.cells == expected.cells
    _, cold = taken_over(waves, 150, handed=False)
    assert cold.cells != expected.cells


def test_a_lead_that_serves_goes_on_serving() -> None:
    """The preferred lead was off for a minute, came back and has not yet been good for long."""
    rate = RATES[M.ECG]
    lead = _waves[M.ECG]
    first = lead.copy()
    first[int(20 * rate) : int(100 * rate)] = np.nan

    def pushed(pipeline: BedPipeline, first_s: int, last_s: int) -> list[int]:
        serving = []
        for s in range(first_s, last_s):
            lo, hi = int(s * rate), int((s + 1) * rate)
            chunks = [Chunk(M.ECG, rate, 0, lo, w[lo:hi], lead=k) for k, w in enumerate((first, lead))]
            output = pipeline.push(chunks, s * 10**9, (s + 1) * 10**9)
            serving += [cell.leads[M.ECG].lead for cell in output.cells]
        return serving

    straight, heir, cold = (BedPipeline(SPEC, [M.ECG]) for _ in range(3))
    pushed(straight, 0, 130)
    pushed(heir, 105, 129)
    pushed(cold, 105, 130)
    state = straight.export()
    assert state is not None
    heir.restore(state)
    pushed(heir, 129, 130)
    expected = pushed(straight, 130, SECONDS)
    assert expected[0] == 1 and expected[-1] == 0
    assert pushed(heir, 130, SECONDS) == expected
    assert pushed(cold, 130, SECONDS) != expected


def test_a_rail_that_was_reached_long_ago_is_known() -> None:
    """A value held at the highest level that a channel ever reached is overload; elsewhere it is flat. Who has not seen
    that it once went higher would say overload."""
    waves = {m: w.copy() for m, w in _waves.items()}
    rate = RATES[M.PPG]
    waves[M.PPG][int(10 * rate) : int(20 * rate)] = 9.0
    waves[M.PPG][int(100 * rate) :] = 5.0
    states = []
    for handed in (True, False):
        straight, heir = BedPipeline(SPEC, list(waves)), BedPipeline(SPEC, list(waves))
        push(straight, waves, 0, 120, Collected.empty())
        push(heir, waves, 80, 119, Collected.empty())
        state = straight.export()
        assert state is not None
        if handed:
            heir.restore(state)
        push(heir, waves, 119, 120, Collected.empty())
        outputs = [p.push(chunks_between(waves, 120, 121), 120 * 10**9, 121 * 10**9) for p in (straight, heir)]
        assert outputs[0].states[M.PPG] is Absence.FLAT
        states.append(outputs[1].states[M.PPG])
    assert states == [Absence.FLAT, Absence.SATURATED]


def test_a_seek_after_the_takeover_forgets_all() -> None:
    straight, heir = BedPipeline(SPEC, list(_waves)), BedPipeline(SPEC, list(_waves))
    push(straight, _waves, 0, 150, Collected.empty())
    push(heir, _waves, 80, 149, Collected.empty())
    state = straight.export()
    assert state is not None
    heir.restore(state)
    heir.push([], 400 * 10**9, 401 * 10**9)
    cold = BedPipeline(SPEC, list(_waves))
    found, expected = Collected.empty(), Collected.empty()
    push(heir, _waves, 20, 60, found)
    push(cold, _waves, 20, 60, expected)
    for a, b in zip(found.windows, expected.windows, strict=True):
        assert_same(a, b)


def test_what_is_of_another_time_is_left_aside() -> None:
    straight = BedPipeline(SPEC, list(_waves))
    assert straight.export() is None
    push(straight, _waves, 0, 100, Collected.empty())
    old = straight.export()
    push(straight, _waves, 100, 150, Collected.empty())
    assert old is not None and isinstance(old, PipelineState)
    straight.restore(old)  # too long ago to be judged again
    found, expected = Collected.empty(), Collected.empty()
    push(straight, _waves, 150, 170, found)
    other = BedPipeline(SPEC, list(_waves))
    push(other, _waves, 0, 150, Collected.empty())
    push(other, _waves, 150, 170, expected)
    for a, b in zip(found.windows, expected.windows, strict=True):
        assert_same(a, b)


@given(
    gaps=st.lists(st.tuples(st.sampled_from(ROWS), st.integers(0, 699), st.integers(1, 300)), max_size=6),
    at=st.integers(61, 690),
    back=st.integers(1, 16),
)
@settings(max_examples=3, deadline=None)
def test_a_context_restored_goes_on_as_it_was(gaps: list[tuple[Modality, int, int]], at: int, back: int) -> None:
    straight = Bed(700, level=lambda t: 70.0 + 0.01 * t, delay=lambda t: 0.3 + 0.0001 * t)
    for modality, start, length in gaps:
        straight.present[modality][start : start + length] = False
    straight.run(0, at)
    state = straight.memory.export(max(at - back, 1))
    before = straight.run(at, 700)
    straight.memory = ContextMemory(ROWS)
    straight.memory.restore(state)
    assert straight.run(state.second, 700).tobytes() == before.tobytes()


def test_a_context_of_other_modalities_is_refused() -> None:
    bed = Bed(100)
    bed.run(0, 100)
    with pytest.raises(ValueError, match="forgotten"):
        bed.memory.export(20)
    state = bed.memory.export(99)
    with pytest.raises(ValueError, match="shapes"):
        ContextMemory(ROWS[:2]).restore(state)
    with pytest.raises(ValueError, match="shapes"):
        ContextMemory(ROWS).restore(replace(state, levels=state.levels[:, 1:]))


def test_cells_taken_back_after_ten_minutes_and_more_look_back_as_far() -> None:
    """The buffer slides at 1200 s: what lies ten minutes before a cell that is done again must still be there."""
    straight, back = Bed(620, level=lambda t: 70.0 + 0.05 * t), Bed(620, level=lambda t: 70.0 + 0.05 * t)
    straight.run(0, 601)
    back.run(0, 601)
    back.memory.forget(590)
    assert back.run(590, 595).tobytes() == straight.memory.at(595).tobytes()
