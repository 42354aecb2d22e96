"""A device that is not there: blocks at set times of a clock that stands still unless somebody waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streams.sources.device import AnotherPatient, Block, DeviceChannel, DeviceLost, DeviceValue

SECOND = 1_000_000_000


@dataclass
class Clock:
    """Monotonic nanoseconds that pass only when somebody waits."""

    now: int = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += max(1, round(seconds * SECOND))
        return False


@dataclass
class SimulatedDevice:
    """Sends its sample count as values, ``block`` samples of each channel at a time, ``delay_s`` after the last one.

    drift: its seconds are longer by it. jitter_s: of the stamps. steps: (when, by) its own clock jumps, in seconds of
    true time; stepping: of these channels only, which have a clock of their own. absent: (from, to) stretches of true
    time in which it cannot be reached. losses: stretches whose samples never leave it, though it stays connected.
    numbers: (when, number) it tells, in order; its stamp is a time of the device's, as those of samples are. patients:
    when it is put to another one. stamps: "last", "each" or "none". counts: whether it numbers its samples.
    """

    clock: Clock
    channels: Sequence[DeviceChannel] = (DeviceChannel("ECG_II", "mV", 500.0), DeviceChannel("PLETH", "", 125.0))
    block_s: float = 0.04
    delay_s: float = 0.003
    drift: float = 0.0
    jitter_s: float = 0.0
    steps: Sequence[tuple[float, float]] = ()
    stepping: Sequence[str] | None = None
    absent: Sequence[tuple[float, float]] = ()
    losses: Sequence[tuple[float, float]] = ()
    numbers: Sequence[tuple[float, DeviceValue]] = ()
    patients: Sequence[float] = ()
    stamps: str = "last"
    counts: bool = False
    zero_s: float = 0.0
    name: str = "simulated"
    opened: int = 0
    closed: int = 0
    attempts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start_ns = self.clock.now
        self.sent = {c.name: 0 for c in self.channels}  # samples taken so far, sent or not
        self.delivered = {c.name: [] for c in self.channels}
        self._rng = np.random.default_rng(7)
        self._open = self._gone = self._told = False
        self._patient, self._told_s = 0, 0.0

    @property
    def true_s(self) -> float:
        """Seconds since it was switched on."""
        return (self.clock.now - self.start_ns) / SECOND

    def open(self, timeout_s: float) -> Sequence[DeviceChannel]:
        self.opened += 1
        self.attempts.append(self.true_s)
        if _within(self.absent, self.true_s):
            self.clock.wait(timeout_s)
            raise DeviceLost(f"{self.name} does not answer.")
        self._collect(deliver=False)
        before, self._patient = self._patient, self._patient_now()
        if before != self._patient and not self._told:
            raise AnotherPatient(f"{self.name} has another patient.")
        self._open, self._gone, self._told = True, False, False
        return list(self.channels)

    def read(self, timeout_s: float) -> list[Block | DeviceValue]:
        if not self._open:
            raise DeviceLost(f"{self.name} is not open.")
        changes = [at for at in (*self.patients, *(when for when, _ in self.numbers)) if at > self.true_s]
        wake = min([self._due(c) for c in self.channels] + [self.true_s + timeout_s, *changes])
        self.clock.wait(max(wake - self.true_s, 0.0) + 1e-9)
        if self._gone or _within(self.absent, self.true_s):
            self._gone = True
            raise DeviceLost(f"{self.name} has gone.")
        if self._patient != self._patient_now():
            self._told = True
            raise AnotherPatient(f"{self.name} has another patient.")
        due, self._told_s = [n for at, n in self.numbers if self._told_s < at <= self.true_s], self.true_s
        return [*self._collect(deliver=True), *due]

    def close(self) -> None:
        self.closed += self._open
        self._open = False

    def _patient_now(self) -> int:
        return sum(self.true_s >= at for at in self.patients)

    def _due(self, channel: DeviceChannel) -> float:
        size = self._size(channel)
        return (self.sent[channel.name] + size - 1) / channel.rate_hz * (1.0 + self.drift) + self.delay_s

    def _size(self, channel: DeviceChannel) -> int:
        return max(1, round(channel.rate_hz * self.block_s))

    def _collect(self, *, deliver: bool) -> list[Block]:
        due: list[tuple[float, Block]] = []
        for channel in self.channels:
            while self._due(channel) <= self.true_s:
                when, size, first = self._due(channel), self._size(channel), self.sent[channel.name]
                self.sent[channel.name] += size
                index = first + np.arange(size)
                times = index / channel.rate_hz * (1.0 + self.drift)
                if not deliver or _within(self.losses, float(times[-1])):
                    continue
                self.delivered[channel.name].append(index)
                due.append(
                    (
                        when,
                        Block(
                            channel.name,
                            index.astype(np.float32),
                            self._stamps(times, channel.name),
                            self._number(first),
                        ),
                    )
                )
        return [block for _, block in sorted(due, key=lambda pair: pair[0])]

    def _number(self, first: int) -> int | None:
        return first if self.counts else None

    def _stamps(self, times: np.ndarray, name: str) -> np.ndarray | None:
        if self.stamps == "none":
            return None
        steps = self.steps if self.stepping is None or name in self.stepping else ()
        stepped = times + sum(((times >= when) * by for when, by in steps), np.zeros(len(times)))
        stamps = self.start_ns / SECOND + self.zero_s + stepped
        stamps = stamps if self.stamps == "each" else stamps[-1:]
        return stamps + self._rng.uniform(-self.jitter_s, self.jitter_s, len(stamps))


def _within(stretches: Sequence[tuple[float, float]], time_s: float) -> bool:
    return any(a <= time_s < b for a, b in stretches)
