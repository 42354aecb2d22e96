"""No combination of absent, untrusted and pathological inputs shows an estimate or a risk against the rules.

The rules are stated here a second time, as what must hold of whatever is shown.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.backend import Arrays
from models.runtime.bundle import Bundle
from models.runtime.engine import WIDEST_MMHG, Engine
from models.runtime.prediction import Prediction
from models.signals.absence import Absence
from models.signals.estimable import NEVER_CONNECTED, forbidden, not_estimable
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.pipeline import BedPipeline, Chunk
from models.signals.windows import CONTEXT_FIELDS, Window, WindowSpec
from tests.models.test_runtime import SPEC as BUNDLE_SPEC
from tests.models.test_runtime import FakeBackend
from tests.signals.waves import RATE
from tests.streams.bedside import arrest, noise, well

M = Modality
SPEC = WindowSpec()
ROW = {m: i for i, m in enumerate(SPEC.modalities)}
LEVEL, AGE = CONTEXT_FIELDS.index("level"), CONTEXT_FIELDS.index("age_s")
NO_RHYTHM = {Rhythm.STILL, Rhythm.FIBRILLATION, Rhythm.UNCLEAR}
TAKEN_FROM = {M.ABP: {M.PPG}, M.PPG: {M.ABP}, M.ECG: {M.ABP, M.PPG}}
GOOD = Findings(Rhythm.BEATS, {M.ABP: Pulse.PRESENT, M.PPG: Pulse.PRESENT})

absences = st.fixed_dictionaries({}, optional={m: st.none() | st.sampled_from(list(Absence)) for m in Modality})
pulses = st.fixed_dictionaries({}, optional=dict.fromkeys((M.ABP, M.PPG), st.sampled_from(list(Pulse))))
all_findings = st.builds(
    Findings, st.sampled_from(list(Rhythm)), pulses, st.frozensets(st.sampled_from([M.ABP, M.PPG]))
)  # fmt: skip


def broken_rules(modality: Modality, said: Findings, absence: dict[Modality, Absence | None]) -> list[str]:
    """The rules that an estimate of ``modality`` would break."""
    measured = {m for m in Modality if absence.get(m, Absence.NOT_CONNECTED) is None}
    pulse = {m: said.pulse.get(m, Pulse.UNKNOWN) for m in (M.ABP, M.PPG)}
    alive = {m for m in TAKEN_FROM.get(modality, set()) if pulse[m] is Pulse.PRESENT and m in measured}
    return [
        rule
        for rule, broken in {
            "an EEG or a respiration is never drawn": modality in (M.EEG, M.RESP),
            "what is measured needs no estimate": modality in measured,
            "no rhythm, no estimate": said.rhythm in NO_RHYTHM,
            "a sensor without a pulse is not outvoted": Pulse.NONE in pulse.values(),
            "another channel shows a pulse now": not alive,
            "that pulse is not late": bool(alive & said.overdue),
        }.items()
        if broken
    ]


@settings(max_examples=600)
@given(st.sampled_from(list(Modality)), all_findings, absences)
def test_an_estimate_is_forbidden_exactly_where_a_rule_says_so(
    modality: Modality, said: Findings, absence: dict[Modality, Absence | None]
) -> None:
    why = forbidden(modality, said, absence)
    assert bool(why) == bool(broken_rules(modality, said, absence)), why


@pytest.mark.parametrize("modality", TAKEN_FROM)
def test_good_news_allows_it(modality: Modality) -> None:
    absence: dict[Modality, Absence | None] = dict.fromkeys(Modality)
    assert forbidden(modality, GOOD, absence) == "it is measured"
    for reason in Absence:
        said = Findings(Rhythm.BEATS, {m: p for m, p in GOOD.pulse.items() if m is not modality})
        assert forbidden(modality, said, {**absence, modality: reason}) == ""


@settings(max_examples=400)
@given(
    st.sampled_from(list(TAKEN_FROM)), all_findings, absences,
    st.sampled_from([*NO_RHYTHM, M.ABP, M.PPG]), st.sampled_from(["none", "unknown", "late", "gone"]),
)  # fmt: skip
def test_more_bad_news_never_opens_the_gate(
    modality: Modality, said: Findings, absence: dict[Modality, Absence | None], what: Rhythm | Modality, how: str
) -> None:
    if isinstance(what, Rhythm):
        worse, missing = replace(said, rhythm=what), absence
    elif how == "late":
        worse, missing = replace(said, overdue=said.overdue | {what}), absence
    elif how == "gone" and what is not modality:
        worse, missing = said, {**absence, what: Absence.NO_DATA}
    else:
        pulse = Pulse.UNKNOWN if how == "unknown" and said.pulse_of(what) is Pulse.PRESENT else Pulse.NONE
        worse, missing = replace(said, pulse={**said.pulse, what: pulse}), absence
    assert not forbidden(modality, said, absence) or forbidden(modality, worse, missing)


# -- windows --------------------------------------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Cells, states and findings that need not agree: whatever may come of a fault anywhere before the model. Half of
    them are of a patient who is well but for one thing or another."""
    mild = draw(st.booleans())
    cells = np.ones((len(ROW), SPEC.window_s), np.bool_)
    newest: dict[Modality, Absence | None] = {}
    for m, row in ROW.items():
        first, last = sorted((draw(st.integers(0, 30)), draw(st.integers(0, 30))))
        if draw(st.booleans()) or (not mild and draw(st.booleans())):
            cells[row, first:last] = False
        if draw(st.integers(0, 3)) == 0:
            cells[row, -draw(st.integers(1, 12)) :] = False
        newest[m] = None if cells[row, -1] else draw(st.sampled_from(list(Absence)))
        if not mild and draw(st.integers(0, 3)) == 0:  # measured, but nothing that a model may read; or the reverse
            newest[m] = draw(st.none() | st.sampled_from(list(Absence)))
    context = np.full((len(ROW), len(CONTEXT_FIELDS)), np.nan, np.float32)
    for row in ROW.values():
        context[row, AGE] = 0.0 if cells[row, -1] else draw(st.sampled_from([np.nan, 5.0, 61.0, 4000.0]))
        context[row, LEVEL] = draw(st.sampled_from([np.nan, 12.0, 64.9, 80.0, 80.0]))
    said = draw(all_findings)
    if mild:
        said = replace(GOOD, pulse={m: GOOD.pulse[m] for m in GOOD.pulse if newest[m] is None})
        said = said if draw(st.booleans()) else replace(said, rhythm=draw(st.sampled_from(list(Rhythm))))
    presence = cells.reshape(len(ROW), SPEC.frames, SPEC.frame_s).all(-1)
    return Window(100, np.zeros((len(ROW), SPEC.samples), np.float32), presence, cells, context, newest, said)


