"""Distillation: the objective against golden values, what may change and what may not, and that a student learns."""

from __future__ import annotations

import copy
import math

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from models.distillation import (
    Statistics,
    cosine_loss,
    info_nce,
    merge_student,
    recall_at,
    represent,
    student_encoder,
    trainable_share,
)
from models.networks.encoder import ModalityEncoder
from models.networks.transformer import LowRankLinear
from models.physiome import SIZES, PhysioME
from models.signals.modalities import Modality
from models.training.distil_stage import DistilConfig, DistilStage, begin, distil_data, distil_encoder
from tests.models.student_data import give_features, make_group

CI = SIZES["ci"]
CONFIG = DistilConfig(steps=3, batch=16, warmup=1, evaluate_every=2, save_every=1, ema=0.5)


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model with LoRA of its own and two groups with cached features."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PhysioME(CI)
    model.freeze_encoders(4, 4.0, 0.1)
    with torch.no_grad():
        for name, parameter in model.encoders.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.1)
            if name.endswith("perceptron.4.weight"):
                parameter.mul_(50.0)  # an untrained frame network hardly tells one window from another
    model.eval()
    groups = []
    for name, seed in (("train", 1), ("stop", 2)):
        group = make_group(tmp_path_factory.mktemp(name), 16 if name == "train" else 6, 20, seed)
        give_features(model, group)
        groups.append(group)
    return model, groups


def ci_encoder() -> ModalityEncoder:
    torch.manual_seed(1)
    return ModalityEncoder(CI.frames, CI.frame_samples, CI.channels, CI.width, CI.heads, 2).eval()


def inputs(batch: int = 5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, CI.frames, CI.width, generator=generator)
    return features, torch.rand(batch, CI.frames, generator=generator) < 0.7


# -- objective --------------------------------------------------------------------------------------------------------


def test_info_nce_golden():
    """Two windows, orthogonal and aligned: softmax of (s, 0) by hand, smoothed."""
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    weights = torch.zeros(2, 2)
    s, eps = 4.0, 0.02
    hit, miss = -math.log1p(math.exp(-s)), -s - math.log1p(math.exp(-s))
    wanted = -(1 - eps) * hit - eps * 0.5 * (hit + miss)
    assert float(info_nce(a, a, s, torch.tensor([True, True]), weights, eps)) == pytest.approx(wanted, rel=1e-5)


def test_weights_count_as_that_many_negatives():
    torch.manual_seed(2)
    a, b, scale = torch.randn(4, 6), torch.randn(4, 6), 5.0
    log_weight = torch.zeros(4, 4)
    log_weight[0, 2], log_weight[1, 3] = math.log(3.0), -math.inf
    scores = scale * torch.cosine_similarity(a[:, None], b[None], dim=-1)
    by_hand = []
    for scored in (scores, scores.T):
        for i in range(4):
            total = sum(math.exp(float(log_weight[i, j] + scored[i, j])) for j in range(4))
            by_hand.append(math.log(total) - float(scored[i, i]))
    found = info_nce(a, b, scale, torch.tensor([True] * 4), log_weight, 0.0)
    assert float(found) == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_invalid_and_banned_windows_change_nothing():
    torch.manual_seed(3)
    a, b = torch.randn(6, 8), torch.randn(6, 8)
    valid = torch.tensor([True, True, True, True, False, True])
    weights = torch.zeros(6, 6)
    base = info_nce(a, b, 14.0, valid, weights)
    other = b.clone()
    other[4] = 1e6
    assert torch.equal(info_nce(a, other, 14.0, valid, weights), base)
    weights[0, 1] = weights[1, 0] = -math.inf
    near = info_nce(a, b, 14.0, valid, weights, 0.0)
    closer = b.clone()
    closer[1] = a[0]  # as a negative of window 0 this would be the worst there is
    only_zero = torch.tensor([True, True, False, False, False, False])
    assert float(info_nce(a, closer, 14.0, only_zero, weights, 0.0)) == pytest.approx(0.0, abs=1e-6)
    assert bool(torch.isfinite(near))
    assert float(info_nce(a, b, 14.0, torch.zeros(6, dtype=torch.bool), weights)) == 0.0


