"""SIGTERM to each role as a process of its own on a real Kafka: it ends, and the account of what was sent closes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from mcap.reader import make_reader

from streams.codec import decode
from streams.records import AnyRecord, CellRecord, WaveTick, tick_identity

pytestmark = pytest.mark.kafka
PREFIX, PARTITIONS = "term-", 2
BEDS = ("1", "2")
R = TypeVar("R", bound=AnyRecord)


class Role:
    """A command in a process of its own, ready once its health check says so."""

    def __init__(self, bootstrap: str, home: Path, *arguments: str, prefix: str = PREFIX) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        environment = os.environ | {
            "VIGIL_BROKER_URL": f"kafka://{bootstrap}",
            "VIGIL_BROKER_PREFIX": prefix,
            "VIGIL_BROKER_PARTITIONS": str(PARTITIONS),
            "VIGIL_METRICS_PORT": str(self.port),
            "XDG_STATE_HOME": str(home),
        }
        self.said = (home / f"{arguments[0]}-{self.port}").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monitor", *arguments, "--log-json"], env=environment, stderr=self.said
        )

    def well(self) -> bool:
        assert self.process.poll() is None, self.words()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=30) as answer:
                return bool(json.loads(answer.read())["ok"])
        except (urllib.error.URLError, ConnectionError):
            return False

    def words(self) -> str:
        self.said.seek(0)
        return self.said.read()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) in (0, 130), self.words()
        events = [json.loads(line)["event"] for line in self.words().splitlines()]
        assert events[0] == "started" and events[-1] == "ended" and "failed" not in events, self.words()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(30)
        self.said.close()


@pytest.fixture
def role(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Callable[..., Role]]:
    started: list[Role] = []

    def start(*arguments: str, prefix: str = PREFIX) -> Role:
        started.append(Role(kafka_bootstrap, tmp_path, *arguments, prefix=prefix))
        until(started[-1].well, f"{arguments[0]} to be well")
        return started[-1]

    yield start
    for each in started:
        each.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """As slow as the machine is; the suite's own limit is the only one."""
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def on_topic(bootstrap: str, name: str, kind: type[R], prefix: str = PREFIX) -> list[R]:
    """Every record of a kind that lies on a topic."""

    async def read() -> list[bytes]:
        partitions = [TopicPartition(f"{prefix}{name}", n) for n in range(PARTITIONS)]
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[bytes] = []
            for tp in partitions:
                consumer.seek(tp, 0)
            while len(found) < sum(ends.values()):
                batches = await consumer.getmany(timeout_ms=500)
                found += [r.value for tp, batch in batches.items() for r in batch if r.offset < ends[tp]]
            return found

    return [record for record in map(decode, asyncio.run(read())) if isinstance(record, kind)]


def in_file(path: Path) -> tuple[list[AnyRecord], bool]:
    """What a recording holds, and whether it has its end and index."""
    with path.open("rb") as file:
        reader = make_reader(file)
        whole = reader.get_summary() is not None and reader.get_summary().statistics is not None  # type: ignore[union-attr]
        return [decode(message.data) for _, _, message in reader.iter_messages(log_time_order=False)], whole


def seconds(cells: list[CellRecord], bed: str) -> list[int]:
    return sorted(cell.second for cell in cells if cell.bed == bed)


@pytest.mark.usefixtures("retries_are_no_errors")
@pytest.mark.timeout(400)
def test_every_role_ends_and_nothing_is_lost(
    role: Callable[..., Role], kafka_bootstrap: str, tmp_path: Path
) -> None:  # fmt: skip
    out = tmp_path / "ward.mcap"
    worker = role("worker", "--backend", "onnx")
    record = role("record", str(out))
    source = role("source", *(f"demo:seed={n},faults=off" for n in BEDS), "--speed", "4")

    def handled() -> int:
        cells = on_topic(kafka_bootstrap, "vitals", CellRecord)
        return min(len(seconds(cells, bed)) for bed in BEDS)

    until(lambda: handled() >= 12, "a dozen seconds of each bed")
    worker.terminate()
    before = handled()
    second = role("worker", "--backend", "onnx")
    until(lambda: handled() >= before + 12, "the other worker to go on")

    source.terminate()
    ticks = on_topic(kafka_bootstrap, "waves", WaveTick)
    assert json.loads(source.words().splitlines()[-1])["ticks_sent"] == len(ticks), "all that it had sent"
    for bed in BEDS:
        sequence = [tick.tick_seq for tick in ticks if tick.bed == bed]
        assert sequence == list(range(len(sequence))), "what the source has sent has come to the broker, once"
    last = {bed: max(tick.end_ns for tick in ticks if tick.bed == bed) // 1_000_000_000 for bed in BEDS}
    until(lambda: all(len(seconds(on_topic(kafka_bootstrap, "vitals", CellRecord), bed)) >= last[bed] - 1
                      for bed in BEDS), "every second that was sent to be handled")  # fmt: skip
    cells = on_topic(kafka_bootstrap, "vitals", CellRecord)
    for bed in BEDS:
        told = seconds(cells, bed)
        assert told == list(range(told[0], told[0] + len(told))), (
            "each second was told once, by one worker or the other"
        )
        assert told[0] <= 1

    until(lambda: out.stat().st_size > 0, "the recording")
    record.terminate()
    second.terminate()
    records, whole = in_file(out)
    assert whole, "the recording has its end"
    kept = [tick_identity(r) for r in records if isinstance(r, WaveTick)]
    lying = [tick_identity(tick) for tick in ticks]
    assert len(kept) == len(set(kept)) and set(kept) == set(lying), "everything that was sent is in the file, once"
    assert {r.second for r in records if isinstance(r, CellRecord) and r.bed == "1"} == set(seconds(cells, "1"))
    assert missed(worker) == 0 == missed(second), "neither worker found a sample missing"


def missed(worker: Role) -> int:
    """Samples that a worker said it missed, when it ended."""
    return int(json.loads(worker.words().splitlines()[-1])["samples_lost"])
