"""What a tile of the central view says of a bed: the words of its chip and the numbers of its own screen. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from models.signals.absence import Absence
from models.signals.modalities import Modality
from ui.bed.alarm_view import Alarm, alarm_of, alarm_of_number
from ui.bed.bed_words import BedWords
from ui.bed.bedside import Bedside
from ui.bed.depth_words import depth_number
from ui.bed.findings_words import NO_FINDING, Finding
from ui.bed.lanes import Lane
from ui.bed.layout import usual_choice
from ui.bed.liveness import Life
from ui.bed.prediction_view import News, prediction_words
from ui.bed.readouts import readout
from ui.bed.small_numbers import small_numbers
from ui.style.language import tr
from ui.style.words import INVALID, absence_words, duration_words, number_words

RISK_MIN = "15"  # of the horizons the one that is shown


@dataclass(frozen=True, slots=True)
class TileNumber:
    """label, value and, of a pressure, its mean. ``alarm``: the physiological one about it. ``finding``: bad news that
    stands beside it."""

    label: str
    value: str
    modality: Modality
    mean: str = ""
    estimated: bool = False
    alarm: Alarm | None = None
    finding: Finding = NO_FINDING


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor: "on", "off" (connected, of no use now), "withheld" or "none" (not connected); why in words."""

    modality: Modality
    state: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class TileWords:
    """life_words: whether its data is live, and if not, since when. vacant: why nothing has come yet. risk, band: of a
    low pressure within 15 min; ``news`` takes its place. finding: bad news of now where no alarm says it."""

    life: Life
    life_words: str
    vacant: str
    heart: TileNumber
    pressure: TileNumber
    small: tuple[TileNumber, ...]
    risk: str
    band: str
    news: News | None
    sensors: tuple[Sensor, ...]
    finding: Finding


def tile_words(bed: Bedside, said: BedWords) -> TileWords:
    """What is said of a bed at its ``moment``; ``said``: in its chip."""
    state, moment = bed.state, bed.moment
    lanes = {lane.modality: lane for lane in state.lanes if lane.first}

    def number(modality: Modality, label: str) -> TileNumber:
        lane = lanes.get(modality)
        if lane is None:
            return TileNumber(label, INVALID, modality)
        shown = readout(state, lane, moment)
        alarm = alarm_of(modality, said.alarms, Modality.RESP)  # a respiratory rate has its own number here
        alarm = alarm if lane.connected or not shown.invalid else None
        mean = shown.mean if shown.estimated else shown.second
        return TileNumber(label, shown.value, modality, mean, shown.estimated, alarm, shown.finding)

    heart, pressure = number(Modality.ECG, tr("HR")), number(Modality.ABP, "ABP")
    vitals, predicted = state.current_vitals(moment), state.current_prediction(moment)
    breaths = number_words(vitals.resp_rate if vitals is not None else None)
    resp_alarm = alarm_of(Modality.RESP, said.alarms, Modality.RESP)
    if breaths == INVALID and resp_alarm is not None and not resp_alarm.record.key.startswith("apnoea"):
        resp_alarm = None  # of a number that is not there; an apnoea is why it is not
    eeg = lanes.get(Modality.EEG)
    depth = depth_number(vitals, predicted) if vitals is not None and eeg is not None and not eeg.absence else INVALID
    pulse = number(Modality.PPG, tr("PR"))
    small = [TileNumber(tr("RR"), breaths, Modality.RESP, alarm=resp_alarm)]
    saturation = next((n for n in small_numbers(state, moment) if n.name == "spo2"), None)
    if saturation is not None:
        alarm = alarm_of_number(saturation.name, said.alarms)
        small.append(TileNumber(saturation.label, saturation.value, Modality.PPG, alarm=alarm))
    if pulse.value != INVALID or (Modality.PPG in lanes and lanes[Modality.PPG].connected):
        small.append(pulse)
    if eeg is not None and eeg.connected:
        small.append(TileNumber(tr("DEPTH"), depth, Modality.EEG))
    words = prediction_words(state, moment)
    risk = next((risk for risk in words.risks if risk.horizon.split()[0] == RISK_MIN), None)
    findings = [n.finding for n in (heart, pressure, pulse) if n.finding.words and said.worst is None]
    return TileWords(
        life=moment.life,
        life_words=_life_words(bed, said),
        vacant=bed.verdict.spoken if moment.life is Life.WAITING else "",
        heart=heart,
        pressure=pressure,
        small=tuple(small),
        risk=risk.value if risk is not None else INVALID,
        band=risk.band if risk is not None else "",
        news=words.news,
        sensors=tuple(_sensor(lane) for lane in lanes.values() if usual_choice(lane.key).shown),
        finding=min(findings, key=lambda finding: finding.priority != "high", default=NO_FINDING),
    )


def _life_words(bed: Bedside, said: BedWords) -> str:
    if said.life is Life.LIVE:
        return tr("LIVE")
    idle_s = bed.idle_s(bed.moment.wall_s) if said.life is Life.LOST else None
    return said.life_words if idle_s is None else f"{said.life_words} {duration_words(max(0.0, round(idle_s)))}"


def _sensor(lane: Lane) -> Sensor:
    if not lane.connected:
        return Sensor(lane.modality, "none", absence_words(Absence.NOT_CONNECTED.value))
    if lane.absence == Absence.WITHHELD.value:
        return Sensor(lane.modality, "withheld", absence_words(lane.absence))
    return Sensor(lane.modality, "off" if lane.absence else "on", absence_words(lane.absence) or tr("measured"))


def wave_words(lane: Lane | None, glimpsed: bool) -> str:
    """Why there is no wave to draw of a lane; "" where there is one."""
    if lane is None or not lane.connected:
        return absence_words(Absence.NOT_CONNECTED.value)
    if lane.absence:
        return absence_words(lane.absence)
    return "" if glimpsed else tr("no wave kept")
