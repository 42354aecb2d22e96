"""A recording whose samples are their own index, and whatever else the stream tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from models.signals.channels import Channel
from models.signals.modalities import MODALITIES, Modality
from models.signals.recording import Segment

S = 1_000_000_000
RATES = {Modality.ECG: 500.0, Modality.ABP: 125.0, Modality.PPG: 62.5, Modality.EEG: 128.0}


def wait_until(condition: Callable[[], bool], seconds: float = 10.0, what: str = "the condition") -> None:
    """Wait for a condition, at most ``seconds``; fails with ``what`` was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.002)


def channel(modality: Modality, rate_hz: float, samples: int, origin_ns: int = 0) -> Channel:
    return Channel(modality, f"TEST/{modality}", modality.value, rate_hz, MODALITIES[modality].unit, origin_ns, samples)


@dataclass
class CountingMap:
    """A channel map whose sample ``i`` has the value ``i`` (exact in float32 up to 2^24)."""

    seconds: float
    rates: dict[Modality, float] = field(default_factory=lambda: dict(RATES))
    origins: dict[Modality, int] = field(default_factory=dict)
    reads: int = 0

    @property
    def channels(self) -> dict[Modality, Channel]:
        return {
            m: channel(m, rate, round(self.seconds * rate), self.origins.get(m, 0)) for m, rate in self.rates.items()
        }

    @property
    def duration_s(self) -> float:
        return max(c.end_ns for c in self.channels.values()) / S

    def gaps_s(self, modality: Modality) -> tuple[tuple[float, float], ...]:
        return ()

    def read(self, modality: Modality, start_ns: int, end_ns: int) -> Segment:
        self.reads += 1
        c = self.channels[modality]
        first = min(max(c.first_index_at(start_ns), 0), c.samples)
        last = min(max(c.first_index_at(end_ns), first), c.samples)
        return Segment(first, np.arange(first, last, dtype=np.float32))


@contextmanager
def running(*bodies: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Run thread bodies; at the end stop them, and raise what any of them raised."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        futures = [threads.submit(body) for body in bodies]
        try:
            yield
        finally:
            stop()
        for future in futures:
            future.result(timeout=5)
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor") and t.is_alive()]
