"""Hypotension ahead: alarms replayed by hand, baselines that know what they may know, tables that hold together."""

from __future__ import annotations

import numpy as np
import pytest

from models.batches.batch import TRAINING
from models.batches.predict import predict
from models.evaluation.alarms import TimePoints, replay_alarms, trade_off
from models.evaluation.baselines import PROBE_PENALTY, LateFusion, TrendBaseline, current_map
from models.evaluation.hypotension import RiskStudy, evaluate_hypotension, mechanism_rows, risk_row, same_windows
from models.evaluation.metrics import auroc
from models.evaluation.settings import Pass, all_sensors, every_subset, lost_for
from models.signals.errors import BadInput
from tests.models.study_material import ABP, CI, fake_run, make_group, make_groups
from tests.models.tables import read_table

ROWS = tuple(str(m) for m in CI.modalities)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return make_groups(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def study(groups):
    return RiskStudy([fake_run(groups), fake_run(groups, 4)])


# -- alarms ------------------------------------------------------------------------------------------------------------


def points(outcome: list[float], now: list[int], patient: list[int] | None = None, horizon: float = 60.0) -> TimePoints:
    n = len(outcome)
    of = np.zeros(n, np.intp) if patient is None else np.array(patient)
    return TimePoints(of, 20.0 * np.arange(n), np.array(now, bool), np.array(outcome), horizon)


def test_alarms_by_hand():
    """Onset at 120 s; horizon 60 s; refractory 60 s. High at 20 (false), 40 (silent), 80 (true), 100 (silent)."""
    outcome = [0, 0, 0, 1, 1, 1, 1, 1, 0, np.nan]
    now = [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    score = np.array([0, 1, 1, 0, 1, 1, 1, 1, 1, 1.0])
    found = replay_alarms(points(outcome, now), score, 0.5, refractory_s=60.0)
    assert (found.alarms, found.false_alarms, found.events, found.announced) == (3, 2, 1, 1)
    assert found.lead_s == (40.0,)  # first alarm in [60, 120) is at 80; onset at 120
    assert found.hours == pytest.approx(7 * 20 / 3600)  # hypotensive and unlabelled points do not count
    row = found.as_row()
    assert row["alarm_ppv"] == pytest.approx(1 / 3) and row["lead_min"] == pytest.approx(2 / 3)
    assert row["event_sensitivity"] == 1.0


def test_an_alarm_before_the_horizon_announces_nothing_and_nan_never_alarms():
    outcome, now = [0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]
    early = replay_alarms(points(outcome, now, horizon=40.0), np.array([1.0, *[0.0] * 7]), 0.5)
    assert (early.alarms, early.announced, early.events) == (1, 0, 1)
    silent = replay_alarms(points(outcome, now), np.full(8, np.nan), 0.5)
    assert silent.alarms == 0 and np.isnan(silent.as_row()["alarm_ppv"]) and np.isnan(silent.as_row()["lead_min"])


def test_patients_do_not_share_alarms_whatever_the_order_of_rows():
    outcome, now = [0, 1, 1, 1] * 2, [0, 0, 0, 1] * 2
    both = TimePoints(np.repeat([0, 1], 4), np.tile(20.0 * np.arange(4), 2), np.array(now, bool), np.array(outcome), 60)
    score = np.array([0, 1, 0, 0, 0, 0, 1, 0.0])
    found = replay_alarms(both, score, 0.5)
    assert (found.alarms, found.announced, sorted(found.lead_s)) == (2, 2, [20.0, 40.0])
    order = np.random.default_rng(0).permutation(8)
    mixed = TimePoints(*(x[order] for x in (both.patient_of, both.end_s, both.hypotensive_now, both.outcome)), 60)
    again = replay_alarms(mixed, score[order], 0.5)
    assert (again.alarms, again.false_alarms, again.events) == (found.alarms, found.false_alarms, found.events)


def test_a_lower_threshold_announces_no_fewer_events_without_a_refractory_time(study):
    score = np.random.default_rng(1).random(len(study.group))
    found = [replay_alarms(study.points(0), score, t, 0.0) for t in (0.95, 0.8, 0.5, 0.1)]
    assert (np.diff([f.announced for f in found]) >= 0).all() and found[0].announced < found[-1].announced
    curve = np.array(trade_off(study.points(0), score, 5))
    assert curve.shape == (5, 2) and (curve[:, 1] <= 1).all() and curve[-1, 0] > curve[0, 0]


# -- baselines ---------------------------------------------------------------------------------------------------------


def test_the_trend_beats_the_level_where_pressure_falls_before_the_event(groups):
    test, rows = groups["test"], np.arange(len(groups["test"]))
    lost = test.lost(rows, np.zeros((len(rows), len(ROWS))))
    now, label = test.labels["hypotensive_now"].astype(bool), test.labels["hypotension"][:, 0]
    use = np.isfinite(label) & ~now
    trend = TrendBaseline(groups["train"], ABP)(all_sensors(ROWS), lost)[:, 0]
    level = -current_map(lost, ABP)
    assert auroc(trend[use], label[use] > 0.5) > auroc(level[use], label[use] > 0.5) + 0.03


def test_a_baseline_knows_the_pressure_of_then_or_nothing(groups):
    test, rows = groups["test"], np.arange(len(groups["test"]))
    baseline = TrendBaseline(groups["train"], ABP)
    never, ago = every_subset(ROWS)[-1], lost_for(ROWS, "ABP", [300.0])[0]
    assert ABP not in never.observed
    p = Pass(fake_run(groups).model, test)
    assert np.isnan(baseline(never, p.lost(never))).all()
    held = current_map(p.lost(ago), ABP)
    at = test.labels["end_s"].astype(int) - 300
    expected = np.where(at >= 1, test.history[test.dataset.study_of, np.maximum(at, 0), ABP, 0], np.nan)
    np.testing.assert_array_equal(held, expected.astype(np.float64))
    assert np.isfinite(baseline(ago, p.lost(ago))[np.isfinite(held)]).all()
    assert len(rows) == len(held)


def test_late_fusion_of_one_sensor_is_that_sensor(groups, study):
    odds = study.odds[0]
    alone = every_subset(ROWS)[-1]
    m = alone.observed[0]
    np.testing.assert_allclose(LateFusion.fuse(odds, alone), 1 / (1 + np.exp(-odds[m])))
    gone = odds.copy()
    gone[m, 0] = np.nan
    assert np.isnan(LateFusion.fuse(gone, alone)[0]).all()
    assert np.isfinite(LateFusion.fuse(gone, all_sensors(ROWS))[0]).all()


def test_the_linear_head_is_a_logistic_regression_on_the_training_patients(groups, study):
    """From its own inputs again: the penalised likelihood of the training patients is flat at its weights."""
    probe, train = study.fused[0], groups["train"]
    run = study.runs[0]
    rng = np.random.default_rng([run.settings.seed, 47])
    rows = np.sort(rng.permutation(len(train)))
    lost = train.draw(rng, rows, TRAINING)
    x = predict(run.model, train, rows, lost, ("fused",)).values["fused"].astype(float)
    z = (x - x.mean(0)) / (x.std(0) + 1e-6)
    now = train.labels["hypotensive_now"][rows].astype(bool)
    for j, w in enumerate(probe.weights):
        label = train.labels["hypotension"][rows, j]
        use = np.isfinite(label) & ~now
        error = 1 / (1 + np.exp(-(w[0] + z[use] @ w[1:]))) - label[use]
        slope = np.append(error.sum(), z[use].T @ error + PROBE_PENALTY * len(rows) * w[1:])
        assert np.abs(slope).max() < 1e-3 * use.sum()
    shown = study.passes[0](all_sensors(ROWS)).values["fused"]
    assert np.array_equal(study.scores(all_sensors(ROWS))["fused"][0], probe(shown))


# -- tables ------------------------------------------------------------------------------------------------------------


def test_settings_are_the_subsets():
    subsets = every_subset(ROWS, empty=True)
    assert len({s.observed for s in subsets}) == 16 and subsets[0].name == "all sensors" and subsets[-1].name == "none"
    assert [s.absent for s in subsets] == sorted(s.absent for s in subsets)
    assert lost_for(ROWS, "ABP", [30, 600])[1].name == "ABP lost 10 min ago"


def test_a_model_that_says_the_map_gains_nothing_over_it(study):
    scores = study.scores(all_sensors(ROWS))
    scores["model"] = scores["map"]
    use = study.use("excluded", 0)
    row = risk_row(scores, use, study.label[:, 0], study.group.dataset.patient_of, 0, 50)
    assert row["gain_map"] == 0.0 and row["gain_map_lo"] == 0.0 and row["gain_map_hi"] == 0.0
    assert row["auroc"] == row["auroc_map"] == pytest.approx(auroc(scores["map"][0, use, 0], study.label[use, 0] > 0.5))
    assert row["auroc_lo"] < row["auroc"] < row["auroc_hi"] and row["ppv"] == row["ppv_map"]


def test_hypotensive_points_are_left_out_or_in(study):
    out, inside = study.use("excluded", 0), study.use("included", 0)
    assert study.now.any() and not (out & study.now).any() and (inside & study.now).any()
    assert (inside & ~study.now == out).all()


def test_the_held_out_mechanism_is_apart(study):
    rows = mechanism_rows(study, [all_sensors(ROWS)])
    held = [r for r in rows if str(r["mechanism"]).startswith("held out")]
    assert {r["patients"] for r in held} == {3} and len(rows) == 6
    total = study.use("excluded", 1).sum()
    assert sum(int(r["windows"]) for r in rows if r["minutes"] == 10) == total


def test_seeds_on_other_patients_are_not_averaged(groups, tmp_path):
    one = Pass(fake_run(groups).model, groups["test"])
    other = Pass(fake_run(groups).model, make_group(tmp_path / "other", range(300, 309)))
    with pytest.raises(BadInput, match="same test patients"):
        same_windows([one, other])


def test_everything_is_written(groups, tmp_path, monkeypatch):
    monkeypatch.setattr("models.evaluation.hypotension.RESAMPLES", 20)
    few = [s for s in every_subset(ROWS) if s.absent == 0 or (s.lost_s[ABP] > 0 and s.absent == 1)]
    monkeypatch.setattr("models.evaluation.hypotension.every_subset", lambda rows: few)
    rows = evaluate_hypotension([fake_run(groups)], tmp_path)
    assert len(rows) == (2 + 4) * 3 * 2
    names = {p.name for p in tmp_path.iterdir()}
    for name in ("hypotension_excluded", "hypotension_included", "hypotension_alarms", "hypotension_mechanism"):
        assert {f"{name}.md", f"{name}.csv"} <= names
        assert "imulated" in (tmp_path / f"{name}.md").read_text("utf-8")
    assert {"hypotension_by_sensors.png", "hypotension_alarms.png"} <= names
    alarms = read_table(tmp_path / "hypotension_alarms.csv")
    rule = [r for r in alarms if r["score"] == "MAP < 73 mmHg"]
    assert rule and all(r["threshold"] == pytest.approx(73) for r in rule)
