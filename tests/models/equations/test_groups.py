"""Who may know whom: training patients train, others stop it, others calibrate, others test.

A whole small run is made twice, the second time with other test patients: everything has to come out bit for bit the
same. And every group says who read it while what was at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.batches.group import Group
from models.data import prepare
from models.data.dataset import GROUPS, WindowDataset, save_patient
from models.data.sources import FolderData
from models.data.splits import Shares, folds, place, split
from models.evaluation import calibration, depth, hypotension
from models.evaluation.heldout import HeldOut
from models.making import demo, students
from models.networks.heads import HypotensionHead
from models.runtime.spec import Conformal
from models.signals.errors import BadInput
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from models.sizes import SIZES
from models.training import checkpoint, pipeline, risk_stage, run_folder
from models.training.config import (
    DataConfig,
    FusionConfig,
    HeadsConfig,
    PretrainConfig,
    RestorationConfig,
    RiskConfig,
    SelfMaskConfig,
    TrainConfig,
    WaveConfig,
)
from models.training.data_stage import patient_orders
from models.training.distil_stage import DistilConfig
from tests.models.equations import by_hand
from tests.models.equations.material import TINY, M, N

STAGES = ("pretrain", "fusion", "restoration", "heads", "risk", "selfmask", "waves")
SECONDS, STRIDE = 180, 24
SETTINGS = TrainConfig(
    name="tiny", version="0", size="ci", seed=3, threads=1, device="cpu",
    data=DataConfig(2, 2, 2, 2),
    pretrain=PretrainConfig(steps=1, batch=4), fusion=FusionConfig(steps=1, batch=4, lora_rank=2),
    restoration=RestorationConfig(steps=1, batch=4), heads=HeadsConfig(steps=1, batch=4),
    risk=RiskConfig(steps=1, batch=8, draws=1), selfmask=SelfMaskConfig(steps=1, batch=4),
    waves=WaveConfig(steps=1, batch=4),
)  # fmt: skip


def write_patient(folder: Path, seed: int) -> None:
    """Noise in every array, drawn from the seed; events come and go."""
    rng = np.random.default_rng(seed)
    ends = np.arange(TINY.window_s + 1, SECONDS, STRIDE)
    w = len(ends)
    history = rng.normal(size=(SECONDS + 1, M, len(CONTEXT_FIELDS))).astype(np.float32)
    history[..., CONTEXT_FIELDS.index("age_s")] = 0.0
    history[:, TINY.modalities.index(Modality.ABP), :5] += 80.0
    middle = 80.0 + 10.0 * rng.normal(size=(w, N))
    save_patient(
        folder,
        {
            "signals": rng.normal(size=(w, M, TINY.samples)).astype(np.float32) * 20.0 + 5.0,
            "presence": np.ones((w, M, N), np.bool_), "history": history,
            "pressures": np.stack([middle, middle + 30, middle - 15], -1).astype(np.float32),
            "r_times": np.sort(rng.uniform(0, TINY.window_s, (w, 9)), axis=1).astype(np.float32),
            "eeg": rng.normal(size=(w, 7)).astype(np.float32), "depth": rng.uniform(20, 80, w).astype(np.float32),
            "hypotension": np.maximum.accumulate(rng.random((w, 3)) < 0.4, axis=1).astype(np.float32),
            "hypotensive_now": np.zeros(w, np.bool_), "end_s": ends,
        },
        {"seed": seed, "patient": f"p{seed}", "simulated": True},
    )  # fmt: skip


def test_the_risk_head_stops_on_its_own_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_stage, "hints", lambda model, group, rows, plan, seed, k: group.hints)

    class Six(SimpleNamespace):
        def __len__(self) -> int:
            return 6

    groups = [
        Six(
            hints=torch.randn(6, 5, generator=torch.Generator().manual_seed(k)), bootstrap=np.ones((2, 9)),
            labels={"hypotension": np.full((6, 3), float(k))}, dataset=SimpleNamespace(patient_of=np.arange(6) % 2),
        ) for k in (0, 1)
    ]  # fmt: skip
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.hypotension = HypotensionHead(5, M)
    stage = risk_stage.RiskStage(model, *groups, RiskConfig(steps=1, draws=1), 0)  # type: ignore[arg-type]
    model.eval()
    logits = stage.module.logits(groups[1].hints).detach().numpy().astype(float)
    with torch.no_grad():
        found = stage.score()["score"]
    assert found == pytest.approx(by_hand.hazards(logits, np.ones((6, 3)), np.ones((6, 9))), rel=1e-4)


def test_a_patient_in_two_groups_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {}
    for number, name in enumerate(GROUPS):
        folders[name] = [tmp_path / name]
        write_patient(folders[name][0], number % 3)  # train and test are the same
    monkeypatch.setitem(SIZES, "ci", TINY)
    monkeypatch.setattr(pipeline, "make_windows", lambda settings, folder, progress: folders)
    with pytest.raises(BadInput, match="no patient in both train and test"):
        pipeline.train_stages(tmp_path / "run", SETTINGS, False, lambda *args: None, until="pretrain")


# -- students and evaluations get the groups they name ----------------------------------------------------------------


class Asked(SimpleNamespace):
    """A run that lists which group it was asked for; a group is known by its name."""

    def group(self, name: str) -> str:
        return name


class Enough(Exception):
    """Raised where a test has seen what it wanted."""


def a_run(**fields: object) -> Asked:
    config = SimpleNamespace(modalities=TINY.modalities, has_eeg=True)
    settings = SimpleNamespace(seed=1, fingerprints=lambda data: {"fusion": "f"}, name="run", version="0")
    return Asked(
        model=SimpleNamespace(config=config), settings=settings, facts={}, progress=None, conformal={}, **fields
    )


def test_a_student_is_trained_stopped_and_calibrated_on_three_groups(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    found: dict[str, object] = {}
    monkeypatch.setattr(
        students, "train_student", lambda model, train, stop, *rest: found.update(train=train, stop=stop)
    )
    monkeypatch.setattr(students, "fit_student_temperature", lambda student, group, row: found.update(risk=group))
    monkeypatch.setattr(students, "calibrate_student", lambda student, group, row: found.update(widening=group))
    monkeypatch.setattr(students, "earned", lambda student, group, train, row: found.update(judged=group, null=train))
    monkeypatch.setattr(students, "promised", lambda modality, proofs: ())
    settings = DistilConfig(steps=1)
    students.make_student(a_run(), Modality.ECG, settings, tmp_path, lambda *args: None)  # type: ignore[arg-type]
    assert found == {
        "train": "train", "stop": "stop", "risk": "calibration", "widening": "calibration", "judged": "calibration",
        "null": "train",
    }  # fmt: skip


def test_baselines_of_a_risk_study_are_fitted_to_training_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, str]] = []

    class Late:
        def __init__(self, model: object, train: str, seed: int) -> None:
            found.append(("late", train))

        def odds(self, group: object, rows: object) -> None:
            raise Enough

    monkeypatch.setattr(hypotension, "TrendBaseline", lambda train, abp: found.append(("trend", train)))
    monkeypatch.setattr(hypotension, "LateFusion", Late)
    monkeypatch.setattr(hypotension, "FusedRisk", lambda model, train, seed: found.append(("fused", train)))
    monkeypatch.setattr(hypotension, "Pass", lambda model, group: SimpleNamespace(group=group, rows=None))
    monkeypatch.setattr(hypotension, "same_windows", lambda passes: None)
    for group in ("test", "calibration"):
        with pytest.raises(Enough):
            hypotension.RiskStudy([a_run()], group)  # type: ignore[list-item]
    assert found == [("trend", "train"), ("late", "train"), ("fused", "train")] * 2


def test_alarm_thresholds_come_from_the_calibration_patients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def study(runs: object, group: str = "test") -> None:
        asked.append(group)
        if len(asked) == 2:
            raise Enough

    monkeypatch.setattr(hypotension, "RiskStudy", study)
    with pytest.raises(Enough):
        hypotension.evaluate_hypotension([a_run()], tmp_path)  # type: ignore[list-item]
    assert asked == ["test", "calibration"]


def test_a_threshold_does_not_move_with_the_windows_it_is_used_on() -> None:
    rng = np.random.default_rng(0)
    fitted = SimpleNamespace(usable=np.ones(40, np.bool_), outcome=(rng.random(40) < 0.5).astype(float))
    there = {name: rng.normal(size=(1, 40, 3)) for name in hypotension.NAMES}
    first, second = ({name: rng.normal(size=(1, 25, 3)) + k for name in hypotension.NAMES} for k in (0.0, 5.0))
    thresholds = [
        [t for _, _, t in hypotension._thresholds(here, there, fitted, 1)]
        for here in (first, second)  # type: ignore[arg-type]
    ]
    assert thresholds[0] == thresholds[1]
    reached = there["model"][0, fitted.outcome > 0.5, 1] >= thresholds[0][0]
    assert reached.mean() >= hypotension.SENSITIVITY > (reached.sum() - 1) / len(reached)


@pytest.mark.parametrize("evaluate", [calibration.evaluate_calibration, depth.evaluate_depth])
def test_intervals_and_depth_are_judged_on_test_patients(evaluate, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    module = calibration if evaluate is calibration.evaluate_calibration else depth
    judged: list[object] = []

    def a_pass(model: object, group: object, *rest: object, **named: object) -> SimpleNamespace:
        judged.append(group.name)  # type: ignore[attr-defined]
        return SimpleNamespace(group=group, modalities=tuple(str(m) for m in TINY.modalities))

    class Named(Asked):
        def group(self, name: str) -> SimpleNamespace:  # type: ignore[override]
            labels = {"depth": np.full(3, {"train": 41.0}.get(name, 70.0))}
            return Sized(name=name, labels=labels)

    run = Named(**vars(a_run()))
    priors: list[float] = []

    def rows(p: object, conformal: object, *rest: object) -> None:
        priors.extend(value for value in rest if isinstance(value, float))
        raise Enough

    monkeypatch.setattr(module, "Pass", a_pass)
    monkeypatch.setattr(module, "same_windows", lambda passes: None)
    monkeypatch.setattr(module, "interval_rows" if module is calibration else "depth_rows", rows)
    with pytest.raises(Enough):
        evaluate([run], tmp_path)
    assert judged == ["test"] and priors in ([], [41.0])


class Sized(SimpleNamespace):
    def __len__(self) -> int:
        return 3


# -- splits -----------------------------------------------------------------------------------------------------------


def test_all_recordings_of_a_patient_are_in_one_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    orders = [SimpleNamespace(folder=tmp_path / f"study {k}", patient=f"p{k // 4}") for k in range(80)]
    facts = [{"patient": o.patient, "windows": 1} for o in orders]
    monkeypatch.setattr(prepare, "_orders", lambda *args: (orders, [SimpleNamespace(left=80)], []))
    monkeypatch.setattr(prepare, "_cut_all", lambda orders, processes: zip(orders, facts, strict=True))
    monkeypatch.setattr(prepare, "_count", lambda *args: None)
    monkeypatch.setattr(prepare, "_write_summary", lambda *args: None)
    settings = FolderData(path="x")
    found = prepare.prepare_studies(settings, None, tmp_path, lambda *args: None)
    group_of = {folder: group for group, folders in found.groups.items() for folder in folders}
    assert len(group_of) == 80 and len(set(group_of.values())) == len(GROUPS)
    for k in range(0, 80, 4):
        assert len({group_of[o.folder] for o in orders[k : k + 4]}) == 1


def test_studies_of_a_patient_count_as_one_patient(tmp_path: Path) -> None:
    for k, seed in enumerate((5, 5, 6)):
        write_patient(tmp_path / str(k), seed)
    data = WindowDataset([tmp_path / str(k) for k in range(3)])
    w = data.patients[0].windows
    assert data.patient_count == 2 and data.patient_of.tolist() == [0] * (2 * w) + [1] * w
    assert data.study_of.tolist() == [0] * w + [1] * w + [2] * w


def test_no_two_groups_simulate_the_same_patient(tmp_path: Path) -> None:
    orders = patient_orders(SETTINGS, tmp_path)
    assert len({o.seed for o in orders}) == len(orders) == 8


def test_a_patient_goes_where_the_hash_says() -> None:
    """The shares lie along [0, 1) in the order of the groups."""
    shares = Shares(0.4, 0.1, 0.2, 0.3)
    for k in range(50):
        at = place(f"p{k}", "s")
        expected = GROUPS[0] if at < 0.4 else GROUPS[1] if at < 0.5 else GROUPS[2] if at < 0.7 else GROUPS[3]
        assert split([f"p{k}"], shares, "s")[f"p{k}"] == expected
    assert place("p1", "s") != place("p1", "t")


def test_folds_do_not_go_by_the_order_of_names() -> None:
    fold_of = folds((f"p{k:02d}" for k in range(30)), 3, 0)
    assert [fold_of[f"p{k:02d}"] for k in range(30)] != [k % 3 for k in range(30)]
    assert folds(fold_of, 3, 1) != fold_of


# -- a whole run, twice -----------------------------------------------------------------------------------------------


@dataclass
class Made:
    """What a run left: weights and score of each stage, the model, its calibration, whom its figures are of; and which
    groups lost sensors (that is, were read) while what was at work, with gradients or without."""

    weights: dict[str, dict[str, Tensor]]
    scores: dict[str, float]
    model: dict[str, Tensor]
    conformal: dict[str, Conformal]
    judged: set[str]
    read: dict[tuple[str, bool], set[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A run as it is, and one with other test patients."""
    root = tmp_path_factory.mktemp("groups")
    folders: dict[str, list[Path]] = {}
    for number, name in enumerate((*GROUPS, "other")):
        folders[name] = [root / name / str(k) for k in range(2)]
        for k, folder in enumerate(folders[name]):
            write_patient(folder, 100 * number + k)
    other = folders.pop("other")
    return {
        "plain": run_with(root / "plain", folders), "other": run_with(root / "changed", folders | {"test": other})
    }  # fmt: skip


