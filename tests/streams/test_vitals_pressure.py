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


def test_what_does_not_pulsate_has_no_pressure():
    rng = np.random.default_rng(6)
    for level in (2.0, 85.0):
        out = vitals_over({Modality.ABP: level + 0.4 * rng.standard_normal(4000)}, 40)
        assert all(pressures(v) == (None, None, None) for v in out)


def test_a_wave_at_impossible_pressures_has_no_number():
    out = vitals_over({Modality.ABP: pulse(beat_times(72, 40), 40, -20, 22)}, 38)
    assert all(pressures(v) == (None, None, None) for v in out)


def test_a_pulse_that_stops_takes_the_number_with_it():
    x = pulse(beat_times(72, 60), 60, 60, 120)
    x[3000:] = 25.0
    out = vitals_over({Modality.ABP: x}, 58)
    assert out[28].abp_map is not None
    assert all(v.abp_map is None for v in out if v.second >= 37)
