"""Where things lie on the sweep: event time to device-pixel columns, and rows to lanes. Pure; columns are absolute.

Column ``c`` of the paper lies at screen column ``c mod width``, in sweep number ``c div width``; the paper begins at
``anchor_s``. With absolute columns, waves, presence cells and estimates cannot fall out of step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MM_PER_INCH = 25.4

_ROUNDING = 1e-6  # of a column, on the way to seconds and back


@dataclass(frozen=True, slots=True)
class ScreenScale:
    """px_per_mm: device pixels per millimetre. known: by the screen's own size, or as it was set; else assumed."""

    px_per_mm: float
    known: bool


def screen_scale(
    logical_dpi: float, device_ratio: float, believed: tuple[float, float], fallback: float
) -> ScreenScale:
    """Scale of a screen that says ``logical_dpi``, its logical pixels an inch, of which each is ``device_ratio`` device
    pixels. Device pixels an inch outside ``believed`` cannot be true of any screen: then one of ``fallback`` logical
    pixels an inch is assumed. (The ratio comes first: a screen of 96 at scale 2 says 48.)"""
    dpi = logical_dpi * device_ratio
    known = believed[0] <= dpi <= believed[1]
    return ScreenScale((dpi if known else fallback * device_ratio) / MM_PER_INCH, known)


@dataclass(frozen=True, slots=True)
class Paper:
    """width: device-pixel columns of one sweep. per_s: columns a second. gap: columns of the erase gap."""

    width: int
    per_s: float
    gap: int
    anchor_s: float

    def column(self, time_s: float) -> float:
        """Absolute column of an event time, in device pixels."""
        return (time_s - self.anchor_s) * self.per_s

    def time(self, column: float) -> float:
        """Event time in s of an absolute column."""
        return self.anchor_s + column / self.per_s

    def pieces(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """``[begin, end)`` cut at the screen's edge: (sweep number, first screen column, width)."""
        out = []
        while begin < end:
            sweep = begin // self.width
            stop = min(end, (sweep + 1) * self.width)
            out.append((sweep, begin - sweep * self.width, stop - begin))
            begin = stop
        return out

    def time_at(self, screen_column: float, beam_column: float) -> float | None:
        """Event time shown at a screen column while the beam stands at ``beam_column``; None in the erase gap."""
        sweep = math.floor(beam_column / self.width)
        absolute = sweep * self.width + screen_column
        if absolute > beam_column:
            absolute -= self.width
            if absolute < 0 or absolute + self.width <= beam_column + self.gap:
                return None
        return self.time(absolute)

    def place(self, time_s: float, beam_column: float) -> float | None:
        """Screen column that shows an event time while the beam stands at ``beam_column``; None where it is not on the
        paper: to come, in the erase gap, or written over. The way back of :meth:`time_at`."""
        absolute = self.column(time_s)
        if absolute < 0 or absolute > beam_column + _ROUNDING or absolute + self.width <= beam_column + self.gap:
            return None
        return absolute % self.width


@dataclass(frozen=True, slots=True)
class Row:
    """Vertical layout of a lane in device pixels: header text, wave area, presence strip."""

    top: int
    height: int
    wave_top: int
    wave_height: int
    strip_top: int
    strip_height: int


def shares(height: float, weights: Sequence[float], needs: Sequence[float | None]) -> list[float]:
    """``height`` among lanes by weight, where one that needs less than its share takes what it needs and leaves the
    rest to those without a need (None), if there are any. Sums to ``height``."""
    total = sum(weights)
    fair = [height * weight / total for weight in weights]
    takers = sum(weight for weight, need in zip(weights, needs, strict=True) if need is None)
    if not takers:
        return fair
    out = [share if need is None else min(share, need) for share, need in zip(fair, needs, strict=True)]
    left = height - sum(share for share, need in zip(out, needs, strict=True) if need is not None)
    return [
        left * weight / takers if need is None else share
        for share, weight, need in zip(out, weights, needs, strict=True)
    ]


def rows(height: int, weights: Sequence[float], unit: float) -> list[Row]:
    """Share ``height`` among lanes by weight; ``unit`` is one interface pixel in device pixels."""
    if not weights:
        return []
    header, strip, below = round(20 * unit), max(4, round(6 * unit)), round(7 * unit)
    out, used, total = [], 0.0, sum(weights)
    for weight in weights:
        top = round(used)
        used += height * weight / total
        size = round(used) - top
        strip_top = top + size - below - strip
        wave_top = top + min(header, size // 3)
        out.append(Row(top, size, wave_top, max(1, strip_top - round(3 * unit) - wave_top), strip_top, strip))
    return out
