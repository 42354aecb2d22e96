"""One trial: one pipeline, so many beds, for so long. Its processes are told when it begins, and note what comes.

Clocks: every process of a machine reads the same monotonic clock, so the beginning is one number for all of them, far
enough ahead for models and frameworks to be loaded. What an *ear* has heard goes to a file when it closes; who started
the trial adds the files up.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.signals.times import SECOND_NS
from streams.records import WaveTick

ENDS_NS = SECOND_NS
"""After the last tick was due: whoever has heard nothing of it by then ends all the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """seconds: that are counted, after ``warm_s`` that are not. begin_ns: of the monotonic clock, event time zero.
    folder: for what its processes leave. broker: ``kafka://HOST:PORT`` where there is one."""

    peer: str
    beds: int
    seconds: int
    warm_s: int
    begin_ns: int
    folder: str
    broker: str = ""

    @property
    def total_s(self) -> int:
        """Seconds of ticks."""
        return self.warm_s + self.seconds

    @property
    def from_ns(self) -> int:
        """Monotonic time from which on it counts."""
        return self.begin_ns + self.warm_s * SECOND_NS

    @property
    def until_ns(self) -> int:
        """And until when."""
        return self.begin_ns + self.total_s * SECOND_NS

    @property
    def over(self) -> bool:
        """Whether whoever takes part may go: what has not come by now is lost."""
        return time.monotonic_ns() > self.until_ns + ENDS_NS

    @property
    def bootstrap(self) -> str:
        """The broker's HOST:PORT."""
        return self.broker.partition("://")[2]

    @property
    def prefix(self) -> str:
        """Of the names of its topics and groups."""
        return f"pipelines-{self.begin_ns:x}-{self.peer}-"

    def dumped(self) -> str:
        """As JSON; :meth:`loaded` is the way back."""
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> Trial:
        """From what :meth:`dumped` gave."""
        return cls(**json.loads(text))


class Ear:
    """Where a pipeline hands over what a screen would show: ticks, and what the model says. Used by one thread at a
    time."""

    def __init__(self, trial: Trial) -> None:
        self._folder = Path(trial.folder)
        self.ticks: list[tuple[str, int, int]] = []
        self.said: list[tuple[str, int, int]] = []

    def tick(self, tick: WaveTick) -> None:
        """A tick is here."""
        self.ticks.append((tick.bed, tick.tick_seq, time.monotonic_ns()))

    def tick_of(self, bed: str, number: int) -> None:
        """A tick is here, of which only bed and number are known."""
        self.ticks.append((bed, number, time.monotonic_ns()))

    def prediction(self, bed: str, window_end_s: int) -> None:
        """The model's word on the window that ends there is here."""
        self.said.append((bed, window_end_s, time.monotonic_ns()))

    def close(self) -> None:
        """Leaves what was heard in the trial's folder."""
        path = self._folder / f"ear-{os.getpid()}-{id(self):x}.json"
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps({"ticks": self.ticks, "said": self.said}), encoding="utf-8")
        scratch.replace(path)


def heard(folder: Path) -> tuple[Sequence[tuple[str, int, int]], Sequence[tuple[str, int, int]]]:
    """What all ears of a trial have left: ticks as (bed, number, came in ns), predictions as (bed, end in s, came)."""
    ticks: list[tuple[str, int, int]] = []
    said: list[tuple[str, int, int]] = []
    for path in sorted(folder.glob("ear-*.json")):
        left = json.loads(path.read_text(encoding="utf-8"))
        ticks += [(bed, seq, at) for bed, seq, at in left["ticks"]]
        said += [(bed, end, at) for bed, end, at in left["said"]]
    return ticks, said
