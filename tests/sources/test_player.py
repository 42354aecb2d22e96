"""The replay sends every sample once, on its tick, when it is due, and waits for whoever takes it."""

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
from streams.clock import ReplayClock, Span
from streams.codec import chunk_values
from streams.records import WaveTick, tick_identity
from streams.sources.bed_replay import BedReplay, Drop, last_sample_ns
from streams.sources.player import FAST_TICK_NS, GAP_SHOWN_NS, TICK_NS, ReplayPlayer
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
        lag_ns: int = 0,
        drops: tuple[Drop, ...] = (),
        span: tuple[float, float] | None = None,
        credits: int = 1000,
        keep_credits: bool = False,
        cost_ns: int = 0,
        empty_s: tuple[tuple[float, float], ...] = (),
        fast_tick_ns: int = TICK_NS,
    ) -> None:
        begin, end = span or (0.0, source.duration_s)
        self.ticks: list[WaveTick] = []
        self.credits = Credits(credits, ["test"])
        self.keep_credits = keep_credits
        self.cost_ns, self.spent_ns = cost_ns, 0
        self.clock = ReplayClock(Span(round(begin * S), round(end * S)), speed, monotonic_ns=self.now_ns)
        bed = BedReplay("bed", "run", source, round(end * S), drops, empty_s)
        self.player = ReplayPlayer(bed, self.clock, fast_tick_ns=fast_tick_ns, lag_ns=lag_ns, monotonic_ns=self.now_ns)

    def now_ns(self) -> int:
        """A clock that every published tick moves by its cost."""
        return time.monotonic_ns() + self.spent_ns

    def emit(self, tick: WaveTick) -> bool:
        if not self.credits.acquire(tick_identity(tick)):
            return False
        self.ticks.append(tick)
        self.spent_ns += self.cost_ns
        if not self.keep_credits:
            self.credits.release("test", tick_identity(tick))
        return True

    def stop(self) -> None:
        self.player.stop()
        self.credits.close()

    @contextmanager
    def playing(self) -> Iterator[None]:
        with running(self.player.decode_ahead, lambda: self.player.send(self.emit), stop=self.stop):
            self.player.start()
            yield

    def play_out(self) -> list[WaveTick]:
        with self.playing():
            # The player has ended once the last tick is cut; it is handed over a moment later.
            wait_until(lambda: self.player.ended and self._ends() == 1, what="the end")
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
    tick_ns=st.sampled_from([TICK_NS, FAST_TICK_NS]),
)
def test_every_sample_comes_once_in_order(seconds: float, rate: float, origin: int, begin: float, tick_ns: int) -> None:
    source = CountingMap(seconds, {ECG: rate, ABP: 125.0}, {ECG: origin})
    end = source.duration_s
    ticks = Desk(source, span=(begin, end), fast_tick_ns=tick_ns).play_out()
    for modality, channel in source.channels.items():
        first = max(0, channel.first_index_at(round(begin * S)))
        last = min(channel.samples, channel.first_index_at(round(end * S)))
        np.testing.assert_array_equal(samples(ticks, modality), np.arange(first, last, dtype=np.float32))
    assert [t.tick_seq for t in ticks] == list(range(len(ticks)))
    assert [t.eos for t in ticks] == [False] * (len(ticks) - 1) + [True]
    for a, b in itertools.pairwise(ticks):
        assert a.end_ns == b.start_ns
    assert all(t.end_ns % tick_ns == 0 for t in ticks[:-2])


