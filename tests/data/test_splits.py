"""Splits by patient: stable, disjoint, in proportion; folds balanced by subject."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.dataset import GROUPS
from models.data.splits import Shares, check_groups, fold_groups, folds, split
from models.signals.errors import BadInput

GOLDEN = ["train", "calibration", "train", "train", "train", "test"]
NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=5, max_size=60)


@given(NAMES, NAMES, st.text(max_size=5))
@settings(max_examples=40, deadline=None)
def test_added_patients_move_nobody(some: set[str], more: set[str], salt: str) -> None:
    before = split(some, salt=salt)
    after = split(some | more, salt=salt)
    assert set(after) == some | more
    assert all(after[p] == before[p] for p in some)


def test_groups_have_their_shares_and_another_salt_another_split() -> None:
    shares = Shares(0.5, 0.1, 0.15, 0.25)
    names = [f"p{i}" for i in range(4000)]
    groups = split(names, shares)
    counts = Counter(groups.values())
    for name in GROUPS:
        assert counts[name] / 4000 == pytest.approx(getattr(shares, name), abs=0.03)
    other = split(names, shares, salt="other")
    same = sum(groups[n] == other[n] for n in names) / 4000
    assert same == pytest.approx(0.5**2 + 0.1**2 + 0.15**2 + 0.25**2, abs=0.04)  # independent, not nearly equal


def test_a_split_is_the_same_on_every_machine() -> None:
    assert [split([f"p{i}"])[f"p{i}"] for i in range(6)] == GOLDEN


def test_a_share_of_zero_gets_nobody() -> None:
    assert set(split((str(i) for i in range(500)), Shares(0.7, 0.0, 0.0, 0.3)).values()) == {"train", "test"}


@given(NAMES, st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_folds_are_balanced_and_each_subject_is_tested_once(names: set[str], count: int, seed: int) -> None:
    fold_of = folds(names, count, seed)
    sizes = Counter(fold_of.values())
    assert set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert folds(sorted(names, reverse=True), count, seed) == fold_of
    tested: list[str] = []
    for test in range(count):
        groups = fold_groups(fold_of, test, Shares(), "vigil")
        assert set(groups) == names
        tested += [p for p, group in groups.items() if group == "test"]
    assert sorted(tested) == sorted(names)


def test_bad_splits_are_refused() -> None:
    with pytest.raises(BadInput, match="add to 1"):
        split(["a"], Shares(0.5, 0.1, 0.1, 0.1))
    with pytest.raises(BadInput, match="none for stop, test"):
        check_groups({"a": "train", "b": "calibration"})
    with pytest.raises(BadInput, match="5 folds"):
        folds(["a", "b"], 5, 0)
    with pytest.raises(BadInput, match="a fold from 0 to 1"):
        fold_groups({"a": 0, "b": 1}, 2, Shares(), "")
    with pytest.raises(BadInput, match="a share for training above 0"):
        fold_groups({"a": 0, "b": 1}, 1, Shares(0.0, 0.0, 0.0, 1.0), "")
