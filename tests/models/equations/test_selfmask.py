"""SelfMask's step by the equations of its paper: which tokens are hidden, who sees them, what is scored, who learns.

    σ = h(g_φ̄([Z + e, T + e]));  M = TopK(σ);  Z̃ = E(x ⊙ (1 − M) + V ⊙ M);  Ẑ = g_φ([Z̃ + e, T + e]);  L_obs on M
    M' ⊃ M hides more;  Z̃' = E(x ⊙ (1 − M') + V ⊙ M');  Z̄ = g_φ([Z̃' + e, Ẑ_missing + e]);  L_cross on M'

The networks E, g and h are black boxes; masks, hiding, filling and errors are computed once more, in numpy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches.batch import Batch
from models.batches.chance import quiet_random
from models.batches.recall import recall
from models.data.missingness import LossPlan
from models.networks.transformer import key_bias
from models.physiome import PhysioME
from models.selfmask import SelfMaskImputer, SelfMaskPredictor, hide, imagine, nested_masks
from models.training import selfmask_stage
from models.training.config import SelfMaskConfig
from models.training.losses import WEIGHTS, head_losses
from models.training.selfmask_stage import SelfMaskStage, hidden_error, token_variance
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, M, N, array, batch_of, gradients, groups, tiny_model

PLAIN = dict(steps=2, batch=6, random_share=0.0, alpha=0.01, beta=0.2, supervised=0.5, momentum=0.9)


def stage_of(memory: bool = False, **changes) -> SelfMaskStage:
    """Scores that differ clearly, and an average that is not the online network."""
    model, (train, stop) = tiny_model(1, memory), groups()
    torch.manual_seed(4)
    stage = SelfMaskStage(model, train, stop, SelfMaskConfig(**(PLAIN | changes)), 3)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in stage.module.average.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        for parameter in stage.module.scorer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        stage.module.stand_in.normal_()
    stage.module.eval()
    return stage


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# -- the step, once more ----------------------------------------------------------------------------------------------


@torch.no_grad()
def scores(stage: SelfMaskStage, z: Tensor, observed: Tensor, embedded: Tensor) -> np.ndarray:
    """σ = h(g_φ̄([Z + e, T + e])), put together from the average's own parts."""
    average: SelfMaskPredictor = stage.module.average  # type: ignore[assignment]
    adapted = torch.stack([adapter(z[:, m]) for m, adapter in enumerate(average.adapters)], dim=1)
    slots = torch.where(observed.unsqueeze(-1), adapted, average.query) + average.positions + average.modality
    keys = key_bias(torch.cat([torch.ones_like(observed.flatten(1)[:, :1]), observed.flatten(1)], dim=1))
    states = average.transformer(torch.cat([average.context(embedded)[:, None], slots.flatten(1, 2)], dim=1), keys)
    return array(stage.module.scorer(states[:, 0], states[:, 1:].reshape(slots.shape), observed))  # type: ignore[operator]


@torch.no_grad()
def step_by_hand(stage: SelfMaskStage, batch: Batch) -> dict[str, float]:
    """The losses without weights. What must not be seen is noise here: seeing it would show."""
    model, observed, seen_by, known = stage.model, batch.presence, array(batch.presence), array(batch.known)
    noise = torch.randn(batch.features.shape, generator=torch.Generator().manual_seed(9))
    x = torch.where(observed.unsqueeze(-1), batch.features, noise)
    _, embedded = model.context(batch.context, observed)
    z, complete = model.encode(x, observed), model.encode(batch.features, batch.known)
    memory = recall(model, batch)

    sigma = scores(stage, z, observed, embedded)
    masks = [by_hand.highest(sigma, seen_by, share) for share in (0.25, 0.5)]
    encoded = []
    for mask in masks:
        hidden = torch.where(torch.from_numpy(mask)[..., None], stage.module.stand_in[None], x)  # type: ignore[index]
        encoded.append(model.encode(hidden, observed))
    imagined = imagine(model, torch.where(observed.unsqueeze(-1), encoded[0], noise), observed, embedded, memory)
    filled = torch.where(observed.unsqueeze(-1), encoded[1], imagined)
    every = torch.ones_like(observed)
    again = model.selfmask(filled, every, every, embedded)
    plain = imagine(model, torch.where(observed.unsqueeze(-1), z, noise), observed, embedded, memory)
    return {
        "observed": by_hand.hidden_error(array(imagined), array(z), masks[0], array(complete), known),
        "cross": by_hand.hidden_error(array(again), array(z), masks[1], array(complete), known),
        "supervised": by_hand.by_modality(array(plain), array(complete), known & ~seen_by, known),
    }


