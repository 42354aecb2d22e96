"""LabStreamingLayer out: the waves of a bed as they come due, its numerics, and what the model says of it.

One outlet a wave channel (float32, at its own rate, label, unit and modality in the description; NaN where a sample is
missing), stamped with the moment at which each sample was due; ``numerics`` and ``predictions`` are outlets of
irregular rate, a field each, NaN where unknown. What is withheld is not sent. pylsl is an extra, loaded when needed.
"""

from __future__ import annotations

import math
import time
from types import ModuleType
from typing import Any

from streams.codec import chunk_values
from streams.records import (
    NUMERICS,
    AnyRecord,
    BedChannel,
    BedRecord,
    PredictionRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from streams.sources.lsl import load_pylsl

FIELDS = tuple(name for name in NUMERICS if not name.endswith(("_source", "_band")))
"""Numerics that are numbers."""
ESTIMATES = tuple(f"{name}{end}" for name in ("sys", "dia", "map") for end in ("", "_lo", "_hi"))
RISKS = tuple(f"risk_{minutes}{end}" for minutes in (5, 10, 15) for end in ("", "_lo", "_hi"))
PREDICTED = (*RISKS, "depth", "depth_lo", "depth_hi", *ESTIMATES)
_NOTHING = (math.nan, math.nan, math.nan)


class WaveOutlets:
    """Plays ticks out: give it what a bed says of itself, then its ticks. For ``vigil play``."""

    def __init__(self, record: BedRecord) -> None:
        pylsl = load_pylsl()
        self._offset_s = pylsl.local_clock() - time.monotonic()
        self._outlets = {
            (c.modality, c.lead): _outlet(pylsl, f"{record.title} {c.label}", c.modality, record, [c], c.rate_hz)
            for c in record.channels
        }

    def __call__(self, tick: WaveTick) -> bool:
        """Pushes a tick's samples; always True, as a source wants it."""
        due_s = (tick.due_ns * 1e-9 if tick.due_ns else time.monotonic()) + self._offset_s
        newest_ns = max((_last_ns(c) for c in tick.chunks if c.data), default=0.0)
        for chunk in tick.chunks:
            if chunk.data and not chunk.withheld:
                stamp_s = due_s - (newest_ns - _last_ns(chunk)) * 1e-9
                self._outlets[chunk.modality, chunk.lead].push_chunk(chunk_values(chunk.data)[:, None].copy(), stamp_s)
        return True

    @property
    def names(self) -> list[str]:
        """What the outlets are called."""
        return [outlet.get_info().name() for outlet in self._outlets.values()]


class NumericOutlets:
    """Numerics and predictions of every bed of a session as they come; a subscriber of records."""

    def __init__(self) -> None:
        self._pylsl = load_pylsl()
        self._outlets: dict[tuple[str, str], Any] = {}

    def __call__(self, record: AnyRecord) -> None:
        """Pushes a record of vitals or a prediction."""
        if isinstance(record, VitalsRecord):
            values = [getattr(record, name) for name in FIELDS]
            self._push(record.bed, "numerics", FIELDS, [math.nan if v is None else float(v) for v in values])
        elif isinstance(record, PredictionRecord):
            self._push(record.bed, "predictions", PREDICTED, predicted(record))

    def _push(self, bed: str, what: str, fields: tuple[str, ...], values: list[float]) -> None:
        outlet = self._outlets.get((bed, what))
        if outlet is None:
            channels = [BedChannel(what, name, "", 1.0) for name in fields]
            outlet = _outlet(self._pylsl, f"Vigil {what} {bed}", what, None, channels, 0.0)
            self._outlets[bed, what] = outlet
        outlet.push_sample(values)


def predicted(record: PredictionRecord) -> list[float]:
    """The values of ``PREDICTED``: NaN where the model abstains, or says nothing."""
    spoken = record.valid and not record.abstain
    risks = [v for m in (5, 10, 15) for v in (record.risk.get(str(m), _NOTHING) if spoken else _NOTHING)]
    depth = (record.depth or _NOTHING) if record.valid else _NOTHING
    pressures = (record.pressures or {}) if record.valid else {}
    return [*risks, *depth, *(v for name in ("sys", "dia", "map") for v in pressures.get(name, _NOTHING))]


def _outlet(
    pylsl: ModuleType, name: str, kind: str, record: BedRecord | None, channels: list[BedChannel], rate_hz: float
) -> Any:
    source = f"vigil-{record.session}-{record.bed}-{name}" if record is not None else f"vigil-{name}"
    info = pylsl.StreamInfo(name, kind, len(channels), rate_hz or pylsl.IRREGULAR_RATE, pylsl.cf_float32, source)
    described = info.desc().append_child("channels")
    for channel in channels:
        entry = described.append_child("channel")
        for key, value in (("label", channel.label), ("unit", channel.unit), ("type", channel.modality)):
            entry.append_child_value(key, value)
    return pylsl.StreamOutlet(info)


def _last_ns(chunk: WaveChunk) -> float:
    """Event time of a chunk's last sample."""
    return chunk.origin_ns + (chunk.first_index + len(chunk.data) // 4 - 1) * 1e9 / chunk.rate_hz
