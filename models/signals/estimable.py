"""What may be shown as an estimate of an absent channel: the one function that stream, screen and exports read.

An estimate needs a pulse that another sensor shows *now*, on a patient of whom that channel was measured before. Bad
news forbids it, whoever brings it: a pulse channel without a pulse, an ECG without a rhythm, a pulse that is late. No
sensor outvotes another's bad news; where they disagree the estimate ends, and the reason says so. An EEG is never
drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from models.signals.absence import Absence
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SOURCES = {
    # absent channel: where its pulse may be taken from
    Modality.ABP: (Modality.PPG,),
    Modality.PPG: (Modality.ABP,),
    Modality.ECG: (Modality.PPG, Modality.ABP),
}
"""Electrical activity alone proves no circulation, so the ECG is a source of none."""

NO_RHYTHM = {
    Rhythm.STILL: "the ECG is still",
    Rhythm.FIBRILLATION: "the ECG shows fibrillation",
    Rhythm.UNCLEAR: "the ECG shows no beats",
}
NEVER_CONNECTED = "never connected"
MEASURED = "it is measured"
TOO_LITTLE = "too little of the pulse seen yet"
_AGE = CONTEXT_FIELDS.index("age_s")


def forbidden(modality: Modality, findings: Findings, absence: Mapping[Modality, Absence | None]) -> str:
    """Why ``modality`` must not be estimated, given what the sensors say now; "" if it may.

    absence: why each modality is not measured, None where it is; one that is not listed is not connected.
    """
    if modality not in SOURCES:
        return f"{modality} is never estimated"
    pulseless = findings.showing(Pulse.NONE)
    if modality in pulseless:
        return f"the {modality} shows no pulse"
    if absence.get(modality, Absence.NOT_CONNECTED) is None:
        return MEASURED
    if findings.rhythm in NO_RHYTHM:
        return NO_RHYTHM[findings.rhythm]
    if pulseless:
        return f"the {' and the '.join(pulseless)} {'show' if len(pulseless) > 1 else 'shows'} no pulse"
    # The state of a sensor may be newer than what it said last.
    pulsing = [m for m in _pulsing(modality, findings) if absence.get(m, Absence.NOT_CONNECTED) is None]
    if not pulsing:
        return f"no pulse on {' or '.join(SOURCES[modality])} to estimate it from"
    late = [m for m in pulsing if m in findings.overdue]
    return f"the next pulse on the {late[0]} is late" if late else ""


def never_measured(modality: Modality) -> str:
    """The reason where no second of it was clean enough for the model. A number may have come of it even so."""
    return f"no clean {modality} of this patient yet"


def not_estimable(modality: Modality, window: Window, spec: WindowSpec) -> str:
    """Why the absent ``modality`` must not be shown as an estimate made from ``window``; "" if it may."""
    row = {m: i for i, m in enumerate(spec.modalities)}
    measured = modality in row and not math.isnan(float(window.context[row[modality], _AGE]))
    if not measured and window.newest.get(modality, Absence.NOT_CONNECTED) is Absence.NOT_CONNECTED:
        return NEVER_CONNECTED if modality in SOURCES else forbidden(modality, window.findings, window.newest)
    why = forbidden(modality, window.findings, window.newest)
    if why:
        return why
    if not measured:
        return never_measured(modality)
    # The model must have read the pulse, newest frame included; a wave is sized over its window: half of one is drawn
    # too large.
    frames = [window.presence[row[m]] for m in _pulsing(modality, window.findings) if m in row]
    read = max((int(present.sum()) for present in frames if present[-1]), default=0)
    return "" if read * 2 >= spec.frames else TOO_LITTLE


def _pulsing(modality: Modality, findings: Findings) -> list[Modality]:
    """The channels that show a pulse from which ``modality`` may be estimated."""
    return [m for m in SOURCES[modality] if findings.pulse_of(m) is Pulse.PRESENT]
