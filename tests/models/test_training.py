"""Training: frozen parts stay frozen, gradients arrive, runs resume bit for bit, stages fit together."""

from __future__ import annotations

import copy
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from models.data.dataset import WindowDataset, open_patient
from models.data.missingness import LossPlan
from models.evaluation.metrics import auprc, auroc, beat_matches, f1
from models.networks.encoder import ModalityEncoder
from models.objectives import masked_mean
from models.physiome import SIZES, PhysioME
from models.runtime.calibration import half_width
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.training import checkpoint
from models.training.calibrate import conformal_quantile, conformal_table
from models.training.config import (
    DEMO_CONFIG,
    DataConfig,
    FusionConfig,
    PretrainConfig,
    TrainConfig,
    WaveConfig,
    load_config,
)
from models.training.demo import ProgressBars, StageClock, patient_orders, train, train_demo
from models.training.fusion_stage import WEIGHTS, FusionStage, rhythm_target, weighted
from models.training.loop import cosine_rate
from models.training.pretrain import DPNeuroNet, augment
from models.training.sampling import Group
from models.training.stages import cache_features, fuse
from models.training.wave_stage import train_waves

TINY = TrainConfig(
    "tiny", "0", "ci", 3, 1,
    DataConfig(2, 1, 1, 2, duration_s=150, stride_s=20, test_stride_s=20, processes=1),
    PretrainConfig(steps=2, batch=6),
    FusionConfig(steps=4, batch=6, wave_batch=4, warmup=1, evaluate_every=2, save_every=2, lora_rank=4),
    WaveConfig(steps=2, batch=4, warmup=1, evaluate_every=1),
)  # fmt: skip


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run but the export, at the smallest size: folder, model, bundle's words."""
    out = tmp_path_factory.mktemp("run") / "tiny"
    model, text = train(out, TINY, False, silent)
    return out, model, text


@pytest.fixture(scope="module")
def group(run):
    folders = [o.folder for o in patient_orders(TINY, run[0] / "data") if o.group == "train"]
    group = Group(WindowDataset(folders), SIZES["ci"], 1)
    torch.manual_seed(0)
    cache_features(PhysioME(SIZES["ci"]), group, silent, "train")
    return group


def fresh(run) -> PhysioME:
    torch.manual_seed(TINY.seed)
    model = PhysioME(SIZES["ci"])
    model.encoders.load_state_dict(checkpoint.load(run[0] / "pretrained.safetensors").part("encoders"))
    return model


def stage_of(model: PhysioME) -> FusionStage:
    model.freeze_encoders(4, 4.0, 0.0)
    return FusionStage(model, 0.6, 0.1)


# -- the run ----------------------------------------------------------------------------------------------------------


def test_a_run_gives_a_calibrated_model_and_a_card(run):
    _, model, text = run
    assert set(text.conformal) == {"map", "sbp", "dbp", "depth"}
    assert "simulated" in text.card and "MAP MAE" in text.card and "not for clinical decisions" in text.card
    assert half_width(text.conformal["map"], 0.3, 120.0) >= 0.0
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_groups_share_no_patient_and_the_test_group_has_other_devices(run):
    orders = patient_orders(TINY, run[0] / "data")
    assert len({o.seed for o in orders}) == len(orders)
    assert {o.device for o in orders if o.group == "test"} == {"heldout"}
    assert {o.device for o in orders if o.group != "test"} == {"train"}


def test_windows_on_disk_are_complete_and_labelled(run):
    patient = open_patient(patient_orders(TINY, run[0] / "data")[0].folder)
    arrays = patient.arrays
    assert patient.windows == len(range(40, 151, 20))
    assert np.isfinite(arrays["signals"]).all() and arrays["signals"].shape[1:] == (4, SIZES["ci"].samples)
    assert arrays["presence"].shape == (patient.windows, 4, 8)
    assert 20 < np.nanmean(arrays["pressures"][..., 0]) < 140
    assert (arrays["pressures"][..., 1] > arrays["pressures"][..., 2]).all()
    assert np.isnan(arrays["hypotension"][~arrays["hypotensive_now"]]).mean() > 0.5  # 150 s say little of 5 minutes
    assert (arrays["depth"] >= 0).all() and (arrays["depth"] <= 100).all()


