"""Time stamps of a live stream → where its samples lie: index, origin and rate of one channel that comes in blocks.

Pure: told when each block came, it keeps no clock. Three things are kept apart.

* **The index** is the device's own count of samples. A block that follows takes the next indices, whatever its stamp
  says: jitter of up to 20 ms can neither lose nor double a sample. Only a stamp that is late by more than
  ``tolerance_s`` (45 ms, more where the jitter is larger) is a gap, and the index then skips the whole number of
  samples that are missing; nothing is pushed together over it. Devices that count their samples say so (``counter``):
  then every gap is seen, however short, and exact. Without, it is exact where a block's mean jitter is below half a
  sample, right to within the jitter where it is not, and a shorter loss is only caught up with by the clock.
* **The clock** smooths the stamps: offset and drift of the samples against nominal time, by recursive least squares
  with exponential forgetting, as liblsl's and pyxdf's dejittering do (Kothe, Medine et al., labstreaminglayer,
  "Time synchronization"; Haykin, *Adaptive Filter Theory*, ch. 10), with a prior on both, since a crystal is off by
  hundreds of ppm at most.
* **The line** is what goes on the wire: sample ``i`` at ``origin + i / rate``. It stays as it is while it is within
  ``LINE_S`` of the clock. A new one begins at a sample that the caller names (the first of a tick), at the very time
  which that sample has on the old line, with the rate that meets the clock ``MEET_S`` later. So event time is
  continuous and rises: no index is slipped, no sample left out or taken twice, and no two lines overlap. Downstream a
  new line is a new timeline of the channel, between which nothing is bridged.

Why not slip an index instead, at the nominal rate: a fast device has more samples in a tick than the nominal rate has
room for, so one in 5,000 (at 200 ppm) would have to be thrown away. Why not leave the nominal line alone: two devices
200 ppm apart are 0.7 s apart after an hour, and the delay from R wave to pulse is 0.2 s. Once the drift is known the
line hardly ever changes.

Event time is the receiver's. Stamps that are on its clock (within ``PLAUSIBLE_S`` of their arrival) are taken as they
are. Others are from a clock of their own: the first is put at its arrival, and from then on the lag of the samples is
kept within ``LEAST_LAG_S`` and ``MOST_LAG_S``, by ``SLEW`` at most. A stamp that neither follows nor can be a gap (it
would lie in the future, or far in the past) is a jump of the device's clock: :meth:`LiveGrid.add` answers None, and the
caller begins a new segment (:meth:`LiveGrid.begin`), whose indices count from 0.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.signals.times import SECOND_NS

LINE_S = 0.005
MEET_S = 4.0
LEAST_BETWEEN_S = 2.0
STAY_S = 30.0  # a line that would leave the clock sooner is not kept
MOST_SLEW = 0.005
"""A line's rate is within 0.5 % of the nominal one: 20 ms of first error are gone in 4 s."""

HALF_LIFE_S = 90.0  # of a stamp's weight; liblsl's smoothing_halftime
JITTER_S = 0.010  # assumed of a stamp, one sigma
DRIFT = 300e-6  # and of a crystal
LEAST_TOLERANCE_S, MOST_TOLERANCE_S = 0.045, 0.150  # stamps of up to 20 ms of jitter differ by 40 ms
JITTER_MEMORY_S = 30.0  # of the largest deviation seen
ARRIVAL_TOLERANCE_S = 0.5  # where nothing but the arrival is known

