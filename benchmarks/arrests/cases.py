"""The crises, and what must be said in each, as data.

Deadlines are those of the alarm standards as this project states them: red within 10 s of an arrhythmia or a lost
pulse, within 20 s of a pressure that crosses its limit. After a seek they run from where the replay goes on. Times
are seconds of the recording.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from benchmarks.arrests.rules import (
    EstimateWithin,
    NoEstimate,
    NoRisk,
    Number,
    Raises,
    Rule,
    Silent,
    Tile,
)
from models.data.sim.crises import SCRIPTS, Crisis
from models.signals.modalities import Modality

ECG, ABP, PPG = Modality.ECG, Modality.ABP, Modality.PPG
WITHHELD_FROM_S = 12.0
"""Every sensor has been met by then, and an estimate from 30 s of pulse can begin before the crisis does."""
NUMBERS_S = 6.0  # after a begin or a seek until numbers can be asked for

LOST = ("no_pulse", "abp.no_pulse", "abp.disconnect")
RHYTHMS = ("asystole", "vfib", "vtach", "brady.extreme", "tachy.extreme")
CRITICAL = (*RHYTHMS, "no_pulse", "abp.no_pulse", "abp.disconnect")


@dataclass(frozen=True, slots=True)
class Must:
    """A rule that holds where the sensors ``has`` are measured and those in ``lacks`` are not."""

    rule: Rule
    has: tuple[Modality, ...] = ()
    lacks: tuple[Modality, ...] = ()

    @property
    def settles(self) -> float:
        """Seconds after a seek before it can be asked: numbers and headlines need some signal first."""
        return {Number: NUMBERS_S, Tile: 10.0}.get(type(self.rule), 0.0)

    def asked(self, sensors: Collection[Modality]) -> bool:
        """Whether the rule holds for a patient with these sensors."""
        return set(self.has) <= set(sensors) and not set(self.lacks) & set(sensors)


@dataclass(frozen=True, slots=True)
class Case:
    """source: as of ``vigil run``; a name alone is a record of the folder. until_s: no more is replayed. seeks: jumps
    to there, once each. withhold: sets of sensors, once each. paced: speeds at which it is played as well."""

    name: str
    source: str
    until_s: float
    musts: tuple[Must, ...]
    seeks: tuple[float, ...] = ()
    withhold: tuple[tuple[Modality, ...], ...] = ()
    paced: tuple[float, ...] = ()
    sensors: tuple[Modality, ...] = (ECG, ABP, PPG)


ALL_WAYS = ((ABP,), (PPG,), (ECG,), (ABP, PPG), (ECG, ABP))


def pulseless(begin: float, end: float, last_pulse_s: float | None = None, beats: bool = False) -> tuple[Must, ...]:
    """What holds in every arrest, whatever the rhythm. beats: electrical activity goes on."""
    return (
        Must(Raises(LOST, (begin, end)), has=(ABP,)),
        Must(Raises(("ppg.no_pulse", "no_pulse"), (begin, end), priority="medium"), has=(PPG,), lacks=(ABP,)),
        Must(NoEstimate((begin, end), last_pulse_s if last_pulse_s is not None else begin)),
        Must(NoRisk((begin + 10, end))),
        Must(Number("MAP", (begin + 15, end), 3, 30), has=(ABP,)),
        Must(Number("PR", (begin + 10, end), least=None), has=(PPG,)),
        Must(Number("HR", (begin + 10, end), 30, 110), has=(ECG,))
        if beats
        else Must(Number("HR", (begin + 10, end), least=None)),
        Must(Number("HR", (begin + 10, end), least=None), lacks=(ECG,)),
        Must(Tile(("NO PULSE", "ASYSTOLE", "V-FIB", "V-TACH", "ABP DISCONNECT"), (begin + 10, end)), has=(ABP,)),
    )


def recovered(by: float, until: float, keys: tuple[str, ...]) -> Must:
    """No alarm out of ``keys`` from ``by`` to ``until`` s."""
    return Must(Silent((by, until), keys, "low"))


def low_pressure(crossed_65: float, crossed_50: float | None, end: float, low: float, high: float) -> tuple[Must, ...]:
    """A pulse at a low pressure, from when it falls below the limits until ``end``; low, high: the mean it gets to."""
    red = () if crossed_50 is None else (Must(Raises(("map.low",), (crossed_50, end), 20.0), has=(ABP,)),)
    steady = (crossed_50 or crossed_65) + 15
    return (
        Must(Raises(("map.low",), (crossed_65, end), 20.0, "medium"), has=(ABP,)),
        *red,
        Must(Number("MAP", (steady, end), low, high), has=(ABP,)),
        Must(EstimateWithin((steady, end), low - 15, high + 15), lacks=(ABP,)),
        Must(NoRisk((crossed_65 + 5, end)), has=(ABP,)),
        Must(Tile(("MAP < 65 NOW", "ASYSTOLE", "V-FIB", "V-TACH"), (crossed_65 + 5, end)), has=(ABP,)),
        Must(Silent((crossed_65, end), LOST)),
    )


def well(begin: float, end: float, red: bool = True) -> tuple[Must, ...]:
    """The patient is well: nothing red, whatever the sensors do. No yellow either with ``red`` False."""
    return (Must(Silent((begin, end), priority="high" if red else "medium")),)


def _sim(crisis: Crisis) -> str:
    return f"demo:scenario={crisis.value}"


def _arrest(
    crisis: Crisis,
    rhythm: tuple[str, ...],
    *,
    instead: tuple[str, ...] = (),
    beats: bool = False,
    paced: tuple[float, ...] = (),
) -> Case:
    """instead: calls that would name the rhythm wrongly beside the right one."""
    (begin, end), *_ = SCRIPTS[crisis].arrests_s
    called: tuple[Must, ...] = (Must(Raises(rhythm, (begin, end)), has=(ECG,)),) if rhythm else ()
    called += (Must(Silent((begin + 12, end), instead, "low"), has=(ECG,)),) if instead else ()
    if rhythm and beats:  # ventricular tachycardia without a pulse: its rate may be counted
        hr = Must(Number("HR", (begin + 10, end), 30, 230, least=0.0), has=(ECG,))
        common = tuple(hr if isinstance(m.rule, Number) and m.rule.name == "HR" and m.has else m
                       for m in pulseless(begin, end, beats=True))  # fmt: skip
    else:
        common = pulseless(begin, end, beats=beats)
    return Case(
        crisis.value,
        _sim(crisis),
        end + 25,
        (
            *well(8, begin, red=False),
            *called,
            *common,
            recovered(end + 15, end + 25, (*RHYTHMS, *LOST, "ppg.no_pulse")),
        ),
        seeks=(begin + 12,),
        withhold=ALL_WAYS,
        paced=paced,
    )


SIMULATED: tuple[Case, ...] = (
    _arrest(Crisis.PEA, (), beats=True, paced=(4.0,)),
    _arrest(Crisis.ASYSTOLE, ("asystole",), instead=("brady.extreme",)),
    _arrest(Crisis.VFIB, ("vfib",), instead=("brady.extreme", "tachy.extreme", "asystole"), paced=(4.0,)),
    _arrest(Crisis.VTACH_PULSELESS, ("vtach", "vfib", "tachy.extreme"), beats=True),
    Case(
        "vtach", _sim(Crisis.VTACH), 100,
        (*well(8, 30, red=False), Must(Raises(("vtach", "tachy.extreme"), (30, 80)), has=(ECG,)),
         Must(Raises(("tachy.extreme",), (30, 80), 15), has=(ABP,), lacks=(ECG,)),
         *low_pressure(34, None, 80, 45, 66),
         recovered(92, 100, RHYTHMS)),
        seeks=(45.0,), withhold=((ABP,), (PPG,), (ECG,)),
    ),
    Case(
        "bradycardia_extreme", _sim(Crisis.BRADYCARDIA_EXTREME), 100,
        (*well(8, 30, red=False), Must(Raises(("brady.extreme",), (30, 80)), has=(ECG,)),
         Must(Raises(("brady.extreme",), (30, 80), 15), lacks=(ECG,)),
         Must(Number("HR", (45, 80), 31, 37), has=(ECG,)),
         *low_pressure(36, None, 80, 42, 63),
         recovered(95, 100, RHYTHMS)),
        seeks=(45.0,), withhold=((ABP,), (PPG,), (ECG,)),
    ),
    Case(
        "tachycardia_extreme", _sim(Crisis.TACHYCARDIA_EXTREME), 100,
        (*well(8, 30, red=False), Must(Raises(("tachy.extreme", "vtach"), (30, 80)), has=(ECG,)),
         Must(Raises(("tachy.extreme",), (30, 80), 15), lacks=(ECG,)),
         Must(Number("HR", (42, 80), 172, 188), has=(ECG,)),
         *low_pressure(34, None, 80, 45, 66),
         recovered(95, 100, RHYTHMS)),
        seeks=(45.0,), withhold=((ABP,), (PPG,), (ECG,)),
    ),
    Case(
        "shock", _sim(Crisis.SHOCK), 135,
        (*well(8, 32, red=False), *low_pressure(36, 41, 110, 26, 40),
         Must(Number("HR", (55, 110), 120, 140), has=(ECG,))),
        seeks=(70.0,), withhold=((ABP,), (PPG,), (ECG,), (ABP, PPG)),
    ),
    Case(
        "ppg_off", _sim(Crisis.PPG_OFF), 175,
        (*well(8, 60), *low_pressure(82, 96, 150, 32, 48), Must(Number("PR", (45, 175), 55, 110, least=0.0)),
         Must(Number("HR", (30, 175), 40, 115))),
        seeks=(120.0,), withhold=((ABP,), (ECG,)),
    ),
    Case(
        "flush", _sim(Crisis.FLUSH), 125,
        (*well(8, 125, red=False), Must(Silent((8, 125), CRITICAL, "medium")),
         Must(Number("MAP", (8, 125), 55, 110, least=0.5), has=(ABP,)), Must(Number("HR", (8, 125), 45, 100))),
        seeks=(94.0,), withhold=((PPG,), (ECG,)),
    ),
    Case(
        "zeroing", _sim(Crisis.ZEROING), 75,
        (*well(8, 30, red=False), Must(Raises(("abp.disconnect",), (30, 45)), has=(ABP,)),
         Must(Silent((30, 75), ("no_pulse", *RHYTHMS)), has=(ECG, PPG)),
         Must(NoEstimate((33, 45), modalities=(ABP,))), Must(NoRisk((40, 45))),
         recovered(55, 75, (*LOST, "map.low"))),
        seeks=(36.0,), withhold=((PPG,), (ECG,)),
    ),
    Case(
        "disconnect", _sim(Crisis.DISCONNECT), 130,
        (*well(8, 30, red=False), Must(Raises(("abp.disconnect",), (30, 100)), has=(ABP,)),
         Must(Silent((30, 130), ("no_pulse", *RHYTHMS)), has=(ECG, PPG)),
         Must(Number("MAP", (40, 100), -10, 10), has=(ABP,)),
         Must(NoEstimate((33, 100), modalities=(ABP,))), Must(NoRisk((40, 100))),
         Must(Number("HR", (15, 130), 45, 100)), recovered(112, 130, (*LOST, "map.low"))),
        seeks=(60.0,), withhold=((PPG,), (ECG,)),
    ),
    Case(
        "damping", _sim(Crisis.DAMPING), 145,
        (*well(8, 145), Must(Raises(("abp.no_pulse",), (30, 110), 15, "medium"), has=(ABP, PPG)),
         Must(Number("MAP", (40, 109), 55, 105), has=(ABP,)), Must(NoEstimate((36, 110), modalities=(ABP,))),
         recovered(125, 145, LOST)),
        seeks=(60.0,), withhold=((ECG,),),
    ),
    Case(
        "ecg_leads_off", _sim(Crisis.ECG_LEADS_OFF), 160,
        (Must(Silent((8, 160), priority="high"), has=(ABP,)),
         Must(Raises(("technical.ECG",), (30, 65), 10, "medium")),
         Must(Raises(("technical.ECG", "asystole"), (95, 135), 10, "medium")),
         Must(Number("HR", (8, 160), 45, 100, least=0.8), has=(ABP, PPG))),
        seeks=(110.0,), withhold=((ABP,), (PPG,), (ABP, PPG)),
    ),
    Case(
        "motion", _sim(Crisis.MOTION), 100,
        (Must(Silent((8, 100), priority="high"), has=(ABP,)),
         Must(Number("HR", (8, 100), 45, 100, least=0.5), has=(ABP,)),
         Must(Number("PR", (8, 100), 45, 100, least=0.0), has=(ABP,))),
        seeks=(45.0,),
    ),
    Case(
        "normal", "demo:scenario=stable,faults=off", 100,
        (*well(8, 100, red=False), Must(Number("HR", (8, 100), 45, 110)),
         Must(Number("MAP", (8, 100), 65, 110), has=(ABP,)), Must(NoEstimate((0, 100)), has=(ECG, ABP, PPG)),
         Must(NoRisk((0, 30))), Must(NoRisk((14, 100)), lacks=(ABP, PPG))),
        seeks=(60.0,), withhold=((ABP,), (PPG,), (ECG,), (ABP, PPG), (ECG, PPG)), paced=(4.0,),
    ),
)  # fmt: skip

RECORDS: tuple[Case, ...] = (
    Case(
        "arrest2", "arrest2", 290,
        (
            *well(8, 30, red=False), Must(Number("HR", (8, 30), 72, 78)),
            Must(Number("MAP", (8, 30), 72, 90), has=(ABP,)),
            *pulseless(30, 75, beats=True), recovered(90, 105, (*LOST, "ppg.no_pulse")),
            Must(Number("HR", (35, 75), 70, 80), has=(ECG,)),
            *low_pressure(105, 105, 150, 28, 36), Must(Number("HR", (115, 150), 120, 135), has=(ECG,)),
            Must(Raises(("tachy.extreme", "vtach"), (150, 190)), has=(ECG,)),
            Must(Number("HR", (162, 190), 172, 188), has=(ECG,)), Must(Number("MAP", (165, 190), 48, 62), has=(ABP,)),
            Must(Raises(("brady.extreme",), (190, 230)), has=(ECG,)),
            Must(Number("HR", (205, 230), 32, 37, least=0.8), has=(ECG,)),
            Must(Number("MAP", (205, 230), 42, 62), has=(ABP,)),
            Must(Raises(("map.low",), (150, 230), 20, "medium"), has=(ABP,)),
            Must(Silent((202, 230), ("tachy.extreme", "vtach"), "low")),
            Must(Raises(("vfib",), (230, 290)), has=(ECG,)), *pulseless(230, 290),
            Must(Silent((242, 290), ("brady.extreme", "tachy.extreme"), "low")),
            Must(Silent((8, 290), ("resp.high", "resp.low"))),
        ),
        seeks=(50.0, 120.0, 170.0, 210.0, 260.0), withhold=((ABP,), (PPG,), (ECG,)), paced=(4.0,),
    ),
    Case("asysstart", "asysstart", 60, (Must(Raises(("asystole",), (0, 60)), has=(ECG,)), *pulseless(0, 60)),
         seeks=(30.0,), withhold=((ABP,), (PPG,), (ECG,))),
    Case("vfstart", "vfstart", 60,
         (Must(Raises(("vfib",), (0, 60)), has=(ECG,)), Must(Number("HR", (5, 60), least=None)),
          Must(NoEstimate((0, 60))), Must(NoRisk((0, 60)))),
         seeks=(30.0,), sensors=(ECG, PPG)),
    Case("cal", "cal", 120,
         (*well(8, 120, red=False), Must(Number("HR", (8, 120), 59, 61)), Must(Number("MAP", (8, 120), 75, 86)),
          Must(NoEstimate((0, 120))))),
    Case("normal_noabp", "normal_noabp", 180,
         (*well(8, 180, red=False), Must(Number("HR", (8, 180), 50, 100)),
          Must(NoEstimate((0, 180), modalities=(ABP,))), Must(NoRisk((0, 180)))), sensors=(ECG, PPG)),
    Case("weird", "weird", 60,  # one fault after another, in a patient at 75/min and 115/60
         (Must(Number("HR", (8, 60), 70, 80, least=0.0)), Must(Number("MAP", (8, 60), 60, 100, least=0.0)),
          Must(Silent((8, 60), ("brady.extreme", "tachy.extreme", "vtach", "vfib"))))),
)  # fmt: skip


def of_folder(folder: str, found: Collection[str]) -> tuple[Case, ...]:
    """The known records among those found in a folder."""
    return tuple(replace(case, source=f"{folder}/{case.source}.hea") for case in RECORDS if case.name in found)
