"""A member speaks only as long as the broker waits for its next word."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.transport import guarded
from streams.transport.guarded import GuardedConsumer
from streams.transport.lease import Lease
from streams.wire import Outbox

S = 1_000_000_000
HeartbeatRequest = type("HeartbeatRequest", (), {})
SyncGroupRequest = type("SyncGroupRequest", (), {})
FetchRequest = type("FetchRequest", (), {})


def lease_after(request: object, code: int | None) -> Lease:
    lease = Lease(7.0)
    lease.answered(HeartbeatRequest(), SimpleNamespace(error_code=0), 100 * S)
    lease.answered(request, SimpleNamespace(**({} if code is None else {"error_code": code})), 105 * S)
    return lease


@pytest.mark.parametrize(("request_", "code", "renewed"), [
    (HeartbeatRequest(), 0, True),
    (HeartbeatRequest(), 27, True),  # a rebalance: still a member
    (HeartbeatRequest(), 25, False),  # unknown member
    (SyncGroupRequest(), 0, True),
    (SyncGroupRequest(), 27, False),
    (FetchRequest(), 0, False),
    (FetchRequest(), None, False),
])  # fmt: skip
def test_only_the_word_that_it_is_a_member_renews_it(request_: object, code: int | None, renewed: bool) -> None:
    lease = lease_after(request_, code)
    assert lease.holds(107 * S - 1) and lease.holds(107 * S) is renewed and not lease.holds(112 * S)


def test_before_it_has_joined_it_has_nothing_that_another_could_have() -> None:
    assert Lease(7.0).holds(0) and Lease(7.0).holds(10**18)


class Member:
    """What a consumer asks itself when its lease has run out."""

    def __init__(self) -> None:
        self.app = SimpleNamespace(rebalancing=False)
        self.holds = False
        self.question: Any = GuardedConsumer.may_say
        self._assignments, self._superseded = 3, set[TP]()
        self.assigned: set[TP] = {TP("waves", 0), TP("waves", 1), TP("vitals", 0), TP("vitals", 1)}

    def lease_holds(self) -> bool:
        return self.holds

    def assignment(self) -> set[TP]:
        return self.assigned

    def _is_mine(self, partition: int, superseded: Any) -> bool:
        member: Any = self
        return GuardedConsumer._is_mine(member, partition, superseded)

    def ask(self, then: Any) -> list[bool]:
        """What it may say of the partitions 0, 1 and 2, once ``then`` has happened."""

        async def asked() -> list[bool]:
            member: Any = self
            asking = [asyncio.ensure_future(self.question(member, n)) for n in range(3)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in asking), "nothing is said while it is in doubt"
            then()
            return await asyncio.gather(*asking)

        return asyncio.run(asked())


def test_a_member_that_still_is_one_says_what_it_had_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "LEASE_LOOK_S", 0.0)
    member = Member()
    assert member.ask(lambda: setattr(member, "holds", True)) == [True, True, True]


def test_one_that_has_joined_anew_says_it_only_of_what_nobody_else_has_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guarded, "LEASE_LOOK_S", 0.0)
    member = Member()

    def joined() -> None:
        member.holds, member._assignments, member._superseded = True, 4, {TP("vitals", 1)}

    assert member.ask(joined) == [True, False, False], "0 came back as it was, 1 after another's turn, 2 is another's"


@pytest.mark.parametrize("doubt", ["lease", "rebalance"])
def test_what_the_model_found_is_said_only_of_beds_that_are_still_its_own(
    monkeypatch: pytest.MonkeyPatch, doubt: str
) -> None:
    monkeypatch.setattr(guarded, "LEASE_LOOK_S", 0.0)
    member = Member()
    member.question = GuardedConsumer.has
    member.holds, member.app.rebalancing = doubt != "lease", doubt == "rebalance"

    def shared_out() -> None:
        member.holds, member.app.rebalancing = True, False
        member._assignments, member._superseded = 4, {TP("vitals", 1)}

    assert member.ask(shared_out) == [True, False, False]
    assert asyncio.run(GuardedConsumer.has(member, 1)), "what it found since then it says"  # type: ignore[arg-type]


def test_what_is_another_workers_to_say_is_not_sent() -> None:
    sent: list[str] = []
    asked: list[bool] = []

    async def send(topic: str, *_: Any) -> Any:
        sent.append(topic)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def may_say(bed: bytes, *, found_later: bool) -> bool:
        asked.append(found_later)
        return bed == b"mine"

    async def deliver() -> int:
        app: Any = SimpleNamespace(prefix="", producer=SimpleNamespace(send=send), may_say=may_say)
        outbox = Outbox()
        for bed in ("mine", "another's"):
            for topic in ("vitals", "alarms", "predictions", "beds"):
                outbox.post(topic, bed, b"")
        pump = asyncio.ensure_future(outbox.pump(app))
        while outbox.waiting:
            await asyncio.sleep(0)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        await outbox.deliver(app, "predictions", b"mine", b"")  # with its tick
        return outbox.undelivered

    assert asyncio.run(deliver()) == 0
    assert sent == ["vitals", "alarms", "predictions", "beds", "beds", "predictions"]
    assert asked == [*2 * [False, False, True], False]
