"""What may be drawn at all as an estimate of an absent channel (``reference``: restored waves).

An absent arterial pressure is estimated only with a pulsatile PPG, or within 30 s of its last measurement while the
heart visibly beats; ECG and PPG only from another channel that carries the pulse. EEG is never drawn. A pulse channel
that is connected and shows no pulse forbids it: electrical activity without a pulse must not be drawn as a pressure.
"""

from __future__ import annotations

import numpy as np

from models.signals.absence import Absence
from models.signals.beats import r_peaks
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

ABP_MEMORY_S = 30.0
RHYTHM_S = 6
MIN_BEATS = 2  # in RHYTHM_S: fewer than 20/min is treated as no rhythm
PULSES = {
    Modality.ABP: (Modality.PPG,),
    Modality.PPG: (Modality.ECG, Modality.ABP),
    Modality.ECG: (Modality.PPG, Modality.ABP),
}
PULSE_CHANNELS = (Modality.PPG, Modality.ABP)
_AGE = CONTEXT_FIELDS.index("age_s")


def not_estimable(modality: Modality, window: Window, spec: WindowSpec) -> str:
    """Why the absent ``modality`` must not be shown as an estimate; "" if it may."""
    if modality is Modality.EEG:
        return "an EEG trace is never estimated"
    row = {m: i for i, m in enumerate(spec.modalities)}
    measured = {m for m, i in row.items() if window.presence[i, -1]}  # what the model saw of the newest frame
    if Modality.ECG in measured and not _has_rhythm(window, row[Modality.ECG], spec):
        return "no rhythm on the ECG"
    pulses = [m for m in PULSES[modality] + (Modality.ECG,) if m is not modality and m in row]
    if max((int(window.presence[row[m]].sum()) for m in pulses), default=0) * 2 < spec.frames:
        return "too little of the window seen yet"  # a wave is sized over its window: half of one is drawn too large
    pulseless = [m for m in PULSE_CHANNELS if window.newest.get(m) is Absence.NOT_PULSATILE]
    if pulseless and not any(m in measured for m in PULSE_CHANNELS):
        return f"the {' and the '.join(pulseless)} shows no pulse"
    if any(source in measured for source in PULSES.get(modality, ())):
        return ""
    if modality is Modality.ABP:
        if modality not in row:
            return "no pulsatile PPG"
        age = float(window.context[row[modality], _AGE])
        if age < ABP_MEMORY_S and Modality.ECG in measured:
            return ""
        return "no pulsatile PPG, and no ABP within 30 s"
    return f"no {' or '.join(PULSES[modality])} to take the pulse from"


def _has_rhythm(window: Window, row: int, spec: WindowSpec) -> bool:
    ecg = window.signals[row, -RHYTHM_S * spec.rate_hz :].astype(np.float64)
    return len(r_peaks(ecg, spec.rate_hz)) >= MIN_BEATS