def test_a_used_folder_is_refused_and_so_is_another_configuration(run):
    with pytest.raises(BadInput, match="resume"):
        train_demo(run[0], config=TINY, progress=silent)
    other = msgspec.structs.replace(TINY, seed=4)
    with pytest.raises(BadInput, match="another run"):
        train_demo(run[0], config=other, resume=True, progress=silent)


def test_resumed_equals_unbroken_bit_for_bit(run, group, tmp_path):
    stop = group
    whole, broken = fresh(run), fresh(run)
    fuse(whole, group, stop, TINY, _folder(tmp_path / "a"), silent)
    fuse(broken, group, stop, TINY, _folder(tmp_path / "b"), silent, last=2)
    again = fresh(run)
    fuse(again, group, stop, TINY, tmp_path / "b", silent)
    a, b = (checkpoint.load(tmp_path / x / "fusion.safetensors").tensors for x in ("a", "b"))
    assert set(a) == set(b)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all(torch.equal(x, y) for x, y in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_wave_stage_changes_wave_decoders_only(run, group, tmp_path):
    model = copy.deepcopy(run[1])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_waves(model, group, group, TINY, tmp_path, silent)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("heads.waves.") for name in changed)


def _folder(path):
    path.mkdir()
    return path


# -- gradients --------------------------------------------------------------------------------------------------------


def test_gradients_reach_every_trainable_part_within_three_steps_and_frozen_weights_stay(run, group):
    model = fresh(run)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if n.startswith("encoders.")}
    buffers = {n: b.clone() for n, b in model.named_buffers() if "running" in n}
    stage = stage_of(model).train()
    optimiser = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=1e-3)
    reached: set[str] = set()
    rng = np.random.default_rng(5)
    plan = LossPlan(complete=0.0, subset=0.6, recent=0.2, ragged=0.2, longest_s=60.0)
    for step in range(3):
        rows = np.arange(len(group))
        batch = group.batch(rows, group.draw(rng, rows, plan))
        batch = replace(batch, hypotension=torch.zeros_like(batch.hypotension))  # 150 s have no labels of their own
        optimiser.zero_grad()
        weighted(stage.losses(batch, torch.Generator().manual_seed(step), len(rows)), WEIGHTS).backward()
        reached |= {n for n, p in stage.named_parameters() if p.grad is not None and bool(p.grad.any())}
        optimiser.step()
    trainable = {n for n, p in stage.named_parameters() if p.requires_grad}
    assert trainable - reached == set()
    assert any(n.endswith(".down") for n in reached) and any(n.endswith(".up") for n in reached)
    after = dict(model.named_parameters())
    for name, value in before.items():
        assert torch.equal(after[name.replace("model.", "")], value), name
    assert all(torch.equal(b, buffers[n]) for n, b in model.named_buffers() if n in buffers)


def test_masked_prediction_has_a_gradient_and_its_target_none():
    torch.manual_seed(0)
    c = SIZES["ci"]
    encoder = ModalityEncoder(c.frames, c.frame_samples, c.channels, c.width, c.heads, 1)
    net = DPNeuroNet(encoder, Modality.ECG, 100, c.heads, 0.8)
    assert net.kept == 2  # round(8 · 0.2)
    parts = net.loss(torch.randn(4, c.samples), 0.1, 1.0, torch.Generator().manual_seed(0))
    assert set(parts) == {"reconstruction", "maskings", "views", "readout", "total"}
    parts["total"].backward()
    unreached = {n for n, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())}
    assert unreached == set()
    assert net.project_masks is not net.project_views


