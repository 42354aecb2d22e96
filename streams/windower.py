"""One bed's ticks in, its states, cells, vitals, beats and windows out: pure, clock-free, bounded.

Deliveries are at least once, so ticks are known by identity: what came before is dropped and counted, what was skipped
is counted as lost by the samples' own indices and taken off again if it comes late. A new epoch or session resets
everything; so does a jump of the clock, forward or back. Nothing of before is glued to what comes after.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.signals.absence import Absence
from models.signals.bed_memory import PipelineState
from models.signals.findings import Findings
from models.signals.leads import Serving
from models.signals.leave_out import WindowPast
from models.signals.modalities import Modality
from models.signals.pipeline import BedPipeline, Cell, Chunk, PipelineOutput, clock_jumped
from models.signals.times import SECOND_NS
from models.signals.windows import Window, WindowSpec
from streams.accounting import Accounting
from streams.alarms.arrhythmia import ArrhythmiaMonitor, Call
from streams.codec import chunk_values
from streams.mailbox import ExplainJob, WindowJob
from streams.memories import pipeline_state, told_signals, usual_state
from streams.pasts import SignalsPast
from streams.records import (
    NUMERICS,
    AnyRecord,
    ArrhythmiaCall,
    BeatRecord,
    CellRecord,
    LeadState,
    MemoryRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveTick,
)
from streams.sessions import is_past
from streams.vitals.device import DeviceNumbers
from streams.vitals.monitor import Grid, Vitals, VitalsMonitor

MAX_MISSING = 4096  # skipped tick numbers remembered, to know a late tick from a duplicate
MAX_STAMPS = 16  # whole seconds whose due time is remembered


class Pipeline(Protocol):
    """What the windower needs of :class:`models.signals.pipeline.BedPipeline`."""

    late_samples: int
    early_samples: int

    def push(self, chunks: Sequence[Chunk], start_ns: int, end_ns: int, /) -> PipelineOutput:
        """The chunks of the tick [start_ns, end_ns): what it closed."""

    def finish(self, end_ns: int, /) -> PipelineOutput:
        """The stream ends at ``end_ns``: what is still open closes."""

    def export(self) -> PipelineState | None:
        """What samples of the last minutes do not tell; None where there is nothing to be told yet."""

    def restore(self, state: PipelineState, /) -> None:
        """Before the push after which ``state`` was exported elsewhere: go on with it."""

    def past(self, window: Window, /) -> WindowPast:
        """What was known when ``window``, the newest, began."""

    def grid(
        self, modality: Modality, first_g: int, last_g: int, lead: int | None = None, /
    ) -> npt.NDArray[np.float32]:
        """Samples [first_g, last_g) of the common grid, NaN where missing; ``lead`` None: of the one that serves."""

    def native(self, modality: Modality, second: int, /) -> tuple[npt.NDArray[np.float32], float]:
        """A second of a channel as it came, and its rate in Hz."""


MakePipeline = Callable[[WindowSpec, Collection[Modality]], Pipeline]


@dataclass(slots=True)
class Handled:
    """What one tick gave: records in order for the topic ``vitals``, windows for the model, and whether it was the
    bed's last."""

    records: list[AnyRecord] = field(default_factory=list)
    windows: list[WindowJob] = field(default_factory=list)
    ended: bool = False


@dataclass(slots=True)
class _Epoch:
    """All that is known of one epoch of one session."""

    session: str
    number: int
    end_ns: int  # event time reached
    highest: int | None = None  # newest tick_seq
    missing: OrderedDict[int, None] = field(default_factory=OrderedDict)
    next_index: dict[tuple[str, int], int] = field(default_factory=dict)
    labels: dict[tuple[str, int], str] = field(default_factory=dict)
    serving: dict[Modality, int] = field(default_factory=dict)
    stamps: OrderedDict[int, tuple[int, int]] = field(default_factory=OrderedDict)
    state: tuple[dict[str, str], dict[str, list[LeadState]]] | None = None
    state_second: int = -1
    pipeline: Pipeline | None = None
    vitals: VitalsMonitor = field(default_factory=VitalsMonitor)
    arrhythmias: ArrhythmiaMonitor = field(default_factory=ArrhythmiaMonitor)
    device: DeviceNumbers = field(default_factory=DeviceNumbers)
    jumps: int = 0  # of the clock
    newest: Window | None = None


