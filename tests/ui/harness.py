"""The real window under Qt's event loop, with a clock of its own: frames follow at once, nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QRect
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication

from models.signals.modalities import Modality
from streams.feed import DisplayFeed
from tests.ui.synthetic import TICK_S, FakeSession, Patient
from ui.bed.lanes import Lane
from ui.sound.choice import SILENT, SoundChoice
from ui.sound.output import MiniaudioOutput, OpenOutput
from ui.style.theme import Theme
from ui.window.alarm_files import AlarmFiles
from ui.window.application import make_application
from ui.window.main_window import MainWindow

FRAME_S = 1 / 60


class Inline(Executor):
    """Runs what it is given at once, on the caller's thread; never, once it ``answers`` no more."""

    answers = True

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not self.answers:
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (what an executor does)
            future.set_exception(error)
        return future


class Later(Executor):
    """Keeps what it is given until :meth:`run`: a session that has not answered yet."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 (what an executor does)
                future.set_exception(error)

        self._waiting.append(run)
        return future

    def run(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class Screen:
    """``run_to`` plays a patient's records into the window up to an event time, frame by frame; those of ``others``,
    in other beds, between them. recording: of the run, begun at ``unix_s``. kept: the folder of what is kept of
    alarms. more: for the window."""

    def __init__(
        self,
        patient: Patient | None = None,
        session: FakeSession | None = None,
        size: tuple[int, int] = (1280, 760),
        capacity: int = 1_000_000,
        others: Sequence[Patient] = (),
        recording: Path | None = None,
        unix_s: float = 0.0,
        theme: Theme | None = None,
        font_scale: float = 1.0,
        sound: SoundChoice = SILENT,
        open_output: OpenOutput = MiniaudioOutput,
        kept: Path | None = None,
        **more: Any,
    ) -> None:
        self.application: QApplication = make_application()
        self.patient, self.others = patient or Patient(), list(others)
        self.session = session or FakeSession()
        self.feed = DisplayFeed(capacity)
        self.now = 1000.0
        self.clock: Callable[[], float] = lambda: self.now
        self.worker = Inline()
        self.begin: float | None = None
        self.window = MainWindow(
            self.session,
            self.feed,
            theme=theme,
            font_scale=font_scale,
            start=False,
            monotonic=lambda: self.clock(),
            worker=self.worker,
            recording=recording,
            unix=lambda: unix_s + self.now - (self.begin or self.now),
            sound=sound,
            open_output=open_output,
            files=AlarmFiles(kept, kept, self.worker),
            **more,
            kept=kept,
        )
        self.window.resize(*size)
        self.window.show()
        self.alive = True
        self._seq = 0
        self.frames(20)

    def frames(self, count: int) -> None:
        for _ in range(count):
            self.now += FRAME_S
            if self.alive:
                self.session.frozen_heartbeat = round(self.now * 1e9)
            self.window.frame()
            self.application.processEvents()

    def start_at(self, event_s: float) -> None:
        """The patient's next tick begins at ``event_s`` and is due now."""
        self._seq = round(event_s / TICK_S)
        self.begin = self.now - event_s

    def run_to(self, event_s: float) -> None:
        if self.begin is None:
            self.start_at(self._seq * TICK_S)
        assert self.begin is not None
        while self.now - self.begin < event_s:
            while (self._seq + 1) * TICK_S <= self.now - self.begin + FRAME_S:
                due_ns = round((self.begin + (self._seq + 1) * TICK_S) * 1e9)
                ticks = [patient.tick(self._seq, due_ns=due_ns) for patient in (self.patient, *self.others)]
                for records in zip_longest(*ticks):
                    for record in filter(None, records):
                        self.feed.push(record)
                self._seq += 1
            self.frames(1)

    # What is on the screen --------------------------------------------------------------------------------------

    def lane(self, modality: Modality) -> Lane:
        lane = self.window.state.lane(modality.value)
        assert lane is not None
        return lane

    def image(self) -> QImage:
        return self.window.sweep.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)

    def wave_area(self, modality: Modality) -> QRect:
        """The wave area of a lane in the grabbed image."""
        sweep = self.window.sweep
        index = [lane.key for lane in self.window.sweep.lanes].index(modality.value)
        row, (left, _) = sweep.lane_rows[index], sweep.margins
        assert sweep.paper is not None
        return QRect(left, row.wave_top, sweep.paper.width, row.wave_height)

    def strip_area(self, modality: Modality) -> QRect:
        sweep = self.window.sweep
        row = sweep.lane_rows[[lane.key for lane in sweep.lanes].index(modality.value)]
        assert sweep.paper is not None
        return QRect(sweep.margins[0], row.strip_top, sweep.paper.width, row.strip_height)

    def pixels(self, area: QRect, image: QImage | None = None) -> np.ndarray:
        """RGB of an area, float [height, width, 3]."""
        found = image or self.image()
        raw = np.frombuffer(found.constBits(), np.uint8).reshape(found.height(), found.bytesPerLine() // 4, 4)
        part = raw[area.top() : area.bottom() + 1, area.left() : area.right() + 1, 2::-1]
        return part.astype(float)

    def column(self, time_s: float) -> int:
        """Screen column (within the wave area) of an event time in the present sweep."""
        paper = self.window.sweep.paper
        assert paper is not None
        return int(paper.column(time_s)) % paper.width

    def columns(self, begin_s: float, end_s: float, inset: int = 4) -> slice:
        return slice(self.column(begin_s) + inset, self.column(end_s) - inset)

    def close(self) -> None:
        self.window.close()
        self.window.deleteLater()
        self.application.processEvents()

    def save(self, path: Path) -> None:
        self.window.grab().save(str(path))


def near(pixels: np.ndarray, colour: str | QColor, tolerance: float = 40.0) -> np.ndarray:
    """Mask of the pixels within ``tolerance`` of a colour (Euclidean, 0-255 a channel)."""
    want = np.array(QColor(colour).getRgb()[:3], float)
    return np.linalg.norm(pixels - want, axis=-1) < tolerance


def hue_like(pixels: np.ndarray, colour: str | QColor, least: float = 0.9, ink: float = 40.0) -> np.ndarray:
    """Mask of the pixels that point the way of a colour from black, whatever their brightness."""
    want = np.array(QColor(colour).getRgb()[:3], float)
    norms = np.linalg.norm(pixels, axis=-1)
    cosine = pixels @ want / np.maximum(norms * np.linalg.norm(want), 1e-9)
    return (cosine > least) & (norms > ink)
