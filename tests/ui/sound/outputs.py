"""A loudspeaker that keeps what it is given, and can be pulled out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ui.sound.output import Fill, NoOutput
from ui.sound.tones import Samples


class Ear:
    """Opens outputs. ``there``: whether there is a device. ``opened``, ``closed``: how often. ``on_close``: called when
    one is closed."""

    def __init__(self) -> None:
        self.there = True
        self.opened = self.closed = 0
        self.output: Held | None = None
        self.on_close: Callable[[], None] = lambda: None
        self.blocks: list[tuple[float, Samples]] = []
        self.rate_hz = 0

    def open(self, rate_hz: int, fill: Fill) -> Held:
        if not self.there:
            raise NoOutput("no audio device")
        self.opened += 1
        self.rate_hz = rate_hz
        self.output = Held(self, fill)
        return self.output

    def pull(self, now_s: float, seconds: float = 1 / 60) -> Samples:
        """The next block, as the library's thread would ask for it; silence where nothing is open."""
        frames = round(seconds * (self.rate_hz or 48_000))
        block = np.zeros(frames, np.float32) if self.output is None else self.output.fill(frames)
        self.blocks.append((now_s, block))
        return block

    def heard(self, begin_s: float, end_s: float) -> Samples:
        """Everything of that time."""
        return np.concatenate([block for now, block in self.blocks if begin_s <= now < end_s] or [np.zeros(0, "f4")])


class Held:
    name = "the test's ear"

    def __init__(self, ear: Ear, fill: Fill) -> None:
        self._ear, self.fill = ear, fill
        self.failure = ""

    def close(self) -> None:
        self._ear.on_close()
        self._ear.closed += 1
        self._ear.output = None
