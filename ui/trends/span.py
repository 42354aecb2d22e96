"""Which stretch of time the trends show: so many seconds up to now, or any other; pure.

While it follows, its right end is now. Whoever looks elsewhere is left alone, and brought back to now when nothing was
touched for ``FOLLOWS_AGAIN_S``: a page that stands still must not be taken for the present.
"""

from __future__ import annotations

import math

CHOICES: tuple[tuple[str, float], ...] = (
    ("5 min", 300.0),
    ("30 min", 1800.0),
    ("2 h", 7200.0),
    ("8 h", 28800.0),
    ("all", math.inf),
)
"""Names and lengths in s; inf is all that is known."""
LEAST_S = 30.0
MARGIN = 0.02  # of the length, to the right of now
FOLLOWS_AGAIN_S = 120.0


class Span:
    """``following``: whether the right end is now. ``chosen_s``: the length, inf for all that is known."""

    def __init__(self, chosen_s: float = 1800.0) -> None:
        self.chosen_s = chosen_s
        self.following = True
        self._end_s = 0.0
        self._known, self._now_s = (0.0, 0.0), 0.0
        self._touched_s = self._clock_s = -math.inf

    def renew(self, known: tuple[float, float], now_s: float, clock_s: float) -> None:
        """known: [first, last) second of the trends, now_s: present event time; clock_s: monotonic."""
        self._known, self._now_s, self._clock_s = known, now_s, clock_s
        if not self.following and clock_s - self._touched_s > FOLLOWS_AGAIN_S:
            self.following = True

    @property
    def range_s(self) -> tuple[float, float]:
        """Event time of the left and right end."""
        if math.isinf(self.chosen_s):
            begin_s = min(self._known[0], self._now_s)
            length = max(LEAST_S, max(self._known[1], self._now_s) - begin_s)
            return begin_s, begin_s + length * (1.0 + MARGIN)
        end_s = self._now_s + MARGIN * self.chosen_s if self.following else self._end_s
        return end_s - self.chosen_s, end_s

    def choose(self, length_s: float) -> None:
        """Another length; the right end stays where it is, or now."""
        self._touch()
        end_s = self.range_s[1]
        self.chosen_s = length_s
        self._end_s = end_s
        if math.isinf(length_s):
            self.following = True

    def step(self, direction: int) -> None:
        """The next length of the list, longer for a positive direction."""
        lengths = [length for _, length in CHOICES]
        if direction > 0:
            self.choose(next((length for length in lengths if length > self.chosen_s), lengths[-1]))
        else:
            self.choose(next((length for length in reversed(lengths) if length < self.chosen_s), lengths[0]))

    def zoom(self, factor: float, at_s: float) -> None:
        """``factor`` times as long, about a moment; while it follows, about now."""
        self._touch()
        begin_s, end_s = self.range_s
        most = max(self._known[1], self._now_s) - min(self._known[0], self._now_s)
        length = min(max((end_s - begin_s) * factor, LEAST_S), max(most * 1.5, CHOICES[0][1], end_s - begin_s))
        if not self.following or math.isinf(self.chosen_s):
            share = (at_s - begin_s) / (end_s - begin_s)
            self.following = False
            self._end_s = at_s + (1.0 - share) * length
        self.chosen_s = length

    def pan(self, by_s: float) -> None:
        """So many seconds on, or back; as far as now is now."""
        self._touch()
        begin_s, end_s = self.range_s
        self.chosen_s = end_s - begin_s
        first, last = min(self._known[0], self._now_s), max(self._known[1], self._now_s)
        margin = MARGIN * self.chosen_s
        newest = last + margin
        target = end_s + by_s
        self._end_s = min(max(target, first + self.chosen_s / 2), newest)
        # Drawn up to now: it goes on with it.
        self.following = abs(self._end_s - (self._now_s + margin)) <= 0.01 * self.chosen_s and by_s >= 0.0

    def show(self, time_s: float) -> None:
        """A moment outside comes to an end of the page."""
        begin_s, end_s = self.range_s
        if time_s < begin_s:
            self.pan(time_s - begin_s)
        elif time_s > end_s:
            self.pan(time_s - end_s)

    def to_now(self) -> None:
        """Follow."""
        self.following = True

    def _touch(self) -> None:
        self._touched_s = self._clock_s
