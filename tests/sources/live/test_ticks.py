"""The ticks of a live bed by themselves: holding back, what comes late or twice, bounds, epochs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.live_grid import LiveGrid, Placed
from models.signals.modalities import Modality
from streams.sources.ticks import LEAST_HOLD_NS, MEMORY_S, MOST_HOLD_NS, Ticks
from tests.sources.live.accounts import SECOND, account, check_grid

TICK = 50_000_000
ECG, PPG = (Modality.ECG, 0), (Modality.PPG, 0)


class Feed:
    """One channel at 100 Hz whose samples are their number, handed over at chosen times."""

    def __init__(self, *keys: tuple[Modality, int]) -> None:
        self.ticks = Ticks("bed", "s", TICK, zero_ns=0, start_ns=0)
        self.grids = {key: LiveGrid(100.0) for key in keys}
        for key, grid in self.grids.items():
            self.ticks.connect(key, "X", grid)
        self.out = []

    def block(self, key: tuple[Modality, int], first: int, count: int, now_s: float) -> Placed:
        values = (first + np.arange(count)).astype(np.float32)
        placed = self.grids[key].add(count, np.array([(first + count - 1) / 100.0]), now_s)
        assert placed is not None
        self.ticks.add(key, placed, values, round(now_s * SECOND))
        return placed

    def cut(self, now_s: float) -> int:
        new = self.ticks.cut(round(now_s * SECOND))
        self.out += new
        return len(new)


def test_a_tick_goes_once_every_channel_has_passed_it_and_not_before_it_is_over() -> None:
    feed = Feed(ECG, PPG)
    feed.block(ECG, 0, 20, 0.2)
    assert feed.cut(0.2) == 0  # PPG may still come
    feed.block(PPG, 0, 12, 0.21)
    assert feed.cut(0.22) == 2  # [0, 0.05), [0.05, 0.10)
    feed.block(PPG, 12, 8, 0.22)
    assert feed.cut(0.22) == 2
    check_grid(feed.out)
    np.testing.assert_array_equal(account(feed.out, "PPG").values, np.arange(20))


def test_a_late_channel_is_waited_for_as_long_as_is_said() -> None:
    feed = Feed(ECG, PPG)
    for key in (ECG, PPG):
        feed.block(key, 0, 10, 0.1)
    feed.cut(0.1)
    feed.block(ECG, 10, 40, 0.5)
    hold_s = feed.ticks.hold_ns / SECOND
    assert LEAST_HOLD_NS <= feed.ticks.hold_ns <= MOST_HOLD_NS
    assert feed.cut(0.15 + hold_s - 0.001) == 0
    assert feed.cut(0.15 + hold_s + 0.001) == 1


def test_what_comes_after_its_tick_is_counted_and_left_out() -> None:
    feed = Feed(ECG)
    feed.block(ECG, 0, 10, 0.1)
    feed.block(ECG, 30, 10, 0.4)
    assert feed.cut(0.4) == 8
    late = feed.block(ECG, 15, 10, 0.45)
    assert not late.in_order and feed.ticks.counts.late_samples == 10
    assert not set(range(15, 25)) & set(account(feed.out, "ECG").values)


def test_a_block_that_was_overtaken_fills_its_gap_while_it_is_held() -> None:
    feed = Feed(ECG, PPG)
    feed.block(PPG, 0, 5, 0.05)
    feed.block(ECG, 0, 10, 0.1)
    feed.block(ECG, 20, 10, 0.3)
    feed.block(ECG, 10, 10, 0.31)
    feed.block(ECG, 10, 10, 0.32)  # and once more
    feed.cut(2.0)
    np.testing.assert_array_equal(account(feed.out, "ECG").values, np.arange(30))
    assert feed.ticks.counts.duplicate_samples == 10


def test_silence_gives_empty_ticks_that_name_every_channel() -> None:
    feed = Feed(ECG, PPG)
    feed.cut(10.0)
    check_grid(feed.out)
    assert len(feed.out) >= 190
    assert all([c.modality for c in t.chunks] == ["ECG", "PPG"] and not any(c.data for c in t.chunks) for t in feed.out)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3), st.booleans()), max_size=40), tick=st.booleans()
)
@settings(max_examples=60)
def test_no_sample_is_lost_however_blocks_and_cuts_fall(lengths: list[tuple[int, int, bool]], tick: bool) -> None:
    """Blocks of any length, in time, with cuts in between or not, against the plain list of what was handed over."""
    feed, first = Feed(ECG), 0
    for count, wait, cut in lengths:
        first += count
        now_s = first / 100.0 + 0.01 * wait
        feed.block(ECG, first - count, count, now_s)
        if cut or tick:
            feed.cut(now_s)
    feed.cut(first / 100.0 + 3.0)
    check_grid(feed.out)
    got = account(feed.out, "ECG")
    missing = feed.ticks.counts.late_samples
    assert len(got.values) + missing == first
    assert (np.diff(got.values) > 0).all()
    np.testing.assert_array_equal(got.indices, got.values)


def test_memory_is_bounded_and_what_has_no_room_is_counted() -> None:
    feed = Feed(ECG)
    feed.block(ECG, 0, 10, 0.1)
    far = Placed(10 + 3 * MEMORY_S * 100, 10)
    feed.ticks.add(ECG, far, np.zeros(10, np.float32), SECOND)
    assert feed.ticks.counts.early_samples == 10
    feed.cut(1.0)
    np.testing.assert_array_equal(account(feed.out, "ECG").values, np.arange(10))


def test_a_new_epoch_begins_on_a_tick_behind_what_is_held() -> None:
    feed = Feed(ECG, PPG)
    for key in (ECG, PPG):
        feed.block(key, 0, 23, 0.23)
    begin_ns = feed.ticks.begin_epoch(ECG)
    assert begin_ns == round(0.25 * SECOND)
    assert feed.ticks.begin_epoch(ECG) == begin_ns
    feed.grids[ECG].begin(begin_ns / SECOND)
    placed = feed.grids[ECG].add(10, np.array([9e9]), 0.33)
    assert placed is not None and placed.first_index == 0
    feed.ticks.add(ECG, placed, np.arange(100, 110, dtype=np.float32), round(0.33 * SECOND))
    feed.block(PPG, 23, 12, 0.35)
    feed.cut(1.0)
    check_grid(feed.out)
    assert [t.epoch for t in feed.out[:6]] == [0] * 5 + [1]
    ecg, ppg = account(feed.out, "ECG"), account(feed.out, "PPG")
    np.testing.assert_array_equal(ecg.values, [*range(23), *range(100, 110)])
    np.testing.assert_array_equal(ecg.epochs, [0] * 23 + [1] * 10)
    np.testing.assert_array_equal(ppg.values, np.arange(35))  # the other channel goes on


def test_another_patient_takes_nothing_over_also_while_an_epoch_is_to_come() -> None:
    """ECG's clock has jumped and PPG is already beyond the epoch that is to come: neither is carried over."""
    feed = Feed(ECG, PPG)
    for key in (ECG, PPG):
        feed.block(key, 0, 23, 0.23)
    feed.grids[ECG].begin(feed.ticks.begin_epoch(ECG) / SECOND)
    feed.block(ECG, 0, 10, 0.33)
    feed.block(PPG, 23, 12, 0.35)
    begin_ns = feed.ticks.begin_session("s+2")
    for key in (ECG, PPG):
        feed.grids[key].begin(begin_ns / SECOND)
    for key in (ECG, PPG):
        placed = feed.grids[key].add(10, np.array([0.6]), 0.6)
        assert placed is not None
        feed.ticks.add(key, placed, np.arange(500, 510, dtype=np.float32), round(0.6 * SECOND))
    feed.cut(2.0)
    check_grid(feed.out)
    assert list(dict.fromkeys((t.session, t.epoch) for t in feed.out)) == [("s", 0), ("s+2", 1)]
    for modality in ("ECG", "PPG"):
        got = account(feed.out, modality)
        after = got.values[got.epochs == 1]
        np.testing.assert_array_equal(after, np.arange(500, 510))
    lost = 10 + 10  # ECG's after its jump, and PPG's beyond the epoch
    assert feed.ticks.counts.late_samples == lost
