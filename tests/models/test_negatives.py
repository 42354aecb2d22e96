"""Contrastive batches: who is in them, and what a negative weighs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batches.negatives import draw_rows
from models.objectives import APART_S, contrastive_loss, draw_tokens, mean_token, negative_weights, nt_xent


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), patients=st.integers(2, 12), windows=st.integers(30, 90), batch=st.integers(2, 24))
def test_windows_of_one_patient_lie_apart(seed: int, patients: int, windows: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    patient_of = rng.permutation(np.repeat(np.arange(patients), windows))  # in no order
    end_s = rng.integers(0, 1800, len(patient_of))
    rows = draw_rows(rng, patient_of, end_s, batch, per_patient=4)
    assert len(rows) == batch
    if batch > 4 * patients:
        return  # patients come again
    assert len(set(rows.tolist())) == batch
    for p in np.unique(patient_of[rows]):
        times = np.sort(end_s[rows[patient_of[rows] == p]])
        assert len(times) <= 4 and (np.diff(times) >= APART_S).all()


def test_a_batch_has_several_windows_a_patient_and_everyone_comes() -> None:
    patient_of, end_s = np.repeat(np.arange(40), 170), np.tile(np.arange(170) * 10 + 40, 40)
    rng = np.random.default_rng(0)
    seen = np.zeros(40)
    for _ in range(60):
        rows = draw_rows(rng, patient_of, end_s, 24)
        counts = np.bincount(patient_of[rows], minlength=40)
        assert sorted(counts[counts > 0]) == [4] * 6
        seen += counts > 0
    assert (seen > 0).all()


def test_a_patient_of_few_windows_gives_fewer() -> None:
    patient_of, end_s = np.array([0, 0, 0, 1]), np.array([30, 40, 50, 30])
    rows = draw_rows(np.random.default_rng(1), patient_of, end_s, 2)
    assert sorted(patient_of[rows]) == [0, 1]
    assert len(draw_rows(np.random.default_rng(1), patient_of, end_s, 7)) == 7


def test_both_kinds_of_negative_weigh_one_half() -> None:
    patient, end_s = np.array([0, 0, 0, 1, 1, 2, 2, 2]), np.array([0, 30, 90, 0, 200, 0, 60, 120])
    weight = weights(patient, end_s).exp().numpy()
    same = patient[:, None] == patient[None]
    assert weight[0, 1] == 0 and weight[1, 0] == 0 and weight[0, 2] > 0  # 30 s apart: never a negative
    assert (np.diag(weight) == 1).all()
    weight = weight - np.eye(8)
    for i in range(8):
        assert np.isclose(weight[i][same[i]].sum(), weight[i][~same[i]].sum())
        assert np.isclose(weight[i].sum(), (weight[i] > 0).sum())
    assert torch.equal(weights(np.arange(4), np.zeros(4)), torch.zeros(4, 4))  # others only: as without weights


def weights(patient: np.ndarray, end_s: np.ndarray) -> torch.Tensor:
    return negative_weights(torch.from_numpy(patient), torch.from_numpy(end_s))


def test_a_window_of_weight_zero_is_no_negative() -> None:
    """The loss of an anchor does not move with an adjacent window, and moves with a distant one."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 8, generator=generator), torch.randn(3, 8, generator=generator)
    patient = np.array([0, 0, 1])
    only = torch.tensor([True, True, True])

    def first(other: torch.Tensor, end_s: list[int]) -> torch.Tensor:
        x, y = a.clone(), b.clone()
        x[1], y[1] = other, other
        return per_anchor(x, y, weights(patient, np.array(end_s)), only)[0]

    u, v = torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    assert torch.isclose(first(u, [0, 20, 0]), first(v, [0, 20, 0]), atol=1e-6)
    assert not torch.isclose(first(u, [0, 80, 0]), first(v, [0, 80, 0]), atol=1e-3)


def per_anchor(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """nt_xent's terms by anchor of the first view, by the definition (SimCLR, equation 1, with weights)."""
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=-1)
    count, terms = len(a), []
    for i in range(2 * count):
        positive = (i + count) % (2 * count)
        scale = torch.stack([weight[i % count, j % count].exp() for j in range(2 * count)])
        scale[positive] = 1.0
        scale[i] = 0.0
        scores = torch.exp(z[i] @ z.T / 0.1) * scale
        terms.append(-torch.log(scores[positive] / scores.sum()))
    return torch.stack(terms)


@pytest.mark.parametrize("seed", [0, 1])
def test_weighted_nt_xent_is_its_definition(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(6, 5, generator=generator), torch.randn(6, 5, generator=generator)
    weight = weights(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 100, 0, 20, 0, 300]))
    expected = per_anchor(a, b, weight, torch.ones(6, dtype=torch.bool)).mean()
    assert torch.isclose(nt_xent(a, b, 0.1, log_weight=weight), expected, atol=1e-5)
    assert torch.isclose(nt_xent(a, b, 0.1, log_weight=torch.zeros(6, 6)), nt_xent(a, b, 0.1), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.2, 0.4, 0.6, 0.8]))
def test_tokens_are_sampled_by_an_exact_count(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(6, 4, 10, generator=generator) < 0.6
    kept[0], kept[1] = True, False
    drawn = draw_tokens(kept, share, generator)
    assert not (drawn & ~kept).any()
    for row in range(6):
        number = int(kept[row].sum())
        assert int(drawn[row].sum()) == (max(1, round(number * share)) if number else 0)


def test_four_of_twenty_not_three() -> None:
    """int(20 · (1 − 0.8)) is 3."""
    assert int(draw_tokens(torch.ones(1, 20, dtype=torch.bool), 1 - 0.8, torch.Generator().manual_seed(0)).sum()) == 4


def test_tokens_are_drawn_a_window() -> None:
    drawn = draw_tokens(torch.ones(40, 10, dtype=torch.bool), 0.4, torch.Generator().manual_seed(0))
    assert len({tuple(row.tolist()) for row in drawn}) > 30
    assert (drawn.float().mean(0) > 0.1).all()


def test_the_mean_token_ignores_nan_under_the_mask() -> None:
    tokens = torch.tensor([[[1.0], [float("nan")], [3.0]], [[float("nan")]] * 3])
    mask = torch.tensor([[True, False, True], [False] * 3])
    assert mean_token(tokens, mask).tolist() == [[2.0], [0.0]]


def test_contrastive_loss_sees_no_absent_token() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, slots = torch.randn(2, 5, 3, 4, 8, generator=generator)
    presence = torch.rand(5, 3, 4, generator=generator) < 0.5
    projectors = torch.nn.ModuleList(torch.nn.Linear(8, 4) for _ in range(4))
    value = contrastive_loss(tokens, slots, presence, projectors, 0.1)
    nan = torch.full_like(tokens, float("nan"))
    hidden = presence.unsqueeze(-1)
    assert torch.equal(
        value,
        contrastive_loss(torch.where(hidden, tokens, nan), torch.where(hidden, slots, nan), presence, projectors, 0.1),
    )
