"""Arrhythmia calls from ECG, arterial pressure and plethysmogram together, second by second: pure, bounded.

The definitions are those of the PhysioNet/CinC Challenge 2015 (Clifford et al., Computing in Cardiology 2015;
42:273–276): asystole, no complex for at least 4 s; extreme bradycardia, fewer than 40 /min over 5 beats; extreme
tachycardia, more than 140 /min over 17; ventricular tachycardia, 5 or more ventricular beats at more than 100 /min;
ventricular flutter or fibrillation, its waveform for at least 4 s. A heart that has just slowed or sped up is called
from fewer beats where they are that much slower or faster.

What the ECG says is confirmed, unopposed or contradicted by what ABP and PPG show in the same seconds. Only clearly
good evidence contradicts (:mod:`streams.alarms.arrhythmia_pulse`), and none where a pressure line shows no pulse;
absence of evidence never does, and a contradicted call is still a call. A fast run whose complexes hardly differ from
the usual ones is called as contradicted by that, lest a true one be silent; one of its own complexes alone is none.
What is usual, complexes and pulse, is that of before the run, however long it lasts. A call *holds now*: it ends with
its condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.signals.beats import EcgBlock, complexes, r_peaks
from models.signals.blocks import median, spans_gap
from models.signals.findings import PULSE_CHANNELS, Findings, Pulse, Rhythm
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.offset import REACH
from models.signals.rhythm import LEAST_DEFLECTION_MV, SPAN_S, swings, without_wander
from streams.alarms.arrhythmia_pulse import EDGE_S, NEAR, Channels, PulseChannel, pulse_rates
from streams.alarms.arrhythmia_usual import USUAL_S, UsualMemory, UsualState
from streams.alarms.arrhythmia_ventricular import BEATS, Run, fast_runs, run_starts

Floats = npt.NDArray[np.float64]
Grid = Callable[[Modality, int, int], npt.NDArray[np.float32]]

BEATS_S = 20  # five beats at 15 /min
PULSE_S = 16

ASYSTOLE_S = 4.0
LEAST_KNOWN = 0.9  # of those seconds
SMALL = 0.25  # of the usual height: no complex of this heart
COMPLEX_S = 0.06  # reach of a complex to either side, for its height

# (beats, rate per minute), whichever holds. Fewer than five where they are that much slower: a heart that has just
# slowed. The experts of the Challenge call 40–42 /min bradycardia below 40, so its limit has a tolerance of 6 %, within
# the 10 % of IEC 60601-2-27, to the safe side; and tachycardia when half of its 17 beats have come.
SLOW = ((5, 42.5), (4, 38.7), (3, 34.3))
FAST = ((17, 140.0), (9, 142.0))
FAST_ENDS_S = 1.2  # without a beat
SLOW_LONGEST_RATE = 46.0  # of fewer than five beats no interval may be shorter

PULSE_SPAN_S = {"asystole": 5.0, "vfib": 5.0, "vtach": 5.0, "brady.extreme": 7.0, "tachy.extreme": 6.0}
"""Of well-formed pulses that contradict or confirm; longer than the call itself, since a pulse follows its beat."""
LONGEST_PULSE_SPAN_S = 14.0  # of the 16 s that are looked at
SLOW_PULSE, FAST_PULSE = 45.0, 120.0  # per minute: beyond, a pulse contradicts brady- and tachycardia

PULSE_ALONE_S = 8.0  # a rate from pulses alone, without beats in the ECG
SUSPECTED = -0.6  # log odds from which a fast run is said, if only as contradicted by its own complexes
HARDLY_UNLIKE = "complexes hardly unlike the usual"
RUN_HOLDS_S = 3.0  # after its last beat
MOST_OWN_BEATS = 2  # of a run of five; with more it is doubtful, and of its own alone no ventricular one
VENTRICULAR_HELD_S = 12
FIBRILLATION_HELD_S, FIBRILLATION_BEATS_S = 30, 3  # by an unclear rhythm, by beats among it


class Verdict(StrEnum):
    """What the other sensors make of a call."""

    CONFIRMED = "confirmed"
    UNOPPOSED = "unopposed"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Call:
    """An arrhythmia that holds now. reason: a short clause for clinicians. value: rate per minute; of asystole the
    seconds without a complex; None where it has none."""

    key: str
    verdict: Verdict
    reason: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class _Now:
    """What the rules share of one second. ecg: [6000] the last minute; at, height: its complexes of any shape. recent:
    those of the last 20 s that are not far smaller than usual, believed: the beats that make a heart rate, both in
    samples before now, newest first."""

    ecg: npt.NDArray[np.float32]
    ecg_measured: bool
    at: Floats
    height: Floats
    recent: Floats
    believed: Floats
    channels: Channels
    findings: Findings

    def pulse_rates(self, span_s: float) -> dict[Modality, float]:
        """Channels with well-formed pulses over the last ``span_s``, and their rates per minute."""
        return pulse_rates(self.channels, span_s)


class ArrhythmiaMonitor:
    """Feed it each completed second in turn; a jump in ``second`` (seek, restart) begins anew."""

    def __init__(self) -> None:
        self._second: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new epoch."""
        self._second = None
        self._fibrillated_at: int | None = None
        self._ventricular_last: tuple[int, Call] | None = None
        self._usual = UsualMemory()

    def forget_usual(self) -> None:
        """What is usual is learnt anew: another lead is looked at from now on."""
        self._usual = UsualMemory()

    def export_usual(self) -> UsualState:
        """What is usual for this heart: all that is older than the last minute."""
        return self._usual.export()

    def restore_usual(self, state: UsualState) -> None:
        """Judge from now on by what another monitor of this heart has learnt."""
        self._usual.restore(state)

    def update(self, second: int, grid: Grid, measured: Mapping[Modality, bool], findings: Findings) -> list[Call]:
        """The calls that hold at event time ``second``.

        grid(modality, first_g, last_g): samples first_g … last_g − 1 of the 100-Hz grid (sample g at g · 10 ms), NaN
        where missing; everything below ``second`` · 100 must be there. measured: whether each modality's state is
        *measured* now, which a pulse channel without a pulse is; one that is not listed is not measured. findings: of
        the same second.
        """
        if self._second is not None and second != self._second + 1:
            self.reset()
        self._second = second
        now = _look(second * GRID_RATE_HZ, grid, measured, findings)
        fibrillation = self._fibrillation(second, now)
        ventricular = self._ventricular(second, now, fibrillation)
        asystole = _asystole(now)
        slow = None if _stands(asystole) else _bradycardia(now)
        fast = None if _stands(fibrillation) else _tachycardia(now)
        return [call for call in (fibrillation, ventricular, asystole, slow, fast) if call is not None]

    def _ventricular(self, second: int, now: _Now, fibrillation: Call | None) -> Call | None:
        """Beside fibrillation, in which runs come and go, it holds for a while, unless a pulse contradicts both."""
        call = self._run(second, now)
        if call is not None and not (fibrillation and call.verdict is Verdict.CONTRADICTED):
            self._ventricular_last = (second, call)
            return call
        if fibrillation is None or fibrillation.verdict is Verdict.CONTRADICTED or self._ventricular_last is None:
            return None
        last, held = self._ventricular_last
        holds = second - last <= VENTRICULAR_HELD_S and held.verdict is not Verdict.CONTRADICTED
        return held if holds else None

    def _run(self, second: int, now: _Now) -> Call | None:
        """Of the runs that have just ended or go on, the one with the most that speaks for it."""
        pulses = now.pulse_rates(PULSE_SPAN_S["vtach"])
        rates = list(pulses.values())
        runs = self._runs(second, now)
        strange = [run for run in runs if run.own_beats <= MOST_OWN_BEATS]
        worst = max(strange, key=lambda run: run.evidence() - run.against(rates), default=None)
        evidence = worst.evidence() if worst is not None else -np.inf
        self._usual.add(second, now.channels, evidence > 0.0)
        if worst is not None and evidence > 0.0:
            steady = self._usual.steady_pulses(second, now.channels, worst)
            outvoted = pulses if evidence <= worst.against(rates) else steady
            return _judged("vtach", worst.rate, now, outvoted, {} if outvoted else pulses)
        doubtful = [run for run in runs if run.own_beats < BEATS and run.evidence() > 0.0]
        if worst is not None and evidence > SUSPECTED and not self._usual.steady_pulses(second, now.channels, worst):
            doubtful.append(worst)
        return Call("vtach", Verdict.CONTRADICTED, HARDLY_UNLIKE, doubtful[-1].rate) if doubtful else None

    def _runs(self, second: int, now: _Now) -> list[Run]:
        if not now.ecg_measured or not len(run_starts(now.at, len(now.ecg))):
            return []
        usual = self._usual.complex_at(second, now.ecg, now.at, now.height)
        if usual is None:
            return []
        return [run for run in fast_runs(now.ecg, now.at, now.height, usual) if run.ended_s <= RUN_HOLDS_S]

    def _fibrillation(self, second: int, now: _Now) -> Call | None:
        """Holds through seconds that are unclear, and single ones in which a detector believes to see beats: the
        waveform is not the same in every stretch of four seconds."""
        rhythm = now.findings.rhythm
        if rhythm is Rhythm.FIBRILLATION:
            self._fibrillated_at = second
        held_s = {Rhythm.UNCLEAR: FIBRILLATION_HELD_S, Rhythm.BEATS: FIBRILLATION_BEATS_S}.get(rhythm, 0)
        if self._fibrillated_at is None or second - self._fibrillated_at > held_s:
            self._fibrillated_at = None
            return None
        return _judged("vfib", None, now, now.pulse_rates(PULSE_SPAN_S["vfib"]))


