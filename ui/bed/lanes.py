"""One channel as the display holds it: measured samples, estimates, presence cells, and what is said about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from models.signals.absence import Absence
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from streams.control import ChannelInfo
from streams.records import RestoredChunk, WaveChunk
from ui.bed.buffers import CellRow, Float32, SampleRing
from ui.bed.crossfade import join_hop
from ui.bed.filters import DisplayFilter
from ui.bed.lane_words import Known, LaneSaid, lane_said
from ui.bed.lead_rows import lead_name
from ui.style.language import retold, tr
from ui.style.theme import LaneStyle, SweepStyle
from ui.style.words import absence_words

_LAGS_KEPT = 10
_LAG_SLACK_S = 0.05
_HOP_S = 1.0  # between two hops of an estimate
_WORDS_KEPT = 600
_ARTEFACTS = frozenset({Absence.ARTEFACT.value, Absence.FLUSH.value, Absence.SATURATED.value})
_SAME_RATE, _SAME_MOMENT_S = 0.01, 0.02  # of two lines of time of one channel (models/signals/live_grid.py)


class Trace:
    """Measured samples of one channel: raw ring in, display-filtered ring out.

    Filtering is put off until :meth:`settle` (once a frame), so that a burst of ticks costs one pass. history_s: how
    much is kept, of None as much as the theme says.
    """

    def __init__(self, chunk: WaveChunk, style: LaneStyle, sweep: SweepStyle, history_s: float | None = None) -> None:
        origin_s = chunk.origin_ns * 1e-9
        self.identity = identity_of(chunk)
        history_s = sweep.history_s if history_s is None else history_s
        self.raw = SampleRing(chunk.rate_hz, origin_s, history_s)
        self._delay_s = sweep.playout_margin_s
        self._corners: list[float] = []
        self.shown = self.raw
        self._filter: DisplayFilter | None = None
        self._filtered_to = 0
        self.show_through(style.filter)

    def show_through(self, corners: list[float]) -> None:
        """Show what is held, and what comes, through this high-pass and low-pass in Hz from now on; [] as it came."""
        if corners == self._corners:
            return
        self._corners = list(corners)
        raw = self.raw
        self.shown = SampleRing(raw.rate_hz, raw.origin_s, raw.ring.capacity / raw.rate_hz) if corners else raw
        self._filter, self._filtered_to = None, 0
        self.settle()

    def hold(self, history_s: float) -> None:
        """Keep so many seconds from now on; of what is there, the newest."""
        same = self.shown is self.raw
        self.raw = self.raw.resized(history_s)
        self.shown = self.raw if same else self.shown.resized(history_s)

    def write(self, first_index: int, values: Float32) -> None:
        """Takes samples from ``first_index`` on; late ones are filtered again."""
        if self._filter is not None and first_index < self._filtered_to:
            self._filter = None  # late samples: filter again from shortly before them
            self._filtered_to = first_index - int(self.raw.rate_hz)
        self.raw.ring.write(first_index, values)

    def follow(self, chunk: WaveChunk) -> bool:
        """Go over to the line of time that ``chunk`` lies on, where it is the same channel of a device whose clock was
        corrected: the index runs on, and the next sample has the same time on either line. What was drawn before moves
        by milliseconds at most. False where it is another wave.
        """
        lead, label, rate_hz, origin_ns = identity_of(chunk)
        origin_s, end = origin_ns * 1e-9, self.raw.ring.end
        near_s = abs((origin_s + end / rate_hz) - (self.raw.origin_s + end / self.raw.rate_hz))
        corrected = abs(rate_hz / self.raw.rate_hz - 1.0) <= _SAME_RATE and near_s <= _SAME_MOMENT_S
        if (lead, label) != self.identity[:2] or not corrected or not 0 <= chunk.first_index - end <= rate_hz:
            return False
        self.identity = identity_of(chunk)
        for ring in (self.raw, self.shown):
            ring.rate_hz, ring.origin_s = rate_hz, origin_s
        return True

    def settle(self) -> None:
        """Bring the displayed ring up to date with the raw one."""
        if not self._corners:
            return
        ring = self.raw.ring
        if self._filter is None:
            low_hz, high_hz = self._corners
            self._filter = DisplayFilter(self.raw.rate_hz, low_hz, high_hz, self._delay_s)
            self._filtered_to = max(self._filtered_to, ring.start)
        begin = max(self._filtered_to, ring.start)
        if ring.end <= begin:
            return
        values = self._filter.push(ring.read(begin, ring.end))
        self._filtered_to = ring.end
        self.shown.ring.write(max(0, begin - self._filter.delay), values[max(0, self._filter.delay - begin) :])


def identity_of(chunk: WaveChunk) -> tuple[int, str, float, int]:
    """What makes chunks those of one wave: of another lead, rate or origin is another wave."""
    return chunk.lead, chunk.label, chunk.rate_hz, chunk.origin_ns


class Estimate:
    """Restored samples as shown: appended hop by hop, cross-faded, never revised once drawn.

    The end of a hop has no future in its window; the next one says it anew (:mod:`streams.restored`). So the line is
    drawn no further than what no hop amends any more, unless none comes. ``line``, ``lo``, ``hi``: what has been drawn
    and, ahead of it, what would be.
    """

    def __init__(self, rate_hz: float, sweep: SweepStyle) -> None:
        self.line = SampleRing(rate_hz, 0.0, sweep.history_s)
        self.lo = SampleRing(rate_hz, 0.0, sweep.history_s)
        self.hi = SampleRing(rate_hz, 0.0, sweep.history_s)
        self._fade_s = sweep.crossfade_s
        self._lags: list[float] = []
        self._drawn = -(2**53)  # samples before this one may have been drawn

    @property
    def lag_s(self) -> float:
        """How far behind the beam the estimate is drawn: long enough that each sample has its last word in time."""
        return max(self._lags, default=1.0) + _LAG_SLACK_S

    def append(self, chunk: RestoredChunk, cells: CellRow, beam_s: float | None) -> None:
        """Take the part of ``chunk`` that is new and lies in absent cells; ``beam_s`` is the beam's time now, None
        of what was not played, where nothing is late."""
        parts = [np.frombuffer(part, "<f4") for part in (chunk.data, chunk.lo, chunk.hi)]
        end, hop = self.line.ring.end, chunk.first_index + chunk.amends
        last = chunk.first_index + len(parts[0])
        if end and beam_s is not None:
            self._drawn = max(self._drawn, min(end, self.line.index_at(beam_s - self.lag_s)))
        first = max(chunk.first_index if end == hop else hop, end if end > hop else self._drawn)
        if first >= last or len({len(part) for part in parts}) > 1:
            return
        rings = (self.line, self.lo, self.hi)
        seconds = np.floor(self.line.times(first, last) + 1e-9).astype(np.int64)
        allowed = cells.absent_mask(seconds)
        # Its own hop, and of what lies before only what the window before has vouched for.
        stands = max(0, hop - first)
        allowed[:stands] &= np.isfinite(self.line.ring.read(first, first + stands))
        fresh = [np.where(allowed, part[first - chunk.first_index :], np.float32(np.nan)) for part in parts]
        if not np.isfinite(fresh[0]).any():
            return
        skip = int(np.argmax(np.isfinite(fresh[0])))
        line, lo, hi = (part[skip:] for part in fresh)
        previous = self._joint(first + skip)
        joined = join_hop(previous, line, lo, hi, chunk.rate_hz, self._fade_s)
        for ring, part in zip(rings, joined, strict=True):
            ring.ring.write(first + skip, part)
        if beam_s is not None:
            self._lags = [*self._lags, beam_s - chunk.first_index / chunk.rate_hz][-_LAGS_KEPT:]

    def _joint(self, index: int) -> tuple[float, float, float]:
        """Line and band to go on from at ``index``: what the hop before has there, else its sample before."""
        at = index if np.isfinite(self.line.ring.read(index, index + 1)[0]) else index - 1
        line, lo, hi = (float(ring.ring.read(at, at + 1)[0]) for ring in (self.line, self.lo, self.hi))
        return line, lo, hi

    def follows(self, beam_s: float) -> bool:
        """Whether hops still come, so that a beam at ``beam_s`` has something to draw."""
        newest = self.line.ring.end / self.line.rate_hz
        return beam_s - newest <= self.lag_s + _HOP_S

    def cut(self, beam_s: float) -> None:
        """Take back what the beam at ``beam_s`` has not yet drawn: the reason to believe it is gone."""
        for ring in (self.line, self.lo, self.hi):
            begin = max(ring.index_at(beam_s - self.lag_s), ring.ring.start)
            ring.ring.write(begin, np.full(max(0, ring.ring.end - begin), np.nan, np.float32))


LEAD_TITLE = "{sensor} lead {lead}"
"""Of the row of a further lead."""


@dataclass(frozen=True, slots=True)
class Badge:
    """The words over one second of an estimate, and the second at which its unbroken run began."""

    words: str
    run_start: int


@dataclass
class Lane:
    """A row of the screen. ``absence`` is "" while measured, else why not, since ``absent_since_s``. ``forbidden``: why
    no estimate may be shown by what the sensors say now; ``not_estimable``: why the model gives none; ``answers``: its
    last window is valid and not stale; ``given``: with an estimate of this lane; ``estimated_s``: the end of the last
    that was shown. ``rhythm``: as found on the ECG, ``pulse``: of a pulse channel, as found in the newest second.
    ``lead``: the number of the lead that is drawn: in the first row of a modality the one that serves, ``lead_label``
    its label where it is not the channel of ``info``; in a row of a further lead that one.
    ``truth``: what was withheld (:mod:`ui.bed.truth`)."""

    key: str
    modality: Modality
    style: LaneStyle
    info: ChannelInfo | None
    trace: Trace | None = None
    truth: Trace | None = None
    estimate: Estimate | None = None
    cells: CellRow = field(default_factory=lambda: CellRow(600))
    absence: str = ""
    absent_since_s: float = 0.0
    not_estimable: str = ""
    forbidden: str = ""
    answers: bool = False
    given: bool = False
    estimated_s: float = -math.inf
    pulse: Pulse = Pulse.UNKNOWN
    rhythm: Rhythm = Rhythm.UNKNOWN
    lead: int = 0
    lead_label: str = ""
    badges: dict[int, Badge] = field(default_factory=dict)
    absence_words: dict[int, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The modality's name, with that of a further lead."""
        return retold(tr(self.plain_title), (LEAD_TITLE,))

    @property
    def plain_title(self) -> str:
        """:attr:`title` in English, for tables."""
        name = self.modality.value
        return name if self.first else LEAD_TITLE.format(sensor=name, lead=lead_name(self.key))

    @property
    def first(self) -> bool:
        """Whether it is the row of its modality, to which numbers, alarms, estimates and bad news belong, and not that
        of a further lead."""
        return self.key == self.modality.value

    @property
    def label(self) -> str:
        """The recording's name for what is drawn; "" where nothing is connected."""
        return self.lead_label or (self.info.label if self.info is not None else "")

    @property
    def detail(self) -> str:
        """The label where it says more than the title."""
        return "" if self.label in (self.title, lead_name(self.key)) else self.label

    @property
    def connected(self) -> bool:
        """Whether the recording or feed has such a channel."""
        return self.info is not None

    @property
    def barred(self) -> str:
        """Why no estimate may be shown, of this second or of the one before that is still to be drawn; "" if one may.
        What is said of it is :attr:`said`."""
        return self.forbidden or self.not_estimable

    @property
    def said(self) -> LaneSaid:
        """What is said while it is not measured: state, and estimate or the one reason why not. Of a further lead the
        state alone: what is estimated is the modality, in its own row."""
        if not self.first:
            return LaneSaid(absence_words(self.absence) if self.absence else "")
        begun = self.estimated_s > self.absent_since_s
        return lane_said(
            Known(self.modality, self.absence, self.forbidden, self.not_estimable, self.answers, self.given, begun)
        )

    def fades(self, absence: str) -> bool:
        """Whether samples of a cell are to be dimmer than a signal. Not while the channel brings bad news, which may
        look like an artefact: fibrillation, a line without a pulse."""
        bad_news = self.modality is Modality.ECG and self.rhythm not in (Rhythm.BEATS, Rhythm.UNKNOWN)
        return absence in _ARTEFACTS and not bad_news and self.pulse is not Pulse.NONE

    def draw_as(self, style: LaneStyle) -> None:
        """As the operator wants it drawn: what is held is filtered anew where that is otherwise."""
        if style != self.style:
            self.style = style
            for trace in (self.trace, self.truth):
                if trace is not None:
                    trace.show_through(style.filter)

    def words_of(self, second: int) -> str:
        """Whether a second was measured, and why not."""
        cell = self.cells.get(second)
        if cell is None:
            return tr("not known yet")
        if not cell.absence:
            return tr("measured")
        why = absence_words(cell.absence)
        return tr("absent: {why}; estimated", why=why) if second in self.badges else tr("absent: {why}", why=why)

    def clear(self) -> None:
        """Forgets what was drawn; begins anew after a seek."""
        self.trace = self.truth = self.estimate = None
        self.cells = CellRow(600)
        self.absence = "" if self.connected else Absence.NOT_CONNECTED.value
        self.absent_since_s, self.not_estimable, self.forbidden, self.pulse = 0.0, "", "", Pulse.UNKNOWN
        self.answers, self.given, self.estimated_s, self.rhythm = False, False, -math.inf, Rhythm.UNKNOWN
        self.badges, self.absence_words = {}, {}
        self.lead, self.lead_label = self.info.lead if self.info is not None else 0, ""

    def range_of(self, begin_s: float, end_s: float) -> tuple[float, float] | None:
        """Smallest and largest value worth scaling to in [begin, end): present cells and estimates, robustly.

        Where no cell is known to be present, whatever was measured. None if there is nothing.
        """
        measured, judged = np.empty(0, np.float32), False
        if self.trace is not None:
            shown = self.trace.shown
            first, last = shown.index_at(begin_s), shown.index_at(end_s)
            measured = shown.ring.read(first, last)
            seconds = np.floor(shown.times(first, last) + 1e-9).astype(np.int64)
            present = measured[self.cells.present_mask(seconds)] if len(measured) else measured
            judged = bool(np.isfinite(present).any())
            measured = present if judged else measured
        estimated = np.empty(0, np.float32)
        if self.estimate is not None:
            rings = (self.estimate.line, self.estimate.lo, self.estimate.hi)
            estimated = np.concatenate([r.ring.read(r.index_at(begin_s), r.index_at(end_s)) for r in rings])
        shows_estimate = bool(np.isfinite(estimated).any())
        # An artefact must not squeeze the estimate drawn beside it into a flat line.
        joined = estimated if shows_estimate and not judged else np.concatenate((measured, estimated))
        joined = joined[np.isfinite(joined)]
        if len(joined) == 0:
            return None
        low, high = np.percentile(joined, (0.5, 99.5))
        return float(low), float(high)

    def put_badge(self, second: int, words: str) -> None:
        """What is to stand over the estimate of one second."""
        before = self.badges.get(second - 1)
        unbroken = before is not None and self.cells.is_absent(second - 1)
        self.badges[second] = Badge(words, before.run_start if before is not None and unbroken else second)
        while len(self.badges) > _WORDS_KEPT:
            del self.badges[next(iter(self.badges))]

    def words_of_absence(self, start: int, words: str) -> str:
        """The words of the tape that begins at second ``start``: those it began with."""
        kept = self.absence_words.setdefault(start, words)
        while len(self.absence_words) > _WORDS_KEPT:
            del self.absence_words[next(iter(self.absence_words))]
        return kept
