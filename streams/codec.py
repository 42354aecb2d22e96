"""Bytes to records and back: msgpack (msgspec), strictly validated.

Whatever is wrong with a message becomes a :class:`DecodeError` of one sentence, the reason of its dead letter; no
other exception leaves :func:`decode`. Bounds keep a hostile or broken message from costing more than its own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.context import MEMORY_S
from models.signals.errors import VigilError
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.resample import MAX_RATE_HZ, MIN_RATE_HZ
from models.signals.windows import CONTEXT_FIELDS
from streams.alarms.arrhythmia_usual import USUAL_S
from streams.alarms.arrhythmia_ventricular import SHAPE_AFTER, SHAPE_BEFORE
from streams.records import (
    NUMERICS,
    WIRE_VERSION,
    AlarmRecord,
    AlarmsPast,
    AnyRecord,
    BeatRecord,
    BedRecord,
    CellRecord,
    ChannelPast,
    ChoicePast,
    CommandRecord,
    DeadLetter,
    MemoryRecord,
    ModelPast,
    Numbers,
    PredictionRecord,
    RestoredChunk,
    RhythmRecord,
    SignalsPast,
    StateRecord,
    StatusRecord,
    UsualPast,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)

MAX_MESSAGE_BYTES = 1 << 20
MAX_CHUNKS = 64
MAX_LEADS = 16
MAX_GAPS = 4096
MAX_CELLS = 1024
MAX_TOKENS = (64, 4096)
MAX_SECOND = (1 << 62) // 10**9
MAX_TICK_NS = 60 * 10**9
MAX_TIME_NS = 1 << 62  # 146 years: sums of two times still fit 64 bits
MAX_TEXT = 1024
MAX_NAME = 128
ROUNDING_NS = 1_000  # a sample's time may be off its tick by the rounding of index / rate

_MODALITIES = frozenset(m.value for m in Modality)
_STATES = frozenset({"", *(a.value for a in Absence)})
_RHYTHMS = frozenset(r.value for r in Rhythm)
_PULSES = frozenset(p.value for p in Pulse)
_VERDICTS = frozenset({"confirmed", "unopposed", "contradicted"})
_PRIORITIES = frozenset({"high", "medium", "low"})
_ROLES = frozenset({"source", "worker"})
_KINDS = frozenset({"physiological", "technical"})
COMMANDS = frozenset({"drop", "restore", "pause", "resume", "seek", "speed", "step", "acknowledge"})


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
        raise DecodeError(f"The message is not a Vigil record: {_first_line(error)}.") from error
    if record.v != WIRE_VERSION:
        raise DecodeError(f"The message has wire version {record.v}, this program reads version {WIRE_VERSION}.")
    _need(0 < len(record.bed) <= MAX_NAME, "the bed needs a name of 1 to 128 characters")
    _need(0 < len(record.session) <= MAX_NAME, "the session needs a name of 1 to 128 characters")
    _need(0 <= record.epoch < MAX_TIME_NS, "the epoch must not be negative")
    _VALIDATORS[type(record)](record)
    return record


def samples_to_bytes(values: npt.NDArray[np.float32]) -> bytes:
    """Little-endian float32 bytes of a wave."""
    return values.astype("<f4", copy=False).tobytes()


def chunk_values(data: bytes) -> npt.NDArray[np.float32]:
    """The samples of a chunk's ``data``: float32 [n], read-only, NaN where missing."""
    return np.frombuffer(data, "<f4")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _need(condition: bool, rule: str) -> None:
    if not condition:
        raise DecodeError(f"The message breaks a rule: {rule}.")


def _time(value: int) -> None:
    _need(-MAX_TIME_NS <= value <= MAX_TIME_NS, "a time lies outside the range of the clock")


def _host(name: str, clock_ns: int) -> None:
    _need(len(name) <= MAX_NAME, "the host's name is too long")
    _time(clock_ns)


def _finite(values: Iterable[float | None]) -> None:
    for value in values:
        _need(value is None or math.isfinite(value), "a number is not finite (unknown values are left out)")


def _wave(tick: WaveTick) -> None:
    _need(0 <= tick.tick_seq < MAX_TIME_NS, "tick_seq must not be negative")
    _time(tick.start_ns)
    _time(tick.end_ns)
    _time(tick.due_ns)
    _host(tick.host, tick.clock_ns)
    _need(0 <= tick.end_ns - tick.start_ns <= MAX_TICK_NS, "a tick spans 0 to 60 s")
    _need(len(tick.chunks) <= MAX_CHUNKS, f"a tick has at most {MAX_CHUNKS} channels")
    seen: set[tuple[str, int]] = set()
    for chunk in tick.chunks:
        _need((chunk.modality, chunk.lead) not in seen, "a tick has one channel per lead of a modality")
        seen.add((chunk.modality, chunk.lead))
        _chunk(chunk, tick.start_ns, tick.end_ns)


