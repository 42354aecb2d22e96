"""The whole comparison at the smallest size, its tables, gaps, controls and corruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.evaluation import corruption
from models.evaluation.bootstrap import Interval
from models.evaluation.comparison import Scores, prepare
from models.evaluation.controls import another_patient, coupling_off, invariants, shuffled_patients
from models.evaluation.gaps import GapScores, anchored_estimates, gap_goals, gap_rows, oracle_regression
from models.evaluation.lost_windows import TokenBank, lose, usable_rows
from models.evaluation.restoration import Collected, collect, write
from models.evaluation.restoration_tables import absent_by_number, absent_one, goal_rows, recovered, verdict
from models.evaluation.restored_waves import case_name
from models.evaluation.rivals import Regime
from models.physiome import PhysioME
from models.signals.modalities import Modality
from tests.models.lost_material import CI, make_group
from tests.models.tables import read_table

pytestmark = pytest.mark.timeout(300)  # whole evaluations and exports: minutes on a busy machine

SHORT = Regime("lost 2 to 6 min ago", 120.0, 360.0)
M = len(CI.modalities)
ABP = CI.modalities.index(Modality.ABP)
SMALL = {
    "models.evaluation.rivals.MEMORY_STEPS": 4,
    "models.evaluation.rivals.RIDGE_WINDOWS": 80,
    "models.evaluation.comparison.TEST_WINDOWS": 30,
    "models.evaluation.comparison.HEAD_WINDOWS": 120,
    "models.evaluation.comparison.REFIT_WINDOWS": 60,
    "models.evaluation.gaps.GAP_WINDOWS": 24,
    "models.evaluation.gaps.AGES_S": (30, 300),
    "models.evaluation.restored_waves.WAVE_WINDOWS": 6,
    "models.evaluation.corruption.CORRUPTED": 18,
    "models.evaluation.controls.CONTROL_WINDOWS": 24,
}


@pytest.fixture(scope="module")
def groups(tmp_path_factory, request):
    torch.set_num_threads(1)
    torch.manual_seed(6)
    patch = pytest.MonkeyPatch()
    for name, value in SMALL.items():
        patch.setattr(name, value)
    request.addfinalizer(patch.undo)
    model = PhysioME(CI).eval()
    with torch.no_grad():  # zero at the start, so that nothing would reach the risk
        model.bedside.pressure.out.weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("restoration")
    return model, make_group(folder / "a", range(6), model), make_group(folder / "b", range(200, 206), model)


@pytest.fixture(scope="module")
def prepared(groups):
    return prepare(*groups, SHORT, 0)


def test_the_whole_evaluation_writes_tables_and_plots(groups, tmp_path):
    collected = Collected()
    model, train, test = groups
    seen: set[str] = set()
    collect(collected, model, train, test, 0, test, lambda stage, done, total: seen.add(stage))
    assert len(seen) > 5
    for name in ("gaps", "waves", "dropout", "noise", "controls"):
        getattr(collected, name).extend(getattr(collected, name)[:1])
    for found in collected.scores.values():
        found.extend(found[:1])
    write(collected, tmp_path, [0, 1], True)
    pages = {p.stem for p in tmp_path.glob("*.md")}
    assert {"imputers_single_absent_frozen", "imputers_by_number_refitted", "goals_frozen", "all_subsets_frozen",
            "pressure_by_age", "pressure_goals", "waves", "frame_dropout", "noise", "controls"} <= pages  # fmt: skip
    assert {p.stem for p in tmp_path.glob("*.png")} >= {"pressure_by_age", "waves"}
    text = (tmp_path / "imputers_single_absent_frozen.md").read_text("utf-8")
    assert "Simulated" in text and "2 seeds" in text and "SelfMask" in text
    rows = read_table(tmp_path / "imputers_single_absent_frozen.csv")
    assert len(rows) == 2 * M * 12
    oracle = [r for r in rows if r["imputer"] == "oracle"]
    assert all(r["r2"] == 1.0 for r in oracle)
    mean = [r for r in rows if r["imputer"] == "train mean"]
    assert all(abs(float(r["r2"])) < 1e-6 for r in mean)
    subsets = read_table(tmp_path / "all_subsets_frozen.csv")
    assert {r["observed"] for r in subsets} >= {"none", "ECG + ABP + PPG + EEG"} and len(
        {r["observed"] for r in subsets}
    ) == 16


def test_recovered_fraction_on_known_errors():
    """Half of the way from mask token to oracle is 0.5; without a way there is a dash."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(20), 10)
    base = rng.uniform(5, 6, 200)
    scores = Scores(0, "r", ("A", "B"), patient, np.arange(200))
    for name, error in (("mask token", base + 4), ("oracle", base), ("restoration", base + 2), ("hold", base + 3)):
        scores.values[2, name, "frozen", "map"] = error
        scores.values[2, name, "frozen", "sbp"] = base + rng.normal(0, 1, 200)
    assert recovered([scores], [2], "restoration", "frozen", "map").estimate == pytest.approx(0.5)
    rows = goal_rows([scores, scores], absent_one(("A", "B")), "frozen")
    mine = [r for r in rows if r["task"] == "map" and r["against"] == "hold"]
    assert len(mine) == 1 and mine[0]["gain"] == pytest.approx(1.0) and mine[0]["found"] == "better"
    noise = Scores(0, "r", ("A", "B"), patient, np.arange(200))
    for name in ("mask token", "oracle", "restoration"):
        noise.values[2, name, "frozen", "map"] = rng.normal(5, 3, 200)
    if goal_rows([noise], absent_one(("A", "B")), "frozen"):
        pytest.fail("a comparison was made where the oracle is no better than the mask token")
    assert np.isnan(recovered([noise], [2], "restoration", "frozen", "map").estimate)
    assert verdict(Interval(1.0, -0.1, 2.0)) == "undecided" and verdict(Interval(-1.0, -2.0, -0.1)) == "worse"


