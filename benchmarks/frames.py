"""What the benchmarks of frames share: a feed that plays by itself, what runs beside the window, and the figures of its
frames."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from streams.codec import decode, encode
from streams.commands import Order, Orders
from streams.control import BedView, ChannelInfo, SessionStatus
from streams.feed import DisplayFeed
from streams.records import AnyRecord
from streams.status import OnShow

if TYPE_CHECKING:
    from ui.window.main_window import MainWindow

TICK_S = 0.05
SHAPE = {"ECG": (0.0, 1.0), "ABP": (90.0, 30.0), "PPG": (0.0, 1.0), "EEG": (0.0, 30.0), "RESP": (0.0, 1.0)}
"""Level and height of a beat, by modality."""


class Playing(Orders, OnShow):
    """A control for a feed that plays by itself, of these beds with these channels; it takes no orders."""

    def __init__(self, channels: tuple[ChannelInfo, ...], beds: tuple[str, ...] = ("Bed 1",)) -> None:
        self._channels, self.beds, self.bed = channels, beds, beds[0]

    def show(self, bed: str) -> None:
        """Another bed is on show."""
        self.bed = bed

    def view(self, bed: str = "") -> BedView:
        """They are all alike."""
        alive_ns = time.monotonic_ns()
        status = SessionStatus(0.0, 3600.0, 1.0, False, False, "none", "none", "benchmark", 0, False, alive_ns)
        return BedView(status, self._channels, {}, "benchmark", bed or self.bed, self.beds)

    def shown(self, stage: str, due_ns: int, shown_ns: int) -> None:
        """Nobody asks."""

    def _order(self, order: Order) -> None: ...


def wave_values(modality: str, times: np.ndarray) -> np.ndarray:
    """A beat every 0.8 s and some noise, float32, at ``times`` in seconds."""
    offset, amplitude = SHAPE[modality]
    beat = np.exp(-(((np.mod(times, 0.8) - 0.4) / 0.03) ** 2))
    wave: np.ndarray = (offset + amplitude * (beat + 0.2 * np.sin(2 * np.pi * 11.0 * times))).astype("<f4")
    return wave


def wire(feed: DisplayFeed) -> Callable[[AnyRecord], None]:
    """Sends a record to the feed as it would come from another process."""
    return lambda record: feed.push(decode(encode(record)))


def _busy(stop: threading.Event) -> None:
    """Keeps the interpreter busy until told to ``stop``."""
    while not stop.is_set():
        sum(range(2000))


@contextmanager
def _thread(stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=_busy, args=(stop,), daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


@contextmanager
def _worker(stop: threading.Event) -> Iterator[None]:
    """A whole session of the built-in patient, which is predicting when this is entered."""
    from monitor.running import open_session
    from monitor.settings import RunSettings

    session = open_session(RunSettings(sources=("demo",), headless=True))
    session.start()
    session.wait_opened()
    while session.snapshot().counts["predictions"] < 3:
        stop.wait(0.2)
    yield
    session.stop()


def _nobody(stop: threading.Event) -> AbstractContextManager[None]:
    return nullcontext()


BESIDE = {"none": _nobody, "thread": _thread, "worker": _worker}
"""What else runs in the process: name -> while what it gives is open."""


class Frames:
    """Counts the frames of a window and times their handler; :meth:`paint` is to be called at each paint."""

    def __init__(self, window: MainWindow) -> None:
        self._paints: list[float] = []
        self._work: list[float] = []
        self._marks: list[tuple[float, float, int, int]] = []
        self._window, self._frame = window, window.frame
        window.frame_timer.timeout.disconnect()
        window.frame_timer.timeout.connect(self._timed)

    def paint(self) -> None:
        """Something was painted."""
        self._paints.append(time.perf_counter())

    def _timed(self) -> None:
        begun = time.perf_counter()
        self._frame()
        self._work.append(time.perf_counter() - begun)

    def _mark(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime, len(self._paints), len(self._work)))

    def _end(self) -> None:
        self._mark()
        self._window.close()

    def run(self, warm_s: float, seconds: float) -> dict[str, float]:
        """Lets the window live and closes it. Frames a second; of those after ``warm_s`` the work and the gaps between
        paints in ms; CPU as share of one core, of all that runs in this process."""
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        QTimer.singleShot(round(1000 * warm_s), self._mark)
        QTimer.singleShot(round(1000 * (warm_s + seconds)), self._end)
        QApplication.exec()
        (t0, cpu0, p0, w0), (t1, cpu1, p1, w1) = self._marks
        return figures(self._work[w0:w1], self._paints[p0:p1], t1 - t0, cpu1 - cpu0)


def figures(work_s: list[float], paints_s: list[float], seconds: float, cpu_s: float) -> dict[str, float]:
    """See :meth:`Frames.run`."""
    took, gaps = np.array(work_s) * 1e3, np.diff(paints_s) * 1e3
    return {
        "frames": len(paints_s) / seconds, "p50": float(np.percentile(took, 50)), "p99": float(np.percentile(took, 99)),
        "gap_p50": float(np.percentile(gaps, 50)), "gap_p99": float(np.percentile(gaps, 99)), "cpu": cpu_s / seconds,
    }  # fmt: skip


def beside_words(beside: str) -> str:
    """What of :data:`BESIDE` ran, for the last line."""
    return {"thread": ", beside a busy thread", "worker": ", beside a session with its model"}.get(beside, "")


def size_of(text: str) -> tuple[int, int]:
    """Of WIDTHxHEIGHT; where there is no screen Qt is told so."""
    if not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    width, _, height = text.partition("x")
    return int(width), int(height)
