"""A bounded memory of one channel's newest samples, addressed by absolute index, NaN where nothing arrived.

The buffer is twice the capacity and slides in one piece, so any stretch is one contiguous view.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Ring:
    """float32 samples ``[first, end)`` by absolute index; at least the newest ``capacity`` are kept."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.duplicates = 0
        self._buffer = np.full(2 * capacity, np.nan, dtype=np.float32)
        self._base = 0
        self._end: int | None = None

    @property
    def first(self) -> int:
        """The oldest index that is held."""
        return self._base

    @property
    def end(self) -> int:
        """One past the newest index ever written (0 when empty)."""
        return 0 if self._end is None else self._end

    def clear(self) -> None:
        """Empty, and without a place."""
        self._buffer.fill(np.nan)
        self._end = None
        self._base = 0

    def assign(self, first_index: int, values: FloatArray) -> None:
        """Put ``values`` in place, NaN included; what lies before the memory is left out."""
        placed = self._place(first_index, values)
        if placed is not None:
            at, values = placed
            self._buffer[at - self._base : at - self._base + len(values)] = values

    def merge(self, first_index: int, values: FloatArray) -> tuple[int, int] | None:
        """Add samples that arrived; the range of indices that changed, or None.

        Only fills what is missing: a NaN never erases, and of two samples for one index the first to arrive stays
        (``duplicates`` counts the others), so the order of arrival of equal data does not matter.
        """
        fresh = self._end is None or first_index >= self._end
        placed = self._place(first_index, values)
        if placed is None:
            return None
        at, values = placed
        target = self._buffer[at - self._base : at - self._base + len(values)]
        if fresh:
            target[:] = values
            return at, at + len(values)
        arrived = ~np.isnan(values)
        held = ~np.isnan(target)
        self.duplicates += int(np.count_nonzero(arrived & held))
        fill = np.flatnonzero(arrived & ~held)
        if not len(fill):
            return None
        target[fill] = values[fill]
        return at + int(fill[0]), at + int(fill[-1]) + 1

    def view(self, first: int, last: int) -> FloatArray:
        """Samples ``[first, last)``: a read-only view where all of it is held, else a copy padded with NaN."""
        lo, hi = first - self._base, last - self._base
        if lo >= 0 and hi <= len(self._buffer):
            view = self._buffer[lo:hi]
            view.setflags(write=False)
            return view
        out = np.full(max(last - first, 0), np.nan, dtype=np.float32)
        lo_in, hi_in = max(lo, 0), min(hi, len(self._buffer))
        if lo_in < hi_in:
            out[lo_in - lo : hi_in - lo] = self._buffer[lo_in:hi_in]
        return out

    def read(self, first: int, last: int) -> FloatArray:
        """A copy of samples ``[first, last)``, NaN where nothing is held."""
        return np.array(self.view(first, last))

    def _place(self, first_index: int, values: FloatArray) -> tuple[int, FloatArray] | None:
        """Make room for ``values``; where they begin, without what is too old, or None if all of it is."""
        last = first_index + len(values)
        if not len(values):
            return None
        if self._end is None:
            self._base, self._end = last - self.capacity, last
        elif last > self._base + len(self._buffer):
            self._slide(last)
        self._end = max(self._end, last)
        if first_index < self._base:
            values = values[self._base - first_index :]
            first_index = self._base
        return (first_index, values) if len(values) else None

    def _slide(self, last: int) -> None:
        """Move the memory so that the newest ``capacity`` samples before ``last`` fill its first half."""
        base = last - self.capacity
        shift = base - self._base
        keep = len(self._buffer) - shift
        if keep > 0:
            self._buffer[:keep] = self._buffer[shift:].copy()
            self._buffer[keep:] = np.nan
        else:
            self._buffer.fill(np.nan)
        self._base = base
