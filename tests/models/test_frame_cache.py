"""Frames seen before are not computed again, and nothing else changes: late samples, dropouts, seeks, other beds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.frame_cache import Floats, FrameCache

M, N, S, D = 2, 4, 6, 3
RATE = 2  # samples a second: frames of 3 s
WEIGHTS = np.random.default_rng(0).standard_normal((M, S, D)).astype(np.float32)


class Networks:
    """A linear map for each modality; counts what it is given."""

    def __init__(self) -> None:
        self.given = [0] * M

    def __call__(self, frames: list[Floats]) -> list[Floats]:
        for row, values in enumerate(frames):
            assert len(values) > 0
            self.given[row] += len(values)
        return [values @ w for values, w in zip(frames, WEIGHTS, strict=True)]


def direct(scaled: Floats) -> Floats:
    frames = scaled.reshape(len(scaled), M, N, S)
    return np.einsum("bmns,msd->bmnd", frames, WEIGHTS)


def window(signal: Floats, end_s: int) -> Floats:
    return signal[None, :, (end_s * RATE - N * S) : end_s * RATE]


def test_a_hop_costs_one_frame_a_modality() -> None:
    signal = np.random.default_rng(1).standard_normal((M, 200)).astype(np.float32)
    cache = FrameCache(networks := Networks(), M, N, D)
    for end_s in range(12, 15):
        cache.features(window(signal, end_s))  # three rasters
    assert networks.given == [3 * N] * M
    for hop, end_s in enumerate(range(15, 40), start=1):
        np.testing.assert_allclose(
            cache.features(window(signal, end_s)), direct(window(signal, end_s)), rtol=1e-5, atol=1e-5
        )
        assert networks.given == [3 * N + hop] * M
    assert (cache.tally.asked, cache.tally.computed) == (28 * M * N, M * (3 * N + 25))


def test_a_late_sample_costs_the_frame_that_it_is_in() -> None:
    signal = np.random.default_rng(2).standard_normal((M, 100)).astype(np.float32)
    cache = FrameCache(networks := Networks(), M, N, D)
    cache.features(window(signal, 12))
    signal[1, 7] += 1.0
    cache.features(window(signal, 12))
    # The other modality has one computed again, since no library takes a batch of none; it does not count.
    assert cache.tally.computed == M * N + 1
    assert networks.given == [N + 1] * M


def test_without_kept_frames_absent_ones_are_computed_too() -> None:
    cache = FrameCache(networks := Networks(), M, N, D, kept=0)
    for _ in range(2):
        cache.features(np.zeros((3, M, N * S), np.float32))
    assert networks.given == [2 * 3 * N] * M


def test_absent_frames_are_one_frame_of_zeros() -> None:
    cache = FrameCache(networks := Networks(), M, N, D)
    cache.features(np.zeros((3, M, N * S), np.float32))
    assert networks.given == [1] * M


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_stream_gives_what_the_networks_give(data: st.DataObject) -> None:
    """Beds in any order, hops and seeks, dropouts, late samples, batches beyond what is kept."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    signals = rng.standard_normal((3, M, 200)).astype(np.float32)
    kept = data.draw(st.sampled_from([1, 5, 64]))
    cache = FrameCache(Networks(), M, N, D, kept=kept)
    ends = [12, 12, 12]
    for _ in range(data.draw(st.integers(1, 12))):
        beds = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
        for bed in beds:
            ends[bed] = data.draw(st.sampled_from([ends[bed], min(ends[bed] + 1, 99), 12, 50]))
            if data.draw(st.booleans()):
                signals[bed, rng.integers(M), rng.integers(200)] = rng.standard_normal()
        batch = np.concatenate([window(signals[bed], ends[bed]) for bed in beds])
        frames = batch.reshape(len(beds), M, N, S)
        frames[rng.random(frames.shape[:3]) < 0.3] = 0.0
        found = cache.features(frames.reshape(batch.shape))
        np.testing.assert_allclose(found, direct(frames.reshape(batch.shape)), rtol=1e-5, atol=1e-5)
    assert all(len(row._slot) <= kept for row in cache._rows)


@pytest.mark.parametrize("batch", [1, 7])
def test_shapes(batch: int) -> None:
    assert FrameCache(Networks(), M, N, D).features(np.ones((batch, M, N * S), np.float32)).shape == (batch, M, N, D)
