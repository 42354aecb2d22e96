"""What devices send gets to the broker in order, straight or by way of a disk, or is counted as dropped."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import courier as module
from streams.courier import LAST_S, Courier, CourierStatus, courier_notes
from streams.spool import Spool
from tests.streams.sources import wait_until


class Broker:
    """Takes so many messages as it is let."""

    def __init__(self, folder: Path, limit: int = 1 << 20) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.outbox: list[tuple[str, bytes]] = []
        self.now = 0.0
        self.courier = Courier(
            lambda bed, message: self.outbox.append((bed, message)),
            lambda: len(self.outbox),
            lambda: Spool(folder, limit),
            monotonic=lambda: self.now,
        )

    def take(self, messages: int) -> None:
        self.taken += self.outbox[:messages]
        del self.outbox[:messages]


@given(st.lists(st.one_of(st.integers(1, 9), st.tuples(st.integers(0, 9)), st.none()), max_size=50), st.integers(1, 4))
def test_order_is_kept_and_every_message_accounted_for(steps: list[int | tuple[int] | None], most: int) -> None:
    """A number is so many messages, one in brackets so many that the broker takes, None the courier's turn."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_WAITING", most)
        broker = Broker(Path(name), limit=600)
        sent = 0
        for step in steps:
            if isinstance(step, int):
                for _ in range(step):
                    broker.courier.push("bedé", b"%d" % sent)
                    sent += 1
            elif step is None:
                broker.courier.turn()
            else:
                broker.take(step[0])
            assert len(broker.outbox) <= most
            status = broker.courier.status
            assert len(broker.taken) + len(broker.outbox) + status.kept + status.dropped == sent
        while broker.courier.behind:
            broker.take(9)
            broker.courier.turn()
        broker.take(9)
        numbers = [int(message) for _, message in broker.taken]
        assert numbers == sorted(set(numbers)) and {bed for bed, _ in broker.taken} <= {"bedé"}
        assert len(numbers) + broker.courier.status.dropped == sent
        assert not numbers or sent - 1 in numbers, "the newest are kept"
        broker.courier.close()
        assert not list(Path(name).iterdir())


def test_a_disk_that_takes_nothing_is_said_and_what_it_did_not_take_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    broker = Broker(Path("/nonexistent/folder"))
    for k in range(4):
        broker.courier.push("1", b"%d" % k)
    broker.courier.turn()
    assert broker.courier.status.dropped == 3 and not broker.courier.behind
    (dropped, failure) = courier_notes(broker.courier.status)
    assert dropped == "3 ticks of devices were dropped." and "disk takes nothing" in failure
    broker.take(1)
    broker.courier.push("1", b"4")
    assert broker.outbox == [("1", b"4")], "who comes when there is room goes straight through"


def test_a_disk_that_does_not_answer_costs_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    monkeypatch.setattr(module, "MOST_QUEUED_BYTES", 100)
    broker = Broker(tmp_path)
    for _ in range(50):
        broker.courier.push("1", b"x" * 10)
    assert broker.courier.status == CourierStatus(kept=10, dropped=39)


def test_at_the_end_it_waits_for_what_is_left_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    broker = Broker(tmp_path)
    thread = threading.Thread(target=broker.courier.run)
    thread.start()
    for k in range(10):
        broker.courier.push("1", b"%d" % k)
    wait_until(lambda: broker.courier.status.spooled == 8, what="the disk to be used")
    broker.courier.stop()
    broker.take(2)
    wait_until(lambda: broker.courier.status.kept == 6, what="what there is room for to go on")
    assert thread.is_alive()
    broker.now += LAST_S
    thread.join(60)
    assert not thread.is_alive() and broker.courier.status.dropped == 6 and not list(tmp_path.iterdir())
    broker.courier.push("1", b"late")
    assert broker.courier.status.dropped == 7
