"""The transport beside its alternatives: delays hide no stall, carriers bring everything, who is missing is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.open_loop import Ledger, Punctuality, send_on_time
from benchmarks.transport import command
from benchmarks.transport.inside import MOST_UNDER_WAY, Open, embedded, hub_alone, queue
from benchmarks.transport.measure import delays, flood, numbered
from benchmarks.transport.outside import free_port

MS = 1_000_000


class Clock:
    """Stands still but for who sleeps."""

    def __init__(self) -> None:
        self.ns = 0

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


def test_a_stall_of_the_carrier_is_in_the_delay_of_all_that_was_due_meanwhile() -> None:
    clock, ledger, sent = Clock(), Ledger(), Ledger()
    due = [i * 10 * MS for i in range(20)]
    for i, at in enumerate(due):
        ledger.expect(i, at)
        sent.expect(i, at)

    async def send(i: int) -> None:
        if i == 4:
            await clock.sleep(0.1)  # what a closed loop would tell as one slow message
        ledger.came(i, clock.ns)

    asyncio.run(send_on_time(send, due, sent.came, now_ns=lambda: clock.ns, sleep=clock.sleep))
    found = ledger.account()
    assert found.most_ms == 100.0 and found.lost == 0
    late = [ledger.account(at, at + 1).p50_ms for at in due]
    assert late == [0.0] * 4 + [100.0, 90.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0, 10.0] + [0.0] * 6
    assert sent.account().most_ms == 90.0  # the sender of the next one was late, and that is told


def test_what_was_due_before_is_no_part_of_an_account() -> None:
    ledger = Ledger()
    for i in range(4):
        ledger.expect(i, i * 10 * MS)
    ledger.came(0, 500 * MS)  # of the warm-up
    ledger.came(0, 501 * MS)
    ledger.came(2, 21 * MS)
    ledger.came(2, 25 * MS)
    ledger.came("nobody's", 0)
    assert ledger.account(10 * MS) == Punctuality(due=3, lost=2, twice=1, p50_ms=1.0, p99_ms=1.0, most_ms=1.0)
    assert ledger.account(10 * MS, 20 * MS) == Punctuality(
        due=1, lost=1, twice=0, p50_ms=None, p99_ms=None, most_ms=None
    )


@pytest.mark.parametrize("carrier", [queue, hub_alone, embedded])
def test_a_carrier_brings_every_message_once_and_in_order(carrier: Open) -> None:
    wanted = [numbered(i, bytes(100)) for i in range(3 * MOST_UNDER_WAY)]

    async def carry() -> list[bytes]:
        got: list[bytes] = []
        all_came = asyncio.Event()

        def deliver(message: bytes) -> None:
            got.append(message)
            if len(got) >= len(wanted):
                all_came.set()

        async with carrier(deliver) as send:
            for message in wanted:
                await send(message)
            await all_came.wait()
        return got

    assert asyncio.run(carry()) == wanted


def test_a_carrier_is_measured_in_both_loops() -> None:
    found = delays(queue, bytes(64), 1000.0, 0.02, 0.01)
    assert (found.came.due, found.came.lost, found.sent.due) == (20, 0, 20)
    assert found.came.p50_ms is not None and found.sent.p50_ms is not None
    assert found.came.p50_ms >= found.sent.p50_ms
    assert flood(queue, bytes(64), 0.01, 0.0) > 0


def test_who_is_not_there_is_named_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    out = tmp_path / "transport.md"
    words = ["--size", "100", "--rate", "200", "--seconds", "0.02", "--warm", "0", "--repeats", "1", "--out", str(out)]
    assert benchmarks.main(["transport", *words]) == 0
    said = capsys.readouterr().out
    assert "Not measured: ezmsg: not installed (pip install -e '.[peers]')." in said
    assert "Kafka: no --broker was named." in said
    told = json.loads(out.with_suffix(".json").read_text())
    assert [row[0] for row in told["tables"][0]["rows"]] == ["asyncio.Queue", "embedded hub alone", "embedded://"]
    assert told["figures"]["missing"].keys() == {"ezmsg", "Kafka"}


@pytest.mark.parametrize("name", ["transport", "pipelines"])
def test_an_address_of_no_kafka_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    for broker, wanted in (
        ("localhost:9092", "a broker like kafka://HOST:PORT"),
        ("kafka://localhost", "a broker like kafka://HOST:PORT"),
        (f"kafka://{nobody}", f"a Kafka at {nobody}"),
    ):
        assert benchmarks.main([name, "--broker", broker]) == 2
        said = capsys.readouterr().err.strip()
        assert f"Expected {wanted}" in said and "\n" not in said


def test_a_tick_is_a_real_one() -> None:
    from streams.codec import decode
    from streams.records import WaveTick

    tick = decode(command.tick_bytes())
    assert isinstance(tick, WaveTick) and [chunk.modality for chunk in tick.chunks] == ["ECG", "ABP", "PPG", "EEG"]
