"""What another worker knew: vitals are read before the waves, only the newest counts, and only a worker says any."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from msgspec.structs import replace

from models.runtime.memory import EngineMemory
from models.signals.windows import WindowSpec
from streams import app as topology
from streams.accounting import Accounting
from streams.alarm_stage import AlarmStage
from streams.codec import decode, encode
from streams.feed import DisplayFeed
from streams.heritage import Heritage
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, Mailbox, WindowJob
from streams.memories import told_model
from streams.records import AlarmRecord, AnyRecord, MemoryRecord, PredictionRecord, StateRecord, VitalsRecord, WaveTick
from streams.stages import ShowStage, WindowStage
from streams.windower import BedWindower
from tests.streams.test_windower import make_ticks
from ui.bed.state import DisplayState
from ui.style.theme import default_theme

S = 10**9
HEAD = {"bed": "bed1", "session": "s", "epoch": 0}


class Nobody:
    def release(self, stage: str, tick: object) -> None: ...


class Stage:
    """A window stage; what it sends, and the windows that it hands to the model."""

    def __init__(self, memory_s: float | None = None) -> None:
        self.sent: list[AnyRecord] = []
        self.mailbox = Mailbox(10_000)

        async def send(topic: str, record: AnyRecord) -> None:
            assert topic == "vitals"
            self.sent.append(record)

        self.stage = WindowStage(WindowSpec(frames=3), self.mailbox, Accounting(), Nobody(), send, memory_s=memory_s)

    def feed(self, ticks: Sequence[WaveTick], warming: bool = False) -> Stage:
        async def run() -> None:
            for tick in ticks:
                await self.stage.handle(replace(tick, due_ns=0), warming)

        asyncio.run(run())
        return self

    @property
    def memories(self) -> list[MemoryRecord]:
        return [r for r in self.sent if isinstance(r, MemoryRecord)]

    @property
    def jobs(self) -> list[WindowJob]:
        return [item for item in self.mailbox.take(10_000) if isinstance(item, WindowJob)]


def test_a_bed_is_told_every_ten_seconds_of_its_time_and_after_a_seek() -> None:
    stage = Stage(10.0).feed(make_ticks(35))
    assert [round(m.time_ns / S) for m in stage.memories] == [4, 14, 24, 34]
    assert all(decode(encode(m)) == m and m.signals is not None and m.model is None for m in stage.memories)
    stage.feed(make_ticks(8, epoch=1, start_s=20))
    assert [(m.epoch, round(m.time_ns / S)) for m in stage.memories[4:]] == [(1, 24)]


def test_in_one_process_and_while_warming_nothing_is_told() -> None:
    assert not Stage().feed(make_ticks(15)).memories
    assert not Stage(10.0).feed(make_ticks(15), warming=True).sent


def remembered(tick_seq: int, form: float, **changes: Any) -> MemoryRecord:
    past = told_model(EngineMemory("fake", form=form))
    return MemoryRecord(**HEAD | changes, time_ns=0, tick_seq=tick_seq, model=past)


def test_what_a_model_remembered_comes_with_the_first_window_after_it() -> None:
    stage, ticks = Stage(), make_ticks(20)
    stage.stage.inherit(remembered(100, 0.3))
    stage.stage.inherit(remembered(201, 0.4))
    stage.feed(ticks[:300], warming=True).feed(ticks[300:])
    jobs = stage.jobs
    (first,) = [job for job in jobs if job.inherited is not None]
    assert first.inherited is not None and first.inherited.form == 0.4
    assert first.warming and first.tick_seq == min(job.tick_seq for job in jobs if job.tick_seq > 201)


def test_a_new_window_that_it_knows_of_gets_it_all_the_same() -> None:
    """The other worker was further than it had said."""
    stage, ticks = Stage(), make_ticks(20)
    stage.stage.inherit(remembered(350, 0.4))
    stage.feed(ticks[:300], warming=True).feed(ticks[300:])
    (first,) = [job for job in stage.jobs if job.inherited is not None]
    assert not first.warming and 300 <= first.tick_seq < 320


@pytest.mark.parametrize("changes", [{"epoch": 1}, {"session": "another"}, {"bed": "bed2"}])
def test_what_is_of_elsewhere_is_left_aside(changes: dict[str, object]) -> None:
    stage, ticks = Stage(), make_ticks(12)
    stage.stage.inherit(remembered(100, 0.4, **changes))
    stage.feed(ticks[:150], warming=True).feed(ticks[150:])
    assert all(job.inherited is None for job in stage.jobs)


def test_a_jump_of_the_clock_ends_what_was_remembered() -> None:
    stage, ticks = Stage(), make_ticks(30)
    stage.stage.inherit(remembered(95, 0.4))
    jumped = [t for t in ticks if t.start_ns < 5 * S or t.start_ns >= 18 * S]
    stage.feed(jumped, warming=True)
    jobs = stage.jobs
    assert {job.stretch for job in jobs} == {0, 1}
    assert all(job.inherited is None for job in jobs)


def test_nobody_else_takes_notice() -> None:
    memory = remembered(5, 0.4)
    feed, told = DisplayFeed(), []
    show = ShowStage([feed], Accounting(), LatencyBook(lambda: 0.0), Nobody(), lambda topic, tick: None)
    show.subscribe(told.append)
    asyncio.run(show.handle("vitals", memory))
    assert not told and not feed.drain()

    async def send(topic: str, record: AnyRecord) -> None:
        raise AssertionError(record)

    asyncio.run(AlarmStage(send).handle("vitals", memory))
    state = DisplayState(default_theme())
    state.apply(memory, 0.0)


def app_with(rewound: dict[TP, int], assigned: set[TP]) -> Any:
    consumer = SimpleNamespace(told_until=rewound, assignment=lambda: assigned)
    return SimpleNamespace(consumer=consumer)


def event(offset: int, partition: int = 0) -> Any:
    return SimpleNamespace(message=SimpleNamespace(topic="vitals", partition=partition, offset=offset))


def test_waves_wait_for_the_vitals_of_their_partition() -> None:
    async def run() -> None:
        mine, other = TP("vitals", 0), TP("vitals", 1)
        first = topology._ReadFirst(app_with({mine: 3, other: 9}, {mine, other}), "vitals")
        waiting = asyncio.ensure_future(first.read(0))
        for offset in range(3):
            await asyncio.sleep(0.01)
            assert not waiting.done()
            first.note(event(offset))
            first.note(event(offset, 1))
        await asyncio.wait_for(waiting, 1.0)
        await asyncio.wait_for(first.read(0), 0.1)  # once is enough
        await asyncio.wait_for(first.read(7), 0.1)  # nothing was read again there

    asyncio.run(run())


def test_memories_count_that_were_there_at_the_takeover_read_by_the_one_before_or_not() -> None:
    heard: list[tuple[int, bool]] = []
    tp = TP("vitals", 0)
    app = app_with({tp: 6}, {tp})
    app.consumer.rewound_until = {tp: 2}
    window: Any = SimpleNamespace(inherit=lambda memory, committed: heard.append((memory.tick_seq, committed)))
    first = topology._ReadFirst(app, "vitals")
    for offset in (0, 3, 6):
        first.pass_on(event(offset), remembered(offset, 0.3), window)
        first.pass_on(event(offset), VitalsRecord(**HEAD, time_ns=0), window)
    assert heard == [(0, True), (3, False)]  # what comes later it said itself


def test_of_what_was_not_read_the_last_but_one_counts_if_there_is_another() -> None:
    def counting(*told: tuple[int, bool]) -> int:
        heritage = Heritage()
        for tick_seq, committed in told:
            heritage.take(remembered(tick_seq, 0.3), committed)
        assert heritage.model is not None and heritage.signals is None
        return heritage.model.tick_seq

    assert counting((1, True), (2, True)) == 2
    assert counting((1, True), (2, False)) == 1
    assert counting((1, True), (2, False), (3, False), (4, False)) == 3
    assert counting((1, False)) == counting((1, False), (2, False)) == 1
    assert counting((1, False), (2, False), (3, False)) == 2


def test_windows_that_are_still_to_be_told_go_on_with_what_was_known_before_them() -> None:
    past = BedWindower(WindowSpec(), Accounting())
    memories = []
    for tick in make_ticks(40):
        past.handle(tick, 0)
        if tick.end_ns % (10 * S) == 0 and (memory := past.export(tick)) is not None:
            memories.append(memory)
    heritage = Heritage()
    for memory in memories:
        heritage.take(memory, True)
    ends = [memory.time_ns // S for memory in memories]
    assert ends == [10, 20, 30, 40]
    for told_s, used_s in ((None, 40), (45, 40), (40, 40), (39, 30), (12, 10), (3, 40)):
        found = heritage.signals_for(None if told_s is None else told_s * S)
        assert found is not None and found.time_ns == used_s * S


def test_vitals_that_are_gone_or_another_s_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "SILENCE_S", 0.05)

    async def run() -> None:
        mine, given_up = TP("vitals", 0), TP("vitals", 1)
        first = topology._ReadFirst(app_with({mine: 3, given_up: 3}, {mine}), "vitals")
        await asyncio.wait_for(first.read(0), 1.0)
        await asyncio.wait_for(first.read(0), 0.02)
        await asyncio.wait_for(first.read(1), 0.02)

    asyncio.run(run())


def predicted(end_s: int, **changes: Any) -> PredictionRecord:
    return PredictionRecord(
        **HEAD | changes, window_end_ns=end_s * S, model="m", backend="b", modalities=[], presence=[], ages_s=[],
        valid=True, abstain=False, reason="", risk={},
    )  # fmt: skip


@pytest.mark.parametrize("handled_s", [12, 15, 18])
def test_who_takes_over_tells_each_window_that_it_does_not_find_told_and_no_other(handled_s: int) -> None:
    """The one before had told of 15 seconds: with three more in hand, none, or before it had committed the last three
    ticks."""
    stage, ticks = Stage(), make_ticks(25)
    for second in range(1, 16):
        stage.stage.note_told(predicted(second))
    stage.feed([t for t in ticks if t.end_ns <= handled_s * S + S // 2], warming=True)
    stage.feed([t for t in ticks if t.end_ns > handled_s * S + S // 2])
    jobs = stage.jobs
    ends = {warming: [job.window.end_s for job in jobs if job.warming is warming] for warming in (True, False)}
    assert ends[False] == list(range(16, 25)) and ends[True] == list(range(ends[True][0], 16))


def test_where_it_cannot_be_known_what_was_told_the_ticks_tell_it() -> None:
    def new(*told: PredictionRecord) -> list[int]:
        stage, ticks = Stage(), make_ticks(20)
        for record in told:
            stage.stage.note_told(record)
        stage.feed([t for t in ticks if t.end_ns <= 12.5 * S], warming=True)
        stage.feed([t for t in ticks if t.end_ns > 12.5 * S])
        return [job.window.end_s for job in stage.jobs if not job.warming]

    by_ticks = list(range(13, 20))
    assert new() == by_ticks
    assert new(predicted(15, epoch=1)) == new(predicted(15, session="other")) == by_ticks
    assert new(predicted(100), predicted(15)) == by_ticks  # the clock has jumped back
    assert new(predicted(14), predicted(15), predicted(14)) == list(range(16, 20))  # told twice


def test_the_end_of_the_predictions_is_told_by_who_takes_over_if_it_was_not() -> None:
    def ends(*told: PredictionRecord | WaveTick) -> int:
        stage, ticks = Stage(), make_ticks(12)
        for record in told:
            stage.stage.note_told(record)
        last = WaveTick(**HEAD, tick_seq=len(ticks), start_ns=12 * S, end_ns=12 * S, eos=True)
        stage.feed([*ticks, last], warming=True)
        return sum(isinstance(item, EndOfBed) for item in stage.mailbox.take(1000))

    eos = WaveTick(**HEAD, tick_seq=0, start_ns=12 * S, end_ns=12 * S, eos=True)
    assert [ends(), ends(predicted(9)), ends(predicted(9), eos)] == [0, 1, 0]


def test_predictions_that_were_there_at_the_takeover_are_told_ones() -> None:
    heard: list[int] = []
    tp = TP("predictions", 0)
    window: Any = SimpleNamespace(note_told=lambda record: heard.append(record.window_end_ns // S))
    first = topology._ReadFirst(app_with({tp: 2}, {tp}), "predictions")
    for offset in range(4):
        message = SimpleNamespace(message=SimpleNamespace(topic="predictions", partition=0, offset=offset))
        first.pass_on(message, predicted(offset), window)  # type: ignore[arg-type]
    assert heard == [0, 1]


def test_alarms_are_told_too_and_heeded_while_warming_only() -> None:
    sent: list[AnyRecord] = []

    async def send(topic: str, record: AnyRecord) -> None:
        sent.append(record)

    def second(s: int, pressure: float) -> list[AnyRecord]:
        return [VitalsRecord(**HEAD, time_ns=s * S, abp_map=pressure), StateRecord(**HEAD, time_ns=s * S, state={})]

    async def run() -> list[str]:
        first, heir = AlarmStage(send, memory_s=10.0), AlarmStage(send)
        for s in range(35):
            for record in second(s, 41.0 if s < 12 else 58.0):
                await first.handle("vitals", record)
        told = [r for r in sent if isinstance(r, MemoryRecord)]
        assert [r.time_ns // S for r in told] == [0, 10, 20, 30] and all(decode(encode(r)) == r for r in told)
        texts = []
        for warming in (True, False):
            heir = AlarmStage(send)
            for s in range(20, 35):
                for record in second(s, 58.0):
                    await heir.handle("vitals", record, True)
            await heir.handle("vitals", told[-1], warming)
            sent.clear()
            for record in second(35, 56.0):
                await heir.handle("vitals", record)
            texts.append([r.text for r in sent if isinstance(r, AlarmRecord)][-1])
        return texts

    assert asyncio.run(run()) == ["ABP LOW 41 < 65", "ABP LOW 56 < 65"]
