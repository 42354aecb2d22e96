"""Alarms of rhythm and pulse, from what the sensors say about the circulation in one second: pure, by one table a kind.

Each condition is confirmed or contradicted by the other sensors. What they contradict becomes a medium alarm that says
so, never silence. An arterial line whose mean falls below 10 mmHg is announced as disconnected at high priority (the
convention of bedside monitors: an open line bleeds, and an arrest looks the same); one without a pulse above that is a
patient without a pulse, or a damped, clamped or kinked line.

What is not known has not recovered: where a sensor falls silent, what it said last stands until another shows a pulse,
for ten seconds or as long as another shows none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.signals.findings import PULSE_CHANNELS, Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.times import SECOND_NS
from streams.alarms.limits import HOLD_S
from streams.records import RhythmRecord

DISCONNECT_MMHG = 10.0
NOT_KNOWN = "-?-"
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
NO_RATE = frozenset({"asystole", "vfib"})
"""Uncontradicted, these leave no rate to judge: what looks like slow or fast beats beside them is P waves, noise or
the last beats before."""
OF_RATE = frozenset({"brady.extreme", "tachy.extreme"})

SAME_RATE: Mapping[str, str] = {"hr.low": "brady.extreme", "hr.high": "tachy.extreme"}
"""The call that judges the very rate of the limit: it replaces it also where the other sensors contradict it. Others
never take the place of an alarm of higher priority."""


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
    if any(found[key].priority == "high" for key in NO_RATE & found.keys()):
        return {key: condition for key, condition in found.items() if key not in OF_RATE}
    return found


def pulses_of(record: RhythmRecord) -> dict[Modality, Pulse]:
    """What each pulse channel says in this second."""
    return {m: Pulse(record.pulse.get(m.value, "")) for m in PULSE_CHANNELS}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sensors say of the circulation. abp_mean: mmHg, None where not known. mean_now: whether it is measured
    now. lost: the sensors that say nothing now, whose last word this is."""

    rhythm: Rhythm
    abp: Pulse
    ppg: Pulse
    abp_mean: float | None
    mean_now: bool = True
    lost: frozenset[Modality] = frozenset()


class LastSaid:
    """Remembers what the sensors said of lost pulses while they are silent. Pure: all timing is event time."""

    def __init__(self) -> None:
        self._rhythm = Rhythm.UNKNOWN
        self._pulse: dict[Modality, Pulse] = {}
        self._abp_mean: float | None = None
        self._bad_ns: int | None = None  # when a channel was last seen without a pulse

    def export(self) -> tuple[Rhythm, dict[Modality, Pulse], float | None]:
        """Rhythm, pulses and mean pressure as they were last known."""
        return self._rhythm, dict(self._pulse), self._abp_mean

    def inherit(self, rhythm: Rhythm, pulse: Mapping[Modality, Pulse], abp_mean: float | None) -> None:
        """What was said before the first second known here, of sensors that have been silent since."""
        if self._bad_ns is None:
            return  # no pulse is lost now
        if self._rhythm is Rhythm.UNKNOWN:
            self._rhythm = rhythm
        for modality, said in pulse.items():
            self._pulse.setdefault(modality, said)
        if self._abp_mean is None:
            self._abp_mean = abp_mean

    def update(self, record: RhythmRecord, abp_mean: float | None) -> Evidence:
        """The evidence of the second of ``record``, with what is silent as it was last known."""
        now, rhythm = pulses_of(record), Rhythm(record.rhythm)
        if Pulse.NONE in now.values():
            self._bad_ns = record.time_ns
        held = self._bad_ns is not None and record.time_ns - self._bad_ns <= HOLD_S * SECOND_NS
        if Pulse.PRESENT in now.values() or not held:  # what the silent ones said last is void
            self._rhythm, self._pulse = Rhythm.UNKNOWN, {}
        lost = set()
        for modality, pulse in now.items():
            if pulse is not Pulse.UNKNOWN:
                self._pulse[modality] = pulse
            elif self._pulse.get(modality) is Pulse.NONE:
                lost.add(modality)
        if rhythm is not Rhythm.UNKNOWN:
            self._rhythm = rhythm
        elif self._rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION):
            lost.add(Modality.ECG)
            rhythm = self._rhythm
        abp, ppg = (Pulse.NONE if m in lost else now[m] for m in PULSE_CHANNELS)
        if abp_mean is not None or abp is not Pulse.NONE:
            self._abp_mean = abp_mean
        return Evidence(rhythm, abp, ppg, self._abp_mean, abp_mean is not None, frozenset(lost))


