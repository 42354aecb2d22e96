"""The rhythm of the newest seconds: a still line, beats of every kind, fibrillation, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.beats import r_peaks
from models.signals.findings import Rhythm
from models.signals.rhythm import judge_rhythm
from tests.signals.waves import RATE, beat_times, ecg

BLOCK = 10 * RATE


def fibrillation(seconds: float, amplitude: float = 0.5, seed: int = 0) -> np.ndarray:
    """A sine of 4–6 Hz whose frequency and height wander, mV."""
    n = round(seconds * RATE)
    generator = np.random.default_rng(seed)
    slow = np.cumsum(generator.standard_normal((2, n)), axis=1) / np.sqrt(RATE)
    phase = np.cumsum(2 * np.pi * (5.0 + np.tanh(slow[0])) / RATE)
    return amplitude * (1.0 + 0.3 * np.tanh(slow[1])) * np.sin(phase)


def flutter_like(rate_per_min: float, seconds: float, width_s: float) -> np.ndarray:
    """Regular broad complexes of 1 mV with an opposite T wave of 0.4."""
    t = np.arange(round(seconds * RATE)) / RATE
    x = np.zeros(len(t))
    for at in np.arange(0.2, seconds, 60.0 / rate_per_min):
        x += np.exp(-0.5 * ((t - at) / width_s) ** 2) - 0.4 * np.exp(-0.5 * ((t - at - 0.2) / 0.045) ** 2)
    return x


def noise(seconds: float, mv: float, seed: int = 3) -> np.ndarray:
    return mv * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def judged(x: np.ndarray) -> Rhythm:
    """Of the last 10 s of a signal, what there is of them."""
    grid = np.full(BLOCK, np.nan, dtype=np.float32)
    newest = x[-BLOCK:]
    grid[BLOCK - len(newest) :] = newest
    return judge_rhythm(grid, r_peaks(grid))


@pytest.mark.parametrize("rate", [35, 60, 100, 150, 180])
def test_sinus_rhythms_are_beats(rate: int) -> None:
    for end in np.arange(4.0, 20.0, 0.7):
        assert judged(ecg(beat_times(rate, 20.0), 20.0, noise=0.01)[: round(end * RATE)]) is Rhythm.BEATS


def test_atrial_fibrillation_is_beats() -> None:
    times = np.cumsum(np.random.default_rng(4).uniform(0.4, 1.0, 40))
    x = ecg(times, 25.0, noise=0.03) + 0.05 * np.sin(2 * np.pi * 6.0 * np.arange(25 * RATE) / RATE)
    assert {judged(x[: s * RATE]) for s in range(6, 24)} == {Rhythm.BEATS}


@pytest.mark.parametrize(("rate", "width_s"), [(70, 0.035), (110, 0.035), (140, 0.03)])
def test_broad_and_paced_rhythms_are_beats(rate: float, width_s: float) -> None:
    assert judged(flutter_like(rate, 12, width_s) + noise(12, 0.01)) is Rhythm.BEATS


@pytest.mark.parametrize("mv", [0.0, 0.005, 0.02])
def test_asystole_is_told_from_the_first_four_seconds(mv: float) -> None:
    line = noise(10, mv) + 0.3 * np.sin(2 * np.pi * 0.25 * np.arange(10 * RATE) / RATE)
    assert judged(line[: 3 * RATE]) is Rhythm.UNKNOWN
    assert all(judged(line[: s * RATE]) is Rhythm.STILL for s in range(4, 11))


def test_a_heart_that_stops_is_still_after_four_seconds_and_not_before() -> None:
    times = beat_times(75, 10.0)
    x = np.concatenate([ecg(times, 10.0), noise(8, 0.01)])
    last = float(times[-1]) + 0.35  # its T wave still moves
    found = {s: judged(x[: round(s * RATE)]) for s in np.arange(10.5, 17.0, 0.5)}
    assert all(r is Rhythm.BEATS for s, r in found.items() if s <= last + 3.4)
    assert all(r is Rhythm.STILL for s, r in found.items() if s >= last + 4.6)


def test_small_beats_are_not_a_still_line() -> None:
    assert judged(ecg(beat_times(60, 12.0), 12.0, amplitude=0.12, noise=0.002)) is Rhythm.BEATS


def test_noise_of_a_fifth_of_tall_beats_is_still() -> None:
    x = np.concatenate([ecg(beat_times(75, 5.5), 5.5, amplitude=3.0, wander=0.0), noise(4.5, 0.04)])
    assert judged(x) is Rhythm.STILL


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("amplitude", [0.2, 0.5, 1.5])
def test_fibrillation_within_five_seconds_of_its_onset_and_to_the_end(seed: int, amplitude: float) -> None:
    before = ecg(beat_times(80, 12.0), 12.0)
    x = np.concatenate([before, fibrillation(20, amplitude, seed) + noise(20, 0.01)])
    found = [judged(x[: s * RATE]) for s in range(12, 32)]
    assert found[0] is Rhythm.BEATS
    assert set(found[5:]) == {Rhythm.FIBRILLATION}


def test_fibrillation_from_the_first_sample() -> None:
    x = fibrillation(10)
    assert judged(x[: 4 * RATE]) is Rhythm.FIBRILLATION


def test_flutter_is_nothing_to_count() -> None:
    t = np.arange(BLOCK) / RATE
    assert judged(0.8 * np.sin(2 * np.pi * 4.6 * t)) is Rhythm.FIBRILLATION


def test_movement_is_neither_beats_nor_still() -> None:
    x = np.convolve(noise(12, 1.0, 5), np.ones(20) / 20, "same") + noise(12, 0.05)
    assert judged(x) is Rhythm.UNCLEAR


def test_what_is_missing_is_not_known() -> None:
    x = fibrillation(10)
    x[-100:] = np.nan
    assert judged(x) is Rhythm.UNKNOWN
    assert judged(np.full(BLOCK, np.nan)) is Rhythm.UNKNOWN
    beats = ecg(beat_times(80, 12.0), 12.0)
    beats[-100:-20] = np.nan
    assert judged(beats) is Rhythm.BEATS


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0.0, 1e-6, 0.1, 5.0, 1e30]),
    st.floats(0.0, 1.0),
    st.integers(0, 1000),
)
def test_any_input_gives_a_rhythm(seed: int, scale: float, missing: float, length: int) -> None:
    generator = np.random.default_rng(seed)
    x = (scale * generator.standard_normal(length)).astype(np.float32)
    x[generator.random(length) < missing] = np.nan
    assert judge_rhythm(x, r_peaks(x)) in set(Rhythm)
    assert judge_rhythm(x, np.empty(0)) in set(Rhythm)
