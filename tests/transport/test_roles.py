"""Source, worker and display as processes of their own: what comes out is what one process gives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams.limit_settings import checked, default_setting, moved
from streams.records import (
    AlarmRecord,
    AnyRecord,
    CellRecord,
    ExplainRecord,
    LimitsRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)
from streams.roles.display import DisplayProcess
from streams.roles.process import RoleProcess
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sources.player import TICK_NS
from streams.sources.replay import replays
from tests.streams.sources import FakeEngine, PatientMap, S, session_of, wait_until
from tests.transport.harness import Broker

SECONDS = 25.0
KINDS = (StateRecord, CellRecord, VitalsRecord, RhythmRecord, AlarmRecord, PredictionRecord)
_numbers = itertools.count(1)


@contextmanager
def running(*roles: RoleProcess) -> Iterator[None]:
    """In this order, each ready before the next begins; stopped in the end, and none may have failed."""
    for role in roles:
        role.start()
        wait_until(lambda role=role: role.ready.is_set() or role.crew.failure is not None, 60, what="the role")  # type: ignore[misc]
        role.crew.raise_failure()
    try:
        yield
    finally:
        for role in reversed(roles):
            role.stop()
        for role in roles:
            role.crew.raise_failure()


def told(records: Sequence[AnyRecord], bed: str) -> list[tuple[object, ...]]:
    """What is said of a bed, without what differs from run to run: session, stamps, and that alarms are said again."""
    said: list[tuple[object, ...]] = []
    standing: dict[str, AlarmRecord] = {}
    for record in records:
        if not isinstance(record, KINDS) or record.bed != bed:
            continue
        if isinstance(record, AlarmRecord):
            if standing.get(record.key) == record:
                continue
            standing[record.key] = record
        fields = {n: getattr(record, n) for n in record.__struct_fields__}
        kept = {n: v for n, v in fields.items() if n not in ("session", "stamps_ns", "host", "clock_ns")}
        said.append((type(record).__name__, *sorted((n, repr(v)) for n, v in kept.items())))
    return sorted(said)


def one_process(beds: Sequence[str]) -> list[AnyRecord]:
    records: list[AnyRecord] = []
    session = session_of({bed: lambda: PatientMap(SECONDS) for bed in beds}, WindowSpec(), FakeEngine, speed=None)  # type: ignore[misc]
    session.subscribe(records.append)
    session.start()
    assert session.wait(120)
    return records


@pytest.fixture
def sharing() -> Sharing:
    return Sharing(prefix=f"roles{next(_numbers)}-", partitions=2, only_own=False)


def shared(sharing: Sharing) -> Sharing:
    return replace(sharing, group=f"{sharing.prefix}workers")


def test_three_processes_say_what_one_says(broker: Broker, sharing: Sharing) -> None:
    records: list[AnyRecord] = []
    display = DisplayProcess(broker.url, sharing)
    display.subscribe(records.append)
    worker = WorkerProcess(WindowSpec(), FakeEngine, broker.url, shared(sharing))
    source = SourceProcess(
        replays({bed: lambda: PatientMap(SECONDS) for bed in "ab"}, speed=None),
        broker.url,
        sharing,  # type: ignore[misc,return-value]
    )
    with running(display, worker, source):
        assert source.wait(120)
        wait_until(lambda: sum(isinstance(r, PredictionRecord) for r in records) == 50, what="all predictions")
    expected = one_process("ab")
    for bed in "ab":
        assert told(records, bed) == told(expected, bed)


def test_a_display_elsewhere_knows_and_steers_the_beds(broker: Broker, sharing: Sharing) -> None:
    display = DisplayProcess(broker.url, sharing)
    ticks: list[WaveTick] = []
    alarms: list[AlarmRecord] = []
    display.subscribe(lambda r: ticks.append(r) if isinstance(r, WaveTick) and r.bed == "b" else None)
    display.subscribe(lambda r: alarms.append(r) if isinstance(r, AlarmRecord) and r.bed == "b" else None)
    control = display.control
    limits: dict[str, LimitsRecord] = {}
    display.subscribe(lambda r: limits.update({r.bed: r}) if isinstance(r, LimitsRecord) else None)
    records: list[AnyRecord] = []
    display.subscribe(records.append)

    def played(tick: WaveTick) -> bool:
        return tick.epoch == 1 and tick.goes_to_ns is None

    def predicted(record: AnyRecord) -> bool:
        return isinstance(record, PredictionRecord) and record.bed == "b" and record.window_end_ns > 300 * S

    worker = WorkerProcess(WindowSpec(), FakeEngine, broker.url, shared(sharing))
    source = SourceProcess(
        replays({bed: lambda: PatientMap(600.0) for bed in "ab"}, speed=1.0),
        broker.url,
        sharing,
        stay=True,  # type: ignore[misc,return-value]
    )
    with running(display, worker, source):
        wait_until(lambda: control.beds == ("a", "b") and control.status().model == "fake", what="the beds")
        assert control.bed == "a" and control.channels[0].modality is Modality.ECG
        control.pause()
        wait_until(lambda: control.status().paused)
        control.show("b")
        wait_until(lambda: not control.status().paused)
        control.set_dropped(Modality.ABP, True)
        control.set_speed(5.0)
        wait_until(lambda: control.status().dropped == {Modality.ABP} and control.status().speed == 5.0)
        control.seek(300.0)
        wait_until(lambda: control.status().position_s >= 300.0)
        assert source.role.bed("a").position_s < 60.0
        wait_until(lambda: any(played(tick) for tick in list(ticks)), what="what is played after the pre-roll")
        before = [tick for tick in ticks if tick.goes_to_ns is not None]
        assert [t.start_ns for t in before] == [240 * S + n * TICK_NS for n in range(1200)]
        assert next(filter(played, ticks)).start_ns == 300 * S
        assert all(a.epoch == 0 or a.time_ns >= 240 * S for a in alarms)
        wait_until(lambda: any(predicted(r) for r in list(records)), what="a prediction")
        control.explain()
        wait_until(lambda: any(isinstance(r, ExplainRecord) for r in list(records)), what="what each sensor is worth")
        answer = next(r for r in records if isinstance(r, ExplainRecord))
        assert (answer.bed, answer.epoch, len(answer.rows)) == ("b", 1, 5) and answer.window_end_ns > 300 * S
        control.show("a")
        assert control.status().paused and not control.status().dropped
        tight = checked([moved(default_setting("hr"), 45.0, 60.0)])
        control.set_limits(tight, "b")
        wait_until(
            lambda: "b" in limits and tuple(limits["b"].limits) == tight, what="the limits of the one that plays"
        )
        assert limits["b"].set_by == "operator" and not limits["a"].set_by


def test_two_sources_of_one_bed_are_refused_and_the_first_plays_on(broker: Broker, sharing: Sharing) -> None:
    """Two patients under one name would be one patient with two hearts."""

    def source(*beds: str) -> SourceProcess:
        return SourceProcess(
            replays({bed: lambda: PatientMap(600.0) for bed in beds}, speed=1.0),  # type: ignore[misc,return-value]
            broker.url,
            sharing,
        )

    worker = WorkerProcess(WindowSpec(), FakeEngine, broker.url, shared(sharing))
    first, other, second = source("a", "b"), source("c"), source("b")
    with running(worker, first):
        wait_until(lambda: first.accounting.counted("ticks_sent") > 0, what="the first to play")
        second.start()
        with pytest.raises(BadInput, match=r"bed names of its own on this broker, found bed 'b' of another source"):
            second.wait(60)
        assert not second.accounting.counted("ticks_sent"), "not a tick of the second patient"
        with running(other):
            wait_until(lambda: other.accounting.counted("ticks_sent") > 0, what="another bed to play")
        sent = first.accounting.counted("ticks_sent")
        wait_until(lambda: first.accounting.counted("ticks_sent") > sent, what="the first to play on")