def run_with(out: Path, folders: dict[str, list[Path]]) -> Made:
    """``vigil train`` without export and figures, on windows that are there already."""
    judged: list[set[str]] = []
    read: dict[tuple[str, bool], set[str]] = {}
    at_work = [""]

    class Figures:
        def __init__(self, model: object, group: Group, *rest: object) -> None:
            judged.append({str(p.facts["patient"]) for p in group.dataset.patients})

        def run(self) -> HeldOut:
            return HeldOut(2, 2)

    class Clock(run_folder.StageClock):
        def __call__(self, stage: str):  # type: ignore[no-untyped-def]
            at_work[0] = stage
            return super().__call__(stage)

    class Watched(Group):
        def lost(self, rows, ages_s):  # type: ignore[no-untyped-def]
            name = next(g for g, where in folders.items() if where[0] == self.dataset.patients[0].folder)
            read.setdefault((at_work[0], torch.is_grad_enabled()), set()).add(name)
            return super().lost(rows, ages_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "ci", TINY)
        patch.setattr(pipeline, "make_windows", lambda settings, folder, progress: folders)
        patch.setattr(pipeline, "open_group", lambda places, s: Watched(WindowDataset(places), s.architecture, s.seed))
        patch.setattr(run_folder, "StageClock", Clock)
        patch.setattr(demo, "Evaluation", Figures)
        patch.setattr(demo, "write_card", lambda *args: "a card")
        patch.setattr(demo, "figures_json", lambda *args: "{}")
        model, text, _ = demo.train(out, SETTINGS, False, lambda *args: None)
    saved = {stage: checkpoint.load(out / f"{stage}.safetensors") for stage in STAGES}
    return Made(
        {stage: saved[stage].part("best") for stage in STAGES},
        {stage: float(saved[stage].facts["score"]) for stage in STAGES},
        model.state_dict(), text.conformal, judged[0], read,
    )  # fmt: skip


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_test_patients_change_nothing(made: dict[str, Made]) -> None:
    plain, other = made["plain"], made["other"]
    assert all(same(plain.weights[stage], other.weights[stage]) for stage in STAGES)
    assert plain.scores == other.scores and same(plain.model, other.model)
    assert plain.conformal == other.conformal
    assert plain.judged == {"p300", "p301"} and other.judged == {"p400", "p401"}


def test_training_patients_train_and_stop_patients_stop(made: dict[str, Made]) -> None:
    read = made["plain"].read
    for stage in STAGES:
        if stage == "risk":  # what its head reads is computed once, of both groups, without a gradient
            assert read[stage, False] == {"train", "stop"} and (stage, True) not in read
        else:
            assert read[stage, False] == {"stop"} and read[stage, True] == {"train"}, stage
    assert read["features", False] == set(GROUPS)
    calibration_reads = {g for (what, _), found in read.items() if what.startswith("calibration") for g in found}
    assert calibration_reads == {"calibration"}
    assert len(read) == 2 * len(STAGES) + 1
