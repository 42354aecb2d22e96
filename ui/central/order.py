"""In which order the beds stand: the most urgent first, and no tile that dances. Pure.

What a tile says and how it is coloured follows its bed at once; its place follows later, when the bed has stood at its
new urgency for a while: two seconds on the way up, eight on the way down. An alarm that comes and goes moves nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ui.bed.bed_words import BedWords

UP_S, DOWN_S = 2.0, 8.0
"""Seconds for which a bed is more, or less, urgent than its place says before it goes to another."""
STILL_MOST_S = 6.0
"""Seconds that a hand at the tiles can hold them in their places."""

Rank = tuple[int, bool]


@dataclass(slots=True)
class _Held:
    """Urgency by which a bed has its place, and since when it has been above (below) that, inf while it is not."""

    rank: Rank
    above_since_s: float = math.inf
    below_since_s: float = math.inf


class Order:
    """Call :meth:`settle` with what is said of all beds, in the session's order; it returns their names, sorted.

    by_name: by their names instead, with numbers in them as numbers. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.by_name = False
        self._held: dict[str, _Held] = {}
        self._order: tuple[str, ...] = ()
        self._still_since_s = math.inf
        self._settled: object = None  # what it was of, where nothing waits for its time

    def settle(self, said: Sequence[BedWords], now_s: float, still: bool = False) -> tuple[str, ...]:
        """``still``: the operator is about to point at a tile, so none may move, if that does not take too long."""
        if (tuple(said), self.by_name) == self._settled:
            return self._order
        self._held = {words.bed: self._judge(words, now_s) for words in said}
        waits = any(min(held.above_since_s, held.below_since_s) < math.inf for held in self._held.values())
        self._settled = None if waits or still else (tuple(said), self.by_name)
        self._still_since_s = min(self._still_since_s, now_s) if still else math.inf
        if still and now_s - self._still_since_s < STILL_MOST_S:
            known = set(self._order)
            stay = [name for name in self._order if name in self._held]
            self._order = (*stay, *(words.bed for words in said if words.bed not in known))
        elif self.by_name:
            self._order = tuple(words.bed for words in sorted(said, key=lambda words: name_key(words.title)))
        else:  # of equals, as the session has them
            self._order = tuple(words.bed for words in sorted(said, key=lambda words: self._held[words.bed].rank))
        return self._order

    def _judge(self, words: BedWords, now_s: float) -> _Held:
        held, rank = self._held.get(words.bed), words.rank
        if held is None:
            return _Held(rank)
        held.above_since_s = min(held.above_since_s, now_s) if rank < held.rank else math.inf
        held.below_since_s = min(held.below_since_s, now_s) if rank > held.rank else math.inf
        if now_s - held.above_since_s >= UP_S or now_s - held.below_since_s >= DOWN_S:
            return _Held(rank)
        return held


def name_key(name: str) -> tuple[tuple[bool, int, str], ...]:
    """By which names are sorted.

    >>> sorted(["Bed 10", "bed 9", "Bed 2", "Annex"], key=name_key)
    ['Annex', 'Bed 2', 'bed 9', 'Bed 10']
    """
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return tuple((not part.isdigit(), int(part) if part.isascii() and part.isdigit() else 0, part) for part in parts)
