"""What the roles of a bed say of themselves, folded into what a display asks: in one process and over a broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.control import BedView, ChannelInfo, Gaps, SessionStatus
from streams.records import BedRecord, StatusRecord


class OnShow(ABC):
    """The part of a :class:`streams.control.SessionControl` that tells of the bed on show."""

    @abstractmethod
    def view(self, bed: str = "") -> BedView:
        """What is to be said of any bed; "" is the one on show."""

    @property
    def title(self) -> str:
        """What the screen calls the recording or the device."""
        return self.view().title

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        """Channels in the order of the screen; empty until the source is open."""
        return self.view().channels

    @property
    def gaps_s(self) -> Gaps:
        """Stretches [start, end) without data in s, by modality."""
        return self.view().gaps_s

    def status(self) -> SessionStatus:
        """See :class:`streams.control.SessionStatus`."""
        return self.view().status


def session_status(
    record: BedRecord | None,
    source: StatusRecord,
    worker: StatusRecord | None,
    *,
    heartbeat_ns: int,
    progress_ns: int,
    latency_ms: Mapping[str, tuple[float, float]],
    error: str,
    preparing: str = "",
    recording: bool = False,
    broker_away_s: float = 0.0,
) -> SessionStatus:
    """How a bed stands. record: None before its source is open. preparing: said where there is no worker yet.
    latency_ms: left out at speed max, where nothing is due."""
    worker = worker or StatusRecord(bed=source.bed, session=source.session, epoch=0, role="worker", preparing=preparing)
    return SessionStatus(
        position_s=source.position_s,
        duration_s=_duration_s(record, source),
        speed=source.speed,
        paused=source.paused,
        ended=source.ended,
        backend=worker.backend,
        backend_detail=worker.backend_detail,
        model=worker.model,
        samples_lost=worker.counts.get("samples_lost", 0),
        recording=recording,
        heartbeat_ns=heartbeat_ns,
        latency_ms=dict(latency_ms) if source.speed is not None else {},
        dropped=frozenset(Modality(name) for name in source.dropped),
        error=error,
        precision=worker.precision,
        service=worker.service,
        notes=tuple(worker.notes),
        preparing=worker.preparing,
        progress_ns=progress_ns,
        achieved_speed=source.achieved_speed,
        seekable=record is None or record.seekable,
        source_notes=tuple(source.notes),
        broker_away_s=broker_away_s,
    )


def _duration_s(record: BedRecord | None, source: StatusRecord) -> float:
    """Of the recording; of a device up to now."""
    if record is None:
        return 0.0
    return source.position_s if record.end_ns is None else record.end_ns / SECOND_NS


def channels_of(record: BedRecord | None) -> tuple[ChannelInfo, ...]:
    """The channels of a bed, of a modality with several leads all of them."""
    channels = record.channels if record is not None else ()
    return tuple(ChannelInfo(Modality(c.modality), c.label, c.unit, c.rate_hz, c.lead) for c in channels)


def gaps_of(record: BedRecord | None) -> Gaps:
    """Stretches [start, end) without data in s, by modality."""
    return {Modality(name): tuple(gaps) for name, gaps in record.gaps_s.items()} if record is not None else {}


def events_of(record: BedRecord | None) -> tuple[tuple[float, str], ...]:
    """The recording's annotations, in s."""
    return tuple(record.events) if record is not None else ()
