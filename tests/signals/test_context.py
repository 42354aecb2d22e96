"""The memory of a bed: golden levels and delays, freezing while absent, taking back and doing again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.context import (
    KEPT_S,
    ContextMemory,
    delay_slope,
    median_and_iqr,
    pressure_level,
)
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

M = Modality
ROWS = (M.ECG, M.ABP, M.PPG, M.EEG)
COLUMN = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


class Bed:
    """A bed with regular beats: ECG, ABP 0.2 s and PPG ``delay(t)`` seconds later, MAP ``level(t)``."""

    def __init__(self, seconds: int, rr: float = 0.8, level=lambda t: 80.0 + 0.0 * t, delay=lambda t: 0.3 + 0.0 * t):
        t = np.arange(seconds * 100) / 100
        self.r = np.arange(0.05, seconds, rr)
        self.pulses = {M.ECG: self.r, M.ABP: self.r + 0.2, M.PPG: self.r + delay(self.r)}
        phase = ((t - 0.25) % rr) / rr
        self.waves = {
            M.ECG: np.where(phase < 0.05, 1.0, 0.0),
            M.ABP: level(t) + 20.0 * np.sin(2 * np.pi * phase),
            M.PPG: 5.0 + np.sin(2 * np.pi * phase),
            M.EEG: np.sin(2 * np.pi * 9.7 * t) * 20.0,
        }
        self.present = {m: np.ones(seconds, dtype=bool) for m in ROWS}
        self.memory = ContextMemory(ROWS)

    def grid(self, modality: Modality, first_g: int, last_g: int) -> np.ndarray:
        out = np.full(last_g - first_g, np.nan, np.float32)
        lo = max(first_g, 0)
        out[lo - first_g :] = self.waves[modality][lo:last_g]
        cells = np.repeat(self.present[modality], 100)[lo:last_g]
        out[lo - first_g :][~cells] = -1e30  # what lies under an absent cell must never be used
        return out

    def add(self, second: int) -> None:
        present = {
            m: np.concatenate([np.zeros(60, dtype=bool), p])[second + 1 : second + 61] for m, p in self.present.items()
        }
        beats = {
            m: p[(p >= second - 9) & (p < second + 1)]
            if self.present[m][max(second - 9, 0) : second + 1].any()
            else p[:0]
            for m, p in self.pulses.items()
        }
        self.memory.add(present, beats, self.grid)

    def run(self, first: int, last: int) -> np.ndarray:
        for second in range(first, last):
            self.add(second)
        return self.memory.at(last)


def test_golden_context_of_a_steady_bed() -> None:
    context = Bed(100).run(0, 100)
    ecg, abp, ppg, eeg = (dict(zip(CONTEXT_FIELDS, row, strict=True)) for row in context.astype(float))
    assert abp["level"] == pytest.approx(80.0, abs=0.3)
    assert abp["scale"] == pytest.approx(40.0, abs=0.5)
    assert ppg["level"] == pytest.approx(5.0, abs=0.1) and ppg["scale"] == pytest.approx(np.sqrt(2), abs=0.1)
    assert eeg["scale"] == pytest.approx(20.0 * np.sqrt(2), abs=1.0)
    for row in (ecg, abp, ppg, eeg):
        assert row["age_s"] == 0.0
        for mean in ("mean_60s", "mean_300s", "mean_600s"):
            assert row[mean] == pytest.approx(row["level"], abs=0.3)
        assert row["ppg_delay_s"] == pytest.approx(0.3, abs=1e-6)
    assert abp["own_delay_s"] == pytest.approx(0.2, abs=1e-6)
    assert ppg["own_delay_s"] == pytest.approx(0.3, abs=1e-6)
    assert np.isnan(ecg["own_delay_s"]) and np.isnan(eeg["own_delay_s"])
    assert abp["delay_slope"] == pytest.approx(0.0, abs=1.0) and np.isnan(ppg["delay_slope"])


def test_nothing_known_is_all_nan() -> None:
    bed = Bed(5)
    for present in bed.present.values():
        present[:] = False
    assert np.isnan(bed.run(0, 5)).all()
    assert np.isnan(ContextMemory(ROWS, start_s=1000).at(1000)).all()


def test_means_cover_one_five_and_ten_minutes() -> None:
    context = Bed(700, level=lambda t: 60.0 + 0.05 * t).run(0, 700).astype(float)
    abp = context[1]
    now = 60.0 + 0.05 * 700
    # The level of a cell lags by half of its five seconds.
    assert abp[COLUMN["mean_60s"]] == pytest.approx(now - 0.05 * (30 + 2.5), abs=0.2)
    assert abp[COLUMN["mean_300s"]] == pytest.approx(now - 0.05 * (150 + 2.5), abs=0.2)
    assert abp[COLUMN["mean_600s"]] == pytest.approx(now - 0.05 * (300 + 2.5), abs=0.2)


def test_absent_row_stays_and_ages() -> None:
    bed = Bed(900, level=lambda t: 60.0 + 0.05 * t)
    bed.present[M.ABP][200:850] = False
    before = bed.run(0, 200)
    for second in range(200, 850):
        bed.add(second)
        context = bed.memory.at(second + 1)
        expected = before[1].copy()
        expected[COLUMN["age_s"]] = second + 1 - 200
        np.testing.assert_array_equal(context[1], expected)
        assert (context[[0, 2, 3], COLUMN["age_s"]] == 0).all()
    after = bed.run(850, 851)
    assert after[1, COLUMN["age_s"]] == 0.0
    # Its last minutes hold only what was measured: one cell in ten minutes but for the old ones.
    assert after[1, COLUMN["mean_60s"]] == after[1, COLUMN["level"]] == pytest.approx(102.5, abs=15)


def test_delay_needs_both_sensors_now() -> None:
    bed = Bed(60, delay=lambda t: 0.3 + 0.002 * t)
    bed.present[M.ECG][30:] = False
    bed.present[M.PPG][40:] = False
    at_30 = bed.run(0, 30)
    at_60 = bed.run(30, 60)
    assert at_60[2, COLUMN["own_delay_s"]] == at_30[2, COLUMN["own_delay_s"]]
    assert at_60[1, COLUMN["ppg_delay_s"]] == at_30[1, COLUMN["ppg_delay_s"]]


@given(
    gaps=st.lists(st.tuples(st.sampled_from(ROWS), st.integers(0, 59), st.integers(1, 20)), max_size=6),
    redo=st.lists(st.tuples(st.integers(5, 59), st.integers(1, 15)), max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_taking_back_and_doing_again_gives_the_same_bits(
    gaps: list[tuple[Modality, int, int]], redo: list[tuple[int, int]]
) -> None:
    straight, back = Bed(60), Bed(60)
    for bed in (straight, back):
        for modality, start, length in gaps:
            bed.present[modality][start : start + length] = False
    straight.run(0, 60)
    again = dict(redo)
    second = 0
    while second < 60:
        back.add(second)
        second += 1
        length = again.pop(second, 0)
        if length:
            second = max(second - length, 0)
            back.memory.forget(second)
    assert straight.memory.at(60).tobytes() == back.memory.at(60).tobytes()


def test_old_cells_cannot_be_taken_back() -> None:
    bed = Bed(60)
    bed.run(0, 60)
    bed.memory.forget(60)
    with pytest.raises(ValueError, match="too old"):
        bed.memory.forget(20)


def test_memory_is_bounded_over_hours() -> None:
    memory = ContextMemory((M.EEG,))
    present = {M.EEG: np.ones(60, dtype=bool)}
    wave = np.ones(1000, np.float32)
    for _ in range(5000):
        memory.add(present, {M.EEG: np.empty(0)}, lambda m, a, b: wave[: b - a])
    assert len(memory._rows) <= KEPT_S + 1 >= len(memory._heard) and memory._level.shape[1] == 1200
    assert memory.at(5000)[0, COLUMN["mean_600s"]] == 1.0


def test_delays_of_another_pairing_are_not_compared() -> None:
    """The oximeter's delay jumps while the pressure is away: what it was when the pressure was lost is void."""
    bed = Bed(200)
    bed.pulses[M.PPG] = np.where(bed.r < 80, bed.r + 0.3, bed.r + 0.6)
    bed.present[M.ABP][70:] = False
    before = bed.run(0, 80)
    assert before[1, COLUMN["ppg_delay_s"]] == pytest.approx(0.3, abs=1e-6)
    after = bed.run(80, 200)
    assert after[2, COLUMN["own_delay_s"]] == pytest.approx(0.6, abs=1e-6)
    assert np.isnan(after[1, COLUMN["ppg_delay_s"]])
    assert after[1, COLUMN["own_delay_s"]] == pytest.approx(0.2, abs=1e-6)


