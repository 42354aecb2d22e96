"""What the sensors say about the circulation, in the words of the numerics and of the prediction tile. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from streams.limit_settings import LimitSetting, bound
from streams.records import RhythmRecord
from ui.bed.alarm_words import reason_said
from ui.style.language import tr

NO_PULSE = "NO PULSE"

_CALLS = {"asystole": "ASYSTOLE", "vfib": "VF", "vtach": "VT"}
_RHYTHMS = {
    # before the time has run after which they are called
    Rhythm.STILL: "ASYSTOLE?",
    Rhythm.FIBRILLATION: "VF?",
    Rhythm.UNCLEAR: "BEATS NOT CLEAR",
}
_STOPPED = (Rhythm.STILL, Rhythm.FIBRILLATION)
NO_BEATS = frozenset(_RHYTHMS)
"""Rhythms in which nothing on the ECG can be counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A few words beside a number, how bad they are ("high", "medium", or "" with no words), and what speaks for or
    against them."""

    words: str = ""
    priority: str = ""
    reason: str = ""


NO_FINDING = Finding()


def rhythm_finding(record: RhythmRecord) -> Finding:
    """The rhythm in a word, where it is no ordinary one. What the other sensors contradict gets a question mark."""
    calls = {call.key: call for call in record.calls}
    for key, words in _CALLS.items():
        call = calls.get(key)
        if call is not None and call.verdict == "contradicted":
            return Finding(f"{tr(words)}?", "medium", reason_said(call.reason))
        if call is not None:
            return Finding(tr(words), "high", reason_said(call.reason))
    words = _RHYTHMS.get(Rhythm(record.rhythm), "")
    return Finding(tr(words), "medium") if words else NO_FINDING


def stands_still(record: RhythmRecord) -> bool:
    """Whether asystole or fibrillation is called and not contradicted: what looks like beats then (P waves without a
    complex, a wave of fibrillation) is no heart rate."""
    return any(call.key in ("asystole", "vfib") and call.verdict != "contradicted" for call in record.calls)


def pulse_finding(findings: Findings, modality: Modality) -> Finding:
    """NO PULSE on one channel that is measured, as bad as the alarm of it (:mod:`streams.alarms.circulation`): a line
    may be damped while the finger pulses, and a finger may be without a pulse for reasons of its own (cold, a cuff)."""
    if findings.pulse_of(modality) is not Pulse.NONE:
        return NO_FINDING
    abp, ppg = findings.pulse_of(Modality.ABP), findings.pulse_of(Modality.PPG)
    alone = abp is not Pulse.NONE if modality is Modality.PPG else ppg is Pulse.PRESENT
    contradicted = abp is Pulse.PRESENT or (alone and findings.rhythm not in _STOPPED)
    return Finding(tr(NO_PULSE), "medium" if contradicted else "high")


def apnoea_finding(apnoea_s: float | None, setting: LimitSetting) -> Finding:
    """For how long nobody has been seen to breathe, once that is longer than the limit of it. apnoea_s: as in
    :class:`streams.records.VitalsRecord`."""
    if apnoea_s is None or apnoea_s <= bound(setting, "high"):
        return NO_FINDING
    return Finding(tr("APNOEA {time} s", time=math.floor(apnoea_s)), setting.priority)


def circulation(findings: Findings) -> Finding:
    """Bad news about the circulation as a whole: a headline, and who brings it.

    A pulse that another sensor contradicts is said as a disagreement: neither outvotes the other.
    """
    pulseless, pulsing = findings.showing(Pulse.NONE), findings.showing(Pulse.PRESENT)
    if pulseless:
        priority = "high" if any(pulse_finding(findings, m).priority == "high" for m in pulseless) else "medium"
        if pulsing:
            words = tr("PULSE ON {one}, NONE ON {other}", one=pulsing[0], other=pulseless[0])
            return Finding(words, priority, tr("check the patient, then the sensors"))
        return Finding(tr(NO_PULSE), priority, tr("on {sensors}", sensors=tr(" and ").join(pulseless)))
    if findings.rhythm in _STOPPED and not pulsing:
        return Finding(tr("NO HEARTBEAT ON THE ECG"), "high", tr("no other sensor shows a pulse"))
    return NO_FINDING
