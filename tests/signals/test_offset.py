"""Offset is no fault: a recording coupled to direct current says what it says without its offset, and bad news too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.findings import Rhythm
from models.signals.modalities import Modality
from models.signals.offset import REACH, OffsetTrack
from models.signals.pipeline import BedPipeline, Cell, Chunk
from models.signals.windows import Window, WindowSpec
from tests.signals.waves import beat_times, brain, ecg

M = Modality
NS = 1_000_000_000
RATE = 100.0


def run(
    modality: Modality, wave: np.ndarray, step_s: float = 1.0
) -> tuple[list[Cell], list[Absence | None], list[Window]]:
    """Cells, states at the end of each push, and windows of one channel at 100 Hz."""
    pipeline = BedPipeline(WindowSpec(), {modality})
    cells: list[Cell] = []
    states: list[Absence | None] = []
    windows: list[Window] = []
    values = wave.astype(np.float32)
    for k in range(round(len(wave) / RATE / step_s)):
        lo, hi = round(k * step_s * RATE), round((k + 1) * step_s * RATE)
        chunk = Chunk(modality, RATE, 0, lo, values[lo:hi])
        out = pipeline.push([chunk], round(k * step_s * NS), round((k + 1) * step_s * NS))
        cells += out.cells
        windows += out.windows
        states.append(out.states[modality])
    return cells + pipeline.finish(round(len(wave) / RATE) * NS).cells, states, windows


def absences(modality: Modality, wave: np.ndarray) -> list[Absence | None]:
    return [cell.absence[modality] for cell in run(modality, wave)[0]]


ECG = ecg(beat_times(70, 60), 60, noise=0.01)
EEG = brain(60, 20.0)
T = np.arange(6000) / RATE


@pytest.mark.parametrize("drift_per_s", (0.0, 0.05, -0.3))
@pytest.mark.parametrize("offset", (-300.0, -9.0, -4.6, 3.0, 5.0, 25.0, 187.0))
def test_ecg_at_any_offset_is_present_from_its_first_second(offset: float, drift_per_s: float) -> None:
    cells, states, _ = run(M.ECG, ECG + offset + drift_per_s * T)
    assert [c.absence[M.ECG] for c in cells] == [None] * 60 and states == [None] * 60
    assert [c.findings.rhythm for c in cells[5:]] == [Rhythm.BEATS] * 55


@pytest.mark.parametrize("drift_per_s", (0.0, 3.0, -40.0))
@pytest.mark.parametrize("offset", (-175_000.0, -5000.0, 290.0, 900.0, 1990.0, 2100.0))
def test_eeg_at_any_offset_is_present_from_its_first_second(offset: float, drift_per_s: float) -> None:
    cells, states, _ = run(M.EEG, EEG + offset + drift_per_s * T)
    assert [c.absence[M.EEG] for c in cells] == [None] * 60 and states == [None] * 60


@pytest.mark.parametrize(("modality", "wave", "offset"), ((M.ECG, ECG, 11.0), (M.EEG, EEG, -9000.0)))
def test_a_model_reads_the_wave_and_not_the_offset(modality: Modality, wave: np.ndarray, offset: float) -> None:
    plain, shifted = run(modality, wave)[2][-1], run(modality, wave + offset)[2][-1]
    row = WindowSpec().modalities.index(modality)
    assert np.array_equal(plain.cells, shifted.cells)
    # Both from their own zero: an AC-coupled channel's is 0, the other's the median of its newest second.
    difference = shifted.signals[row] - plain.signals[row]
    scale = float(np.ptp(wave))
    assert float(np.ptp(difference)) < 1e-3 * scale and abs(float(difference.mean())) < 0.5 * scale
    assert np.nanmax(np.abs(shifted.context[row, :2] - plain.context[row, :2])) < 0.5 * scale


def test_without_an_offset_a_window_holds_the_samples_themselves() -> None:
    window = run(M.ECG, ECG)[2][-1]
    row = WindowSpec().modalities.index(M.ECG)
    assert abs(float(np.median(window.signals[row]))) < 0.5
    wandering = run(M.ECG, ECG + 1.9)[2][-1]
    assert float(np.median(wandering.signals[row])) > 1.5  # no more than an AC-coupled amplifier shows


STILL = 0.01 * np.random.default_rng(2).standard_normal(6000)
SHAKING = 0.5 * np.sin(2 * np.pi * 5 * T + 2 * np.sin(2 * np.pi * 0.7 * T)) + STILL
NOISE = np.random.default_rng(4).standard_normal(6000)


def told(wave: np.ndarray) -> list[tuple[Absence | None, Rhythm]]:
    return [(c.absence[M.ECG], c.findings.rhythm) for c in run(M.ECG, wave)[0]]


@pytest.mark.parametrize("offset", (6.0, -40.0))
@pytest.mark.parametrize(
    ("wave", "rhythm"),
    (
        (np.where(T < 25, ECG, STILL), Rhythm.STILL),
        (STILL, Rhythm.STILL),
        (np.where(T < 25, ECG, SHAKING), Rhythm.FIBRILLATION),
        (SHAKING, Rhythm.FIBRILLATION),
        (np.where(T < 25, ECG, 0.0), Rhythm.STILL),
    ),
    ids=("asystole", "asystole from the start", "fibrillation", "fibrillation from the start", "a flat line"),
)
def test_bad_news_is_told_at_any_offset(wave: np.ndarray, rhythm: Rhythm, offset: float) -> None:
    """An offset must not make of it a lead that is off."""
    plain = told(wave)
    assert told(wave + offset) == plain
    assert [r for _, r in plain[35:]].count(rhythm) >= 20


@pytest.mark.parametrize("offset", (0.0, 6.0, -40.0))
@pytest.mark.parametrize("noise_mv", (0.0, 0.05))
def test_a_lead_that_comes_off_is_off_and_back_at_once(offset: float, noise_mv: float) -> None:
    """It leaves its zero for a rail, with or without noise there; what comes back to where it was is measured."""
    off = (T >= 20) & (T < 40)
    cells, states, _ = run(M.ECG, np.where(off, 5.0 + noise_mv * NOISE, ECG) + offset, 0.5)
    found = [c.absence[M.ECG] for c in cells]
    assert found[21:39] == [Absence.LEAD_OFF] * 18  # a grid sample at the step itself lies between
    assert {c.findings.rhythm for c in cells[21:39]} == {Rhythm.UNKNOWN}
    assert found[:20] == [None] * 20 and found[42:] == [None] * 18
    assert states[42:80] == [Absence.LEAD_OFF] * 38 and states[83:] == [None] * 37


def test_an_electrode_that_settles_elsewhere_is_measured_again() -> None:
    jumped = ECG + np.where(T < 20, 0.0, 9.0)
    found = absences(M.ECG, jumped)
    assert found[:20] == [None] * 20 and Absence.LEAD_OFF in found[20:28] and found[30:] == [None] * 30
    found = absences(M.EEG, EEG + np.where(T < 20, 0.0, 700.0))
    assert found[21:29] == [Absence.LEAD_OFF] * 8 and found[32:] == [None] * 28


def test_a_rail_from_the_first_second_is_no_zero() -> None:
    assert set(absences(M.ECG, np.full(1000, 5.0))) <= {Absence.LEAD_OFF, Absence.FLAT}
    assert run(M.ECG, np.full(1000, 5.0))[1][1:] == [Absence.LEAD_OFF] * 9
    hum = 900.0 * np.sin(2 * np.pi * 11 * T) + 700.0
    assert None not in absences(M.EEG, hum)
    back = np.where(T < 20, hum, EEG)
    assert absences(M.EEG, back)[22:] == [None] * 38


@given(
    levels=st.lists(st.sampled_from([0.0, 1.0, 3.0, 9.0, -9.0, 200.0]), min_size=2, max_size=40),
    alive=st.lists(st.booleans(), min_size=40, max_size=40),
    back=st.integers(1, 10),
)
@settings(max_examples=100, deadline=None)
def test_taking_back_cells_and_doing_them_again_changes_nothing(
    levels: list[float], alive: list[bool], back: int
) -> None:
    once, twice = OffsetTrack(REACH[M.ECG]), OffsetTrack(REACH[M.ECG])

    def feed(track: OffsetTrack, first: int) -> None:
        for second in range(first, len(levels)):
            live = alive[second]
            track.follow(second, levels[second], alive=live, sure=live, first=True)

    feed(once, 0)
    feed(twice, 0)
    again = max(0, len(levels) - back)
    twice.forget(again)
    feed(twice, again)
    last = len(levels) - 1
    assert [once.at(last, level) for level in levels] == [twice.at(last, level) for level in levels]
