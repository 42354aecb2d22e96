"""A worker takes over a bed whose pressure was lost long ago: it goes on as the one before would have."""

from __future__ import annotations

import ast
import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from models.data.simulator import open_demo
from models.runtime.bundle import DEMO_BUNDLE, load_bundle
from models.runtime.prediction import Prediction
from models.runtime.select import select_engine
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.windows import Window
from streams import alarm_stage, stages
from streams.codec import decode, encode
from streams.records import (
    AnyRecord,
    CellRecord,
    MemoryRecord,
    PredictionRecord,
    RhythmRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from streams.roles.display import DisplayProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sources.bed_replay import BedReplay
from streams.transport.consumer import EmbeddedConsumer
from streams.transport.hub import hub
from tests.streams.sources import wait_until
from tests.transport.test_roles import running

pytestmark = pytest.mark.timeout(300)  # a recording of five minutes twice, on a machine that may have other work

S = 10**9
TICK = 250_000_000
LOST_S, TAKEN_S, END_S = 60, 260, 285
WARM_S = 95
_numbers = itertools.count(1)


@cache
def ticks() -> list[WaveTick]:
    """A patient whose pressure is withheld from minute 1 on, a tick four times a second."""
    patient: Any = map_channels(open_demo(f"demo:seed=5,scenario=stable,faults=off,duration={END_S + 5}"), {})
    replay = BedReplay("bed1", "s", patient, (END_S + 5) * S)
    made = []
    for sequence, at in enumerate(range(0, END_S * S, TICK)):
        chunks = replay.chunks(replay.decode(at, at + TICK), at, at + TICK)
        lost = [withheld(c) if c.modality == Modality.ABP and at >= LOST_S * S else c for c in chunks]
        made.append(
            WaveTick(
                bed="bed1", session="s", epoch=0, tick_seq=sequence, start_ns=at, end_ns=at + TICK, chunks=lost
            )
        )  # fmt: skip
    return made


def withheld(chunk: WaveChunk) -> WaveChunk:
    values = [getattr(chunk, name) for name in chunk.__struct_fields__]
    return WaveChunk(**dict(zip(chunk.__struct_fields__, values, strict=True)) | {"withheld": True})


def event_ns(record: AnyRecord) -> int:
    if isinstance(record, WaveTick):
        return record.start_ns
    if isinstance(record, CellRecord):
        return record.second * S
    return record.window_end_ns if isinstance(record, PredictionRecord) else record.time_ns  # type: ignore[union-attr]


class OneByOne:
    """An engine whose windows come in batches of one: how many wait for it hangs on the machine, and shows in the last
    bits."""

    def __init__(self) -> None:
        self._engine = select_engine(load_bundle(DEMO_BUNDLE), "onnx").engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        return [self._engine.predict([w], keys=[k])[0] for w, k in zip(windows, keys, strict=True)]


class Ward:
    """A broker in this process, on which waves are sent as fast as they are handled, and all that is said is kept."""

    def __init__(self) -> None:
        self.name = f"takeover{next(_numbers)}"
        self.url = f"embedded://{self.name}"
        self.prefix = f"{self.name}-"
        self.records: list[AnyRecord] = []
        self.display = DisplayProcess(self.url, Sharing(prefix=self.prefix, only_own=False))
        self.display.subscribe(self.records.append)

    def worker(self) -> WorkerProcess:
        sharing = Sharing(f"{self.prefix}w", 1, self.prefix, only_own=False, rewind_s=WARM_S)
        spec = load_bundle(DEMO_BUNDLE).window_spec
        return WorkerProcess(spec, OneByOne, self.url, sharing)  # type: ignore[arg-type]

    def send(self, made: Sequence[WaveTick], until_s: int) -> None:
        for tick in made:
            hub(self.name).produce(f"{self.prefix}waves", b"bed1", encode(tick))
        wait_until(lambda: until_s in {r.window_end_ns // S for r in self.of(PredictionRecord)}, 120, "predictions")

    def of(self, kind: type) -> list[Any]:
        return [r for r in list(self.records) if isinstance(r, kind)]

    def told(self, topic: str) -> list[AnyRecord]:
        broker = hub(self.name)
        name = f"{self.prefix}{topic}"
        return [decode(r.value) for r in broker.fetch(name, 0, 0, broker.highwater(name, 0))]


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """Its messages are as old as the times that they tell of, however fast they were sent."""

    async def offset_at(self: EmbeddedConsumer, tp: Any, timestamp: float) -> int | None:
        records = self.hub.fetch(tp.topic, tp.partition, 0, 10**6)
        paced = (WaveTick, CellRecord, PredictionRecord)  # memories of a model that lags at speed max come later
        told = [(r.offset, decode(r.value)) for r in records]
        old = [at for at, r in told if isinstance(r, paced) and event_ns(r) < (TAKEN_S - WARM_S) * S]
        return max(old, default=-1) + 1

    monkeypatch.setattr(EmbeddedConsumer, "_offset_at", offset_at)
    made = Ward()
    yield made
    hub(made.name).close()


def plain(record: AnyRecord) -> dict[str, object]:
    """Without what differs from run to run."""
    fields = {n: getattr(record, n) for n in record.__struct_fields__}
    return {n: repr(v) for n, v in fields.items() if n not in ("stamps_ns", "host", "clock_ns")}


def after(ward: Ward, kind: type, at_s: int = TAKEN_S) -> dict[int, dict[str, object]]:
    return {event_ns(r) // S: plain(r) for r in ward.of(kind) if event_ns(r) > at_s * S}


def differences(found: dict[int, dict[str, object]], expected: dict[int, dict[str, object]]) -> str:
    """The first second and the fields that differ, with how much the numbers in them do; "" where nothing does."""
    if found.keys() != expected.keys():
        return f"seconds {sorted(found.keys() ^ expected.keys())} are not in both"
    at = {second: [n for n in found[second] if found[second][n] != expected[second][n]] for second in found}
    told = []
    for name in sorted({n for names in at.values() for n in names}):
        seconds = [second for second, names in at.items() if name in names]
        most = max(_furthest(str(found[s][name]), str(expected[s][name])) for s in seconds)
        told.append(f"{name}: in {len(seconds)} of {len(found)} s from {seconds[0]} on, by {most:.3g} at most")
    return "; ".join(told)


def _furthest(one: str, other: str) -> float:
    """Largest difference of the numbers in two representations, samples too; inf where they are not alike."""
    a, b = ([float(v) for v in NUMBER.findall(_readable(text))] for text in (one, other))
    if len(a) != len(b):
        return float("inf")
    return max((abs(x - y) for x, y in zip(a, b, strict=True)), default=float("inf"))


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def _readable(text: str) -> str:
    """With samples as numbers instead of bytes."""
    return re.sub(
        r"b'(?:[^'\\\\]|\\\\.)*'|b\"(?:[^\"\\\\]|\\\\.)*\"",
        lambda m: str(np.frombuffer(ast.literal_eval(m[0]), "<f4").tolist()),
        text,
    )


_undisturbed: list[Ward] = []


def undisturbed() -> Ward:
    if not _undisturbed:
        ward = Ward()
        with running(ward.display, ward.worker()):
            ward.send(ticks(), END_S - 1)
        hub(ward.name).close()
        _undisturbed.append(ward)
    return _undisturbed[0]


def remembered(ward: Ward) -> bool:
    """Whether signals and model have told what they remember of shortly before the takeover."""
    newest = [r for r in ward.told("vitals") if isinstance(r, MemoryRecord) and r.time_ns > (TAKEN_S - 12) * S]
    return any(r.signals for r in newest) and any(r.model for r in newest)


def replaced(ward: Ward, first: WorkerProcess, heir: Callable[[], WorkerProcess]) -> None:
    cut = TAKEN_S * S // TICK
    with running(ward.display):
        with running(first):
            ward.send(ticks()[:cut], TAKEN_S - 1)
            wait_until(lambda: remembered(ward), 120, "what the model remembers, which lags at speed max")
        with running(heir()):
            ward.send(ticks()[cut:], END_S - 1)


KINDS = (PredictionRecord, VitalsRecord, RhythmRecord, CellRecord)


def test_who_takes_over_goes_on_bit_for_bit(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the vitals are slow to be read again: the waves wait for what is among them."""
    handle = alarm_stage.AlarmStage.handle

    async def slowly(self: alarm_stage.AlarmStage, topic: str, record: AnyRecord, warming: bool = False) -> None:
        if warming:
            await asyncio.sleep(0.004)
        await handle(self, topic, record, warming)

    monkeypatch.setattr(alarm_stage.AlarmStage, "handle", slowly)
    replaced(ward, ward.worker(), ward.worker)
    expected = undisturbed()
    for kind in KINDS:
        found = after(ward, kind)
        assert len(found) >= END_S - TAKEN_S - 2
        assert differences(found, after(expected, kind)) == ""
    row = list(load_bundle(DEMO_BUNDLE).window_spec.modalities).index(Modality.ABP)
    last = ward.of(PredictionRecord)[-1]
    assert last.ages_s[row] == last.window_end_ns // S - LOST_S
    assert last.pressures is not None and last.restored
    memories = [r for r in ward.told("vitals") if isinstance(r, MemoryRecord)]
    assert not ward.of(MemoryRecord)  # a display is not told
    size = {part: max(len(encode(m)) for m in memories if getattr(m, part)) for part in ("signals", "model")}
    assert size["signals"] < 20_000 and size["model"] < 2_500
    at = [m.time_ns // S for m in memories if m.signals and m.time_ns <= TAKEN_S * S]
    assert all(9 <= b - a <= 11 for a, b in itertools.pairwise(at)) and at[-1] > TAKEN_S - 12


def test_what_was_told_counts_though_the_one_before_had_not_read_it(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its alarms lag far behind its windows: it has committed nothing of what it remembers of the last minutes."""
    handle = alarm_stage.AlarmStage.handle
    lagging = asyncio.Event()

    async def held_up(self: alarm_stage.AlarmStage, topic: str, record: AnyRecord, warming: bool = False) -> None:
        if lagging.is_set() and event_ns(record) > 2 * LOST_S * S:
            await asyncio.Event().wait()
        await handle(self, topic, record, warming)

    def heir() -> WorkerProcess:
        lagging.clear()
        return ward.worker()

    monkeypatch.setattr(alarm_stage.AlarmStage, "handle", held_up)
    lagging.set()
    replaced(ward, ward.worker(), heir)
    for kind in KINDS:
        assert differences(after(ward, kind), after(undisturbed(), kind)) == ""


def told_once(ward: Ward) -> dict[int, dict[str, object]]:
    """The predictions of the last half minute, after checking that each has been told once, and in order."""
    ends = [r.window_end_ns // S for r in ward.of(PredictionRecord) if r.window_end_ns > TAKEN_S * S - 30 * S]
    assert ends == list(range(TAKEN_S - 29, END_S))
    return after(ward, PredictionRecord, TAKEN_S - 30)


def test_windows_that_the_one_before_had_in_hand_are_told_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had handled their ticks for good, and its model had not come to them."""
    reached, gate, stuck_s = threading.Event(), threading.Event(), TAKEN_S - 9
    first, cut = ward.worker(), TAKEN_S * S // TICK
    predict = OneByOne.predict

    def held(self: OneByOne, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        if windows[-1].end_s > stuck_s and not gate.is_set():
            reached.set()
            assert gate.wait(120)
        return predict(self, windows, keys)

    monkeypatch.setattr(OneByOne, "predict", held)
    alone = property(lambda self: replace(self._engine.service, batch=1))
    monkeypatch.setattr(OneByOne, "service", alone, raising=False)
    with running(ward.display):
        with running(first):
            for tick in ticks()[:cut]:
                hub(ward.name).produce(f"{ward.prefix}waves", b"bed1", encode(tick))
            wait_until(lambda: any(r.time_ns >= (TAKEN_S - 1) * S for r in ward.of(VitalsRecord)), 120, "all ticks")
            assert reached.wait(120)
            first.crew.begin_stop()
            gate.set()
        assert stuck_s <= max(r.window_end_ns for r in ward.of(PredictionRecord)) // S <= stuck_s + 1
        with running(ward.worker()):
            ward.send(ticks()[cut:], END_S - 1)
    assert differences(told_once(ward), after(undisturbed(), PredictionRecord, TAKEN_S - 30)) == ""


def test_windows_that_the_one_before_had_told_and_not_committed_are_not_told_again(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, dead = EmbeddedConsumer._commit, threading.Event()

    async def until_dead(self: EmbeddedConsumer, offsets: Any) -> bool:
        return True if dead.is_set() else await commit(self, offsets)

    def committed() -> int:
        return hub(ward.name).committed(f"{ward.prefix}w", f"{ward.prefix}waves", 0) or 0

    monkeypatch.setattr(EmbeddedConsumer, "_commit", until_dead)
    early, cut = (TAKEN_S - 6) * S // TICK, TAKEN_S * S // TICK
    with running(ward.display):
        with running(ward.worker()):
            ward.send(ticks()[:early], TAKEN_S - 7)
            wait_until(lambda: committed() == early, 60, "the commit")
            dead.set()
            ward.send(ticks()[early:cut], TAKEN_S - 1)
        assert committed() == early
        dead.clear()
        with running(ward.worker()):
            ward.send(ticks()[cut:], END_S - 1)
    seconds = [r.time_ns // S for r in ward.of(VitalsRecord)]
    assert len(seconds) > len(set(seconds)), "its ticks are handled again"
    assert differences(told_once(ward), after(undisturbed(), PredictionRecord, TAKEN_S - 30)) == ""


def test_without_a_memory_it_does_not(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages.WindowStage, "inherit", lambda self, memory, committed: None)
    replaced(ward, ward.worker(), ward.worker)
    found, expected = after(ward, PredictionRecord), after(undisturbed(), PredictionRecord)
    assert found.keys() == expected.keys()
    assert all(found[s]["ages_s"] != expected[s]["ages_s"] for s in found)
    assert all(record["pressures"] == "None" for record in found.values())
    assert not any(record["pressures"] == "None" for record in expected.values())


def test_what_the_model_remembers_is_of_use(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the context alone the age is right and the estimate is not."""
    inherit = stages.WindowStage.inherit
    monkeypatch.setattr(stages.WindowStage, "inherit", lambda self, m, c: None if m.model else inherit(self, m, c))
    replaced(ward, ward.worker(), ward.worker)
    found, expected = after(ward, PredictionRecord), after(undisturbed(), PredictionRecord)
    assert all(found[s]["ages_s"] == expected[s]["ages_s"] for s in found)
    assert all(found[s]["pressures"] != expected[s]["pressures"] for s in found)