def _stands(call: Call | None) -> bool:
    """Whether a call holds that nothing contradicts: without beats there is no rate of beats to call."""
    return call is not None and call.verdict is not Verdict.CONTRADICTED


def _look(last_g: int, grid: Grid, measured: Mapping[Modality, bool], findings: Findings) -> _Now:
    ecg = grid(Modality.ECG, last_g - USUAL_S * GRID_RATE_HZ, last_g)
    at, height = complexes(ecg)
    usual = median(height) if len(height) else 0.0
    newest = ecg[-BEATS_S * GRID_RATE_HZ :]
    block = EcgBlock(newest)
    recent, _ = complexes(block, least_mv=SMALL * usual)
    channels = {
        m: PulseChannel.of(m, grid(m, last_g - PULSE_S * GRID_RATE_HZ, last_g))
        for m in PULSE_CHANNELS
        if measured.get(m, False)
    }
    believed = _unbroken(newest, r_peaks(block))
    return _Now(
        ecg, measured.get(Modality.ECG, False), at, height, _unbroken(newest, recent), believed, channels, findings
    )


def _unbroken(ecg: npt.NDArray[np.float32], at: Floats) -> Floats:
    """The beats since the last gap, in samples before now, newest first: no interval spans one."""
    broken = np.flatnonzero(spans_gap(ecg, at))
    return (len(ecg) - at[int(broken[-1]) + 1 if len(broken) else 0 :])[::-1]


