"""Structured losses and noise: each does what it says, measured content and NaN are never touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.corruption import KINDS, corrupt
from models.data.missingness import lose
from models.data.patterns import PATTERNS, Layout, lose_by, trailing_frames
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS

M = (Modality.ECG, Modality.ABP, Modality.PPG, Modality.EEG)
ECG, ABP, PPG, EEG = range(4)
AGE, LEVEL = CONTEXT_FIELDS.index("age_s"), CONTEXT_FIELDS.index("level")
SECONDS, FRAMES, COUNT = 1800, 10, 400


def history() -> np.ndarray:
    """Level = second at which it was measured, age 0."""
    rows = np.tile(np.arange(SECONDS + 1, dtype=np.float32)[None, :, None, None], (1, 1, 4, len(CONTEXT_FIELDS)))
    rows[..., AGE] = 0.0
    return rows


def lost(name: str, seed: int = 0, presence: np.ndarray | None = None, count: int = COUNT):
    rng = np.random.default_rng(seed)
    end_s = rng.integers(700, SECONDS, count)
    whole = np.ones((count, 4, FRAMES), bool) if presence is None else presence
    kept, context = lose_by(name, rng, whole, history(), np.zeros(count, int), end_s, 3, M)
    return kept, context, end_s


@pytest.mark.parametrize("name", PATTERNS)
def test_presence_and_context_tell_one_history(name: str) -> None:
    kept, context, end_s = lost(name)
    assert kept.shape == (COUNT, 4, FRAMES) and not kept.all() and kept.any()
    age = context[..., AGE]
    np.testing.assert_array_equal(context[..., LEVEL], end_s[:, None] - age)  # the level of when it was lost
    some = kept.any(-1)
    np.testing.assert_array_equal(age[some], 3.0 * trailing_frames(kept)[some])
    assert (age[~some] >= 30.0).all() and (age <= end_s[:, None]).all()


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_gives_nothing_back_and_is_seeded(name: str) -> None:
    recorded = np.random.default_rng(9).random((COUNT, 4, FRAMES)) < 0.7
    kept, context, _ = lost(name, 5, recorded)
    assert not (kept & ~recorded).any()
    again = lost(name, 5, recorded)
    assert kept.tobytes() == again[0].tobytes() and context.tobytes() == again[1].tobytes()


def test_bursts_have_their_share_and_length() -> None:
    kept = lost("bursts", count=4000)[0]
    assert 1 - kept.mean() == pytest.approx(0.4, abs=0.01)
    ends = ~kept[..., 1:-1] & kept[..., 2:]
    assert (~kept[..., 1:-1]).sum() / ends.sum() == pytest.approx(3.0, abs=0.15)


def test_one_arm_takes_both_and_only_both() -> None:
    kept, context, _ = lost("ABP and PPG together")
    assert kept[:, [ECG, EEG]].all() and not kept[:, [ABP, PPG]].any()
    np.testing.assert_array_equal(context[:, ABP, AGE], context[:, PPG, AGE])
    assert np.quantile(context[:, ABP, AGE], 0.5) == pytest.approx(141, rel=0.2)  # log-uniform 30 to 600


def test_cuff_is_thirty_seconds_in_a_hundred_and_fifty() -> None:
    kept = lost("periodic cuff", count=4000)[0]
    assert kept[:, [ECG, EEG]].all()
    # A frame is lost if any of its three seconds is: 33 of 150 s.
    assert 1 - kept[:, PPG].mean() == pytest.approx(33 / 150, abs=0.02)
    assert not (kept[:, PPG] & ~kept[:, ABP]).any()


def test_the_others() -> None:
    assert (lost("one at a time")[0].sum(1) == 1).all()
    assert lost("duty-cycled")[0].mean() == pytest.approx(1 / 3, abs=0.01)
    newest = lost("newest frame only")
    assert newest[0][..., -1].all() and not newest[0][..., :-1].any() and (newest[1][..., AGE] == 0).all()
    oldest = lost("oldest frames only")[0]
    assert (oldest.all(-1).sum(1) == 1).all() and oldest[..., :2].all()
    kept, context, end_s = lost("long lost")
    gone = ~kept.any(-1)
    assert gone.any(1).all() and not gone.all(1).any()
    ages = context[..., AGE]
    assert (ages[gone] >= 320).all() and (ages[gone] > 1200).any() and (ages <= end_s[:, None] - 59)[gone].all()


def test_a_pattern_equals_the_plain_loss_it_describes() -> None:
    kept, context, end_s = lost("oldest frames only")
    ages = np.where(kept.all(-1), 0.0, 24.0)
    plain = lose(np.ones_like(kept), history(), np.zeros(COUNT, int), end_s, ages, 3, M)
    np.testing.assert_array_equal(kept, plain[0])
    np.testing.assert_array_equal(context, plain[1])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadInput, match="a pattern out of"):
        lost("sometimes")
    with pytest.raises(BadInput, match="noise out of"):
        corrupt(np.zeros((1, 8), np.float32), "pink", 10.0, np.random.default_rng(0))
    for ratio in (np.nan, 100.0):
        with pytest.raises(BadInput, match="dB"):
            corrupt(np.zeros((1, 8), np.float32), "white", ratio, np.random.default_rng(0))


def test_layout_knows_its_rows() -> None:
    layout = Layout((Modality.EEG, Modality.PPG), 8, 3, np.array([100]))
    assert layout.shape == (1, 2, 8) and layout.rows(Modality.PPG, Modality.ABP) == [1]
    for draw in PATTERNS.values():  # sensors that a model lacks are nobody's loss
        assert draw(np.random.default_rng(0), layout).kept.shape == layout.shape


@pytest.mark.parametrize("kind", KINDS)
@given(snr_db=st.floats(-20, 40), offset=st.floats(-200, 200), scale=st.floats(0.01, 100), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_noise_has_its_ratio_in_any_unit(kind: str, snr_db: float, offset: float, scale: float, seed: int) -> None:
    t = np.arange(3000) / 100
    clean = np.stack([offset + scale * np.sin(2 * np.pi * 1.3 * t), scale * np.cos(t)])[None]
    clean[0, 1, 500:900] = np.nan
    x = clean.astype(np.float32)
    noisy = corrupt(x, kind, snr_db, np.random.default_rng(seed)).astype(float)
    np.testing.assert_array_equal(np.isnan(noisy), np.isnan(x))
    added = noisy - x
    ratio = 10 * np.log10(np.nanvar(x.astype(float), axis=-1) / np.nanvar(added, axis=-1))
    if scale * 10 ** (-snr_db / 20) > 1e-4 * (abs(offset) + scale):  # else float32 rounds the noise away
        np.testing.assert_allclose(ratio, snr_db, atol=0.2)
        assert np.abs(np.nanmean(added, axis=-1)).max() < 0.02 * np.nanstd(added, axis=-1).min() + 1e-5 * abs(offset)


def test_only_what_is_struck_changes_and_flat_stays_flat() -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 500)).astype(np.float32)
    x[2, 3] = 7.0
    x[1, 0] = np.nan
    struck = np.array([True, False, False, True])
    noisy = corrupt(x, "motion", 0.0, np.random.default_rng(2), struck)
    np.testing.assert_array_equal(noisy[:, 1:3], x[:, 1:3])
    assert (noisy[0, [0, 3]] != x[0, [0, 3]]).all() and (noisy[2, 3] == 7.0).all() and np.isnan(noisy[1, 0]).all()
