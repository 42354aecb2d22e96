"""The memory of a bed: what was last measured of each modality, and how old it is.

One row of ``CONTEXT_FIELDS`` a modality, computed once per completed present cell from the grid that ends with it and
from the rows of earlier cells; while a modality is absent its row stays as of its last present cell and only ``age_s``
grows. So an absence of *a* seconds gives exactly the row of *a* seconds ago with another age: training can age a
context without recomputing it. Rows of the newest cells are kept one by one, so that late samples can take back the
last few and do them again.

Levels: ABP the mean between the first and last upstroke of up to 5 s (the mean of whole beats), and the median
of their peak-to-peak as pulse pressure; PPG median and interquartile range over its present cells of the last 60 s;
ECG and EEG the same over 10 s. Delays: from the R peak to the steepest rise of the pulse that belongs to it, see
:mod:`models.signals.delays`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.blocks import median
from models.signals.delays import DelayTrack, follow_delay
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS

Floats = npt.NDArray[np.float64]
Grid = Callable[[Modality, int, int], npt.NDArray[np.float32]]

MEMORY_S = 600
AMENDABLE_S = 16
KEPT_S = 60
"""How far back the memory can be asked what it had taken in, for a context without one of the sensors."""
PPG_MEMORY_S, WAVE_MEMORY_S, PRESSURE_S = 60, 10, 5
_DECIMATE_PPG = 4  # a distribution needs no 100 Hz

LEAST_CELLS_FOR_SLOPE = 30
SLOPE_DELAY_ERROR_S = 0.004  # of one cell's median delay: regression dilution, and the ridge that goes with it
SLOPE_PRIOR_CELLS = 30

_COLUMN = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
_LEVEL, _SCALE, _AGE = _COLUMN["level"], _COLUMN["scale"], _COLUMN["age_s"]
_OWN, _PPG_DELAY, _SLOPE = _COLUMN["own_delay_s"], _COLUMN["ppg_delay_s"], _COLUMN["delay_slope"]
_MEANS = ((_COLUMN["mean_60s"], 60), (_COLUMN["mean_300s"], 300), (_COLUMN["mean_600s"], 600))


@dataclass(frozen=True, slots=True, eq=False)
class ContextState:
    """What the cells before ``second`` have left in a memory: all that a context of later cells can depend on.

    levels: [M, 600] of the last ten minutes, the newest last; delays_s: [600] of the PPG. rows: [M, C]; ends_s: [M],
    the end of each modality's last present cell. NaN where unknown. tracks: the delays that are followed.
    """

    second: int
    levels: Floats
    delays_s: Floats
    rows: Floats
    ends_s: Floats
    tracks: Mapping[Modality, DelayTrack]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What one cell brought to a memory. Nothing that is said of one modality hangs on another one.

    measured: by present modality level and scale. beats: by modality, s of event time, in present cells only; of one
    that is not present itself they are not looked at. anew: another lead of the ECG serves than in the cell before.
    """

    measured: Mapping[Modality, tuple[float, float]]
    beats: Mapping[Modality, Floats]
    anew: bool = False

    def without(self, modality: Modality) -> Heard:
        """The same cell, of a bed whose ``modality`` was not measured."""
        measured = {m: said for m, said in self.measured.items() if m is not modality}
        return Heard(measured, self.beats, self.anew and modality is not Modality.ECG)


@dataclass(frozen=True, slots=True, eq=False)
class ContextPast:
    """A memory as it was before the cell ``state.second``, and what each cell since has brought."""

    modalities: tuple[Modality, ...]
    state: ContextState
    heard: tuple[Heard, ...]

    def without(self, modality: Modality) -> npt.NDArray[np.float32]:
        """The context [M, C] after the last of the cells, had ``modality`` been lost in all of them."""
        memory = ContextMemory(self.modalities)
        memory.restore(self.state)
        for heard in self.heard:
            memory.take(heard.without(modality))
        return memory.at(self.state.second + len(self.heard))


