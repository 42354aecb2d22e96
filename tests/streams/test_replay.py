"""The replay sends every sample once, on its tick, when it is due, and never past its credits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.modalities import Modality
from models.signals.recording import Segment
from streams.accounting import Accounting
from streams.bed_replay import BedReplay, Drop, last_sample_ns
from streams.clock import ReplayClock, Span
from streams.codec import chunk_values, decode
from streams.records import WaveTick
from streams.replay import GAP_SHOWN_NS, TICK_NS, ReplayPlayer, lags_ns, most_under_way, tick_identity, tick_length_ns
from streams.transport.credits import Credits
from tests.streams.sources import CountingMap, S, running, wait_until

ABP, ECG, PPG = Modality.ABP, Modality.ECG, Modality.PPG


class Desk:
    """A player with all around it; collects what it sends and gives credits back at once."""

    def __init__(
        self,
        source: CountingMap,
        *,
        speed: float | None = None,
        beds: int = 1,
        ends_s: tuple[float, ...] = (),
        drops: tuple[Drop, ...] = (),
        span: tuple[float, float] | None = None,
        credits: int = 1000,
        keep_credits: bool = False,
        cost_ns: int = 0,
        empty_s: tuple[tuple[float, float], ...] = (),
    ) -> None:
        begin, end = span or (0.0, source.duration_s)
        self.ticks: list[WaveTick] = []
        self.sent_ns: list[int] = []
        self.beds = beds
        self.accounting = Accounting()
        self.credits = Credits(credits, ["test"])
        self.keep_credits = keep_credits
        self.cost_ns, self.spent_ns = cost_ns, 0
        self.clock = ReplayClock(Span(round(begin * S), round(end * S)), speed, monotonic_ns=self.now_ns)
        ends = ends_s or (end,) * beds
        replays = [BedReplay(f"bed{i}", "run", source, round(ends[i] * S), drops, empty_s) for i in range(beds)]
        self.player = ReplayPlayer(
            replays, self.clock, self._publish, self.credits, self.accounting, monotonic_ns=self.now_ns
        )

    def now_ns(self) -> int:
        """A clock that every published tick moves by its cost."""
        return time.monotonic_ns() + self.spent_ns

    def _publish(self, bed: str, message: bytes) -> None:
        self.sent_ns.append(self.now_ns())
        tick = decode(message)
        assert isinstance(tick, WaveTick) and tick.bed == bed
        self.ticks.append(tick)
        self.spent_ns += self.cost_ns
        if not self.keep_credits:
            self.credits.release("test", tick_identity(tick))

    def stop(self) -> None:
        self.player.stop()
        self.credits.close()

    @contextmanager
    def playing(self) -> Iterator[None]:
        with running(self.player.decode_ahead, self.player.send, stop=self.stop):
            self.player.start()
            yield

    def play_out(self) -> list[WaveTick]:
        with self.playing():
            # The player has ended once the last tick is cut; it is handed over a moment later.
            wait_until(lambda: self.player.ended and self._ends() == self.beds, what="the end")
        return self.ticks

    def _ends(self) -> int:
        return sum(tick.eos and tick.epoch == self.player.epoch for tick in list(self.ticks))


def samples(ticks: list[WaveTick], modality: Modality) -> np.ndarray:
    data = [chunk_values(c.data) for t in ticks for c in t.chunks if c.modality == modality]
    return np.concatenate(data) if data else np.empty(0, np.float32)


@settings(max_examples=25, deadline=None)
@given(
    seconds=st.floats(0.11, 25.0),
    rate=st.sampled_from([62.5, 100.0, 124.9, 125.0, 249.7, 500.0]),
    origin=st.integers(0, 2 * S),
    begin=st.floats(0, 0.1),
)
def test_every_sample_comes_once_in_order(seconds: float, rate: float, origin: int, begin: float) -> None:
    source = CountingMap(seconds, {ECG: rate, ABP: 125.0}, {ECG: origin})
    end = source.duration_s
    ticks = Desk(source, span=(begin, end)).play_out()
    for modality, channel in source.channels.items():
        first = max(0, channel.first_index_at(round(begin * S)))
        last = min(channel.samples, channel.first_index_at(round(end * S)))
        np.testing.assert_array_equal(samples(ticks, modality), np.arange(first, last, dtype=np.float32))
    assert [t.tick_seq for t in ticks] == list(range(len(ticks)))
    assert [t.eos for t in ticks] == [False] * (len(ticks) - 1) + [True]
    for a, b in itertools.pairwise(ticks):
        assert a.end_ns == b.start_ns
    assert all(t.end_ns % TICK_NS == 0 for t in ticks[:-2])


def test_a_tick_holds_six_or_seven_samples_of_125_hz() -> None:
    ticks = Desk(CountingMap(10.0)).play_out()
    assert {len(c.data) // 4 for t in ticks[:-1] for c in t.chunks if c.modality == "ABP"} == {6, 7}


def test_empty_ticks_are_sent() -> None:
    source = CountingMap(2.0, {ECG: 500.0}, {ECG: S})
    ticks = Desk(source).play_out()
    assert len(ticks) == 60 + 1
    assert all(not t.chunks[0].data for t in ticks[:20]) and all(t.chunks[0].data for t in ticks[20:-1])


def test_a_withheld_channel_is_marked_and_keeps_its_truth() -> None:
    ticks = Desk(CountingMap(3.0), drops=(Drop(ABP, 1.0, 1.52),)).play_out()
    held = [t.start_ns for t in ticks for c in t.chunks if c.modality == "ABP" and c.withheld]
    assert (min(held), max(held)) == (S, S + 500_000_000)
    np.testing.assert_array_equal(samples(ticks, ABP), np.arange(375, dtype=np.float32))
    assert not any(c.withheld for t in ticks for c in t.chunks if c.modality != "ABP")


def test_an_open_end_withholds_to_the_end() -> None:
    ticks = Desk(CountingMap(3.0), drops=(Drop(ABP, 2.0, float("inf")),)).play_out()
    held = [t.start_ns for t in ticks for c in t.chunks if c.modality == "ABP" and c.withheld and c.data]
    assert (min(held), max(held)) == (2 * S, 3 * S - 50_000_000)


def test_the_operator_withholds_from_the_next_tick_on() -> None:
    desk = Desk(CountingMap(60.0), speed=50.0)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) > 3)
        desk.player.set_dropped(PPG, True)
        wait_until(lambda: any(c.withheld for c in desk.ticks[-1].chunks if c.modality == "PPG"))
        assert desk.player.dropped_now() == {PPG}
        desk.player.set_dropped(PPG, False)
        wait_until(lambda: not any(c.withheld for c in desk.ticks[-1].chunks))


def test_due_times_follow_the_clock_and_nothing_is_early() -> None:
    desk = Desk(CountingMap(5.0), speed=10.0)
    desk.play_out()
    data = desk.ticks[:-1]
    dues = np.array([t.due_ns for t in data])
    newest = np.array([last_sample_ns(t.chunks, t.end_ns) for t in data])
    np.testing.assert_allclose(np.diff(dues), np.diff(newest) / 10.0, atol=2)
    assert all(at >= due for at, due in zip(desk.sent_ns, dues, strict=False))


def test_at_max_nothing_has_a_due_time() -> None:
    assert {t.due_ns for t in Desk(CountingMap(2.0)).play_out()} == {0}


def test_pause_holds_step_plays_on_resume_finishes() -> None:
    desk = Desk(CountingMap(30.0), speed=50.0)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) > 5)
        desk.player.pause()
        at = desk.player.position_s
        wait_until(lambda: desk.ticks[-1].end_ns >= (at - 0.05) * S)
        count = len(desk.ticks)
        desk.player.step(1.0)
        wait_until(lambda: len(desk.ticks) >= count + 19)
        assert desk.player.position_s == pytest.approx(at + 1.0) and desk.player.epoch == 0
        desk.player.resume()
        wait_until(lambda: desk.player.ended)
    np.testing.assert_array_equal(samples(desk.ticks, ECG), np.arange(15000, dtype=np.float32))


@pytest.mark.parametrize("speed", [50.0, None])
def test_a_seek_begins_an_epoch_even_after_the_end(speed: float | None) -> None:
    desk = Desk(CountingMap(12.0), speed=speed)
    with desk.playing():
        wait_until(lambda: desk.player.ended)
        desk.player.seek(7.5)
        wait_until(lambda: desk.player.epoch == 1 and desk.player.ended)
        desk.player.seek(11.0)
        desk.player.seek(3.0)
        wait_until(lambda: desk.player.epoch == 3 and desk.player.ended)
    again = [t for t in desk.ticks if t.epoch == 1]
    assert (again[0].tick_seq, again[0].start_ns, again[-1].eos) == (0, round(7.5 * S), True)
    np.testing.assert_array_equal(samples(again, ABP), np.arange(938, 1500, dtype=np.float32))
    last = [t for t in desk.ticks if t.epoch == 3]
    np.testing.assert_array_equal(samples(last, ECG), np.arange(1500, 6000, dtype=np.float32))


def test_a_seek_while_running_goes_where_it_should() -> None:
    desk = Desk(CountingMap(1000.0), speed=20.0)
    with desk.playing():
        for epoch in range(1, 8):
            wait_until(lambda: len(desk.ticks) > 0 and desk.ticks[-1].epoch == desk.player.epoch)
            desk.player.seek(epoch * 100.0)
            wait_until(lambda at=epoch: desk.ticks[-1].epoch == at)
    for epoch in range(1, 8):
        first = next(t for t in desk.ticks if t.epoch == epoch)
        assert (first.tick_seq, first.start_ns) == (0, epoch * 100 * S)


def test_without_credits_the_source_waits_and_loses_nothing() -> None:
    desk = Desk(CountingMap(4.0), credits=7, keep_credits=True)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) == 7)
        assert desk.credits.under_way == 7
        desk.keep_credits = False
        for tick in list(desk.ticks):
            desk.credits.release("test", tick_identity(tick))
        wait_until(lambda: desk.player.ended)
    np.testing.assert_array_equal(samples(desk.ticks, ECG), np.arange(2000, dtype=np.float32))
    assert desk.accounting.samples(complete=False)["ECG"]["sent"] == 2000


def test_stop_ends_both_threads_while_they_wait_for_credits() -> None:
    desk = Desk(CountingMap(400.0), credits=1, keep_credits=True)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) == 1)


def test_beds_end_each_for_itself() -> None:
    source = CountingMap(2.0)
    desk = Desk(source, beds=3, ends_s=(2.0, 1.0, 2.0))
    ticks = desk.play_out()
    assert {t.bed: t.end_ns for t in ticks if t.eos} == {"bed0": 2 * S, "bed1": S, "bed2": 2 * S}
    assert len(samples([t for t in ticks if t.bed == "bed1"], ECG)) == 500


def test_ward_ticks_are_longer() -> None:
    assert (tick_length_ns(31), tick_length_ns(32)) == (50_000_000, 100_000_000)


def test_beds_are_staggered_from_nine_on() -> None:
    assert set(lags_ns(8, TICK_NS)) == {0}
    for beds in (9, 20, 60):
        tick = tick_length_ns(beds)
        lags = lags_ns(beds, tick)
        phases = [lags.count(lag) for lag in set(lags)]
        assert lags[0] == 0 and max(lags) < S and all(lag % tick == 0 for lag in lags)
        assert max(phases) <= -(-beds // (S // tick)), "too many beds at one moment"


@pytest.mark.parametrize("speed", [50.0, None])
def test_staggered_beds_lose_nothing_and_lag_by_their_part(
    speed: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.replay.BEHIND_NS", 1 << 60)  # a busy machine would fall back in between
    desk = Desk(CountingMap(12.0), beds=10, speed=speed)
    ticks = desk.play_out()
    for i in range(10):
        mine = [t for t in ticks if t.bed == f"bed{i}"]
        np.testing.assert_array_equal(samples(mine, ECG), np.arange(6000, dtype=np.float32))
        assert [t.tick_seq for t in mine] == list(range(241))
    if speed is not None:
        first = {t.bed: t.due_ns for t in ticks if t.tick_seq == 0}
        lags = [(first[f"bed{i}"] - first["bed0"]) * speed / S for i in range(10)]
        assert lags == pytest.approx([i / 10 for i in range(10)], abs=1e-6)


def test_a_recording_that_fails_ends_the_thread_with_its_reason() -> None:
    source = CountingMap(5.0)
    desk = Desk(source)

    def broken(*_: object) -> None:
        raise OSError("disk gone")

    source.read = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(OSError, match="disk gone"):
        desk.player.decode_ahead()


def test_a_machine_that_cannot_keep_the_speed_slows_the_replay_and_it_is_said() -> None:
    """20 ms a tick of 50 ms: 2.5×, whatever is asked; what is sent is due when it can be sent, and nothing is lost."""
    desk = Desk(CountingMap(30.0, {ECG: 100.0}), speed=10.0, cost_ns=20_000_000)
    ticks = desk.play_out()
    asked_s, took_s = 30.0 / 10.0, len(ticks) * 0.020
    assert len(samples(ticks, ECG)) == 3000
    assert desk.player.given_up_s > took_s - asked_s - 0.3
    achieved = desk.player.achieved_speed
    assert achieved is not None and achieved < 2.6
    due = [tick.due_ns for tick in ticks if not tick.eos]
    assert due == sorted(due) and due[-1] - due[0] > (took_s - 0.5) * S


def test_one_that_can_is_not_slowed() -> None:
    desk = Desk(CountingMap(10.0, {ECG: 100.0}), speed=10.0)
    desk.play_out()
    assert desk.player.achieved_speed is None or desk.player.given_up_s > 0  # a machine busy with other tests may be


def test_what_is_under_way_is_half_a_second_on_the_wall() -> None:
    assert most_under_way(1, TICK_NS, 1.0) == 10
    assert most_under_way(1, TICK_NS, 0.25) == 8
    assert most_under_way(1, TICK_NS, 10.0) == 100
    assert most_under_way(4, TICK_NS, 10.0) == 400
    assert most_under_way(1, TICK_NS, None) is None


class Gapped(CountingMap):
    """Nothing between two times: reads there hold no sample."""

    gap: tuple[float, float] = (30.0, 200_000.4)

    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int = 0) -> Segment:
        begin, end = (round(t * S) for t in self.gap)
        segment = super().read(modality, start_ns, end_ns, lead)
        times = self.channels[modality].origin_ns + np.arange(len(segment.values)) * S / self.rates[modality]
        times = times + segment.first_index * S / self.rates[modality]
        values = np.where((times >= begin) & (times < end), np.nan, np.float32(1)).astype(np.float32)
        return Segment(segment.first_index, values)


def played_s(ticks: list[WaveTick]) -> float:
    return sum(t.end_ns - t.start_ns for t in ticks) / S


def test_at_max_a_long_empty_stretch_costs_nothing() -> None:
    """Two days without any sensor: a minute of them is played, the rest is jumped over, and no sample is lost."""
    source = Gapped(200_010.0, {ECG: 10.0, ABP: 5.0})
    desk = Desk(source, empty_s=(source.gap,))
    ticks = desk.play_out()
    assert played_s(ticks) == pytest.approx(30 + GAP_SHOWN_NS / S + 10, abs=1)
    assert {t.epoch for t in ticks} == {0, 1}
    assert min(t.start_ns for t in ticks if t.epoch == 1) == 200_000 * S  # a whole second
    assert np.isfinite(samples(ticks, ECG)).sum() == 300 + 96
    assert ticks[-1].eos


@pytest.mark.parametrize("gap", [(30.0, 85.0), (30.0, 99.0)])
def test_a_short_empty_stretch_is_played(gap: tuple[float, float]) -> None:
    desk = Desk(CountingMap(120.0, {ECG: 10.0}), empty_s=(gap,))
    ticks = desk.play_out()
    assert played_s(ticks) == 120
    assert {t.epoch for t in ticks} == {0}


def test_a_skip_needs_every_bed_to_be_empty() -> None:
    clock = ReplayClock(Span(0, 1000 * S), None)
    credits = Credits(1000, ["test"])
    a = BedReplay("a", "run", CountingMap(1000.0, {ECG: 5.0}), 1000 * S, (), ((100.0, 900.0),))
    b = BedReplay("b", "run", CountingMap(1000.0, {ECG: 5.0}), 1000 * S, (), ((300.0, 700.0),))
    c = BedReplay("c", "run", CountingMap(50.0, {ECG: 5.0}), 50 * S)  # has ended by then
    assert ReplayPlayer([a, b], clock, lambda *_: None, credits, Accounting())._empty_ns[0] == (300 * S, 700 * S)
    assert ReplayPlayer([a, c], clock, lambda *_: None, credits, Accounting())._empty_ns[0] == (100 * S, 900 * S)


def test_in_a_paced_run_time_passes_in_a_gap_too() -> None:
    """At a speed that somebody watches the gap is theirs to skip."""
    desk = Desk(CountingMap(200.0, {ECG: 5.0}), speed=50.0, span=(90.0, 110.0), empty_s=((10.0, 190.0),))
    assert played_s(desk.play_out()) == pytest.approx(20)
