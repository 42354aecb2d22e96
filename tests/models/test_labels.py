"""Labels against signals of known truth."""

from __future__ import annotations

import numpy as np

from models.data.labels import (
    PressureTrack,
    eeg_features,
    frame_pressures,
    hypotension_labels,
    hypotensive_events,
    pressure_track,
    r_times,
    suppression_ratio,
)
from models.data.simulator import simulate_patient
from models.data.windows import grid_signal
from models.signals.channels import map_channels
from models.signals.modalities import Modality


def track(mean: np.ndarray, period_s: float = 1.0) -> PressureTrack:
    times = np.arange(len(mean)) * period_s + 0.5 * period_s
    return PressureTrack(times, np.full(len(mean), period_s), mean, mean + 30, mean - 20)


def test_an_event_needs_sixty_seconds():
    for seconds, expected in ((59, 0), (60, 1), (300, 1)):
        mean = np.full(900, 80.0)
        mean[300 : 300 + seconds] = 60.0
        events = hypotensive_events(track(mean))
        assert len(events) == expected
        assert not events or events[0] == (300.0, 300.0 + seconds)


def test_one_beat_above_and_a_gap_end_an_event():
    mean = np.full(400, 60.0)
    mean[50] = 66.0
    assert hypotensive_events(track(mean)) == [(51.0, 400.0)]
    beats = track(np.full(100, 60.0))
    late = np.where(np.arange(100) >= 55, 20.0, 0.0)  # 20 s without beats
    assert (
        hypotensive_events(PressureTrack(beats.time_s + late, beats.length_s, beats.mean, beats.sys, beats.dia)) == []
    )


def test_labels_look_ahead_and_say_unknown():
    labels, now = hypotension_labels([(700.0, 900.0)], np.array([100.0, 399.0, 400.0, 700.0, 800.0, 900.0]), 1500.0)
    np.testing.assert_array_equal(
        labels, [[0, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [0, np.nan, np.nan]]
    )  # fmt: skip
    np.testing.assert_array_equal(now, [False, False, False, True, True, False])


def test_frame_pressures_are_means_over_beats():
    mean = np.where(np.arange(60) < 30, 90.0, 60.0)
    out = frame_pressures(track(mean), np.array([0.0, 3.0, 29.0, 300.0]), 3.0)
    np.testing.assert_allclose(out[0], [90, 120, 70])
    assert 60 < out[2, 0] < 90
    assert np.isnan(out[3]).all()


def test_eeg_features_of_known_waves():
    rng = np.random.default_rng(0)
    t = np.arange(3000) / 100
    alpha = 20 * np.sin(2 * np.pi * 10 * t) + 0.01 * rng.standard_normal(3000)
    delta, theta, peak, beta, gamma, edge, suppressed = eeg_features(alpha[None].astype(np.float32))[0]
    assert abs(peak - np.log10(200.0)) < 0.02  # power of a sine of amplitude 20
    assert max(delta, theta, beta, gamma) < 0
    assert abs(edge - 10) <= 0.5 and suppressed == 0
    burst = np.where(np.arange(3000) % 1000 < 400, 30 * rng.standard_normal(3000), 0.5 * rng.standard_normal(3000))
    assert abs(float(suppression_ratio(burst)) - 0.6) < 0.05
    short = np.where(np.arange(3000) % 80 < 40, 30.0, 0.0) * np.sign(rng.standard_normal(3000))
    assert float(suppression_ratio(short)) == 0  # 0.4 s of quiet is no suppression


def test_labels_of_a_simulated_patient_agree_with_its_truth():
    patient = simulate_patient(41, scenario="vasodilation", duration_s=400, faults=False)
    channels = map_channels(patient)
    abp = grid_signal(channels, Modality.ABP, 400, patient.read_clean)
    found = pressure_track(abp)
    truth = patient.truth
    at = np.searchsorted(truth.abp_onset_s, found.time_s) - 1
    error = found.mean - truth.abp_offset_mmhg - truth.map_mmhg[np.clip(at, 0, len(truth.map_mmhg) - 1)]
    assert abs(float(np.median(error))) < 1.0 and float(np.percentile(np.abs(error), 95)) < 2.5
    peaks = r_times(grid_signal(channels, Modality.ECG, 400, patient.read_clean))
    inside = truth.r_s[(truth.r_s > 1) & (truth.r_s < 399)]
    nearest = np.abs(peaks[np.clip(np.searchsorted(peaks, inside), 1, len(peaks) - 1)][:, None] - inside[:, None])
    nearest = np.minimum(
        nearest, np.abs(peaks[np.clip(np.searchsorted(peaks, inside) - 1, 0, None)][:, None] - inside[:, None])
    )
    assert float(np.mean(nearest < 0.03)) > 0.98
