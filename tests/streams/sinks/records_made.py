"""Sessions for the tests of the recorder: ticks of a simulated patient, and one record of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from models.signals.channels import ChannelMap, map_channels
from models.signals.readers.opener import open_recording
from models.signals.windows import WindowSpec
from streams.accounting import Accounting
from streams.codec import encode, samples_to_bytes
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BeatRecord,
    BedChannel,
    BedRecord,
    CellRecord,
    CommandRecord,
    DeadLetter,
    ExplainRecord,
    LeftOutRow,
    PredictionRecord,
    RestoredChunk,
    RhythmRecord,
    StateRecord,
    StatusRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from streams.sinks.mcap import McapSink
from streams.sources.bed_replay import BedReplay, Drop
from streams.windower import BedWindower

S = 1_000_000_000
TICK_NS = 50_000_000
UNIX = 1_700_000_000 * S


def patient(seconds: int = 40, seed: int = 3) -> ChannelMap:
    return map_channels(open_recording(f"demo:seed={seed},duration={seconds}"))


def ticks(
    channels: ChannelMap,
    from_s: float,
    to_s: float,
    *,
    bed: str = "a",
    session: str = "s",
    epoch: int = 0,
    drops: Sequence[Drop] = (),
    end_ns: int | None = None,
) -> list[WaveTick]:
    """The ticks that a replay of ``channels`` sends, the end of the stream last."""
    replayed = BedReplay(bed, session, channels, end_ns or round(channels.duration_s * S), drops)
    made = []
    start, stop = round(from_s * S), round(to_s * S)
    segments = replayed.decode(start, stop)
    edges = [start, *range((start // TICK_NS + 1) * TICK_NS, stop, TICK_NS), stop]
    for sequence, (begin, end) in enumerate(pairwise(edges)):
        made.append(
            WaveTick(bed=bed, session=session, epoch=epoch, tick_seq=sequence, start_ns=begin, end_ns=end,
                     chunks=replayed.chunks(segments, begin, end))
        )  # fmt: skip
    made.append(
        WaveTick(bed=bed, session=session, epoch=epoch, tick_seq=len(made), start_ns=stop, end_ns=stop, eos=True)
    )
    return made


def bed_record(channels: ChannelMap, bed: str = "a", session: str = "s", *, seekable: bool = True) -> BedRecord:
    known = [(m, c) for m, leads in channels.leads.items() for c in leads]
    return BedRecord(
        bed=bed, session=session, epoch=0, title="patient", seekable=seekable, zero_unix_ns=UNIX,
        channels=[BedChannel(m.value, c.label, c.unit, c.rate_hz, c.lead) for m, c in known],
    )  # fmt: skip


def outcome(made: Iterable[WaveTick]) -> list[bytes]:
    """What the windower makes of ticks, byte for byte: its records, and its windows with their arrays."""
    windower = BedWindower(WindowSpec(), Accounting())
    found: list[bytes] = []
    for tick in made:
        handled = windower.handle(tick, 0)
        found += [encode(record) for record in handled.records]
        for job in handled.windows:
            window = job.window
            parts = [getattr(window, name) for name in window.__dataclass_fields__]
            found.append(
                b"|".join(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode() for part in parts)
            )
    return found


def one_of_each(bed: str = "a", session: str = "s") -> list[AnyRecord]:
    """A record of every kind, with restored waves in the prediction."""
    head = {"bed": bed, "session": session, "epoch": 0}
    wave = np.arange(100, dtype=np.float32)
    gone = samples_to_bytes(np.r_[wave[:99], np.nan].astype(np.float32))
    band = [samples_to_bytes(wave + k) for k in (80, 70, 90)]
    return [
        BedRecord(**head, title="t", channels=[BedChannel("ECG", "II", "mV", 500.0)], gaps_s={"ECG": [(1.0, 2.0)]},
                  zero_unix_ns=UNIX),
        WaveTick(**head, tick_seq=7, start_ns=S, end_ns=2 * S, chunks=[
            WaveChunk("ABP", "ART", 100.0, 0, 100, gone, True)]),
        StatusRecord(**head, role="source", position_s=2.0),
        StateRecord(**head, time_ns=2 * S, state={"ECG": ""}),
        CellRecord(**head, second=1, absence={"ECG": ""}),
        VitalsRecord(**head, time_ns=2 * S, hr=71.5, hr_source="ECG"),
        RhythmRecord(**head, time_ns=2 * S, rhythm="beats", pulse={}),
        BeatRecord(**head, time_ns=S, source="ECG"),
        PredictionRecord(**head, window_end_ns=2 * S, model="m", backend="b", modalities=["ECG"], presence=[[True]],
                         ages_s=[None], valid=True, abstain=False, reason="", risk={"5": (0.1, 0.0, 0.2)},
                         restored=[RestoredChunk("ABP", 100, 100, *band)]),
        ExplainRecord(**head, window_end_ns=2 * S, asked_ns=S, window_s=30, rows=[LeftOutRow("", depth=(4.0, 3.0, 5.0)),
                                                                                  LeftOutRow("ABP", "not there")]),
        AlarmRecord(**head, time_ns=2 * S, key="k", priority="high", kind="physiological", text="MAP 50", active=True),
        CommandRecord(**head, id="1", operator="o", time_ns=2 * S, name="drop", args={"modality": "ABP"}),
        DeadLetter(**head, topic="waves", partition=0, offset=3, reason="why", size=9, head=b"\x00\xff"),
    ]  # fmt: skip


def record(path: Path, records: Iterable[AnyRecord], flush_every: int = 10, **options: object) -> Path:
    """A finished recording of ``records``."""
    sink = McapSink(path, **options)  # type: ignore[arg-type]
    for number, item in enumerate(records, 1):
        sink.add(item)
        if number % flush_every == 0:
            sink.flush()
    sink.close()
    return path


def renamed(tick: WaveTick, **changes: object) -> WaveTick:
    return replace(tick, **changes)


def ramp_tick(sequence: int, *, bed: str = "a", epoch: int = 0) -> WaveTick:
    """A tick of 50 ms at 500 Hz whose samples are their own index."""
    first = 25 * sequence
    chunk = WaveChunk("ECG", "II", 500.0, 0, first, samples_to_bytes(np.arange(first, first + 25, dtype=np.float32)))
    return WaveTick(bed=bed, session="s", epoch=epoch, tick_seq=sequence, start_ns=sequence * TICK_NS,
                    end_ns=(sequence + 1) * TICK_NS, chunks=[chunk])  # fmt: skip
