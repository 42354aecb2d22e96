"""A recording whose samples are their own index, and whatever else the stream tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from models.data.simulator import open_demo
from models.runtime.backend import BackendInfo
from models.runtime.guard import Service
from models.runtime.leave_out import LeftOut
from models.runtime.memory import EngineMemory
from models.runtime.prediction import Interval, Prediction, RestoredWave
from models.signals.channels import Channel, map_channels
from models.signals.leave_out import WindowPast
from models.signals.modalities import MODALITIES, Modality
from models.signals.recording import Segment
from models.signals.windows import Window, WindowSpec
from monitor.session import Session
from streams.sources.bed_replay import Drop
from streams.sources.replay import replays

S = 1_000_000_000
RATES = {Modality.ECG: 500.0, Modality.ABP: 125.0, Modality.PPG: 62.5, Modality.EEG: 128.0}


def wait_until(condition: Callable[[], bool], seconds: float = 60.0, what: str = "the condition") -> None:
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
    def leads(self) -> dict[Modality, tuple[Channel, ...]]:
        return {m: (c,) for m, c in self.channels.items()}

    @property
    def channels(self) -> dict[Modality, Channel]:
        return {
            m: channel(m, rate, round(self.seconds * rate), self.origins.get(m, 0)) for m, rate in self.rates.items()
        }

    @property
    def duration_s(self) -> float:
        return max(c.end_ns for c in self.channels.values()) / S

    def gaps_s(self, modality: Modality, lead: int = 0) -> tuple[tuple[float, float], ...]:
        return ()

    def events(self) -> list[tuple[float, str]]:
        return []

    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int = 0) -> Segment:
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


class NamedRecording:
    """The part of a recording that a session reads beside the channels."""

    def __init__(self, name: str = "test") -> None:
        self.name, self.closed, self.tracks = name, False, ()

    def close(self) -> None:
        self.closed = True


class PatientMap:
    """A simulated patient's ECG, ABP and EEG, and a PPG at 100 Hz whose sample ``i`` has the value ``i``.

    The index survives resampling (a symmetric, normalised kernel keeps a ramp), so windows can be checked too.
    """

    def __init__(self, seconds: float = 60.0, *, fail_at_s: float | None = None) -> None:
        patient = open_demo(f"demo:seed=3,faults=off,duration={round(seconds)}")
        self._mapped = map_channels(patient, {"PPG": "none", "RESP": "none"})
        self.recording = NamedRecording()
        self.duration_s = self._mapped.duration_s
        self._counter = channel(Modality.PPG, 100.0, round(seconds * 100))
        self._fail_ns = None if fail_at_s is None else round(fail_at_s * S)

    @property
    def leads(self) -> dict[Modality, tuple[Channel, ...]]:
        return {m: (c,) for m, c in self.channels.items()}

    @property
    def channels(self) -> dict[Modality, Channel]:
        return {**self._mapped.channels, Modality.PPG: self._counter}

    def gaps_s(self, modality: Modality, lead: int = 0) -> tuple[tuple[float, float], ...]:
        return ()

    def events(self) -> list[tuple[float, str]]:
        return []

    def read(self, modality: Modality, start_ns: int, end_ns: int, lead: int = 0) -> Segment:
        if self._fail_ns is not None and end_ns > self._fail_ns:
            raise OSError("disk gone")
        if modality is not Modality.PPG:
            return self._mapped.read(modality, start_ns, end_ns)
        first = min(max(self._counter.first_index_at(start_ns), 0), self._counter.samples)
        last = min(max(self._counter.first_index_at(end_ns), first), self._counter.samples)
        return Segment(first, np.arange(first, last, dtype=np.float32))


class FakeEngine:
    """A model that remembers its windows; ``fail_at``: raises at that many seconds, ``wait``: blocks until set."""

    def __init__(
        self, *, spec: WindowSpec | None = None, fail_at: int | None = None, wait: threading.Event | None = None
    ) -> None:
        self.window_spec = spec or WindowSpec()
        self.backend = BackendInfo("fake", "for tests")
        self.model = "fake"
        self.service = Service()
        self.windows: list[Window] = []
        self.batches: list[int] = []
        self.keys: list[Hashable] = []
        self.forgotten: list[Hashable] = []
        self.remembered: list[tuple[Hashable, EngineMemory, int]] = []  # and how many windows came before
        self.questions: list[tuple[WindowPast, Hashable, int]] = []  # and how many windows came before
        self.closed = False
        self._fail_at, self._wait = fail_at, wait

    def predict(self, windows: Sequence[Window], keys: Sequence[Hashable] = ()) -> list[Prediction]:
        if self._wait is not None:
            assert self._wait.wait(120)
        if self._fail_at is not None and any(w.end_s >= self._fail_at for w in windows):
            raise ArithmeticError("the model broke")
        self.windows += windows
        self.keys += keys
        self.batches.append(len(windows))
        return [prediction(w) for w in windows]

    @property
    def given(self) -> Sequence[str]:
        return ("risk", "depth", "pressure")

    def leave_out(self, past: WindowPast, key: Hashable) -> list[LeftOut]:
        self.questions.append((past, key, len(self.windows)))
        rows = [None, *self.window_spec.modalities]
        return [LeftOut(m, prediction(past.window)) for m in rows]

    def memory_of(self, key: Hashable) -> EngineMemory:
        return EngineMemory("fake", form=float(len(self.windows)))

    def remember(self, key: Hashable, memory: EngineMemory) -> bool:
        self.remembered.append((key, memory, len(self.windows)))
        return True

    def forget(self, key: Hashable) -> None:
        self.forgotten.append(key)

    def close(self) -> None:
        self.closed = True


def prediction(window: Window) -> Prediction:
    wave = np.linspace(60, 120, 100, dtype=np.float32)
    return Prediction(
        window_end_s=window.end_s,
        presence=window.presence,
        valid=True,
        abstain=False,
        reason="",
        risk={m: Interval(0.1, 0.0, 0.2) for m in (5, 10, 15)},
        depth=Interval(45.0, 40.0, 50.0),
        pressures=None,
        restored=(RestoredWave(Modality.ABP, (window.end_s - 1) * 100, 100, wave, wave - 5, wave + 5),),
        ages_s=tuple(float(a) for a in window.context[:, 2]),
    )


def session_of(
    recordings: Mapping[str, Callable[[], object]],
    spec: WindowSpec,
    load_engine: Callable[[], object] | None,
    *,
    speed: float | None = 1.0,
    from_s: float = 0.0,
    for_s: float | None = None,
    drops: Sequence[Drop] = (),
    **options: object,
) -> Session:
    """A session that replays recordings."""
    sources = replays(recordings, speed=speed, from_s=from_s, for_s=for_s, drops=drops)  # type: ignore[arg-type]
    return Session(sources, spec, load_engine, **options)  # type: ignore[arg-type]
