"""Objectives against naive definitions and known cases."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.objectives import (
    hazard_loss,
    intra_loss,
    masked_mean,
    missing_loss,
    nt_xent,
    pinball,
    token_loss,
    wave_loss,
)


def naive_nt_xent(a: torch.Tensor, b: torch.Tensor, temperature: float) -> float:
    z = [v / v.norm() for v in torch.cat([a, b])]
    count, total = len(a), 0.0
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        terms = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * count) if k != i]
        total -= math.log(math.exp(float(z[i] @ z[partner]) / temperature) / sum(terms))
    return total / (2 * count)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 6), temperature=st.sampled_from([0.1, 0.5]))
def test_nt_xent_equals_the_definition(seed, count, temperature):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(count, 5, generator=generator) for _ in range(2))
    assert abs(float(nt_xent(a, b, temperature)) - naive_nt_xent(a, b, temperature)) < 1e-4


def test_nt_xent_ignores_invalid_pairs():
    a, b = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([True, True, False, True, False])
    assert torch.allclose(nt_xent(a, b, 0.1, valid), nt_xent(a[valid], b[valid], 0.1), atol=1e-5)


def test_masks_keep_nan_out():
    values = torch.tensor([1.0, float("nan"), 3.0])
    assert masked_mean(values, torch.tensor([True, False, True])) == 2.0
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)) == 0.0


def test_token_loss_is_one_for_the_mean_and_has_no_gradient_on_the_target():
    target = torch.randn(50, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mean = target.detach().mean((0, 1)).expand(50, 4, 8).clone().requires_grad_()
    loss = token_loss(mean, target, torch.ones(50, 4, dtype=torch.bool))
    loss.backward()
    assert abs(float(loss.detach()) - 1.0) < 1e-3
    assert target.grad is None and mean.grad is not None


def test_intra_and_missing_count_disjoint_slots():
    predicted, target = torch.zeros(2, 3, 4, 5), torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    presence = torch.zeros(2, 3, 4, dtype=torch.bool)
    assert intra_loss(predicted, target, presence, presence, ~presence) == 0.0  # nothing kept
    assert missing_loss(predicted, target, ~presence, ~presence) == 0.0  # nothing missing
    assert missing_loss(predicted, target, presence, ~presence) > 0.5


def test_pinball_is_least_at_the_quantiles():
    sample = torch.linspace(0, 1, 1001)
    mask = torch.ones(1001, dtype=torch.bool)
    best = pinball(torch.tensor([0.1, 0.5, 0.9]).expand(1001, 3), sample, mask)
    for other in ([0.2, 0.5, 0.9], [0.1, 0.4, 0.9], [0.1, 0.5, 0.8]):
        assert best < pinball(torch.tensor(other).expand(1001, 3), sample, mask)


def test_hazards_count_only_what_is_known_and_not_yet_happened():
    nan = float("nan")
    labels = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, nan, nan], [nan, nan, nan]])
    logits = torch.zeros(4, 2, 3, requires_grad=True)
    hazard_loss(logits, labels, torch.ones(4, 2)).backward()
    assert logits.grad is not None
    touched = (logits.grad.abs() > 0)[:, 0]
    assert touched.tolist() == [[True, True, True], [True, False, False], [True, False, False], [False] * 3]
    assert (logits.grad[0, 0].sign() == torch.tensor([1.0, 1.0, -1.0])).all()
    weights = torch.ones(4, 2)
    weights[:, 1] = 0.0
    logits.grad = None
    hazard_loss(logits, labels, weights).backward()
    assert not logits.grad[:, 1].any()


def test_wave_loss_sees_fuzz_and_ignores_weight_zero():
    target = torch.sin(torch.arange(200) / 9.0)[None]
    fuzz = target + 0.1 * (-1.0) ** torch.arange(200)
    offset = target + 0.1
    weight = torch.ones(1, 200)
    assert wave_loss(target, target, weight) == 0.0
    assert wave_loss(fuzz, target, weight) > 3 * wave_loss(offset, target, weight)
    weight[:, 100:] = 0.0
    assert wave_loss(torch.cat([target[:, :100], fuzz[:, 100:]], dim=1), target, weight) == 0.0