class BedWindower:
    """State of one bed. Call :meth:`handle` with every tick of the bed in the order of delivery.

    spec: the window that the model wants. make_pipeline: for tests; BedPipeline otherwise.
    """

    def __init__(self, spec: WindowSpec, accounting: Accounting, make_pipeline: MakePipeline = BedPipeline) -> None:
        self._spec, self._accounting, self._make_pipeline = spec, accounting, make_pipeline
        self._now = _Epoch("", -1, 0)
        self._inherited: MemoryRecord | None = None
        self._bed = ""

    @property
    def stretch(self) -> int:
        """How often the clock has jumped within the epoch."""
        return self._now.jumps

    @property
    def session(self) -> str:
        """Of the newest tick."""
        return self._now.session

    def question(self, asked_ns: int) -> ExplainJob | None:
        """What the newest window is made of, for who asks what each sensor is worth to it; None before the first."""
        now = self._now
        if now.pipeline is None or now.newest is None:
            return None
        return ExplainJob(self._bed, now.session, now.number, now.pipeline.past(now.newest), now.jumps, asked_ns)

    def export(self, tick: WaveTick) -> MemoryRecord | None:
        """What is known once ``tick``, the newest, is handled, for who takes over; None where nothing is yet."""
        now = self._now
        state = now.pipeline.export() if now.pipeline is not None else None
        if state is None:
            return None
        past = told_signals(state, self._spec.modalities, now.vitals.pulseless, now.arrhythmias.export_usual())
        return MemoryRecord(**_head(tick), time_ns=now.end_ns, tick_seq=tick.tick_seq, signals=past)

    def inherit(self, memory: MemoryRecord) -> None:
        """Go on with what another windower knew, from the tick on that it is of; of ticks of before enough must be
        handled here too (:data:`models.signals.pipeline.RESTORED_FROM_S`). Left aside where that tick never comes, or
        the model wants other modalities."""
        wanted = [m.value for m in self._spec.modalities]
        if memory.signals is not None and memory.signals.modalities == wanted:
            self._inherited = memory

    def handle(self, tick: WaveTick, received_ns: int) -> Handled:
        """received_ns: monotonic time at which the tick arrived, for the stamps."""
        self._bed = tick.bed
        now, past = self._now, is_past(tick.session, tick.epoch, self._now.session, self._now.number)
        if not past and (tick.session, tick.epoch) != (now.session, now.number):
            now = self._now = _Epoch(tick.session, tick.epoch, tick.start_ns)
        expected = tick.tick_seq if now.highest is None else now.highest + 1
        if past or not self._is_new(tick.tick_seq, expected):
            self._accounting.duplicated(tick)
            return Handled()
        skipped, late = max(0, tick.tick_seq - expected), tick.tick_seq < expected
        jumped = not late and clock_jumped(now.end_ns, tick.start_ns, self._spec.window_s)
        if tick.eos:
            handled = Handled(ended=True)
            if now.pipeline is not None:
                now.end_ns = now.end_ns if late or jumped else max(tick.end_ns, now.end_ns)
                self._collect(handled, tick, now.pipeline.finish(now.end_ns), received_ns)
            return handled
        self._count(tick, skipped=skipped > 0 and (not jumped or _is_outage(now, tick, skipped)), late=late)
        if jumped:
            now = self._begin_anew(tick)
        # A late tick brings its samples to the present, whatever times it claims: event time itself never runs back.
        start_ns = now.end_ns if late else max(tick.start_ns, now.end_ns)
        now.end_ns = now.end_ns if late else max(tick.end_ns, now.end_ns)
        self._stamp(tick, received_ns)
        now.device.see(tick.numbers)
        if now.pipeline is None:
            # A source names all of its channels in every tick, so the first one knows them.
            now.pipeline = self._make_pipeline(self._spec, {Modality(c.modality) for c in tick.chunks})
        handled = Handled()
        inherited = self._due_now(tick)
        if inherited is not None:
            now.pipeline.restore(pipeline_state(inherited))
        output = self._push(now.pipeline, tick, min(start_ns, now.end_ns), now.end_ns)
        self._collect(handled, tick, output, received_ns)
        if inherited is not None:
            now.vitals.restore_pulseless([Modality(m) for m in inherited.pulseless])
            now.arrhythmias.restore_usual(usual_state(inherited.usual))
        return handled

    def _due_now(self, tick: WaveTick) -> SignalsPast | None:
        """What is inherited, at the tick that it is of."""
        memory = self._inherited
        if memory is None or (memory.session, memory.epoch) != (tick.session, tick.epoch):
            return None
        if tick.tick_seq >= memory.tick_seq:
            self._inherited = None
        return memory.signals if tick.tick_seq == memory.tick_seq else None

    def _push(self, pipeline: Pipeline, tick: WaveTick, start_ns: int, end_ns: int) -> PipelineOutput:
        """Hand a tick to the pipeline; samples that it could not place in time were received, but are counted too."""
        late, early = pipeline.late_samples, pipeline.early_samples
        output = pipeline.push(_chunks(tick), start_ns, end_ns)
        self._accounting.count("late_samples", pipeline.late_samples - late)
        self._accounting.count("early_samples", pipeline.early_samples - early)
        return output

    def _begin_anew(self, tick: WaveTick) -> _Epoch:
        """The clock has jumped to ``tick``: only what identifies ticks is kept. The pipeline sees the jump itself and
        keeps its counters and which channels there are."""
        self._accounting.count("clock_jumps")
        was = self._now
        now = self._now = _Epoch(was.session, was.number, tick.start_ns, was.highest, was.missing, was.next_index)
        now.pipeline, now.jumps = was.pipeline, was.jumps + 1
        return now

    def _is_new(self, sequence: int, expected: int) -> bool:
        """Whether this tick has not been handled yet; notes what was skipped before it."""
        now = self._now
        if sequence < expected:
            if sequence not in now.missing:
                return False
            del now.missing[sequence]
            self._accounting.count("ticks_late")
            return True
        for skipped in range(max(expected, sequence - MAX_MISSING), sequence):
            now.missing[skipped] = None
        while len(now.missing) > MAX_MISSING:
            now.missing.popitem(last=False)
        self._accounting.count("ticks_missed", sequence - expected)
        now.highest = sequence
        return True

    def _count(self, tick: WaveTick, *, skipped: bool, late: bool) -> None:
        """Samples received, and lost where ticks are missing before this one."""
        next_index = self._now.next_index
        for chunk in tick.chunks:
            channel = (chunk.modality, chunk.lead)
            self._now.labels[channel] = chunk.label
            samples = len(chunk.data) // 4
            if not samples:
                continue
            self._accounting.received(chunk.modality, samples, withheld=chunk.withheld)
            if late:
                self._accounting.lost(chunk.modality, -samples)
                continue
            expected = next_index.get(channel)
            if skipped and expected is not None and chunk.first_index > expected:
                self._accounting.lost(chunk.modality, chunk.first_index - expected)
            next_index[channel] = chunk.first_index + samples

    def _stamp(self, tick: WaveTick, received_ns: int) -> None:
        """When the end of each whole second was due, and when it arrived."""
        stamps, second = self._now.stamps, tick.end_ns // SECOND_NS
        if second * SECOND_NS > tick.start_ns and second not in stamps:
            stamps[second] = (tick.due_ns, received_ns)
            if len(stamps) > MAX_STAMPS:
                stamps.popitem(last=False)

    def _collect(self, handled: Handled, tick: WaveTick, output: PipelineOutput, received_ns: int) -> None:
        now = self._now
        state = {m.value: (why.value if why else "") for m, why in output.states.items()}
        leads = {m.value: self._lead_states(m, serving) for m, serving in output.leads.items()}
        second = now.end_ns // SECOND_NS
        arrived = tick.goes_to_ns is not None and tick.end_ns >= tick.goes_to_ns
        if state and ((state, leads) != now.state or second != now.state_second or arrived):
            now.state, now.state_second = (state, leads), second
            told = StateRecord(**_head(tick), time_ns=now.end_ns, state=state, leads=leads, goes_to_ns=tick.goes_to_ns)
            handled.records.append(told)
        for cell in output.cells:
            self._cell(handled, tick, cell, output.states)
        for window in output.windows:
            due, received = now.stamps.get(window.end_s, (tick.due_ns, received_ns))
            stamps = {"due": due, "received": received}
            job = WindowJob(tick.bed, tick.session, tick.epoch, window, stamps, now.jumps, tick_seq=tick.tick_seq)
            handled.windows.append(job)
            now.newest = window

    def _lead_states(self, modality: Modality, serving: Serving) -> list[LeadState]:
        """All leads of a modality, the one that serves first."""
        states = [
            LeadState(lead, self._now.labels.get((modality.value, lead), ""), why.value if why else "")
            for lead, why in serving.absence.items()
        ]
        return sorted(states, key=lambda s: (s.lead != serving.lead, s.lead))

    def _cell(self, handled: Handled, tick: WaveTick, cell: Cell, states: dict[Modality, Absence | None]) -> None:
        absence = {m.value: (why.value if why else "") for m, why in cell.absence.items()}
        record = CellRecord(**_head(tick), second=cell.second, absence=absence)
        if tick.goes_to_ns is None:
            self._accounting.cell(record)
        handled.records.append(record)
        assert self._now.pipeline is not None
        measured = {m: states.get(m, Absence.NOT_CONNECTED) is None for m in Modality}
        second, grid = cell.second + 1, _grid_of(self._now.pipeline, cell)
        serving = {m: leads.lead for m, leads in cell.leads.items()}
        if serving != self._now.serving:
            if serving.get(Modality.EEG) != self._now.serving.get(Modality.EEG):
                self._now.vitals.forget_eeg()  # what one electrode said does not go on in another
            self._now.serving = serving
            self._now.arrhythmias.forget_usual()  # the complexes of one lead are not those of another
        vitals = self._now.vitals.update(
            second,
            grid,
            measured,
            cell.findings,
            cell.absence,
            self._now.pipeline.native,
            cell.rppg_delay_s,
            cell.beats,
        )
        calls = self._now.arrhythmias.update(second, grid, measured, cell.findings)
        withheld = {m for m, why in cell.absence.items() if why is Absence.WITHHELD}
        device = self._now.device.at(second * SECOND_NS, withheld)
        handled.records += [_vitals_record(tick, vitals, device), _rhythm_record(tick, second, cell.findings, calls)]
        handled.records += [
            BeatRecord(**_head(tick), time_ns=round(time_s * SECOND_NS), source=source)
            for time_s, source in vitals.beats
        ]


