"""Frames per second of the display with 8 waves at 1920×1080: ``python -m benchmarks display``.

The feed plays at real time. Counted are frames in which the beam moved and the window was painted; a frame's work is
the time its handler took, drawing into the pixmap included. ``--busy`` adds a thread that keeps the interpreter busy,
as a worker in the same process would. Without a screen it runs on Qt's offscreen platform (no window system to copy
to, so a little less work than on a real one); the last line says which.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import machine, publish, table
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.control import BedView, ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.records import (
    CellRecord,
    PredictionRecord,
    RestoredChunk,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)

TICK_S = 0.05
CHANNELS = (
    ChannelInfo(Modality.ECG, "II", "mV", 500.0),
    ChannelInfo(Modality.ECG, "V", "mV", 500.0),
    ChannelInfo(Modality.ABP, "ART", "mmHg", 500.0),
    ChannelInfo(Modality.ABP, "FEM", "mmHg", 125.0),
    ChannelInfo(Modality.PPG, "PLETH", "au", 500.0),
    ChannelInfo(Modality.EEG, "EEG1", "uV", 128.0),
    ChannelInfo(Modality.EEG, "EEG2", "uV", 128.0),
    ChannelInfo(Modality.RESP, "RESP", "au", 62.5),
)
_SHAPE = {"ECG": (0.0, 1.0), "ABP": (90.0, 30.0), "PPG": (0.0, 1.0), "EEG": (0.0, 30.0), "RESP": (0.0, 1.0)}


class _Session:
    """A control for a feed that plays by itself."""

    title = "benchmark"

    @property
    def channels(self) -> tuple[ChannelInfo, ...]:
        return CHANNELS

    @property
    def bed(self) -> str:
        return "Bed 1"

    @property
    def beds(self) -> tuple[str, ...]:
        return ("Bed 1",)

    def show(self, bed: str) -> None: ...

    @property
    def gaps_s(self) -> dict[Modality, tuple[tuple[float, float], ...]]:
        return {}

    def status(self) -> SessionStatus:
        return SessionStatus(0.0, 3600.0, 1.0, False, False, "none", "none", "benchmark", 0, False, time.monotonic_ns())

    def view(self, bed: str = "") -> BedView:
        return BedView(self.status(), self.channels, self.gaps_s, self.title, self.bed, self.beds)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def set_speed(self, speed: float) -> None: ...

    def seek(self, time_s: float) -> None: ...

    def step(self, seconds: float) -> None: ...

    def set_dropped(self, modality: Modality, dropped: bool) -> None: ...

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None: ...


def wave_values(modality: str, times: np.ndarray) -> np.ndarray:
    """A beat every 0.8 s and some noise, float32, at ``times`` in seconds."""
    offset, amplitude = _SHAPE[modality]
    beat = np.exp(-(((np.mod(times, 0.8) - 0.4) / 0.03) ** 2))
    wave: np.ndarray = (offset + amplitude * (beat + 0.2 * np.sin(2 * np.pi * 11.0 * times))).astype("<f4")
    return wave


def _play(feed: DisplayFeed, stop: threading.Event, estimate: bool) -> None:
    """Push ticks as they fall due; ABP is absent and estimated from second 5 on if ``estimate``."""
    head: dict[str, Any] = {"bed": "Bed 1", "session": "benchmark", "epoch": 0}
    started = time.monotonic()
    seq = 0
    while not stop.is_set():
        wait = started + (seq + 1) * TICK_S - time.monotonic()
        if wait > 0:
            stop.wait(wait)
        chunks = []
        for channel in CHANNELS:
            first, last = (int(np.ceil((seq + k) * TICK_S * channel.rate_hz - 1e-6)) for k in (0, 1))
            values = wave_values(channel.modality.value, np.arange(first, last) / channel.rate_hz)
            if estimate and channel.modality is Modality.ABP and seq * TICK_S >= 5:
                values[:] = np.nan
            chunks.append(WaveChunk(channel.modality.value, channel.label, channel.rate_hz, 0, first, values.tobytes()))
        start_ns = round(seq * TICK_S * SECOND_NS)
        feed.push(WaveTick(**head, tick_seq=seq, start_ns=start_ns, end_ns=start_ns + 50_000_000,
                           due_ns=time.monotonic_ns(), chunks=chunks))  # fmt: skip
        seq += 1
        if seq % 20 == 0:
            _second(feed, head, seq // 20, estimate)


def _second(feed: DisplayFeed, head: dict[str, Any], second: int, estimate: bool) -> None:
    gone = estimate and second - 1 >= 5
    absence = {m.value: "" for m in Modality} | ({"ABP": "no data"} if gone else {})
    feed.push(CellRecord(**head, second=second - 1, absence=absence))
    feed.push(VitalsRecord(**head, time_ns=second * SECOND_NS, hr=75.0, hr_source="ECG"))
    pulse = {"PPG": "present"} if gone else {"ABP": "present", "PPG": "present"}
    feed.push(RhythmRecord(**head, time_ns=second * SECOND_NS, rhythm="beats", pulse=pulse))
    states = {m.value: "" for m in Modality} | ({"ABP": "no data"} if gone else {})
    feed.push(StateRecord(**head, time_ns=second * SECOND_NS, state=states))
    line = wave_values("ABP", np.arange((second - 1) * 100, second * 100) / 100.0)
    chunk = RestoredChunk("ABP", 100, (second - 1) * 100, line.tobytes(), (line - 7).tobytes(), (line + 7).tobytes())
    feed.push(
        PredictionRecord(
            **head, window_end_ns=second * SECOND_NS, model="benchmark", backend="none",
            modalities=["ECG", "ABP", "PPG", "EEG"], presence=[[True] * 10] * 4, ages_s=[0.0] * 4, valid=True,
            abstain=False, reason="", risk={"5": (0.4, 0.3, 0.5), "10": (0.5, 0.4, 0.6), "15": (0.6, 0.5, 0.7)},
            restored=[chunk] if gone else [],
        )
    )  # fmt: skip


def busy_thread(stop: threading.Event) -> None:
    """Keeps the interpreter busy until told to ``stop``."""
    while not stop.is_set():
        sum(range(2000))


def measure(seconds: float, size: tuple[int, int], estimate: bool, busy: bool) -> dict[str, float]:
    """Run the window for ``seconds`` after two of warming up; work in milliseconds, CPU as share of one core."""
    from PySide6.QtCore import QTimer

    from ui.window.app import make_application
    from ui.window.main_window import MainWindow

    application = make_application()
    feed, stop = DisplayFeed(), threading.Event()
    window = MainWindow(_Session(), feed)
    window.resize(*size)
    window.show()
    paints: list[float] = []
    work: list[float] = []
    frame, painted = window.frame, window.sweep.painted

    def timed_frame() -> None:
        begun = time.perf_counter()
        frame()
        work.append(time.perf_counter() - begun)

    def timed_paint(shown_ns: int) -> None:
        paints.append(time.perf_counter())
        painted(shown_ns)

    window.frame_timer.timeout.disconnect()
    window.frame_timer.timeout.connect(timed_frame)
    window.sweep.painted = timed_paint
    threads = [threading.Thread(target=_play, args=(feed, stop, estimate), daemon=True)]
    if busy:
        threads.append(threading.Thread(target=busy_thread, args=(stop,), daemon=True))
    for thread in threads:
        thread.start()
    marks: list[tuple[float, float, int, int]] = []

    def mark() -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime, len(paints), len(work)))

    def end() -> None:
        mark()
        window.close()

    QTimer.singleShot(2000, mark)
    QTimer.singleShot(round(2000 + 1000 * seconds), end)
    application.exec()
    stop.set()
    for thread in threads:
        thread.join()
    (t0, cpu0, p0, w0), (t1, cpu1, p1, w1) = marks
    took, gaps = np.array(work[w0:w1]) * 1e3, np.diff(paints[p0:p1]) * 1e3
    return {
        "frames": (p1 - p0) / (t1 - t0), "p50": float(np.percentile(took, 50)), "p99": float(np.percentile(took, 99)),
        "gap_p99": float(np.percentile(gaps, 99)), "cpu": (cpu1 - cpu0) / (t1 - t0),
        "dropped": float(feed.status.dropped),
    }  # fmt: skip


def main(argv: list[str]) -> int:
    """Draws for a while and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks display", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--busy", action="store_true", help="beside a thread that keeps the interpreter busy")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args(argv)
    if not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    width, _, height = args.size.partition("x")
    rows = []
    for words, estimate in (("8 measured", False), ("6 measured, 2 absent, 1 estimated", True)):
        found = measure(args.seconds, (int(width), int(height)), estimate, args.busy)
        rows.append([words, *(round(found[key], 1) for key in ("frames", "p50", "p99", "gap_p99")),
                     f"{100 * found['cpu']:.0f} %", int(found["dropped"])])  # fmt: skip
    from PySide6.QtGui import QGuiApplication

    text = table(
        ["waves", "frames/s", "work p50 ms", "work p99 ms", "frame gap p99 ms", "CPU of one core", "records dropped"],
        rows,
    )
    platform = QGuiApplication.platformName()
    beside = ", beside a busy thread" if args.busy else ""
    publish(f"{text}\n\n{args.size} on Qt platform {platform}{beside}; {machine()}", args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
