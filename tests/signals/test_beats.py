"""Beats against waves whose beats are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.signals.beats import abp_beats, qrs_complexes, r_peaks, upstrokes
from models.signals.blocks import spans_gap
from tests.signals.waves import RATE, beat_times, ecg, pulse


def matched(found: np.ndarray, truth_s: np.ndarray, tolerance_s: float) -> None:
    """Every true beat found once, nothing else found."""
    assert len(found) == len(truth_s)
    assert np.abs(found / RATE - truth_s).max() < tolerance_s


@pytest.mark.parametrize("polarity", [1, -1])
@pytest.mark.parametrize(("amplitude", "noise"), [(0.1, 0.005), (1.0, 0.03), (5.0, 0.05)])
@pytest.mark.parametrize("rate", [25, 40, 60, 100, 150, 220])
def test_r_peaks_at_every_rate_amplitude_and_polarity(rate, amplitude, noise, polarity):
    times = beat_times(rate, 20)
    matched(r_peaks(ecg(times, 20, amplitude, noise=noise, polarity=polarity)), times, 0.015)


@pytest.mark.parametrize("rate", [40, 75, 120])
def test_t_waves_taller_than_r_are_not_beats(rate):
    times = beat_times(rate, 20)
    matched(r_peaks(ecg(times, 20, t_wave=1.3, noise=0.01)), times, 0.015)


def test_positions_are_finer_than_the_grid():
    times = beat_times(73.7, 60)
    found = r_peaks(ecg(times, 60)) / RATE
    assert np.std(found - times) < 0.0015


def test_amplitude_that_falls_to_a_fifth_within_one_block():
    times = beat_times(80, 20)
    x = ecg(times, 20, wander=0.0)
    x[1000:] *= 0.2
    matched(r_peaks(x), times, 0.015)


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.03, 0.1, 0.5])
def test_noise_alone_has_no_beats(sigma):
    noise = sigma * np.random.default_rng(3).standard_normal((20, 1000))
    assert [len(r_peaks(block)) for block in noise] == [0] * 20


def test_asystole_fibrillation_and_silence_have_no_beats():
    t = np.arange(1000) / RATE
    assert len(r_peaks(np.zeros(1000))) == 0
    assert len(r_peaks(0.3 * np.sin(2 * np.pi * 0.3 * t))) == 0
    assert len(r_peaks(0.4 * np.sin(2 * np.pi * 5.0 * t) * (1 + 0.3 * np.sin(2 * np.pi * 0.4 * t)))) == 0
    assert len(r_peaks(np.full(1000, np.nan))) == 0
    assert len(r_peaks(np.empty(0))) == 0


def test_movement_among_beats_is_left_out_and_counted():
    times = beat_times(50, 12)
    x = ecg(times, 12, noise=0.01)
    clean = r_peaks(x)
    t = np.arange(len(x)) / RATE
    for at, jump in ((times[3] + 0.52, 1.6), (times[6] + 0.65, -1.4)):  # an electrode pulled: a jump that dies away
        x += np.where(t >= at, jump * np.exp(-(t - at) / 0.2), 0.0)
    found, strange = qrs_complexes(x)
    assert strange == 2
    np.testing.assert_allclose(found, clean, atol=0.5)


def test_premature_beats_of_another_shape_are_beats():
    times = beat_times(60, 12)
    early = times.copy()
    early[4] -= 0.35
    early[8] -= 0.35
    x = ecg(np.delete(early, [4, 8]), 12, noise=0.01)
    t = np.arange(len(x)) / RATE
    for i in (4, 8):
        x += 1.8 * np.exp(-0.5 * ((t - early[i]) / 0.024) ** 2) - 1.2 * np.exp(
            -0.5 * ((t - early[i] - 0.08) / 0.03) ** 2
        )
    found = r_peaks(x) / RATE
    assert len(found) == len(times)
    assert np.abs(found - early).max() < 0.05


def test_beats_in_a_gap_are_lost_and_no_others():
    times = beat_times(80, 20)
    x = ecg(times, 20, noise=0.01)
    x[705:905] = np.nan
    found = r_peaks(x)
    assert not np.any((found > 700) & (found < 910))
    outside = times[(times < 6.95) | (times > 9.15)]
    assert all(np.abs(found / RATE - at).min() < 0.015 for at in outside)
    gaps = spans_gap(x, found)
    assert gaps.sum() == 1
    assert np.diff(found)[gaps][0] > 200


def test_a_single_missing_sample_costs_no_beat():
    times = beat_times(80, 10)
    x = ecg(times, 10, noise=0.01)
    x[np.round(times * RATE).astype(int)[2] + 20] = np.nan
    matched(r_peaks(x), times, 0.015)
    assert not spans_gap(x, r_peaks(x)).any()


@pytest.mark.parametrize("kind", ["ABP", "PPG"])
@pytest.mark.parametrize("rate", [30, 60, 110, 180])
def test_upstrokes_at_every_rate(kind, rate):
    times = beat_times(rate, 20)
    x = pulse(times, 20, 60, 110) if kind == "ABP" else pulse(times, 20, -0.002, 0.01)
    matched(upstrokes(x, kind=kind), times + 0.075, 0.012)


def test_dicrotic_waves_are_not_pulses():
    times = beat_times(55, 20)
    matched(upstrokes(pulse(times, 20, 60, 110, notch=0.6), kind="ABP"), times + 0.075, 0.012)


def test_pressure_without_a_pulse_has_no_upstrokes():
    noise = 0.5 * np.random.default_rng(4).standard_normal(1000)
    assert len(upstrokes(2.0 + noise, kind="ABP")) == 0
    assert len(upstrokes(noise, kind="PPG")) == 0
    assert len(upstrokes(np.full(1000, 80.0), kind="ABP")) == 0


def test_pressures_of_each_beat():
    times = beat_times(70, 20)
    x = pulse(times, 20, 58, 117)
    beats = abp_beats(x)
    assert beats.valid.all()
    assert len(beats) == len(times) - 1
    np.testing.assert_allclose(beats.sys, 117, atol=0.8)
    np.testing.assert_allclose(beats.dia, 58, atol=0.5)
    for i, (a, b) in enumerate(zip(np.round(times[:-1] * RATE), np.round(times[1:] * RATE), strict=True)):
        assert beats.map[i] == pytest.approx(x[int(a) : int(b)].mean(), abs=0.5)
    np.testing.assert_allclose(beats.onset / RATE, times[:-1], atol=0.03)
    np.testing.assert_array_equal(beats.next_onset[:-1], beats.onset[1:])


@pytest.mark.parametrize(("low", "high"), [(35, 55), (28, 38), (20, 30), (90, 240)])
def test_shock_and_crisis_are_not_artefacts(low, high):
    beats = abp_beats(pulse(beat_times(48, 12), 12, low, high))
    assert len(beats) >= 7
    assert beats.valid.all()


def test_flush_is_flagged():
    times = beat_times(70, 20)
    x = pulse(times, 20, 58, 117)
    x[900:1100] = 298.0
    beats = abp_beats(x)
    touched = (beats.next_onset > 905) & (beats.onset < 1105)
    assert touched.any()
    assert not beats.valid[touched].any()
    assert beats.valid[~touched].mean() > 0.8
    # The last beat before the flush is cut short, so its mean lies a little high.
    assert np.abs(beats.map[beats.valid] - x[:800].mean()).max() < 8
    assert np.median(np.abs(beats.map[beats.valid] - x[:800].mean())) < 2


def test_pressure_below_zero_is_flagged():
    beats = abp_beats(pulse(beat_times(70, 12), 12, -20, 22))
    assert len(beats) and not beats.valid.any()


def test_a_beat_with_a_gap_is_flagged():
    times = beat_times(60, 12)
    x = pulse(times, 12, 60, 110)
    x[560:580] = np.nan
    beats = abp_beats(x)
    touched = (beats.next_onset > 560) & (beats.onset < 580)
    assert not beats.valid[touched].any()
    assert beats.valid[~touched].all()


@given(shift=st.floats(-3, 3), start=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_an_offset_changes_nothing_and_a_shift_moves_the_beats(shift, start):
    times = beat_times(66, 14)
    x = ecg(times, 14, noise=0.01)
    whole = r_peaks(x)
    np.testing.assert_allclose(r_peaks(x + shift), whole, atol=1e-6)
    cut = r_peaks(x[start:])
    inner = whole[(whole > start + 50) & (whole < len(x) - 50)]
    for at in inner:
        assert np.abs(cut + start - at).min() < 0.2


@given(
    arrays(
        np.float32,
        st.integers(0, 400),
        elements=st.one_of(st.floats(-300, 300, width=32), st.just(float("nan")), st.just(float("inf"))),
    )
)
@settings(max_examples=150, deadline=None)
def test_no_input_breaks_a_detector_or_gives_a_beat_where_nothing_was_measured(x):
    before = x.copy()
    for found in (r_peaks(x), upstrokes(x, kind="ABP"), upstrokes(x, kind="PPG")):
        assert np.isfinite(found).all()
        assert (np.diff(found) > 0).all()
        assert ((found >= 0) & (found <= max(len(x) - 1, 0))).all()
        if len(found):
            run = np.convolve(~np.isfinite(x), np.ones(11), "same") > 10.5  # inside a gap of 110 ms and more
            assert not run[np.round(found).astype(int)].any()
    beats = abp_beats(x)
    valid = beats.valid
    assert np.isfinite(beats.map).all()
    assert (beats.sys[valid] > beats.dia[valid]).all()
    assert ((beats.map[valid] >= beats.dia[valid] - 40) & (beats.map[valid] <= beats.sys[valid] + 1e-6)).all()
    assert (beats.next_onset > beats.onset).all()
    np.testing.assert_array_equal(x, before)


def test_a_matrix_is_refused():
    with pytest.raises(ValueError, match="one dimension"):
        r_peaks(np.zeros((2, 1000)))
