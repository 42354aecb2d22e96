"""How a role stands at one moment, in numbers: what metrics and the health check are made of. No bed is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.accounting import Accounting
from streams.courier import CourierStatus
from streams.crew import Crew
from streams.runner import StreamRunner
from streams.sinks.sink import SinkStatus

STALE_NS = 3_000_000_000
"""A stream that has shown no life for so long is not live."""
COUNTERS = (
    "ticks_sent",
    "ticks_dropped",
    "ticks_duplicated",
    "windows",
    "skipped_windows",
    "predictions",
    "invalid_predictions",
    "dead_letters",
    "late_samples",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """counts: by the names of :data:`COUNTERS`. samples: modality → sent, received, lost, duplicated, withheld. cells,
    absent: 1-s cells by modality, those without a signal also by reason. latency_ms: stage → p50 and p99 of the last
    minute. waiting: messages that the broker has not taken. lag: messages that came to its consumer and are not
    handled, None where nobody knows. alarms: those that stand, by priority, None for who does not follow them.
    away_s: for how long the broker has not answered, 0 while it does. courier: of what devices send, None for others.
    ready: messages flow. heartbeat_ns: the stream's last sign of life, monotonic. failure: the kind of what ended it.
    """

    role: str
    beds: int
    counts: Mapping[str, int]
    samples: Mapping[str, Mapping[str, int]]
    cells: Mapping[str, int]
    absent: Mapping[str, Mapping[str, int]]
    waiting: int
    lag: int | None
    ready: bool
    heartbeat_ns: int
    failure: str
    latency_ms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    alarms: Mapping[str, int] | None = None
    recorder: SinkStatus | None = None
    away_s: float = 0.0
    courier: CourierStatus | None = None


def snapshot_of(
    role: str,
    beds: int,
    accounting: Accounting,
    stream: StreamRunner,
    crew: Crew,
    *,
    ready: bool,
    latency_ms: Mapping[str, tuple[float, float]] | None = None,
    alarms: Mapping[str, int] | None = None,
    courier: CourierStatus | None = None,
) -> Snapshot:
    """From a role's parts, all of which may be asked from any thread."""
    counts = {name: accounting.counted(name) for name in COUNTERS}
    # Those that it has seen on the wire, or, where it does not read them, those that it has put there.
    counts["dead_letters"] = max(counts["dead_letters"], stream.dead_letters)
    counts["ticks_dropped"] += courier.dropped if courier is not None else 0
    return Snapshot(
        role=role,
        beds=beds,
        counts=counts,
        samples=accounting.samples(complete=False),
        cells=accounting.cells(),
        absent=accounting.absent_reasons(),
        waiting=stream.waiting,
        lag=stream.lag,
        ready=ready,
        heartbeat_ns=stream.heartbeat_ns,
        failure=type(crew.failure).__name__ if crew.failure is not None else "",
        latency_ms=latency_ms or {},
        alarms=alarms,
        away_s=stream.away_s,
        courier=courier,
    )


def unwell(snapshot: Snapshot, now_ns: int) -> str:
    """Why the role is not well, in a sentence without names; "" if it is. Pure."""
    if snapshot.failure:
        return f"It failed ({snapshot.failure}); its log says why."
    if snapshot.recorder is not None and snapshot.recorder.failure:
        return "The recording has ended before its time; its log says why."
    silent_ns = now_ns - snapshot.heartbeat_ns
    if silent_ns > STALE_NS:
        return f"The stream has shown no life for {silent_ns / 1e9:.0f} s."
    if snapshot.away_s:
        return f"The broker has not answered for {snapshot.away_s:.0f} s."
    return "" if snapshot.ready else "It has not begun: the broker has not answered yet."