def test_views_are_drawn_a_sample_and_keep_the_rhythm():
    t = torch.arange(2400) / 100
    x = (torch.sin(2 * torch.pi * 1.2 * t) > 0.95).float().expand(6, -1)
    view = augment(x, Modality.ECG, torch.Generator().manual_seed(0))
    gains = [float((v * x[0]).sum() / x[0].sum()) for v in view]
    assert np.std(gains) > 0.02
    spectra = torch.fft.rfft(view - view.mean(-1, keepdim=True)).abs()[:, 20:40]
    assert (spectra.argmax(-1) + 20 == round(1.2 * 24)).all()  # the heart rate is not stretched


# -- parts ------------------------------------------------------------------------------------------------------------


def test_rhythm_target_has_a_bump_at_each_beat():
    times = torch.tensor([[0.5, 2.003, float("nan")], [7.999, float("nan"), float("nan")]])
    out = rhythm_target(times, 800, 100)
    assert out[0].argmax() in (50, 200) and abs(float(out[0, 50]) - 1.0) < 1e-6
    assert int((out[0] > 0.5).sum()) in (10, 11, 12) and float(out[1, 799]) > 0.9 and float(out[1, :780].max()) == 0.0


def test_cosine_rate_rises_then_falls():
    rates = [cosine_rate(s, 100, 1.0, 10) for s in range(100)]
    assert rates[0] == 0.1 and max(rates) == rates[10] == 1.0 and rates[-1] < 0.03
    assert (np.diff(rates[10:]) < 0).all()


def test_conformal_widening_covers():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(4000) * 3
    lo, hi = np.full(4000, -1.0), np.full(4000, 1.0)
    age, missing = rng.uniform(0, 1700, 4000), rng.uniform(0, 1, 4000)
    age[:50] = np.nan
    table = conformal_table(lo[:2000], hi[:2000], truth[:2000], missing[:2000], age[:2000], by_age=True)
    widen = np.array([half_width(table, m, a) for m, a in zip(missing[2000:], age[2000:], strict=True)])
    assert 0.77 < float(np.mean(np.abs(truth[2000:]) <= 1 + widen)) < 0.84
    assert conformal_quantile(np.arange(9.0)) == 7.0  # ceil(10 · 0.8) = the eighth smallest
    assert conformal_quantile(np.array([])) == 0.0


def test_metrics_on_known_cases():
    score, label = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(score, label) == 0.75
    assert abs(auprc(score, label) - (0.5 * 1 + 0.5 * 2 / 3)) < 1e-12
    assert auroc(np.ones(4), label) == 0.5 and auprc(np.ones(4), label) == 0.5
    assert np.isnan(auroc(score, np.zeros(4, bool))) and np.isnan(auprc(score, np.zeros(4, bool)))
    assert beat_matches(np.array([1.0, 1.05, 3.2]), np.array([1.02, 2.0, 3.12])) == (2, 3, 3)
    assert f1(np.array([2, 3, 3])) == 2 / 3
    assert masked_mean(torch.ones(2), torch.ones(2, dtype=torch.bool)) == 1.0


def test_shipped_configuration_is_valid_and_errors_name_the_field(tmp_path):
    config = load_config()
    assert config.size == "demo" and config.fingerprint == load_config(DEMO_CONFIG).fingerprint
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(DEMO_CONFIG.read_text(encoding="utf-8").replace("steps = 140", 'steps = "many"'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"pretrain\.steps"):
        load_config(wrong)
    with pytest.raises(BadInput, match="readable"):
        load_config(tmp_path / "none.toml")


def test_a_foreign_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(BadInput, match="safetensors"):
        checkpoint.load(path)


def test_progress_bars_name_stages_and_time_adds_up(capsys, tmp_path):
    bar = ProgressBars()
    for stage, done in (("one", 1), ("one", 2), ("two", 1), ("three", 2)):
        bar(stage, done, 2)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("one", "two", "three", "100%", "50%"))
    (tmp_path / "seconds.txt").write_text("data\t10.0\n", encoding="utf-8")
    clock = StageClock(tmp_path / "seconds.txt")
    with clock("data"):
        pass
    assert clock.seconds["data"] >= 10.0
    assert StageClock(tmp_path / "seconds.txt").seconds.keys() == {"data"}
