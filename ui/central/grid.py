"""How many tiles there are side by side, how large they are, and which are on which page. Pure; logical pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDEST = 1.5
"""Width to height of a tile that is read best."""


@dataclass(frozen=True, slots=True)
class Grid:
    """columns x rows of tiles, each width x height, ``gap`` between them, from (left, top) on."""

    columns: int
    rows: int
    width: int
    height: int
    gap: int
    left: int
    top: int

    @property
    def slots(self) -> int:
        """Tiles on a page."""
        return self.columns * self.rows

    def pages(self, count: int) -> int:
        """Pages that ``count`` tiles take, one at least."""
        return max(1, -(-count // self.slots))

    def place(self, slot: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of a slot, numbered along the rows."""
        row, column = divmod(slot, self.columns)
        return (
            self.left + column * (self.width + self.gap),
            self.top + row * (self.height + self.gap),
            self.width,
            self.height,
        )

    def slot_at(self, x: float, y: float) -> int | None:
        """The slot that a point lies in; None between and beside them."""
        column, over = divmod(x - self.left, self.width + self.gap)
        row, under = divmod(y - self.top, self.height + self.gap)
        inside = 0 <= column < self.columns and 0 <= row < self.rows and over < self.width and under < self.height
        return int(row) * self.columns + int(column) if inside else None


def grid_for(count: int, place: tuple[int, int, int, int], least: tuple[float, float], gap: int) -> Grid:
    """The grid for ``count`` tiles in ``place`` (left, top, width, height): all of them and each as large as can be;
    where they would be smaller than ``least`` (width, height), as many of that size as there is room for, one at
    least."""
    left, top, width, height = place
    fits_across = max(1, int((width + gap) // (least[0] + gap)))
    fits_down = max(1, int((height + gap) // (least[1] + gap)))

    def size(columns: int, rows: int) -> tuple[int, int]:
        return max(1, (width - gap * (columns - 1)) // columns), max(1, (height - gap * (rows - 1)) // rows)

    best, best_score = (fits_across, fits_down), -math.inf
    wanted = max(1, count)
    for columns in range(1, fits_across + 1):
        rows = -(-wanted // columns)
        if rows > fits_down:
            continue
        wide, high = size(columns, rows)
        score = min(wide / WIDEST, high) * 1e3 + wide * high * 1e-6
        if score > best_score:
            best, best_score = (columns, rows), score
    return Grid(*best, *size(*best), gap, left, top)
