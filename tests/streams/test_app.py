"""The topology on an embedded hub of several partitions: what goes where, what is refused, what takes it down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.accounting import Accounting
from streams.alarm_stage import AlarmStage
from streams.app import Stages, create_app
from streams.codec import encode
from streams.commands import CommandApplier
from streams.feed import DisplayFeed
from streams.latency import LatencyBook
from streams.records import (
    AlarmRecord,
    AnyRecord,
    ArrhythmiaCall,
    BedRecord,
    CommandRecord,
    DeadLetter,
    PredictionRecord,
    Record,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)
from streams.sources.source import Emit
from streams.stages import END_TOPICS, CommandStage, ShowStage, end_of_stream
from streams.transport.credits import Credits
from streams.transport.hub import hub
from streams.wire import Outbox

HEAD = {"session": "run", "epoch": 0}


def tick(bed: str, sequence: int, session: str = "run") -> WaveTick:
    return WaveTick(bed=bed, session=session, epoch=0, tick_seq=sequence, start_ns=sequence, end_ns=sequence + 1)


class Worker:
    """An app with a show stage and whatever else is asked for, and what came out of it."""

    def __init__(self, name: str, partitions: int = 3, **stages: object) -> None:
        self.accounting, self.feed = Accounting(), DisplayFeed(100_000)
        self.ends: list[tuple[str, WaveTick]] = []
        self.outbox = Outbox()
        credits = Credits(10, ["show", "window"])
        show = ShowStage(
            [self.feed], self.accounting, LatencyBook(lambda: 0.0), credits, lambda t, r: self.ends.append((t, r))
        )
        self.show = show
        made: list = []

        async def send(topic: str, record: AnyRecord) -> None:
            await made[0].producer.send(topic, record.bed.encode(), encode(record), None, None, None)

        alarm = AlarmStage(send) if stages.pop("alarm", False) else None
        self.app = create_app(
            "run", Stages(alarm=alarm, show=show, **stages), self.outbox, broker=f"embedded://{name}",
            partitions=partitions, offset_reset="earliest", only_own=True,
        )  # type: ignore[arg-type]  # fmt: skip
        made.append(self.app)

    def _on_end(self, topic: str, record: WaveTick) -> None:
        self.ends.append((topic, record))

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(5000):
            if condition() or self.app.crashed:
                break
            await asyncio.sleep(0.002)
        assert condition() or self.app.crashed, "the condition never came"


def play(worker_of: Callable[[], Worker], script: Callable[[Worker], Awaitable[None]]) -> Worker:
    """Run a worker, let the script act on it, and take it down again."""

    async def run() -> Worker:
        worker = worker_of()
        try:
            await worker.app.start()
            await script(worker)
        finally:
            await worker.app.stop()
            hub(worker.app.conf.broker[0].host).close()
        return worker

    return asyncio.run(run())


def test_beds_over_partitions_stay_in_order_and_complete() -> None:
    partitions: set[int] = set()

    async def script(worker: Worker) -> None:
        partitions.update(hub("app-order").partition_for("waves", f"bed{bed}".encode()) for bed in range(7))
        for sequence in range(150):
            for bed in range(7):
                worker.outbox.post("waves", f"bed{bed}", encode(tick(f"bed{bed}", sequence)))
        await worker.until(lambda: worker.feed.status.pushed == 1050)

    worker = play(lambda: Worker("app-order"), script)
    found: dict[str, list[int]] = {}
    for record in worker.feed.drain(10_000):
        assert isinstance(record, WaveTick)
        found.setdefault(record.bed, []).append(record.tick_seq)
    assert found == {f"bed{b}": list(range(150)) for b in range(7)}
    assert len(partitions) > 1, "all beds went to one partition"


def test_every_topic_refuses_what_it_cannot_read_and_goes_on() -> None:
    topics = ("waves", "vitals", "predictions", "alarms", "commands")

    async def script(worker: Worker) -> None:
        for topic in topics:
            for message in (b"\xc1", b"", encode(tick("b", 1))[:-3]):
                worker.outbox.post(topic, "b", message)
        worker.outbox.post("waves", "b", encode(tick("b", 5)))
        await worker.until(lambda: worker.accounting.counted("dead_letters") == 15 and worker.feed.status.pushed == 16)

    worker = play(lambda: Worker("app-dead", alarm=True), script)
    assert not worker.app.crashed
    letters = [r for r in worker.feed.drain() if isinstance(r, DeadLetter)]
    assert sorted(x.topic for x in letters) == sorted(topics * 3)
    assert {x.size for x in letters} == {1, 0, len(encode(tick("b", 1))) - 3}


def test_garbage_among_the_dead_letters_breeds_no_more() -> None:
    async def script(worker: Worker) -> None:
        worker.outbox.post("deadletters", "b", b"\xc1")
        worker.outbox.post("waves", "b", encode(tick("b", 5)))
        await worker.until(lambda: worker.feed.status.pushed == 1)

    assert play(lambda: Worker("app-loop"), script).accounting.counted("dead_letters") == 0


def test_records_of_another_session_are_left_alone() -> None:
    async def script(worker: Worker) -> None:
        worker.outbox.post("waves", "b", encode(tick("b", 1, session="other")))
        worker.outbox.post("waves", "b", encode(tick("b", 2)))
        await worker.until(lambda: worker.feed.status.pushed == 1)

    worker = play(lambda: Worker("app-own"), script)
    assert [r.tick_seq for r in worker.feed.drain() if isinstance(r, WaveTick)] == [2]


def test_states_vitals_rhythm_and_predictions_become_alarms_that_end_with_the_stream() -> None:
    def high(second: int) -> Record:
        return VitalsRecord(bed="b", **HEAD, time_ns=second * 10**9, abp_map=120.0)

    call = ArrhythmiaCall("vtach", "confirmed", "ABP pulses at 160/min", 160.0)
    rhythm = RhythmRecord(bed="b", **HEAD, time_ns=7 * 10**9, rhythm="beats", pulse={"ABP": "present"}, calls=[call])

    risky = [
        PredictionRecord(
            bed="b", **HEAD, window_end_ns=s * 10**9, model="m", backend="b", modalities=[], presence=[], ages_s=[],
            valid=True, abstain=False, reason="", risk={"15": (0.95, 0.9, 1.0)},
        )
        for s in (1, 2)
    ]  # fmt: skip

    async def script(worker: Worker) -> None:
        state = StateRecord(bed="b", **HEAD, time_ns=0, state={"ECG": "lead off"})
        for record in (state, *(high(s) for s in range(8)), rhythm, end_of_stream(state, 8 * 10**9)):
            worker.outbox.post("vitals", "b", encode(record))  # type: ignore[arg-type]
        await worker.until(lambda: ("vitals", "b") in {(t, r.bed) for t, r in worker.ends})
        assert "alarms" not in {t for t, _ in worker.ends}, "alarms ended before the predictions did"
        for record in (*risky, end_of_stream(state, 8 * 10**9)):
            worker.outbox.post("predictions", "b", encode(record))  # type: ignore[arg-type]
        await worker.until(lambda: {t for t, _ in worker.ends} == set(END_TOPICS) - {"waves"})

    worker = play(lambda: Worker("app-alarms", alarm=True), script)
    alarms = [r.text for r in worker.feed.drain() if isinstance(r, AlarmRecord) and r.active]
    assert sorted(alarms) == ["ABP HIGH 120 > 110", "ECG LEADS OFF", "HYPOTENSION RISK 95 > 85 (15 min)", "V-TACH"]


class Device:
    """A live source that writes down what commands do to it."""

    epoch, position_s = 0, 0.0

    def __init__(self) -> None:
        self.done: list[tuple[str, object]] = []

    def describe(self) -> BedRecord:
        raise AssertionError("nobody asks")

    def run(self, emit: Emit) -> None:
        raise AssertionError("nobody asks")

    def stop(self) -> None:
        raise AssertionError("nobody asks")

    def dropped_now(self) -> frozenset[Modality]:
        return frozenset()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        self.done.append((modality.value, dropped))


class Replay(Device):
    """A recording."""

    speed, achieved_speed, given_up_s, paused = 1.0, None, 0.0, False

    def pause(self) -> None:
        self.done.append(("pause", None))

    def resume(self) -> None:
        self.done.append(("resume", None))

    def set_speed(self, speed: float | None) -> None:
        self.done.append(("speed", speed))

    def seek(self, time_s: float) -> None:
        self.done.append(("seek", time_s))

    def step(self, seconds: float) -> None:
        self.done.append(("step", seconds))


def test_commands_are_applied_once_and_nonsense_is_a_dead_letter() -> None:
    replay = Replay()

    def command(number: int, name: str, **args: str | float) -> bytes:
        return encode(CommandRecord(bed="b", **HEAD, id=str(number), operator="o", time_ns=0, name=name, args=args))

    good = [command(1, "pause"), command(1, "pause"), command(2, "resume"), command(3, "speed", speed=2.0),
            command(4, "seek", time_s=9.5), command(5, "step", seconds=-1.0), command(6, "drop", modality="ABP"),
            command(7, "restore", modality="ABP"), command(8, "acknowledge")]  # fmt: skip
    bad = [command(11, "speed", speed=99.0), command(12, "seek"), command(13, "seek", time_s="soon"),
           command(14, "drop", modality="NOSE"), command(15, "step", seconds=1e300)]  # fmt: skip

    async def script(worker: Worker) -> None:
        for message in (*good, *bad):
            worker.outbox.post("commands", "b", message)
        await worker.until(lambda: worker.accounting.counted("dead_letters") == len(bad))

    worker = play(lambda: Worker("app-commands", command=CommandStage("run", CommandApplier(replay))), script)
    assert not worker.app.crashed
    assert replay.done == [
        ("pause", None), ("resume", None), ("speed", 2.0), ("seek", 9.5), ("step", -1.0), ("ABP", True), ("ABP", False),
    ]  # fmt: skip
    assert all("Expected" in x.reason for x in worker.feed.drain() if isinstance(x, DeadLetter))


def test_a_device_can_be_withheld_and_nothing_else() -> None:
    device = Device()
    apply = CommandApplier(device)

    def command(number: int, name: str, **args: str | float) -> CommandRecord:
        return CommandRecord(bed="b", **HEAD, id=str(number), operator="o", time_ns=0, name=name, args=args)

    apply(command(1, "drop", modality="ABP"))
    apply(command(2, "acknowledge"))
    for number, name in enumerate(("pause", "resume", "speed", "seek", "step"), 3):
        with pytest.raises(BadInput, match="for a live source"):
            apply(command(number, name, speed=1.0, time_s=1.0, seconds=1.0))
    assert device.done == [("ABP", True)]


@pytest.mark.expects_error_log
def test_whatever_leaves_an_agent_takes_the_app_down_with_its_reason() -> None:
    def broken(record: AnyRecord) -> None:
        raise LookupError("nowhere to put it")

    async def script(worker: Worker) -> None:
        worker.show.subscribe(broken)
        worker.outbox.post("waves", "b", encode(tick("b", 1)))
        await asyncio.wait_for(worker.app.wait_until_stopped(), 10)

    worker = play(lambda: Worker("app-crash"), script)
    assert worker.app.crashed and isinstance(worker.app.crash_reason, LookupError)
