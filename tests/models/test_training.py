"""Training: frozen parts stay frozen, gradients arrive, runs resume bit for bit, stages fit together."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from models.batches.features import cache_features
from models.batches.group import Group
from models.data.dataset import WindowDataset, open_patient
from models.data.generate import PatientOrder, make_patient
from models.data.missingness import LossPlan
from models.data.sources import FolderData
from models.evaluation.heldout import HeldOut
from models.evaluation.metrics import auroc, beat_matches, f1
from models.making.card import Cost, write_card
from models.making.demo import train, train_demo
from models.networks.encoder import ModalityEncoder
from models.objectives import masked_mean
from models.physiome import SIZES, PhysioME
from models.runtime.calibration import half_width
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.training import checkpoint, run_folder
from models.training.calibrate import conformal_quantile, conformal_table
from models.training.config import (
    DEMO_CONFIG,
    FULL_CONFIG,
    DataConfig,
    FusionConfig,
    HeadsConfig,
    PretrainConfig,
    RestorationConfig,
    RiskConfig,
    SelfMaskConfig,
    TrainConfig,
    WaveConfig,
    digest,
    load_config,
    to_toml,
)
from models.training.data_stage import make_windows, patient_orders
from models.training.fusion_stage import WEIGHTS, FusionStage, rhythm_target, weighted
from models.training.heads_stage import HeadsStage
from models.training.loop import run_stage
from models.training.pipeline import STAGES, train_stages
from models.training.pretrain import DPNeuroNet, PretrainStage, augment
from models.training.progress import ProgressBars
from models.training.restoration_stage import RestorationStage
from models.training.risk_stage import RiskStage
from models.training.run_folder import StageClock, open_run
from models.training.selfmask_stage import SelfMaskStage
from models.training.wave_stage import WaveStage

TINY = TrainConfig(
    name="tiny", version="0", size="ci", seed=3, threads=1, device="cpu",
    data=DataConfig(2, 1, 1, 2, duration_s=150, stride_s=20, test_stride_s=20, processes=1),
    pretrain=PretrainConfig(steps=2, batch=6, evaluate_every=1, save_every=1),
    fusion=FusionConfig(steps=4, batch=6, warmup=1, evaluate_every=2, save_every=2, lora_rank=4),
    restoration=RestorationConfig(steps=2, batch=4, evaluate_every=1, save_every=1),
    heads=HeadsConfig(steps=2, batch=4, evaluate_every=1, save_every=1),
    risk=RiskConfig(steps=2, batch=8, evaluate_every=1, save_every=1, draws=1),
    selfmask=SelfMaskConfig(steps=2, batch=4, evaluate_every=1, save_every=1),
    waves=WaveConfig(steps=2, batch=4, warmup=1, evaluate_every=1, save_every=1),
)  # fmt: skip


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run but the export, at the smallest size: folder, model, bundle's words."""
    out = tmp_path_factory.mktemp("run") / "tiny"
    model, text, _ = train(out, TINY, False, silent)
    return out, model, text


@pytest.fixture(scope="module")
def group(run):
    folders = [o.folder for o in patient_orders(TINY, run[0] / "data") if o.group == "train"]
    group = Group(WindowDataset(folders), SIZES["ci"], 1)
    torch.manual_seed(0)
    cache_features(PhysioME(SIZES["ci"]), group, silent, "train")
    return group


def fresh(run) -> PhysioME:
    model = run_folder.build_model(TINY)
    state = checkpoint.load(run[0] / "pretrain.safetensors").part("best")
    for m, encoder in enumerate(model.encoders):
        head = f"{m}.encoder."
        encoder.load_state_dict({n[len(head) :]: v for n, v in state.items() if n.startswith(head)})
    return model


# -- the run ----------------------------------------------------------------------------------------------------------


def test_a_run_gives_a_calibrated_model_and_a_card(run):
    _, model, text = run
    assert set(text.conformal) == {"map", "sbp", "dbp", "depth"}
    assert "simulated" in text.card and "MAP MAE" in text.card and "not for clinical decisions" in text.card
    assert half_width(text.conformal["map"], 0.3, 120.0) >= 0.0
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_card_says_where_its_figures_come_from(run):
    assert "1 for early stopping" in run[2].card and "SelfMask" in run[2].card
    recorded = msgspec.structs.replace(
        TINY, data=FolderData(path="somewhere"), selfmask=msgspec.structs.replace(TINY.selfmask, steps=0)
    )
    card = write_card(recorded, Cost({"fusion": 60.0}, "a machine", 10**6, 500), {"recorded": HeldOut(3, 40)})
    assert "Recordings of folder" in card and "Held-out figures: recorded" in card and "somewhere" not in card
    assert "SelfMask" not in card and "simulat" not in card


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


