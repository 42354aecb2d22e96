"""Each loss against its equation in numpy (``by_hand``), on small random inputs where no two things are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models import objectives
from models.objectives import (
    consistency,
    contrastive_loss,
    draw_tokens,
    hazard_loss,
    intra_loss,
    leave_one_out,
    masked_mean,
    missing_loss,
    negative_weights,
    nt_xent,
    pinball,
    token_loss,
    token_variance,
    wave_loss,
)
from models.training.losses import WEIGHTS, weigh, weighted
from models.training.pretrain import projector
from tests.models.equations import by_hand
from tests.models.equations.material import array

SEEDS = [0, 1, 2]
B, M, N, D = 6, 3, 4, 5


def draws(seed: int, *shape: int, size: float = 1.0) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def bits(seed: int, *shape: int, share: float = 0.6) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("seed", SEEDS)
def test_token_losses(seed: int) -> None:
    """Modalities of very different size, so that dividing by the wrong variance shows."""
    sizes = torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    predicted, target = sizes * draws(seed, B, M, N, D), sizes * draws(seed + 10, B, M, N, D, size=2.0)
    kept, sampled = bits(seed + 20, B, M, N), bits(seed + 30, B, M, N)
    known = kept | bits(seed + 40, B, M, N)
    a, b = array(predicted), array(target)
    one = token_loss(predicted[:, 1], target[:, 1], kept[:, 1])
    assert float(one) == pytest.approx(by_hand.token_error(a[:, 1], b[:, 1], array(kept[:, 1])), rel=1e-4)
    intra = by_hand.by_modality(a, b, array(kept & ~sampled), array(known))
    assert float(intra_loss(predicted, target, kept, sampled, known)) == pytest.approx(intra, rel=1e-4)
    missing = by_hand.by_modality(a, b, ~array(kept), array(known))
    assert float(missing_loss(predicted, target, kept, known)) == pytest.approx(missing, rel=1e-4)


def test_a_modality_that_nobody_has_is_no_error() -> None:
    tokens, none = draws(0, B, N, D), torch.zeros(B, N, dtype=torch.bool)
    assert float(token_variance(tokens, none)) == pytest.approx(1e-4)
    assert float(token_loss(tokens + 1.0, tokens, none, none)) == 0.0


def test_one_slot_is_a_mean_too() -> None:
    values, mask = draws(0, 4), torch.tensor([False, False, True, False])
    assert float(masked_mean(values, mask)) == pytest.approx(float(values[2]))


def test_token_loss_moves_the_prediction_only_where_it_counts() -> None:
    predicted, target = draws(0, B, N, D).requires_grad_(), draws(1, B, N, D).requires_grad_()
    mask = bits(2, B, N)
    token_loss(predicted, target, mask).backward()
    assert target.grad is None and predicted.grad is not None
    assert torch.equal(predicted.grad.abs().sum(-1) > 0, mask)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_nt_xent(seed: int, temperature: float) -> None:
    a, b = draws(seed, B, D), draws(seed + 1, B, D, size=3.0)
    patient, end_s = torch.tensor([0, 0, 1, 1, 2, 0]), torch.tensor([0, 30, 0, 200, 0, 95])
    valid = torch.tensor([True, True, False, True, True, True])
    log_weight = negative_weights(patient, end_s)
    weight = by_hand.negatives(patient.tolist(), end_s.tolist())
    np.testing.assert_allclose(array(log_weight.exp()), weight, rtol=1e-5)
    for found, expected in (
        (nt_xent(a, b, temperature), by_hand.nt_xent(array(a), array(b), temperature)),
        (nt_xent(a, b, temperature, valid), by_hand.nt_xent(array(a), array(b), temperature, array(valid))),
        (
            nt_xent(a, b, temperature, valid, log_weight),
            by_hand.nt_xent(array(a), array(b), temperature, array(valid), weight),
        ),
    ):
        assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("apart_s", [10.0, 60.0, 120.0])
def test_a_window_so_far_away_is_a_negative_both_ways(apart_s: float) -> None:
    """Exactly ``apart_s`` apart counts; the earlier window is the later one's negative as much as the other way."""
    patient, end_s = torch.tensor([4, 4, 4, 4, 9]), torch.tensor([200.0, 80.0, 140.0, 199.0, 0.0])
    found = array(negative_weights(patient, end_s, apart_s).exp())
    np.testing.assert_allclose(found, by_hand.negatives(patient.tolist(), end_s.tolist(), apart_s), rtol=1e-5)
    assert np.array_equal(found > 0, (found > 0).T)


def test_where_there_is_one_kind_of_negative_each_counts_once() -> None:
    alone = negative_weights(torch.zeros(4, dtype=torch.long), torch.tensor([0, 100, 200, 300]))
    assert torch.equal(alone, torch.zeros(4, 4))
    nobody = negative_weights(torch.zeros(3, dtype=torch.long), torch.tensor([0, 10, 20]))
    assert torch.equal(nobody.exp(), torch.eye(3))
    a, b = draws(0, 3, D), draws(1, 3, D)
    assert torch.equal(nt_xent(a, b), nt_xent(a, b, 0.1))  # the papers' temperature


