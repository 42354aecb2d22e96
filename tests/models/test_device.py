"""Training on a GPU: nothing is made on the CPU inside a step, and batches drawn ahead are the same batches.

No GPU is needed: tensors of the device ``meta`` have shapes but no values, and refuse to meet those of another device.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from models.batches.ahead import Ahead
from models.batches.batch import Batch
from models.batches.chance import best_device, quiet_random, step_random
from models.networks.encoder import ModalityEncoder
from models.physiome import SIZES, PhysioME
from models.signals.windows import CONTEXT_FIELDS
from models.training.config import FusionConfig, HeadsConfig, RestorationConfig, WaveConfig
from models.training.fusion_stage import FusionStage
from models.training.heads_stage import HeadsStage
from models.training.losses import rhythm_target
from models.training.pretrain import DPNeuroNet
from models.training.restoration_stage import RestorationStage
from models.training.wave_stage import WaveStage

META, CI = torch.device("meta"), SIZES["ci"]


def meta_batch(size: int = 4) -> Batch:
    rows, frames = len(CI.modalities), CI.frames

    def numbers(*shape: int) -> torch.Tensor:
        return torch.empty(size, *shape, device=META)

    marks = torch.empty(size, rows, frames, dtype=torch.bool, device=META)
    count = torch.empty(size, dtype=torch.long, device=META)
    return Batch(
        signals=numbers(rows, CI.samples), features=numbers(rows, frames, CI.width), presence=marks, known=marks,
        donors=numbers(rows, frames, CI.width), remembered=marks[..., 0],
        context=numbers(rows, len(CONTEXT_FIELDS)), pressures=numbers(frames, 3), r_times=numbers(9), eeg=numbers(7),
        depth=numbers(), hypotension=numbers(3), stage=count, bootstrap=numbers(9), patient=count, end_s=count,
    )  # fmt: skip


def test_a_step_with_token_memory_stays_there_too():
    model = PhysioME(replace(CI, use_memory=True)).to(META)
    stage = RestorationStage(model, None, None, RestorationConfig(steps=1), 0)
    parts = stage.objective(meta_batch())
    assert parts and all(value.device == META and value.ndim == 0 for value in parts.values())


@pytest.mark.parametrize("kind", [FusionStage, HeadsStage, WaveStage])
def test_a_step_stays_on_the_device_of_the_model(kind):
    settings = {FusionStage: FusionConfig, HeadsStage: HeadsConfig, WaveStage: WaveConfig}[kind](steps=1)
    stage = kind(PhysioME(CI).to(META), None, None, settings)
    stage.module.train()
    parts = stage.objective(meta_batch(), None)
    assert parts and all(value.device == META and value.ndim == 0 for value in parts.values())


def test_pre_training_stays_on_the_device_of_the_model():
    encoder = ModalityEncoder(CI.frames, CI.frame_samples, CI.channels, CI.width, CI.heads, 1)
    net = DPNeuroNet(encoder, CI.modalities[0], CI.rate_hz, CI.heads, 0.8).to(META)
    parts = net.loss(torch.empty(4, CI.samples, device=META), 0.1, 1.0, None)
    assert all(value.device == META for value in parts.values())


def test_the_check_itself_notices_a_tensor_that_was_left_behind():
    with pytest.raises(RuntimeError, match="device"):
        rhythm_target(torch.empty(2, 3, device=META), 800, 100) + torch.zeros(2, 800)


def test_batches_drawn_ahead_are_the_same_and_in_another_thread():
    threads: list[int] = []

    def make(step: int) -> int:
        threads.append(threading.get_ident())
        return step * step

    ahead, plain = Ahead(make, True), Ahead(make, False)
    for step in (0, 1, 2, 7, 8, 3):  # a jump is a resumed stage
        assert ahead(step) == plain(step) == step * step
    assert len(set(threads)) == 2


def test_a_fault_while_drawing_ahead_is_raised_at_its_step():
    def make(step: int) -> int:
        if step == 2:
            raise OSError("the window is gone")
        return step

    ahead = Ahead(make, True)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        ahead(2)


def test_randomness_of_a_step_depends_on_seed_stage_and_step_and_a_thread_leaves_dropout_alone():
    def first(seed: int, name: str, step: int) -> tuple[float, float, float]:
        random = step_random(seed, name, step)
        return float(torch.rand(1)), float(torch.rand(1, generator=random.torch)), float(random.numpy.random())

    base = first(1, "a", 2)
    assert base == first(1, "a", 2)
    for other in (first(2, "a", 2), first(1, "b", 2), first(1, "a", 3)):
        assert not set(base) & set(other)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    quiet = quiet_random(1, "a", 2)
    assert torch.equal(torch.rand(3), expected) and float(quiet.numpy.random()) == base[2]


def test_device_auto_is_a_gpu_if_there_is_one():
    assert best_device("cpu").type == "cpu"
    assert best_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