@pytest.mark.parametrize(("seed", "memory"), [(0, False), (1, False), (2, True)])
def test_the_losses_are_the_papers(seed: int, memory: bool) -> None:
    stage, batch = stage_of(memory), batch_of(8, seed)
    with torch.no_grad():
        found = stage.objective(batch, generator())
    expected = step_by_hand(stage, batch)
    assert {n: float(v) for n, v in found.items()} == pytest.approx(expected, rel=1e-4)
    assert min(expected.values()) > 0.05


def test_each_loss_has_its_own_weight() -> None:
    stage = stage_of(task=0.3)
    weights = {"observed": 0.01, "cross": 0.2, "supervised": 0.5, "task": 0.3}
    with torch.no_grad():
        found, plain = (
            stage.losses(5),
            stage.objective(stage._batches(5), quiet_random(stage.seed, stage.name, 5).torch),
        )
    assert {n: float(v) for n, v in found.items()} == pytest.approx(
        {n: weights[n] * float(v) for n, v in plain.items()}, rel=1e-5
    )


# -- leaks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in plain units: the variance is over all tokens, and would tell of every one of them."""
    monkeypatch.setattr(selfmask_stage, "token_variance", lambda tokens, known: torch.ones(M, 1))


def test_what_was_lost_is_seen_by_the_supervised_error_alone(one_unit: None) -> None:
    stage, batch = stage_of(), batch_of(8, 3)
    lost = (batch.known & ~batch.presence).unsqueeze(-1)
    other = replace(batch, features=torch.where(lost, 3.0 - batch.features, batch.features))
    with torch.no_grad():
        a, b = stage.objective(batch, generator()), stage.objective(other, generator())
    assert torch.equal(a["observed"], b["observed"]) and torch.equal(a["cross"], b["cross"])
    assert a["supervised"] != b["supervised"]


