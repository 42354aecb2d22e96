"""Bytes to records and back: msgpack (msgspec), strictly validated.

What a field may hold is said by its type (:mod:`streams.fields`); what hangs on several of them is checked here.
Whatever is wrong with a message becomes a :class:`DecodeError` of one sentence, the reason of its dead letter; no
other exception leaves :func:`decode`. Bounds keep a hostile or broken message from costing more than its own size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.runtime.pressure_past import NUMBERS as PAST_NUMBERS
from models.signals.context import MEMORY_S
from models.signals.errors import VigilError
from models.signals.times import SECOND_NS
from models.signals.windows import CONTEXT_FIELDS
from streams.alarms.arrhythmia_usual import USUAL_S
from streams.alarms.arrhythmia_ventricular import SHAPE_AFTER, SHAPE_BEFORE
from streams.broken_rule import broken_rule
from streams.fields import MAX_TICK_NS
from streams.pasts import ModelPast, Numbers, SignalsPast, UsualPast
from streams.records import (
    WIRE_VERSION,
    AnyRecord,
    BedRecord,
    ExplainRecord,
    MemoryRecord,
    PredictionRecord,
    RestoredChunk,
    WaveChunk,
    WaveTick,
)

MAX_MESSAGE_BYTES = 1 << 20
ROUNDING_NS = 1_000  # a sample's time may be off its tick by the rounding of index / rate

_INFINITY, _MINUS_INFINITY = b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff"  # as little-endian float32


class DecodeError(VigilError):
    """A message that cannot be used; the text says why in one sentence and holds no sample data."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyRecord] = msgspec.msgpack.Decoder(AnyRecord)


def encode(record: AnyRecord) -> bytes:
    """The record as msgpack."""
    return _encoder.encode(record)


def decode(data: bytes | None) -> AnyRecord:
    """The record in ``data``, validated; DecodeError for anything else."""
    if not data:
        raise DecodeError("The message is empty.")
    if len(data) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"The message has {len(data)} bytes, more than the {MAX_MESSAGE_BYTES} allowed.")
    try:
        record = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(broken_rule(data, error)) from error
    if record.v != WIRE_VERSION:
        raise DecodeError(f"The message has wire version {record.v}, this program reads version {WIRE_VERSION}.")
    check = _CHECKS.get(type(record))
    if check is not None:
        check(record)
    return record


def samples_to_bytes(values: npt.NDArray[np.float32]) -> bytes:
    """Little-endian float32 bytes of a wave."""
    return values.astype("<f4", copy=False).tobytes()


def chunk_values(data: bytes) -> npt.NDArray[np.float32]:
    """The samples of a chunk's ``data``: float32 [n], read-only, NaN where missing."""
    return np.frombuffer(data, "<f4")


def _need(condition: bool, rule: str) -> None:
    if not condition:
        raise DecodeError(f"The message breaks a rule: {rule}.")


def _no_infinity(data: bytes) -> None:
    """float32 samples are finite, or NaN. Bytes that hold the pattern nowhere, aligned or not, are soon told."""
    if _INFINITY in data or _MINUS_INFINITY in data:
        _need(not bool(np.isinf(np.frombuffer(data, "<f4")).any()), "a sample is infinite (missing samples are NaN)")


def _wave(tick: WaveTick) -> None:
    _need(0 <= tick.end_ns - tick.start_ns <= MAX_TICK_NS, "a tick spans 0 to 60 s")
    _one_a_lead([(chunk.modality, chunk.lead) for chunk in tick.chunks])
    for chunk in tick.chunks:
        _chunk(chunk, tick.start_ns, tick.end_ns)
    for number in tick.numbers:
        _need(number.time_ns <= tick.end_ns, "a device's number is of a time after its tick")


def _chunk(chunk: WaveChunk, start_ns: int, end_ns: int) -> None:
    data, count = chunk.data, len(chunk.data) // 4
    _need(len(data) == 4 * count, "the data is no whole number of float32 samples")
    if not count:
        return
    period_ns = SECOND_NS / chunk.rate_hz
    first_ns = chunk.origin_ns + chunk.first_index * period_ns
    last_ns = chunk.origin_ns + (chunk.first_index + count - 1) * period_ns
    _need(
        start_ns - ROUNDING_NS <= first_ns and last_ns < end_ns + ROUNDING_NS,
        "the samples lie outside their tick",
    )
    _no_infinity(data)


