"""Other methods on the same stack: their losses by definition, what learns, what stays, what they may look at."""

from __future__ import annotations

import copy
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.objectives import consistency, leave_one_out
from models.physiome import SIZES, PhysioME
from models.training.config import FusionConfig
from models.training.fusion_stage import FusionStage
from models.training.loop import run_stage
from models.training.objective_stages import METHODS, Drawn, MainStage, main_stage
from models.training.stage import Stage
from tests.models.lost_material import make_group

NAMES = {"leave_one_out": "leave_one_out", "masked_autoencoding": "autoencoding", "consistency": "consistency"}
SETTINGS = FusionConfig(
    steps=3, batch=12, rate=3e-3, warmup=1, evaluate_every=2, save_every=2, lora_rank=4, ema=0.0, token_sample=0.4
)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = PhysioME(SIZES["ci"])
    folder = tmp_path_factory.mktemp("patients")
    return model, make_group(folder, range(3), model), make_group(folder, range(3, 4), model)


def stage_of(material, method: str, **changes) -> MainStage:
    model, train, stop = material
    stage = main_stage(method, copy.deepcopy(model), train, stop, msgspec.structs.replace(SETTINGS, **changes), seed=3)
    assert isinstance(stage, MainStage)
    return stage


def drawn_of(stage: MainStage, size: int = 10, seed: int = 0) -> Drawn:
    rng = np.random.default_rng(seed)
    return stage._drawn(stage._train, rng.integers(0, len(stage._train), size), rng)


# -- losses by definition ---------------------------------------------------------------------------------------------


def by_definition(x: Tensor, present: Tensor, temperature: float) -> Tensor:
    """SleepFM's loss term by term: anchors one by one, their others averaged, absent ones nowhere."""
    terms: list[Tensor] = []
    for k in range(x.shape[1]):
        rest = []
        for i in range(len(x)):
            others = [functional.normalize(x[i, m], dim=0) for m in range(x.shape[1]) if m != k and present[i, m]]
            rest.append(torch.stack(others).mean(0) if others and present[i, k] else None)
        usable = [i for i, r in enumerate(rest) if r is not None]
        for one_way in (True, False):
            losses = []
            for i in usable:
                scores = []
                for j in usable:
                    a, b = (i, j) if one_way else (j, i)
                    scores.append(functional.cosine_similarity(x[a, k], rest[b], dim=0) / temperature)
                losses.append(torch.logsumexp(torch.stack(scores), 0) - scores[usable.index(i)])
            terms.append(torch.stack(losses).mean() if losses else torch.zeros(()))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_leave_one_out_is_its_definition(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 4, 6, generator=generator)
    present = torch.rand(7, 4, generator=generator) < 0.7
    hidden = torch.where(present.unsqueeze(-1), x, torch.full_like(x, float("nan")))
    expected = by_definition(x, present, 0.2)
    assert torch.isclose(leave_one_out(x, present, 0.2), expected, atol=1e-5)
    assert torch.isclose(leave_one_out(hidden, present, 0.2), expected, atol=1e-5)  # NaN under the mask


def test_leave_one_out_falls_as_modalities_agree_and_is_zero_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    common, own = torch.randn(8, 1, 16, generator=generator), torch.randn(8, 3, 16, generator=generator)
    every = torch.ones(8, 3, dtype=torch.bool)
    values = [float(leave_one_out(common + s * own, every, 0.1)) for s in (0.0, 1.0, 10.0)]
    assert values[0] < 0.01 < values[1] < values[2]
    one = every & (torch.arange(3) == 1)
    assert float(leave_one_out(own, one, 0.1)) == 0.0


def test_consistency_pulls_the_subset_to_the_full_side_only() -> None:
    generator = torch.Generator().manual_seed(0)
    subset, full = (torch.randn(5, 8, generator=generator).requires_grad_(True) for _ in range(2))
    counts = torch.tensor([True, True, False, True, True])
    loss = consistency(subset, full, counts)
    expected = torch.stack([1 - functional.cosine_similarity(subset[i], full[i], dim=0) for i in (0, 1, 3, 4)]).mean()
    assert torch.isclose(loss, expected)
    loss.backward()
    assert full.grad is None and subset.grad is not None
    assert not subset.grad[2].any() and subset.grad[0].any()
    assert float(consistency(full, full, counts).detach()) < 1e-6


