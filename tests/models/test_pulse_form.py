"""The remembered form of the pressure pulse: known truths, what cannot be told, and what an estimate becomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.runtime.bundle import Bundle
from models.runtime.engine import Engine
from models.runtime.pulse_form import PulseForms, form_factor, reshaped, reshaped_wave
from models.signals.absence import Absence
from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import MODEL_MODALITIES, Modality
from models.signals.windows import CONTEXT_FIELDS, Window
from tests.models.test_runtime import ABP, SPEC, FakeBackend

RATE = 100


def pulses(form: float, beats_min: float = 75.0, diastolic: float = 60.0, systolic: float = 110.0) -> np.ndarray:
    """Twelve seconds of triangular pulses: a rise of 0.12 s, then a fall with the power that gives ``form``."""
    t = np.arange(12 * RATE) / RATE
    phase = (t * beats_min / 60.0) % 1.0
    rise = 0.12 * beats_min / 60.0
    power = (1.0 - rise) / (form - rise / 2.0) - 1.0
    shape = np.where(phase < rise, phase / rise, ((1.0 - phase) / (1.0 - rise)).clip(0) ** power)
    return diastolic + (systolic - diastolic) * shape


@pytest.mark.parametrize("form", [0.28, 1 / 3, 0.45])
@pytest.mark.parametrize("beats_min", [50.0, 75.0, 140.0])
def test_the_form_of_known_pulses(form: float, beats_min: float) -> None:
    assert form_factor(pulses(form, beats_min)) == pytest.approx(form, abs=0.02)


@pytest.mark.parametrize(
    "abp",
    [
        np.full(800, 80.0),
        np.full(800, np.nan),
        np.where(np.arange(1200) == 600, np.nan, pulses(0.33)),
        pulses(0.33, systolic=66.0),
        pulses(0.33)[:150],
    ],
    ids=["flat", "absent", "one sample missing", "damped", "too short"],
)
def test_what_cannot_be_told(abp: np.ndarray) -> None:
    assert np.isnan(form_factor(abp))
    forms = PulseForms()
    forms.learn("bed", abp)
    assert forms.recall("bed") is None


def test_an_estimate_keeps_its_mean_and_pulse_pressure() -> None:
    given = np.array([[74.0, 80.0, 86.0], [100.0, 110.0, 121.0], [60.0, 65.0, 69.0]])  # form factor 1/3
    moved = reshaped(given, 0.45)
    mean, systolic, diastolic = moved[:, 1]
    assert np.array_equal(moved[0], given[0])
    assert systolic - diastolic == pytest.approx(45.0)
    assert (mean - diastolic) / (systolic - diastolic) == pytest.approx(0.45)
    assert np.allclose(np.diff(moved, axis=1), np.diff(given, axis=1)), "the widths of the intervals stay"
    assert given[1, 1] == 110.0, "the model's own output is not written to"


def test_the_patients_own_form_changes_nothing() -> None:
    given = np.array([[74.0, 80.0, 86.0], [100.0, 110.0, 121.0], [60.0, 65.0, 69.0]])
    assert np.allclose(reshaped(given, 1 / 3), given)
    wave = pulses(1 / 3, diastolic=65.0, systolic=110.0)
    assert np.allclose(reshaped_wave(wave, given, 1 / 3), wave, atol=1e-3)


def test_a_wave_reaches_the_pressures_beside_it() -> None:
    given = np.array([[74.0, 80.0, 86.0], [100.0, 110.0, 121.0], [60.0, 65.0, 69.0]])
    wave = pulses(1 / 3, diastolic=65.0, systolic=110.0)
    found = reshaped_wave(wave, given, 0.4)
    _, systolic, diastolic = reshaped(given, 0.4)[:, 1]
    assert found.max() == pytest.approx(systolic, abs=1.5) and found.min() == pytest.approx(diastolic, abs=0.5)


def test_forms_are_smoothed_kept_by_key_and_bounded() -> None:
    forms = PulseForms(limit=2)
    forms.learn("a", pulses(0.3))
    for _ in range(30):
        forms.learn("a", pulses(0.45))
    assert forms.recall("a") == pytest.approx(0.45, abs=0.02)
    forms.learn("b", pulses(0.3))
    forms.learn("a", pulses(0.45))
    forms.learn("c", pulses(0.3))
    assert forms.recall("b") is None and forms.recall("a") is not None
    forms.forget("a")
    forms.forget("a")
    assert forms.recall("a") is None


def abp_window(measured: bool, form: float, end_s: int) -> Window:
    """Pulses of the given form in the ABP, a measured PPG, and the ABP of the newest frame absent or not."""
    presence = np.ones((4, SPEC.frames), bool)
    presence[ABP, -1] = measured
    signals = np.zeros((4, SPEC.frames * SPEC.frame_s * RATE), np.float32)
    signals[ABP] = np.tile(pulses(form), 3)[: signals.shape[1]]
    signals[[0, 2]] = np.tile(pulses(0.3), 3)[: signals.shape[1]]
    context = np.zeros((4, len(CONTEXT_FIELDS)), np.float32)
    newest = {m: None if measured or m is not Modality.ABP else Absence.NO_DATA for m in MODEL_MODALITIES}
    findings = Findings(Rhythm.BEATS, {Modality.PPG: Pulse.PRESENT})
    return Window(end_s, signals, presence, presence.repeat(SPEC.frame_s, 1), context, newest, findings)


@pytest.mark.parametrize("together", [False, True])
def test_the_engine_estimates_in_the_form_that_it_last_measured(together: bool) -> None:
    engine = Engine(Bundle(Path(), SPEC, "0" * 12), FakeBackend())
    course = [abp_window(True, 0.45, 30), abp_window(False, 0.3, 31)]
    if together:
        _, found = engine.predict(course, ["bed", "bed"])
    else:
        found = [engine.predict([w], ["bed"]) for w in course][1][0]
    (stranger,) = engine.predict([course[1]])
    assert found.pressures is not None and stranger.pressures is not None
    mean, systolic, diastolic = (found.pressures[name].value for name in ("map", "sbp", "dbp"))
    assert (mean - diastolic) / (systolic - diastolic) == pytest.approx(0.45, abs=0.02)
    theirs = [stranger.pressures[name].value for name in ("map", "sbp", "dbp")]
    assert mean == theirs[0] and systolic - diastolic == pytest.approx(theirs[1] - theirs[2], abs=1e-3)
    assert (theirs[0] - theirs[2]) / (theirs[1] - theirs[2]) != pytest.approx(0.45, abs=0.02)
