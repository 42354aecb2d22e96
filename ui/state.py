"""What the display knows of one bed: the records of the feed, folded into lanes, numerics, prediction and alarms.

No Qt, no clock: the caller says when a record arrived. Everything is bounded (ten minutes, or fixed counts).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from models.signals.absence import Absence
from models.signals.modalities import MODEL_MODALITIES, Modality
from streams.control import ChannelInfo
from streams.records import (
    AlarmRecord,
    AnyRecord,
    BeatRecord,
    CellRecord,
    PredictionRecord,
    StateRecord,
    VitalsRecord,
    WaveChunk,
    WaveTick,
)
from ui.lanes import Estimate, Lane, Trace
from ui.playout import PlayoutClock
from ui.theme import Theme

_NS = 1e-9
_ALARMS_KEPT = 256
_CREDIT_S = 0.020


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """One point of the trend: end of the window in seconds, risk 0-1 per horizon in minutes."""

    time_s: float
    risk: dict[str, float]


class DisplayState:
    """Folds records in; ``generation`` counts the fresh starts (epochs) that blank the screen."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self.clock = PlayoutClock(theme.sweep.playout_margin_s)
        self.lanes: list[Lane] = []
        self.generation = 0
        self.bed = ""
        self.ended = False
        self.foreign = 0
        self._identity: tuple[str, int] | None = None
        self._clear_epoch()

    def _clear_epoch(self) -> None:
        self.clock.reset()
        self.ended = False
        self.vitals: VitalsRecord | None = None
        self.last_pressure: VitalsRecord | None = None
        self.prediction: PredictionRecord | None = None
        self.trend: deque[RiskPoint] = deque(maxlen=int(self.theme.prediction.trend_s))
        self.alarms: dict[str, AlarmRecord] = {}
        self.beats: deque[BeatRecord] = deque(maxlen=64)
        self.undrawn: deque[tuple[float, int]] = deque(maxlen=4096)
        for lane in self.lanes:
            lane.clear()

    def set_channels(self, channels: tuple[ChannelInfo, ...]) -> bool:
        """Make the rows: one per connected channel, and the modalities of the model also where not connected.

        Returns True if the rows changed.
        """
        wanted: list[tuple[str, Modality, ChannelInfo | None]] = []
        for modality in Modality:
            mine = [channel for channel in channels if channel.modality == modality]
            for number, channel in enumerate(mine):
                wanted.append(
                    (
                        modality.value if number == 0 else f"{modality.value}:{channel.label}",
                        modality,
                        channel,
                    )
                )
            if not mine and modality in MODEL_MODALITIES and channels:
                wanted.append((modality.value, modality, None))
        if [(lane.key, lane.modality, lane.info) for lane in self.lanes] == wanted:
            return False
        known = {lane.key: lane for lane in self.lanes}
        self.lanes = []
        for key, modality, info in wanted:
            lane = known.get(key) or Lane(key, modality, self.theme.lanes[modality], info)
            lane.info = info
            if info is None and not lane.reason:
                lane.reason = Absence.NOT_CONNECTED.value
            self.lanes.append(lane)
        return True

    def lane(self, modality: str, label: str = "") -> Lane | None:
        """The row of a modality (its first), or of one labelled channel of it."""
        by_key = {lane.key: lane for lane in self.lanes}
        return by_key.get(f"{modality}:{label}") or by_key.get(modality)

    def apply(self, record: AnyRecord, now_s: float) -> None:
        """Fold one record in; ``now_s`` is the monotonic time of its arrival. Records of an older epoch, another bed
        or an earlier session are not shown."""
        if not self.bed:
            self.bed = record.bed
        if record.bed != self.bed:
            self.foreign += 1
            return
        identity = (record.session, record.epoch)
        if identity != self._identity:
            same_session = self._identity is not None and self._identity[0] == record.session
            if same_session and self._identity is not None and record.epoch < self._identity[1]:
                return
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
                self.vitals = record
                if record.abp_map is not None:
                    self.last_pressure = record
            case PredictionRecord():
                self._prediction(record)
            case AlarmRecord():
                self._alarm(record)
            case BeatRecord():
                self.beats.append(record)
            case _:
                pass  # commands and dead letters concern the session, which counts them in its status

    def _wave(self, tick: WaveTick, now_s: float) -> None:
        for chunk in tick.chunks:
            lane = self.lane(chunk.modality, chunk.label)
            if lane is None or chunk.withheld:
                continue
            if lane.trace is None or lane.trace.identity != (chunk.label, chunk.rate_hz, chunk.origin_ns):
                lane.trace = Trace(chunk, lane.style, self.theme.sweep)
            lane.trace.write(chunk.first_index, _floats(chunk))
        # Records wait up to a frame in the feed; the stamp of the replay clock tells when the tick was really due. It
        # is believed for so long only: beyond that it may be another host's clock, or the stream may be late.
        due_s = tick.due_ns * _NS if tick.due_ns else now_s
        self.clock.tick(tick.start_ns * _NS, tick.end_ns * _NS, min(now_s, max(due_s, now_s - _CREDIT_S)))
        if tick.due_ns:
            self.undrawn.append((tick.end_ns * _NS, tick.due_ns))
        self.ended = self.ended or tick.eos

    def _cells(self, record: CellRecord) -> None:
        for lane in self.lanes:
            reason = record.absence.get(lane.modality.value)
            if reason is not None:
                lane.cells.put(record.second, reason)

    def _state(self, record: StateRecord) -> None:
        for lane in self.lanes:
            reason = record.state.get(lane.modality.value)
            if reason is None or reason == lane.reason:
                continue
            # The clock of an absence runs on when only its reason changes (no data -> flat).
            if not reason or not lane.reason:
                lane.reason_since_s = record.time_ns * _NS
            lane.reason = reason
            if not reason:
                lane.not_estimable = ""

    def _prediction(self, record: PredictionRecord) -> None:
        if self.prediction is not None and record.window_end_ns < self.prediction.window_end_ns:
            return
        self.prediction = record
        if record.valid and not record.abstain:
            self.trend.append(RiskPoint(record.window_end_ns * _NS, {k: v[0] for k, v in record.risk.items()}))
        for lane in self.lanes:
            lane.not_estimable = record.not_estimable.get(lane.modality.value, "")
        if not record.valid:
            return
        beam = self.clock.newest_s
        for chunk in record.restored:
            lane_ = self.lane(chunk.modality)
            if lane_ is None or chunk.modality == Modality.EEG.value:  # never a trace for EEG, whatever is sent
                continue
            if lane_.estimate is None:
                lane_.estimate = Estimate(chunk.rate_hz, self.theme.sweep)
            lane_.estimate.append(chunk, lane_.cells, beam)
            second = int(chunk.first_index / chunk.rate_hz + 1e-9)
            lane_.put_badge(second, estimate_badge(record, lane_.modality))

    def _alarm(self, record: AlarmRecord) -> None:
        if record.active:
            self.alarms[record.key] = record
            while len(self.alarms) > _ALARMS_KEPT:
                del self.alarms[next(iter(self.alarms))]
        else:
            self.alarms.pop(record.key, None)

    def settle(self) -> None:
        """Run the display filters over what has arrived; once a frame, after the records of that frame."""
        for lane in self.lanes:
            if lane.trace is not None:
                lane.trace.settle()

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
    words = "ESTIMATED" + (f" from {', '.join(made_from)}" if made_from else " from the past only")
    if modality is Modality.ABP and record.pressures and "map" in record.pressures:
        _, lo, hi = record.pressures["map"]
        words += f"  ±{(hi - lo) / 2:.0f} mmHg"
    return words


def _floats(chunk: WaveChunk) -> np.ndarray:
    return np.frombuffer(chunk.data, "<f4")
