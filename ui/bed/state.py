"""What the display knows of one bed: the records of the feed, folded into lanes, numerics, prediction and alarms.

No Qt, no clock: the caller says when a record arrived. Everything is bounded (ten minutes, fixed counts, and the
trends as :mod:`ui.bed.series` says).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from models.signals.absence import Absence
from models.signals.estimable import MEASURED, forbidden
from models.signals.findings import PULSE_CHANNELS, Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from streams.control import ChannelInfo
from streams.limit_settings import LimitSetting
from streams.records import (
    DEVICE_NUMERICS,
    AlarmRecord,
    AnyRecord,
    BeatRecord,
    CellRecord,
    CommandRecord,
    ExplainRecord,
    LeadState,
    LimitsRecord,
    PredictionRecord,
    RhythmRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from streams.sessions import is_past
from ui.bed.alarm_view import AlarmBook
from ui.bed.flags import Flags
from ui.bed.lane_words import NOT_KNOWN, given_by
from ui.bed.lanes import Estimate, Lane, Trace, identity_of
from ui.bed.lead_rows import lead_absence, rows_of
from ui.bed.liveness import Moment
from ui.bed.low_pressure import LowPressure, Pressure, PressureWatch
from ui.bed.marks import Marks
from ui.bed.playout import PlayoutClock
from ui.bed.risk_history import MapPoint, RiskPoint
from ui.bed.trends import FINE_BLOCKS, FINE_BLOCKS_OF_MANY, Trends
from ui.bed.truth import Truth
from ui.style.language import tr
from ui.style.theme import Theme
from ui.style.words import ESTIMATED

_NS = 1e-9
_MODALITIES = frozenset(modality.value for modality in Modality)
_CREDIT_S = 0.020
GLIMPSE_S = 8.0
"""Seconds of a glimpse: what is kept of a bed's first ECG and pressure where its waves are not kept as a whole; 36 kB
with 500 samples a second of the ECG and 125 of the pressure."""
GLIMPSED = (Modality.ECG, Modality.ABP)


class DisplayState:
    """Folds records in; ``generation`` counts the fresh starts (epochs) that blank the screen. bed: whose records they
    are; "" for those of the first that comes."""

    def __init__(self, theme: Theme, bed: str = "") -> None:
        self.theme = theme
        self.clock = PlayoutClock(theme.sweep.playout_margin_s)
        self.trends = Trends()
        self.lanes: list[Lane] = []
        self.generation = 0
        self.bed = bed
        self.ended = False
        self._drawn = self._keeps_waves = self._glimpse = True
        self._identity: tuple[str, int] | None = None
        self._reviewed: Moment | None = None
        self.truth, self.marks, self.flags = Truth(), Marks(), Flags()
        self.limits: tuple[LimitSetting, ...] | None = None
        """By which the stream judges, as it last said; None before."""
        self.limits_by = ""
        self._seen: dict[tuple[str, str], float] = {}
        self._clear_epoch()

    def _clear_epoch(self) -> None:
        self.clock.reset()
        self.ended = False
        self.vitals: VitalsRecord | None = None
        self.last_pressure: VitalsRecord | None = None
        self.last_numbers: dict[str, VitalsRecord] = {}
        """Of each number of a device, the newest record that has it."""
        self.prediction: PredictionRecord | None = None
        self.missed: PredictionRecord | None = None
        """The newest window that was late or skipped, where that is newer than ``prediction``."""
        self.trend: deque[RiskPoint] = deque(maxlen=int(self.theme.prediction.trend_s))
        self.maps: deque[MapPoint] = deque(maxlen=int(self.theme.prediction.trend_s))
        self.explained: ExplainRecord | None = None
        self.explained_s = 0.0  # monotonic, when that came
        self.rhythm: RhythmRecord | None = None
        self._gone_stale = False  # the rhythm record, when last looked at
        self.absence: dict[Modality, Absence | None] = {}
        self._leads: Mapping[str, Sequence[LeadState]] = {}  # as last told
        self.alarms = AlarmBook({key: since_s for (whose, key), since_s in self._seen.items() if whose == self.session})
        self.truth.clear()
        self.pressure = PressureWatch()
        self._arrived: dict[type[AnyRecord], float] = {}
        self.beats: deque[BeatRecord] = deque(maxlen=64)
        self.undrawn: deque[tuple[float, int]] = deque(maxlen=4096)
        for lane in self.lanes:
            lane.clear()

    def break_waves(self) -> None:
        """Waves and estimates begin anew, on empty paper; what is known besides stays, alarms above all."""
        self.generation += 1
        self.undrawn.clear()
        for lane in self.lanes:
            lane.trace = lane.estimate = None

    def keep(self, *, drawn: bool, waves: bool, glimpse: bool = False) -> None:
        """drawn: somebody paints its waves and reports when; what came before that is not reported. waves: measured and
        estimated samples are kept, some MB of them; else they go, all or, for a ``glimpse``, all but the last seconds
        of two; and all that is known besides stays right."""
        if drawn != self._drawn:
            self.undrawn.clear()
        self._drawn = drawn
        if (waves, glimpse) == (self._keeps_waves, self._glimpse):
            return
        self._keeps_waves, self._glimpse = waves, glimpse
        self.trends.keep(FINE_BLOCKS if waves else FINE_BLOCKS_OF_MANY)
        for lane in self.lanes:
            if lane.trace is not None and self._keeps(lane):
                lane.trace.hold(self._history_s)
            else:
                lane.trace = None
            if not waves:
                lane.truth = lane.estimate = None

    @property
    def _history_s(self) -> float:
        return self.theme.sweep.history_s if self._keeps_waves else GLIMPSE_S

    def _keeps(self, lane: Lane) -> bool:
        return self._keeps_waves or (self._glimpse and lane.first and lane.modality in GLIMPSED)

    @property
    def glimpsed(self) -> bool:
        """Whether the last seconds of ECG and pressure are there, if they are measured."""
        return self._keeps_waves or self._glimpse

    def set_channels(self, channels: tuple[ChannelInfo, ...]) -> bool:
        """Make the rows, see :func:`ui.bed.lead_rows.rows_of`. Returns True if they changed."""
        wanted = rows_of(channels)
        if [(lane.key, lane.modality, lane.info) for lane in self.lanes] == wanted:
            return False
        known = {lane.key: lane for lane in self.lanes}
        self.lanes = []
        for key, modality, info in wanted:
            lead = info.lead if info is not None else 0
            lane = known.get(key) or Lane(key, modality, self.theme.lanes[modality], info, lead=lead)
            lane.info = info
            lane.lead = lane.lead if lane.first else lead
            if info is None and not lane.absence:
                lane.absence = Absence.NOT_CONNECTED.value
            self.lanes.append(lane)
        return True

    @property
    def session(self) -> str:
        """Of what is shown; "" before the first record."""
        return self._identity[0] if self._identity is not None else ""

    def remember(self, seen: Mapping[tuple[str, str], float]) -> None:
        """Alarms that were acknowledged before this display began: (session, key) -> since, event time in seconds."""
        self._seen = dict(seen)
        for (session, key), since_s in seen.items():
            if session == self.session:
                self.alarms.see(key, since_s)

    def lane(self, modality: str) -> Lane | None:
        """The row of a modality: its first."""
        return next((lane for lane in self.lanes if lane.key == modality), None)

    def apply(self, record: AnyRecord, now_s: float) -> None:
        """Fold one record in; ``now_s`` is the monotonic time of its arrival. Records of an older epoch, another bed
        or an earlier session or patient are not shown."""
        if not isinstance(record, WaveTick):
            self._reviewed = None
        if not self.bed:
            self.bed = record.bed
        if record.bed != self.bed:
            return
        if isinstance(record, CommandRecord):
            self.flags.apply(record)
            self._command(record)
            return
        identity = (record.session, record.epoch)
        if identity != self._identity:
            if self._identity is not None and is_past(*identity, *self._identity):
                return
            if record.session != self.session:
                self.marks.clear()
            else:
                self.marks.jumped(self.clock.newest_s)
            self._identity = identity
            self.generation += 1
            self._clear_epoch()
        match record:
            case WaveTick():
                self._wave(record, now_s)
            case CellRecord():
                self._cells(record)
            case StateRecord():
                self._state(record)
            case VitalsRecord():
                self._vitals(record, now_s)
            case RhythmRecord():
                self._rhythm(record, now_s)
            case PredictionRecord():
                self._prediction(record, now_s)
            case ExplainRecord():
                self.explained, self.explained_s = record, now_s
            case AlarmRecord():
                self.alarms.apply(record, self.limits or ())
                self.marks.alarm(record)
            case LimitsRecord():
                self.limits, self.limits_by = tuple(record.limits), record.set_by
            case BeatRecord():
                self.beats.append(record)
            case _:
                pass  # dead letters concern the session, which counts them in its status
        if not isinstance(record, WaveTick):
            abp, eeg = self.lane(Modality.ABP), self.lane(Modality.EEG)
            pressure = abp is not None and abp.said.estimated
            self.trends.apply(record, now_s, pressure=pressure, depth=eeg is not None and not eeg.absence)

    def _command(self, record: CommandRecord) -> None:
        """What was acknowledged at another display has been seen; the rest concerns the session."""
        if record.name == "acknowledge" and record.session == self.session:
            for key, since_s in record.args.items():
                if isinstance(since_s, float | int):
                    self.alarms.see(key, float(since_s))

    def _wave(self, tick: WaveTick, now_s: float) -> None:
        for chunk in tick.chunks if self.glimpsed else ():
            for lane in self.lanes:  # a further lead that serves is drawn in two
                if lane.modality == chunk.modality and lane.lead == chunk.lead:
                    self._samples(lane, chunk)
        if self._keeps_waves:
            self.truth.see(tick)
        if tick.goes_to_ns is not None:
            self.clock.preroll(tick.start_ns * _NS, tick.end_ns * _NS, tick.goes_to_ns * _NS, now_s)
            return
        # Records wait up to a frame in the feed; the stamp of the replay clock tells when the tick was really due. It
        # is believed for so long only: beyond that it may be another host's clock, or the stream may be late.
        due_s = tick.due_ns * _NS if tick.due_ns else now_s
        self.clock.tick(tick.start_ns * _NS, tick.end_ns * _NS, min(now_s, max(due_s, now_s - _CREDIT_S)))
        if tick.due_ns and self._drawn:
            self.undrawn.append((tick.end_ns * _NS, tick.due_ns))
        self.ended = self.ended or tick.eos

    def _samples(self, lane: Lane, chunk: WaveChunk) -> None:
        if chunk.withheld:
            if self._keeps_waves:
                if lane.truth is None or lane.truth.identity != identity_of(chunk):
                    lane.truth = Trace(chunk, lane.style, self.theme.sweep)
                lane.truth.write(chunk.first_index, _floats(chunk))
        elif self._keeps(lane):
            if lane.trace is None or (lane.trace.identity != identity_of(chunk) and not lane.trace.follow(chunk)):
                lane.trace = Trace(chunk, lane.style, self.theme.sweep, self._history_s)
            lane.trace.write(chunk.first_index, _floats(chunk))

    def _told(self, lane: Lane, by_modality: Mapping[str, str]) -> str | None:
        """What is said of a row's own channel; None where nothing is. What is told of a lead is of its newest cell: the
        stream sends the state of leads that has changed before the cell that changed it."""
        if lane.first:
            return by_modality.get(lane.modality.value)
        return lead_absence(self._leads, lane.modality.value, lane.lead)

    def _cells(self, record: CellRecord) -> None:
        for lane in self.lanes:
            absence = self._told(lane, record.absence)
            if absence is not None:
                lane.cells.put(record.second, absence)

    def _state(self, record: StateRecord) -> None:
        self.marks.state(record)
        self._leads = record.leads
        for lane in self.lanes:
            leads = record.leads.get(lane.modality.value)
            if leads and lane.first:
                lane.lead, lane.lead_label = leads[0].lead, leads[0].label
            absence = self._told(lane, record.state)
            if absence is None or absence == lane.absence:
                continue
            # The clock of an absence runs on when only its reason changes (no data -> flat).
            if not absence or not lane.absence:
                lane.absent_since_s = record.time_ns * _NS
            lane.absence = absence
            if not absence:
                lane.not_estimable = ""
        self.absence = {m: Absence(value) if value else None for m, value in _by_modality(record.state)}
        self._gate()

    def _vitals(self, record: VitalsRecord, now_s: float) -> None:
        if self.vitals is not None and record.time_ns < self.vitals.time_ns:
            return
        self.vitals, self._arrived[VitalsRecord] = record, now_s
        self.last_numbers |= {name: record for name in DEVICE_NUMERICS if getattr(record, name) is not None}
        if record.abp_map is not None:
            self.last_pressure = record
            self.pressure.see(Pressure(record.abp_map, record.time_ns * _NS, now_s))
            self.maps.append(MapPoint(record.time_ns * _NS, record.abp_map))

    def _rhythm(self, record: RhythmRecord, now_s: float) -> None:
        if self.rhythm is not None and record.time_ns < self.rhythm.time_ns:
            return
        self.rhythm, self._arrived[RhythmRecord] = record, now_s
        self._gone_stale = False
        self._gate()

    def _prediction(self, record: PredictionRecord, now_s: float) -> None:
        newest = self.missed or self.prediction
        if newest is not None and record.window_end_ns < newest.window_end_ns:
            return
        if record.missed:
            # It says nothing of the patient: what is at hand stands until it is stale.
            if newest is None or record.window_end_ns > newest.window_end_ns:
                self.missed = record
            return
        self.prediction, self._arrived[PredictionRecord] = record, now_s
        self.missed = None
        if record.valid and not record.abstain and record.risk:
            self.trend.append(RiskPoint(record.window_end_ns * _NS, dict(record.risk)))
        for lane in self.lanes:
            refused = record.not_estimable.get(lane.modality.value, "")
            # Of a channel that is back there is no estimate to be ended: its last second is still to be drawn.
            self._bar(lane, lane.forbidden, "" if refused == MEASURED else refused)
        self._hear(record if record.valid else None)
        self._gate()
        if not record.valid:
            return
        for lane in self.lanes:
            if lane.first and lane.given and lane.absence and not lane.barred:
                lane.estimated_s = record.window_end_ns * _NS
        abp = self.lane(Modality.ABP)
        mean = (record.pressures or {}).get("map")
        if mean is not None and abp is not None and abp.said.estimated:
            self.pressure.see(Pressure(mean[0], record.window_end_ns * _NS, now_s, mean[1:]))
            self.truth.estimated(record.window_end_ns, mean)
            self.maps.append(MapPoint(record.window_end_ns * _NS, mean[0], estimated=True))
        played = self.clock.started and record.window_end_ns * _NS > self.clock.first_s
        beam = self.clock.newest_s if played else None
        for chunk in record.restored if self._keeps_waves else ():
            lane_ = self.lane(chunk.modality)
            if lane_ is None or lane_.barred or not lane_.given:  # whatever is sent
                continue
            if lane_.estimate is None:
                lane_.estimate = Estimate(chunk.rate_hz, self.theme.sweep)
            lane_.estimate.append(chunk, lane_.cells, beam)
            second = int((chunk.first_index + chunk.amends) / chunk.rate_hz + 1e-9)
            lane_.put_badge(second, estimate_badge(record, lane_.modality))

    # What may be said now --------------------------------------------------------------------------------------

    @property
    def _findings(self) -> Findings | None:
        """Of the newest rhythm record, however old it is."""
        record = self.rhythm
        if record is None:
            return None
        pulse = {m: Pulse(value) for m, value in _by_modality(record.pulse) if m in PULSE_CHANNELS}
        return Findings(Rhythm(record.rhythm), pulse, frozenset(Modality(name) for name in record.overdue))

    def findings(self, moment: Moment) -> Findings | None:
        """What the sensors say about the circulation now, None where nothing fresh is known."""
        record = self.rhythm
        fresh = record is not None and moment.fresh(record.time_ns * _NS, self._arrived[RhythmRecord])
        return self._findings if fresh else None

    def current_vitals(self, moment: Moment) -> VitalsRecord | None:
        """The newest vitals unless they are stale."""
        record = self.vitals
        fresh = record is not None and moment.fresh(record.time_ns * _NS, self._arrived[VitalsRecord])
        return record if fresh else None

    def current_prediction(self, moment: Moment) -> PredictionRecord | None:
        """The newest prediction if it is valid and not stale; it may abstain from the risk and still hold estimates."""
        record = self.prediction
        if record is None or not record.valid:
            return None
        return record if moment.fresh(record.window_end_ns * _NS, self._arrived[PredictionRecord]) else None

    def low_pressure(self, moment: Moment) -> LowPressure | None:
        """Whether the mean pressure is low, measured or by an estimate that may be shown."""
        abp = self.lane(Modality.ABP)
        self.review(moment)
        estimates = abp is not None and abp.said.estimated
        return self.pressure.now(moment.event_s, moment.fresh, estimates)

    def review(self, moment: Moment) -> None:
        """Close the gates of the estimates where what opened them has gone stale; to be called before they are read."""
        if moment is self._reviewed:  # several numbers are read at one moment
            return
        self._reviewed = moment
        self._gone_stale = self.findings(moment) is None
        self._hear(self.current_prediction(moment))
        self._gate()

    def _hear(self, prediction: PredictionRecord | None) -> None:
        """What the model gives now; None: nothing."""
        given = given_by(prediction)
        for lane in self.lanes:
            lane.answers, lane.given = prediction is not None, lane.modality in given

    def _gate(self) -> None:
        """Ask the gate that stream and exports ask, with the newest findings: the model may be slower than bad news.

        A channel that has just come back is asked as if it had not: the last second of its absence is still drawn.
        """
        findings = None if self._gone_stale else self._findings
        for lane in self.lanes:
            modality = lane.modality
            missing = {**self.absence, modality: self.absence.get(modality) or Absence.NO_DATA}
            why = forbidden(modality, findings, missing) if findings is not None else NOT_KNOWN
            self._bar(lane, why, lane.not_estimable)
            lane.pulse = findings.pulse_of(modality) if findings is not None else Pulse.UNKNOWN
            lane.rhythm = findings.rhythm if findings is not None else Rhythm.UNKNOWN

    def _bar(self, lane: Lane, forbidden: str, refused: str) -> None:
        """Why no estimate of ``lane`` may be shown; what of one is still to be drawn goes with the first reason."""
        before, lane.forbidden, lane.not_estimable = lane.barred, forbidden, refused
        if lane.barred and not before and lane.estimate is not None:
            lane.estimate.cut(self.clock.position_s)

    def settle(self) -> None:
        """Run the display filters over what has arrived; once a frame, after the records of that frame."""
        for lane in self.lanes:
            for trace in (lane.trace, lane.truth):
                if trace is not None:
                    trace.settle()

    def drawn_until(self, time_s: float) -> list[tuple[float, int]]:
        """Take out the ticks (end, due) whose samples the beam has now passed, for the latency report."""
        done: list[tuple[float, int]] = []
        while self.undrawn and self.undrawn[0][0] <= time_s + 1e-9:
            done.append(self.undrawn.popleft())
        return done


def estimate_badge(record: PredictionRecord, modality: Modality) -> str:
    """The words over an estimate: ESTIMATED, from what, how sure; pressures in mmHg as half the 80 % interval."""
    present = [name for name, row in zip(record.modalities, record.presence, strict=False) if row and row[-1]]
    made_from = [name for name in present if name != modality.value]
    source = tr("from {sensor}", sensor=", ".join(map(tr, made_from))) if made_from else tr("from the past only")
    words = f"{tr(ESTIMATED)} {source}"
    if modality is Modality.ABP and record.pressures and "map" in record.pressures:
        _, lo, hi = record.pressures["map"]
        words += f"  ±{(hi - lo) / 2:.0f} mmHg"
    return words


def _by_modality(values: dict[str, str]) -> list[tuple[Modality, str]]:
    """The entries whose modality is known here."""
    return [(Modality(name), value) for name, value in values.items() if name in _MODALITIES]


def _floats(chunk: WaveChunk) -> np.ndarray:
    return np.frombuffer(chunk.data, "<f4")