@settings(max_examples=500, deadline=None)
@given(windows())
def test_an_estimate_of_a_window_needs_more_than_good_news(window: Window) -> None:
    for modality, row in ROW.items():
        if not_estimable(modality, window, SPEC):
            continue
        assert broken_rules(modality, window.findings, dict(window.newest)) == []
        assert not np.isnan(window.context[row, AGE]), "never measured on this patient"
        alive = [m for m in TAKEN_FROM[modality] if window.findings.pulse_of(m) is Pulse.PRESENT]
        seen = [window.presence[ROW[m]] for m in alive]
        assert any(one[-1] and one.sum() >= SPEC.frames / 2 for one in seen), "the model has hardly seen the pulse"


class Drawn(FakeBackend):
    """A model that gives pressures of a drawn width, and what is not finite where it is told to."""

    def __init__(self, half_mmhg: float, poison: str = "") -> None:
        super().__init__(poison)
        self.half_mmhg = half_mmhg

    def run(self, inputs: Arrays) -> Arrays:
        outputs = super().run(inputs)
        if self.poison != "pressure":
            middle = outputs["pressure"][:, :, 1]
            outputs["pressure"] = np.stack((middle - self.half_mmhg, middle, middle + self.half_mmhg), axis=2)
        return outputs


def predicted(window: Window, half_mmhg: float, poison: str = "") -> Prediction:
    engine = Engine(Bundle(Path(), BUNDLE_SPEC, "0" * 12), Drawn(half_mmhg, poison))
    (prediction,) = engine.predict([window])
    return prediction


def check_prediction(shown: Prediction, window: Window) -> None:
    waves = {wave.modality for wave in shown.restored}
    absent = {m for m, row in ROW.items() if not window.cells[row, -1]}
    said, newest = window.findings, dict(window.newest)
    assert M.EEG not in waves and waves <= absent, "a wave over what is measured"
    for modality in waves:
        assert broken_rules(modality, said, newest) == []
        assert not np.isnan(window.context[ROW[modality], AGE])
        assert modality not in shown.not_estimable
    assert (shown.pressures is not None) == (M.ABP in waves), "numbers and wave come and go together"
    assert shown.pressures is None or shown.pressures["map"].half_width <= WIDEST_MMHG + 1e-6
    if shown.valid:
        assert all(shown.not_estimable.get(m) for m in absent - waves), "what is not shown says why"
    assert shown.abstain == (not shown.risk and shown.valid)
    if shown.risk:
        assert Pulse.NONE not in said.pulse.values() and said.rhythm not in (Rhythm.STILL, Rhythm.FIBRILLATION)
        assert newest[M.ECG] is not None or said.rhythm is Rhythm.BEATS
        assert said.rhythm is Rhythm.BEATS or said.showing(Pulse.PRESENT)
        assert window.context[ROW[M.ABP], LEVEL] >= 65.0 and window.context[ROW[M.ABP], AGE] == 0.0
        assert window.cells[:, 0].any(), "less than 30 s"
    else:
        assert shown.reason
    if shown.depth is not None:
        assert M.EEG not in absent and window.cells[ROW[M.EEG]].sum() >= 15


