"""Stretches of time without data: of one channel, and those that all have in common. Ranges ``[start, end)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Stretch = tuple[float, float]


def with_ends(gaps: Sequence[Stretch], begin: float, end: float, duration: float) -> tuple[Stretch, ...]:
    """``gaps`` of a channel that lasts from ``begin`` to ``end``, and the rest of ``[0, duration)``."""
    before = ((0.0, begin),) if begin > 0 else ()
    after = ((end, duration),) if end < duration else ()
    return (*before, *gaps, *after)


def common(lists: Iterable[Sequence[Stretch]]) -> tuple[Stretch, ...]:
    """The stretches that lie in every one of the lists, each in order and without overlap; () where there is no list.

    >>> common([[(0, 10), (20, 30)], [(5, 25)]])
    ((5, 10), (20, 25))
    """
    result: tuple[Stretch, ...] | None = None
    for stretches in lists:
        result = tuple(stretches) if result is None else _both(result, stretches)
    return result or ()


def _both(a: Sequence[Stretch], b: Sequence[Stretch]) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    i = j = 0
    while i < len(a) and j < len(b):
        begin, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if begin < end:
            found.append((begin, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def stretch_at(stretches: Iterable[Stretch], time: float) -> Stretch | None:
    """The stretch that ``time`` lies in."""
    return next((s for s in stretches if s[0] <= time < s[1]), None)