def stage_named(name: str, model: PhysioME, group: Group):
    if name == "pretrain":
        return PretrainStage(model, group, group, TINY.pretrain, 3)
    fusion = FusionStage(model, group, group, TINY.fusion, 3)
    kinds = {
        "restoration": RestorationStage, "heads": HeadsStage, "risk": RiskStage, "selfmask": SelfMaskStage,
        "waves": WaveStage,
    }  # fmt: skip
    return fusion if name == "fusion" else kinds[name](model, group, group, getattr(TINY, name), seed=3)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_resumes_bit_for_bit(run, group, tmp_path, name):
    settings = getattr(TINY, name)
    whole, broken, again = (stage_named(name, fresh(run), group) for _ in range(3))
    run_stage(whole, settings, tmp_path / "a", "f", silent)
    run_stage(broken, settings, tmp_path / "b", "f", silent, last=1)
    run_stage(again, settings, tmp_path / "b", "f", silent)
    a, b = (checkpoint.load(tmp_path / x / f"{name}.safetensors").tensors for x in ("a", "b"))
    assert set(a) == set(b)
    assert all(torch.equal(a[key], b[key]) for key in a)
    x, y = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(x[key], y[key]) for key in x)


TRAINED = {
    "pretrain": ("encoders.",),
    "fusion": ("encoders.", "fusion.", "context.", "restoration.", "pool.", "heads."),
    "restoration": ("restoration.", "memory.restoration."),
    "heads": ("heads.",),
    "risk": ("heads.hypotension.",),
    "selfmask": ("selfmask.",),
    "waves": ("heads.waves.",),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_changes_its_own_parts_only(run, group, tmp_path, name):
    model = fresh(run)
    stage = stage_named(name, model, group)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    run_stage(stage, getattr(TINY, name), tmp_path, "f", silent)
    after = model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith(TRAINED[name]) for key in changed)
    if name == "fusion":
        assert all(key.endswith((".up", ".down")) for key in changed if key.startswith("encoders."))
    if name in ("fusion", "heads", "risk"):
        assert not any(key.startswith("heads.waves.") or "temperature" in key for key in changed)


# -- the run folder ---------------------------------------------------------------------------------------------------


def test_a_run_is_opened_as_it_was_trained(run):
    opened = open_run(run[0], silent)
    assert opened.settings == TINY and set(opened.conformal) == {"map", "sbp", "dbp", "depth"}
    state = run[1].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in opened.model.state_dict().items())
    group = opened.group("test")
    assert group.features.shape == (len(group), 4, 8, 32) and opened.group("test") is group
    assert opened.facts["seed"] == 3 and set(opened.facts["versions"]) == {"python", "torch", "numpy"}
    text = (run[0] / "run.json").read_text(encoding="utf-8")
    assert str(run[0].parent) not in text and str(run[0].parent) not in (run[0] / "config.toml").read_text("utf-8")


def test_cached_features_are_those_of_the_encoders(run):
    opened = open_run(run[0], silent)
    kept = opened.group("stop").features
    folders = [o.folder for o in patient_orders(TINY, run[0] / "data") if o.group == "stop"]
    direct = Group(WindowDataset(folders), SIZES["ci"], 3)
    cache_features(opened.model, direct, silent, "stop")
    assert torch.equal(kept, direct.features)
    kept[:] = 0.0  # mapped copy-on-write: nobody can spoil the file
    assert torch.equal(open_run(run[0], silent).group("stop").features, direct.features)


