"""Frames per second of the display with 8 waves at 1920×1080: ``python -m benchmarks display``.

Every record is encoded and decoded again, as it comes to a display over the wire, in a thread that plays at real time.
Counted are frames in which the beam moved and the window was painted; a frame's work is the time its handler took,
drawing into the pixmap included. ``--beside worker`` lets a whole session (the built-in patient, its stream and the
model) run in the same process, ``thread`` something that keeps the interpreter busy without a break. ``--hour`` plays
an hour as fast as it goes and says what the memory grew by after the buffers were full. ``--peer`` has the same waves
drawn by somebody else (:mod:`benchmarks.display_peers`), whose work has the paint in it. Without a screen it runs on
Qt's offscreen platform (no window system to copy to, so a little less work than on a real one); the last line says
which.
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.display_peers import MEASURE, require
from benchmarks.frames import BESIDE, TICK_S, Frames, Playing, beside_words, size_of, wave_values, wire
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.control import ChannelInfo
from streams.feed import DisplayFeed
from streams.records import (
    AnyRecord,
    CellRecord,
    PredictionRecord,
    RestoredChunk,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)

CHANNELS = (
    ChannelInfo(Modality.ECG, "II", "mV", 500.0),
    ChannelInfo(Modality.ECG, "V", "mV", 500.0, 1),
    ChannelInfo(Modality.ABP, "ART", "mmHg", 500.0),
    ChannelInfo(Modality.ABP, "FEM", "mmHg", 125.0, 1),
    ChannelInfo(Modality.PPG, "PLETH", "au", 500.0),
    ChannelInfo(Modality.EEG, "EEG1", "uV", 128.0),
    ChannelInfo(Modality.EEG, "EEG2", "uV", 128.0, 1),
    ChannelInfo(Modality.RESP, "RESP", "au", 62.5),
)


def _play(send: Callable[[AnyRecord], None], stop: threading.Event, estimate: bool) -> None:
    """Sends ticks as they fall due; ABP is absent and estimated from second 5 on if ``estimate``."""
    started = time.monotonic()
    seq = 0
    while not stop.is_set():
        wait = started + (seq + 1) * TICK_S - time.monotonic()
        if wait > 0:
            stop.wait(wait)
        for record in records_of_tick(seq, time.monotonic_ns(), estimate):
            send(record)
        seq += 1


def records_of_tick(seq: int, due_ns: int, estimate: bool) -> Iterator[AnyRecord]:
    """The waves of tick ``seq``, and after every second what else is told of it."""
    head: dict[str, Any] = {"bed": "Bed 1", "session": "benchmark", "epoch": 0}
    chunks: list[WaveChunk] = []
    for channel in CHANNELS:
        first, last = (int(np.ceil((seq + k) * TICK_S * channel.rate_hz - 1e-6)) for k in (0, 1))
        values = wave_values(channel.modality.value, np.arange(first, last) / channel.rate_hz)
        if estimate and channel.modality is Modality.ABP and seq * TICK_S >= 5:
            values[:] = np.nan
        wave = WaveChunk(
            channel.modality.value, channel.label, channel.rate_hz, 0, first, values.tobytes(), lead=channel.lead
        )
        chunks.append(wave)
    start_ns = round(seq * TICK_S * SECOND_NS)
    yield WaveTick(**head, tick_seq=seq, start_ns=start_ns, end_ns=start_ns + 50_000_000, due_ns=due_ns, chunks=chunks)
    if (seq + 1) % 20 == 0:
        yield from _second(head, (seq + 1) // 20, estimate)


def _second(head: dict[str, Any], second: int, estimate: bool) -> Iterator[AnyRecord]:
    gone = estimate and second - 1 >= 5
    absence = {m.value: "" for m in Modality} | ({"ABP": "no data"} if gone else {})
    yield CellRecord(**head, second=second - 1, absence=absence)
    yield VitalsRecord(**head, time_ns=second * SECOND_NS, hr=75.0, hr_source="ECG")
    pulse = {"PPG": "present"} if gone else {"ABP": "present", "PPG": "present"}
    yield RhythmRecord(**head, time_ns=second * SECOND_NS, rhythm="beats", pulse=pulse)
    yield StateRecord(**head, time_ns=second * SECOND_NS, state=absence)
    line = wave_values("ABP", np.arange((second - 1) * 100, second * 100) / 100.0)
    chunk = RestoredChunk("ABP", 100, (second - 1) * 100, line.tobytes(), (line - 7).tobytes(), (line + 7).tobytes())
    yield PredictionRecord(
        **head, window_end_ns=second * SECOND_NS, model="benchmark", backend="none",
        modalities=["ECG", "ABP", "PPG", "EEG"], presence=[[True] * 10] * 4, ages_s=[0.0] * 4, valid=True,
        abstain=False, reason="", risk={"5": (0.4, 0.3, 0.5), "10": (0.5, 0.4, 0.6), "15": (0.6, 0.5, 0.7)},
        restored=[chunk] if gone else [],
    )  # fmt: skip


def measure(seconds: float, size: tuple[int, int], estimate: bool, beside: str) -> dict[str, float]:
    """Run the window for ``seconds`` after two of warming up; as of :meth:`benchmarks.frames.Frames.run`."""
    from ui.bed.layout import Layout, RowChoice
    from ui.window.application import make_application
    from ui.window.main_window import MainWindow

    make_application()
    feed, stop = DisplayFeed(), threading.Event()
    window = MainWindow(Playing(CHANNELS), feed)
    window.resize(*size)
    window.sweep.layout_for = lambda keys: Layout("", tuple(map(RowChoice, keys)))  # further leads too
    window.show()
    frames, painted = Frames(window), window.sweep.painted

    def paint(shown_ns: int) -> None:
        frames.paint()
        painted(shown_ns)

    window.sweep.painted = paint
    with BESIDE[beside](stop):
        player = threading.Thread(target=_play, args=(wire(feed), stop, estimate), daemon=True)
        player.start()
        found = frames.run(2.0, seconds)
        stop.set()
        player.join()
    return found | {"dropped": float(feed.status.dropped)}


def hour_of_memory(size: tuple[int, int], frames_hz: int = 10) -> list[tuple[int, float]]:
    """Minute and resident MB, while an hour is played as fast as it goes, a frame every tenth of a second of it."""
    import psutil

    from ui.window.application import make_application
    from ui.window.main_window import MainWindow

    application, process = make_application(), psutil.Process()
    clock_s, feed = [0.0], DisplayFeed()
    window = MainWindow(Playing(CHANNELS), feed, start=False, monotonic=lambda: clock_s[0])
    window.resize(*size)
    window.show()
    send, found = wire(feed), []
    ticks = round(1 / TICK_S / frames_hz)
    for number in range(3600 * frames_hz):
        for seq in range(number * ticks, (number + 1) * ticks):
            for record in records_of_tick(seq, round(clock_s[0] * 1e9), estimate=True):
                send(record)
        clock_s[0] += 1 / frames_hz
        window.frame()
        application.processEvents()
        if (number + 1) % (60 * frames_hz) == 0:
            gc.collect()
            found.append(((number + 1) // (60 * frames_hz), process.memory_info().rss / 1e6))
    window.close()
    return found


def main(argv: list[str]) -> int:
    """Draws for a while and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks display", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--beside", choices=BESIDE, default="none", help="what else runs in this process")
    parser.add_argument(
        "--peer", choices=MEASURE, action="append", default=[], help="the same waves by somebody else, as one more line"
    )
    parser.add_argument("--hour", action="store_true", help="memory over a simulated hour instead")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args(argv)
    here = size_of(args.size)
    for peer in args.peer:
        require(peer)
    if args.hour:
        grown = hour_of_memory(here)
        lines = [[minute, round(mb, 1)] for minute, mb in grown if minute in (1, 5, 15, 30, 45, 60)]
        publish(f"{table(['minute', 'resident MB'], lines)}\n\n{args.size}; {machine()}", args.out)
        return 0
    rows = []
    drawn = [("8 measured", False), ("6 measured, 2 absent, 1 estimated", True)]
    results = [(words, measure(args.seconds, here, estimate, args.beside)) for words, estimate in drawn]
    for peer in args.peer:
        words, measure_peer = MEASURE[peer]
        with BESIDE[args.beside](threading.Event()):
            results.append((words, measure_peer(args.seconds, here, CHANNELS)))
    for words, found in results:
        rows.append([words, *(round(found[key], 1) for key in ("frames", "p50", "p99", "gap_p99")),
                     f"{100 * found['cpu']:.0f} %", int(found["dropped"])])  # fmt: skip
    from PySide6.QtGui import QGuiApplication

    text = table(
        ["waves", "frames/s", "work p50 ms", "work p99 ms", "frame gap p99 ms", "CPU of one core", "records dropped"],
        rows,
    )
    platform = QGuiApplication.platformName()
    beside = beside_words(args.beside)
    publish(f"{text}\n\n{args.size} on Qt platform {platform}{beside}; {machine()}", args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
