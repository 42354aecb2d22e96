"""The simulated patient as a recording: protocol, random access, reproducibility, source texts, start-up."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sim.bedside import NUMBERS
from models.data.simulator import open_demo, simulate_patient
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.recording import Recording, TrackKind

WAVES = {"SIM/ECG_II": 500.0, "SIM/ART": 125.0, "SIM/PLETH": 125.0, "SIM/EEG1": 128.0, "SIM/RESP": 62.5}
DURATION_S = 300.0


@pytest.fixture(scope="module")
def patient():
    return simulate_patient(4, duration_s=DURATION_S)


@pytest.fixture(scope="module")
def whole(patient):
    return {track: patient.read(track, 0.0, DURATION_S).values.copy() for track in WAVES}


def test_is_a_recording_with_its_waves_and_numerics(patient):
    assert isinstance(patient, Recording)
    waves = {t.name: t for t in patient.tracks if t.kind is TrackKind.WAVE}
    assert {name: t.rate_hz for name, t in waves.items()} == WAVES
    for name, rate in WAVES.items():
        assert waves[name].samples == DURATION_S * rate
        assert waves[name].end_s == pytest.approx(DURATION_S)
    for track in patient.tracks:
        if track.kind is TrackKind.NUMERIC:
            times, values = patient.numerics(track.name)
            assert len(times) == len(values) == track.samples
            assert np.isfinite(values[10:]).all() or track.name in NUMBERS
    assert patient.events() == sorted(patient.events())


def test_ranges_are_half_open_and_clipped(patient):
    segment = patient.read("SIM/ART", 10.0, 12.0)
    assert (segment.first_index, segment.values.size, segment.values.dtype) == (1250, 250, np.float32)
    assert patient.read("SIM/ART", 10.001, 10.009).first_index == 1251  # the sample at 10.008 only
    assert patient.read("SIM/ART", 10.001, 10.009).values.size == 1
    assert patient.read("SIM/ART", -5.0, 1.0).first_index == 0
    assert patient.read("SIM/ART", DURATION_S - 1.0, DURATION_S + 9.0).values.size == 125
    assert patient.read("SIM/ART", DURATION_S + 1.0, DURATION_S + 9.0).values.size == 0
    assert patient.read("SIM/ART", 9.0, 3.0).values.size == 0
    with pytest.raises(KeyError):
        patient.read("SIM/NONE", 0.0, 1.0)
    with pytest.raises(KeyError):
        patient.numerics("SIM/ART")


@settings(max_examples=60, deadline=None)
@given(track=st.sampled_from(sorted(WAVES)), start=st.floats(0, DURATION_S), length=st.floats(0, 70))
def test_any_chunk_has_the_bits_of_the_whole(patient, whole, track, start, length):
    segment = patient.read(track, start, start + length)
    expected = whole[track][segment.first_index : segment.first_index + segment.values.size]
    np.testing.assert_array_equal(segment.values, expected)
    rate = WAVES[track]
    times = (segment.first_index + np.arange(segment.values.size)) / rate
    assert ((times >= start - 2e-6) & (times < start + length)).all()


def test_order_of_reading_does_not_matter(whole):
    """Another instance, read backwards in odd pieces and asked for its truth in between."""
    other = simulate_patient(4, duration_s=DURATION_S)
    for track in reversed(sorted(WAVES)):
        for start in np.arange(DURATION_S - 41.3, -41.3, -41.3):
            segment = other.read(track, float(start), float(start) + 41.3)
            expected = whole[track][segment.first_index : segment.first_index + segment.values.size]
            np.testing.assert_array_equal(segment.values, expected)
        _ = other.truth
        other.close()


def test_a_longer_recording_is_not_the_same_patient_by_accident():
    """The seed means the patient; another seed means another one in every channel."""
    one, two = (simulate_patient(s, duration_s=60.0, faults=False) for s in (1, 2))
    for track in WAVES:
        a, b = one.read(track, 0.0, 60.0).values, two.read(track, 0.0, 60.0).values
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.35
    assert one.truth.r_s.size != two.truth.r_s.size or not np.allclose(one.truth.r_s, two.truth.r_s)


def test_a_day_long_demo_keeps_bounded_memory():
    day = open_demo("demo:duration=86400")
    for start in (0.0, 20_000.0, 86_390.0, 5_000.0):
        for track, rate in WAVES.items():
            segment = day.read(track, start, start + 1.0)
            assert segment.values.size in (int(rate), int(rate) + 1)
            assert segment.first_index == int(np.ceil(start * rate))
    course = day.course(Modality.ECG)
    assert len(day._kept) <= 12
    assert len(course._kept) <= 8
    assert len(course._states) <= 86_400 / 120 + 3
    assert np.isfinite(day.read_clean("SIM/ART", 86_390.0, 86_400.0).values).all()


def test_the_first_minutes_of_the_demo():
    demo = open_demo("demo")
    assert demo.name == "demo" and demo.duration_s == 3600.0
    for track in WAVES:
        np.testing.assert_array_equal(demo.read(track, 0, 60).values, demo.read_clean(track, 0, 60).values)
    assert np.isnan(demo.read("SIM/ART", 60.0, 100.0).values).all()
    assert np.isfinite(demo.read("SIM/ART", 100.0, 110.0).values).all()
    onset, end = demo.truth.hypotension[0]
    assert 180.0 < onset < 330.0 and end < 480.0
    start = slice(*np.searchsorted(demo.truth.abp_onset_s, [0.0, 60.0]))
    assert 70.0 < demo.truth.map_mmhg[start].mean() < 95.0
    assert 50.0 < np.nanmean(demo.truth.hr_bpm[:60]) < 85.0
    assert 40.0 < demo.truth.depth[:60].mean() < 52.0


@pytest.mark.parametrize("seed", [0, 1, 42, 9001])
def test_every_demo_is_normal_at_first_and_meets_an_event(seed):
    demo = open_demo(f"demo:seed={seed}")
    first = slice(*np.searchsorted(demo.truth.abp_onset_s, [0.0, 60.0]))
    assert demo.truth.map_mmhg[first].mean() > 67.0
    assert 45.0 < np.nanmean(demo.truth.hr_bpm[:60]) < 100.0
    assert any(150.0 < onset < 420.0 for onset, _ in demo.truth.hypotension)


def test_source_text_is_understood():
    p = open_demo("demo: seed=3, scenario=Hypovolaemia, duration=90.5, faults=off, device=heldout, coupled=no")
    assert (p.seed, p.scenario, p.duration_s, p.faults) == (3, "hypovolaemia", 90.5, ())
    assert p.device.profile == "heldout" and not p.coupled
    assert p.name == "demo:seed=3,scenario=Hypovolaemia,duration=90.5,faults=off,device=heldout,coupled=no"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("demo:sead=7", ["seed, scenario, duration, faults", "did you mean 'seed'"]),
        ("demo:seed", ["'seed'"]),
        ("demo:seed=", ["'seed='"]),
        ("demo:seed=x", ["a number for seed", "'x'"]),
        ("demo:seed=1.5", ["a number for seed"]),
        ("demo:seed=-1", ["a seed from 0"]),
        ("demo:seed=1,seed=2", ["'seed' once"]),
        ("demo:scenario=flood", ["hypovolaemia, bradycardia", "'flood'"]),
        ("demo:duration=5", ["duration of 10"]),
        ("demo:duration=nan", ["duration of 10"]),
        ("demo:duration=inf", ["duration of 10"]),
        ("demo:duration=1e9", ["604800"]),
        ("demo:faults=maybe", ["on or off for faults", "'maybe'"]),
        ("demo:device=toaster", ["train, heldout"]),
        ("patient:seed=1", ["'demo'"]),
    ],
)
def test_wrong_source_text_gets_one_sentence(spec, words):
    with pytest.raises(BadInput) as caught:
        open_demo(spec)
    text = str(caught.value)
    assert text.startswith("Expected ") and "\n" not in text
    for word in words:
        assert word in text


def test_opening_needs_numpy_only():
    """The way to the first wave must not pull in the slow libraries."""
    code = (
        "import sys; from models.data.simulator import open_demo; p = open_demo('demo');"
        "[p.read(t.name, 0.0, 1.0) for t in p.tracks if t.rate_hz];"
        "heavy = {'scipy', 'pandas', 'torch', 'wfdb', 'vitaldb', 'edfio'};"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
