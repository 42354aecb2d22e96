"""Respiratory rate from the signal and from modulation, and silence where neither is sure."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.modalities import Modality
from streams.vitals.respiration import rate_of_signal
from tests.signals.waves import RATE, beat_times, ecg, pulse
from tests.streams.grids import vitals_over


def breathing(rate: float, duration_s: float, noise: float = 0.05) -> np.ndarray:
    t = np.arange(round(duration_s * RATE)) / RATE
    phase = 2 * np.pi * rate / 60 * t
    wave = np.sin(phase) + 0.3 * np.sin(2 * phase + 0.7)
    return wave + noise * np.random.default_rng(7).standard_normal(len(t))


@pytest.mark.parametrize("rate", [6, 12, 18, 30, 45])
@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_rate_of_a_respiration_signal(rate, scale):
    assert rate_of_signal(scale * breathing(rate, 60) + 3) == pytest.approx(rate, abs=1)


def test_a_new_rate_is_found_within_40_s():
    x = np.concatenate((breathing(12, 60), breathing(24, 60)))
    out = vitals_over({Modality.RESP: x}, 118)
    assert out[55].resp_rate == pytest.approx(12, abs=1)
    assert out[102].resp_rate == pytest.approx(24, abs=1)
    assert out[102].resp_source == "RESP"


def test_noise_flatness_and_short_signals_have_no_rate():
    rng = np.random.default_rng(8)
    assert sum(rate_of_signal(rng.standard_normal(4000)) is not None for _ in range(20)) <= 1
    assert rate_of_signal(np.zeros(4000)) is None
    assert rate_of_signal(breathing(15, 15)) is None
    assert rate_of_signal(np.full(4000, np.nan)) is None


def test_nothing_is_glued_over_a_gap():
    x = breathing(15, 60)
    x[3000:4500] = np.nan
    assert rate_of_signal(x) is None  # 15 s since the gap
    x[3000:3050] = np.nan
    x[3050:4500] = breathing(15, 60)[3050:4500]
    assert rate_of_signal(x) == pytest.approx(15, abs=1)


@pytest.mark.parametrize("rate", [9, 14, 20])
def test_rate_from_modulation(rate):
    duration = 120
    times = beat_times(75, duration)
    times = times + 0.03 * np.sin(2 * np.pi * rate / 60 * times)
    t = np.arange(duration * RATE) / RATE
    breath = np.sin(2 * np.pi * rate / 60 * t)
    signals = {
        Modality.ECG: ecg(times, duration, wander=0.0, noise=0.01) * (1 + 0.08 * breath),
        Modality.PPG: pulse(times + 0.2, duration, 0.0, 1.0) * (1 + 0.1 * breath) + 0.1 * breath,
    }
    out = vitals_over(signals, 118)
    known = [v.resp_rate for v in out[60:] if v.resp_rate is not None]
    assert len(known) > 50
    assert np.abs(np.array(known) - rate).max() < 1.5
    assert out[-1].resp_source == "ECG+PPG"


def test_no_modulation_no_rate():
    rng = np.random.default_rng(9)
    times = beat_times(75, 120, jitter_s=0.015)
    beats_only = {
        Modality.ECG: ecg(times, 120, wander=0.0) + 0.03 * rng.standard_normal(12000),
        Modality.PPG: pulse(times + 0.2, 120, 0.0, 1.0) + 0.01 * rng.standard_normal(12000),
    }
    out = vitals_over(beats_only, 118)
    assert sum(v.resp_rate is not None for v in out) < 0.1 * len(out)


def test_a_measured_respiration_signal_is_never_replaced_by_modulation():
    times = beat_times(75, 60)
    signals = {Modality.ECG: ecg(times, 60), Modality.PPG: pulse(times, 60, 0, 1), Modality.RESP: np.zeros(6000)}
    assert all(v.resp_rate is None for v in vitals_over(signals, 58))
