"""The sounds measured, sample by sample, against IEC 60601-1-8 (tables 3 and 4, whose bounds stand here once more)."""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from ui.sound.figures import default_figures, parse_figures
from ui.sound.tones import beat_pitch_hz, beat_samples, burst_samples

FIGURES = default_figures()
RATE = FIGURES.sample_rate_hz
TEXT = resources.files("ui.sound").joinpath("sounds.toml").read_text("utf-8")

PULSES = {"high": (10, 10), "medium": (3, 3), "low": (1, 2)}
DURATION_MS = {"high": (75, 200), "medium": (125, 250), "low": (125, 250)}
SPACING_MS = {"high": (50, 125), "medium": (125, 250), "low": (125, 250)}
INTERVAL_S = {"high": (2.5, 15), "medium": (2.5, 30), "low": (15, math.inf)}


class Measured:
    """Of a burst, by the mean square over one period of its lowest fundamental: times in ms at 10 and 90 % of each
    pulse's own height."""

    def __init__(self, samples: np.ndarray, fundamental_hz: float) -> None:
        period = round(RATE / fundamental_hz)
        padded = np.pad(samples.astype(float), period)
        power = np.convolve(padded**2, np.full(period, 1 / period), "same")
        height = np.sqrt(power)
        loud = height > 0.03 * height.max()
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
        ms = 1000.0 / RATE
        self.heights, self.rise_ms, self.fall_ms, self.pulses = [], [], [], []
        top = []
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            pulse = height[begin:end]
            full = np.median(pulse[pulse > 0.8 * pulse.max()])
            over10, over90 = np.flatnonzero(pulse > 0.1 * full), np.flatnonzero(pulse > 0.9 * full)
            self.heights.append(full)
            self.rise_ms.append((over90[0] - over10[0]) * ms)
            self.fall_ms.append((over10[-1] - over90[-1]) * ms)
            top.append(((begin + over90[0]) * ms, (begin + over90[-1]) * ms))
            self.pulses.append(samples[max(0, begin - period) : end - period])
        self.duration_ms = [b - a for a, b in top]
        self.spacing_ms = [after[0] - before[1] for before, after in pairwise(top)]


@cache
def measured(level: str) -> Measured:
    burst = FIGURES.burst[level]
    return Measured(burst_samples(burst, FIGURES), min(burst.pitches_hz))


def spectrum(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and levels in dB against the strongest."""
    size = 1 << 18
    found = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size))
    return np.fft.rfftfreq(size, 1 / RATE), 20 * np.log10(found / found.max() + 1e-12)


def peaks(samples: np.ndarray, least_db: float) -> dict[float, float]:
    """Level by frequency of every local maximum above ``least_db`` that is none of the window's."""
    hz, db = spectrum(samples)
    at = np.flatnonzero((db[1:-1] > db[:-2]) & (db[1:-1] >= db[2:]) & (db[1:-1] > least_db)) + 1
    return {float(hz[i]): float(db[i]) for i in at}


@pytest.mark.parametrize("level", ["high", "medium", "low"])
def test_a_burst_has_the_standards_pulses_and_times(level: str) -> None:
    found = measured(level)
    assert PULSES[level][0] <= len(found.pulses) <= PULSES[level][1]
    assert all(DURATION_MS[level][0] <= d <= DURATION_MS[level][1] for d in found.duration_ms)
    np.testing.assert_allclose(found.duration_ms, 1000 * FIGURES.burst[level].pulse_s, atol=4)
    assert INTERVAL_S[level][0] <= FIGURES.burst[level].interval_s <= INTERVAL_S[level][1]
    for rise, fall, duration in zip(found.rise_ms, found.fall_ms, found.duration_ms, strict=True):
        assert 0.10 * duration <= rise <= 0.20 * duration
        assert fall <= min(found.spacing_ms) - rise
    assert 20 * np.log10(max(found.heights) / min(found.heights)) <= 10
    if level != "high":
        assert all(SPACING_MS[level][0] <= gap <= SPACING_MS[level][1] for gap in found.spacing_ms)


def test_a_high_burst_is_three_and_two_twice() -> None:
    gaps, duration = measured("high").spacing_ms, np.mean(measured("high").duration_ms)
    x = [gaps[i] for i in (0, 1, 3, 5, 6, 8)]
    assert all(50 <= gap <= 125 for gap in x) and max(x) <= 1.05 * min(x)
    for after_third in (gaps[2], gaps[7]):
        assert after_third == pytest.approx(2 * np.mean(x) + duration, rel=0.05)
    assert 350 <= gaps[4] <= 1300


@pytest.mark.parametrize("level", ["high", "medium", "low"])
def test_every_pulse_has_its_fundamental_and_four_harmonics(level: str) -> None:
    for pulse in measured(level).pulses:
        found = peaks(pulse, -25.0)
        fundamental = min(found)
        assert 150 <= fundamental <= 1000
        harmonics = {
            round(hz / fundamental): db - found[fundamental]
            for hz, db in found.items()
            if 300 <= hz <= 4000 and hz > 1.5 * fundamental and abs(hz / fundamental - round(hz / fundamental)) < 0.03
        }
        assert sum(abs(db) <= 15 for db in harmonics.values()) >= 4, harmonics


def test_a_higher_priority_is_no_softer_and_no_sample_is_beyond_full_scale() -> None:
    level = {name: np.median(measured(name).heights) for name in ("low", "medium", "high")}
    assert level["low"] <= level["medium"] <= level["high"]
    for name in level:
        samples = burst_samples(FIGURES.burst[name], FIGURES)
        assert samples.dtype == np.float32 and np.abs(samples).max() <= 1.0
        assert abs(samples[0]) < 1e-3 and abs(samples[-1]) < 1e-2, "no click"


def test_the_levels_are_those_of_the_documentation() -> None:
    rows = (Path(__file__).parents[3] / "docs/sound.md").read_text("utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith("| root mean square"))
    for level, said in zip(("high", "medium", "low"), row.split("|")[3:6], strict=True):
        decibels = sorted({round(20 * np.log10(height), 1) for height in measured(level).heights}, reverse=True)
        assert said.strip() == ", ".join(f"−{-db}" for db in decibels) + " dB"


# The beat tone ----------------------------------------------------------------------------------------------------


def test_the_beat_tone_is_short_soft_nearly_pure_and_without_a_click() -> None:
    tone = beat_samples(FIGURES.beat.pitch_hz, FIGURES)
    assert len(tone) / RATE <= 0.15
    assert np.abs(tone).max() < 0.3 * np.abs(burst_samples(FIGURES.burst["low"], FIGURES)).max()
    assert abs(tone[0]) < 1e-3 and abs(tone[-1]) < 1e-3
    assert np.abs(np.diff(tone)).max() < 0.2 * np.abs(tone).max()
    found = peaks(tone, -15.0)
    assert min(found) == pytest.approx(FIGURES.beat.pitch_hz, rel=0.02) and len(found) <= 2, "no four harmonics"
    assert [round(beat_pitch_hz(percent, FIGURES.beat)) for percent in (100.0, 80.0)] == [660, 370], "docs/sound.md"


@given(st.floats(1, 100), st.floats(1, 100))
def test_the_pitch_falls_with_the_saturation_and_stays_what_can_be_heard(one: float, other: float) -> None:
    low, high = sorted((one, other))
    pitches = beat_pitch_hz(low, FIGURES.beat), beat_pitch_hz(high, FIGURES.beat)
    assert 150 <= pitches[0] <= pitches[1] <= 1000
    if low > 70 and high - low >= 1:
        assert pitches[1] / pitches[0] > 1.02, "a percent is heard"


def test_each_percent_is_the_same_step() -> None:
    pitches = np.array([beat_pitch_hz(float(percent), FIGURES.beat) for percent in range(75, 101)])
    steps = pitches[1:] / pitches[:-1]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf, 0.0, -3.0, 100.5, 127.0])
