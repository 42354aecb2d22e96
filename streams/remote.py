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
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.commands import CommandMaker, Orders
from streams.control import BedView, ChannelInfo, Gaps, SessionStatus
from streams.latency import LatencyBook
from streams.records import AnyRecord, BedRecord, CommandRecord, StatusRecord, WaveTick

NO_WORKER = "waiting for a worker"
NO_BED = "waiting for a bed"


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


class RemoteSession(Orders):
    """A :class:`streams.control.SessionControl` over a broker. Thread-safe.

    desk: a name that no other display has. post: sends a command. wanted: the bed to show first; "" is the first that
    is heard of.
    """

    def __init__(
        self,
        desk: str,
        post: Callable[[CommandRecord], None],
        wanted: str = "",
        operator: str = "operator",
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._post, self._now, self._wanted = post, monotonic_ns, wanted
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

    @property
    def title(self) -> str:
        """What the screen calls the recording or the device."""
        return self.view().title

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """Channels in the order of the screen."""
        return self.view().channels

    @property
    def gaps_s(self) -> Gaps:
        """Stretches [start, end) without data in s, by modality."""
        return self.view().gaps_s

    # -- status -------------------------------------------------------------------------------------------------------

    def view(self, bed: str = "") -> BedView:
        """What is known of any bed; "" is the one on show."""
        name = bed or self.bed
        known = self._known(name)
        channels, gaps_s = (channels_of(known.record), gaps_of(known.record)) if known is not None else ((), {})
        title = known.record.title if known is not None else ""
        return BedView(self._status(known), channels, gaps_s, title, name, self.beds)

    def status(self) -> SessionStatus:
        """See :class:`streams.control.SessionStatus`."""
        return self._status(self._known(self.bed))

    def _status(self, known: _Known | None) -> SessionStatus:
        if known is None or known.source is None:
            return SessionStatus(
                position_s=0.0, duration_s=0.0, speed=1.0, paused=False, ended=False, backend="", backend_detail="",
                model="", samples_lost=0, recording=False, heartbeat_ns=self._now(), error=self.error,
                preparing=NO_BED,
            )  # fmt: skip
        source, worker, record = known.source, known.worker, known.record
        still = source.paused or source.ended
        return SessionStatus(
            position_s=source.position_s,
            duration_s=source.position_s if record.end_ns is None else record.end_ns / SECOND_NS,
            speed=source.speed,
            paused=source.paused,
            ended=source.ended,
            backend=worker.backend if worker is not None else "",
            backend_detail=worker.backend_detail if worker is not None else "",
            model=worker.model if worker is not None else "",
            samples_lost=worker.counts.get("samples_lost", 0) if worker is not None else 0,
            recording=False,
            heartbeat_ns=min(known.source_ns, known.worker_ns) if worker is not None else known.source_ns,
            latency_ms=self.latency.recent() if source.speed is not None else {},
            dropped=frozenset(Modality(name) for name in source.dropped),
            error=self.error,
            precision=worker.precision if worker is not None else "",
            service=worker.service if worker is not None else "",
            notes=tuple(worker.notes) if worker is not None else (),
            preparing=worker.preparing if worker is not None else NO_WORKER,
            progress_ns=self._now() if still else max(known.tick_ns, self._begun_ns),
            achieved_speed=source.achieved_speed,
            seekable=record.seekable,
        )

    # -- the operator -------------------------------------------------------------------------------------------------

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Counts the latency of what was painted."""
        self.latency.add_ns(stage, due_ns, shown_ns)

    def _order(self, name: str, **args: str | float) -> None:
        known = self._known(self.bed)
        if known is None:
            raise BadInput("a bed to order", "none yet", "wait until one has announced itself")
        at_ns = round((known.source.position_s if known.source is not None else 0.0) * SECOND_NS)
        self._post(self._command(known.record.bed, known.record.session, at_ns, name, **args))

    def _known(self, bed: str) -> _Known | None:
        with self._lock:
            return self._beds.get(bed)


def channels_of(record: BedRecord) -> tuple[ChannelInfo, ...]:
    """The channels of a bed that have a row of their own: of several leads the preferred one."""
    return tuple(ChannelInfo(Modality(c.modality), c.label, c.unit, c.rate_hz) for c in record.channels if c.lead == 0)


def gaps_of(record: BedRecord) -> Gaps:
    """Stretches [start, end) without data in s, by modality."""
    return {Modality(name): tuple(gaps) for name, gaps in record.gaps_s.items()}


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdigit() else (1 << 62, name)