def test_what_is_not_known_is_nothing_at_all() -> None:
    stage, batch = stage_of(), batch_of(8, 4)
    unknown = ~batch.known.unsqueeze(-1)
    other = replace(batch, features=torch.where(unknown, 3.0 - batch.features, batch.features))
    with torch.no_grad():
        a, b = stage.objective(batch, generator()), stage.objective(other, generator())
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_what_is_hidden_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the masks and the targets given, other content under a mask changes no imagined token of that pass."""
    stage, batch = stage_of(), batch_of(8, 5)
    embedded, z, _ = stage._observe(batch, batch.features)
    masks = stage.masks(z, batch.presence, embedded, generator())
    monkeypatch.setattr(stage, "masks", lambda *args: masks)
    monkeypatch.setattr(stage, "_observe", lambda *args: (embedded, z, z))
    predicted: dict[str, list[Tensor]] = {}
    names = iter(("observed", "cross") * 3)

    def error(found: Tensor, target: Tensor, mask: Tensor, variance: Tensor) -> Tensor:
        predicted.setdefault(next(names), []).append(found)
        return found.sum()

    monkeypatch.setattr(selfmask_stage, "hidden_error", error)
    beyond = masks[1].bool() & ~masks[0].bool()
    for changed in (torch.zeros_like(beyond), masks[0].bool(), beyond):
        features = torch.where(changed.unsqueeze(-1), 3.0 - batch.features, batch.features)
        with torch.no_grad():
            stage.objective(replace(batch, features=features), generator())
    base, same, more = predicted["observed"]
    assert torch.equal(base, same) and not torch.allclose(base, more)
    base, same, more = predicted["cross"]
    assert torch.equal(base, same)
    assert not torch.allclose(base, more)  # through the imagined tokens alone: that is what L_cross asks for


def test_the_task_sees_what_was_observed_and_imagined() -> None:
    stage, batch = stage_of(task=1.0), batch_of(8, 6)
    with torch.no_grad():
        found = stage.objective(batch, generator())
        out = stage.model(
            batch.signals.nan_to_num(), batch.presence, batch.context, features=batch.features,
            imputer=SelfMaskImputer(), wave_rows=0,
        )  # fmt: skip
        expected = sum(WEIGHTS[n] * float(v) for n, v in head_losses(stage.model, batch, out).items())
    assert float(found["task"]) == pytest.approx(expected, rel=1e-4)
    assert float(found["supervised"]) == pytest.approx(step_by_hand(stage, batch)["supervised"], rel=1e-4)


# -- gradients --------------------------------------------------------------------------------------------------------


def test_each_loss_moves_what_it_should() -> None:
    """L_cross reaches the queries through the imagined tokens: with every slot filled, no other way is left."""
    stage = stage_of()
    parts = stage.objective(batch_of(8, 7), generator())
    moved = {name: gradients(parts[name], stage.module) for name in parts}
    for name in ("observed", "cross"):
        assert {"trained.modality", "stand_in", "scorer.score.weight"} <= moved[name]
    assert "trained.query" in moved["cross"] and "trained.query" not in moved["observed"]
    assert not any(n.startswith("average.") for n in set().union(*moved.values()))
    assert moved["supervised"] and all(n.startswith("trained.") for n in moved["supervised"])


def test_targets_are_not_pulled_towards_the_guess() -> None:
    """End to end the encoders learn, but not by making Z easy: features reach a loss as an input, not as its target."""
    model, (train, stop) = tiny_model(1), groups()
    settings = SelfMaskConfig(**(PLAIN | {"task": 1.0}))
    stage = SelfMaskStage(model, train, stop, settings, 3, end_to_end=True)  # type: ignore[arg-type]
    stage.module.eval()
    batch = batch_of(6, 8)
    embedded, z, complete = stage._observe(batch, batch.features.clone().requires_grad_())
    assert embedded.requires_grad and not z.requires_grad and not complete.requires_grad
    features = stage._features(batch)
    scaled, _ = model.scaling(batch.signals, batch.known, batch.context)
    assert features.requires_grad and torch.equal(features, model.frame_features(scaled))
    assert stage_of()._features(batch) is batch.features  # frozen encoders: as they were cached
    stage.module.eval()
    found = stage.score()
    assert found["score"] == pytest.approx(found["task"])  # its weight is 1; the tokens' error is in moving units


def test_the_scorer_makes_the_errors_larger() -> None:
    """A step of h down its gradient raises L_obs and L_cross in first order: its gradient is the opposite of theirs."""
    stage, batch = stage_of(), batch_of(8, 9)
    parameters = list(stage.module.scorer.parameters())  # type: ignore[union-attr]
    with_reversal = torch.autograd.grad(sum_of(stage, batch), parameters, allow_unused=True)
    original = selfmask_stage.reverse_gradient
    try:
        selfmask_stage.reverse_gradient = lambda x: x
        straight = torch.autograd.grad(sum_of(stage, batch), parameters, allow_unused=True)
    finally:
        selfmask_stage.reverse_gradient = original
    pairs = [(a, b) for a, b in zip(with_reversal, straight, strict=True) if a is not None and b is not None]
    assert any(a.any() for a, _ in pairs)
    assert all(torch.allclose(a, -b, atol=1e-7) for a, b in pairs)


def sum_of(stage: SelfMaskStage, batch: Batch) -> Tensor:
    parts = stage.objective(batch, generator())
    return parts["observed"] + parts["cross"]


def test_both_the_hiding_and_the_error_tell_the_scorer() -> None:
    """M enters Z̃ and the error; its gradient (per K d) is that of both."""
    predicted, target = torch.zeros(1, 1, 2, 3), torch.tensor([[[[1.0, 2, 3], [0, 1, 0]]]])
    mask = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    hidden_error(predicted, target, mask, torch.full((1, 1), 2.0)).backward()
    assert mask.grad is not None
    np.testing.assert_allclose(mask.grad[0, 0].numpy(), [14 / 3 / 2, 1 / 3 / 2], rtol=1e-5)
    features, stand_in = torch.randn(1, 1, 2, 3), torch.randn(1, 1, 3)
    mask.grad = None
    hide(features, torch.ones(1, 1, 2, dtype=torch.bool), mask, stand_in).sum().backward()
    torch.testing.assert_close(mask.grad, (stand_in[None] - features).sum(-1))


# -- masks ------------------------------------------------------------------------------------------------------------


def test_the_average_is_scored_without_dropout_and_follows_slowly() -> None:
    stage, batch = stage_of(), batch_of(8, 10)
    embedded, z, _ = stage._observe(batch, batch.features)
    stage.module.train()
    assert not stage.module.average.training and stage.module.trained.training
    sigma = scores(stage, z, batch.presence, embedded)
    found = stage.masks(z, batch.presence, embedded, generator())[0]
    assert np.array_equal(array(found) > 0.5, by_hand.highest(sigma, array(batch.presence), 0.25))
    slow = [p.clone() for p in stage.module.average.parameters()]
    stage.after_step(0)
    for before, after, fast in zip(
        slow, stage.module.average.parameters(), stage.model.selfmask.parameters(), strict=True
    ):
        torch.testing.assert_close(after, 0.9 * before + 0.1 * fast)


def test_chance_is_drawn_a_window_and_in_its_share() -> None:
    stage = stage_of(random_share=0.25)
    windows = 600
    batch = batch_of(5, 11)
    z = batch.features[:1].expand(windows, -1, -1, -1)
    observed = torch.ones(windows, M, N, dtype=torch.bool)
    embedded = torch.zeros(windows, TINY.width)
    found = array(stage.masks(z, observed, embedded, generator())[0]) > 0.5
    chosen = by_hand.highest(scores(stage, z[:1], observed[:1], embedded[:1]), array(observed[:1]), 0.25)[0]
    by_chance = (found != chosen).any((1, 2))
    assert by_chance.mean() == pytest.approx(0.25, abs=0.05)
    assert len({m.tobytes() for m in found[by_chance]}) > 100
    random = stage_of(masks="random")
    found = array(random.masks(z, observed, embedded, generator())[0]) > 0.5
    assert (found != chosen).any((1, 2)).mean() > 0.98
    assert found.mean(0).min() > 0.15  # every slot has its turn


def relaxed(sigma: np.ndarray, observed: np.ndarray, middle: float) -> np.ndarray:
    """The soft mask of one window: a sigmoid around the midpoint of the K-th and the next score, which stand at zero
    mean and unit spread."""
    seen = sigma[observed]
    standard = (sigma - seen.mean()) / np.sqrt(seen.var() + 1e-6)
    return 1.0 / (1.0 + np.exp(np.clip(-(standard - middle) / 0.5, -500.0, 500.0)))


def test_the_gradient_through_top_k_is_that_of_the_relaxed_mask() -> None:
    """Against finite differences, the midpoint held; sensors and windows do not know each other."""
    generator_ = torch.Generator().manual_seed(0)
    sigma = (3.0 * torch.randn(3, M, N, generator=generator_) + 1.0).requires_grad_()
    observed = torch.rand(3, M, N, generator=generator_) < 0.7
    weight = torch.randn(3, M, N, generator=generator_)
    (nested_masks(sigma, observed, (0.4,))[0] * weight).sum().backward()
    assert sigma.grad is not None
    for row in np.ndindex(3, M):
        values, seen = array(sigma)[row], array(observed)[row]
        if not seen.any():
            assert not sigma.grad[row].any()
            continue
        mean, spread = values[seen].mean(), np.sqrt(values[seen].var() + 1e-6)
        ordered = np.sort((values[seen] - mean) / spread)[::-1]
        k = int(np.ceil(0.4 * seen.sum()))
        middle = 0.5 * (ordered[k - 1] + (ordered[k] if k < len(ordered) else ordered[k - 1] - 1.0))
        for slot in range(N):
            step = np.zeros(N)
            step[slot] = 1e-4
            change = relaxed(values + step, seen, middle) - relaxed(values - step, seen, middle)
            expected = (change * array(weight)[row])[seen].sum() / 2e-4 if seen[slot] else 0.0
            assert float(sigma.grad[(*row, slot)]) == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_windows_that_hide_nothing_do_not_count() -> None:
    generator_ = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(5, M, N, 3, generator=generator_) for _ in range(2))
    mask = (torch.rand(5, M, N, generator=generator_) < 0.4).float()
    mask[2] = 0.0
    complete = torch.randn(5, M, N, 3, generator=generator_) * torch.tensor([1.0, 5.0, 0.2, 1.0])[:, None, None]
    known = torch.rand(5, M, N, generator=generator_) < 0.6
    for some in (known, None):
        counted = np.ones((5, M, N), np.bool_) if some is None else array(some)
        expected = by_hand.hidden_error(array(predicted), array(target), array(mask) > 0, array(complete), counted)
        found = hidden_error(predicted, target, mask, token_variance(complete, some))
        assert float(found) == pytest.approx(expected, rel=1e-4)
    assert float(hidden_error(predicted, target, torch.zeros(5, M, N), torch.ones(M, 1))) == 0.0


# -- early stopping ---------------------------------------------------------------------------------------------------


def test_training_and_stopping_look_at_their_own_windows() -> None:
    model: PhysioME = tiny_model(1)
    train, stop = groups()
    stage = SelfMaskStage(model, train, stop, SelfMaskConfig(**PLAIN), 3)  # type: ignore[arg-type]
    stage.losses(0)
    assert (train.seen, stop.seen) == (6, 0)
    stage.module.eval()
    found = stage.score()
    assert (train.seen, stop.seen) == (6, len(stop)) and found["score"] == found["supervised"]
    assert stage.score() == found and set(train.plans + stop.plans) == {LossPlan()}
    task = SelfMaskStage(model, train, stop, SelfMaskConfig(**(PLAIN | {"task": 2.0})), 3)  # type: ignore[arg-type]
    task.module.eval()
    found = task.score()
    assert found["score"] == pytest.approx(found["supervised"] + 2.0 * found["task"])
