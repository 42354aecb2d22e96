"""A live source on a simulated device and clock: every sample is accounted for, whatever goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import chunk_values
from streams.records import WaveTick
from streams.sources.device import Block, DeviceChannel
from streams.sources.live import LONGEST_PAUSE_S, MOST_JUMPS, LiveSource
from streams.sources.source import Seekable, Source
from streams.sources.ticks import LEAST_HOLD_NS
from streams.windower import BedWindower
from tests.sources.live.accounts import SECOND, account, check_grid
from tests.sources.live.simulated import Clock, SimulatedDevice

TICK = 50_000_000
BEFORE_S = LEAST_HOLD_NS / SECOND  # event time zero is so much before the beginning


def play(
    device: SimulatedDevice, seconds: float, *, on_tick: Callable[[LiveSource, WaveTick], None] | None = None
) -> tuple[LiveSource, list[WaveTick]]:
    clock = device.clock
    source = LiveSource(device, "bed", "s", monotonic_ns=clock, unix_ns=lambda: 0, random=Random(1), wait=clock.wait)
    ticks: list[WaveTick] = []
    source.describe()
    end = clock.now + round(seconds * SECOND)

    def emit(tick: WaveTick) -> bool:
        ticks.append(tick)
        if on_tick is not None:
            on_tick(source, tick)
        return clock.now < end

    source.run(emit)
    check_grid(ticks)
    return source, ticks


def delivered(device: SimulatedDevice, name: str) -> np.ndarray:
    return np.concatenate(device.delivered[name]).astype(float)


@pytest.mark.parametrize("stamps", ("last", "each", "none"))
@pytest.mark.parametrize("jitter_s", (0.0, 0.02))
@pytest.mark.parametrize("drift", (0.0, 200e-6, -500e-6))
def test_every_sample_once_in_order_and_at_its_time(stamps: str, jitter_s: float, drift: float) -> None:
    device = SimulatedDevice(Clock(), stamps=stamps, jitter_s=jitter_s, drift=drift)
    source, ticks = play(device, 20.0)
    for name, modality, rate in (("ECG_II", "ECG", 500.0), ("PLETH", "PPG", 125.0)):
        got = account(ticks, modality)
        sent = delivered(device, name)
        assert len(got.values) > 19 * rate
        np.testing.assert_array_equal(got.values, sent[: len(got.values)])
        assert len(sent) - len(got.values) < 0.4 * rate  # still held
        true_s = BEFORE_S + got.values / rate * (1.0 + drift)
        worst = np.abs(got.times - true_s)[got.values > 10 * rate].max()
        assert worst < 0.0065 + 0.5 * jitter_s + (0.025 if stamps == "none" else 0.0)
    assert source.counts() == dict.fromkeys(source.counts(), 0)
    assert {tick.epoch for tick in ticks} == {0}


def test_ticks_leave_in_time_and_say_when_their_newest_sample_was_due() -> None:
    device = SimulatedDevice(Clock(), block_s=0.02)
    clock, late = device.clock, []
    _, ticks = play(device, 20.0, on_tick=lambda _, tick: late.append(clock.now - tick.due_ns))
    assert np.max(late[20:]) < 0.05 * SECOND
    assert all(tick.end_ns - tick.start_ns == TICK and tick.start_ns % TICK == 0 for tick in ticks)
    assert [tick.due_ns for tick in ticks] == sorted(tick.due_ns for tick in ticks)


@pytest.mark.parametrize("stamps", ("last", "each"))
def test_what_a_device_loses_is_a_gap_of_as_many_samples(stamps: str) -> None:
    device = SimulatedDevice(Clock(), stamps=stamps, losses=((5.0, 5.2), (8.0, 10.0), (12.0, 12.08)))
    source, ticks = play(device, 15.0)
    for name, modality in (("ECG_II", "ECG"), ("PLETH", "PPG")):
        got = account(ticks, modality)
        np.testing.assert_array_equal(got.values, delivered(device, name)[: len(got.values)])
        np.testing.assert_array_equal(got.indices, got.values)  # the index is the device's own count
    assert source.counts()["gaps"] == 6
    assert source.counts()["epochs"] == 0


def test_a_counting_device_makes_short_losses_exact_under_jitter() -> None:
    device = SimulatedDevice(Clock(), counts=True, jitter_s=0.02, losses=((5.0, 5.04), (10.0, 12.0)))
    _, ticks = play(device, 20.0)
    got = account(ticks, "ECG")
    np.testing.assert_array_equal(got.indices, got.values)
    np.testing.assert_array_equal(got.values, delivered(device, "ECG_II")[: len(got.values)])


@pytest.mark.parametrize("by", (200_000.0, -200_000.0))
@pytest.mark.parametrize("stamps", ("last", "each"))
@pytest.mark.parametrize("drift", (0.0, 200e-6))
def test_a_clock_jump_begins_an_epoch_and_loses_nothing(by: float, stamps: str, drift: float) -> None:
    device = SimulatedDevice(
        Clock(), stamps=stamps, jitter_s=0.02, drift=drift, steps=((10.01, by), (16.0, -by)), block_s=0.03
    )
    source, ticks = play(device, 22.0)
    for name, modality, rate in (("ECG_II", "ECG", 500.0), ("PLETH", "PPG", 125.0)):
        got = account(ticks, modality)
        np.testing.assert_array_equal(got.values, delivered(device, name)[: len(got.values)])
        assert (np.diff(got.times) > 0).all()
        assert np.diff(got.times).max() < 0.3  # no run of nothing
        assert np.abs(got.times - BEFORE_S - got.values / rate * (1 + drift)).max() < 0.3  # time is the receiver's
    assert {tick.epoch for tick in ticks} == {0, 1, 2}
    assert source.counts()["epochs"] == 2
    assert source.counts()["late_samples"] == source.counts()["missing_samples"] == 0
    assert ticks[-1].end_ns / SECOND == pytest.approx(22.0, abs=0.6)


@pytest.mark.parametrize("by", (200_000.0, -200_000.0))
@pytest.mark.parametrize("stamps", ("last", "each"))
def test_where_one_clock_jumps_the_whole_bed_begins_anew_on_one_axis_and_nothing_is_glued(
    by: float, stamps: str
) -> None:
    device = SimulatedDevice(Clock(), stamps=stamps, jitter_s=0.01, steps=((10.01, by),), stepping=("ECG_II",))
    source, ticks = play(device, 20.0)
    assert {t.epoch for t in ticks} == {0, 1} and source.counts()["epochs"] == 1
    begins_ns = next(t.start_ns for t in ticks if t.epoch == 1)
    for name, modality, rate in (("ECG_II", "ECG", 500.0), ("PLETH", "PPG", 125.0)):
        got = account(ticks, modality)
        np.testing.assert_array_equal(got.values, delivered(device, name)[: len(got.values)])
        assert (np.diff(got.times) > 0).all()
        np.testing.assert_array_equal(got.epochs, 1.0 * (got.times * SECOND >= begins_ns - 1000))
        late_s = got.times - BEFORE_S - got.values / rate
        assert np.abs(late_s).max() < (0.15 if modality == "ECG" else 0.02), "the other one stays where it is"
    windower, before, after = (
        BedWindower(WindowSpec(modalities=(Modality.ECG, Modality.PPG), frames=3), Accounting()),
        [],
        [],
    )
    for tick in ticks:
        for job in windower.handle(tick, 0).windows:
            (after if job.epoch else before).append(job.window)
    assert before and after
    for window in after:
        empty = max(0, begins_ns // (SECOND // 100) - (window.end_s * 100 - window.signals.shape[1]))
        assert np.isnan(window.signals[:, :empty]).all(), "of either channel nothing from before the jump"
    assert np.isnan(after[0].signals).any() and np.isfinite(after[-1].signals[:, -100:]).all()


def test_a_clock_that_jumps_all_the_time_does_not_keep_the_bed_from_everything() -> None:
    steps = tuple((2.0 * k + 3.0, 200_000.0 * (-1) ** k) for k in range(25))
    device = SimulatedDevice(Clock(), steps=steps, stepping=("PLETH",))
    source, ticks = play(device, 60.0)
    assert source.counts()["epochs"] == MOST_JUMPS
    last = [t for t in ticks if t.epoch == MOST_JUMPS]
    assert last[-1].end_ns - last[0].start_ns > 50 * SECOND, "long enough for every alarm"
    for name, modality, rate in (("ECG_II", "ECG", 500.0), ("PLETH", "PPG", 125.0)):
        got = account(ticks, modality)
        np.testing.assert_array_equal(got.values, delivered(device, name)[: len(got.values)])
        assert np.abs(got.times - BEFORE_S - got.values / rate).max() < 0.3


def test_another_patient_begins_a_session_and_no_sample_is_in_the_wrong_one() -> None:
    device = SimulatedDevice(Clock(), patients=(10.015, 20.0), jitter_s=0.02, losses=((25.0, 27.0),))

    def drop(source: LiveSource, tick: WaveTick) -> None:
        if tick.start_ns == 2 * SECOND:
            source.set_dropped(Modality.PPG, True)

    source, ticks = play(device, 30.0, on_tick=drop)
    assert list(dict.fromkeys((t.session, t.epoch) for t in ticks)) == [("s", 0), ("s+2", 1), ("s+3", 2)]
    for name, modality, rate in (("ECG_II", "ECG", 500.0), ("PLETH", "PPG", 125.0)):
        got = account(ticks, modality)
        np.testing.assert_array_equal(got.values, delivered(device, name)[: len(got.values)])
        assert (np.diff(got.times) > 0).all()
        np.testing.assert_array_equal(got.epochs, 1.0 * (got.values / rate > 10.015) + (got.values / rate > 20.0))
        assert np.abs(got.times - BEFORE_S - got.values / rate).max() < 0.3  # one axis of time
        first = got.indices[np.flatnonzero(np.diff(got.epochs)) + 1]
        assert (first == 0).all(), "each begins its count anew"
    assert {t.session for t in ticks if any(c.withheld for c in t.chunks)} == {"s"}
    assert source.dropped_now() == frozenset(), "what was withheld of one is not withheld of the next"
    counts = source.counts()
    assert counts["patients"] == counts["losses"] == counts["epochs"] == 2 and counts["late_samples"] == 0


def test_another_patient_who_came_while_the_device_was_lost() -> None:
    device = SimulatedDevice(Clock(), patients=(12.0,), absent=((10.0, 14.0),))
    source, ticks = play(device, 40.0)
    assert list(dict.fromkeys((t.session, t.epoch) for t in ticks)) == [("s", 0), ("s+2", 1)]
    got = account(ticks, "ECG")
    np.testing.assert_array_equal(got.values, delivered(device, "ECG_II")[: len(got.values)])
    np.testing.assert_array_equal(got.epochs, 1.0 * (got.values / 500.0 > 12.0))
    assert source.counts()["patients"] == 1 and source.counts()["late_samples"] == 0


def test_a_lost_device_leaves_empty_ticks_and_comes_back_as_a_gap() -> None:
    device = SimulatedDevice(Clock(), absent=((10.0, 40.0),))
    source, ticks = play(device, 60.0)
    got = account(ticks, "ECG")
    np.testing.assert_array_equal(got.values, delivered(device, "ECG_II")[: len(got.values)])
    np.testing.assert_array_equal(got.indices, got.values)
    assert source.counts()["losses"] == 1 and source.counts()["epochs"] == 0
    empty = [t for t in ticks if not any(c.data for c in t.chunks)]
    assert 28 * 20 < len(empty) < 45 * 20
    assert all(len(tick.chunks) == 2 for tick in ticks)  # every tick names every channel
    again = np.diff([a for a in device.attempts if 10.0 <= a <= 40.0])
    assert again[0] < 1.0 and again.max() <= LONGEST_PAUSE_S + 0.5  # backs off
    assert again[-1] > again[0]
    assert not source.lost and device.opened == len(device.attempts)


def test_a_device_that_comes_back_otherwise_stays_empty() -> None:
    device = SimulatedDevice(Clock(), absent=((5.0, 6.0),))

    def change(source: LiveSource, tick: WaveTick) -> None:
        if source.lost:
            device.channels = (DeviceChannel("ECG_II", "mV", 250.0), DeviceChannel("PLETH", "", 125.0))

    source, ticks = play(device, 15.0, on_tick=change)
    assert account(ticks, "ECG").times.max() < 6.0
    assert account(ticks, "PPG").times.max() > 14.0
    assert source.counts()["ignored_samples"] > 0


def test_a_device_with_long_blocks_is_waited_for() -> None:
    """Blocks of a second: the first is partly late, then the hold has learnt it."""
    device = SimulatedDevice(Clock(), block_s=1.0)
    source, ticks = play(device, 30.0)
    got = account(ticks, "ECG")
    np.testing.assert_array_equal(np.diff(got.values), 1.0)
    late = source.counts()["late_samples"]
    assert late == got.values[0] + account(ticks, "PPG").values[0] > 0


def test_this_machine_standing_still_loses_nothing_that_was_kept() -> None:
    clock = Clock()
    device = SimulatedDevice(clock)

    def stall(source: LiveSource, tick: WaveTick) -> None:
        if tick.tick_seq == 200:
            clock.now += 30 * SECOND

    source, ticks = play(device, 60.0, on_tick=stall)
    got = account(ticks, "ECG")
    np.testing.assert_array_equal(got.values, delivered(device, "ECG_II")[: len(got.values)])
    assert source.counts()["late_samples"] == source.counts()["epochs"] == 0


def test_an_hour_of_standing_still_is_not_worked_off() -> None:
    clock = Clock()
    device = SimulatedDevice(clock)

    def suspend(source: LiveSource, tick: WaveTick) -> None:
        if tick.tick_seq == 200 and tick.epoch == 0:
            clock.now += 3600 * SECOND
            device.sent = {name: round(device.true_s * rate) for name, rate in (("ECG_II", 500.0), ("PLETH", 125.0))}

    _, ticks = play(device, 3630.0, on_tick=suspend)
    assert len(ticks) < 45 * 20
    assert {t.epoch for t in ticks} == {0, 1}
    assert account(ticks, "ECG").times.max() > 3625.0


def test_withheld_is_marked_from_the_next_tick_on() -> None:
    device = SimulatedDevice(Clock())

    def drop(source: LiveSource, tick: WaveTick) -> None:
        source.set_dropped(Modality.PPG, 20 <= tick.tick_seq < 40)

    source, ticks = play(device, 4.0, on_tick=drop)
    marked = [t.tick_seq for t in ticks if any(c.withheld for c in t.chunks)]
    assert marked == list(range(21, 41))
    assert all(c.modality == "PPG" for t in ticks for c in t.chunks if c.withheld)
    assert source.dropped_now() == frozenset()


def test_names_units_and_leads_are_those_of_files() -> None:
    channels = (
        DeviceChannel("MON/V5", "uV", 250.0),
        DeviceChannel("MON/II", "V", 250.0),
        DeviceChannel("ART", "kPa", 125.0),
        DeviceChannel("CVP", "mmHg", 125.0),
        DeviceChannel("PLETH", "mmol", 1.0),
        DeviceChannel("whatever", "uV", 128.0, declared="EEG"),
        DeviceChannel("EEG1", "uV", 128.0, declared="other"),
    )
    device = SimulatedDevice(Clock(), channels=channels)
    source = LiveSource(device, "bed", "s", monotonic_ns=device.clock, wait=device.clock.wait)
    bed = source.describe()
    assert [(c.modality, c.label, c.unit, c.lead) for c in bed.channels] == [
        ("ECG", "II", "mV", 0),
        ("ECG", "V5", "mV", 1),
        ("ABP", "ART", "mmHg", 0),
        ("EEG", "whatever", "uV", 0),
        ("CVP", "CVP", "mmHg", 0),
    ]
    assert [name for name, _ in source.left_out] == ["PLETH", "EEG1"]
    assert "sampling rate is 1 Hz" in dict(source.left_out)["PLETH"]
    assert bed.end_ns is None and not bed.seekable and bed.zero_unix_ns
    ticks: list[WaveTick] = []
    source.run(lambda tick: ticks.append(tick) is None and len(ticks) < 60)
    ecg, abp = account(ticks, "ECG"), account(ticks, "ABP")
    np.testing.assert_allclose(ecg.values, ecg.indices * 1e3)
    np.testing.assert_allclose(abp.values, abp.indices * 7.500617, rtol=1e-5)


def test_overrides_and_errors_are_sentences() -> None:
    device = SimulatedDevice(Clock(), channels=(DeviceChannel("foo", "mV", 250.0), DeviceChannel("bar", "", 100.0)))

    def described(**kwargs: object) -> list[str]:
        return [c.label for c in LiveSource(device, "b", "s", monotonic_ns=device.clock, **kwargs).describe().channels]

    assert described(overrides={"ECG": "foo"}) == ["foo"]
    with pytest.raises(BadInput, match="wave tracks 'foo', 'bar'"):
        described()
    assert device.closed  # what cannot be used is given back
    device.absent = ((0.0, 1e9),)
    with pytest.raises(BadInput, match="'simulated' to answer, found simulated does not answer; is it switched on"):
        described()
    device = SimulatedDevice(Clock(), channels=(DeviceChannel("II", "mV", 100.0),) * 2)
    with pytest.raises(BadInput, match="a name of its own"):
        described()


def test_stamps_that_are_no_numbers_are_left_out_and_counted() -> None:
    class Broken(SimulatedDevice):
        def _stamps(self, times: np.ndarray, name: str) -> np.ndarray:
            return np.array([np.nan])

    source, ticks = play(Broken(Clock()), 2.0)
    assert source.counts()["unusable_samples"] > 900
    assert not account(ticks, "ECG").values.size


def test_it_is_a_source_and_not_seekable() -> None:
    source: Source = LiveSource(SimulatedDevice(Clock()), "b", "s")
    assert not isinstance(source, Seekable)


def test_stop_from_another_thread_returns_soon_and_closes() -> None:
    class Slow:
        name = "slow"
        closed = False

        def open(self, timeout_s: float) -> list[DeviceChannel]:
            return [DeviceChannel("II", "mV", 250.0)]

        def read(self, timeout_s: float) -> list[Block]:
            time.sleep(timeout_s)
            return []

        def close(self) -> None:
            self.closed = True

    device = Slow()
    source, ticked = LiveSource(device, "b", "s"), threading.Event()
    source.describe()

    def emit(tick: WaveTick) -> bool:
        ticked.set()
        return True

    thread = threading.Thread(target=source.run, args=(emit,))
    thread.start()
    assert ticked.wait(10)
    source.stop()
    thread.join(10)
    assert not thread.is_alive() and device.closed


@pytest.mark.parametrize("drift", (500e-6, -500e-6))
def test_behind_the_source_a_new_line_leaves_no_hole_and_bends_nothing(drift: float) -> None:
    """A ramp through the pipeline: every 10 ms the grid shows the sample that was taken then, also where lines meet."""
    device = SimulatedDevice(Clock(), channels=(DeviceChannel("II", "mV", 500.0),), drift=drift)
    _, ticks = play(device, 45.0)
    lines = {(c.origin_ns, c.rate_hz) for t in ticks for c in t.chunks if c.data}
    assert len(lines) >= 3
    pipeline = BedPipeline(WindowSpec(modalities=(Modality.ECG,)), {Modality.ECG})
    for tick in ticks:
        here = [c for c in tick.chunks if c.data]
        chunks = [Chunk(Modality.ECG, c.rate_hz, c.origin_ns, c.first_index, chunk_values(c.data)) for c in here]
        pipeline.push(chunks, tick.start_ns, tick.end_ns)
    grid = pipeline.grid(Modality.ECG, 200, 4300).astype(float)
    assert not np.isnan(grid).any()
    true_s = np.arange(200, 4300) / 100.0 - BEFORE_S
    assert np.abs(grid / 500.0 * (1.0 + drift) - true_s).max() < 0.012  # a line is off by 5 ms, a seam by a few more
    assert pipeline.late_samples == pipeline.early_samples == pipeline.duplicate_samples == 0
