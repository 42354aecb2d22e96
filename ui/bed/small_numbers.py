"""The small numerics: what a device measured itself, each with its age. Pure.

One is listed from when the stream first tells of it, and stays: what it no longer tells is ``-?-``, with the last value
and how old that is. A cuff's pressure is as old as the measurement, not as its last repetition.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.signals.device_numerics import kinds
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.records import VitalsRecord
from ui.bed.limit_words import NO_LIMITS, LimitWords, limit_words
from ui.bed.liveness import Life, Moment
from ui.bed.readouts import HELD
from ui.bed.state import DisplayState
from ui.style.language import tr
from ui.style.words import INVALID, duration_words, number_words

SHOWN = ("spo2", "nibp", "etco2", "temp_c", "bis")
"""In this order. ``nibp``: the three of a cuff."""
_CUFF = ("nibp_sys", "nibp_dia", "nibp_map")
_DECIMALS = {"temp_c": 1}
_UNITS = {"C": "°C", "au": ""}


@dataclass(frozen=True, slots=True)
class SmallNumber:
    """value: as on the screen, ``-?-`` where it is not known now. note: its age, or what was last known. sensor: whose
    colour it has. limits: as beside a large number. held: as in :class:`ui.bed.readouts.Readout`."""

    name: str
    label: str
    unit: str
    value: str
    note: str = ""
    sensor: Modality | None = None
    limits: LimitWords = NO_LIMITS
    held: str = ""

    @property
    def invalid(self) -> bool:
        """Whether it is ``-?-``."""
        return self.value == INVALID


def small_numbers(state: DisplayState, moment: Moment) -> tuple[SmallNumber, ...]:
    """Those that the stream has told of, at a moment; end-tidal CO2 not where its wave has a row, which says it."""
    now, gas = state.current_vitals(moment), state.lane(Modality.CO2) is not None
    shown = [name for name in SHOWN if not (gas and name == "etco2")]
    return tuple(_number(state, moment, name, now) for name in shown if _last(state, name) is not None)


def _number(state: DisplayState, moment: Moment, name: str, now: VitalsRecord | None) -> SmallNumber:
    last = _last(state, name)
    assert last is not None
    value = _value(now, name) if now is not None else INVALID
    note = ""
    if value != INVALID and now is not None and name == "nibp":
        age_s = now.nibp_age_s
        note = tr("age not known") if age_s is None else tr("{time} ago", time=duration_words(age_s))
    elif value == INVALID:
        age_s = moment.event_s - last.time_ns / SECOND_NS
        standing = moment.life in (Life.ENDED, Life.WAITING)  # event time cannot tell
        note = tr("was {value}", value=_value(last, name))
        note += "" if standing else ", " + tr("{time} ago", time=duration_words(max(0.0, age_s)))
    if name == "nibp":
        return SmallNumber(name, "NIBP", "mmHg", value, note, held=tr(HELD.get(moment.life, "")))
    kind = kinds()[name]
    past = state.limits is None and moment.life is Life.PAST
    limits = limit_words(state.limits, name, now) if name == "spo2" and not past else NO_LIMITS
    unit = _UNITS.get(kind.unit, kind.unit)
    return SmallNumber(name, kind.title, unit, value, note, kind.sensor, limits, tr(HELD.get(moment.life, "")))


def _last(state: DisplayState, name: str) -> VitalsRecord | None:
    """The newest record that has it."""
    found = (state.last_numbers.get(one) for one in (_CUFF if name == "nibp" else (name,)))
    return max((one for one in found if one is not None), key=lambda record: record.time_ns, default=None)


def _value(record: VitalsRecord, name: str) -> str:
    if name != "nibp":
        value: float | None = getattr(record, name)
        return number_words(value, _DECIMALS.get(name, 0))
    upper, lower, mean = (number_words(getattr(record, one)) for one in _CUFF)
    if upper == lower == mean == INVALID:
        return INVALID
    return f"{upper}/{lower} ({mean})"