def _bed(record: BedRecord) -> None:
    _one_a_lead([(channel.modality, channel.lead) for channel in record.channels])
    _need(record.end_ns is None or record.start_ns <= record.end_ns, "a bed ends after its start")


def _one_a_lead(channels: list[tuple[str, int]]) -> None:
    _need(len(set(channels)) == len(channels), "there is one channel per lead of a modality")


def _prediction(record: PredictionRecord) -> None:
    rows = len(record.modalities)
    _need(len(record.presence) == rows and len(record.ages_s) == rows, "presence and ages need a row a modality")
    _need(len({len(row) for row in record.presence}) <= 1, "the rows of presence differ in length")
    _need(not (record.missed and record.valid), "a prediction that is late or skipped is not valid")
    said = record.risk or record.depth or record.pressures or record.restored
    _need(record.missed != "skipped" or not said, "a window that was skipped has no values")
    for chunk in record.restored:
        _restored(chunk)


def _explanation(record: ExplainRecord) -> None:
    names = [row.without for row in record.rows]
    _need(len(set(names)) == len(names), "an explanation has one row a sensor")
    _need(not names or names[0] == "", "the first row is that with all sensors")
    _need(not (record.rows and record.reason), "an explanation that is refused has no rows")
    for row in record.rows:
        said = row.risk or row.map_mmhg or row.depth
        _need(not (row.reason and said), "a row that is refused has no values")


def _restored(chunk: RestoredChunk) -> None:
    _need(len(chunk.data) % 4 == 0, "the data is no whole number of float32 samples")
    _need(len(chunk.data) == len(chunk.lo) == len(chunk.hi), "a restored wave and its band differ in length")
    _need(0 <= 4 * chunk.amends <= len(chunk.data), "a restored wave amends more than it has")
    for data in (chunk.data, chunk.lo, chunk.hi):
        _no_infinity(data)


def _memory(record: MemoryRecord) -> None:
    if record.signals is not None:
        _signals_past(record.signals)
    if record.model is not None:
        _model_past(record.model)


def _signals_past(past: SignalsPast) -> None:
    rows = len(past.modalities)
    _need(rows == len(set(past.modalities)), "a memory has one row a modality")
    _need(len(past.levels) == rows, "a memory has levels of each modality")
    for series in (*past.levels, past.delays_s):
        _numbers(series, MEMORY_S)
    _numbers(past.rows, rows * len(CONTEXT_FIELDS))
    _numbers(past.ends_s, rows)
    _need(all(max(channel.cells, default=0) <= 1 for channel in past.channels), "a cell is 0 or 1")
    _usual_past(past.usual)


def _usual_past(past: UsualPast) -> None:
    _need(len(past.called) <= USUAL_S, f"at most {USUAL_S} called seconds are remembered")
    if past.shape is not None:
        _numbers(past.shape[0], SHAPE_BEFORE + SHAPE_AFTER + 1)


def _model_past(past: ModelPast) -> None:
    rows, width = past.shape
    if past.tokens is not None:
        _need(not past.tokens.wide, "tokens are float32")
        _numbers(past.tokens, rows * width)
    if past.past is not None:
        _numbers(past.past, PAST_NUMBERS)


def _numbers(told: Numbers, count: int) -> None:
    _need(len(told.data) == count * (8 if told.wide else 4), f"an array has another length than {count}")
    values = np.frombuffer(told.data, "<f8" if told.wide else "<f4")
    _need(not bool(np.isinf(values).any()), "a number is infinite (unknown values are NaN)")


_CHECKS: dict[type, Callable[[Any], None]] = {
    BedRecord: _bed,
    WaveTick: _wave,
    PredictionRecord: _prediction,
    ExplainRecord: _explanation,
    MemoryRecord: _memory,
}