@settings(max_examples=500, deadline=None)
@given(
    windows(), st.sampled_from([2.0, 4.9, 5.1, 8.0, 9.5, 30.0]),
    st.sampled_from(["", "", "", "abp_wave", "ppg_wave", "ecg_wave", "pressure", "risk", "depth"]),
)  # fmt: skip
def test_whatever_the_model_says_only_what_may_be_shown_is_shown(window: Window, half_mmhg: float, poison: str) -> None:
    check_prediction(predicted(window, half_mmhg, poison), window)


def test_the_drawn_windows_hold_both_what_is_shown_and_what_is_not() -> None:
    """The property above is not about nothing: a patient who is well with one sensor gone is shown its estimate."""
    cells = np.ones((len(ROW), SPEC.window_s), np.bool_)
    cells[ROW[M.ABP], 20:] = False
    context = np.zeros((len(ROW), len(CONTEXT_FIELDS)), np.float32)
    context[ROW[M.ABP], AGE], context[ROW[M.ABP], LEVEL] = 10.0, 80.0
    newest: dict[Modality, Absence | None] = {**dict.fromkeys(MODEL_MODALITIES), M.ABP: Absence.NO_DATA}
    said = Findings(Rhythm.BEATS, {M.PPG: Pulse.PRESENT})
    presence = cells.reshape(len(ROW), SPEC.frames, SPEC.frame_s).all(-1)
    lost = Window(100, np.zeros((len(ROW), SPEC.samples), np.float32), presence, cells, context, newest, said)
    shown = predicted(lost, 4.0)
    check_prediction(shown, lost)
    assert shown.pressures is not None and {w.modality for w in shown.restored} == {M.ABP}
    wide = predicted(lost, 11.0)
    check_prediction(wide, lost)
    assert wide.pressures is None and "too uncertain" in wide.not_estimable[M.ABP]
    unreadable = predicted(lost, 4.0, "abp_wave")
    check_prediction(unreadable, lost)
    assert unreadable.pressures is None and unreadable.valid
    whole = replace(lost, cells=np.ones_like(cells), presence=np.ones_like(presence), newest=dict.fromkeys(newest),
                    context=np.where(context == 10.0, np.float32(0), context))  # fmt: skip
    assert predicted(whole, 4.0).risk and not predicted(whole, 4.0).restored


# -- from the wave --------------------------------------------------------------------------------------------------

ONSET_S, LAST_S = 50, 85


def refusals(signals: dict[Modality, np.ndarray], lost: Modality, from_s: float) -> dict[int, str]:
    """Why ``lost``, which is gone from ``from_s`` on, is not estimated, by end of the window."""
    pipeline, out = (
        BedPipeline(SPEC, list(signals)),
        dict.fromkeys(range(1, LAST_S + 1), "nothing that a model may read"),
    )
    for second in range(LAST_S):
        chunks = [
            Chunk(m, float(RATE), 0, second * RATE, x[second * RATE : (second + 1) * RATE].astype(np.float32))
            for m, x in signals.items()
            if m is not lost or second < from_s
        ]
        for window in pipeline.push(chunks, second * 10**9, (second + 1) * 10**9).windows:
            out[window.end_s] = not_estimable(lost, window, SPEC)
    return out


@pytest.mark.parametrize("lost", TAKEN_FROM)
@pytest.mark.parametrize("kind", ["pea", "asystole", "vfib"])
def test_no_second_without_a_pulse_has_an_estimate(kind: str, lost: Modality) -> None:
    """Whichever sensor is off before: its estimate stands until the next pulse is late, and ends for good."""
    why = refusals(dict(arrest(kind, LAST_S, ONSET_S)), lost, 35.0)
    assert all(why[end] == "" for end in range(38, ONSET_S))
    assert all(why[end] for end in range(ONSET_S + 2, LAST_S - 1)), {e: w for e, w in why.items() if e > ONSET_S}


def test_a_pressure_line_without_a_pulse_beside_a_pulsing_finger_ends_the_estimate_of_the_ecg() -> None:
    """No sensor outvotes another's bad news; the disagreement is said."""
    signals = dict(well(LAST_S))
    t = np.arange(LAST_S * RATE) / RATE
    signals[M.ABP] = np.where(t < ONSET_S, signals[M.ABP], 85.0 + noise(LAST_S, 0.1))
    why = refusals(signals, M.ECG, 35.0)
    assert all(why[end] == "" for end in range(38, ONSET_S))
    assert all(why[end] == "the ABP shows no pulse" for end in range(ONSET_S + 6, LAST_S - 1))


def test_a_patient_whose_pressure_was_never_measured_has_no_estimate_of_it() -> None:
    signals = {m: x for m, x in well(LAST_S).items() if m is not M.ABP}
    why = refusals(signals, M.ABP, 0.0)
    assert {why[end] for end in range(5, LAST_S - 1)} == {NEVER_CONNECTED} and all(why.values())