def test_a_change_of_speed_loses_no_sample_and_brings_another_length_of_ticks() -> None:
    source = CountingMap(40.0, {ECG: 500.0, ABP: 125.0})
    desk = Desk(source, speed=20.0, span=(0.13, 40.0), fast_tick_ns=FAST_TICK_NS)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) > 7)
        desk.player.set_speed(None)
        wait_until(lambda: desk.player.ended and desk._ends() == 1, what="the end")
    for modality, channel in source.channels.items():
        expected = np.arange(channel.first_index_at(round(0.13 * S)), channel.samples, dtype=np.float32)
        np.testing.assert_array_equal(samples(desk.ticks, modality), expected)
    lengths = [t.end_ns - t.start_ns for t in desk.ticks if not t.eos]
    assert lengths[1] == TICK_NS and lengths[-1] == FAST_TICK_NS
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(desk.ticks))


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
    sent: list[int] = []
    emit = desk.emit
    desk.emit = lambda tick: (sent.append(desk.now_ns()), emit(tick))[1]  # type: ignore[method-assign]
    desk.play_out()
    data = desk.ticks[:-1]
    dues = np.array([t.due_ns for t in data])
    newest = np.array([last_sample_ns(t.chunks, t.end_ns) for t in data])
    np.testing.assert_allclose(np.diff(dues), np.diff(newest) / 10.0, atol=2)
    assert all(at >= due for at, due in zip(sent, dues, strict=False))


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
    played = [t for t in again if t.goes_to_ns is None]
    assert (again[0].tick_seq, played[0].start_ns, again[-1].eos) == (0, round(7.5 * S), True)
    np.testing.assert_array_equal(samples(again, ABP), np.arange(1500, dtype=np.float32))
    np.testing.assert_array_equal(samples(played, ABP), np.arange(938, 1500, dtype=np.float32))
    last = [t for t in desk.ticks if t.epoch == 3 and t.goes_to_ns is None]
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
        assert (first.tick_seq, first.start_ns) == (0, (epoch * 100 - 60) * S)


