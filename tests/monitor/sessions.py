"""Sessions on the test patient, and what came out of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitor.session import Session
from streams.records import AnyRecord, WaveTick
from streams.transport import hub

Make = Callable[..., Session]

WIRE = "session-test"
"""Name of the hub of a session that is made with ``broker=BROKER``, for messages from elsewhere (:func:`arrives`)."""
BROKER = f"embedded://{WIRE}"


def collected(session: Session) -> list[AnyRecord]:
    records: list[AnyRecord] = []
    session.subscribe(records.append)
    return records


def ticks(records: list[AnyRecord]) -> list[WaveTick]:
    return [r for r in list(records) if isinstance(r, WaveTick)]


def silent_s(session: Session) -> float:
    """Seconds since a tick was last handled, while there were some to handle."""
    return (time.monotonic_ns() - session.status().progress_ns) / 1e9


def held_up(session: Session) -> bool:
    """Whether a model that gives no answer has held the waves up: more windows than a mailbox holds, and silence."""
    return session.status().position_s > 60.0 and silent_s(session) > 0.3


def arrives(topic: str, message: bytes) -> None:
    """Bed 1 gets a message over the wire that the session has not sent."""
    hub(WIRE).produce(topic, b"bed1", message)
