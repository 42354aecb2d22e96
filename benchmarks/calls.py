"""Function calls a tick: what Python does for a tick, counted instead of timed, so the same on a busy machine.

Calls of Python and of C functions in one thread, by ``sys.setprofile``. Of the whole program it is the stream's thread
alone: Faust, topics, signals, alarms and what shows them; the model runs in another. Of the bare loop it is the same
work on the same ticks (:mod:`benchmarks.bare`), again without the model.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from benchmarks.bare import judge, ticks_of
from models.runtime.bundle import load_bundle
from models.signals.channels import ChannelMap
from models.signals.times import SECOND_NS
from monitor.session import Session
from streams.accounting import Accounting
from streams.alarms import AlarmEngine
from streams.records import AnyRecord, WaveTick
from streams.sources.replay import replays
from streams.windower import BedWindower

STREAM_THREAD = "vigil-stream"


class _Counter:
    """Counts the calls of one thread, from ``sys.setprofile`` in it on."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


def bare_calls(channels: ChannelMap, from_s: float, until_s: float, tick_ns: int) -> float:
    """Calls a tick of signals and alarm rules over ``[from_s, until_s)`` of a recording, played from its start."""
    windower = BedWindower(load_bundle(None).window_spec, Accounting())
    alarms, counter, ticks = AlarmEngine(), _Counter(), 0
    for tick in ticks_of(channels, until_s, tick_ns):
        counted = tick.start_ns >= from_s * SECOND_NS
        if counted:
            ticks += 1
            sys.setprofile(counter)
        try:
            for record in windower.handle(tick, 0).records:
                judge(alarms, record)
        finally:
            sys.setprofile(None)
    return counter.calls / ticks


def stream_calls(open_channels: Callable[[], ChannelMap], from_s: float, until_s: float, tick_ns: int) -> float:
    """The same of the stream's thread in a headless session without a model, as fast as possible."""
    counter, seen = _Counter(), [0, 0]

    def shown(record: AnyRecord) -> None:
        if isinstance(record, WaveTick) and not record.eos and record.start_ns >= from_s * SECOND_NS:
            if not seen[1]:
                seen[0] = counter.calls
            seen[1] += 1

    def follow(frame: FrameType, event: str, argument: Any) -> None:
        """In every new thread: only the stream's goes on being counted."""
        sys.setprofile(counter if threading.current_thread().name == STREAM_THREAD else None)

    sources = replays({"bed 1": open_channels}, speed=None, for_s=until_s, fast_tick_ns=tick_ns)
    session = Session(sources, load_bundle(None).window_spec, None)
    session.subscribe(shown)
    threading.setprofile(follow)
    try:
        session.start()
    finally:
        threading.setprofile(None)
    session.wait_opened()
    session.wait()
    return (counter.calls - seen[0]) / seen[1]
