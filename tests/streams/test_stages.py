"""Stages that remember: what is said again for displays that come later, what is warmed and not said, what is gone."""

from __future__ import annotations

import asyncio

import msgspec

from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.alarm_stage import AlarmStage
from streams.feed import DisplayFeed
from streams.latency import LatencyBook
from streams.mailbox import Mailbox, WindowJob
from streams.records import AlarmRecord, AnyRecord, PredictionRecord, StateRecord, VitalsRecord, WaveTick
from streams.sources.replay import ReplaySource
from streams.stages import ShowStage, WindowStage
from tests.streams.sources import PatientMap

S = 1_000_000_000
HEAD = {"bed": "1", "session": "s", "epoch": 0}


class Desk:
    def __init__(self) -> None:
        self.sent: list[tuple[str, AnyRecord]] = []

    async def send(self, topic: str, record: AnyRecord) -> None:
        self.sent.append((topic, record))

    def release(self, stage: str, tick: object) -> None:
        pass

    @property
    def alarms(self) -> list[tuple[str, bool]]:
        return [(r.key, r.active) for t, r in self.sent if t == "alarms" and isinstance(r, AlarmRecord)]


def state(second: int, ecg: str = "lead off") -> StateRecord:
    return StateRecord(**HEAD, time_ns=second * S, state={"ECG": ecg, "ABP": ""})


def vitals(second: int, abp_map: float) -> VitalsRecord:
    return VitalsRecord(**HEAD, time_ns=second * S, abp_map=abp_map, abp_sys=abp_map + 20, abp_dia=abp_map - 15)


def feed(stage: AlarmStage, records: list[AnyRecord], *, warming: bool = False) -> None:
    async def run() -> None:
        for record in records:
            await stage.handle("vitals", record, warming)

    asyncio.run(run())


def test_what_stands_is_said_again_every_five_seconds_and_not_once_it_has_ended() -> None:
    desk = Desk()
    feed(AlarmStage(desk.send, 5.0), [state(second) for second in range(12)])
    assert desk.alarms == [("technical.ECG", True)] * 4, "as it began, then with the seconds 0, 5 and 10"
    assert len({r for _, r in desk.sent if isinstance(r, AlarmRecord)}) == 1, "word for word"
    feed(AlarmStage(desk.send, 5.0), [state(12), state(13, "")])
    desk.sent.clear()
    ended = AlarmStage(desk.send, 5.0)
    feed(ended, [state(0), state(1, ""), *(state(second, "") for second in range(2, 20))])
    assert desk.alarms[-1] == ("technical.ECG", False)


def test_in_one_process_nothing_is_said_twice() -> None:
    desk = Desk()
    feed(AlarmStage(desk.send), [state(second) for second in range(30)])
    assert desk.alarms == [("technical.ECG", True)]


def test_what_is_warmed_is_known_and_not_said() -> None:
    """A pressure that another worker saw fall stands for this one too: it says the end of the alarm, not its begin."""
    desk = Desk()
    stage = AlarmStage(desk.send)
    feed(stage, [vitals(second, 50.0) for second in range(60)], warming=True)
    assert not desk.sent
    feed(stage, [vitals(second, 80.0) for second in range(60, 80)])
    assert ("map.low", False) in desk.alarms and ("map.low", True) not in desk.alarms


def test_a_bed_that_is_forgotten_begins_anew() -> None:
    desk = Desk()
    stage = AlarmStage(desk.send)
    feed(stage, [state(0)])
    stage.forget(["1", "2"])
    feed(stage, [state(1)])
    assert desk.alarms == [("technical.ECG", True)] * 2


def patient_ticks(seconds: float) -> list[WaveTick]:
    ticks: list[WaveTick] = []
    source = ReplaySource("1", "s", lambda: PatientMap(seconds), speed=None)  # type: ignore[arg-type,return-value]
    source.describe()
    source.run(lambda tick: not tick.eos and bool(ticks.append(tick) or 1))
    return ticks


def windowed(ticks: list[WaveTick], warmed: int) -> tuple[Desk, list[WindowJob], WindowStage]:
    """The first ``warmed`` of the ticks only warm."""
    desk, mailbox = Desk(), Mailbox(capacity=1000)
    stage = WindowStage(WindowSpec(), mailbox, Accounting(), desk, desk.send)

    async def run() -> None:
        for number, tick in enumerate(ticks):
            await stage.handle(tick, number < warmed)

    asyncio.run(run())
    return desk, [job for job in mailbox.take(1000) if isinstance(job, WindowJob)], stage


def test_warmed_ticks_are_known_and_not_told() -> None:
    ticks = patient_ticks(40.0)
    plain, jobs, _ = windowed(ticks, 0)
    warm, again, _ = windowed(ticks, sum(tick.end_ns <= 25 * S for tick in ticks))
    told = [r for _, r in plain.sent if getattr(r, "time_ns", 0) > 26 * S]
    assert told and [r for _, r in warm.sent if getattr(r, "time_ns", 0) > 26 * S] == told
    assert not [r for _, r in warm.sent if isinstance(r, VitalsRecord) and r.time_ns <= 24 * S]
    assert [job.warming for job in again] == [job.window.end_s <= 24 for job in again]
    assert [job.window.end_s for job in again] == [job.window.end_s for job in jobs], "the model remembers them all"


def test_a_bed_that_falls_silent_is_dropped_after_a_while() -> None:
    _, _, stage = windowed(patient_ticks(10.0), 0)
    seen = stage.seen()["1"]
    assert (seen.session, seen.epoch) == ("s", 0)
    assert stage.forget_silent(seen.at_ns + 600 * S, 600 * S) == []
    assert stage.forget_silent(seen.at_ns + 600 * S + 1, 600 * S) == ["1"] and not stage.seen()


def test_a_window_that_was_skipped_is_shown_and_has_no_latency() -> None:
    feed, latency, heard = DisplayFeed(), LatencyBook(lambda: 0.0), []
    now = 10 * S
    show = ShowStage([feed], Accounting(), latency, Desk(), lambda *_: None, monotonic_ns=lambda: now)
    show.subscribe(heard.append)
    record = PredictionRecord(
        **HEAD, window_end_ns=S, model="m", backend="b", modalities=[], presence=[], ages_s=[], valid=False,
        abstain=False, reason="skipped: the model was behind", risk={}, missed="skipped", stamps_ns={"due": 2 * S},
    )  # fmt: skip
    asyncio.run(show.handle("predictions", record))
    assert latency.report().get("window_to_prediction") is None
    assert feed.drain() == heard and heard[0].stamps_ns == {"due": 2 * S, "published": now}
    asyncio.run(show.handle("predictions", msgspec.structs.replace(record, missed="late")))
    assert latency.report()["window_to_prediction"]["max"] == 8000.0
