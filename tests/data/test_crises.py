"""Every crisis and look-alike: truth, chunks, sensors that fail while the patient is well, and how one is asked for.
Patients without one are as they were before there were crises."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sim.crises import SCRIPTS, Crisis, HeartRhythm
from models.data.sim.faults import FaultKind
from models.data.simulator import open_demo
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from tests.data.crisis_waves import ARRESTS, RATE, patient, span_of, spectrum, wave

LOOK_ALIKES = (
    Crisis.FLUSH, Crisis.ZEROING, Crisis.DISCONNECT, Crisis.DAMPING, Crisis.ECG_LEADS_OFF, Crisis.MOTION,
)  # fmt: skip


# -- the patients there were before ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("demo:duration=300", "eb81e5560b538a1c"),
        ("demo:seed=7,scenario=hypovolaemia,duration=300", "a61c476ac9dac9c4"),
        ("demo:seed=3,scenario=bradycardia,device=heldout,duration=300", "86b66e1c1d332125"),
        ("demo:seed=11,scenario=induction,coupled=no,duration=300", "a765014ca2e88bae"),
    ],
)
def test_a_seed_still_means_the_same_patient(spec, expected):
    """Digests taken before there were crises. To a thousandth of a unit, which no processor's rounding reaches."""
    demo = open_demo(spec)
    digest = hashlib.sha256()
    truth = demo.truth
    rows = [demo.read(track, 0.0, 300.0).values.astype(np.float64) for track in RATE]
    rows += [truth.r_s, truth.abp_upstroke_s, truth.ppg_upstroke_s, truth.map_mmhg, truth.sbp_mmhg]
    for row in (*rows, truth.hr_bpm, truth.depth):
        digest.update(np.round(np.nan_to_num(row, nan=-9999.0) * 1000.0).astype(np.int64).tobytes())
    assert digest.hexdigest()[:16] == expected


def test_before_its_crisis_the_patient_is_the_same_in_all():
    for track in RATE:
        first = wave(Crisis.PEA, track, 0.0, 25.0)
        for name in Crisis:
            # A block is rendered as one: what follows in it reaches back by tails and rounding only.
            np.testing.assert_allclose(wave(name, track, 0.0, 25.0), first, atol=2e-4)


# -- every crisis ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(Crisis))
def test_truth_tells_the_rhythm_of_every_second(name):
    p = patient(name)
    spans = p.truth.rhythms
    assert spans[0].start_s == 0.0 and spans[-1].end_s == p.duration_s
    assert all(a.end_s == b.start_s and a.start_s < a.end_s for a, b in pairwise(spans))
    assert spans[0].rhythm is spans[-1].rhythm is HeartRhythm.SINUS and spans[0].pulse and spans[-1].pulse
    assert spans[0].end_s >= 30.0 and 100.0 < p.duration_s <= 300.0
    assert (name in ARRESTS) == (not all(s.pulse for s in spans))
    assert p.scenario is name and p.events() and min(t for t, _ in p.events()) >= 30.0
    for row in (p.truth.map_mmhg, p.truth.sbp_mmhg, p.truth.dbp_mmhg, p.truth.depth):
        assert np.isfinite(row).all()


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(Crisis)),
    track=st.sampled_from(sorted(RATE)),
    start=st.floats(0, 200),
    length=st.floats(0, 40),
)
def test_any_chunk_has_the_bits_of_the_whole(name, track, start, length):
    """Each by an instance that has read nothing else."""
    whole = wave(name, track, 0.0, 1e4).astype(np.float32)
    segment = open_demo(f"demo:scenario={name}").read(track, start, start + length)
    expected = whole[segment.first_index : segment.first_index + segment.values.size]
    np.testing.assert_array_equal(segment.values, expected)


def test_a_crisis_can_be_cut_short_or_be_long_over():
    whole, short = patient(Crisis.VFIB), open_demo("demo:scenario=vfib,duration=60")
    np.testing.assert_array_equal(short.read("SIM/ART", 0, 59).values, whole.read("SIM/ART", 0, 59).values)
    assert [(s.start_s, s.end_s, s.pulse) for s in short.truth.rhythms] == [(0.0, 30.0, True), (30.0, 60.0, False)]
    assert short.truth.r_s.max() < 31.0
    long = open_demo("demo:scenario=vfib,duration=900")
    np.testing.assert_array_equal(long.read("SIM/ECG_II", 0, 200).values, whole.read("SIM/ECG_II", 0, 200).values)
    assert 40 < np.nanmean(long.truth.hr_bpm[600:]) < 100 and long.truth.rhythms[-1].end_s == 900.0


