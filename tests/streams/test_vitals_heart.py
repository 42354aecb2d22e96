"""Heart rate: the averaging rule, its speed, and that it never outlives its beats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.findings import Findings, Pulse, Rhythm
from models.signals.modalities import Modality
from streams.vitals.heart import averaged_rate
from streams.vitals.monitor import VitalsMonitor
from tests.signals.waves import RATE, beat_times, ecg, pulse
from tests.streams.grids import grid_of, vitals_over


def stepped(first_rate: float, then_rate: float, step_s: float, duration_s: float) -> np.ndarray:
    before = np.arange(0.6, step_s, 60 / first_rate)
    after = np.arange(before[-1] + 60 / then_rate, duration_s - 0.5, 60 / then_rate)
    return np.concatenate((before, after))


def test_rule_leaves_out_largest_and_smallest():
    assert averaged_rate([0.8] * 10 + [0.3, 1.1]) == pytest.approx(75)


def test_rule_takes_the_last_twelve():
    assert averaged_rate([2.0] * 5 + [0.5] * 12) == pytest.approx(120)


def test_rule_takes_the_last_four_when_three_are_long():
    assert averaged_rate([0.5] * 9 + [1.0, 1.5, 1.5, 1.5]) == pytest.approx(60 / 1.375)
    assert averaged_rate([0.5] * 9 + [1.0, 1.5, 1.2, 1.5]) != pytest.approx(60 / 1.3)


def test_rule_needs_three_intervals_and_a_possible_rate():
    assert averaged_rate([0.8, 0.8]) is None
    assert averaged_rate([0.1] * 12) is None
    assert averaged_rate([8.0] * 4) is None


@given(st.lists(st.floats(0.25, 3.0), min_size=3, max_size=60))
def test_rule_lies_within_its_intervals(intervals):
    rate = averaged_rate(intervals)
    assert rate is not None
    last = intervals[-12:]
    assert 60 / max(last) - 1e-9 <= rate <= 60 / min(last) + 1e-9


@pytest.mark.parametrize("rate", [30, 48, 80, 120, 200])
def test_steady_rate(rate):
    out = vitals_over({Modality.ECG: ecg(beat_times(rate, 40), 40, noise=0.02)}, 40)
    assert all(v.hr == pytest.approx(rate, abs=0.5) for v in out[14:])
    assert all(v.hr_source == "ECG" for v in out[14:])


@pytest.mark.parametrize("then_rate", [120, 40])
@pytest.mark.parametrize("modality", [Modality.ECG, Modality.ABP, Modality.PPG])
def test_step_is_seen_in_less_than_11_s(modality, then_rate):
    times = stepped(80, then_rate, 30.0, 60)
    step_s = times[np.flatnonzero(np.abs(np.diff(times) - 0.75) > 0.01)[0]]
    x = ecg(times, 60, noise=0.01) if modality is Modality.ECG else pulse(times, 60, 60, 110)
    out = vitals_over({modality: x}, 58)
    assert out[28].hr == pytest.approx(80, abs=1)
    reached = next(
        v.second for v in out if v.second > step_s and v.hr and abs(v.hr - then_rate) <= 0.1 * abs(80 - then_rate)
    )
    assert reached - step_s < 11


def test_asystole_does_not_keep_the_old_number():
    times = beat_times(80, 30)
    x = ecg(times[times < 20], 40, noise=0.01)
    out = vitals_over({Modality.ECG: x}, 40)
    assert out[18].hr == pytest.approx(80, abs=1)
    assert all(v.hr is None and v.hr_source == "" for v in out if v.second >= 25)


def test_loss_of_the_signal_ends_the_number_and_the_return_glues_nothing():
    times = beat_times(80, 60)
    x = ecg(times, 60, noise=0.01)
    x[2000:3000] = np.nan
    out = vitals_over({Modality.ECG: x}, 60, {Modality.ECG: (21, 31)})
    assert all(v.hr is None for v in out if 21 <= v.second < 31)
    assert all(v.hr is None or abs(v.hr - 80) < 2 for v in out[10:])
    assert out[36].hr == pytest.approx(80, abs=1)


def test_an_interval_over_a_short_gap_does_not_count():
    times = beat_times(80, 40)
    x = ecg(times, 40, noise=0.01)
    x[2000:2250] = np.nan
    out = vitals_over({Modality.ECG: x}, 40)
    known = [v for v in out[12:] if v.hr is not None]
    assert all(v.hr == pytest.approx(80, abs=1) for v in known)
    assert {v.second for v in out[12:]} - {v.second for v in known} <= {21, 22, 23, 24}  # no rhythm to be told


def test_what_no_detector_should_count_has_no_rate():
    """Ventricular fibrillation gave 110–143/min by its largest deflections."""
    times = beat_times(80, 20)
    t = np.arange(60 * RATE) / RATE
    wobble = np.cumsum(np.random.default_rng(4).standard_normal(len(t))) / RATE
    x = np.where(t < 20, ecg(times, 60, noise=0.01), 0.5 * np.sin(2 * np.pi * 5.2 * t + 3 * wobble))
    out = vitals_over({Modality.ECG: x}, 60)
    assert out[18].hr == pytest.approx(80, abs=1)
    assert all(v.hr is None and not v.beats for v in out if v.second >= 25)


@pytest.mark.parametrize("modality", [Modality.ABP, Modality.PPG])
def test_a_channel_without_a_pulse_is_not_counted_and_its_rate_ends(modality):
    x = pulse(beat_times(80, 60), 60, 60, 110)
    x[3000:] = 60 + 0.2 * np.random.default_rng(5).standard_normal(3000)
    out = vitals_over({modality: x}, 60)
    assert out[28].hr == out[28].pulse_rate == pytest.approx(80, abs=1)
    assert all(v.hr is None and v.pulse_rate is None for v in out if v.second >= 36)


def test_auto_source_falls_back_and_returns():
    times = beat_times(70, 80)
    signals = {
        Modality.ECG: ecg(times, 80, noise=0.01),
        Modality.ABP: pulse(times + 0.15, 80, 60, 110),
        Modality.PPG: pulse(times + 0.25, 80, -0.01, 0.03),
    }
    out = vitals_over(signals, 80, {Modality.ECG: (20, 50), Modality.ABP: (35, 50)})
    assert {v.hr_source for v in out[10:19]} == {"ECG"}
    assert {v.hr_source for v in out[20:33]} == {"ABP"}
    assert {v.hr_source for v in out[35:48]} == {"PPG"}
    assert {v.hr_source for v in out[55:]} == {"ECG"}
    assert all(v.hr == pytest.approx(70, abs=1) for v in out[10:])


def test_movement_on_the_ecg_does_not_change_the_rate():
    times = beat_times(60, 60)
    x = ecg(times, 60, noise=0.01)
    t = np.arange(len(x)) / RATE
    rng = np.random.default_rng(5)
    for at in rng.uniform(20, 30, 14):
        x += np.where(t >= at, rng.choice([-1.6, 1.5]) * np.exp(-(t - at) / rng.uniform(0.05, 0.3)), 0.0)
    out = vitals_over({Modality.ECG: x, Modality.ABP: pulse(times + 0.15, 60, 60, 110)}, 60)
    assert all(v.hr == pytest.approx(60, abs=3) for v in out[10:])


def test_each_beat_is_told_once():
    times = beat_times(97, 60, jitter_s=0.02)
    out = vitals_over({Modality.ECG: ecg(times, 60, noise=0.02)}, 60)
    told = [at for v in out for at, source in v.beats if source == "ECG"]
    assert np.diff(told).min() > 0.3
    expected = times[(times > told[0] - 0.1) & (times < 59.6)]
    assert len(told) == len(expected)
    np.testing.assert_allclose(told, expected, atol=0.015)


def test_pulse_rate_prefers_the_plethysmogram():
    times = beat_times(70, 40)
    signals = {Modality.ABP: pulse(times, 40, 60, 110), Modality.PPG: pulse(times + 0.1, 40, 0, 1)}
    out = vitals_over(signals, 40, {Modality.PPG: (25, 41)})
    assert out[22].pulse_rate == pytest.approx(70, abs=1)
    assert out[35].pulse_rate == pytest.approx(70, abs=1)
    assert vitals_over({Modality.ECG: ecg(times, 40)}, 30)[-1].pulse_rate is None


def test_a_delay_is_said_while_beats_of_both_may_be_counted():
    times = beat_times(70, 40)
    grid = grid_of({Modality.ECG: ecg(times, 40), Modality.PPG: pulse(times + 0.18, 40, 0, 1)})
    both = Findings(Rhythm.BEATS, {Modality.PPG: Pulse.PRESENT})

    def said(findings=both, **measured):
        on = {Modality.ECG: True, Modality.PPG: True} | {Modality(m): is_on for m, is_on in measured.items()}
        return VitalsMonitor().update(30, grid, on, findings, rppg_delay_s=0.25).rppg_delay_s

    assert said() == 0.25
    assert said(ECG=False) is said(PPG=False) is None
    assert said(Findings(Rhythm.FIBRILLATION, both.pulse)) is None
    assert said(Findings(Rhythm.BEATS, {Modality.PPG: Pulse.NONE})) is None


def test_movement_of_a_finger_is_not_the_pulse_rate() -> None:
    """The pressure, at 72, is asked where the pleth says something else; alone, the pleth is believed."""
    slow, fast = beat_times(72, 40), beat_times(140, 40)
    signals = {Modality.ABP: pulse(slow, 40, 60, 110), Modality.PPG: pulse(fast, 40, 0, 1)}
    assert vitals_over(signals, 38)[30].pulse_rate == pytest.approx(72, abs=1)
    assert vitals_over({Modality.PPG: signals[Modality.PPG]}, 38)[30].pulse_rate == pytest.approx(140, abs=2)
