"""The same waves as the display's, drawn by somebody else.

pyqtgraph: a curve a channel, written here. mne-lsl: its own ``StreamViewer`` as it opens, of one LSL stream, which a
process of its own sends (``python -m benchmarks.display_peers NAME``). That viewer takes streams of one rate only, so
each of the eight waves comes at 500 samples a second; its filter, and its average of all channels, which would draw
eight like waves as nothing, are off.
"""

from __future__ import annotations

import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frames import SHAPE, figures, wave_values
from models.signals.errors import BadInput
from streams.control import ChannelInfo

SECONDS_SHOWN = 10
STREAM_HZ = 500.0
_ROW = 100.0  # mne-lsl's scale of a row as it opens
_BLOCK_S = 0.01
"""So often samples are sent: the viewer draws only when something has come, and looks every 20 ms."""
_WARM_S = 2.0
_LEAST_PAINTS = 3  # for a gap, on a machine that paints hardly any

Channels = tuple[ChannelInfo, ...]


def measure_pyqtgraph(seconds: float, size: tuple[int, int], channels: Channels) -> dict[str, float]:
    """The same waves as eight curves of pyqtgraph, each given its newest ten seconds sixty times a second."""
    import pyqtgraph as pg
    from PySide6.QtCore import Qt, QTimer

    from ui.window.application import make_application

    application = make_application()
    window = pg.GraphicsLayoutWidget(size=size)
    curves = []
    for row, channel in enumerate(channels):
        plot = window.addPlot(row=row, col=0)
        plot.setXRange(0, 10)
        offset, height = SHAPE[channel.modality.value]
        plot.setYRange(offset - height, offset + 2 * height)
        curves.append(plot.plot(pen=pg.mkPen(width=1.6), antialias=True))
    kept = [np.zeros(round(10 * channel.rate_hz), np.float32) for channel in channels]
    paints: list[float] = []
    work: list[float] = []
    started = time.perf_counter()
    drawn = [0] * len(channels)

    def frame() -> None:
        now_s = time.perf_counter() - started
        for number, channel in enumerate(channels):  # ours come by another thread: not counted as the frame's work
            last = int(now_s * channel.rate_hz)
            fresh = wave_values(channel.modality.value, np.arange(drawn[number], last) / channel.rate_hz)
            kept[number] = np.concatenate((kept[number], fresh))[-round(10 * channel.rate_hz) :]
            drawn[number] = last
        begun = time.perf_counter()
        for number, channel in enumerate(channels):
            curves[number].setData(np.arange(len(kept[number])) / channel.rate_hz, kept[number])
        application.processEvents()  # the paint of this frame
        work.append(time.perf_counter() - begun)
        paints.append(time.perf_counter())
        if paints[-1] - started >= seconds and len(paints) >= _LEAST_PAINTS:
            application.quit()

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(frame)
    window.show()
    timer.start(16)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu0 = usage.ru_utime + usage.ru_stime
    application.exec()
    timer.stop()
    window.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime - cpu0
    return figures(work, paints, paints[-1] - started, cpu_s) | {"dropped": 0.0}


def measure_mne_lsl(seconds: float, size: tuple[int, int], channels: Channels) -> dict[str, float]:
    """The viewer's window at ``size``, ten seconds of eight channels. RuntimeError where its stream does not come."""
    name = f"vigil-benchmark-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "lsl_api.cfg"
        config.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n", encoding="utf-8")
        os.environ["LSLAPICFG"] = str(config)  # before liblsl is used
        os.environ["QT_API"] = "pyside6"
        lsl = _mne_lsl("lsl")
        labels = [f"{channel.modality.value} {channel.label}" for channel in channels]
        modalities = [channel.modality.value for channel in channels]
        sends = [sys.executable, "-m", "benchmarks.display_peers", name, ",".join(labels), ",".join(modalities)]
        with subprocess.Popen(sends) as outlet:
            try:
                found = lsl.resolve_streams(timeout=20.0, name=name)
                if not found:
                    raise RuntimeError("The stream of the benchmark did not come within 20 s.")
                return _viewed(lsl.StreamInlet(found[0]), seconds, size)
            finally:
                outlet.terminate()