def test_groups_of_subsets_cover_all_and_overlap_nowhere():
    by_number = absent_by_number(("A", "B", "C", "D"))
    listed = [s for subsets, _ in by_number.values() for s in subsets]
    assert sorted(listed) == list(range(15)) and [len(v[0]) for v in by_number.values()] == [4, 6, 4, 1]
    assert absent_one(("A", "B", "C"))["B absent"] == ([0b101], ["B"])


def test_goals_of_pressure_on_known_errors():
    patient = np.repeat(np.arange(10), 4)
    scores = GapScores(0, patient)
    for age, ours, hold, delay in ((30.0, 2.5, 2.0, 3.0), (300.0, 4.0, 3.5, 5.0)):
        for name, error in (("restoration", ours), ("hold", hold), ("delay regression", delay)):
            scores.errors[age, name, "map"] = np.full(40, error)
    scores.errors[np.inf, "restoration", "map"] = np.full(40, 6.0)
    scores.errors[np.inf, "training mean", "map"] = np.linspace(9.9, 10.1, 40)
    scores.errors[np.inf, "oracle regression", "map"] = np.full(40, 5.0)
    found = {(r["age_s"], r["goal"]): r["reached"] for r in gap_goals([scores])}
    assert found[30.0, "error − hold ≤ 1 mmHg"] == "yes" and found[300.0, "error − hold ≤ 0 mmHg"] == "no"
    assert found[300.0, "error − delay regression ≤ 0 mmHg"] == "yes"
    assert found[np.inf, "share of the oracle regression's reduction ≥ 0.8"] == "yes"
    for key in [k for k in scores.errors if k[2] == "map"]:
        for other in ("sbp", "dbp"):
            scores.errors[key[0], key[1], other] = -scores.errors[key]
    rows = gap_rows([scores, scores])
    assert rows[0]["map"] == pytest.approx(2.5) and rows[0]["sbp_bias"] == pytest.approx(-2.5)


