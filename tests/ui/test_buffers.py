"""The rings remember exactly the last samples written, by index, and nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.bed.buffers import CellRow, IndexRing, SampleRing

CAPACITY = 17
writes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 25)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(writes, st.integers(0, 90), st.integers(0, 40))
def test_ring_agrees_with_a_dictionary(parts: list[tuple[int, int]], begin: int, length: int) -> None:
    ring, truth, newest, label = IndexRing(CAPACITY), {}, 0, 0.0
    oldest = None
    for first, count in parts:
        values = np.arange(count, dtype=np.float32) + label
        label += 100.0
        ring.write(first, values)
        if count == 0:
            continue
        if oldest is None:
            oldest = newest = first
        newest = max(newest, first + count)
        oldest = max(oldest, newest - CAPACITY)
        truth.update({first + k: v for k, v in enumerate(values.tolist()) if first + k >= oldest})
        truth = {k: v for k, v in truth.items() if k >= oldest}
    got = ring.read(begin, begin + length)
    want = np.array([truth.get(i, np.nan) for i in range(begin, begin + length)], np.float32)
    np.testing.assert_array_equal(got, want)


def test_a_jump_ahead_leaves_a_gap_and_no_old_sample_comes_back() -> None:
    ring = IndexRing(10)
    ring.write(0, np.ones(10, np.float32))
    ring.write(14, np.full(2, 2.0, np.float32))
    assert np.isnan(ring.read(10, 14)).all()
    assert np.isnan(ring.read(0, 6)).all()
    assert ring.read(6, 10).tolist() == [1.0] * 4
    ring.write(10**9, np.full(1, 3.0, np.float32))
    assert np.isnan(ring.read(10**9 - 9, 10**9)).all()


def test_memory_is_bounded_over_a_day() -> None:
    ring = SampleRing(500.0, 0.0, 600)
    size = ring.ring._values.nbytes
    for hour in range(24):
        ring.ring.write(hour * 1_800_000, np.zeros(25, np.float32))
    assert ring.ring._values.nbytes == size == 600 * 500 * 4
    row = CellRow(600)
    for second in range(86_400):
        row.put(second, "")
    assert len(row) == 600
    assert row.get(0) is None and row.get(86_399) is not None


def test_index_and_time_agree_in_both_directions() -> None:
    ring = SampleRing(125.0, 3.0, 10)
    assert ring.index_at(3.0) == 0
    assert ring.index_at(3.0 + 8 / 125) == 8
    assert ring.index_at(3.0 + 8.2 / 125) == 9
    assert ring.times(8, 10).tolist() == [3.0 + 8 / 125, 3.0 + 9 / 125]


def test_an_unknown_cell_is_neither_present_nor_absent() -> None:
    row = CellRow(600)
    row.put(5, "")
    row.put(6, "no data")
    row.put(7, "no data")
    row.put(8, "flat")
    seconds = np.array([4, 5, 5, 6, 9])
    assert row.absent_mask(seconds).tolist() == [False, False, False, True, False]
    assert row.present_mask(seconds).tolist() == [False, True, True, False, False]
    assert [row.get(s).run_start for s in (6, 7, 8)] == [6, 6, 8]
