"""How much of a frame goes into the records that wait in the feed."""

from __future__ import annotations

from collections.abc import Callable

from streams.feed import DisplayFeed
from streams.records import AnyRecord
from ui.bed.ward import Ward

_BUDGET_S = 0.001
_BACKLOG_BUDGET_S = 0.006  # behind by so much that dropping records is near: waves before smoothness
_BACKLOG = 256
_NEAR_LOSS_BUDGET_S = 0.03  # a second of a large ward waits, and two more fit: losing none before smoothness
_NEAR_LOSS = 1536
_BATCH = 16


def take_records(
    feed: DisplayFeed, ward: Ward, follow: Callable[[AnyRecord], object], monotonic: Callable[[], float]
) -> None:
    """Fold records into their beds until the feed is empty or the frame's budget is spent. follow: told each."""
    started = monotonic()
    waiting = feed.status.waiting
    budget = _BUDGET_S if waiting < _BACKLOG else _BACKLOG_BUDGET_S
    budget = budget if waiting < _NEAR_LOSS else _NEAR_LOSS_BUDGET_S
    while waiting > 0:
        records = feed.drain(_BATCH)
        if not records:
            return
        now_s = monotonic()
        for record in records:
            ward.apply(record, now_s)
            follow(record)
        if monotonic() - started >= budget:
            return
