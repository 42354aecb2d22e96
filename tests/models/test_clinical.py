"""Depth, calibration, dominance, consistency, probes and sleep: each figure against a case whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.data.sweeps import Sweep, SweepWindows
from models.evaluation.calibration import evaluate_calibration, interval_rows, uncooled
from models.evaluation.consistency import between_patients, consistency_rows, retrieved
from models.evaluation.depth import depth_row, evaluate_depth, prediction_probability
from models.evaluation.dominance import dominance_rows, figures, others_windows, shapley, swap
from models.evaluation.invariance import evaluate_invariance
from models.evaluation.probes import left_out, movement, probe_rows
from models.evaluation.settings import Pass, all_sensors, every_subset
from models.networks.heads import HypotensionHead
from models.signals.errors import BadInput
from tests.models.study_material import CI, EEG, M, fake_run, make_groups
from tests.models.tables import read_table

ROWS = tuple(str(m) for m in CI.modalities)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return make_groups(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def study(groups):
    run = fake_run(groups)
    rows = np.arange(0, len(groups["test"]), 3)
    return Pass(run.model, groups["test"], rows)


# -- depth -------------------------------------------------------------------------------------------------------------


def test_prediction_probability_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 6, 60).astype(float), rng.integers(0, 6, 60).astype(float)
    won = pairs = 0.0
    for i in range(60):
        for j in range(i):
            if truth[i] != truth[j]:
                pairs += 1
                same = np.sign(truth[i] - truth[j]) * np.sign(said[i] - said[j])
                won += 0.5 + 0.5 * same
    found, low, high = prediction_probability(said, truth, np.repeat(np.arange(10), 6))
    assert found == pytest.approx(won / pairs) and low < found < high
    assert prediction_probability(truth, truth, np.zeros(60))[0] == 1.0
    assert prediction_probability(-truth, truth, np.zeros(60))[0] == 0.0
    assert prediction_probability(np.ones(60), truth, np.zeros(60))[0] == 0.5
    assert np.isnan(prediction_probability(said, np.ones(60), np.zeros(60))[0])


def test_depth_counts_only_what_is_shown():
    said = np.array([[30, 40, 50], [30, 40, 50], [0, 99, 100.0]])
    row = depth_row(
        said, np.array([42.0, 37.0, 10.0]), np.array([True, True, False]), np.zeros(3, int), np.zeros(3), 40
    )
    assert (row["windows"], row["mae"], row["bias"]) == (2, 2.5, 0.5) and row["shown"] == pytest.approx(2 / 3)
    assert row["coverage"] == 1.0 and row["width"] == 20.0 and row["mae_prior"] == 2.5
    hidden = depth_row(said, np.array([42.0, 37.0, 10.0]), np.zeros(3, bool), np.zeros(3, int), np.zeros(3), 40)
    assert hidden == {"shown": 0.0, "windows": 0}


def test_depth_is_unknown_without_fifteen_seconds_of_eeg(groups, tmp_path):
    rows = {(r["setting"], r["patients_with"]): r for r in evaluate_depth([fake_run(groups)], tmp_path)}
    assert rows["ECG+ABP+PPG", "all"]["shown"] == 0.0 and rows["EEG", "all"]["shown"] == 1.0
    # 8 frames of 3 s: lost 6 s ago leaves 18 s, lost 12 s ago leaves 12 s
    assert rows["EEG lost 6 s ago", "all"]["shown"] == 1.0 and rows["EEG lost 12 s ago", "all"]["shown"] == 0.0
    assert rows["all sensors", "decoupled"]["patients"] == 3
    assert (tmp_path / "depth_decoupled.md").is_file() and (tmp_path / "depth.png").is_file()


# -- calibration -------------------------------------------------------------------------------------------------------


def test_risks_before_the_temperature_are_those_of_the_heads_own_formula():
    logits = torch.randn(7, 9, 3, generator=torch.Generator().manual_seed(0))
    expected = HypotensionHead.cumulative(logits).mean(1).numpy()
    np.testing.assert_allclose(uncooled(logits.numpy()), expected, atol=1e-6)


def test_widening_only_ever_widens_and_coverage_follows(groups, study):
    run = fake_run(groups)
    rows = interval_rows(study, run.conformal, 1)
    for row in rows:
        if row["windows"]:
            assert row["width"] > row["width_raw"] and row["coverage"] >= row["coverage_raw"]
    total = next(r for r in rows if r["quantity"] == "MAP" and r["missing"] == r["age"] == "all")
    for along in ("missing", "age"):
        parts = [r for r in rows if r["quantity"] == "MAP" and r[along] != "all"]
        assert sum(int(r["windows"]) for r in parts) == total["windows"] > 0


def test_calibration_is_written(groups, tmp_path):
    evaluate_calibration([fake_run(groups)], tmp_path)
    text = (tmp_path / "calibration_risk.md").read_text("utf-8")
    assert "imulated" in text and text.count("\n| ") == 1 + 4 * 3
    assert (tmp_path / "calibration_intervals.png").is_file() and (tmp_path / "calibration_risk.png").is_file()


# -- dominance ---------------------------------------------------------------------------------------------------------


def test_shapley_of_a_worked_game():
    """v(S) = 1 if sensor 0 is there with any other; plus 2 for sensor 2: values 2/3, 1/6, 2 + 1/6."""
    value = {}
    for mask in range(8):
        s = frozenset(i for i in range(3) if mask >> i & 1)
        value[s] = np.array([float(0 in s and len(s) > 1) + 2.0 * (2 in s)])
    found = [float(v[0]) for v in shapley(value, 3)]
    np.testing.assert_allclose(found, [2 / 3, 1 / 6, 2 + 1 / 6])


def test_shapley_values_add_to_the_whole(study):
    rows = dominance_rows(study, 1)
    tasks = figures(study)
    nothing, everything = study(every_subset(ROWS, empty=True)[-1]), study(all_sensors(ROWS))
    for task, figure in tasks.items():
        here = [r for r in rows if r["task"] == task]
        assert [r["sensor"] for r in here] == list(ROWS)
        total = sum(float(r["shapley"]) for r in here)
        assert total == pytest.approx(float(figure(everything)[0] - figure(nothing)[0]), abs=1e-9)
        assert all(float(r["shapley_lo"]) <= float(r["shapley_hi"]) for r in here)


def test_swapping_a_sensor_takes_it_from_another_patient_and_leaves_the_others(study):
    other = others_windows(study.patient_of, np.random.default_rng(0))
    assert (study.patient_of[other] != study.patient_of).all()
    out = swap(study, EEG, 1)
    plain = study(all_sensors(ROWS))
    assert not np.array_equal(out.values["depth"], plain.values["depth"])
    kept = [m for m in range(M) if m != EEG]
    np.testing.assert_array_equal(out.lost.context[:, kept], plain.lost.context[:, kept])


# -- consistency -------------------------------------------------------------------------------------------------------


def test_distance_between_patients_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    x, patient = rng.normal(size=(20, 3)), np.repeat(np.arange(4), 5)
    pairs = [((x[i] - x[j]) ** 2).sum() for i in range(20) for j in range(i) if patient[i] != patient[j]]
    assert between_patients(x, patient) == pytest.approx(np.mean(pairs))
    assert np.isnan(between_patients(x, np.zeros(20)))


def test_consistency_has_every_subset_and_a_copy_is_found(study):
    rows = consistency_rows(study)
    assert len(rows) == 15 and rows[-1]["setting"] == "none"
    assert all(0 <= float(r["distance_lo"]) <= float(r["distance"]) <= float(r["distance_hi"]) for r in rows)
    x = np.random.default_rng(0).normal(size=(30, 4))
    assert retrieved(x, x) == 1.0 and retrieved(x, np.roll(x, 1, axis=0)) == 0.0


# -- probes ------------------------------------------------------------------------------------------------------------


def test_ridge_reads_a_linear_factor_of_subjects_it_has_not_met_and_shows_the_leak():
    rng = np.random.default_rng(0)
    subject, setting = np.repeat(np.arange(6), 8), np.tile(np.repeat([1.0, 2, 3, 4], 2), 6)
    clean, mixed = rng.normal(size=10), rng.normal(size=10)
    person = rng.normal(size=(6, 10))[subject] * 0.1
    own = np.outer(setting, clean) + person
    elsewhere = np.outer(setting, mixed) + person  # another factor moves the representation another way
    read, moved = left_out(own, setting, subject, {"other": (elsewhere, subject)})
    assert 1 - ((read - setting) ** 2).sum() / ((setting - setting.mean()) ** 2).sum() > 0.95
    assert movement(read, setting, subject) == pytest.approx(np.std([1, 2, 3, 4]), rel=0.1)
    assert movement(moved["other"], setting, subject) > 0.05
    still, _ = left_out(person, setting, subject, {})
    assert movement(still, setting, subject) == pytest.approx(0.0, abs=1e-9)


def made(groups, seed: int) -> Sweep:
    """A sweep of noise: three subjects, two values, two windows each."""
    rng, w = np.random.default_rng(seed), 12
    context = np.tile(groups["test"].history[0, 800][None], (w, 1, 1)).astype(np.float32)
    signals = rng.normal(size=(w, M, CI.samples)).astype(np.float32)
    windows = SweepWindows(signals, np.ones((w, M, CI.frames), bool), context, rng.normal(size=w))
    return Sweep(windows, np.tile([1.0, 2.0], 6), np.repeat(np.arange(3), 4), np.arange(w))


def test_probe_rows_of_a_small_model(groups):
    rows = probe_rows(fake_run(groups).model, {"hr": made(groups, 1), "qt": made(groups, 2)})
    assert len(rows) == 2 * (1 + 2 * M)
    assert all(np.isfinite(float(r["r2"])) for r in rows) and "leak_qt" in rows[0] and "leak_hr" not in rows[0]


def test_runs_are_told_apart_in_the_audit(groups, tmp_path, monkeypatch):
    monkeypatch.setattr("models.evaluation.invariance.MOST_WINDOWS", 60)
    monkeypatch.setattr(
        "models.evaluation.invariance.make_sweeps", lambda *_, **__: {"hr": made(groups, 1), "qt": made(groups, 2)}
    )
    evaluate_invariance([fake_run(groups, 3), fake_run(groups, 4)], tmp_path)
    for name, a_run in (("probes", 2 * (1 + 2 * M)), ("consistency", 15), ("dominance", 4 * M), ("devices", 2 * 3 * 4)):
        rows = read_table(tmp_path / f"{name}.csv")
        assert [r["run"] for r in rows] == ["tiny, seed 3"] * a_run + ["tiny, seed 4"] * a_run
        assert "imulated" in (tmp_path / f"{name}.md").read_text("utf-8")
    assert (tmp_path / "dominance.png").is_file() and (tmp_path / "probes.png").is_file()


# -- the wrong run -----------------------------------------------------------------------------------------------------


def test_depth_of_a_model_without_eeg_is_refused(tmp_path):
    run = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(has_eeg=False)))
    with pytest.raises(BadInput, match="EEG"):
        evaluate_depth([run], tmp_path)