PLAUSIBLE_S = 5.0
LEAST_LAG_S, MOST_LAG_S = -0.02, 0.2
LAG_WINDOW_S = 10.0
SLEW = 1e-3
FUTURE_S = 0.5
OLD_S = 10.0
GIVEN_UP_S = 0.5  # so much in a row from the past is no late block but a clock set back
REMEMBERED = 64  # blocks, to know one that comes twice

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """Sample ``i`` lies at ``origin_ns + i · 1e9 / rate_hz`` of event time."""

    origin_ns: int
    rate_hz: float

    def time_ns(self, index: int) -> int:
        """Event time of a sample, rounded to whole nanoseconds."""
        return self.origin_ns + round(index * 1e9 / self.rate_hz)

    def index_at(self, time_ns: int) -> int:
        """The first sample at or after an event time."""
        return math.ceil((time_ns - self.origin_ns) * self.rate_hz * 1e-9 - 1e-6)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a block lies: its samples are ``first_index … first_index + count``.

    missing: samples left out before it. in_order: False for a block from the past, which fills what is missing there
    and no more. again: it has come before, sample for sample; leave it out.
    """

    first_index: int
    count: int
    missing: int = 0
    in_order: bool = True
    again: bool = False


def pieces(stamps_s: FloatArray | None, count: int, rate_hz: float) -> list[slice]:
    """Cuts a block of samples that each have a stamp where two of them are no neighbours in time: at a gap or a jump
    within it. One piece where there is but one stamp, or none.

    >>> pieces(np.array([0.00, 0.01, 0.50, 0.51]), 4, 100.0)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    if stamps_s is None or len(stamps_s) < 2:
        return [slice(0, count)]
    steps_s = np.diff(stamps_s) - 1.0 / rate_hz
    cuts = (np.flatnonzero(np.abs(steps_s) > max(LEAST_TOLERANCE_S, 1.5 / rate_hz)) + 1).tolist()
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, count], strict=True)]


class SmoothClock:
    """Offset (s) and drift (s/s) of samples against nominal time: least squares with weights that halve every
    ``HALF_LIFE_S``, and a prior. ``at(x)`` is the smoothed deviation at nominal time ``x`` (s)."""

    def __init__(self, first_s: float, deviation_s: float) -> None:
        self._at = first_s
        self.offset, self.drift = deviation_s, 0.0
        # In units of the stamps' variance.
        self._oo, self._od, self._dd = 1.0, 0.0, (DRIFT / JITTER_S) ** 2

    def at(self, x: float) -> float:
        """The smoothed deviation at nominal time ``x``."""
        return self.offset + self.drift * (x - self._at)

    def add(self, x: float, deviation_s: float) -> None:
        """A stamp at nominal time ``x`` deviates by so much."""
        self._go(x)
        gain_o = self._oo / (self._oo + 1.0)
        gain_d = self._od / (self._oo + 1.0)
        error = deviation_s - self.offset
        self.offset += gain_o * error
        self.drift += gain_d * error
        oo, od = self._oo, self._od
        self._oo, self._od = oo - gain_o * oo, od - gain_o * od
        self._dd -= gain_d * od

    def loosen(self, by_s: float) -> None:
        """The offset is known less well from now on (behind a gap)."""
        self._oo += (by_s / JITTER_S) ** 2

    def _go(self, x: float) -> None:
        """Carry what is known to ``x``, and forget accordingly; never below the prior."""
        step = x - self._at
        self._at = x
        self.offset += self.drift * step
        self._oo += step * (2.0 * self._od + step * self._dd)
        self._od += step * self._dd
        fade = 2.0 ** (abs(step) / HALF_LIFE_S)
        fade = min(fade, (DRIFT / JITTER_S) ** 2 / self._dd) if self._dd > 0.0 else fade
        self._oo, self._od, self._dd = self._oo * fade, self._od * fade, self._dd * fade


