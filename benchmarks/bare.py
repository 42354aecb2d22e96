"""The same work without a stream: what the whole program costs beyond it is what Faust, topics and threads cost.

One bed's recording is cut into the same ticks by the same code, and each goes through windower (signals, cells,
numerics, rhythm), alarm rules and model in one loop of one thread: nothing is encoded, sent, counted or shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.runtime.bundle import load_bundle
from models.runtime.engine import Engine
from models.runtime.onnx_backend import OnnxBackend
from models.runtime.threads import default_threads
from models.signals.channels import ChannelMap
from models.signals.times import SECOND_NS
from models.signals.windows import Window
from streams.accounting import Accounting
from streams.alarms import AlarmEngine
from streams.inference import Engine as AnyEngine
from streams.records import AnyRecord, PredictionRecord, RhythmRecord, StateRecord, VitalsRecord, WaveTick
from streams.sources.bed_replay import BedReplay
from streams.sources.player import FAST_BLOCK_NS
from streams.windower import BedWindower

KEY = "bed 1"


@dataclass(slots=True)
class Spent:
    """Of one run: ticks, windows and alarm changes, and seconds of this process's CPU by part."""

    ticks: int = 0
    windows: int = 0
    alarms: int = 0
    cpu_s: dict[str, float] = field(
        default_factory=lambda: {"source": 0.0, "signals": 0.0, "alarms": 0.0, "model": 0.0}
    )

    @property
    def total_s(self) -> float:
        """CPU of all parts."""
        return sum(self.cpu_s.values())


def shipped_engine() -> Engine:
    """The shipped model on ONNX Runtime, as `vigil run` serves it but for the watchdog."""
    bundle = load_bundle(None)
    return Engine(bundle, OnnxBackend(bundle.model_path, bundle.spec, default_threads()))


def ticks_of(channels: ChannelMap, seconds: float, tick_ns: int) -> Iterator[WaveTick]:
    """The ticks that a replay as fast as possible sends, to the whole second, without the device's numbers."""
    end_ns = min(round(channels.duration_s * SECOND_NS), int(seconds) * SECOND_NS)
    bed = BedReplay(KEY, "bench", channels, end_ns)
    number = 0
    for block_ns in range(0, end_ns, FAST_BLOCK_NS):
        until_ns = min(block_ns + FAST_BLOCK_NS, end_ns)
        segments = bed.decode(block_ns, until_ns)
        for start_ns in range(block_ns, until_ns, tick_ns):
            stop_ns = min(start_ns + tick_ns, until_ns)
            yield WaveTick(
                bed=KEY, session="bench", epoch=0, tick_seq=number, start_ns=start_ns, end_ns=stop_ns,
                chunks=bed.chunks(segments, start_ns, stop_ns),
            )  # fmt: skip
            number += 1


def run_bare(channels: ChannelMap, engine: AnyEngine, seconds: float, tick_ns: int) -> Spent:
    """One run over the first ``seconds`` of a recording, every window predicted as it closes."""
    windower, alarms, spent = BedWindower(engine.window_spec, Accounting()), AlarmEngine(), Spent()
    cpu = spent.cpu_s
    ticks = ticks_of(channels, seconds, tick_ns)
    while True:
        began = time.process_time()
        tick = next(ticks, None)
        cut = time.process_time()
        cpu["source"] += cut - began
        if tick is None:
            return spent
        handled = windower.handle(tick, 0)
        judged = time.process_time()
        cpu["signals"] += judged - cut
        spent.ticks += 1
        spent.alarms += sum(judge(alarms, record) for record in handled.records)
        told = time.process_time()
        cpu["alarms"] += told - judged
        if handled.windows:
            windows: list[Window] = [job.window for job in handled.windows]
            engine.predict(windows, keys=[KEY] * len(windows))
            spent.windows += len(windows)
            cpu["model"] += time.process_time() - told


def judge(alarms: AlarmEngine, record: AnyRecord) -> int:
    """Hands a record to the rule that it is for; how many alarms it begins, changes or ends."""
    if isinstance(record, StateRecord):
        return len(alarms.on_state(record))
    if isinstance(record, VitalsRecord):
        return len(alarms.on_vitals(record))
    if isinstance(record, RhythmRecord):
        return len(alarms.on_rhythm(record))
    return len(alarms.on_prediction(record)) if isinstance(record, PredictionRecord) else 0
