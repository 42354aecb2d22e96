"""The simulator's building blocks against independent calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.sim.beats import Beats, response, response_end, unit_flow
from models.data.sim.noise import Stream, derive_seed, generator, normal_quantile, smooth, white
from models.data.sim.pharmacology import DEPTH_AWAKE, Propofol, concentration_for, depth_index, suppression_percent
from models.data.sim.physiology import Course
from models.data.sim.pulse import arterial, catheter_kernel, highpass_kernel, pressures
from models.data.sim.scenarios import Scenario, draw_plan
from models.data.sim.subject import draw_device, draw_subject

# -- noise -------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1), first=st.integers(-9000, 9000), count=st.integers(0, 9000), skip=st.integers(0, 99)
)
def test_white_noise_is_addressed_by_position(seed, first, count, skip):
    whole = white(seed, 3, first, count)
    assert whole.size == count
    np.testing.assert_array_equal(white(seed, 3, first + skip, max(count - skip, 0)), whole[skip:])


def test_noise_streams_are_independent_and_standard():
    a, b, c = white(1, 10, 0, 100_000), white(1, 11, 0, 100_000), white(2, 10, 0, 100_000)
    for x in (a, b, c):
        assert abs(x.mean()) < 0.02 and x.std() == pytest.approx(1.0, abs=0.02)
    assert max(abs(np.corrcoef(x, y)[0, 1]) for x, y in ((a, b), (a, c), (b, c), (a[1:], a[:-1]))) < 0.02
    assert len({derive_seed(s, k) for s in range(20) for k in range(20)}) == 400


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 5000), count=st.integers(1, 4000))
def test_smooth_noise_does_not_depend_on_the_range_asked_for(start, count):
    times = (start + np.arange(count)) / 125.0
    whole = smooth(7, Stream.PPG_WANDER, (np.arange(9000)) / 125.0, 4.0, 1.0)
    np.testing.assert_allclose(smooth(7, Stream.PPG_WANDER, times, 4.0, 1.0), whole[start : start + count], atol=1e-12)


def test_smooth_noise_has_unit_variance_and_its_quantiles():
    x = smooth(3, Stream.EEG_BURST, np.arange(400_000) / 8.0, 8.0, 0.7)
    assert x.std() == pytest.approx(1.0, abs=0.03)
    for share in (0.1, 0.5, 0.8):
        assert np.mean(x < normal_quantile(np.array([share]))) == pytest.approx(share, abs=0.02)


# -- windkessel --------------------------------------------------------------------------------------------------------

TS, TAU, SKEW = st.floats(0.15, 0.4), st.floats(0.1, 3.0), st.floats(0.0, 0.95)


@settings(max_examples=50, deadline=None)
@given(ts=TS, tau=TAU, skew=SKEW)
def test_response_solves_its_equation(ts, tau, skew):
    """Against step-by-step integration of g' = q − g/tau."""
    n = 6000
    u = np.linspace(0.0, 2.0 * ts, n)
    flow = unit_flow(u, np.full(n, ts), skew)
    dt = u[1]
    g = np.zeros(n)
    for i in range(1, n):
        middle = 0.5 * (flow[i] + flow[i - 1])
        g[i] = g[i - 1] * math.exp(-dt / tau) + middle * tau * (1.0 - math.exp(-dt / tau))
    found = response(u, np.full(n, ts), np.full(n, tau), skew)
    np.testing.assert_allclose(found, g, atol=2e-4)
    assert response_end(ts, tau, skew) == pytest.approx(found[n // 2 - 1], abs=2e-3)
    assert (flow >= -1e-9).all()
    assert np.trapezoid(flow, u) == pytest.approx(1.0, abs=1e-5)


@pytest.fixture(scope="module")
def course():
    seed = 9
    subject = draw_subject(generator(seed, Stream.SUBJECT))
    plan = draw_plan(generator(seed, Stream.PLAN), Scenario.MIXED, 1200.0, subject.ce50)
    return Course(seed, subject, draw_device(generator(seed, Stream.DEVICE), "train"), plan)


def test_pressure_is_continuous_from_beat_to_beat(course):
    beats = course.beats(0.0, 600.0)
    feet = beats.foot_abp[5:-5]
    before = arterial(feet - 1e-6, beats, course.subject)
    after = arterial(feet + 1e-6, beats, course.subject)
    assert np.abs(before - after).max() < 0.05


def test_mean_pressure_is_flow_times_resistance(course):
    """Mass balance over minutes: what goes in leaves through the resistance (τ/C), so MAP − CVP = R · CO."""
    beats = course.beats(0.0, 120.0)
    mean, _, _ = pressures(beats, course.subject)
    span = np.diff(beats.foot_abp)
    # amp · tau is stroke volume times resistance; the impedance adds zflow; reflections add a little.
    expected = np.sum(beats.amp[:-1] * beats.tau[:-1] + beats.zflow[:-1]) / span.sum() + 5.0
    assert np.sum(mean * span) / span.sum() == pytest.approx(expected, rel=0.05)


def test_pulses_follow_their_r_peaks(course):
    beats = course.beats(-20.0, 1200.0)
    assert (np.diff(beats.r) > 0.3).all()
    np.testing.assert_allclose(np.diff(beats.r), beats.rr[:-1], atol=1e-9)
    assert (beats.foot_abp > beats.r + 0.1).all() and (beats.foot_ppg > beats.r + 0.1).all()
    assert (np.diff(beats.foot_abp) > 0.2).all() and (np.diff(beats.foot_ppg) > 0.2).all()
    for name in Beats.__dataclass_fields__:
        assert np.isfinite(getattr(beats, name)).all()


@settings(max_examples=15, deadline=None)
@given(start=st.floats(-20, 1100), length=st.floats(0, 90))
def test_beats_of_a_range_are_those_of_the_whole(course, start, length):
    whole = course.beats(-20.0, 1200.0)
    part = course.beats(start, start + length)
    inside = (whole.r >= start) & (whole.r < start + length)
    np.testing.assert_array_equal(part.r, whole.r[inside])
    np.testing.assert_array_equal(part.p0, whole.p0[inside])


def test_kernels_keep_or_remove_the_mean():
    for natural, damping in ((9.0, 0.2), (25.0, 0.8), (1.6, 0.98)):
        kernel = catheter_kernel(125.0, natural, damping)
        assert kernel.sum() == pytest.approx(1.0) and kernel.size < 1000
    assert highpass_kernel(125.0, 0.1).sum() == pytest.approx(0.0, abs=1e-12)
    # The underdamped system overshoots a step by exp(−πζ/√(1−ζ²)) (Gardner 1981).
    step = np.cumsum(catheter_kernel(2000.0, 10.0, 0.3))
    assert step.max() - 1.0 == pytest.approx(math.exp(-math.pi * 0.3 / math.sqrt(1 - 0.09)), abs=0.02)


# -- pharmacology ------------------------------------------------------------------------------------------------------


def test_the_pump_reaches_its_target_and_the_brain_follows():
    drug = Propofol(70.0, 0.0)
    brain = []
    for _ in range(1800):
        drug.step(4.0)
        brain.append(drug.brain)
    assert drug.a1 / drug.v1 == pytest.approx(4.0, abs=0.05)
    assert brain[60] < 2.5 < brain[-1] == pytest.approx(4.0, abs=0.1)
    assert drug.circulation < drug.brain  # pressure follows later than the EEG
    for _ in range(1800):
        drug.step(0.0)
    assert 0.0 < drug.brain < 2.0


@given(st.floats(2.0, 90.0), st.floats(1.5, 5.0))
def test_depth_and_concentration_are_inverse(depth, ce50):
    assert depth_index(concentration_for(depth, ce50), ce50) == pytest.approx(depth, rel=1e-9)


def test_depth_falls_with_concentration_and_suppression_rises():
    depth = np.array([depth_index(c, 3.0) for c in np.linspace(0.0, 20.0, 200)])
    assert depth[0] == DEPTH_AWAKE and (np.diff(depth) < 0).all() and depth[-1] > 0
    assert depth_index(3.0, 3.0) == pytest.approx(DEPTH_AWAKE / 2)
    assert (np.diff(suppression_percent(depth)) >= 0).all()
    assert suppression_percent(np.array([60.0, 45.0])).max() == 0.0
