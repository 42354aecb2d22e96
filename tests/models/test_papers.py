"""The comparison of published methods: nobody is tested who was trained on, no label reaches what must not see one."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from benchmarks.papers import tables
from benchmarks.papers.cohort import FOLDS, Person, fold_of, people, whole_rows
from benchmarks.papers.command import main
from benchmarks.papers.end_to_end import ZeroFillStage, add_classifier, task
from benchmarks.papers.fold import Fold, Scored, claim, score
from benchmarks.papers.methods import Methods, main_stage_settings, read_methods, selfmask_settings
from benchmarks.papers.reading import Bounded, LateFusion, drawn_losses, fitting_truths, numbers, representation
from models.batches.group import Group
from models.data.dataset import WindowDataset
from models.evaluation.metrics import auroc
from models.physiome import PhysioME
from models.progress import silent
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.training.losses import WEIGHTS
from models.training.objective_stages import METHODS
from models.training.selfmask_stage import SelfMaskStage, head_task
from tests.models.lost_material import CI, write_patient

pytestmark = pytest.mark.timeout(300)
PATIENTS = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve patients, every other one recorded; the first of these has two studies and a copy by another device."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("patients")
    found = []
    for seed in range(PATIENTS + 2):
        folder = place / f"{seed:04d}"
        write_patient(folder, seed)
        index = folder / "index.json"
        facts = json.loads(index.read_text())
        if seed >= PATIENTS:
            facts |= {"patient": "p1", "simulated": False} | ({"device_seed": 4} if seed == PATIENTS else {})
        facts["simulated"] = seed < PATIENTS and seed % 2 == 0
        index.write_text(json.dumps(facts))
        found.append(folder)
    return found


@pytest.fixture(scope="module")
def small() -> Methods:
    """The methods at a budget of a few steps."""
    chosen = read_methods()
    few = {name: 3 for name in ("pretrain_steps", "main_steps", "end_to_end_steps")}
    sizes = {"pretrain_batch": 8, "main_batch": 8, "end_to_end_batch": 4}
    return msgspec.structs.replace(chosen, budget=msgspec.structs.replace(chosen.budget, **few, **sizes))


@pytest.fixture(scope="module")
def patients(folders: list[Path]) -> list[Person]:
    return people(folders, 99, 99, CI.modalities)


# -- who is where -----------------------------------------------------------------------------------------------------


def test_a_patient_is_all_its_recordings_but_none_by_another_device(folders, patients) -> None:
    of = {p.name: p for p in patients}
    assert sorted(of) == sorted(f"p{n}" for n in range(PATIENTS))
    assert of["p1"].folders == (folders[1], folders[PATIENTS + 1])
    assert [p.recorded for p in patients] == [False] * 6 + [True] * 6
    assert [p.name for p in people(folders, 2, 1, CI.modalities)] == ["p0", "p10", "p1"]


@pytest.mark.parametrize("seed", [20, 21])
def test_every_patient_is_tested_once_and_not_trained_on_then(patients, seed) -> None:
    tested: list[Path] = []
    for fold in range(FOLDS):
        groups = fold_of(patients, fold, seed)
        owner = {folder: p.name for p in patients for folder in p.folders}
        names = {group: {owner[f] for f in of} for group, of in groups.items()}
        assert not names["test"] & (names["train"] | names["stop"]) and not names["train"] & names["stop"]
        assert sum(len(of) for of in groups.values()) == len(owner)
        tested += groups["test"]
        assert {p.recorded for p in patients if p.name in names["test"]} == {True, False}
    assert sorted(tested) == sorted(owner)


def test_tested_windows_measured_all_that_their_kind_has(folders, monkeypatch) -> None:
    group = Group(WindowDataset(folders[:2]), CI, 0)  # a simulated and a recorded patient
    eeg, ppg = CI.modalities.index(Modality.EEG), CI.modalities.index(Modality.PPG)
    group.presence[:, eeg, 3] = False
    rows = whole_rows(group, 5)
    assert group.recorded[rows].all() and len(rows) == 5
    group.presence[group.dataset.patient_of == 1, ppg, 0] = False
    assert not len(whole_rows(group, 5))


# -- what sees a label ------------------------------------------------------------------------------------------------


def scrambled(group: Group) -> None:
    rng = np.random.default_rng(5)
    for name in ("pressures", "eeg", "depth", "hypotension"):
        values = group.labels[name]
        group.labels[name] = rng.permutation(values) + (0.0 if name == "hypotension" else 7.0)
        group.labels[name] = group.labels[name].astype(values.dtype)


def test_only_losses_that_read_no_label_have_a_weight_without_labels() -> None:
    for name, method in read_methods().methods.items():
        if method.stage not in ("physiome", *METHODS):
            continue
        settings = main_stage_settings(method, read_methods().budget)
        weighed = {k for k, v in (WEIGHTS | settings.weights).items() if v > 0}
        assert bool(weighed & {"pressure", "hypotension", "depth", "eeg", "pressure_present"}) == method.labels, name


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_drawn_loss_leaves_something_and_takes_nothing_that_was_not_there(folders) -> None:
    group = Group(WindowDataset(folders[:3]), CI, 0)
    eeg = CI.modalities.index(Modality.EEG)
    group.presence[:40, eeg] = False
    group.presence[40:, eeg] = True
    rows = np.repeat(np.arange(80), 50)
    kept = drawn_losses(group, rows, 1) == 0
    assert kept.any(1).all()
    assert not kept[: 40 * 50, eeg].any()
    for sensors, drawn in ((3, kept[: 40 * 50]), (4, kept[40 * 50 :])):
        codes, counts = np.unique(drawn.astype(int) @ (1 << np.arange(4)), return_counts=True)
        assert len(codes) == 2**sensors - 1
        assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.5 * counts.mean()


def test_a_monitor_without_a_pressure_says_none(folders) -> None:
    group = Group(WindowDataset(folders[:1]), CI, 0)
    rows, abp = np.arange(6), CI.modalities.index(Modality.ABP)
    ages = np.zeros((6, len(CI.modalities)))
    shown = numbers(group, rows, ages)
    ages[:, abp] = np.inf
    hidden = numbers(group, rows, ages)
    assert np.allclose(shown[:, 0] * 15 + 80, group.labels["pressures"][:6, -1, 0], atol=1e-4)
    assert (hidden[:, :2] == 0).all() and not hidden[:, 3:5].any() and (hidden[:, 5] == 1).all()
    assert np.array_equal(hidden[:, 2], shown[:, 2])


def test_late_fusion_averages_over_the_sensors_that_are_there(folders) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = PhysioME(CI).eval()
    group = Group(WindowDataset(folders[:4]), CI, 0)
    group.features = torch.randn(len(group), len(CI.modalities), CI.frames, CI.width)
    late = LateFusion(model, group, np.arange(len(group)))
    rows = np.arange(5)
    alone = [
        late(group, rows, np.where(np.arange(4) == m, 0.0, np.inf)[None].repeat(5, 0))["complete"]["map"]
        for m in range(4)
    ]  # fmt: skip
    both = late(group, rows, np.array([[0.0, np.inf, 0.0, np.inf]] * 5))["losses"]["map"]
    assert np.allclose(both, (alone[0] + alone[2]) / 2)
    assert np.isnan(late(group, rows, np.full((5, 4), np.inf))["complete"]["map"]).all()


def with_features(group: Group, seed: int = 0) -> Group:
    generator = torch.Generator().manual_seed(seed)
    group.features = torch.randn(len(group), len(CI.modalities), CI.frames, CI.width, generator=generator)
    return group


def untrained() -> PhysioME:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return PhysioME(CI).eval().requires_grad_(False)


@pytest.mark.parametrize("fill", ["mask token", "tokens", "late fusion", "numbers", "constant"])
def test_no_label_of_a_test_patient_reaches_what_is_said_of_it(fill, folders) -> None:
    """But those that a monitor would show; and what is said does follow the training patients' labels."""
    model = untrained()
    groups = {"train": with_features(Group(WindowDataset(folders[:6]), CI, 0)),
              "test": with_features(Group(WindowDataset(folders[6:9]), CI, 0), 1)}  # fmt: skip
    before = score(model, groups, 0, "m", fill)
    if fill == "numbers":
        groups["test"].labels["depth"] = groups["test"].labels["depth"] * 2.0
        groups["test"].labels["hypotension"] = 1.0 - groups["test"].labels["hypotension"]
    else:
        scrambled(groups["test"])
    after = score(model, groups, 0, "m", fill)
    for key, value in before.said.items():
        assert np.array_equal(value, after.said[key], equal_nan=True), key
    assert not np.array_equal(before.truth["depth"], after.truth["depth"])
    scrambled(groups["train"])
    third = score(model, groups, 0, "m", fill)
    assert not np.allclose(third.said["ECG", "losses", "map"], before.said["ECG", "losses", "map"])


