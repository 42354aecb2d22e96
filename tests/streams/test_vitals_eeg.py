"""Spectral edge and burst suppression against EEG of known content."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.modalities import Modality
from streams.vitals.eeg import LEAST_SUPPRESSION_S, spectral_edge, suppression_ratio
from tests.signals.waves import RATE
from tests.streams.grids import vitals_over


def band_noise(low_hz: float, high_hz: float, seconds: float, sd_uv: float, seed: int = 10) -> np.ndarray:
    """Gaussian noise with a flat spectrum between the two frequencies."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    x = np.fft.irfft(spectrum, n)
    return sd_uv * x / x.std()


@pytest.mark.parametrize(("low", "high"), [(0.5, 8.0), (0.5, 12.0), (1.0, 25.0)])
def test_edge_of_flat_noise(low, high):
    assert spectral_edge(band_noise(low, high, 30, 20)) == pytest.approx(low + 0.95 * (high - low), abs=0.8)


def test_edge_of_a_tone_and_independence_of_scale_and_offset():
    t = np.arange(3000) / RATE
    x = 20 * np.sin(2 * np.pi * 10 * t)
    assert spectral_edge(x) == pytest.approx(10, abs=0.7)
    y = band_noise(0.5, 15, 30, 10)
    assert spectral_edge(3 * y + 50) == pytest.approx(spectral_edge(y), abs=0.05)


def test_power_above_the_band_does_not_count():
    x = band_noise(0.5, 10, 30, 20)
    assert spectral_edge(x + band_noise(35, 45, 30, 60, seed=11)) == pytest.approx(spectral_edge(x), abs=0.3)


def test_artefact_epochs_are_left_out():
    x = band_noise(0.5, 10, 30, 20)
    clean = spectral_edge(x)
    x[1000:1010] += 3000
    x[2000:2100] = np.nan
    assert spectral_edge(x) == pytest.approx(clean, abs=0.5)


def test_too_little_eeg_has_no_edge():
    x = band_noise(0.5, 10, 30, 20)
    x[:1700] = np.nan
    assert spectral_edge(x) is None
    assert spectral_edge(np.full(3000, np.nan)) is None
    assert spectral_edge(0.05 * band_noise(0.5, 10, 30, 1)) is None


def bursts(suppressed_s: float, burst_s: float, seconds: int) -> np.ndarray:
    x = band_noise(1, 20, seconds, 30)
    t = np.arange(len(x)) / RATE
    quiet = (t % (suppressed_s + burst_s)) >= burst_s
    x[quiet] = band_noise(1, 30, seconds, 1.0, seed=12)[quiet]
    return x


@pytest.mark.parametrize(("suppressed", "burst"), [(2.0, 4.0), (3.0, 3.0), (8.0, 2.0)])
def test_ratio_of_burst_suppression(suppressed, burst):
    assert suppression_ratio(bursts(suppressed, burst, 60)) == pytest.approx(
        suppressed / (suppressed + burst), abs=0.05
    )


def test_isoelectric_is_one_active_is_zero():
    assert suppression_ratio(band_noise(1, 30, 60, 1.0)) == pytest.approx(1.0, abs=0.01)
    assert suppression_ratio(band_noise(1, 20, 60, 25)) == 0.0


def test_pauses_shorter_than_half_a_second_do_not_count():
    assert suppression_ratio(bursts(0.4, 1.0, 60)) < 0.03


def test_slow_drift_does_not_hide_suppression():
    t = np.arange(6000) / RATE
    assert suppression_ratio(band_noise(1, 30, 60, 1.0) + 100 * np.sin(2 * np.pi * 0.01 * t)) > 0.95


def test_missing_eeg_is_not_suppression():
    x = band_noise(1, 20, 60, 25)
    x[:2000] = np.nan
    assert suppression_ratio(x) == 0.0
    x[:3500] = np.nan
    assert suppression_ratio(x) is None
    assert suppression_ratio(np.full(6000, np.nan)) is None


@given(st.integers(0, 5999), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_ratio_stays_between_zero_and_one_wherever_a_gap_lies(start, length):
    x = bursts(3, 3, 60)
    x[start : start + length] = np.nan
    ratio = suppression_ratio(x)
    if ratio is None:  # of less than half a minute of EEG; near a gap up to two seconds may not count
        assert np.count_nonzero(np.isfinite(x)) < (LEAST_SUPPRESSION_S + 4) * 100
    else:
        assert 0 <= ratio <= 1


def test_numbers_end_with_the_sensor():
    out = vitals_over({Modality.EEG: bursts(3, 3, 100)}, 100, {Modality.EEG: (70, 80)})
    assert out[13].sef95 is None and out[20].sef95 is not None
    assert out[28].bsr is None and out[60].bsr == pytest.approx(0.5, abs=0.08)
    assert all(v.sef95 is None and v.bsr is None for v in out if 70 <= v.second < 80)