def test_smoothing_counts_allowed_pairs_only():
    """A banned pair's score of −1e4 must not enter the smoothed label."""
    a = torch.eye(3)
    weights = torch.zeros(3, 3)
    weights[0, 1] = weights[1, 0] = -math.inf
    loss = info_nce(a, a, 14.0, torch.tensor([True] * 3), weights, 0.02)
    assert 0.0 < float(loss) < 1.0


def test_cosine_loss_golden_and_stop_gradient():
    r = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], requires_grad=True)
    z = torch.tensor([[3.0, 0.0], [0.0, -1.0], [5.0, 5.0]], requires_grad=True)
    loss = cosine_loss(r, z, torch.tensor([True, True, False]))
    assert float(loss.detach()) == pytest.approx(0.5)
    loss.backward()
    assert z.grad is None
    assert r.grad is not None and float(r.grad[2].abs().sum()) == 0.0


def test_a_constant_pays_nothing_against_standardised_teachers():
    """What all windows share would give the cosine for nothing; standardised, a constant is at one half."""
    teacher = 10.0 + torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    every, constant = torch.ones(400, dtype=torch.bool), torch.ones(400, 6)
    assert float(cosine_loss(constant, teacher, every)) < 0.01
    standardised = Statistics(teacher)(teacher)
    assert float(cosine_loss(constant, standardised, every)) == pytest.approx(0.5, abs=0.03)
    assert standardised.std(0, unbiased=False).tolist() == pytest.approx([1.0] * 6, rel=1e-4)


def test_recall():
    similarity = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.1, 0.9, 0.8, 0.0], [0.1, 0.9, 0.8, 0.7]])
    assert recall_at(similarity, 1).tolist() == [True, False, False]
    assert recall_at(similarity, 3).tolist() == [True, True, False]
    assert not recall_at(torch.full((1, 9), 0.5), 5).any()  # a student that sees no difference retrieves nothing


# -- what may change --------------------------------------------------------------------------------------------------


def test_the_student_begins_as_the_encoder_and_merges_into_it():
    encoder = ci_encoder()
    for layer in encoder.modules():
        if isinstance(layer, LowRankLinear):
            layer.add_adapter(4, 4.0, 0.1)
            with torch.no_grad():
                layer.up.normal_(std=0.1)
    encoder.eval()
    features, present = inputs()
    before = {n: v.clone() for n, v in encoder.state_dict().items()}
    student = student_encoder(encoder).eval()
    wanted = represent(encoder, features, present).detach()
    torch.testing.assert_close(represent(student, features, present).detach(), wanted, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if name.endswith((".up", "norm.weight")):
                parameter.normal_(std=0.1)
    changed = represent(student, features, present).detach()
    assert float((changed - wanted).abs().max()) > 1e-3
    merge_student(student)
    torch.testing.assert_close(represent(student, features, present).detach(), changed, rtol=1e-4, atol=1e-5)
    assert set(student.state_dict()) == set(ci_encoder().state_dict()), "a merged student is a plain encoder"
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), f"the teacher's {name} changed"


def test_only_adapters_and_norms_are_trained():
    student = student_encoder(ci_encoder(), rank=8)
    trained = {n for n, p in student.named_parameters() if p.requires_grad}
    for block in range(2):
        at = f"transformer.blocks.{block}"
        for layer in ("attention.query", "attention.key_value", "perceptron.0", "perceptron.2"):
            assert {f"{at}.{layer}.down", f"{at}.{layer}.up"} <= trained
        assert f"{at}.attention.out.down" not in dict(student.named_parameters())
    assert not any(n.startswith(("frame_network", "embed", "cls")) for n in trained)
    assert all(n.endswith((".down", ".up")) or "norm" in n for n in trained)
    down = dict(student.named_parameters())["transformer.blocks.0.perceptron.0.down"]
    assert tuple(down.shape) == (8, CI.width)
    assert 0.05 < trainable_share(student) < 0.6
    assert trainable_share(student_encoder(ci_encoder(), rank=1)) < trainable_share(student)


def test_content_under_the_mask_cannot_reach_the_representation():
    student = student_encoder(ci_encoder()).eval()
    features, present = inputs()
    present[0] = False
    spoiled = torch.where(present.unsqueeze(-1), features, torch.full_like(features, 1e6))
    found = represent(student, features, present)
    assert torch.equal(found, represent(student, spoiled, present))
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found[0, CI.width :], torch.zeros(CI.width)), "no present frame: no mean token"