@pytest.mark.parametrize("fill", ["mask token", "restoration", "zeros", "selfmask", "tokens"])
def test_what_was_lost_does_not_reach_the_representation(fill, folders) -> None:
    model, group = untrained(), with_features(Group(WindowDataset(folders[:1]), CI, 0))
    rows, abp = np.arange(6), CI.modalities.index(Modality.ABP)
    ages = np.zeros((6, len(CI.modalities)))
    whole = representation(model, fill)(group, rows, ages)
    ages[:, abp] = np.inf
    before = representation(model, fill)(group, rows, ages)
    assert before.shape == whole.shape and not np.allclose(before, whole)
    assert group.features is not None
    group.features[:, abp] = float("nan")
    assert np.array_equal(representation(model, fill)(group, rows, ages), before)


def test_a_task_counts_outcomes_that_are_known_alone(folders) -> None:
    model = untrained()
    add_classifier(model)
    group = with_features(Group(WindowDataset(folders[:1]), CI, 0))
    rows = np.arange(4)

    def loss() -> tuple[float, torch.Tensor]:
        batch = group.batch(rows, group.lost(rows, np.zeros((4, len(CI.modalities)))), 4)
        out = model(batch.signals, batch.presence, batch.context, features=batch.features, wave_rows=0)
        without = head_task(model, batch, out)
        return float((task(model, batch, out) - without).detach()) / WEIGHTS["hypotension"], out["fused"]

    group.labels["hypotension"][:] = [0.0, 1.0, np.nan]
    found, fused = loss()
    logits = model.get_submodule("task_classifier")(fused)[:, :2].detach().numpy().astype(float)
    by_hand = np.mean([np.log1p(np.exp(logits[:, 0])), np.log1p(np.exp(-logits[:, 1]))])
    assert found == pytest.approx(by_hand, rel=1e-4)


