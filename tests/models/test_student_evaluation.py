"""Figures of the students: probes and retrieval against known truths, and the tables of a whole small run."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from models.making.student_figures import (
    ARMS,
    TARGETS,
    Probe,
    galleries,
    probe_predictions,
    r2_interval,
    student_tables,
)
from models.physiome import SIZES, PhysioME
from models.training.distil_stage import DistilConfig
from tests.models.student_data import give_features, make_group

CONFIG = DistilConfig(
    students=("PPG",), steps=4, batch=24, evaluate_every=4, save_every=4, ema=0.5, head_steps=2, rate=3e-3
)


def test_probes_leave_unknown_labels_out():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5))
    y = x[:, :2] @ np.array([[1.0, 0.0], [0.5, 2.0]])
    y[:150, 0] = np.nan
    y[:, 1] = np.nan
    found = probe_predictions(Probe(x, x), y, alpha=1e-6)
    np.testing.assert_allclose(found[:, 0], x[:, 0] + 0.5 * x[:, 1], atol=1e-6)
    assert np.isnan(found[:, 1]).all()


def test_r2_of_truth_of_the_mean_and_of_noise():
    rng = np.random.default_rng(1)
    patient, truth = np.repeat(np.arange(30), 20), rng.standard_normal(600)
    assert r2_interval(patient, truth, truth).estimate == pytest.approx(1.0)
    assert r2_interval(patient, np.full(600, truth.mean()), truth).estimate == pytest.approx(0.0, abs=1e-9)
    assert r2_interval(patient, rng.permutation(truth), truth).hi < 0, "shuffled patients explain nothing"
    truth[:20] = np.nan
    assert np.isfinite(r2_interval(patient, np.zeros(600), truth).lo)


def test_galleries_hold_half_the_same_patient_and_never_a_neighbour():
    patient, end_s = np.repeat(np.arange(6), 50), np.tile(30 * np.arange(50), 6)
    queries = np.array([0, 77, 299])
    found = galleries(patient, end_s, queries, 33, np.random.default_rng(0))
    assert np.array_equal(found[:, 0], queries)
    for q, row in zip(queries, found[:, 1:], strict=True):
        same = patient[row] == patient[q]
        assert same.sum() == 16
        assert (np.abs(end_s[row][same] - end_s[q]) >= 60).all()
        assert len(set(row[same])) == 16


def test_tables_of_a_small_run(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PhysioME(SIZES["ci"]).eval()
    groups = {}
    for seed, (name, patients) in enumerate({"train": 8, "stop": 5, "test": 6}.items()):
        groups[name] = make_group(tmp_path / name, patients, 12, seed)
        give_features(model, groups[name])
    settings = SimpleNamespace(seed=0, fingerprints=lambda data: {"fusion": "x"})
    run = SimpleNamespace(
        model=model, group=groups.__getitem__, settings=settings, facts={"data": "d"}, kept=tmp_path / "run",
        progress=lambda *a: None,
    )  # fmt: skip
    tables = student_tables(run, ["PPG"], tmp_path / "out", CONFIG, ["PPG"])  # type: ignore[arg-type]
    probes = tables["probes"]
    assert len(probes) == 3 * len(ARMS) * len(TARGETS)
    assert all(row["gain"] == 0 for row in probes if row["arm"] == "undistilled")
    assert {row["draws"] for row in probes if row["labels"] == 0.01} == {5}
    (own,) = tables["own_task"]
    assert own["suffered_lo"] <= own["suffered"] <= own["suffered_hi"]
    assert [row["teacher"] for row in tables["retrieval"]] == ["ECG", "ABP", "EEG"]
    assert all(0 <= row["distilled"] <= 1 for row in tables["retrieval"])
    assert {row["variant"] for row in tables["ablations"]} == {
        "as shipped", "teacher ECG", "teacher ABP", "teacher EEG", "all sensors teach", "L_C only", "L_R only",
    }  # fmt: skip
    assert "recall" not in next(row for row in tables["ablations"] if row["variant"] == "L_R only")
    assert 0 < tables["size"][0]["trainable"] < 1
    page = (tmp_path / "out" / "student_probes.md").read_text(encoding="utf-8")
    assert "simulated" in page and (tmp_path / "out" / "student_ablations.csv").is_file()
    assert msgspec.to_builtins(CONFIG)["adapt"] is True, "variants do not change the settings"