def test_hold_and_regression_follow_their_definitions(groups):
    model, _, test = groups
    rows = usable_rows(test, 10, 0)
    ages = np.zeros((len(rows), M))
    ages[:, ABP] = 240.0
    lost = lose(test, TokenBank(model, test), rows, ages, torch.zeros(M, CI.frames, CI.width))
    held, moved = anchored_estimates(model, test, lost)
    truth = test.labels["pressures"][rows][:, -1]
    assert np.abs(moved - truth).mean() < 2.0 < np.abs(held - truth).mean()
    assert np.allclose(held[:, 1] - held[:, 0], 30, atol=1e-3)  # the material's SBP is 30 above MAP


def test_oracle_regression_uses_no_pressure_and_beats_the_mean(groups):
    """In the material delay tells pressure but for each patient's offset."""
    model, train, test = groups
    train_rows, rows = usable_rows(train, 200, 0, 60), usable_rows(test, 60, 0)
    saved = test.labels["pressures"]
    found = oracle_regression(model, train, train_rows, test, rows)
    test.labels["pressures"] = np.zeros_like(saved)
    again = oracle_regression(model, train, train_rows, test, rows)
    test.labels["pressures"] = saved
    assert np.array_equal(found, again)


def failed(rows):
    return [str(row["control"]) for row in rows if row["holds"] != "yes"]


def test_controls_hold_for_an_untrained_model(prepared, groups):
    assert failed(invariants(groups[0], groups[2], 8)) == []
    wrong = [r for r in shuffled_patients(prepared) if "another" in str(r["control"])]
    assert len(wrong) == 2 * M and failed(wrong) == []
    assert [r for r in coupling_off(prepared, groups[2]) if "delay regression" in str(r["imputer"])]


def test_a_model_that_reads_under_the_mask_is_caught(groups):
    model, _, test = groups
    scaling = model.scaling.forward

    def leaky(signals, presence, context):
        return scaling(signals, torch.ones_like(presence), context)

    model.scaling.forward = leaky  # type: ignore[method-assign]
    try:
        found = failed(invariants(model, test, 8))
    finally:
        model.scaling.forward = scaling  # type: ignore[method-assign]
    assert any("under the mask" in name for name in found)


def test_a_restoration_that_copies_the_truth_would_fail_the_shuffled_control(prepared, monkeypatch):
    """The control itself can fail: an imputer that knows the complete window whoever is observed."""
    methods = prepared.rivals.methods(prepared.test)
    every = lose(
        prepared.test, prepared.test_bank, usable_rows(prepared.test, 24, 2024), np.zeros((24, M)), prepared.rivals.mean
    )
    methods["restoration"] = methods["oracle"]
    other = another_patient(np.repeat(np.arange(6), 4), np.random.default_rng(7))
    assert (np.repeat(np.arange(6), 4)[other] != np.repeat(np.arange(6), 4)).all()
    monkeypatch.setattr(prepared.rivals, "methods", lambda group: {"restoration": lambda lost: _Known(every.complete)})
    rows = shuffled_patients(prepared)
    assert len(failed([r for r in rows if "another" in str(r["control"])])) == M


class _Known:
    def __init__(self, tokens):
        self.tokens = tokens

    def impute(self, model, state):
        return self.tokens


@pytest.mark.parametrize("name", list(corruption.PATTERNS))
def test_patterns_lose_frames_and_only_what_was_there(name):
    presence = np.random.default_rng(0).random((50, M, CI.frames)) < 0.9
    found = corruption.PATTERNS[name](np.random.default_rng(1), presence)
    assert not (found & ~presence).any() and found.sum() < presence.sum()
    assert np.array_equal(found[..., -1], presence[..., -1])


def test_case_names_list_what_is_left():
    assert case_name(Modality.ABP, (Modality.ECG,), CI.modalities) == "ABP from PPG"
