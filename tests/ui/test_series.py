"""Hours of values in little memory, against a dictionary of what was written second by second."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from ui.bed import series
from ui.bed.series import ALL, BLOCK_S, HI, LO, MID, STEPS_S, Series, code_of

Written = dict[int, tuple[float, int]]


def written(runs: list[tuple[int, int]], seed: int) -> tuple[list[tuple[int, float, int]], Written]:
    """Rows in order of the writing, and what is true at the end: runs of (begin, length), some values unknown."""
    chance = random.Random(seed)
    rows, truth = [], {}
    for begin, length in runs:
        for second in range(begin, begin + length):
            value = math.nan if chance.random() < 0.1 else float(chance.randrange(30, 200))
            code = code_of("" if chance.random() < 0.7 else Absence.ARTEFACT.value)
            rows.append((second, value, code))
            truth[second] = value, code
    return rows, truth


def filled(kept: Series, rows: list[tuple[int, float, int]]) -> Series:
    for second, value, code in rows:
        kept.put(second, (0,), (value,))
        kept.put_codes(second, (0,), (code,))
    return kept


def expected(truth: Written, first: int, step: int) -> tuple[float, float, float, int, int]:
    """Least, lower median, greatest; measured and known seconds."""
    mine = [truth[second] for second in range(first, first + step) if second in truth]
    values = sorted(value for value, _ in mine if not math.isnan(value))
    measured = sum(code == 1 for _, code in mine)
    if not values:
        return math.nan, math.nan, math.nan, measured, len(mine)
    return values[0], values[(len(values) - 1) // 2], values[-1], measured, len(mine)


@settings(max_examples=25, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(-700, 1500), st.integers(1, 400)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    step=st.sampled_from(STEPS_S),
    begin=st.integers(-800, 1600),
)
def test_every_bucket_is_what_was_written_last(runs: list[tuple[int, int]], seed: int, step: int, begin: int) -> None:
    rows, truth = written(runs, seed)
    kept = filled(Series(2, 1, 100), rows)
    stretch = kept.stretch(begin, begin + 60 * step, 60)
    assert stretch.step_s == step
    assert stretch.first_s <= begin < stretch.first_s + step
    for number in range(len(stretch.values)):
        lo, mid, hi, measured, known = expected(truth, round(stretch.first_s) + number * step, step)
        np.testing.assert_array_equal(stretch.values[number, :, 0], np.array((lo, mid, hi), np.float32))
        code, share = stretch.presence[number, :, 0]
        assert share == (round(ALL * measured / known) if known else 0)
        assert code == (code_of(Absence.ARTEFACT.value) if known > measured else 0)
    assert np.isnan(stretch.values[:, :, 1]).all(), "a column that was never written"
    assert (kept.begin_s, kept.end_s) == (min(truth), max(truth) + 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), step=st.sampled_from((1, 5, 10, 30, 60, 600)))
def test_what_is_old_is_coarser_and_keeps_its_extremes(seed: int, step: int) -> None:
    rows, truth = written([(0, 3 * BLOCK_S)], seed)
    kept = filled(Series(1, 1, 1), rows)  # one block stays fine, two are of 10-s buckets
    stretch = kept.stretch(0, 2 * BLOCK_S, 2 * BLOCK_S // step)
    coarse = max(10, step)
    for number in range(len(stretch.values)):
        lo, _, hi, _, _ = expected(truth, number * step // coarse * coarse, coarse)
        np.testing.assert_array_equal(stretch.values[number, (LO, HI), 0], np.array((lo, hi), np.float32))
    newest = kept.stretch(2 * BLOCK_S, 3 * BLOCK_S, BLOCK_S)
    np.testing.assert_array_equal(newest.values[:, MID, 0], [truth[2 * BLOCK_S + k][0] for k in range(BLOCK_S)])


def test_two_seconds_of_low_pressure_are_seen_after_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MIDDLE_BLOCKS", 2)
    kept = Series(1, 1, 1)
    for second in range(8 * BLOCK_S):
        kept.put(second, (0,), (31.0 if second in (777, 778) else 86.0,))
    for most in (8 * BLOCK_S, 800, 80, 8):
        assert np.nanmin(kept.stretch(0, 8 * BLOCK_S, most).values[:, LO]) == 31.0
    assert np.nanmin(kept.stretch(0, 8 * BLOCK_S, 80).values[:, MID]) == 86.0


def test_what_is_played_again_replaces_also_what_was_made_coarse() -> None:
    kept = filled(Series(1, 1, 1), [(second, 50.0, 1) for second in range(4 * BLOCK_S)])
    rows = [(second, 90.0, 1) for second in range(105, 300)]
    filled(kept, rows)
    fine = kept.stretch(0, BLOCK_S, BLOCK_S).values[:, :, 0]
    assert (fine[:105] == 50.0).all() and (fine[105:300] == 90.0).all() and (fine[300:] == 50.0).all()
    buckets = kept.stretch(0, BLOCK_S, 60).values[:, :, 0]
    np.testing.assert_array_equal(buckets[10], (50.0, 90.0, 90.0))  # half of it is new: nothing bad goes
    np.testing.assert_array_equal(buckets[11:30], np.full((19, 3), 90.0))
    np.testing.assert_array_equal(buckets[30:], np.full((30, 3), 50.0))
    kept.keep(0)  # and once more made coarse
    np.testing.assert_array_equal(kept.stretch(0, BLOCK_S, 60).values[:, :, 0], buckets)


def test_a_share_of_a_long_bucket_is_that_of_the_seconds() -> None:
    kept = Series(1, 1, 5)
    for second in range(60):
        kept.put_codes(second, (0,), (code_of("" if second < 45 else Absence.FLAT.value),))
    for exact in (0, 2):  # as it came, then from 10-s buckets
        (code, share), *rest = kept.stretch(0, 600, 10).presence[:, :, 0].tolist()
        assert code == code_of(Absence.FLAT.value)
        assert abs(share - 0.75 * ALL) <= exact + 0.5
        assert rest == [[0, 0]] * 9, "nobody knows"
        kept.keep(0)


def of_hours(hours: float, fine_blocks: int) -> int:
    kept = Series(24, 5, fine_blocks)
    for second in range(0, round(hours * 3600), BLOCK_S):
        kept.put(second, (0,), (1.0,))
    return kept.bytes


def test_a_day_is_some_megabytes() -> None:
    assert of_hours(24, 12) < 1.8e6, "a bed among many"
    assert of_hours(24, 144) < 9.5e6, "a bed among few"


def test_memory_is_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_BLOCKS", 60)
    monkeypatch.setattr(series, "MIDDLE_BLOCKS", 20)
    most = of_hours(10, 5)
    assert of_hours(30, 5) == most
    chance = random.Random(3)
    kept = Series(24, 5, 5)
    for _ in range(600):  # a clock that jumps
        kept.put(chance.randrange(-(10**9), 10**9), (0,), (1.0,))
        assert kept.bytes <= most
        kept.stretch(kept.begin_s, kept.begin_s + 600, 10)
        kept.keep(5)


def test_no_question_is_too_large_or_empty() -> None:
    kept = filled(Series(1, 1, 3), [(5, 1.0, 1)])
    assert len(kept.stretch(-1e12, 1e12, 100).values) <= series.MOST_BLOCKS + 2
    assert len(kept.stretch(5.0, 5.0, 100).values) == 0
    assert len(kept.stretch(9.0, 5.0, 100).values) == 0
    kept.clear()
    assert np.isnan(kept.stretch(0, 10, 10).values).all() and kept.begin_s > kept.end_s and not kept.bytes