# -- the whole, and its tables ----------------------------------------------------------------------------------------


def made_up(fold: int, seed: int) -> Scored:
    rng = np.random.default_rng(seed)
    count = 60
    patient = np.repeat([f"p{fold}{i}" for i in range(6)], 10)
    truth = {"map": rng.normal(80, 9, count), "hypotension_5": (rng.random(count) < 0.4).astype(float)}
    said = {
        (setting, "complete", task): rng.random(count)
        for setting in ("all sensors", "ECG+PPG", "ECG+ABP", "PPG+ABP", "ECG", "PPG", "ABP") for task in truth
    }  # fmt: skip
    return Scored(fold, "m", "f", patient, np.zeros(count, bool), truth, said)


def test_a_figure_is_the_mean_over_subsets_and_folds() -> None:
    folds = [made_up(0, 1), made_up(1, 2)]
    two = tables.Outcome("x", "hypotension_5", False, sensors=2)
    found = tables.replicates(folds, "complete", two)
    by_hand = [
        np.mean([auroc(s.said[k, "complete", "hypotension_5"], s.truth["hypotension_5"] > 0.5)
                 for k in ("ECG+PPG", "ECG+ABP", "PPG+ABP")])
        for s in folds
    ]  # fmt: skip
    assert found[0] == pytest.approx(np.mean(by_hand))
    assert np.nanstd(found[1:]) > 0.01
    without = tables.Outcome("x", "map", False, without=Modality.ABP)
    errors = [
        np.mean([np.abs(s.said[k, "complete", "map"] - s.truth["map"]).mean() for k in ("ECG+PPG", "ECG", "PPG")])
        for s in folds
    ]  # fmt: skip
    assert tables.replicates(folds, "complete", without)[0] == pytest.approx(np.mean(errors))
    assert np.isnan(tables.replicates(folds, "complete", tables.Outcome("x", "map", True))).all()


def test_a_method_beside_itself_differs_by_nothing_in_every_resample() -> None:
    ours = [made_up(0, 1), made_up(1, 2)]
    found = {tables.REFERENCE: ours, ("again", "f"): ours}
    row = tables.row_of(tables.Figures(found), ("again", "f"), "complete", tables.RISKS[1:2], tables.RISKS[1:2])
    assert row["PhysioME"] == row["PhysioME lo"] == row["PhysioME hi"] == 0.0


def test_numbers_stay_within_what_patients_have_and_recordings_teach_no_risk(folders) -> None:
    group = Group(WindowDataset(folders[:2]), CI, 0)
    rows = np.arange(len(group))
    truth = fitting_truths(group, rows)
    assert np.isnan(truth["hypotension_5"][group.recorded]).all()
    assert np.isfinite(truth["hypotension_5"][~group.recorded]).any() and np.isfinite(truth["map"]).all()
    x = truth["map"][:, None]
    heads = Bounded(x, truth, group.dataset.patient_of)
    said = heads(np.array([[-1e4], [80.0], [1e4]]))["map"]
    assert said[0] == truth["map"].min() and said[2] == truth["map"].max()
    assert abs(said[1] - 80.0) < 2.0


