"""Chunks of a restored wave follow each other: each speaks for its hop, and amends the end of the one before."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.records import RestoredChunk
from streams.restored import RestoredLine

RATE, AMENDS = 100, 50


def chunk(hop: int, value: float, amends: int = AMENDS, unsaid: range = range(0)) -> RestoredChunk:
    """The chunk of hop ``hop``, all of one value but the samples ``unsaid`` (of its own count)."""
    values = np.full(amends + RATE, value, "<f4")
    values[list(unsaid)] = np.nan
    data = values.tobytes()
    return RestoredChunk("ABP", RATE, hop * RATE - amends, data, data, data, amends)


def line_of(chunks: list[RestoredChunk]) -> dict[int, float]:
    """What stands, by sample."""
    line = RestoredLine()
    for one in chunks:
        line.take(one)
    return {
        first + k: float(v) for first, values in line.pieces for k, v in enumerate(values) if np.isfinite(v)
    }  # fmt: skip


def test_the_next_hop_amends_the_end_of_the_last() -> None:
    found = line_of([chunk(3, 1.0), chunk(4, 2.0), chunk(5, 3.0)])
    assert sorted(found) == list(range(300, 600)), "nothing before the first hop, no hole"
    assert [found[k] for k in (349, 350, 399, 400, 449, 450, 599)] == [1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]


def test_nothing_is_said_afterwards_of_what_had_no_estimate() -> None:
    """After a hop that was not told, and over the part of a hop that was measured."""
    assert sorted(line_of([chunk(3, 1.0), chunk(5, 2.0)])) == [*range(300, 400), *range(500, 600)]
    half = line_of([chunk(3, 1.0, unsaid=range(AMENDS + 60, AMENDS + 100)), chunk(4, 2.0)])
    assert sorted(half) == [*range(300, 360), *range(400, 500)]
    assert (half[349], half[350], half[359]) == (1.0, 2.0, 2.0)


def test_what_is_unsaid_of_the_past_leaves_it_as_it_was() -> None:
    assert line_of([chunk(3, 1.0), chunk(4, 2.0, unsaid=range(20))])[355] == 1.0


def test_chunks_that_amend_nothing_are_put_side_by_side() -> None:
    found = line_of([chunk(3, 1.0, amends=0), chunk(4, 2.0, amends=0)])
    assert [found[k] for k in (300, 399, 400)] == [1.0, 1.0, 2.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from([0, 25, 50, 75])), min_size=1, max_size=8))
def test_whatever_the_order_a_chunk_says_nothing_new_of_the_past(told: list[tuple[int, int]]) -> None:
    """After a seek chunks are not in the order of time. Samples that stand are those of the hops that were told."""
    found = line_of([chunk(hop, float(k), amends) for k, (hop, amends) in enumerate(told)])
    assert set(found) == {hop * RATE + k for hop, _ in told for k in range(RATE)}
