"""The course of a patient in a crisis: the patient's own, and from the first phase of the script on the script's beats.

With a pulse, rate and pressure are led to what the script says. Without one, nothing is ejected and the artery empties
exponentially, with the time constant of 2.9 s that Schipke et al. measured (Am J Physiol 2003;285:H2510, fibrillation
in 82 patients), to a mean circulatory filling pressure of 12 mmHg. (In their 13 s the pressure fell to 24 mmHg only;
that the rest follows as fast is a simplification.) The finger loses its pulse; the EEG slows and is isoelectric 10–20 s
later (Clute & Levy, Anesthesiology 1990; Vriens et al., Electroencephalogr Clin Neurophysiol 1996;98:236), and
comes back over a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from models.data.sim.beats import Beats, level_after
from models.data.sim.crises import HeartRhythm, Phase, Script
from models.data.sim.noise import Stream, generator
from models.data.sim.physiology import PPG_EJECTION, PPG_FLOW_SKEW, Course, Seconds
from models.data.sim.pulse import pressures, windkessel_for
from models.data.sim.scenarios import Plan
from models.data.sim.subject import CENTRAL_VENOUS_MMHG, Device, Subject

EMPTYING_S = 2.9
FILLING_MMHG = 12.0

_REFERENCE_S = 20.0  # before the crisis, of which "the patient's own" is the mean
_SETTLING_S = 25.0  # after it, until the patient's own pressure is met again
_VENOUS_S = 5.0  # in which a beating heart draws the venous pressure down again
_WEAK = 0.4  # share of the stroke volume with which a heart starts again
_EEG_FAILS = ((5.0, 1.0), (11.0, 0.84), (17.0, 0.0))  # seconds without a pulse, share of the depth index left
_EEG_BACK_S = (10.0, 70.0)
_ATRIAL_S = (1.0, 2.0, 4.0, 7.0, 11.0)  # the last P waves of an asystole, after its start


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a rhythm's beats look in the ECG, and how much their intervals vary."""

    ectopic: float
    p_wave: float
    qrs: float
    jitter: float


