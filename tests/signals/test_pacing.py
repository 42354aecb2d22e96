"""Pacer spikes: never beats, whatever the monitor's bandwidth left of them; and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detectors import matches
from benchmarks.paced import Mode, Pacing, paced_ecg
from models.signals.beats import complexes, qrs_complexes, r_peaks, without_pacing
from models.signals.findings import Rhythm
from models.signals.resample import Resampler
from models.signals.rhythm import judge_rhythm

SECONDS = 10


def on_grid(rate_hz: float, pacing: Pacing, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten seconds on the 100-Hz grid, and the times of the beats that lie well inside."""
    ecg = paced_ecg(SECONDS + 1, rate_hz, pacing, seed)
    beats = ecg.beats_s[(ecg.beats_s > 0.3) & (ecg.beats_s < SECONDS - 0.3)]
    return Resampler(rate_hz)(ecg.values, 0, 0, SECONDS * 100), beats


@pytest.mark.parametrize("mode", ["A", "V", "AV"])
@pytest.mark.parametrize("spike_mv", [2.0, 5.0, -3.0])
@pytest.mark.parametrize("rate_hz", [250.0, 500.0])
@pytest.mark.parametrize("low_pass_hz", [40.0, 150.0])
def test_each_paced_beat_counts_once(mode: Mode, spike_mv: float, rate_hz: float, low_pass_hz: float) -> None:
    for seed, av_s in enumerate((0.12, 0.18)):
        x, beats = on_grid(rate_hz, Pacing(mode, 72.0, av_s, spike_mv, low_pass_hz=low_pass_hz, irregular=0.02), seed)
        found = r_peaks(x) / 100
        inside = found[(found > 0.3) & (found < SECONDS - 0.3)]
        lag = np.median([found[np.abs(found - b).argmin()] - b for b in beats])
        assert matches(beats + lag, found).mean() >= 0.9
        assert len(inside) <= len(beats) + 1
        assert np.median(np.diff(found)) == pytest.approx(60 / 72, rel=0.05)


@pytest.mark.parametrize("rate_hz", [100.0, 125.0, 250.0, 500.0])
def test_the_alarms_complexes_are_the_beats_of_a_dual_chamber_pacer(rate_hz: float) -> None:
    x, beats = on_grid(rate_hz, Pacing("AV", spike_mv=4.0, av_s=0.2))
    found = complexes(x)[0] / 100
    assert matches(beats, found).all()
    assert abs(len(found) - len(beats)) <= 1


@pytest.mark.parametrize("mode", ["V", "AV"])
@pytest.mark.parametrize("low_pass_hz", [100.0, 150.0])
def test_a_pacer_without_capture_is_asystole(mode: Mode, low_pass_hz: float) -> None:
    x, _ = on_grid(500.0, Pacing(mode, spike_mv=4.0, low_pass_hz=low_pass_hz, captures=False))
    beats = r_peaks(x)
    assert len(beats) == 0
    assert judge_rhythm(x, beats) is Rhythm.STILL


@pytest.mark.parametrize("width_s", [0.008, 0.011, 0.014])
@pytest.mark.parametrize("per_min", [60.0, 150.0])
def test_a_narrow_complex_is_no_spike(width_s: float, per_min: float) -> None:
    # QRS of a child: 45–80 ms in all, and T waves where a beat would follow an atrial spike.
    t = np.arange(1000) / 100
    x = 0.01 * np.random.default_rng(0).standard_normal(1000)
    for beat in np.arange(0.4, 10, 60 / per_min):
        for height, middle, sd in ((1.0, 0.0, width_s), (-0.25, 0.025, width_s), (0.35, 0.2, 0.035)):
            x += height * np.exp(-0.5 * ((t - beat - middle) / sd) ** 2)
    x = x.astype(np.float32)
    assert without_pacing(x) is x
    assert np.median(np.diff(r_peaks(x))) == pytest.approx(6000 / per_min, rel=0.02)


def test_what_is_not_paced_is_left_as_it_is() -> None:
    for seed in range(20):
        x, beats = on_grid(250.0, Pacing("none", irregular=0.05, noise_mv=0.02), seed)
        assert without_pacing(x) is x
        assert matches(beats, r_peaks(x) / 100).all()


def test_noise_has_no_spikes_and_no_beats() -> None:
    random = np.random.default_rng(3)
    for scale in (0.02, 0.1, 0.5):
        for x in (random.standard_normal(1000), np.cumsum(random.standard_normal(1000)) / 5):
            assert without_pacing(scale * x) is not None
            assert not len(r_peaks(scale * x))


def test_a_gap_stays_a_gap() -> None:
    x, _ = on_grid(500.0, Pacing("AV"))
    x[300:450] = np.nan
    clean = without_pacing(x)
    assert clean is not x
    assert np.array_equal(np.isnan(clean), np.isnan(x))
    assert not np.any((r_peaks(x) > 295) & (r_peaks(x) < 455))


@pytest.mark.parametrize("noise_mv", [0.01, 0.03])
def test_broad_low_complexes_without_a_spike_count(noise_mv: float) -> None:
    x, beats = on_grid(250.0, Pacing("V", spike_mv=0.0, qrs_mv=0.3, noise_mv=noise_mv))
    found, _ = qrs_complexes(x)
    assert matches(beats, found / 100).all()
    assert len(found) <= len(beats) + 1