def lost_pulses(said: Evidence) -> dict[str, Condition]:
    """The conditions of channels that show no pulse, by key."""
    abp, ppg, rhythm = said.abp, said.ppg, _rhythm_words(said)
    found: dict[str, Condition] = {}
    if said.abp_mean is not None and said.abp_mean < DISCONNECT_MMHG:
        reason = "the PPG pulses: line open or disconnected" if ppg is Pulse.PRESENT else rhythm
        if abp is Pulse.PRESENT:
            reason = "it pulses about zero: line open, or its zero is off"
        found[ABP_DISCONNECT] = Condition("high", "physiological", "ABP DISCONNECT", reason, _mean(said))
    if abp is Pulse.NONE and ppg is Pulse.NONE:
        reason = f"{_no_pulse_on(said)}, {rhythm}"
        found[NO_PULSE] = Condition("high", "physiological", "NO PULSE", reason, _mean(said), delay_s=1.0)
    elif abp is Pulse.NONE and ABP_DISCONNECT not in found:
        found[ABP_NO_PULSE] = _pressure_lost(said, rhythm)
    elif ppg is Pulse.NONE and abp is Pulse.PRESENT:
        found[PPG_NO_PULSE] = Condition("low", "technical", "PPG NO PULSE", "the ABP pulses: check the probe")
    elif ppg is Pulse.NONE and said.rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION):
        reason = f"{_no_pulse_on(said)}, {rhythm}"
        found[NO_PULSE] = Condition("high", "physiological", "NO PULSE", reason, delay_s=1.0)
    elif ppg is Pulse.NONE:
        reason = f"patient or probe? No ABP to tell, {rhythm}"
        found[PPG_NO_PULSE] = Condition("medium", "physiological", "PPG NO PULSE", reason, delay_s=3.0)
    return found


def _pressure_lost(said: Evidence, rhythm: str) -> Condition:
    """A pressure above 10 mmHg without a pulse: what a pulsing finger and a beating heart say against an arrest."""
    pulsing = said.ppg is Pulse.PRESENT
    if pulsing and said.rhythm not in (Rhythm.STILL, Rhythm.FIBRILLATION):
        reason = "the PPG pulses: line damped, clamped or kinked"
        return Condition("medium", "physiological", "ABP NO PULSE", reason, _mean(said), delay_s=1.0)
    reason = f"{rhythm}, " + ("although the PPG pulses" if pulsing else "no PPG to tell otherwise")
    return Condition("high", "physiological", "ABP NO PULSE", reason, _mean(said), delay_s=1.0)


def _mean(said: Evidence) -> str:
    if said.abp_mean is None:
        return ""
    return f"mean {said.abp_mean:.0f}" if said.mean_now else NOT_KNOWN


def _no_pulse_on(said: Evidence) -> str:
    """Who shows no pulse, and who showed none last."""
    silent = [m for m, pulse in zip(PULSE_CHANNELS, (said.abp, said.ppg), strict=True) if pulse is Pulse.NONE]
    show = [m.value for m in silent if m not in said.lost]
    showed = [m.value for m in silent if m in said.lost]
    if not showed:
        return f"{' and '.join(show)} show none" if len(show) > 1 else f"the {show[0]} shows none"
    before = f"the {' and the '.join(showed)} showed none last"
    return f"the {show[0]} shows none, {before}" if show else before


def _rhythm_words(said: Evidence) -> str:
    words = {
        Rhythm.BEATS: "the ECG beats",
        Rhythm.STILL: "the ECG is still",
        Rhythm.FIBRILLATION: "the ECG fibrillates",
        Rhythm.UNCLEAR: "the ECG shows no beats",
    }
    if Modality.ECG in said.lost:
        return "the ECG was still" if said.rhythm is Rhythm.STILL else "the ECG fibrillated"
    return words.get(said.rhythm, "no ECG")
