"""When a risk of hypotension may be shown at all: the rules of physiology first, then what was measured of the model.

A risk is shown only where it was better than a coin on patients of its own. How long after the last measured pressure
that holds depends on which other sensors are there (:data:`LONGEST_S`, measured by ``python -m benchmarks estimates``);
a sensor that is untrusted counts as not there, and one that stays so longer than on those patients ends the risk. Where
the patient's pressure is low already, or the heart shows no rhythm or no pulse, a probability of what may come is no
answer: what is, is said instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from models.signals.absence import Standing, standing_of
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

HYPOTENSION_MMHG = 65.0
LEAST_DATA_S = 30
UNTRUSTED_S = 30.0
"""A sensor may be untrusted for so long: then nothing of what it measured is left in the window."""
_ECG, _PPG, _EEG = Modality.ECG, Modality.PPG, Modality.EEG

Sensors = frozenset[Modality]

LONGEST_S: Mapping[Sensors, float] = MappingProxyType(
    {
        frozenset({_ECG, _PPG, _EEG}): 120.0,
        frozenset({_ECG, _PPG}): 120.0,
        frozenset({_PPG, _EEG}): 60.0,
        frozenset({_ECG, _EEG}): 30.0,
        frozenset({_PPG}): 60.0,
        frozenset({_ECG}): 30.0,
        frozenset({_EEG}): 0.0,
        frozenset(): 0.0,
    }
)
"""Seconds since the ABP was last measured within which a risk is shown, by the other sensors that are there now.
0: only while it is measured. A set that is not listed shows none."""

_LEVEL, _AGE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("age_s")


def risk_abstains(window: Window, spec: WindowSpec, longest_s: Mapping[Sensors, float] = LONGEST_S) -> str:
    """Why no risk may be shown of this window; "" if one may. One plain reason, the gravest first."""
    return (
        _bad_news(window)
        or _low_already(window, spec)
        or _too_little(window, spec)
        or _untrusted(window, spec)
        or _too_old(window, spec, longest_s)
    )


def sensors_there(window: Window, spec: WindowSpec) -> Sensors:
    """The model's sensors but the ABP that are measured now and in at least half of the window's frames."""
    return frozenset(
        m
        for row, m in enumerate(spec.modalities)
        if m is not Modality.ABP and window.presence[row, -1] and 2 * int(window.presence[row].sum()) >= spec.frames
    )


def _bad_news(window: Window) -> str:
    findings = window.findings
    if pulseless := findings.showing(Pulse.NONE):
        return f"the {' and the '.join(pulseless)} {'show' if len(pulseless) > 1 else 'shows'} no pulse"
    if findings.rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION):
        return "no rhythm on the ECG"
    if _measured(window, Modality.ECG):
        return "" if findings.rhythm is Rhythm.BEATS else "no rhythm on the ECG that can be told"
    if not findings.showing(Pulse.PRESENT):
        return "no ECG, and no pulse to be seen"
    return ""


def _low_already(window: Window, spec: WindowSpec) -> str:
    level, age = _pressure(window, spec)
    if not level < HYPOTENSION_MMHG:  # also where it is not known
        return ""
    return f"MAP below {HYPOTENSION_MMHG:g} {'now' if age <= 0.0 else 'when it was last measured'}"


def _too_little(window: Window, spec: WindowSpec) -> str:
    """Of a window that does not reach back to its own beginning the model has only parts."""
    measured = window.cells.any(axis=0)
    if not measured.any() or spec.window_s - int(measured.argmax()) < min(LEAST_DATA_S, spec.window_s):
        return f"less than {LEAST_DATA_S} s of data"
    return ""


def _untrusted(window: Window, spec: WindowSpec) -> str:
    for row, modality in enumerate(spec.modalities):
        reason = window.newest.get(modality)
        if standing_of(reason) is Standing.UNTRUSTED and not float(window.context[row, _AGE]) <= UNTRUSTED_S:
            return f"the {modality} cannot be trusted ({reason})"
    return ""


def _too_old(window: Window, spec: WindowSpec, longest_s: Mapping[Sensors, float]) -> str:
    longest = longest_s.get(sensors_there(window, spec))
    level, age = _pressure(window, spec)
    if longest is not None and age <= longest and level >= HYPOTENSION_MMHG:  # what is not known is NaN
        return ""
    if not longest:
        return "no ABP now"
    return f"no ABP measured in the last {_span(longest)}"


def _pressure(window: Window, spec: WindowSpec) -> tuple[float, float]:
    """Last measured mean pressure in mmHg and its age in s; NaN where never measured."""
    if Modality.ABP not in spec.modalities:
        return float("nan"), float("nan")
    row = window.context[spec.modalities.index(Modality.ABP)]
    return float(row[_LEVEL]), float(row[_AGE])


def _measured(window: Window, modality: Modality) -> bool:
    return modality in window.newest and window.newest[modality] is None


def _span(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 or seconds % 60 else f"{seconds / 60:g} min"