def _grid_of(pipeline: Pipeline, cell: Cell) -> Grid:
    """The grid as of a cell, of the leads that served in it: a push may close several, and another may serve since."""

    def grid(modality: Modality, first_g: int, last_g: int) -> npt.NDArray[np.float32]:
        serving = cell.leads.get(modality)
        return pipeline.grid(modality, first_g, last_g, serving.lead if serving else None)

    return grid


def _is_outage(before: _Epoch, tick: WaveTick, skipped: int) -> bool:
    """Whether the ticks that were skipped account for a jump forward: what they held is then lost."""
    return 0 < tick.start_ns - before.end_ns <= 2 * skipped * (tick.end_ns - tick.start_ns)


def _head(tick: WaveTick) -> dict[str, Any]:
    return {"bed": tick.bed, "session": tick.session, "epoch": tick.epoch}


def _chunks(tick: WaveTick) -> list[Chunk]:
    return [
        Chunk(
            modality=Modality(chunk.modality),
            rate_hz=chunk.rate_hz,
            origin_ns=chunk.origin_ns,
            first_index=chunk.first_index,
            values=chunk_values(chunk.data),
            withheld=chunk.withheld,
            lead=chunk.lead,
        )
        for chunk in tick.chunks
    ]


def _vitals_record(tick: WaveTick, vitals: Vitals, device: dict[str, float | None]) -> VitalsRecord:
    numbers = {name: getattr(vitals, name) for name in NUMERICS} | device
    return VitalsRecord(**_head(tick), time_ns=vitals.second * SECOND_NS, **numbers)


def _rhythm_record(tick: WaveTick, second: int, findings: Findings, calls: Sequence[Call]) -> RhythmRecord:
    return RhythmRecord(
        **_head(tick),
        time_ns=second * SECOND_NS,
        rhythm=findings.rhythm.value,
        pulse={m.value: pulse.value for m, pulse in findings.pulse.items()},
        overdue=[m.value for m in Modality if m in findings.overdue],
        calls=[ArrhythmiaCall(c.key, c.verdict.value, c.reason, c.value) for c in calls],
    )
