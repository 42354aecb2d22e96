"""Crises of the heart: each shows what its truth says, measured from the samples by means of its own."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.sim.beats import Beats
from models.data.sim.crises import Crisis
from models.data.sim.pulse import arterial, windkessel_for
from models.data.simulator import simulate_patient
from models.signals.modalities import Modality
from tests.data.crisis_waves import ARRESTS, complexes, likeness_to_itself, patient, peaks, span_of, spectrum, wave

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