def test_gradients_reach_what_is_trained_and_nothing_else(world):
    model, (train, stop) = world
    teachers = (Modality.ECG, Modality.ABP)
    data = [distil_data(model, g, Modality.PPG, teachers) for g in (train, stop)]
    module = begin(model, Modality.PPG, data[0], CONFIG)
    frozen = {n: v.clone() for n, v in module.encoder.named_parameters() if not v.requires_grad}
    statistics = {n: v.clone() for n, v in module.encoder.named_buffers()}
    outside = copy.deepcopy(model.state_dict())
    stage = DistilStage(module, *data, CONFIG, "distil_ppg", 0)
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2)
    reached: set[str] = set()
    for step in range(3):
        module.train()
        optimiser.zero_grad()
        torch.stack(list(stage.losses(step).values())).sum().backward()
        reached |= {n for n, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
        optimiser.step()
    assert reached == {n for n, p in module.named_parameters() if p.requires_grad}
    for name, value in module.encoder.named_parameters():
        assert name not in frozen or torch.equal(value, frozen[name]), name
    for name, value in module.encoder.named_buffers():
        assert torch.equal(value, statistics[name]), f"{name}: BatchNorm drifted"
    for name, value in model.state_dict().items():
        assert torch.equal(value, outside[name]), f"the teachers' {name} changed"
    assert not any(isinstance(m, nn.BatchNorm1d) and m.training for m in module.modules())


@pytest.mark.parametrize(("weights", "left"), [((0.5, 0.0), {"contrastive"}), ((0.0, 1.0), {"regression"})])
def test_losses_can_be_left_out(world, weights, left):
    model, (train, stop) = world
    config = msgspec.structs.replace(CONFIG, contrastive_weight=weights[0], regression_weight=weights[1])
    data = [distil_data(model, g, Modality.ECG, (Modality.EEG,)) for g in (train, stop)]
    module = begin(model, Modality.ECG, data[0], config)
    stage = DistilStage(module, *data, config, "x", 0)
    assert set(stage.losses(0)) == left
    found = stage.score()
    assert set(found) == left | {"score"} and math.isfinite(found["score"])


def test_unknown_teacher_frames_are_left_out(world):
    """Half a window of a real recording's teacher is unknown: it neither enters the representation nor counts."""
    model, (train, _) = world
    abp, first = CI.modalities.index(Modality.ABP), train.dataset.patient_of == 0
    half = CI.frames // 2 + 1
    saved = train.features
    train.known[first, abp, :half] = False
    try:
        data = distil_data(model, train, Modality.PPG, (Modality.ABP, Modality.ECG))
        assert not data.valid[torch.from_numpy(first), 0].any() and data.valid[torch.from_numpy(~first)].all()
        train.features = saved.clone()
        train.features[torch.from_numpy(first), abp, :half] = 1e6
        again = distil_data(model, train, Modality.PPG, (Modality.ABP, Modality.ECG))
        assert torch.equal(again.teachers, data.teachers)
    finally:
        train.features = saved
        train.known[:] = True


def test_distillation_learns_and_resumes_bit_for_bit(world, tmp_path):
    model, (train, stop) = world
    config = msgspec.structs.replace(CONFIG, steps=60, batch=48, rate=3e-3, warmup=5, evaluate_every=30, save_every=30)
    module = distil_encoder(model, train, stop, Modality.PPG, config, tmp_path / "a", "f", 0, silent)
    lines = (tmp_path / "a" / "distil_ppg_stop.csv").read_text().splitlines()
    data = [distil_data(model, g, Modality.PPG, (Modality.ECG, Modality.ABP, Modality.EEG)) for g in (train, stop)]
    torch.manual_seed(0)
    untrained = begin(model, Modality.PPG, data[0], config).eval()
    with torch.no_grad():
        before = DistilStage(untrained, *data, config, "x", 0).score()
        after = DistilStage(module.eval(), *data, config, "x", 0).score()
    assert after["regression"] < 0.9 * before["regression"] and after["contrastive"] < before["contrastive"]
    assert len(lines) == 3
    again = distil_encoder(model, train, stop, Modality.PPG, config, tmp_path / "b", "f", 0, silent)
    for (name, a), (_, b) in zip(module.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), f"{name} is not a function of the seed"
    loaded = distil_encoder(model, train, stop, Modality.PPG, config, tmp_path / "a", "f", 0, silent)
    assert torch.equal(loaded.log_scale, module.log_scale)
