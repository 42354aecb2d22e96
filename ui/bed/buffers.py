"""What the display remembers of a wave, apart from any drawing: bounded rings addressed by absolute sample index.

A ring starts out as NaN everywhere; what was never written, was skipped or has been overwritten reads as NaN, so a
gap can only be seen as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class IndexRing:
    """The last ``capacity`` samples of one channel, float32, by absolute index.

    ``start`` <= readable index < ``end``; both are 0 while empty. Memory: 4 bytes a sample, allocated once.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.start = 0
        self.end = 0
        self._values: Float32 = np.full(capacity, np.nan, np.float32)

    def clear(self) -> None:
        """Empty, and without a place in time."""
        self.start = self.end = 0
        self._values.fill(np.nan)

    def write(self, first_index: int, values: Float32) -> None:
        """Put ``values`` at ``first_index``; a jump ahead leaves NaN between, late values amend what is still held.

        A jump back beyond what is held is ignored (a seek is a new epoch and clears the ring).
        """
        last = first_index + len(values)
        if len(values) == 0:
            return
        if self.end == self.start:
            self.start = self.end = first_index
        if last > self.end:
            skipped_from = max(self.end, last - self.capacity)
            self._fill_nan(skipped_from, min(first_index, last))
            self.end = last
            self.start = max(self.start, last - self.capacity)
        begin = max(first_index, self.start)
        if begin >= last:
            return
        self._put(begin, values[begin - first_index :])

    def read(self, begin: int, end: int) -> Float32:
        """A copy of ``[begin, end)``, NaN outside what is held."""
        out = np.full(max(0, end - begin), np.nan, np.float32)
        lo, hi = max(begin, self.start), min(end, self.end)
        if lo >= hi:
            return out
        at = lo % self.capacity
        first = min(hi - lo, self.capacity - at)
        out[lo - begin : lo - begin + first] = self._values[at : at + first]
        out[lo - begin + first : hi - begin] = self._values[: hi - lo - first]
        return out

    def _put(self, begin: int, values: Float32) -> None:
        at = begin % self.capacity
        first = min(len(values), self.capacity - at)
        self._values[at : at + first] = values[:first]
        self._values[: len(values) - first] = values[first:]

    def _fill_nan(self, begin: int, end: int) -> None:
        count = end - begin
        if count <= 0:
            return
        at = begin % self.capacity
        first = min(count, self.capacity - at)
        self._values[at : at + first] = np.nan
        self._values[: count - first] = np.nan


class SampleRing:
    """An :class:`IndexRing` that knows time: sample ``i`` lies at ``origin_s + i / rate_hz`` seconds."""

    def __init__(self, rate_hz: float, origin_s: float, history_s: float) -> None:
        self.rate_hz, self.origin_s = rate_hz, origin_s
        self.ring = IndexRing(max(1, round(rate_hz * history_s)))

    def index_at(self, time_s: float) -> int:
        """The first sample at or after ``time_s`` (a thousandth of a sample of tolerance for rounding)."""
        return int(np.ceil((time_s - self.origin_s) * self.rate_hz - 1e-3))

    def resized(self, history_s: float) -> SampleRing:
        """The same samples, the newest of them, in a ring of another length; this one where it has that already."""
        if max(1, round(self.rate_hz * history_s)) == self.ring.capacity:
            return self
        other = SampleRing(self.rate_hz, self.origin_s, history_s)
        begin = max(self.ring.start, self.ring.end - other.ring.capacity)
        other.ring.write(begin, self.ring.read(begin, self.ring.end))
        return other

    def times(self, begin: int, end: int) -> npt.NDArray[np.float64]:
        """Seconds of the samples [begin, end)."""
        return self.origin_s + np.arange(begin, end, dtype=np.float64) / self.rate_hz


@dataclass(frozen=True, slots=True)
class Cell:
    """One 1-s cell: "" while present, else the ``Absence``, and the second at which its unbroken run began."""

    absence: str
    run_start: int


class CellRow:
    """Presence of one modality by whole second, the last ``history_s`` of them."""

    def __init__(self, history_s: int) -> None:
        self._history_s = history_s
        self._cells: dict[int, Cell] = {}
        self.newest = -1

    def __len__(self) -> int:
        return len(self._cells)

    def held(self) -> CellRow:
        """A copy that takes in nothing more."""
        other = CellRow(self._history_s)
        other._cells, other.newest = dict(self._cells), self.newest
        return other

    def put(self, second: int, absence: str) -> None:
        """The cell of a second is known now, or was amended; the oldest are dropped."""
        before = self._cells.get(second - 1)
        run_start = before.run_start if before is not None and before.absence == absence else second
        self._cells[second] = Cell(absence, run_start)
        self.newest = max(self.newest, second)
        # Insertion order is time order up to late amendments, so dropping the oldest entries bounds the row.
        while len(self._cells) > self._history_s:
            del self._cells[next(iter(self._cells))]

    def get(self, second: int) -> Cell | None:
        """The cell of a second; None where it is not known."""
        return self._cells.get(second)

    def is_absent(self, second: int) -> bool:
        """True only where a cell is known and absent; an unknown cell is neither present nor absent."""
        cell = self._cells.get(second)
        return cell is not None and cell.absence != ""

    def absent_mask(self, seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """``is_absent`` for an array of (repeating, ascending) seconds."""
        unique, inverse = np.unique(seconds, return_inverse=True)
        return np.array([self.is_absent(int(s)) for s in unique], np.bool_)[inverse]

    def present_mask(self, seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool [n]: seconds whose cell is known to be present."""
        unique, inverse = np.unique(seconds, return_inverse=True)
        cells = [self._cells.get(int(s)) for s in unique]
        return np.array([cell is not None and cell.absence == "" for cell in cells], np.bool_)[inverse]