# -- stages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_learns_its_objective(material, method: str) -> None:
    """On windows it was not trained on, after twelve steps: the loss of the method itself falls."""
    stage = stage_of(material, method, rate=5e-3)
    stage.module.eval()
    with torch.no_grad():
        before = stage.score()
    optimiser = torch.optim.AdamW([p for p in stage.module.parameters() if p.requires_grad], lr=5e-3)
    stage.module.train()
    for step in range(12):
        optimiser.zero_grad()
        torch.stack(list(stage.losses(step).values())).sum().backward()
        optimiser.step()
    stage.module.eval()
    with torch.no_grad():
        after = stage.score()
        assert stage.score() == after  # the same windows and losses at every call
    assert after[NAMES[method]] < 0.985 * before[NAMES[method]], (before, after)
    assert after["score"] < before["score"]


@pytest.mark.parametrize("method", list(METHODS))
def test_gradients_arrive_within_three_steps_and_frozen_weights_stay(material, method: str) -> None:
    stage = stage_of(material, method)
    frozen = {n: p.detach().clone() for n, p in stage.module.named_parameters() if not p.requires_grad}
    buffers = {n: b.clone() for n, b in stage.module.named_buffers()}
    optimiser = torch.optim.AdamW([p for p in stage.module.parameters() if p.requires_grad], lr=1e-3)
    reached: set[str] = set()
    stage.module.train()
    for step in range(3):
        optimiser.zero_grad()
        stage.losses(step)[NAMES[method]].backward()  # the method alone, without the heads
        reached |= {n for n, p in stage.module.named_parameters() if p.grad is not None and bool(p.grad.any())}
        optimiser.step()
    assert any(n.endswith(".down") for n in reached) and any(n.endswith(".up") for n in reached)
    needed = {
        "leave_one_out": ["projectors.0", "projectors.3"],
        "masked_autoencoding": ["model.fusion", "model.context", "model.restoration.decoders.3"],
        "consistency": ["model.fusion", "model.context", "model.pool", "model.restoration.decoders.3"],
    }[method]
    for part in needed:
        assert any(n.startswith(part) for n in reached), part
    after = dict(stage.module.named_parameters())
    assert frozen and all(torch.equal(after[n], value) for n, value in frozen.items())
    assert all(torch.equal(b, buffers[n]) for n, b in stage.module.named_buffers())


@pytest.mark.parametrize("method", list(METHODS))
def test_no_method_looks_under_the_mask(material, method: str) -> None:
    """Features of absent frames serve as targets only: no gradient reaches them as an input."""
    stage = stage_of(material, method)
    stage.module.train()
    drawn = drawn_of(stage)
    features = drawn.batch.features.clone().requires_grad_(True)
    seen = replace(drawn, batch=replace(drawn.batch, features=features))
    stage.objective(seen, torch.Generator().manual_seed(0))[NAMES[method]].backward()
    assert features.grad is not None
    absent = ~drawn.batch.presence
    assert absent.any() and not features.grad[absent].any()
    assert features.grad[~absent].any()


def test_autoencoding_looks_at_the_sampled_share_only(material) -> None:
    stage = stage_of(material, "masked_autoencoding", token_sample=0.25)
    drawn = drawn_of(stage, 6)
    drawn = replace(drawn, batch=replace(drawn.batch, presence=torch.ones_like(drawn.batch.presence)))
    features = drawn.batch.features.clone().requires_grad_(True)
    seen = replace(drawn, batch=replace(drawn.batch, features=features))
    stage.objective(seen, torch.Generator().manual_seed(0))["autoencoding"].backward()
    assert features.grad is not None
    used = features.grad.abs().sum(-1) > 0
    assert used.flatten(1).sum(1).tolist() == [round(0.25 * used[0].numel())] * 6


def test_consistency_is_nothing_where_nothing_is_lost(material) -> None:
    stage = stage_of(material, "consistency")
    drawn = drawn_of(stage, 6)
    complete = replace(drawn.batch, presence=drawn.batch.known, context=drawn.complete_context)
    stage.module.eval()
    with torch.no_grad():
        assert float(stage.objective(replace(drawn, batch=complete), torch.Generator())["consistency"]) == 0.0
        assert float(stage.objective(drawn, torch.Generator())["consistency"]) > 0.0


@pytest.mark.parametrize("method", ["physiome", "consistency"])
def test_a_method_is_a_stage_that_runs(material, method: str, tmp_path) -> None:
    model, train, stop = material
    model = copy.deepcopy(model)
    stage = main_stage(method, model, train, stop, SETTINGS, seed=3)
    assert isinstance(stage, Stage) and stage.name == "fusion"  # the later stages build on any of them alike
    assert isinstance(stage, METHODS.get(method, FusionStage))
    score = run_stage(stage, SETTINGS, tmp_path, "fingerprint", lambda *_: None)
    assert np.isfinite(score) and (tmp_path / "fusion.safetensors").is_file()