def _asystole(now: _Now) -> Call | None:
    """No complex for 4 s, up to now or up to a complex of the last second: a pause does not end on a whole second. In a
    line that is too still to be believed (flat, an electrode off) only with a pulse channel that shows no pulse."""
    span = round(ASYSTOLE_S * GRID_RATE_HZ)
    ago = now.recent
    ended = int(ago[0]) if len(ago) > 1 and ago[0] <= GRID_RATE_HZ and ago[1] - ago[0] >= span else 0
    newest = now.ecg[len(now.ecg) - ended - span : len(now.ecg) - ended]
    known = newest[np.isfinite(newest)]
    if len(known) < LEAST_KNOWN * span or now.findings.rhythm is Rhythm.FIBRILLATION:
        return None
    if (len(ago) and ago[0] < span and not ended) or _beats_behind_an_artefact(now, span, ended):
        return None
    if not now.ecg_measured:
        still = float(swings(without_wander(newest)).max()) < LEAST_DEFLECTION_MV
        # Of a line that is only flat the rhythm is said, at whatever level a recording has its zero: it is still.
        level = abs(median(known))
        off = now.findings.rhythm is Rhythm.UNKNOWN and level >= REACH[Modality.ECG].lost
        if not still or off or not now.findings.showing(Pulse.NONE):
            return None
    silence_s = (float(ago[1] - ago[0]) if ended else float(ago[0])) / GRID_RATE_HZ if len(ago) else None
    return _judged("asystole", silence_s, now, now.pulse_rates(PULSE_SPAN_S["asystole"]))


