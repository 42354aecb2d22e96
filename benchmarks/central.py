"""Frames per second of the central view: ``python -m benchmarks central [--beds 60] [--size 1920x1080]``.

Every record comes through the codec: those of all beds (four waves each, numerics, cells, rhythm, predictions, beats)
are encoded beforehand and decoded as they fall due, in a thread of this process, as ``vigil display`` does it. Three
beds have an alarm of high priority and six one of medium, which come and go, so tiles flash and change places. Counted
are paints of the view; a frame's work is the time its handler took, drawing into the pixmap included, its gap the time
between two paints. "announced" are beds of which the session knows and nothing comes. Without a screen it runs on Qt's
offscreen platform.
"""

from __future__ import annotations

import argparse
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frames import BESIDE, TICK_S, Frames, Playing, beside_words, size_of, wave_values
from benchmarks.report import publish
from benchmarks.tables import machine, table
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.codec import decode, encode
from streams.control import ChannelInfo
from streams.feed import DisplayFeed
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BeatRecord,
    CellRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)

CHANNELS = (
    ChannelInfo(Modality.ECG, "II", "mV", 500.0),
    ChannelInfo(Modality.ABP, "ART", "mmHg", 125.0),
    ChannelInfo(Modality.PPG, "PLETH", "au", 125.0),
    ChannelInfo(Modality.EEG, "EEG1", "uV", 128.0),
)
_WARM_S = 3.0
_LATER_S = 0.5  # between the first frame and the first record


def made(beds: tuple[str, ...], seconds: float) -> list[list[bytes]]:
    """By tick, the messages of all beds that come at its end."""
    out: list[list[bytes]] = []
    for seq in range(round(seconds / TICK_S)):
        messages: list[bytes] = []
        for number, bed in enumerate(beds):
            messages += [encode(record) for record in _tick(bed, number, seq)]
        out.append(messages)
    return out


def _tick(bed: str, number: int, seq: int) -> list[AnyRecord]:
    head: dict[str, Any] = {"bed": bed, "session": "benchmark", "epoch": 0}
    chunks = []
    for channel in CHANNELS:
        first, last = (int(np.ceil((seq + k) * TICK_S * channel.rate_hz - 1e-6)) for k in (0, 1))
        values = wave_values(channel.modality.value, np.arange(first, last) / channel.rate_hz + 0.013 * number)
        chunks.append(WaveChunk(channel.modality.value, channel.label, channel.rate_hz, 0, first, values.tobytes()))
    start_ns = round(seq * TICK_S * SECOND_NS)
    end_ns = start_ns + round(TICK_S * SECOND_NS)
    out: list[AnyRecord] = [WaveTick(**head, tick_seq=seq, start_ns=start_ns, end_ns=end_ns, due_ns=0, chunks=chunks)]
    if (seq + number) % 20 == 0:  # of one bed at this tick, of another at the next
        out += _second(head, number, seq // 20 + 1)
    return out


def _second(head: dict[str, Any], number: int, second: int) -> list[AnyRecord]:
    names, at_ns = [channel.modality.value for channel in CHANNELS], second * SECOND_NS
    rate = 60.0 + (7 * number + second) % 40
    risk = {minutes: (0.01 * ((31 * number + second) % 100), 0.2, 0.9) for minutes in ("5", "10", "15")}
    out: list[AnyRecord] = [
        CellRecord(**head, second=second - 1, absence=dict.fromkeys(names, "")),
        StateRecord(**head, time_ns=at_ns, state=dict.fromkeys(names, "")),
        VitalsRecord(
            **head, time_ns=at_ns, hr=rate, hr_source="ECG", pulse_rate=rate, abp_sys=118.0 + second % 5,
            abp_dia=71.0, abp_map=86.0 + second % 3, resp_rate=12.0, resp_source="ECG", sef95=13.0, bsr=0.0,
            openibis=50.0,
        ),
        RhythmRecord(**head, time_ns=at_ns, rhythm="beats", pulse={"ABP": "present", "PPG": "present"}),
        BeatRecord(**head, time_ns=at_ns, source="ECG"),
        PredictionRecord(
            **head, window_end_ns=at_ns, model="benchmark", backend="none", modalities=names,
            presence=[[True] * 10] * 4, ages_s=[0.0] * 4, valid=True, abstain=False, reason="", risk=risk,
            depth=(46.0, 38.0, 55.0),
        ),
    ]  # fmt: skip
    if number % 7 == 3:
        high = number % 3 == 0
        out.append(
            AlarmRecord(
                **head, time_ns=at_ns, key="map.low", priority="high" if high else "medium", kind="physiological",
                text=f"ABP LOW {40 + second % 9} < 65", active=(second + number) % 12 > 3,
            )
        )  # fmt: skip
    return out


def _play(feed: DisplayFeed, ticks: list[list[bytes]], stop: threading.Event) -> None:
    started = time.monotonic() + _LATER_S
    for seq, messages in enumerate(ticks):
        wait = started + (seq + 1) * TICK_S - time.monotonic()
        if wait > 0 and stop.wait(wait):
            return
        for message in messages:
            feed.push(decode(message))


def measure(sending: int, announced: int, seconds: float, size: tuple[int, int], beside: str) -> dict[str, float]:
    """Run the window for ``seconds`` after three of warming up; as of :meth:`benchmarks.frames.Frames.run`."""
    from PySide6.QtCore import QEvent, QObject

    from ui.central.page import CENTRAL
    from ui.window.application import make_application
    from ui.window.main_window import MainWindow

    beds = tuple(f"Bed {number}" for number in range(1, sending + announced + 1))
    ticks = made(beds[:sending], seconds + _WARM_S + 2.0)
    make_application()
    feed, stop = DisplayFeed(), threading.Event()
    window = MainWindow(Playing(CHANNELS, beds), feed)
    frames = Frames(window)

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint:
                frames.paint()
            return False

    watch = Watch()
    window.central.installEventFilter(watch)
    window.resize(*size)
    window.show()
    window.face.turn_to(CENTRAL)
    with BESIDE[beside](stop):
        player = threading.Thread(target=_play, args=(feed, ticks, stop), daemon=True)
        player.start()
        found = frames.run(_WARM_S, seconds)
        stop.set()
        player.join()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found | {"dropped": float(feed.status.dropped), "rss": rss}


def main(argv: list[str]) -> int:
    """Draws for a while and writes the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks central", description=__doc__)
    parser.add_argument("--beds", type=int, nargs="+", default=[8, 60], help="that send, one row each")
    parser.add_argument("--announced", type=int, default=0, help="further beds of which nothing comes")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--beside", choices=BESIDE, default="none", help="what else runs in this process")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args(argv)
    here = size_of(args.size)
    rows = []
    for beds in args.beds:
        found = measure(beds, args.announced, args.seconds, here, args.beside)
        keys = ("frames", "p50", "p99", "gap_p50", "gap_p99")
        rows.append([beds, args.announced, *(round(found[key], 1) for key in keys), f"{100 * found['cpu']:.0f} %",
                     round(found["rss"]), int(found["dropped"])])  # fmt: skip
    from PySide6.QtGui import QGuiApplication

    head = ["beds", "announced", "frames/s", "work p50 ms", "work p99 ms", "gap p50 ms", "gap p99 ms"]
    text = table([*head, "CPU of one core", "peak RSS MB", "records dropped"], rows)
    platform = QGuiApplication.platformName()
    beside = beside_words(args.beside)
    publish(f"{text}\n\n{args.size} on Qt platform {platform}{beside}; {machine()}", args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
