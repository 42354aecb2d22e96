"""Waves that come twice, out of order and with rubbish between them, over a broker: what is shown is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from models.signals.windows import WindowSpec
from streams.codec import encode
from streams.records import AnyRecord, CellRecord, DeadLetter, PredictionRecord, RhythmRecord, VitalsRecord, WaveTick
from streams.roles.display import DisplayProcess
from streams.roles.worker import WorkerProcess
from streams.runner import Sharing
from tests.streams.sources import FakeEngine, wait_until
from tests.streams.test_windower import make_ticks
from tests.transport.harness import Broker, sender
from tests.transport.test_roles import running
from tests.transport.test_takeover import event_ns

SECONDS = 12
S = 10**9
KINDS = (CellRecord, VitalsRecord, RhythmRecord, PredictionRecord)


def run(broker: Broker, messages: Sequence[bytes], twice: int = 0) -> tuple[list[AnyRecord], WorkerProcess]:
    """What a display is told once a worker has handled the messages, ``twice`` ticks of them again, and the worker."""
    records: list[AnyRecord] = []
    prefix = f"{broker.prefix}-"
    display = DisplayProcess(broker.url, Sharing(prefix=prefix, only_own=False))
    display.subscribe(records.append)
    worker = WorkerProcess(WindowSpec(), FakeEngine, broker.url, Sharing(f"{prefix}w", 1, prefix, only_own=False))

    async def send() -> None:
        async with sender(broker) as produce:
            for message in messages:
                await produce("waves", b"bed1", message)

    with running(display, worker):
        asyncio.run(send())
        wait_until(
            lambda: any(isinstance(r, PredictionRecord) and r.window_end_ns >= (SECONDS - 1) * S for r in records),
            60,
            "the last window",
        )
        wait_until(lambda: worker.accounting.counted("ticks_duplicated") == twice, 60, "every duplicate")
        wait_until(lambda: not twice or any(isinstance(r, DeadLetter) for r in records), 60, "the dead letter")
    return records, worker


def told(records: Sequence[AnyRecord]) -> list[str]:
    """Without the last seconds, which may be on their way yet."""

    def plain(record: AnyRecord) -> str:
        fields = {n: getattr(record, n) for n in record.__struct_fields__ if n not in ("stamps_ns", "host", "clock_ns")}
        return f"{type(record).__name__} {fields}"

    return sorted(plain(r) for r in records if isinstance(r, KINDS) and event_ns(r) <= (SECONDS - 3) * S)


def disturbed(ticks: Sequence[WaveTick]) -> tuple[list[bytes], int]:
    """Each tick twice, every seventh after the one that follows it in its second (a second that has closed is not told
    anew), and one message that is none; how many ticks changed places."""
    order, swapped = list(range(len(ticks))), 0
    for at in range(5, len(order) - 1, 7):
        if ticks[at].end_ns % S == 0:
            continue
        order[at], order[at + 1] = order[at + 1], order[at]
        swapped += 1
    messages = [message for at in order for message in [encode(ticks[at])] * 2]
    return [*messages[:50], b"no message", *messages[50:]], swapped


def test_ticks_twice_and_out_of_order_change_nothing_but_their_counts(broker: Broker) -> None:
    ticks = [replace(tick, due_ns=0) for tick in make_ticks(SECONDS)]
    plain = Broker(broker.kind, broker.url)
    expected, _ = run(plain, [encode(tick) for tick in ticks])
    messages, swapped = disturbed(ticks)
    found, worker = run(broker, messages, twice=len(ticks))
    assert told(found) == told(expected) and len(told(expected)) >= 4 * (SECONDS - 4)
    counted = worker.accounting.counted
    assert counted("ticks_late") == swapped
    assert worker.accounting.samples_lost == 0
    letters = [r for r in found if isinstance(r, DeadLetter)]  # the worker's, and perhaps that of the display
    assert {(letter.topic, letter.head) for letter in letters} == {(broker.name("waves"), b"no message")}
    assert worker.snapshot().counts["dead_letters"] == 1