def require(peer: str) -> None:
    """BadInput where a peer of :data:`MEASURE` is not installed: it is no dependency of Vigil."""
    if peer == "mne-lsl" and find_spec("mne_lsl") is None:
        raise BadInput("mne-lsl for --peer mne-lsl", "none", "install it beside Vigil: pip install mne-lsl")


def _mne_lsl(module: str) -> Any:
    return importlib.import_module(f"mne_lsl.{module}")


def _viewed(inlet: Any, seconds: float, size: tuple[int, int]) -> dict[str, float]:
    """What ``StreamViewer.start`` does, but for the choice of a stream and the end of the process."""
    from PySide6.QtCore import QTimer

    from ui.window.application import make_application

    scope_eeg = _mne_lsl("stream_viewer.scope.scope_eeg")
    control_eeg = _mne_lsl("stream_viewer.control_gui.control_eeg")
    canvas = _mne_lsl("stream_viewer.backends.pyqtgraph")._CustomGraphicsLayoutWidget
    application = make_application()
    paints: list[float] = []
    work: list[float] = []
    updated_s = [0.0]  # since the last paint
    marks: list[tuple[float, float, int, int]] = []
    paint = canvas.paintEvent

    def painted(widget: Any, event: Any) -> None:
        begun = time.perf_counter()
        paint(widget, event)
        paints.append(time.perf_counter())
        work.append(paints[-1] - begun + updated_s[0])
        updated_s[0] = 0.0

    canvas.paintEvent = painted
    try:
        inlet.open_stream()
        time.sleep(0.2)
        scope = scope_eeg.ScopeEEG(inlet)
        control = control_eeg.ControlGUI_EEG(scope)
        scope.apply_bandpass = scope.apply_car = False
        viewer = control.backend
        viewer._win.setGeometry(0, 0, *size)  # it opens beside its small window of settings, in part off the screen
        viewer._win.raise_()

        def update() -> None:
            begun = time.perf_counter()
            viewer._update_loop()
            updated_s[0] += time.perf_counter() - begun

        viewer._timer.timeout.disconnect()
        viewer._timer.timeout.connect(update)

        def mark() -> None:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime, len(paints), len(work)))

        def end() -> None:
            mark()
            viewer.close()
            control.close()
            application.quit()

        QTimer.singleShot(round(1000 * (SECONDS_SHOWN + _WARM_S)), mark)  # until then a part of it is empty
        QTimer.singleShot(round(1000 * (SECONDS_SHOWN + _WARM_S + seconds)), end)
        application.exec()
    finally:
        canvas.paintEvent = paint
    (t0, cpu0, p0, w0), (t1, cpu1, p1, w1) = marks
    return figures(work[w0:w1], paints[p0:p1], t1 - t0, cpu1 - cpu0) | {"dropped": 0.0}


MEASURE: dict[str, tuple[str, Callable[[float, tuple[int, int], Channels], dict[str, float]]]] = {
    "pyqtgraph": ("8 curves of pyqtgraph", measure_pyqtgraph),
    "mne-lsl": ("8 channels of mne-lsl's StreamViewer", measure_mne_lsl),
}
"""By the name of a peer: what is drawn, and what measures it."""


def send(name: str, labels: list[str], modalities: list[str]) -> None:
    """Sends the waves as one stream, each as high as a row of the viewer, until the process is ended."""
    lsl = _mne_lsl("lsl")
    about = lsl.StreamInfo(name, "EEG", len(labels), STREAM_HZ, "float32", name)
    about.set_channel_names(labels)
    outlet = lsl.StreamOutlet(about)
    started, sent = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, started + sent / STREAM_HZ + _BLOCK_S - time.monotonic()))
        until = int((time.monotonic() - started) * STREAM_HZ)
        times = np.arange(sent, until) / STREAM_HZ
        waves = [(wave_values(m, times) - SHAPE[m][0]) / SHAPE[m][1] * _ROW for m in modalities]
        if until > sent:
            outlet.push_chunk(np.ascontiguousarray(np.stack(waves, 1), np.float32))
        sent = until


if __name__ == "__main__":
    send(sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(","))
