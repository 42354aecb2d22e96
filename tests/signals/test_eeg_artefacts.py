"""What is no EEG is refused, EEG of every depth is not: made of parts whose place in time and frequency is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.absence import Absence
from models.signals.eeg_artefacts import band_power_db, is_suppressed
from models.signals.modalities import Modality
from models.signals.presence import cell_verdict
from models.signals.resample import resample
from tests.signals.waves import RATE, brain

SECONDS = 120
N = SECONDS * RATE
T = np.arange(N) / RATE
NATIVE = 250  # Hz: the way to the grid takes of what is fast, and the rules know it


def gridded(native: np.ndarray, rate: float = NATIVE) -> np.ndarray:
    return resample(native.astype(np.float32), rate)[1].astype(np.float64)


AWAKE = gridded(brain(SECONDS, 9.0, alpha=0.3, slope=1.3, seed=1, rate=NATIVE))


def band(low_hz: float, high_hz: float, sd_uv: float, seed: int = 5, rate: int = RATE) -> np.ndarray:
    """Gaussian noise with a flat spectrum between two frequencies."""
    n = SECONDS * rate
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / rate)
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    x = np.fft.irfft(spectrum, n)
    return sd_uv * x / x.std()


def verdicts(wave: np.ndarray) -> list[Absence | None]:
    padded = np.concatenate([np.full(900, np.nan), wave]).astype(np.float32)
    nothing = np.empty(0)
    return [
        cell_verdict(Modality.EEG, padded[s * RATE : s * RATE + 1000], nothing).absence
        for s in range(len(wave) // RATE)
    ]


def refused(wave: np.ndarray) -> float:
    return 1.0 - verdicts(wave).count(None) / (len(wave) // RATE)


def anaesthetised(sd_uv: float = 20.0) -> np.ndarray:
    """Slow waves and alpha under propofol, what is fast gone."""
    return brain(SECONDS, sd_uv, alpha=0.25, slope=2.4, seed=2) + band(0.5, 1.5, sd_uv, seed=3)


def bursts(quiet_uv: float = 1.0) -> np.ndarray:
    burst = 1.0 / (1.0 + np.exp((np.abs(T % 8.0 - 2.0) - 1.5) / 0.05))
    x = brain(SECONDS, 30.0, alpha=0.2, slope=2.2, seed=4)
    return burst * x + brain(SECONDS, quiet_uv, alpha=0.0, slope=1.0, seed=6)


@pytest.mark.parametrize(
    "wave",
    (AWAKE, brain(SECONDS, 15.0), anaesthetised(), anaesthetised(28.0), bursts(), brain(SECONDS, 1.0, 0.0, 1.0)),
    ids=("awake", "light", "anaesthetised", "slow", "bursts", "isoelectric"),
)
def test_eeg_of_every_depth_is_measured(wave: np.ndarray) -> None:
    """The null: what the rules refuse of EEG without artefact."""
    assert refused(wave) <= 0.01


def only(*spans: tuple[int, int]) -> np.ndarray:
    """1 within the spans of seconds, else 0."""
    return np.any([(a <= T) & (b > T) for a, b in spans], axis=0).astype(float)


MUSCLE = gridded(band(20.0, 110.0, 24.0, rate=NATIVE))  # white there: 24 µV in all, 11 µV of it below 40 Hz
SPANS = ((30, 34), (60, 65), (90, 92))


def blinks(height_uv: float) -> np.ndarray:
    """One at the middle of every 20th second, a third of a second wide."""
    return height_uv * np.exp(-0.5 * (((T - 0.5) % 20.0 - 10.0) / 0.09) ** 2)


@pytest.mark.parametrize(
    ("artefact", "hit"),
    (
        (230.0 * np.exp(-0.5 * ((T - 40.5) / 0.15) ** 2), (40,)),  # amplitude
        (170.0 * only((40, 41)), (40,)),  # slope
        (MUSCLE * only(*SPANS), (31, 32, 33, 61, 62, 63, 64, 91)),  # muscle
        (band(0.5, 2.5, 40.0) * only(*SPANS), (31, 32, 33, 61, 62, 63, 64, 91)),  # movement
        (blinks(110.0), (30, 50, 70, 90)),
    ),
    ids=("amplitude", "slope", "muscle", "movement", "blinks"),
)
def test_each_artefact_is_refused_where_it_is(artefact: np.ndarray, hit: tuple[int, ...]) -> None:
    found = verdicts(AWAKE + artefact)
    assert {found[s] for s in hit} == {Absence.ARTEFACT}
    touched = {s for s in range(SECONDS) if np.abs(artefact[s * RATE : (s + 1) * RATE]).max() > 1.0}
    beside = touched | {s + 1 for s in touched}  # a spectrum looks at two seconds
    assert not any(found[s] for s in range(SECONDS) if s not in beside)


def test_muscle_hides_what_an_anaesthetised_brain_does() -> None:
    assert refused(anaesthetised() + MUSCLE) > 0.7


def test_blinks_of_a_suppressed_brain_are_its_bursts() -> None:
    assert refused(brain(SECONDS, 1.0, 0.0, 1.0) + blinks(80.0)) == 0.0


@pytest.mark.parametrize("rate", (125, 128, 250, 500))
def test_an_open_input_is_flat_and_suppression_is_not(rate: int) -> None:
    """Twenty seconds of an amplifier's own noise: 2 µV peak to peak, white up to half the rate."""
    native = np.interp(np.arange(SECONDS * rate) / rate, T, AWAKE)
    off = slice(40 * rate, 60 * rate)
    native[off] = 0.3 * np.random.default_rng(9).standard_normal(20 * rate)
    _, grid = resample(native.astype(np.float32), rate)
    found = verdicts(grid)
    assert found[40:60].count(Absence.FLAT) >= 19
    assert Absence.FLAT not in found[:40] + found[60:] and len([v for v in found[:40] + found[60:] if v]) <= 2
    _, quiet = resample(np.interp(np.arange(SECONDS * rate) / rate, T, brain(SECONDS, 0.7, 0.0, 1.5)), rate)
    assert Absence.FLAT not in verdicts(quiet)


