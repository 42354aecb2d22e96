"""The recorder's file of one process and of four, on either broker: the same records; and both play again alike."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_fields

from models.runtime.prediction import Interval, Prediction
from models.signals.modalities import Modality
from models.signals.windows import Window, WindowSpec
from monitor.recorder import recorder
from streams.codec import encode
from streams.records import AlarmRecord, AnyRecord, BedRecord, LimitsRecord, PredictionRecord, StatusRecord
from streams.roles.display import DisplayProcess
from streams.roles.source import SourceProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from streams.sinks.sink import SinkRunner
from streams.sources.bed_replay import Drop
from streams.sources.mcap_file import McapFile
from streams.sources.recorded import RecordedSession
from streams.sources.replay import replays
from tests.streams.sources import FakeEngine, PatientMap, session_of, wait_until
from tests.transport.harness import Broker
from tests.transport.test_roles import running, shared

SECONDS = 25.0
BEDS = "ab"
DROPS = (Drop(Modality.ABP, 8.0, 14.0),)
RUNS_OWN = {"session": "s", "due_ns": 0, "stamps_ns": {}, "host": "", "clock_ns": 0}
"""What differs from run to run and from machine to machine, and what stands in its place here."""


class DigestEngine(FakeEngine):
    """A model whose numbers are a checksum of all that it was given: another bit in, another prediction out."""

    def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        return [
            replace(made, risk={5: Interval(digest(window) / 2**32, 0.0, 1.0)})
            for made, window in zip(super().predict(windows, keys), windows, strict=True)
        ]


def digest(window: Window) -> int:
    return zlib.crc32(b"".join(getattr(window, name).tobytes() for name in ("signals", "presence", "cells", "context")))


def recorded(path: Path, bed: str) -> dict[str, Counter[bytes]]:
    """What a file says of a bed, kind by kind: in whichever order the topics came in, alarms that stand once (a worker
    says them again), what source and worker tell of themselves left out."""
    file = McapFile(path)
    said = told(file.records(), bed)
    assert file.complete and not file.notes
    file.close()
    return said


def told(records: Iterable[AnyRecord], bed: str) -> dict[str, Counter[bytes]]:
    """The same of records."""
    said: dict[str, Counter[bytes]] = {}
    standing: dict[str, AlarmRecord] = {}
    limits: object = None
    for record in records:
        if record.bed != bed or isinstance(record, StatusRecord | BedRecord):
            continue
        if isinstance(record, AlarmRecord):
            if standing.get(record.key) == record:
                continue
            standing[record.key] = record
        if isinstance(record, LimitsRecord):  # said again for displays that came later
            if (record.epoch, record.limits, record.set_by) == limits:
                continue
            limits = record.epoch, record.limits, record.set_by
        said.setdefault(type(record).__name__, Counter())[plain(record)] += 1
    return said


def plain(record: AnyRecord) -> bytes:
    return encode(with_fields(record, **{k: v for k, v in RUNS_OWN.items() if k in record.__struct_fields__}))


def closed(sink: SinkRunner) -> None:
    sink.close()
    assert (sink.status.dropped, sink.status.failure) == (0, "")


def one_process(recording: Path, sources: dict[str, object], drops: Sequence[Drop] = DROPS) -> list[AnyRecord]:
    """As ``vigil run --record``; what subscribers got."""
    kept: list[AnyRecord] = []
    session = session_of(sources, WindowSpec(), DigestEngine, speed=None, drops=drops)  # type: ignore[arg-type]
    sink = recorder(recording)
    session.record_with(sink)
    session.subscribe(kept.append)
    sink.start()
    session.start()
    assert session.wait(120)
    session.stop()
    closed(sink)
    return kept


def patients() -> dict[str, object]:
    return {bed: lambda: PatientMap(SECONDS) for bed in BEDS}


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "one.mcap"
    one_process(path, patients())
    return path


def replayed(path: Path, bed: str, again: Path) -> list[AnyRecord]:
    """As ``vigil run FILE#BED``."""
    channels = RecordedSession(path, bed).channel_map()
    return one_process(again, {bed: lambda: channels}, channels.drops)


def has_all(expected: dict[str, dict[str, Counter[bytes]]], records: Sequence[AnyRecord]) -> bool:
    for bed, kinds in expected.items():
        found = told(records, bed)
        if not all(counts <= found.get(kind, Counter()) for kind, counts in kinds.items()):
            return False
    return True


def predictions(records: Iterable[AnyRecord]) -> list[bytes]:
    return [plain(record) for record in records if isinstance(record, PredictionRecord)]


def test_what_four_processes_record_is_what_one_records(broker: Broker, of_one: Path, tmp_path: Path) -> None:
    sharing = Sharing(prefix=f"{broker.prefix}{broker.kind}rec-", partitions=2, only_own=False)
    path = tmp_path / "four.mcap"
    records: list[AnyRecord] = []
    display, recording = DisplayProcess(broker.url, sharing), DisplayProcess(broker.url, sharing)
    sink = recorder(path)
    recording.subscribe(records.append)
    recording.subscribe(sink)
    sink.start()
    worker = WorkerProcess(WindowSpec(), DigestEngine, broker.url, shared(sharing))
    source = SourceProcess(replays(patients(), speed=None, drops=DROPS), broker.url, sharing)  # type: ignore[arg-type]
    with running(display, recording, worker, source):
        assert source.wait(120)
        expected = {bed: recorded(of_one, bed) for bed in BEDS}
        wait_until(lambda: len(predictions(list(records))) == 2 * SECONDS, what="all predictions")
        wait_until(lambda: has_all(expected, list(records)), what="all records")
    closed(sink)
    for bed in BEDS:
        one, four = expected[bed], recorded(path, bed)
        assert sorted(one) == sorted(four)
        for kind in one:
            assert one[kind] == four[kind], kind
        assert {"WaveTick", "StateRecord", "CellRecord", "VitalsRecord", "RhythmRecord", "AlarmRecord"} < set(one)
    again = replayed(path, "b", tmp_path / "again.mcap")
    before = McapFile(path).records(lambda message: message.may_be({"predictions"}, "b"))
    assert predictions(again) == predictions(before) and len(predictions(again)) == SECONDS


def test_what_one_process_recorded_plays_again_bit_for_bit(of_one: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.mcap"
    replayed(of_one, "a", again)
    assert recorded(again, "a") == recorded(of_one, "a")
