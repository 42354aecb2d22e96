"""Precursors of a simulated minute against what they are made of, and facts of a pressure against arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.precursors import PRECURSORS, lived, precursor_columns, pulse_variation
from benchmarks.pressure_facts import HEADER, autocorrelation, facts, hours_of, quartiles, runs
from models.data.simulator import simulate_patient


@pytest.fixture(scope="module")
def patient():
    return simulate_patient(7, duration_s=600.0, faults=False, course=2)


def test_a_minute_is_that_of_the_truth_and_of_the_wave(patient) -> None:
    life, truth = lived(patient), patient.truth
    assert life.mean.shape == (10,) and life.instant.shape == (600,) and life.precursors.shape == (10, len(PRECURSORS))
    at = np.arange(600) + 0.5
    beat = np.clip(np.searchsorted(truth.abp_onset_s, at) - 1, 0, len(truth.map_mmhg) - 1)
    second = truth.map_mmhg[beat] + patient.device.abp_offset_mmhg
    np.testing.assert_allclose(life.mean[1:], second.reshape(10, 60).mean(1)[1:], atol=0.6)
    np.testing.assert_allclose(life.instant.reshape(10, 60).mean(1), life.mean, atol=6.0)
    wave = patient.read_clean("SIM/ART", 0.0, 600.0).values.astype(float)
    low, high = np.quantile(wave, [0.01, 0.99])
    assert np.quantile(life.instant, 0.01) == pytest.approx(low, abs=5.0)
    assert np.quantile(life.instant, 0.99) == pytest.approx(high, abs=8.0)
    rate, depth = life.precursors[:, 0], life.precursors[:, 5]
    np.testing.assert_allclose(rate[1:], np.nanmean(truth.hr_bpm.reshape(10, 60), axis=1)[1:], rtol=0.05)
    np.testing.assert_allclose(depth, truth.depth.reshape(10, 60).mean(1), atol=1.0)


def test_pulse_pressure_varies_as_it_was_made_to() -> None:
    breath = np.arange(60) / 6.0 + 0.01  # six beats a breath
    pulse = 40.0 + 4.0 * np.sin(2 * np.pi * (breath - 0.01))
    whole = pulse[6:12]
    assert pulse_variation(pulse, breath) == pytest.approx(
        200 * (whole.max() - whole.min()) / (whole.max() + whole.min())
    )
    assert np.isnan(pulse_variation(pulse[:4], breath[:4]))


def test_precursors_of_a_minute_are_of_the_past() -> None:
    rng = np.random.default_rng(2)
    precursors = rng.normal(0, 1, (50, 6)) * [10, 0.5, 3, 0.3, 0.02, 8] + [70, 3, 8, 0, 0.27, 46]
    later = precursors.copy()
    later[30:] += 5.0
    found = precursor_columns(precursors)
    np.testing.assert_array_equal(found[:30], precursor_columns(later)[:30])
    np.testing.assert_allclose(found[20, 6], 2 * (precursors[20, 0] - precursors[11:21, 0].mean()) / 12.0)
    np.testing.assert_allclose(found[20, 12], 2 * (precursors[20, 0] - precursors[:21, 0].mean()) / 12.0)
    steady = precursor_columns(np.tile(precursors[0], (50, 1)))
    np.testing.assert_allclose(steady[:, 6:], 0.0, atol=1e-9)
    unknown = precursors.copy()
    unknown[3] = np.nan
    assert np.isfinite(precursor_columns(unknown)[4]).all() and np.isnan(precursor_columns(unknown)[3]).any()


def test_facts_of_a_known_pressure() -> None:
    mean = np.full(130, 80.0)
    mean[20:24], mean[40], mean[100] = 60.0, 64.0, np.nan
    first, second = hours_of([mean])
    assert runs(first) == [(20, 24), (40, 41)] and runs(second) == []
    row = dict(zip(HEADER, facts("made", [mean]), strict=True))
    assert row["hours"] == 2 and row["runs an hour"] == f"{2 / (119 / 60):.2f}"
    assert row["minutes below 65"] == f"{5 / 119:.3f}"
    assert row["their length, min"] == quartiles([4.0, 1.0], 0)
    assert row["fall in the 5 min before, mmHg"] == quartiles([20.0, 16.0])
    assert row["MAP a minute before"] == "80.0 (80.0–80.0)"
    assert facts("none", [mean[:30]])[1] == 0


def test_autocorrelation_of_a_known_process() -> None:
    rng = np.random.default_rng(4)
    hours = []
    for _ in range(400):
        x = np.zeros(160)
        for t in range(1, 160):
            x[t] = 0.6 * x[t - 1] + rng.standard_normal()
        hours.append(x[100:])
    assert autocorrelation(hours, 1) == pytest.approx(0.6, abs=0.05)  # a little less, by the hour's own mean
    assert autocorrelation(hours, 5) == pytest.approx(0.6**5, abs=0.08)
