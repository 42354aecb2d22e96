"""When a risk of hypotension may be shown, and how wide: the rules of physiology first, then what the model has shown.

A risk is given only where it was better than a coin on calibration patients. How long after the last measured pressure
that holds depends on which other sensors are there: the bundle's :class:`RiskTable`, measured by ``python -m benchmarks
estimates``. A sensor that is untrusted counts as not there, and one that stays so ends the risk. Where the patient's
pressure is low already, or the heart shows no rhythm or no pulse, a probability of what may come is no answer: what is,
is said instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.runtime.calibration import risk_interval
from models.runtime.spec import RiskTable
from models.signals.absence import Standing, standing_of
from models.signals.findings import Pulse, Rhythm
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

HYPOTENSION_MMHG = 65.0
LEAST_DATA_S = 30
UNTRUSTED_S = 30.0
"""A sensor may be untrusted for so long: then nothing of what it measured is left in the window."""

_LEVEL, _AGE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("age_s")


def risk_abstains(window: Window, spec: WindowSpec, table: RiskTable | None = None) -> str:
    """Why no risk may be shown of this window; "" if one may. One plain reason, the gravest first.

    Without a table only a measured pressure will do.
    """
    return (
        bad_already(window, spec)
        or _too_little(window, spec)
        or _untrusted(window, spec)
        or _too_old(window, spec, table)
    )


def bad_already(window: Window, spec: WindowSpec) -> str:
    """What is the case already, so that a probability of it is no answer; "" where nothing is."""
    return _bad_news(window) or _low_already(window, spec)


def sensors_there(window: Window, spec: WindowSpec) -> str:
    """The model's sensors but the ABP that are measured now and in at least half of the window's frames, as a key of
    :class:`RiskTable`."""
    return "+".join(
        m.value
        for row, m in enumerate(spec.modalities)
        if m is not Modality.ABP and window.presence[row, -1] and 2 * int(window.presence[row].sum()) >= spec.frames
    )


def risk_bounds(
    window: Window, spec: WindowSpec, table: RiskTable, risks: Sequence[float]
) -> list[tuple[float, float]]:
    """80 % interval of each horizon's risk of a window that :func:`risk_abstains` has nothing against."""
    there, (_, age) = sensors_there(window, spec), _pressure(window, spec)
    return [risk_interval(table, there, age, horizon, risk) for horizon, risk in enumerate(risks)]


def _bad_news(window: Window) -> str:
    findings = window.findings
    if pulseless := findings.showing(Pulse.NONE):
        return f"the {' and the '.join(pulseless)} {'show' if len(pulseless) > 1 else 'shows'} no pulse"
    if findings.rhythm in (Rhythm.STILL, Rhythm.FIBRILLATION):
        return "no rhythm on the ECG"
    if _measured(window, Modality.ECG) and findings.rhythm is not Rhythm.BEATS:
        return "no rhythm on the ECG that can be told"
    # Electrical activity alone proves no circulation, and a pulse that is not known may be lost.
    return "" if findings.showing(Pulse.PRESENT) else "no pulse to be seen now"


def _low_already(window: Window, spec: WindowSpec) -> str:
    level, age = _pressure(window, spec)
    if not level < HYPOTENSION_MMHG:  # also where it is not known
        return ""
    return f"MAP below {HYPOTENSION_MMHG:g} {'in the last seconds' if age <= 0.0 else 'when it was last measured'}"


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


def _too_old(window: Window, spec: WindowSpec, table: RiskTable | None) -> str:
    there = sensors_there(window, spec)
    longest = 0.0
    if table is not None:
        if there not in table.sensors:
            return f"not better than chance with {there.replace('+', ', ') or 'the ABP alone'}"
        longest = table.sensors[there].longest_s
    level, age = _pressure(window, spec)
    if age <= longest and level >= HYPOTENSION_MMHG:  # what is not known is NaN
        return ""
    return f"no clean ABP in the last {_span(longest)}" if longest else "no clean ABP now"


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
