"""When a risk may be shown: no combination of sensors, ages, findings and pathologies shows one against the rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.bundle import load_bundle
from models.runtime.risk_policy import UNTRUSTED_S, risk_abstains, risk_bounds, sensors_there
from models.runtime.spec import RiskRow, RiskTable
from models.signals.absence import Absence, Standing, standing_of
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec

SPEC = WindowSpec()
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
OTHERS = tuple(m for m in MODEL_MODALITIES if m is not Modality.ABP)
WELL = Findings(Rhythm.BEATS, {Modality.ABP: Pulse.PRESENT, Modality.PPG: Pulse.PRESENT})
SPREAD = [[0.5] * 3, [1.0] * 3]
TABLE = RiskTable(
    [0.0, 120.0],
    {
        "ECG+PPG+EEG": RiskRow(120.0, SPREAD),
        "ECG+PPG": RiskRow(60.0, SPREAD),
        "ECG+EEG": RiskRow(30.0, SPREAD),
        "ECG": RiskRow(30.0, SPREAD),
        "PPG": RiskRow(30.0, SPREAD),
        "": RiskRow(0.0, SPREAD),
    },
)
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
    assert risk_abstains(window(), SPEC, TABLE) == ""


@pytest.mark.parametrize(
    ("given_window", "words"),
    [
        (window(level=64.9), "MAP below 65 in the last seconds"),
        (window(frozenset(OTHERS), 20.0, 60.0), "MAP below 65 when it was last measured"),
        (window(first_cell=1), "less than 30 s of data"),
        (window(frozenset(OTHERS), np.nan), "no clean ABP in the last"),
        (window(frozenset(OTHERS), 3600.0), "no clean ABP in the last"),
        (window(frozenset({Modality.EEG}), 3600.0, findings=Findings()), "no pulse to be seen now"),
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
    assert risk_abstains(given_window, SPEC, TABLE).startswith(words)


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
    if risk_abstains(made, SPEC, TABLE):
        return
    findings = made.findings
    level, age = made.context[ROW[Modality.ABP], [LEVEL, AGE]]
    assert level >= 65.0
    assert age <= TABLE.sensors[sensors_there(made, SPEC)].longest_s
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
@given(cases())
def test_without_a_table_only_a_measured_pressure_will_do(made: Window) -> None:
    if not risk_abstains(made, SPEC):
        assert made.context[ROW[Modality.ABP], AGE] == 0.0


def test_sensors_that_earned_nothing_show_nothing() -> None:
    there = frozenset({Modality.ABP, Modality.EEG, Modality.PPG})
    findings = Findings(Rhythm.UNKNOWN, WELL.pulse)
    assert (
        risk_abstains(window(there, np.nan, findings=findings), SPEC, TABLE) == "not better than chance with PPG, EEG"
    )
    assert risk_abstains(window(there, np.nan, findings=findings), SPEC) == ""


@cache
def shipped() -> RiskTable:
    table = load_bundle().spec.risk
    assert table is not None
    return table


def subsets() -> list[frozenset[Modality]]:
    return [frozenset(m for i, m in enumerate(OTHERS) if mask >> i & 1) for mask in range(8)]


def key(there: frozenset[Modality]) -> str:
    return "+".join(m.value for m in OTHERS if m in there)


@pytest.mark.parametrize("age_s", [0.0, 5.0, 30.0, 60.0])
@pytest.mark.parametrize("risk", [0.0, 0.02, 0.3, 0.97, 1.0])
def test_the_shipped_intervals_never_narrow_as_sensors_go_or_pressures_age(age_s: float, risk: float) -> None:
    """In log odds: the probability itself depends on the risk, which is another with other sensors."""
    table = shipped()
    shown = [there for there in subsets() if key(there) in table.sensors]
    assert shown

    def half(there: frozenset[Modality], age: float) -> float:
        made = window(there | {Modality.ABP} if age == 0.0 else there, age)
        ((lo, hi), *_) = risk_bounds(made, SPEC, table, [risk] * 3)
        assert 0.0 <= lo <= min(max(risk, 1e-6), 1 - 1e-6) <= hi <= 1.0
        return float(np.log(hi / (1 - hi)) - np.log(lo / (1 - lo))) / 2 if lo > 0.0 and hi < 1.0 else float("inf")

    for more in shown:
        for fewer in shown:
            if fewer < more:
                assert half(fewer, age_s) >= half(more, age_s) - 1e-6
        assert half(more, age_s) >= half(more, 0.0) - 1e-6
        assert half(more, age_s) > 0.1


def test_with_a_sensor_the_less_the_shipped_table_shows_for_no_longer() -> None:
    table = shipped()
    for more in subsets():
        for fewer in (there for there in subsets() if there < more):
            if key(fewer) in table.sensors:
                assert table.sensors[key(fewer)].longest_s <= table.sensors[key(more)].longest_s
    assert max(row.longest_s for row in table.sensors.values()) <= table.ages_s[-1]


def test_a_table_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="rising ages"):
        RiskTable([0.0, 30.0], {"ECG": RiskRow(30.0, [[1.0, 1.0, 1.0]])})
    with pytest.raises(ValueError, match="rising ages"):
        RiskTable([30.0, 0.0], {})
