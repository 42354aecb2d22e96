"""The monitor as a whole: epochs, absence, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from monitor.exports import VITALS_COLUMNS
from streams.codec import DecodeError, decode, encode
from streams.records import NUMERICS, VitalsRecord
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


def test_monitor_wire_and_export_share_one_list_of_numerics():
    """Whatever is known of a second arrives on the wire under its name, and what is exported are those names."""
    assert issubclass(Vitals, VitalsRecord) and list(NUMERICS) == list(VITALS_COLUMNS[1:])
    some = {name: ("ECG" if isinstance(getattr(Vitals(second=1), name), str) else 1.5) for name in NUMERICS}
    record = VitalsRecord(bed="b", session="s", epoch=0, time_ns=0, **some)
    assert {name: getattr(decode(encode(record)), name) for name in NUMERICS} == some
    for name in (n for n in NUMERICS if some[n] == 1.5):
        with pytest.raises(DecodeError, match="a number is finite"):
            decode(encode(replace(record, **{name: np.inf})))


def test_nothing_measured_nothing_known():
    empty = Vitals(second=5)
    monitor = VitalsMonitor()
    assert monitor.update(5, grid_of({}), {}, Findings()) == empty
    assert monitor.update(6, grid_of({}), dict.fromkeys(Modality, True), Findings()) == Vitals(second=6)


@pytest.mark.parametrize("rhythm", [r for r in Rhythm if r is not Rhythm.BEATS])
def test_only_a_rhythm_of_beats_is_counted_in_the_ecg(signals, rhythm):
    monitor, grid = VitalsMonitor(), grid_of({Modality.ECG: signals[Modality.ECG]})
    out = [monitor.update(k, grid, {Modality.ECG: True}, Findings(rhythm)) for k in range(1, 31)]
    assert all(v.hr is None and v.beats == [] and v.resp_rate is None for v in out)


def test_a_pulse_that_is_not_known_is_counted_and_one_that_is_lost_is_not(signals):
    grid = grid_of({Modality.ABP: signals[Modality.ABP]})
    for pulse_of, counted in ((Pulse.UNKNOWN, True), (Pulse.PRESENT, True), (Pulse.NONE, False)):
        monitor = VitalsMonitor()
        for k in range(1, 21):
            last = monitor.update(k, grid, {Modality.ABP: True}, Findings(Rhythm.UNKNOWN, {Modality.ABP: pulse_of}))
        assert (last.hr is not None) == (last.pulse_rate is not None) == (last.abp_sys is not None) == counted
        assert last.abp_map == pytest.approx(np.mean(signals[Modality.ABP][500:2000]), abs=4)


def test_an_unmeasured_sensor_is_not_looked_at(signals):
    poisoned = {**signals, Modality.ABP: np.full(6000, 1e30)}
    hidden = {Modality.ABP: (0, 99)}
    assert vitals_over(poisoned, 40, hidden) == vitals_over(signals, 40, hidden)


def test_same_input_same_output(signals):
    assert vitals_over(signals, 40) == vitals_over(signals, 40)


def test_a_jump_begins_anew(signals):
    monitor, grid = VitalsMonitor(), grid_of(signals)
    measured = dict.fromkeys(signals, True)
    said = Findings(Rhythm.BEATS, {Modality.ABP: Pulse.PRESENT, Modality.PPG: Pulse.PRESENT})
    for k in range(1, 31):
        before = monitor.update(k, grid, measured, said)
    assert before.hr is not None
    fresh = VitalsMonitor()
    assert monitor.update(50, grid, measured, said) == fresh.update(50, grid, measured, said)
    assert monitor.update(12, grid, measured, said) == VitalsMonitor().update(12, grid, measured, said)


def test_first_numbers_come_within_six_seconds(signals):
    out = vitals_over(signals, 10)
    assert out[5].hr == pytest.approx(72, abs=1)
    assert out[5].abp_map is not None