def test_no_saturation_sounds_like_none(unknown: float | None) -> None:
    """Not like a good one: its pitch is none that a saturation has."""
    pitch = beat_pitch_hz(unknown, FIGURES.beat)
    assert pitch > 1.1 * beat_pitch_hz(100.0, FIGURES.beat)


# The figures as data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("pulse_s = 0.140", "pulse_s = 0.210", "burst.high] pulse_s from 0.075 to 0.2"),
        ("pulse_s = 0.140", "pulse_s = nan", "found nan"),
        ("0.600, 0.090", "1.400, 0.090", "gap 5 from 0.35 to 1.3"),
        ("[0.090, 0.090, 0.320", "[0.090, 0.090, 0.090", "gap 3 from"),
        ("[0.090, 0.090, 0.320", "[0.090, 0.120, 0.320", "gaps_s from"),
        ("gaps_s = [0.180, 0.180]", "gaps_s = [0.180]", "burst.medium] pulses from 3 to 3"),
        ("interval_s = 5.0", "interval_s = 2.0", "interval_s from 2.5 to 15"),
        ("interval_s = 30.0", "interval_s = 10.0", "interval_s from 15 to inf"),
        ("rise_share = 0.15", "rise_share = 0.05", "rise_share from 0.1 to 0.2"),
        ("fall_share = 0.15", "fall_share = 0.60", "rise and fall within the gaps"),
        ("-5.0, -7.0, -9.0]", "-5.0]", "4 harmonics between 300 and 4000 Hz within 15 dB in [burst.low]"),
        ("-7.0, -9.0]", "-17.0, -19.0]", "4 harmonics"),
        ("[523.25]", "[1200.0]", "pitches_hz from 150 to 1000"),
        ("[523.25]", "[523.25, 523.25]", "one pitch in [burst.high], or one a pulse"),
        ("[burst.low]", "[burst.lower]", "bursts low, medium, high"),
        ("delay_s = 1.6", "", "`delay_s`"),
        ("pitch_hz = 800.0", "pich_hz = 800.0", "pich_hz"),
        ("duration_s = 0.060", "duration_s = 0.500", "[beat] duration_s from 0.02 to 0.15"),
        ("[beat]", "[beat", "the figures of every sound"),
    ],
)
def test_figures_outside_the_standard_are_refused_in_a_sentence(before: str, after: str, words: str) -> None:
    assert before in TEXT
    with pytest.raises(BadInput) as refused:
        parse_figures(TEXT.replace(before, after, 1))
    assert words in str(refused.value)
