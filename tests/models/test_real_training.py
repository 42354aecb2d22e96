"""Training on real windows: what was not measured cannot reach a loss, and everything stays finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.batches.features import cache_features
from models.batches.group import Group
from models.data.dataset import WindowDataset, open_patient, save_patient
from models.data.prepare import prepare_studies
from models.data.sources import FolderData, SleepEdfData, VitaldbData
from models.physiome import SIZES, PhysioME
from models.signals.modalities import SLEEP_CHANNELS
from models.training.config import DEMO_CONFIG, FusionConfig, HeadsConfig, PretrainConfig, WaveConfig, load_config
from models.training.fusion_stage import FusionStage
from models.training.heads_stage import HeadsStage
from models.training.pretrain import PretrainStage
from models.training.wave_stage import WaveStage
from tests.data.real_files import write_case, write_night

CI = SIZES["ci"]
SLEEP = replace(
    CI, frames=27, frame_s=4, frame_step_s=1, modalities=SLEEP_CHANNELS, task="sleep", selfmask_width=32
)  # fmt: skip


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two operations: one whole, one that loses its pressure for 24 s and has no EEG."""
    root = tmp_path_factory.mktemp("real")
    (root / "in").mkdir()
    write_case(root / "in" / "a.vital", seed=3)
    write_case(root / "in" / "b.vital", seed=4, abp_gap=(60, 84), leave_out=["BIS/EEG1_WAV"])
    settings = FolderData(path=str(root / "in"), patient="file", processes=1, stride_s=5, need=())
    prepared = prepare_studies(settings, CI.window_spec, root / "out", quiet)
    return sorted(prepared.facts)


def with_unknown(folders: list[Path], out: Path, fill: float) -> list[Path]:
    """Copies in which every sample outside a known frame is ``fill``."""
    made = []
    for folder in folders:
        patient = open_patient(folder)
        arrays = {name: np.array(values) for name, values in patient.arrays.items()}
        known = np.repeat(arrays["known"], arrays["signals"].shape[-1] // arrays["known"].shape[-1], axis=-1)
        arrays["signals"] = np.where(known, arrays["signals"], np.float32(fill))
        save_patient(out / folder.name, arrays, patient.facts)
        made.append(out / folder.name)
    return made


def stages_of(folders: list[Path]) -> dict[str, dict[str, torch.Tensor]]:
    """Losses of the first step of each stage, with gradients run back."""
    torch.manual_seed(0)
    model = PhysioME(CI)
    group = Group(WindowDataset(folders), CI, 0)
    found = {}
    for name in ("pretrain", "fusion", "waves"):
        if name == "pretrain":
            stage = PretrainStage(model, group, group, PretrainConfig(steps=1, batch=4))
        elif name == "fusion":
            cache_features(model, group, quiet, "all")
            stage = FusionStage(model, group, group, FusionConfig(steps=1, batch=12))
        else:
            stage = WaveStage(model, group, group, WaveConfig(steps=1, batch=12))
        parts = stage.losses(0)
        torch.stack(list(parts.values())).sum().backward()
        for parameter in stage.module.parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()
        found[name] = {key: value.detach() for key, value in parts.items()}
    return found


def test_what_was_not_measured_reaches_no_loss(studies: list[Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    known = WindowDataset(studies).whole("known")
    assert 0.05 < 1 - known.mean() < 0.5
    expected = stages_of(studies)
    for fill in (1e30, -7.0):
        found = stages_of(with_unknown(studies, tmp_path / str(fill), fill))
        for stage, parts in expected.items():
            for name, value in parts.items():
                assert torch.isfinite(value), (stage, name)
                assert torch.equal(value, found[stage][name]), (stage, name, fill)


def test_no_restoration_is_learnt_where_the_truth_is_unknown(studies: list[Path]) -> None:
    """The operation without EEG teaches its decoder nothing, not even that an unknown EEG is silence."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PhysioME(CI)
    (without_eeg,) = [f for f in studies if "EEG" not in open_patient(f).facts["channels"]]
    group = Group(WindowDataset([without_eeg]), CI, 0)
    cache_features(model, group, quiet, "all")
    stage = FusionStage(model, group, group, FusionConfig(steps=1, batch=12))
    stage.losses(0)["missing"].backward()

    def taught(row: int) -> bool:
        grads = [p.grad for p in model.restoration.decoders[row].parameters()]
        return any(g is not None and bool(g.abs().max() > 0) for g in grads)

    assert [taught(row) for row in range(len(CI.modalities))] == [True, True, True, False]


def test_a_night_trains_the_stages_of_sleep(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for subject in (0, 1):
        scored = [(0, 150, "Sleep stage 2"), (150, 150, "Sleep stage R"), (300, 30, "Movement time")]
        write_night(tmp_path / "in", f"SC4{subject:02d}1", scored, 330, seed=subject, flat_from_s=200)
    settings = SleepEdfData(path=str(tmp_path / "in"), folds=2, processes=1)
    folders = sorted(prepare_studies(settings, None, tmp_path / "out", quiet).facts)
    torch.manual_seed(0)
    model = PhysioME(SLEEP)
    group = Group(WindowDataset(folders), SLEEP, 0)
    assert group.stage.tolist() == ([2] * 5 + [4] * 5) * 2
    pretrain = PretrainStage(model, group, group, PretrainConfig(steps=1, batch=4))
    assert torch.isfinite(torch.stack(list(pretrain.losses(0).values()))).all()
    cache_features(model, group, quiet, "all")
    stage = FusionStage(model, group, group, FusionConfig(steps=3, batch=8))
    optimiser = torch.optim.AdamW([p for p in stage.module.parameters() if p.requires_grad], 1e-2)
    with torch.no_grad():
        before = stage.score()["stage"]
    for step in range(4):
        parts = stage.losses(step)
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        assert "stage" in parts and all(torch.isfinite(v) for v in parts.values())
        optimiser.step()
    with torch.no_grad():
        assert stage.score()["stage"] < before
    published = load_config(DEMO_CONFIG.with_name("paper_sleep_edfx.toml")).fusion.weights
    unlabelled = FusionStage(model, group, group, FusionConfig(steps=1, batch=8, weights=published))
    assert float(unlabelled.losses(0)["stage"].detach()) == 0.0
    heads = HeadsStage(model, group, group, HeadsConfig(steps=1, batch=8, complete=True))
    torch.stack(list(heads.losses(0).values())).sum().backward()
    taught = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    assert taught == {"heads.stages.weight", "heads.stages.bias"}


@pytest.mark.parametrize(("name", "rows", "frames"), [("vitaldb", 4, 20), ("sleep_edfx", 3, 27)])
def test_the_papers_configurations_load(name: str, rows: int, frames: int) -> None:
    config = load_config(DEMO_CONFIG.with_name(f"paper_{name}.toml"))
    size = config.architecture
    assert (len(size.modalities), size.frames, size.width) == (rows, frames, 512)
    assert isinstance(config.data, VitaldbData if name == "vitaldb" else SleepEdfData)
    assert (config.pretrain.rate, config.fusion.rate) == (1e-5, 2e-4)
    assert config.fusion.lora_rank == config.fusion.lora_alpha == 16
    labels = {"stage"} if name == "sleep_edfx" else {"pressure", "pressure_present", "depth", "hypotension", "eeg"}
    assert {loss for loss, weight in config.fusion.weights.items() if weight == 0} == labels
    assert config.heads.steps and config.heads.complete