class LiveGrid:
    """One channel. ``rate_hz``: what its device says (nominal). Times in seconds on the receiver's monotonic clock.

    duplicates: blocks that came twice. gaps, missing: gaps so far, and the samples that are missing in them.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.duplicates = self.gaps = self.missing = 0
        self.begin(-math.inf)

    def begin(self, earliest_s: float) -> None:
        """A new segment: indices from 0 on, none of them before ``earliest_s``, where that can be had by putting the
        segment off."""
        self._earliest_s = earliest_s
        self._clock: SmoothClock | None = None
        self._next = 0
        self._recent: deque[tuple[float, int, int | None]] = deque(maxlen=REMEMBERED)
        self._past_s = 0.0
        self._counter: int | None = None
        self._line, self._line_from, self._slewing = Line(0, self.rate_hz), 0, False
        self._arrivals, self._jitter = False, 0.0

    @property
    def next_index(self) -> int:
        """One past the newest sample."""
        return self._next

    @property
    def started(self) -> bool:
        """Whether the segment has any sample yet."""
        return self._clock is not None

    @property
    def tolerance_s(self) -> float:
        """A stamp later than expected by more is a gap: twice the largest jitter seen lately, within
        ``LEAST_TOLERANCE_S`` (or a sample and a half) and ``MOST_TOLERANCE_S``."""
        if self._arrivals:
            return ARRIVAL_TOLERANCE_S
        return max(LEAST_TOLERANCE_S, 1.5 / self.rate_hz, min(2.0 * self._jitter, MOST_TOLERANCE_S))

    @property
    def drift(self) -> float:
        """Seconds a second by which the samples fall behind nominal time (negative: a fast device)."""
        return 0.0 if self._clock is None else self._clock.drift

    def add(
        self, count: int, stamps_s: FloatArray | None, arrived_s: float, counter: int | None = None
    ) -> Placed | None:
        """Place a block of ``count`` samples (at least one) that came at ``arrived_s``; None: the device's clock has
        jumped, nothing was taken.

        stamps_s: one a sample, or one for the last; None where nothing but the arrival is known. counter: the
        device's own number of the first sample.
        """
        if stamps_s is None:
            stamp_s, where = arrived_s, count - 1.0
        else:
            stamp_s, where = float(np.mean(stamps_s)), (count - 1.0) if len(stamps_s) == 1 else 0.5 * (count - 1.0)
        if self._clock is None:
            return self._first(count, stamp_s, where, arrived_s, counter, arrivals=stamps_s is None)
        if stamps_s is not None and (stamp_s, count, counter) in self._recent:
            return self._again(count)
        deviation_s = stamp_s - self._expected(self._next + where)
        skipped = self._skipped(deviation_s, counter)
        if skipped is None:
            return None
        lag_s = arrived_s - self._event(stamp_s)
        if skipped > 0 and lag_s < -FUTURE_S:
            return None
        if skipped < 0:
            return self._from_the_past(count, skipped, stamp_s, counter)
        self._past_s = 0.0
        if skipped:
            self.gaps += 1
            self.missing += skipped
            self._clock.loosen(0.5 / self.rate_hz if counter is not None else max(self._jitter, 0.5 / self.rate_hz))
            self._next += skipped
        first, self._next = self._next, self._next + count
        self._learn(first + where, stamp_s, arrived_s, count, gap=skipped > 0)
        self._recent.append((stamp_s, count, counter))
        self._counter = None if counter is None else counter + count
        return Placed(first, count, skipped)

    def line(self, from_index: int) -> Line:
        """The line for the samples from ``from_index`` on, none of which has been given a time yet.

        The one there is, or a new one that begins at its time of ``from_index``.
        """
        line, clock = self._line, self._clock
        if clock is None or not self._due(from_index):
            return line
        begin_s = line.time_ns(from_index) * 1e-9
        ahead = max(1, round(MEET_S * self.rate_hz))
        wanted_s = self._event_at(from_index + ahead) - begin_s
        period_s = min(max(wanted_s / ahead * self.rate_hz, 1.0 - MOST_SLEW), 1.0 + MOST_SLEW)
        rate_hz = self.rate_hz / period_s
        origin_ns = line.time_ns(from_index) - round(from_index * 1e9 / rate_hz)
        self._line, self._line_from, self._slewing = Line(origin_ns, rate_hz), from_index, True
        return self._line

    def deviation_s(self, index: int) -> float:
        """How far the line is from the smoothed clock at a sample (s, positive: the line is behind)."""
        return self._event_at(index) - self._line.time_ns(index) * 1e-9

    # -- inside ---------------------------------------------------------------------------------------------------

    def _first(
        self, count: int, stamp_s: float, where: float, arrived_s: float, counter: int | None, *, arrivals: bool
    ) -> Placed:
        """The first block of a segment: where its clock and its line begin."""
        self._arrivals = arrivals
        on_time = abs(arrived_s - stamp_s) <= PLAUSIBLE_S
        self._wanted_shift_s = 0.0 if on_time else arrived_s - (stamp_s + (count - 1 - where) / self.rate_hz)
        first_s = stamp_s - where / self.rate_hz + self._wanted_shift_s
        put_off_s = max(0.0, self._earliest_s - first_s) if math.isfinite(self._earliest_s) else 0.0
        self._shift_s = self._wanted_shift_s + put_off_s
        self._base_s = stamp_s - where / self.rate_hz
        self._clock = SmoothClock(where / self.rate_hz, 0.0)
        self._lags: deque[tuple[float, float]] = deque()
        self._followed_s = arrived_s
        self._line = Line(round((first_s + put_off_s) * SECOND_NS), self.rate_hz)
        self._next = count
        self._recent.append((stamp_s, count, counter))
        self._counter = None if counter is None else counter + count
        return Placed(0, count)

    def _expected(self, index: float) -> float:
        """The stamp that the smoothed clock gives a sample."""
        assert self._clock is not None
        x = index / self.rate_hz
        return self._base_s + x + self._clock.at(x)

    def _event(self, stamp_s: float) -> float:
        return stamp_s + self._shift_s

    def _event_at(self, index: float) -> float:
        """Event time of a sample by the smoothed clock."""
        return self._event(self._expected(index))

    def _skipped(self, deviation_s: float, counter: int | None) -> int | None:
        """Samples missing before a block (negative: it lies so many back); None: no place in this segment."""
        if deviation_s < -OLD_S:
            return None
        if counter is not None and self._counter is not None:
            counted = counter - self._counter
            if abs(deviation_s - counted / self.rate_hz) <= max(self.tolerance_s, ARRIVAL_TOLERANCE_S):
                return counted
        if abs(deviation_s) <= self.tolerance_s:
            return 0
        assert self._clock is not None
        return round(deviation_s * self.rate_hz / (1.0 + self._clock.drift))

    def _again(self, count: int) -> Placed | None:
        """A block with the stamp of an earlier one: the same once more, or the clock has been set back."""
        self._past_s += count / self.rate_hz
        if self._past_s > GIVEN_UP_S + count / self.rate_hz:
            return None
        self.duplicates += 1
        return Placed(self._next, count, in_order=False, again=True)

    def _from_the_past(self, count: int, skipped: int, stamp_s: float, counter: int | None) -> Placed | None:
        """A block that lies before the newest sample: late, or the clock has been set back."""
        self._past_s += count / self.rate_hz
        if self._past_s > GIVEN_UP_S + count / self.rate_hz:
            return None
        self._recent.append((stamp_s, count, counter))
        return Placed(self._next + skipped, count, in_order=False)

    def _learn(self, index: float, stamp_s: float, arrived_s: float, count: int, *, gap: bool) -> None:
        """What a block in order teaches: jitter, clock, and how far behind its arrival event time is."""
        assert self._clock is not None
        x = index / self.rate_hz
        deviation_s = stamp_s - self._base_s - x
        error_s = abs(deviation_s - self._clock.at(x))
        faded = self._jitter * 0.5 ** (count / self.rate_hz / JITTER_MEMORY_S)
        self._jitter = faded if gap else max(faded, error_s)
        self._clock.add(x, deviation_s)
        self._follow(arrived_s)

    def _follow(self, arrived_s: float) -> None:
        """Keep event time near the receiver's: where the stamps put it, unless that lies outside the lags allowed."""
        lag_s = arrived_s - self._expected(self._next - 1)  # of the stamps as they are
        while self._lags and self._lags[-1][1] >= lag_s:
            self._lags.pop()
        self._lags.append((arrived_s, lag_s))
        while self._lags[0][0] < arrived_s - LAG_WINDOW_S:
            self._lags.popleft()
        most_s = SLEW * min(max(arrived_s - self._followed_s, 0.0), 1.0)
        self._followed_s = max(arrived_s, self._followed_s)
        wanted_lag_s = self._lags[0][1] - self._wanted_shift_s
        excess_s = wanted_lag_s - min(max(wanted_lag_s, LEAST_LAG_S), MOST_LAG_S)
        self._wanted_shift_s += min(max(excess_s, -most_s), most_s)
        self._shift_s += min(max(self._wanted_shift_s - self._shift_s, -most_s), most_s)

    def _due(self, from_index: int) -> bool:
        """Whether a new line is wanted: the old one is off, or has met the clock and would go past it."""
        since_s = (from_index - self._line_from) / self.rate_hz
        if since_s < LEAST_BETWEEN_S:
            return False
        if self._slewing and since_s >= MEET_S:
            assert self._clock is not None
            self._slewing = False
            leaves = abs(self.rate_hz / self._line.rate_hz - 1.0 - self._clock.drift)
            return leaves * STAY_S > LINE_S
        return abs(self.deviation_s(max(from_index, self._next - 1))) > LINE_S
