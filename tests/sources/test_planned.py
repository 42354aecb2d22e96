"""A live source with a plan: its end, and sensors withheld for stretches."""

from __future__ import annotations

import threading

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.records import BedChannel, BedRecord, WaveChunk, WaveTick
from streams.sources.bed_replay import Drop
from streams.sources.planned import PlannedSource
from streams.sources.source import Emit, Seekable

STEP = 50_000_000
ABP, ECG = Modality.ABP, Modality.ECG


class Endless:
    """Ticks as fast as they are taken."""

    epoch = 0

    def __init__(self) -> None:
        self.position_s, self.held, self.stopped = 0.0, frozenset[Modality](), threading.Event()

    def describe(self) -> BedRecord:
        channels = [BedChannel("ECG", "II", "mV", 500.0), BedChannel("ABP", "ART", "mmHg", 125.0)]
        return BedRecord(bed="1", session="s", epoch=0, title="endless", channels=channels)

    def run(self, emit: Emit) -> None:
        number = 0
        while not self.stopped.is_set():
            start = number * STEP
            chunks = [WaveChunk(m, m, 100.0, 0, 5 * number, b"\0" * 20) for m in ("ECG", "ABP")]
            self.position_s = (start + STEP) / 1e9
            if not emit(
                WaveTick(
                    bed="1", session="s", epoch=0, tick_seq=number, start_ns=start, end_ns=start + STEP, chunks=chunks
                )
            ):
                return
            number += 1

    def stop(self) -> None:
        self.stopped.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        self.held = self.held | {modality} if dropped else self.held - {modality}

    def dropped_now(self) -> frozenset[Modality]:
        return self.held


def played(source: PlannedSource, enough: int = 1 << 30) -> list[WaveTick]:
    ticks: list[WaveTick] = []

    def take(tick: WaveTick) -> bool:
        ticks.append(tick)
        if tick.eos or len(ticks) >= enough:
            source.stop()
        return len(ticks) < enough

    source.describe()
    source.run(take)
    return ticks


def test_it_ends_after_its_time_with_an_end_of_stream() -> None:
    ticks = played(PlannedSource(Endless(), for_s=2.0))
    assert [t.eos for t in ticks] == [False] * 40 + [True]
    assert ticks[-1].start_ns == ticks[-1].end_ns == 2_000_000_000 and not ticks[-1].chunks
    assert [t.tick_seq for t in ticks] == list(range(41))


def test_without_an_end_it_goes_on() -> None:
    source = PlannedSource(Endless())
    assert len(played(source, 500)) == 500 and not isinstance(source, Seekable)


def test_it_stays_until_it_is_stopped() -> None:
    source, over = PlannedSource(Endless(), for_s=1.0), threading.Event()
    ticks: list[WaveTick] = []
    runner = threading.Thread(target=lambda: source.run(lambda t: bool(ticks.append(t) or (t.eos and over.set()) or 1)))
    runner.start()
    assert over.wait(60) and runner.is_alive()
    source.stop()
    runner.join(60)
    assert not runner.is_alive() and ticks[-1].eos


def test_what_is_planned_is_withheld_and_marked() -> None:
    source = PlannedSource(Endless(), for_s=2.0, drops=(Drop(ABP, 0.5, 1.0),))
    ticks = played(source)
    held = [t.start_ns for t in ticks for c in t.chunks if c.withheld]
    assert (min(held), max(held)) == (500_000_000, 950_000_000)
    assert {c.modality for t in ticks for c in t.chunks if c.withheld} == {"ABP"}
    source.set_dropped(ECG, True)
    assert source.dropped_now() == {ECG}


def test_nonsense_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="a length above 0"):
        PlannedSource(Endless(), for_s=0.0)
    with pytest.raises(BadInput, match="a channel to drop out of ABP, ECG"):
        PlannedSource(Endless(), drops=(Drop(Modality.EEG, 0.0, 1.0),)).describe()
