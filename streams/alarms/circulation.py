"""Alarms of rhythm and pulse, from what the sensors say about the circulation in one second: pure, by one table a kind.

Each condition is confirmed or contradicted by the other sensors. What they contradict becomes a medium alarm that says
so, never silence. An arterial line whose mean falls below 10 mmHg is announced as disconnected at high priority (the
convention of bedside monitors: an open line bleeds, and an arrest looks the same); one without a pulse above that is a
patient without a pulse, or a damped, clamped or kinked line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from streams.records import RhythmRecord

DISCONNECT_MMHG = 10.0
CONTRADICTED = "contradicted"

ARRHYTHMIAS: Mapping[str, tuple[str, str]] = {
    # key of the call: (text, unit of its value)
    "asystole": ("ASYSTOLE", ""),
    "vfib": ("V-FIB / FLUTTER", ""),
    "vtach": ("V-TACH", "/min"),
    "brady.extreme": ("EXTREME BRADY", "/min"),
    "tachy.extreme": ("EXTREME TACHY", "/min"),
}
NO_PULSE, ABP_NO_PULSE, ABP_DISCONNECT, PPG_NO_PULSE = "no_pulse", "abp.no_pulse", "abp.disconnect", "ppg.no_pulse"
LOST_PULSES = (NO_PULSE, ABP_DISCONNECT, ABP_NO_PULSE, PPG_NO_PULSE)

REPLACES: Mapping[str, frozenset[str]] = {
    # an alarm of the limits says less than one of the rhythm that stands for the same
    "hr.low": frozenset({"asystole", "vfib", "brady.extreme"}),
    "hr.high": frozenset({"vfib", "vtach", "tachy.extreme"}),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One alarm condition as it is now; fields as in :class:`streams.records.AlarmRecord`. delay_s: how long it must
    have stood before it is an alarm."""

    priority: str
    kind: str
    text: str
    reason: str = ""
    now: str = ""
    delay_s: float = 0.0


def arrhythmias(record: RhythmRecord) -> dict[str, Condition]:
    """The conditions of the calls that hold, by key."""
    found = {}
    for call in record.calls:
        if call.key not in ARRHYTHMIAS:
            continue
        text, unit = ARRHYTHMIAS[call.key]
        now = f"{call.value:.0f}{unit}" if call.value is not None and unit else ""
        if call.verdict == CONTRADICTED:
            found[call.key] = Condition("medium", "physiological", f"{text}?", call.reason, now)
        else:
            found[call.key] = Condition("high", "physiological", text, call.reason, now)
    return found


def lost_pulses(record: RhythmRecord, abp_mean: float | None) -> dict[str, Condition]:
    """The conditions of channels that show no pulse, by key. abp_mean: mmHg, None where no pressure is measured."""
    pulse = {m: Pulse(record.pulse.get(m.value, "")) for m in (Modality.ABP, Modality.PPG)}
    abp, ppg = pulse[Modality.ABP], pulse[Modality.PPG]
    rhythm = _rhythm_words(record.rhythm)
    now = f"mean {abp_mean:.0f}" if abp_mean is not None else ""
    if abp is Pulse.NONE:
        if ppg is Pulse.NONE:
            reason = f"ABP and PPG show none, {rhythm}"
            found = {NO_PULSE: Condition("high", "physiological", "NO PULSE", reason, now, delay_s=1.0)}
        else:
            found = {ABP_NO_PULSE: _pressure_lost(record, ppg, rhythm, now)}
        if abp_mean is not None and abp_mean < DISCONNECT_MMHG:
            said = "the PPG pulses: line open or disconnected" if ppg is Pulse.PRESENT else rhythm
            found.pop(ABP_NO_PULSE, None)
            found[ABP_DISCONNECT] = Condition("high", "physiological", "ABP DISCONNECT", said, now)
        return found
    if ppg is not Pulse.NONE:
        return {}
    if abp is Pulse.PRESENT:
        return {PPG_NO_PULSE: Condition("low", "technical", "PPG NO PULSE", "the ABP pulses: check the probe")}
    if record.rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION):
        reason = f"the PPG shows none, {rhythm}"
        return {NO_PULSE: Condition("high", "physiological", "NO PULSE", reason, delay_s=1.0)}
    reason = f"{rhythm}, no ABP to tell whether the patient or the probe"
    return {PPG_NO_PULSE: Condition("medium", "physiological", "PPG NO PULSE", reason, delay_s=3.0)}


def _pressure_lost(record: RhythmRecord, ppg: Pulse, rhythm: str, now: str) -> Condition:
    """A pressure above 10 mmHg without a pulse: what a pulsing finger and a beating heart say against an arrest."""
    if ppg is Pulse.PRESENT and record.rhythm not in (Rhythm.STILL, Rhythm.FIBRILLATION):
        reason = "the PPG pulses: line damped, clamped or kinked"
        return Condition("medium", "physiological", "ABP NO PULSE", reason, now, delay_s=1.0)
    reason = f"{rhythm}, " + ("although the PPG pulses" if ppg is Pulse.PRESENT else "no PPG to tell otherwise")
    return Condition("high", "physiological", "ABP NO PULSE", reason, now, delay_s=1.0)


def _rhythm_words(rhythm: str) -> str:
    return {
        Rhythm.BEATS.value: "the ECG beats",
        Rhythm.STILL.value: "the ECG is still",
        Rhythm.FIBRILLATION.value: "the ECG fibrillates",
        Rhythm.UNCLEAR.value: "the ECG shows no beats",
    }.get(rhythm, "no ECG")
