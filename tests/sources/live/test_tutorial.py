"""The driver of docs/devices.md, as it stands there: it runs, counts every sample, and outlives a pulled cable."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from streams.codec import chunk_values
from streams.records import WaveTick
from streams.sources.live import LiveSource
from tests.streams.sources import wait_until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "devices.md"
RATE, CHUNK = 250, 10


def the_driver() -> Any:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1], str(PAGE), "exec"), names)
    return names["UdpDevice"]


class Sender:
    """Sends ECG_II and PLETH, whose values are their own index, in real time; ``gap``: what is left out."""

    def __init__(self, port: int) -> None:
        self.port, self.over, self.gap = port, threading.Event(), range(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun, number = time.monotonic(), 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not self.over.wait(max(0.0, begun + (number + CHUNK) / RATE - time.monotonic())):
                for name, unit in (("ECG_II", "mV"), ("PLETH", "au")):
                    if number in self.gap:
                        continue
                    values = " ".join(str(i) for i in range(number, number + CHUNK))
                    out.sendto(f"{name} {RATE} {unit} {number} {values}".encode(), ("127.0.0.1", self.port))
                number += CHUNK

    def stop(self) -> None:
        self.over.set()
        self._thread.join(60)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_tutorials_driver_is_a_bed() -> None:
    port = free_port()
    sender = Sender(port)
    sender.gap = range(500, 600)
    source = LiveSource(the_driver()(f"udp:127.0.0.1:{port}"), "1", "s")
    record = source.describe()
    assert {c.modality for c in record.channels} == {"ECG", "PPG"} and record.title == f"UDP {port}"
    ticks: list[WaveTick] = []
    runner = threading.Thread(target=source.run, args=(lambda tick: not ticks.append(tick),), daemon=True)
    runner.start()
    wait_until(lambda: len(ticks) > 80, what="four seconds")
    source.stop()
    runner.join(60)
    sender.stop()
    for modality in ("ECG", "PPG"):
        chunks = [c for t in ticks for c in t.chunks if c.modality == modality and c.data]
        index = np.concatenate([c.first_index + np.arange(len(c.data) // 4) for c in chunks])
        value = np.concatenate([chunk_values(c.data) for c in chunks])
        known = np.isfinite(value)
        offset = np.unique(value[known] - index[known])
        assert len(offset) == 1, "every sample has its place by the device's own count"
        gap = (value[known] >= 500) & (value[known] < 600)
        assert not gap.any() and known.sum() > 500
        assert np.diff(index).min() == 1, "none comes twice"
