"""Crises: each shows what its truth says, measured from the samples by means of its own, and nothing else changed."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sim.beats import Beats
from models.data.sim.crises import SCRIPTS, Crisis, HeartRhythm
from models.data.sim.faults import FaultKind
from models.data.sim.pulse import arterial, windkessel_for
from models.data.simulator import open_demo, simulate_crisis, simulate_patient
from models.signals.errors import BadInput
from models.signals.modalities import Modality

RATE = {"SIM/ECG_II": 500.0, "SIM/ART": 125.0, "SIM/PLETH": 125.0, "SIM/EEG1": 128.0, "SIM/RESP": 62.5}
ARRESTS = (Crisis.PEA, Crisis.ASYSTOLE, Crisis.VFIB, Crisis.VTACH_PULSELESS)
LOOK_ALIKES = (
    Crisis.FLUSH, Crisis.ZEROING, Crisis.DISCONNECT, Crisis.DAMPING, Crisis.ECG_LEADS_OFF, Crisis.MOTION,
)  # fmt: skip


@cache
def patient(name, seed=7):
    return simulate_crisis(name, seed)


def wave(name, track, start, end, seed=7):
    return patient(name, seed).read(track, start, end).values.astype(np.float64)


def span_of(name, index=1):
    span = patient(name).truth.rhythms[index]
    return span.start_s, span.end_s


def spectrum(x, rate):
    """(frequencies, power) of the mean over Hann windows of 4 s, half overlapping."""
    size = int(4 * rate)
    parts = np.lib.stride_tricks.sliding_window_view(x - x.mean(), size)[:: size // 2] * np.hanning(size)
    return np.fft.rfftfreq(size, 1 / rate), (np.abs(np.fft.rfft(parts, axis=1)) ** 2).mean(axis=0)


def complexes(x, rate):
    """Times of QRS complexes: where the energy of the slope (5–25 Hz) stands out, 0.2 s apart (Pan & Tompkins 1985)."""
    f = np.fft.rfftfreq(x.size, 1 / rate)
    band = np.fft.irfft(np.fft.rfft(x) * ((f > 5.0) & (f < 25.0)), x.size)
    energy = np.convolve(np.gradient(band) ** 2, np.ones(int(0.08 * rate)), mode="same")
    return peaks(energy, rate, 0.3 * np.quantile(energy, 0.98), 0.2)


def likeness_to_itself(x, rate, shortest_s, longest_s):
    """Largest autocorrelation coefficient at lags between the two."""
    x = x - x.mean()
    full = np.correlate(x, x, mode="full")[x.size - 1 :] / np.dot(x, x)
    return full[int(shortest_s * rate) : int(longest_s * rate)].max()


def peaks(x, rate, height, apart_s):
    """Times of maxima above ``height``, the tallest within ``apart_s`` of each other."""
    inner = np.flatnonzero((x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:]) & (x[1:-1] > height)) + 1
    kept: list[int] = []
    for i in inner[np.argsort(-x[inner])]:
        if all(abs(i - k) > apart_s * rate for k in kept):
            kept.append(int(i))
    return np.sort(np.array(kept)) / rate


# -- the patients there were before ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("demo:duration=300", "9755be59304cfd9b"),
        ("demo:seed=7,scenario=hypovolaemia,duration=300", "f8d2d90964a98fd0"),
        ("demo:seed=3,scenario=bradycardia,device=heldout,duration=300", "e41f10759e7000c9"),
        ("demo:seed=11,scenario=induction,coupled=no,duration=300", "40d953ac91dde76d"),
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
    segment = simulate_crisis(name).read(track, start, start + length)
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


# -- no pulse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, 12])
@pytest.mark.parametrize("name", ARRESTS)
def test_without_a_pulse_the_artery_empties_to_its_filling_pressure(name, seed):
    start, end = span_of(name)
    p = patient(name, seed)
    offset = p.device.abp_offset_mmhg
    falling = wave(name, "SIM/ART", start + 1.5, start + 9.0, seed) - offset
    times = np.arange(falling.size) / 125.0
    slope, _ = np.polyfit(times, np.log(falling - 12.0), 1, w=falling - 12.0)
    assert -1.0 / slope == pytest.approx(2.9, abs=0.15)
    assert (np.convolve(np.diff(falling), np.ones(25) / 25, mode="valid") < 0.05).all()  # no upstroke
    flat = wave(name, "SIM/ART", start + 20.0, end, seed) - offset
    assert flat.mean() == pytest.approx(12.0, abs=0.3) and np.abs(flat - 12.0).max() < 2.0
    assert p.truth.map_mmhg[(p.truth.abp_onset_s[:-1] > start + 20) & (p.truth.abp_onset_s[:-1] < end - 1)] == (
        pytest.approx(12.0, abs=0.2)
    )
    for beats in (p.truth.abp_upstroke_s, p.truth.ppg_upstroke_s):
        assert not ((beats > start + 1.0) & (beats < end)).any()
        assert (beats > end).sum() > 60


@pytest.mark.parametrize("name", ARRESTS)
def test_without_a_pulse_the_finger_is_flat_with_noise(name):
    start, end = span_of(name)
    before, during = wave(name, "SIM/PLETH", 5, start), wave(name, "SIM/PLETH", start + 15, end)
    assert 0.0 < np.std(during) < 0.08 * np.std(before)
    f, power = spectrum(during, 125.0)
    heart = (f >= 0.7) & (f <= 3.5)
    _, alive = spectrum(before, 125.0)
    assert power[heart].sum() < 1e-3 * alive[heart].sum()


@pytest.mark.parametrize("name", ARRESTS)
def test_the_brain_falls_silent_and_comes_back(name):
    start, end = span_of(name)
    p = patient(name)
    assert np.std(wave(name, "SIM/EEG1", start, start + 8)) > 8.0
    assert np.abs(wave(name, "SIM/EEG1", start + 20, end)).max() < 6.0
    assert np.std(wave(name, "SIM/EEG1", p.duration_s - 20, p.duration_s)) > 8.0
    assert p.truth.depth[int(start) + 18] == 0.0 and p.truth.depth[-1] > 30.0
    assert p.truth.suppression_percent[int(start) + 18] == 100.0
    breath, alive = (wave(n, "SIM/RESP", start + 3, end) for n in (name, Crisis.FLUSH))
    assert np.abs(breath - alive).max() < 0.05 < np.ptp(breath)  # the ventilator goes on
    if name is not Crisis.PEA:
        return
    f, power = spectrum(breath, 62.5)
    _, beating = spectrum(alive, 62.5)
    assert power[(f > 1.9) & (f < 2.6)].sum() < 0.3 * beating[(f > 1.9) & (f < 2.6)].sum()  # without the heart in it


@pytest.mark.parametrize("name", ARRESTS)
def test_circulation_returns(name):
    p = patient(name)
    _, end = span_of(name)
    pressure = p.truth.map_mmhg[np.searchsorted(p.truth.abp_onset_s, [end + 3, end + 30, p.duration_s - 2])]
    assert 25.0 < pressure[0] < 60.0 < pressure[1] and pressure[2] == pytest.approx(
        p.truth.map_mmhg[:20].mean(), rel=0.2
    )
    own = simulate_patient(7, scenario=Crisis.FLUSH, duration_s=p.duration_s, faults=False)
    tail = slice(*(int(125 * t) for t in (p.duration_s - 20, p.duration_s)))
    np.testing.assert_allclose(
        wave(name, "SIM/ART", 0, p.duration_s)[tail], own.read("SIM/ART", 0, p.duration_s).values[tail], atol=0.05
    )


def test_pulseless_electrical_activity_has_its_beats():
    start, end = span_of(Crisis.PEA)
    found = peaks(wave(Crisis.PEA, "SIM/ECG_II", start, end), 500.0, 0.6, 0.3) + start
    truth = patient(Crisis.PEA).truth
    true = truth.r_s[(truth.r_s >= start) & (truth.r_s < end)]
    assert found.size == true.size > 35 and np.abs(found - true).max() < 0.01
    assert np.nanmin(truth.hr_bpm[8:]) > 50.0


def test_asystole_is_a_flat_line():
    start, end = span_of(Crisis.ASYSTOLE)
    p = patient(Crisis.ASYSTOLE)
    first = wave(Crisis.ASYSTOLE, "SIM/ECG_II", start + 0.7, start + 15)
    late = wave(Crisis.ASYSTOLE, "SIM/ECG_II", start + 13, end)
    assert np.ptp(first) < 0.35  # P waves at most
    steep = np.abs(np.diff(late.reshape(-1, 10).mean(axis=1))).max()
    assert np.ptp(late) < 0.3 and steep < 0.03 and late.std() > 0.002  # wander and noise of a connected lead
    assert not ((p.truth.r_s > start) & (p.truth.r_s < end)).any()
    assert np.isnan(p.truth.hr_bpm[int(start) + 10 : int(end)]).all()
    assert np.nanmin(p.truth.hr_bpm) > 40.0  # the pause is no beat's interval


# -- fibrillation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, 12])
def test_fibrillation_has_its_frequency_and_no_beats(seed):
    start, end = span_of(Crisis.VFIB)
    for a in np.arange(start + 1, end - 15, 15):
        x = wave(Crisis.VFIB, "SIM/ECG_II", a, a + 15, seed)
        f, power = spectrum(x, 500.0)
        power[f < 1.0] = 0.0  # the baseline's wander
        dominant = f[np.argmax(power)]
        assert 4.0 <= dominant <= 7.0
        near = (f > dominant - 2.0) & (f < dominant + 2.0)
        assert power[near].sum() > 0.7 * power[(f > 1.0) & (f < 40.0)].sum()
        fast = x - np.convolve(x, np.ones(500) / 500, mode="same")
        assert likeness_to_itself(fast, 500.0, 1.0, 3.0) < 0.6
        z = (fast - fast.mean()) / fast.std()
        assert np.mean(z**4) < 6.0  # a QRS stands out of its line, this does not
    sinus = wave(Crisis.VFIB, "SIM/ECG_II", 5, 20, seed)
    fast = sinus - np.convolve(sinus, np.ones(500) / 500, mode="same")
    assert np.mean(((fast - fast.mean()) / fast.std()) ** 4) > 10.0
    first, last = (spectrum(wave(Crisis.VFIB, "SIM/ECG_II", t, t + 12, seed), 500.0) for t in (start + 1, end - 13))
    middle = [np.sum(f[8:60] * p[8:60]) / np.sum(p[8:60]) for f, p in (first, last)]
    assert middle[0] > middle[1]


def test_fibrillation_is_coarse_and_then_fine():
    start, end = span_of(Crisis.VFIB)

    def height(a, b):
        """Median over seconds of the peak-to-peak height."""
        return np.median(np.ptp(wave(Crisis.VFIB, "SIM/ECG_II", a, b).reshape(-1, 500), axis=1))

    assert 0.7 < height(start + 1, start + 9) < 1.8
    assert 0.08 < height(end - 10, end) < 0.35


# -- with a pulse ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "pressure", "settled_s"),
    [
        (Crisis.VTACH, 170, (75, 45), 12),
        (Crisis.BRADYCARDIA_EXTREME, 34, (75, 40), 14),
        (Crisis.TACHYCARDIA_EXTREME, 180, (75, 45), 12),
        (Crisis.SHOCK, 130, (38, 28), 30),
        (Crisis.PPG_OFF, 105, (52, 32), 60),
    ],
)
@pytest.mark.parametrize("seed", [0, 7, 12])
def test_rate_and_pressure_are_those_of_the_script(name, rate, pressure, settled_s, seed):
    start, end = span_of(name)
    a, b = start + settled_s, end - 2.0
    p = patient(name, seed)
    found = complexes(wave(name, "SIM/ECG_II", a, b, seed), 500.0)
    assert 60.0 / np.median(np.diff(found)) == pytest.approx(rate, rel=0.02)
    assert np.nanmedian(p.truth.hr_bpm[int(a) : int(b)]) == pytest.approx(rate, rel=0.02)
    rr = 60.0 / rate
    art = wave(name, "SIM/ART", a, b, seed) - p.device.abp_offset_mmhg
    cut = art[: art.size // int(rr * 1.3 * 125) * int(rr * 1.3 * 125)].reshape(-1, int(rr * 1.3 * 125))
    assert np.median(cut.max(axis=1)) == pytest.approx(pressure[0], abs=5.0)  # the catheter overshoots a little
    assert np.median(cut.min(axis=1)) == pytest.approx(pressure[1], abs=2.0)
    ups = p.truth.abp_upstroke_s
    assert ((ups > a) & (ups < b)).sum() == pytest.approx((b - a) / rr, abs=2)
    assert p.truth.rhythms[1].pulse


def complex_width(x, rate, centre_s):
    """Seconds for which the complex about ``centre_s`` moves: slope above a tenth of its steepest."""
    i = round(centre_s * rate)
    part = np.convolve(x, np.hanning(11) / np.hanning(11).sum(), mode="same")[
        i - int(0.12 * rate) : i + int(0.14 * rate)
    ]
    slope = np.abs(np.diff(part))
    moving = np.flatnonzero(slope > 0.1 * slope.max())
    return (moving[-1] - moving[0]) / rate


@pytest.mark.parametrize("name", [Crisis.VTACH, Crisis.VTACH_PULSELESS])
def test_ventricular_complexes_are_wide_and_regular(name):
    start, end = span_of(name)
    x, r = wave(name, "SIM/ECG_II", 0, end), patient(name).truth.r_s
    wide = [complex_width(x, 500.0, t) for t in r[(r > start + 2) & (r < end - 1)]]
    narrow = [complex_width(x, 500.0, t) for t in r[(r > 5) & (r < start - 1)]]
    assert np.min(wide) >= 0.12 and np.median(narrow) < 0.11
    rr = np.diff(r[(r > start + 2) & (r < end)])
    assert rr.max() < 0.6 and rr.std() / rr.mean() < 0.03
    assert x[int(500 * (start + 5)) : int(500 * (start + 6))].size == 500
    assert likeness_to_itself(x[int(500 * (start + 5)) : int(500 * (start + 15))], 500.0, 0.25, 0.5) > 0.8


def test_escape_beats_have_no_p_wave_and_long_intervals():
    start, end = span_of(Crisis.BRADYCARDIA_EXTREME)
    x, r = wave(Crisis.BRADYCARDIA_EXTREME, "SIM/ECG_II", 0, end), patient(Crisis.BRADYCARDIA_EXTREME).truth.r_s

    def before(times):
        """Mean course of the 0.3 s before the complex."""
        return np.mean([x[int(500 * (t - 0.32)) : int(500 * (t - 0.06))] for t in times], axis=0)

    assert np.ptp(before(r[(r > 5) & (r < start)])) > 2.5 * np.ptp(before(r[(r > start + 3) & (r < end)]))
    rr = np.diff(r[(r > start) & (r < end)])
    assert rr.min() > 1.6 and rr.max() < 1.9  # below 40 a minute, and no pause of 4 s


def test_pressure_that_a_windkessel_settles_at():
    """Against beats in a row, from a wrong beginning."""
    subject = patient(Crisis.PEA).course(Modality.ABP).subject
    for systolic, diastolic, rate in ((120, 80, 60), (75, 45, 170), (38, 28, 130), (75, 40, 34), (200, 90, 80)):
        rr, ts = 60.0 / rate, min(max(0.413 - 0.0017 * rate, 0.17), 0.55 * 60 / rate)
        amp, tau = windkessel_for(systolic, diastolic, rr, ts, subject)
        n = 60
        same = {name: np.full(n, 1.0) for name in Beats.__dataclass_fields__}
        same |= {
            "foot_abp": np.arange(n) * rr, "ts": np.full(n, ts), "tau": np.full(n, tau), "amp": np.full(n, amp),
            "zflow": np.full(n, subject.impedance * subject.compliance * amp), "outflow": np.full(n, 5.0),
        }  # fmt: skip
        level = [0.0]
        for _ in range(n - 1):
            one = Beats(**{**same, "p0": np.full(n, level[-1])})
            level.append(arterial(np.array([rr - 1e-7]), one, subject)[0] - 5.0)
        times = np.linspace(50 * rr, 51 * rr, 400, endpoint=False)
        last = arterial(times, Beats(**{**same, "p0": np.array(level)}), subject)
        assert last.max() == pytest.approx(systolic, abs=0.02 * systolic)
        assert last.min() == pytest.approx(diastolic, abs=0.02 * diastolic)


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
        (lambda: simulate_crisis("hypovolaemia"), ["pea, asystole", "'hypovolaemia'"]),
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
        one, two, other = simulate_crisis(name, 1), simulate_crisis(name, 2), simulate_crisis(name, 1, device="heldout")
        a, b = (p.read("SIM/ECG_II", 32, 60).values for p in (one, two))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.3
        assert other.device.profile == "heldout" and other.device != one.device
