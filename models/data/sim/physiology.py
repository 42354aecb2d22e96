"""The course of one patient, beat by beat: heart, vessels, reflexes, anaesthesia and what goes wrong.

The only sequential part of the simulator. It advances in chapters; a chapter is a pure function of the state at its
start and of its own random numbers, so states are kept (small) and tables of beats are made again when needed.

Per second: propofol, episodes, slow drifts. Per beat: baroreflex → interval; Frank–Starling, contractility and breath →
stroke volume; windkessel → pressure; Moens–Korteweg with E = E0·exp(αP) → transit time ∝ exp(−αP/2) (Hughes 1979).
Baroreflex: the heart answers within 1.5 s, the vessels with a time constant of 12 s (deBoer et al., Am J Physiol
1987;253:H680); propofol lowers its gain and resets it to lower pressures (Cullen et al., Anesth Analg 1987;66:1115).
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.data.sim.beats import Beats, level_after
from models.data.sim.noise import Float64Array, Stream, generator
from models.data.sim.pharmacology import Propofol, circulation_effect, depth_index
from models.data.sim.scenarios import EFFECTS, TREATMENTS, Episode, Mechanism, Plan
from models.data.sim.subject import CENTRAL_VENOUS_MMHG, Device, Subject

CHAPTER_S = 120
LEAD_IN_S = 60
"""Seconds simulated before time zero, so that a recording begins in steady state and delays reach real beats."""

_MAX_BEATS = 3 * CHAPTER_S + 60  # of noise drawn a chapter: beyond any heart rate the limits allow
_RR_MIN_S, _RR_MAX_S = 0.32, 1.9
_KEPT_CHAPTERS = 8
_HEART_DELAY_S = 1.5
_VESSEL_TIME_S = 12.0
PPG_EJECTION = 1.12
PPG_FLOW_SKEW = 0.55
"""The finger's volume pulse: filled over a longer time and more symmetrically than the aorta."""


class Acting(NamedTuple):
    """What acts on the circulation beside reflexes, drug and slow drifts: factors, 1 where nothing does."""

    resistance: float = 1.0
    preload: float = 1.0
    rate: float = 1.0
    contractility: float = 1.0
    set_point: float = 1.0  # of the reflexes' pressure
    finger: float = 1.0  # height of its pulse beyond what stroke and resistance make of it
    variability: float = 1.0  # respiratory sinus arrhythmia
    transit: float = 1.0  # transit time to the finger


@dataclass(slots=True)
class State:
    """Everything that the next beat depends on; copied at the start of every chapter."""

    drug: Propofol
    next_second: int
    t_r: float
    rr: float
    slow_rr: float
    # previous beat
    foot_abp: float
    foot_ppg: float
    p0: float
    amp: float
    tau: float
    ts: float
    zflow: float
    resistance: float
    compliance: float
    ppg0: float
    ppg_amp: float
    ppg_tau: float
    ppg_mean: float  # running mean height of pulses, for the automatic gain
    map_beat: float
    history: tuple[tuple[float, float], ...]  # (time, MAP) of the latest beats
    ectopic: bool  # the coming beat is a ventricular ectopic one
    # slow
    map_slow: float
    vessels: float  # reflex change of resistance
    breath_phase: float
    breath_rate: float  # cycles a second
    drift_svr: float
    drift_hr: float
    drift_ptt: float
    effect: float
    depth: float
    episode: int
    severity: float
    active: bool
    recovering: bool
    since_start: float
    below_s: float
    pressor: float  # what is left of boluses
    support: float  # slow infusion that keeps the patient from drifting low

    def copy(self) -> State:
        """The same moment, to be taken further on its own."""
        other = copy.copy(self)
        other.drug = self.drug.copy()
        return other