def test_unequal_weights_belong_to_their_row() -> None:
    """Anchor i's negatives are row i of the weights, in both views."""
    a, b = draws(0, 4, D), draws(1, 4, D)
    weight = torch.rand(4, 4, generator=torch.Generator().manual_seed(2)) * 5 + 0.1
    weight.fill_diagonal_(1.0)
    expected = by_hand.nt_xent(array(a), array(b), 0.5, None, array(weight))
    assert float(nt_xent(a, b, 0.5, None, weight.log())) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_contrast_with_the_fused_mean(seed: int) -> None:
    tokens, slots = draws(seed, B, M, N, D), draws(seed + 1, B, M, N, D)
    mask = bits(seed + 2, B, M, N)
    mask[0, 1], mask[1] = False, False  # a sensor and a whole window without a token
    torch.manual_seed(seed)
    projectors = torch.nn.ModuleList(projector(D, 7) for _ in range(M + 1))
    weight = negative_weights(torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 100, 0, 20, 0, 70]))

    def project(m: int, values: np.ndarray) -> np.ndarray:
        return array(projectors[m](torch.from_numpy(values).float()))

    found = contrastive_loss(tokens, slots, mask, projectors, 0.2, weight)
    expected = by_hand.contrast_with_fused(
        array(tokens), array(slots), array(mask), project, 0.2, array(weight.exp())
    )  # fmt: skip
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("share", "expected"), [(0.2, 4), (0.28, 6), (0.01, 1), (0.975, 20)])
def test_the_share_of_sampled_tokens_is_rounded(share: float, expected: int) -> None:
    """Of 20: 4, 5.6, 0.2 (never none) and 19.5."""
    drawn = draw_tokens(torch.ones(3, 4, 5, dtype=torch.bool), share, torch.Generator().manual_seed(0))
    assert drawn.flatten(1).sum(1).tolist() == [expected] * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_leave_one_out(seed: int) -> None:
    """The weights of negatives belong to the anchor, on either side: patient 0 has three windows, 2 has one."""
    x = draws(seed, B, M, D)
    present = bits(seed + 1, B, M, share=0.75)
    weight = negative_weights(torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 70, 100, 0, 20, 0]))
    assert not torch.equal(weight, weight.T)
    for given in (None, weight):
        plain = np.ones((B, B)) if given is None else array(given.exp())
        expected = by_hand.leave_one_out(array(x), array(present), 0.3, plain)
        assert float(leave_one_out(x, present, 0.3, given)) == pytest.approx(expected, rel=1e-4)


def test_consistency_moves_the_subset_and_not_the_goal() -> None:
    subset, full = draws(0, 4, D).requires_grad_(), draws(1, 4, D).requires_grad_()
    counts = torch.tensor([True, False, True, True])
    loss = consistency(subset, full, counts)
    expected = 2 * by_hand.half_cosine(array(subset), array(full), array(counts))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert full.grad is None and subset.grad is not None
    assert torch.equal(subset.grad.abs().sum(-1) > 0, counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_heads(seed: int) -> None:
    predicted, target, mask = draws(seed, 7, 3, 3), draws(seed + 1, 7, 3), bits(seed + 2, 7, 3)
    expected = by_hand.pinball(array(predicted), array(target), array(mask))
    assert float(pinball(predicted, target, mask)) == pytest.approx(expected, rel=1e-4)
    labels = torch.tensor(
        [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1], [0, torch.nan, torch.nan], [torch.nan] * 3, [0, 1, torch.nan]]
    )
    logits, weights = draws(seed + 3, 7, 4, 3, size=2.0), torch.rand(7, 4) * 3
    expected = by_hand.hazards(array(logits), array(labels), array(weights))
    assert float(hazard_loss(logits, labels, weights)) == pytest.approx(expected, rel=1e-4)


def test_hazards_of_nobody_are_zero_and_of_little_weight_little() -> None:
    logits, labels = draws(0, 2, 3, 3), torch.zeros(2, 3)
    assert float(hazard_loss(logits, torch.full((2, 3), torch.nan), torch.ones(2, 3))) == 0.0
    small = hazard_loss(logits, labels, torch.full((2, 3), 0.01))  # less than one window in all: not blown up
    assert float(small) == pytest.approx(by_hand.hazards(array(logits), array(labels), np.full((2, 3), 0.01)), rel=1e-4)


@pytest.mark.parametrize("smooth", [0.1, 0.3, 3.0])
def test_waves(smooth: float) -> None:
    predicted, target = draws(0, 3, 9), draws(1, 3, 9)
    weight = torch.tensor([0.0, 0.0, 1.0, 1.0, 4.0, 4.0, 0.0, 1.0, 1.0]).expand(3, -1)
    expected = by_hand.wave(array(predicted), array(target), array(weight), smooth)
    assert float(wave_loss(predicted, target, weight, smooth)) == pytest.approx(expected, rel=1e-4)
    if smooth == 0.3:
        assert float(wave_loss(predicted, target, weight)) == pytest.approx(expected, rel=1e-4)  # the default
    assert float(wave_loss(predicted, target, torch.zeros(3, 9))) == 0.0
    for few in ([2], [4, 5]):  # one sample, one step: means all the same
        weight = torch.zeros(1, 9)
        weight[0, few] = 1.0
        expected = by_hand.wave(array(predicted[:1]), array(target[:1]), array(weight), smooth)
        assert float(wave_loss(predicted[:1], target[:1], weight, smooth)) == pytest.approx(expected, rel=1e-4)


def test_losses_are_added_by_their_weights() -> None:
    parts = {"intra": torch.tensor(2.0), "depth": torch.tensor(3.0)}
    assert {k: float(v) for k, v in weigh(parts, {"intra": 0.5, "depth": 4.0}).items()} == {"intra": 1.0, "depth": 12.0}
    assert float(weighted(parts, {"intra": 0.5, "depth": 4.0})) == 13.0
    with pytest.raises(KeyError):
        weigh({"typo": torch.tensor(1.0)}, WEIGHTS)


def test_the_constants_are_the_papers() -> None:
    assert objectives.QUANTILES == (0.1, 0.5, 0.9) and objectives.APART_S == 60.0