def _beats_behind_an_artefact(now: _Now, span: int, ended: int) -> bool:
    """Whether the ``span`` samples that ended ``ended`` samples ago hold a beat that the detector believes and that is
    no smaller than this heart's complexes: a deflection of 10 mV a few seconds ago makes real ones look too small to be
    any."""
    edge = round(2 * COMPLEX_S * GRID_RATE_HZ) if ended else 0  # the complexes at its ends are no part of a pause
    believed = now.believed[(now.believed >= ended + edge) & (now.believed < ended + span - edge)]
    if now.findings.rhythm is not Rhythm.BEATS or not len(believed):
        return False
    heights = _peak_to_peak(now.ecg, now.at)
    heights = heights[np.isfinite(heights)]
    usual = median(heights) if len(heights) else 0.0
    return bool((_peak_to_peak(now.ecg, len(now.ecg) - believed) > SMALL * usual).any())


def _peak_to_peak(ecg: npt.NDArray[np.float32], at: Floats) -> Floats:
    """Within ``COMPLEX_S`` to either side of each position; NaN where samples are missing."""
    reach = round(COMPLEX_S * GRID_RATE_HZ)
    index = np.clip(np.round(at).astype(int)[:, None] + np.arange(-reach, reach + 1), 0, len(ecg) - 1)
    size: Floats = np.ptp(ecg[index].astype(np.float64), axis=1)
    return size


def _bradycardia(now: _Now) -> Call | None:
    """A pulse contradicts it that is faster by more than a tolerance over the whole of the beats that are too slow."""
    slow = [r for ago in (now.recent, now.believed) if (r := _slow(ago)) is not None] if now.ecg_measured else []
    if not slow:
        return _by_pulse("brady.extreme", now, lambda rate: rate < SLOW[0][1])
    rate, began_s = min(slow)
    pulses = now.pulse_rates(min(max(PULSE_SPAN_S["brady.extreme"], began_s + EDGE_S), LONGEST_PULSE_SPAN_S))
    against = {m: r for m, r in pulses.items() if r > max(SLOW_PULSE, (1.0 + NEAR) * rate)}
    return _judged("brady.extreme", rate, now, against, pulses)


def _tachycardia(now: _Now) -> Call | None:
    span = round(SPAN_S * GRID_RATE_HZ)  # less does not tell beats from fibrillation
    if now.findings.rhythm is Rhythm.FIBRILLATION:
        return None
    if now.ecg_measured and np.count_nonzero(np.isfinite(now.ecg[-span:])) < LEAST_KNOWN * span:
        return None
    rates = [r for ago in (now.recent, now.believed) if (r := _fast(ago)) is not None] if now.ecg_measured else []
    if not rates:
        return _by_pulse("tachy.extreme", now, lambda rate: rate > FAST[0][1])
    pulses = now.pulse_rates(PULSE_SPAN_S["tachy.extreme"])
    against = {m: rate for m, rate in pulses.items() if rate < FAST_PULSE}
    return _judged("tachy.extreme", rates[0], now, against, pulses)


