"""Faults: they are where the truth says, look like themselves, and nothing else is touched."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sim.faults import Fault, FaultKind, apply_faults, plan_faults
from models.data.sim.noise import Stream, generator
from models.data.sim.subject import draw_device
from models.data.simulator import simulate_patient
from models.signals.modalities import Modality

TRACK = {
    Modality.ECG: ("SIM/ECG_II", 500.0),
    Modality.ABP: ("SIM/ART", 125.0),
    Modality.PPG: ("SIM/PLETH", 125.0),
    Modality.EEG: ("SIM/EEG1", 128.0),
    Modality.RESP: ("SIM/RESP", 62.5),
}
HOUR = 3600.0


@pytest.fixture(scope="module")
def patient():
    return simulate_patient(4, duration_s=4 * HOUR)


@pytest.fixture(scope="module")
def first_of_kind(patient):
    found: dict[tuple[Modality, FaultKind], Fault] = {}
    for fault in patient.faults:
        found.setdefault((fault.modality, fault.kind), fault)
    return found


def during(patient, fault):
    """Samples within the fault: (faulty, clean, times)."""
    track, rate = TRACK[fault.modality]
    segment = patient.read(track, fault.start_s, fault.end_s)
    clean = patient.read_clean(track, fault.start_s, fault.end_s).values
    return segment.values, clean, (segment.first_index + np.arange(clean.size)) / rate


def test_faults_are_ordered_and_one_at_a_time(patient):
    for modality in TRACK:
        own = [f for f in patient.faults if f.modality is modality]
        assert own, f"four hours without a fault in {modality}"
        assert all(0.0 <= f.start_s < f.end_s <= patient.duration_s for f in own)
        assert all(a.end_s < b.start_s for a, b in pairwise(own))


def test_outside_faults_every_sample_is_clean():
    patient = simulate_patient(12, duration_s=1800.0)
    for modality, (track, rate) in TRACK.items():
        seen, clean = patient.read(track, 0.0, 1800.0).values, patient.read_clean(track, 0.0, 1800.0).values
        assert np.isfinite(clean).all()
        times = np.arange(seen.size) / rate
        outside = np.ones(seen.size, dtype=bool)
        for f in (f for f in patient.faults if f.modality is modality):
            after = 0.8 if f.kind is FaultKind.FLUSH else 0.0  # the line rings
            outside &= (times < f.start_s) | (times >= f.end_s + after)
        np.testing.assert_array_equal(seen[outside], clean[outside])
        assert outside.mean() > 0.5
        assert modality is Modality.RESP or not outside.all()


def test_missing_samples_are_nan_exactly_where_the_gaps_are(patient):
    for modality, (track, rate) in TRACK.items():
        gaps = next(t.gaps_s for t in patient.tracks if t.name == track)
        assert gaps == tuple((f.start_s, f.end_s) for f in patient.faults if f.modality is modality and f.missing)
        assert gaps
        for start, end in gaps[:3]:
            segment = patient.read(track, start - 2.0, end + 2.0)
            times = (segment.first_index + np.arange(segment.values.size)) / rate
            np.testing.assert_array_equal(np.isnan(segment.values), (times >= start) & (times < end))


def test_every_kind_that_is_not_a_gap_changes_the_samples(patient, first_of_kind):
    for fault in first_of_kind.values():
        if not fault.missing:
            seen, clean, _ = during(patient, fault)
            assert np.isfinite(seen).all()
            assert np.mean(seen != clean) > 0.95, fault


def test_each_kind_looks_like_itself(patient, first_of_kind):
    checked = 0
    for (modality, kind), fault in first_of_kind.items():
        seen, clean, times = during(patient, fault)
        late = times > fault.start_s + 1.0
        match kind:
            case FaultKind.FLAT:
                track, _ = TRACK[modality]
                before = patient.read_clean(track, fault.start_s - 1.0, fault.start_s).values[-1]
                assert (seen == before).all()
            case FaultKind.LEAD_OFF if modality is Modality.ECG:
                assert (seen[late] == 5.0).all()
            case FaultKind.LEAD_OFF if modality is Modality.EEG:
                assert np.ptp(seen[late]) > 1500.0
            case FaultKind.LEAD_OFF if modality is Modality.PPG:
                assert np.ptp(seen) < 0.05 * np.ptp(clean)
            case FaultKind.OPEN:
                assert abs(seen[late].mean() - patient.device.abp_offset_mmhg) < 0.5 and np.ptp(seen[late]) < 5.0
            case FaultKind.SATURATION:
                assert np.abs(seen).max() == (5.0 if modality is Modality.ECG else 1600.0)
            case FaultKind.FLUSH:
                assert np.abs(seen[times > fault.start_s + 0.4] - 300.0).max() < 1.0
            case FaultKind.DAMPED:
                assert np.ptp(seen[late]) < 0.8 * np.ptp(clean[late])
                assert abs(seen[late].mean() - clean[late].mean()) < 1.0
                assert np.abs(np.diff(seen)).max() < 8.0  # no jump at the edge of a block
            case FaultKind.CUFF:
                part = (times - fault.start_s) / (fault.end_s - fault.start_s)
                full = (part > 0.3) & (part < 0.65)
                assert np.ptp(seen[full]) < 0.05 * np.ptp(clean[full])
            case FaultKind.MOTION | FaultKind.CAUTERY:
                assert np.std(seen - clean) > 0.08 * np.std(clean)
            case _:
                continue
        checked += 1
    assert checked >= 12


def test_one_cause_strikes_several_sensors_at_once(patient):
    cautery = {
        m: {f.start_s for f in patient.faults if f.modality is m and f.kind is FaultKind.CAUTERY} for m in Modality
    }
    assert cautery[Modality.ECG] & cautery[Modality.EEG] & cautery[Modality.PPG]
    assert not cautery[Modality.ABP]


def test_faults_off_means_none():
    patient = simulate_patient(4, duration_s=600.0, faults=False)
    assert patient.faults == patient.truth.faults == ()
    np.testing.assert_array_equal(
        patient.read("SIM/ECG_II", 0, 600).values, patient.read_clean("SIM/ECG_II", 0, 600).values
    )


def test_the_same_patient_with_and_without_faults():
    """Faults do not disturb the patient: clean waves and truth are the same bits."""
    with_faults = simulate_patient(13, duration_s=300.0)
    without = simulate_patient(13, duration_s=300.0, faults=False)
    for track, _ in TRACK.values():
        a, b = with_faults.read_clean(track, 0, 300).values, without.read(track, 0, 300).values
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(with_faults.truth.map_mmhg, without.truth.map_mmhg)


@settings(max_examples=40, deadline=None)
@given(
    fault=st.sampled_from(
        [(Modality.ABP, k) for k in (FaultKind.DAMPED, FaultKind.FLUSH, FaultKind.OPEN, FaultKind.FLAT, FaultKind.GAP)]
        + [(Modality.PPG, k) for k in (FaultKind.CUFF, FaultKind.MOTION, FaultKind.CAUTERY, FaultKind.LEAD_OFF)]
    ),
    start=st.floats(0.0, 30.0),
    length=st.floats(0.05, 25.0),
    cut=st.integers(0, 5000),
)
def test_faults_written_in_two_pieces_are_the_same(fault, start, length, cut):
    rate, n = 125.0, 5000
    device = draw_device(generator(1, Stream.DEVICE), "train")
    wave = 80.0 + 20.0 * np.sin(np.arange(n) * 0.05)
    faults = [Fault(*fault, start, start + length)]

    def write(a, b):
        return apply_faults(wave[a:b], a, rate, faults, 5, device, lambda first, count: wave[first : first + count])

    np.testing.assert_allclose(np.concatenate([write(0, cut), write(cut, n)]), write(0, n), rtol=0, atol=1e-6)


def test_fault_plans_of_long_recordings_are_at_the_stated_rates():
    plan = plan_faults(3, 100 * HOUR, demo=False)
    motion = sum(f.modality is Modality.EEG and f.kind is FaultKind.MOTION for f in plan)
    cautery = sum(f.modality is Modality.EEG and f.kind is FaultKind.CAUTERY for f in plan)
    assert 150 < motion < 250 and 400 < cautery < 600