def test_folders_that_are_no_finished_runs_are_refused(run, tmp_path):
    with pytest.raises(BadInput, match=r"no run\.json"):
        open_run(tmp_path)
    for name in ("config.toml", "run.json"):
        (tmp_path / name).write_bytes((run[0] / name).read_bytes())
    with pytest.raises(BadInput, match=r"no model\.safetensors"):
        open_run(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((run[0] / "fusion.safetensors").read_bytes())
    with pytest.raises(BadInput, match="a tensor"):
        open_run(tmp_path)


def test_an_ablation_takes_the_encoders_of_another_run_and_trains_the_rest(run, tmp_path):
    changed = msgspec.structs.replace(TINY, fusion=msgspec.structs.replace(TINY.fusion, steps=2, lora_rank=2))
    train_stages(tmp_path / "a", changed, False, silent, until="fusion", base=run[0])
    a, b = ((folder / "pretrain.safetensors").read_bytes() for folder in (tmp_path / "a", run[0]))
    assert a == b
    assert not (tmp_path / "a" / "pretrain.csv").exists() and not (tmp_path / "a" / "data").exists()
    assert open_run(tmp_path / "a").model.encoders[0].transformer.blocks[0].attention.query.down.shape[0] == 2
    other_seed = msgspec.structs.replace(changed, seed=4)
    with pytest.raises(BadInput, match="a stage pretrain of these settings"):
        train_stages(tmp_path / "b", other_seed, False, silent, until="fusion", base=run[0])
    with pytest.raises(BadInput, match="a stage fusion of these settings"):
        train_stages(tmp_path / "c", changed, False, silent, "selfmask", run[0], ("pretrain", "fusion"))
    with pytest.raises(BadInput, match="a run folder or a bundle after --from"):
        train_stages(tmp_path / "d", changed, False, silent, base=tmp_path)


def test_a_stage_depends_on_what_comes_before_it_and_on_nothing_else():
    plain = TINY.fingerprints("data")

    def after(**changes) -> set[str]:
        return {k for k, v in msgspec.structs.replace(TINY, **changes).fingerprints("data").items() if v != plain[k]}

    every = set(plain)
    assert after(threads=2, device="auto", name="other", data_folder="x") == set()
    assert after(seed=4) == every == after(pretrain=PretrainConfig(steps=3))
    assert after(fusion=FusionConfig(steps=9)) == every - {"pretrain"}
    assert after(objective=msgspec.structs.replace(TINY.objective, stop_gradient=False)) == every - {"pretrain"}
    assert after(objective=msgspec.structs.replace(TINY.objective, backbone="vit")) == every
    assert after(waves=WaveConfig(steps=3)) == {"waves"}
    behind = {"restoration", "heads", "risk", "selfmask", "waves"}  # students read the encoders alone
    assert after(restoration=RestorationConfig(steps=3)) == behind
    assert after(restoration=msgspec.structs.replace(TINY.restoration, memory=False)) == behind
    assert {k for k, v in TINY.fingerprints("other").items() if v != plain[k]} == every


def test_a_run_without_the_restoration_stage_is_what_it_was_before_there_was_one():
    without = msgspec.structs.replace(TINY, restoration=RestorationConfig(steps=0))
    other = msgspec.structs.replace(TINY, restoration=RestorationConfig(steps=0, rate=1.0, memory=False))
    plain = msgspec.to_builtins(without)
    for key in ("restoration", "threads", "device", "data_folder", "start"):
        plain.pop(key)
    plain["data"].pop("processes")
    assert plain["data"].pop("course") == 1, "runs made when there was no other do not have it"
    assert without.fingerprint == digest(plain) == other.fingerprint != TINY.fingerprint
    stages = without.fingerprints("data")
    assert stages["restoration"] == stages["fusion"] and stages == other.fingerprints("data")
    assert stages["waves"] == digest([stages["fusion"], plain["waves"]])
    assert not without.architecture.use_memory and TINY.architecture.use_memory


def test_the_memory_is_added_to_a_main_stage_that_knew_none(run, tmp_path):
    saved = checkpoint.load(run[0] / "fusion.safetensors").tensors
    assert not any("model.memory." in name for name in saved)
    assert open_run(run[0], silent).model.memory is not None
    without = msgspec.structs.replace(TINY, restoration=RestorationConfig(steps=0))
    train_stages(tmp_path / "a", without, False, silent, until="fusion", base=run[0], needs=("pretrain", "fusion"))
    assert open_run(tmp_path / "a", silent).model.memory is None


def test_windows_of_other_settings_are_refused(run, tmp_path):
    other = msgspec.structs.replace(
        TINY, data=msgspec.structs.replace(TINY.data, stride_s=10), data_folder=str(run[0] / "data")
    )
    with pytest.raises(BadInput, match="stride_s 10"):
        train_stages(tmp_path / "a", other, False, silent, until="pretrain")
    other = msgspec.structs.replace(TINY, size="demo", data_folder=str(run[0] / "data"))
    with pytest.raises(BadInput, match="10 frames"):
        train_stages(tmp_path / "b", other, False, silent, until="pretrain")


# -- gradients --------------------------------------------------------------------------------------------------------


def test_gradients_reach_every_trainable_part_within_three_steps_and_frozen_weights_stay(run, group):
    model = fresh(run)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if n.startswith("encoders.")}
    buffers = {n: b.clone() for n, b in model.named_buffers() if "running" in n}
    stage = FusionStage(model, group, group, FusionConfig(steps=3, lora_rank=4, lora_dropout=0.0))
    parts = stage.module.train()
    optimiser = torch.optim.AdamW([p for p in parts.parameters() if p.requires_grad], lr=1e-3)
    reached: set[str] = set()
    rng = np.random.default_rng(5)
    plan = LossPlan(complete=0.0, subset=0.6, recent=0.2, ragged=0.2, longest_s=60.0)
    for step in range(3):
        rows = np.arange(len(group))
        batch = group.batch(rows, group.draw(rng, rows, plan))
        batch = replace(batch, hypotension=torch.zeros_like(batch.hypotension))  # 150 s have no labels of their own
        optimiser.zero_grad()
        weighted(stage.objective(batch, torch.Generator().manual_seed(step)), WEIGHTS).backward()
        reached |= {n for n, p in parts.named_parameters() if p.grad is not None and bool(p.grad.any())}
        optimiser.step()
    trainable = {n for n, p in parts.named_parameters() if p.requires_grad}
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
    assert auroc(np.ones(4), label) == 0.5
    assert np.isnan(auroc(score, np.zeros(4, bool)))
    assert beat_matches(np.array([1.0, 1.05, 3.2]), np.array([1.02, 2.0, 3.12])) == (2, 3, 3)
    assert f1(np.array([2, 3, 3])) == 2 / 3
    assert masked_mean(torch.ones(2), torch.ones(2, dtype=torch.bool)) == 1.0


