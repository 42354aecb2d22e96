"""Crises: rhythms with and without a pulse, and the sensors that look like them in a patient who is well.

Each begins with half a minute of sinus rhythm, so that the monitor has met the patient, and ends, where there is a
way back, with the circulation restored. They are scripts, not draws: the times are the same for every seed, the
patient and the devices are not. Times are seconds from the start, pressures mmHg (systolic, diastolic).

Rates and limits are those of the alarm definitions of Clifford et al., PhysioNet/CinC Challenge 2015 (asystole: no QRS
for 4 s; extreme bradycardia below 40, extreme tachycardia above 140, ventricular tachycardia above 100 a minute).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.data.sim.faults import Fault, FaultKind
from models.signals.modalities import Modality


class Crisis(StrEnum):
    """What can befall the built-in patient, by the name of its scenario."""

    PEA = "pea"  # pulseless electrical activity
    ASYSTOLE = "asystole"
    VFIB = "vfib"
    VTACH = "vtach"  # with a pulse
    VTACH_PULSELESS = "vtach_pulseless"
    BRADYCARDIA_EXTREME = "bradycardia_extreme"
    TACHYCARDIA_EXTREME = "tachycardia_extreme"
    SHOCK = "shock"
    APNOEA = "apnoea"  # the heart goes on
    PPG_OFF = "ppg_off"  # while the pressure falls
    # The patient is well in all that follow.
    FLUSH = "flush"
    ZEROING = "zeroing"
    DISCONNECT = "disconnect"
    DAMPING = "damping"
    ECG_LEADS_OFF = "ecg_leads_off"
    MOTION = "motion"


class HeartRhythm(StrEnum):
    """What the heart does, as the truth of a simulated recording says it."""

    SINUS = "sinus rhythm"
    SUPRAVENTRICULAR = "supraventricular tachycardia"
    ESCAPE = "junctional escape rhythm"
    VENTRICULAR = "ventricular tachycardia"
    FIBRILLATION = "ventricular fibrillation"
    ASYSTOLE = "asystole"


@dataclass(frozen=True, slots=True)
class Phase:
    """What the heart does from ``start_s`` to the start of the next phase; None is the patient's own value.

    Rate, pressure and the size of the finger's pulse (a share of the patient's own) get there in ``ramp_s``.
    """

    start_s: float
    text: str
    rhythm: HeartRhythm
    pulse: bool = True
    rate: float | None = None
    pressure: tuple[float, float] | None = None
    finger: float = 1.0
    ramp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """One crisis. After the ramp of the last phase, always sinus rhythm, the patient's own course goes on.

    breathless_s: stretches [start, end) in which nobody breathes; the chest stays as it was at the start.
    """

    duration_s: float
    phases: tuple[Phase, ...] = ()
    faults: tuple[Fault, ...] = ()
    breathless_s: tuple[tuple[float, float], ...] = ()

    @property
    def arrests_s(self) -> tuple[tuple[float, float], ...]:
        """Stretches [start, end) without a pulse."""
        return tuple((p.start_s, end) for p, end in self._spans() if not p.pulse)

    @property
    def fibrillating_s(self) -> tuple[tuple[float, float], ...]:
        """Stretches [start, end) of ventricular fibrillation."""
        return tuple((p.start_s, end) for p, end in self._spans() if p.rhythm is HeartRhythm.FIBRILLATION)

    def _spans(self) -> list[tuple[Phase, float]]:
        ends = [p.start_s for p in self.phases[1:]] + [self.duration_s] * bool(self.phases)
        return list(zip(self.phases, ends, strict=True))


_R, _M, _K = HeartRhythm, Modality, FaultKind
_BACK_S = 20.0


def _arrest(text: str, rhythm: HeartRhythm, end_s: float, rate: float | None = None, ramp_s: float = 0.0) -> Script:
    """The pulse is lost at 30 s and comes back at ``end_s``."""
    lost = Phase(30.0, text, rhythm, pulse=False, rate=rate, ramp_s=ramp_s)
    return Script(end_s + 100.0, (lost, Phase(end_s, "return of circulation", _R.SINUS, ramp_s=_BACK_S)))


def _low(
    text: str,
    rhythm: HeartRhythm,
    rate: float,
    pressure: tuple[float, float],
    finger: float,
    end_s: float = 80.0,
    ramp_s: float = 0.0,
) -> Script:
    """The pulse goes on, at another rate and pressure, from 30 s to ``end_s``."""
    event = Phase(30.0, text, rhythm, True, rate, pressure, finger, ramp_s)
    return Script(end_s + 100.0, (event, Phase(end_s, "recovery", _R.SINUS, ramp_s=_BACK_S)))


SCRIPTS: dict[Crisis, Script] = {
    Crisis.PEA: _arrest("pulseless electrical activity", _R.SINUS, 75.0, 58.0, 40.0),
    Crisis.ASYSTOLE: _arrest("asystole", _R.ASYSTOLE, 80.0),
    Crisis.VFIB: _arrest("ventricular fibrillation", _R.FIBRILLATION, 100.0),
    Crisis.VTACH: _low("ventricular tachycardia", _R.VENTRICULAR, 170.0, (75.0, 45.0), 0.45),
    Crisis.VTACH_PULSELESS: _arrest("pulseless ventricular tachycardia", _R.VENTRICULAR, 75.0, 190.0),
    Crisis.BRADYCARDIA_EXTREME: _low("extreme bradycardia", _R.ESCAPE, 34.0, (75.0, 40.0), 0.9),
    Crisis.TACHYCARDIA_EXTREME: _low("extreme tachycardia", _R.SUPRAVENTRICULAR, 180.0, (75.0, 45.0), 0.5),
    Crisis.SHOCK: _low("shock", _R.SINUS, 130.0, (38.0, 28.0), 0.15, end_s=110.0, ramp_s=20.0),
    Crisis.APNOEA: Script(180.0, breathless_s=((45.0, 110.0),)),
    Crisis.PPG_OFF: Script(
        240.0,
        (
            Phase(60.0, "pressure falls", _R.SINUS, True, 105.0, (52.0, 32.0), 0.4, 50.0),
            Phase(150.0, "recovery", _R.SINUS, ramp_s=30.0),
        ),
        (Fault(_M.PPG, _K.LEAD_OFF, 40.0, 180.0),),
    ),
    Crisis.FLUSH: Script(
        150.0, faults=(Fault(_M.ABP, _K.FLUSH, 30.0, 36.0), Fault(_M.ABP, _K.FLUSH, 60.0, 61.5),
                       Fault(_M.ABP, _K.FLUSH, 90.0, 102.0)),
    ),
    Crisis.ZEROING: Script(120.0, faults=(Fault(_M.ABP, _K.OPEN, 30.0, 45.0),)),
    Crisis.DISCONNECT: Script(180.0, faults=(Fault(_M.ABP, _K.OPEN, 30.0, 100.0),)),
    # A clot in the line, and the flush that clears it.
    Crisis.DAMPING: Script(
        180.0, faults=(Fault(_M.ABP, _K.OVERDAMPED, 30.0, 110.0), Fault(_M.ABP, _K.FLUSH, 110.0, 113.0))
    ),
    # One amplifier goes to its rail, the other shows a line as flat as asystole.
    Crisis.ECG_LEADS_OFF: Script(
        180.0, faults=(Fault(_M.ECG, _K.LEAD_OFF, 30.0, 65.0), Fault(_M.ECG, _K.DETACHED, 95.0, 135.0))
    ),
    Crisis.MOTION: Script(
        150.0, faults=(Fault(_M.ECG, _K.RHYTHMIC, 30.0, 70.0), Fault(_M.PPG, _K.RHYTHMIC, 30.0, 70.0))
    ),
}  # fmt: skip


def with_scripted(drawn: tuple[Fault, ...], script: Script) -> tuple[Fault, ...]:
    """Faults in order of time: those of the script, and of ``drawn`` those that leave them alone."""
    kept = [
        f
        for f in drawn
        if not any(f.modality is s.modality and f.start_s < s.end_s + 1.0 and f.end_s > s.start_s - 1.0
                   for s in script.faults)
    ]  # fmt: skip
    return tuple(sorted([*kept, *script.faults], key=lambda f: (f.start_s, f.modality)))
