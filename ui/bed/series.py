"""Values second by second over hours, in little memory: what is old is kept coarser, extremes never go. Pure.

Time is cut into blocks of ten minutes. A block is kept as it came, a row a second, while it is among the ``fine``
blocks that were written last; after that as 10-s buckets and later as 60-s buckets, each with the least, a middle and
the greatest value of every column, so that a pressure that was low for two seconds is still seen a day later. The
middle one is a value that was there (the lower median), not a mean. NaN is unknown; a bucket without a known value is
NaN.

Rows are by event time: what is written again (a seek) replaces what was there, of a bucket that is written again in
part the extremes of before stay. Which blocks go first is by when they were written, not by their time.

Memory for c columns in p parts and m modalities: a fine block takes 600 (4c + m + p + 1) bytes, one of 10-s buckets
60 (12c + 2m), one of 60-s buckets a sixth of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.signals.absence import Absence

BLOCK_S = 600
STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600)
"""Lengths of the buckets that can be asked for; each divides a block."""
MIDDLE_BLOCKS = 48
"""Blocks that keep 10-s buckets, the fine ones among them: eight hours."""
MOST_BLOCKS = 1008
"""Seven days; what was written longest ago goes."""

LO, MID, HI = 0, 1, 2
CODES: tuple[str, ...] = ("", *(absence.value for absence in Absence))
"""Why a second was not measured, by its code less one; "" is measured. Code 0: nobody knows."""
UNKNOWN, MEASURED = 0, 1
ALL = 250
"""A measured share of one, as kept."""
_CODE = {reason: code for code, reason in enumerate(CODES, MEASURED)}

Float32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def code_of(reason: str) -> int:
    """The code of an ``Absence`` value, or of "" for measured; of what nobody knows ``UNKNOWN``.

    >>> code_of(""), code_of("no data"), code_of("a reason of next year")
    (1, 3, 0)
    """
    return _CODE.get(reason, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Buckets [first_s + i · step_s, … + step_s), without a gap in time. values: [n, 3, columns] (least, middle,
    greatest), NaN where unknown. presence: [n, 2, modalities]: the most frequent code other than measured (0: none),
    and the measured share of the known seconds, 0 to ``ALL``; both 0 where nothing is known."""

    first_s: float
    step_s: int
    values: Float32
    presence: Bytes

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Middles of the buckets."""
        return (np.arange(len(self.values), dtype=np.float64) + 0.5) * self.step_s + self.first_s


class _Block:
    """``fine`` [600, c] and ``codes`` [600, m] with ``seen`` [600, parts + 1] (of each part of the columns, and of the
    codes, whether it was told) are rows of their own; ``old`` what is left of rows that went, as buckets, [k, 3, c] and
    [k, 2, m]."""

    __slots__ = ("cache", "codes", "fine", "old", "seen")

    def __init__(self) -> None:
        self.fine: Float32 | None = None
        self.codes: Bytes | None = None
        self.seen: NDArray[np.bool_] | None = None
        self.old: tuple[Float32, Bytes] | None = None
        self.cache: dict[int, tuple[Float32, Bytes]] = {}

    def row(self, columns: int, modalities: int, parts: int) -> tuple[Float32, Bytes, NDArray[np.bool_]]:
        """Where rows are written."""
        if self.fine is None or self.codes is None or self.seen is None:
            self.fine = np.full((BLOCK_S, columns), np.nan, np.float32)
            self.codes = np.zeros((BLOCK_S, modalities), np.uint8)
            self.seen = np.zeros((BLOCK_S, parts + 1), bool)
        if self.cache:
            self.cache = {}
        return self.fine, self.codes, self.seen

    def buckets(self, step_s: int) -> tuple[Float32, Bytes]:
        """[600 / step_s, 3, c] and [600 / step_s, 2, m]."""
        found = self.cache.get(step_s)
        if found is None:
            found = self._buckets(step_s)
            if step_s > 1:  # seconds are quickly had, and large
                self.cache = {step_s: found}  # of one length at a time
        return found

    def _buckets(self, step_s: int) -> tuple[Float32, Bytes]:
        count = BLOCK_S // step_s
        old = None if self.old is None else _refolded(self.old, count)
        if self.fine is None or self.codes is None or self.seen is None:
            assert old is not None, "a block has rows or what is left of them"
            return old
        new = _folded(self.fine, count), _shares(self.codes, count)
        if old is None:
            return new
        seen = self.seen.any(axis=1).reshape(count, -1)
        some, whole = np.logical_or.reduce(seen, axis=1)[:, None, None], np.logical_and.reduce(seen, axis=1)[:, None]
        values = np.where(some, new[0], old[0])
        for side, further in ((LO, np.fmin), (HI, np.fmax)):  # of a bucket that is new in part nothing bad is lost
            values[:, side] = np.where(some[:, 0] & ~whole, further(values[:, side], old[0][:, side]), values[:, side])
        unknown = some[:, 0] & ~whole & np.isnan(values[:, MID])
        values[:, MID] = np.where(unknown, old[0][:, MID], values[:, MID])
        return values, np.where(some, new[1], old[1])

    def thin(self, step_s: int) -> None:
        """Keep no more than buckets of that length."""
        if self.fine is None and (self.old is None or len(self.old[0]) <= BLOCK_S // step_s):
            self.cache = {}
            return
        self.old = self.buckets(step_s)
        self.fine = self.codes = self.seen = None
        self.cache = {}

    def adopt(self, older: _Block, mended: slice, parts: NDArray[np.intp]) -> None:
        """What ``older`` knows of the parts of rows that were not told here; of the rows ``mended`` also of single
        values. parts: [c], that of each column."""
        self.cache = {}
        if older.fine is not None and older.codes is not None and older.seen is not None and self.fine is not None:
            fine, codes, seen = self.row(older.fine.shape[1], older.codes.shape[1], older.seen.shape[1] - 1)
            new = older.seen & ~seen
            told = new[:, parts]  # a cell alone is told of the second before a seek's first numerics
            fine[told], codes[new[:, -1]] = older.fine[told], older.codes[new[:, -1]]
            seen |= new
            fine[mended] = np.where(np.isnan(fine[mended]), older.fine[mended], fine[mended])
            codes[mended] = np.where(codes[mended] == UNKNOWN, older.codes[mended], codes[mended])
            if older.old is None:
                return
        left = older.old if older.fine is not None and self.fine is not None else older.buckets(10)
        assert left is not None, "else the rows were all"
        if self.old is None:
            self.old = left
            return
        values, presence = self.old
        theirs = _refolded(left, len(values))
        unknown = np.isnan(values).all((1, 2)) & ~presence.any((1, 2))
        values[unknown], presence[unknown] = theirs[0][unknown], theirs[1][unknown]

    @property
    def bytes(self) -> int:
        """Of its arrays."""
        own = (self.fine, self.codes, self.seen, *(self.old or ()))
        drawn = (part for pair in self.cache.values() for part in pair)
        return sum(int(part.nbytes) for part in (*own, *drawn) if part is not None)


class Series:
    """Rows of ``columns`` values and of one code for each of ``modalities``. parts: of each column a number from 0 on,
    the same for those that are told together; by default all are."""

    def __init__(self, columns: int, modalities: int, fine_blocks: int, parts: Sequence[int] = ()) -> None:
        self._parts = np.array(parts or (0,) * columns, np.intp)
        self._part_count = int(self._parts.max()) + 1
        self._columns, self._modalities, self._fine_blocks = columns, modalities, fine_blocks
        self._blocks: dict[int, _Block] = {}  # in order of the last write
        self._at: int | None = None
        self.begin_s = math.inf
        self.end_s = -math.inf
        """[begin_s, end_s) holds all that is known; inf and -inf where nothing is."""
        self.changes = 0
        """Counts the writes."""

    def clear(self) -> None:
        """Nothing is known any more."""
        self._blocks.clear()
        self._at = None
        self.begin_s, self.end_s = math.inf, -math.inf
        self.changes += 1

    def keep(self, fine_blocks: int) -> None:
        """So many blocks are kept second by second from here on."""
        self._fine_blocks = fine_blocks
        for number, block in enumerate(reversed(self._blocks.values())):
            block.cache = {}
            self._thin(number, block)

    def adopt(self, older: Series, mended: range) -> None:
        """What ``older`` knows, written before all that is here, of parts of seconds that were not told here; of the
        seconds ``mended`` also single columns. ``older`` is not to be used after that."""
        self.changes += 1
        for number, block in older._blocks.items():
            if (mine := self._blocks.get(number)) is not None:
                rows = (min(max(second - number * BLOCK_S, 0), BLOCK_S) for second in (mended.start, mended.stop))
                mine.adopt(block, slice(*rows), self._parts)
        self._blocks = {n: b for n, b in older._blocks.items() if n not in self._blocks} | self._blocks
        self.begin_s, self.end_s = min(self.begin_s, older.begin_s), max(self.end_s, older.end_s)
        self._drop()
        self.keep(self._fine_blocks)

    def put(self, second: int, columns: Sequence[int] | slice, values: Sequence[float]) -> None:
        """Values of some columns in the second from ``second`` on; they replace what was there."""
        fine, _, seen = self._rows(second)
        at = second % BLOCK_S
        fine[at, columns] = values
        seen[at, self._parts[columns if isinstance(columns, slice) else list(columns)]] = True

    def put_codes(self, second: int, modalities: Sequence[int], codes: Sequence[int]) -> None:
        """Presence of some modalities in a second."""
        _, kept, seen = self._rows(second)
        at = second % BLOCK_S
        kept[at, modalities] = codes
        seen[at, -1] = True

    def fill(self, before: int, until: int, columns: slice) -> None:
        """What some columns were in second ``before`` they are up to, not including, ``until``."""
        row = self._row_of(before, columns)
        for second in range(before + 1, until) if row is not None else ():
            self.put(second, columns, row)  # type: ignore[arg-type]

    def _row_of(self, second: int, columns: slice) -> Float32 | None:
        block = self._blocks.get(second // BLOCK_S)
        if block is None or block.fine is None:
            return None
        kept: Float32 = block.fine[second % BLOCK_S, columns].copy()
        return kept

    def _rows(self, second: int) -> tuple[Float32, Bytes, NDArray[np.bool_]]:
        number = second // BLOCK_S
        self.changes += 1
        self.begin_s, self.end_s = min(self.begin_s, second), max(self.end_s, second + 1.0)
        if number == self._at:
            return self._blocks[number].row(self._columns, self._modalities, self._part_count)
        block = self._blocks.pop(number, None) or _Block()
        self._blocks[number] = block  # written last
        self._at = number
        rows = block.row(self._columns, self._modalities, self._part_count)
        self._bound()
        return rows

    def _drop(self) -> None:
        while len(self._blocks) > MOST_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
            self.begin_s = min(self._blocks) * BLOCK_S
            self.end_s = min(self.end_s, (max(self._blocks) + 1.0) * BLOCK_S)

    def _bound(self) -> None:
        self._drop()
        newest = list(reversed(self._blocks.values()))
        for number in {self._fine_blocks, max(MIDDLE_BLOCKS, self._fine_blocks)}:  # where one has just come to
            if number < len(newest):
                self._thin(number, newest[number])

    def _thin(self, number: int, block: _Block) -> None:
        """``number``: of blocks that were written later."""
        if number >= max(MIDDLE_BLOCKS, self._fine_blocks):
            block.thin(60)
        elif number >= self._fine_blocks:
            block.thin(10)

    @property
    def bytes(self) -> int:
        """Of all that is kept."""
        return sum(block.bytes for block in self._blocks.values())

    def stretch(self, begin_s: float, end_s: float, most: int) -> Stretch:
        """What is known of [begin_s, end_s), in the shortest buckets of which no more than about ``most`` cover it; at
        most seven days of it."""
        end_s = min(max(end_s, begin_s), begin_s + MOST_BLOCKS * BLOCK_S)
        step_s = next((step for step in STEPS_S if end_s - begin_s <= most * step), STEPS_S[-1])
        first, last = math.floor(begin_s / step_s), math.ceil(end_s / step_s)
        values = np.full((last - first, 3, self._columns), np.nan, np.float32)
        presence = np.zeros((last - first, 2, self._modalities), np.uint8)
        per_block = BLOCK_S // step_s
        for number in range(first // per_block, -(-last // per_block)):
            block = self._blocks.get(number)
            if block is None:
                continue
            begin = number * per_block - first
            mine, theirs = slice(max(0, begin), begin + per_block), slice(max(0, -begin), last - first - begin)
            kept = block.buckets(step_s)
            values[mine], presence[mine] = kept[0][theirs], kept[1][theirs]
        return Stretch(float(first * step_s), step_s, values, presence)


def _folded(rows: Float32, count: int) -> Float32:
    """[n, c] or [n, 3, c] to ``count`` buckets of least, lower median and greatest, unknown ones left out."""
    lo, mid, hi = (rows, rows, rows) if rows.ndim == 2 else (rows[:, LO], rows[:, MID], rows[:, HI])
    if len(rows) == count:
        return np.stack((lo, mid, hi), 1)
    shape = (count, len(rows) // count, rows.shape[-1])
    ordered = np.sort(mid.reshape(shape), axis=1)  # NaN goes to the end
    known = np.isfinite(ordered).sum(1)
    middle = np.take_along_axis(ordered, np.maximum(known - 1, 0)[:, None] // 2, 1)[:, 0]
    return np.stack((np.fmin.reduce(lo.reshape(shape), axis=1), middle, np.fmax.reduce(hi.reshape(shape), axis=1)), 1)


def _shares(codes: Bytes, count: int) -> Bytes:
    """[n, m] codes to [count, 2, m], see :class:`Stretch`."""
    grouped = codes.reshape(count, len(codes) // count, codes.shape[-1])
    tallies = np.stack([(grouped == code).sum(1) for code in range(MEASURED + 1, len(CODES) + 1)])
    reason = np.where(tallies.any(0), tallies.argmax(0) + MEASURED + 1, 0)
    measured = (grouped == MEASURED).sum(1)
    known = measured + tallies.sum(0)
    return np.stack((reason, np.rint(ALL * measured / np.maximum(known, 1))), 1).astype(np.uint8)


def _refolded(old: tuple[Float32, Bytes], count: int) -> tuple[Float32, Bytes]:
    """Buckets to more or fewer ones: each said as often as needed, or folded."""
    values, presence = old
    if count >= len(values):
        times = count // len(values)
        return np.repeat(values, times, axis=0), np.repeat(presence, times, axis=0)
    shape = (count, len(values) // count, presence.shape[-1])
    reasons, shares = presence[:, 0].reshape(shape), presence[:, 1].reshape(shape)
    known = (reasons > 0) | (shares > 0)
    share = (shares * known).sum(1, dtype=np.int64) / np.maximum(known.sum(1), 1)
    worst = np.where(reasons > 0, ALL - shares.astype(np.int64), -1).argmax(1)  # the reason of the longest absence
    reason = np.take_along_axis(reasons, worst[:, None], 1)[:, 0]
    return _folded(values, count), np.stack((reason, np.rint(share).astype(np.uint8)), 1)
