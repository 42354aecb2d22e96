"""PaCX by its equations: L = 0.5 · L_C + 1.0 · L_R, who teaches, who is standardised by whom, who stops training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from models import distillation
from models.distillation import Distillation, Statistics, cosine_loss, info_nce, recall_at, represent, student_encoder
from models.networks.encoder import ModalityEncoder
from models.objectives import negative_weights
from models.signals.modalities import Modality
from models.training import distil_stage
from models.training.distil_stage import DistilConfig, DistilData, DistilStage, distil_data, teachers_of
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, FakeGroup, N, array, batch_of, tiny_model

B, T, D = 7, 2, 5
WIDTH = TINY.width


def draws(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.2


def encoder_of(seed: int = 0) -> ModalityEncoder:
    torch.manual_seed(seed)
    c = TINY
    encoder = student_encoder(ModalityEncoder(c.frames, c.frame_samples, c.channels, c.width, c.heads, 1), 2, 2.0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.3)
    return encoder.eval()


def module_of(temperature: float = 0.5) -> Distillation:
    torch.manual_seed(1)
    own = draws(20, 30, 2 * WIDTH) * 3.0 + 1.0
    teachers = [draws(21 + t, 30, D) * (t + 1.0) - 2.0 for t in range(T)]
    return Distillation(encoder_of(), own, teachers, temperature).eval()


# -- the losses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_info_nce_and_cosine(seed: int) -> None:
    student, teacher = draws(seed, B, D), draws(seed + 1, B, D) * 4.0
    valid = torch.tensor([True, True, False, True, True, True, True])
    log_weight = negative_weights(torch.tensor([0, 0, 0, 1, 1, 2, 0]), torch.tensor([0, 30, 90, 0, 61, 0, 200]))
    found = float(info_nce(student, teacher, 6.0, valid, log_weight, 0.1))
    expected = by_hand.info_nce(
        array(student), array(teacher), 6.0, array(valid), array(log_weight.exp()), 0.1
    )  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-4)
    found = float(cosine_loss(student, teacher, valid))
    assert found == pytest.approx(by_hand.half_cosine(array(student), array(teacher), array(valid)), rel=1e-4)


def test_unequal_weights_belong_to_their_row() -> None:
    student, teacher = draws(3, 4, D), draws(4, 4, D)
    weight = torch.rand(4, 4, generator=torch.Generator().manual_seed(5)) * 4 + 0.1
    weight.fill_diagonal_(1.0)
    weight[0, 2] = 0.0
    valid = torch.ones(4, dtype=torch.bool)
    expected = by_hand.info_nce(array(student), array(teacher), 3.0, array(valid), array(weight), 0.02)
    assert float(info_nce(student, teacher, 3.0, valid, weight.log())) == pytest.approx(expected, rel=1e-4)


def test_the_regression_moves_the_student_and_not_the_teacher() -> None:
    predicted, target = draws(0, 4, D).requires_grad_(), draws(1, 4, D).requires_grad_()
    cosine_loss(predicted, target, torch.tensor([True, True, False, True])).backward()
    assert target.grad is None and predicted.grad is not None and not predicted.grad[2].any()


def test_statistics_are_of_each_dimension() -> None:
    values = draws(0, 50, 3) * torch.tensor([1.0, 10.0, 0.0]) + torch.tensor([5.0, -3.0, 7.0])
    standardise = Statistics(values)
    x = array(values)
    expected = (x - x.mean(0)) / np.maximum(x.std(0), 1e-5)
    np.testing.assert_allclose(array(standardise(values)), expected, atol=1e-4)


def test_a_tie_is_no_retrieval() -> None:
    assert recall_at(torch.tensor([[0.5, 0.5, 0.1], [0.6, 0.5, 0.1], [0.5, 0.6, 0.1]]), 1).tolist() == [
        False, True, False,
    ]  # fmt: skip


def inputs() -> dict[str, Tensor]:
    present = torch.rand(B, N, generator=torch.Generator().manual_seed(7)) < 0.6
    present[0], present[1] = True, False  # a whole window, and one without the student's sensor
    return {
        "features": draws(8, B, N, WIDTH), "present": present, "teachers": draws(9, B, T, D),
        "valid": torch.rand(B, T, generator=torch.Generator().manual_seed(10)) < 0.8,
        "log_weight": negative_weights(torch.tensor([0, 0, 1, 1, 2, 2, 0]), torch.arange(B) * 50),
    }  # fmt: skip


@torch.no_grad()
def by_the_paper(module: Distillation, x: dict[str, Tensor], smoothing: float) -> dict[str, float]:
    present = array(x["present"])
    noise = draws(11, B, N, WIDTH)
    tokens, cls = module.encoder(torch.where(x["present"].unsqueeze(-1), x["features"], noise), x["present"])
    zero = np.zeros(WIDTH)
    mean = np.stack([array(tokens)[b][present[b]].mean(0) if present[b].any() else zero for b in range(B)])
    z = np.concatenate([array(cls), mean], axis=1)
    np.testing.assert_allclose(array(represent(module.encoder, x["features"], x["present"])), z, atol=1e-5)
    z = (z - array(module.own.mean)) / array(module.own.scale)
    own = torch.from_numpy(z).float()
    temperature = math.exp(-float(module.log_scale))
    contrastive, regression = [], []
    for t in range(T):
        goal = (array(x["teachers"][:, t]) - array(module.teachers[t].mean)) / array(module.teachers[t].scale)
        valid = array(x["valid"])[:, t] & present.any(1)
        one = array(module.project_student(own))
        other = array(module.project_teachers[t](torch.from_numpy(goal).float()))
        scale = min(1.0 / temperature, 100.0)
        contrastive.append(by_hand.info_nce(one, other, scale, valid, array(x["log_weight"].exp()), smoothing))
        regression.append(by_hand.half_cosine(array(module.regress[t](own)), goal, valid))
    return {"contrastive": sum(contrastive) / T, "regression": sum(regression) / T}


@pytest.mark.parametrize("temperature", [0.5, 0.07, 0.004])
def test_both_losses_are_means_over_the_teachers(temperature: float) -> None:
    """At 0.004 the scale is at its bound of 100."""
    module, x = module_of(temperature), inputs()
    assert float(module.log_scale.detach().exp()) == pytest.approx(1.0 / temperature, rel=1e-4)
    with torch.no_grad():
        found = module.losses(**x, smoothing=0.05)
    assert {n: float(v) for n, v in found.items()} == pytest.approx(by_the_paper(module, x, 0.05), rel=1e-3)


def test_the_temperature_is_learned_by_the_contrast() -> None:
    module = module_of()
    parts = module.losses(**inputs())
    parts["contrastive"].backward()
    assert module.log_scale.grad is not None and bool(module.log_scale.grad)


def test_the_numbers_are_the_papers() -> None:
    config = DistilConfig(steps=1)
    assert (config.contrastive_weight, config.regression_weight) == (0.5, 1.0)
    assert (config.temperature, config.smoothing, config.lora_rank, config.lora_alpha) == (0.07, 0.02, 8, 8.0)
    assert distillation.PROJECTION_WIDTH == 256 and distillation.LARGEST_SCALE == 100.0


# -- the stage --------------------------------------------------------------------------------------------------------


def data_of(seed: int, windows: int = 12) -> DistilData:
    x = torch.Generator().manual_seed(seed)
    return DistilData(
        features=torch.randn(windows, N, WIDTH, generator=x), present=np.ones((windows, N), np.bool_),
        teachers=torch.randn(windows, T, D, generator=x), valid=torch.ones(windows, T, dtype=torch.bool),
        patient=np.arange(windows) % 4, end_s=np.arange(windows) * 45,
    )  # fmt: skip


def test_the_stage_weighs_and_looks_at_its_own_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    train, stop = data_of(0), data_of(1)
    config = DistilConfig(steps=2, batch=6, ragged=0.5, smoothing=0.3)
    stage = DistilStage(module_of(), train, stop, config, "x", 0)
    given: list[dict[str, Tensor]] = []

    def losses(*args: Tensor) -> dict[str, Tensor]:
        given.append(
            dict(zip(("features", "present", "teachers", "valid", "log_weight", "smoothing"), args, strict=True))
        )
        return {"contrastive": torch.tensor(3.0), "regression": torch.tensor(7.0)}

    monkeypatch.setattr(stage.module, "losses", losses)
    assert {n: float(v) for n, v in stage.losses(0).items()} == {"contrastive": 1.5, "regression": 7.0}
    assert stage.score() == {"contrastive": 1.5, "regression": 7.0, "score": 8.5}
    for call, data, ragged in zip(given, (train, stop), (True, False), strict=False):
        rows = [int((data.features == one).all(2).all(1).nonzero()) for one in call["features"]]
        assert torch.equal(call["teachers"], data.teachers[rows])
        weight = by_hand.negatives([int(p) for p in data.patient[rows]], [float(e) for e in data.end_s[rows]])
        np.testing.assert_allclose(array(call["log_weight"].exp()), weight, rtol=1e-5)
        assert bool((~call["present"]).any()) is ragged and call["smoothing"] == 0.3


def test_the_others_teach() -> None:
    every = TINY.modalities
    for student in (Modality.ECG, Modality.EEG):
        assert teachers_of(DistilConfig(steps=1), student, every) == tuple(m for m in every if m is not student)
    assert teachers_of(DistilConfig(steps=1, teachers=("ABP",)), Modality.ECG, every) == (Modality.ABP,)


def test_a_teacher_shows_its_complete_window_where_half_of_it_is_known() -> None:
    model = tiny_model()
    group = FakeGroup(batch_of(10, 3))
    group.features = group.windows.features  # type: ignore[attr-defined]
    abp = TINY.modalities.index(Modality.ABP)
    group.known[:5, abp, : N // 2], group.known[5, abp, : N // 2 + 1] = False, False
    found = distil_data(model, group, Modality.PPG, (Modality.ABP,))  # type: ignore[arg-type]
    known = torch.from_numpy(group.known[:, abp])
    with torch.no_grad():
        expected = represent(model.encoders[abp], group.windows.features[:, abp], known)  # type: ignore[arg-type]
    torch.testing.assert_close(found.teachers[:, 0], expected)
    assert found.valid[:, 0].tolist() == [sum(row) >= N / 2 for row in known.tolist()]
    assert not found.valid.all() and found.valid.any()


def test_each_group_is_its_own_and_training_windows_set_the_units(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """What the stage of one student gets, with the networks left out."""
    sets = {"train": data_of(0), "stop": data_of(1)}
    asked: list[object] = []
    made: dict[str, object] = {}

    def fake_data(model: object, group: str, student: Modality, teachers: tuple[Modality, ...]) -> DistilData:
        asked.append((group, student, teachers))
        return sets[group]

    monkeypatch.setattr(distil_stage, "distil_data", fake_data)
    monkeypatch.setattr(distil_stage, "begin", lambda model, student, data, config: made.setdefault("begin", data))
    monkeypatch.setattr(distil_stage, "run_stage", lambda stage, *rest: made.setdefault("stage", stage))
    distil_stage.distil_encoder(
        tiny_model(),
        "train",
        "stop",
        Modality.ECG,
        DistilConfig(steps=1),
        tmp_path,
        "f",
        0,
        lambda *a: None,  # type: ignore[arg-type]
    )
    stage = made["stage"]
    assert made["begin"] is sets["train"] and stage._train is sets["train"] and stage._stop is sets["stop"]  # type: ignore[attr-defined]
    others = (Modality.ABP, Modality.PPG, Modality.EEG)
    assert asked == [("train", Modality.ECG, others), ("stop", Modality.ECG, others)]
