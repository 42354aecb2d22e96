"""From native samples to windows: the one path that training and the live stream share.

    chunks ──▶ native memory ──resample──▶ grid memory ──▶ cells (presence) ──▶ context ──▶ windows
       └────▶ sensor states (every tick)

Everything behind the native memory is a pure function of which samples have arrived: the same data give the same
cells and windows bit for bit, however they were cut into chunks, in whatever order and how often they came. The work
is done once a second, when a cell closes, so a tick in between costs some 20 µs a channel.

A cell and the window that ends with it close when every connected channel has passed their end and its look-ahead, or
one push after that was due; each is emitted once. Samples up to 2 s late amend the memory and what is closed later,
older ones are counted and ignored. A push that leaves out a whole window, or goes back further than a sample may be
late, is a jump of the clock: everything begins anew there, so one push never works off an absurd time. Nothing is
bridged: between two timelines of a channel (another origin or rate)
as within one, what did not arrive is NaN.

Of a modality with several leads each is judged for itself, and one serves (:mod:`models.signals.leads`): cells,
findings, context, windows and :meth:`BedPipeline.grid` are its own, also where they reach back to before it served, so
that no row ever holds two leads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence, Standing, standing_of
from models.signals.bed_memory import SETTLED_S, PipelineState
from models.signals.channel_memory import ChannelMemory
from models.signals.channels import Channel
from models.signals.context import AMENDABLE_S, PPG_MEMORY_S, ContextMemory
from models.signals.errors import BadInput
from models.signals.findings import PULSE_CHANNELS, Findings, Pulse, Rhythm
from models.signals.found_beats import FoundBeats
from models.signals.leads import SEVERAL, LeadChoice, LeadVerdict, Serving
from models.signals.leave_out import WindowPast
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.presence import LOOK_BACK_SAMPLES, frame_presence
from models.signals.pulse import overdue
from models.signals.quality import Verdict
from models.signals.recording import Segment
from models.signals.resample import GRID_STEP_NS, Resampler
from models.signals.rhythm import judge_rhythm
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec

FloatArray = npt.NDArray[np.float32]
Lead = tuple[Modality, int]
"""A channel of a bed: modality, and number among its leads."""

LATE_NS = 2 * SECOND_NS
EARLY_NS = 2 * SECOND_NS
GRID_MEMORY_S = 90
RESTORED_FROM_S = PPG_MEMORY_S + SETTLED_S + 2
"""How far back the samples must reach of which a restored pipeline goes on: the longest stretch of grid, and a rest."""
BLOCK_NS = 8 * SECOND_NS  # longer pushes are worked off in blocks, so memories stay bounded


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples of one channel: sample ``first_index + i`` lies at ``origin_ns + (first_index + i) · 1e9 / rate_hz``.

    values: float32 [n] in the canonical unit, NaN where missing. withheld: the operator dropped the channel; the
    values are not looked at. lead: which of several leads of the modality, 0 for the preferred one.
    """

    modality: Modality
    rate_hz: float
    origin_ns: int
    first_index: int
    values: FloatArray
    withheld: bool = False
    lead: int = 0

    @classmethod
    def of(cls, channel: Channel, segment: Segment, withheld: bool = False) -> Chunk:
        """A stretch of a recording's channel, as it is read."""
        first, values = segment.first_index, segment.values
        return cls(channel.modality, channel.rate_hz, channel.origin_ns, first, values, withheld, channel.lead)


def clock_jumped(reached_ns: int, start_ns: int, window_s: int) -> bool:
    """Whether a push that starts at ``start_ns`` after ``reached_ns`` is no continuation but a jump of the clock.

    Forward from a whole window on: no window could hold data of both sides. Back from 2 s on: the samples would all be
    too late. Whatever is less is a gap, or an overlap, in one and the same time.
    """
    return not -LATE_NS <= start_ns - reached_ns <= window_s * SECOND_NS


@dataclass(frozen=True, slots=True)
class Cell:
    """``[second, second + 1)``: None per modality where it was measured, else why not; and what it says.

    leads: by modality, where there are several, which of them serves: all else is what that one says. rppg_delay_s:
    from R peaks to the upstrokes of the PPG, as the context tells it to a model; None where this cell does not know it.
    beats: by modality, those of the ten seconds that end with it.
    """

    second: int
    absence: dict[Modality, Absence | None]
    findings: Findings = field(default_factory=Findings)
    leads: dict[Modality, Serving] = field(default_factory=dict)
    rppg_delay_s: float | None = None
    beats: Mapping[Modality, FoundBeats] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class PipelineOutput:
    """What one push brought: the states at its end, the cells and windows that closed, in order, the leads then."""

    states: dict[Modality, Absence | None]
    cells: list[Cell] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    leads: dict[Modality, Serving] = field(default_factory=dict)


