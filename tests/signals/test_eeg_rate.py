"""An EEG brought to 128 Hz keeps what openibis reads, up to 47 Hz, and nothing that was above folds into it."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.eeg_rate import LATE, RATE_HZ, At128Hz
from models.signals.openibis import Openibis
from tests.signals.waves import brain

RATES = (128, 200, 250, 256, 500, 512, 1000)


def at_128(x: np.ndarray, rate: int) -> np.ndarray:
    channel = At128Hz()
    return np.concatenate([channel.second(x[s * rate : (s + 1) * rate], rate) for s in range(len(x) // rate)])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [1.0, 10.0, 20.0, 30.0, 40.0, 46.0])
def test_a_tone_passes_in_time_and_size(rate: int, hertz: float) -> None:
    found = at_128(np.sin(2 * np.pi * hertz * np.arange(4 * rate) / rate), rate)[RATE_HZ:]
    late = 0 if rate == RATE_HZ else LATE
    exact = np.sin(2 * np.pi * hertz * (RATE_HZ + np.arange(len(found)) - late) / RATE_HZ)
    assert np.abs(found - exact).max() < 0.012


@pytest.mark.parametrize("rate", [r for r in RATES if r >= 250])
@pytest.mark.parametrize("hertz", [82.0, 100.0, 120.0])
def test_what_would_fold_is_taken_out(rate: int, hertz: float) -> None:
    found = at_128(np.sin(2 * np.pi * hertz * np.arange(4 * rate) / rate), rate)[RATE_HZ:]
    assert np.abs(found).max() < 0.002


@pytest.mark.parametrize("rate", [62.5, 100, 127, 250.5])
def test_a_rate_that_cannot_hold_it_is_missing(rate: float) -> None:
    assert np.isnan(At128Hz().second(np.zeros(round(rate)), rate)).all()


def test_missing_samples_spread_by_the_kernel_and_no_further() -> None:
    x = brain(4, rate=256)
    clean = at_128(x, 256)
    x[600] = np.nan
    holed = at_128(x, 256)
    gone = np.flatnonzero(np.isnan(holed) & ~np.isnan(clean))
    assert 10 <= len(gone) <= 14 and abs(gone.mean() - (300 + LATE)) < 1.0
    there = np.isfinite(holed)
    assert np.array_equal(holed[there], clean[there])


def test_a_second_after_one_that_was_not_measured_begins_anew() -> None:
    channel, x = At128Hz(), brain(4, rate=256)
    channel.second(x[:256], 256)
    channel.reset()
    assert np.isnan(channel.second(x[512:768], 256)[:LATE]).all()
    other = At128Hz()
    other.second(x[:250], 250)
    assert np.isnan(other.second(x[512:768], 256)[:LATE]).all()


@pytest.mark.parametrize("rate", [256, 500])
def test_openibis_says_the_same_at_any_rate(rate: int) -> None:
    """The same brain, sampled faster."""
    n = 70 * 1000
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / 1000)
    spectrum *= np.where((hertz > 0.4) & (hertz < 55), np.maximum(hertz, 0.5) ** -0.8, 0)
    found = []
    for wanted in (128, rate):
        x = np.fft.irfft(spectrum[: 70 * wanted // 2 + 1], 70 * wanted)
        x *= 15 / x.std()
        one = Openibis()
        one.add(at_128(x, wanted))
        found.append(one.index)
    assert found[0] == pytest.approx(found[1], abs=0.3)
