"""The pipeline gives the same bits however the samples arrive: any chunks, any order, repeated, late."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk
from tests.signals.bed import (
    RATES,
    SECOND,
    SPEC,
    Collected,
    M,
    assert_all_same,
    assert_same,
    bed_waves,
    chunks_between,
    stream,
)

SECONDS = 16


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[tuple[Modality, int, int]], float, list[int]]:
    seed = draw(st.integers(0, 30))
    gaps = draw(
        st.lists(st.tuples(st.sampled_from(list(RATES)), st.integers(0, SECONDS * 60), st.integers(1, 400)), max_size=5)
    )
    tick = draw(st.sampled_from([0.05, 0.1, 0.25, 0.4, 1.0, 4.0, float(SECONDS)]))
    shuffle = draw(st.lists(st.integers(0, 2**16), min_size=1, max_size=3))
    return seed, gaps, tick, shuffle


def with_gaps(seed: int, gaps: list[tuple[Modality, int, int]]) -> dict[Modality, np.ndarray]:
    waves = bed_waves(SECONDS, seed)
    for modality, start, length in gaps:
        waves[modality][start : start + length] = np.nan
    return waves


def cut(chunk: Chunk, rng: np.random.Generator) -> list[Chunk]:
    edges = np.unique(np.concatenate([[0, len(chunk.values)], rng.integers(0, len(chunk.values), 2)]))
    return [
        replace(chunk, first_index=chunk.first_index + int(a), values=chunk.values[a:b])
        for a, b in itertools.pairwise(edges)
    ]


SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(delivery=deliveries())
@SLOW
def test_any_cutting_order_and_repetition_gives_the_same_bits(delivery: tuple) -> None:
    seed, gaps, tick, shuffle = delivery
    waves = with_gaps(seed, gaps)
    expected = stream(waves, SECONDS, float(SECONDS))
    rng = np.random.default_rng(shuffle)
    pipeline = BedPipeline(SPEC, list(waves))
    found = Collected.empty()
    repeated = 0
    for k in range(round(SECONDS / tick)):
        a, b = k * tick, (k + 1) * tick
        parts = [part for chunk in chunks_between(waves, a, b) for part in cut(chunk, rng)]
        again = [part for part in parts if rng.random() < 0.2]
        # Of a repetition, whatever is missing in it does not erase.
        again = [replace(c, values=np.where(rng.random(len(c.values)) < 0.3, np.nan, c.values)) for c in again]
        repeated += sum(int(np.isfinite(c.values).sum()) for c in again)
        # Chunks without a finite sample say no more than chunks that do not come.
        parts = [p for p in parts if np.isfinite(p.values).any() or rng.random() < 0.5]
        order = rng.permutation(len(parts))
        sent = [parts[i] for i in order] + again
        found.add(pipeline.push(sent, round(a * 1e9), round(b * 1e9)), k)
    found.add(pipeline.finish(SECONDS * SECOND), -1)
    assert_all_same(found, expected)
    assert pipeline.duplicate_samples == repeated and pipeline.late_samples == pipeline.early_samples == 0


@given(delivery=deliveries(), delays=st.integers(0, 2**16))
@SLOW
def test_late_chunks_amend_all_that_closes_after_them(delivery: tuple, delays: int) -> None:
    """Every window that closed after its samples had come is the window of an undisturbed stream, bit for bit."""
    seed, gaps, tick, _ = delivery
    tick = min(tick, 0.5)
    waves = with_gaps(seed, gaps)
    expected = {w.end_s: w for w in stream(waves, SECONDS, float(SECONDS)).windows}
    rng = np.random.default_rng(delays)
    ticks = round(SECONDS / tick)
    outbox: dict[int, list[Chunk]] = {}
    missing_until: dict[int, int] = {}  # second of event time -> last push that brings one of its samples
    longest = int(2.0 / tick) - 1
    for k in range(ticks):
        for chunk in chunks_between(waves, k * tick, (k + 1) * tick):
            at = k + (int(rng.integers(0, longest + 1)) if rng.random() < 0.04 * tick else 0)
            outbox.setdefault(min(at, ticks - 1), []).append(chunk)
            first_s = max(int(k * tick - 0.021), 0)
            for second in range(first_s, int((k + 1) * tick + 0.021) + 1):
                missing_until[second] = max(missing_until.get(second, 0), min(at, ticks - 1))
    pipeline = BedPipeline(SPEC, list(waves))
    found = Collected.empty()
    for k in range(ticks):
        found.add(pipeline.push(outbox.get(k, []), round(k * tick * 1e9), round((k + 1) * tick * 1e9)), k)
    assert pipeline.late_samples == 0
    checked = 0
    for window in found.windows:
        closed = found.closed_at[window.end_s]
        if all(missing_until.get(s, 0) <= closed for s in range(window.end_s)):
            assert_same(window, expected[window.end_s])
            checked += 1
    assert checked >= 3
    found.add(pipeline.finish(SECONDS * SECOND), -1)
    if found.windows and found.closed_at[found.windows[-1].end_s] == -1:
        assert_same(found.windows[-1], expected[SECONDS])


def test_one_late_chunk_amends_grid_presence_and_context() -> None:
    waves = bed_waves(30)
    pipeline = BedPipeline(SPEC, list(waves))
    held: list[Chunk] = []
    found = Collected.empty()
    for k in range(600):
        a, b = k * 0.05, (k + 1) * 0.05
        chunks = chunks_between(waves, a, b)
        if 9.4 <= a < 9.9:
            held += [c for c in chunks if c.modality is M.ABP]
            chunks = [c for c in chunks if c.modality is not M.ABP]
        if k == 226:  # [11.30, 11.35): 1.9 s late
            chunks += held
        found.add(pipeline.push(chunks, round(a * 1e9), round(b * 1e9)), k)
    expected = {w.end_s: w for w in stream(waves, 30, 1.0).windows}
    windows = {w.end_s: w for w in found.windows}
    assert found.cells[9].absence[M.ABP] is Absence.NO_DATA  # as it was when it closed
    assert not windows[11].cells[1, -2] and np.isnan(windows[11].signals[1]).any()
    for end_s in range(12, 30):
        assert_same(windows[end_s], expected[end_s])


def test_older_than_two_seconds_is_counted_and_ignored() -> None:
    waves = bed_waves(20)
    pipeline = BedPipeline(SPEC, list(waves))
    reference = BedPipeline(SPEC, list(waves))
    for k in range(20):
        chunks = chunks_between(waves, k, k + 1)
        reference.push(chunks, k * SECOND, (k + 1) * SECOND)
        old = Chunk(M.ABP, 125.0, 0, max(k - 4, 0) * 125, np.full(125, 999.0, np.float32)) if k >= 4 else None
        pipeline.push([*chunks, old] if old else chunks, k * SECOND, (k + 1) * SECOND)
    assert pipeline.late_samples == 16 * 125
    assert pipeline.grid(M.ABP, 0, 1900).tobytes() == reference.grid(M.ABP, 0, 1900).tobytes()


def test_far_future_is_counted_and_ignored() -> None:
    pipeline = BedPipeline(SPEC, [M.ABP])
    pipeline.push([Chunk(M.ABP, 125.0, 0, 10**9, np.ones(10, np.float32))], 0, SECOND)
    assert pipeline.early_samples == 10
    assert pipeline.push([], SECOND, 2 * SECOND).states[M.ABP] is Absence.NO_DATA


@pytest.mark.parametrize("at_s", (-60, 60))
def test_samples_out_of_time_take_no_timeline_from_those_in_time(at_s: int) -> None:
    waves = bed_waves(14)
    pipeline, reference = BedPipeline(SPEC, list(waves)), BedPipeline(SPEC, list(waves))
    found, expected = Collected.empty(), Collected.empty()
    for k in range(14):
        chunks = chunks_between(waves, k, k + 1)
        ghosts = [Chunk(M.ABP, 125.0, (k + at_s) * SECOND + i, 0, np.ones(9, np.float32)) for i in range(12)]
        found.add(pipeline.push([*ghosts, *chunks, *ghosts], k * SECOND, (k + 1) * SECOND), k)
        expected.add(reference.push(chunks, k * SECOND, (k + 1) * SECOND), k)
    assert_all_same(found, expected)
    assert pipeline.late_samples + pipeline.early_samples == 14 * 24 * 9


@given(
    shift_ns=st.integers(-4_000_000, 4_000_000),
    rate=st.sampled_from([125.0, 124.7, 250.0]),
    tick=st.sampled_from([0.05, 0.3, 4.0]),
    overlap=st.sampled_from([1, 100]),
)
@example(shift_ns=-4_000_000, rate=125.0, tick=0.3, overlap=100)
@SLOW
def test_change_of_rate_or_origin_is_a_new_timeline_not_a_smear(
    shift_ns: int, rate: float, tick: float, overlap: int
) -> None:
    seconds = 12
    wave = np.arange(seconds * 250, dtype=np.float32)
    second_origin = 6 * SECOND + 40_000_000 + shift_ns * overlap

    def sent(a: float, b: float) -> list[Chunk]:
        first = chunks_between({M.ABP: wave[: 6 * 125]}, a, b)
        return first + chunks_between({M.ABP: 5000 + wave}, a, b, second_origin, {M.ABP: rate})

    def run(tick: float, backwards: bool = False) -> np.ndarray:
        pipeline = BedPipeline(SPEC, [M.ABP])
        for k in range(round(seconds / tick)):
            a, b = k * tick, (k + 1) * tick
            chunks = sent(a, b)
            pipeline.push(chunks[::-1] if backwards else chunks, round(a * 1e9), round(b * 1e9))
        pipeline.finish(seconds * SECOND)
        return pipeline.grid(M.ABP, 0, seconds * 100)

    grid = run(tick)
    assert grid.tobytes() == run(float(seconds)).tobytes() == run(float(seconds), backwards=True).tobytes()
    # No grid sample mixes the two: below 751 or from 5000 on; where both reach, the later timeline counts.
    known = grid[np.isfinite(grid)]
    assert ((known < 760) | (known > 4990)).all()
    later = grid[second_origin // 10_000_000 + 2 :]
    assert np.isfinite(later).all() and (later > 4990).all()
    assert second_origin < 6 * SECOND + 30_000_000 or np.isnan(grid[602])
