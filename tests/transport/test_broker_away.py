"""A real broker that stands still, or is gone: every role waits for it, says so, loses nothing, and ends when told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from models.signals.modalities import Modality
from models.signals.windows import WindowSpec
from streams import courier
from streams.records import AnyRecord, BedRecord, CellRecord, WaveTick, tick_identity
from streams.roles.display import DisplayProcess
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sources.replay import replays
from streams.sources.source import Emit, MakeSource
from streams.spool import Spool
from tests.streams.sources import FakeEngine, PatientMap, wait_until
from tests.transport.kafka_broker import KafkaBroker, KafkaUnavailable, start_kafka
from tests.transport.test_roles import running

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("outages_are_no_errors"), pytest.mark.timeout(300)]
TICK_NS = 50_000_000


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker of its own: the others' must not stand still."""
    try:
        broker = start_kafka(tmp_path_factory.mktemp("kafka"))
    except KafkaUnavailable as exc:
        pytest.skip(f"no Kafka: {exc}")
    yield broker
    broker.stop()


class Device:
    """A source that cannot wait: gives ``burst`` ticks whenever it is let."""

    epoch = 0
    position_s = 0.0

    def __init__(self, bed: str, session: str) -> None:
        self.bed, self.session = bed, session
        self.given = 0
        self._wanted = 0
        self._news, self._over = Event(), Event()

    def give(self, ticks: int) -> None:
        self._wanted += ticks
        self._news.set()

    def describe(self) -> BedRecord:
        return BedRecord(
            bed=self.bed, session=self.session, epoch=0, title="", seekable=False, end_ns=None, channels=[]
        )

    def run(self, emit: Emit) -> None:
        while not self._over.is_set():
            self._news.wait()
            self._news.clear()
            while self.given < self._wanted:
                start = self.given * TICK_NS
                emit(
                    WaveTick(
                        bed=self.bed, session=self.session, epoch=0, tick_seq=self.given,
                        start_ns=start, end_ns=start + TICK_NS,
                    )
                )  # fmt: skip
                self.given += 1

    def stop(self) -> None:
        self._over.set()
        self._news.set()

    def set_dropped(self, modality: Modality, dropped: bool) -> None:
        raise AssertionError

    def dropped_now(self) -> frozenset[Modality]:
        return frozenset()


class Ward:
    """A display and, as they are asked for, other roles, all in this process."""

    def __init__(self, kafka: KafkaBroker, prefix: str) -> None:
        self.url = f"kafka://{kafka.bootstrap}"
        self.sharing = Sharing(prefix=prefix, partitions=2, only_own=False)
        self.records: list[AnyRecord] = []
        self.display = DisplayProcess(self.url, self.sharing)
        self.display.subscribe(self.records.append)

    def source(self, beds: dict[str, MakeSource], folder: Path | None = None) -> SourceProcess:
        opener = None if folder is None else lambda: Spool(folder, 1 << 20)
        return SourceProcess(beds, self.url, self.sharing, open_spool=opener)

    def worker(self) -> WorkerProcess:
        sharing = Sharing(prefix=self.sharing.prefix, partitions=2, only_own=False, group=f"{self.sharing.prefix}w")
        return WorkerProcess(WindowSpec(), FakeEngine, self.url, sharing)

    def ticks(self) -> list[WaveTick]:
        return [r for r in list(self.records) if isinstance(r, WaveTick)]


def away(kafka: KafkaBroker, how: str) -> Callable[[], None]:
    """The broker stands still or is gone; how it comes back."""
    if how == "still":
        kafka.pause()
        return kafka.resume
    kafka.kill()
    return kafka.restart


@pytest.mark.parametrize("how", ["still", "gone"])
def test_every_role_says_so_waits_and_goes_on(kafka: KafkaBroker, how: str) -> None:
    ward = Ward(kafka, f"on-{how}-")
    worker = ward.worker()
    source = ward.source(replays({bed: lambda: PatientMap(3600.0) for bed in "ab"}, speed=1.0))  # type: ignore[misc]
    roles = (ward.display, worker, source)
    with running(*roles):
        wait_until(lambda: any(isinstance(r, CellRecord) for r in list(ward.records)), 60, what="numerics")
        back = away(kafka, how)
        try:
            wait_until(lambda: all(role.stream.away_s > 0 for role in roles), 60, what="every role to notice")
            assert all(role.snapshot().away_s > 0 for role in roles)
        finally:
            back()
        wait_until(lambda: not any(role.stream.away_s for role in roles), 60, what="every role to find it again")
        seen = len(ward.records)
        wait_until(
            lambda: any(isinstance(r, CellRecord) for r in list(ward.records)[seen:]), 100, what="numerics again"
        )
    for bed in "ab":
        told = sorted({r.second for r in ward.records if isinstance(r, CellRecord) and r.bed == bed})
        assert told == list(range(told[0], told[0] + len(told))), "no second is missing"


@pytest.mark.parametrize("how", ["still", "gone"])
def test_every_role_ends_though_the_broker_is_away(kafka: KafkaBroker, how: str) -> None:
    ward = Ward(kafka, f"off-{how}-")
    roles = (ward.display, ward.worker(), ward.source(replays({"a": lambda: PatientMap(3600.0)}, speed=1.0)))
    with running(*roles):
        wait_until(lambda: any(isinstance(r, CellRecord) for r in list(ward.records)), 60, what="numerics")
        back = away(kafka, how)
        try:
            for role in roles:
                role.stop()
                assert role.crew.failure is None, role.crew.error
        finally:
            back()
    assert roles[2].lost > 0, "and says what it could not hand over"


def test_what_a_device_sends_meanwhile_is_kept_on_disk_and_sent_in_order(
    kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "MOST_WAITING", 20)
    ward = Ward(kafka, "device-")
    made: list[Device] = []

    def device(bed: str, session: str) -> Device:
        made.append(Device(bed, session))
        return made[-1]

    source = ward.source({"a": device}, tmp_path)
    with running(ward.display, source):
        made[0].give(10)
        wait_until(lambda: len(ward.ticks()) == 10, 60, what="ticks to come through")
        kafka.pause()
        try:
            made[0].give(5000)
            wait_until(
                lambda: made[0].given == 5010 and source.courier.status.kept > 2000, 60, what="the disk to be used"
            )
            assert any("wait on disk" in note for note in source.notes)
            assert list(tmp_path.iterdir())
        finally:
            kafka.resume()
        wait_until(lambda: len({tick_identity(t) for t in ward.ticks()}) == 5010, 100, what="every tick to arrive")
        assert not source.courier.behind and not list(tmp_path.iterdir()), "the disk is given back"
    first = list(dict.fromkeys(t.tick_seq for t in ward.ticks()))
    assert first == list(range(5010)), "in order"
    assert source.lost == 0 == source.courier.status.dropped
