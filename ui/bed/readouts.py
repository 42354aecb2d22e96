"""What the numerics say: one readout a lane, from measured vitals or, marked, from the model. Pure.

A number is measured, or it is a range marked ESTIMATED, or it is ``-?-``. Of an estimated pressure the range of the
mean is said, the one of the three that is treated: systolic and diastolic are a note. The mark WITHHELD stands beside a
missing number only, and a number that another sensor gives says which. Nothing older than three seconds, of the
patient's time or of the operator's, is shown as current (:meth:`ui.bed.liveness.Moment.fresh`). Bad news is a
measurement: a pressure without a pulse has a mean, and the words NO PULSE beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.signals.absence import Absence
from models.signals.modalities import Modality
from streams.limit_settings import default_setting, setting_of
from streams.records import PredictionRecord, VitalsRecord
from ui.bed.alarm_view import breaths_row
from ui.bed.depth_words import depth_note
from ui.bed.findings_words import (
    NO_BEATS,
    NO_FINDING,
    Finding,
    apnoea_finding,
    pulse_finding,
    rhythm_finding,
    stands_still,
)
from ui.bed.lanes import Lane
from ui.bed.limit_words import NO_LIMITS, LimitWords, limit_words
from ui.bed.liveness import Life, Moment
from ui.bed.state import DisplayState
from ui.style.language import tr
from ui.style.words import ESTIMATED, INVALID, absence_words, clock_words, duration_words, number_words, range_words

HELD = {Life.PAUSED: "PAUSED", Life.PAST: "PAST"}
"""What stands beside values that are of another moment than now."""
_PRESSURES = (("S", "abp_sys"), ("D", "abp_dia"))
_NS = 1e-9


@dataclass(frozen=True, slots=True)
class Readout:
    """value: the large number, or the range of an estimate; second: the one beside it (mean pressure). ``mark``:
    ESTIMATED, WITHHELD or "". limits: those that the stream judges by. finding: bad news beside the number. held:
    "PAUSED" or "PAST" where it is of another moment than now, else ""."""

    label: str
    unit: str
    limits: LimitWords
    value: str
    second: str = ""
    mark: str = ""
    estimated: bool = False
    notes: tuple[str, ...] = ()
    finding: Finding = NO_FINDING
    held: str = ""

    @property
    def invalid(self) -> bool:
        """Whether the large number is ``-?-``."""
        return self.value == INVALID

    @property
    def mean(self) -> str:
        """The mean pressure of an ABP readout, a range where it is estimated, or ``-?-``."""
        return self.value if self.estimated else self.second or INVALID


def readout(state: DisplayState, lane: Lane, moment: Moment) -> Readout:
    """The readout of a lane at a moment; the row of a further lead has none, since numbers are of the modality."""
    if not lane.first:
        return Readout("", "", NO_LIMITS, "")
    state.review(moment)
    facts = _Facts(state, lane, moment)
    match lane.modality:
        case Modality.ECG:
            return facts.heart()
        case Modality.ABP:
            return facts.pressure()
        case Modality.PPG:
            return facts.pulse()
        case Modality.EEG:
            return facts.eeg()
        case Modality.RESP:
            return facts.respiration()
        case Modality.CVP | Modality.PAP | Modality.ICP:
            return facts.line()
        case Modality.CO2:
            return facts.capnogram()
        case Modality.AWP:
            return facts.wave_alone()


class _Facts:
    """One lane at one moment: what is known of it, and the readout made from that."""

    def __init__(self, state: DisplayState, lane: Lane, moment: Moment) -> None:
        self.state, self.lane, self.moment = state, lane, moment
        self.vitals: VitalsRecord | None = state.current_vitals(moment)
        self.prediction: PredictionRecord | None = state.current_prediction(moment)
        self.findings = state.findings(moment)
        self.held = tr(HELD.get(moment.life, ""))
        self.mark = tr("WITHHELD") if lane.absence == Absence.WITHHELD.value else ""

    def heart(self) -> Readout:
        vitals, finding = self.vitals, NO_FINDING
        rate = vitals.hr if vitals else None
        notes: list[str] = []
        if self.findings is not None and self.state.rhythm is not None:
            finding = rhythm_finding(self.state.rhythm)
            stopped = self.findings.rhythm in NO_BEATS or stands_still(self.state.rhythm)
            if stopped and vitals is not None and vitals.hr_source == Modality.ECG:
                rate = None  # of beats that are no longer there, or were none
        if finding.reason:
            notes.append(finding.reason)
        notes += self._origin(vitals.hr_source if vitals is not None and rate is not None else "")
        if vitals is not None and vitals.resp_rate is not None and self._breaths is Modality.ECG:
            source_words = f" ({tr(vitals.resp_source)})" if vitals.resp_source else ""
            alarm = f", {tr('no alarm')}" if self._limits("resp_rate").silent else ""
            notes.append(f"{tr('RR')} {vitals.resp_rate:.0f} /min{source_words}{alarm}")
        return self._readout(tr("HR"), "/min", self._limits("hr"), number_words(rate), notes=notes, finding=finding)

    def _named(self, modality: str) -> str:
        source = self.state.lane(modality)
        label = source.label if source is not None else ""
        return label if label.startswith(modality) else f"{tr(modality)} {label}".strip()

    def pressure(self) -> Readout:
        vitals, prediction, lane = self.vitals, self.prediction, self.lane
        limits = self._pressure_limits()
        if vitals is not None and vitals.abp_map is not None:
            both = vitals.abp_sys is not None and vitals.abp_dia is not None
            value = f"{number_words(vitals.abp_sys)}/{number_words(vitals.abp_dia)}" if both else INVALID
            mean = number_words(vitals.abp_map)
            notes = [] if both else [tr("mean only: no pulse to measure sys/dia")]
            return self._readout("ABP", "mmHg", limits, value, mean, notes, self._pulse_finding())
        notes, last = self._absent(), self.state.last_pressure
        if last is not None:
            triple = f"{number_words(last.abp_sys)}/{number_words(last.abp_dia)} ({number_words(last.abp_map)})"
            if last.abp_sys is None:
                triple = tr("mean {value}", value=number_words(last.abp_map))
            notes.append(tr("measured {value}, {when}", value=triple, when=self._ago(last.time_ns)))
        else:
            notes.append(tr("no value measured yet"))
        pressures = prediction.pressures if prediction is not None else None
        if lane.said.estimated and pressures is not None:
            mean, sys, dia = (range_words(*pressures[name][1:]) for name in ("map", "sbp", "dbp"))
            self.mark = tr(ESTIMATED)
            notes = [f"sys {sys}   dia {dia}", *(notes[-1:] if last is not None else ())]
            return self._readout("MAP", "mmHg", self._limits("abp_map"), mean, notes=notes, estimated=True)
        return self._readout("ABP", "mmHg", limits, INVALID, "", notes)

    def pulse(self) -> Readout:
        finding = self._pulse_finding()
        rate = self.vitals.pulse_rate if self.vitals is not None and not finding.words else None
        # The pressure is the only other channel that has a pulse rate.
        notes = self._origin(Modality.ABP.value if rate is not None and self.lane.absence else "")
        if rate is not None and self.vitals is not None and self.vitals.rppg_delay_s is not None:
            notes.append(tr("delay R–PPG {ms:.0f} ms", ms=self.vitals.rppg_delay_s * 1000))
        return self._readout(
            tr("PR"), "/min", self._limits("pulse_rate"), number_words(rate), notes=notes, finding=finding
        )

    def _pulse_finding(self) -> Finding:
        """Of the lane's own channel, which must be measured to have one."""
        if self.findings is None or self.lane.absence:
            return NO_FINDING
        return pulse_finding(self.findings, self.lane.modality)

    def eeg(self) -> Readout:
        """Spectral edge, suppression and depth of a measured EEG only; muscle also of one that it made an artefact.
        Depth by the model and by openibis, with what is doubtful about it."""
        vitals, prediction, notes = self.vitals, self.prediction, self._absent()
        if vitals is not None and vitals.emg_db is not None:
            notes.append(f"EMG {vitals.emg_db:.0f} dB ({vitals.emg_band})")
        if self.lane.absence or vitals is None:
            return self._readout("SEF", "Hz", NO_LIMITS, INVALID, notes=notes)
        if vitals.bsr is not None:
            notes.append(f"BSR {vitals.bsr * 100:.0f} %")
        notes.append(depth_note(vitals, prediction))
        return self._readout(
            "SEF", "Hz", NO_LIMITS, number_words(vitals.sef95, 1), notes=[note for note in notes if note]
        )

    def respiration(self) -> Readout:
        vitals = self.vitals
        rate = vitals.resp_rate if vitals else None
        notes = self._origin(vitals.resp_source if vitals is not None and rate is not None else "")
        limits, finding = self._limits("resp_rate"), self._apnoea()
        return self._readout(tr("RR"), "/min", limits, number_words(rate), notes=notes, finding=finding)

    def _apnoea(self) -> Finding:
        """Bad news waits for no word of the limits: before the stream has told of any it is by default."""
        setting = setting_of(self.state.limits or (), "apnoea_s") or default_setting("apnoea_s")
        return apnoea_finding(self.vitals.apnoea_s if self.vitals is not None else None, setting)

    @property
    def _breaths(self) -> Modality:
        return breaths_row({row.modality for row in self.state.lanes})

    def line(self) -> Readout:
        """The mean of a line's pressure."""
        modality = self.lane.modality
        mean = getattr(self.vitals, f"{modality.lower()}_mean") if self.vitals is not None else None
        return self._readout(
            tr("{sensor} mean", sensor=tr(modality.value)), "mmHg", NO_LIMITS, number_words(mean), notes=self._absent()
        )

    def capnogram(self) -> Readout:
        """End-tidal CO2, the device's own where it tells one, and the respiratory rate where no other row has it."""
        vitals, notes = self.vitals, self._absent()
        gas, rate = (vitals.etco2, vitals.resp_rate) if vitals is not None else (None, None)
        if gas is None and vitals is not None and vitals.etco2_wave is not None:
            gas = vitals.etco2_wave
            notes.append(tr("by the wave"))
        if self._breaths is not Modality.CO2:
            return self._readout("etCO2", "mmHg", NO_LIMITS, number_words(gas), notes=notes)
        limits = self._limits("resp_rate")
        if rate is not None and vitals is not None and vitals.resp_source != Modality.CO2:
            notes.insert(0, tr("RR from {sensor}", sensor=self._named(vitals.resp_source)))
        said = LimitWords(f"{tr('RR')} {limits.text}" if limits.text else "", limits.silent)
        return self._readout(
            f"etCO2 · {tr('RR')}", "mmHg · /min", said, number_words(gas), number_words(rate), notes, self._apnoea()
        )

    def wave_alone(self) -> Readout:
        """Of a wave that no number is taken from."""
        return Readout(self.lane.title, "", NO_LIMITS, "", notes=tuple(self._absent()), held=self.held)

    def _readout(
        self,
        label: str,
        unit: str,
        limits: LimitWords,
        value: str,
        second: str = "",
        notes: list[str] | None = None,
        finding: Finding = NO_FINDING,
        estimated: bool = False,
    ) -> Readout:
        mark = self.mark if estimated or value == INVALID else ""
        return Readout(label, unit, limits, value, second, mark, estimated, tuple(notes or ()), finding, self.held)

    def _origin(self, source: str) -> list[str]:
        """Which sensor gave the number, where one did; else why the lane's own did not."""
        if not source:
            return self._absent()
        lane = self.lane
        return [
            tr("from {sensor}", sensor=self._named(source))
            + (f" ({lane.title} {absence_words(lane.absence)})" if lane.absence else "")
        ]

    def _limits(self, vital: str) -> LimitWords:
        """What stands beside a number of its limits; a page of the past has those recorded with it, if any."""
        if self.state.limits is None and self.moment.life is Life.PAST:
            return NO_LIMITS
        return limit_words(self.state.limits, vital, self.vitals)

    def _pressure_limits(self) -> LimitWords:
        """Of the mean, and of systole and diastole where those are on."""
        mean = self._limits("abp_map")
        others = [(name, setting_of(self.state.limits or (), vital)) for name, vital in _PRESSURES]
        also = [f"{name} {self._limits(s.vital).text}" for name, s in others if s is not None and s.on]
        text = "   ".join([*also, f"MAP {mean.text}"]) if mean.text else ""
        return LimitWords(text, mean.silent)

    def _absent(self) -> list[str]:
        """Why the lane is not measured and since when, if so."""
        lane = self.lane
        if not lane.absence:
            return []
        words = absence_words(lane.absence)
        if lane.absence == Absence.NOT_CONNECTED.value:
            return [words]
        absent_s = max(0.0, self.moment.event_s - lane.absent_since_s)
        return [tr("{what} for {time}", what=words, time=duration_words(absent_s))]

    def _ago(self, time_ns: int) -> str:
        """How long ago; event time that stands still cannot tell, so the hour is said."""
        if self.moment.life in (Life.ENDED, Life.WAITING):
            return tr("at {time}", time=clock_words(time_ns * _NS))
        return tr("{time} ago", time=duration_words(max(0.0, self.moment.event_s - time_ns * _NS)))
