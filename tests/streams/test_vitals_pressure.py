"""Pressures: known truth, artefacts out, and nothing where nothing pulsates."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.modalities import Modality
from tests.signals.waves import beat_times, pulse
from tests.streams.grids import vitals_over


def pressures(v):
    return v.abp_sys, v.abp_dia, v.abp_map


def test_known_pressures():
    x = pulse(beat_times(72, 40), 40, 58, 117)
    out = vitals_over({Modality.ABP: x}, 38)
    mean = x[500:3000].mean()
    for v in out[8:]:
        assert pressures(v) == (pytest.approx(117, abs=1), pytest.approx(58, abs=1), pytest.approx(mean, abs=1))


def test_a_fall_is_shown_within_ten_seconds():
    x = pulse(beat_times(72, 80), 80, 60, 120)
    x[4000:] -= 30
    out = vitals_over({Modality.ABP: x}, 78)
    before, after = out[38].abp_map, out[70].abp_map
    assert after == pytest.approx(before - 30, abs=1)
    assert out[51].abp_map < before - 24


def test_flush_is_left_out_even_where_the_state_lags_behind():
    x = pulse(beat_times(72, 60), 60, 60, 120)
    x[2500:2800] = 299.0
    out = vitals_over({Modality.ABP: x}, 58)
    for v in out[10:]:
        assert v.abp_sys is None or v.abp_sys < 125
        assert v.abp_map is None or abs(v.abp_map - out[20].abp_map) < 3
    assert out[57].abp_map is not None


def test_not_measured_means_no_number_and_the_return_starts_afresh():
    x = pulse(beat_times(72, 60), 60, 60, 120)
    x[2900:] -= 25
    out = vitals_over({Modality.ABP: x}, 58, {Modality.ABP: (20, 30)})
    assert all(pressures(v) == (None, None, None) for v in out if 20 <= v.second < 30)
    known = [v for v in out if v.second >= 30 and v.abp_map is not None]
    assert known[0].second <= 36
    assert all(v.abp_sys == pytest.approx(95, abs=1.5) for v in known[2:])


@pytest.mark.parametrize("level", [-3.0, 2.0, 12.0, 85.0])
def test_what_does_not_pulsate_has_a_mean_down_to_zero_and_nothing_else(level):
    out = vitals_over({Modality.ABP: level + 0.4 * np.random.default_rng(6).standard_normal(4000)}, 40)
    assert all((v.abp_sys, v.abp_dia) == (None, None) for v in out)
    assert all(v.abp_map == pytest.approx(level, abs=0.3) for v in out[2:])


def test_a_wave_at_impossible_pressures_has_neither_systole_nor_diastole():
    """A transducer that is badly zeroed: its mean is what it says, and no pressure that a patient has."""
    out = vitals_over({Modality.ABP: pulse(beat_times(72, 40), 40, -20, 22)}, 38)
    assert all((v.abp_sys, v.abp_dia) == (None, None) for v in out)
    assert all(-6 < v.abp_map < 1 for v in out[2:])


def test_a_pulse_that_stops_leaves_the_mean_alone_within_five_seconds():
    x = pulse(beat_times(72, 60), 60, 60, 120)
    x[3000:] = 25.0
    out = vitals_over({Modality.ABP: x}, 58)
    assert out[28].abp_sys is not None
    assert all(pressures(v) == (None, None, pytest.approx(25, abs=0.1)) for v in out if v.second >= 36)
    assert all(v.abp_map is not None for v in out[5:]), "a hole in the pressure of a patient in arrest"


def test_a_pressure_that_falls_with_its_pulse_is_followed_down():
    """Ventricular fibrillation: the artery empties, from 85 to 12 mmHg. Never a hole, never an old number."""
    x = pulse(beat_times(72, 60), 60, 60, 120)
    t = np.arange(6000) / 100
    x = np.where(t < 30, x, 12 + (x[3000] - 12) * np.exp(-np.maximum(t - 30, 0) / 4))
    out = vitals_over({Modality.ABP: x}, 58)
    assert all(v.abp_map is not None for v in out[5:])
    for v in out[36:]:
        assert pressures(v) == (
            None,
            None,
            pytest.approx(float(x[(v.second - 3) * 100 : v.second * 100].mean()), abs=1),
        )


def test_the_mean_alone_needs_three_seconds_of_the_line():
    x = np.full(2000, 14.0)
    x[:900] = np.nan
    out = vitals_over({Modality.ABP: x}, 20)
    assert next(v.second for v in out if v.abp_map is not None) == 12
    out = vitals_over({Modality.ABP: np.full(2000, 14.0)}, 20, {Modality.ABP: (10, 13)})
    assert all(v.abp_map is None for v in out if 10 <= v.second < 13)


def test_what_was_not_measured_is_in_no_mean():
    """A line flushed in an arrest: its bag is no pressure of the patient's, and the mean is back with the line."""
    x = np.full(3000, 14.0)
    x[1000:1300] = 299.0
    out = vitals_over({Modality.ABP: x}, 30, {Modality.ABP: (11, 14)})
    assert all(v.abp_map == pytest.approx(14.0) for v in out[3:] if not 11 <= v.second < 14)
