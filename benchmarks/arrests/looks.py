"""What the screen says at a moment, by the screen's own code on the records that are there: a look every 0.1 s."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.arrests.replay import Replayed
from models.signals.modalities import Modality
from ui.bed.alarm_view import Alarm
from ui.bed.lanes import Lane
from ui.bed.liveness import Moment
from ui.bed.prediction_view import prediction_words
from ui.bed.readouts import Readout, readout
from ui.bed.state import DisplayState
from ui.style.theme import default_theme
from ui.style.words import INVALID

LOOK_S = 0.1
_BEAM_S = 0.1  # behind the newest sample


@dataclass(frozen=True, slots=True)
class Look:
    """At event time ``at_s``. numbers: by modality. drawn: modality -> newest time of the patient that an estimated
    wave shows, where one is being drawn. tile: the headline, or the risk of 15 min as shown; reason: beside it."""

    at_s: float
    alarms: tuple[Alarm, ...]
    numbers: dict[Modality, Readout]
    drawn: dict[Modality, float]
    tile: str
    reason: str

    @property
    def has_risk(self) -> bool:
        """Whether the tile shows a risk."""
        return self.tile.startswith("risk")

    def estimated(self, modality: Modality) -> bool:
        """Whether an estimate of it is shown, in digits or as a wave."""
        number = self.numbers.get(modality)
        return modality in self.drawn or (number is not None and number.estimated)

    def value(self, name: str) -> float | None:
        """HR, PR or MAP as a measured number on the screen; None for ``-?-``, an estimate and a row that is not there.
        "~MAP" is the middle of the estimated one's range."""
        modality = {"HR": Modality.ECG, "PR": Modality.PPG, "MAP": Modality.ABP, "~MAP": Modality.ABP}[name]
        number = self.numbers.get(modality)
        if number is None or number.estimated != name.startswith("~"):
            return None
        words = number.mean if modality is Modality.ABP else number.value
        found = [float(bound) for bound in re.findall(r"-?\d+(?:\.\d+)?", words)]
        return sum(found) / len(found) if found else None


def looks(replayed: Replayed) -> Iterator[Look]:
    """From the first to the last tick. The operator's clock is the patient's over the speed of the replay."""
    state, speed, step = DisplayState(default_theme()), replayed.speed, LOOK_S * replayed.speed
    state.set_channels(replayed.channels)
    records, number = replayed.records, 0
    for k in range(1, int((replayed.end_s - replayed.start_s) / step) + 1):
        at_s = replayed.start_s + k * step
        while number < len(records) and records[number][0] <= at_s + 1e-9:
            there_s, record = records[number]
            state.apply(record, there_s / speed)
            number += 1
        state.settle()
        state.clock.advance(at_s / speed, speed)
        yield _look(state, Moment(at_s, at_s / speed, speed=speed), step)


def _look(state: DisplayState, moment: Moment, step: float) -> Look:
    numbers: dict[Modality, Readout] = {}
    for lane in state.lanes:
        if lane.first:
            numbers[lane.modality] = readout(state, lane, moment)
    drawn = {
        lane.modality: at
        for lane in state.lanes
        if lane.first and (at := _drawn(lane, moment.event_s, step)) is not None
    }
    words = prediction_words(state, moment)
    risk = words.risks[-1]
    tile = f"risk {risk.value} ({risk.interval})" if risk.value != INVALID else INVALID
    if words.news is not None:
        tile = words.news.headline
    return Look(moment.event_s, state.alarms.standing, numbers, drawn, tile, words.reason)


def _drawn(lane: Lane, at_s: float, step: float) -> float | None:
    """The patient's time that the beam draws of an estimated wave now."""
    if lane.estimate is None:
        return None
    end_s = at_s - _BEAM_S - lane.estimate.lag_s
    ring = lane.estimate.line
    values = ring.ring.read(max(ring.index_at(end_s - step), ring.ring.start), min(ring.index_at(end_s), ring.ring.end))
    return end_s if len(values) and np.isfinite(values).any() else None