@dataclass(slots=True)
class _Look:
    """What one lead shows in the second that is judged."""

    found: FoundBeats
    verdict: Verdict
    rhythm: Rhythm

    @property
    def of_lead(self) -> LeadVerdict:
        at = self.found.at
        ago_s = (len(self.found.samples) - float(at[-1])) / GRID_RATE_HZ if len(at) else np.inf
        return LeadVerdict(self.verdict.absence, self.rhythm, ago_s)


@dataclass(slots=True)
class _Intake:
    """The samples ``[lo, hi)`` of a chunk that still have to be taken in."""

    chunk: Chunk
    channel: ChannelMemory
    resampler: Resampler
    lo: int
    hi: int


class BedPipeline:
    """One bed. ``connected``: the modalities that have a channel; one that appears later is connected then.

    ``late_samples``: more than 2 s late, ignored; ``early_samples``: dated more than 2 s after the end of their push,
    ignored. Raises BadInput for a chunk whose rate cannot be used or a spec that is not on the 100-Hz grid.
    """

    def __init__(self, spec: WindowSpec, connected: Collection[Modality]) -> None:
        if spec.rate_hz != GRID_RATE_HZ:
            raise BadInput(f"a model at {GRID_RATE_HZ} Hz", f"one at {spec.rate_hz} Hz", "use another bundle")
        self.spec = spec
        self.late_samples = 0
        self.early_samples = 0
        self._inherited: PipelineState | None = None
        self._context = ContextMemory(spec.modalities)
        self._presence_s = max(spec.window_s, PPG_MEMORY_S) + AMENDABLE_S
        self._channels: dict[Lead, ChannelMemory] = {}
        for modality in (m for m in Modality if m in connected):
            self._channels[modality, 0] = ChannelMemory(modality, self._grid_seconds)
        self._resamplers: dict[Lead, Resampler] = {}
        self._choices: dict[Modality, LeadChoice] = {}
        self.reset()

    @property
    def _grid_seconds(self) -> int:
        return max(GRID_MEMORY_S, self.spec.window_s + AMENDABLE_S)

    def reset(self) -> None:
        """Begin a new epoch (seek, restart, clock jump): nothing of before is kept but the counters."""
        self._started = False
        self._begin(0)
        self._started = False

    def export(self) -> PipelineState | None:
        """What will be needed of the cells that are settled by now; None where there are none yet."""
        second = min(self._next_s - SETTLED_S, self._amended_s)
        if not self._started or second <= self._start_ns // SECOND_NS:
            return None
        count = self._presence_s - AMENDABLE_S
        settled = np.arange(second - count, second) % self._presence_s
        channels = [
            channel.export(lead, self._present[modality, lead][settled], second)
            for (modality, lead), channel in self._channels.items()
            if (modality, lead) in self._present
        ]
        choices = {m: runs for m, c in self._choices.items() if (runs := c.export(second)) is not None}
        return PipelineState(self._context.export(second), tuple(channels), choices)

    def restore(self, state: PipelineState) -> None:
        """Take over what another pipeline knew, before the push after which ``state`` was exported there. The samples
        of the last :data:`RESTORED_FROM_S` must have been pushed here too.

        Left aside where they were not from ``state.second`` on, or that is too long ago to be judged again.
        """
        self._inherited = state

    def _take_over(self, state: PipelineState) -> None:
        """Be as the other pipeline was before it judged the cell ``state.second``."""
        self._context.restore(state.context)
        for told in state.channels:
            key = (told.modality, told.lead)
            channel = self._channels.get(key)
            if channel is None:
                continue
            present = self._present.setdefault(key, np.zeros(self._presence_s, dtype=np.bool_))
            cells = told.cells[-self._presence_s :]
            present[np.arange(state.second - len(cells), state.second) % self._presence_s] = cells
            channel.restore(told)
        for modality, runs in state.choices.items():
            if (modality, runs.serving) not in self._channels:
                continue
            self._choices.setdefault(modality, LeadChoice(AMENDABLE_S)).restore(state.second, runs)
            self._serving[modality] = runs.serving

    def _begin(self, start_ns: int) -> None:
        """Before the first push of an epoch: everything starts at ``start_ns``."""
        self._started = True
        self._inherited = None
        self._start_ns = self._end_ns = self._due_ns = start_ns
        self._next_s = self._amended_s = start_ns // SECOND_NS
        self._newest: dict[Modality, Absence | None] = {}
        self._findings = Findings()
        self._present: dict[Lead, npt.NDArray[np.bool_]] = {}
        self._serving: dict[Modality, int] = {}
        self._leads: dict[Modality, Serving] = {}
        for choice in self._choices.values():
            choice.reset()
        self._context.reset(self._next_s)
        for channel in self._channels.values():
            channel.reset(start_ns)

    @property
    def duplicate_samples(self) -> int:
        """Samples for a time that already had one; the first one stays."""
        return sum(c.duplicate_samples for c in self._channels.values())

    def grid(self, modality: Modality, first_g: int, last_g: int, lead: int | None = None) -> FloatArray:
        """A copy of grid samples ``[first_g, last_g)`` (sample g at g · 10 ms), NaN where missing or not yet closed.

        The newest 90 s before the last closed cell are kept. lead: the one that serves in the newest closed cell, if
        it is not said; its own samples throughout, also from before it served.
        """
        channel = self._channels.get((modality, self._serving.get(modality, 0) if lead is None else lead))
        if channel is None:
            return np.full(max(last_g - first_g, 0), np.nan, dtype=np.float32)
        return np.array(channel.grid(first_g, last_g))

    def native(self, modality: Modality, second: int) -> tuple[FloatArray, float]:
        """The samples of the cell ``second`` as they came, and their rate in Hz; see :meth:`ChannelMemory.native`."""
        channel = self._channels.get((modality, self._serving.get(modality, 0)))
        if channel is None:
            return np.empty(0, dtype=np.float32), 0.0
        return channel.native(second * SECOND_NS, (second + 1) * SECOND_NS)

    def past(self, window: Window) -> WindowPast:
        """What was known when ``window``, the newest, began."""
        spec, began_s = self.spec, window.end_s - self.spec.window_s
        pleth = np.full(spec.samples, np.nan, dtype=np.float32)
        if Modality.PPG in spec.modalities:
            pleth = np.array(self._view(Modality.PPG, (began_s - spec.window_s) * GRID_RATE_HZ, began_s * GRID_RATE_HZ))
            pleth[~np.repeat(self._cells(Modality.PPG, began_s, spec.window_s), GRID_RATE_HZ)] = np.nan
        return WindowPast(spec, window, self._context.past(began_s, window.end_s), pleth)

    def push(self, chunks: Sequence[Chunk], start_ns: int, end_ns: int) -> PipelineOutput:
        """Take in what arrived for ``[start_ns, end_ns)`` and close what is complete.

        A push may be of any length and may bring samples of earlier times. One that jumps in time, see
        :func:`clock_jumped`, begins anew at its start.
        """
        if not self._started or clock_jumped(self._end_ns, start_ns, self.spec.window_s):
            self._begin(start_ns)
        cells: list[Cell] = []
        windows: list[Window] = []
        pending = [p for chunk in chunks if (p := self._accept(chunk, start_ns, end_ns)) is not None]
        for block_end_ns in _block_ends(start_ns, end_ns):
            for intake in pending:
                self._take(intake, block_end_ns if block_end_ns < end_ns else None)
            self._end_ns = max(self._end_ns, block_end_ns)
            self._close(cells, windows)
        return PipelineOutput(self._states(), cells, windows, self._leads)

    def finish(self, end_ns: int) -> PipelineOutput:
        """The stream has ended at ``end_ns``: close every whole cell before it. An end that is a jump of the clock away
        ends where the last push did."""
        cells: list[Cell] = []
        windows: list[Window] = []
        if not clock_jumped(self._end_ns, end_ns, self.spec.window_s):
            self._end_ns = max(self._end_ns, end_ns)
        self._close_before(self._end_ns // SECOND_NS, cells, windows)
        return PipelineOutput(self._states(), cells, windows, self._leads)

    def _accept(self, chunk: Chunk, start_ns: int, end_ns: int) -> _Intake | None:
        """The part of a chunk that is neither too late nor too early; the rest is counted."""
        resampler = self._resampler(chunk)
        key = (chunk.modality, chunk.lead)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = ChannelMemory(chunk.modality, self._grid_seconds)
            channel.reset(self._start_ns)
        first, last = chunk.first_index, chunk.first_index + len(chunk.values)
        oldest_ns = max(max(start_ns, self._end_ns) - LATE_NS, self._start_ns)
        lo = min(max(resampler.index_at(oldest_ns), first), last)
        hi = max(min(resampler.index_at(end_ns + EARLY_NS), last), lo)
        self.late_samples += lo - first
        self.early_samples += last - hi
        return _Intake(chunk, channel, resampler, lo, hi) if lo < hi else None

    def _resampler(self, chunk: Chunk) -> Resampler:
        """The channel's resampler. It begins no timeline: that is for samples that are in time, since the memory holds
        only a few and a new one may take the place of another."""
        key = (chunk.modality, chunk.lead)
        known = self._resamplers.get(key)
        if known is None or known.rate_hz != chunk.rate_hz or known.origin_ns != chunk.origin_ns:
            known = self._resamplers[key] = Resampler(chunk.rate_hz, chunk.origin_ns)
        return known

    def _take(self, intake: _Intake, before_ns: int | None) -> None:
        """Hand the samples before ``before_ns`` (None: all that are left) to their channel."""
        chunk, channel = intake.chunk, intake.channel
        hi = intake.hi
        if before_ns is not None:
            hi = min(hi, intake.resampler.index_at(before_ns))
        if hi <= intake.lo:
            return
        values = chunk.values[intake.lo - chunk.first_index : hi - chunk.first_index]
        first_g = channel.add(chunk.rate_hz, chunk.origin_ns, intake.lo, values, chunk.withheld)
        intake.lo = hi
        if first_g is not None:
            self._amended_s = min(self._amended_s, first_g // GRID_RATE_HZ)

    def _close(self, cells: list[Cell], windows: list[Window]) -> None:
        """Close the cells that every channel has passed, or that were due at the push before this one."""
        look_ahead_ns = max((c.look_ahead_ns for c in self._channels.values()), default=0)
        due_ns, self._due_ns = self._due_ns, self._end_ns - look_ahead_ns
        last_s = self._next_s
        while True:
            end_ns = (last_s + 1) * SECOND_NS
            if end_ns - GRID_STEP_NS > self._due_ns:
                break
            awaited = any(c.awaits(end_ns, self._end_ns) for c in self._channels.values())
            if awaited and end_ns - GRID_STEP_NS > due_ns:
                break
            last_s += 1
        self._close_before(last_s, cells, windows)

    def _close_before(self, last_s: int, cells: list[Cell], windows: list[Window]) -> None:
        if last_s <= self._next_s:
            return
        for channel in self._channels.values():
            channel.complete(last_s * GRID_RATE_HZ)
        first_s = min(self._amended_s, self._next_s)
        inherited, self._inherited = self._inherited, None
        oldest_s = max(self._start_ns // SECOND_NS, self._next_s - AMENDABLE_S)
        if inherited is not None and oldest_s <= inherited.second < last_s:
            first_s = min(first_s, inherited.second)
        else:
            inherited = None
        self._context.forget(first_s)
        for choice in self._choices.values():
            choice.forget(first_s)
        for channel in self._channels.values():
            channel.forget_zero(first_s)
        for second in range(first_s, last_s):
            if inherited is not None and second == inherited.second:
                self._take_over(inherited)
            cell = self._judge(second)
            if second < self._next_s:
                continue
            cells.append(cell)
            self._newest, self._findings, self._leads = cell.absence, cell.findings, cell.leads
            if (second + 1) % self.spec.hop_s == 0:
                window = self._window(second + 1)
                if window is not None:
                    windows.append(window)
        self._next_s = self._amended_s = last_s

    def _judge(self, second: int) -> Cell:
        """Verdict, findings and context of one cell."""
        last_g = (second + 1) * GRID_RATE_HZ
        absence: dict[Modality, Absence | None] = dict.fromkeys(self.spec.modalities, Absence.NOT_CONNECTED)
        beats: dict[Modality, npt.NDArray[np.float64]] = {}
        found: dict[Modality, FoundBeats] = {}
        pulse: dict[Modality, Pulse] = {}
        rhythm, late = Rhythm.UNKNOWN, set()
        looks = {key: self._look(key, second) for key in self._channels}
        leads = self._choose(second, looks)
        for modality in dict.fromkeys(m for m, _ in looks):
            look = looks[modality, self._serving.get(modality, 0)]
            absence[modality] = look.verdict.absence
            found[modality] = look.found
            beats[modality] = (look.found.at + (last_g - LOOK_BACK_SAMPLES)) / GRID_RATE_HZ
            if modality in PULSE_CHANNELS:
                pulse[modality] = look.verdict.pulse
                if look.verdict.pulse is Pulse.PRESENT and overdue(look.found.at, LOOK_BACK_SAMPLES):
                    late.add(modality)
            elif modality is Modality.ECG:
                rhythm = look.rhythm
        present = {m: self._cells(m, second + 1, PPG_MEMORY_S) for m in self.spec.modalities}
        other = [m for m, serving in leads.items() if serving.lead != self._choices[m].lead_at(second - 1)]
        self._context.add(present, beats, self._view, other)
        delay_s = self._context.rppg_delay_s(second)
        return Cell(second, absence, Findings(rhythm, pulse, frozenset(late)), leads, delay_s, found)

    def _look(self, key: Lead, second: int) -> _Look:
        """Judge one lead, and note whether a model may read its cell."""
        modality, channel = key[0], self._channels[key]
        last_g = (second + 1) * GRID_RATE_HZ
        found = FoundBeats.of(modality, channel.grid(last_g - LOOK_BACK_SAMPLES, last_g))
        shown = judge_rhythm(found.ecg, found.at) if found.ecg is not None else Rhythm.UNKNOWN
        verdict = channel.judge(second, found.samples, found.at, shown)
        if key not in self._present:
            self._present[key] = np.zeros(self._presence_s, dtype=np.bool_)
        self._present[key][second % self._presence_s] = verdict.readable
        return _Look(found, verdict, _believed(shown, verdict.absence))

    def _choose(self, second: int, looks: Mapping[Lead, _Look]) -> dict[Modality, Serving]:
        """The lead of each modality that serves in ``second``, where there are several."""
        leads: dict[Modality, Serving] = {}
        for modality in SEVERAL:
            verdicts = {lead: look.of_lead for (m, lead), look in sorted(looks.items()) if m is modality}
            if len(verdicts) > 1:
                choice = self._choices.setdefault(modality, LeadChoice(AMENDABLE_S))
                leads[modality] = choice.add(second, verdicts)
                self._serving[modality] = leads[modality].lead
        return leads

    def _cells(self, modality: Modality, end_s: int, count: int) -> npt.NDArray[np.bool_]:
        """Of the lead that serves, also from before it did."""
        present = self._present.get((modality, self._serving.get(modality, 0)))
        if present is None:
            return np.zeros(count, dtype=np.bool_)
        return present[np.arange(end_s - count, end_s) % self._presence_s]

    def _view(self, modality: Modality, first_g: int, last_g: int) -> FloatArray:
        """Grid samples from the channel's zero, as a model reads them."""
        channel = self._channels.get((modality, self._serving.get(modality, 0)))
        values = self.grid(modality, first_g, last_g)
        return values - np.float32(channel.zero) if channel is not None and channel.zero else values

    def _window(self, end_s: int) -> Window | None:
        """The window that ends at ``end_s``; None where nothing in it was measured."""
        spec = self.spec
        cells = np.stack([self._cells(m, end_s, spec.window_s) for m in spec.modalities])
        if not cells.any():
            return None
        last_g = end_s * GRID_RATE_HZ
        signals = np.stack([self._view(m, last_g - spec.samples, last_g) for m in spec.modalities])
        presence = frame_presence(cells, spec.frame_s)
        return Window(end_s, signals, presence, cells, self._context.at(end_s), self._newest, self._findings)

    def _states(self) -> dict[Modality, Absence | None]:
        states: dict[Modality, Absence | None] = dict.fromkeys(self.spec.modalities, Absence.NOT_CONNECTED)
        for (modality, lead), channel in self._channels.items():
            if lead == self._serving.get(modality, 0):
                states[modality] = channel.state.at(self._end_ns, self._newest.get(modality))
        return states


def _believed(rhythm: Rhythm, absence: Absence | None) -> Rhythm:
    """The rhythm, as far as the sensor can be believed: a flat line may be asystole, and fibrillation may look like an
    artefact, but beats found in an artefact are not the patient's."""
    if standing_of(absence) is Standing.ABSENT:
        return Rhythm.UNKNOWN
    believed = absence is None or rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION)
    return rhythm if believed else Rhythm.UNKNOWN


def _block_ends(start_ns: int, end_ns: int) -> list[int]:
    return [*range(start_ns + BLOCK_NS, end_ns, BLOCK_NS), end_ns]