_SHAPES = {
    HeartRhythm.SINUS: _Shape(0.0, 1.0, 1.0, 0.012),
    HeartRhythm.SUPRAVENTRICULAR: _Shape(0.0, 0.0, 1.0, 0.004),
    HeartRhythm.ESCAPE: _Shape(0.0, 0.0, 1.0, 0.015),
    HeartRhythm.VENTRICULAR: _Shape(1.0, 0.0, 1.0, 0.012),
    HeartRhythm.FIBRILLATION: _Shape(0.0, 0.0, 0.0, 0.0),
    HeartRhythm.ASYSTOLE: _Shape(0.0, 0.0, 0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class _Own:
    """The patient before the crisis."""

    last_r: float
    rate: float
    pressure: tuple[float, float, float]  # mean, systolic, diastolic
    pep: float
    ptt_abp: float
    ptt_ppg: float
    ppg_amp: float
    ppg_tau: float


@dataclass(slots=True)
class _Heart:
    """Where rate and pulse are between the phases."""

    rate: float
    systolic: float
    diastolic: float
    finger: float
    pulse: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A beat before it is known where the last one leaves the pressure; columns as in ``Beats``."""

    r: float
    rr: float
    ectopic: float
    pep: float
    ptt_abp: float
    ptt_ppg: float
    ts: float
    amp: float
    tau: float
    zflow: float
    ppg_amp: float
    ppg_tau: float
    p_wave: float
    qrs: float


class _Chain:
    """Beats one after the other: each begins where the last one ends, in the artery and in the finger."""

    def __init__(self, before: Beats, subject: Subject) -> None:
        self._skew = subject.flow_skew
        self._rows: list[tuple[float, ...]] = []
        self._last = {f.name: float(getattr(before, f.name)[-1]) for f in fields(Beats)}

    def add(self, row: _Row) -> None:
        last, now = self._last, {f.name: getattr(row, f.name) for f in fields(_Row)}
        del now["ptt_abp"], now["ptt_ppg"]
        now["ptt"] = row.ptt_ppg
        now["foot_abp"] = max(row.r + row.pep + row.ptt_abp, last["foot_abp"] + max(0.2, last["ts"] + 0.03))
        span = now["foot_abp"] - last["foot_abp"]
        level = last["outflow"] + level_after(last["p0"], last["amp"], last["tau"], last["ts"], span, self._skew)
        venous = last["outflow"] + (CENTRAL_VENOUS_MMHG - last["outflow"]) * (1.0 - math.exp(-span / _VENOUS_S))
        now["outflow"] = venous if row.amp else FILLING_MMHG
        now["p0"] = level - now["outflow"]
        ts = PPG_EJECTION * last["ts"]
        now["foot_ppg"] = max(row.r + row.pep + row.ptt_ppg, last["foot_ppg"] + max(0.2, ts + 0.03))
        now["ppg0"] = level_after(
            last["ppg0"], last["ppg_amp"], last["ppg_tau"], ts, now["foot_ppg"] - last["foot_ppg"], PPG_FLOW_SKEW
        )
        self._last = now
        self._rows.append(tuple(now[f.name] for f in fields(Beats)))

    def table(self) -> Beats:
        return Beats.from_rows(self._rows)


def _rows(beats: Beats) -> list[_Row]:
    ptt_abp = beats.foot_abp - beats.r - beats.pep
    columns = {f.name: getattr(beats, f.name) for f in fields(_Row) if f.name not in ("ptt_abp", "ptt_ppg")}
    columns |= {"ptt_abp": ptt_abp, "ptt_ppg": beats.ptt}
    return [_Row(**{name: float(values[i]) for name, values in columns.items()}) for i in range(len(beats))]


def _stretched(rows: list[_Row], next_r: float) -> list[_Row]:
    """The rows with their intervals a little longer or shorter, so that a beat at ``next_r`` follows in time."""
    first, last = rows[0].r, rows[-1]
    factor = (next_r - first) / (last.r + last.rr - first)
    return [replace(row, r=first + (row.r - first) * factor, rr=row.rr * factor) for row in rows]


class CrisisCourse(Course):
    """A :class:`Course` that keeps to a script. Before it and long after it the beats are the patient's own."""

    def __init__(self, seed: int, subject: Subject, device: Device, plan: Plan, script: Script) -> None:
        super().__init__(seed, subject, device, plan)
        self.script = script

    def beats(self, start_s: float, end_s: float) -> Beats:
        """The beats of [start_s, end_s): the patient's own, and the script's from its beginning on."""
        return self._scripted_into(super().beats(start_s, end_s), start_s, end_s)

    def seconds(self, start_s: float, end_s: float) -> Seconds:
        """What holds in each second of [start_s, end_s), with the failing of the circulation."""
        return self._failing(super().seconds(start_s, end_s))

    def life(self, end_s: float) -> tuple[Beats, Seconds, list[tuple[float, str]]]:
        """Beats, seconds and treatments (s, what) from the beginning to ``end_s``."""
        beats, seconds, treatments = super().life(end_s)
        return self._scripted_into(beats, -math.inf, math.inf), self._failing(seconds), treatments

    # -- the script into the course --------------------------------------------------------------------------------

    def _scripted_into(self, own: Beats, start_s: float, end_s: float) -> Beats:
        if not self.script.phases:
            return own
        scripted, until = self._scripted
        before = int(np.searchsorted(own.r, self.script.phases[0].start_s))
        after = int(np.searchsorted(own.r, until))
        low, high = np.searchsorted(scripted.r, [start_s, end_s])
        return Beats.concatenate(
            [own.select(0, before), scripted.select(int(low), int(high)), own.select(after, len(own))]
        )

    def _failing(self, rows: Seconds) -> Seconds:
        """The same seconds with the brain short of blood: depth falls to 0, isoelectric."""
        knots = [(0.0, 1.0)]
        for lost, back in self.script.arrests_s:
            knots += [(lost + after, share) for after, share in _EEG_FAILS]
            knots += [(back + _EEG_BACK_S[0], 0.0), (back + _EEG_BACK_S[1], 1.0)]
        times = rows.first + np.arange(rows.depth.size, dtype=np.float64)
        at_s, left = np.array(knots).T
        return replace(rows, depth=rows.depth * np.interp(times, at_s, left))

    # -- the beats of the script -----------------------------------------------------------------------------------

    @cached_property
    def _scripted(self) -> tuple[Beats, float]:
        """The beats from the first phase on, and the time from which the patient's own follow."""
        phases = self.script.phases
        own_again = phases[-1].start_s + phases[-1].ramp_s
        until = own_again + _SETTLING_S
        before = Course.beats(self, phases[0].start_s - _REFERENCE_S, phases[0].start_s)
        after = Course.beats(self, own_again, until)
        breath = Course.seconds(self, phases[0].start_s, until)
        own = self._reference(before)
        rng = generator(self._seed, Stream.CRISIS)
        heart = _Heart(own.rate, *own.pressure[1:], 1.0, True)
        rows: list[_Row] = []
        part: list[_Row] = []
        last_r: float | None = own.last_r
        for phase, end in zip(phases, [p.start_s for p in phases[1:]] + [own_again], strict=True):
            rows += part
            part = self._phase(phase, end, last_r, heart, own, breath, rng)
            last_r = part[-1].r if part[-1].qrs else None
        joins = int(np.searchsorted(after.r, part[-1].r + 0.5 * part[-1].rr))
        rows += _stretched(part, float(after.r[joins])) + _rows(after.select(joins, len(after)))
        chain = _Chain(before, self.subject)
        for row in rows:
            chain.add(row)
        return chain.table(), until

    def _reference(self, before: Beats) -> _Own:
        mean, systolic, diastolic = (float(np.mean(x)) for x in pressures(before, self.subject))
        return _Own(
            last_r=float(before.r[-1]),
            rate=60.0 / float(np.mean(before.rr)),
            pressure=(mean, systolic, diastolic),
            pep=float(np.mean(before.pep)),
            ptt_abp=float(np.mean(before.foot_abp - before.r - before.pep)),
            ptt_ppg=float(np.mean(before.ptt)),
            ppg_amp=float(np.mean(before.ppg_amp)),
            ppg_tau=float(np.mean(before.ppg_tau)),
        )

    def _phase(
        self,
        phase: Phase,
        end_s: float,
        last_r: float | None,
        heart: _Heart,
        own: _Own,
        breath: Seconds,
        rng: np.random.Generator,
    ) -> list[_Row]:
        """The rows of one phase; leaves ``heart`` as it is at its end."""
        shape = _SHAPES[phase.rhythm]
        if not shape.qrs:
            heart.pulse = False
            return self._silence(phase, end_s, own)
        start = replace(heart)
        goal = _Heart(phase.rate or own.rate, *(phase.pressure or own.pressure[1:]), phase.finger, phase.pulse)
        if not start.pulse:  # the heart starts again, weakly
            start.systolic, start.diastolic = (FILLING_MMHG + _WEAK * (p - FILLING_MMHG) for p in own.pressure[1:])
            start.rate, start.finger = own.rate, _WEAK * _WEAK * phase.finger
        first_rate = goal.rate if phase.ramp_s == 0.0 else start.rate
        # After silence the first beat is led by its P wave, which belongs to this phase.
        r = phase.start_s + 0.25 if last_r is None else max(phase.start_s, last_r + 60.0 / first_rate)
        rows: list[_Row] = []
        while r < end_s:
            done = min((r - phase.start_s) / phase.ramp_s, 1.0) if phase.ramp_s else 1.0
            heart.rate, heart.systolic, heart.diastolic, heart.finger = (
                getattr(start, n) ** (1.0 - done) * getattr(goal, n) ** done
                for n in ("rate", "systolic", "diastolic", "finger")
            )
            heart.pulse = phase.pulse
            rr = 60.0 / heart.rate * (1.0 + shape.jitter * float(rng.standard_normal()))
            swing = math.sin(2.0 * math.pi * float(np.interp(r, breath.first + np.arange(breath.depth.size),
                                                             breath.breath_phase)))  # fmt: skip
            rows.append(self._pulse_row(r, rr, shape, heart, own, 1.0 + 0.03 * swing + 0.008 * rng.standard_normal()))
            r += rr
        return rows

    def _silence(self, phase: Phase, end_s: float, own: _Own) -> list[_Row]:
        """A heart without beats: one row a second, so that what follows from it has somewhere to begin."""
        atrial = set(_ATRIAL_S) if phase.rhythm is HeartRhythm.ASYSTOLE else set()
        return [
            _Row(
                r=phase.start_s + k, rr=1.0, ectopic=0.0, pep=own.pep, ptt_abp=own.ptt_abp, ptt_ppg=own.ptt_ppg,
                ts=0.2, amp=0.0, tau=EMPTYING_S, zflow=0.0, ppg_amp=0.0, ppg_tau=own.ppg_tau,
                p_wave=float(k in atrial), qrs=0.0,
            )
            for k in range(math.ceil(end_s - phase.start_s))
        ]  # fmt: skip

    def _pulse_row(self, r: float, rr: float, shape: _Shape, heart: _Heart, own: _Own, stroke: float) -> _Row:
        s = self.subject
        ts = min(max(0.413 - 0.0017 * heart.rate, 0.17), 0.55 * 60.0 / heart.rate)
        mean = heart.diastolic + (heart.systolic - heart.diastolic) / 3.0
        # A slack artery carries the pulse slowly (Moens–Korteweg, see ``physiology``).
        stiffness = math.exp(-0.5 * s.stiffness_alpha * (mean - own.pressure[0]))
        amp, tau = 0.0, EMPTYING_S
        if heart.pulse:
            amp, tau = windkessel_for(heart.systolic, heart.diastolic, 60.0 / heart.rate, ts, s)
        return _Row(
            r=r, rr=rr, ectopic=shape.ectopic, pep=own.pep * (1.0 + 0.15 * shape.ectopic),
            ptt_abp=own.ptt_abp * stiffness, ptt_ppg=own.ptt_ppg * stiffness, ts=ts, amp=amp * stroke, tau=tau,
            zflow=s.impedance * s.compliance * amp * stroke,
            ppg_amp=own.ppg_amp * heart.finger * stroke if heart.pulse else 0.0, ppg_tau=own.ppg_tau,
            p_wave=shape.p_wave, qrs=shape.qrs,
        )  # fmt: skip