def test_slope_is_shrunk_towards_hold() -> None:
    rng = np.random.default_rng(2)
    delays = 0.3 + np.concatenate([np.full(50, np.nan), 0.05 * np.sin(np.arange(550) / 80)])
    levels = 80.0 - 200.0 * (delays - 0.3) + rng.standard_normal(600)
    assert delay_slope(delays, levels) == pytest.approx(-200.0, rel=0.05)
    still = 0.3 + 0.001 * rng.standard_normal(600)
    assert abs(delay_slope(still, 80.0 + rng.standard_normal(600))) < 20.0
    assert np.isnan(delay_slope(delays[:79], levels[:79]))


def test_pressure_of_whole_beats() -> None:
    t = np.arange(500) / 100
    wave = (70.0 + 20.0 * np.sin(2 * np.pi * t / 1.1)).astype(np.float32)
    upstrokes = np.arange(0.0, 5.0, 1.1)
    mean, pulse_pressure = pressure_level(wave, upstrokes, 0)
    assert mean == pytest.approx(70.0, abs=0.1) and pulse_pressure == pytest.approx(40.0, abs=0.1)
    mean, pulse_pressure = pressure_level(wave[:40], np.array([0.1]), 0)  # no whole beat: what there is
    assert mean == pytest.approx(float(wave[:40].mean()), abs=1e-4)
    assert np.isnan(pressure_level(np.full(100, np.nan, np.float32), None, 0)).all()


def test_quartiles_ignore_what_is_missing() -> None:
    values = np.arange(101, dtype=np.float32)
    mixed = np.concatenate([np.full(50, np.nan), np.random.default_rng(0).permutation(values)]).astype(np.float32)
    assert median_and_iqr(mixed) == (50.0, 50.0)
    assert np.isnan(median_and_iqr(np.full(5, np.nan, np.float32))).all()
