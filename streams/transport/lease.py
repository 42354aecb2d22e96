"""How long a member of a group may take itself for one. Pure; every question brings its own time.

Who shares the beds is told by the broker, and a member of which nothing was heard for a while has lost its beds to
another; it may be the last to learn that, when its process stood still or its network was cut. What it would still say
then was said by the other, and an alarm that ended long ago would begin anew. So it may speak only for so long after
the last word of the broker that it is a member as the broker waits for its next.
"""

from __future__ import annotations

from typing import Any

NO_ERROR, REBALANCE_IN_PROGRESS = 0, 27  # Kafka's error codes


class Lease:
    """session_s: for so long the broker waits for a word of a member."""

    def __init__(self, session_s: float) -> None:
        self._session_ns = round(session_s * 1e9)
        self._until_ns: int | None = None

    def answered(self, request: Any, answer: Any, sent_ns: int) -> None:
        """The broker has answered a request that was sent then."""
        kind, code = type(request).__name__, getattr(answer, "error_code", None)
        member = (kind.startswith("Heartbeat") and code in (NO_ERROR, REBALANCE_IN_PROGRESS)) or (
            kind.startswith("SyncGroup") and code == NO_ERROR
        )
        if member:
            self._until_ns = sent_ns + self._session_ns

    def holds(self, now_ns: int) -> bool:
        """Whether nobody else can have been given what this member has; also before it has joined."""
        return self._until_ns is None or now_ns < self._until_ns
