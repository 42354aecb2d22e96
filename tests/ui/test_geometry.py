"""Where things lie: paper, rows, play-out, scales, points. Pure functions with known answers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.modalities import Modality
from ui.bed.playout import PlayoutClock
from ui.style.theme import default_theme
from ui.style.words import sweep_words
from ui.waves.geometry import Paper, rows, screen_scale
from ui.waves.polyline import envelope, lines, runs
from ui.waves.scales import LaneScale, pressure_scale

LANES = default_theme().lanes


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("device_dpi", [72.0, 96.0, 163.0, 282.0])
def test_25_mm_a_second_is_true_to_the_screen_at_any_scale(device_dpi: float, ratio: float) -> None:
    """Qt says logical pixels an inch: a screen of 96 at scale 2 says 48, which no screen has, and is believed."""
    scale = screen_scale(device_dpi / ratio, ratio, (60, 400), 96)
    assert scale.known
    assert 25 * scale.px_per_mm * 25.4 / device_dpi == pytest.approx(25)


@pytest.mark.parametrize("said", [0.0, 5000.0, float("nan"), float("inf")])
def test_a_size_that_cannot_be_true_is_not_claimed(said: float) -> None:
    scale = screen_scale(said, 1.5, (60, 400), 96)
    assert not scale.known and scale.px_per_mm == pytest.approx(144 / 25.4)
    assert sweep_words(25.0, scale.known) == "about 25 mm/s, size of the screen unknown"
    assert sweep_words(12.5, True) == "12.5 mm/s"


@given(st.integers(0, 5000), st.integers(0, 3000))
def test_pieces_cover_each_column_once(begin: int, length: int) -> None:
    paper = Paper(700, 94.5, 14, 0.0)
    seen = [s * 700 + x + k for s, x, w in paper.pieces(begin, begin + length) for k in range(w)]
    assert seen == list(range(begin, begin + length))
    assert all(x >= 0 and x + w <= 700 for _, x, w in paper.pieces(begin, begin + length))


def test_the_pointer_reads_this_sweep_left_of_the_beam_and_the_last_one_right_of_the_gap() -> None:
    paper = Paper(1000, 100.0, 20, 50.0)
    beam = 1300.0
    assert paper.time_at(100, beam) == pytest.approx(50 + 11.0)
    assert paper.time_at(310, beam) is None
    assert paper.time_at(400, beam) == pytest.approx(50 + 4.0)
    assert paper.time_at(400, 300.0) is None


@given(st.integers(200, 3000), st.lists(st.floats(0.3, 2.0), min_size=1, max_size=8))
def test_rows_share_the_height_without_overlap(height: int, weights: list[float]) -> None:
    made = rows(height, weights, 1.0)
    assert made[0].top == 0
    assert all(a.top + a.height == b.top for a, b in itertools.pairwise(made))
    assert abs(made[-1].top + made[-1].height - height) <= 1
    for row in made:
        assert row.top <= row.wave_top and row.wave_height >= 1


def play(
    clock: PlayoutClock, jitter: list[float], speed: float = 1.0, seconds: float = 4.0
) -> list[tuple[float, float]]:
    """60 frames a second beside ticks of 50 ms that arrive late by ``jitter``; (frame time, beam)."""
    arrivals = [((k + 1) * 0.05 / speed + jitter[k % len(jitter)], k) for k in range(int(seconds / 0.05 * speed))]
    arrivals.sort()
    out = []
    for frame in range(int(seconds * 60)):
        now = frame / 60
        while arrivals and arrivals[0][0] <= now:
            at, k = arrivals.pop(0)
            clock.tick(k * 0.05, (k + 1) * 0.05, max(at, now))
        beam = clock.advance(now, speed)
        if beam is not None:
            out.append((now, beam))
    return out


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.02), min_size=1, max_size=7), st.sampled_from([0.25, 1.0, 2.0, 10.0]))
def test_the_beam_runs_smoothly_behind_the_newest_tick(jitter: list[float], speed: float) -> None:
    track = [(now, beam) for now, beam in play(PlayoutClock(0.02), jitter, speed) if now > 1.5]
    steps = np.diff([beam for _, beam in track])
    assert np.all(steps >= 0)
    assert np.max(steps) < 2.2 * speed / 60
    behind = [now * speed - beam for now, beam in track]
    assert min(behind) >= 0 and max(behind) < 0.05 + speed * (0.02 + 0.05 + 1 / 60) + 0.03


def test_the_beam_waits_when_the_stream_stalls_and_catches_up_after() -> None:
    clock = PlayoutClock(0.02)
    play(clock, [0.0], seconds=2.0)
    newest = clock.newest_s
    assert clock.advance(5.0, 1.0) == pytest.approx(newest)
    assert clock.advance(6.0, 1.0) == pytest.approx(newest)
    clock.tick(newest, newest + 0.05, 6.0)
    after = clock.advance(6.001, 1.0)
    assert after is not None and newest <= after <= newest + 0.05
    assert clock.source_now(8.0, 0.0) == pytest.approx(newest + 0.05 + 2.0)
    assert clock.source_now(8.0, 7.5) == pytest.approx(newest + 0.05 + 0.5), "a pause makes nothing older"
    assert clock.source_now(8.0, None) == pytest.approx(newest + 0.05)


def test_the_beam_never_moves_back_not_even_after_a_slow_frame() -> None:
    clock = PlayoutClock(0.02)
    play(clock, [0.0], seconds=2.0)
    newest = clock.newest_s
    assert clock.advance(5.0, 1.0) == pytest.approx(newest)
    clock.tick(newest, newest + 0.01, 6.0)
    assert clock.advance(6.0, 1.0) >= newest


def test_as_fast_as_possible_stands_at_the_newest_sample() -> None:
    clock = PlayoutClock(0.02)
    assert clock.advance(0.0, None) is None
    clock.tick(0.0, 30.0, 0.0)
    assert clock.advance(0.01, None) == 30.0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.floats(0.02, 3.0), st.sets(st.integers(0, 399)))
def test_the_envelope_keeps_the_extremes_and_the_breaks(n: int, step: float, missing: set[int]) -> None:
    rng = np.random.default_rng(n)
    columns, values = np.arange(n) * step, rng.normal(size=n)
    values[[i for i in missing if i < n]] = np.nan
    x, y = envelope(columns, values)
    for column in np.unique(np.floor(columns)):
        mine, drawn = values[np.floor(columns) == column], y[np.floor(x) == column]
        if np.isfinite(mine).any():
            assert np.nanmin(drawn) == np.nanmin(mine) and np.nanmax(drawn) == np.nanmax(mine)
        else:
            assert not np.isfinite(drawn).any()
        assert np.isnan(drawn).any() == np.isnan(mine).any()


def test_lines_break_at_every_missing_sample() -> None:
    values = np.array([1.0, 2.0, np.nan, 3.0, np.nan, 4.0, 5.0])
    found = lines(np.arange(7) * 2.0, values)
    assert [part[:, 1].tolist() for part in found] == [[1.0, 2.0], [3.0], [4.0, 5.0]]
    dense = lines(np.arange(1000) / 50.0, np.where(np.arange(1000) < 500, 1.0, np.nan))
    assert len(dense) == 1 and dense[0][-1, 0] < 11
    assert lines(np.arange(3.0), np.full(3, np.nan)) == []
    assert runs(np.array([False, True, True, False, True])) == [(1, 3), (4, 5)]


@given(st.floats(-40, 250), st.floats(1, 150))
def test_the_pressure_scale_holds_the_signal_with_room_for_words(low: float, extent: float) -> None:
    scale = pressure_scale(low, low + extent)
    assert scale.low < low and scale.high > low + extent
    assert scale.low % 10 == 0 and scale.high % 10 == 0
    assert all(scale.low < tick < scale.high for tick in scale.ticks)


def test_one_millivolt_is_ten_millimetres() -> None:
    scale = LaneScale(LANES[Modality.ECG], height_mm=30.0)
    assert scale.scale.high - scale.scale.low == pytest.approx(3.0)
    assert scale.scale.caption == "×1"
    assert scale.choose(1) and scale.scale.caption == "×2"
    assert scale.scale.high - scale.scale.low == pytest.approx(1.5)
    assert not scale.observe((-9.0, 9.0), 100.0)


def test_scales_widen_at_once_and_narrow_only_after_a_while() -> None:
    scale = LaneScale(LANES[Modality.ABP], height_mm=30.0)
    assert scale.observe((60.0, 120.0), 0.0)
    first = scale.scale
    assert not scale.observe((62.0, 118.0), 1.0)
    assert scale.observe((60.0, 180.0), 2.0)
    assert scale.scale.high > 180
    for second in range(3, 10):
        assert not scale.observe((90.0, 120.0), float(second))
    assert scale.observe((60.0, 170.0), 20.0) is False
    assert scale.observe((90.0, 120.0), 30.0) is False
    assert scale.observe((90.0, 120.0), 39.0)
    assert scale.scale.high < first.high + 30


def test_the_eeg_sensitivity_is_one_of_the_listed_and_the_operators_word_is_final() -> None:
    scale = LaneScale(LANES[Modality.EEG], height_mm=30.0)
    scale.observe((-300.0, 300.0), 0.0)
    assert scale.scale.caption == "200 µV/cm"
    for second in range(1, 12):
        scale.observe((-30.0, 30.0), float(second))
    assert scale.scale.caption == "30 µV/cm"
    scale.choose(-1)
    assert scale.scale.caption == "20 µV/cm"
    assert not scale.observe((-300.0, 300.0), 40.0)


def test_y_maps_high_to_the_top() -> None:
    scale = pressure_scale(40, 120)
    assert scale.y(scale.high, 10, 100) == 10
    assert scale.y(scale.low, 10, 100) == 110
    assert math.isclose(scale.y((scale.low + scale.high) / 2, 10, 100), 60)