@pytest.mark.parametrize("path", [DEMO_CONFIG, FULL_CONFIG], ids=lambda p: p.stem)
def test_shipped_configurations_are_valid_and_can_be_written_and_read(path, tmp_path):
    config = load_config(path)
    assert config.size == path.stem and config.fingerprint == load_config(path).fingerprint
    (tmp_path / "again.toml").write_text(to_toml(config), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config


def test_the_next_training_meets_the_refitted_eeg_and_no_patient_of_another_kind(tmp_path):
    config = load_config(DEMO_CONFIG)
    orders = patient_orders(config, tmp_path)
    assert {order.spectra for order in orders} == {2} and PatientOrder.__dataclass_fields__["spectra"].default == 2
    small = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, duration_s=60, stride_s=30))
    make_patient(replace(patient_orders(small, tmp_path)[0], spectra=1))
    with pytest.raises(BadInput, match="a simulated patient with spectra 2"):
        make_windows(small, tmp_path, lambda *_: None)


def test_a_training_asks_for_a_course_of_the_pressure_and_is_another_by_it(tmp_path):
    config = load_config(DEMO_CONFIG)
    one, two = (
        msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, duration_s=60, stride_s=30, course=c))
        for c in (1, 2)
    )
    assert one.fingerprint != two.fingerprint
    assert {order.course for order in patient_orders(two, tmp_path)} == {2}
    assert PatientOrder.__dataclass_fields__["course"].default == 1
    make_patient(patient_orders(one, tmp_path)[0])
    assert open_patient(patient_orders(one, tmp_path)[0].folder).facts["course"] == 1
    with pytest.raises(BadInput, match="a simulated patient with course 2"):
        make_windows(two, tmp_path, lambda *_: None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 140", 'steps = "many"', r"\$\.pretrain\.steps"),
        ("steps = 140", "steps = -1", r"\$\.pretrain\.steps"),
        ("mask_ratio = 0.8", "mask_ratio = 1.5", r"\$\.pretrain\.mask_ratio"),
        ("rate = 0.002", "rate = 0.0", r"\$\.waves\.rate"),
        ("warmup = 100", "warmup = 1500", r"warmup 1500 does not end.*\$\.fusion"),
        ("warmup = 100", "warmpu = 100", r"unknown field `warmpu`.*\$\.fusion"),
        ("{ readout = 0.5 }", "{ intra = -1.0 }", r"\$\.fusion\.weights"),
        ("{ readout = 0.5 }", "{ nothing = 1.0 }", "fusion.weights out of"),
        ("readout = 0.5\n\n[heads]", "memory = false\n\n[heads]", "a token memory in .restoration."),
        ("train_patients = 300", "train_patients = 0", r"\$\.data\.train_patients"),
        ('source = "simulator"', 'source = "dream"', r"\$\.data"),
        ('size = "demo"', 'size = "huge"', "a size out of"),
        ("threads = 2", 'threads = 2\ndevice = "abacus"', "device auto, cpu or cuda"),
        ("threads = 2", 'threads = 2\nprecision = "fp8"', "precision"),
    ],
)
def test_a_configuration_that_does_not_fit_names_the_field(tmp_path, old, new, message):
    wrong = tmp_path / "wrong.toml"
    text = DEMO_CONFIG.read_text(encoding="utf-8")
    assert old in text
    wrong.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        load_config(wrong)


def test_a_configuration_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="readable"):
        load_config(tmp_path / "none.toml")


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