def _by_pulse(key: str, now: _Now, extreme: Callable[[float], bool]) -> Call | None:
    """A rate from pulses alone, where the ECG is not measured or shows no beats that can be told."""
    if now.ecg_measured and now.findings.rhythm is Rhythm.BEATS:
        return None
    rates = now.pulse_rates(PULSE_ALONE_S)
    if not rates or not all(extreme(rate) for rate in rates.values()):
        return None
    modality, rate = next(iter(rates.items()))
    ecg = "no beats in the ECG" if now.ecg_measured else "no ECG"
    verdict = Verdict.CONFIRMED if len(rates) > 1 else Verdict.UNOPPOSED
    return Call(key, verdict, f"{_pulses({modality: rate})}, {ecg}", rate)


def _judged(
    key: str,
    value: float | None,
    now: _Now,
    against: Mapping[Modality, float],
    pulses: Mapping[Modality, float] | None = None,
) -> Call:
    """The call with what the pulse channels make of it. against: well-formed pulses at a rate that contradicts it;
    pulses: all well-formed ones, where one at the call's own rate confirms it."""
    silent = now.findings.showing(Pulse.NONE)
    if against and Modality.ABP not in silent:
        return Call(key, Verdict.CONTRADICTED, _pulses(against), value)
    if silent:
        names = " and ".join(m.value for m in silent)
        reason = f"{names} show{'s' if len(silent) == 1 else ''} no pulse"
        return Call(key, Verdict.CONFIRMED, f"{reason}, although {_pulses(against)}" if against else reason, value)
    agreeing = {m: r for m, r in (pulses or {}).items() if value is not None and abs(r - value) <= NEAR * value}
    if agreeing:
        return Call(key, Verdict.CONFIRMED, _pulses(agreeing), value)
    if value is not None and pulses:
        return Call(key, Verdict.UNOPPOSED, f"although {_pulses(pulses)}", value)
    return Call(key, Verdict.UNOPPOSED, "ECG alone" if not now.channels else "no clear pulse to compare", value)


def _pulses(rates: Mapping[Modality, float]) -> str:
    """
    >>> _pulses({Modality.ABP: 81.6, Modality.PPG: 82.0})
    'ABP pulses at 82/min and PPG at 82/min'
    """
    first, *rest = [f"{m.value} pulses at {rate:.0f}/min" for m, rate in rates.items()]
    return " and ".join([first, *(text.replace(" pulses", "") for text in rest)])


def _slow(ago: Floats) -> tuple[float, float] | None:
    """Rate per minute of the newest beats if it is extremely low, and seconds since the first of them; ago: samples
    before now, newest first."""
    intervals = np.diff(ago) / GRID_RATE_HZ
    for beats, limit in SLOW:
        if len(intervals) < beats - 1:
            continue
        newest = intervals[: beats - 1]
        rate = 60.0 / float(newest.mean())
        if rate < limit and (beats == SLOW[0][0] or float(newest.min()) > 60.0 / SLOW_LONGEST_RATE):
            return rate, float(ago[beats - 1]) / GRID_RATE_HZ
    return None


def _fast(ago: Floats) -> float | None:
    """Rate per minute of the newest beats if it is extremely high; ago: samples before now, newest first."""
    intervals = np.diff(ago) / GRID_RATE_HZ
    if not len(ago) or ago[0] > FAST_ENDS_S * GRID_RATE_HZ:
        return None
    for beats, limit in FAST:
        if len(intervals) >= beats - 1 and (rate := 60.0 / float(intervals[: beats - 1].mean())) > limit:
            return rate
    return None
