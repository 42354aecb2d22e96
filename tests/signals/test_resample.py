"""The resampler: frequency response, delay, gaps, and independence of chunking."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.errors import BadInput
from models.signals.resample import GRID_STEP_NS, Resampler, frequency_response, resample

RATES = (62.5, 100.0, 123.4, 125.0, 128.0, 240.0, 250.0, 500.0, 1000.0, 5000.0)
PHASES = tuple(np.arange(8) / 8)


@pytest.mark.parametrize("rate", (125.0, 128.0, 250.0, 500.0, 1000.0))
def test_frequency_response_holds_what_the_documentation_says(rate: float) -> None:
    def gains(frequencies: list[float]) -> np.ndarray:
        return np.array([frequency_response(rate, frequencies, phase) for phase in PHASES])

    assert np.allclose(gains([0.0]), 1.0, atol=1e-12)
    assert gains([10.0]).min() >= 0.95 and gains([10.0]).max() <= 1.005
    assert gains([20.0]).min() >= 0.84 and gains([20.0]).max() <= 1.005
    assert gains([40.0]).min() >= 0.46 and gains([40.0]).max() <= 0.53
    assert gains([50.0]).max() <= 0.28
    if rate >= 250.0:
        assert gains([60.0]).max() <= 0.08
        assert gains(list(np.arange(70.0, 125.0, 1.0))).max() <= 0.035


@pytest.mark.parametrize("rate", RATES)
def test_sine_keeps_amplitude_and_time_at_every_rate(rate: float) -> None:
    origin_ns = 3_333_333
    t = origin_ns * 1e-9 + np.arange(int(6 * rate)) / rate
    first_g, out = resample(np.sin(2 * np.pi * 1.7 * t).astype(np.float32), rate, origin_ns)
    grid_t = (first_g + np.arange(len(out))) / 100
    inner = slice(10, -10)
    error = out[inner] - np.sin(2 * np.pi * 1.7 * grid_t[inner])
    assert np.abs(error).max() < (0.01 if rate >= 100 else 0.03)


@pytest.mark.parametrize("rate", RATES)
def test_step_crosses_half_at_its_own_time(rate: float) -> None:
    """All modalities have the same delay, none: a step at 1.005 s stands between grid samples 100 and 101."""
    t = np.arange(int(2 * rate)) / rate
    # A ramp of one native sample centred on the step, as an ideal sampler at any rate would give on average.
    wave = np.clip((t - 1.005) * rate + 0.5, 0.0, 1.0)
    first_g, out = resample(wave.astype(np.float32), rate)
    above = int(np.argmax(out >= 0.5))
    crossing = first_g + above - 1 + (0.5 - out[above - 1]) / (out[above] - out[above - 1])
    assert crossing == pytest.approx(100.5, abs=0.12)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("level", (-16.8, 0.1, 87.3))
def test_constant_stays_exactly_constant(rate: float, level: float) -> None:
    _, out = resample(np.full(int(2 * rate), level, np.float32), rate)
    assert np.unique(out).tolist() == [np.float32(level)]


@given(
    rate=st.sampled_from(RATES),
    origin_ns=st.integers(-50_000_000, 50_000_000),
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 299), max_size=6),
    missing=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 60)), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_any_cut_of_grid_and_native_gives_the_same_bits(
    rate: float, origin_ns: int, seed: int, cuts: list[int], missing: list[tuple[int, int]]
) -> None:
    native = np.random.default_rng(seed).normal(size=int(3.2 * rate)).astype(np.float32)
    for start, length in missing:
        native[start : start + length] = np.nan
    resampler = Resampler(rate, origin_ns)
    whole = resampler(native, 0, 0, 300)
    edges = [0, *sorted(set(cuts)), 300]
    for first_g, last_g in itertools.pairwise(edges):
        lo, hi = resampler.native_range(first_g, last_g)
        lo, hi = max(lo, 0), min(hi, len(native))
        part = resampler(native[lo:hi], lo, first_g, last_g)
        assert part.tobytes() == whole[first_g:last_g].tobytes()


@given(rate=st.sampled_from(RATES), index=st.integers(0, 5000), origin_ns=st.integers(-(10**8), 10**8))
@settings(max_examples=100, deadline=None)
def test_a_sample_touches_exactly_the_grid_that_first_grid_says(rate: float, index: int, origin_ns: int) -> None:
    resampler = Resampler(rate, origin_ns)
    first = max(index - int(rate), 0)
    base = np.zeros(int(2 * rate) + 2, np.float32)
    other = base.copy()
    other[index - first] = 1e6
    first_g = resampler.first_grid(index)
    before = first_g - 30, first_g
    assert not resampler(other, first, *before)[~np.isnan(resampler(base, first, *before))].any()
    # The look-ahead is enough: what comes after it does not matter.
    g = -(-(resampler.time_ns(index) + resampler.look_ahead_ns) // GRID_STEP_NS)
    assert not np.nan_to_num(resampler(other, first, g, g + 30)).any()


def test_missing_nearest_sample_is_missing_and_neighbours_are_renormalised() -> None:
    native = np.full(1000, 5.0, np.float32)
    native[500] = np.nan  # at 1.000 s exactly
    out = Resampler(500.0)(native, 0, 90, 110)
    assert np.isnan(out[10]) and np.isnan(out).sum() == 1
    assert np.allclose(out[~np.isnan(out)], 5.0, rtol=1e-6)


def test_nothing_is_bridged_or_extrapolated() -> None:
    native = np.ones(250, np.float32)
    native[100:150] = np.nan  # 0.800 … 1.192 s at 125 Hz
    out = Resampler(125.0)(native, 0, -50, 300)
    t = np.arange(-50, 300) / 100
    assert np.isnan(out[(t > 0.8) & (t < 1.195)]).all()
    assert np.isfinite(out[(t >= 0) & (t < 0.79)]).all() and np.isfinite(out[(t > 1.21) & (t < 1.99)]).all()
    assert np.isnan(out[(t < -0.005) | (t > 2.0)]).all()


def test_slow_channels_are_interpolated_not_torn() -> None:
    t = np.arange(300) / 25.0
    _, out = resample(np.sin(2 * np.pi * 0.25 * t).astype(np.float32), 25.0)
    assert np.isfinite(out).all()
    assert Resampler(25.0).look_ahead_ns == 50_000_000
    assert Resampler(125.0).look_ahead_ns == Resampler(500.0).look_ahead_ns == 20_000_000


@pytest.mark.parametrize("rate", (0.0, -5.0, float("nan"), float("inf"), 1e9))
def test_unusable_rate_says_so(rate: float) -> None:
    with pytest.raises(BadInput, match="sampling rate of 4 to 100000 Hz"):
        Resampler(rate)


def test_a_day_of_samples_lands_where_it_should() -> None:
    """float64 positions do not drift: an origin a day later gives the same samples to 1e-4 of a sample period."""
    native = np.random.default_rng(1).normal(size=2000).astype(np.float32)
    day = 86_400
    near = Resampler(500.0)(native, 0, 0, 300)
    far = Resampler(500.0)(native, day * 500, day * 100, day * 100 + 300)
    assert near.tobytes() == far.tobytes()
