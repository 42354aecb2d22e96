"""A session seen from another process: what its roles say of themselves, folded into what a display asks.

Commands go out as records, beds and their status come in as records (:class:`streams.records.BedRecord`,
:class:`streams.records.StatusRecord`). A role that falls silent shows: the heartbeat is that of the role of which
nothing was heard for longest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from models.signals.errors import BadInput
from models.signals.times import SECOND_NS
from streams.commands import CommandMaker, Order, Orders
from streams.control import BedView, SessionStatus
from streams.latency import LatencyBook
from streams.records import AnyRecord, BedRecord, CommandRecord, StatusRecord, WaveTick
from streams.status import OnShow, channels_of, events_of, gaps_of, session_status

NO_WORKER = "waiting for a worker"
NO_BED = "waiting for a bed"
LISTED = 12
"""Beds that are named where the one that is wanted is not there."""


@dataclass(slots=True)
class _Known:
    """What is known of one bed, and when it was heard (monotonic)."""

    record: BedRecord
    source: StatusRecord | None = None
    worker: StatusRecord | None = None
    source_ns: int = 0
    worker_ns: int = 0
    tick_ns: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class RemoteSession(Orders, OnShow):
    """A :class:`streams.control.SessionControl` over a broker. Thread-safe.

    desk: a name that no other display has. post: sends a command. wanted: the bed to show first; "" is the first that
    is heard of. prefix: of the ward, for words. away_s: for how long the broker has not answered, 0 while it does.
    """

    def __init__(
        self,
        desk: str,
        post: Callable[[CommandRecord], None],
        wanted: str = "",
        operator: str = "operator",
        *,
        prefix: str = "",
        away_s: Callable[[], float] = lambda: 0.0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._prefix = prefix
        self._post, self._now, self._wanted, self._away_s = post, monotonic_ns, wanted, away_s
        self._command = CommandMaker(desk, operator)
        self._beds: dict[str, _Known] = {}
        self._lock = Lock()
        self._begun_ns = monotonic_ns()
        self.latency = LatencyBook(lambda: monotonic_ns() / SECOND_NS)
        self.error = ""
        """Why this process can no longer tell, as a sentence."""

    def __call__(self, record: AnyRecord) -> None:
        """Takes in a record of the stream."""
        now_ns = self._now()
        with self._lock:
            known = self._beds.get(record.bed)
            if isinstance(record, BedRecord):
                if known is None or known.record.session != record.session:
                    self._beds[record.bed] = _Known(record, source_ns=now_ns)
                else:
                    known.record, known.source_ns = record, now_ns
            elif known is None or known.record.session != record.session:
                return
            elif isinstance(record, StatusRecord):
                if record.role == "source":
                    known.source, known.source_ns = record, now_ns
                else:
                    known.worker, known.worker_ns = record, now_ns
            elif isinstance(record, WaveTick):
                known.tick_ns = now_ns

    # -- beds ---------------------------------------------------------------------------------------------------------

    @property
    def beds(self) -> tuple[str, ...]:
        """Names of all beds that were heard of."""
        with self._lock:
            return tuple(sorted(self._beds, key=_by_number))

    @property
    def bed(self) -> str:
        """The bed on show; "" before any was heard of."""
        if not self._wanted and self.beds:
            self._wanted = self.beds[0]
        return self._wanted

    def show(self, bed: str) -> None:
        """Another bed is on show."""
        if bed not in self.beds:
            raise BadInput(f"one of the beds {', '.join(self.beds)}", f"{bed!r}", "name one of these")
        self._wanted = bed

    # -- status -------------------------------------------------------------------------------------------------------

    def view(self, bed: str = "") -> BedView:
        """What is known of any bed; "" is the one on show."""
        name = bed or self.bed
        known = self._known(name)
        record = known.record if known is not None else None
        title = record.title if record is not None else ""
        told = self._status(known), channels_of(record), gaps_of(record), title, name, self.beds
        return BedView(*told, events_of(record))

    def _status(self, known: _Known | None) -> SessionStatus:
        if known is None or known.source is None:
            return SessionStatus(
                position_s=0.0, duration_s=0.0, speed=1.0, paused=False, ended=False, backend="", backend_detail="",
                model="", samples_lost=0, recording=False, heartbeat_ns=self._now(), error=self.error,
                preparing=NO_BED, broker_away_s=self._away_s(), vacant=self._vacant() if known is None else "",
            )  # fmt: skip
        source, worker = known.source, known.worker
        still = source.paused or source.ended
        return session_status(
            known.record,
            source,
            worker,
            heartbeat_ns=min(known.source_ns, known.worker_ns) if worker is not None else known.source_ns,
            progress_ns=self._now() if still else max(known.tick_ns, self._begun_ns),
            latency_ms=self.latency.recent(),
            error=self.error,
            preparing=NO_WORKER,
            broker_away_s=self._away_s(),
        )

    def _vacant(self) -> str:
        """The words where the bed that is wanted is not heard of."""
        there = self.beds
        where = f" with --prefix {self._prefix}" if self._prefix else ""
        listed = [*there[:LISTED], *([f"{len(there) - LISTED} more"] if len(there) > LISTED else [])]
        if not there:
            what = f"bed {self._wanted}" if self._wanted else "a bed"
            return f"waiting for {what}: nothing is sent{where} on this broker"
        return f"no bed {self._wanted}{where}: those there are {', '.join(listed)}"

    # -- the operator -------------------------------------------------------------------------------------------------

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Counts the latency of what was painted."""
        self.latency.add_ns(stage, due_ns, shown_ns)

    def _order(self, order: Order) -> None:
        known = self._known(order.bed or self.bed)
        if known is None:
            raise BadInput("a bed to order", "none yet", "wait until one has announced itself")
        if away_s := self._away_s():  # an order that is carried out minutes later is another one
            raise BadInput(
                "a broker to send the order by", f"none that has answered for {away_s:.0f} s", "wait until it is back"
            )
        at_ns = round((known.source.position_s if known.source is not None else 0.0) * SECOND_NS)
        self._post(self._command(known.record.bed, known.record.session, at_ns, order))

    def _known(self, bed: str) -> _Known | None:
        with self._lock:
            return self._beds.get(bed)


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdigit() else (1 << 62, name)
