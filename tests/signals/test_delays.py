"""Which R a pulse belongs to: golden delays, device delays beyond an RR, following, switching, beginning anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.delays import LOST_AFTER_S, DelayTrack, follow_delay, pulse_delay


def beats(seconds: float, seed: int, rr: float = 0.75, rsa: float = 0.012, noise: float = 0.004) -> np.ndarray:
    rng = np.random.default_rng(seed)
    k = np.arange(int(seconds / rr * 1.2))
    return np.cumsum(rr + rsa * np.sin(2 * np.pi * k * rr / 4.8) + noise * rng.standard_normal(len(k)))


def follow(r: np.ndarray, pulses: np.ndarray, first: int, last: int, track: DelayTrack | None = None):
    """Track and delays [last - first] with the beats of the last ten seconds of each second."""
    track = track or DelayTrack()
    delays = []
    for second in range(first, last):
        recent = [x[(x >= second - 9) & (x < second + 1)] for x in (r, pulses)]
        track, delay = follow_delay(track, *recent, second)
        delays.append(delay)
    return track, np.array(delays)


@pytest.mark.parametrize("delay", (0.12, 0.3, 0.6, 0.85, 1.0))
def test_delay_is_found_even_beyond_the_next_beat(delay: float) -> None:
    """With a device delay the pulse comes after the next R; the variation of RR tells which R it belongs to."""
    rng = np.random.default_rng(4)
    r = np.cumsum(0.75 + 0.04 * rng.standard_normal(14))
    pulses = r + delay + 0.003 * rng.standard_normal(14)
    assert pulse_delay(r, pulses) == pytest.approx(delay, abs=0.006)


def test_the_first_delay_is_the_nearest_and_never_nonsense() -> None:
    r = np.arange(0.0, 10.0, 0.75)
    assert pulse_delay(r, r + 0.9) == pytest.approx(0.15)  # steady RR: nothing tells them apart
    rng = np.random.default_rng(0)
    assert np.isnan(pulse_delay(r, np.sort(rng.uniform(0, 10, 20))))
    assert np.isnan(pulse_delay(r[:2], r[:2] + 0.3)) and np.isnan(pulse_delay(np.empty(0), r))


@given(delay=st.floats(0.12, 1.1), rr=st.floats(0.5, 1.4), seed=st.integers(0, 10**6), jitter=st.floats(0.0, 0.004))
@settings(max_examples=40, deadline=None)
def test_little_variation_is_enough_in_a_minute(delay: float, rr: float, seed: int, jitter: float) -> None:
    """An anaesthetised heart: RR moves by 10 ms, the detectors err by up to 4 ms; every delay to 1.2 s is unmistakable
    after a minute, and whatever is told after the first quarter of a minute stays on one pairing or is put right."""
    rng = np.random.default_rng(seed)
    r = beats(90, seed, rr, noise=0.006)
    pulses = r + delay + jitter * rng.standard_normal(len(r))
    _, found = follow(r, pulses, 0, 80)
    np.testing.assert_allclose(found[60:], delay, atol=0.01)


def test_a_delay_that_moves_is_followed_through_bad_beats() -> None:
    r = beats(400, 3)
    rng = np.random.default_rng(7)
    pulses = r + 0.9 + 0.08 * np.sin(2 * np.pi * r / 300) + 0.003 * rng.standard_normal(len(r))
    spoilt = np.sort(np.concatenate([np.delete(r, slice(5, None, 9)), rng.uniform(0, 400, 60)]))
    _, found = follow(spoilt, pulses, 0, 380)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    known[:30] = False  # time to find the pairing among so many wrong beats
    true = 0.9 + 0.08 * np.sin(2 * np.pi * (np.arange(380) - 4.5) / 300)
    assert np.abs(found - true)[known].max() < 0.03


def test_a_settled_pairing_outlives_a_doubtful_time() -> None:
    """Blood loss: each breath moves the true delay as much as RR, so that a neighbour seems steadier."""
    rng = np.random.default_rng(8)
    r = beats(900, 8, rr=0.6)
    swing = np.where(r > 300, 0.6, 0.0) * (np.diff(r, append=r[-1] + 0.6) - 0.6)
    pulses = r + 0.85 + swing + 0.001 * rng.standard_normal(len(r))  # 40 % of RR's change is left to the R after
    track, found = follow(r, pulses, 0, 880)
    assert track.confirmed and track.since_s < 60
    np.testing.assert_allclose(found[60:], 0.85, atol=0.02)


def test_an_absence_changes_no_pairing() -> None:
    r = beats(400, 9)
    pulses = r + 0.88
    track, _ = follow(r, pulses, 0, 60)
    after, found = follow(r, r + 0.93, 300, 330, track)
    assert after.since_s == track.since_s
    np.testing.assert_allclose(found[10:], 0.93, atol=0.01)


def test_another_device_delay_begins_anew() -> None:
    r = beats(300, 11)
    track, _ = follow(r, r + 0.35, 0, 60)
    moved, found = follow(r, r + 0.60, 60, 200, track)
    assert moved.since_s >= 60 + LOST_AFTER_S - 1
    assert not np.isfinite(found[12 : LOST_AFTER_S - 1]).any()
    np.testing.assert_allclose(found[80:], 0.60, atol=0.01)


def test_steady_rhythm_changes_nothing() -> None:
    """Paced: all pairings vary alike, by the errors of the detectors; the first guess is kept."""
    rng = np.random.default_rng(2)
    r = np.arange(0.0, 300.0, 0.8) + 0.002 * rng.standard_normal(375)
    track, found = follow(r, r + 0.3 + 0.004 * rng.standard_normal(375), 0, 290)
    assert track.since_s < 10
    np.testing.assert_allclose(found[20:], 0.3, atol=0.01)
