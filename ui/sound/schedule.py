"""Which alarm burst starts when. Pure: the caller brings monotonic seconds.

A higher priority takes over at once; a lower one waits for the running burst and a rest. An alarm that goes away leaves
its burst to end: a high one after the half in which it is (IEC 60601-1-8 wants at least that much to be heard of the
shortest alarm), another whole. Audio that is paused or off ends it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from ui.sound.figures import LEVELS, Figures, rank
from ui.sound.tones import burst_samples, first_half_s

_REST_S = 2.5  # the shortest interval that the standard allows between bursts


@dataclass(frozen=True, slots=True)
class Running:
    """A burst that is being heard, from ``start_s`` to ``end_s``."""

    level: str
    start_s: float
    end_s: float


class Schedule:
    """``running``: the burst that sounds, None for none."""

    def __init__(self, figures: Figures) -> None:
        self._intervals = {level: figures.burst[level].interval_s for level in LEVELS}
        rate = figures.sample_rate_hz
        self.samples = {level: burst_samples(figures.burst[level], figures) for level in LEVELS}
        self._lengths = {level: len(samples) / rate for level, samples in self.samples.items()}
        self._half = first_half_s(figures.burst["high"], figures)
        self._rest = dict.fromkeys(LEVELS, _REST_S) | {"high": self._half[1] - self._half[0]}
        self.restart()

    def restart(self) -> None:
        """As if nothing had ever been heard: what should sound begins at once."""
        self.running: Running | None = None
        self._level = ""
        self._fresh = False  # no burst has been begun for the present level
        self._ended: dict[str, float] = {}  # the newest end of a burst, by priority

    def step(self, now_s: float, level: str, audible: bool = True) -> tuple[str, bool]:
        """level: the priority that should sound, "" for none. audible: audio is neither paused nor off.

        Returns the priority whose burst starts now ("" for none: what runs goes on), and whether what runs is cut. A
        start cuts what ran before."""
        level = level if audible else ""
        self._settle(now_s)
        cut = self.running is not None and (not audible or self._in_the_middle(now_s, level))
        if cut and self.running is not None:
            self._ended[self.running.level], self.running = now_s, None
        if not audible:
            self._ended = {}
        if level != self._level:
            self._fresh, self._level = level != "", level
        running = self.running
        if not level:
            return "", cut
        if running is not None and rank(level) <= rank(running.level):
            if level == running.level and self._fresh:
                self._fresh = level == "high" and now_s - running.start_s > self._half[0]  # too little is left of it
            return "", cut
        if running is None and now_s < self._due(level):
            return "", cut
        self._fresh = False
        self.running = Running(level, now_s, now_s + self._lengths[level])
        return level, cut or running is not None

    def _settle(self, now_s: float) -> None:
        if self.running is not None and now_s >= self.running.end_s:
            self._ended[self.running.level], self.running = self.running.end_s, None

    def _in_the_middle(self, now_s: float, level: str) -> bool:
        """Whether a high burst that nobody asks for any more is between its halves."""
        assert self.running is not None
        at = now_s - self.running.start_s
        return self.running.level == "high" and level != "high" and self._half[0] <= at < self._half[1]

    def _due(self, level: str) -> float:
        """A rest after the last burst that was no lower; after one of its own, if it is nothing new, its interval."""
        ended_s = max((end for of, end in self._ended.items() if rank(of) >= rank(level)), default=float("-inf"))
        return ended_s + (self._rest[level] if self._fresh else self._intervals[level])