def test_scores_of_other_settings_are_not_taken_for_these(tmp_path) -> None:
    claim(tmp_path / "m", "one")
    claim(tmp_path / "m", "one")
    with pytest.raises(BadInput, match="others in"):
        claim(tmp_path / "m", "two")


@pytest.mark.parametrize("stage", [ZeroFillStage, SelfMaskStage])
def test_a_task_trains_encoders_and_its_label_of_hypotension_reaches_them(stage, folders) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = PhysioME(CI)
    add_classifier(model)
    group = Group(WindowDataset(folders[:3]), CI, 0)
    group.features = torch.zeros(len(group), len(CI.modalities), CI.frames, CI.width)
    settings = selfmask_settings(read_methods().methods["zero_fill"], read_methods().budget)
    settings = msgspec.structs.replace(settings, batch=3)

    def gradient() -> torch.Tensor:
        model.zero_grad()
        torch.stack(list(made.losses(0).values())).sum().backward()
        first = next(p for p in model.encoders.parameters() if p.grad is not None and bool((p.grad != 0).any()))
        assert first.grad is not None
        return first.grad.clone()

    made = stage(model, group, group, settings, 0, task, end_to_end=True)
    before = gradient()
    group.labels["hypotension"] = 1.0 - group.labels["hypotension"]
    assert not torch.equal(gradient(), before)


def test_bad_choices_are_told(tmp_path) -> None:
    with pytest.raises(BadInput, match="--only out of physiome"):
        main(["run", "--only", "perfect"])
    with pytest.raises(BadInput, match="folds from 0 to 4"):
        main(["run", "--folds", "5"])
    with pytest.raises(BadInput, match="scored folds"):
        main(["tables", "--scores", str(tmp_path)])
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[budget]\n")
    with pytest.raises(BadInput, match=r"methods as in .*methods\.toml"):
        read_methods(wrong)


# -- whole trainings: last, so that what is quicker sees a wrong first ------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["physiome", "ours"])
def test_no_label_reaches_a_network_that_must_not_see_any(name, patients, small, tmp_path) -> None:
    """The network that is read is bit for bit the same whatever the labels say; of a method with labels it is not."""
    method = small.methods[name]
    weights = []
    for change in (False, True):
        fold = Fold(patients, 0, 20, small, tmp_path / str(change), silent, CI)
        if change:
            for group in fold.groups.values():
                scrambled(group)
        model = fold.trained(name, method)
        weights.append({k: v for k, v in model.state_dict().items() if not k.startswith("heads.")})
    same = all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert same == (not method.labels)


@pytest.mark.slow
def test_all_methods_run_are_kept_and_are_not_run_again(patients, small, tmp_path, capsys) -> None:
    few = ("physiome", "leave_one_out", "numbers", "selfmask", "ours")
    small = msgspec.structs.replace(small, methods={name: small.methods[name] for name in few})
    scores = tmp_path / "scores"
    Fold(patients, 1, 20, small, scores, silent, CI).run()
    files = {f: f.stat().st_mtime_ns for f in scores.rglob("*.npz")}
    assert len(files) == sum(len(m.fill) for m in small.methods.values())
    Fold(patients, 1, 20, small, scores, silent, CI).run()
    assert {f: f.stat().st_mtime_ns for f in scores.rglob("*.npz")} == files
    one = Scored.load(scores / "fold1" / "physiome" / "restoration.npz")
    assert (one.fold, one.method, one.fill) == (1, "physiome", "restoration")
    eeg_of_real = [v for k, v in one.said.items() if "EEG" in k[0] or k[0] == "all sensors"]
    assert all(np.isnan(v[one.recorded]).all() and np.isfinite(v[~one.recorded]).all() for v in eeg_of_real)
    (scores / "fold1" / "ours" / "zeros.npz").unlink()
    tables.make_tables(scores, small, tmp_path / "out")
    assert "ours, zeros" in capsys.readouterr().out
    risk, error = ((tmp_path / "out" / f"{n}.md").read_text() for n in ("risk", "numbers"))
    assert "| selfmask | selfmask | losses |" in risk and "| physiome | restoration | complete |" in error
    assert "nan" not in risk