def test_what_comes_after_a_rail_is_not_judged_by_it() -> None:
    wave = AWAKE.copy()
    wave[40 * RATE : 60 * RATE] = 1600.0
    found = verdicts(wave)
    assert None not in found[42:60] and not any(found[61:])


def test_a_few_missing_samples_change_no_verdict() -> None:
    wave = AWAKE + MUSCLE * only(*SPANS)
    before = verdicts(wave)
    wave[[3110, 3111, 4520, 4521, 7090]] = np.nan
    assert verdicts(wave) == before


def test_band_power_is_that_of_the_signal_before_it_came_to_the_grid() -> None:
    """1 µV²/Hz within the band is 0 dB, whatever line lies beneath; nothing is nothing."""
    _, grid = resample(band(0.5, 120.0, np.sqrt(119.5), rate=250).astype(np.float32), 250.0)
    epochs = grid[: 100 * RATE].reshape(-1, 2 * RATE) + 3.0 * np.arange(2 * RATE)
    for low, high in ((8.0, 20.0), (30.0, 40.0)):
        powers = [10 ** (band_power_db(epoch, (low, high))[0] / 10) for epoch in epochs]
        assert np.mean(powers) == pytest.approx(1.0, rel=0.12)
    assert band_power_db(np.zeros(200), (1.0, 2.0)) == [-100.0]


def test_suppressed_samples() -> None:
    x = np.full(1000, 50.0)
    x[::2] = -50.0
    x[300:400] = 5.0
    x[600:640] = 5.0  # too short
    x[800:860] = np.nan
    assert np.flatnonzero(is_suppressed(x)).tolist() == list(range(300, 400))
    assert not is_suppressed(x[:20]).any()
