"""The built-in patient: waves of one beating heart, with the truth known, for any seed and any length.

    patient = open_demo("demo:seed=7,scenario=hypovolaemia")     # what `vigil run demo…` opens
    patient = simulate_patient(11, duration_s=1800.0)            # what training draws
    patient = open_demo("demo:scenario=pea")                     # a rhythm without a pulse, or a sensor that looks so
    patient.read("SIM/ART", 10.0, 12.0)                          # as any recording
    patient.read_clean("SIM/ART", 10.0, 12.0)                    # the same without faults
    patient.truth.map_mmhg                                       # what really happened

Waves are rendered in fixed blocks on demand, so memory stays bounded and any chunking gives the same bits. Everything
is simulated: figures obtained with it must say so.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.data.sim import ecg, eeg, pulse, respiration
from models.data.sim.bedside import LONGEST_S as MEASURED_S
from models.data.sim.bedside import NUMBERS, measured
from models.data.sim.crises import SCRIPTS, Crisis, Script, with_scripted
from models.data.sim.crisis_course import CrisisCourse
from models.data.sim.demo_source import DEMO_DURATION_S, parse_demo
from models.data.sim.faults import Fault, apply_faults, plan_faults
from models.data.sim.fibrillation import fibrillation
from models.data.sim.noise import Float64Array, Stream, derive_seed, generator
from models.data.sim.operation import COURSES, SHIPPED_COURSE, Operation, draw_operation
from models.data.sim.operation_course import OperationCourse
from models.data.sim.pharmacology import concentration_for, suppression_percent
from models.data.sim.physiology import Course
from models.data.sim.scenarios import Plan, Scenario, draw_plan, draw_scenario
from models.data.sim.subject import Device, Subject, draw_device, draw_subject
from models.data.sim.tracks import EPISODE_TEXT, NUMERICS, WAVES, Wave
from models.data.sim.truth import Truth, find_hypotension, rhythm_spans
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.recording import Segment, Track, TrackKind

__all__ = ["SimulatedPatient", "open_demo", "simulate_patient"]

PROFILES = ("train", "heldout")
LONGEST_S = 7 * 86400.0
SHORTEST_S = 10.0

_BLOCK_S = 30
_KEPT_BLOCKS = 12
_NO_FILTER = np.ones(1)
_BEATS_BEFORE_S, _BEATS_AFTER_S = 4.0, 3.0
_LONGEST_RR_S = 4.0  # a longer pause is no beat's interval
_CRISIS_DEPTH = 46.0


class SimulatedPatient:
    """One simulated recording; implements :class:`models.signals.recording.Recording`.

    Made by :func:`open_demo` or :func:`simulate_patient`. Channels follow the patient (``coupled``) or each its own,
    independent patient (the negative control: no latent is shared, neither beats nor depth nor scenario).
    ``faults``: sensor faults drawn at random; None means yes, but in a crisis only those of its script.
    ``subject``: fields of :class:`Subject` set instead of drawn; ``plan``: what happens, instead of a drawn one (for
    sweeps of one factor; coupled channels only). ``spectra``: which of :data:`models.data.sim.eeg.SPECTRA` the EEG has.
    ``course``: which of :data:`models.data.sim.operation.COURSES` the pressure takes; a crisis keeps to its script,
    and a given plan to itself, in either.
    """

    def __init__(
        self,
        seed: int,
        *,
        scenario: str | None = None,
        duration_s: float = DEMO_DURATION_S,
        device: str = "train",
        coupled: bool = True,
        faults: bool | None = None,
        name: str | None = None,
        subject: Mapping[str, float] | None = None,
        plan: Plan | None = None,
        spectra: int = eeg.SHIPPED_SPECTRA,
        course: int = SHIPPED_COURSE,
    ) -> None:
        _check(seed, scenario, duration_s, device, spectra, course)
        if not coupled and (subject or plan):
            raise ValueError("a subject or plan is given to coupled channels only")
        crisis = Crisis(scenario) if scenario in set(Crisis) else None
        if crisis and plan:
            raise ValueError("a crisis has a plan of its own")
        if crisis and not coupled:
            raise BadInput("coupled channels in a crisis", f"coupled off with {scenario!r}", "leave one of them out")
        self.seed, self.coupled, self._operated = seed, coupled, course == 2
        self._subject, self._plan, self._spectra = dict(subject or {}), plan, eeg.SPECTRA[spectra]
        self.name = name or f"sim:seed={seed}"
        self.duration_s = float(duration_s)
        self._script = SCRIPTS[crisis] if crisis else Script(self.duration_s)
        self.device = _draw_device(seed, device, usual=crisis is not None or scenario == Scenario.DEMO)
        self._courses: dict[Modality, Course] = {}
        shared = None if not coupled else self._course(seed, scenario, device)
        for index, modality in enumerate(Modality):
            # Uncoupled, only pressure keeps the scenario asked for: a shared scenario would be a shared latent.
            own = scenario if modality is Modality.ABP else None
            self._courses[modality] = shared or self._course(derive_seed(seed, 100 + index), own, device)
        self.plan = self._courses[Modality.ABP].plan
        self.scenario: Scenario | Crisis = crisis or self.plan.scenario
        drawn = self._plan_faults() if faults or (faults is None and not crisis) else ()
        self.faults = with_scripted(drawn, self._script) if crisis else drawn
        self._faults_of = {m: [f for f in self.faults if f.modality is m] for m in Modality}
        self._kept: OrderedDict[tuple[str, int, bool], npt.NDArray[np.float32]] = OrderedDict()
        self._filters = {
            Modality.ABP: pulse.catheter_kernel(125.0, self.device.abp_natural_hz, self.device.abp_damping),
            Modality.PPG: pulse.highpass_kernel(125.0, self.device.ppg_highpass_hz),
        }
        self._numbers = NUMBERS if self.duration_s <= MEASURED_S else {}
        self.tracks = self._tracks()

    # -- Recording -------------------------------------------------------------------------------------------------

    def read(self, track: str, start_s: float, end_s: float) -> Segment:
        """Samples with ``start_s ≤ time < end_s`` as the sensors gave them: faults included, NaN where missing."""
        return self._read(track, start_s, end_s, clean=False)

    def read_clean(self, track: str, start_s: float, end_s: float) -> Segment:
        """The same samples as if no fault had happened (device errors such as transducer offset remain)."""
        return self._read(track, start_s, end_s, clean=True)

    def numerics(self, track: str) -> tuple[Float64Array, Float64Array]:
        """One value a second, from the truth, NaN where unknown (before the first beats); and what devices measured."""
        if track not in NUMERICS | self._numbers:
            raise KeyError(track)
        truth = self.truth
        times = np.arange(int(self.duration_s), dtype=np.float64)
        if track in self._numbers:
            return times, self._measured[track]
        if track == "SIM/HR":
            return times, truth.hr_bpm
        if track == "SIM/RESP_RATE":
            return times, truth.resp_rate_min
        if track == "SIM/DEPTH":
            return times, truth.depth
        values = {"SIM/ART_MBP": truth.map_mmhg, "SIM/ART_SBP": truth.sbp_mmhg, "SIM/ART_DBP": truth.dbp_mmhg}[track]
        return times, _trailing_mean(truth.abp_onset_s[1:], values, times, 8.0)

    def events(self) -> list[tuple[float, str]]:
        """Planned episodes, phases of a crisis and sensor faults, in order of time."""
        plan = self._courses[Modality.ABP].plan
        texts = [(start, f"{EPISODE_TEXT[mechanism]} begins") for start, mechanism, _ in plan.marks()]
        texts += [(p.start_s, f"{p.text} begins") for p in self._script.phases]
        for start, end in self._script.breathless_s:
            texts += [(start, "apnoea begins"), (end, "breathing begins")]
        texts += [(f.start_s, f"{f.modality} {f.kind} begins") for f in self.faults]
        return sorted((time, text) for time, text in texts if time < self.duration_s)

    def close(self) -> None:
        """Let go of the rendered blocks; reading again renders them anew."""
        self._kept.clear()

    # -- truth -----------------------------------------------------------------------------------------------------

    @cached_property
    def truth(self) -> Truth:
        """Simulates the whole recording (about 0.1 s an hour) the first time it is asked for."""
        end = self.duration_s
        distinct = {id(course): course for course in self._courses.values()}
        lives = {key: course.life(end) for key, course in distinct.items()}
        life = {modality: lives[id(course)] for modality, course in self._courses.items()}
        abp_subject = self._courses[Modality.ABP].subject
        heart, artery, finger = (life[m][0] for m in (Modality.ECG, Modality.ABP, Modality.PPG))
        r = self._channel_time(Modality.ECG, heart.r)
        abp_foot = self._channel_time(Modality.ABP, artery.foot_abp)
        lag = _kernel_delay(self._filters[Modality.ABP], 125.0)
        abp_up = self._channel_time(
            Modality.ABP, artery.foot_abp + pulse.upstroke_offsets(artery, abp_subject, "ABP") + lag
        )
        ppg_up = self._channel_time(
            Modality.PPG, finger.foot_ppg + pulse.upstroke_offsets(finger, self._courses[Modality.PPG].subject, "PPG")
        )
        mean, systolic, diastolic = pulse.pressures(artery, abp_subject)
        abp_foot = abp_foot + lag
        pulses = slice(*np.searchsorted(abp_foot, [0.0, end]))
        onsets = abp_foot[pulses.start : pulses.stop + 1]
        all_r = r[heart.qrs > 0.0]
        rr = np.diff(all_r)
        beating = rr < _LONGEST_RR_S
        if self.coupled:
            keep = (r >= 0.0) & (r < end)
            r = r[keep & (heart.qrs > 0.0)]
            abp_up, ppg_up = abp_up[keep & (artery.amp > 0.0)], ppg_up[keep & (finger.ppg_amp > 0.0)]
        else:
            r, abp_up, ppg_up = (x[(x >= 0.0) & (x < end)] for x in (r, abp_up, ppg_up))
        seconds = np.arange(int(end), dtype=np.float64)
        rows = life[Modality.EEG][1]
        eeg_body_s, row_s = self._body_time(Modality.EEG, seconds), rows.first + np.arange(rows.depth.size)
        depth = np.interp(eeg_body_s, row_s, rows.depth)
        breaths = life[Modality.RESP][1]
        breath_s = breaths.first + np.arange(breaths.breath_phase.size, dtype=np.float64)
        course = self._courses[Modality.RESP]
        held = respiration.held_breath(breaths.breath_phase, breath_s, course, self._script.breathless_s)
        rate = np.diff(held) * 60.0
        return Truth(
            r_s=r,
            abp_upstroke_s=abp_up,
            ppg_upstroke_s=ppg_up,
            abp_onset_s=onsets,
            map_mmhg=mean[pulses],
            sbp_mmhg=systolic[pulses],
            dbp_mmhg=diastolic[pulses],
            abp_offset_mmhg=self.device.abp_offset_mmhg,
            hr_bpm=60.0 / _trailing_mean(all_r[1:][beating], rr[beating], seconds, 8.0),
            depth=depth,
            propofol_ug_ml=np.interp(eeg_body_s, row_s, rows.concentration),
            suppression_percent=suppression_percent(depth),
            resp_rate_min=rate[-breaths.first : -breaths.first + seconds.size],
            hypotension=find_hypotension(onsets, mean[pulses]),
            rhythms=rhythm_spans(self._script.phases, end),
            treatments=tuple(life[Modality.ABP][2]),
            faults=self.faults,
            device=self.device,
        )

    @cached_property
    def _measured(self) -> dict[str, Float64Array]:
        return measured(self.seed, self.duration_s, self.truth)

    def course(self, modality: Modality) -> Course:
        """The life behind a channel: beats and seconds in physiological time."""
        return self._courses[modality]

    # -- building --------------------------------------------------------------------------------------------------

    def _course(self, seed: int, scenario: str | None, profile: str) -> Course:
        subject = dataclasses.replace(draw_subject(generator(seed, Stream.SUBJECT)), **self._subject)
        if isinstance(self._plan, Operation):
            return OperationCourse(seed, subject, self.device, self._plan)
        if self._plan is not None:
            return Course(seed, subject, self.device, self._plan)
        if self._script.phases or self._script.faults or self._script.breathless_s:
            asleep = ((-1e9, concentration_for(_CRISIS_DEPTH, subject.ce50)),)
            plan = Plan(Scenario.STABLE, (), asleep, True)
            return CrisisCourse(seed, _usual(subject), self.device, plan, self._script)
        rng = generator(seed, Stream.PLAN)
        drawn = draw_scenario(rng, profile)
        kind = Scenario(scenario) if scenario is not None else drawn
        if kind is Scenario.DEMO:
            subject = _usual(subject)
        if self._operated:
            operation = draw_operation(rng, kind, self.duration_s, subject.ce50)
            return OperationCourse(seed, subject, self.device, operation)
        return Course(seed, subject, self.device, draw_plan(rng, kind, self.duration_s, subject.ce50))

    def _plan_faults(self) -> tuple[Fault, ...]:
        demo = self.scenario is Scenario.DEMO
        if self.coupled:
            return plan_faults(self.seed, self.duration_s, demo)
        own: list[Fault] = []
        for index, modality in enumerate(Modality):
            plan = plan_faults(derive_seed(self.seed, 100 + index), self.duration_s, False)
            own += [f for f in plan if f.modality is modality]
        return tuple(sorted(own, key=lambda f: (f.start_s, f.modality)))

    def _tracks(self) -> tuple[Track, ...]:
        waves = []
        for name, wave in WAVES.items():
            gaps = tuple((f.start_s, f.end_s) for f in self._faults_of[wave.modality] if f.missing)
            count = math.ceil(self.duration_s * wave.rate_hz - 1e-9)
            waves.append(Track(name, TrackKind.WAVE, wave.unit, wave.rate_hz, 0.0, count, gaps))
        count = int(self.duration_s)
        numerics = [
            Track(name, TrackKind.NUMERIC, unit, None, 0.0, count) for name, unit in (NUMERICS | self._numbers).items()
        ]
        return (*waves, *numerics)

    # -- time ------------------------------------------------------------------------------------------------------

    def _delay_drift(self, modality: Modality) -> tuple[float, float]:
        d = self.device
        delay = {Modality.ABP: d.abp_delay_s, Modality.PPG: d.ppg_delay_s}.get(modality, 0.0)
        return delay, d.eeg_drift if modality is Modality.EEG else d.monitor_drift

    def _body_time(self, modality: Modality, channel_s: Float64Array) -> Float64Array:
        """Physiological time of what a channel shows at its own time."""
        delay, drift = self._delay_drift(modality)
        return channel_s * (1.0 - drift) - delay

    def _channel_time(self, modality: Modality, body_s: Float64Array) -> Float64Array:
        delay, drift = self._delay_drift(modality)
        return (body_s + delay) / (1.0 - drift)

    # -- rendering -------------------------------------------------------------------------------------------------

    def _read(self, track: str, start_s: float, end_s: float, clean: bool) -> Segment:
        wave = WAVES[track]
        total = math.ceil(self.duration_s * wave.rate_hz - 1e-9)
        first = min(max(math.ceil(start_s * wave.rate_hz - 1e-6), 0), total)
        last = min(max(math.ceil(end_s * wave.rate_hz - 1e-6), first), total)
        return Segment(first, self._samples(track, first, last, clean))

    def _samples(self, track: str, first: int, last: int, clean: bool) -> npt.NDArray[np.float32]:
        size = int(_BLOCK_S * WAVES[track].rate_hz)
        out = np.empty(last - first, dtype=np.float32)
        for index in range(first // size, -(-last // size)):
            low, high = max(first, index * size), min(last, (index + 1) * size)
            block = self._block(track, index, clean)
            out[low - first : high - first] = block[low - index * size : high - index * size]
        return out

    def _block(self, track: str, index: int, clean: bool) -> npt.NDArray[np.float32]:
        wave = WAVES[track]
        struck = [] if clean else self._faults_within(wave.modality, index)
        key = (track, index, not struck)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        size = int(_BLOCK_S * wave.rate_hz)
        if struck:
            block = apply_faults(
                self._block(track, index, clean=True).astype(np.float64),
                index * size,
                wave.rate_hz,
                struck,
                self.seed,
                self.device,
                lambda first, count: self._samples(track, first, first + count, clean=True).astype(np.float64),
            )
        else:
            block = self._render(wave, index * size, size)
        self._kept[key] = rendered = block.astype(np.float32)
        rendered.flags.writeable = False
        while len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return rendered

    def _faults_within(self, modality: Modality, index: int) -> list[Fault]:
        start, end = index * _BLOCK_S - 1.0, (index + 1) * _BLOCK_S  # ringing after a flush lasts under a second
        return [f for f in self._faults_of[modality] if f.start_s < end and f.end_s > start]

    def _render(self, wave: Wave, first: int, count: int) -> Float64Array:
        """Clean samples ``first … first + count`` of one channel, device included."""
        modality, rate, course = wave.modality, wave.rate_hz, self._courses[wave.modality]
        seed, subject, device = self.seed, course.subject, self.device
        kernel = self._filters.get(modality, _NO_FILTER)
        margin = kernel.size - 1
        times = self._body_time(modality, (first - margin + np.arange(count + margin)) / rate)
        rows = course.seconds(float(times[0]), float(times[-1]))
        row_s = rows.first + np.arange(rows.depth.size, dtype=np.float64)
        if modality is Modality.EEG:
            # Depth is smooth: its second grid may as well be moved to channel time.
            clean = eeg.eeg(
                first, count, int(rate), self._channel_time(modality, row_s), rows.depth, seed, subject, self._spectra
            )
            return eeg.eeg_sensor(clean, first, seed, device)
        beats = course.beats(float(times[0]) - _BEATS_BEFORE_S, float(times[-1]) + _BEATS_AFTER_S)
        if modality is Modality.ABP:
            return pulse.arterial_sensor(
                np.convolve(pulse.arterial(times, beats, subject), kernel, mode="valid"), first, seed, device
            )
        breath = respiration.held_breath(
            np.interp(times, row_s, rows.breath_phase), times, course, self._script.breathless_s
        )
        if modality is Modality.PPG:
            filtered = _convolve(pulse.pleth(times, beats, breath, subject), kernel)
            return pulse.pleth_sensor(filtered, first, rate, seed, device)
        if modality is Modality.ECG:
            heart = ecg.ecg(times, beats, breath, subject)
            for start, end in self._script.fibrillating_s:
                heart += fibrillation(times, start, end, seed)
            return ecg.ecg_sensor(heart, first, rate, seed, device)
        return respiration.respiration_sensor(respiration.respiration(times, beats, breath), first, seed)


def simulate_patient(
    seed: int,
    *,
    scenario: str | None = None,
    duration_s: float = 1800.0,
    device: str = "train",
    coupled: bool = True,
    faults: bool | None = None,
    spectra: int = eeg.SHIPPED_SPECTRA,
    course: int = SHIPPED_COURSE,
) -> SimulatedPatient:
    """One patient of the population of ``device`` ("train" or "heldout"); the scenario is drawn unless given.

    A crisis is never drawn. ``faults`` None: drawn, but in a crisis only those of its script.

    Raises BadInput for an unknown scenario, device profile, EEG or course and for a duration outside 10 s to 7 days.
    """
    return SimulatedPatient(
        seed,
        scenario=scenario,
        duration_s=duration_s,
        device=device,
        coupled=coupled,
        faults=faults,
        spectra=spectra,
        course=course,
    )


def open_demo(spec: str) -> SimulatedPatient:
    """The built-in patient of a source text: ``demo`` or ``demo:key=value,…``.

    Keys: seed (whole number), scenario (a ``Scenario`` or a ``Crisis``), duration (s), faults (on, off), device
    (train, heldout), coupled (on, off), spectra (1, 2), course (1, 2).
    Raises BadInput, in one sentence, for anything else.
    """
    options = parse_demo(spec)
    return SimulatedPatient(
        options.seed,
        scenario=options.scenario,
        duration_s=options.duration_s,
        device=options.device,
        coupled=options.coupled,
        faults=options.faults,
        spectra=options.spectra,
        course=options.course,
        name=options.name,
    )


def _check(seed: int, scenario: str | None, duration_s: float, device: str, spectra: int, course: int) -> None:
    if not 0 <= seed < 2**63:
        raise BadInput("a seed from 0 to 2^63 − 1", str(seed), "choose another seed")
    if not SHORTEST_S <= duration_s <= LONGEST_S:  # also refuses NaN
        raise BadInput(f"a duration of {SHORTEST_S:g} to {LONGEST_S:g} s", f"{duration_s:g} s", "choose another one")
    known = [s.value for s in (*Scenario, *Crisis)]
    if scenario is not None and scenario not in known:
        raise BadInput(f"a scenario out of {', '.join(known)}", repr(scenario), "choose one of these")
    if device not in PROFILES:
        raise BadInput(f"a device profile out of {', '.join(PROFILES)}", repr(device), "choose one of these")
    if spectra not in eeg.SPECTRA:
        raise BadInput(f"spectra out of {', '.join(map(str, eeg.SPECTRA))}", str(spectra), "choose one of these")
    if course not in COURSES:
        raise BadInput(f"a course out of {', '.join(map(str, COURSES))}", str(course), "choose one of these")


def _usual(subject: Subject) -> Subject:
    """The subject with a usual pressure and no ectopic beats of its own."""
    return dataclasses.replace(subject, pvc_per_min=0.0, map0=min(max(subject.map0, 92.0), 100.0))


def _draw_device(seed: int, profile: str, *, usual: bool) -> Device:
    device = draw_device(generator(seed, Stream.DEVICE), profile)
    if usual:  # the first impression: usual gains, lead the right way round
        device = dataclasses.replace(
            device, ecg_polarity=1.0, ecg_gain=1.0, ecg_wander_mv=0.03, ecg_noise_mv=0.006, abp_offset_mmhg=1.0
        )
    return device


def _convolve(wave: Float64Array, kernel: Float64Array) -> Float64Array:
    """Causal convolution without the first ``kernel.size − 1`` samples, by FFT."""
    size = 1 << (wave.size - 1).bit_length()  # circular wrap-around stays inside the samples cut away
    product = np.fft.rfft(wave, size) * np.fft.rfft(kernel, size)
    return np.fft.irfft(product, size)[kernel.size - 1 : wave.size]


def _kernel_delay(kernel: Float64Array, rate_hz: float) -> float:
    """Delay in s of slow changes by a kernel of unit sum: its first moment."""
    return float(np.sum(kernel * np.arange(kernel.size)) / rate_hz)


def _trailing_mean(at_s: Float64Array, values: Float64Array, times_s: Float64Array, width_s: float) -> Float64Array:
    """Mean of the ``values`` that fell at ``at_s`` into (t − width, t], for each t; NaN where there was none."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    high = np.searchsorted(at_s, times_s, side="right")
    low = np.searchsorted(at_s, times_s - width_s, side="right")
    mean: Float64Array = (total[high] - total[low]) / np.where(high > low, high - low, np.nan)
    return mean
