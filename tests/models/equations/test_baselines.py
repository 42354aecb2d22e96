"""What a model is compared with: fitted to training patients, told what was known, scored where something was lost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.batches.group import Losses
from models.evaluation import baselines, comparison
from models.evaluation.baselines import LateFusion, TrendBaseline, fit_risks, trend_features
from models.evaluation.comparison import Prepared, compare, prepare, run_methods, token_scores
from models.evaluation.lost_windows import LostWindows, first_pass, second_pass
from models.evaluation.rivals import ANCHORED
from models.evaluation.settings import Setting
from models.imputers import OracleImputer, ZeroImputer
from models.physiome import PhysioME
from models.signals.modalities import Modality
from models.signals.windows import CONTEXT_FIELDS
from tests.models.equations.material import TINY, M, N, array, batch_of, tiny_model

C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}
ABP = TINY.modalities.index(Modality.ABP)


# -- risks ------------------------------------------------------------------------------------------------------------


def group_of(seed: int, windows: int = 80) -> SimpleNamespace:
    """Labels, and a context in which the pressure of ``age`` seconds ago is (index of the window) + age / 100."""
    rng = np.random.default_rng(seed)

    class Windows(SimpleNamespace):
        def __len__(self) -> int:
            return windows

    def lost(rows: np.ndarray, ages: np.ndarray) -> Losses:
        context = np.full((len(rows), M, len(CONTEXT_FIELDS)), np.nan, np.float32)
        for i, name in enumerate(("level", "mean_60s", "mean_300s", "mean_600s")):
            context[:, ABP, C[name]] = 70.0 + (rows * 7 + i * 3) % 20 + ages[:, ABP] / 100.0
        presence = np.repeat(ages[..., None] == 0, N, axis=2)
        return Losses(presence, context)

    label = np.maximum.accumulate(rng.random((windows, 3)) < 0.35, axis=1).astype(float)
    label[rng.random(windows) < 0.15] = np.nan
    now = rng.random(windows) < 0.2
    return Windows(lost=lost, presence=np.ones((windows, M, N)), labels={"hypotension": label, "hypotensive_now": now})


def flat(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float) -> float:
    """The largest slope of the penalised likelihood at ``weights``: 0 at the fit."""
    p = 1.0 / (1.0 + np.exp(-(weights[0] + x @ weights[1:])))
    slope = np.concatenate([[(p - y).sum()], x.T @ (p - y) + ridge * weights[1:]])
    return float(np.abs(slope).max())


@pytest.mark.parametrize("ridge", [1.0, 8.0])
def test_risks_are_fitted_where_the_outcome_is_known_and_still_ahead(ridge: float) -> None:
    group = group_of(0, 300)
    x = np.random.default_rng(1).normal(size=(300, 3))
    x[10:20, 1] = np.nan
    found = fit_risks(x, group, np.arange(300), ridge)  # type: ignore[arg-type]
    for j, weights in enumerate(found):
        label = group.labels["hypotension"][:, j]
        use = np.isfinite(label) & ~group.labels["hypotensive_now"] & np.isfinite(x).all(1)
        assert 50 < use.sum() < 250
        assert flat(x[use], label[use], weights, ridge) < 1e-3 * use.sum()


def test_trend_is_told_the_pressure_of_before_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    train = group_of(0)
    given: list[np.ndarray] = []

    def fit(x: np.ndarray, group: object, rows: np.ndarray, ridge: float) -> list[np.ndarray]:
        assert group is train
        given.append(x)
        return [np.zeros(x.shape[1] + 1)] * 3

    monkeypatch.setattr(baselines, "fit_risks", fit)
    trend = TrendBaseline(train, ABP)  # type: ignore[arg-type]
    ages = (0.0, 300.0, 600.0)
    other = group_of(5)
    for age in ages:
        lost_s = [0.0] * M
        lost_s[ABP] = age
        setting = Setting("x", tuple(lost_s))
        rows = np.arange(len(other))
        trend(setting, other.lost(rows, np.tile(lost_s, (len(rows), 1))))
    for x, age in zip(given, ages, strict=True):
        everywhere = np.zeros((len(train), M))
        everywhere[:, ABP] = age
        np.testing.assert_array_equal(x, trend_features(train.lost(np.arange(len(train)), everywhere), ABP))
    assert not np.array_equal(given[0], given[2])


def test_trend_features_by_hand() -> None:
    context = np.full((2, M, len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[0, ABP, [C["level"], C["mean_60s"], C["mean_300s"], C["mean_600s"]]] = 63.0, 66.0, 75.0, 60.0
    found = trend_features(Losses(np.ones((2, M, N), bool), context), ABP)
    level, change = -1.0, np.array([-0.5, -2.0, 0.5])
    np.testing.assert_allclose(found[0], [level, level**2, *change, *(level * change)])
    assert np.isnan(found[1]).all()


def late_fusion() -> tuple[LateFusion, np.ndarray]:
    """A late fusion whose probes and units are given, and features of windows [M, W, 4]."""
    rng = np.random.default_rng(3)
    late = LateFusion.__new__(LateFusion)
    late.model = None  # type: ignore[assignment]
    late.scale = [(rng.normal(size=4), rng.uniform(1, 3, 4)) for _ in range(M)]
    late.weights = [[rng.normal(size=5) for _ in range(3)] for _ in range(M)]
    features = rng.normal(size=(M, 30, 4))
    features[2, 7] = np.nan
    return late, features


def test_late_fusion_is_in_units_of_the_training_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    late, features = late_fusion()
    monkeypatch.setattr(baselines, "single_features", lambda model, group, rows, lost: list(features[:, rows]))
    group = group_of(0)
    found = late.odds(group, np.arange(30))  # type: ignore[arg-type]
    for m in range(M):
        mean, sd = late.scale[m]
        for j in range(3):
            expected = late.weights[m][j][0] + (features[m] - mean) / sd @ late.weights[m][j][1:]
            np.testing.assert_allclose(found[m, :, j], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(late.odds(group, np.arange(5)), found[:, :5])  # type: ignore[arg-type]


def test_late_fusion_averages_the_odds_of_what_is_left() -> None:
    odds = np.random.default_rng(4).normal(size=(M, 6, 3))
    odds[0, 2] = odds[3, 2] = odds[3, 4] = np.nan
    found = LateFusion.fuse(odds, Setting("x", (0.0, 60.0, np.inf, 0.0)))
    for w in range(6):
        left = [odds[m, w] for m in (0, 3) if np.isfinite(odds[m, w]).all()]
        if left:
            np.testing.assert_allclose(found[w], 1 / (1 + np.exp(-sum(left) / len(left))))
        else:
            assert np.isnan(found[w]).all()


def test_late_fusion_is_fitted_to_whom_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    train, asked = group_of(0), []
    features = np.random.default_rng(5).normal(size=(M, len(train), 4)) * 3.0 + 2.0
    features[1, :9] = np.nan

    def single(model: object, group: object, rows: np.ndarray, lost: Losses) -> list[np.ndarray]:
        asked.append(group)
        assert lost.presence.all()  # each sensor as recorded
        return list(features[:, rows])

    monkeypatch.setattr(baselines, "single_features", single)
    late = LateFusion(SimpleNamespace(), train, 0)  # type: ignore[arg-type]
    assert asked == [train]
    for m in range(M):
        here = np.isfinite(features[m]).all(1)
        x = features[m][here]
        np.testing.assert_allclose(late.scale[m][0], x.mean(0))
        z = (x - x.mean(0)) / (x.std(0) + 1e-6)
        label = train.labels["hypotension"][here, 1]
        use = np.isfinite(label) & ~train.labels["hypotensive_now"][here]
        assert flat(z[use], label[use], late.weights[m][1], 0.02 * here.sum()) < 1e-3 * use.sum()


# -- imputers ---------------------------------------------------------------------------------------------------------


def lost_windows(model: PhysioME, seed: int = 0) -> LostWindows:
    batch = batch_of(6, seed)
    every = torch.ones_like(batch.presence)
    with torch.no_grad():
        complete = model.encode(batch.features, every)
    before = torch.randn(complete.shape, generator=torch.Generator().manual_seed(seed))
    return LostWindows(
        np.arange(6), batch.features, batch.presence, batch.context, before, np.zeros((6, M), np.intp), complete
    )


def test_only_the_imputer_differs_and_scores_are_of_absent_slots() -> None:
    model = tiny_model()
    lost = lost_windows(model)
    mean = torch.randn(M, N, TINY.width, generator=torch.Generator().manual_seed(1))
    found = run_methods(
        model, lost, mean, {"zero": lambda lost: ZeroImputer(), "oracle": lambda lost: OracleImputer(lost.complete)}
    )
    state, embedded = first_pass(model, lost)
    absent = ~array(lost.presence)
    for name, tokens in (("zero", torch.zeros_like(lost.complete)), ("oracle", lost.complete)):
        representation, residual, total, cosine = found[name]
        np.testing.assert_allclose(representation, array(second_pass(model, state, embedded, tokens)), rtol=1e-5)
        truth, imputed, middle = array(lost.complete), array(tokens), array(mean)
        for b in range(6):
            for m in range(M):
                slots = np.flatnonzero(absent[b, m])
                if not len(slots):
                    assert np.isnan([residual[b, m], total[b, m], cosine[b, m]]).all()
                    continue
                errors = [((imputed[b, m, n] - truth[b, m, n]) ** 2).sum() for n in slots]
                nulls = [((middle[m, n] - truth[b, m, n]) ** 2).sum() for n in slots]
                a, c = imputed[b, m, slots] - middle[m, slots], truth[b, m, slots] - middle[m, slots]
                angles = (a * c).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(c, axis=-1)
                assert residual[b, m] == pytest.approx(sum(errors), rel=1e-4, abs=1e-6)
                assert total[b, m] == pytest.approx(sum(nulls), rel=1e-4)
                assert cosine[b, m] == pytest.approx(angles.mean(), rel=1e-3, abs=1e-5)
    assert not np.allclose(found["zero"][0], found["oracle"][0])
    residual, total, _ = token_scores(None, lost.complete, mean, torch.from_numpy(absent))
    assert np.isnan(residual).all() and np.isfinite(total).any()


def test_rivals_and_heads_are_fitted_to_training_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = tiny_model(), []
    bank_of = {}

    class Bank:
        def __init__(self, model: object, group: str) -> None:
            self.group = group
            bank_of[group] = self

    def record(name: str, result: object):  # type: ignore[no-untyped-def]
        def call(model: object, group: str, bank: Bank, *rest: object) -> object:
            asked.append((name, group, bank.group))
            return result

        return call

    monkeypatch.setattr(comparison, "TokenBank", Bank)
    monkeypatch.setattr(comparison, "Rivals", record("rivals", SimpleNamespace(methods=lambda group: {}, mean=None)))
    monkeypatch.setattr(comparison, "complete_heads", record("heads", "fitted"))
    monkeypatch.setattr(comparison, "_refit", record("refit", {}))
    for name in ("usable_rows", "truths"):
        monkeypatch.setattr(comparison, name, lambda group, *rest: np.arange(3))
    monkeypatch.setattr(comparison, "patient_numbers", lambda group: np.arange(3))
    prepared = prepare(model, "train", "test", ANCHORED, 0)  # type: ignore[arg-type]
    assert isinstance(prepared, Prepared) and prepared.test_bank.group == "test"
    compare(prepared, lambda *args: None, which=())
    assert asked == [(name, "train", "train") for name in ("rivals", "heads", "refit")]
    again = prepare(model, "train", "test", ANCHORED, 0, like=prepared)  # type: ignore[arg-type]
    assert again.heads == "fitted" and again.train_bank is prepared.train_bank
