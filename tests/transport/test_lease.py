"""A member speaks only as long as the broker waits for its next word."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from streams.transport.lease import Lease

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
