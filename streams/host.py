"""Which host this is, and what a stamp of another host's monotonic clock is on this one's.

Latency within one host is measured with its monotonic clock, which no correction of the time of day moves. Across hosts
only the wall clocks are common, as well as they are kept (NTP: milliseconds): a message therefore carries its host and
how far the wall clock was ahead of the monotonic one there, and whoever reads it on another host takes its stamps over
to a clock of its own.
"""

from __future__ import annotations

import time
import uuid
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from streams.records import AnyRecord, PredictionRecord, WaveTick

Stamped = TypeVar("Stamped", WaveTick, PredictionRecord)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_host() -> str:
    """The same for all processes that share a monotonic clock, i.e. one boot of one machine; says nothing else."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = str(uuid.uuid4())  # every process for itself, where the system does not tell
    return sha256(boot.encode()).hexdigest()[:12]


def clock_offset_ns() -> int:
    """How far the wall clock is ahead of the monotonic clock here and now."""
    return time.time_ns() - time.monotonic_ns()


def stamped(record: Stamped, host: str, clock_ns: int) -> Stamped:
    """``record``, whose stamps are on the clock of ``host``, saying so."""
    return replace(record, host=host, clock_ns=clock_ns)


def taken_over(record: AnyRecord, host: str, clock_ns: int) -> AnyRecord:
    """``record`` with its stamps on the monotonic clock of ``host``, whose wall clock is ahead of it by ``clock_ns``.

    A stamp that is not known stays 0.

    >>> tick = WaveTick(bed="1", session="s", epoch=0, tick_seq=0, start_ns=0, end_ns=0, due_ns=500)
    >>> tick = stamped(tick, "a", 7)
    >>> taken_over(tick, "b", 100).due_ns, taken_over(tick, "a", 100).due_ns
    (407, 500)
    """
    if not isinstance(record, WaveTick | PredictionRecord) or record.host in ("", host):
        return record
    shift = record.clock_ns - clock_ns
    if isinstance(record, WaveTick):
        return replace(record, host=host, clock_ns=clock_ns, due_ns=record.due_ns and record.due_ns + shift)
    stamps = {stage: at and at + shift for stage, at in record.stamps_ns.items()}
    return replace(record, host=host, clock_ns=clock_ns, stamps_ns=stamps)
