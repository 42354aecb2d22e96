"""A recording through the whole session without a window, or, for quick tests, through the same parts without Faust.

Either gives every record with the event time at which it would be there at real time. In a paced run that is when it
came; at speed max the stream runs ahead of itself and each record is put where a paced run has it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from models.runtime.bundle import Bundle, load_bundle
from models.runtime.select import select_engine
from models.signals.channels import ChannelMap, map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.times import SECOND_NS
from monitor.session import Session
from streams.accounting import Accounting
from streams.alarms import AlarmEngine
from streams.control import ChannelInfo
from streams.inference import Engine, InferenceThread, Result
from streams.latency import LatencyBook
from streams.mailbox import EndOfBed, Mailbox
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BedRecord,
    CellRecord,
    CommandRecord,
    DeadLetter,
    ExplainRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    StatusRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from streams.sources.bed_replay import BedReplay, Drop
from streams.sources.player import TICK_NS
from streams.sources.replay import replays
from streams.windower import BedWindower

CELL_S, PREDICTION_S = 0.1, 0.2
"""From the end of a second to its numerics, and to its prediction, on the screen at real time: two ticks for the
look-ahead of the slowest channel, and no less than `python -m benchmarks latency` measures."""
SEEK_AFTER_S = 8.0
END_S = 600.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """records: (event time in seconds at which it is there, record), in that order, of one epoch that begins at
    ``start_s``. speed: of the paced run, 1 for one at speed max."""

    channels: tuple[ChannelInfo, ...]
    records: list[tuple[float, AnyRecord]]
    start_s: float
    end_s: float
    speed: float = 1.0


class SharedEngine:
    """The model, loaded once for many sessions: what ends with a session is left open."""

    def __init__(self, bundle: Bundle | None = None) -> None:
        self.bundle = bundle or load_bundle(None)
        self._engine: Engine = select_engine(self.bundle, "onnx").engine

    def open(self) -> Engine:
        """The engine, for one session; its ``close`` does nothing."""
        return cast(Engine, _Lent(self._engine))

    def close(self) -> None:
        """Closes the engine itself."""
        self._engine.close()


class _Lent:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def close(self) -> None:
        """The owner closes it."""


def through_session(
    source: str,
    engine: SharedEngine,
    *,
    speed: float | None = None,
    drops: Sequence[Drop] = (),
    seek_to_s: float | None = None,
    for_s: float | None = None,
) -> Replayed:
    """Replay ``source``. seek_to_s: jump there once the first seconds have been played."""
    arrived: list[AnyRecord] = []
    session = Session(
        replays({"1": lambda: map_channels(open_recording(source))}, speed=speed, for_s=for_s, drops=drops),
        engine.bundle.window_spec,
        engine.open,
        source=source,
        operator="benchmark",
    )
    sought = threading.Event()

    def take(record: AnyRecord) -> None:
        arrived.append(record)
        if seek_to_s is None or sought.is_set() or not isinstance(record, WaveTick):
            return
        if record.end_ns >= SEEK_AFTER_S * SECOND_NS:
            sought.set()
            session.seek(seek_to_s)

    session.subscribe(take)
    session.start()
    try:
        session.wait_opened()
        session.wait(END_S)
    finally:
        session.stop()
    epoch = 0 if seek_to_s is None else 1
    mine = [record for record in arrived if record.epoch == epoch and not isinstance(record, CommandRecord)]
    return _replayed(session.channels, mine, speed)


def offline(
    source: str, engine: SharedEngine, *, drops: Sequence[Drop] = (), from_s: float = 0.0, until_s: float = math.inf
) -> Replayed:
    """The same parts one after the other, without stream or threads: windower, model, alarms."""
    channels = map_channels(open_recording(source))
    bed = BedReplay("1", "offline", channels, round(min(channels.duration_s, until_s) * SECOND_NS), drops)
    spec, accounting = engine.bundle.window_spec, Accounting()
    windower, mailbox = BedWindower(spec, accounting), Mailbox(capacity=1 << 16)
    records: list[AnyRecord] = []
    for tick in _ticks(bed, round(from_s * SECOND_NS)):
        handled = windower.handle(tick, 0)
        records += [tick, *handled.records]
        for job in handled.windows:
            mailbox.offer(job)
    mailbox.offer(EndOfBed("1", "offline", 0, bed.end_ns))

    def deliver(results: Sequence[Result]) -> None:
        for result in results:
            if isinstance(result, EndOfBed):
                mailbox.close()
            else:
                records.append(result)

    InferenceThread(mailbox, engine.open, spec, deliver, accounting, LatencyBook(time.monotonic)).run()
    alarms, ordered = AlarmEngine(), []
    for _, record in _in_time(records):
        ordered += [record, *_alarms_of(alarms, record)]
    return _replayed(_infos(channels), ordered, None)


def _ticks(bed: BedReplay, start_ns: int) -> Iterable[WaveTick]:
    """Of the whole rest of a recording, the end of stream included."""
    number = 0
    for block_ns in range(start_ns, bed.end_ns, SECOND_NS):
        segments = bed.decode(block_ns, block_ns + SECOND_NS)
        for at_ns in range(block_ns, min(block_ns + SECOND_NS, bed.end_ns), TICK_NS):
            end_ns = min(at_ns + TICK_NS, bed.end_ns)
            yield _tick(bed, number, at_ns, end_ns, bed.chunks(segments, at_ns, end_ns))
            number += 1
    yield _tick(bed, number, bed.end_ns, bed.end_ns, [], eos=True)


def _tick(
    bed: BedReplay, number: int, start_ns: int, end_ns: int, chunks: list[WaveChunk], eos: bool = False
) -> WaveTick:
    return WaveTick(
        bed=bed.bed, session=bed.session, epoch=0, tick_seq=number, start_ns=start_ns, end_ns=end_ns, chunks=chunks,
        eos=eos,
    )  # fmt: skip


def _alarms_of(engine: AlarmEngine, record: AnyRecord) -> list[AlarmRecord]:
    handlers: dict[type, Callable[..., list[AlarmRecord]]] = {
        StateRecord: engine.on_state,
        VitalsRecord: engine.on_vitals,
        RhythmRecord: engine.on_rhythm,
        PredictionRecord: engine.on_prediction,
    }
    handler = handlers.get(type(record))
    return handler(record) if handler is not None else []


def _infos(channels: ChannelMap) -> tuple[ChannelInfo, ...]:
    found = channels.channels
    return tuple(ChannelInfo(m, found[m].label, found[m].unit, found[m].rate_hz) for m in Modality if m in found)


def _replayed(channels: tuple[ChannelInfo, ...], records: Sequence[AnyRecord], speed: float | None) -> Replayed:
    ticks = [record for record in records if isinstance(record, WaveTick) and not record.eos]
    start_s, end_s = ticks[0].start_ns / SECOND_NS, ticks[-1].end_ns / SECOND_NS
    timed = _in_time(records) if speed is None else _as_arrived(records)
    return Replayed(channels, timed, start_s, end_s, speed or 1.0)


def _as_arrived(records: Iterable[AnyRecord]) -> list[tuple[float, AnyRecord]]:
    reached, timed = -math.inf, []
    for record in records:
        if isinstance(record, WaveTick):
            reached = max(reached, record.end_ns / SECOND_NS)
        timed.append((reached, record))
    return timed


def _in_time(records: Iterable[AnyRecord]) -> list[tuple[float, AnyRecord]]:
    """By the time at which a paced run has them; what comes at one time stays in its order."""
    timed: list[tuple[float, AnyRecord]] = [
        (_there_s(record), record) for record in records if not isinstance(record, DeadLetter)
    ]
    return sorted(timed, key=lambda pair: pair[0])


def _there_s(record: AnyRecord) -> float:
    assert not isinstance(record, DeadLetter | BedRecord | StatusRecord | ExplainRecord)
    if isinstance(record, WaveTick):
        return record.end_ns / SECOND_NS
    if isinstance(record, CellRecord):
        return record.second + 1 + CELL_S
    if isinstance(record, PredictionRecord):
        return record.window_end_ns / SECOND_NS + PREDICTION_S
    late_s = 0.0 if isinstance(record, StateRecord) else CELL_S
    if isinstance(record, AlarmRecord) and record.key in ("risk.hypotension", "technical.model"):
        late_s = PREDICTION_S
    return record.time_ns / SECOND_NS + late_s
