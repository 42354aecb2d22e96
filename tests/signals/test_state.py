"""The state machine: each transition at its time, from samples alone, whatever the ticks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.absence import Absence
from models.signals.modalities import Modality
from models.signals.state import SensorState

M = Modality
RATE = 125.0
STEP_NS = 1e9 / RATE
TICK = 0.05


def course(
    modality: Modality, wave: np.ndarray, rate: float = RATE, cell: Absence | None = None, withheld: tuple = ()
) -> list[tuple[float, Absence | None]]:
    """(time, state) at each change, ticking every 50 ms; NaN samples are sent as NaN."""
    sensor, changes = SensorState(modality), []
    last: object = "none yet"
    for k in range(round(len(wave) / rate / TICK)):
        lo, hi = (int(np.ceil(t * TICK * rate - 1e-9)) for t in (k, k + 1))
        hidden = any(a <= k * TICK < b for a, b in withheld)
        sensor.update(wave[lo:hi].astype(np.float32), lo * 1e9 / rate, 1e9 / rate, hidden)
        state = sensor.at(round((k + 1) * TICK * 1e9), cell)
        if state != last:
            changes.append((round((k + 1) * TICK, 2), state))
            last = state
    return changes


def moving(seconds: float, rate: float = RATE, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    return offset + scale * np.random.default_rng(0).uniform(-1, 1, int(seconds * rate))


def test_no_data_after_half_a_second_and_back_at_once() -> None:
    wave = moving(20)
    wave[int(5 * RATE) : int(10 * RATE)] = np.nan
    changes = course(M.PPG, wave)
    assert [s for _, s in changes] == [None, Absence.NO_DATA, None]
    assert changes[0][0] == 0.05
    assert 5.5 <= changes[1][0] <= 5.6 and 10.0 <= changes[2][0] <= 10.05


def test_nothing_yet_is_no_data() -> None:
    sensor = SensorState(M.ECG)
    assert sensor.at(0) is Absence.NO_DATA
    sensor.update(np.full(6, np.nan, np.float32), 0.0, STEP_NS)
    assert sensor.at(50_000_000) is Absence.NO_DATA


def test_absent_chunks_are_no_data_too() -> None:
    sensor = SensorState(M.ECG)
    sensor.update(moving(0.05).astype(np.float32), 0.0, STEP_NS)
    assert sensor.at(500_000_000) is None
    assert sensor.at(600_000_000) is Absence.NO_DATA


@pytest.mark.parametrize(
    ("modality", "fault", "reason", "after"),
    (
        (M.ECG, 5.0, Absence.LEAD_OFF, 1.0),
        (M.ECG, -7.0, Absence.LEAD_OFF, 1.0),
        (M.ECG, 1.5, Absence.SATURATED, 1.0),  # its highest level ever
        (M.ECG, 0.0, Absence.FLAT, 5.0),
        (M.ABP, 320.0, Absence.OUT_OF_RANGE, 1.0),
        (M.ABP, 220.0, Absence.SATURATED, 1.0),
        (M.EEG, 3000.0, Absence.OUT_OF_RANGE, 1.0),
        (M.EEG, -300.0, Absence.SATURATED, 1.0),
        (M.PPG, 0.1, Absence.FLAT, 5.0),
    ),
)
def test_each_fault_shows_at_its_time_and_goes_at_once(
    modality: Modality, fault: float, reason: Absence, after: float
) -> None:
    scale, offset = {M.ABP: (40.0, 80.0), M.EEG: (60.0, 0.0)}.get(modality, (1.0, 0.0))
    wave = moving(20, scale=scale, offset=offset)
    wave[int(8 * RATE) : int(15 * RATE)] = fault
    changes = course(modality, wave)
    assert [s for _, s in changes] == [None, reason, None]
    assert 8.0 + after <= changes[1][0] <= 8.0 + after + 0.1
    assert 15.0 <= changes[2][0] <= 15.05


@pytest.mark.parametrize("level", (-17.0, 0.0, 12.0, 70.0, 180.0))
def test_pressure_that_stands_still_is_measured_for_as_long_as_it_lasts(level: float) -> None:
    """An arrest, an open or a clamped line: what they are worth is for the pulse to say."""
    wave = moving(40, scale=40.0, offset=80.0)
    wave[int(8 * RATE) :] = level
    assert course(M.ABP, wave) == [(0.05, None)]


def test_gap_does_not_hide_a_rail() -> None:
    wave = moving(20)
    wave[int(8 * RATE) : int(15 * RATE)] = 5.0
    wave[int(8.4 * RATE) : int(8.6 * RATE)] = np.nan
    assert course(M.ECG, wave)[1] == (9.0, Absence.LEAD_OFF)


def test_short_excursions_are_measured() -> None:
    wave = moving(20)
    wave[int(8 * RATE) : int(8.9 * RATE)] = 5.0
    assert course(M.ECG, wave) == [(0.05, None)]


def test_withheld_shows_at_once_and_ends_at_once() -> None:
    changes = course(M.ABP, moving(20, offset=80.0, scale=30.0), withheld=((5.0, 10.0),))
    assert changes == [(0.05, None), (5.05, Absence.WITHHELD), (10.05, None)]


def test_quality_of_the_newest_cell_counts_only_for_what_samples_cannot_tell() -> None:
    wave = moving(5)
    for cell in (Absence.ARTEFACT, Absence.FLUSH, Absence.OUT_OF_RANGE):
        assert course(M.ABP, wave, cell=cell) == [(0.05, cell)]
    for cell in (Absence.NO_DATA, Absence.FLAT, Absence.WITHHELD, Absence.NOT_CONNECTED, Absence.SATURATED):
        assert course(M.ABP, wave, cell=cell) == [(0.05, None)]
    assert course(M.ECG, wave, cell=Absence.LEAD_OFF) == [(0.05, None)]
    assert course(M.EEG, wave, cell=Absence.LEAD_OFF) == [(0.05, Absence.LEAD_OFF)]


def test_late_samples_do_not_change_the_present() -> None:
    sensor = SensorState(M.ECG)
    sensor.update(moving(1).astype(np.float32), 1e9, STEP_NS)
    before = sensor.at(2_000_000_000)
    sensor.update(np.full(125, 9.0, np.float32), 0.0, STEP_NS)
    assert sensor.at(2_000_000_000) is before is None


VALUES = st.sampled_from([0.0, 0.0, 0.1, 1.0, 5.0, -7.0, 30.0, float("nan")])


@given(
    runs=st.lists(st.tuples(VALUES, st.integers(1, 300)), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 2000), max_size=20),
    overlap=st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_state_does_not_depend_on_the_cutting(runs: list[tuple[float, int]], cuts: list[int], overlap: int) -> None:
    wave = np.concatenate([np.full(n, v, np.float32) for v, n in runs])
    now = round(len(wave) * STEP_NS)
    whole = SensorState(M.ECG)
    whole.update(wave, 0.0, STEP_NS)
    parts = SensorState(M.ECG)
    edges = [0, *sorted({c for c in cuts if c < len(wave)}), len(wave)]
    for lo, hi in itertools.pairwise(edges):
        lo = max(lo - overlap, 0)  # every chunk repeats some of the last
        parts.update(wave[lo:hi], lo * STEP_NS, STEP_NS)
    assert parts.at(now) == whole.at(now)
    assert parts.at(now + 400_000_000) == whole.at(now + 400_000_000)