# -- the pre-roll of a seek ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    to_s=st.floats(-5.0, 205.0), begin_s=st.floats(0.0, 3.0), speed=st.sampled_from([0.25, 50.0, None]),
    lag_ns=st.sampled_from([0, 700_000_000]),
)  # fmt: skip
def test_the_minute_before_a_seek_comes_at_once_and_without_a_hole(
    to_s: float, begin_s: float, speed: float | None, lag_ns: int
) -> None:
    desk = Desk(CountingMap(200.0), speed=speed, span=(begin_s, 200.0), lag_ns=lag_ns)
    desk.player.pause()
    with desk.playing():
        desk.player.seek(to_s)
        goes_to = min(max(round(to_s * S), round(begin_s * S)), 200 * S)
        wait_until(lambda: goes_to == round(begin_s * S) or any(t.end_ns == goes_to for t in desk.ticks))
        assert desk.player.position_s * S == pytest.approx(goes_to, abs=2), "it stands where it was to go"
    ticks = [t for t in desk.ticks if not t.eos]
    assert all(t.goes_to_ns == goes_to and t.due_ns == 0 for t in ticks), "nothing is played while it is paused"
    assert [t.tick_seq for t in ticks] == list(range(len(ticks)))
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(ticks))
    if ticks:
        assert ticks[0].start_ns == max((goes_to - 60 * S) // S * S, round(begin_s * S)) and ticks[-1].end_ns == goes_to
        first, last = (-(-t * 500 // S) for t in (ticks[0].start_ns, goes_to))
        np.testing.assert_array_equal(samples(ticks, ECG), np.arange(first, last, dtype=np.float32))


def test_time_runs_from_the_moment_sought_on_once_the_preroll_is_handled() -> None:
    desk = Desk(CountingMap(200.0), speed=2.0)
    emit = desk.emit

    def slow(tick: WaveTick) -> bool:
        desk.cost_ns = S // 10 if tick.goes_to_ns is not None else 0  # 1200 ticks take two minutes
        return emit(tick)

    desk.emit = slow  # type: ignore[method-assign]
    with desk.playing():
        wait_until(lambda: len(desk.ticks) > 0)
        desk.player.seek(100.0)
        wait_until(lambda: desk.ticks[-1].epoch == 1 and desk.ticks[-1].goes_to_ns is None)
    played = next(t for t in desk.ticks if t.epoch == 1 and t.goes_to_ns is None)
    assert (played.start_ns, played.tick_seq) == (100 * S, 1200)
    assert desk.player.given_up_s < 1.0, "the time that the pre-roll took is not time by which the replay is behind"


def test_a_cable_that_was_in_during_the_preroll_is_in_there_and_out_in_what_is_played() -> None:
    desk = Desk(CountingMap(400.0), speed=50.0, span=(0.0, 400.0))
    desk.player.pause()

    def held_of(epoch: int) -> set[int]:
        wait_until(lambda: desk.ticks and desk.ticks[-1].epoch == epoch and desk.ticks[-1].end_ns == at[epoch] * S)
        mine = [t for t in desk.ticks if t.epoch == epoch]
        return {t.start_ns for t in mine for c in t.chunks if c.modality == "ABP" and c.withheld}

    at = {1: 200, 2: 150, 3: 180, 4: 390}
    with desk.playing():
        desk.player.seek(200.0)
        wait_until(lambda: desk.ticks and desk.ticks[-1].end_ns == 200 * S)
        desk.player.set_dropped(ABP, True)
        assert held_of(1) == set()
        desk.player.seek(150.0)
        assert held_of(2) == set(), "before the cable was pulled it was in"
        desk.player.seek(180.0)
        assert held_of(3) == set(range(150 * S, 180 * S, TICK_NS)), "played on from 150 s it was out"
        desk.player.seek(390.0)
        assert held_of(4) == set(range(330 * S, 390 * S, TICK_NS))
        desk.player.resume()
        wait_until(lambda: desk.ticks[-1].goes_to_ns is None)
    assert all(c.withheld for t in desk.ticks if t.goes_to_ns is None for c in t.chunks if c.modality == "ABP")


def test_a_stretch_without_data_that_is_skipped_has_no_preroll() -> None:
    ticks = Desk(CountingMap(300.0), empty_s=((20.0, 200.0),)).play_out()
    assert all(t.goes_to_ns is None for t in ticks)
    assert next(t for t in ticks if t.epoch == 1).start_ns == 200 * S


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


def test_stop_ends_both_threads_while_they_wait_for_credits() -> None:
    desk = Desk(CountingMap(400.0), credits=1, keep_credits=True)
    with desk.playing():
        wait_until(lambda: len(desk.ticks) == 1)


def test_a_lag_delays_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.sources.player.BEHIND_NS", 1 << 60)  # a busy machine would fall back in between
    ticks = Desk(CountingMap(12.0), speed=50.0, lag_ns=700_000_000).play_out()
    np.testing.assert_array_equal(samples(ticks, ECG), np.arange(6000, dtype=np.float32))
    plain = Desk(CountingMap(12.0), speed=50.0)
    plain.play_out()
    behind = [
        (t.due_ns - ticks[0].due_ns) - (p.due_ns - plain.ticks[0].due_ns)
        for t, p in zip(ticks[:-1], plain.ticks[:-1], strict=True)
    ]
    assert max(map(abs, behind)) <= 2, "the lag is the same for every tick"
    assert ticks[0].due_ns > 0


def test_a_recording_that_fails_ends_the_thread_with_its_reason() -> None:
    source = CountingMap(5.0)
    desk = Desk(source)

    def broken(*_: object) -> None:
        raise OSError("disk gone")

    source.read = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(OSError, match="disk gone"):
        desk.player.decode_ahead()


def test_a_decoder_that_died_ends_the_sender_with_its_reason() -> None:
    desk = Desk(CountingMap(5.0))
    desk.player.fail("decode", OSError("disk gone"))
    with pytest.raises(OSError, match="disk gone"):
        desk.player.send(desk.emit)


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


def test_in_a_paced_run_time_passes_in_a_gap_too() -> None:
    """At a speed that somebody watches the gap is theirs to skip."""
    desk = Desk(CountingMap(200.0, {ECG: 5.0}), speed=50.0, span=(90.0, 110.0), empty_s=((10.0, 190.0),))
    assert played_s(desk.play_out()) == pytest.approx(20)