class ContextMemory:
    """Context of one bed. Cells must be added in order; ``forget`` takes back the newest ones.

    modalities: rows of the context. start_s: the second of the first cell.
    """

    def __init__(self, modalities: Sequence[Modality], start_s: int = 0) -> None:
        self._modalities = tuple(modalities)
        self.reset(start_s)

    def reset(self, start_s: int) -> None:
        """Nothing is remembered; the next cell is that of ``start_s``."""
        rows = len(self._modalities)
        self._next_s = start_s
        self._level = np.full((rows, 2 * MEMORY_S), np.nan)
        self._ppg_delay = np.full(2 * MEMORY_S, np.nan)
        self._base_s = start_s - MEMORY_S
        unknown = np.full((rows, len(CONTEXT_FIELDS)), np.nan), np.full(rows, np.nan)
        self._rows: dict[int, tuple[Floats, Floats, dict[Modality, DelayTrack]]] = {
            start_s - 1: (*unknown, {Modality.ABP: DelayTrack(), Modality.PPG: DelayTrack()})
        }
        self._heard: dict[int, Heard] = {}
        self._begun_s: int | None = start_s  # None: nobody here saw the beginning

    def forget(self, second: int) -> None:
        """Take back the cells from ``second`` on (at most 16 of the newest)."""
        if second >= self._next_s:
            return
        if second - 1 not in self._rows or second < self._next_s - AMENDABLE_S:
            raise ValueError(f"cell {second} is too old to be amended; the next is {self._next_s}")
        self._level[:, second - self._base_s :] = np.nan
        self._ppg_delay[second - self._base_s :] = np.nan
        for old in range(second, self._next_s):
            del self._rows[old], self._heard[old]
        self._next_s = second

    def export(self, second: int) -> ContextState:
        """What the cells before ``second`` have left; ValueError where that is no longer known (60 s)."""
        if second - 1 not in self._rows:
            raise ValueError(f"what was known before cell {second} is forgotten; the next is {self._next_s}")
        rows, ends, tracks = self._rows[second - 1]
        past = slice(second - MEMORY_S - self._base_s, second - self._base_s)
        return ContextState(
            second, self._level[:, past].copy(), self._ppg_delay[past].copy(), rows.copy(), ends.copy(), dict(tracks)
        )

    def restore(self, state: ContextState) -> None:
        """From now on as the memory that ``state`` was taken of; the next cell is ``state.second``.

        Raises ValueError where the state is one of other modalities or fields.
        """
        rows = len(self._modalities)
        shapes = state.levels.shape, state.delays_s.shape, state.rows.shape, state.ends_s.shape
        if shapes != ((rows, MEMORY_S), (MEMORY_S,), (rows, len(CONTEXT_FIELDS)), (rows,)):
            raise ValueError(f"a memory of {rows} modalities cannot take in one of the shapes {shapes}")
        self.reset(state.second)
        self._level[:, :MEMORY_S] = state.levels
        self._ppg_delay[:MEMORY_S] = state.delays_s
        _, _, none = self._rows[state.second - 1]
        self._rows[state.second - 1] = state.rows.copy(), state.ends_s.copy(), none | dict(state.tracks)
        self._begun_s = None

    def past(self, since_s: int, end_s: int) -> ContextPast | None:
        """What the cells from ``since_s`` to ``end_s`` have brought to what was known before them; of a bed that began
        later, from its beginning. None where it is not known: too long ago, or another memory's (:meth:`restore`)."""
        if self._begun_s is not None:
            since_s = max(since_s, self._begun_s)
        if since_s - 1 not in self._rows or not since_s <= end_s <= self._next_s:
            return None
        heard = tuple(self._heard[second] for second in range(since_s, end_s))
        return ContextPast(self._modalities, self.export(since_s), heard)

    def add(
        self,
        present: Mapping[Modality, npt.NDArray[np.bool_]],
        beats: Mapping[Modality, Floats],
        grid: Grid,
        other_lead: Collection[Modality] = (),
    ) -> None:
        """Complete the next cell.

        present: per modality bool [60], which of the sixty cells up to and with this one are present. beats: positions
        in seconds of event time of R peaks (ECG) and upstrokes (ABP, PPG) of the last ten seconds. grid: copies or
        views of grid samples ``[first_g, last_g)``. other_lead: modalities of which another lead serves than in the
        cell before: its beats lie a little otherwise in time, so delays begin anew.
        """
        second = self._next_s
        trusted = {m: _trusted(beats[m], present[m], second) for m in beats if m in present}
        measured = {
            m: self._measure(m, present[m], trusted.get(m), grid, second) for m in self._modalities if present[m][-1]
        }
        self.take(Heard(measured, trusted, Modality.ECG in other_lead))

    def take(self, heard: Heard) -> None:
        """Complete the next cell with what it brought."""
        second = self._next_s
        self._slide(second)
        old_rows, old_ends, old_tracks = self._rows[second - 1]
        rows, ends, tracks = old_rows.copy(), old_ends.copy(), dict(old_tracks)
        if heard.anew:
            tracks = {m: DelayTrack(since_s=second) for m in tracks}
            rows[:, _OWN] = np.nan
        here = second - self._base_s
        delays: dict[Modality, float] = {}
        if Modality.ECG in heard.beats and Modality.ECG in heard.measured:
            for m in tracks:
                if m in self._modalities and m in heard.beats and m in heard.measured:
                    tracks[m], delays[m] = follow_delay(tracks[m], heard.beats[Modality.ECG], heard.beats[m], second)
        ppg_delay = delays.get(Modality.PPG, np.nan)
        ppg_since = tracks[Modality.PPG].since_s
        if ppg_since != old_tracks[Modality.PPG].since_s:
            # Another pairing: delays of before cannot be compared with those of now.
            rows[:, _PPG_DELAY] = np.nan
        self._ppg_delay[here] = ppg_delay
        for i, modality in enumerate(self._modalities):
            said = heard.measured.get(modality)
            if said is None:
                continue
            row = rows[i]
            ends[i] = second + 1
            row[_LEVEL], row[_SCALE] = said
            self._level[i, here] = row[_LEVEL]
            for column, span in _MEANS:
                row[column] = _mean(self._level[i, here + 1 - span : here + 1])
            own_delay = delays.get(modality, np.nan)
            if np.isfinite(own_delay):
                row[_OWN] = own_delay
            if np.isfinite(ppg_delay):
                row[_PPG_DELAY] = ppg_delay
            if modality is Modality.ABP:
                past = slice(max(here + 1 - MEMORY_S, ppg_since - self._base_s), here + 1)
                row[_SLOPE] = delay_slope(self._ppg_delay[past], self._level[i, past])
        self._rows[second], self._heard[second] = (rows, ends, tracks), heard
        self._rows.pop(second - KEPT_S - 1, None)
        self._heard.pop(second - KEPT_S, None)
        self._next_s = second + 1

    def at(self, end_s: int) -> npt.NDArray[np.float32]:
        """The context [M, C] of the window that ends at ``end_s`` (one of the newest 16 cells' ends)."""
        rows, ends, _ = self._rows[end_s - 1]
        rows = rows.copy()
        rows[:, _AGE] = end_s - ends
        return rows.astype(np.float32)

    def rppg_delay_s(self, second: int) -> float | None:
        """From R peaks to the upstrokes of the PPG in s, as told in the cell of ``second``; None where nothing was."""
        delay = float(self._ppg_delay[second - self._base_s])
        return delay if np.isfinite(delay) else None

    def _slide(self, second: int) -> None:
        if second - self._base_s >= 2 * MEMORY_S:
            # Cells that are taken back look back as far as ever.
            shift = second - MEMORY_S - KEPT_S - self._base_s
            keep = 2 * MEMORY_S - shift
            for memory in (self._level, self._ppg_delay):
                memory[..., :keep] = memory[..., shift:].copy()
                memory[..., keep:] = np.nan
            self._base_s += shift

    @staticmethod
    def _measure(
        modality: Modality, present: npt.NDArray[np.bool_], beats: Floats | None, grid: Grid, second: int
    ) -> tuple[float, float]:
        """Level and scale of a present cell, from present cells only."""
        if modality is Modality.ABP:
            span = _unbroken(present[-PRESSURE_S:])
            first_g = (second + 1 - span) * GRID_RATE_HZ
            return pressure_level(grid(modality, first_g, (second + 1) * GRID_RATE_HZ), beats, first_g)
        span = PPG_MEMORY_S if modality is Modality.PPG else WAVE_MEMORY_S
        step = _DECIMATE_PPG if modality is Modality.PPG else 1
        values = grid(modality, (second + 1 - span) * GRID_RATE_HZ, (second + 1) * GRID_RATE_HZ)[::step]
        values = values.reshape(span, -1)[present[-span:]].ravel()
        return median_and_iqr(values)


