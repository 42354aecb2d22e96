"""The lanes that are swept at one speed: their paper, and how far it has been drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ui.waves.geometry import Paper
from ui.waves.ink import LaneInk


class Sheet:
    """``beam``: the column up to which the ``inks`` have drawn. ``gap_end``: where the erase gap ends."""

    def __init__(self, speed_mm_s: float, paper: Paper, inks: Sequence[LaneInk]) -> None:
        self.speed_mm_s, self.paper, self.inks = speed_mm_s, paper, list(inks)
        self.beam, self.gap_end = 0.0, 0

    @property
    def page_s(self) -> float:
        """Seconds that fit on the paper, before the beam comes to where it began."""
        return (self.paper.width - self.paper.gap - 2) / self.paper.per_s

    @property
    def bands(self) -> list[tuple[int, int]]:
        """Top and height, in device pixels, of what its lanes cover; lanes one below the other are one band."""
        return bands((ink.row.top, ink.row.height) for ink in self.inks)

    def begin(self, anchor_s: float) -> None:
        """Nothing is drawn yet; column 0 lies at ``anchor_s``."""
        paper = self.paper
        self.paper = Paper(paper.width, paper.per_s, paper.gap, anchor_s)
        self.beam, self.gap_end = 0.0, 0
        for ink in self.inks:
            ink.restart(self.paper, 0.0)

    def stand(self, beam: float) -> None:
        """All has been drawn up to ``beam``."""
        self.beam, self.gap_end = beam, math.floor(beam) + 1 + self.paper.gap


def bands(rows: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rows (top, height), from above, where they touch as one.

    >>> bands([(0, 10), (10, 5), (20, 5)])
    [(0, 15), (20, 5)]
    """
    out: list[tuple[int, int]] = []
    for top, height in rows:
        if out and sum(out[-1]) == top:
            out[-1] = (out[-1][0], out[-1][1] + height)
        else:
            out.append((top, height))
    return out