@dataclass(frozen=True, slots=True)
class Seconds:
    """One row a second: physiological state at whole seconds ``first …``."""

    first: int
    breath_phase: Float64Array  # cycles since the start
    depth: Float64Array
    concentration: Float64Array


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happens in ``CHAPTER_S`` seconds."""

    beats: Beats
    seconds: Seconds
    treatments: tuple[tuple[float, str], ...]


class Course:
    """One patient's life from ``-LEAD_IN_S`` on, advanced as far as asked."""

    def __init__(self, seed: int, subject: Subject, device: Device, plan: Plan) -> None:
        self._seed = seed
        self.subject, self.device, self.plan = subject, device, plan
        # Resistance and compliance reference: MAP = CO · R + CVP at the awake resting state.
        flow = subject.hr0 / 60.0 * subject.sv0_ml
        self._r0 = (subject.map0 - CENTRAL_VENOUS_MMHG) / flow
        self._fill0 = 1.0 - math.exp(-(60.0 / subject.hr0 - 0.12) / 0.30)
        self._target_times = [time for time, _ in plan.propofol]
        self._targets = [target for _, target in plan.propofol]
        self._states: list[State] = [self._initial()]
        self._kept: OrderedDict[int, Chapter] = OrderedDict()

    # -- reading ---------------------------------------------------------------------------------------------------

    def beats(self, start_s: float, end_s: float) -> Beats:
        """The beats whose R peak lies in [start_s, end_s), physiological time."""
        return _beats_within([c.beats for c in self._chapters(start_s, end_s)], start_s, end_s)

    def seconds(self, start_s: float, end_s: float) -> Seconds:
        """The rows of whole seconds that bracket [start_s, end_s]."""
        first, last = math.floor(start_s) - 1, math.ceil(end_s) + 2
        return _seconds_within([c.seconds for c in self._chapters(first, last)], first, last)

    def life(self, end_s: float) -> tuple[Beats, Seconds, list[tuple[float, str]]]:
        """All beats, seconds and treatments from 20 s before time zero to ``end_s``, in one pass."""
        first, last = -20, math.ceil(end_s) + 4
        chapters = self._chapters(first, last)
        treatments = [t for c in chapters for t in c.treatments if 0.0 <= t[0] < end_s]
        beats = _beats_within([c.beats for c in chapters], first, last)
        return beats, _seconds_within([c.seconds for c in chapters], first, last), treatments

    def _chapters(self, start_s: float, end_s: float) -> list[Chapter]:
        low = max(math.floor((start_s + LEAD_IN_S) / CHAPTER_S), 0)
        high = max(math.ceil((end_s + LEAD_IN_S) / CHAPTER_S), low + 1)
        return [self._chapter(k) for k in range(low, high)]

    def _chapter(self, index: int) -> Chapter:
        kept = self._kept.get(index)
        if kept is not None:
            self._kept.move_to_end(index)
            return kept
        for earlier in range(len(self._states) - 1, index):
            self._advance(earlier)
        chapter = self._advance(index)
        self._kept[index] = chapter
        while len(self._kept) > _KEPT_CHAPTERS:
            self._kept.popitem(last=False)
        return chapter

    # -- advancing -------------------------------------------------------------------------------------------------

    def _initial(self) -> State:
        s = self.subject
        start = self._targets[0]
        drug = Propofol(s.weight_kg, start)
        effect = circulation_effect(start) if self.plan.depth_acts else 0.35
        pressure = s.map0 * (1.0 - 0.36 * effect)
        rr = 60.0 / s.hr0
        t0 = -float(LEAD_IN_S)
        return State(
            drug=drug, next_second=-LEAD_IN_S, t_r=t0 + 0.1, rr=rr, slow_rr=rr,
            foot_abp=t0 - 0.6, foot_ppg=t0 - 0.5, p0=pressure * 0.75, amp=s.sv0_ml / s.compliance,
            tau=self._r0 * s.compliance, ts=0.29, zflow=0.0, resistance=self._r0, compliance=s.compliance,
            ppg0=0.0, ppg_amp=1.0, ppg_tau=0.4, ppg_mean=1.0, map_beat=pressure, history=((t0, pressure),),
            ectopic=False, map_slow=pressure, vessels=0.0, breath_phase=0.0, breath_rate=s.breaths_min / 60.0,
            drift_svr=0.0, drift_hr=0.0, drift_ptt=0.0, effect=effect, depth=depth_index(start, s.ce50), episode=0,
            severity=0.0, active=False, recovering=False, since_start=0.0, below_s=0.0, pressor=0.0, support=0.0,
        )  # fmt: skip

    def _advance(self, index: int) -> Chapter:
        """Simulate chapter ``index`` from its kept state; keeps the state of the next chapter if it is new."""
        state = self._states[index].copy()
        rng = generator(self._seed, Stream.COURSE, index)
        beat_noise = rng.standard_normal((_MAX_BEATS, 3)).tolist()
        ectopic_draw = rng.random(_MAX_BEATS).tolist()
        second_noise = rng.standard_normal((CHAPTER_S, 4)).tolist()
        first = index * CHAPTER_S - LEAD_IN_S
        end = first + CHAPTER_S
        rows: list[tuple[float, ...]] = []
        seconds: list[tuple[float, float, float]] = []
        treatments: list[tuple[float, str]] = []
        while True:
            while state.next_second < end and state.next_second <= state.t_r:
                k = state.next_second
                seconds.append((state.breath_phase, state.depth, state.drug.brain))
                self._second(state, second_noise[k - first], treatments)
            if state.t_r >= end:
                break
            i = len(rows)
            rows.append(self._beat(state, beat_noise[i], ectopic_draw[i]))
        if len(self._states) == index + 1:
            self._states.append(state)
        table = np.array(seconds, dtype=np.float64).T
        return Chapter(
            Beats.from_rows(rows), Seconds(first, *(np.ascontiguousarray(c) for c in table)), tuple(treatments)
        )

    def _second(self, st: State, noise: list[float], treatments: list[tuple[float, str]]) -> None:
        """One second of what moves slowly. Drifts are Ornstein–Uhlenbeck processes of unit variance."""
        second = float(st.next_second)
        st.next_second += 1
        st.drug.step(self._target(st, second))
        st.depth = depth_index(st.drug.brain, self.subject.ce50)
        if self.plan.depth_acts:
            st.effect = circulation_effect(st.drug.circulation)
        st.drift_svr += noise[0] * math.sqrt(2.0 / 180.0) - st.drift_svr / 180.0
        st.drift_hr += noise[1] * math.sqrt(2.0 / 120.0) - st.drift_hr / 120.0
        st.drift_ptt += noise[2] * math.sqrt(2.0 / 600.0) - st.drift_ptt / 600.0
        # Breathing is steady on a ventilator and wanders when awake.
        awake = max(st.depth - 60.0, 0.0) / 33.0
        rate = self.subject.breaths_min / 60.0 * (1.0 + 0.12 * awake * noise[3])
        st.breath_rate += 0.15 * (rate - st.breath_rate)
        st.breath_phase += st.breath_rate
        st.pressor *= 1.0 - 1.0 / 240.0
        self._episode(st, second, treatments)

    def _target(self, st: State, second: float) -> float:
        """The pump's target in µg/ml."""
        return self._targets[bisect_right(self._target_times, second) - 1]

    def _episode(self, st: State, second: float, treatments: list[tuple[float, str]]) -> None:
        """Deepen, hold or end the episode of the plan that is due."""
        episodes = self.plan.episodes
        if not st.active:
            # Between episodes the anaesthetist titrates a vasopressor slowly to a mean above 70 mmHg.
            st.support = min(max(st.support + 2e-5 * min(70.0 - st.map_slow, 10.0), 0.0), 0.6)
            if st.episode < len(episodes) and episodes[st.episode].start_s <= second:
                st.active, st.recovering, st.severity, st.since_start, st.below_s = True, False, 0.0, 0.0, 0.0
            else:
                return
        now: Episode = episodes[st.episode]
        st.since_start += 1.0
        if st.recovering:
            st.severity *= 1.0 - 1.0 / now.recover_s
            if st.severity < 0.02:
                st.active, st.severity, st.episode = False, 0.0, st.episode + 1
            return
        if now.mechanism is Mechanism.STIMULUS:
            st.severity = min(st.severity + 1.0 / now.ramp_s, 1.0)
        elif (pressure := min(st.map_slow, st.map_beat)) > now.nadir:
            # Compensation differs between patients: severity goes on until the pressure is there, within limits.
            step = min(max((pressure - now.nadir) / 12.0, 0.15), 1.0) / now.ramp_s
            st.severity = min(st.severity + step, 2.2)
        st.below_s = st.below_s + 1.0 if st.map_slow < now.rescue_below else 0.0
        treated = st.below_s > now.rescue_after_s and now.rescue_below > 0.0
        if treated or st.since_start > now.ramp_s + now.hold_s:
            st.recovering = True
            if treated:
                treatments.append((second, TREATMENTS[now.mechanism]))
                st.pressor += 0.5 if now.mechanism is not Mechanism.HYPOVOLAEMIA else 0.2

    def _acting(self, st: State) -> Acting:
        """What acts at the coming beat."""
        if not st.active:
            return Acting()
        return Acting(*EFFECTS[self.plan.episodes[st.episode].mechanism](st.severity))

    def _beat(self, st: State, noise: list[float], ectopic_draw: float) -> tuple[float, ...]:
        """One beat: its pulse from the state so far, then the interval to the next. Returns a row of ``Beats``."""
        s = self.subject
        svr, preload, rate, contract, prevailing, finger, variability, transit = self._acting(st)
        depress = st.effect
        reflex = 1.0 - 0.9 * depress  # gain left to the baroreflex
        t = st.t_r
        breath = math.sin(2.0 * math.pi * (st.breath_phase + st.breath_rate * (t - st.next_second)))
        # t − next_second is negative: the phase is kept for the coming whole second.

        # Pressure set point, resistance, compliance.
        set_point = s.map0 * (1.0 - 0.36 * depress) * prevailing
        error = (set_point - st.map_slow) / set_point
        goal = 1.1 * reflex * min(max(error, -0.3), 0.35)
        st.vessels += (goal - st.vessels) * (1.0 - math.exp(-st.rr / _VESSEL_TIME_S))
        mayer = s.mayer * reflex * math.sin(2.0 * math.pi * 0.095 * t + 1.5 * st.drift_hr)
        resistance = (
            self._r0 * (1.0 - 0.36 * depress) * svr * (1.0 + st.vessels) * (1.0 + mayer)
            * math.exp(0.035 * st.drift_svr) * (1.0 + 0.22 * st.pressor + st.support)
        )  # fmt: skip
        compliance = s.compliance * math.exp(-0.006 * (st.map_beat - s.map0))

        # Stroke volume: filling time, Frank–Starling on a preload that breathes, contractility, afterload.
        ectopic = st.ectopic
        fill = (1.0 - math.exp(-max(st.rr - 0.12, 0.02) / 0.30)) / self._fill0
        volume = preload * (1.0 + s.preload_swing * (1.5 - 0.5 * preload) * breath)
        starling = 1.25 * volume / (volume + 0.25)
        contractility = (1.0 - 0.22 * depress) * contract * (1.0 + 0.4 * max(st.vessels, 0.0) * reflex)
        afterload = 1.0 - 0.25 * (st.map_beat - set_point) / set_point
        stroke = s.sv0_ml * fill * starling * contractility * min(max(afterload, 0.7), 1.3) * (1.0 + 0.008 * noise[0])
        if ectopic:
            stroke *= 0.6

        # Timing: pre-ejection period, ejection time, transit.
        hr = 60.0 / st.rr
        pep = s.pep0_s * (1.0 + 0.45 * (1.0 - contractility) + 0.30 * (1.0 - starling)) * (1.15 if ectopic else 1.0)
        pep = min(max(pep, 0.05), 0.18)
        ts = min(max(0.413 - 0.0017 * hr, 0.17), 0.55 * st.rr) * (0.9 + 0.1 * min(stroke / s.sv0_ml, 1.2))
        stiffness = math.exp(-0.5 * s.stiffness_alpha * (st.map_beat - 100.0)) * (1.0 + s.tone_ptt * st.drift_ptt)
        ptt_abp = s.ptt_abp_s * stiffness
        ptt_ppg = s.ptt_ppg_s * stiffness * transit + 0.0012 * noise[1]

        # Arterial pulse: the previous one decays to this foot; exact mean from mass balance.
        foot = max(t + pep + ptt_abp, st.foot_abp + max(0.2, st.ts + 0.03))
        span = foot - st.foot_abp
        p0 = level_after(st.p0, st.amp, st.tau, st.ts, span, s.flow_skew)
        mean = st.resistance * st.compliance * (st.amp - (p0 - st.p0)) / span + st.zflow / span + CENTRAL_VENOUS_MMHG
        st.map_beat += 0.6 * (mean - st.map_beat)
        st.map_slow += (mean - st.map_slow) * (1.0 - math.exp(-span / 8.0))
        st.history = (*st.history[-7:], (t, mean))

        # Finger pulse: smaller with small strokes and narrow vessels; the monitor's gain follows it.
        foot_ppg = max(t + pep + ptt_ppg, st.foot_ppg + max(0.2, PPG_EJECTION * st.ts + 0.03))
        ppg_span = foot_ppg - st.foot_ppg
        ppg0 = level_after(st.ppg0, st.ppg_amp, st.ppg_tau, PPG_EJECTION * st.ts, ppg_span, PPG_FLOW_SKEW)
        height = (stroke / s.sv0_ml) ** 0.8 * (self._r0 / resistance) ** 0.7 * (1.0 + 0.01 * noise[2]) * finger
        st.ppg_mean += (height - st.ppg_mean) * (1.0 - math.exp(-st.rr / 25.0))

        st.foot_abp, st.p0, st.ts = foot, p0, ts
        st.resistance, st.compliance = resistance, compliance
        st.amp, st.tau, st.zflow = stroke / compliance, resistance * compliance, s.impedance * stroke
        st.foot_ppg, st.ppg0 = foot_ppg, ppg0
        st.ppg_amp = height * max(st.ppg_mean, 0.05) ** -self.device.ppg_agc
        st.ppg_tau = min(max(0.23 * (resistance / self._r0) ** 0.5, 0.12), 0.4)

        # Interval to the next beat.
        delayed = st.history[0][1]
        for time, value in st.history:
            if time > t - _HEART_DELAY_S:
                break
            delayed = value
        base = s.hr0 * rate * (1.0 - 0.10 * depress) * math.exp(0.03 * st.drift_hr) * (1.0 - 0.06 * st.pressor)
        shift = s.brs_ms * 1e-3 * reflex * (delayed - set_point) * (60.0 / base / 0.85)
        goal_rr = min(max(60.0 / base * (1.0 + min(max(shift, -0.17), 0.35)), _RR_MIN_S), _RR_MAX_S)
        st.slow_rr += (goal_rr - st.slow_rr) * (1.0 - math.exp(-st.rr / 2.0))
        rsa = s.rsa_ms * 1e-3 * (1.0 - 0.65 * depress) * st.slow_rr * breath * variability
        rr = st.slow_rr + rsa + 0.004 * noise[0] * st.slow_rr
        st.ectopic = not ectopic and ectopic_draw < s.pvc_per_min * st.slow_rr / 60.0
        if st.ectopic:
            rr = 0.62 * st.slow_rr
        elif ectopic:
            rr = 1.36 * st.slow_rr  # compensatory pause
        rr = min(max(rr, _RR_MIN_S), _RR_MAX_S)
        row = (t, rr, float(ectopic), pep, ptt_ppg, ts, foot, p0, st.amp, st.tau, st.zflow, foot_ppg, ppg0,
               st.ppg_amp, st.ppg_tau, 1.0 - float(ectopic), 1.0, CENTRAL_VENOUS_MMHG)  # fmt: skip
        st.t_r, st.rr = t + rr, rr
        return row


def _beats_within(parts: list[Beats], start_s: float, end_s: float) -> Beats:
    joined = Beats.concatenate(parts)
    low, high = np.searchsorted(joined.r, [start_s, end_s])
    return joined.select(int(low), int(high))


def _seconds_within(parts: list[Seconds], first: int, last: int) -> Seconds:
    skip = max(first - parts[0].first, 0)
    rows = slice(skip, skip + last - first)
    names = ("breath_phase", "depth", "concentration")
    return Seconds(parts[0].first + skip, *(np.concatenate([getattr(p, n) for p in parts])[rows] for n in names))
