"""One bed's ticks under every kind of delivery: duplicates, losses, late ticks, new epochs, absent sensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from models.data.simulator import open_demo
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Chunk, PipelineOutput
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec
from streams.accounting import Accounting
from streams.records import (
    AnyRecord,
    BeatRecord,
    CellRecord,
    MemoryRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)
from streams.sources.bed_replay import BedReplay
from streams.windower import BedWindower
from tests.streams.sources import PatientMap, S

TICK = 50_000_000
SPEC = WindowSpec(frames=3)
OWN_DELAY = CONTEXT_FIELDS.index("own_delay_s")
_patient = PatientMap(40.0)


def make_ticks(
    seconds: float, *, epoch: int = 0, start_s: float = 0.0, session: str = "s", patient: Any = _patient
) -> list[WaveTick]:
    """The ticks of the test patient, due at event time + 1 s on a monotonic clock."""
    if patient is _patient:
        return list(_of_the_patient(seconds, epoch, start_s, session))
    return _made(seconds, epoch, start_s, session, patient)


@cache
def _of_the_patient(seconds: float, epoch: int, start_s: float, session: str) -> tuple[WaveTick, ...]:
    """Read once, however many examples of a property want them."""
    return tuple(_made(seconds, epoch, start_s, session, _patient))


def _made(seconds: float, epoch: int, start_s: float, session: str, patient: Any) -> list[WaveTick]:
    start, end = round(start_s * S), round((start_s + seconds) * S)
    replay = BedReplay("bed1", session, patient, max(40 * S, end))
    segments = replay.decode(start, end)
    ticks = []
    for sequence, at in enumerate(range(start, end, TICK)):
        ticks.append(
            WaveTick(
                bed="bed1", session=session, epoch=epoch, tick_seq=sequence, start_ns=at, end_ns=at + TICK,
                due_ns=at + TICK + S, chunks=replay.chunks(segments, at, at + TICK),
            )
        )  # fmt: skip
    return ticks


class Desk:
    def __init__(self) -> None:
        self.accounting = Accounting()
        self.windower = BedWindower(SPEC, self.accounting)
        self.records: list[AnyRecord] = []
        self.windows: list[Window] = []
        self.stamps: list[dict[str, int]] = []
        self.keys: list[Hashable] = []

    def feed(self, ticks: Sequence[WaveTick]) -> Desk:
        for tick in ticks:
            handled = self.windower.handle(tick, tick.due_ns + 1_000_000)
            self.records += handled.records
            self.windows += [job.window for job in handled.windows]
            self.stamps += [job.stamps for job in handled.windows]
            self.keys += [job.key for job in handled.windows]
        return self

    def of(self, kind: type) -> list[AnyRecord]:
        return [r for r in self.records if isinstance(r, kind)]

    @property
    def ppg(self) -> dict[str, int]:
        return self.accounting.samples(complete=False)["PPG"]


def same(a: list[Window], b: list[Window]) -> None:
    assert [w.end_s for w in a] == [w.end_s for w in b]
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.signals, other.signals)
        np.testing.assert_array_equal(one.cells, other.cells)
        np.testing.assert_array_equal(one.context, other.context)


CLEAN = Desk().feed(make_ticks(16))


def test_once_a_second_cells_vitals_and_a_window() -> None:
    assert [c.second for c in CLEAN.of(CellRecord)] == list(range(15))
    assert [v.time_ns for v in CLEAN.of(VitalsRecord)] == [s * S for s in range(1, 16)]
    assert [w.end_s for w in CLEAN.windows] == list(range(1, 16))
    assert [r.time_ns for r in CLEAN.of(RhythmRecord)] == [s * S for s in range(1, 16)]
    order = [type(r) for r in CLEAN.records if isinstance(r, CellRecord | VitalsRecord | RhythmRecord)]
    assert order == [CellRecord, VitalsRecord, RhythmRecord] * 15  # the alarm engine counts on it
    seconds = {r.time_ns // S for r in CLEAN.of(StateRecord)}
    assert seconds == set(range(17)) or seconds == set(range(16))
    assert CLEAN.of(VitalsRecord)[-1].hr is not None
    beats = CLEAN.of(BeatRecord)
    assert len(beats) > 8 and [b.time_ns for b in beats] == sorted(b.time_ns for b in beats)


def test_what_the_sensors_say_is_that_of_the_window_and_of_the_record() -> None:
    assert [r.rhythm for r in CLEAN.of(RhythmRecord)][4:] == ["beats"] * 11
    assert all(r.calls == [] for r in CLEAN.of(RhythmRecord))
    assert {r.pulse["ABP"] for r in CLEAN.of(RhythmRecord)[5:]} == {"present"}
    for window, record in zip(CLEAN.windows, CLEAN.of(RhythmRecord), strict=True):
        assert window.findings.rhythm.value == record.rhythm
        assert {m.value: p.value for m, p in window.findings.pulse.items()} == record.pulse
        assert sorted(m.value for m in window.findings.overdue) == sorted(record.overdue)


def test_the_delay_that_is_said_is_the_one_that_the_model_is_told() -> None:
    desk = Desk().feed(make_ticks(40, patient=map_channels(open_demo("demo:duration=40"))))
    told = {w.end_s: w.context[SPEC.modalities.index(Modality.PPG), OWN_DELAY] for w in desk.windows}
    said = {r.time_ns // S: r.rppg_delay_s for r in desk.of(VitalsRecord) if r.rppg_delay_s is not None}
    assert len(said) > 15 and all(0.5 < delay < 0.8 for delay in said.values())
    assert {at: np.float32(delay) for at, delay in said.items()} == {at: told[at] for at in said}
    assert all(np.isnan(told[at]) for at in told if at < min(said))


def test_stamps_are_those_of_the_tick_that_ended_the_window() -> None:
    for window, stamps in zip(CLEAN.windows, CLEAN.stamps, strict=True):
        assert stamps["due"] == window.end_s * S + S
        assert stamps["received"] == stamps["due"] + 1_000_000


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 319), max_size=30))
def test_duplicates_change_nothing_but_their_count(again: list[int]) -> None:
    ticks = make_ticks(16)
    delivered: list[WaveTick] = []
    for i, tick in enumerate(ticks):
        delivered += [tick] + [ticks[j] for j in again if j <= i and (i - j) % 7 == 0]
    desk = Desk().feed(delivered)
    same(desk.windows, CLEAN.windows)
    assert desk.records == CLEAN.records
    repeated = len(delivered) - len(ticks)
    assert desk.accounting.counted("ticks_duplicated") == repeated
    assert desk.ppg == {"sent": 0, "received": 1600, "lost": 0, "duplicated": 5 * repeated, "withheld": 0}


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(1, 318), max_size=40))
def test_what_is_lost_is_counted_to_the_sample(gone: set[int]) -> None:
    desk = Desk().feed([t for t in make_ticks(16) if t.tick_seq not in gone])
    assert desk.ppg["lost"] == 5 * len(gone) and desk.ppg["received"] == 1600 - 5 * len(gone)
    assert desk.accounting.counted("ticks_missed") == len(gone)
    for window in desk.windows:
        grid = np.arange((window.end_s - SPEC.window_s) * 100, window.end_s * 100)
        signal = window.signals[SPEC.modalities.index(Modality.PPG)]
        lost = np.isin(grid // 5, list(gone)) | (grid < 0)
        # Under a lost tick the grid is missing, but for what its neighbours' kernel reaches over the edge: nothing.
        assert np.isnan(signal[lost]).all(), "a lost sample was invented"


def test_a_late_tick_is_taken_in_and_no_longer_lost() -> None:
    ticks = make_ticks(16)
    order = ticks[:100] + ticks[103:110] + ticks[100:103] + ticks[110:]
    desk = Desk().feed(order)
    assert desk.ppg["lost"] == 0 and desk.ppg["received"] == 1600
    assert desk.accounting.counted("ticks_late") == 3
    # The gap lies at 5.0-5.15 s; the window that ends at 12 s holds it, amended.
    amended, clean = (next(w for w in d.windows if w.end_s == 12) for d in (desk, CLEAN))
    np.testing.assert_array_equal(amended.signals, clean.signals)
    np.testing.assert_array_equal(amended.cells, clean.cells)


def test_samples_that_come_too_late_are_received_but_counted() -> None:
    ticks = make_ticks(16)
    desk = Desk().feed([*ticks[:100], *ticks[103:150], *ticks[100:103], *ticks[150:]])  # 2.35 s late
    samples = desk.accounting.samples(complete=False)
    assert desk.ppg["lost"] == 0 and desk.ppg["received"] == 1600
    three_ticks = sum(counts["received"] for counts in samples.values()) * 3 // 320
    assert desk.accounting.counted("late_samples") == pytest.approx(three_ticks, abs=4)
    assert CLEAN.accounting.counted("late_samples") == CLEAN.accounting.counted("early_samples") == 0


def test_a_worker_that_takes_over_begins_with_what_it_gets() -> None:
    desk = Desk().feed(make_ticks(16)[200:])
    assert desk.ppg["lost"] == 0
    assert desk.windows[0].end_s == 11
    assert not desk.windows[0].cells[:, :-1].any()


@pytest.mark.parametrize("change", ["epoch", "session"])
def test_a_new_epoch_or_session_glues_nothing(change: str) -> None:
    old = make_ticks(12)
    new = make_ticks(12, start_s=20, **({"epoch": 1} if change == "epoch" else {"session": "s2"}))
    desk = Desk().feed(old).feed(new)
    alone = Desk().feed(new)
    same(desk.windows[-len(alone.windows) :], alone.windows)
    assert desk.records[-len(alone.records) :] == alone.records


def test_what_comes_after_its_epoch_is_a_duplicate() -> None:
    desk = Desk().feed(make_ticks(4)).feed(make_ticks(4, epoch=1))
    before = len(desk.records)
    desk.feed(make_ticks(2)[:3])
    assert len(desk.records) == before and desk.accounting.counted("ticks_duplicated") == 3


def test_the_end_closes_what_is_complete_and_comes_once() -> None:
    end = WaveTick(bed="bed1", session="s", epoch=0, tick_seq=320, start_ns=16 * S, end_ns=16 * S, eos=True)
    desk = Desk().feed(make_ticks(16))
    handled = desk.windower.handle(end, 0)
    assert handled.ended and [job.window.end_s for job in handled.windows] == [16]
    assert not desk.windower.handle(end, 0).ended


def test_an_end_without_any_tick_is_an_end() -> None:
    end = WaveTick(bed="bed1", session="s", epoch=0, tick_seq=0, start_ns=0, end_ns=0, eos=True)
    handled = Desk().windower.handle(end, 0)
    assert handled.ended and not handled.windows


def test_memory_of_skipped_ticks_is_bounded() -> None:
    desk = Desk()
    ticks = make_ticks(0.1)
    desk.feed([ticks[0]])
    far = WaveTick(bed="bed1", session="s", epoch=0, tick_seq=10**9, start_ns=S, end_ns=S + TICK)
    desk.feed([far])
    assert len(desk.windower._now.missing) <= 4096
    assert desk.accounting.counted("ticks_missed") == 10**9 - 1


# -- jumps of the clock ---------------------------------------------------------------------------------------------


def at_other_time(ticks: Sequence[WaveTick], shift_ns: int, first_seq: int) -> list[WaveTick]:
    """The same ticks as a source whose clock has jumped would send them, numbered on from ``first_seq``."""
    return [
        replace(
            tick, tick_seq=first_seq + i, start_ns=tick.start_ns + shift_ns, end_ns=tick.end_ns + shift_ns,
            chunks=[replace(c, origin_ns=c.origin_ns + shift_ns) for c in tick.chunks],
        )
        for i, tick in enumerate(ticks)
    ]  # fmt: skip


class CountingPipeline(BedPipeline):
    """Knows the most cells that one call has closed."""

    most_cells = 0

    def push(self, chunks: Sequence[Chunk], start_ns: int, end_ns: int) -> PipelineOutput:
        output = super().push(chunks, start_ns, end_ns)
        CountingPipeline.most_cells = max(CountingPipeline.most_cells, len(output.cells))
        return output


@pytest.mark.parametrize("absurd_ns", [2**61, -(2**61), 3599 * S, 14 * S, -30 * S])
def test_one_tick_of_an_absurd_time_does_not_blind_the_bed(absurd_ns: int) -> None:
    """The bed begins anew behind it, as after a seek; the rest is as if it had begun there."""
    ticks, seq = make_ticks(20), 100
    (absurd,) = at_other_time([ticks[seq]], absurd_ns, seq)
    CountingPipeline.most_cells = 0
    desk = Desk()
    desk.windower = BedWindower(SPEC, desk.accounting, CountingPipeline)
    desk.feed(ticks[:seq]).feed([absurd])
    records, windows = len(desk.records), len(desk.windows)
    desk.feed(at_other_time(ticks[seq:], 0, seq + 1))
    alone = Desk().feed(at_other_time(ticks[seq:], 0, 0))
    assert alone.windows[-1].end_s == 19
    same(desk.windows[windows:], alone.windows)
    assert desk.records[records:] == alone.records
    assert CountingPipeline.most_cells == 1
    assert desk.accounting.counted("clock_jumps") == 2
    assert set(desk.keys[:windows]) == {("bed1", "s", 0, 0)} and set(desk.keys[windows:]) == {("bed1", "s", 0, 2)}
    assert desk.ppg["received"] == 2005 and desk.ppg["lost"] == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(-(2**40), 2**40), st.integers(20, 200))
def test_a_clock_that_jumps_and_stays_begins_anew_with_bounded_work(shift_ns: int, seq: int) -> None:
    ticks = make_ticks(12)
    CountingPipeline.most_cells = 0
    desk = Desk()
    desk.windower = BedWindower(SPEC, desk.accounting, CountingPipeline)
    desk.feed(ticks[:seq]).feed(at_other_time(ticks[seq:], shift_ns, seq))
    assert CountingPipeline.most_cells <= SPEC.window_s + 1
    assert desk.accounting.counted("clock_jumps") == (not -2 * S <= shift_ns <= SPEC.window_s * S)
    end_s = (12 * S + shift_ns) // S
    if shift_ns > -2 * S:
        assert desk.of(CellRecord)[-1].second >= end_s - 3


def test_a_gap_of_seconds_in_a_recording_or_on_the_way_is_no_jump() -> None:
    ticks = make_ticks(40)
    empty = [replace(t, chunks=[]) if 10 * S <= t.start_ns < 35 * S else t for t in ticks]
    desk = Desk().feed(empty)
    assert desk.accounting.counted("clock_jumps") == 0
    assert [c.second for c in desk.of(CellRecord)] == list(range(39))
    lost = Desk().feed([t for t in ticks if not 10 * S <= t.start_ns < 18 * S])
    assert lost.accounting.counted("clock_jumps") == 0 and lost.ppg["lost"] == 800
    assert [c.second for c in lost.of(CellRecord)] == list(range(39))


def test_what_an_outage_longer_than_a_window_took_is_lost() -> None:
    ticks = make_ticks(40)
    desk = Desk().feed([t for t in ticks if not 10 * S <= t.start_ns < 30 * S])
    assert desk.accounting.counted("clock_jumps") == 1
    assert desk.ppg["lost"] == 2000 and desk.ppg["received"] == 2000
    assert desk.windows[-1].end_s == 39


def test_a_late_tick_cannot_move_the_clock() -> None:
    ticks = make_ticks(16)
    (strange,) = at_other_time([ticks[100]], 2**60, 100)
    desk = Desk().feed([*ticks[:100], *ticks[101:105], strange, *ticks[105:]])
    assert desk.accounting.counted("early_samples") == sum(len(c.data) // 4 for c in strange.chunks)
    assert desk.accounting.counted("clock_jumps") == 0
    assert [w.end_s for w in desk.windows] == list(range(1, 16))


@pytest.mark.parametrize("seq", [320, 50])
def test_an_end_of_an_absurd_time_is_an_end(seq: int) -> None:
    ticks = make_ticks(16)
    if seq == 50:
        del ticks[50]
    desk = Desk().feed(ticks)
    end = WaveTick(bed="bed1", session="s", epoch=0, tick_seq=seq, start_ns=2**61, end_ns=2**61, eos=True)
    handled = desk.windower.handle(end, 0)
    assert handled.ended and [job.window.end_s for job in handled.windows] == [16]


def taken_over(ticks: Sequence[WaveTick], at: int, warm: int) -> tuple[Desk, Desk]:
    """Desks of which one has had all ticks, and the other those from ``warm`` on and what the first told at ``at``."""
    straight, heir = Desk(), Desk()
    straight.feed(ticks[: at + 1])
    memory = straight.windower.export(ticks[at])
    assert memory is not None
    heir.windower.inherit(memory)
    heir.feed(ticks[warm : at + 1])
    for desk in (straight, heir):
        desk.records.clear()
        desk.windows.clear()
        desk.feed(ticks[at + 1 :])
    return straight, heir


def long_ticks(seconds: int = 110) -> list[WaveTick]:
    """The pressure is there for the first 20 s only."""
    ticks = make_ticks(seconds, patient=PatientMap(seconds + 5.0))
    return [
        replace(t, chunks=[replace(c, withheld=c.modality == "ABP" and t.start_ns >= 20 * S) for c in t.chunks])
        for t in ticks
    ]


def test_who_takes_over_tells_what_the_one_before_would_have_told() -> None:
    ticks = long_ticks()
    straight, heir = taken_over(ticks, 100 * 20, 32 * 20)
    assert heir.records == straight.records and len(heir.windows) == len(straight.windows) >= 9
    same(heir.windows, straight.windows)
    assert heir.windows[-1].context[1, 2] == heir.windows[-1].end_s - 20


@cache
def half_a_minute_missed() -> tuple[list[WaveTick], MemoryRecord, Desk]:
    """A minute's ticks, what is told after 50 s, and a desk that had those from 30 s on and was told nothing."""
    ticks = long_ticks(60)
    straight = Desk().feed(ticks[: 50 * 20 + 1])
    told = straight.windower.export(ticks[50 * 20])
    assert told is not None
    return ticks, told, Desk().feed(ticks[30 * 20 :])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, epoch=1),
        lambda m: replace(m, session="another"),
        lambda m: replace(m, tick_seq=5),
        lambda m: replace(m, signals=replace(m.signals, modalities=["ABP", "ECG", "PPG", "EEG"])),
        lambda m: replace(m, signals=None),
        lambda m: replace(m, signals=replace(m.signals, second=2)),
        lambda m: replace(m, signals=replace(m.signals, second=2000)),
    ],
)
def test_what_is_known_of_another_time_or_patient_is_left_aside(change: Any) -> None:
    ticks, told, alone = half_a_minute_missed()
    heir = Desk()
    heir.windower.inherit(change(told))
    heir.feed(ticks[30 * 20 :])
    same(heir.windows, alone.windows)
    assert np.isnan(heir.windows[-1].context[1]).all()


def test_a_bed_without_a_settled_cell_has_nothing_to_tell() -> None:
    desk = Desk()
    ticks = make_ticks(10)
    told = []
    for tick in ticks:
        desk.feed([tick])
        told.append(desk.windower.export(tick))
    first = next(i for i, memory in enumerate(told) if memory is not None)
    assert 4.0 < ticks[first].end_ns / S <= 4.2
    assert all(memory is not None for memory in told[first:])