def _bed(record: BedRecord) -> None:
    _need(len(record.title) <= MAX_TEXT, "the title is too long")
    _need(len(record.channels) <= MAX_CHUNKS, f"a bed has at most {MAX_CHUNKS} channels")
    seen: set[tuple[str, int]] = set()
    for channel in record.channels:
        _need(channel.modality in _MODALITIES, "the modality is not known")
        _need(max(len(channel.label), len(channel.unit)) <= MAX_NAME, "the channel's label is too long")
        _need(0 <= channel.lead < MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
        _need(
            MIN_RATE_HZ <= channel.rate_hz <= MAX_RATE_HZ,
            f"the rate must lie within {MIN_RATE_HZ:g} and {MAX_RATE_HZ:.0f} Hz",
        )
        _need((channel.modality, channel.lead) not in seen, "a bed has one channel per lead of a modality")
        seen.add((channel.modality, channel.lead))
    for modality, gaps in record.gaps_s.items():
        _need(modality in _MODALITIES, "the modality is not known")
        _need(len(gaps) <= MAX_GAPS, f"a modality has at most {MAX_GAPS} gaps listed")
        _finite(edge for gap in gaps for edge in gap)
    _time(record.start_ns)
    if record.end_ns is not None:
        _time(record.end_ns)
        _need(record.start_ns <= record.end_ns, "a bed ends after its start")
    if record.zero_unix_ns is not None:
        _time(record.zero_unix_ns)


def _status(record: StatusRecord) -> None:
    _need(record.role in _ROLES, "the role is source or worker")
    _finite((record.position_s, record.speed, record.achieved_speed))
    _need(all(m in _MODALITIES for m in record.dropped), "the modality is not known")
    texts = (record.backend, record.backend_detail, record.precision, record.model, record.service, record.preparing)
    _need(all(len(text) <= MAX_TEXT for text in (*texts, *record.notes)), "a text is too long")
    _need(len(record.notes) <= MAX_CHUNKS and len(record.counts) <= MAX_CHUNKS, "too many notes or counts")


def _chunk(chunk: WaveChunk, start_ns: int, end_ns: int) -> None:
    _need(chunk.modality in _MODALITIES, "the modality is not known")
    _need(len(chunk.label) <= MAX_NAME, "the channel's label is too long")
    _need(0 <= chunk.lead < MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
    rate, data = chunk.rate_hz, chunk.data
    # What could not be resampled is refused here, before any of its tick is counted as received.
    _need(MIN_RATE_HZ <= rate <= MAX_RATE_HZ, f"the rate must lie within {MIN_RATE_HZ:g} and {MAX_RATE_HZ:.0f} Hz")
    _time(chunk.origin_ns)
    _need(0 <= chunk.first_index < 1 << 53, "first_index must be between 0 and 2^53")
    _need(len(data) % 4 == 0, "the data is no whole number of float32 samples")
    if not data:
        return
    last = chunk.first_index + len(data) // 4 - 1
    first_ns = chunk.origin_ns + chunk.first_index * 1e9 / rate
    last_ns = chunk.origin_ns + last * 1e9 / rate
    _need(
        start_ns - ROUNDING_NS <= first_ns and last_ns < end_ns + ROUNDING_NS,
        "the samples lie outside their tick",
    )
    _need(not bool(np.isinf(np.frombuffer(data, "<f4")).any()), "a sample is infinite (missing samples are NaN)")


def _absences(states: dict[str, str]) -> None:
    for modality, state in states.items():
        _need(modality in _MODALITIES, "the modality is not known")
        _need(state in _STATES, "the state is not known")


def _state(record: StateRecord) -> None:
    _time(record.time_ns)
    _absences(record.state)
    for modality, leads in record.leads.items():
        _need(modality in _MODALITIES, "the modality is not known")
        _need(0 < len(leads) <= MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
        for lead in leads:
            _need(0 <= lead.lead < MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
            _need(len(lead.label) <= MAX_NAME, "the channel's label is too long")
            _need(not lead.absence or lead.absence in _STATES, "the state is not known")


def _cell(record: CellRecord) -> None:
    _need(abs(record.second) <= MAX_TIME_NS // 10**9, "the second lies outside the range of the clock")
    _absences(record.absence)


def _vitals(record: VitalsRecord) -> None:
    _time(record.time_ns)
    values = [getattr(record, name) for name in NUMERICS]
    _need(all(len(v) <= MAX_NAME for v in values if isinstance(v, str)), "a source's name is too long")
    _finite(v for v in values if not isinstance(v, str))


def _rhythm(record: RhythmRecord) -> None:
    _time(record.time_ns)
    _need(record.rhythm in _RHYTHMS, "the rhythm is not known")
    _need(all(m in _MODALITIES for m in (*record.pulse, *record.overdue)), "the modality is not known")
    _need(all(p in _PULSES for p in record.pulse.values()), "the pulse is not known")
    _need(len(record.calls) <= MAX_CHUNKS, f"a second has at most {MAX_CHUNKS} arrhythmias")
    for call in record.calls:
        _need(0 < len(call.key) <= MAX_NAME and len(call.reason) <= MAX_TEXT, "key or reason has a wrong length")
        _need(call.verdict in _VERDICTS, "the verdict is confirmed, unopposed or contradicted")
        _finite((call.value,))


def _beat(record: BeatRecord) -> None:
    _time(record.time_ns)
    _need(len(record.source) <= MAX_NAME, "the source's name is too long")


def _prediction(record: PredictionRecord) -> None:
    _time(record.window_end_ns)
    rows = len(record.modalities)
    _need(rows <= MAX_CHUNKS and all(m in _MODALITIES for m in record.modalities), "the modality is not known")
    _need(len(record.presence) == rows and len(record.ages_s) == rows, "presence and ages need a row a modality")
    _need(len({len(row) for row in record.presence}) <= 1, "the rows of presence differ in length")
    _need(max(len(record.reason), len(record.model), len(record.backend)) <= MAX_TEXT, "a text is too long")
    _finite(record.ages_s)
    for interval in (*record.risk.values(), *(record.pressures or {}).values(), record.depth or ()):
        _finite(interval)
    for chunk in record.restored:
        _restored(chunk)
    _need(all(m in _MODALITIES for m in record.not_estimable), "the modality is not known")
    for stamp in record.stamps_ns.values():
        _time(stamp)
    _host(record.host, record.clock_ns)


def _restored(chunk: RestoredChunk) -> None:
    _need(chunk.modality in _MODALITIES, "the modality is not known")
    _need(0 < chunk.rate_hz <= MAX_RATE_HZ, "the rate must be above 0")
    _need(abs(chunk.first_index) < 1 << 53, "first_index must be below 2^53")
    _need(len(chunk.data) % 4 == 0, "the data is no whole number of float32 samples")
    _need(len(chunk.data) == len(chunk.lo) == len(chunk.hi), "a restored wave and its band differ in length")
    for data in (chunk.data, chunk.lo, chunk.hi):
        _need(not bool(np.isinf(np.frombuffer(data, "<f4")).any()), "a restored sample is infinite")


def _alarm(record: AlarmRecord) -> None:
    _time(record.time_ns)
    _need(record.priority in _PRIORITIES, "the priority is high, medium or low")
    _need(record.kind in _KINDS, "the kind is physiological or technical")
    _need(0 < len(record.key) <= MAX_NAME and len(record.text) <= MAX_TEXT, "key or text has a wrong length")
    _need(max(len(record.reason), len(record.now)) <= MAX_TEXT, "a text is too long")


def _command(record: CommandRecord) -> None:
    _time(record.time_ns)
    _need(record.name in COMMANDS, "the command is not known")
    _need(0 < len(record.id) <= MAX_NAME and len(record.operator) <= MAX_NAME, "a name has a wrong length")
    _need(len(record.args) <= 16, "a command has at most 16 arguments")
    _finite(value for value in record.args.values() if isinstance(value, float))
    _need(all(len(str(value)) <= MAX_TEXT for value in record.args.values()), "an argument is too long")


def _memory(record: MemoryRecord) -> None:
    _time(record.time_ns)
    _need(0 <= record.tick_seq < MAX_TIME_NS, "tick_seq must not be negative")
    if record.signals is not None:
        _signals_past(record.signals)
    if record.model is not None:
        _model_past(record.model)
    if record.alarms is not None:
        _alarms_past(record.alarms)


def _signals_past(past: SignalsPast) -> None:
    rows = len(past.modalities)
    _seconds(past.second)
    _need(0 < rows == len(set(past.modalities)), "a memory has one row a modality, at least one")
    _need(len(past.levels) == rows, "a memory has levels of each modality")
    _need(all(m in _MODALITIES for m in (*past.modalities, *past.tracks, *past.choices)), "the modality is not known")
    _need(all(m in _MODALITIES for m in past.pulseless), "the modality is not known")
    for series in (*past.levels, past.delays_s):
        _numbers(series, MEMORY_S)
    _numbers(past.rows, rows * len(CONTEXT_FIELDS))
    _numbers(past.ends_s, rows)
    for track in past.tracks.values():
        _finite((track.delay_s, *track.evidence))
        _seconds(track.since_s, track.weight_s, track.missed_s)
        _need(min(track.weight_s, track.missed_s) >= 0, "a count of seconds is negative")
    _need(len(past.channels) <= MAX_CHUNKS, f"a bed has at most {MAX_CHUNKS} channels")
    for channel in past.channels:
        _channel_past(channel)
    for choice in past.choices.values():
        _choice_past(choice)
    _usual_past(past.usual)


def _channel_past(past: ChannelPast) -> None:
    _need(past.modality in _MODALITIES, "the modality is not known")
    _need(0 <= past.lead < MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
    _need(len(past.cells) <= MAX_CELLS and max(past.cells, default=0) <= 1, "a cell is 0 or 1, and there are few")
    _finite((past.zero, past.lowest, past.highest, past.level))
    if past.followed is not None:
        second, level, last, settling_s = past.followed
        _seconds(second, settling_s)
        _finite((level, last))


def _choice_past(past: ChoicePast) -> None:
    for seconds in (past.beating, past.measured, past.refuted):
        _need(len(seconds) <= MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
        _need(all(0 <= lead < MAX_LEADS for lead in seconds), f"a modality has at most {MAX_LEADS} leads")
        _seconds(*seconds.values())
    _need(0 <= past.serving < MAX_LEADS, f"a modality has at most {MAX_LEADS} leads")
    _seconds(past.poor_s)


def _usual_past(past: UsualPast) -> None:
    _need(len(past.called) <= USUAL_S, f"at most {USUAL_S} called seconds are remembered")
    _seconds(past.learnt_at, *past.called)
    _need(all(m in _MODALITIES for m in past.pulse), "the modality is not known")
    for second, rate in past.pulse.values():
        _seconds(second)
        _finite((rate,))
    if past.shape is not None:
        form, *measures = past.shape
        _numbers(form, SHAPE_BEFORE + SHAPE_AFTER + 1)
        _finite(measures)


def _model_past(past: ModelPast) -> None:
    _need(len(past.model) <= MAX_NAME, "the model's fingerprint is too long")
    rows, width = past.shape
    _need(0 <= rows <= MAX_TOKENS[0] and 0 <= width <= MAX_TOKENS[1], "a model has fewer tokens")
    if past.tokens is not None:
        _need(not past.tokens.wide, "tokens are float32")
        _numbers(past.tokens, rows * width)
    _finite((past.form, *(past.look or ())))
    _need(past.look is None or past.look[0] > 0.0, "a pulse has a rate above 0")


def _alarms_past(past: AlarmsPast) -> None:
    _need(len(past.standing) <= MAX_CHUNKS and all(len(key) <= MAX_NAME for key in past.standing), "too many alarms")
    for standing in past.standing.values():
        _time(standing.since_ns)
        _time(standing.known_ns)
        _finite((standing.worst,))
    _finite((past.worst_risk, past.abp_mean))
    _need(past.rhythm in _RHYTHMS, "the rhythm is not known")
    _need(all(m in _MODALITIES for m in past.pulse), "the modality is not known")
    _need(all(p in _PULSES for p in past.pulse.values()), "the pulse is not known")


def _numbers(told: Numbers, count: int) -> None:
    _need(len(told.data) == count * (8 if told.wide else 4), f"an array has another length than {count}")
    values = np.frombuffer(told.data, "<f8" if told.wide else "<f4")
    _need(not bool(np.isinf(values).any()), "a number is infinite (unknown values are NaN)")


def _seconds(*values: int) -> None:
    _need(all(abs(value) <= MAX_SECOND for value in values), "a second lies outside the range of the clock")


def _dead(record: DeadLetter) -> None:
    _need(len(record.head) <= 1024, "a dead letter holds at most 1 KiB of its message")
    _need(len(record.topic) <= MAX_NAME and len(record.reason) <= MAX_TEXT, "a text is too long")


_VALIDATORS: dict[type, Callable[[Any], None]] = {
    BedRecord: _bed,
    StatusRecord: _status,
    WaveTick: _wave,
    StateRecord: _state,
    CellRecord: _cell,
    VitalsRecord: _vitals,
    RhythmRecord: _rhythm,
    BeatRecord: _beat,
    PredictionRecord: _prediction,
    AlarmRecord: _alarm,
    MemoryRecord: _memory,
    CommandRecord: _command,
    DeadLetter: _dead,
}
