"""The monitor as a whole: epochs, absence, determinism."""

from __future__ import annotations

import numpy as np
import pytest

from models.signals.modalities import Modality
from streams.records import VitalsRecord
from streams.vitals.monitor import Vitals, VitalsMonitor
from tests.signals.waves import beat_times, ecg, pulse
from tests.streams.grids import grid_of, vitals_over


@pytest.fixture(scope="module")
def signals():
    times = beat_times(72, 60)
    return {
        Modality.ECG: ecg(times, 60, noise=0.01),
        Modality.ABP: pulse(times + 0.15, 60, 60, 110),
        Modality.PPG: pulse(times + 0.2, 60, 0, 1),
    }


def test_every_number_of_the_record_is_filled():
    ours = set(Vitals.__dataclass_fields__) - {"second", "beats"}
    record = set(VitalsRecord.__struct_fields__) - {"v", "bed", "session", "epoch", "time_ns"}
    assert ours == record


def test_nothing_measured_nothing_known():
    empty = Vitals(second=5)
    monitor = VitalsMonitor()
    assert monitor.update(5, grid_of({}), {}) == empty
    assert monitor.update(6, grid_of({}), dict.fromkeys(Modality, True)) == Vitals(second=6)


def test_an_unmeasured_sensor_is_not_looked_at(signals):
    poisoned = {**signals, Modality.ABP: np.full(6000, 1e30)}
    hidden = {Modality.ABP: (0, 99)}
    assert vitals_over(poisoned, 40, hidden) == vitals_over(signals, 40, hidden)


def test_same_input_same_output(signals):
    assert vitals_over(signals, 40) == vitals_over(signals, 40)


def test_a_jump_begins_anew(signals):
    monitor, grid = VitalsMonitor(), grid_of(signals)
    measured = dict.fromkeys(signals, True)
    for k in range(1, 31):
        before = monitor.update(k, grid, measured)
    assert before.hr is not None
    fresh = VitalsMonitor()
    assert monitor.update(50, grid, measured) == fresh.update(50, grid, measured)
    assert monitor.update(12, grid, measured) == VitalsMonitor().update(12, grid, measured)


def test_first_numbers_come_within_six_seconds(signals):
    out = vitals_over(signals, 10)
    assert out[5].hr == pytest.approx(72, abs=1)
    assert out[5].abp_map is not None
