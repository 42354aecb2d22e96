"""When a risk may be shown: no combination of sensors, ages, findings and pathologies shows one against the rules."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.risk_policy import LONGEST_S, UNTRUSTED_S, risk_abstains, sensors_there
from models.signals.absence import Absence, Standing, standing_of
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SPEC = WindowSpec()
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
OTHERS = tuple(m for m in MODEL_MODALITIES if m is not Modality.ABP)
WELL = Findings(Rhythm.BEATS, {Modality.ABP: Pulse.PRESENT, Modality.PPG: Pulse.PRESENT})
LEVEL, AGE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("age_s")


def window(
    there: frozenset[Modality] = frozenset(MODEL_MODALITIES), age_s: float = 0.0, level: float = 82.0,
    newest: Mapping[Modality, Absence | None] | None = None, first_cell: int = 0, findings: Findings = WELL,
) -> Window:  # fmt: skip
    """A window in which the sensors ``there`` are measured throughout from ``first_cell`` on, the others not at all."""
    cells = np.zeros((len(SPEC.modalities), SPEC.window_s), np.bool_)
    context = np.full((len(SPEC.modalities), len(CONTEXT_FIELDS)), np.nan, np.float32)
    for m, row in ROW.items():
        cells[row, first_cell:] = m in there
        context[row, AGE] = 0.0 if m in there else age_s
    context[ROW[Modality.ABP], LEVEL] = level
    presence = cells.reshape(len(SPEC.modalities), SPEC.frames, SPEC.frame_s).all(-1)
    reasons = {m: None if m in there else Absence.NO_DATA for m in MODEL_MODALITIES} | dict(newest or {})
    return Window(1000, np.zeros((len(ROW), SPEC.samples), np.float32), presence, cells, context, reasons, findings)


def test_a_healthy_patient_with_every_sensor_is_shown_a_risk() -> None:
    assert risk_abstains(window(), SPEC) == ""


@pytest.mark.parametrize(
    ("given_window", "words"),
    [
        (window(level=64.9), "MAP below 65 now"),
        (window(frozenset(OTHERS), 20.0, 60.0), "MAP below 65 when it was last measured"),
        (window(first_cell=1), "less than 30 s of data"),
        (window(frozenset(OTHERS), np.nan), "no ABP measured in the last"),
        (window(frozenset(OTHERS), 3600.0), "no ABP measured in the last"),
        (window(frozenset({Modality.EEG}), 3600.0, findings=Findings()), "no ECG, and no pulse to be seen"),
        (window(findings=Findings(Rhythm.STILL, WELL.pulse)), "no rhythm on the ECG"),
        (window(findings=Findings(Rhythm.FIBRILLATION, WELL.pulse)), "no rhythm on the ECG"),
        (window(findings=Findings(Rhythm.UNCLEAR, WELL.pulse)), "no rhythm on the ECG that can be told"),
        (window(findings=Findings(Rhythm.BEATS, {Modality.ABP: Pulse.NONE})), "the ABP shows no pulse"),
        (
            window(findings=Findings(Rhythm.BEATS, dict.fromkeys(WELL.pulse, Pulse.NONE))),
            "the ABP and the PPG show no pulse",
        ),
        (
            window(frozenset(OTHERS), UNTRUSTED_S + 1.0, newest={Modality.ABP: Absence.ARTEFACT}),
            "the ABP cannot be trusted (artefact)",
        ),
    ],
)
def test_the_reason_is_said(given_window: Window, words: str) -> None:
    assert risk_abstains(given_window, SPEC).startswith(words)


def test_an_empty_window_and_one_of_a_model_without_pressure_show_nothing() -> None:
    assert risk_abstains(window(frozenset(), np.nan, np.nan, findings=Findings()), SPEC)
    without = WindowSpec(modalities=(Modality.PPG,))
    w = window()
    row = slice(ROW[Modality.PPG], ROW[Modality.PPG] + 1)
    alone = Window(w.end_s, w.signals[row], w.presence[row], w.cells[row], w.context[row], {Modality.PPG: None}, WELL)
    assert risk_abstains(alone, without)


@st.composite
def cases(draw: st.DrawFn) -> Window:
    there = frozenset(m for m in MODEL_MODALITIES if draw(st.booleans()))
    age = draw(st.sampled_from([1.0, 29.0, 30.0, 31.0, 60.0, 61.0, 120.0, 121.0, 300.0, 1e5, float("nan")]))
    level = draw(st.sampled_from([float("nan"), 12.0, 64.9, 65.0, 90.0]))
    reasons = {m: draw(st.sampled_from(list(Absence))) for m in MODEL_MODALITIES if m not in there}
    findings = Findings(
        draw(st.sampled_from(list(Rhythm))),
        {m: draw(st.sampled_from(list(Pulse))) for m in (Modality.ABP, Modality.PPG) if draw(st.booleans())},
    )
    made = window(there, age, level, reasons, draw(st.integers(0, 29)), findings)
    if draw(st.booleans()):  # frames lost here and there
        holes = draw(st.lists(st.booleans(), min_size=40, max_size=40))
        made = Window(
            made.end_s, made.signals, made.presence & ~np.array(holes).reshape(4, 10), made.cells, made.context,
            made.newest, findings,
        )  # fmt: skip
    return made


@settings(max_examples=600, deadline=None)
@given(cases())
def test_no_risk_against_the_rules(made: Window) -> None:
    if risk_abstains(made, SPEC):
        return
    findings = made.findings
    level, age = made.context[ROW[Modality.ABP], [LEVEL, AGE]]
    assert level >= 65.0
    assert age <= LONGEST_S[sensors_there(made, SPEC)]
    assert Pulse.NONE not in findings.pulse.values()
    assert findings.rhythm not in (Rhythm.STILL, Rhythm.FIBRILLATION)
    if made.newest[Modality.ECG] is None:
        assert findings.rhythm is Rhythm.BEATS
    else:
        assert Pulse.PRESENT in findings.pulse.values()
    assert made.cells[:, 0].any()
    for m, reason in made.newest.items():
        if standing_of(reason) is Standing.UNTRUSTED:
            assert made.context[ROW[m], AGE] <= UNTRUSTED_S


@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from(OTHERS))
def test_a_sensor_the_less_never_earns_more(made: Window, gone: Modality) -> None:
    """The table is monotone: with fewer other sensors a risk is shown for no longer."""
    there = sensors_there(made, SPEC)
    assert LONGEST_S[there - {gone}] <= LONGEST_S[there]