@pytest.mark.parametrize("name", list(Crisis))
def test_samples_are_there_and_no_beat_jumps(name):
    p = patient(name)
    struck = {f.modality for f in p.faults}
    for track in RATE:
        assert np.isfinite(p.read(track, 0, p.duration_s).values).all()
    art = wave(name, "SIM/ART", 0, p.duration_s)
    if Modality.ABP not in struck:
        assert np.abs(np.diff(art)).max() < 14.0  # an upstroke at 125 Hz, no step
    rr = np.diff(p.truth.r_s)
    rr = rr[rr < 4.0]
    ratio = rr[1:] / rr[:-1]
    assert np.sum((ratio > 1.25) | (ratio < 0.8)) <= 4  # where a rhythm begins and ends only


# -- sensors that look like it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_behind_a_sensor_that_fails_the_patient_is_well(name):
    p = patient(name)
    assert [(s.rhythm, s.pulse) for s in p.truth.rhythms] == [(HeartRhythm.SINUS, True)]
    assert p.truth.map_mmhg.min() > 60.0 and np.nanmin(p.truth.hr_bpm) > 45.0 and np.nanmax(p.truth.hr_bpm) < 100
    assert p.faults == SCRIPTS[name].faults
    struck = {f.modality for f in p.faults}
    for modality, track in zip(Modality, ("SIM/ECG_II", "SIM/ART", "SIM/PLETH", "SIM/EEG1", "SIM/RESP"), strict=False):
        same = np.array_equal(p.read(track, 0, 150).values, p.read_clean(track, 0, 150).values)
        assert same == (modality not in struck)


def test_a_flush_is_a_square_wave_that_rings():
    p = patient(Crisis.FLUSH)
    for fault in p.faults:
        top = wave(Crisis.FLUSH, "SIM/ART", fault.start_s + 0.4, fault.end_s)
        assert np.abs(top - 300.0).max() < 1.0
        after = wave(Crisis.FLUSH, "SIM/ART", fault.end_s, fault.end_s + 0.5)
        clean = p.read_clean("SIM/ART", fault.end_s, fault.end_s + 0.5).values
        assert (after - clean).max() > 100.0 and (after - clean).min() < -5.0
        later = p.read("SIM/ART", fault.end_s + 1.0, fault.end_s + 5.0).values
        np.testing.assert_array_equal(later, p.read_clean("SIM/ART", fault.end_s + 1.0, fault.end_s + 5.0).values)


@pytest.mark.parametrize("name", [Crisis.ZEROING, Crisis.DISCONNECT])
def test_a_line_open_to_air_shows_zero_at_once(name):
    (fault,) = patient(name).faults
    art = wave(name, "SIM/ART", fault.start_s + 1.0, fault.end_s)
    assert abs(art.mean()) < 2.0 and np.ptp(art) < 4.0 and art.std() > 0.05
    assert np.ptp(wave(name, "SIM/PLETH", fault.start_s, fault.end_s)) > 0.8 * np.ptp(wave(name, "SIM/PLETH", 0, 30))


@pytest.mark.parametrize("seed", [0, 7, 12])
def test_overdamping_leaves_the_mean_and_little_pulse(seed):
    p = patient(Crisis.DAMPING, seed)
    assert p.faults[0].kind is FaultKind.OVERDAMPED
    seen = wave(Crisis.DAMPING, "SIM/ART", 50, 110, seed)
    clean = p.read_clean("SIM/ART", 50, 110).values
    assert seen.mean() == pytest.approx(clean.mean(), abs=1.0)
    smoothed = np.convolve(seen, np.ones(15) / 15, mode="valid")
    pulse = np.median([np.ptp(smoothed[i : i + 150]) for i in range(0, smoothed.size - 150, 125)])
    assert 1.5 < pulse < 8.0 < 0.3 * np.ptp(clean)
    assert np.abs(np.diff(wave(Crisis.DAMPING, "SIM/ART", 30, 60, seed))).max() < 14.0