def median_and_iqr(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Median and interquartile range of the known values by order statistics; NaN where there are none."""
    known = values[np.isfinite(values)]
    count = len(known)
    if not count:
        return np.nan, np.nan
    quarter, half, three = (count - 1) // 4, (count - 1) // 2, (3 * (count - 1)) // 4
    ordered = np.partition(known, (quarter, half, three))
    return float(ordered[half]), float(ordered[three]) - float(ordered[quarter])


def pressure_level(values: npt.NDArray[np.float32], beats_s: Floats | None, first_g: int) -> tuple[float, float]:
    """MAP and pulse pressure in mmHg of a stretch of ABP: over its whole beats where there are any, else over all."""
    known = np.isfinite(values)
    at = np.empty(0) if beats_s is None else np.rint(beats_s * GRID_RATE_HZ).astype(np.int64) - first_g
    at = at[(at >= 0) & (at < len(values))]
    if len(at) >= 2:
        inside = slice(int(at[0]), int(at[-1]))
        # From upstroke to upstroke: each piece holds one peak and one foot.
        high = np.fmax.reduceat(values[inside], at[:-1] - at[0])
        low = np.fmin.reduceat(values[inside], at[:-1] - at[0])
        mean = float(values[inside][known[inside]].astype(np.float64).mean()) if known[inside].any() else np.nan
        return mean, median(high - low)
    some = values[known].astype(np.float64)
    return (float(some.mean()), float(some.max() - some.min())) if len(some) else (np.nan, np.nan)


def delay_slope(delays_s: Floats, levels: Floats) -> float:
    """mmHg of MAP per second of R-to-PPG delay by ridge regression; NaN with fewer than 30 cells that have both.

    The ridge is the variance that errors of the delay add, for as many cells as there are and 30 more: without
    variation of pressure the slope goes to 0, which is *hold*.
    """
    both = np.isfinite(delays_s) & np.isfinite(levels)
    count = int(np.count_nonzero(both))
    if count < LEAST_CELLS_FOR_SLOPE:
        return np.nan
    x, y = delays_s[both], levels[both]
    x, y = x - x.mean(), y - y.mean()
    ridge = (count + SLOPE_PRIOR_CELLS) * SLOPE_DELAY_ERROR_S**2
    return float((x * y).sum() / ((x * x).sum() + ridge))


def _trusted(beats_s: Floats, present: npt.NDArray[np.bool_], second: int) -> Floats:
    """The beats that lie in present cells."""
    cell = np.floor(beats_s).astype(np.int64) - (second + 1 - len(present))
    inside = (cell >= 0) & (cell < len(present))
    return beats_s[inside][present[cell[inside]]]


def _unbroken(present: npt.NDArray[np.bool_]) -> int:
    """How many cells up to the last are present without a break."""
    gaps = np.flatnonzero(~present)
    return len(present) - (int(gaps[-1]) + 1 if len(gaps) else 0)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