def test_leads_that_fall_off_while_the_pulse_goes_on():
    p = patient(Crisis.ECG_LEADS_OFF)
    rail, flat = p.faults
    assert (wave(Crisis.ECG_LEADS_OFF, "SIM/ECG_II", rail.start_s + 1, rail.end_s) == 5.0).all()
    x = wave(Crisis.ECG_LEADS_OFF, "SIM/ECG_II", flat.start_s + 1, flat.end_s)
    assert 0.0 < np.ptp(x) < 0.15 and abs(x.mean()) < 0.01
    for track in ("SIM/ART", "SIM/PLETH"):
        for fault in p.faults:
            assert np.ptp(wave(Crisis.ECG_LEADS_OFF, track, fault.start_s, fault.end_s)) > 0.8 * np.ptp(
                wave(Crisis.ECG_LEADS_OFF, track, 0, 30)
            )


def test_motion_looks_like_ventricular_tachycardia_and_is_none():
    p = patient(Crisis.MOTION)
    fault = p.faults[0]
    assert {f.modality for f in p.faults} == {Modality.ECG, Modality.PPG}
    a, b = fault.start_s + 1, fault.end_s - 1
    x = wave(Crisis.MOTION, "SIM/ECG_II", a, b)
    f, power = spectrum(x, 500.0)
    power[f < 1.0] = 0.0
    assert 100 < 60.0 * f[np.argmax(power)] < 260
    assert np.ptp(x) > 1.5
    f, power = spectrum(wave(Crisis.MOTION, "SIM/ART", a, b), 125.0)
    assert 50 < 60.0 * f[1:][np.argmax(power[1:])] < 80  # the pressure knows
    slow = np.convolve(x, np.hanning(31) / np.hanning(31).sum(), mode="same")
    r = p.truth.r_s[(p.truth.r_s > a + 1) & (p.truth.r_s < b - 1)]

    def sharpest(times):
        return np.median([np.ptp((x - slow)[int(500 * (t - a)) - 15 : int(500 * (t - a)) + 15]) for t in times])

    assert sharpest(r) > 4.0 * sharpest(r + 0.43)  # complexes march through it


def test_the_oximeter_is_off_while_the_pressure_falls():
    p = patient(Crisis.PPG_OFF)
    (fault,) = p.faults
    start, end = span_of(Crisis.PPG_OFF)
    assert fault.start_s < start and fault.end_s > end
    assert np.ptp(wave(Crisis.PPG_OFF, "SIM/PLETH", fault.start_s + 1, fault.end_s)) < 0.1 * np.ptp(
        wave(Crisis.PPG_OFF, "SIM/PLETH", 0, fault.start_s)
    )
    onset, _ = p.truth.hypotension[0]
    assert start < onset < start + 40


# -- asking for one ----------------------------------------------------------------------------------------------------


def test_source_text_opens_a_crisis_without_other_faults():
    p = open_demo("demo:scenario=PEA")
    assert (p.scenario, p.faults, p.duration_s, p.seed) == (Crisis.PEA, (), 175.0, 7)
    np.testing.assert_array_equal(p.read("SIM/ART", 0, 60).values, patient(Crisis.PEA).read("SIM/ART", 0, 60).values)
    more = open_demo("demo:scenario=damping,faults=on,duration=3600")
    scripted = SCRIPTS[Crisis.DAMPING].faults
    assert set(scripted) < set(more.faults) and list(more.faults) == sorted(
        more.faults, key=lambda f: (f.start_s, f.modality)
    )
    assert open_demo("demo:scenario=damping,faults=off").faults == scripted
    assert open_demo("demo:duration=100").faults and not open_demo("demo:duration=100,faults=off").faults


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: open_demo("demo:scenario=vf"), ["hypovolaemia, bradycardia", "pea, asystole, vfib", "'vf'"]),
        (lambda: open_demo("demo:scenario=pea,coupled=no"), ["coupled channels", "'pea'"]),
    ],
)
def test_what_cannot_be_had_gets_one_sentence(attempt, words):
    with pytest.raises(BadInput) as caught:
        attempt()
    text = str(caught.value)
    assert text.startswith("Expected ") and "\n" not in text
    for word in words:
        assert word in text


def test_devices_and_seeds_differ():
    for name in (Crisis.VFIB, Crisis.SHOCK):
        one, two, other = (
            open_demo(f"demo:scenario={name},{which}") for which in ("seed=1", "seed=2", "seed=1,device=heldout")
        )
        a, b = (p.read("SIM/ECG_II", 32, 60).values for p in (one, two))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.3
        assert other.device.profile == "heldout" and other.device != one.device
